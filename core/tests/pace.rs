//! Bytes in flight and round trips beside Wireshark's `tcp.analysis.bytes_in_flight` and `tcp.analysis.ack_rtt`, packet by packet.
//!
//! `data/pace.tsv` is what TShark 4.0.17 says (`-2`) of the captures in `data/labs`: file, frame, bytes in flight, round trip in
//! seconds.

use dropscope_core::dissect::{Transport, dissect};
use dropscope_core::flow::{FlowTable, Labels, Pace, Paced};
use dropscope_core::ids::FlowId;
use dropscope_core::log::Decoder;
use dropscope_core::log::record::Record;
use std::collections::{BTreeMap, BTreeSet};

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What we say of a capture.
#[derive(Default)]
struct Ours {
    /// Of each packet, by its number.
    told: BTreeMap<u32, (Paced, FlowId)>,
    /// Conversations in which something was sent again.
    repeats: BTreeSet<FlowId>,
}

fn ours(log: &[u8]) -> Ours {
    let mut scales = BTreeMap::new();
    let mut ours = Ours::default();
    // Twice: only at the end it is known how windows are scaled.
    for _ in 0..2 {
        let mut flows = FlowTable::default();
        let mut paces: BTreeMap<FlowId, Pace> = BTreeMap::new();
        ours = Ours::default();
        Decoder::new().push(log, |record| {
            let Record::Packet(packet) = record else { return };
            let dissected = dissect(packet.link_type, packet.data, packet.wire_len);
            let at = packet.time.unwrap_or_default();
            let seen = flows.observe(&dissected, packet.no, at, packet.interface, packet.wire_len);
            let (Transport::Tcp(segment), Some(flow), Some(direction)) = (&dissected.transport, seen.flow, seen.direction) else {
                return;
            };
            if seen.copy_of.is_none() {
                let pace = paces.entry(flow).or_insert_with(|| Pace::new(scales.get(&flow).copied().unwrap_or_default()));
                let again = seen.labels.any(Labels::RETRANSMISSION);
                ours.told.insert(packet.no.0, (pace.observe(direction, segment, at, again), flow));
                if again {
                    ours.repeats.insert(flow);
                }
            }
        });
        scales = flows.iter().map(|flow| (flow.id, flow.sides.each_ref().map(|side| side.window_scale))).collect();
    }
    ours
}

/// One line of what TShark says: frame, bytes in flight, round trip in nanoseconds.
fn theirs(line: &str) -> (u32, Option<u64>, Option<i64>) {
    let fields: Vec<&str> = line.split('\t').collect();
    let seconds: Option<f64> = fields[3].parse().ok();
    let frame = fields[1].parse().expect("a frame number");
    (frame, fields[2].parse().ok(), seconds.map(|seconds| (seconds * 1e9).round() as i64))
}

#[test]
fn bytes_in_flight_and_round_trips_are_those_of_wireshark() {
    let kept = std::fs::read_to_string(data("pace.tsv")).expect("a kept file");
    let (mut in_flight, mut round_trips, mut karn) = (0, 0, 0);
    let mut files: Vec<&str> = kept.lines().filter_map(|line| line.split('\t').next()).collect();
    files.dedup();
    for file in files {
        let log = std::fs::read(data(&format!("labs/{file}"))).expect("a kept file");
        let ours = ours(&log);
        for line in kept.lines().filter(|line| line.starts_with(&format!("{file}\t"))) {
            let (frame, bytes, rtt) = theirs(line);
            let Some((paced, flow)) = ours.told.get(&frame) else { continue };
            if let Some(bytes) = bytes {
                assert_eq!(paced.sent, Some(bytes), "{file} frame {frame}");
                in_flight += 1;
            }
            match (rtt, paced.rtt) {
                (Some(theirs), Some(ours)) => {
                    assert!((ours.get() - theirs).abs() <= 1, "{file} frame {frame}: {ours:?}, not {theirs} ns");
                    round_trips += 1;
                }
                // Karn's rule: where something was sent again, an acknowledgement tells no time.
                (Some(_), None) => {
                    assert!(ours.repeats.contains(flow), "{file} frame {frame}: no round trip");
                    karn += 1;
                }
                (None, _) => {}
            }
        }
    }
    assert_eq!((in_flight, round_trips, karn), (165, 240, 23));
}
