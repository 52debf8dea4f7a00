//! What the encoder writes is a pcapng file that Wireshark's own tools read, with the same packets, times and comments.

#![cfg(not(target_arch = "wasm32"))]

mod common;

#[test]
fn tshark_and_capinfos_open_what_the_encoder_writes() {
    let Some(version) = common::tool("tshark", &["--version"]) else { return };
    assert!(version.starts_with("TShark"), "{version}");
    let path = std::env::temp_dir().join(format!("dropscope-encoder-{}.pcapng", std::process::id()));
    std::fs::write(&path, common::one_of_each()).expect("the log is written");
    let file = path.to_str().expect("a temporary path is text");

    let fields = [
        "frame.number",
        "frame.time_epoch",
        "frame.interface_name",
        "frame.cap_len",
        "frame.len",
        "frame.packet_flags",
        "frame.comment",
    ];
    let mut arguments = vec!["-n", "-r", file, "-T", "fields", "-E", "separator=|"];
    for field in fields {
        arguments.extend(["-e", field]);
    }
    let packets = common::tool("tshark", &arguments);
    let summary = common::tool("capinfos", &["-M", "-c", "-t", "-I", file]);
    std::fs::remove_file(&path).expect("the log was there");

    assert_eq!(
        packets.expect("tshark is there"),
        "1|1700000000.000000001|eth0|60|60||\n\
         2|1700000000.999999999|tun0|28|1500|0x00000001|first fragment\n\
         3|1700000001.000000001|eth0|61|61||\n"
    );
    let summary = summary.expect("capinfos comes with tshark");
    for line in ["Number of packets:   3", "Number of stat entries = 1", "Time precision = nanoseconds (9)", "Name = tun0"] {
        assert!(summary.contains(line), "{line} is not in\n{summary}");
    }
}
