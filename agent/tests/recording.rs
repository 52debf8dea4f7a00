//! The real `dropscope` process, recording real packets in a network namespace of its own: killed, out of disk, followed.
//!
//! These need root; without it each says so in one line and passes, except where `CI` is set.

mod common;

use common::{Dropscope, LAST_FLUSH, Namespace, PATIENCE, can_run, length, read, tshark_counts, wait_until};
use dropscope_core::log::record::End;
use futures_util::StreamExt as _;
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

#[test]
fn a_recording_ended_by_ctrl_c_is_whole_and_tshark_counts_the_same() {
    if !can_run("a_recording_ended_by_ctrl_c_is_whole_and_tshark_counts_the_same") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new("whole");
    let mut dropscope =
        Dropscope::start(folder.path(), &["record", "--netns", &namespace.0, "-i", "lo", "-o", "a.pcapng", "udp"]);
    dropscope.hear("recording");
    let mut traffic = namespace.send_datagrams(100, Duration::from_micros(200));
    let file = folder.path().join("a.pcapng");
    wait_until("half a megabyte is written", || length(&file) > 500_000);
    traffic.stop();
    let sent = traffic.sent();
    assert!(dropscope.end().success());

    let bytes = std::fs::read(&file).unwrap();
    let found = read(&bytes);
    assert_eq!(found.end, None);
    assert_eq!((found.numbers.len(), found.is_without_gap()), (sent, true), "every datagram once, in order");
    assert_eq!(tshark_counts(&file), found.packets);
    assert_eq!(found.marks("recording_started"), ["Recording on lo began."]);
    assert_eq!(found.marks("recording_stopped").len(), 1);
    let last = found.statistics.last().unwrap();
    assert_eq!((last.delivered, last.os_dropped), (Some(u64::from(found.packets)), Some(0)));
    assert!(found.hosts > 0 && found.snapshots > 1, "{} hosts, {} snapshots", found.hosts, found.snapshots);
    dropscope.hear(&format!("{} packets on lo, 0 lost by the capture.", found.packets));
}

#[test]
fn a_recording_killed_mid_capture_opens_whole_up_to_the_last_flush() {
    if !can_run("a_recording_killed_mid_capture_opens_whole_up_to_the_last_flush") {
        return;
    }
    let namespace = Namespace::new("kill");
    for round in 1..=5 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pcapng");
        let mut dropscope =
            Dropscope::start(folder.path(), &["record", "--netns", &namespace.0, "-i", "lo", "-o", "a.pcapng", "udp"]);
        dropscope.hear("recording");
        let mut traffic = namespace.send_datagrams(300, Duration::from_micros(200));
        wait_until("a few flushes are written", || length(&file) > 400_000 * round);
        let killed_at = Instant::now();
        dropscope.signal(Signal::SIGKILL);
        dropscope.child.wait().unwrap();
        traffic.stop();

        let found = read(&std::fs::read(&file).unwrap());
        assert!(matches!(found.end, None | Some(End::CutShort { .. })), "{:?}", found.end);
        let sent = traffic.sent.lock().unwrap();
        let safe = sent.iter().filter(|at| **at + LAST_FLUSH < killed_at).count();
        let have = found.numbers.len();
        assert!(found.is_without_gap(), "nothing is missing in the middle");
        assert!(have >= safe, "{have} datagrams are there of {safe} that were sent a second before the kill");
        assert!(have > 100, "the kill came mid-capture: {have}");
        if found.end.is_none() {
            assert_eq!(tshark_counts(&file), found.packets);
        }
    }
}

#[test]
fn a_full_disk_is_waited_out_and_told() {
    if !can_run("a_full_disk_is_waited_out_and_told") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("small")).unwrap();
    let namespace = Namespace::new("full");
    // A disk of its own, seen by this process alone; three quarters of it are taken.
    let script = "mount -t tmpfs -o size=64m tmpfs small && head -c 60M /dev/zero > small/filler && exec \"$@\"";
    let mut dropscope = Dropscope::start_by(
        Command::new("unshare").args(["--mount", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_dropscope")]).args([
            "record",
            "--netns",
            &namespace.0,
            "-i",
            "lo",
            "-o",
            "small/a.pcapng",
            "udp",
        ]),
        folder.path(),
    );
    dropscope.hear("recording");
    let small = PathBuf::from(format!("/proc/{}/root", dropscope.child.id())).join(folder.path().strip_prefix("/").unwrap());
    let mut traffic = namespace.send_datagrams(20_000, Duration::from_micros(100));
    dropscope.hear("the log cannot be written");
    let stuck_at = traffic.sent();
    // More than the recorder keeps while it waits.
    wait_until("enough is sent to be left out", || traffic.sent() > stuck_at + 1500);
    std::fs::remove_file(small.join("small/filler")).unwrap();
    dropscope.hear("the log can be written again");
    let again_at = traffic.sent();
    wait_until("more comes", || traffic.sent() > again_at + 50);
    traffic.stop();
    // Kept before it goes, since its disk goes with it.
    let kept = std::fs::File::open(small.join("small/a.pcapng")).unwrap();
    assert_eq!(dropscope.end().code(), Some(1), "not everything is in it");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut &kept, &mut bytes).unwrap();

    let found = read(&bytes);
    assert_eq!(found.end, None, "not a byte of half a block");
    let lost = traffic.sent() - found.numbers.len();
    assert!(lost > 0, "the disk was full for long enough");
    assert!(found.numbers.is_sorted() && found.numbers.last() > Some(&(again_at as u64)), "it went on afterwards");
    assert_eq!(found.drop_count, lost as u64, "every packet that is missing is counted");
    let told = found.marks("capture_lost");
    assert!(told.iter().any(|text| text.contains(&format!("{lost} packets so far are not in it"))), "{told:?}");
    let check = folder.path().join("copy.pcapng");
    std::fs::write(&check, &bytes).unwrap();
    assert_eq!(tshark_counts(&check), found.packets);
}

#[test]
fn standard_output_takes_a_recording_and_its_reader_ends_it() {
    if !can_run("standard_output_takes_a_recording_and_its_reader_ends_it") {
        return;
    }
    let namespace = Namespace::new("pipe");
    let _traffic = namespace.send_datagrams(100, Duration::from_millis(1));
    let mut command = Command::new(env!("CARGO_BIN_EXE_dropscope"));
    let command = command.args(["record", "--netns", &namespace.0, "-i", "lo", "-o", "-", "udp"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // More than what describes the host and its counters.
    let mut bytes = vec![0; 200_000];
    std::io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut bytes).unwrap();
    // The pipe is closed now, as `head` does it.
    wait_until("the process ends", || child.try_wait().unwrap().is_some());
    let found = read(&bytes);
    assert!(found.packets > 50 && matches!(found.end, None | Some(End::CutShort { .. })), "{} {:?}", found.packets, found.end);
}

#[test]
fn what_cannot_be_captured_is_told_with_what_there_is() {
    if !can_run("what_cannot_be_captured_is_told_with_what_there_is") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new("told");
    let told = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dropscope")).current_dir(folder.path()).arg("record").args(args).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).trim().to_owned())
    };
    let in_it = ["--netns", namespace.0.as_str(), "-o", "x.pcapng"];
    let (status, text) = told(&[&in_it[..], &["-i", "eth7"]].concat());
    assert_eq!(status, Some(1));
    assert!(text.ends_with("there is no such interface; there are lo and any"), "{text}");
    let (status, text) = told(&[&in_it[..], &["-i", "lo", "port", "eighty-four"]].concat());
    assert_eq!(status, Some(1));
    assert!(text.contains("the filter `port eighty-four` is not understood"), "{text}");
    let (status, text) = told(&["--netns", "no-such-place", "-i", "lo"]);
    assert_eq!(status, Some(1));
    assert!(text.contains("there is no network namespace `no-such-place`"), "{text}");
    assert_eq!(told(&["--duration", "soon"]).0, Some(2));
    assert!(!folder.path().join("x.pcapng").exists(), "nothing is begun that cannot be captured");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_page_has_the_files_bytes_after_ten_cuts() {
    if !can_run("a_live_page_has_the_files_bytes_after_ten_cuts") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new("live");
    let args = ["live", "--netns", &namespace.0, "-i", "lo", "--port", "0", "-o", "a.pcapng", "udp"];
    let mut dropscope = Dropscope::start(folder.path(), &args);
    let link = dropscope.hear("http://").trim().to_owned();
    let (server, route) = link.strip_prefix("http://").unwrap().split_once("/#/c/").unwrap();
    let (id, token) = route.split_once("?k=").unwrap();
    let mut traffic = namespace.send_datagrams(500, Duration::from_micros(500));

    let mut have: Vec<u8> = Vec::new();
    for cut in 0..=10 {
        let mut request = format!("ws://{server}/api/captures/{id}/live?from={}", have.len()).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", format!("dropscope.v1, bearer.{token}").parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        if cut == 10 {
            traffic.stop();
            dropscope.signal(Signal::SIGINT);
        }
        let enough = have.len() + 30_000 * (cut + 1);
        let mut end = None;
        while end.is_none() && (cut == 10 || have.len() < enough) {
            match tokio::time::timeout(PATIENCE, socket.next()).await.expect("the server went silent").unwrap().unwrap() {
                Message::Binary(bytes) => have.extend_from_slice(&bytes),
                Message::Text(text) if text.contains("\"end\"") => end = Some(text),
                _ => {}
            }
        }
        assert_eq!(end.is_some(), cut == 10, "the end comes at the end: {end:?}");
    }
    dropscope.hear("bytes in");
    assert!(dropscope.child.wait().unwrap().success());
    let file = std::fs::read(folder.path().join("a.pcapng")).unwrap();
    assert!(have == file, "{} bytes came, {} are in the file", have.len(), file.len());
    let found = read(&file);
    assert_eq!((found.end, found.numbers.len()), (None, traffic.sent()));
}

#[test]
fn a_limit_of_file_sizes_is_told_and_kills_nothing() {
    if !can_run("a_limit_of_file_sizes_is_told_and_kills_nothing") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new("limit");
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -f 256 && exec \"$@\"", "bash", env!("CARGO_BIN_EXE_dropscope")]);
    command.args(["record", "--netns", &namespace.0, "-i", "lo", "-o", "a.pcapng", "--without", "kernel_drops", "udp"]);
    let mut dropscope = Dropscope::start_by(&mut command, folder.path());
    dropscope.hear("recording");
    let _traffic = namespace.send_datagrams(20_000, Duration::from_millis(1));
    dropscope.hear("the log cannot be written: File too large");
    assert_eq!(dropscope.end().code(), Some(1), "SIGXFSZ would end it without a word");
    let bytes = std::fs::read(folder.path().join("a.pcapng")).unwrap();
    assert_eq!(read(&bytes).end, None, "what is there is whole");
}

#[test]
fn metrics_that_the_network_can_read_are_warned_of() {
    if !can_run("metrics_that_the_network_can_read_are_warned_of") {
        return;
    }
    for (address, is_warned) in [("0.0.0.0:0", true), ("[::]:0", true), ("127.0.0.1:0", false), ("[::1]:0", false)] {
        let folder = tempfile::tempdir().unwrap();
        let namespace = Namespace::new("metrics");
        let args = ["record", "--netns", &namespace.0, "-i", "lo", "--metrics", address, "-o", "a.pcapng"];
        let mut dropscope = Dropscope::start(folder.path(), &args);
        dropscope.hear("metrics at http://");
        let warned = dropscope.heard.iter().any(|line| line.contains("whoever reaches this address reads them, without a token"));
        assert_eq!(warned, is_warned, "{address}: {:?}", dropscope.heard);
        assert!(dropscope.end().success());
    }
}
