//! What is kept of each packet, as the allocator counts it: at most 32 bytes over a long capture, the conversations apart.
//!
//! Counted is what the whole recording holds more after the later packets than before them, so that a list growing beside the
//! columns counts, too. The capture goes on in conversations that are there already: what these take is no matter of packets.
#![cfg(not(target_arch = "wasm32"))]
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait; it hands everything on as it is")]

use dropscope_packets::dissect::Packet;
use dropscope_packets::flow::{FlowTable, Observed};
use dropscope_packets::log::Decoder;
use dropscope_packets::recording::{Recording, Witness};
use dropscope_packets::store::{Row, Store};
use etherparse::PacketBuilder;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes this thread holds.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it is; counting touches only a plain cell of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Looks at nothing.
struct Nobody;

impl Witness for Nobody {
    fn note(&mut self, _: &Packet<'_>, _: &Observed, _: &Row, _: &FlowTable, _: &Store) {}
}

/// The columns grow by so many packets. The sums over them double until their first block is full: counted is from one power
/// of two to another, where neither has room to spare, so that the figure is that of the long run.
const BLOCK: u32 = 1 << 14;
/// Bytes of payload of each segment and datagram.
const PAYLOAD: [u8; 1_000] = [0; 1_000];

/// A pcap file's header: microseconds, little-endian, Ethernet.
fn header() -> Vec<u8> {
    let words = [0xa1b2_c3d4_u32, 2 | 4 << 16, 0, 0, 65_535, 1];
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// The record of packet `n`, from 0: of four, a segment, its ACK, a datagram and its answer.
fn record(n: u32) -> Vec<u8> {
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let step = n % 4;
    let (from, to) = if step.is_multiple_of(2) { (client, server) } else { (server, client) };
    let ip = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv4(from, to, 64);
    let sent = (n / 4).wrapping_mul(PAYLOAD.len() as u32);
    let mut data = Vec::new();
    let written = match step {
        0 => ip.tcp(40_000, 80, sent, 60_000).ack(1).write(&mut data, &PAYLOAD),
        1 => ip.tcp(80, 40_000, 1, 60_000).ack(sent.wrapping_add(PAYLOAD.len() as u32)).write(&mut data, &[]),
        2 => ip.udp(40_001, 4_500).write(&mut data, &PAYLOAD),
        _ => ip.udp(4_500, 40_001).write(&mut data, &PAYLOAD),
    };
    written.expect("a list of bytes takes every packet");
    let at = n * 100;
    let words = [1_700_000_000 + at / 1_000_000, at % 1_000_000, data.len() as u32, data.len() as u32];
    words.into_iter().flat_map(u32::to_le_bytes).chain(data).collect()
}

#[test]
fn a_packet_takes_at_most_32_bytes_whatever_it_carries() {
    let (mut recording, mut decoder) = (Recording::default(), Decoder::default());
    recording.read(&mut decoder, &header(), &mut Nobody);
    let mut go_on = |packets: std::ops::Range<u32>| {
        packets.for_each(|n| recording.read(&mut decoder, &record(n), &mut Nobody));
        (HELD.get(), recording.store.len(), recording.flows.len())
    };
    let (before, first, flows) = go_on(0..2 * BLOCK);
    let (after, last, flows_after) = go_on(2 * BLOCK..16 * BLOCK);
    assert_eq!((first, last, flows, flows_after), (2 * BLOCK, 16 * BLOCK, 2, 2));
    let each = (after - before) as f64 / f64::from(last - first);
    assert!((24.0..=32.0).contains(&each), "{each:.2} bytes a packet");
}
