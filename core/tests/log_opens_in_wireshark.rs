//! What the encoder writes is a pcapng file that Wireshark's own tools read, with the same packets, times and comments.

use dropscope_core::ids::{InterfaceId, NetnsId};
use dropscope_core::log::block::{Catalogue, Clock, Host, KernelDrop, Mark, Payload, Probe, Snapshot};
use dropscope_core::log::record::{FileFormat, Interface, Section, Statistics, Watched};
use dropscope_core::log::{Encoder, PacketToWrite};
use dropscope_core::time::Timestamp;
use std::process::Command;

#[test]
fn tshark_and_capinfos_open_what_the_encoder_writes() {
    let Some(version) = tool("tshark", &["--version"]) else { return };
    assert!(version.starts_with("TShark"), "{version}");
    let path = std::env::temp_dir().join(format!("dropscope-encoder-{}.pcapng", std::process::id()));
    std::fs::write(&path, sample()).expect("the log is written");
    let file = path.to_str().expect("a temporary path is text");

    let fields =
        ["frame.time_epoch", "frame.interface_name", "frame.cap_len", "frame.len", "frame.packet_flags", "frame.comment"];
    let mut arguments = vec!["-n", "-r", file, "-T", "fields", "-E", "separator=|"];
    for field in fields {
        arguments.extend(["-e", field]);
    }
    let packets = tool("tshark", &arguments);
    let summary = tool("capinfos", &["-M", "-c", "-t", "-I", file]);
    std::fs::remove_file(&path).expect("the log was there");

    assert_eq!(
        packets.expect("tshark is there"),
        "1700000000.000000001|eth0|60|60||\n\
         1700000000.999999999|tun0|28|1500|0x00000001|first fragment\n"
    );
    let summary = summary.expect("capinfos comes with tshark");
    for line in ["Number of packets:   2", "Number of stat entries = 1", "Time precision = nanoseconds (9)", "Name = tun0"] {
        assert!(summary.contains(line), "{line} is not in\n{summary}");
    }
}

/// Two interfaces, two packets, statistics, and a record of each kind of ours between them.
fn sample() -> Vec<u8> {
    let mut log = Vec::new();
    let section = Section {
        format: FileFormat::PcapNg,
        hardware: None,
        os: Some("Linux 6.18".into()),
        application: Some("Dropscope 0.1.0".into()),
        comments: vec!["made by a test".into()],
    };
    let mut encoder = Encoder::begin(&section, &mut log);
    record(&encoder, &Host { hostname: "web-1".into(), ..Host::default() }, &mut log);
    let interface = |name: &str, link_type, snaplen| Interface {
        id: InterfaceId(0),
        number: 0,
        link_type,
        snaplen,
        name: Some(name.into()),
        description: None,
        filter: Some("port 80".into()),
        os: None,
        ticks_per_second: 1_000_000_000,
        comments: vec![Watched { netns: NetnsId(4_026_531_840), ifindex: 2 }.comment()],
    };
    let eth0 = encoder.interface(&interface("eth0", 1, 262_144), &mut log);
    let tun0 = encoder.interface(&interface("tun0", 101, 28), &mut log);
    record(&encoder, &Clock::default(), &mut log);
    record(&encoder, &Catalogue::default(), &mut log);
    let time = |nanos: i64| Timestamp::from_nanos(1_700_000_000_000_000_000 + nanos);
    let first = PacketToWrite { interface: eth0, time: time(1), wire_len: 60, data: &[0; 60], ..PacketToWrite::default() };
    encoder.packet(&first, &mut log);
    record(&encoder, &Snapshot { values: vec![(1, 2)], ..Snapshot::default() }, &mut log);
    record(&encoder, &KernelDrop { bytes: vec![0x45; 5], ..KernelDrop::default() }, &mut log);
    record(&encoder, &Probe::default(), &mut log);
    let second = PacketToWrite {
        interface: tun0,
        time: time(999_999_999),
        wire_len: 1500,
        data: &[0x45; 28],
        flags: Some(1),
        drop_count: Some(7),
        comment: Some("first fragment"),
    };
    encoder.packet(&second, &mut log);
    record(&encoder, &Mark { kind: "recording_stopped".into(), ..Mark::default() }, &mut log);
    let statistics =
        Statistics { interface: tun0, time: time(0), received: Some(9), os_dropped: Some(7), ..Statistics::default() };
    encoder.statistics(&statistics, &mut log);
    log
}

fn record(encoder: &Encoder, payload: &impl Payload, log: &mut Vec<u8>) {
    encoder.record(payload, log).expect("a small record fits a block");
}

/// What a tool printed; `None` where it is not installed, which CI does not put up with.
fn tool(name: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(name).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).expect("its output is UTF-8"))
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{name} is needed in CI: {error}");
            eprintln!("skipped: {name} is not installed");
            None
        }
    }
}
