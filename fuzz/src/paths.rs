//! The fast path against the general path: whatever packets come, what is known in the end is the same, state for state.
//!
//! The first byte says on which link the packets are, and whether they are read in one go or in two halves; the rest is a list of
//! packets as the target `flow` has it.

use crate::flow::Course;
use crate::memory::{Bound, bounded};
use dropscope_core::dissect::Packet;
use dropscope_core::flow::{FlowTable, Observed};
use dropscope_core::ids::PacketNo;
use dropscope_core::log::Decoder;
use dropscope_core::recording::{Batch, Parser, Recording, Witness};
use dropscope_core::store::{Row, Store};

/// The first block of packets and of conversations, of two recordings.
const BOUND: Bound = Bound { base: 8 << 20, per_byte: 4_096 };
/// Packets of one input; more of them say nothing new.
const MOST: usize = 400;

/// Observes nothing.
struct Nobody;

impl Witness for Nobody {
    fn note(&mut self, _: &Packet<'_>, _: &Observed, _: &Row, _: &FlowTable, _: &Store) {}
}

/// See the module.
pub fn paths(input: &[u8]) {
    let Some((&how, input)) = input.split_first() else { return };
    bounded(BOUND, input.len(), || run(how, input));
}

fn run(how: u8, input: &[u8]) {
    let log = log(how, input);
    let mut general = Recording::without_fast_path();
    read(&mut general, &log);
    let mut fast = Recording::default();
    if how & 0x80 == 0 {
        read(&mut fast, &log)
    } else {
        read_in_halves(&mut fast, &log)
    }
    assert!(fast.flows == general.flows, "{:?}\n{:?}", fast.flows, general.flows);
    assert_eq!(fast.store.len(), general.store.len());
    for no in (1..=fast.store.len()).map(PacketNo) {
        assert_eq!(fast.store.get(no), general.store.get(no));
        assert_eq!(fast.store.judgement(no), general.store.judgement(no));
    }
    assert_eq!((fast.span, fast.wire_bytes), (general.span, general.wire_bytes));
}

fn read(recording: &mut Recording, log: &[u8]) {
    let mut decoder = Decoder::new();
    recording.read(&mut decoder, log, &mut Nobody);
    recording.finish(&mut decoder, &mut Nobody);
}

fn read_in_halves(recording: &mut Recording, log: &[u8]) {
    let (mut parser, mut batch) = (Parser::new(), Batch::default());
    parser.push(log, &mut batch);
    parser.finish(&mut batch);
    batch.enter(recording, &mut Nobody);
}

/// A pcapng file of two interfaces.
fn log(how: u8, input: &[u8]) -> Vec<u8> {
    // LINKTYPE_ values; and what stands before IPv4.
    let (link, header): (u16, &[u8]) = match how & 3 {
        0 => (101, &[]),
        1 => (1, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]),
        2 => (1, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0x20, 7, 8, 0]),
        _ => (113, &[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0]),
    };
    let mut log = Vec::with_capacity(4_096);
    block(&mut log, 0x0a0d_0d0a, &[&0x1a2b_3c4d_u32.to_le_bytes(), &[1, 0, 0, 0], &[0xff; 8]]);
    for _ in 0..2 {
        // Without a snapshot length; nanoseconds.
        block(&mut log, 1, &[&link.to_le_bytes(), &[0; 6], &[9, 0, 1, 0, 9, 0, 0, 0], &[0; 4]]);
    }
    let mut course = Course::new(input);
    for _ in 0..MOST {
        let Some((bytes, wire_len, interface)) = course.next() else { break };
        let mut data = header.to_vec();
        data.extend_from_slice(&bytes);
        if let (Some(kind), Some(0x60)) = (header.len().checked_sub(2), bytes.first().map(|first| first & 0xf0)) {
            data[kind..kind + 2].copy_from_slice(&[0x86, 0xdd]);
        }
        let (kept, wire_len) = (data.len() as u32, wire_len + header.len() as u32);
        data.resize(data.len().next_multiple_of(4), 0);
        let at = course.at as u64;
        let words = [interface.0, (at >> 32) as u32, at as u32, kept, wire_len].map(u32::to_le_bytes);
        block(&mut log, 6, &[words.as_flattened(), &data]);
    }
    log
}

fn block(log: &mut Vec<u8>, kind: u32, body: &[&[u8]]) {
    let length = 12 + body.iter().map(|part| part.len()).sum::<usize>() as u32;
    log.extend_from_slice(&kind.to_le_bytes());
    log.extend_from_slice(&length.to_le_bytes());
    body.iter().for_each(|part| log.extend_from_slice(part));
    log.extend_from_slice(&length.to_le_bytes());
}
