//! Kept captures, and snapshots of what is said of them: the same bytes and the same comparison natively and in WebAssembly.
//!
//! The files are part of the test program, for a browser has no files. A snapshot is compared and renewed by insta natively;
//! in WebAssembly the text must be what insta kept, byte for byte.
#![allow(dead_code, unused_macros, reason = "each test binary uses its part")]

use dropscope_core::log::Decoder;
use dropscope_core::log::record::Record;
use dropscope_core::script::Scripted;

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!("../data/", $name)))),*]
    };
}

const FILES: &[(&str, &[u8])] = files! {
    "dumpcap-statistics.pcapng" "mtu-100-srv.pcap" "nft-drop-cli.pcap" "packets.pcapng"
    "labs/conntrack-full.pcap" "labs/conntrack-full.txt" "labs/healthy.pcap" "labs/healthy.txt"
    "labs/listen-overflow.pcap" "labs/listen-overflow.txt" "labs/mtu-100.pcap" "labs/mtu-100.txt"
    "labs/nft-drop.pcap" "labs/nft-drop.txt" "labs/pmtud-blackhole.pcap" "labs/pmtud-blackhole.txt"
    "labs/pmtud-ok.pcap" "labs/pmtud-ok.txt" "labs/random-drop.pcap" "labs/random-drop.txt"
    "labs/random-drop-legacy.pcap" "labs/random-drop-legacy.txt" "labs/reject-icmp.pcap" "labs/reject-icmp.txt"
    "labs/rst-closed.pcap" "labs/rst-closed.txt" "labs/syn-blackhole.pcap" "labs/syn-blackhole.txt"
    "labs/tbf-overlimit.pcap" "labs/tbf-overlimit.txt" "labs/udp-rcvbuf.pcap" "labs/udp-rcvbuf.txt"
    "labs/zero-window.pcap" "labs/zero-window.txt"
    "live/bare_reject.pcapng.gz" "live/forward_policy.pcapng.gz" "live/inserted.pcapng.gz" "live/native_policy.pcapng.gz"
    "live/policy_set_back.pcapng.gz"
    "live/no_neighbour.pcapng.gz" "live/no_route.pcapng.gz" "live/vmap.pcapng.gz"
};

/// The captures among them, with their names.
pub(crate) fn captures() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().copied().filter(|(name, _)| name.ends_with(".pcap") || name.ends_with(".pcapng"))
}

/// All of them, with their names.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().copied()
}

/// The packets of a lab's capture, for a script.
pub(crate) fn packets(capture: &[u8]) -> Vec<Scripted> {
    let mut packets = Vec::new();
    Decoder::new().push(capture, |record| {
        if let Record::Packet(packet) = record {
            assert_eq!(packet.link_type, 1, "labs are captured on Ethernet");
            let time = packet.time.expect("a pcap record has a time");
            packets.push(Scripted::Packet { time, frame: packet.data.to_vec(), wire_len: packet.wire_len });
        }
    });
    packets
}

/// A file of `data/`.
pub(crate) fn file(name: &str) -> &'static [u8] {
    FILES.iter().find(|(its, _)| *its == name).unwrap_or_else(|| panic!("{name} is not listed here")).1
}

/// Compares a text with `snapshots/TEST__NAME.snap`.
#[cfg(not(target_arch = "wasm32"))]
macro_rules! assert_kept {
    ($name:literal, $text:expr) => {
        insta::assert_snapshot!($name, $text)
    };
}

/// Compares a text with `snapshots/TEST__NAME.snap`.
#[cfg(target_arch = "wasm32")]
macro_rules! assert_kept {
    ($name:literal, $text:expr) => {{
        let kept = include_str!(concat!("snapshots/", module_path!(), "__", $name, ".snap"));
        let (_, kept) = kept.split_once("\n---\n").expect("a snapshot has a header");
        let text: String = $text;
        assert_eq!(text.trim(), kept.trim());
    }};
}
