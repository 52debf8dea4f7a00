//! The blocks that hold packets: Enhanced, Simple, and the obsolete Packet Block.

use super::describe::SectionInterface;
use super::{PcapNg, option, too_short};
use crate::ids::InterfaceId;
use crate::log::bytes::{ByteOrder, padded};
use crate::log::decode::{Position, Stop};
use crate::log::link;
use crate::log::record::{NOT_A_PACKET, PacketRecord, Record};

/// What a packet's options say.
#[derive(Default)]
struct Said {
    flags: Option<u32>,
    drop_count: Option<u64>,
    comments: Vec<String>,
}

impl PcapNg {
    /// Interface, time, lengths, bytes, options.
    #[inline]
    pub(super) fn enhanced_packet(
        &self,
        order: ByteOrder,
        body: &[u8],
        position: &mut Position,
        sink: &mut impl FnMut(Record<'_>),
    ) -> Result<(), Stop> {
        const FIXED: usize = 20;
        if body.len() < FIXED {
            return Err(too_short("a packet block", body, FIXED));
        }
        let interface = self.described(order.u32(body, 0))?;
        timed_packet(order, body, interface, None, position, sink)
    }

    /// As the enhanced one, but the interface shares its field with a count of lost packets.
    pub(super) fn obsolete_packet(
        &self,
        order: ByteOrder,
        body: &[u8],
        position: &mut Position,
        sink: &mut impl FnMut(Record<'_>),
    ) -> Result<(), Stop> {
        const FIXED: usize = 20;
        const NOT_COUNTED: u16 = 0xffff;
        if body.len() < FIXED {
            return Err(too_short("a packet block", body, FIXED));
        }
        let interface = self.described(u32::from(order.u16(body, 0)))?;
        let dropped = Some(order.u16(body, 2)).filter(|&count| count != NOT_COUNTED).map(u64::from);
        timed_packet(order, body, interface, dropped, position, sink)
    }

    /// A packet without time and options, of the section's first interface. It does not say how much of it was kept: that is
    /// what the interface's snapshot length leaves.
    pub(super) fn simple_packet(
        &self,
        order: ByteOrder,
        body: &[u8],
        position: &mut Position,
        sink: &mut impl FnMut(Record<'_>),
    ) -> Result<(), Stop> {
        const DATA_AT: usize = 4;
        if body.len() < DATA_AT {
            return Err(too_short("a simple packet block", body, DATA_AT));
        }
        let interface = self.described(0)?;
        let wire_len = order.u32(body, 0);
        let kept = match interface.snaplen {
            0 => wire_len,
            snaplen => wire_len.min(snaplen),
        };
        let data = kept_bytes(body, DATA_AT, kept, interface)?;
        sink(Record::Packet(PacketRecord {
            no: position.next_packet(),
            interface: interface.id,
            link_type: interface.link_type,
            time: None,
            wire_len: link::wire_len(wire_len, interface.pseudo_header),
            offset: position.in_body(DATA_AT + interface.pseudo_header),
            data,
            flags: None,
            drop_count: None,
            comments: Vec::new(),
        }));
        Ok(())
    }

    #[inline]
    fn described(&self, number: u32) -> Result<&SectionInterface, Stop> {
        match self.interfaces.get(number as usize) {
            Some(interface) => Ok(interface),
            None => Err(undescribed(number, self.interfaces.len())),
        }
    }
}

/// The record of a block that is no packet but that Wireshark numbers and lists like one; its data begins in the body at
/// `data_at`.
pub(super) fn numbered_block(
    body: &[u8],
    data_at: usize,
    position: &mut Position,
    sink: &mut impl FnMut(Record<'_>),
) -> Result<(), Stop> {
    let data = body.get(data_at..).ok_or_else(|| too_short("a Custom Block", body, data_at))?;
    sink(Record::Packet(PacketRecord {
        no: position.next_packet(),
        interface: InterfaceId(0),
        link_type: NOT_A_PACKET,
        time: None,
        wire_len: data.len() as u32,
        offset: position.in_body(data_at),
        data,
        flags: None,
        drop_count: None,
        comments: Vec::new(),
    }));
    Ok(())
}

/// What the Enhanced and the obsolete Packet Block have in common. Every packet of a live recording goes through here, so the
/// record is built once, in place.
#[inline]
fn timed_packet(
    order: ByteOrder,
    body: &[u8],
    interface: &SectionInterface,
    drop_count: Option<u64>,
    position: &mut Position,
    sink: &mut impl FnMut(Record<'_>),
) -> Result<(), Stop> {
    const DATA_AT: usize = 20;
    let ticks = u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
    let kept = order.u32(body, 12);
    let data = kept_bytes(body, DATA_AT, kept, interface)?;
    let options = &body[DATA_AT + padded(kept as usize)..];
    let mut said = Said { drop_count, ..Said::default() };
    if !options.is_empty() {
        read_options(order, options, &mut said)?;
    }
    sink(Record::Packet(PacketRecord {
        no: position.next_packet(),
        interface: interface.id,
        link_type: interface.link_type,
        time: Some(interface.time(ticks)),
        wire_len: link::wire_len(order.u32(body, 16), interface.pseudo_header),
        offset: position.in_body(DATA_AT + interface.pseudo_header),
        data,
        flags: said.flags,
        drop_count: said.drop_count,
        comments: said.comments,
    }));
    Ok(())
}

/// The packet's bytes: `kept` of them from `data_at` on, and padding behind them.
#[inline]
fn kept_bytes<'a>(body: &'a [u8], data_at: usize, kept: u32, interface: &SectionInterface) -> Result<&'a [u8], Stop> {
    let room = body.len() - data_at;
    if padded(kept as usize) > room || kept > interface.longest_packet {
        return Err(cut_packet(kept, room, interface));
    }
    match body[data_at..data_at + kept as usize].get(interface.pseudo_header..) {
        Some(data) => Ok(data),
        None => Err(cut_packet(kept, room, interface)),
    }
}

#[cold]
fn cut_packet(kept: u32, room: usize, interface: &SectionInterface) -> Stop {
    let SectionInterface { link_type, longest_packet, .. } = *interface;
    Stop::Damaged(if padded(kept as usize) > room {
        format!("a packet of {kept} bytes in a block that has room for {room}")
    } else if kept > longest_packet {
        format!("a packet of {kept} bytes, where {longest_packet} is the most there can be")
    } else {
        format!("a packet of {kept} bytes is too short for link-layer type {link_type}")
    })
}

#[cold]
fn undescribed(number: u32, described: usize) -> Stop {
    Stop::Damaged(format!("a packet of interface {number}, where the section describes {described}"))
}

fn read_options(order: ByteOrder, bytes: &[u8], said: &mut Said) -> Result<(), Stop> {
    option::for_each(order, bytes, |code, value| match code {
        option::COMMENT => said.comments.push(option::text(value)),
        option::EPB_FLAGS if value.len() == 4 => said.flags = Some(order.u32(value, 0)),
        option::EPB_DROPCOUNT => said.drop_count = option::number(order, value).or(said.drop_count),
        _ => {}
    })
}
