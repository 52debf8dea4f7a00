//! Any course of any conversations: segments with every flag, number, window and option, fragments, errors that quote, copies.
//!
//! The input is a list of packets in a form so short that a change of one byte changes one thing about one packet.

use crate::memory::{Bound, bounded};
use dropscope_core::counters::Counters;
use dropscope_core::dissect::{Transport, dissect};
use dropscope_core::drops::Drops;
use dropscope_core::exchange::Exchanges;
use dropscope_core::flow::{FlowTable, Reassembly};
use dropscope_core::ids::{InterfaceId, PacketNo};
use dropscope_core::rules::{View, judge};
use dropscope_core::time::Timestamp;

/// The first block of conversations; and a conversation with its state between packets for a few bytes.
const BOUND: Bound = Bound { base: 4 << 20, per_byte: 2_048 };
/// LINKTYPE_RAW: a packet that begins with its IP header.
const RAW: u32 = 101;
/// Packets of one input; more of them say nothing new.
const MOST: u32 = 400;

/// A list of packets; see [`Course::next`].
pub fn flow(input: &[u8]) {
    bounded(BOUND, input.len(), || run(input));
}

fn run(input: &[u8]) {
    let mut course = Course::new(input);
    let mut flows = FlowTable::default();
    let mut reassembly = Reassembly::default();
    let mut own = 0;
    for no in 1..=MOST {
        let Some((bytes, wire_len, interface)) = course.next() else { break };
        let (no, at) = (PacketNo(no), Timestamp::from_nanos(course.at));
        let mut packet = dissect(RAW, &bytes, wire_len);
        reassembly.complete_quoted(&mut packet, &bytes, at);
        let whole = reassembly.complete(&packet, &bytes, at);
        let packet = whole.as_deref().map_or(packet, |whole| dissect(RAW, whole, whole.len() as u32));
        let observed = flows.observe(&packet, no, at, interface, wire_len);
        if let Transport::Tcp(segment) = &packet.transport {
            let later = flows.hindsight(&observed, segment);
            assert_eq!(later.flow, observed.flow);
        }
        let Some(flow) = observed.flow else { continue };
        assert!(flow.0 < flows.len() && flows.get(flow).is_some_and(|flow| flow.first.no <= no));
        let quotes = matches!(&packet.transport, Transport::Icmp(icmp) if icmp.quote.is_some());
        own += u64::from(!quotes);
    }
    // An error that quotes belongs to the conversation it quotes, or, where there is none, makes one of its own.
    let counted: u64 = flows.iter().flat_map(|flow| &flow.sides).map(|side| u64::from(side.packets)).sum();
    assert!(counted >= own, "{own} packets were observed and {counted} counted");
    let judgement = judge(&View {
        flows: &flows,
        counters: &Counters::default(),
        drops: &[],
        joined: &Drops::default(),
        exchanges: &Exchanges::default(),
        interfaces: &[],
        marks: &[],
        watermark: Timestamp::from_nanos(course.at),
        packets: own,
        capture_lost: 0,
        capture_offered: 0,
    });
    for finding in &judgement.findings {
        assert!(!finding.evidence.is_empty() && !finding.reasons.is_empty(), "{finding:?}");
    }
}

/// Packets made from the input.
pub(crate) struct Course<'a> {
    input: &'a [u8],
    /// Nanoseconds since the Unix epoch.
    pub(crate) at: i64,
    /// The next sequence number of each side of four conversations.
    expected: [[u32; 2]; 4],
    /// The packet before, which may be copied or quoted.
    last: Vec<u8>,
}

impl<'a> Course<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0, expected: [[1_000, 5_000]; 4], last: Vec::new() }
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.input.split_first()?;
        self.input = rest;
        Some(byte)
    }

    /// The next packet with its length on the wire and where it was taken: a byte for conversation, direction, kind and
    /// interface; one for the time since the last, from 1 ns to an hour, or back; then what the kind needs.
    pub(crate) fn next(&mut self) -> Option<(Vec<u8>, u32, InterfaceId)> {
        let head = self.byte()?;
        let step = self.byte()?;
        let nanos = 1_i64 << (step & 0x3f).min(42);
        self.at = self.at.saturating_add(if step & 0x40 == 0 { nanos } else { -nanos });
        let (conversation, direction) = (usize::from(head & 3), usize::from(head >> 2 & 1));
        let interface = InterfaceId(u32::from(head >> 6 & 1));
        let bytes = match head >> 3 & 7 {
            0..=3 => self.segment(conversation, direction)?,
            4 => self.last.clone(),
            5 => self.error(conversation, direction)?,
            6 => self.fragment(conversation, direction)?,
            _ => {
                let len = usize::from(self.byte()?).min(self.input.len());
                let (bytes, rest) = self.input.split_at(len);
                self.input = rest;
                bytes.to_vec()
            }
        };
        self.last.clone_from(&bytes);
        let cut = if head & 0x80 == 0 { 0 } else { 40 };
        Some((bytes[..bytes.len() - cut.min(bytes.len())].to_vec(), bytes.len() as u32, interface))
    }

    /// A TCP segment: flags, a step from the expected sequence and acknowledgment numbers, length, window, options.
    fn segment(&mut self, conversation: usize, direction: usize) -> Option<Vec<u8>> {
        let (flags, seq, ack) = (self.byte()?, self.byte()?, self.byte()?);
        let (len, window, which) = (self.byte()?, self.byte()?, self.byte()?);
        // Small steps near zero; far ones, half the space of numbers among them, at the ends.
        let step = |byte: u8| match byte as i8 {
            near @ -64..=63 => i32::from(near) * 10,
            far => i32::from(far) << 24,
        };
        let next = self.expected[conversation][direction];
        let seq = next.wrapping_add_signed(step(seq));
        let ack = self.expected[conversation][1 - direction].wrapping_add_signed(step(ack));
        let len = if len < 250 { usize::from(len) * 10 } else { 1_460 * usize::from(len - 249) };
        let occupied = len as u32 + u32::from(flags & 1) + u32::from(flags >> 1 & 1);
        self.expected[conversation][direction] = next.max(seq.wrapping_add(occupied));

        let mut options = Vec::new();
        if which & 1 != 0 {
            options.extend_from_slice(&[2, 4, 5, 0xb4]);
        }
        if which & 2 != 0 {
            options.extend_from_slice(&[3, 3, which >> 4, 1]);
        }
        if which & 4 != 0 {
            options.extend_from_slice(&[1, 1, 8, 10]);
            options.extend_from_slice(&((self.at / 1_000_000) as u32).to_be_bytes());
            options.extend_from_slice(&u32::from(which).to_be_bytes());
        }
        if which & 8 != 0 {
            options.extend_from_slice(&[4, 2, 5, 10]);
            options.extend_from_slice(&ack.wrapping_add_signed(step(which)).to_be_bytes());
            options.extend_from_slice(&ack.wrapping_add(u32::from(window) * 10).to_be_bytes());
        }
        let mut tcp = Vec::with_capacity(20 + options.len() + len);
        let ports = [40_000 + conversation as u16, 80];
        tcp.extend_from_slice(&ports[direction].to_be_bytes());
        tcp.extend_from_slice(&ports[1 - direction].to_be_bytes());
        tcp.extend_from_slice(&seq.to_be_bytes());
        tcp.extend_from_slice(&ack.to_be_bytes());
        tcp.extend_from_slice(&[((5 + options.len() / 4) << 4) as u8, flags, window >> 4, window << 4, 0, 0, 0, 0]);
        tcp.extend_from_slice(&options);
        tcp.resize(tcp.len() + len, b'x');
        Some(ip(conversation, direction, 6, [0x40, 0], &tcp))
    }

    /// An ICMP error that quotes the packet before.
    fn error(&mut self, conversation: usize, direction: usize) -> Option<Vec<u8>> {
        let kinds = self.byte()?;
        let mut icmp = vec![kinds >> 4, kinds & 15, 0, 0, 0, 0, 2, 88];
        icmp.extend_from_slice(&self.last[..self.last.len().min(548)]);
        Some(ip(conversation, direction, 1, [0, 0], &icmp))
    }

    /// A fragment of a UDP datagram.
    fn fragment(&mut self, conversation: usize, direction: usize) -> Option<Vec<u8>> {
        let (place, len) = (self.byte()?, self.byte()?);
        let offset = u16::from(place & 0x7f) * 3;
        let [high, low] = (offset | if place & 0x80 == 0 { 0 } else { 0x2000 }).to_be_bytes();
        let mut udp = vec![0x9c, 0x40, 0, 53, 0, len, 0, 0];
        udp.resize(8 + usize::from(len), b'u');
        Some(ip(conversation, direction, 17, [high, low], &udp))
    }
}

/// An IP packet between the two hosts of a conversation; the last of them speaks IPv6.
fn ip(conversation: usize, direction: usize, protocol: u8, fragment: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let (from, to) = (1 + direction as u8, 2 - direction as u8);
    let mut packet = Vec::with_capacity(40 + payload.len());
    if conversation == 3 {
        packet.extend_from_slice(&[0x60, 0, 0, 0]);
        packet.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        packet.extend_from_slice(&[protocol, 64]);
        for host in [from, to] {
            packet.extend_from_slice(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
        }
    } else {
        packet.extend_from_slice(&[0x45, 0]);
        packet.extend_from_slice(&(20 + payload.len() as u16).to_be_bytes());
        packet.extend_from_slice(&[0, conversation as u8, fragment[0], fragment[1], 64, protocol, 0, 0]);
        packet.extend_from_slice(&[10, 0, 0, from, 10, 0, 0, to]);
    }
    packet.extend_from_slice(payload);
    packet
}
