//! UDP and the transports of which only the ports are read.

use super::network::{checksum_status, presence};
use super::tcp::{time_delta, time_relative};
use super::{Field, Known, Subject, field, following};
use crate::dissect::{Protocol, Transport, Udp};
use crate::filter::value::{Type, Value};

/// The fields.
pub(super) static FIELDS: &[Field] = &[
    field("udp", Type::Presence, "UDP", |s, out| presence(s, Protocol::Udp, out)),
    field("udp.srcport", Type::Number, "UDP source port", |s, out| ports(s, Protocol::Udp, [true, false], out)),
    field("udp.dstport", Type::Number, "UDP destination port", |s, out| ports(s, Protocol::Udp, [false, true], out)),
    field("udp.port", Type::Number, "UDP source or destination port", |s, out| ports(s, Protocol::Udp, [true, true], out)),
    field("udp.stream", Type::Number, "number of the UDP conversation, from 0", |s, out| stream(s, Protocol::Udp, out)),
    following("udp.time_delta", Type::Duration, "seconds since the packet before in the same UDP conversation", |s, out| {
        time_delta(s, Protocol::Udp, out)
    }),
    field("udp.time_relative", Type::Duration, "seconds since the first packet of the UDP conversation", |s, out| {
        time_relative(s, Protocol::Udp, out)
    }),
    field("udp.length", Type::Number, "length of the UDP datagram, header included", |s, out| {
        udp(s, out, |udp, out| out(Value::Number(u64::from(udp.payload_len) + 8)))
    }),
    field("udp.payload", Type::Bytes, "data of the UDP datagram", |s, out| {
        udp(s, out, |udp, out| out(Value::Bytes(udp.payload)))
    }),
    field("udp.checksum.status", Type::Number, "1 right, 0 wrong, 2 could not be checked, 3 not computed", |s, out| {
        udp(s, out, |udp, out| out(checksum_status(udp.checksum)))
    }),
    field("udplite", Type::Presence, "UDP-Lite", |s, out| presence(s, Protocol::UdpLite, out)),
    field("sctp", Type::Presence, "SCTP", |s, out| presence(s, Protocol::Sctp, out)),
    field("sctp.srcport", Type::Number, "SCTP source port", |s, out| ports(s, Protocol::Sctp, [true, false], out)),
    field("sctp.dstport", Type::Number, "SCTP destination port", |s, out| ports(s, Protocol::Sctp, [false, true], out)),
    field("sctp.port", Type::Number, "SCTP source or destination port", |s, out| ports(s, Protocol::Sctp, [true, true], out)),
    field("dccp", Type::Presence, "DCCP", |s, out| presence(s, Protocol::Dccp, out)),
];

type Out<'o> = &'o mut dyn FnMut(Value<'_>);

/// Ports of the one transport there is; of packets with more the decode tree has them.
pub(super) fn ports(s: &Subject<'_>, protocol: Protocol, [source, destination]: [bool; 2], out: Out<'_>) -> Known {
    if s.row.protocol != protocol && s.plain() {
        return Known::Yes;
    }
    let pair = match s.packet {
        Some(read) => read.packet.transport.ports().filter(|_| read.packet.transport.protocol() == Some(protocol)),
        None if s.plain() && s.flow.is_some() => s.ports(),
        None => return Known::NeedsPacket,
    };
    if let Some(pair) = pair {
        for (wanted, port) in [(source, pair.0), (destination, pair.1)] {
            if wanted {
                out(Value::Number(u64::from(port)));
            }
        }
    }
    Known::Yes
}

/// Wireshark's number of the conversation. An ICMP error bears that of the conversation it quotes a packet of.
pub(super) fn stream(s: &Subject<'_>, protocol: Protocol, out: Out<'_>) -> Known {
    if let Some(flow) = s.flow.filter(|flow| flow.transport == protocol) {
        out(Value::Number(u64::from(flow.stream)));
    }
    Known::Yes
}

fn udp(s: &Subject<'_>, out: Out<'_>, give: fn(&Udp<'_>, Out<'_>)) -> Known {
    match s.read_if(Protocol::Udp) {
        Ok(read) => {
            if let Transport::Udp(udp) = &read.packet.transport
                && udp.protocol == Protocol::Udp
            {
                give(udp, out);
            } else if let Some(Transport::Udp(udp)) = read.quoted().map(|quoted| quoted.transport) {
                give(&udp, out);
            }
            Known::Yes
        }
        Err(known) => known,
    }
}
