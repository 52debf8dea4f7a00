//! pcap, in all the variants that Wireshark reads.
//!
//! A file header, then packets: time, length kept, length on the wire, bytes (draft-ietf-opsawg-pcap). Old patches of
//! libpcap put further fields into the packet header, partly without another magic number: `variant` tells them apart.

mod variant;

use super::bytes::ByteOrder;
use super::decode::{Position, Stop};
use super::link;
use super::record::{FileFormat, Interface, PacketRecord, Record, Section};
use crate::ids::InterfaceId;
use crate::time::Timestamp;
use variant::Variant;

/// The file header, magic number included.
const FILE_HEADER: usize = 24;

/// Bits of the link-type field that a pcap file must leave clear; above them stands the length of the FCS.
const RESERVED_LINK_BITS: u32 = 0x03ff_0000;

/// Reads one pcap file.
#[derive(Debug)]
pub(super) struct Pcap {
    order: ByteOrder,
    magic: Magic,
    /// `None` until the file header was read.
    header: Option<Header>,
}

/// What the magic number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magic {
    Microseconds,
    Nanoseconds,
    /// Alexey Kuznetsov's patches of 1999, which his own magic number tells.
    Modified,
    /// Ixia's `lcap`: four more bytes in the file header.
    IxiaMicroseconds,
    IxiaNanoseconds,
}

/// What the file header says.
#[derive(Clone, Copy, Debug)]
struct Header {
    link_type: u32,
    snaplen: u32,
    lengths: Lengths,
    nanoseconds_a_tick: i64,
    /// Whether the magic number says otherwise.
    is_misnamed: bool,
    /// Bytes of every packet that are not the packet's: [`link::pseudo_header`].
    pseudo_header: usize,
    /// `None` until the first packets told it.
    variant: Option<Variant>,
}

/// In which order a packet header has its two lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    KeptFirst,
    /// Before version 2.3.
    WireFirst,
    /// Version 2.3 was written both ways: the smaller one is the length kept.
    Either,
}

impl Pcap {
    /// A reader for the file that begins with `magic`, if that is pcap's.
    pub(super) fn begin(magic: [u8; 4]) -> Option<Self> {
        [ByteOrder::Little, ByteOrder::Big].into_iter().find_map(|order| {
            let magic = match order.u32(&magic, 0) {
                0xa1b2_c3d4 => Magic::Microseconds,
                0xa1b2_3c4d => Magic::Nanoseconds,
                0xa1b2_cd34 => Magic::Modified,
                0x1c00_01ab => Magic::IxiaMicroseconds,
                0x1c00_01ac => Magic::IxiaNanoseconds,
                _ => return None,
            };
            Some(Self { order, magic, header: None })
        })
    }

    /// Reads all whole packets at the beginning of `bytes`; `last` says that no more bytes will follow them.
    pub(super) fn read(&mut self, bytes: &[u8], last: bool, position: &mut Position, sink: &mut impl FnMut(Record<'_>)) -> Stop {
        let mut rest = bytes;
        let header = match &mut self.header {
            Some(header) => header,
            none => {
                let (mut header, length) = match read_file_header(rest, self.order, self.magic) {
                    Ok(read) => read,
                    Err(stop) => return stop,
                };
                match rest.get(length..length + 8) {
                    Some(time) => header.mistrust(self.magic, self.order.u32(time, 4)),
                    None if last => {}
                    None => return Stop::Need(length + 8),
                }
                rest = &rest[length..];
                position.at += length as u64;
                let header = none.insert(header);
                sink(Record::Section(Section { format: FileFormat::Pcap, ..Section::default() }));
                sink(Record::Interface(header.interface()));
                header
            }
        };
        if !link::is_known(header.link_type) {
            return Stop::Unsupported(format!("its link-layer type {} is not known", header.link_type));
        }
        let variant = match header.variant {
            Some(variant) => variant,
            None => match variant::guess(rest, last, self.order, self.magic == Magic::Modified, header.snaplen) {
                Ok(variant) => *header.variant.insert(variant),
                Err(need) => return Stop::Need(need),
            },
        };
        read_packets(rest, self.order, *header, variant, position, sink)
    }
}

/// The loop that every packet of a pcap file goes through.
#[inline]
fn read_packets(
    bytes: &[u8],
    order: ByteOrder,
    header: Header,
    variant: Variant,
    position: &mut Position,
    sink: &mut impl FnMut(Record<'_>),
) -> Stop {
    let data_at = variant.packet_header();
    let longest = link::longest_packet(header.link_type);
    let mut rest = bytes;
    loop {
        if rest.len() < data_at {
            return Stop::Need(data_at);
        }
        let (first, second) = (order.u32(rest, 8), order.u32(rest, 12));
        let (kept, on_wire) = match header.lengths {
            Lengths::KeptFirst => (first, second),
            Lengths::WireFirst => (second, first),
            Lengths::Either => (first.min(second), first.max(second)),
        };
        if kept > longest {
            return Stop::Damaged(format!("a packet of {kept} bytes, where {longest} is the most there can be"));
        }
        let length = data_at + kept as usize;
        let Some(packet) = rest.get(..length) else {
            return Stop::Need(length);
        };
        let Some(data) = packet.get(data_at + header.pseudo_header..) else {
            return Stop::Damaged(format!("a packet of {kept} bytes is too short for link-layer type {}", header.link_type));
        };
        let seconds = i64::from(order.u32(rest, 0));
        let ticks = i64::from(order.u32(rest, 4));
        sink(Record::Packet(PacketRecord {
            no: position.next_packet(),
            interface: InterfaceId(0),
            link_type: header.link_type,
            time: Some(Timestamp::from_nanos(seconds * 1_000_000_000 + ticks * header.nanoseconds_a_tick)),
            wire_len: link::wire_len(on_wire, header.pseudo_header),
            offset: position.at + (length - data.len()) as u64,
            data,
            flags: None,
            drop_count: None,
            comments: Vec::new(),
        }));
        position.at += length as u64;
        rest = &rest[length..];
    }
}

fn read_file_header(bytes: &[u8], order: ByteOrder, magic: Magic) -> Result<(Header, usize), Stop> {
    let ixia = matches!(magic, Magic::IxiaMicroseconds | Magic::IxiaNanoseconds);
    let length = if ixia { FILE_HEADER + 4 } else { FILE_HEADER };
    if bytes.len() < length {
        return Err(Stop::Need(length));
    }
    let (major, minor) = (order.u16(bytes, 4), order.u16(bytes, 6));
    let (snaplen, link_field) = (order.u32(bytes, 16), order.u32(bytes, 20));
    if major < 2 {
        return Err(Stop::Unsupported(format!("it is pcap of version {major}.{minor}; 2.0 is the oldest that can be read")));
    }
    if link_field & RESERVED_LINK_BITS != 0 {
        return Err(Stop::Unsupported(format!("its link-layer type {link_field:#010x} has reserved bits set")));
    }
    let lengths = match (major, minor) {
        // DG/UX's tcpdump says 543.0.
        (2, 0..3) | (543, _) => Lengths::WireFirst,
        (2, 3) => Lengths::Either,
        _ => Lengths::KeptFirst,
    };
    let mut variant = match magic {
        Magic::Microseconds | Magic::Modified => None,
        Magic::Nanoseconds | Magic::IxiaMicroseconds | Magic::IxiaNanoseconds => Some(Variant::Plain),
    };
    if lengths != Lengths::KeptFirst {
        variant = Some(Variant::Plain); // the patches came with 2.4
    }
    let mut link_type = link_field & 0xffff;
    let mut nanoseconds = matches!(magic, Magic::Nanoseconds | Magic::IxiaNanoseconds);
    if (major, minor) == (2, 2)
        && let Some(from_aix) = link::from_aix(link_type)
    {
        link_type = from_aix;
        nanoseconds = true;
    }
    let header = Header {
        link_type,
        snaplen,
        lengths,
        nanoseconds_a_tick: if nanoseconds { 1 } else { 1_000 },
        is_misnamed: false,
        pseudo_header: link::pseudo_header(link_type),
        variant,
    };
    Ok((header, length))
}

impl Header {
    /// Some writers put nanoseconds under the magic number of microseconds. The first packet tells, unless it falls into the first
    /// millisecond of its second: no second has a million microseconds or more.
    fn mistrust(&mut self, magic: Magic, fraction: u32) {
        if magic == Magic::Microseconds && fraction > 999_999 {
            (self.nanoseconds_a_tick, self.is_misnamed) = (1, true);
        }
    }

    fn interface(&self) -> Interface {
        Interface {
            unnumbered: true,
            link_type: self.link_type,
            snaplen: self.snaplen,
            is_misnamed_nanoseconds: self.is_misnamed,
            ticks_per_second: if self.nanoseconds_a_tick == 1 { 1_000_000_000 } else { 1_000_000 },
            ..Interface::default()
        }
    }
}
