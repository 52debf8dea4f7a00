//! The least that anything which analyses TCP must do: read pcap records, parse Ethernet, IPv4 and TCP, find the
//! conversation, compare sequence numbers, count. What Dropscope takes beyond this buys the analysis.
//!
//! It reads only what the benchmarks' generator writes (little-endian pcap of Ethernet and IPv4); anything else is skipped.

use foldhash::fast::FixedState;
use std::collections::HashMap;
use wasm_bindgen::prelude::wasm_bindgen;

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// Both directions of a conversation: the smaller end first.
type Key = [(u32, u16); 2];

/// The loop, fed with pieces of a file.
#[wasm_bindgen]
#[derive(Default)]
pub struct Bare {
    /// What is left of the last piece: less than one record.
    rest: Vec<u8>,
    begun: bool,
    next: HashMap<Key, [Option<u32>; 2], FixedState>,
    packets: u64,
    sent_again: u64,
}

#[wasm_bindgen]
impl Bare {
    /// A loop that has read nothing.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the file, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        // The record that the last piece cut is made whole; the others are read where they lie.
        if !self.rest.is_empty() {
            let mut rest = std::mem::take(&mut self.rest);
            while let Some(missing) = self.missing(&rest) {
                let Some((head, tail)) = bytes.split_at_checked(missing) else { break };
                rest.extend_from_slice(head);
                bytes = tail;
            }
            if self.missing(&rest).is_some() {
                rest.extend_from_slice(bytes);
                self.rest = rest;
                return;
            }
            self.whole(&rest);
        }
        let left = self.whole(bytes);
        self.rest.extend_from_slice(&bytes[bytes.len() - left..]);
    }

    /// Packets read.
    pub fn packets(&self) -> f64 {
        self.packets as f64
    }

    /// Segments whose bytes had been sent before.
    pub fn sent_again(&self) -> f64 {
        self.sent_again as f64
    }
}

impl Bare {
    /// How many bytes `rest` lacks to the end of its header, or of its record; `None` if it is whole.
    fn missing(&self, rest: &[u8]) -> Option<usize> {
        let header = if self.begun { RECORD_HEADER } else { FILE_HEADER };
        let whole = match rest.get(8..12) {
            Some(length) if self.begun && rest.len() >= header => header + le(length),
            _ => header,
        };
        whole.checked_sub(rest.len()).filter(|missing| *missing > 0)
    }

    /// Reads the whole records at the beginning of `bytes`; returns how many bytes are left.
    fn whole(&mut self, mut bytes: &[u8]) -> usize {
        if !self.begun {
            let Some(rest) = bytes.get(FILE_HEADER..) else { return bytes.len() };
            self.begun = true;
            bytes = rest;
        }
        while let Some(header) = bytes.get(..RECORD_HEADER) {
            let end = RECORD_HEADER + le(&header[8..12]);
            let Some(frame) = bytes.get(RECORD_HEADER..end) else { break };
            self.frame(frame);
            bytes = &bytes[end..];
        }
        bytes.len()
    }

    fn frame(&mut self, frame: &[u8]) {
        self.packets += 1;
        let Some([0x08, 0x00]) = frame.get(12..14) else { return };
        let Some(ip) = frame.get(14..).filter(|ip| ip.len() >= 20 && ip[0] >> 4 == 4 && ip[9] == 6) else { return };
        let (header, total) = (usize::from(ip[0] & 15) * 4, usize::from(u16::from_be_bytes([ip[2], ip[3]])));
        let Some(tcp) = ip.get(header..total).filter(|tcp| tcp.len() >= 20) else { return };
        let payload = tcp.len().saturating_sub(usize::from(tcp[12] >> 4) * 4) as u32;
        let end = |address: &[u8], port: &[u8]| (be(address), u16::from_be_bytes([port[0], port[1]]));
        let (from, to) = (end(&ip[12..16], &tcp[0..2]), end(&ip[16..20], &tcp[2..4]));
        let direction = usize::from(from > to);
        let key = if direction == 0 { [from, to] } else { [to, from] };
        let seq = be(&tcp[4..8]);
        let after = seq.wrapping_add(payload + u32::from(tcp[13] & 3 != 0));
        let next = &mut self.next.entry(key).or_default()[direction];
        match *next {
            Some(expected) if (after.wrapping_sub(expected) as i32) <= 0 => {
                self.sent_again += u64::from(after != seq);
            }
            _ => *next = Some(after),
        }
    }
}

fn le(bytes: &[u8]) -> usize {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
}

fn be(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One record with a TCP segment of `payload` bytes at `seq`.
    fn record(seq: u32, payload: usize) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0]);
        frame.extend(((40 + payload) as u16).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 1, 0]);
        frame.extend(seq.to_be_bytes());
        frame.extend([0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
        frame.extend(vec![7; payload]);
        let length = (frame.len() as u32).to_le_bytes();
        [&[0; 8][..], &length, &length, &frame].concat()
    }

    #[test]
    fn what_it_counts_does_not_depend_on_how_the_file_is_cut() {
        let file = [vec![0; 24], record(1, 100), record(101, 100), record(101, 100), record(201, 0)].concat();
        for piece in 1..file.len() {
            let mut bare = Bare::new();
            file.chunks(piece).for_each(|bytes| bare.push(bytes));
            assert_eq!((bare.packets, bare.sent_again), (4, 1), "cut into pieces of {piece}");
        }
    }
}
