//! One line of `tcpdump -n` to one Ethernet frame.
//!
//! Relative numbers are tcpdump's: once a SYN-ACK was seen, `seq` and `ack` of segments with ACK count from the two initial
//! sequence numbers; before that, and in segments without ACK, they are as on the wire (tcpdump's print-tcp.c).

use etherparse::{
    EtherType, Ethernet2Header, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber, Ipv4Header, Ipv6Header, TcpHeader,
    UdpHeader,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Initial sequence numbers by (source, destination), and the frames made so far (an ICMP error quotes one).
#[derive(Debug, Default)]
pub(super) struct Packets {
    initial: BTreeMap<(SocketAddr, SocketAddr), u32>,
    frames: Vec<Vec<u8>>,
    next_id: u16,
}

const ETHERNET: usize = 14;

impl Packets {
    /// A frame for a line that begins with `IP` or `IP6`.
    pub(super) fn frame(&mut self, line: &str) -> Result<Vec<u8>, String> {
        if let Some(arp) = line.strip_prefix("ARP, ") {
            let frame = arp_frame(arp)?;
            self.frames.push(frame.clone());
            return Ok(frame);
        }
        let (head, body) = line.split_once(": ").ok_or("a packet line has a colon and a space after the addresses")?;
        // As `tcpdump -v` has it, of what it has there.
        let (head, ttl) = match head.split_once(" (ttl ").and_then(|(family, rest)| Some((family, rest.split_once(") ")?))) {
            Some((family, (ttl, rest))) => (format!("{family} {rest}"), Some(number::<u8>(ttl)?)),
            None => (head.to_owned(), None),
        };
        let mut words = head.split(' ');
        let _family = words.next();
        let (src, arrow, dst) = (words.next(), words.next(), words.next());
        let (Some(src), Some(">"), Some(dst)) = (src, arrow, dst) else {
            return Err("expected `IP SOURCE > DESTINATION: …`".into());
        };
        let mut frame = if let Some(echo) = body.strip_prefix("ICMP echo ") {
            let (src, dst) = (address(src)?, address(dst)?);
            let (header, payload) = echo_message(src, echo)?;
            wrap(Transport::Icmp(header), src, dst, &payload, self.id())?
        } else if let Some(icmp) = body.strip_prefix("ICMP ") {
            let (src, dst) = (address(src)?, address(dst)?);
            let (header, quoted) = self.icmp(icmp)?;
            wrap(Transport::Icmp(header), src, dst, &quoted, self.id())?
        } else {
            let (src, dst) = (endpoint(src)?, endpoint(dst)?);
            if let Some(udp) = body.strip_prefix("UDP, length ") {
                let payload = vec![b'u'; usize::from(number::<u16>(udp)?)];
                wrap(Transport::Udp(src.port(), dst.port()), src.ip(), dst.ip(), &payload, self.id())?
            } else if body.contains("? ") {
                wrap(Transport::Udp(src.port(), dst.port()), src.ip(), dst.ip(), &dns_message(body)?, self.id())?
            } else {
                let (header, payload) = self.tcp(src, dst, body)?;
                // Linux gives a SYN-ACK the identification 0: it is not to be fragmented (RFC 6864).
                let id = if header.syn && header.ack { 0 } else { self.id() };
                wrap(Transport::Tcp(Box::new(header)), src.ip(), dst.ip(), &payload, id)?
            }
        };
        if let Some(ttl) = ttl {
            set_ttl(&mut frame, ttl);
        }
        self.frames.push(frame.clone());
        Ok(frame)
    }

    /// `copy of N`: the frame of packet N once more, to the last byte, as a mirror port gives it.
    pub(super) fn copy(&mut self, no: &str) -> Result<Vec<u8>, String> {
        let frame =
            self.frames.get(number::<usize>(no)?.wrapping_sub(1)).ok_or("there is no such packet before this one")?.clone();
        self.frames.push(frame.clone());
        Ok(frame)
    }

    /// Forgets a frame that was made for something else than a capture (a kernel drop): packet numbers count captured ones.
    pub(super) fn not_captured(&mut self) {
        self.frames.pop();
    }

    fn id(&mut self) -> u16 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id.wrapping_add(0x3a00)
    }

    /// `TYPE/CODE quoting N [mtu M]`: an error about packet N, with its IP header and as much after it as fits 548 bytes
    /// (RFC 1812 section 4.3.2.3).
    fn icmp(&self, text: &str) -> Result<([u8; 6], Vec<u8>), String> {
        let mut words = text.split(' ');
        let (kind, code) = words.next().and_then(|word| word.split_once('/')).ok_or("expected `ICMP TYPE/CODE quoting N`")?;
        let (Some("quoting"), Some(no)) = (words.next(), words.next()) else {
            return Err("expected `ICMP TYPE/CODE quoting N`".into());
        };
        let mtu: u16 = match (words.next(), words.next()) {
            (Some("mtu"), Some(mtu)) => number(mtu)?,
            _ => 0,
        };
        let quoted = self.frames.get(number::<usize>(no)?.wrapping_sub(1)).ok_or("there is no such packet before this one")?;
        let quoted = &quoted[ETHERNET..quoted.len().min(ETHERNET + 548)];
        let [high, low] = mtu.to_be_bytes();
        Ok(([number(kind)?, number(code)?, 0, 0, high, low], quoted.to_vec()))
    }

    fn tcp(&mut self, src: SocketAddr, dst: SocketAddr, body: &str) -> Result<(TcpHeader, Vec<u8>), String> {
        let mut fields = Fields::default();
        let (flags, rest) = body
            .strip_prefix("Flags [")
            .and_then(|rest| rest.split_once(']'))
            .ok_or("expected `Flags [`, `UDP, length` or `ICMP`")?;
        let (before, options) = match rest.split_once("options [") {
            Some((before, rest)) => {
                let (options, after) = rest.split_once(']').ok_or("the options have no end")?;
                fields.read(after)?;
                (before, options)
            }
            None => (rest, ""),
        };
        fields.read(before)?;

        let mut header = TcpHeader::new(src.port(), dst.port(), 0, fields.win);
        for letter in flags.chars() {
            *match letter {
                'F' => &mut header.fin,
                'S' => &mut header.syn,
                'R' => &mut header.rst,
                'P' => &mut header.psh,
                '.' => &mut header.ack,
                'U' => &mut header.urg,
                'E' => &mut header.ece,
                'W' => &mut header.cwr,
                _ => return Err(format!("no TCP flag is written `{letter}`")),
            } = true;
        }
        let (ours, theirs) = match (self.initial.get(&(src, dst)), self.initial.get(&(dst, src)), header.ack) {
            (Some(ours), Some(theirs), true) => (*ours, *theirs),
            _ => (0, 0),
        };
        // Without `seq`, tcpdump means the next byte: right for an ACK after everything was sent once; 1 after a handshake.
        let relative = fields.seq.unwrap_or(1);
        let seq = if fields.seq.is_none() && ours == 0 { 0 } else { relative.wrapping_add(ours) };
        let ack = fields.ack.unwrap_or(0).wrapping_add(theirs);
        if header.syn {
            self.initial.insert((src, dst), seq);
            if header.ack {
                self.initial.entry((dst, src)).or_insert(ack.wrapping_sub(1));
            }
        }

        header.sequence_number = seq;
        header.acknowledgment_number = if header.ack { ack } else { 0 };
        header.set_options_raw(&tcp_options(options, theirs)?).map_err(|error| error.to_string())?;
        let payload = fields.payload.into_bytes().into_iter().chain(std::iter::repeat(b'x'));
        Ok((header, payload.take(fields.length).collect()))
    }
}

/// `request, id 7, seq 1, length 64`, as tcpdump prints an echo: the length is that of the whole message.
fn echo_message(src: IpAddr, text: &str) -> Result<([u8; 6], Vec<u8>), String> {
    const SHAPE: &str = "expected `ICMP echo request, id N, seq N, length N` or the same with `reply`";
    let mut fields = text.split(", ");
    let kind = match (fields.next(), src) {
        (Some("request"), IpAddr::V4(_)) => 8,
        (Some("reply"), IpAddr::V4(_)) => 0,
        (Some("request"), IpAddr::V6(_)) => 128,
        (Some("reply"), IpAddr::V6(_)) => 129,
        _ => return Err(SHAPE.into()),
    };
    let mut next = |name: &str| {
        fields.next().and_then(|field| field.strip_prefix(name)).ok_or(SHAPE).and_then(|n| n.parse::<u16>().map_err(|_| SHAPE))
    };
    let ([id_high, id_low], [seq_high, seq_low]) = (next("id ")?.to_be_bytes(), next("seq ")?.to_be_bytes());
    let length = usize::from(next("length ")?).saturating_sub(8);
    Ok(([kind, 0, id_high, id_low, seq_high, seq_low], vec![b'e'; length]))
}

/// What a TCP line says beside flags and options.
#[derive(Default)]
struct Fields {
    seq: Option<u32>,
    ack: Option<u32>,
    win: u16,
    length: usize,
    payload: String,
}

impl Fields {
    fn read(&mut self, text: &str) -> Result<(), String> {
        let text = match text.split_once(": HTTP: ") {
            Some((before, http)) => {
                self.payload = format!("{http}\r\nHost: 172.17.0.2\r\nUser-Agent: curl\r\nAccept: */*\r\n\r\n");
                before
            }
            None => text,
        };
        for field in text.split(", ").map(|field| field.trim_matches([',', ' '])).filter(|field| !field.is_empty()) {
            match field.split_once(' ') {
                Some(("seq", range)) => self.seq = Some(number(range.split(':').next().unwrap_or(range))?),
                Some(("ack", ack)) => self.ack = Some(number(ack)?),
                Some(("win", win)) => self.win = number(win)?,
                Some(("length", length)) => self.length = number(length)?,
                _ => return Err(format!("`{field}` is not known")),
            }
        }
        Ok(())
    }
}

fn tcp_options(text: &str, peer_initial: u32) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for option in text.split(',').filter(|option| !option.is_empty()) {
        let mut words = option.split(' ');
        match words.next() {
            Some("nop") => bytes.push(1),
            Some("eol") => bytes.push(0),
            Some("sackOK") => bytes.extend([4, 2]),
            Some("mss") => {
                bytes.extend([2, 4]);
                bytes.extend(number::<u16>(words.next().unwrap_or(""))?.to_be_bytes());
            }
            Some("wscale") => bytes.extend([3, 3, number(words.next().unwrap_or(""))?]),
            Some("TS") => {
                let (_, val, _, ecr) = (words.next(), words.next(), words.next(), words.next());
                bytes.extend([8, 10]);
                bytes.extend(number::<u32>(val.unwrap_or(""))?.to_be_bytes());
                bytes.extend(number::<u32>(ecr.unwrap_or(""))?.to_be_bytes());
            }
            Some("sack") => {
                let blocks = words.nth(1).unwrap_or("");
                let edges: Vec<u32> =
                    blocks.split(['{', '}', ':']).filter(|edge| !edge.is_empty()).map(number).collect::<Result<_, _>>()?;
                bytes.extend([5, 2 + 4 * edges.len() as u8]);
                edges.iter().for_each(|edge| bytes.extend(edge.wrapping_add(peer_initial).to_be_bytes()));
            }
            _ => return Err(format!("the option `{option}` is not known")),
        }
    }
    while bytes.len() % 4 != 0 {
        bytes.push(0);
    }
    Ok(bytes)
}

/// A transport header that still lacks its checksum.
enum Transport {
    Tcp(Box<TcpHeader>),
    /// Source and destination port.
    Udp(u16, u16),
    /// Type, code, and the four bytes after the checksum.
    Icmp([u8; 6]),
}

/// Puts a transport header, IP and Ethernet before a payload, with every checksum right. The sender's MAC is Docker's: 02:42
/// and the address.
fn wrap(transport: Transport, src: IpAddr, dst: IpAddr, payload: &[u8], id: u16) -> Result<Vec<u8>, String> {
    let too_long = |error: &dyn std::fmt::Display| format!("a packet is at most 65,535 bytes: {error}");
    let number = match (&transport, src) {
        (Transport::Tcp(_), _) => IpNumber::TCP,
        (Transport::Udp(..), _) => IpNumber::UDP,
        (Transport::Icmp(_), IpAddr::V4(_)) => IpNumber::ICMP,
        (Transport::Icmp(_), IpAddr::V6(_)) => IpNumber::IPV6_ICMP,
    };
    let header = match transport {
        Transport::Tcp(mut header) => {
            header.checksum = match (src, dst) {
                (IpAddr::V4(s), IpAddr::V4(d)) => header.calc_checksum_ipv4_raw(s.octets(), d.octets(), payload),
                (IpAddr::V6(s), IpAddr::V6(d)) => header.calc_checksum_ipv6_raw(s.octets(), d.octets(), payload),
                _ => return Err(MIXED.into()),
            }
            .map_err(|error| too_long(&error))?;
            header.to_bytes().to_vec()
        }
        Transport::Udp(from, to) => {
            let length = UdpHeader::without_ipv4_checksum(from, to, payload.len()).map_err(|error| too_long(&error))?;
            let checksum = match (src, dst) {
                (IpAddr::V4(s), IpAddr::V4(d)) => length.calc_checksum_ipv4_raw(s.octets(), d.octets(), payload),
                (IpAddr::V6(s), IpAddr::V6(d)) => length.calc_checksum_ipv6_raw(s.octets(), d.octets(), payload),
                _ => return Err(MIXED.into()),
            }
            .map_err(|error| too_long(&error))?;
            UdpHeader { checksum, ..length }.to_bytes().to_vec()
        }
        Transport::Icmp([type_u8, code_u8, rest @ ..]) => match (src, dst) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                let kind = Icmpv4Type::Unknown { type_u8, code_u8, bytes5to8: rest };
                Icmpv4Header::with_checksum(kind, payload).to_bytes().to_vec()
            }
            (IpAddr::V6(s), IpAddr::V6(d)) => {
                let kind = Icmpv6Type::Unknown { type_u8, code_u8, bytes5to8: rest };
                let header = Icmpv6Header::with_checksum(kind, s.octets(), d.octets(), payload);
                header.map_err(|error| too_long(&error))?.to_bytes().to_vec()
            }
            _ => return Err(MIXED.into()),
        },
    };
    let length = u16::try_from(header.len() + payload.len()).map_err(|error| too_long(&error))?;
    let (ether_type, ip) = match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            let ttl = if id == 0 || s == Ipv4Addr::new(172, 17, 0, 2) { 64 } else { 63 };
            let mut ip = Ipv4Header::new(length, ttl, number, s.octets(), d.octets()).map_err(|error| too_long(&error))?;
            ip.identification = id;
            // As Linux sets it while it looks for the path's MTU.
            ip.dont_fragment = true;
            ip.header_checksum = ip.calc_header_checksum();
            (EtherType::IPV4, ip.to_bytes().to_vec())
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            let ip = Ipv6Header {
                payload_length: length,
                next_header: number,
                hop_limit: 64,
                source: s.octets(),
                destination: d.octets(),
                ..Ipv6Header::default()
            };
            (EtherType::IPV6, ip.to_bytes().to_vec())
        }
        _ => return Err(MIXED.into()),
    };
    let ethernet = Ethernet2Header { source: mac(src), destination: mac(dst), ether_type };
    Ok([&ethernet.to_bytes()[..], &ip, &header, payload].concat())
}

/// `1000+ A? example.test.`, as tcpdump prints a question, or `1000 q: A? example.test.`, as `tcpdump -v` begins an answer. The answer has
/// no records.
fn dns_message(text: &str) -> Result<Vec<u8>, String> {
    const SHAPE: &str = "expected `ID+ A? NAME` or `ID q: A? NAME`";
    let (responds, id, rest) = match (text.split_once("+ "), text.split_once(" q: ")) {
        (Some((id, rest)), _) => (false, id, rest),
        (_, Some((id, rest))) => (true, id, rest),
        _ => return Err(SHAPE.into()),
    };
    let (kind, name) = rest.split_once("? ").ok_or(SHAPE)?;
    let kind: u16 = match kind {
        "A" => 1,
        "AAAA" => 28,
        _ => return Err(format!("no type of DNS is written `{kind}`")),
    };
    let mut bytes = number::<u16>(id)?.to_be_bytes().to_vec();
    bytes.extend([if responds { 0x81 } else { 0x01 }, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    Ok(bytes)
}

/// `Request who-has A tell B, length 28` or `Reply A is-at MAC, length 28`.
fn arp_frame(text: &str) -> Result<Vec<u8>, String> {
    const SHAPE: &str = "expected `ARP, Request who-has A tell B` or `ARP, Reply A is-at MAC`";
    let words: Vec<&str> = text.split([' ', ',']).collect();
    let v4 = |text: &str| text.parse::<Ipv4Addr>().map_err(|_| format!("`{text}` is no address"));
    let (operation, sender, sender_mac, target) = match words[..] {
        ["Request", "who-has", target, "tell", sender, ..] => (1, v4(sender)?, mac(v4(sender)?.into()), v4(target)?),
        ["Reply", sender, "is-at", address, ..] => {
            let octets: Vec<u8> = address.split(':').filter_map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
            (2, v4(sender)?, octets.try_into().map_err(|_| format!("`{address}` is no MAC address"))?, Ipv4Addr::UNSPECIFIED)
        }
        _ => return Err(SHAPE.into()),
    };
    let ethernet = Ethernet2Header { source: sender_mac, destination: [0xff; 6], ether_type: EtherType::ARP };
    let addresses = [&sender_mac[..], &sender.octets(), &[0; 6], &target.octets()].concat();
    Ok([&ethernet.to_bytes()[..], &[0, 1, 8, 0, 6, 4, 0, operation], &addresses].concat())
}

/// Gives a frame another TTL or hop limit.
fn set_ttl(frame: &mut [u8], ttl: u8) {
    let ip = &mut frame[ETHERNET..];
    if ip[0] >> 4 == 6 {
        ip[7] = ttl;
        return;
    }
    // RFC 1624: the checksum changes by what the field does.
    let old = u32::from(u16::from_be_bytes([ip[10], ip[11]]));
    let sum = old + (u32::from(ip[8]) << 8) + (0xffff - (u32::from(ttl) << 8));
    let folded = (sum & 0xffff) + (sum >> 16);
    ip[8] = ttl;
    ip[10..12].copy_from_slice(&(((folded & 0xffff) + (folded >> 16)) as u16).to_be_bytes());
}

const MIXED: &str = "source and destination are of different families";

fn mac(address: IpAddr) -> [u8; 6] {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [0x02, 0x42, a, b, c, d]
        }
        IpAddr::V6(v6) => {
            let o = v6.octets();
            [0x02, 0x42, o[12], o[13], o[14], o[15]]
        }
    }
}

/// `10.0.0.1.80`, as tcpdump joins address and port.
fn endpoint(text: &str) -> Result<SocketAddr, String> {
    let (host, port) = text.rsplit_once('.').ok_or_else(|| format!("`{text}` is no address with a port"))?;
    Ok(SocketAddr::new(address(host)?, number(port)?))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address"))
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("`{text}` is no number that fits here"))
}
