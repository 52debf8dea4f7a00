//! The real `dropscope` process, recording real packets in a network namespace of its own: killed, out of disk, followed.
//!
//! These need root; without it each says so in one line and passes, except where `CI` is set.

use dropscope_agent::source::Target;
use dropscope_core::log::Decoder;
use dropscope_core::log::block::Mark;
use dropscope_core::log::record::{End, Record, Statistics};
use futures_util::StreamExt as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// How long anything may take before a test is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a kill may cost at most.
const LAST_FLUSH: Duration = Duration::from_secs(1);

/// Whether the test can run; says why not.
fn can_run(test: &str) -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{test} needs root");
    eprintln!("{test}: skipped, it makes network namespaces and needs root");
    false
}

/// A namespace with nothing but a loopback interface.
struct Namespace(String);

impl Namespace {
    fn new(test: &str) -> Self {
        let name = format!("dsrec-{test}-{}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Self(name);
        run(Command::new("ip").args(["-n", &namespace.0, "link", "set", "lo", "up"]));
        namespace
    }

    /// Sends numbered datagrams of `size` bytes from inside until told to end, and keeps when each was sent.
    fn send_datagrams(&self, size: usize, pause: Duration) -> Traffic {
        let target = Target::resolve(&self.0).expect("the namespace was just made");
        let (stop, stopped) = channel::<()>();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&sent);
        let thread = target
            .spawn("traffic", move || {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is up");
                let mut datagram = vec![0; size];
                while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(pause) {
                    let mut log = log.lock().expect("nobody panics holding it");
                    datagram[..8].copy_from_slice(&(log.len() as u64).to_be_bytes());
                    // Nobody listens there: the refusal that comes back is no error of the test.
                    let _ = socket.send_to(&datagram, "127.0.0.1:9");
                    log.push(Instant::now());
                }
            })
            .expect("the namespace can be entered");
        Traffic { stop: Some(stop), thread: Some(thread), sent }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

struct Traffic {
    stop: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    sent: Arc<Mutex<Vec<Instant>>>,
}

impl Traffic {
    fn sent(&self) -> usize {
        self.sent.lock().expect("nobody panics holding it").len()
    }

    fn stop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the traffic ended well");
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A `dropscope` process with what it says.
struct Dropscope {
    child: Child,
    said: Receiver<String>,
    heard: Vec<String>,
}

impl Dropscope {
    fn start(folder: &Path, args: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_dropscope")).args(args), folder)
    }

    fn start_by(command: &mut Command, folder: &Path) -> Self {
        let command = command.current_dir(folder).env("DROPSCOPE_DATA", folder.join("data"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        let (say, said) = channel();
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let also_say = say.clone();
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| say.send(line)));
        std::thread::spawn(move || BufReader::new(err).lines().map_while(Result::ok).try_for_each(|line| also_say.send(line)));
        Self { child, said, heard: Vec::new() }
    }

    /// Waits until it says something with `words` in it.
    fn hear(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.said.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("it never said `{words}`; it said {:?}", self.heard));
            self.heard.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    /// Asks it to end and waits for that; what it answered.
    fn end(&mut self) -> std::process::ExitStatus {
        self.signal(Signal::SIGINT);
        self.child.wait().expect("it is a child of this process")
    }
}

impl Drop for Dropscope {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What stands in a log.
#[derive(Default)]
struct Read {
    packets: u32,
    /// Numbers of the datagrams, in the order of the log.
    numbers: Vec<u64>,
    drop_count: u64,
    marks: Vec<Mark>,
    statistics: Vec<Statistics>,
    hosts: usize,
    snapshots: usize,
    end: Option<End>,
}

fn read(bytes: &[u8]) -> Read {
    let mut found = Read::default();
    let mut decoder = Decoder::new();
    let mut take = |record: Record<'_>| match record {
        Record::Packet(packet) => {
            found.packets += 1;
            found.drop_count += packet.drop_count.unwrap_or(0);
            // Ethernet, IPv4, UDP to port 9, then the number.
            if packet.data.get(36..38) == Some(&9_u16.to_be_bytes()) && packet.data.get(23) == Some(&17) {
                found
                    .numbers
                    .extend(packet.data.get(42..50).map(|eight| u64::from_be_bytes(eight.try_into().expect("eight bytes"))));
            }
        }
        Record::Mark(mark) => found.marks.push(mark),
        Record::Statistics(statistics) => found.statistics.push(statistics),
        Record::Host(_) => found.hosts += 1,
        Record::Snapshot(_) => found.snapshots += 1,
        _ => {}
    };
    decoder.push(bytes, &mut take);
    let end = decoder.finish(&mut take).err();
    found.end = end;
    found
}

impl Read {
    /// Whether every datagram from the first on is there once and in order.
    fn is_without_gap(&self) -> bool {
        self.numbers.iter().copied().eq(0..self.numbers.len() as u64)
    }

    fn marks(&self, kind: &str) -> Vec<&str> {
        self.marks.iter().filter(|mark| mark.kind == kind).map(|mark| mark.text.as_str()).collect()
    }
}

/// How many packets tshark counts; it must open the file without complaint.
fn tshark_counts(file: &Path) -> u32 {
    let output = Command::new("tshark").args(["-n", "-T", "fields", "-e", "frame.number", "-r"]).arg(file).output();
    let output = output.expect("tshark is installed (`cargo xtask setup`)");
    let complaint = String::from_utf8_lossy(&output.stderr).lines().filter(|line| !line.starts_with("Running as user")).count();
    assert!(output.status.success() && complaint == 0, "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().count() as u32
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Waits for a condition.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

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
    assert!(dropscope.end().success());
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
    let mut bytes = vec![0; 60_000];
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
