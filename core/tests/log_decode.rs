//! What is read of files that others write: each case is a file laid out by hand and what it says.

#[cfg(target_arch = "wasm32")]
#[macro_use]
extern crate dropscope_wasm_test;

use dropscope_core::log::Decoder;
use dropscope_core::log::record::{NOT_A_PACKET, Record};

/// Which end of a number comes first.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}
use Order::{Big, Little};

impl Order {
    fn u16(self, number: u16) -> Vec<u8> {
        match self {
            Little => number.to_le_bytes().to_vec(),
            Big => number.to_be_bytes().to_vec(),
        }
    }

    fn u32s(self, numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| if let Little = self { number.to_le_bytes() } else { number.to_be_bytes() }).collect()
    }

    fn pcap(self, magic: u32, version: (u16, u16), snaplen: u32, link: u32) -> Vec<u8> {
        let versions = [self.u16(version.0), self.u16(version.1)].concat();
        [self.u32s(&[magic]), versions, self.u32s(&[0, 0, snaplen, link])].concat()
    }

    /// A packet of pcap with `more` between its header and its bytes.
    fn packet(self, [seconds, fraction, first, second]: [u32; 4], more: &[u8], data: &[u8]) -> Vec<u8> {
        [&self.u32s(&[seconds, fraction, first, second])[..], more, data].concat()
    }

    fn block(self, block_type: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = body.len() as u32 + 12;
        [self.u32s(&[block_type, length]), body, self.u32s(&[length])].concat()
    }

    fn section(self, version: (u16, u16), options: &[u8]) -> Vec<u8> {
        let versions = [self.u16(version.0), self.u16(version.1)].concat();
        self.block(0x0a0d_0d0a, &[&self.u32s(&[0x1a2b_3c4d])[..], &versions, &[0xff; 8], options].concat())
    }

    fn interface(self, link: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
        self.block(1, &[&self.u16(link)[..], &[0; 2], &self.u32s(&[snaplen]), options].concat())
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = [&self.u16(code)[..], &self.u16(value.len() as u16), value].concat();
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    fn enhanced(self, interface: u32, ticks: u64, wire: u32, data: &[u8], options: &[u8]) -> Vec<u8> {
        let mut padded = data.to_vec();
        padded.resize(data.len().next_multiple_of(4), 0);
        let fixed = self.u32s(&[interface, (ticks >> 32) as u32, ticks as u32, data.len() as u32, wire]);
        self.block(6, &[&fixed[..], &padded, options].concat())
    }
}

/// Each record in a few words, then how the file ended.
fn read(file: &[u8]) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |record: Record<'_>| {
        said.push(match record {
            Record::Section(section) => format!("{:?} by {}", section.format, section.application.unwrap_or_default()),
            Record::Interface(interface) => format!(
                "interface {} ({}) link {} ticks {} {:?} {:?}",
                interface.id.0,
                interface.number,
                interface.link_type,
                interface.ticks_per_second,
                interface.name.unwrap_or_default(),
                interface.filter.unwrap_or_default()
            ),
            Record::Packet(packet) => {
                assert_eq!(file[packet.offset as usize..][..packet.data.len()], *packet.data);
                let link = if packet.link_type == NOT_A_PACKET { "none".into() } else { packet.link_type.to_string() };
                let time = packet.time.map_or("never".into(), |time| time.nanos().to_string());
                let text = String::from_utf8_lossy(packet.data);
                format!("{} on {} link {link} at {time} of {} {text:?}", packet.no, packet.interface, packet.wire_len)
                    + &packet.flags.map_or(String::new(), |flags| format!(" flags {flags}"))
                    + &packet.drop_count.map_or(String::new(), |count| format!(" after {count} lost"))
                    + &packet.comments.concat()
            }
            Record::Statistics(s) => format!("statistics of {} at {}: {:?}", s.interface, s.time.nanos(), s.os_dropped),
            Record::Names(names) => format!("{names:?}"),
            Record::Skipped { block_type, length } => format!("skipped {block_type:#x} of {length}"),
            other => format!("{other:?}"),
        });
    };
    let mut decoder = Decoder::new();
    decoder.push(file, &mut say);
    let end = decoder.finish(&mut say);
    said.push(end.map_or_else(|end| end.to_string(), |()| "whole".into()));
    said
}

#[track_caller]
fn check(file: &[&[u8]], expected: &[&str]) {
    let said = read(&file.concat());
    assert_eq!(said, expected, "\n{}\n", said.join("\n"));
}

#[test]
fn pcap_in_either_order_and_resolution() {
    for (order, magic, time, ticks) in [
        (Little, 0xa1b2_c3d4, "1000002000", "1000000"),
        (Big, 0xa1b2_c3d4, "1000002000", "1000000"),
        (Little, 0xa1b2_3c4d, "1000000002", "1000000000"),
        (Big, 0xa1b2_3c4d, "1000000002", "1000000000"),
    ] {
        check(
            &[&order.pcap(magic, (2, 4), 100, 1), &order.packet([1, 2, 3, 60], &[], b"abc")],
            &[
                "Pcap by ",
                &format!("interface 0 (0) link 1 ticks {ticks} \"\" \"\""),
                &format!("1 on 0 link 1 at {time} of 60 \"abc\""),
                "whole",
            ],
        );
    }
}

#[test]
fn ixia_writes_four_more_bytes_in_the_file_header() {
    for (magic, time) in [(0x1c00_01ab, "1000002000"), (0x1c00_01ac, "1000000002")] {
        let said = read(&[Big.pcap(magic, (2, 4), 100, 1), vec![0; 4], Big.packet([1, 2, 3, 3], &[], b"abc")].concat());
        assert_eq!(said[2], format!("1 on 0 link 1 at {time} of 3 \"abc\""));
    }
}

#[test]
fn patched_packet_headers_are_told_apart_by_the_first_packets() {
    // Interface 2, protocol IPv4, to this host.
    let patch = |order: Order| [order.u32s(&[2]), order.u16(0x0800), vec![0, 0]].concat();
    let long_patch = |order: Order| [patch(order), vec![9; 4]].concat();
    let nokia = |order: Order| order.u32s(&[0x9fbf_b601]);
    for order in [Little, Big] {
        for (magic, more) in [
            (0xa1b2_cd34, patch(order)),
            (0xa1b2_cd34, long_patch(order)),
            (0xa1b2_c3d4, patch(order)),
            (0xa1b2_c3d4, nokia(order)),
        ] {
            let packet = |second| order.packet([second, 0, 3, 60], &more, b"abc");
            let file = [order.pcap(magic, (2, 4), 100, 1), packet(1), packet(2), packet(3), packet(4)].concat();
            let expected = [1, 2, 3, 4].map(|n| format!("{n} on 0 link 1 at {n}000000000 of 60 \"abc\""));
            assert_eq!(read(&file)[2..6], expected, "{magic:x} with {} more bytes", more.len());
        }
    }
}

#[test]
fn a_damaged_file_is_not_taken_for_a_patched_one() {
    let damaged = Little.packet([1, 0, 0x0101_0101, 9], &[], &[1; 90]);
    let said = read(&[Little.pcap(0xa1b2_c3d4, (2, 4), 100, 1), Little.packet([1, 2, 3, 60], &[], b"abc"), damaged].concat());
    assert_eq!(said[2], "1 on 0 link 1 at 1000002000 of 60 \"abc\"");
    assert!(said[3].starts_with("the file is damaged at byte 43"), "{said:?}");
}

#[test]
fn old_files_have_the_lengths_the_other_way_round() {
    for (version, lengths, wire) in [((2, 2), [60, 3], 60), ((2, 3), [60, 3], 60), ((2, 3), [3, 60], 60), ((543, 0), [60, 3], 60)]
    {
        let said =
            read(&[Big.pcap(0xa1b2_c3d4, version, 100, 1), Big.packet([1, 0, lengths[0], lengths[1]], &[], b"abc")].concat());
        assert_eq!(said[2], format!("1 on 0 link 1 at 1000000000 of {wire} \"abc\""), "{version:?}");
    }
}

#[test]
fn aix_writes_interface_types_and_nanoseconds() {
    let said = read(&[Big.pcap(0xa1b2_c3d4, (2, 2), 100, 6), Big.packet([1, 2, 3, 3], &[], b"abc")].concat());
    assert_eq!(said[2], "1 on 0 link 1 at 1000000002 of 3 \"abc\"");
}

#[test]
fn the_length_of_the_checksum_is_not_part_of_the_link_type() {
    let said = read(&[Little.pcap(0xa1b2_c3d4, (2, 4), 100, 0x4400_0001), Little.packet([1, 2, 3, 3], &[], b"abc")].concat());
    assert_eq!(said[2], "1 on 0 link 1 at 1000002000 of 3 \"abc\"");
}

#[test]
fn a_packet_may_be_longer_than_the_snapshot_length() {
    let packet = Little.packet([1, 2, 5, 5], &[], b"abcde");
    let said = read(&[Little.pcap(0xa1b2_c3d4, (2, 4), 3, 1), packet.clone(), packet.clone(), packet].concat());
    assert_eq!(said[2], "1 on 0 link 1 at 1000002000 of 5 \"abcde\"");
}

#[test]
fn pcap_that_cannot_be_read_says_why() {
    let header = |version, link| Little.pcap(0xa1b2_c3d4, version, 100, link);
    let not = "this is not a capture that Dropscope can read: ";
    for (file, why) in [
        (header((1, 4), 1), format!("{not}it is pcap of version 1.4; 2.0 is the oldest that can be read")),
        (header((2, 4), 0x0030_0001), format!("{not}its link-layer type 0x00300001 has reserved bits set")),
        (header((2, 4), 281), format!("{not}its link-layer type 281 is not known")),
        (b"PK\x03\x04".to_vec(), format!("{not}it is a ZIP archive; unpack it first, and neither pcap nor pcapng begins so")),
        (b"hello".to_vec(), format!("{not}it begins with the bytes 68 65 6c 6c, and neither pcap nor pcapng begins so")),
        (Vec::new(), format!("{not}it is empty")),
        (b"\xd4".to_vec(), format!("{not}it ends after 1 of the bytes that tell what it is")),
        (
            header((2, 4), 1)[..20].to_vec(),
            "the file ends inside a record at byte 0: 20 of 24 bytes are there; the 0 packets before it are shown".into(),
        ),
        (
            [header((2, 4), 1), Little.packet([1, 0, 1, 1], &[], b"a"), Little.packet([1, 0, 262_145, 9], &[], b"")].concat(),
            "the file is damaged at byte 41: a packet of 262145 bytes, where 262144 is the most there can be; the 1 packets before it are shown".into(),
        ),
        (
            [header((2, 4), 1), Little.packet([1, 0, 1, 1], &[], b"a"), Little.packet([1, 0, 4, 4], &[], b"abc")].concat(),
            "the file ends inside a record at byte 41: 19 of 20 bytes are there; the 1 packets before it are shown".into(),
        ),
    ] {
        assert_eq!(*read(&file).last().expect("the end is told"), why);
    }
}

#[test]
fn sections_have_their_own_order_and_interfaces() {
    check(
        &[
            &Little.section((1, 0), &Little.option(4, b"one")),
            &Little.interface(
                1,
                0,
                &[Little.option(2, b"eth0"), Little.option(9, &[9]), Little.option(11, b"\0port 80")].concat(),
            ),
            &Little.interface(101, 0, &[Little.option(9, &[0x8a]), Little.option(14, &10_i64.to_le_bytes())].concat()),
            &Little.enhanced(1, 1_536, 60, b"abc", &[]),
            &Little.enhanced(0, 5, 3, b"abc", &[]),
            &Big.section((1, 2), &Big.option(4, b"two")),
            &Big.interface(113, 0, &[]),
            &Big.enhanced(0, 7, 4, b"abcd", &[]),
        ],
        &[
            "PcapNg by one",
            "interface 0 (0) link 1 ticks 1000000000 \"eth0\" \"port 80\"",
            "interface 1 (1) link 101 ticks 1024 \"\" \"\"",
            "1 on 1 link 101 at 11500000000 of 60 \"abc\"",
            "2 on 0 link 1 at 5 of 3 \"abc\"",
            "PcapNg by two",
            "interface 2 (0) link 113 ticks 1000000 \"\" \"\"",
            "3 on 2 link 113 at 7000 of 4 \"abcd\"",
            "whole",
        ],
    );
}

#[test]
fn every_block_is_read_or_skipped() {
    let obsolete = [Big.u16(0), Big.u16(3), Big.u32s(&[0, 9, 2, 60]), b"ab\0\0".to_vec()].concat();
    let simple = [Big.u32s(&[60]), b"abcd".to_vec()].concat();
    let names = [
        Big.option(1, b"\x0a\0\0\x01one\0uno\0"),
        Big.option(2, &[&[0xfe, 0x80][..], &[0; 13], b"\x02two\0"].concat()),
        vec![0; 4],
    ]
    .concat();
    let statistics = [Big.u32s(&[0, 0, 8]), Big.option(7, &5_u64.to_be_bytes()), vec![0; 4]].concat();
    let options = [Big.option(1, b"!"), Big.option(2, &[0, 0, 0, 2]), Big.option(4, &9_u64.to_be_bytes()), vec![0; 4]].concat();
    check(
        &[
            &Big.section((1, 0), &[]),
            &Big.interface(1, 4, &[]),
            &Big.enhanced(0, 1, 60, b"abc", &options),
            &Big.block(2, &obsolete),
            &Big.block(3, &simple),
            &Big.block(4, &names),
            &Big.block(5, &statistics),
            &Big.block(5, &Big.u32s(&[1, 0, 8])),
            &Big.block(9, b"__REALTIME_TIMESTAMP=1\n"),
            &Big.block(10, &[0; 8]),
            &Big.block(0xbad, &[Big.u32s(&[1]), b"them".to_vec()].concat()),
            &Big.block(0x4000_0bad, &[Big.u32s(&[32473]), b"not ours".to_vec()].concat()),
            &Big.block(0x8000_0001, b"local"),
        ],
        &[
            "PcapNg by ",
            "interface 0 (0) link 1 ticks 1000000 \"\" \"\"",
            "1 on 0 link 1 at 1000 of 60 \"abc\" flags 2 after 9 lost!",
            "2 on 0 link 1 at 9000 of 60 \"ab\" after 3 lost",
            "3 on 0 link 1 at never of 60 \"abcd\"",
            "[(\"10.0.0.1\", \"one\"), (\"10.0.0.1\", \"uno\"), (\"fe80::2\", \"two\")]",
            "statistics of 0 at 8000: Some(5)",
            "skipped 0x5 of 24",
            "4 on 0 link none at never of 24 \"__REALTIME_TIMESTAMP=1\\n\\0\"",
            "skipped 0xa of 20",
            "5 on 0 link none at never of 4 \"them\"",
            "6 on 0 link none at never of 8 \"not ours\"",
            "skipped 0x80000001 of 20",
            "whole",
        ],
    );
}

#[test]
fn a_broken_block_ends_the_reading_where_it_begins() {
    let begin = [Little.section((1, 0), &[]), Little.interface(1, 0, &[])].concat();
    let at = begin.len();
    let mut other_length = Little.block(99, &[]);
    other_length[8] = 16;
    for (block, why) in [
        (Little.u32s(&[6, 8, 8]), "a block of 8 bytes, where 12 is the least there can be"),
        (Little.u32s(&[6, 0xffff_fffc, 0]), "a block of 4294967292 bytes, where 16777216 is the most there can be"),
        (other_length, "a block of 12 bytes says at its end that it has 16"),
        (Little.block(6, &[0; 8]), "a packet block with a body of 8 bytes, where 20 is the least there can be"),
        (Little.block(6, &Little.u32s(&[0, 0, 0, 5, 5, 0])), "a packet of 5 bytes in a block that has room for 4"),
        (Little.enhanced(1, 0, 0, b"", &[]), "a packet of interface 1, where the section describes 1"),
        (Little.enhanced(0, 0, 0, b"", &[1, 0, 5, 0]), "an option of 5 bytes, where 0 are left in the block"),
        (Little.block(3, &Little.u32s(&[9])), "a packet of 9 bytes in a block that has room for 0"),
        (Little.block(4, &[1, 0, 3, 0, 1, 2, 3, 0]), "a name record of 3 bytes is too short for its address"),
        (Little.block(0x0a0d_0d0a, &[0; 16]), "a section header without its byte-order magic"),
    ] {
        let said = read(&[&begin[..], &block].concat());
        let end = said.last().expect("the end is told");
        assert_eq!(*end, format!("the file is damaged at byte {at}: {why}; the 0 packets before it are shown"));
    }
    let said = read(&[&begin[..], &Little.section((2, 0), &[])].concat());
    assert!(said[2].ends_with("a section is of pcapng version 2.0; 1.0 and 1.2 can be read"), "{said:?}");
}
