//! What the tests of real recordings share: a namespace with traffic, the `dropscope` process, and what stands in a log.

// Each test program uses its part of this.
#![allow(dead_code)]

pub(crate) mod typed;
pub(crate) mod watched;

use dropscope_agent::source::Target;
use dropscope_core::log::Decoder;
use dropscope_core::log::block::Mark;
use dropscope_core::log::record::{End, Record, Statistics};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take before a test is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// What a kill may cost at most.
pub(crate) const LAST_FLUSH: Duration = Duration::from_secs(1);

/// Whether the test can run; says why not.
pub(crate) fn can_run(test: &str) -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{test} needs root");
    // Past the test harness, which swallows what a passing test prints.
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("SKIPPED {test}: it makes network namespaces, which needs root\n").as_bytes(),
    );
    false
}

/// Puts the command into a folder that other users reach: the checkout may lie where only its owner gets.
///
/// Not copied by this process: what another test starts just then would hold the file open for writing until it runs its program,
/// and nobody may run such a file (ETXTBSY).
pub(crate) fn copy_command(folder: &Path) {
    run(Command::new("cp").arg(env!("CARGO_BIN_EXE_dropscope")).arg(folder));
}

/// A namespace with nothing but a loopback interface.
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    pub(crate) fn new(test: &str) -> Self {
        let name = format!("dsrec-{test}-{}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Self(name);
        run(Command::new("ip").args(["-n", &namespace.0, "link", "set", "lo", "up"]));
        namespace
    }

    /// Sends numbered datagrams of `size` bytes from inside until told to end, and keeps when each was sent.
    pub(crate) fn send_datagrams(&self, size: usize, pause: Duration) -> Traffic {
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

pub(crate) struct Traffic {
    pub(crate) stop: Option<std::sync::mpsc::Sender<()>>,
    pub(crate) thread: Option<std::thread::JoinHandle<()>>,
    pub(crate) sent: Arc<Mutex<Vec<Instant>>>,
}

impl Traffic {
    pub(crate) fn sent(&self) -> usize {
        self.sent.lock().expect("nobody panics holding it").len()
    }

    pub(crate) fn stop(&mut self) {
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
pub(crate) struct Dropscope {
    pub(crate) child: Child,
    pub(crate) said: Receiver<String>,
    pub(crate) heard: Vec<String>,
}

impl Dropscope {
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_dropscope")).args(args), folder)
    }

    pub(crate) fn start_by(command: &mut Command, folder: &Path) -> Self {
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
    pub(crate) fn hear(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.said.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("it never said `{words}`; it said {:?}", self.heard));
            assert!(!line.contains('\u{1b}'), "no terminal is there to colour: {line:?}");
            self.heard.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    /// Asks it to end and waits for that; what it answered.
    pub(crate) fn end(&mut self) -> std::process::ExitStatus {
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
pub(crate) struct Read {
    pub(crate) packets: u32,
    /// Numbers of the datagrams, in the order of the log.
    pub(crate) numbers: Vec<u64>,
    pub(crate) drop_count: u64,
    pub(crate) marks: Vec<Mark>,
    pub(crate) statistics: Vec<Statistics>,
    pub(crate) hosts: usize,
    pub(crate) snapshots: usize,
    pub(crate) end: Option<End>,
}

pub(crate) fn read(bytes: &[u8]) -> Read {
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
    pub(crate) fn is_without_gap(&self) -> bool {
        self.numbers.iter().copied().eq(0..self.numbers.len() as u64)
    }

    pub(crate) fn marks(&self, kind: &str) -> Vec<&str> {
        self.marks.iter().filter(|mark| mark.kind == kind).map(|mark| mark.text.as_str()).collect()
    }
}

/// How many packets tshark counts; it must open the file without complaint.
pub(crate) fn tshark_counts(file: &Path) -> u32 {
    let output = Command::new("tshark").args(["-n", "-T", "fields", "-e", "frame.number", "-r"]).arg(file).output();
    let output = output.expect("tshark is installed (`cargo xtask setup`)");
    let complaint = String::from_utf8_lossy(&output.stderr).lines().filter(|line| !line.starts_with("Running as user")).count();
    assert!(output.status.success() && complaint == 0, "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().count() as u32
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Waits for a condition.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
