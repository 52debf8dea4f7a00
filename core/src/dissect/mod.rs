//! Bytes of a packet to its layers.
//!
//! Dissection never fails: it returns the layers it read, plus where and why it stopped. A snaplen-cut packet, a fragment
//! and a quoted packet are normal. Nothing here keeps state; reassembly of fragments belongs to `flow`.
//!
//! Each layer is one file with one reader (see [`walk`]); the walk from layer to layer is the same for the hot path
//! ([`dissect`]) and for everything that shows a packet, so that both always see the same layers.

mod arp;
mod checksum;
mod ethertype;
mod icmp;
mod info;
mod ip_protocol;
mod ipv4;
mod ipv6;
mod link;
mod node;
mod packet;
mod ports;
mod tcp;
mod udp;
mod walk;

pub use info::{Info, Relative, info, tcpdump_line};
pub use link::{LINKS, Link, link};
pub use node::Node;
pub use packet::*;

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `14:40:00.589235 IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [S]` of the reference case, on Ethernet.
    const SYN: &str = "0242ac1100020242ac1100010800 4500003cabcd40004006d8d60affff05ac110002 \
        9892005013cdd9b300000000a00272107ffd0000 0204058a0402080a1d03fc9d0000000001030307";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
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
        assert_eq!(tcp.options.timestamps, Some((486_800_541, 0)));
        assert_eq!((tcp.checksum, &packet.ip_checksums[..]), (Checksum::Good, &[true][..]));
        assert_eq!(packet.stop, None);
    }

    #[test]
    fn an_unknown_link_type_is_named() {
        let stop = dissect(9999, &[0; 60], 60).stop.expect("a reason");
        assert_eq!(stop.why.to_string(), "link type 9999 is not known");
    }

    proptest! {
        #[test]
        fn no_cut_or_mutated_packet_panics(
            cut in 0_usize..80,
            changes in prop::collection::vec((0_usize..74, any::<u8>()), 0..8),
            link in prop::sample::select(LINKS.iter().flat_map(|l| l.numbers).copied().collect::<Vec<_>>()),
        ) {
            let mut data = bytes(SYN);
            for (at, value) in changes {
                data[at] = value;
            }
            data.truncate(cut);
            let packet = dissect(link, &data, 74);
            prop_assert!(packet.stop.is_none_or(|stop| stop.at as usize <= data.len()));
        }
    }
}
