//! Bytes of a packet to its layers.
//!
//! Dissection never fails: it returns the layers it read, plus where and why it stopped. A snaplen-cut packet, a fragment
//! and a quoted packet are normal. Nothing here keeps state; reassembly of fragments belongs to `flow`.
//!
//! Each layer is one file with one reader (see [`walk`]); the walk from layer to layer is the same for analysis ([`dissect`])
//! and for everything that shows a packet, so that both always see the same layers. The common packet is read in one step
//! ([`compact`]), with the same result.

mod arp;
mod checksum;
mod compact;
mod cut;
mod ethertype;
mod icmp;
mod info;
mod ip_protocol;
mod ipv4;
mod ipv6;
mod link;
mod llc;
mod node;
mod packet;
mod ports;
mod tcp;
mod tree;
mod tunnel;
mod udp;
mod walk;

pub(crate) use compact::{Above, CompactPacket, Segment};
pub use cut::{CutIp, cut_ip};
pub(crate) use icmp::quote;
pub use icmp::{FirstQuoted, first_quoted};
pub use info::{Info, Relative, info, tcpdump_line};
pub use link::{LINKS, Link, link, link_type_name};
pub use node::Node;
pub use packet::*;
pub use tree::tree;

use walk::Walk;

/// Dissects one packet: `data` are the bytes that were kept of `wire_len` bytes on a link of `link_type` (the number in the
/// capture file, a LINKTYPE_ value of tcpdump.org). Never fails; [`Packet::stop`] says where and why it ended early.
pub fn dissect(link_type: u32, data: &[u8], wire_len: u32) -> Packet<'_> {
    let mut walk = Walk::new(data, wire_len);
    match link(link_type) {
        Some(link) => walk.run(walk::Next(link.read)),
        None => walk.unknown_link(link_type),
    }
    walk.finish()
}

/// The packet that an ICMP error quotes, as far as it does.
pub fn quoted<'a>(packet: &Packet<'_>, data: &'a [u8]) -> Option<Packet<'a>> {
    let Transport::Icmp(icmp) = &packet.transport else { return None };
    icmp.quote.as_ref()?;
    Some(info::walked_quote(data, icmp.offset as usize + 8).0)
}

#[cfg(test)]
mod samples;

#[cfg(test)]
mod tests {
    use super::samples::{SAMPLES, SYN, bytes};
    use super::*;
    #[cfg(not(target_arch = "wasm32"))]
    use proptest::prelude::*;

    /// As tcpdump's old snapshot length of 68 bytes cuts it: within the timestamps.
    #[test]
    fn options_are_read_as_far_as_the_packet_was_kept() {
        let data = bytes(SYN);
        let options = |kept: usize| match dissect(1, &data[..kept], data.len() as u32).transport {
            Transport::Tcp(tcp) => (tcp.options.mss, tcp.options.tsval, tcp.options.tsecr, tcp.options.window_scale),
            other => panic!("{other:?}"),
        };
        assert_eq!(options(57), (None, None, None, None));
        assert_eq!(options(58), (Some(1418), None, None, None));
        assert_eq!(options(65), (Some(1418), None, None, None));
        assert_eq!(options(66), (Some(1418), Some(486_800_541), None, None));
        assert_eq!(options(70), (Some(1418), Some(486_800_541), Some(0), None));
        assert_eq!(options(74), (Some(1418), Some(486_800_541), Some(0), Some(7)));
    }

    /// As TShark: from the window on it is a segment, before that there are ports alone.
    #[test]
    fn a_tcp_header_cut_behind_its_window_is_a_segment() {
        let data = bytes(SYN);
        let transport = |kept: usize| dissect(1, &data[..kept], data.len() as u32).transport;
        assert!(matches!(transport(37), Transport::Other(Protocol::Tcp)));
        assert!(matches!(transport(49), Transport::Ports { protocol: Protocol::Tcp, src: 39058, dst: 80 }));
        for kept in 50..54 {
            let Transport::Tcp(tcp) = transport(kept) else { panic!("{kept} bytes") };
            assert_eq!((tcp.seq, tcp.flags, tcp.payload_len), (332_257_715, TcpFlags::SYN, 0), "{kept} bytes");
            assert_eq!((tcp.checksum, &tcp.options), (Checksum::Unverified, &TcpOptions::default()), "{kept} bytes");
        }
    }

    /// As TShark: only IPv6 has datagrams that tell length 0 and have one.
    #[test]
    fn a_udp_length_below_8_is_none() {
        let v4 = "45000021000100004011f977c0a80001c0a8000213881389LLLL139d68656c6c6f";
        let v6 = "60000000000d114020010db800000000000000000000000120010db800000000000000000000000213881389LLLL139d68656c6c6f";
        let len = |hex: &str, len: u16| {
            let data = bytes(&hex.replace("LLLL", &format!("{len:04x}")));
            let packet = dissect(101, &data, data.len() as u32);
            assert_eq!(packet.transport.ports(), Some((5000, 5001)));
            match packet.transport {
                Transport::Udp(udp) => Some(udp.payload_len),
                _ => None,
            }
        };
        assert_eq!([0, 1, 7, 8, 9, 13].map(|told| len(v4, told)), [None, None, None, Some(0), Some(1), Some(5)]);
        assert_eq!([0, 1, 7, 8, 9, 13].map(|told| len(v6, told)), [Some(5), None, None, Some(0), Some(1), Some(5)]);
    }

    #[test]
    fn a_syn_shows_its_addresses_numbers_and_options() {
        let data = bytes(SYN);
        let packet = dissect(1, &data, data.len() as u32);
        let ip = packet.ip.expect("IPv4");
        assert_eq!((ip.src.to_string(), ip.dst.to_string(), ip.total_len), ("10.255.255.5".into(), "172.17.0.2".into(), 60));
        let Transport::Tcp(tcp) = packet.transport else { panic!("{:?}", packet.transport) };
        assert_eq!((tcp.src, tcp.dst, tcp.seq, tcp.flags), (39058, 80, 332_257_715, TcpFlags::SYN));
        assert_eq!((tcp.options.mss, tcp.options.window_scale, tcp.options.sack_permitted), (Some(1418), Some(7), true));
        assert_eq!((tcp.options.tsval, tcp.options.tsecr), (Some(486_800_541), Some(0)));
        assert_eq!((tcp.checksum, &packet.ip_checksums[..]), (Checksum::Good, &[Some(Checksum::Good)][..]));
        assert_eq!(packet.stop, None);
    }

    #[test]
    fn an_unknown_link_type_is_named() {
        let stop = dissect(9999, &[0; 60], 60).stop.expect("a reason");
        assert_eq!(stop.why.to_string(), "link type 9999 is not known");
        let stop = dissect(251, &[0; 60], 60).stop.expect("a reason");
        assert_eq!(stop.why.to_string(), "link type 251 (Bluetooth Low Energy) is not read here");
        assert!(!stop.is_fault());
        assert_eq!(info(251, &[0; 60], 60, None).text, "link type 251 (Bluetooth Low Energy) is not read here: 60 bytes");
        let nodes = tree(251, &[0; 60], 60, None);
        assert_eq!((nodes[0].name.as_str(), nodes[0].field.as_str(), nodes[0].trouble), ("Link type not read", "", false));
    }

    #[test]
    fn a_packet_cut_by_the_snapshot_length_is_no_fault_of_the_packet() {
        let data = bytes(SYN);
        let cut = dissect(1, &data[..40], data.len() as u32).stop.expect("a reason");
        assert_eq!(
            (cut.layer, cut.cut, cut.why.to_string().as_str()),
            ("tcp", true, "the header needs 20 bytes and 6 are there")
        );
        let short = dissect(1, &data[..20], 20).stop.expect("a reason");
        assert_eq!((short.layer, short.cut), ("ipv4", false));
    }

    #[test]
    fn a_wrong_bit_makes_a_checksum_bad_and_a_cut_one_unverified() {
        let mut data = bytes(SYN);
        assert_eq!(dissect(1, &data[..70], data.len() as u32).transport.checksum(), Some(Checksum::Unverified));
        data[38] ^= 1;
        let packet = dissect(1, &data, data.len() as u32);
        assert_eq!((packet.transport.checksum(), packet.ip_checksums[0]), (Some(Checksum::Bad), Some(Checksum::Good)));
        data[22] ^= 1;
        assert_eq!(dissect(1, &data, data.len() as u32).ip_checksums[0], Some(Checksum::Bad));
    }

    /// What carries an IP packet leads to it: outer addresses, tunnels and VLANs are told, the innermost packet is what counts.
    #[test]
    fn whatever_carries_a_packet_leads_to_it() {
        type Outer = Option<(Protocol, Option<u16>)>;
        let cases: [(&str, &[u16], Outer); 13] = [
            ("VXLAN", &[], Some((Protocol::Udp, Some(4789)))),
            ("GENEVE", &[], Some((Protocol::Udp, Some(6081)))),
            ("GTP-U", &[], Some((Protocol::Udp, Some(2152)))),
            ("GRE with key", &[], Some((Protocol::Other, None))),
            ("ERSPAN II", &[], Some((Protocol::Other, None))),
            ("IP in IP", &[], Some((Protocol::Other, None))),
            ("802.1ad in PPPoE", &[100, 10], None),
            ("MPLS", &[], None),
            ("802.11 data", &[], None),
            ("802.11 with radiotap", &[], None),
            ("cooked v2", &[], None),
            ("PPP", &[], None),
            ("UDP", &[], None),
        ];
        for (name, vlans, outer) in cases {
            let (link, data) = samples::sample(name);
            let packet = dissect(link, &data, data.len() as u32);
            let Transport::Udp(udp) = &packet.transport else { panic!("{name}: {packet:?}") };
            assert_eq!((udp.src, udp.dst, udp.payload, udp.checksum), (5000, 5001, &b"hello"[..], Checksum::Good), "{name}");
            assert_eq!(&packet.vlans[..], vlans, "{name}");
            assert_eq!(packet.outer.map(|outer| (outer.transport, outer.ports.map(|ports| ports.1))), outer, "{name}");
            assert_eq!(packet.ip_depth, 1 + u8::from(outer.is_some()), "{name}");
            assert_eq!(packet.stop, None, "{name}");
        }
    }

    #[test]
    fn every_sample_cut_anywhere_reads_without_a_panic() {
        for (link, _, hex) in SAMPLES {
            let data = bytes(hex);
            for cut in 0..=data.len() {
                read_all(*link, &data[..cut], data.len() as u32);
                read_all(*link, &data[..cut], cut as u32);
            }
        }
    }

    /// Found by the properties below: the walk stopped beyond the packet's end.
    #[test]
    fn a_record_of_nflog_that_claims_more_than_there_is_stops_inside_the_packet() {
        let data = [0, 0, 0, 0, 0, 1, 0, 0];
        read_all(239, &data, data.len() as u32);
        let stop = dissect(239, &data, data.len() as u32).stop.expect("a reason");
        assert_eq!((stop.layer, stop.at as usize), ("nflog", data.len()));
        let (_, syn) = samples::sample("SYN with all its options");
        read_all(239, &syn, syn.len() as u32);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest! {
        #[test]
        fn no_mutated_packet_on_any_link_panics(
            sample in prop::sample::select(SAMPLES),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
            link in prop::option::of(prop::sample::select(LINKS.iter().flat_map(|l| l.numbers).copied().collect::<Vec<_>>())),
        ) {
            let (own_link, _, hex) = sample;
            let mut data = bytes(hex);
            for (at, value) in changes {
                let at = at.index(data.len());
                data[at] = value;
            }
            let len = data.len() as u32;
            data.truncate(cut.index(data.len() + 1));
            read_all(link.unwrap_or(own_link), &data, len);
        }

        #[test]
        fn no_bytes_on_any_link_panic(
            data in prop::collection::vec(any::<u8>(), 0..200),
            link in prop::sample::select(LINKS.iter().flat_map(|l| l.numbers).copied().collect::<Vec<_>>()),
        ) {
            read_all(link, &data, data.len() as u32);
        }
    }

    /// Everything that reads a packet; offsets stay inside it.
    fn read_all(link: u32, data: &[u8], wire_len: u32) {
        let packet = dissect(link, data, wire_len);
        if let Some(compact) = CompactPacket::read(link, data, wire_len) {
            assert_eq!(compact.packet(compact.rest(data)), packet, "the fast reader");
        }
        assert!(packet.stop.is_none_or(|stop| stop.at as usize <= data.len()), "{:?}", packet.stop);
        info(link, data, wire_len, None);
        tcpdump_line(None, link, data, wire_len, None);
        let mut nodes = tree(link, data, wire_len, Some(Relative { seq: 1, ack: 2 }));
        while let Some(node) = nodes.pop() {
            assert!((node.at.0 + node.at.1) as usize <= data.len(), "{node:?}");
            nodes.extend(node.children);
        }
    }
}
