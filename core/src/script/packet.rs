//! One line of `tcpdump -n` to one Ethernet frame.
//!
//! Relative numbers are tcpdump's: once a SYN-ACK was seen, `seq` and `ack` of segments with ACK count from the two initial
//! sequence numbers; before that, and in segments without ACK, they are as on the wire (tcpdump's print-tcp.c).

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
        let (head, body) = line.split_once(": ").ok_or("a packet line has a colon and a space after the addresses")?;
        let mut words = head.split(' ');
        let _family = words.next();
        let (src, arrow, dst) = (words.next(), words.next(), words.next());
        let (Some(src), Some(">"), Some(dst)) = (src, arrow, dst) else {
            return Err("expected `IP SOURCE > DESTINATION: …`".into());
        };
        let transport = |protocol: u8, src: IpAddr, dst: IpAddr, segment: Vec<u8>, id: u16| ip(protocol, src, dst, segment, id);
        let frame = if let Some(icmp) = body.strip_prefix("ICMP ") {
            let (src, dst) = (address(src)?, address(dst)?);
            let message = self.icmp(icmp)?;
            transport(if src.is_ipv4() { 1 } else { 58 }, src, dst, message, self.id())?
        } else {
            let (src, dst) = (endpoint(src)?, endpoint(dst)?);
            if let Some(udp) = body.strip_prefix("UDP, length ") {
                let length = number::<u16>(udp)?;
                let mut datagram = Vec::new();
                for field in [src.port(), dst.port(), 8 + length, 0] {
                    datagram.extend(field.to_be_bytes());
                }
                datagram.extend(std::iter::repeat_n(b'u', usize::from(length)));
                transport(17, src.ip(), dst.ip(), datagram, self.id())?
            } else {
                let segment = self.tcp(src, dst, body)?;
                // Linux gives a SYN-ACK the identification 0: it is not to be fragmented (RFC 6864).
                let id = if body.starts_with("Flags [S.]") { 0 } else { self.id() };
                transport(6, src.ip(), dst.ip(), segment, id)?
            }
        };
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
    fn icmp(&self, text: &str) -> Result<Vec<u8>, String> {
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
        let mut message = vec![number(kind)?, number(code)?, 0, 0, 0, 0];
        message.extend(mtu.to_be_bytes());
        message.extend(quoted);
        Ok(message)
    }

    fn tcp(&mut self, src: SocketAddr, dst: SocketAddr, body: &str) -> Result<Vec<u8>, String> {
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

        let mut bits = 0u8;
        for letter in flags.chars() {
            bits |= match letter {
                'F' => 0x01,
                'S' => 0x02,
                'R' => 0x04,
                'P' => 0x08,
                '.' => 0x10,
                'U' => 0x20,
                'E' => 0x40,
                'W' => 0x80,
                _ => return Err(format!("no TCP flag is written `{letter}`")),
            };
        }
        let has_ack = bits & 0x10 != 0;
        let (ours, theirs) = match (self.initial.get(&(src, dst)), self.initial.get(&(dst, src)), has_ack) {
            (Some(ours), Some(theirs), true) => (*ours, *theirs),
            _ => (0, 0),
        };
        // Without `seq`, tcpdump means the next byte: right for an ACK after everything was sent once; 1 after a handshake.
        let relative = fields.seq.unwrap_or(1);
        let seq = if fields.seq.is_none() && ours == 0 { 0 } else { relative.wrapping_add(ours) };
        let ack = fields.ack.unwrap_or(0).wrapping_add(theirs);
        if bits & 0x02 != 0 {
            self.initial.insert((src, dst), seq);
            if has_ack {
                self.initial.entry((dst, src)).or_insert(ack.wrapping_sub(1));
            }
        }

        let options = tcp_options(options, theirs)?;
        let mut segment = Vec::new();
        segment.extend(src.port().to_be_bytes());
        segment.extend(dst.port().to_be_bytes());
        segment.extend(seq.to_be_bytes());
        segment.extend(if has_ack { ack.to_be_bytes() } else { [0; 4] });
        segment.push(((20 + options.len()) as u8 / 4) << 4);
        segment.push(bits);
        segment.extend(fields.win.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(options);
        let payload = fields.payload.into_bytes().into_iter().chain(std::iter::repeat(b'x'));
        segment.extend(payload.take(fields.length));
        Ok(segment)
    }
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

/// Wraps a transport segment in IP and Ethernet, and fills in its checksum. The sender's MAC is Docker's: 02:42 and the
/// address.
fn ip(protocol: u8, src: IpAddr, dst: IpAddr, mut segment: Vec<u8>, id: u16) -> Result<Vec<u8>, String> {
    let length = u16::try_from(segment.len()).map_err(|_| "a packet is at most 65,535 bytes")?;
    let mut pseudo = Vec::new();
    let (header, ether_type) = match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            let mut header = vec![0x45, 0];
            header.extend((20 + length).to_be_bytes());
            header.extend(id.to_be_bytes());
            // Don't Fragment, as Linux sets it while it looks for the path's MTU.
            header.extend([0x40, 0, if id == 0 || s == Ipv4Addr::new(172, 17, 0, 2) { 64 } else { 63 }, protocol, 0, 0]);
            header.extend(s.octets());
            header.extend(d.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            pseudo.extend(s.octets());
            pseudo.extend(d.octets());
            (header, 0x0800u16)
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(length.to_be_bytes());
            header.extend([protocol, 64]);
            header.extend(s.octets());
            header.extend(d.octets());
            pseudo.extend(s.octets());
            pseudo.extend(d.octets());
            (header, 0x86dd)
        }
        _ => return Err("source and destination are of different families".into()),
    };
    pseudo.extend([0, protocol]);
    pseudo.extend(length.to_be_bytes());
    let (at, covered): (usize, &[u8]) = match protocol {
        6 => (16, &pseudo),
        17 => (6, &pseudo),
        58 => (2, &pseudo),
        _ => (2, &[]),
    };
    let sum = checksum(&[covered, &segment]);
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    let mut frame = mac(dst).to_vec();
    frame.extend(mac(src));
    frame.extend(ether_type.to_be_bytes());
    frame.extend(header);
    frame.extend(segment);
    Ok(frame)
}

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

/// The Internet checksum (RFC 1071) over the parts, each of even length but the last.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
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
