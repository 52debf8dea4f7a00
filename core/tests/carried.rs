//! Whatever carries a packet leads to it: one packet behind every kind of link, tag and tunnel, here and in TShark.
#![cfg(not(target_arch = "wasm32"))]

mod common;

use dropscope_core::dissect::{Transport, dissect};
use std::collections::BTreeMap;

/// UDP from 192.168.0.1, port 5000, to 192.168.0.2, port 5001.
const INNER: &str = "45000021000100004011f977c0a80001c0a8000213881389000d139d68656c6c6f";

/// What stands before it: name, link type, bytes. Made with scapy 2.8.
#[rustfmt::skip]
const CARRIERS: &[(&str, u32, &str)] = &[
    ("802.1ad, 802.1Q and PPPoE", 1, "0242ac1100020242ac11000188a800648100000a88641100000700230021"),
    ("MACsec without encryption", 1, "0242ac1100020242ac11000188e52000000000440242ac11000100010800"),
    ("Cisco MetaData", 1, "0242ac1100020242ac11000189090101000100070800"),
    ("LLC in a long frame", 1, "0242ac1100020242ac1100018870aaaa030000000800"),
    ("VN-Tag", 1, "0242ac1100020242ac1100018926000000000800"),
    ("E-Tag", 1, "0242ac1100020242ac110001893f0000000100000800"),
    ("HSR", 1, "0242ac1100020242ac110001892f000000010800"),
    ("provider backbone bridging", 1, "0242ac1100020242ac11000188e7000000010242ac1100010242ac1100020800"),
    ("FabricPath", 1, "020abd000000020abc000000890340200242ac1100020242ac1100010800"),
    ("Arista's timestamp of 64 bits", 1, "0242ac1100020242ac110001d28b000100105ceeed57384f59c80800"),
    ("Arista's timestamp of 48 bits", 1, "0242ac1100020242ac110001d28b00010120ed57384f59c80800"),
    ("TRILL", 1, "0242ac1100020242ac11000122f3001f000100020242ac1100020242ac1100010800"),
    ("MPLS, three labels", 1, "0242ac1100020242ac110001884700064000000100000001e100"),
    ("MPLS pseudowire with control word", 1, "0242ac1100020242ac110001884700064100000000000242ac1100020242ac1100010800"),
    ("associated channel of a pseudowire", 1, "0242ac1100020242ac11000188470006310010000021"),
    ("GRE with checksum, key and sequence number", 1, "0242ac1100020242ac11000108004500005300010000402f66770a0100010a010002b00065580000000000000007000000010242ac1100020242ac1100010800"),
    ("PPTP", 1, "0242ac1100020242ac11000108004500004600010000402f66840a0100010a0100023081880b00400007000000010000000221"),
    ("GRE of an Aruba access point", 1, "0242ac1100020242ac11000108004500005900010000402f66710a0100010a01000200008200080100000242ac1100010242ac1100010242ac1100011000aaaa030000000800"),
    ("ERSPAN III with a subheader", 1, "0242ac1100020242ac11000108004500005f00010000402f666b0a0100010a010002100022eb0000000120000000000000000000000100000000000000000242ac1100020242ac1100010800"),
    ("GRE over UDP", 1, "0242ac1100020242ac11000108004500004100010000401166a70a0100010a01000200051292002d526b00000800"),
    ("GENEVE with options", 1, "0242ac1100020242ac11000108004500005d000100004011668b0a0100010a010002000517c10049f2570600080000002a000102030161626364ffff83037a7a7a7a7a7a7a7a7a7a7a7a"),
    ("GTP-U with two extension headers", 1, "0242ac1100020242ac11000108004500005500010000401166930a0100010a010002086808680041e3fa36ff00310000000700010040011234850200090000000000"),
    ("GTP-U with a frame", 1, "0242ac1100020242ac11000108004500005300010000401166950a0100010a01000208680868003fc62e30ff002f000000070242ac1100020242ac1100010800"),
    ("TZSP", 1, "0242ac1100020242ac11000108004500005300010000401166950a0100010a01000200059090003f679b010000010a0105010242ac1100020242ac1100010800"),
    ("L2TP with length, sequence and offset", 1, "0242ac1100020242ac11000108004500004f00010000401166990a0100010a01000206a506a5003b9abf4a020033000100020003000400027a7a0021"),
    ("CAPWAP with a frame of the air", 1, "0242ac1100020242ac11000108004500006d000100004011667b0a0100010a010002305c147f0059248c00204320000000000104ed4d00000000010800000242ac1100010242ac1100010242ac1100011000aaaa030000000800"),
    ("CAPWAP with a frame of Ethernet", 1, "0242ac1100020242ac11000108004500005300010000401166950a0100010a010002147f305c003fc14800100200000000000242ac1100020242ac1100010800"),
    ("AH", 1, "0242ac1100020242ac11000108004500004d00010000403366790a0100010a010002040400000000000100000001616161616161616161616161"),
    ("IPv6 with four extension headers", 1, "0242ac1100020242ac11000186dd600000000041004020010db800000000000000000000000120010db80000000000000000000000023c000104000000002c000104000000003c000000000000070400010400000000"),
    ("segment routing", 1, "0242ac1100020242ac11000186dd6000000000392b4020010db800010000000000000000000120010db8000100000000000000000002040204000000000020010db8000000000000000000000007"),
    ("Linux cooked with a VLAN", 113, "0000000100060242ac1100010000810000070800"),
    ("NFLOG with a prefix", 239, "0200000508000100080001000b000a00707265666978000025000900"),
    ("BSD loopback, big-endian", 0, "00000002"),
    ("BSD loopback, a type of Ethernet behind a flag", 0, "0f000800"),
    ("OpenBSD loopback", 108, "00000002"),
    ("PPP, compressed", 9, "21"),
    ("Cisco HDLC where PPP is said", 9, "0f000800"),
    ("PPP with a bridged frame", 9, "ff03003100010242ac1100020242ac1100010800"),
    ("PPP multilink", 9, "ff03003dc00000000021"),
    ("Frame Relay with SNAP", 107, "18410300800000000800"),
    ("ATM", 100, "aaaa030000000800"),
    ("ATM with an OSI identifier", 100, "fefe03cc"),
    ("BSD IPsec", 109, "020000000100000000000000"),
    ("IP over InfiniBand", 242, "000000000000000000000000000000002fa3000a80000550fe800000000000000010e000664ab45108000000"),
    ("mPacket without a preamble", 274, "0242ac1100020242ac1100010800"),
    ("Juniper Ethernet", 178, "4d474380001003010106010e01028c0004044c0100000242ac1100020242ac1100010800"),
    ("802.11 QoS with HT control", 105, "888100000242ac1100010242ac1100010242ac1100011000000001020304aaaa030000000800"),
    ("802.11, an aggregate of one", 105, "880100000242ac1100010242ac1100010242ac110001100080000242ac1100010242ac1100020029aaaa030000000800"),
    ("802.11 mesh", 105, "880300000242ac1100010242ac1100010242ac11000110000242ac1100040001000101000000aaaa030000000800"),
    ("radiotap with three presence words", 127, "0000200003000080200000802000000000000000000000000000000000000000080100000242ac1100010242ac1100010242ac1100011000aaaa030000000800"),
    ("PPI with Ethernet", 192, "00000800010000000242ac1100020242ac1100010800"),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn packet(before: &str) -> Vec<u8> {
    bytes(&[before, INNER].concat())
}

#[test]
fn each_carrier_leads_to_the_packet() {
    for (name, link, before) in CARRIERS {
        let data = packet(before);
        let packet = dissect(*link, &data, data.len() as u32);
        let Transport::Udp(udp) = &packet.transport else { panic!("{name}: {packet:?}") };
        assert_eq!((udp.src, udp.dst, udp.payload), (5000, 5001, &b"hello"[..]), "{name}");
        assert_eq!(packet.ip.map(|ip| ip.src.to_string()).as_deref(), Some("192.168.0.1"), "{name}");
        assert_eq!(packet.stop, None, "{name}");
    }
}

#[test]
fn each_carrier_cut_anywhere_is_read_as_far_as_it_goes() {
    for (name, link, before) in CARRIERS {
        let data = packet(before);
        for cut in 0..before.len() / 2 {
            let packet = dissect(*link, &data[..cut], data.len() as u32);
            assert!(!matches!(&packet.transport, Transport::Udp(udp) if udp.dst == 5001), "{name}, {cut} bytes");
            assert!(packet.stop.is_none_or(|stop| stop.at as usize <= cut), "{name}: {:?}", packet.stop);
        }
    }
}

#[test]
fn tshark_says_the_same() {
    let mut files: BTreeMap<u32, Vec<(&str, Vec<u8>)>> = BTreeMap::new();
    for (name, link, before) in CARRIERS {
        files.entry(*link).or_default().push((name, packet(before)));
    }
    for (link, packets) in files {
        let path = std::env::temp_dir().join(format!("dropscope-carried-{}-{link}.pcap", std::process::id()));
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link] {
            file.extend(word.to_le_bytes());
        }
        for (_, packet) in &packets {
            for word in [0, 0, packet.len() as u32, packet.len() as u32] {
                file.extend(word.to_le_bytes());
            }
            file.extend(packet);
        }
        std::fs::write(&path, file).expect("a temporary file");
        let fields = ["-T", "fields", "-e", "ip.src", "-e", "udp.dstport"];
        let arguments = ["-n", "-r", path.to_str().expect("a path in UTF-8")].into_iter().chain(fields).collect::<Vec<_>>();
        let said = common::tool("tshark", &arguments);
        std::fs::remove_file(&path).expect("the file just written");
        let Some(said) = said else { return };
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), packets.len(), "link type {link}: {said}");
        for (line, (name, _)) in lines.iter().zip(&packets) {
            let (addresses, ports) = line.split_once('\t').expect("two fields");
            let innermost = |list: &str| list.rsplit(',').next().map(str::to_owned);
            let said = (innermost(addresses), innermost(ports));
            assert_eq!(said, (Some("192.168.0.1".into()), Some("5001".into())), "{name}");
        }
    }
}
