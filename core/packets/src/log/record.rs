//! What a log says, one record at a time, in the order of the file.

use super::block::{Catalogue, Clock, Host, KernelDrop, Mark, Probe, RuleSet, Snapshot};
use crate::ids::{InterfaceId, PacketNo};
use crate::time::Timestamp;

/// One record of a log.
#[derive(Clone, Debug, PartialEq)]
pub enum Record<'a> {
    /// A new section begins (pcapng SHB, or the header of a pcap file).
    Section(Section),
    /// A capture interface is described (pcapng IDB, or the header of a pcap file).
    Interface(Interface),
    /// A packet (EPB, SPB, or a pcap record).
    Packet(PacketRecord<'a>),
    /// What the capture itself counted on an interface (ISB).
    Statistics(Statistics),
    /// Names for addresses (NRB): address text and name.
    Names(Vec<(String, String)>),
    /// Facts about a watched host.
    Host(Box<Host>),
    /// How the host's clocks stood to each other.
    Clock(Clock),
    /// Descriptions of counters.
    Catalogue(Catalogue),
    /// Values of counters at one moment.
    Snapshot(Snapshot),
    /// A firewall's rules.
    RuleSet(Box<RuleSet>),
    /// A packet that the kernel freed as dropped.
    KernelDrop(Box<KernelDrop>),
    /// An active check and its result.
    Probe(Box<Probe>),
    /// Something that happened, in words.
    Mark(Mark),
    /// A block this version has no use for; it was skipped, not lost: it stays in the file.
    Skipped {
        /// pcapng block type, or our record kind with the high bit set.
        block_type: u32,
        /// Its whole length in bytes.
        length: u32,
    },
}

impl<'a> Record<'a> {
    /// The record without what it borrows: all but packets borrow nothing, and those come back as they are.
    pub fn detach(self) -> Result<Record<'static>, PacketRecord<'a>> {
        Ok(match self {
            Self::Packet(packet) => return Err(packet),
            Self::Section(section) => Record::Section(section),
            Self::Interface(interface) => Record::Interface(interface),
            Self::Statistics(statistics) => Record::Statistics(statistics),
            Self::Names(names) => Record::Names(names),
            Self::Host(host) => Record::Host(host),
            Self::Clock(clock) => Record::Clock(clock),
            Self::Catalogue(catalogue) => Record::Catalogue(catalogue),
            Self::Snapshot(snapshot) => Record::Snapshot(snapshot),
            Self::RuleSet(rules) => Record::RuleSet(rules),
            Self::KernelDrop(drop) => Record::KernelDrop(drop),
            Self::Probe(probe) => Record::Probe(probe),
            Self::Mark(mark) => Record::Mark(mark),
            Self::Skipped { block_type, length } => Record::Skipped { block_type, length },
        })
    }
}

/// A section of a pcapng file, or a pcap file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Which file format.
    pub format: FileFormat,
    /// `shb_hardware`, `shb_os`, `shb_userappl`.
    pub hardware: Option<String>,
    /// The operating system it was taken on.
    pub os: Option<String>,
    /// The program that wrote it.
    pub application: Option<String>,
    /// `opt_comment`s.
    pub comments: Vec<String>,
}

/// Which part of a recording a section is. The recorder writes segments, each a whole pcapng section that can be read alone;
/// put one after the other they are one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The recording's name: 16 hexadecimal digits, drawn when it began.
    pub recording: String,
    /// The segment's number in it, from 1.
    pub number: u64,
}

impl Segment {
    /// The section comment that says so, as [`Section::segment`] reads it.
    pub fn comment(&self) -> String {
        format!("dropscope recording={} segment={}", self.recording, self.number)
    }
}

impl Section {
    /// Which segment of which recording this is, where the agent said so.
    pub fn segment(&self) -> Option<Segment> {
        self.comments.iter().find_map(|comment| {
            let mut words = comment.strip_prefix("dropscope ")?.split_ascii_whitespace();
            let mut value = |key: &str| words.by_ref().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            Some(Segment { recording: value("recording")?.to_owned(), number: value("segment")?.parse().ok()? })
        })
    }
}

/// The file formats that can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileFormat {
    /// pcap, classic.
    #[default]
    Pcap,
    /// pcapng (draft-ietf-opsawg-pcapng).
    PcapNg,
}

/// A capture interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number in the log.
    pub id: InterfaceId,
    /// Its number in its section: Wireshark's `frame.interface_id`. The same as `id` where a file has one section.
    pub number: u32,
    /// Whether the file has no number for it: a pcap file has one interface, and does not describe it.
    pub unnumbered: bool,
    /// LINKTYPE_ value, without FCS bits.
    pub link_type: u32,
    /// Bytes of each packet that are kept at most; 0 for no limit.
    pub snaplen: u32,
    /// `if_name`.
    pub name: Option<String>,
    /// `if_description`.
    pub description: Option<String>,
    /// `if_filter`, as text, where it is text.
    pub filter: Option<String>,
    /// `if_os`.
    pub os: Option<String>,
    /// Ticks a second of its time stamps (`if_tsresol`), for showing.
    pub ticks_per_second: u64,
    /// Whether the file calls its times microseconds and they are nanoseconds, as some writers have it.
    pub is_misnamed_nanoseconds: bool,
    /// `opt_comment`s. The agent writes one of the form `dropscope netns=4026531840 ifindex=2 role=capture`, so that the
    /// interface can be joined to counters even after `mergecap` renumbered it: see [`Interface::watched`].
    pub comments: Vec<String>,
}

impl Default for Interface {
    /// Ethernet, packets kept whole, times in nanoseconds: what the encoder writes unless told otherwise.
    fn default() -> Self {
        Self {
            id: InterfaceId(0),
            number: 0,
            unnumbered: false,
            link_type: 1,
            snaplen: 0,
            name: None,
            description: None,
            filter: None,
            os: None,
            ticks_per_second: 1_000_000_000,
            is_misnamed_nanoseconds: false,
            comments: Vec::new(),
        }
    }
}

/// The link type of a record that is not a packet but that Wireshark numbers and lists like one: a Custom Block of somebody
/// else, an entry of the systemd journal. It has no time and belongs to no interface.
pub const NOT_A_PACKET: u32 = u32::MAX;

/// A packet as the file holds it. Nothing is judged here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketRecord<'a> {
    /// Its number: every packet record counts, readable or not.
    pub no: PacketNo,
    /// Where it was taken. For [`NOT_A_PACKET`] it says nothing.
    pub interface: InterfaceId,
    /// The interface's LINKTYPE_ value, or [`NOT_A_PACKET`].
    pub link_type: u32,
    /// When; `None` for a Simple Packet Block, which has no time.
    pub time: Option<Timestamp>,
    /// Bytes on the wire.
    pub wire_len: u32,
    /// Where `data` begins, counted from the log's first (uncompressed) byte.
    pub offset: u64,
    /// The bytes kept; `data.len()` is `frame.cap_len`.
    pub data: &'a [u8],
    /// `epb_flags`.
    pub flags: Option<u32>,
    /// `epb_dropcount`: packets lost by the interface and the operating system since the one before.
    pub drop_count: Option<u64>,
    /// `opt_comment`s.
    pub comments: Vec<String>,
}

impl PacketRecord<'_> {
    /// The record without its bytes.
    pub fn detach(self) -> PacketRecord<'static> {
        let Self { no, interface, link_type, time, wire_len, offset, data: _, flags, drop_count, comments } = self;
        PacketRecord { no, interface, link_type, time, wire_len, offset, data: &[], flags, drop_count, comments }
    }
}

/// An Interface Statistics Block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Whose.
    pub interface: InterfaceId,
    /// When they were read.
    pub time: Timestamp,
    /// `isb_ifrecv`.
    pub received: Option<u64>,
    /// `isb_ifdrop`: lost by the interface for want of resources.
    pub if_dropped: Option<u64>,
    /// `isb_osdrop`: lost by the operating system (the capture ring was full).
    pub os_dropped: Option<u64>,
    /// `isb_usrdeliv`: handed to the capturing program.
    pub delivered: Option<u64>,
}

/// Where a capture interface lives on a watched host, from the agent's interface comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its namespace's inode.
    pub netns: crate::ids::NetnsId,
    /// The kernel's number for it; 0 for `any`.
    pub ifindex: u32,
}

impl Watched {
    /// The interface comment that says so, as [`Interface::watched`] reads it.
    pub fn comment(&self) -> String {
        format!("dropscope netns={} ifindex={}", self.netns.0, self.ifindex)
    }
}

impl Interface {
    /// Which interface of a watched host this is, where the agent said so.
    pub fn watched(&self) -> Option<Watched> {
        self.comments.iter().find_map(|comment| {
            let mut words = comment.split_ascii_whitespace();
            if words.next() != Some("dropscope") {
                return None;
            }
            let mut watched = Watched { netns: crate::ids::NetnsId(0), ifindex: 0 };
            for (key, value) in words.filter_map(|word| word.split_once('=')) {
                match key {
                    "netns" => watched.netns = crate::ids::NetnsId(value.parse().ok()?),
                    "ifindex" => watched.ifindex = value.parse().ok()?,
                    _ => {}
                }
            }
            Some(watched)
        })
    }
}

/// How reading ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The file ends inside a record: it was cut short, or is still being written. Everything before is good.
    #[error(
        "the file ends inside a record at byte {at}: {have} of {need} bytes are there; the {packets} packets before it are shown"
    )]
    CutShort {
        /// Where the incomplete record begins.
        at: u64,
        /// Bytes of it that are there.
        have: u64,
        /// Bytes it should have, as far as that is known.
        need: u64,
        /// Packets read before.
        packets: u32,
    },
    /// An impossible length or a broken block; nothing after it can be found.
    #[error("the file is damaged at byte {at}: {why}; the {packets} packets before it are shown")]
    Damaged {
        /// Where the broken record begins.
        at: u64,
        /// What is wrong with it.
        why: String,
        /// Packets read before.
        packets: u32,
    },
    /// Not a capture that can be read.
    #[error("this is not a capture that Dropscope can read: {why}")]
    Unsupported {
        /// What was found instead.
        why: String,
    },
}
