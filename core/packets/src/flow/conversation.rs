//! What is known of one conversation: the facts rules and views read.

use super::losses::Loss;
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
///
/// Kept small, since a scan makes millions of them: what few conversations have lies in boxes that read as empty until the
/// first such fact (`icmp_errors` and `icmp_error_count` are read through `Deref`).
#[derive(Clone, Debug, PartialEq)]
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
    /// Identifier of an ICMP echo conversation.
    pub echo: Option<u16>,
    /// Whether a SYN or SYN-ACK told client from server.
    pub client_known: bool,
    /// Whether a SYN with another sequence number opened it on ports already seen.
    pub reopened: bool,
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
    /// Most conversations have none of these.
    pub(super) rare: Rare<FlowRare>,
}

impl Flow {
    /// The capture interfaces that showed it: that of its first packet, then up to eight others.
    pub fn interfaces(&self) -> impl Iterator<Item = InterfaceId> {
        let others = self.points.iter().map(|point| point.interface).filter(|other| *other != self.interface);
        std::iter::once(self.interface).chain(others)
    }
    /// Packets of one direction that this capture interface showed.
    pub fn packets_at(&self, interface: InterfaceId, direction: Direction) -> u32 {
        let shown = |point: &Point| point.packets[direction.index()];
        if interface == self.interface {
            let elsewhere = self.points.iter().map(shown).fold(0, u32::saturating_add);
            return self.side(direction).packets.saturating_sub(elsewhere);
        }
        self.points.iter().find(|point| point.interface == interface).map_or(0, shown)
    }
    /// Notes when its latest packet was taken.
    #[inline(always)]
    pub(super) fn note_latest(&mut self, seen: Seen) {
        if seen.at - self.last.at >= LONG_PAUSE {
            self.rare.get_mut().pause = Some((self.last, seen));
        }
        self.last = seen;
    }
    /// From its first to its last packet.
    pub fn span(&self) -> Span {
        Span::new(self.first.at, self.last.at)
    }
    /// What one direction did.
    pub fn side(&self, direction: Direction) -> &Side {
        &self.sides[direction.index()]
    }
    /// Enters the initial round-trip time once it is known.
    pub(super) fn handshake_rtt(&mut self, rtt: Option<Nanos>) {
        if self.handshake.rtt != rtt {
            self.handshake.rare.get_mut().rtt = rtt;
        }
    }
    /// Who sends in that direction.
    pub fn sender(&self, direction: Direction) -> Endpoint {
        match direction {
            Direction::AToB => self.client,
            Direction::BToA => self.server,
        }
    }
}

/// Shorter silence is remembered by every device that keeps state of connections (RFC 5382 asks for two hours, cloud load
/// balancers and home routers have a few minutes).
const LONG_PAUSE: Nanos = Nanos::from_secs(60);

/// What few conversations have; read as fields of [`Flow`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowRare {
    /// ICMP errors that quote a packet of it; the first 8.
    pub icmp_errors: Vec<IcmpError>,
    /// ICMP errors in all, each counted once at however many capture points it was seen.
    pub icmp_error_count: u32,
    /// The last time that neither end said anything for a minute or more: the packets before and after.
    pub pause: Option<(Seen, Seen)>,
    /// What capture points other than that of its first packet showed; that one stands here only for its ICMP errors.
    pub(super) points: Vec<Point>,
}

/// What one capture point showed of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    interface: InterfaceId,
    /// By direction; not counted at the point of the first packet.
    packets: [u32; 2],
    icmp_errors: u32,
}

/// Capture points told apart in one conversation, beside that of its first packet.
const MOST_POINTS: usize = 8;

impl FlowRare {
    fn point(&mut self, interface: InterfaceId) -> Option<&mut Point> {
        let at = self.points.iter().position(|point| point.interface == interface);
        if at.is_none() && self.points.len() <= MOST_POINTS {
            self.points.push(Point { interface, packets: [0; 2], icmp_errors: 0 });
        }
        match at {
            Some(at) => self.points.get_mut(at),
            None => self.points.last_mut().filter(|point| point.interface == interface),
        }
    }

    /// Counts a packet that was seen elsewhere than the first.
    #[cold]
    pub(super) fn note_elsewhere(&mut self, interface: InterfaceId, direction: Direction) {
        if let Some(point) = self.point(interface) {
            let packets = &mut point.packets[direction.index()];
            *packets = packets.saturating_add(1);
        }
    }

    /// Counts an ICMP error; whether it is one that no other point has shown.
    pub(super) fn note_icmp_error(&mut self, interface: InterfaceId) -> bool {
        let here = self.point(interface).map(|point| {
            point.icmp_errors = point.icmp_errors.saturating_add(1);
            point.icmp_errors
        });
        let new = here.is_none_or(|here| here > self.icmp_error_count);
        self.icmp_error_count += u32::from(new);
        new
    }
}

/// How a TCP conversation opened. What comes after the SYN is read through `Deref` to [`Opened`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handshake {
    /// SYNs with the same sequence number.
    pub syn_count: u32,
    /// The first of them.
    pub syn: Option<Seen>,
    /// The last of them.
    pub last_syn: Option<Seen>,
    /// What answered them.
    pub(super) rare: Rare<Opened>,
}

/// What follows a SYN; read as fields of [`Handshake`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Opened {
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
    /// Its TTL.
    pub refused_ttl: u8,
    /// The SYN-ACK that came after it with another TTL: somebody else refused.
    pub refusal_belied: Option<Seen>,
    /// The ACK of an earlier connection that answered a SYN (RFC 5961 section 4), before any SYN-ACK, and how many there were.
    pub challenged: Option<Seen>,
    /// See `challenged`.
    pub challenges: u32,
    /// SYNs that offered ECN (ECE and CWR, RFC 3168 section 6.1.1), and the last of them.
    pub ecn_syns: u32,
    /// See `ecn_syns`.
    pub last_ecn_syn: Option<Seen>,
    /// Time from the last SYN to the ACK of its answer: Wireshark's `tcp.analysis.initial_rtt`.
    pub rtt: Option<Nanos>,
}

/// One direction of a conversation. Byte numbers are relative: the first byte of data is 1 where the SYN was seen, else the
/// first byte seen, or the first that the peer acknowledged, is 1. They keep growing past 4 GiB.
///
/// What only conversations with trouble have is read through `Deref` to [`Course`], which is one step away: rules look there
/// first, and in most there is nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// Packets.
    pub packets: u32,
    /// Bytes of IP of its largest packet.
    pub largest_ip: u32,
    /// Bytes on the wire.
    pub wire_bytes: u64,
    /// Bytes of payload, each time they were sent.
    pub payload_bytes: u64,
    /// Highest byte it sent, as far as was seen (a FIN counts as one).
    pub sent_to: u64,
    /// Initial sequence number.
    pub isn: Option<u32>,
    /// The raw number that relative number 0 stands for, as Wireshark counts; of TCP, once a segment told it.
    pub base: Option<u32>,
    /// MSS it announced.
    pub mss: Option<u16>,
    /// Window scale it announced.
    pub window_scale: Option<u8>,
    /// Whether it permits SACK.
    pub sack_permitted: bool,
    /// Whether some packet of it had DF set.
    pub dont_fragment: bool,
    /// Bytes of IP of its latest packet, and how many in a row had that size: see [`Side::sizes`].
    pub(super) run: (u32, u32),
    /// Most conversations of one packet have none of these.
    pub(super) onward: Rare<Onward>,
    /// Conversations without trouble have none of these.
    pub(super) rare: Rare<Course>,
}

impl Side {
    /// Segments as they are on the wire: a packet larger than the MSS was not split yet by the network card when it was
    /// captured (TSO), or was joined before (GRO), and counts as what it is elsewhere. Without MSS of the handshake every
    /// packet counts as one.
    pub fn segments(&self) -> u64 {
        u64::from(self.sent()) + u64::from(self.joined)
    }

    /// Its packets, each once at however many capture points it was seen. Copies are known of TCP alone.
    pub fn sent(&self) -> u32 {
        self.packets.saturating_sub(self.copies)
    }

    /// Highest byte the peer acknowledged.
    #[inline]
    pub fn acked_to(&self) -> Option<u64> {
        self.onward.0.as_ref()?.acked_to
    }

    /// Bytes of IP and TCP header of its last segment without SYN: what data would be wrapped in.
    #[inline]
    pub fn header_bytes(&self) -> Option<u32> {
        self.onward.0.as_ref()?.header_bytes
    }

    /// Bytes of IP of its largest packet with data that the peer acknowledged; 0 if none was.
    pub fn largest_acked(&self) -> u32 {
        let Some(onward) = self.onward.0.as_ref().filter(|onward| onward.largest_acked > 0) else { return 0 };
        onward.largest_acked + onward.header_bytes.unwrap_or(0)
    }

    /// TTL or hop limit of its first packet that is neither SYN nor RST.
    pub fn ttl(&self) -> Option<u8> {
        self.onward.0.as_ref().map(|onward| onward.ttl).filter(|ttl| *ttl > 0)
    }

    /// Its first FIN.
    #[inline]
    pub fn fin(&self) -> Option<Seen> {
        self.onward.0.as_ref()?.fin
    }

    /// Counts one packet.
    #[inline(always)]
    pub(super) fn count(&mut self, wire_len: u32, payload_len: u32, ip_len: u32, dont_fragment: bool) {
        self.packets = self.packets.saturating_add(1);
        self.wire_bytes += u64::from(wire_len);
        self.payload_bytes += u64::from(payload_len);
        self.dont_fragment |= dont_fragment;
        self.count_size(ip_len);
    }

    /// To write to what only conversations with trouble have.
    pub(super) fn course_mut(&mut self) -> &mut Course {
        self.rare.get_mut()
    }

    /// Whether its window was closed then; only the last time that it was is known.
    pub(super) fn had_closed(&self, at: Timestamp) -> bool {
        self.closed_since.is_some_and(|since| since.at <= at) || self.last_closed.is_some_and(|closed| closed.contains(at))
    }
}

/// What a direction of a TCP conversation has that did not end with its first packet; [`Side`] tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Onward {
    /// See [`Side::acked_to`].
    pub acked_to: Option<u64>,
    /// Bytes of data of the largest segment that was acknowledged; see [`Side::largest_acked`].
    pub largest_acked: u32,
    /// See [`Side::header_bytes`].
    pub header_bytes: Option<u32>,
    /// See [`Side::fin`].
    pub fin: Option<Seen>,
    /// See [`Side::ttl`]; 0 before.
    pub ttl: u8,
    /// Bytes of IP and how many packets had that size, without `Side::run`.
    pub(super) ended_runs: Vec<(u32, u32)>,
}

/// What trouble one direction of a TCP conversation had; read as fields of [`Side`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// Segments sent again, as they are on the wire: labelled `retransmission`, unless they are copies or the evidence says
    /// that they were only late; and those otherwise labelled of which it says that they were sent again (see `Judgement`).
    pub retransmissions: u32,
    /// Those among them by what made the sender send them again, in the order of `Cause::ALL`; the others are not known.
    pub causes: [u32; 6],
    /// Those among them that were not needed, for the peer had them.
    pub needless: u32,
    /// Those among these that a D-SACK of the peer proves, and those that its echo of a time stamp does.
    pub needless_by_dsack: u32,
    /// See `needless_by_dsack`.
    pub needless_by_eifel: u32,
    /// See `needless_by_dsack`.
    pub needless_by_frto: u32,
    /// Ends of bursts that were lost, so that only a timer or a probe could mend them, and were acknowledged then.
    pub tail_losses: u32,
    /// From their first sending to the last, in all.
    pub tail_loss_time: Nanos,
    /// Segments on the wire beyond its packets: the capture holds several as one (TSO, GRO); see [`Side::segments`].
    pub(super) joined: u32,
    /// Farthest that a late segment was overtaken: by how many segments (at most 300), and for how long.
    pub most_overtaken: u16,
    /// See `most_overtaken`.
    pub longest_late: Option<Nanos>,
    /// Times that it closed its window and had it closed for a while, how long in all, and the longest.
    pub closed_runs: u32,
    /// See `closed_runs`.
    pub closed_time: Nanos,
    /// See `closed_runs`.
    pub longest_closed: Option<Nanos>,
    /// Since when its window is closed.
    pub closed_since: Option<Seen>,
    /// The last time that it was closed and opened again.
    pub(super) last_closed: Option<Span>,
    /// Segments labelled `window_full`: the peer's window, not the network, made it wait.
    pub windows_filled: u32,
    /// What it sent to learn whether the peer's window has opened.
    pub window_probes: u32,
    /// Packets that are second copies of one seen before, taken elsewhere: see `Observed::copy_of`.
    pub copies: u32,
    /// Segments that were late and not sent again.
    pub out_of_order: u32,
    /// ACKs labelled `duplicate_ack` that are not copies.
    pub duplicate_acks: u32,
    /// Segments that closed its window: labelled `zero_window`.
    pub zero_windows: u32,
    /// The first segment counted in `retransmissions`, and the last.
    pub first_retransmission: Option<Seen>,
    /// See `first_retransmission`.
    pub last_retransmission: Option<Seen>,
    /// Longest time between a segment and its retransmission.
    pub longest_stall: Option<Nanos>,
    /// Stretches of bytes that were not seen when a later segment came; the first 64. One that was filled stays only if the
    /// peer had told that it missed it (then it was lost and sent again, not just reordered).
    pub holes: Vec<Hole>,
    /// Stretches never seen, in all.
    pub hole_count: u32,
    /// Bytes never seen, in all.
    pub missing_bytes: u64,
    /// Packets with data that were lost, as far as a repeat of their own shows it; the first 64, less those that later
    /// turned out not to be.
    pub losses: Vec<Loss>,
    /// Those packets, in all.
    pub loss_count: u32,
    /// Data that was sent again and never acknowledged: the last such segment, how often it was sent, and its IP length.
    pub stuck: Option<Stuck>,
    /// The peer's first ACK with a SACK block of bytes that were never sent, and how many ACKs had one.
    pub impossible_sack: Option<Seen>,
    /// See `impossible_sack`.
    pub impossible_sacks: u32,
    /// Its first RST.
    pub rst: Option<Seen>,
    /// What the conversation had come to then.
    pub reset: Option<Reset>,
}

/// The first RST of one direction, and what the conversation had come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The RST.
    pub seen: Seen,
    /// Its TTL.
    pub ttl: u8,
    /// Whether either end had sent a FIN.
    pub after_fin: bool,
    /// Whether the last data of its sender was a full segment, and not long ago: more was to come.
    pub cuts_data: bool,
    /// Bytes of the other end that its sender had not acknowledged, nor did with the RST.
    pub unacked: u64,
    /// Whether the last data before it came from the other end.
    pub peer_spoke_last: bool,
    /// The first packet of the same sender after it that is none, and has the TTL of those before it instead of the RST's.
    pub belied: Option<Seen>,
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
    /// Its first bytes of data; zeros behind what was captured of it.
    pub begins: [u8; 24],
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

/// An ICMP error that quotes a packet of no conversation of the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrayError {
    /// As of one that belongs to a conversation; `about` means nothing.
    pub error: IcmpError,
    /// Who is said to have sent the quoted packet.
    pub src: Endpoint,
    /// Where to.
    pub dst: Endpoint,
}

/// A box that reads as its default until something is written to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rare<T>(pub(super) Option<Box<T>>);

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Default> Rare<T> {
    /// To write to it.
    pub(super) fn get_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

macro_rules! reads_through {
    ($($outer:ident => $inner:ident;)*) => {$(
        impl std::ops::Deref for Rare<$inner> {
            type Target = $inner;
            #[inline]
            fn deref(&self) -> &$inner {
                static EMPTY: std::sync::LazyLock<$inner> = std::sync::LazyLock::new($inner::default);
                match &self.0 {
                    Some(inner) => inner,
                    None => &EMPTY,
                }
            }
        }
        impl std::ops::Deref for $outer {
            type Target = $inner;
            #[inline]
            fn deref(&self) -> &$inner {
                &self.rare
            }
        }
    )*};
}

reads_through! {
    Flow => FlowRare;
    Handshake => Opened;
    Side => Course;
}
