//! What is known of one conversation: the facts rules and views read.

use crate::dissect::Protocol;
use crate::ids::{Direction, FlowId, InterfaceId, PacketNo};
use crate::time::{Nanos, Span, Timestamp};
use std::net::IpAddr;

/// A packet with its time: what most facts about a conversation point to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The packet.
    pub no: PacketNo,
    /// When it was captured.
    pub at: Timestamp,
}

/// One end of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 for protocols without.
    pub port: u16,
}

/// `10.0.0.1:80`, `[fd77::1]:80`, and the bare address for port 0.
impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.port, self.address) {
            (0, address) => write!(f, "{address}"),
            (port, IpAddr::V4(address)) => write!(f, "{address}:{port}"),
            (port, IpAddr::V6(address)) => write!(f, "[{address}]:{port}"),
        }
    }
}

/// A conversation: packets of one transport between two endpoints (over one capture, whatever the interface).
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its number.
    pub id: FlowId,
    /// TCP, UDP, ICMP, …
    pub transport: Protocol,
    /// Number within that protocol, as Wireshark counts streams.
    pub stream: u32,
    /// Who sent the SYN, else who received the SYN-ACK, else who sent the first packet.
    pub client: Endpoint,
    /// The other end.
    pub server: Endpoint,
    /// Whether a SYN or SYN-ACK told client from server.
    pub client_known: bool,
    /// The capture interface of its first packet.
    pub interface: InterfaceId,
    /// Its first packet.
    pub first: Seen,
    /// Its last packet.
    pub last: Seen,
    /// TCP's opening.
    pub handshake: Handshake,
    /// `tcp.completeness`: 1 SYN, 2 SYN+ACK, 4 ACK, 8 data, 16 FIN, 32 RST.
    pub completeness: u8,
    /// Each direction, by `Direction::index`.
    pub sides: [Side; 2],
    /// ICMP errors that quote a packet of it; the first 8.
    pub icmp_errors: Vec<IcmpError>,
    /// ICMP errors in all.
    pub icmp_error_count: u32,
}

impl Flow {
    /// From its first to its last packet.
    pub fn span(&self) -> Span {
        Span::new(self.first.at, self.last.at)
    }
    /// What one direction did.
    pub fn side(&self, direction: Direction) -> &Side {
        &self.sides[direction.index()]
    }
}

/// How a TCP conversation opened.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// SYNs with the same sequence number.
    pub syn_count: u32,
    /// The first of them.
    pub syn: Option<Seen>,
    /// The last of them.
    pub last_syn: Option<Seen>,
    /// SYN-ACKs.
    pub syn_ack_count: u32,
    /// The first of them.
    pub syn_ack: Option<Seen>,
    /// The last of them.
    pub last_syn_ack: Option<Seen>,
    /// The client's first ACK of it.
    pub ack: Option<Seen>,
    /// RST+ACK that answered a SYN.
    pub refused: Option<Seen>,
    /// Time from SYN to the ACK of its answer: Wireshark's `tcp.analysis.initial_rtt`.
    pub rtt: Option<Nanos>,
}

/// One direction of a conversation. Byte numbers are relative: the first byte of data is 1 where the SYN was seen, else the
/// first byte seen is 1.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// Packets.
    pub packets: u32,
    /// Bytes on the wire.
    pub wire_bytes: u64,
    /// Bytes of payload, each time they were sent.
    pub payload_bytes: u64,
    /// Initial sequence number.
    pub isn: Option<u32>,
    /// MSS it announced.
    pub mss: Option<u16>,
    /// Window scale it announced.
    pub window_scale: Option<u8>,
    /// Whether it permits SACK.
    pub sack_permitted: bool,
    /// Segments labelled `retransmission`.
    pub retransmissions: u32,
    /// Segments labelled `out_of_order`.
    pub out_of_order: u32,
    /// ACKs labelled `duplicate_ack`.
    pub duplicate_acks: u32,
    /// Segments that closed its window: labelled `zero_window`.
    pub zero_windows: u32,
    /// The first segment labelled `retransmission`, and the last.
    pub first_retransmission: Option<Seen>,
    /// See `first_retransmission`.
    pub last_retransmission: Option<Seen>,
    /// Longest time between a segment and its retransmission.
    pub longest_stall: Option<Nanos>,
    /// Stretches of bytes that were never seen here; the first 16 still open or told by the peer to have arrived.
    pub holes: Vec<Hole>,
    /// Stretches never seen, in all.
    pub hole_count: u32,
    /// Bytes never seen, in all.
    pub missing_bytes: u64,
    /// Bytes of IP and TCP header of its last segment without SYN: what data would be wrapped in.
    pub header_bytes: Option<u32>,
    /// Bytes of IP of its largest packet.
    pub largest_ip: u32,
    /// Bytes of IP and how many packets had that size; at most 24 sizes, of more the nearest larger one is taken.
    pub sizes: Vec<(u32, u32)>,
    /// Highest byte the peer acknowledged.
    pub acked_to: Option<u64>,
    /// Highest byte it sent, as far as was seen.
    pub sent_to: u64,
    /// Data that was sent again and never acknowledged: the last such segment, how often it was sent, and its IP length.
    pub stuck: Option<Stuck>,
    /// Its FIN.
    pub fin: Option<Seen>,
    /// Its RST.
    pub rst: Option<Seen>,
    /// Whether some packet of it had DF set.
    pub dont_fragment: bool,
}

/// Bytes of one direction that were not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Relative number of the first missing byte.
    pub first: u64,
    /// Relative number of the last missing byte.
    pub last: u64,
    /// The packet that showed that they are missing: the one after the hole.
    pub noticed: Seen,
    /// The peer's ACK that leaves them out, by SACK or by staying behind: so the peer misses them too.
    pub missed_by_peer: Option<Seen>,
    /// The peer's ACK that includes them: so they arrived, and only the capture missed them.
    pub acked: Option<Seen>,
    /// The segment that brought them later.
    pub filled: Option<Seen>,
}

/// A segment that was sent again and again without being acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Relative number of its first byte.
    pub first: u64,
    /// Relative number of its last byte.
    pub last: u64,
    /// Times it was sent.
    pub sent: u32,
    /// Bytes of IP.
    pub ip_len: u32,
    /// First sent.
    pub first_sent: Seen,
    /// Last sent.
    pub last_sent: Seen,
}

/// An ICMP error about a packet of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// The error.
    pub seen: Seen,
    /// Who sent it.
    pub from: IpAddr,
    /// ICMP or ICMPv6.
    pub protocol: Protocol,
    /// Its type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// Next-hop MTU, when it tells one.
    pub mtu: Option<u32>,
    /// Direction of the packet it quotes.
    pub about: Direction,
}
