//! Every kept capture by each way of reading it: by the fast path, by the general path alone, and in two halves. All that is
//! known in the end is the same.
#![cfg(not(target_arch = "wasm32"))]

use dropscope_packets::dissect::Packet;
use dropscope_packets::flow::{FlowTable, Observed};
use dropscope_packets::ids::PacketNo;
use dropscope_packets::log::Decoder;
use dropscope_packets::recording::{Batch, Parser, Recording, Witness};
use dropscope_packets::store::{Row, Store};
use std::path::{Path, PathBuf};

/// Counts the packets that took the general path.
#[derive(Default)]
struct General(u32);

impl Witness for General {
    fn note(&mut self, _: &Packet<'_>, _: &Observed, _: &Row, _: &FlowTable, _: &Store) {
        self.0 += 1;
    }
}

/// Pieces of a prime length cut records anywhere.
const PIECE: usize = 4_099;

fn read(mut recording: Recording, log: &[u8]) -> (Recording, u32) {
    let (mut decoder, mut general) = (Decoder::new(), General::default());
    log.chunks(PIECE).for_each(|piece| recording.read(&mut decoder, piece, &mut general));
    recording.finish(&mut decoder, &mut general);
    (recording, general.0)
}

fn read_in_halves(log: &[u8]) -> (Recording, u32) {
    let (mut parser, mut batch) = (Parser::new(), Batch::default());
    let (mut recording, mut general) = (Recording::default(), General::default());
    for piece in log.chunks(PIECE) {
        parser.push(piece, &mut batch);
        batch.enter(&mut recording, &mut general);
    }
    parser.finish(&mut batch);
    batch.enter(&mut recording, &mut general);
    (recording, general.0)
}

#[track_caller]
fn same(one: &Recording, other: &Recording, what: &str) {
    assert_eq!(one.store.len(), other.store.len(), "{what}");
    for no in (1..=one.store.len()).map(PacketNo) {
        assert_eq!(one.store.get(no), other.store.get(no), "packet {no} of {what}");
        assert_eq!(one.store.judgement(no), other.store.judgement(no), "packet {no} of {what}");
    }
    assert!(one.flows == other.flows, "conversations of {what}: {:#?} and {:#?}", one.flows, other.flows);
    let sums = |recording: &Recording| format!("{:?}", (&recording.taps, recording.wire_bytes, recording.span));
    assert_eq!(sums(one), sums(other), "{what}");
    assert_eq!(one.store.tree().whole(), other.store.tree().whole(), "{what}");
    assert_eq!(one.store.disordered(), other.store.disordered(), "{what}");
}

fn captures(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder of kept captures can be listed") {
        let path = entry.expect("its entries, too").path();
        if path.is_dir() {
            captures(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng") {
            found.push(path);
        }
    }
}

#[test]
fn each_kept_capture_is_the_same_by_either_path_and_in_halves() {
    let mut found = Vec::new();
    captures(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data"), &mut found);
    let (mut packets, mut by_general_path) = (0, 0);
    for path in &found {
        let log = std::fs::read(path).expect("a kept capture can be read");
        let (fast, general) = read(Recording::default(), &log);
        let (slow, all) = read(Recording::without_fast_path(), &log);
        let name = path.display().to_string();
        same(&fast, &slow, &name);
        let (halves, as_many) = read_in_halves(&log);
        same(&halves, &slow, &format!("{name} in halves"));
        assert_eq!((general, all), (as_many, slow.store.len()), "{name}");
        packets += all;
        by_general_path += general;
    }
    // Most of these captures show trouble.
    assert!(
        found.len() > 10 && by_general_path * 4 < packets * 3,
        "{by_general_path} of {packets} packets took the general path"
    );
}
