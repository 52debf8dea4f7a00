//! Packets to conversations: handshake, relative numbers, missing bytes, and Wireshark's labels.
//!
//! Two things are kept apart: the *label* (`Labels`), which is `tcp.analysis` as Wireshark sets it, in its order and with its
//! conditions (`packet-tcp.c`, DIAGNOSIS section 3), and *our judgement*, which may differ and then says why.
//!
//! Conversations are told apart by protocol, addresses and ports, whatever the interface or VLAN, as Wireshark does by default.

use crate::dissect::{Icmp, Ip, Packet, Protocol, Quote, Transport};
use crate::ids::{Direction, FlowId, InterfaceId, PacketNo};
use crate::time::{Nanos, Timestamp};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

mod analysis;
#[cfg(test)]
mod cases;
mod cause;
mod conversation;
mod copies;
mod fast_path;
mod handshake;
mod judgement;
mod labels;
mod losses;
mod pace;
mod reassembly;
mod repair;
mod retrace;
#[cfg(test)]
pub(crate) mod script;
mod seq;
mod sizes;
mod table;
mod tally;
mod taps;
mod tcp;
mod unacked;

pub use cause::{Cause, Sign};
pub use conversation::*;
pub use judgement::{Evidence, Judgement, Verdict};
pub use labels::Labels;
pub use losses::Loss;
pub use pace::{Pace, Paced};
pub use reassembly::Reassembly;
pub use repair::Amended;
pub use retrace::{Retrace, Retraced};

pub(crate) use table::KeyHash;
use table::{Conversations, Key};
pub(crate) use tcp::Taken;
use tcp::Tcp;

/// ICMP errors kept of one conversation.
const MOST_ICMP_ERRORS: usize = 8;
/// TCP conversations whose state between packets is kept; the quietest beyond that keep their facts alone.
const MOST_ACTIVE: usize = 1 << 19;

/// Conversations told apart. What is kept of one is seldom less than 400 bytes, and a flood with forged senders makes one with each
/// packet: a browser's tab has 4 GiB.
const MOST_CONVERSATIONS: u32 = 6 << 20;

/// ICMP errors kept that quote a packet of no conversation.
const MOST_STRAY_ERRORS: usize = 256;

/// Conversations known by a quote alone whose numbers are kept.
const MOST_QUOTED: usize = 1 << 16;

/// Every conversation of a log.
#[derive(Debug, PartialEq)]
pub struct FlowTable {
    conversations: Conversations,
    most: u32,
    /// State between packets, by `FlowId`; only TCP has any.
    tcp: Vec<Option<Box<Tcp>>>,
    /// TCP conversations with state, roughly the quietest first.
    active: VecDeque<(FlowId, Timestamp)>,
    streams: [u32; 9],
    /// Numbers of conversations of which only an ICMP error has quoted a packet so far: Wireshark counts them, too.
    quoted: FxHashMap<(Protocol, Endpoint, Endpoint), u32>,
    stray_errors: Vec<StrayError>,
    evicted: u64,
    beyond: u64,
    /// What the latest packet proved of earlier ones.
    amended: Vec<Amended>,
}

impl Default for FlowTable {
    fn default() -> Self {
        Self::of_at_most(MOST_CONVERSATIONS)
    }
}

/// What a packet means for its conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Its conversation; an ICMP error belongs to the one it quotes a packet of. `None` without IP, and for fragments whose
    /// transport is not known.
    pub flow: Option<FlowId>,
    /// Its direction there.
    pub direction: Option<Direction>,
    /// Wireshark's labels.
    pub labels: Labels,
    /// Relative sequence number of a TCP segment.
    pub seq: Option<u64>,
    /// Relative acknowledgment number.
    pub ack: Option<u64>,
    /// The window in bytes, scaled where the handshake told by how much: `tcp.window_size`.
    pub window: Option<u32>,
    /// The how manieth duplicate ACK in a row: `tcp.analysis.duplicate_ack_num`.
    pub duplicate_ack: Option<u32>,
    /// Since the segment that is sent again here: `tcp.analysis.rto`.
    pub rto: Option<Nanos>,
    /// Whether Wireshark shows its analysis of sequence numbers here, with `tcp.analysis.initial_rtt` among it (the value is
    /// `Handshake::rtt`, which may become known only later).
    pub shows_analysis: bool,
    /// What relative number 0 of the other direction stands for: SACK edges are told relative to it.
    pub peer_base: Option<u32>,
    /// The packet of which this is a second copy, taken elsewhere.
    pub copy_of: Option<PacketNo>,
    /// What we hold it to be, where a label or a copy asks.
    pub judgement: Option<Judgement>,
}

impl FlowTable {
    fn of_at_most(most: u32) -> Self {
        Self {
            conversations: Conversations::default(),
            most,
            tcp: Vec::new(),
            active: VecDeque::new(),
            streams: [0; 9],
            quoted: FxHashMap::default(),
            stray_errors: Vec::new(),
            evicted: 0,
            beyond: 0,
            amended: Vec::new(),
        }
    }

    /// One conversation.
    pub fn get(&self, id: FlowId) -> Option<&Flow> {
        self.conversations.get(id)
    }

    /// All conversations, in order of first appearance.
    pub fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.conversations.iter()
    }

    /// ICMP errors that quote a packet of no conversation that had been seen by then; the first 256.
    pub fn stray_errors(&self) -> &[StrayError] {
        &self.stray_errors
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.conversations.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Judgements on earlier packets that the latest packet corrected, in the order of those proofs. The next packet clears
    /// them.
    pub fn amended(&self) -> &[Amended] {
        &self.amended
    }

    /// Conversations whose state was given up to stay within bounds: their later packets are judged as if seen anew.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Packets of conversations beyond the first six million, which belong to none.
    pub const fn beyond(&self) -> u64 {
        self.beyond
    }

    /// What Wireshark shows of a TCP segment in its second pass over a capture, when the whole conversation is known: labels,
    /// window and what SACK edges are relative to may differ from what `observe` said of it.
    pub fn hindsight(&self, observed: &Observed, segment: &crate::dissect::Tcp<'_>) -> Observed {
        let (Some(flow), Some(direction)) = (observed.flow, observed.direction) else { return *observed };
        let Some(tcp) = self.tcp.get(flow.0 as usize).and_then(Option::as_ref) else { return *observed };
        let mut later = *observed;
        later.labels.add(tcp.analysis.hindsight(direction, segment.flags, segment.seq));
        later.window = Some(tcp.analysis.window(direction, segment.flags, segment.window));
        later.peer_base = tcp.analysis.half(direction.reverse()).base;
        later
    }

    /// Enters a packet. Packets come in the order of the log. A fragment says nothing of a conversation: what completes its
    /// datagram is entered in its place (see [`Reassembly`]).
    pub fn observe(
        &mut self,
        packet: &Packet<'_>,
        no: PacketNo,
        at: Timestamp,
        interface: InterfaceId,
        wire_len: u32,
    ) -> Observed {
        self.observe_hashed(packet, None, no, at, interface, wire_len)
    }

    /// The same where `key_hash` of the packet may be known already.
    pub(crate) fn observe_hashed(
        &mut self,
        packet: &Packet<'_>,
        hash: Option<KeyHash>,
        no: PacketNo,
        at: Timestamp,
        interface: InterfaceId,
        wire_len: u32,
    ) -> Observed {
        self.amended.clear();
        let Some(ip) = &packet.ip else { return Observed::default() };
        let taken = Taken { seen: Seen { no, at }, interface };
        if let Transport::Icmp(icmp) = &packet.transport
            && let Some(quote) = &icmp.quote
        {
            if let Some(observed) = self.join_icmp_error(ip, icmp, quote, taken) {
                return observed;
            }
            self.number_quoted(quote);
            self.note_stray_error(ip, icmp, quote, taken.seen);
        }
        if ip.fragment.is_some() {
            return Observed::default();
        }
        let Some((key, payload)) = key_of(ip, &packet.transport) else { return Observed::default() };
        let hash = hash.unwrap_or_else(|| key.hash());
        let Some((id, direction)) = self.conversation(&key, hash, &packet.transport, taken) else {
            self.beyond += 1;
            return Observed::default();
        };
        if matches!(packet.transport, Transport::Tcp(_)) && self.tcp[id.0 as usize].is_none() {
            self.begin_state(id, at);
        }
        let Some(flow) = self.conversations.get_mut(id) else { return Observed::default() };
        flow.note_latest(taken.seen);
        if interface != flow.interface {
            flow.rare.get_mut().note_elsewhere(interface, direction);
        }
        flow.sides[direction.index()].count(wire_len, payload, ip.total_len, ip.dont_fragment == Some(true));
        match (&packet.transport, &mut self.tcp[id.0 as usize]) {
            (Transport::Tcp(header), Some(state)) => state.observe(flow, direction, ip, header, taken, &mut self.amended),
            _ => Observed { flow: Some(id), direction: Some(direction), ..Observed::default() },
        }
    }

    /// The conversation of a packet, made if it is new and there is room.
    fn conversation(&mut self, key: &Key, hash: KeyHash, transport: &Transport<'_>, taken: Taken) -> Option<(FlowId, Direction)> {
        use crate::dissect::TcpFlags;
        let syn = match transport {
            Transport::Tcp(header) if header.flags.has(TcpFlags::SYN) => Some(header.flags.has(TcpFlags::ACK)),
            _ => None,
        };
        let found = self.conversations.find(key, hash);
        let mut reopened = false;
        if let Some((id, direction)) = found {
            if let (Transport::Tcp(header), Some(false)) = (transport, syn) {
                let state = self.tcp[id.0 as usize].as_ref();
                reopened = state.is_some_and(|tcp| tcp.analysis.is_new_life(direction, header.seq));
            }
            if !reopened {
                return found;
            }
        }
        if self.conversations.len() >= self.most {
            return found;
        }
        // A SYN-ACK is sent by the server.
        let direction = if syn == Some(true) { Direction::BToA } else { Direction::AToB };
        let (client, server) = match direction {
            Direction::AToB => (key.from, key.to),
            Direction::BToA => (key.to, key.from),
        };
        let number = self.number_of(key);
        let id = self.conversations.insert(key, hash, |id| Flow {
            id,
            transport: key.transport,
            stream: number,
            client,
            server,
            echo: key.echo,
            client_known: syn.is_some(),
            reopened,
            interface: taken.interface,
            first: taken.seen,
            last: taken.seen,
            handshake: Handshake::default(),
            completeness: 0,
            sides: Default::default(),
            rare: Default::default(),
        });
        self.tcp.push(None);
        Some((id, direction))
    }

    /// The number of a new conversation: the next, or what it was given when it was only quoted.
    fn number_of(&mut self, key: &Key) -> u32 {
        if !self.quoted.is_empty()
            && let Some(number) = self.quoted.remove(&both_ways(key))
        {
            return number;
        }
        self.next_number(key.transport)
    }

    fn next_number(&mut self, transport: Protocol) -> u32 {
        let next = &mut self.streams[transport as usize];
        let number = *next;
        *next += 1;
        number
    }

    /// Numbers the conversation of a packet that is quoted and was not seen.
    #[cold]
    fn number_quoted(&mut self, quote: &Quote) {
        let Some(key) = key_quoted(quote).filter(|_| quote.is_numbered && self.quoted.len() < MOST_QUOTED) else { return };
        if !self.quoted.contains_key(&both_ways(&key)) {
            let number = self.next_number(key.transport);
            self.quoted.insert(both_ways(&key), number);
        }
    }

    #[cold]
    fn note_stray_error(&mut self, ip: &Ip, icmp: &Icmp<'_>, quote: &Quote, seen: Seen) {
        let Some(key) = key_quoted(quote).filter(|_| self.stray_errors.len() < MOST_STRAY_ERRORS) else { return };
        let error = IcmpError::new(ip, icmp, seen, Direction::AToB);
        self.stray_errors.push(StrayError { error, src: key.from, dst: key.to });
    }

    fn join_icmp_error(&mut self, ip: &Ip, icmp: &Icmp<'_>, quote: &Quote, taken: Taken) -> Option<Observed> {
        let key = key_quoted(quote)?;
        let (id, about) = self.conversations.find(&key, key.hash())?;
        let flow = self.conversations.get_mut(id)?;
        let rare = flow.rare.get_mut();
        if rare.note_icmp_error(taken.interface) && rare.icmp_errors.len() < MOST_ICMP_ERRORS {
            rare.icmp_errors.push(IcmpError::new(ip, icmp, taken.seen, about));
        }
        Some(Observed { flow: Some(id), direction: Some(about.reverse()), ..Observed::default() })
    }

    /// Begins to keep the state of a conversation; that of the quietest is given up where it would be one too many.
    #[cold]
    fn begin_state(&mut self, new: FlowId, at: Timestamp) {
        while self.active.len() >= MOST_ACTIVE {
            let Some((id, since)) = self.active.pop_front() else { break };
            let last = self.get(id).map_or(since, |flow| flow.last.at);
            if last > since {
                self.active.push_back((id, last));
                continue;
            }
            self.tcp[id.0 as usize] = None;
            self.evicted += 1;
        }
        self.active.push_back((new, at));
        self.tcp[new.0 as usize] = Some(Box::default());
    }
}

impl IcmpError {
    const fn new(ip: &Ip, icmp: &Icmp<'_>, seen: Seen, about: Direction) -> Self {
        Self { seen, from: ip.src, protocol: icmp.protocol, kind: icmp.kind, code: icmp.code, mtu: icmp.mtu, about }
    }

    /// Whether a router says that a packet is too large for its next link: "fragmentation needed" (RFC 1191) or "packet too
    /// big" (RFC 4443, section 3.2).
    pub fn is_too_big(&self) -> bool {
        matches!((self.protocol, self.kind, self.code), (Protocol::Icmp, 3, 4) | (Protocol::Icmpv6, 2, _))
    }
}

/// What the conversation of a quoted packet is told by.
fn key_quoted(quote: &Quote) -> Option<Key> {
    let (from, to) = quote.ports.unwrap_or((0, 0));
    Some(Key {
        transport: quote.transport?,
        from: Endpoint { address: quote.src, port: from },
        to: Endpoint { address: quote.dst, port: to },
        echo: quote.echo,
    })
}

/// The same for both directions.
fn both_ways(key: &Key) -> (Protocol, Endpoint, Endpoint) {
    (key.transport, key.from.min(key.to), key.from.max(key.to))
}

/// What a packet's conversation is told by, and its bytes of payload.
#[inline]
fn key_of(ip: &Ip, transport: &Transport<'_>) -> Option<(Key, u32)> {
    let key = |transport, from, to, echo| Key {
        transport,
        from: Endpoint { address: ip.src, port: from },
        to: Endpoint { address: ip.dst, port: to },
        echo,
    };
    let above_ip = ip.total_len.saturating_sub(ip.payload_offset.saturating_sub(ip.offset));
    Some(match transport {
        Transport::Tcp(tcp) => (key(Protocol::Tcp, tcp.src, tcp.dst, None), tcp.payload_len),
        Transport::Udp(udp) => (key(udp.protocol, udp.src, udp.dst, None), udp.payload_len),
        Transport::Icmp(icmp) => {
            (key(icmp.protocol, 0, 0, icmp.echo.map(|(identifier, _)| identifier)), above_ip.saturating_sub(8))
        }
        // Cut before the end of its window: no number can be believed to place it, and Wireshark begins no stream either.
        Transport::Ports { protocol: Protocol::Tcp, .. } => return None,
        Transport::Ports { protocol, src, dst } => (key(*protocol, *src, *dst, None), above_ip),
        Transport::Other(protocol) => (key(*protocol, 0, 0, None), above_ip),
        Transport::None => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::dissect;

    /// UDP from a port, on raw IP.
    fn udp(port: u16) -> [u8; 28] {
        let mut bytes =
            *b"\x45\x00\x00\x1c\x00\x01\x00\x00\x40\x11\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02\x00\x00\x00\x35\x00\x08\x00\x00";
        bytes[20..22].copy_from_slice(&port.to_be_bytes());
        bytes
    }

    fn observe(table: &mut FlowTable, no: u32, bytes: &[u8]) -> Option<u32> {
        let packet = dissect(101, bytes, bytes.len() as u32);
        let observed = table.observe(&packet, PacketNo(no), Timestamp::from_nanos(no.into()), InterfaceId(0), bytes.len() as u32);
        observed.flow.map(|flow| flow.0)
    }

    fn from_port(table: &mut FlowTable, no: u32, port: u16) -> Option<u32> {
        observe(table, no, &udp(port))
    }

    /// As TShark counts: a packet that is only quoted takes a number, and its conversation has that number when it is seen.
    #[test]
    fn a_conversation_that_an_error_quotes_first_is_numbered_then() {
        let unreachable = |quoted: &[u8]| {
            let mut bytes = *b"\x45\x00\x00\x38\x00\x01\x00\x00\x40\x01\x00\x00\x0a\x00\x00\x02\x0a\x00\x00\x01\x03\x03\x00\x00\x00\x00\x00\x00";
            bytes[3] = 28 + quoted.len() as u8;
            [&bytes, quoted].concat()
        };
        let mut table = FlowTable::default();
        assert_eq!(observe(&mut table, 1, &unreachable(&udp(7))), Some(0), "a conversation of ICMP");
        // Again, and one of which too little is quoted.
        observe(&mut table, 2, &unreachable(&udp(7)));
        observe(&mut table, 3, &unreachable(&udp(8)[..24]));
        for (no, port) in [(4, 9), (5, 7), (6, 10)] {
            from_port(&mut table, no, port);
        }
        let numbers = |table: &FlowTable| {
            table.iter().filter(|flow| flow.transport == Protocol::Udp).map(|flow| flow.stream).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&table), [1, 0, 2]);
    }

    #[test]
    fn conversations_beyond_the_most_are_counted_and_those_before_go_on() {
        let mut table = FlowTable::of_at_most(2);
        let flows = [1, 2, 3, 1, 4, 3].map(|port| from_port(&mut table, u32::from(port), port));
        assert_eq!(flows, [Some(0), Some(1), None, Some(0), None, None]);
        assert_eq!((table.len(), table.beyond()), (2, 3));
        assert_eq!(table.iter().map(|flow| flow.side(Direction::AToB).packets).collect::<Vec<_>>(), [2, 1]);
    }
}
