//! `dropscope agent --push` through a real TCP relay that is cut at random, to a real server that is killed now and then: what
//! is on the server equals the agent's files byte for byte. And through real TLS, with certificates of an authority of our own
//! (tls/README.md).
//!
//! These need root; without it each says so in one line and passes, except where `CI` is set.

mod common;

use common::{Dropscope, Namespace, Random, can_run, length, read, tshark_counts, wait_until};
use nix::sys::signal::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Certificates, and the key of all of them.
const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/");

/// How often the connection is cut.
const CUTS: usize = 100;
/// After so many cuts the server is killed, too.
const KILL_EVERY: usize = 25;

/// A relay between agent and server. Each connection is cut after a random number of bytes, counted over both directions,
/// until there were enough cuts.
struct Relay {
    address: SocketAddr,
    cuts: Arc<AtomicUsize>,
}

impl Relay {
    fn start(server: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is up");
        let address = listener.local_addr().expect("it listens");
        let cuts = Arc::new(AtomicUsize::new(0));
        let (counted, random) = (Arc::clone(&cuts), Mutex::new(Random(seed)));
        std::thread::spawn(move || {
            for agent in listener.incoming().map_while(Result::ok) {
                let is_cut = counted.load(Ordering::SeqCst) < CUTS;
                // Some within the handshake, some in the middle of a message.
                let mut random = random.lock().expect("nobody panics holding it");
                let bound = [600, 60_000, 60_000, 60_000, 300_000][random.below(5) as usize];
                let budget = if is_cut { 1 + random.below(bound) } else { u64::MAX };
                drop(random);
                // A server that was killed is not there for a moment.
                let Ok(server) = TcpStream::connect(server) else { continue };
                relay(agent, server, budget);
                if is_cut {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { address, cuts }
    }

    fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// Carries bytes both ways until the budget is used up or one side goes, then cuts both.
fn relay(agent: TcpStream, server: TcpStream, budget: u64) {
    let left = AtomicU64::new(budget);
    std::thread::scope(|scope| {
        for (from, to) in [(&agent, &server), (&server, &agent)] {
            let left = &left;
            scope.spawn(move || {
                carry(from, to, left);
                // Both directions die together, as when a cable is pulled and the other side resets.
                let _ = from.shutdown(std::net::Shutdown::Both);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
        }
    });
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, left: &AtomicU64) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let take = |have: u64| Some(have.saturating_sub(length as u64));
        let have = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).unwrap_or(0);
        let most = length.min(usize::try_from(have).unwrap_or(length));
        if to.write_all(&buffer[..most]).is_err() || most < length || have == length as u64 {
            return;
        }
    }
}

/// The capture that is pushed, in a server's data folder.
fn pushed(data: &Path) -> PathBuf {
    let captures: Vec<PathBuf> =
        std::fs::read_dir(data.join("captures")).into_iter().flatten().flatten().map(|item| item.path()).collect();
    // One whose connection is cut before its first byte is removed a moment later.
    let logs: Vec<PathBuf> = captures.into_iter().map(|one| one.join("log")).filter(|log| length(log) > 0).collect();
    assert!(logs.len() < 2, "one recording is one capture: {logs:?}");
    logs.into_iter().next().unwrap_or_default()
}

fn spooled(spool: &Path) -> Vec<u8> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(spool)
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcapng"))
        .collect();
    files.sort();
    files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
}

fn serve(folder: &Path, port: &str) -> (Dropscope, SocketAddr, String) {
    let mut server = Dropscope::start(folder, &["serve", "--port", port, "--no-browser"]);
    let link = server.hear("http://").trim().to_owned();
    let (address, route) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
    (server, address.parse().unwrap(), route.to_owned())
}

#[test]
fn a_hundred_cuts_leave_the_agents_bytes_on_the_server() {
    if !can_run("a_hundred_cuts_leave_the_agents_bytes_on_the_server") {
        return;
    }
    let seed = std::env::var("DROPSCOPE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_122);
    eprintln!("seed {seed} (DROPSCOPE_SEED)");
    let folder = tempfile::tempdir().unwrap();
    let (mut server, address, route) = serve(folder.path(), "0");
    let relay = Relay::start(address, seed);
    let namespace = Namespace::new("push");
    let mut traffic = namespace.send_datagrams(600, Duration::from_micros(500));
    let link = format!("http://{}/{route}", relay.address);
    let args = ["agent", "--push", &link, "--netns", &namespace.0, "-i", "lo", "--spool", "spool", "--spool-size", "16G"];
    let args = [&args[..], &["--without", "kernel_drops", "udp"]].concat();
    let mut agent = Dropscope::start(folder.path(), &args);
    agent.hear("sending it to");
    for round in 1..=CUTS / KILL_EVERY {
        for cut in (round - 1) * KILL_EVERY..round * KILL_EVERY {
            wait_until("the connection is cut once more", || relay.cuts() > cut);
        }
        server.signal(Signal::SIGKILL);
        server.child.wait().unwrap();
        (server, ..) = serve(folder.path(), &address.port().to_string());
        if round == 2 {
            // The agent, too: another one goes on with its spool and its capture.
            agent.signal(Signal::SIGKILL);
            agent.child.wait().unwrap();
            agent = Dropscope::start(folder.path(), &args);
            agent.hear("sending it to");
        }
    }
    traffic.stop();
    assert!(agent.end().success());

    let (copy, spool) = (std::fs::read(pushed(&folder.path().join("data"))).unwrap(), spooled(&folder.path().join("spool")));
    assert!(copy == spool, "{} bytes were pushed, {} are in the spool", copy.len(), spool.len());
    let found = read(&copy);
    assert_eq!(found.end, None);
    let joined = folder.path().join("copy.pcapng");
    std::fs::write(&joined, &copy).unwrap();
    assert_eq!(tshark_counts(&joined), found.packets);
    assert!(found.packets > 1000, "{} packets", found.packets);
    eprintln!("{} cuts, {} bytes", relay.cuts(), copy.len());
    assert!(server.end().success());
}

#[test]
fn a_spool_that_is_too_small_says_what_it_gave_up_and_the_rest_arrives() {
    if !can_run("a_spool_that_is_too_small_says_what_it_gave_up_and_the_rest_arrives") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut server, address, route) = serve(folder.path(), "0");
    let namespace = Namespace::new("spool");
    let mut traffic = namespace.send_datagrams(1000, Duration::from_micros(200));
    let link = format!("http://{address}/{route}");
    let args = ["agent", "--push", &link, "--netns", &namespace.0, "-i", "lo", "--spool", "spool", "--spool-size", "1M"];
    let mut agent = Dropscope::start(folder.path(), &[&args[..], &["--without", "kernel_drops", "udp"]].concat());
    let data = folder.path().join("data");
    wait_until("something arrived", || length(&pushed(&data)) > 100_000);
    server.signal(Signal::SIGKILL);
    server.child.wait().unwrap();
    agent.hear("was removed before it was sent");
    (server, ..) = serve(folder.path(), &address.port().to_string());
    let before = length(&pushed(&data));
    wait_until("sending goes on", || length(&pushed(&data)) > before + 1_000_000);
    traffic.stop();
    assert!(agent.end().success());
    let copy = std::fs::read(pushed(&data)).unwrap();
    let found = read(&copy);
    assert_eq!(found.end, None, "what is missing is missing in whole segments");
    let told = found.marks("data_discarded");
    assert!(told.iter().any(|text| text.contains("The spool is full: segment ")), "{told:?}");
    assert!(found.numbers.is_sorted() && !found.is_without_gap(), "what was given up is missing");
    assert_eq!(found.numbers.last(), Some(&(traffic.sent() as u64 - 1)), "the newest is there");
    assert!(server.end().success());
}

/// Something in front of `server` that speaks TLS with one of the certificates, as a proxy would.
fn speak_tls(server: SocketAddr, certificate: &str) -> SocketAddr {
    let certificates = CertificateDer::pem_file_iter(format!("{TLS}{certificate}")).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{TLS}key.pem")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((agent, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Who does not trust the certificate goes before the handshake is done.
                let Ok(mut agent) = acceptor.accept(agent).await else { return };
                // A server that is down is met as one that hangs up.
                let Ok(mut server) = tokio::net::TcpStream::connect(server).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut agent, &mut server).await;
            });
        }
    };
    std::thread::spawn(move || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve));
    address
}

/// The value of a metric.
fn metric(address: &str, name: &str) -> Option<u64> {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn through_tls_a_recording_arrives_with_its_trigger_and_is_counted() {
    if !can_run("through_tls_a_recording_arrives_with_its_trigger_and_is_counted") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut server, address, route) = serve(folder.path(), "0");
    let namespace = Namespace::new("tls");
    let mut traffic = namespace.send_datagrams(600, Duration::from_millis(2));
    let (link, ca) = (format!("https://{}/{route}", speak_tls(address, "server.pem")), format!("{TLS}ca.pem"));
    let args = ["agent", "--push", &link, "--push-ca", &ca, "--netns", &namespace.0, "-i", "lo", "--spool", "spool"];
    let more = ["--without", "kernel_drops", "--trigger", "nstat.UdpNoPorts>20/s", "--metrics", "127.0.0.1:0", "udp"];
    let mut agent = Dropscope::start(folder.path(), &[&args[..], &more].concat());
    let metrics = agent.hear("metrics at http://").rsplit_once("http://").unwrap().1.trim_end_matches("/metrics").to_owned();
    agent.hear("Trigger nstat.UdpNoPorts>20/s: ");
    let told = |name: &str| metric(&metrics, name).unwrap_or_else(|| panic!("{name} is not told"));
    wait_until("the server has some of it", || told("dropscope_push_acknowledged_offset_bytes") > 50_000);
    assert_eq!((told("dropscope_push_connected"), told("dropscope_push_acknowledged_segment")), (1, 1));
    server.signal(Signal::SIGKILL);
    server.child.wait().unwrap();
    wait_until("the cut is noticed", || told("dropscope_push_connected") == 0);
    wait_until("what is not sent waits", || told("dropscope_spool_waiting_bytes") > 50_000);
    (server, ..) = serve(folder.path(), &address.port().to_string());
    wait_until("it is sent after all", || told("dropscope_spool_waiting_bytes") < 50_000);
    assert!(told("dropscope_push_reconnects_total") > 0);
    assert_eq!(told("dropscope_spool_discarded_bytes_total"), 0);
    traffic.stop();
    assert!(agent.end().success());

    let (copy, spool) = (std::fs::read(pushed(&folder.path().join("data"))).unwrap(), folder.path().join("spool"));
    assert!(copy == spooled(&spool), "{} bytes were pushed", copy.len());
    let found = read(&copy);
    let marks = found.marks("trigger");
    assert!(marks.iter().any(|mark| mark.contains("UdpNoPorts")), "{marks:?}");
    let frozen = std::fs::read_dir(spool.join("frozen")).unwrap().next().expect("one freeze").unwrap().path();
    assert_eq!(spooled(&frozen), copy, "one segment holds it all");
    assert!(server.end().success());
}

/// What a server answers to a request, with its header.
fn call(address: SocketAddr, token: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n");
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A token that the owner makes for agents.
fn token_for_pushes(address: SocketAddr, owner: &str) -> String {
    let made = call(address, owner, "POST", "/api/tokens?name=web-1");
    assert!(made.starts_with("HTTP/1.1 201 "), "{made}");
    let made: serde_json::Value = serde_json::from_str(made.split_once("\r\n\r\n").unwrap().1).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

/// Every user of a host reads every process's command line.
#[test]
fn a_token_from_a_file_or_the_environment_is_enough_and_in_no_command_line() {
    if !can_run("a_token_from_a_file_or_the_environment_is_enough_and_in_no_command_line") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut server, address, route) = serve(folder.path(), "0");
    let token = token_for_pushes(address, route.split_once("k=").unwrap().1);
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    for way in ["file", "environment", "neither"] {
        let (namespace, spool) = (Namespace::new(way), folder.path().join(way));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dropscope"));
        command.args(["agent", "--push", &format!("http://{address}/"), "--netns", &namespace.0, "-i", "lo"]);
        command.args(["--without", "kernel_drops", "--spool"]).arg(&spool);
        match way {
            "file" => command.arg("--push-token-file").arg(&file),
            "environment" => command.env("DROPSCOPE_PUSH_TOKEN", &token),
            _ => &mut command,
        };
        let mut agent = Dropscope::start_by(&mut command, folder.path());
        if way == "neither" {
            let said = agent.hear("there is no token");
            assert!(said.contains("--push-token-file") && said.contains("DROPSCOPE_PUSH_TOKEN"), "{said}");
            assert!(!agent.child.wait().unwrap().success());
            continue;
        }
        agent.hear("sending it to");
        let captures = || std::fs::read_dir(folder.path().join("data/captures")).into_iter().flatten().flatten();
        let arrived = || captures().map(|item| std::fs::read(item.path().join("log")).unwrap_or_default());
        wait_until("something arrived", || arrived().any(|log| !log.is_empty() && spooled(&spool).starts_with(&log)));
        let line = std::fs::read(format!("/proc/{}/cmdline", agent.child.id())).unwrap();
        let line = String::from_utf8_lossy(&line);
        assert!(line.contains("--push") && !line.contains(&token), "{line}");
        assert!(agent.end().success());
        let all = spooled(&spool);
        assert!(arrived().any(|log| log == all), "all of it arrived");
        agent.heard.extend(agent.said.iter());
        assert!(!agent.heard.iter().any(|line| line.contains(&token)), "{:?}", agent.heard);
    }
    assert!(server.end().success());
}

#[test]
fn a_capture_that_is_deleted_at_the_server_stops_its_agent_which_says_so() {
    if !can_run("a_capture_that_is_deleted_at_the_server_stops_its_agent_which_says_so") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut server, address, route) = serve(folder.path(), "0");
    let token = route.split_once("k=").unwrap().1;
    let call = |method: &str, path: &str| call(address, token, method, path);
    // A token that may begin pushes is enough.
    let link = format!("http://{address}/#/?k={}", token_for_pushes(address, token));
    let namespace = Namespace::new("deleted");
    let args = ["agent", "--push", &link, "--netns", &namespace.0, "-i", "lo", "--spool", "spool", "--without", "kernel_drops"];
    let mut agent = Dropscope::start(folder.path(), &args);
    let data = folder.path().join("data");
    wait_until("something arrived", || length(&pushed(&data)) > 0);
    let home = pushed(&data).parent().unwrap().to_owned();
    let id = home.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(call("DELETE", &format!("/api/captures/{id}")).starts_with("HTTP/1.1 204 "));
    let said = agent.hear("takes no more of this recording");
    assert!(said.contains("The capture was deleted."), "{said}");
    assert!(!agent.child.wait().unwrap().success());
    // Started again by whoever watches over it, it does not bring the capture back.
    let mut agent = Dropscope::start(folder.path(), &args);
    agent.hear("takes no more of this recording");
    assert!(!agent.child.wait().unwrap().success());
    assert_eq!(pushed(&data), PathBuf::new());
    assert!(server.end().success());
}

#[test]
fn what_is_wrong_with_a_certificate_is_told() {
    if !can_run("what_is_wrong_with_a_certificate_is_told") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut server, address, route) = serve(folder.path(), "0");
    let namespace = Namespace::new("cert");
    let cases = [
        (Some("server.pem"), "other-name.pem", "its certificate is signed by nobody who is trusted here"),
        (Some("other-name.pem"), "ca.pem", "its certificate is not for 127.0.0.1 but for "),
        (Some("expired.pem"), "ca.pem", "its certificate has expired"),
        (None, "ca.pem", "what answers there does not speak TLS"),
    ];
    for (at, (certificate, trusted, words)) in cases.into_iter().enumerate() {
        let secured = certificate.map_or(address, |certificate| speak_tls(address, certificate));
        let (link, ca) = (format!("https://{secured}/{route}"), format!("{TLS}{trusted}"));
        let spool = format!("spool{at}");
        let args = ["agent", "--push", &link, "--push-ca", &ca, "--netns", &namespace.0, "-i", "lo", "--spool", &spool];
        let mut agent = Dropscope::start(folder.path(), &[&args[..], &["--without", "kernel_drops"]].concat());
        let said = agent.hear("no secure connection: ");
        assert!(said.contains(words), "{said}");
    }
    assert!(server.end().success());
}
