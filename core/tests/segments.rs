//! Segments of one recording: each can be judged alone, and put one after the other they are one log.

use dropscope_core::log::block::{Catalogue, Counter, Host, Snapshot, Unit};
use dropscope_core::log::record::{Interface, Section, Segment, Statistics, Watched};
use dropscope_core::log::{Encoder, PacketToWrite};
use dropscope_core::query::{Answer, Engine, Overview, Query};
use dropscope_core::time::Timestamp;

/// What a segment of the tests says beside its head.
struct Told<'a> {
    recording: &'a str,
    number: u64,
    interface: &'a str,
    /// Number, key and value of each counter.
    counters: &'a [(u32, &'a str, u64)],
    /// Packets, and what the capture says it lost since it began.
    packets: u32,
    lost: u64,
}

fn segment(told: &Told<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let segment = Segment { recording: told.recording.into(), number: told.number };
    let mut encoder = Encoder::begin(&Section { comments: vec![segment.comment()], ..Section::default() }, &mut out);
    let at = told.number as i64 * 1_000_000_000;
    let interface = encoder.interface(
        &Interface {
            snaplen: 96,
            name: Some(told.interface.into()),
            comments: vec![Watched { netns: dropscope_core::ids::NetnsId(7), ifindex: 1 }.comment()],
            ..Interface::default()
        },
        &mut out,
    );
    let counter = |&(id, key, _): &(u32, &str, u64)| Counter {
        id,
        key: key.into(),
        unit: Unit::Packets,
        kernel_name: key.into(),
        source: "test".into(),
        netns: Some(7),
        ..Counter::default()
    };
    encoder.record(&Host { at_ns: at, boot_id: "b".into(), ..Host::default() }, &mut out).unwrap();
    encoder.record(&Catalogue { counters: told.counters.iter().map(counter).collect() }, &mut out).unwrap();
    let values = told.counters.iter().map(|(id, _, value)| (*id, *value)).collect();
    encoder.record(&Snapshot { at_ns: at, took_ns: 0, full: true, values }, &mut out).unwrap();
    for nth in 0..told.packets {
        let time = Timestamp::from_nanos(at + i64::from(nth));
        encoder.packet(&PacketToWrite { interface, time, wire_len: 60, data: &[0; 60], ..PacketToWrite::default() }, &mut out);
    }
    let statistics =
        Statistics { interface, time: Timestamp::from_nanos(at), os_dropped: Some(told.lost), ..Statistics::default() };
    encoder.statistics(&statistics, &mut out);
    out
}

fn read(log: &[u8]) -> (Overview, Vec<String>) {
    let mut engine = Engine::new();
    engine.push(log);
    engine.finish();
    let Answer::Counters(tables) = engine.ask(&Query::Counters { span: None }, &mut &log[..]) else {
        panic!("counters were asked for");
    };
    (engine.overview(), vec![format!("{tables:?}")])
}

const FIRST: Told<'_> =
    Told { recording: "a", number: 1, interface: "eth0", counters: &[(1, "nstat.A", 5), (2, "nstat.B", 9)], packets: 3, lost: 4 };

#[test]
fn an_interface_and_its_losses_go_on_from_segment_to_segment() {
    let second = segment(&Told { number: 2, lost: 6, ..FIRST });
    let log = [segment(&FIRST), second.clone()].concat();
    let (overview, _) = read(&log);
    let told: Vec<_> = overview.interfaces.iter().map(|one| (one.name.as_str(), one.packets, one.lost)).collect();
    assert_eq!(told, [("eth0", 6, 6)], "the second segment's count holds the first's");
    assert_eq!(overview.hosts.len(), 1);
    let (alone, _) = read(&second);
    let told: Vec<_> = alone.interfaces.iter().map(|one| (one.name.as_str(), one.packets, one.lost)).collect();
    assert_eq!(told, [("eth0", 3, 6)], "a segment alone");
}

#[test]
fn a_recorder_that_was_started_again_counts_its_losses_anew() {
    let log = [segment(&FIRST), segment(&Told { number: 2, lost: 1, ..FIRST })].concat();
    assert_eq!(read(&log).0.interfaces[0].lost, 5);
}

#[test]
fn an_interface_that_changed_and_one_of_another_recording_are_others() {
    let other_name = segment(&Told { number: 2, interface: "eth1", ..FIRST });
    let other_recording = segment(&Told { recording: "b", ..FIRST });
    let (overview, _) = read(&[segment(&FIRST), other_name, other_recording].concat());
    let told: Vec<_> = overview.interfaces.iter().map(|one| (one.name.as_str(), one.packets)).collect();
    assert_eq!(told, [("eth0", 3), ("eth1", 3), ("eth0", 3)]);
}

#[test]
fn a_counter_is_known_by_what_it_counts_whatever_its_number() {
    // After a restart the numbers may be dealt out otherwise.
    let second = Told { number: 2, counters: &[(1, "nstat.B", 10), (2, "nstat.A", 7), (3, "nstat.C", 1)], ..FIRST };
    let (_, joined) = read(&[segment(&FIRST), segment(&second)].concat());
    let same_numbers = Told { number: 2, counters: &[(1, "nstat.A", 7), (2, "nstat.B", 10), (3, "nstat.C", 1)], ..FIRST };
    let (_, expected) = read(&[segment(&FIRST), segment(&same_numbers)].concat());
    assert_eq!(joined, expected);
    assert!(joined[0].contains("nstat.C"), "{joined:?}");
}
