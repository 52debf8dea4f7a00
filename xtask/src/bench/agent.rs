//! `cargo xtask bench --agent`: what recording costs, beside tcpdump, and what it reads once a second.
//!
//! One run, same load: a sender in one namespace, and in the other, at the end of a veth pair, `tcpdump -w` and `dropscope live`
//! at the same time on the same interface; first as it is, with every counter and the tracing of drops, then with the capture
//! alone, which is all that tcpdump does. Somebody listens, so that the datagrams are not dropped; what tracing costs an event is
//! measured by itself, by the kernel (`bpf_stats_enabled`).
//! It prints the table of docs/cost.md and judges nothing. Needs root, and a quiet machine to mean something: sender, kernel and
//! both recorders share its processors.

use crate::setup::target_folder;
use crate::shell::{self, say};
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Packets a second that are asked for; what was really sent is told.
const RATES: [u64; 6] = [1_000, 10_000, 50_000, 100_000, 200_000, 400_000];
const LOAD: Duration = Duration::from_secs(5);
/// What starting costs is over before the load begins.
const WARM_UP: Duration = Duration::from_secs(2);
/// After the load, both empty their rings.
const SETTLE: Duration = Duration::from_secs(1);
const SNAPSHOTS: Duration = Duration::from_secs(10);
const RULES: u32 = 1000;
const PAIRS: u32 = 50;
/// A port of the receiver where somebody listens.
const OPEN: &str = "10.9.0.2:9";
/// And one where nobody does.
const CLOSED: &str = "10.9.0.2:10";
/// Everything beside the capture.
const SOURCES: [&str; 11] = [
    "clock",
    "host_facts",
    "link_stats",
    "ethtool_stats",
    "firewall",
    "conntrack",
    "nstat",
    "qdisc",
    "sockets",
    "softnet",
    "kernel_drops",
];

/// Runs all three measurements, with the binary that `DROPSCOPE` names or else a release build.
pub(super) fn agent() -> Result<()> {
    let ours = match std::env::var_os("DROPSCOPE") {
        Some(built) => PathBuf::from(built),
        None => {
            say("building the binary (release)");
            shell::run("cargo", &["build", "--release", "-p", "dropscope-agent"])?;
            target_folder().join("release/dropscope")
        }
    };
    let ours = ours.canonicalize()?;
    let folder = std::env::temp_dir().join(format!("dropscope-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let bench = Bench { net: Net::new()?, ours, folder };
    let alone: Vec<&str> = SOURCES.iter().flat_map(|source| ["--without", source]).collect();
    println!(
        "| asked packets/s | sent | tcpdump lost | its CPU ms | ours lost | our CPU ms | ratio | capture alone, CPU ms | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut listener = Command::new(std::env::current_exe()?);
    listener.args(["bench", "--receive", OPEN]);
    let listener = Running::start(bench.net.inside(&bench.net.receiver, &listener), "receiving")?;
    for rate in RATES {
        let (whole, capture) = (bench.beside_tcpdump(rate, &[])?, bench.beside_tcpdump(rate, &alone)?);
        let [theirs, ours, capture_alone] = [whole.theirs, whole.ours, capture.ours];
        println!(
            "| {rate} | {} | {} | {:.1} | {} | {:.1} | {:.2} | {:.1} | {:.2} |",
            whole.sent,
            whole.sent.saturating_sub(theirs.packets),
            theirs.cpu * 1e3,
            whole.sent.saturating_sub(ours.packets),
            ours.cpu * 1e3,
            ours.cpu / theirs.cpu,
            capture_alone.cpu * 1e3,
            capture_alone.cpu / capture.theirs.cpu,
        );
    }
    drop(listener);
    bench.snapshots()?;
    bench.tracing()
}

/// `bench --send ADDRESS RATE SECONDS`: sends datagrams from the namespace it runs in and prints how many.
pub(super) fn send(to: &str, rate: &str, seconds: &str) -> Result<()> {
    let (rate, length) = (rate.parse::<u64>()?, Duration::from_secs(seconds.parse()?));
    let socket = UdpSocket::bind("10.9.0.1:0")?;
    socket.connect(to)?;
    let (begun, mut sent, mut tried) = (Instant::now(), 0_u64, 0_u64);
    while begun.elapsed() < length {
        let due = begun.elapsed().as_micros() as u64 * rate / 1_000_000;
        while tried < due {
            // The refusal of an earlier one is reported here, and this one is then not sent.
            sent += u64::from(socket.send(&[b'x'; 64]).is_ok());
            tried += 1;
        }
        std::thread::yield_now();
    }
    println!("{sent}");
    Ok(())
}

/// `bench --receive ADDRESS`: takes datagrams in the namespace it runs in, for ever.
pub(super) fn receive(at: &str) -> Result<()> {
    let socket = UdpSocket::bind(at)?;
    eprintln!("receiving at {at}");
    loop {
        socket.recv(&mut [0; 64])?;
    }
}

struct Bench {
    net: Net,
    ours: PathBuf,
    folder: PathBuf,
}

impl Bench {
    /// Where the next log of ours goes: the command writes over none.
    fn new_log(&self) -> Result<PathBuf> {
        let path = self.folder.join("ours.pcapng");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("the log before cannot be removed"),
            _ => Ok(path),
        }
    }

    /// Both recorders under one load; ours with further options.
    fn beside_tcpdump(&self, rate: u64, options: &[&str]) -> Result<SideBySide> {
        let mut tcpdump = Command::new("tcpdump");
        tcpdump.args(["-n", "-i", "eth0", "-B", "16384", "-Z", "root", "-w"]).arg(self.folder.join("tcpdump.pcap"));
        tcpdump.args(["udp", "port", "9"]);
        let mut tcpdump = Running::start(self.net.inside(&self.net.receiver, &tcpdump), "listening on")?;
        let mut live = Command::new(&self.ours);
        live.args(["live", "--no-browser", "--port", "0", "--netns", &self.net.receiver, "-i", "eth0"]).args(options);
        live.arg("--data").arg(&self.folder).arg("-o").arg(self.new_log()?).args(["udp", "port", "9"]);
        let mut ours = Running::start(live, "recording")?;
        std::thread::sleep(WARM_UP);
        let before = (tcpdump.cpu()?, ours.cpu()?);
        let output = self.net.send(OPEN, rate, LOAD)?.output()?;
        ensure!(output.status.success(), "the sender failed: {}", String::from_utf8_lossy(&output.stderr));
        let sent: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().context("the sender says how many it sent")?;
        std::thread::sleep(SETTLE);
        let cpu = (tcpdump.cpu()? - before.0, ours.cpu()? - before.1);
        let theirs = Recorded { packets: before_word(&tcpdump.end()?, "packets captured")?, cpu: cpu.0 };
        let ours = Recorded { packets: before_word(&ours.end()?, "packets on eth0")?, cpu: cpu.1 };
        Ok(SideBySide { sent, theirs, ours })
    }

    /// Counters, rules and sockets once a second, where there are many of them.
    fn snapshots(&self) -> Result<()> {
        let place = &self.net.receiver;
        for pair in 0..PAIRS {
            run("ip", &["-n", place, "link", "add", &format!("a{pair}"), "type", "veth", "peer", "name", &format!("b{pair}")])?;
        }
        let rules: String = (0..RULES).map(|at| format!("-A INPUT -s 10.8.{}.{}/32 -j DROP\n", at / 250, at % 250)).collect();
        let script = format!("iptables-nft-restore <<'END'\n*filter\n{rules}COMMIT\nEND\n");
        run("ip", &["netns", "exec", place, "sh", "-c", &script])?;
        let mut ours = self.record(place, "lo")?;
        std::thread::sleep(Duration::from_secs(2));
        let (cpu, begun) = (ours.cpu()?, Instant::now());
        std::thread::sleep(SNAPSHOTS);
        let share = (ours.cpu()? - cpu) / begun.elapsed().as_secs_f64() * 100.0;
        ours.end()?;
        run("ip", &["netns", "exec", place, "iptables-nft", "-F"])?;
        println!("\nsnapshots of {RULES} rules and {} interfaces: {share:.2} % of a core", 2 * PAIRS);
        Ok(())
    }

    /// What the program in the kernel takes for each dropped packet.
    fn tracing(&self) -> Result<()> {
        let switch = "/proc/sys/kernel/bpf_stats_enabled";
        let before = std::fs::read_to_string(switch).with_context(|| format!("reading {switch}"))?;
        let mut ours = self.record(&self.net.receiver, "lo")?;
        let mut sender = self.net.send(CLOSED, 100_000, LOAD)?;
        std::fs::write(switch, "1")?;
        let sent = sender.output();
        let measured = run_time(ours.child.id());
        std::fs::write(switch, before.trim())?;
        sent?;
        ours.end()?;
        let (nanos, events) = measured?;
        ensure!(events > 0, "no packet was dropped");
        println!("drop tracing: {events} events, {:.0} ns each", nanos as f64 / events as f64);
        Ok(())
    }

    fn record(&self, place: &str, interface: &str) -> Result<Running> {
        let mut command = Command::new(&self.ours);
        command.args(["record", "--netns", place, "-i", interface, "-o"]).arg(self.new_log()?);
        Running::start(command, "recording")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What cannot be removed is left in the folder for such things.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What two recorders took of one load.
struct SideBySide {
    sent: u64,
    theirs: Recorded,
    ours: Recorded,
}

/// Packets that are in a recording, and the processor seconds it cost.
struct Recorded {
    packets: u64,
    cpu: f64,
}

/// Two namespaces and a veth pair between them.
struct Net {
    sender: String,
    receiver: String,
}

impl Net {
    fn new() -> Result<Self> {
        let [sender, receiver] = ["a", "b"].map(|end| format!("dsbench{}-{end}", std::process::id()));
        let net = Self { sender, receiver };
        for name in [&net.sender, &net.receiver] {
            run("ip", &["netns", "add", name]).context("namespaces need root")?;
            run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        }
        run("ip", &["-n", &net.sender, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &net.receiver])?;
        for (name, address) in [(&net.sender, "10.9.0.1/24"), (&net.receiver, "10.9.0.2/24")] {
            run("ip", &["-n", name, "addr", "add", address, "dev", "eth0"])?;
            run("ip", &["-n", name, "link", "set", "eth0", "up"])?;
        }
        Ok(net)
    }

    /// Datagrams from the sender at a rate.
    fn send(&self, to: &str, rate: u64, length: Duration) -> Result<Command> {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.sender]).arg(std::env::current_exe()?);
        inside.args(["bench", "--send", to, &rate.to_string(), &length.as_secs().to_string()]);
        Ok(inside)
    }

    fn inside(&self, place: &str, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", place]).arg(command.get_program()).args(command.get_args());
        inside
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in [&self.sender, &self.receiver] {
            // A namespace that was never made cannot be removed either.
            let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
        }
    }
}

/// A recorder at work.
struct Running {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

impl Running {
    /// Starts it and waits until it says `ready`.
    fn start(mut command: Command, ready: &str) -> Result<Self> {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().with_context(|| format!("{command:?}"))?;
        let said = child.stderr.take().context("the child has no standard error")?;
        let mut running = Self { child, said: BufReader::new(said) };
        let mut heard = String::new();
        loop {
            let mut line = String::new();
            if running.said.read_line(&mut line)? == 0 {
                bail!("{command:?} ended: {heard}");
            }
            if line.contains(ready) {
                return Ok(running);
            }
            heard.push_str(&line);
        }
    }

    /// Processor seconds of its threads, as the scheduler counts them: to the nanosecond, where /proc/PID/stat has ticks of 10 ms.
    fn cpu(&self) -> Result<f64> {
        let mut nanos = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let counted = std::fs::read_to_string(thread?.path().join("schedstat")).context("this kernel counts no schedstat")?;
            nanos += counted.split(' ').next().and_then(|word| word.parse::<u64>().ok()).context("nanoseconds on a processor")?;
        }
        Ok(nanos as f64 / 1e9)
    }

    /// Ends it as Ctrl-C does; what it said.
    fn end(&mut self) -> Result<String> {
        run("kill", &["-INT", &self.child.id().to_string()])?;
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.said, &mut said)?;
        self.child.wait()?;
        Ok(said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, but for an error on the way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Run time in nanoseconds and runs of the eBPF program that a process holds, as the kernel counted them.
fn run_time(process: u32) -> Result<(u64, u64)> {
    for entry in std::fs::read_dir(Path::new("/proc").join(process.to_string()).join("fdinfo"))? {
        let text = std::fs::read_to_string(entry?.path()).unwrap_or_default();
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        if let (Some(nanos), Some(runs)) = (value("run_time_ns:"), value("run_cnt:")) {
            return Ok((nanos, runs));
        }
    }
    bail!("the process holds no eBPF program: this kernel cannot trace drops")
}

/// The number before some words.
fn before_word(text: &str, words: &str) -> Result<u64> {
    let number = || text.split(words).next()?.split_whitespace().next_back()?.parse().ok();
    number().filter(|_| text.contains(words)).with_context(|| format!("no number of {words} in: {text}"))
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new(program).args(args).output().with_context(|| format!("starting {program}"))?;
    ensure!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
