//! Segments by the real `dropscope` process: killed at random again and again, kept within bounds, on a disk that is too small.
//!
//! These need root; without it each says so in one line and passes, except where `CI` is set.

mod common;

use common::{Dropscope, Namespace, can_run, length, read, tshark_counts, wait_until};
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How often the recorder is killed.
const KILLS: usize = 100;

/// The segments in a folder, in order.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let items = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|item| item.path());
    let mut files: Vec<PathBuf> =
        items.filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit())).collect();
    files.sort();
    files.retain(|path| path.is_file());
    files
}

fn total(folder: &Path) -> u64 {
    segments(folder).iter().map(|file| length(file)).sum()
}

/// A hundred kills, each after a random number of bytes, all into one folder: after each the next recorder closes what was cut
/// and goes on, and in the end every segment opens in tshark and holds what the decoder says.
#[test]
fn a_hundred_kills_leave_segments_that_all_open() {
    if !can_run("a_hundred_kills_leave_segments_that_all_open") {
        return;
    }
    let seed = std::env::var("DROPSCOPE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_122);
    eprintln!("seed {seed} (DROPSCOPE_SEED)");
    let mut random = common::Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new("kills");
    let _traffic = namespace.send_datagrams(400, Duration::from_micros(100));
    let log = folder.path().join("log");
    let args = ["record", "--netns", &namespace.0, "-i", "lo", "-o", "log", "--keep", "1G", "--segment-size", "80K"];
    let args = [&args[..], &["--without", "kernel_drops", "udp"]].concat();
    for _ in 0..KILLS {
        let before = total(&log);
        let enough = random.below(80_000);
        let mut dropscope = Dropscope::start(folder.path(), &args);
        wait_until("enough is written", || total(&log) > before + enough);
        dropscope.signal(Signal::SIGKILL);
        dropscope.child.wait().unwrap();
    }
    let mut last = Dropscope::start(folder.path(), &args);
    last.hear("recording");
    let killed = segments(&log).len();
    wait_until("one more segment is there", || segments(&log).len() > killed);
    assert!(last.end().success());

    let files = segments(&log);
    assert!(files.len() > KILLS, "{} segments", files.len());
    let numbers: Vec<u64> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()[..8].parse().unwrap()).collect();
    assert!(numbers.iter().copied().eq(1..=files.len() as u64), "no segment is missing: {numbers:?}");
    let mut packets = 0;
    let mut whole = Vec::new();
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        let found = read(&bytes);
        assert_eq!(found.end, None, "{}", file.display());
        assert!(found.hosts > 0, "{} can be judged alone", file.display());
        packets += found.packets;
        whole.extend(bytes);
    }
    assert!(packets as usize > KILLS);
    // Each by itself, two at a time, and all of them as one file.
    std::thread::scope(|scope| {
        for half in [0, 1] {
            let files = files.iter().skip(half).step_by(2);
            scope.spawn(move || {
                files.for_each(|file| assert_eq!(tshark_counts(file), read(&std::fs::read(file).unwrap()).packets))
            });
        }
    });
    let joined = folder.path().join("joined.pcapng");
    std::fs::write(&joined, &whole).unwrap();
    assert_eq!((tshark_counts(&joined), read(&whole).packets), (packets, packets));
    let check = Command::new(env!("CARGO_BIN_EXE_dropscope")).args(["check", "--json"]).arg(&log).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(report["captures"][0]["packets"], packets, "the folder is read as one capture");
    assert_eq!(report["captures"][0]["interfaces"], serde_json::json!(["lo"]), "of one interface");
}

#[test]
fn a_full_disk_costs_the_oldest_segments_and_is_told() {
    if !can_run("a_full_disk_costs_the_oldest_segments_and_is_told") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("small")).unwrap();
    let namespace = Namespace::new("small");
    // A disk of its own, seen by this process alone, smaller than what is to be kept.
    let script = "mount -t tmpfs -o size=8m tmpfs small && exec \"$@\"";
    let args = ["record", "--netns", &namespace.0, "-i", "lo", "-o", "small/log", "--keep", "1G", "--segment-size", "1M"];
    let mut dropscope = Dropscope::start_by(
        Command::new("unshare").args(["--mount", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_dropscope")]).args(args).args([
            "--without",
            "kernel_drops",
            "udp",
        ]),
        folder.path(),
    );
    dropscope.hear("recording");
    let small = PathBuf::from(format!("/proc/{}/root", dropscope.child.id()))
        .join(folder.path().strip_prefix("/").unwrap())
        .join("small/log");
    let mut traffic = namespace.send_datagrams(20_000, Duration::from_micros(300));
    dropscope.hear("No space left on device");
    let told_at = segments(&small).pop().unwrap();
    wait_until("three more segments are written", || {
        segments(&small).pop().is_some_and(|last| number(&last) > number(&told_at) + 3)
    });
    traffic.stop();
    let sent = traffic.sent();
    wait_until("the last datagram is on the disk", || {
        let bytes: Vec<u8> = segments(&small).iter().flat_map(|file| std::fs::read(file).unwrap_or_default()).collect();
        read(&bytes).numbers.last().is_some_and(|last| *last + 1 == sent as u64)
    });
    let bytes: Vec<u8> = segments(&small).iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
    let found = read(&bytes);
    assert_eq!(found.end, None);
    let first = found.numbers[0];
    assert!(first > 0, "the oldest gave way");
    assert!(found.numbers.iter().copied().eq(first..sent as u64), "nothing but the oldest is missing");
    assert_eq!(found.drop_count, 0, "no packet was lost");
    let told = found.marks("data_discarded");
    assert!(told.iter().all(|text| text.contains("No space left on device") && text.contains("was removed")), "{told:?}");
    assert!(!told.is_empty());
    assert!(dropscope.end().success());
}

fn number(segment: &Path) -> u64 {
    segment.file_name().unwrap().to_str().unwrap()[..8].parse().unwrap()
}

#[test]
fn a_trigger_on_a_counter_keeps_the_time_around_it_and_is_in_the_log() {
    if !can_run("a_trigger_on_a_counter_keeps_the_time_around_it_and_is_in_the_log") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new("trigger");
    let args = ["record", "--netns", &namespace.0, "-i", "lo", "-o", "log", "--keep", "300K", "--segment-size", "50K"];
    let more = ["--trigger", "nstat.UdpNoPorts>20/s", "--trigger", "finding:rejected", "--without", "kernel_drops"];
    let mut dropscope = Dropscope::start(folder.path(), &[&args[..], &more].concat());
    dropscope.hear("recording");
    let _traffic = namespace.send_datagrams(200, Duration::from_micros(500));
    // Whichever comes first freezes; the other makes the freeze go on.
    let mut said = [dropscope.hear("Trigger "), dropscope.hear("Trigger ")];
    said.sort_by_key(|line| !line.contains(" are kept in "));
    assert!(said.iter().any(|line| line.contains("Trigger nstat.UdpNoPorts>20/s: nstat.UdpNoPorts grew by ")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("Trigger finding:rejected: ")), "{said:?}");
    let said = &said[0];
    let frozen = PathBuf::from(said.split(" are kept in ").nth(1).unwrap().trim_end_matches('.'));
    let frozen = folder.path().join(frozen);
    let first = segments(&frozen).remove(0);
    wait_until("the first segment is no longer among those that are kept", || {
        !folder.path().join("log").join(first.file_name().unwrap()).exists()
    });
    let bytes = std::fs::read(&first).unwrap();
    assert_eq!(read(&bytes).end, None, "a frozen segment is whole");
    assert!(dropscope.end().success());
    let marks: Vec<u8> = segments(&frozen).iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
    let marks = read(&marks);
    assert!(marks.marks("trigger").iter().any(|text| text.contains("nstat.UdpNoPorts>20/s")), "{:?}", marks.marks);

    let wrong =
        ["record", "--netns", &namespace.0, "-i", "lo", "-o", "log", "--keep", "300K", "--trigger", "nstat.UdpNoPort>1/s"];
    let output = Command::new(env!("CARGO_BIN_EXE_dropscope")).current_dir(folder.path()).args(wrong).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("nstat.UdpNoPorts"), "{text}");
}
