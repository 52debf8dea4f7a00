//! Seeded captures for benchmarks: web-like TCP conversations with loss, the same bytes for the same seed and size.
//!
//! Each conversation is a handshake, a few requests with answers of several segments, and a close. One in two hundred segments
//! is lost behind the capture point, which shows as duplicate ACKs with SACK and a fast retransmission. The first conversation
//! is the reference fault: its request never reaches the capture, its FIN does.

use anyhow::{Context, Result};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// What a capture holds.
pub(crate) struct Shape {
    /// What its file is called.
    pub name: &'static str,
    /// Conversations open at a time.
    pub concurrent: u64,
    /// How many packets, whatever the size.
    pub packets: Option<u64>,
    /// What the conversations do.
    pub kind: Kind,
}

/// What a conversation does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// A few requests with answers, then the close.
    Web,
    /// Requests without end.
    Endless,
    /// A SYN that nobody answers, of an address and port of its own.
    Scan,
}

/// Writes a pcap file (nanoseconds) of at least `bytes` bytes, or of the shape's number of packets, and returns how many
/// packets it holds.
pub(crate) fn capture(path: &Path, bytes: u64, seed: u64, shape: &Shape) -> Result<u64> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let header = [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 1];
    for word in header {
        out.write_all(&word.to_le_bytes())?;
    }
    let mut random = Random(seed);
    let mut waiting: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
    let mut open: Vec<Option<Conversation>> = Vec::new();
    let (mut written, mut packets, mut begun) = (24_u64, 0_u64, 0_u64);
    let mut frame = Vec::with_capacity(2048);
    let begin = |number: u64, random: &mut Random| Conversation::new(number, shape.kind, random);
    for _ in 0..shape.concurrent {
        waiting.push(Reverse((begun * 300_000, begun)));
        open.push(Some(begin(begun, &mut random)));
        begun += 1;
    }
    while shape.packets.map_or(written < bytes, |wanted| packets < wanted) {
        let Reverse((at, slot)) = waiting.pop().context("no conversation left")?;
        let index = (slot as usize) % open.len();
        let next = open[index].as_mut().and_then(|conversation| conversation.next(at, &mut random, &mut frame));
        match next {
            Some(after) => {
                let length = frame.len() as u32;
                let record = [(START + at / 1_000_000_000) as u32, (at % 1_000_000_000) as u32, length, length];
                for word in record {
                    out.write_all(&word.to_le_bytes())?;
                }
                out.write_all(&frame)?;
                written += 16 + u64::from(length);
                packets += 1;
                waiting.push(Reverse((at + after, slot)));
            }
            None => {
                open[index] = Some(begin(begun, &mut random));
                begun += 1;
                waiting.push(Reverse((at + 50_000 + random.below(2_000_000), slot)));
            }
        }
    }
    out.flush()?;
    Ok(packets)
}

/// 2026-01-01 00:00:00 UTC.
const START: u64 = 1_767_225_600;
const MSS: u32 = 1448;

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Syn,
    SynAck,
    Ack,
    Request,
    RequestAck,
    Data,
    DataAck,
    /// A duplicate ACK with SACK; how many are still to come.
    Duplicate(u8),
    Resend,
    Fin,
    FinAck,
    LastAck,
    Done,
}

/// One conversation and how far it has come.
struct Conversation {
    number: u64,
    kind: Kind,
    client: [u8; 4],
    port: u16,
    /// Next raw sequence numbers of client and server.
    seq: [u32; 2],
    isn: [u32; 2],
    step: Step,
    rtt: u64,
    requests: u32,
    segments: u32,
    /// A lost segment's sequence number.
    lost: Option<u32>,
    ids: [u16; 2],
}

const SYN: u8 = 2;
const FIN: u8 = 1;
const PSH: u8 = 8;
const ACK: u8 = 16;

impl Conversation {
    fn new(number: u64, kind: Kind, random: &mut Random) -> Self {
        let isn = [random.next() as u32, random.next() as u32];
        Self {
            number,
            kind,
            client: [10, (number >> 14) as u8, (number >> 6) as u8, (number % 64) as u8 + 1],
            port: 1024 + (random.below(60_000) as u16),
            seq: isn,
            isn,
            step: Step::Syn,
            rtt: 200_000 + random.below(40_000_000),
            requests: if kind == Kind::Endless { u32::MAX } else { 1 + random.below(4) as u32 },
            segments: 0,
            lost: None,
            ids: [random.next() as u16, random.next() as u16],
        }
    }

    /// Writes the next frame into `frame` and says after how many nanoseconds the one after it comes.
    fn next(&mut self, at: u64, random: &mut Random, frame: &mut Vec<u8>) -> Option<u64> {
        let half = self.rtt / 2;
        let clock = (at / 1_000_000) as u32;
        let (from_server, flags, length, after, next, sack) = match self.step {
            Step::Syn if self.kind == Kind::Scan => (false, SYN, 0, 0, Step::Done, None),
            Step::Syn => (false, SYN, 0, half, Step::SynAck, None),
            Step::SynAck => (true, SYN | ACK, 0, half, Step::Ack, None),
            // The reference fault: the first conversation's request is lost before the capture, its FIN comes within the
            // first 16 MiB.
            Step::Ack if self.number == 0 && self.kind == Kind::Web => (false, ACK, 0, 300_000_000, Step::Fin, None),
            Step::Ack => (false, ACK, 0, 100_000, Step::Request, None),
            Step::Request => (false, PSH | ACK, 75 + random.below(700) as u32, half, Step::RequestAck, None),
            Step::RequestAck => {
                self.segments = 1 + random.below(12) as u32;
                (true, ACK, 0, 500_000 + random.below(5_000_000), Step::Data, None)
            }
            Step::Data => {
                self.segments -= 1;
                let length = if self.segments == 0 { 1 + random.below(u64::from(MSS)) as u32 } else { MSS };
                if self.lost.is_none() && self.segments > 4 && random.below(200) == 0 {
                    self.lost = Some(self.seq[1]);
                }
                let next = if self.lost.is_some() { Step::Data } else { Step::DataAck };
                let next = if self.lost.is_some() && self.segments <= 1 { Step::Duplicate(3) } else { next };
                (true, if self.segments == 0 { PSH | ACK } else { ACK }, length, 12_000, next, None)
            }
            Step::DataAck if self.segments > 0 => (false, ACK, 0, half, Step::Data, None),
            Step::DataAck => {
                self.requests -= 1;
                let (after, next) =
                    if self.requests == 0 { (1_000_000, Step::Fin) } else { (random.below(20_000_000), Step::Request) };
                (false, ACK, 0, after, next, None)
            }
            Step::Duplicate(left) => {
                let next = if left > 1 { Step::Duplicate(left - 1) } else { Step::Resend };
                let lost = self.lost.unwrap_or_default();
                let right = lost.wrapping_add(MSS * (1 + u32::from(4 - left)));
                (false, ACK, 0, if left > 1 { 12_000 } else { half }, next, Some((lost.wrapping_add(MSS), right)))
            }
            Step::Resend => (true, ACK, MSS, half, Step::DataAck, None),
            Step::Fin => (false, FIN | ACK, 0, half, Step::FinAck, None),
            Step::FinAck => (true, FIN | ACK, 0, half, Step::LastAck, None),
            Step::LastAck => (false, ACK, 0, 0, Step::Done, None),
            Step::Done => return None,
        };
        // What the reference fault's FIN stands behind.
        if self.number == 0 && self.step == Step::Fin {
            self.seq[0] = self.seq[0].wrapping_add(75);
        }
        let seq = match (self.step, self.lost) {
            (Step::Resend, Some(lost)) => lost,
            _ => self.seq[usize::from(from_server)],
        };
        // A receiver acknowledges what came before the hole, while there is one.
        let ack = match (from_server, self.lost) {
            (false, Some(lost)) if self.step != Step::Resend => lost,
            (true, _) if self.number == 0 && self.step == Step::FinAck => self.isn[0].wrapping_add(1),
            _ => self.seq[usize::from(!from_server)],
        };
        self.frame(frame, from_server, flags, seq, ack, length, clock, sack);
        if self.step == Step::Resend {
            self.lost = None;
        } else {
            let advance = length + u32::from(flags & (SYN | FIN) != 0);
            self.seq[usize::from(from_server)] = self.seq[usize::from(from_server)].wrapping_add(advance);
        }
        self.step = next;
        Some(after.max(1_000))
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one TCP segment")]
    fn frame(
        &mut self,
        out: &mut Vec<u8>,
        from_server: bool,
        flags: u8,
        seq: u32,
        ack: u32,
        length: u32,
        clock: u32,
        sack: Option<(u32, u32)>,
    ) {
        const SERVER: [u8; 4] = [172, 17, 0, 2];
        let mut options: Vec<u8> = Vec::with_capacity(32);
        if flags & SYN != 0 {
            options.extend([2, 4, (1460_u16 >> 8) as u8, (1460_u16 & 0xff) as u8, 4, 2]);
        } else {
            options.extend([1, 1]);
        }
        options.extend([8, 10]);
        options.extend(clock.to_be_bytes());
        options.extend(clock.saturating_sub(20).to_be_bytes());
        if flags & SYN != 0 {
            options.extend([1, 3, 3, 7]);
        }
        if let Some((left, right)) = sack {
            options.extend([1, 1, 5, 10]);
            options.extend(left.to_be_bytes());
            options.extend(right.to_be_bytes());
        }
        let header = 20 + options.len();
        let total = 20 + header + length as usize;
        let (source, destination) = if from_server { (SERVER, self.client) } else { (self.client, SERVER) };
        let (source_port, destination_port) = if from_server { (80, self.port) } else { (self.port, 80) };
        out.clear();
        out.extend([2, 0, 0, 0, 0, 1 + u8::from(!from_server), 2, 0, 0, 0, 0, 1 + u8::from(from_server), 8, 0]);
        let id = &mut self.ids[usize::from(from_server)];
        *id = id.wrapping_add(1);
        out.extend([0x45, 0]);
        out.extend((total as u16).to_be_bytes());
        out.extend(id.to_be_bytes());
        out.extend([0x40, 0, 64, 6, 0, 0]);
        out.extend(source);
        out.extend(destination);
        let checksum = fold(sum(&out[14..34]));
        out[24..26].copy_from_slice(&checksum.to_be_bytes());
        out.extend(source_port.to_be_bytes());
        out.extend(destination_port.to_be_bytes());
        out.extend(seq.to_be_bytes());
        out.extend(if flags & ACK != 0 { ack } else { 0 }.to_be_bytes());
        out.extend([(header as u8 / 4) << 4, flags, 0x01, 0xf5, 0, 0, 0, 0]);
        out.extend(&options);
        let pattern = b"the quick brown fox jumps over the lazy dog 0123456789 ";
        out.extend(pattern.iter().copied().cycle().take(length as usize));
        let pseudo = sum(&source) + sum(&destination) + 6 + (header as u32 + length);
        let checksum = fold(pseudo + sum(&out[34..]));
        out[50..52].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The one's complement sum of 16-bit words (RFC 1071), not yet folded.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low))).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
