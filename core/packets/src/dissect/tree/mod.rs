//! The decode tree: each layer with its fields, in Wireshark's names, with the bytes each stands on.
//!
//! Fields whose bytes were not captured are left out; what is derived rather than read is marked so.

mod app;
mod arp;
mod fields;
mod icmp;
mod ip;
mod link;
mod tcp;
mod tunnel;
mod udp;

use super::info::{Relative, walked};
use super::node::Node;
use super::packet::{Packet, Transport};
use super::walk::{Kind, Layer};
use fields::Fields;

/// The decode tree of a packet, outermost layer first. With `relative`, TCP's numbers are also shown counted from there.
pub fn tree(link_type: u32, data: &[u8], wire_len: u32, relative: Option<Relative>) -> Vec<Node> {
    let (packet, layers) = walked(link_type, data, wire_len);
    let mut nodes: Vec<Node> = layers.iter().map(|layer| layer_node(layer, &packet, data, relative)).collect();
    nodes.extend(app::app(&packet, data));
    if let Some(stop) = &packet.stop {
        let (name, field) = match (stop.cut, stop.is_fault()) {
            (true, _) => ("Packet size limited during capture", "_ws.short"),
            (false, true) => ("Dissection stopped", "_ws.malformed"),
            (false, false) => ("Link type not read", ""),
        };
        nodes.push(Node {
            name: name.to_owned(),
            value: format!("in {} at byte {}: {}", stop.layer, stop.at, stop.why),
            field: field.to_owned(),
            at: (stop.at, (data.len() as u32).saturating_sub(stop.at)),
            trouble: stop.is_fault(),
            ..Node::default()
        });
    }
    nodes
}

fn layer_node(layer: &Layer, packet: &Packet<'_>, data: &[u8], relative: Option<Relative>) -> Node {
    let mut fields = Fields::new(data, layer);
    match layer.kind {
        Kind::Ethernet => link::ethernet(&mut fields),
        Kind::LinuxCooked => link::cooked(&mut fields),
        Kind::LinuxCooked2 => link::cooked2(&mut fields),
        Kind::Loopback => link::loopback(&mut fields),
        Kind::RawIp => fields.named("Raw packet data", "", "No link information available", 0),
        Kind::ServiceVlan => link::vlan(&mut fields, "ieee8021ad", "IEEE 802.1ad"),
        Kind::Vlan => link::vlan(&mut fields, "vlan", "802.1Q Virtual LAN"),
        Kind::Arp => arp::arp(&mut fields),
        Kind::Ipv4 => ip::ipv4(&mut fields),
        Kind::Ipv6 => ip::ipv6(&mut fields),
        Kind::HopByHop => ip::options(&mut fields, "IPv6 Hop-by-Hop Option", "ipv6.hopopts"),
        Kind::DestinationOptions => ip::options(&mut fields, "Destination Options for IPv6", "ipv6.dstopts"),
        Kind::OtherExtension => ip::options(&mut fields, "IPv6 extension header", ""),
        Kind::Routing => ip::routing(&mut fields),
        Kind::FragmentHeader => ip::fragment(&mut fields),
        Kind::Tcp => {
            // Only the innermost packet has a conversation.
            let own = match &packet.transport {
                Transport::Tcp(segment) if segment.offset as usize == layer.at => Some(segment),
                _ => None,
            };
            tcp::tcp(&mut fields, own, relative.filter(|_| own.is_some()));
        }
        Kind::Udp => udp::udp(&mut fields, &packet.transport),
        Kind::Icmp => icmp::icmp(&mut fields, &packet.transport),
        Kind::Icmpv6 => icmp::icmpv6(&mut fields, &packet.transport),
        Kind::Igmp => icmp::igmp(&mut fields),
        Kind::Sctp => udp::ports(&mut fields, "Stream Control Transmission Protocol", "sctp"),
        Kind::Dccp => udp::ports(&mut fields, "Datagram Congestion Control Protocol", "dccp"),
        Kind::Gre => tunnel::gre(&mut fields),
        Kind::Vxlan => tunnel::vxlan(&mut fields),
        Kind::Geneve => tunnel::geneve(&mut fields),
        Kind::Gtp => tunnel::gtp(&mut fields),
        Kind::Mpls => tunnel::mpls(&mut fields),
        Kind::Pppoe => tunnel::pppoe(&mut fields),
        Kind::Named(name, field) => fields.named(name, field, "", fields.rest(0).len()),
    }
    fields.finish()
}

/// The layers of a packet that an ICMP error quotes, from its IP header at `at`.
fn quoted(data: &[u8], at: usize) -> Vec<Node> {
    let (packet, layers) = super::info::walked_quote(data, at);
    layers.iter().map(|layer| layer_node(layer, &packet, data, None)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::samples::{SAMPLES, SYN, bytes};

    fn text(nodes: &[Node], depth: usize, out: &mut String) {
        for node in nodes {
            let brackets = if node.derived { ["[", "]"] } else { ["", ""] };
            let line = format!("{}{}{}: {}{} {:?}", "  ".repeat(depth), brackets[0], node.name, node.value, brackets[1], node.at);
            out.push_str(&format!("{line} {}\n", node.field));
            text(&node.children, depth + 1, out);
        }
    }

    fn shown(link: u32, hex: &str, relative: Option<Relative>) -> String {
        let data = bytes(hex);
        let mut shown = String::new();
        text(&tree(link, &data, data.len() as u32, relative), 0, &mut shown);
        shown
    }

    /// The part of `shown` from the line that begins with `from` on.
    fn part<'s>(shown: &'s str, from: &str) -> &'s str {
        &shown[shown.find(from).expect("the line is there")..]
    }

    #[test]
    fn a_syn_shows_every_option_with_its_bytes() {
        let shown = shown(1, SYN, Some(Relative { seq: 332_257_715, ack: 0 }));
        assert!(shown.contains(
            "  Sequence Number: 0 (relative) (38, 4) tcp.seq\n  Sequence Number (raw): 332257715 (38, 4) tcp.seq_raw\n"
        ));
        assert!(shown.contains("  [TCP Segment Len: 0] (0, 0) tcp.len\n"));
        assert_eq!(
            part(&shown, "  Options"),
            "  Options: (20 bytes) (54, 20) tcp.options\n    \
             TCP Option - Maximum segment size: 1418 bytes (54, 4) tcp.options.mss_val\n    \
             TCP Option - SACK permitted:  (58, 2) tcp.options.sack_perm\n    \
             TCP Option - Timestamps: TSval 486800541, TSecr 0 (60, 10) tcp.options.timestamp\n      \
             Timestamp value: 486800541 (62, 4) tcp.options.timestamp.tsval\n      \
             Timestamp echo reply: 0 (66, 4) tcp.options.timestamp.tsecr\n    \
             TCP Option - No-Operation (NOP):  (70, 1) tcp.options.nop\n    \
             TCP Option - Window scale: 7 (multiply by 128) (71, 3) tcp.options.wscale.shift\n"
        );
    }

    #[test]
    fn a_quoted_packet_is_a_subtree() {
        let (link, _, hex) = SAMPLES.iter().find(|(_, name, _)| *name == "fragmentation needed").expect("is among them");
        let shown = shown(*link, hex, None);
        assert!(shown.contains("  MTU of next hop: 600 (26, 2) icmp.mtu\n"), "{shown}");
        let quote = part(&shown, "  Quoted packet");
        assert!(quote.contains("    Internet Protocol Version 4: 10.0.0.1 → 172.17.0.2 (28, 20) ip\n"), "{quote}");
        assert!(quote.contains("      Source Port: 40000 (48, 2) tcp.srcport\n"), "{quote}");
        assert!(quote.contains("      Sequence Number (raw): 7 (52, 4) tcp.seq_raw\n"), "{quote}");
    }

    /// Each line must be in the tree of the sample.
    #[test]
    fn applications_and_tunnels_show_what_names_them() {
        let cases: [(&str, &[&str]); 12] = [
            (
                "TLS ClientHello",
                &[
                    "Handshake Type: Client Hello (1)",
                    "Server Name: www.example.org",
                    "Application Layer Protocol Negotiation: h2, http/1.1",
                    "Supported Versions: TLS 1.3, TLS 1.2",
                    "Cipher Suites: 2 suites",
                ],
            ),
            (
                "HTTP request",
                &["Request Method: GET (40, 3) http.request.method", "Host: example.org", "Request URI: /index.html"],
            ),
            ("HTTP response", &["Status Code: 404 (49, 3) http.response.code", "Server: test"]),
            ("DHCP Discover", &["DHCP Message Type: Discover (1)", "Host Name: host", "Client MAC address: 02:42:ac:11:00:01"]),
            ("HTTP request with a line that is none", &["Request URI: /", "Host: example.org (66, 19) http.host"]),
            ("DHCP ACK with two name servers", &["Domain Name Server: 10.0.0.53", "Domain Name Server: 10.0.0.54"]),
            ("cooked without an address", &["Link-layer address length: 0 (4, 2) sll.halen\n  Protocol: IPv4 (0x0800)"]),
            ("NTP client", &["Network Time Protocol: version 4, client", "Transmit Timestamp: 3892314112.500000 s since 1900"]),
            ("QUIC Initial", &["QUIC IETF: Initial", "Destination Connection ID: abababababababab (34, 8) quic.dcid"]),
            ("DNS response", &["Answer: example.com. A 192.0.2.1", "Time to live (s): 60", "Recursion available: Set"]),
            ("VXLAN", &["Virtual eXtensible Local Area Network: VNI 42", "  Destination Port: 5001"]),
            ("MLDv2 report", &["IPv6 Hop-by-Hop Option", "Router Alert", "Number of Multicast Address Records: 1"]),
        ];
        for (name, lines) in cases {
            let (_, _, hex) = SAMPLES.iter().find(|(_, its, _)| *its == name).expect("is among them");
            let (link, _) = crate::dissect::samples::sample(name);
            let shown = shown(link, hex, None);
            for line in lines {
                assert!(shown.contains(line), "{name}: {line} is not in\n{shown}");
            }
        }
    }

    #[test]
    fn what_was_cut_off_is_left_out_and_said() {
        let data = &bytes(SYN)[..50];
        let mut shown = String::new();
        text(&tree(1, data, 74, None), 0, &mut shown);
        assert!(
            shown.contains("Packet size limited during capture: in tcp at byte 34: the header needs 40 bytes and 16 are there"),
            "{shown}"
        );
        assert!(!shown.contains("tcp.checksum"), "{shown}");
    }
}
