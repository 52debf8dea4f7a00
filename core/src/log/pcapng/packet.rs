//! The blocks that hold packets: Enhanced, Simple, and the obsolete Packet Block.

use super::describe::SectionInterface;
use super::{PcapNg, option, too_short};
use crate::ids::{InterfaceId, PacketNo};
use crate::log::bytes::{ByteOrder, padded};
use crate::log::decode::{Position, Stop};
use crate::log::link;
use crate::log::record::{NOT_A_PACKET, PacketRecord};

impl PcapNg {
    #[inline]
    pub(super) fn enhanced_packet<'a>(
        &self,
        order: ByteOrder,
        body: &'a [u8],
        body_at: u64,
        position: &mut Position,
    ) -> Result<PacketRecord<'a>, Stop> {
        const FIXED: usize = 20;
        if body.len() < FIXED {
            return Err(too_short("a packet block", body, FIXED));
        }
        let interface = self.described(order.u32(body, 0))?;
        self.timed_packet(order, body, body_at, interface, None, position)
    }

    pub(super) fn obsolete_packet<'a>(
        &self,
        order: ByteOrder,
        body: &'a [u8],
        body_at: u64,
        position: &mut Position,
    ) -> Result<PacketRecord<'a>, Stop> {
        const FIXED: usize = 20;
        const NOT_COUNTED: u16 = 0xffff;
        if body.len() < FIXED {
            return Err(too_short("a packet block", body, FIXED));
        }
        let interface = self.described(u32::from(order.u16(body, 0)))?;
        let dropped = Some(order.u16(body, 2)).filter(|&count| count != NOT_COUNTED).map(u64::from);
        self.timed_packet(order, body, body_at, interface, dropped, position)
    }

    /// What the two have in common: after the interface come time, lengths, bytes, options.
    #[inline]
    fn timed_packet<'a>(
        &self,
        order: ByteOrder,
        body: &'a [u8],
        body_at: u64,
        interface: &SectionInterface,
        drop_count: Option<u64>,
        position: &mut Position,
    ) -> Result<PacketRecord<'a>, Stop> {
        const DATA_AT: usize = 20;
        let ticks = u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
        let kept = order.u32(body, 12);
        let options_at = DATA_AT + padded(kept as usize);
        if options_at > body.len() {
            return Err(cut_packet(kept, body.len() - DATA_AT));
        }
        let mut packet = kept_packet(&body[DATA_AT..], kept, body_at + DATA_AT as u64, interface)?;
        packet.time = Some(interface.time(ticks));
        packet.wire_len = link::wire_len(order.u32(body, 16), interface.pseudo_header);
        packet.drop_count = drop_count;
        if options_at < body.len() {
            read_options(order, &body[options_at..], &mut packet)?;
        }
        position.packets = position.packets.saturating_add(1);
        packet.no = PacketNo(position.packets);
        Ok(packet)
    }

    /// A packet without time and options, of the section's first interface. It does not say how much of it was kept: that is
    /// what the interface's snapshot length leaves.
    pub(super) fn simple_packet<'a>(
        &self,
        order: ByteOrder,
        body: &'a [u8],
        body_at: u64,
        position: &mut Position,
    ) -> Result<PacketRecord<'a>, Stop> {
        const FIXED: usize = 4;
        if body.len() < FIXED {
            return Err(too_short("a simple packet block", body, FIXED));
        }
        let interface = self.described(0)?;
        let wire_len = order.u32(body, 0);
        let kept = match interface.snaplen {
            0 => wire_len,
            snaplen => wire_len.min(snaplen),
        };
        if FIXED + padded(kept as usize) > body.len() {
            return Err(cut_packet(kept, body.len() - FIXED));
        }
        let mut packet = kept_packet(&body[FIXED..], kept, body_at + FIXED as u64, interface)?;
        packet.wire_len = link::wire_len(wire_len, interface.pseudo_header);
        position.packets = position.packets.saturating_add(1);
        packet.no = PacketNo(position.packets);
        Ok(packet)
    }

    #[inline]
    fn described(&self, number: u32) -> Result<&SectionInterface, Stop> {
        self.interfaces.get(number as usize).ok_or_else(|| {
            let described = self.interfaces.len();
            Stop::Damaged(format!("a packet of interface {number}, where the section describes {described}"))
        })
    }
}

/// The record of a block that is no packet but that Wireshark numbers and lists like one.
pub(super) fn numbered_block<'a>(data: &'a [u8], offset: u64, position: &mut Position) -> PacketRecord<'a> {
    position.packets = position.packets.saturating_add(1);
    PacketRecord {
        no: PacketNo(position.packets),
        interface: InterfaceId(0),
        link_type: NOT_A_PACKET,
        time: None,
        wire_len: data.len() as u32,
        offset,
        data,
        flags: None,
        drop_count: None,
        comments: Vec::new(),
    }
}

/// A packet of `kept` bytes at the beginning of `bytes`, without number, time and length on the wire. The caller knows that
/// the bytes are there.
#[inline]
fn kept_packet<'a>(bytes: &'a [u8], kept: u32, offset: u64, interface: &SectionInterface) -> Result<PacketRecord<'a>, Stop> {
    if kept > interface.longest_packet {
        let longest = interface.longest_packet;
        return Err(Stop::Damaged(format!("a packet of {kept} bytes, where {longest} is the most there can be")));
    }
    let Some(data) = bytes[..kept as usize].get(interface.pseudo_header..) else {
        let link_type = interface.link_type;
        return Err(Stop::Damaged(format!("a packet of {kept} bytes is too short for link-layer type {link_type}")));
    };
    Ok(PacketRecord {
        no: PacketNo(0),
        interface: interface.id,
        link_type: interface.link_type,
        time: None,
        wire_len: 0,
        offset: offset + interface.pseudo_header as u64,
        data,
        flags: None,
        drop_count: None,
        comments: Vec::new(),
    })
}

#[cold]
fn cut_packet(kept: u32, room: usize) -> Stop {
    Stop::Damaged(format!("a packet of {kept} bytes in a block that has room for {room}"))
}

fn read_options(order: ByteOrder, bytes: &[u8], packet: &mut PacketRecord<'_>) -> Result<(), Stop> {
    option::for_each(order, bytes, |code, value| match code {
        option::COMMENT => packet.comments.push(option::text(value)),
        option::EPB_FLAGS if value.len() == 4 => packet.flags = Some(order.u32(value, 0)),
        option::EPB_DROPCOUNT => packet.drop_count = option::number(order, value).or(packet.drop_count),
        _ => {}
    })
}
