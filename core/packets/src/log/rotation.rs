//! Which of several files go on from each other: one capture that was written into a new file every so often.
//!
//! What is put together is read as one capture, so a wrong pair would make numbers wrong, while a pair that was missed costs a
//! click. Two files belong together when they begin with the same bytes up to their first packet (so with the same link type,
//! interfaces and program), the first ends with a whole record, the second begins no earlier than the first ended, and either
//! their names count on (`tcpdump -C` and `-W`, the ring buffer of dumpcap) or nearly no time lies between them. Files that
//! overlap in time never do: two capture points are two captures.

use super::pcapng::{ENHANCED_PACKET, SECTION_HEADER};
use super::record::{Record, Segment};
use super::{Decoder, MAX_PACKET_LEN};
use crate::time::Timestamp;

/// Bytes that are looked at from the beginning of a file.
pub const HEAD: usize = 64 << 10;
/// Bytes that are looked at from its end: the longest packet and the one before it.
pub const TAIL: usize = 2 * MAX_PACKET_LEN as usize + 4096;
/// The most time between two files whose names do not say that they go on from each other, in nanoseconds.
const PAUSE: i64 = 1_000_000_000;
/// Packets are not always stamped in the order in which they are written: this much the second may begin earlier, in nanoseconds.
const DISORDER: i64 = 10_000_000;

/// What is known of a file without reading all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The name, without its folder.
    name: String,
    /// The bytes before the first packet; empty for what is no plain capture.
    header: Vec<u8>,
    /// Which segment of a recording of ours it is.
    segment: Option<Segment>,
    first: Option<Timestamp>,
    /// `None` where the end is not known, or lies within a record.
    last: Option<Timestamp>,
}

/// A file's place in a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which of the files.
    pub file: usize,
    /// Bytes at its beginning that stood in the file before it, too: with these left out, the files put together are one valid
    /// capture.
    pub skip: usize,
}

impl Outline {
    /// The outline of a file: its name, the first [`HEAD`] of its bytes and the last [`TAIL`], or all of them.
    pub fn read(name: &str, head: &[u8], tail: &[u8]) -> Self {
        let mut outline = Self { name: name.rsplit(['/', '\\']).next().unwrap_or(name).to_owned(), ..Self::default() };
        let mut see = |record: Record<'_>| match record {
            Record::Section(section) if outline.segment.is_none() => outline.segment = section.segment(),
            Record::Packet(packet) if outline.first.is_none() => outline.first = packet.time,
            _ => {}
        };
        let mut decoder = Decoder::new();
        decoder.push(head, &mut see);
        // A short file is read only now; that a longer one is cut here is known.
        let _ = decoder.finish(&mut see);
        let end = match head.first_chunk::<4>().map(|magic| u32::from_le_bytes(*magic)) {
            Some(SECTION_HEADER) => blocks_before_packets(head),
            Some(0xa1b2_c3d4 | 0xa1b2_3c4d | 0xd4c3_b2a1 | 0x4d3c_b2a1) if head.len() >= PCAP_HEADER => Some(PCAP_HEADER),
            _ => None,
        };
        if let (Some(end), true) = (end, outline.first.is_some()) {
            outline.header = head[..end].to_vec();
            outline.last = last_time(&outline.header, tail);
        }
        outline
    }

    /// Whether `next` goes on where this one ends.
    fn goes_on_in(&self, next: &Self) -> bool {
        if let (Some(one), Some(other)) = (&self.segment, &next.segment) {
            return one.recording == other.recording && one.number < other.number;
        }
        let (Some(last), Some(first)) = (self.last, next.first) else { return false };
        if self.segment.is_some() || next.segment.is_some() || self.header.is_empty() || self.header != next.header {
            return false;
        }
        let pause = (first - last).get();
        let counts_on = match (counted(&self.name), counted(&next.name)) {
            (Some((one, n)), Some((other, m))) => one == other && n.checked_add(1) == Some(m),
            _ => false,
        };
        pause >= -DISORDER && (counts_on || pause <= PAUSE)
    }
}

/// Puts files that go on from each other together; each other file is a capture of its own. The captures are in the order in which
/// the first of their files was given.
pub fn captures(files: &[Outline]) -> Vec<Vec<Part>> {
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|&file| {
        let Outline { segment, first, name, .. } = &files[file];
        (segment.as_ref().map(|segment| segment.number), *first, counted(name).map(|(_, number)| number), file)
    });
    let mut captures: Vec<Vec<Part>> = Vec::new();
    for file in order {
        let going_on =
            captures.iter_mut().find(|parts| parts.last().is_some_and(|last| files[last.file].goes_on_in(&files[file])));
        match going_on {
            // A segment of ours is read as one; its header says that it goes on.
            Some(parts) => {
                let skip = if files[file].segment.is_some() { 0 } else { files[file].header.len() };
                parts.push(Part { file, skip });
            }
            None => captures.push(vec![Part { file, skip: 0 }]),
        }
    }
    captures.sort_by_key(|parts| parts.iter().map(|part| part.file).min());
    captures
}

/// What a name has beside its number, and the number: `cap.pcap` and `cap.pcap12` of `tcpdump -C`, `cap_00012_20261130143000.pcapng`
/// and `cap_20261130143000_00012.pcapng` of dumpcap. `None` for a name that does not count.
fn counted(name: &str) -> Option<(String, u64)> {
    const EXTENSIONS: [&str; 7] = ["pcap", "pcapng", "cap", "dmp", "dump", "trace", "ntar"];
    let (stem, extension) = name.rsplit_once('.')?;
    let kind = extension.trim_end_matches(|c: char| c.is_ascii_digit());
    if !EXTENSIONS.contains(&kind.to_ascii_lowercase().as_str()) {
        return None;
    }
    let digits = &extension[kind.len()..];
    if !digits.is_empty() {
        return Some((format!("{stem}.{kind}"), digits.parse().ok()?));
    }
    let mut words = stem.rsplitn(3, '_');
    let (last, before, rest) = (words.next()?, words.next(), words.next());
    let number = |word: &str, length: std::ops::RangeInclusive<usize>| {
        let is_one = length.contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
        is_one.then(|| word.parse::<u64>().ok()).flatten()
    };
    if let (Some(before), Some(rest)) = (before, rest) {
        let counter = match (number(before, 5..=9), number(last, 14..=14)) {
            (Some(counter), Some(_)) => Some(counter),
            _ => number(before, 14..=14).and(number(last, 5..=9)),
        };
        if let Some(counter) = counter {
            return Some((format!("{rest}.{kind}"), counter));
        }
    }
    // The first file of `tcpdump -C` has no number.
    Some((name.to_owned(), 0))
}

const PCAP_HEADER: usize = 24;
const PCAP_RECORD: usize = 16;

/// Where the first packet's block begins: behind the section's header and its interfaces.
fn blocks_before_packets(head: &[u8]) -> Option<usize> {
    let mut at = 0;
    let little = head.get(8..12)? == super::pcapng::BYTE_ORDER_MAGIC.to_le_bytes();
    loop {
        let (kind, length) = (word(head, at, little)?, word(head, at + 4, little)? as usize);
        // What we add ourselves, and names, may stand between them.
        if kind == ENHANCED_PACKET || kind == 2 || kind == 3 {
            return Some(at);
        }
        if length < 12 || length % 4 != 0 {
            return None;
        }
        at = at.checked_add(length)?;
    }
}

/// The time of the last packet, if the file ends behind a whole record.
fn last_time(header: &[u8], tail: &[u8]) -> Option<Timestamp> {
    let is_pcap = header.len() == PCAP_HEADER;
    let last = if is_pcap { last_of_pcap(header, tail)? } else { last_of_pcapng(header, tail)? };
    let (mut decoder, mut time) = (Decoder::new(), None);
    let mut see = |record: Record<'_>| {
        if let Record::Packet(packet) = record {
            time = packet.time;
        }
    };
    decoder.push(header, &mut see);
    decoder.push(&tail[last..], &mut see);
    decoder.finish(&mut see).ok()?;
    time
}

/// The last packet's block: each block says its length again at its end.
fn last_of_pcapng(header: &[u8], tail: &[u8]) -> Option<usize> {
    let little = header.get(8..12)? == super::pcapng::BYTE_ORDER_MAGIC.to_le_bytes();
    let mut end = tail.len();
    loop {
        let length = word(tail, end.checked_sub(4)?, little)? as usize;
        let at = end.checked_sub(length).filter(|_| length >= 12 && length.is_multiple_of(4))?;
        if word(tail, at + 4, little)? as usize != length {
            return None;
        }
        if word(tail, at, little)? == ENHANCED_PACKET {
            // Only it: what follows it was read here.
            return (decodes(header, &tail[at..end])).then_some(at);
        }
        end = at;
    }
}

fn decodes(header: &[u8], block: &[u8]) -> bool {
    let mut decoder = Decoder::new();
    decoder.push(header, |_| {});
    decoder.push(block, |_| {});
    decoder.packets() == 1
}

/// The last record: the first place in the tail from which records follow each other to the very end tells where records begin.
fn last_of_pcap(header: &[u8], tail: &[u8]) -> Option<usize> {
    let little = header[0] == 0xd4 || header[0] == 0x4d;
    let nanoseconds = matches!(header[..4], [0x4d, 0x3c, ..] | [0xa1, 0xb2, 0x3c, ..]);
    let ticks = if nanoseconds { 1_000_000_000 } else { 1_000_000 };
    let record = |at: usize| -> Option<usize> {
        let [part, kept, wire] = [word(tail, at + 4, little)?, word(tail, at + 8, little)?, word(tail, at + 12, little)?];
        let end = (at + PCAP_RECORD).checked_add(kept as usize)?;
        (part < ticks && kept <= MAX_PACKET_LEN && kept <= wire && wire <= 4 * MAX_PACKET_LEN && end <= tail.len()).then_some(end)
    };
    // A small file comes whole, with its header.
    let starts = if tail.starts_with(header) { PCAP_HEADER..PCAP_HEADER + 1 } else { 0..tail.len() };
    // How many records follow each other from a place to the very end; from behind, so that each place is looked at once.
    let mut records = vec![0_u32; tail.len() + 1];
    for at in (starts.start..tail.len()).rev() {
        records[at] = match record(at) {
            Some(end) if end == tail.len() => 1,
            Some(end) if records[end] > 0 => records[end] + 1,
            _ => 0,
        };
    }
    // One that fits alone may be chance.
    let mut at = starts.into_iter().find(|&start| records[start] > 1 || (records[start] == 1 && start == PCAP_HEADER))?;
    while records[at] > 1 {
        at = record(at)?;
    }
    Some(at)
}

fn word(bytes: &[u8], at: usize, little: bool) -> Option<u32> {
    let word = *bytes.get(at..)?.first_chunk::<4>()?;
    Some(if little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) })
}

#[cfg(test)]
mod tests;
