//! `frame` and the link layer.

use super::{Field, Known, Subject, field, flag, tree};
use crate::filter::value::{Type, Value};
use crate::ids::PacketNo;

/// The fields.
pub(super) static FIELDS: &[Field] = &[
    field("frame", Type::Presence, "any packet; its bytes can be searched: frame contains \"GET\"", |s, out| {
        match s.packet {
            Some(read) => out(Value::Present(read.bytes)),
            None => {
                out(Value::Present(&[]));
                return Known::Yes;
            }
        }
        Known::Yes
    }),
    field("frame.number", Type::Number, "number of the packet in the file, from 1", |s, out| {
        out(Value::Number(u64::from(s.no.0)));
        Known::Yes
    }),
    field("frame.time", Type::Moment, "when the packet was captured", moment),
    field("frame.time_epoch", Type::Moment, "when the packet was captured, in seconds since 1970", moment),
    field("frame.time_relative", Type::Duration, "seconds since the first packet", |s, out| {
        since(s, PacketNo(1), out);
        Known::Yes
    }),
    field("frame.time_delta", Type::Duration, "seconds since the packet before", |s, out| {
        since(s, PacketNo(s.no.0.saturating_sub(1).max(1)), out);
        Known::Yes
    }),
    field("frame.len", Type::Number, "bytes on the wire", |s, out| {
        out(Value::Number(u64::from(s.row.wire_len)));
        Known::Yes
    }),
    field("frame.cap_len", Type::Number, "bytes that were kept", |s, out| {
        out(Value::Number(u64::from(s.row.cap_len)));
        Known::Yes
    }),
    field("frame.interface_id", Type::Number, "number of the capture interface", |s, out| {
        if let Some(interface) = s.interfaces.get(s.row.interface.0 as usize).filter(|interface| !interface.unnumbered) {
            out(Value::Number(u64::from(interface.number)));
        }
        Known::Yes
    }),
    field("frame.interface_name", Type::Text, "name of the capture interface", |s, out| {
        if let Some(interface) = s.interfaces.get(s.row.interface.0 as usize).filter(|interface| !interface.unnumbered) {
            // What Wireshark calls one without a name.
            out(Value::Text(interface.name.as_deref().unwrap_or("unknown")));
        }
        Known::Yes
    }),
    field("eth", Type::Presence, "a frame of Ethernet", |s, out| {
        if !s.plain() && s.packet.is_some() {
            return tree::every("eth", Type::Presence, s, out);
        }
        if is_ethernet(s) {
            out(Value::Present(s.packet.map_or(&[], |read| read.bytes)));
        }
        s.all_if_plain()
    }),
    field("eth.dst", Type::Mac, "destination hardware address", |s, out| mac(s, &[0], out)),
    field("eth.src", Type::Mac, "source hardware address", |s, out| mac(s, &[6], out)),
    field("eth.addr", Type::Mac, "source or destination hardware address", |s, out| mac(s, &[0, 6], out)),
    field("eth.type", Type::Number, "EtherType, 0x0800 for IPv4", |s, out| {
        if !s.plain() {
            return Known::NeedsPacket;
        }
        if !is_ethernet(s) {
            return Known::Yes;
        }
        let read = match s.read() {
            Ok(read) => read,
            Err(known) => return known,
        };
        if let Some(&[high, low]) = read.bytes.get(12..14) {
            let number = u16::from_be_bytes([high, low]);
            // Below 0x600 it is a length (IEEE 802.3).
            if number >= 0x600 {
                out(Value::Number(u64::from(number)));
            }
        }
        Known::Yes
    }),
    field("frame.commented", Type::Flag, "the file holds a comment on it (Dropscope)", |s, out| {
        out(flag(s.row.facts.has(crate::store::Facts::COMMENTED)));
        Known::Yes
    }),
];

/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;

fn is_ethernet(s: &Subject<'_>) -> bool {
    s.interfaces.get(s.row.interface.0 as usize).is_some_and(|interface| interface.link_type == ETHERNET)
}

/// The frame's hardware addresses, at these places; those that a tunnel carries are looked for in the decode tree.
fn mac(s: &Subject<'_>, places: &[usize], out: &mut dyn FnMut(Value<'_>)) -> Known {
    if !s.plain() {
        return Known::NeedsPacket;
    }
    if !is_ethernet(s) {
        return Known::Yes;
    }
    let read = match s.read() {
        Ok(read) => read,
        Err(known) => return known,
    };
    places.iter().filter_map(|at| read.bytes.get(*at..at + 6)).for_each(|mac| out(Value::Bytes(mac)));
    Known::Yes
}

fn moment(s: &Subject<'_>, out: &mut dyn FnMut(Value<'_>)) -> Known {
    if let Some(time) = s.store.time(s.no) {
        out(Value::Nanos(time.nanos()));
    }
    Known::Yes
}

fn since(s: &Subject<'_>, other: PacketNo, out: &mut dyn FnMut(Value<'_>)) {
    if let (Some(time), Some(other)) = (s.store.time(s.no), s.store.time(other)) {
        out(Value::Nanos((time - other).get()));
    }
}
