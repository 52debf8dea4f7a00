//! What a recording may still do, by what the kernel says of its threads, and that it still records everything.
//!
//! These need root; without it each says so in one line and passes, except where `CI` is set.

mod common;

use common::{Dropscope, can_run, copy_command, length, wait_until};
use dropscope_core::counters::Counters;
use dropscope_core::log::Decoder;
use dropscope_core::log::record::Record;
use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const NOBODY: u32 = 65_534;
/// CAP_NET_ADMIN and CAP_NET_RAW, as /proc/PID/status writes them.
const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;
/// What docs/rights.md names for everything but other namespaces.
const DOCUMENTED: &str = "+net_raw,+net_admin,+bpf,+perfmon,+syslog,+dac_read_search";

/// A namespace whose firewalls drop datagrams to ports 9 (iptables-legacy), 10 (iptables-nft) and 11 (nftables), and a folder
/// that everybody reaches with the command in it.
struct Scene {
    netns: String,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(test: &str) -> Self {
        let netns = format!("dsrights-{test}-{}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        copy_command(folder.path());
        run("ip", &["netns", "add", &netns]);
        let scene = Self { netns, folder };
        for line in [
            "ip link set lo up",
            "iptables-legacy -A INPUT -p udp --dport 9 -j DROP",
            "iptables-nft -A INPUT -p udp --dport 10 -j DROP",
            "nft add table ip own",
            "nft add chain ip own in { type filter hook input priority 5 ; }",
            "nft add rule ip own in udp dport 11 counter drop",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            run("ip", &[&["netns", "exec", &scene.netns], &words[..]].concat());
        }
        scene
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("a.pcapng")
    }

    /// The command, started by root from outside the namespace.
    fn as_root(&self, environment: &[(&str, &str)]) -> Recording {
        let mut command = Command::new(self.folder.path().join("dropscope"));
        command.args(["record", "--netns", &self.netns, "-i", "lo", "-o", "a.pcapng"]).envs(environment.iter().copied());
        Recording::start(command, self)
    }

    /// One that sends what it records to the server behind this link.
    fn as_root_to(&self, link: &str) -> Recording {
        let mut command = Command::new(self.folder.path().join("dropscope"));
        command.args(["agent", "--push", link, "--netns", &self.netns, "-i", "lo", "--spool", "spool"]);
        Recording::start(command, self)
    }

    /// The command, started inside the namespace by nobody, with capabilities.
    fn as_nobody(&self, capabilities: &str) -> Recording {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.netns, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.args([format!("--inh-caps=-all,{capabilities}"), format!("--ambient-caps=-all,{capabilities}")]);
        command.arg(self.folder.path().join("dropscope")).args(["record", "-i", "lo", "-o", "a.pcapng"]);
        Recording::start(command, self)
    }

    /// Sends three datagrams to each port that is dropped.
    fn send(&self) {
        let target = dropscope_agent::source::Target::resolve(&self.netns).unwrap();
        target
            .run(|| {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                for port in [9, 10, 11, 9, 10, 11, 9, 10, 11] {
                    socket.send_to(b"to be dropped", ("127.0.0.1", port)).unwrap();
                }
            })
            .unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.netns]).status();
    }
}

struct Recording {
    child: Child,
    said: PathBuf,
}

impl Recording {
    fn start(mut command: Command, scene: &Scene) -> Self {
        let said = scene.folder.path().join("said");
        let command = command.current_dir(scene.folder.path()).stdout(Stdio::null()).stderr(fs::File::create(&said).unwrap());
        let mut recording = Self { child: command.spawn().unwrap(), said };
        // What is held is the last thing that is said at the start.
        recording.wait_until("it began", |one| one.said().contains("and nothing else."));
        recording
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    fn wait_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before {what}: {}", self.said());
            assert!(Instant::now() < deadline, "waited in vain until {what}: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the kernel says of each thread: its name, and the lines of its status by their names.
    fn threads(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let of_thread = |entry: fs::DirEntry| {
            let text = fs::read_to_string(entry.path().join("status")).ok()?;
            let line = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
            let status: BTreeMap<_, _> = text.lines().filter_map(line).collect();
            Some((status["Name"].clone(), status))
        };
        fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().flatten().filter_map(of_thread).collect()
    }

    /// That no thread holds more than is documented; those of these names have to be there.
    fn assert_is_confined(&mut self, netns: &str, there: &[&str]) {
        // A thread gives itself its name after it was started.
        let has_all = |one: &Self| {
            let threads = one.threads();
            there.iter().all(|name| threads.iter().any(|(found, _)| found == name))
        };
        self.wait_until("every thread is there", has_all);
        for (name, status) in self.threads() {
            let hexadecimal = |line: &str| u64::from_str_radix(&status[line], 16).unwrap();
            // The threads of namespaces read firewalls: the kernel keeps 15 bytes of their names.
            let keeps = if name == format!("src-{netns}")[..15] { NET_ADMIN | NET_RAW } else { 0 };
            for line in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
                assert_eq!(hexadecimal(line), keeps, "{line} of {name}");
            }
            assert_eq!(hexadecimal("CapBnd"), 0, "{name}");
            assert_eq!(status["Uid"], [NOBODY; 4].map(|uid| uid.to_string()).join("\t"), "{name}");
            assert_eq!((status["Groups"].as_str(), status["NoNewPrivs"].as_str(), status["Seccomp"].as_str()), ("", "1", "2"));
        }
    }

    fn end(mut self) -> String {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id() as i32), nix::sys::signal::Signal::SIGINT).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}", self.said());
        self.said()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a log holds of what was sent.
#[derive(Debug, Default, PartialEq)]
struct Found {
    packets: usize,
    /// Drops by the firewall.
    drops: usize,
    /// Hits of the rules, in the order of their identities.
    hits: Vec<u64>,
    has_interfaces: bool,
}

fn read(log: &Path) -> Found {
    let mut found = Found::default();
    let mut counters = Counters::default();
    let mut decoder = Decoder::new();
    let mut take = |record: Record<'_>| match record {
        Record::Packet(packet) => found.packets += usize::from(packet.data.windows(13).any(|part| part == b"to be dropped")),
        Record::KernelDrop(drop) => found.drops += usize::from(drop.reason.starts_with("NETFILTER")),
        Record::Catalogue(catalogue) => counters.describe(catalogue),
        Record::Snapshot(snapshot) => counters.record(&snapshot),
        _ => {}
    };
    decoder.push(&fs::read(log).unwrap(), &mut take);
    decoder.finish(&mut take).expect("the log is whole");
    let rules = counters.of_key("firewall.rule.packets");
    let mut hits: Vec<_> = rules.map(|(_, series)| (series.counter.rule.clone(), series.last().unwrap_or_default())).collect();
    hits.sort();
    found.hits = hits.into_iter().map(|(_, hits)| hits).collect();
    found.has_interfaces = counters.of_key("link.mtu").next().is_some();
    found
}

/// Every packet, every drop, every hit.
fn everything() -> Found {
    Found { packets: 9, drops: 9, hits: vec![3, 3, 3], has_interfaces: true }
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_thread_gives_up_its_rights_and_everything_is_still_recorded() {
    if !can_run("every_thread_gives_up_its_rights_and_everything_is_still_recorded") {
        return;
    }
    let scene = Scene::new("root");
    let mut recording = scene.as_root(&[]);
    recording.assert_is_confined(&scene.netns, &["dropscope", "recorder", "cap-lo", "src-kernel_drop"]);
    scene.send();
    let said = recording.end();
    assert!(said.contains("runs on as the user nobody; only the threads that read firewalls"), "{said}");
    assert!(!said.contains("not recorded: firewall"), "{said}");
    assert_eq!(read(&scene.log()), everything());
}

#[test]
fn an_agent_that_sends_gives_up_its_rights_and_everything_arrives() {
    if !can_run("an_agent_that_sends_gives_up_its_rights_and_everything_arrives") {
        return;
    }
    let scene = Scene::new("push");
    let mut server = Dropscope::start(scene.folder.path(), &["serve", "--port", "0", "--no-browser"]);
    let link = server.hear("http://").trim().to_owned();
    let mut agent = scene.as_root_to(&link);
    agent.assert_is_confined(&scene.netns, &["dropscope", "recorder", "cap-lo", "src-kernel_drop"]);
    scene.send();
    let said = agent.end();
    assert!(said.contains("runs on as the user nobody; only the threads that read firewalls"), "{said}");
    let captures = scene.folder.path().join("data/captures");
    let log = || fs::read_dir(&captures).into_iter().flatten().flatten().map(|one| one.path().join("log")).next();
    wait_until("the recording is there", || log().is_some_and(|log| length(&log) > 0));
    assert_eq!(read(&log().unwrap()), everything());
    assert!(server.end().success());
}

#[test]
fn the_documented_capabilities_are_enough_for_an_unprivileged_user() {
    if !can_run("the_documented_capabilities_are_enough_for_an_unprivileged_user") {
        return;
    }
    let scene = Scene::new("caps");
    let recording = scene.as_nobody(DOCUMENTED);
    for (name, status) in recording.threads() {
        let held = u64::from_str_radix(&status["CapEff"], 16).unwrap();
        assert_eq!(held & !(NET_ADMIN | NET_RAW), 0, "{name}");
        assert_eq!((status["NoNewPrivs"].as_str(), status["Seccomp"].as_str()), ("1", "2"));
    }
    scene.send();
    let said = recording.end();
    assert!(!said.contains("not recorded: firewall") && !said.contains("not recorded: kernel_drops"), "{said}");
    assert_eq!(read(&scene.log()), everything());
}

#[test]
fn with_fewer_rights_less_is_recorded_and_that_is_said() {
    if !can_run("with_fewer_rights_less_is_recorded_and_that_is_said") {
        return;
    }
    let scene = Scene::new("few");
    let recording = scene.as_nobody("+net_raw");
    scene.send();
    let said = recording.end();
    assert!(said.contains("not recorded: kernel_drops: packets the kernel dropped cannot be read without CAP_BPF"), "{said}");
    assert_eq!(read(&scene.log()), Found { packets: 9, drops: 0, hits: Vec::new(), has_interfaces: true });

    fs::remove_file(scene.log()).unwrap();
    let recording = scene.as_nobody("-all");
    scene.send();
    let said = recording.end();
    assert!(
        said.contains("not recorded: packets: on lo in host, nothing is captured; that takes root or CAP_NET_RAW."),
        "{said}"
    );
    assert_eq!(read(&scene.log()), Found { packets: 0, drops: 0, hits: Vec::new(), has_interfaces: true });
}

#[test]
fn with_sudo_the_log_belongs_to_whoever_called_it() {
    if !can_run("with_sudo_the_log_belongs_to_whoever_called_it") {
        return;
    }
    let scene = Scene::new("sudo");
    let recording = scene.as_root(&[("SUDO_UID", "4242"), ("SUDO_GID", "4243")]);
    for (name, status) in recording.threads() {
        assert_eq!(
            (status["Uid"].as_str(), status["Gid"].as_str()),
            ("4242\t4242\t4242\t4242", "4243\t4243\t4243\t4243"),
            "{name}"
        );
    }
    recording.end();
    let log = fs::metadata(scene.log()).unwrap();
    assert_eq!((log.uid(), log.gid(), log.mode() & 0o777), (4242, 4243, 0o600));
}

#[test]
fn segments_where_only_root_gets_are_roots_and_a_folder_nobody_can_write_is_refused_at_the_start() {
    if !can_run("segments_where_only_root_gets_are_roots_and_a_folder_nobody_can_write_is_refused_at_the_start") {
        return;
    }
    let scene = Scene::new("closed");
    let closed = scene.folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let record = || {
        let mut command = Command::new(scene.folder.path().join("dropscope"));
        command.args(["record", "--netns", &scene.netns, "-i", "lo", "--user", "nobody", "--keep", "10m", "--duration", "1"]);
        let output = command.arg("-o").arg(closed.join("recording")).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (success, said) = record();
    assert!(success && said.contains("stays the user root, without its powers, since nobody may not write in"), "{said}");
    let folder = closed.join("recording");
    assert_eq!((fs::metadata(&folder).unwrap().uid(), fs::read_dir(&folder).unwrap().count()), (0, 1));
    // As one that recorded there before left it, while the folder above was open.
    std::os::unix::fs::chown(&folder, Some(NOBODY), None).unwrap();
    let (success, said) = record();
    assert!(!success && said.contains("nor may root without its powers"), "{said}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing was begun");
}

#[test]
fn beside_a_log_where_only_root_gets_captures_are_kept_in_roots_home() {
    if !can_run("beside_a_log_where_only_root_gets_captures_are_kept_in_roots_home") {
        return;
    }
    let scene = Scene::new("home");
    let folder = scene.folder.path();
    let closed = folder.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    // The usual folder is nobody's, as a recording that nobody made leaves it: root without its powers does not get there.
    let line = format!(
        "mount -t tmpfs none /var/lib && install -d -m 700 -o {NOBODY} /var/lib/dropscope && mount -t tmpfs none ~root && \
         unset DROPSCOPE_DATA && exec {0}/dropscope live -i lo -o {0}/closed/a.pcapng --user nobody --port 0 --no-browser",
        folder.display()
    );
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &scene.netns, "bash", "-c", &line]);
    let mut live = Dropscope::start_by(&mut command, folder);
    live.hear("http://");
    assert!(live.end().success(), "{:?}", live.heard);
    assert!(length(&closed.join("a.pcapng")) > 0);
}
