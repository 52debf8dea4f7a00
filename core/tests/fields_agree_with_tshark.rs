//! Fields have the values that Wireshark gives them: every field that both know, of every packet of the kept captures.
//!
//! What is not compared, and why, stands in `NOT_COMPARED`; docs/wireshark-differences.md says more.
#![cfg(not(target_arch = "wasm32"))]

use dropscope_core::filter::{FIELDS, Field, Type};
use dropscope_core::query::{Chosen, Engine, FieldLines};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const CAPTURES: [&str; 8] = [
    "packets.pcapng",
    "mtu-100-srv.pcap",
    "nft-drop-cli.pcap",
    "labs/reject-icmp.pcap",
    "labs/zero-window.pcap",
    "labs/healthy.pcap",
    "labs/rst-closed.pcap",
    "labs/syn-blackhole.pcap",
];

/// Fields that TShark does not know, or means otherwise, with the reason.
const NOT_COMPARED: &[(&str, &str)] = &[
    ("ieee8021ad.etype", "not a field there"),
    ("ip.options", "not a field there"),
    ("tcp.options.mptcp", "the beginning of fields' names there"),
    ("geneve.option_length", "not a field there"),
    ("dns.data", "there of records of unknown types alone, here of all that are not read"),
    ("tcp.checksum.status", "judged here, left out there"),
    ("udp.checksum.status", "judged here, left out there"),
    ("tcp.completeness", "TShark prints it as it was before the packet"),
    ("data", "what no layer reads: there are other layers there"),
    ("http", "there on every segment of a message"),
    ("http.connection", "there of lines that are cut, too"),
    ("dhcp.option.value", "there of options that are read, too"),
    ("_ws.short", "there of messages that are cut, too"),
    ("udp.stream", "there tunnels are conversations, too"),
    ("udp.time_delta", "there of tunnels, too"),
    ("udp.time_relative", "there of tunnels, too"),
    ("ntp.rootdelay", "a number in Wireshark 4.0, of 65,536 to the second"),
    ("ntp.rootdispersion", "a number in Wireshark 4.0, of 65,536 to the second"),
];

/// Values that differ, by capture and packet.
const KNOWN: &[(&str, usize, &str)] = &[
    // QUIC's Initial does not decrypt.
    ("packets.pcapng", 18, "_ws.malformed"),
    // Of a quoted segment that is not whole Wireshark shows the number once.
    ("labs/reject-icmp.pcap", 11, "tcp.seq_raw"),
];

#[test]
fn every_value_is_that_of_tshark() {
    if Command::new("tshark").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "tshark is needed in CI");
        skipped();
        return;
    }
    let is_compared =
        |field: &&&Field| !field.about.ends_with("(Dropscope)") && NOT_COMPARED.iter().all(|(name, _)| *name != field.name);
    let fields: Vec<&Field> = FIELDS.iter().filter(is_compared).copied().collect();
    let (mut wrong, mut values) = (String::new(), 0);
    for capture in CAPTURES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(capture);
        let (ours, theirs) = (here(&path, &fields), in_tshark(&path, &fields));
        assert_eq!(ours.len(), theirs.len(), "{capture}");
        for (no, (ours, theirs)) in (1..).zip(ours.iter().zip(&theirs)) {
            let (ours, theirs): (Vec<&str>, Vec<&str>) = (ours.split('\t').collect(), theirs.split('\t').collect());
            assert_eq!((ours.len(), theirs.len()), (fields.len(), fields.len()), "{capture} {no}");
            for (field, (ours, theirs)) in fields.iter().zip(ours.iter().zip(theirs)) {
                let (ours, theirs) = (plain(field, ours), plain(field, theirs));
                values += usize::from(!theirs.is_empty());
                if ours != theirs && !KNOWN.contains(&(capture, no, field.name)) {
                    let _ = writeln!(wrong, "{capture} {no} {}: {ours}, TShark {theirs}", field.name);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(values > 10_000, "hardly anything is compared: {values}");
}

/// A value without what only its writing makes different: TShark pads some numbers otherwise, and writes a layer's whole line.
fn plain(field: &Field, values: &str) -> String {
    match field.kind {
        Type::Presence if !values.is_empty() => "there".into(),
        Type::Number | Type::Flag => {
            let number = |value: &str| match value.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).map_or_else(|_| value.to_owned(), |number| number.to_string()),
                None => value.to_owned(),
            };
            values.split(',').map(number).collect::<Vec<_>>().join(",")
        }
        // A time that is not set.
        Type::Moment if values == "NULL" => "Jan  1, 1970 00:00:00.000000000 UTC".into(),
        _ => values.to_owned(),
    }
}

fn here(capture: &Path, fields: &[&Field]) -> Vec<String> {
    let log = std::fs::read(capture).unwrap_or_else(|error| panic!("{}: {error}", capture.display()));
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    let mut engine = Engine::new();
    engine.push(&log);
    engine.finish();
    let chosen = Chosen::fields(&names.join(",")).unwrap_or_else(|error| panic!("{error:?}"));
    let mut lines = FieldLines::new(chosen, engine);
    let mut text = String::new();
    lines.push(&log, &mut text);
    lines.finish(&mut text).expect("the capture is whole");
    text.lines().map(str::to_owned).collect()
}

fn in_tshark(capture: &Path, fields: &[&Field]) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    // Twice over the capture, as Wireshark's window shows it.
    tshark.args(["-n", "-2", "-T", "fields"]).env("TZ", "UTC").env("WIRESHARK_CONFIG_DIR", "/nonexistent");
    for field in fields {
        tshark.args(["-e", field.name]);
    }
    let output = tshark.arg("-r").arg(capture).output().expect("tshark starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Reports past the test harness, which swallows what a passing test prints.
fn skipped() {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("SKIPPED {test}: tshark is not installed\n").as_bytes());
}
