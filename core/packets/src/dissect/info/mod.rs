//! Packets in tcpdump's words.
//!
//! [`info`] is what `tcpdump -n` prints after the addresses, [`tcpdump_line`] its whole line. The text is tcpdump 4.99's, byte
//! for byte, for what is read here; where tcpdump dissects an application that is not read here, the line ends with the length.

mod arp;
pub(super) mod dns;
mod icmp;
mod icmpv6;
mod tcp;
mod text;
mod udp;

use super::packet::{Ip, Packet, Protocol, Stop, Transport, Why};
use super::walk::{Kind, Layer, Walk};
use super::{link, walk};
use crate::time::Timestamp;
use std::fmt::Write;
use std::net::IpAddr;

/// What sequence and acknowledgment numbers are counted from, in one direction of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relative {
    /// This direction's initial sequence number.
    pub seq: u32,
    /// The other direction's.
    pub ack: u32,
}

/// What a packet list shows of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// The protocol that says most: `TCP`, `DNS`, `ARP`.
    pub protocol: &'static str,
    /// tcpdump's words after the addresses.
    pub text: String,
}

/// The innermost packet in tcpdump's words, without the addresses. With `relative`, TCP's numbers count from there, as tcpdump
/// does from a conversation's second packet on; a SYN's never do.
pub fn info(link_type: u32, data: &[u8], wire_len: u32, relative: Option<Relative>) -> Info {
    let (packet, layers) = walked(link_type, data, wire_len);
    let mut info = Info::default();
    write_info(&mut info, &packet, &layers, data, relative);
    info
}

/// The whole line as `tcpdump -n` prints it, with the time of day in UTC. A tunnel shows its outermost addresses first.
pub fn tcpdump_line(time: Option<Timestamp>, link_type: u32, data: &[u8], wire_len: u32, relative: Option<Relative>) -> String {
    let (packet, layers) = walked(link_type, data, wire_len);
    let mut info = Info::default();
    if let Some(time) = time {
        let of_day = time.nanos().rem_euclid(86_400_000_000_000) / 1_000;
        let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
        let _ = write!(info.text, "{:02}:{:02}:{:02}.{micros:06} ", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    if let Some(outer) = &packet.outer {
        let ports = outer.ports;
        addresses(&mut info.text, outer.src, outer.dst, ports);
        info.text.push_str(": ");
    }
    if let Some(ip) = &packet.ip {
        // The addresses stand with the ports only where the transport follows the IP header itself.
        let ports = packet.transport.ports().filter(|_| ip.payload_offset == ip.offset + header_len(ip, data));
        let ports = ports.filter(|_| !is_later_fragment(ip));
        addresses(&mut info.text, ip.src, ip.dst, ports);
        info.text.push_str(": ");
    }
    write_info(&mut info, &packet, &layers, data, relative);
    info.text
}

/// The packet with the layers it has.
pub(super) fn walked(link_type: u32, data: &[u8], wire_len: u32) -> (Packet<'_>, Vec<Layer>) {
    let mut walk = Walk::new(data, wire_len);
    walk.layers = Some(Vec::new());
    match link(link_type) {
        Some(link) => walk.run(walk::Next(link.read)),
        None => walk.unknown_link(link_type),
    }
    let layers = walk.layers.take().unwrap_or_default();
    (walk.finish(), layers)
}

/// The layers of the packet that an ICMP error quotes at `at`; offsets count from the beginning of `data`.
pub(super) fn walked_quote(data: &[u8], at: usize) -> (Packet<'_>, Vec<Layer>) {
    let mut walk = Walk::new(data, u32::MAX);
    walk.at = at;
    walk.layers = Some(Vec::new());
    walk.run_quote();
    let layers = walk.layers.take().unwrap_or_default();
    (walk.finish(), layers)
}

fn header_len(ip: &Ip, data: &[u8]) -> u32 {
    match ip.src {
        IpAddr::V4(_) => data.get(ip.offset as usize).map_or(20, |first| u32::from(first & 0x0f) * 4),
        IpAddr::V6(_) => 40,
    }
}

fn addresses(out: &mut String, src: IpAddr, dst: IpAddr, ports: Option<(u16, u16)>) {
    let version = if src.is_ipv4() { "IP" } else { "IP6" };
    // Writing into a String cannot fail, here and below.
    let _ = match ports {
        Some((from, to)) => write!(out, "{version} {src}.{from} > {dst}.{to}"),
        None => write!(out, "{version} {src} > {dst}"),
    };
}

fn is_later_fragment(ip: &Ip) -> bool {
    ip.fragment.is_some_and(|fragment| fragment.offset > 0)
}

fn write_info(info: &mut Info, packet: &Packet<'_>, layers: &[Layer], data: &[u8], relative: Option<Relative>) {
    let Some(ip) = &packet.ip else {
        match (&packet.arp, &packet.stop) {
            (Some(arp), _) => arp::write(info, arp, layers, data),
            (None, Some(Stop { why: why @ Why::UnknownLink(_), .. })) => {
                info.protocol = "";
                let _ = write!(info.text, "{why}: {} bytes", data.len());
            }
            (None, Some(stop)) => {
                info.protocol = "";
                let _ = write!(info.text, "[{}: {}]", stop.layer, stop.why);
            }
            (None, None) => {
                info.protocol = "";
                let _ = write!(info.text, "{} bytes that are not IP", data.len());
            }
        }
        return;
    };
    info.protocol = if ip.src.is_ipv4() { "IPv4" } else { "IPv6" };
    extensions(&mut info.text, ip, layers, data);
    if is_later_fragment(ip) {
        if ip.src.is_ipv4() {
            let _ = write!(info.text, "ip-proto-{}", ip.protocol);
        }
        return;
    }
    if let Some((src, dst)) = packet.transport.ports().filter(|_| ip.payload_offset != ip.offset + header_len(ip, data)) {
        let _ = write!(info.text, "{src} > {dst}: ");
    }
    // Length of all above IP.
    let len = (ip.offset + ip.total_len).saturating_sub(ip.payload_offset);
    match &packet.transport {
        Transport::Tcp(segment) => tcp::write(info, segment, data, relative),
        Transport::Udp(datagram) => udp::write(info, datagram),
        Transport::Icmp(message) if message.protocol == Protocol::Icmp => icmp::write(info, message, data, len),
        Transport::Icmp(message) => icmpv6::write(info, message, data, len),
        Transport::Ports { protocol, .. } => cut(info, *protocol),
        Transport::Other(Protocol::Igmp) => igmp(info, data, ip),
        Transport::Other(protocol) if *protocol != Protocol::Other => cut(info, *protocol),
        Transport::Other(_) | Transport::None => {
            let _ = write!(info.text, "ip-proto-{} {len}", ip.protocol);
        }
    }
}

/// IPv6's extension headers.
fn extensions(out: &mut String, ip: &Ip, layers: &[Layer], data: &[u8]) {
    for layer in layers.iter().filter(|layer| layer.at >= ip.offset as usize) {
        match layer.kind {
            Kind::HopByHop => out.push_str("HBH "),
            Kind::DestinationOptions => out.push_str("DSTOPT "),
            Kind::FragmentHeader => {
                let Some(header) = data.get(layer.at..).and_then(|rest| rest.first_chunk::<4>()) else { return };
                let offset = u16::from_be_bytes([header[2], header[3]]) & 0xfff8;
                let end = (ip.offset + ip.total_len) as usize;
                let _ = write!(out, "frag ({offset}|{}) ", end.saturating_sub(layer.at + 8));
            }
            Kind::Routing => {
                let Some(header) = data.get(layer.at..).and_then(|rest| rest.first_chunk::<4>()) else { return };
                let _ = write!(out, "RT6 (len={}, type={}, segleft={}) ", header[1], header[2], header[3]);
            }
            _ => {}
        }
    }
}

/// A transport whose header is not all there, or of which only the ports are read.
fn cut(info: &mut Info, protocol: Protocol) {
    let (name, lower) = match protocol {
        Protocol::Tcp => ("TCP", "tcp"),
        Protocol::Udp => ("UDP", "udp"),
        Protocol::UdpLite => ("UDP-Lite", "udp"),
        Protocol::Sctp => ("SCTP", "sctp"),
        Protocol::Dccp => ("DCCP", "dccp"),
        Protocol::Icmp => ("ICMP", "icmp"),
        Protocol::Icmpv6 => ("ICMPv6", "icmp6"),
        Protocol::Igmp => ("IGMP", "igmp"),
        Protocol::Other => ("", "ip"),
    };
    info.protocol = name;
    let _ = match protocol {
        Protocol::Sctp | Protocol::Dccp => write!(info.text, "{lower}"),
        _ => write!(info.text, "[|{lower}]"),
    };
}

/// IGMP versions 1 to 3 (RFC 1112, 2236, 3376).
fn igmp(info: &mut Info, data: &[u8], ip: &Ip) {
    info.protocol = "IGMP";
    let end = ((ip.offset + ip.total_len) as usize).min(data.len());
    let message = data.get(ip.payload_offset as usize..end).unwrap_or_default();
    let out = &mut info.text;
    let group = |at: usize| message.get(at..at + 4).map(|b| std::net::Ipv4Addr::new(b[0], b[1], b[2], b[3]));
    let (Some(kind), Some(first_group)) = (message.first(), group(4)) else {
        out.push_str("igmp [|igmp]");
        return;
    };
    let _ = match kind {
        0x11 if message.len() >= 12 => {
            out.push_str("igmp query v3");
            match first_group.is_unspecified() {
                true => Ok(()),
                false => write!(out, " [gaddr {first_group}]"),
            }
        }
        0x11 => {
            let version = if message[1] == 0 { 1 } else { 2 };
            let _ = write!(out, "igmp query v{version}");
            if version == 2 && message[1] != 100 {
                let tenths = message[1];
                let _ = match tenths % 10 {
                    0 => write!(out, " [max resp time {}s]", tenths / 10),
                    rest => write!(out, " [max resp time {}.{rest}s]", tenths / 10),
                };
            }
            match first_group.is_unspecified() {
                true => Ok(()),
                false => write!(out, " [gaddr {first_group}]"),
            }
        }
        0x12 => write!(out, "igmp v1 report {first_group}"),
        0x16 => write!(out, "igmp v2 report {first_group}"),
        0x17 => write!(out, "igmp leave {first_group}"),
        0x22 => write!(out, "igmp v3 report, {} group record(s)", u16::from_be_bytes([message[6], message[7]])),
        kind => write!(out, "igmp-{kind}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::samples::bytes;

    /// Expected lines are what tcpdump 4.99.3 prints of these bytes. (DIAGNOSIS.md shows the second without `,eol`: no bytes make
    /// tcpdump print that, since three bytes of padding must follow the 21 bytes of options.)
    #[test]
    fn the_reference_case_reads_as_tcpdump_prints_it() {
        let client = Relative { seq: 332_257_715, ack: 1_630_206_251 };
        let server = Relative { seq: client.ack, ack: client.seq };
        let cases = [
            (
                589235,
                None,
                "0242ac1100020242ac11000108004500003cabcd40004006d8d60affff05ac1100029892005013cdd9b300000000a00272107ffd00000204058a0402080a1d03fc9d0000000001030307",
                "14:40:00.589235 IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [S], seq 332257715, win 29200, options [mss 1418,sackOK,TS val 486800541 ecr 0,nop,wscale 7], length 0",
            ),
            (
                589277,
                None,
                "0242ac1100020242ac110001080045000040abcd40004006d8d2ac1100020affff0500509892612af92b13cdd9b4b0121310d28e0000020401000402080a95920a011d03fc9d0101030307000000",
                "14:40:00.589277 IP 172.17.0.2.80 > 10.255.255.5.39058: Flags [S.], seq 1630206251, ack 332257716, win 4880, options [mss 256,sackOK,TS val 2509376001 ecr 486800541,nop,nop,wscale 7,eol], length 0",
            ),
            (
                589894,
                Some(client),
                "0242ac1100020242ac110001080045000034abcd40004006d8de0affff05ac1100029892005013cdd9b4612af92c801000e525d000000101080a1d03fc9d95920a01",
                "14:40:00.589894 IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [.], ack 1, win 229, options [nop,nop,TS val 486800541 ecr 2509376001], length 0",
            ),
            (
                3589352,
                Some(client),
                "0242ac1100020242ac110001080045000034abcd40004006d8de0affff05ac1100029892005013cdd9ff612af92c801100e519cc00000101080a1d04085595920a01",
                "14:40:03.589352 IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [F.], seq 76, ack 1, win 229, options [nop,nop,TS val 486803541 ecr 2509376001], length 0",
            ),
            (
                3589417,
                Some(server),
                "0242ac1100020242ac110001080045000040abcd40004006d8d2ac1100020affff0500509892612af92c13cdd9b4b0100028092300000101080a959215b91d03fc9d0101050a13cdd9ff13cdda00",
                "14:40:03.589417 IP 172.17.0.2.80 > 10.255.255.5.39058: Flags [.], ack 1, win 40, options [nop,nop,TS val 2509379001 ecr 486800541,nop,nop,sack 1 {76:77}], length 0",
            ),
        ];
        for (micros, relative, hex, line) in cases {
            let data = bytes(hex);
            let time = Timestamp::from_nanos((52_800_000_000 + micros) * 1_000);
            assert_eq!(tcpdump_line(Some(time), 1, &data, data.len() as u32, relative), line);
        }
    }

    /// Likewise what tcpdump prints of these raw IP packets.
    #[test]
    fn other_protocols_read_as_tcpdump_prints_them() {
        let cases = [
            (
                "450000380001400040011dc30a0009010a00000103045e0c000002584500001c00014000400684c70a000001ac1100029c40005000000007",
                "IP 10.0.9.1 > 10.0.0.1: ICMP 172.17.0.2 unreachable - need to frag (mtu 600), length 36",
            ),
            (
                "450000380001400040011dc30a0009010a00000103036065000000004500001c00014000400684c70a000001ac1100029c40005000000007",
                "IP 10.0.9.1 > 10.0.0.1: ICMP 172.17.0.2 tcp port 80 unreachable, length 36",
            ),
            (
                "4500002400014000400126d60a0000010a00000208001615000700027878787878787878",
                "IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 7, seq 2, length 16",
            ),
            (
                "45000039000140004011267e0a0000010a0000351092003500255365b7d401000001000000000000076578616d706c6503636f6d0000010001",
                "IP 10.0.0.1.4242 > 10.0.0.53.53: 47060+ A? example.com. (29)",
            ),
            (
                "45000049000140004011266e0a0000350a0000010035109200358241b7d481800001000100000000076578616d706c6503636f6d0000010001c00c000100010000003c0004c0000201",
                "IP 10.0.0.53.53 > 10.0.0.1.4242: 47060 1/0/0 A 192.0.2.1 (45)",
            ),
            (
                "4500003d000140004011267a0a0000350a000001003510920029d8f9b7d481830001000000000000076e6f7768657265076578616d706c6500001c0001",
                "IP 10.0.0.53.53 > 10.0.0.1.4242: 47060 NXDomain 0/0/0 (33)",
            ),
            (
                "4500002100014000401126c90a0000010a00000213881389000d80ee68656c6c6f",
                "IP 10.0.0.1.5000 > 10.0.0.2.5001: UDP, length 5",
            ),
            ("45000024000100b94011660d0a0000010a00000279797979797979797979797979797979", "IP 10.0.0.1 > 10.0.0.2: ip-proto-17"),
        ];
        for (hex, line) in cases {
            let data = bytes(hex);
            assert_eq!(tcpdump_line(None, 101, &data, data.len() as u32, None), line);
            for cut in 0..data.len() {
                tcpdump_line(None, 101, &data[..cut], data.len() as u32, None);
            }
        }
    }
}
