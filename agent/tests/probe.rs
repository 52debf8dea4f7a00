//! `dropscope probe` against real servers behind real faults: the labs, nginx with TLS, a name server's port.
//!
//! Those in labs need root; without it each says so in one line and passes, except where `CI` is set.

mod common;

use anyhow::{Context as _, Result};
use common::can_run;
use dropscope_core::log::Decoder;
use dropscope_core::log::record::Record;
use dropscope_labs::{Lab, Namespace};
use serde_json::Value;
use std::fs;
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const DROPSCOPE: &str = env!("CARGO_BIN_EXE_dropscope");
const PATIENCE: Duration = Duration::from_secs(20);

/// What a probe said: its exit status and its outcomes by kind.
struct Told {
    status: i32,
    json: Value,
}

impl Told {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let json = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr));
        });
        Self { status: output.status.code().expect("it ended by itself"), json }
    }

    fn outcome(&self, kind: &str) -> &Value {
        let outcomes = self.json["probes"].as_array().expect("a list");
        outcomes.iter().find(|outcome| outcome["kind"] == kind).unwrap_or_else(|| panic!("no {kind} in {:#}", self.json))
    }
}

fn probe_from(namespace: &Namespace, args: &[&str]) -> Told {
    Told::of(&namespace.command(DROPSCOPE).args(["probe", "--json"]).args(args).output().expect("ip is installed"))
}

#[test]
fn a_healthy_service_is_fine_with_rights_and_without() -> Result<()> {
    if !can_run("a_healthy_service_is_fine_with_rights_and_without") {
        return Ok(());
    }
    let lab = Lab::named("healthy")?.start("prbfine")?;
    let target = format!("{}:80", lab.net().server_address);
    let told = probe_from(&lab.net().client, &[&target, "--syn", "10", "--interval", "0.01", "--http", "/", "--pmtu"]);
    let (syn, http, pmtu) = (told.outcome("syn"), told.outcome("http"), told.outcome("pmtu"));
    assert_eq!((told.status, &syn["answered"], &syn["details"]["mss"]), (0, &10.into(), &1460.into()), "{syn:#}");
    assert!(syn["rtt_ms"]["max"].as_f64() >= syn["rtt_ms"]["p50"].as_f64(), "{syn:#}");
    assert_eq!((&http["details"]["status"], &http["details"]["body_bytes"]), (&200.into(), &12.into()), "{http:#}");
    assert_eq!((&pmtu["details"]["verdict"], &pmtu["details"]["mtu"]), (&"whole".into(), &1500.into()), "{pmtu:#}");

    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("dropscope");
    common::copy_command(folder.path());
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    let mut command = lab.net().client.command("setpriv");
    command.args(as_nobody).arg(&copy).args(["probe", "--json", &target, "--syn", "4"]);
    let told = Told::of(&command.output()?);
    let connect = told.outcome("connect");
    assert_eq!((told.status, &connect["answered"]), (0, &4.into()), "{connect:#}");
    assert!(connect["summary"].as_str().is_some_and(|text| text.contains("single SYNs need CAP_NET_RAW")), "{connect:#}");
    Ok(())
}

#[test]
fn each_fault_is_told_from_the_others() -> Result<()> {
    if !can_run("each_fault_is_told_from_the_others") {
        return Ok(());
    }
    // Lab, port, what each SYN met.
    let cases = [("syn-dropped", 80, "lost"), ("refused", 81, "refused"), ("rejected", 80, "rejected")];
    for (name, port, fate) in cases {
        let lab = Lab::named(name)?.start("prbfate")?;
        let target = format!("{}:{port}", lab.net().server_address);
        let told = probe_from(&lab.net().client, &[&target, "--syn", "4", "--interval", "0.05", "--timeout", "1.5"]);
        let syn = told.outcome("syn");
        let details = &syn["details"];
        let rejected: u64 = details["rejected"].as_object().context("a map")?.values().filter_map(Value::as_u64).sum();
        let count = |key: &str| if key == "rejected" { rejected } else { details[key].as_u64().unwrap_or(0) };
        assert_eq!((told.status, syn["answered"].as_u64()), (1, Some(0)), "{name}: {syn:#}");
        for key in ["lost", "refused", "rejected"] {
            assert_eq!(count(key), if key == fate { 4 } else { 0 }, "{name}, {key}: {syn:#}");
        }
    }

    let lab = Lab::named("random-drop")?.start("prbrand")?;
    let target = format!("{}:80", lab.net().server_address);
    let told = probe_from(&lab.net().client, &[&target, "--syn", "40", "--interval", "0.02"]);
    let syn = told.outcome("syn");
    let (lost, answered) = (syn["details"]["lost"].as_u64().context("lost")?, syn["answered"].as_u64().context("answered")?);
    let late = syn["details"]["retransmitted"]["once_or_more"].as_u64().context("late")?;
    // Of 40 SYNs 28 get in, and 20 answers get out at once; the others only when they are sent again.
    assert_eq!((told.status, lost + answered), (1, 40), "{syn:#}");
    assert!((2..30).contains(&lost) && (1..30).contains(&late), "{syn:#}");
    Ok(())
}

#[test]
fn a_small_mtu_lets_requests_die_and_is_found() -> Result<()> {
    if !can_run("a_small_mtu_lets_requests_die_and_is_found") {
        return Ok(());
    }
    let lab = Lab::named("mtu-100")?.start("prbmtu")?;
    let target = format!("{}:80", lab.net().server_address);
    let told = probe_from(&lab.net().client, &[&target, "--syn", "2", "--http", "/", "--pmtu", "--timeout", "2"]);
    let (syn, http, pmtu) = (told.outcome("syn"), told.outcome("http"), told.outcome("pmtu"));
    assert_eq!((told.status, &syn["details"]["mss"]), (1, &256.into()), "the kernel's smallest, of an MTU below 296: {syn:#}");
    assert_eq!((&http["details"]["died_in"], &http["fine"]), (&"first_byte".into(), &false.into()), "{http:#}");
    assert!(http["details"]["retransmitted"].as_u64() > Some(0), "{http:#}");
    // A veth lets four bytes more through, for a VLAN tag; the reply of 104 bytes leaves in fragments.
    assert_eq!((&pmtu["details"]["verdict"], &pmtu["details"]["mtu"]), (&"black_hole".into(), &104.into()), "{pmtu:#}");
    assert!(pmtu["details"]["back_in_fragments_of"].as_u64().is_some_and(|size| size <= 100), "{pmtu:#}");
    Ok(())
}

#[test]
fn a_black_hole_is_told_from_a_router_that_says_so() -> Result<()> {
    if !can_run("a_black_hole_is_told_from_a_router_that_says_so") {
        return Ok(());
    }
    for (name, verdict, way) in [("pmtud-black-hole", "black_hole", Some("there")), ("pmtud-ok", "refused", None)] {
        let lab = Lab::named(name)?.start("prbhole")?;
        let net = lab.net();
        let told = probe_from(&net.server, &[&format!("{}:80", net.client_address), "--pmtu", "--timeout", "3"]);
        let pmtu = told.outcome("pmtu");
        assert_eq!((&pmtu["details"]["verdict"], &pmtu["details"]["mtu"]), (&verdict.into(), &600.into()), "{name}: {pmtu:#}");
        assert_eq!(pmtu["details"]["vanish_on_the_way"].as_str(), way, "{name}: {pmtu:#}");
        assert_eq!(told.status, i32::from(verdict == "black_hole"), "{name}");
    }
    Ok(())
}

/// IPv6 through the router of a lab, whose route to the client takes packets of 1,300 bytes: what it says is told, and where it
/// says nothing, on which way packets vanish.
#[test]
fn paths_of_ipv6_are_probed_both_ways() -> Result<()> {
    if !can_run("paths_of_ipv6_are_probed_both_ways") {
        return Ok(());
    }
    let lab = Lab::named("pmtud-ok")?.start("prbsix")?;
    let net = lab.net();
    net.between.run("ip", &["link", "set", "cside", "mtu", "1500"])?;
    net.between.run("sysctl", &["-qw", "net.ipv6.conf.all.forwarding=1"])?;
    for (place, device, address, via) in [
        (&net.server, "eth0", "fd00:1::1/64", Some("fd00:1::254")),
        (&net.between, "sside", "fd00:1::254/64", None),
        (&net.client, "eth0", "fd00:2::1/64", Some("fd00:2::254")),
        (&net.between, "cside", "fd00:2::254/64", None),
    ] {
        place.run("ip", &["address", "add", address, "dev", device, "nodad"])?;
        if let Some(via) = via {
            place.run("ip", &["-6", "route", "add", "default", "via", via])?;
        }
    }
    // Locked, a route's MTU holds for what is forwarded, too; the link itself takes 1,500 bytes the other way.
    let narrow =
        ["-6", "route", "replace", "fd00:2::/64", "dev", "cside", "proto", "kernel", "metric", "256", "mtu", "lock", "1300"];
    net.between.run("ip", &narrow)?;
    let args = |host: &str| [format!("[{host}]:80"), "--pmtu".into(), "--syn".into(), "2".into(), "--timeout".into(), "3".into()];
    let told = |place: &Namespace, host: &str| probe_from(place, &args(host).each_ref().map(String::as_str));

    let refused = told(&net.server, "fd00:2::1");
    let pmtu = refused.outcome("pmtu");
    let details = &pmtu["details"];
    assert_eq!((&details["verdict"], &details["mtu"]), (&"refused".into(), &1300.into()), "{pmtu:#}");
    assert_eq!(details["refused"]["by"], "fd00:1::254", "{pmtu:#}");
    assert_eq!(refused.outcome("syn")["details"]["refused"], 2, "nobody listens there, and says so");

    net.between.run("ip6tables-nft", &["-A", "OUTPUT", "-p", "icmpv6", "--icmpv6-type", "packet-too-big", "-j", "DROP"])?;
    net.server.run("ip", &["-6", "route", "flush", "cache"])?;
    for (place, host, way) in [(&net.server, "fd00:2::1", "there"), (&net.client, "fd00:1::1", "back")] {
        let told = told(place, host);
        let pmtu = told.outcome("pmtu");
        let details = &pmtu["details"];
        assert_eq!((&details["verdict"], &details["mtu"]), (&"black_hole".into(), &1300.into()), "{pmtu:#}");
        assert_eq!((&details["vanish_on_the_way"], told.status), (&way.into(), 1), "{pmtu:#}");
    }
    Ok(())
}

#[test]
fn a_name_server_of_ipv6_tells_addresses_of_both_kinds() -> Result<()> {
    if !can_run("a_name_server_of_ipv6_tells_addresses_of_both_kinds") {
        return Ok(());
    }
    let lab = Lab::named("healthy")?.start("prbdns")?;
    let place = &lab.net().server;
    let server = place.enter(|| Ok(UdpSocket::bind("[::1]:0")?))?;
    server.set_read_timeout(Some(PATIENCE))?;
    let address = server.local_addr()?.to_string();
    let answering = std::thread::spawn(move || -> Result<()> {
        for (kind, data) in [(1, vec![10, 0, 0, 1]), (28, [&[0xfd][..], &[0; 14], &[1]].concat())] {
            let mut buffer = [0; 512];
            let (length, from) = server.recv_from(&mut buffer)?;
            anyhow::ensure!(buffer[length - 3] == kind, "a question for type {kind}");
            let mut answer = buffer[..length].to_vec();
            (answer[2], answer[7]) = (answer[2] | 0x80, 1);
            answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 9, 0, data.len() as u8]);
            answer.extend(data);
            server.send_to(&answer, from)?;
        }
        Ok(())
    });
    let told = probe_from(place, &["--dns", "web.example", &address]);
    answering.join().expect("it does not panic")?;
    let dns = told.outcome("dns");
    assert_eq!((told.status, &dns["details"]["addresses"]), (0, &serde_json::json!(["10.0.0.1", "fd00::1"])), "{dns:#}");
    Ok(())
}

#[test]
fn probes_beside_a_recording_stand_in_its_log() -> Result<()> {
    if !can_run("probes_beside_a_recording_stand_in_its_log") {
        return Ok(());
    }
    let lab = Lab::named("healthy")?.start("prbrec")?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("a.pcapng");
    let target = format!("{}:80", lab.net().server_address);
    let mut command = Command::new(DROPSCOPE);
    command.args(["record", "--netns", lab.net().client.name(), "-i", "eth0", "--probe", &target, "--probe-every", "0.2"]);
    let output = command.args(["--duration", "3", "-o"]).arg(&log).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut probes = Vec::new();
    let mut decoder = Decoder::new();
    let mut take = |record: Record<'_>| {
        if let Record::Probe(probe) = record {
            probes.push(*probe);
        }
    };
    decoder.push(&fs::read(log)?, &mut take);
    decoder.finish(&mut take)?;
    assert!(probes.len() >= 2, "{probes:?}");
    for probe in probes {
        assert_eq!((probe.kind.as_str(), probe.target.as_str(), probe.sent, probe.answered), ("syn", target.as_str(), 5, 5));
    }
    Ok(())
}

/// nginx with a certificate for `localhost` on a port of its own.
struct Secure {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Secure {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let authority = "-subj /CN=authority -keyout ca.key -out ca.pem";
        let server = "-subj /CN=localhost -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
                      -CA ca.pem -CAkey ca.key -keyout key.pem -out cert.pem";
        for words in [authority, server] {
            let words = format!("req -x509 -newkey rsa:2048 -nodes -days 2 {words}");
            let words = words.split_ascii_whitespace();
            let made = Command::new("openssl").args(words).current_dir(path).output().context("openssl is installed")?;
            anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let configuration = format!(
            "daemon off; pid nginx.pid; error_log stderr; events {{}}\n\
             http {{ access_log off; server {{ listen localhost:{port} ssl; ssl_certificate {0}/cert.pem; \
             ssl_certificate_key {0}/key.pem; location / {{ return 200 'secure'; }} }} }}\n",
            path.display()
        );
        fs::write(path.join("nginx.conf"), configuration)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(path).arg("-c").arg(path.join("nginx.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let secure = Self { child: command.spawn().context("nginx is installed")?, folder, port };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            anyhow::ensure!(Instant::now() < deadline, "nginx did not listen on port {port}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(secure)
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id() as i32), nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

fn https(target: &str, trusted: &Path) -> Result<Told> {
    let mut command = Command::new(DROPSCOPE);
    command.args(["probe", "--json", "--tls", "--http", "/", target]).env("SSL_CERT_FILE", trusted);
    Ok(Told::of(&command.output()?))
}

#[test]
fn a_certificate_that_is_not_trusted_ends_in_the_handshake() -> Result<()> {
    let server = Secure::start()?;
    let cert = server.folder.path().join("ca.pem");
    let told = https(&format!("localhost:{}", server.port), &cert)?;
    let http = told.outcome("http");
    assert_eq!(
        (told.status, &http["details"]["status"], &http["details"]["body_bytes"]),
        (0, &200.into(), &6.into()),
        "{http:#}"
    );
    assert!(http["details"]["phases_ms"]["tls"].as_f64() > Some(0.0), "{http:#}");

    let told = https(&format!("127.0.0.1:{}", server.port), &cert)?;
    let http = told.outcome("http");
    assert_eq!((told.status, &http["details"]["died_in"]), (1, &"tls".into()), "the certificate names localhost alone: {http:#}");
    Ok(())
}

#[test]
fn a_name_server_answers_or_is_silent_or_is_not_there() -> Result<()> {
    let server = UdpSocket::bind("127.0.0.1:0")?;
    server.set_read_timeout(Some(PATIENCE))?;
    let address = server.local_addr()?.to_string();
    let ask = |address: &str| -> Result<Told> {
        let args = ["probe", "--json", "--dns", "web.example", "--timeout", "0.6", address];
        Ok(Told::of(&Command::new(DROPSCOPE).args(args).output()?))
    };
    // The first question is left alone, as a lossy path does; the second is told that there is no such name.
    let answering = std::thread::spawn(move || -> Result<UdpSocket> {
        let mut buffer = [0; 512];
        server.recv_from(&mut buffer)?;
        let (length, from) = server.recv_from(&mut buffer)?;
        buffer[2] |= 0x80;
        buffer[3] |= 3;
        server.send_to(&buffer[..length], from)?;
        Ok(server)
    });
    let told = ask(&address)?;
    let dns = told.outcome("dns");
    assert_eq!((told.status, &dns["details"]["code"], &dns["sent"]), (1, &"NXDOMAIN".into(), &2.into()), "{dns:#}");

    let server = answering.join().expect("it does not panic")?;
    let told = ask(&address)?;
    let dns = told.outcome("dns");
    assert_eq!((told.status, &dns["sent"], &dns["answered"]), (1, &3.into(), &0.into()), "{dns:#}");

    drop(server);
    let told = ask(&address)?;
    assert!(told.outcome("dns")["summary"].as_str().is_some_and(|text| text.contains("nobody listens")), "{:#}", told.json);
    Ok(())
}

#[test]
fn what_cannot_be_a_target_is_wrong_use_or_a_result() -> Result<()> {
    let status =
        |args: &[&str]| -> Result<Option<i32>> { Ok(Command::new(DROPSCOPE).arg("probe").args(args).output()?.status.code()) };
    assert_eq!(status(&[])?, Some(2));
    assert_eq!(status(&["localhost"])?, Some(2), "no port");
    assert_eq!(status(&["localhost:http"])?, Some(2), "no number");
    assert_eq!(status(&["--tls", "localhost:80"])?, Some(2), "TLS for nothing");
    assert_eq!(status(&["no-such-name.invalid:80"])?, Some(1));
    Ok(())
}
