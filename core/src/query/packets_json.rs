//! Packets as JSON lines: one object a record, in file order, then a trailer.
//!
//! Keys are short and their values are Wireshark's (`tshark -2 -n`, default preferences), so that the two can be compared
//! line by line. A key that is absent means null. What only the conversation knows (stream numbers, labels, reassembled
//! datagrams) comes in as an [`Observation`]; without one those keys are absent.

use crate::dissect::{
    Checksum, CutIp, FirstQuoted, Fragment, Icmp, Net, Outer, Packet, Protocol, Quote, Stop, Tcp, Transport, Udp, Why, cut_ip,
    first_quoted, link,
};
use crate::flow::Labels;
use crate::log::record::PacketRecord;
use std::fmt::Write;
use std::net::IpAddr;

/// What the conversation adds to one packet.
#[derive(Clone, Debug, Default)]
pub struct Observation<'a> {
    /// The datagram that this fragment completed.
    pub reassembled: Option<Packet<'a>>,
    /// `tcp.stream`.
    pub tcp_stream: Option<u32>,
    /// `tcp.window_size`.
    pub window_scaled: Option<u32>,
    /// `tcp.options.sack_le` and `_re`: relative where Wireshark shows relative numbers.
    pub sack: Vec<(u32, u32)>,
    /// `tcp.analysis`.
    pub labels: Labels,
    /// `tcp.analysis.initial_rtt`, in nanoseconds.
    pub initial_rtt_ns: Option<i64>,
    /// `tcp.completeness` after the whole file.
    pub completeness: Option<u8>,
    /// `tcp.analysis.duplicate_ack_num`.
    pub duplicate_ack_num: Option<u32>,
    /// `tcp.analysis.rto`, in nanoseconds.
    pub rto_ns: Option<i64>,
}

/// Appends one packet's line, with its line feed. `interface` is its number in its section, where Wireshark tells one.
pub fn write_packet(
    out: &mut String,
    interface: Option<u32>,
    record: &PacketRecord<'_>,
    packet: &Packet<'_>,
    observation: Option<&Observation<'_>>,
) {
    let mut line = Object::begin(out);
    line.number("n", record.no.0);
    line.maybe("ts_ns", record.time.map(|time| time.nanos()));
    line.number("caplen", record.data.len());
    line.number("len", record.wire_len);
    line.text("link", link_name(record.link_type));
    line.maybe("if", interface);
    if !packet.vlans.is_empty() {
        line.list("vlan", packet.vlans.iter());
    }
    let reassembled = observation.and_then(|observation| observation.reassembled.as_ref());
    // The IP layer is that of the packet on the wire, a fragment, unless a tunnel in the datagram leads to another.
    let innermost = reassembled.filter(|whole| whole.ip_depth > 1).unwrap_or(packet);
    network(&mut line, innermost);
    let cut = if reassembled.is_none() { cut_ip(packet, record.data) } else { None };
    if let Some(cut) = &cut {
        cut_network(&mut line, cut);
    }
    // Wireshark puts fragments together before it reads on; of IPv4, but not of IPv6, it reads a first one that was cut.
    let is_held = packet.ip.is_some_and(|ip| {
        let is_cut = (ip.offset + ip.total_len) as usize > record.data.len();
        ip.fragment.is_some() && reassembled.is_none() && (ip.src.is_ipv6() || !is_cut)
    });
    // Where it judges checksums, it puts no fragments with a wrong one together.
    let is_refused =
        packet.ip.is_some_and(|ip| ip.fragment.is_some()) && packet.ip_checksums.last() == Some(&Some(Checksum::Bad));
    if is_refused && packet.ip.is_some_and(|ip| ip.fragment.is_some_and(|fragment| fragment.offset == 0)) {
        line.maybe_text("ck_l4", packet.transport.checksum().map(checksum_name));
    }
    if !is_held && cut.is_none_or(|cut| cut.fragment.is_none()) {
        let carried = reassembled.unwrap_or(packet);
        // A datagram put together is on no wire: what its protocol is stands in each of its fragments.
        let is_named_alone = reassembled.is_some_and(|whole| whole.transport == Transport::Other(Protocol::Other));
        let carried = if is_named_alone && innermost.ip_depth <= 1 { &Packet::default() } else { carried };
        let data = if reassembled.is_none() { record.data } else { &[] };
        transport(&mut line, carried, data, observation);
        if let Some(checksum) = carried.transport.checksum()
            && (reassembled.is_some() || checksum_end(&carried.transport) <= record.data.len())
            && !is_refused
        {
            line.text("ck_l4", checksum_name(checksum));
        }
    }
    if innermost.ip_depth > 1
        && let Some(outer) = &innermost.outer
    {
        line.object("outer", |line| endpoints(line, outer));
    }
    // The header made for a whole datagram was on no wire; those of a tunnel inside it were.
    let made = usize::from(packet.ip.is_some_and(|ip| ip.src.is_ipv4()));
    let inside = reassembled.into_iter().flat_map(|whole| whole.ip_checksums.iter().skip(made));
    let mut checksums = packet.ip_checksums.iter().chain(inside).peekable();
    if checksums.peek().is_some() {
        line.list(
            "ck_ip",
            checksums.map(|checksum| match checksum {
                Some(checksum) => format!("\"{}\"", checksum_name(*checksum)),
                None => "null".to_owned(),
            }),
        );
    }
    line.end();
    out.push('\n');
}

/// Appends the trailer's line: how many packets were listed, and how reading ended in one word and in a sentence.
pub fn write_trailer(out: &mut String, packets: u32, status: &str, message: &str) {
    let mut line = Object::begin(out);
    line.raw("eof", "true");
    line.number("packets", packets);
    line.text("status", status);
    line.raw("message", serde_json::Value::from(message).to_string());
    line.end();
    out.push('\n');
}

fn network(line: &mut Object<'_>, packet: &Packet<'_>) {
    line.text("net", net_name(packet.net));
    if packet.ip_depth > 0 {
        line.number("ip_depth", packet.ip_depth);
    }
    if let Some(arp) = &packet.arp {
        line.maybe_text("src", arp.sender);
        line.maybe_text("dst", arp.target);
        line.number("arp_op", arp.operation);
    }
    let Some(ip) = &packet.ip else { return };
    line.maybe_text("src", Some(ip.src));
    line.maybe_text("dst", Some(ip.dst));
    line.maybe("ip_id", ip.id);
    line.number("ttl", ip.ttl);
    line.number("ip_proto", ip.protocol);
    line.maybe("df", ip.dont_fragment.map(u8::from));
    line.fragment(ip.fragment);
}

fn cut_network(line: &mut Object<'_>, ip: &CutIp) {
    line.maybe_text("src", ip.src);
    line.maybe("ip_id", ip.id);
    line.maybe("ttl", ip.ttl);
    line.maybe("ip_proto", ip.protocol);
    line.maybe("df", ip.dont_fragment.map(u8::from));
    line.fragment(ip.fragment);
}

/// Where the checksum field of a transport ends that is judged; a cut before it leaves nothing to judge.
fn checksum_end(transport: &Transport<'_>) -> usize {
    let end = match transport {
        Transport::Tcp(tcp) => tcp.offset + 18,
        Transport::Udp(udp) => udp.offset + 8,
        Transport::Icmp(icmp) => icmp.offset + 4,
        Transport::Ports { .. } | Transport::Other(_) | Transport::None => 0,
    };
    end as usize
}

/// Without the bytes that a packet put together was dissected from, `data` is empty.
fn transport(line: &mut Object<'_>, packet: &Packet<'_>, data: &[u8], observation: Option<&Observation<'_>>) {
    let transport = &packet.transport;
    let Some(protocol) = transport.protocol() else { return };
    line.text("transport", super::flows::transport(protocol));
    if let Some((src, dst)) = transport.ports() {
        line.number("sport", src);
        line.number("dport", dst);
    }
    match transport {
        Transport::Tcp(segment) => {
            // A header longer than the packet that it begins leaves no length for its data.
            let has_length = !matches!(packet.stop, Some(Stop { layer: "tcp", why: Why::HeaderLength { header, total }, .. }) if header > total);
            tcp(line, segment, has_length, observation);
        }
        Transport::Udp(datagram) => udp(line, datagram),
        Transport::Icmp(message) => icmp(line, message, first_quoted(packet, data)),
        Transport::Ports { .. } | Transport::Other(_) | Transport::None => {}
    }
}

fn tcp(line: &mut Object<'_>, tcp: &Tcp<'_>, has_length: bool, observation: Option<&Observation<'_>>) {
    line.maybe("payload_len", has_length.then_some(tcp.payload_len));
    line.number("flags", tcp.flags.0);
    line.number("seq", tcp.seq);
    line.number("ack", tcp.ack);
    line.number("win", tcp.window);
    line.maybe("mss", tcp.options.mss);
    line.maybe("wscale", tcp.options.window_scale);
    if tcp.options.sack_permitted {
        line.raw("sack_ok", "true");
    }
    line.maybe("tsval", tcp.options.tsval);
    line.maybe("tsecr", tcp.options.tsecr);
    let Some(observation) = observation else { return };
    line.maybe("tcp_stream", observation.tcp_stream);
    line.maybe("win_scaled", observation.window_scaled);
    if !observation.sack.is_empty() {
        line.list("sack", observation.sack.iter().map(|(left, right)| format!("[{left},{right}]")));
    }
    line.list("analysis", observation.labels.names().map(|name| format!("\"{name}\"")));
    // Wireshark shows none where the handshake's time stamps are equal (packet-tcp.c, `nstime_is_zero`).
    line.maybe("irtt_ns", observation.initial_rtt_ns.filter(|rtt| *rtt != 0));
    line.maybe("completeness", observation.completeness);
    line.maybe("dup_ack_num", observation.duplicate_ack_num);
    line.maybe("rto_ns", observation.rto_ns);
}

fn udp(line: &mut Object<'_>, udp: &Udp<'_>) {
    line.number("payload_len", udp.payload_len);
}

fn icmp(line: &mut Object<'_>, icmp: &Icmp<'_>, first: Option<FirstQuoted>) {
    line.number("icmp_type", icmp.kind);
    line.number("icmp_code", icmp.code);
    line.maybe("icmp_mtu", icmp.mtu);
    let innermost =
        icmp.quote.map(|Quote { src, dst, transport, ports, .. }| FirstQuoted { src, dst: Some(dst), transport, ports });
    if let Some(quote) = first.or(innermost) {
        line.object("quote", |line| {
            quoted(line, &quote);
            line.maybe("seq", icmp.quote.and_then(|quote| quote.seq));
        });
    }
}

fn quoted(line: &mut Object<'_>, quote: &FirstQuoted) {
    line.text("net", family(quote.src));
    line.maybe_text("src", Some(quote.src));
    line.maybe_text("dst", quote.dst);
    // Here a protocol that is only named is not written, as there is nothing of it.
    if let Some(protocol) = quote.transport.filter(|protocol| *protocol != Protocol::Other) {
        line.text("transport", super::flows::transport(protocol));
    }
    if let Some((src, dst)) = quote.ports {
        line.number("sport", src);
        line.number("dport", dst);
    }
}

fn endpoints(line: &mut Object<'_>, outer: &Outer) {
    line.text("net", family(outer.src));
    line.maybe_text("src", Some(outer.src));
    line.maybe_text("dst", Some(outer.dst));
    line.text("transport", super::flows::transport(outer.transport));
    if let Some((src, dst)) = outer.ports {
        line.number("sport", src);
        line.number("dport", dst);
    }
}

/// Links that have a name of their own here; the rest are `other`.
const LINK_NAMES: &[&str] = &[
    "ethernet",
    "raw",
    "null",
    "loop",
    "sll",
    "sll2",
    "ppp",
    "slip",
    "hdlc",
    "frelay",
    "wifi",
    "wifi-radiotap",
    "wifi-avs",
    "wifi-prism",
    "ppi",
    "fddi",
    "token-ring",
    "pflog",
    "nflog",
    "usb-linux",
    "usb-linux-mmap",
    "usbpcap",
];

fn link_name(link_type: u32) -> &'static str {
    link(link_type).map(|link| link.slug).filter(|slug| LINK_NAMES.contains(slug)).unwrap_or("other")
}

fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "ipv4",
        IpAddr::V6(_) => "ipv6",
    }
}

fn net_name(net: Net) -> &'static str {
    match net {
        Net::Other => "other",
        Net::Ipv4 => "ipv4",
        Net::Ipv6 => "ipv6",
        // Wireshark shows both by one name.
        Net::Arp | Net::Rarp => "arp",
    }
}

fn checksum_name(checksum: Checksum) -> &'static str {
    match checksum {
        Checksum::Good => "good",
        Checksum::Bad => "bad",
        Checksum::Unverified => "unverified",
        Checksum::Absent => "absent",
        Checksum::Illegal => "illegal",
    }
}

/// A JSON object being written. Values are numbers, addresses and words of our own, none of which needs escaping.
struct Object<'o> {
    out: &'o mut String,
    is_empty: bool,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, is_empty: true }
    }

    fn end(self) {
        self.out.push('}');
    }

    fn raw(&mut self, key: &str, value: impl std::fmt::Display) {
        let comma = if std::mem::take(&mut self.is_empty) { "" } else { "," };
        // Writing into a String cannot fail.
        let _ = write!(self.out, "{comma}\"{key}\":{value}");
    }

    fn number(&mut self, key: &str, value: impl std::fmt::Display) {
        self.raw(key, value);
    }

    fn maybe(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.raw(key, value);
        }
    }

    fn text(&mut self, key: &str, value: impl std::fmt::Display) {
        self.raw(key, format_args!("\"{value}\""));
    }

    fn maybe_text(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn list(&mut self, key: &str, values: impl Iterator<Item = impl std::fmt::Display>) {
        self.raw(key, "[");
        for (i, value) in values.enumerate() {
            let _ = write!(self.out, "{}{value}", if i > 0 { "," } else { "" });
        }
        self.out.push(']');
    }

    fn fragment(&mut self, fragment: Option<Fragment>) {
        let Some(fragment) = fragment else { return };
        self.object("frag", |line| {
            line.number("off", fragment.offset);
            line.number("mf", u8::from(fragment.more));
        });
    }

    fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.raw(key, "");
        let mut inner = Object::begin(self.out);
        fill(&mut inner);
        inner.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::dissect;
    use crate::ids::{InterfaceId, PacketNo};
    use crate::time::Timestamp;

    /// The line of a packet on raw IP, given as hex.
    fn line(hex: &str, interface: Option<u32>) -> String {
        let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        let data: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        let record = PacketRecord {
            no: PacketNo(1),
            interface: InterfaceId(0),
            link_type: 101,
            time: Some(Timestamp::from_nanos(1_000_000_000)),
            wire_len: data.len() as u32,
            offset: 40,
            data: &data,
            flags: None,
            drop_count: None,
            comments: Vec::new(),
        };
        let mut out = String::new();
        write_packet(&mut out, interface, &record, &dissect(101, &data, record.wire_len), None);
        out
    }

    const SYN: &str = "4500003cabcd40004006d8d60affff05ac110002 9892005013cdd9b300000000a00272107ffd0000 \
        0204058a0402080a1d03fc9d0000000001030307";
    const REJECTED: &str = "450000380001400040011dc30a0009010a000001 03045e0c00000258 \
        4500001c00014000400684c70a000001ac110002 9c40005000000007";

    #[test]
    fn each_packet_is_a_line_of_json() {
        assert_eq!(
            line(SYN, None).trim_end(),
            r#"{"n":1,"ts_ns":1000000000,"caplen":60,"len":60,"link":"raw","net":"ipv4","ip_depth":1,"src":"10.255.255.5","dst":"172.17.0.2","ip_id":43981,"ttl":64,"ip_proto":6,"df":1,"transport":"tcp","sport":39058,"dport":80,"payload_len":0,"flags":2,"seq":332257715,"ack":0,"win":29200,"mss":1418,"wscale":7,"sack_ok":true,"tsval":486800541,"tsecr":0,"ck_l4":"good","ck_ip":["good"]}"#
        );
        assert_eq!(
            line(REJECTED, None).trim_end(),
            r#"{"n":1,"ts_ns":1000000000,"caplen":56,"len":56,"link":"raw","net":"ipv4","ip_depth":1,"src":"10.0.9.1","dst":"10.0.0.1","ip_id":1,"ttl":64,"ip_proto":1,"df":1,"transport":"icmp","icmp_type":3,"icmp_code":4,"icmp_mtu":600,"quote":{"net":"ipv4","src":"10.0.0.1","dst":"172.17.0.2","transport":"tcp","sport":40000,"dport":80,"seq":7},"ck_l4":"good","ck_ip":["good"]}"#
        );
        assert!(line(SYN, Some(0)).contains(r#","if":0,"#));
    }

    #[test]
    fn a_first_fragment_is_held_until_its_datagram_is_whole_but_not_when_it_was_cut() {
        // 28 bytes of IPv4 with More Fragments: the 8 bytes are a UDP header.
        let whole = "4500001c000120004011469e0a0000010a000002 138813890020aaaa";
        assert!(!line(whole, None).contains("transport"), "{}", line(whole, None));
        let cut = "45000024000120004011 46960a0000010a000002 138813890020aaaa";
        assert!(line(cut, None).contains(r#""transport":"udp","sport":5000,"dport":5001"#), "{}", line(cut, None));
        // IPv6 with a Fragment header: 24 bytes are told, the 8 of the header and 8 of UDP are there.
        let cut6 =
            "6000000000182c4020010db800000000000000000000000120010db8000000000000000000000002 1100000100000007 138813890020aaaa";
        assert!(!line(cut6, None).contains("transport"), "{}", line(cut6, None));
    }

    #[test]
    fn the_trailer_escapes_its_message() {
        let mut out = String::new();
        write_trailer(&mut out, 3, "damaged", "a \"quoted\" reason");
        assert_eq!(out, "{\"eof\":true,\"packets\":3,\"status\":\"damaged\",\"message\":\"a \\\"quoted\\\" reason\"}\n");
    }
}
