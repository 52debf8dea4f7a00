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
        let token = self.folder.path().join("token");
        fs::write(&token, link.split_once("?k=").unwrap().1).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        let server = link.split_once("/#").unwrap().0;
        let mut command = Command::new(self.folder.path().join("dropscope"));
        command.args([
            "agent",
            "--push",
            server,
            "--push-token-file",
            "token",
            "--netns",
            &self.netns,
            "-i",
            "lo",
            "--spool",
            "spool",
        ]);
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
    let token = link.split_once("?k=").unwrap().1;
    let seen = ["cmdline", "environ"].map(|file| fs::read(format!("/proc/{}/{file}", agent.child.id())).unwrap()).concat();
    assert!(!String::from_utf8_lossy(&seen).contains(token), "other users of the host read command lines");
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

/// A server that was started by root.
struct Served(Dropscope);

impl Served {
    fn start(scene: &Scene, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(scene.folder.path().join("dropscope"));
        command.args(args).args(["--port", "0", "--no-browser"]).envs(environment.iter().copied());
        Self(Dropscope::start_by(&mut command, scene.folder.path()))
    }

    /// What the kernel says of each thread: user, effective and bounding capabilities, no_new_privs, seccomp.
    fn confinement(&self) -> Vec<[String; 5]> {
        let of_thread = |entry: fs::DirEntry| {
            let text = fs::read_to_string(entry.path().join("status")).ok()?;
            let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
            let uid = line("Uid:").split_whitespace().next().unwrap_or_default().to_owned();
            Some([uid, line("CapEff:"), line("CapBnd:"), line("NoNewPrivs:"), line("Seccomp:")])
        };
        fs::read_dir(format!("/proc/{}/task", self.0.child.id())).unwrap().flatten().filter_map(of_thread).collect()
    }

    /// What `GET` of a capture's bytes answers to whoever has the link.
    fn download(&self, link: &str) -> Vec<u8> {
        let (server, rest) = link.trim().split_once("/#/c/").unwrap();
        let (id, token) = rest.split_once("?k=").unwrap();
        let mut curl = Command::new("curl");
        curl.args(["-s", "-H", &format!("Authorization: Bearer {token}"), &format!("{server}/api/captures/{id}/log")]);
        curl.output().unwrap().stdout
    }
}

#[test]
fn serving_as_root_holds_no_capability_and_runs_under_seccomp() {
    if !can_run("serving_as_root_holds_no_capability_and_runs_under_seccomp") {
        return;
    }
    let scene = Scene::new("serve");
    let capture = scene.folder.path().join("secret.pcap");
    fs::write(&capture, b"\xd4\xc3\xb2\xa1 and so on").unwrap();
    fs::set_permissions(&capture, fs::Permissions::from_mode(0o600)).unwrap();
    for args in [&["serve"][..], &["open", "secret.pcap"], &[]] {
        let mut served = Served::start(&scene, args, &[]);
        let link = served.0.hear("http://");
        let zero = "0000000000000000".to_owned();
        let expected = [NOBODY.to_string(), zero.clone(), zero, "1".into(), "2".into()];
        let threads = served.confinement();
        assert!(threads.len() > 1 && threads.iter().all(|one| *one == expected), "{args:?}: {threads:?}");
        if args.first() == Some(&"open") {
            assert_eq!(served.download(&link), b"\xd4\xc3\xb2\xa1 and so on", "it was opened before");
        }
        assert!(served.0.end().success(), "{:?}", served.0.heard);
    }
}

#[test]
fn a_server_of_root_is_led_nowhere_by_links_that_the_folders_owner_planted() {
    if !can_run("a_server_of_root_is_led_nowhere_by_links_that_the_folders_owner_planted") {
        return;
    }
    let scene = Scene::new("planted");
    let secret = scene.folder.path().join("shadow");
    fs::write(&secret, "root:$6$").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let home = scene.folder.path().join("data/captures/0123456789ab");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("capture.json"), r#"{"version":1,"name":"x","created_ns":0,"readers":[]}"#).unwrap();
    for name in ["log", "capture.json.new"] {
        std::os::unix::fs::symlink(&secret, home.join(name)).unwrap();
    }
    run("chown", &["-hR", "nobody", scene.folder.path().join("data").to_str().unwrap()]);
    let mut served = Served::start(&scene, &["serve"], &[]);
    let link = served.0.hear("http://");
    assert!(served.0.heard.iter().any(|line| line.contains("captures/0123456789ab is left as it is")), "{:?}", served.0.heard);
    let asked = link.replacen("#/?", "#/c/0123456789ab?", 1);
    assert!(!served.download(&asked).windows(5).any(|part| part == b"root:"));
    assert!(served.0.end().success());
    assert_eq!(fs::read_to_string(&secret).unwrap(), "root:$6$");
}

/// Owners of everything below a folder, itself included, by path.
fn owners(folder: &Path) -> BTreeMap<PathBuf, u32> {
    let mut found = BTreeMap::from([(folder.to_owned(), fs::symlink_metadata(folder).unwrap().uid())]);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(owners(&entry.path()));
        } else {
            found.insert(entry.path(), entry.metadata().unwrap().uid());
        }
    }
    found
}

#[test]
fn nothing_that_was_there_changes_hands() {
    if !can_run("nothing_that_was_there_changes_hands") {
        return;
    }
    let scene = Scene::new("hands");
    let data = scene.folder.path().join("srv");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("notes"), "mine").unwrap();
    fs::create_dir(data.join("other")).unwrap();
    fs::write(data.join("other/keys"), "mine").unwrap();
    let before = owners(&data);
    let live = |data: &Path| {
        let args = ["live", "-i", "lo", "--data", data.to_str().unwrap(), "--without", "kernel_drops", "--user", "nobody"];
        let mut live = Served::start(&scene, &args, &[]);
        live.0.hear("http://");
        assert!(live.0.end().success(), "{:?}", live.0.heard);
    };
    live(&data);
    let mut after = owners(&data);
    let made: BTreeMap<_, _> = after.extract_if(.., |path, _| path.starts_with(data.join("captures"))).collect();
    assert_eq!(after, before, "the folder and what lies beside the captures");
    assert!(made.len() == 4 && made.values().all(|uid| *uid == NOBODY), "{made:?}");

    // Captures that root kept there before: root goes on with them, without its powers.
    for path in made.keys() {
        std::os::unix::fs::chown(path, Some(0), Some(0)).unwrap();
    }
    let before = owners(&data);
    live(&data);
    let after = owners(&data);
    assert!(after.len() == before.len() + 3 && after.values().all(|uid| *uid == 0), "{after:?}");
}

#[test]
fn a_file_that_is_there_is_neither_written_over_nor_given_away() {
    if !can_run("a_file_that_is_there_is_neither_written_over_nor_given_away") {
        return;
    }
    let scene = Scene::new("over");
    let folder = scene.folder.path();
    fs::write(folder.join("sudoers"), "root ALL").unwrap();
    std::os::unix::fs::symlink(folder.join("sudoers"), folder.join("link")).unwrap();
    let closed = folder.join("closed");
    fs::create_dir(&closed).unwrap();
    let record = |output: &str| {
        let mut command = Command::new(folder.join("dropscope"));
        command.args(["record", "-i", "lo", "--duration", "1", "--without", "kernel_drops", "-o", output]);
        let output = command.current_dir(folder).envs([("SUDO_UID", "4242"), ("SUDO_GID", "4243")]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for output in ["sudoers", "link"] {
        let (code, said) = record(output);
        assert!(code == Some(1) && said.contains("is there already, and is not written over"), "{said}");
    }
    let left = fs::metadata(folder.join("sudoers")).unwrap();
    assert_eq!((left.uid(), fs::read_to_string(folder.join("sudoers")).unwrap().as_str()), (0, "root ALL"));
    assert_eq!(record("closed/a.pcapng").0, Some(0));
    let made = fs::metadata(closed.join("a.pcapng")).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o777), (0, 0o600), "where only root may make a file it stays root's");
    assert_eq!(owners(&closed).len(), 2);
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
fn a_log_where_only_root_gets_is_shown_to_viewers_by_a_user_who_does_not_get_there() {
    if !can_run("a_log_where_only_root_gets_is_shown_to_viewers_by_a_user_who_does_not_get_there") {
        return;
    }
    let scene = Scene::new("home");
    let folder = scene.folder.path();
    let closed = folder.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    // The usual folder is nobody's, as a recording that nobody made leaves it.
    let line = format!(
        "mount -t tmpfs none /var/lib && install -d -m 700 -o {NOBODY} /var/lib/dropscope && \
         unset DROPSCOPE_DATA && exec {0}/dropscope live -i lo -o {0}/closed/a.pcapng --user nobody --port 0 --no-browser",
        folder.display()
    );
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &scene.netns, "bash", "-c", &line]);
    let mut live = Dropscope::start_by(&mut command, folder);
    let link = live.hear("http://");
    let (server, rest) = link.trim().split_once("/#/c/").unwrap();
    let (id, token) = rest.split_once("?k=").unwrap();
    wait_until("the log is shown", || {
        let mut curl = Command::new("ip");
        curl.args(["netns", "exec", &scene.netns, "curl", "-s", "-H", &format!("Authorization: Bearer {token}")]);
        curl.arg(format!("{server}/api/captures/{id}/log")).output().unwrap().stdout.starts_with(b"\x0a\x0d\x0d\x0a")
    });
    assert!(live.end().success(), "{:?}", live.heard);
    assert!(live.heard.iter().any(|line| line.contains("runs on as the user nobody")), "{:?}", live.heard);
    let log = fs::metadata(closed.join("a.pcapng")).unwrap();
    assert!(log.len() > 0 && (log.uid(), log.mode() & 0o777) == (0, 0o600));
}

/// A debug build reads the page from the checkout's `dist/`, which is root's alone where root cloned it into its home.
#[test]
fn a_page_that_only_root_can_read_is_answered_after_rights_are_given_up() {
    if !can_run("a_page_that_only_root_can_read_is_answered_after_rights_are_given_up") {
        return;
    }
    let scene = Scene::new("page");
    let page = scene.folder.path().join("page");
    fs::create_dir(&page).unwrap();
    fs::write(page.join("index.html"), "<title>of root</title>").unwrap();
    fs::set_permissions(&page, fs::Permissions::from_mode(0o700)).unwrap();
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist");
    let line = "mount --bind page \"$1\" && exec ./dropscope serve --port 0 --no-browser --user nobody --data srv";
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", line, "bash"]).arg(&dist);
    let mut served = Dropscope::start_by(&mut command, scene.folder.path());
    let link = served.hear("http://");
    let (server, _) = link.trim().split_once("#/").unwrap();
    let answer = Command::new("curl").args(["-si", server]).output().unwrap().stdout;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("<title>of root</title>"), "{answer}");
    assert!(served.end().success(), "{:?}", served.heard);
}
