//! Conversations written as text, one line a packet, for tests.
//!
//! ```text
//! isn C 332257715 S 1630206251                   initial sequence numbers (default C 1000, S 5000); before the packets
//! 0.000000 C S 0 win 29200 <mss 1418,sackOK,TS 10:0,wscale 7>
//! 0.000042 S S. 0 ack 1 <mss 256>
//! 0.000659 C . 1 ack 1
//! 3.000000 C F. 76 ack 1                         sender, flags, relative number, length in brackets if any
//! 3.000065 S . 1 ack 1 <sack 76:77>
//! 3.000100 C P. 77(100) ack 1 id 7 if 1          IP identification, capture interface
//! 4 R icmp 3/4 mtu 1400 C                        an ICMP error from a router about a packet of C
//! port 40001                                     the client's port from here on (default 40000)
//! ```
//!
//! What comes out is text too: each packet with labels or judgement, then what is known of each conversation.
//!
//! Each script runs on two tables: one by the general path alone, and one that takes the fast path where it can. Both must be the
//! same after each packet, state for state.

use super::{Amended, Cause, FlowTable, Judgement, Labels, Observed, Seen, Side, Taken};
use crate::dissect::{Checksum, CompactPacket, Icmp, Ip, Net, Packet, Protocol, Quote, Tcp, TcpFlags, TcpOptions, Transport};
use crate::ids::{Direction, InterfaceId, PacketNo};
use crate::time::{Nanos, Timestamp};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254));
/// When the first second of a script begins.
const EPOCH: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

/// A script as it runs.
#[derive(Debug)]
pub(crate) struct Script {
    /// What the packets made.
    pub(crate) table: FlowTable,
    /// The same by the fast path where that is possible, and the packets for which it was.
    fast: FlowTable,
    pub(crate) taken_fast: Vec<u32>,
    /// What each packet meant.
    pub(crate) observed: Vec<Observed>,
    /// What each packet proved of earlier ones.
    amended: Vec<(PacketNo, Amended)>,
    isn: [u32; 2],
    port: u16,
}

impl Script {
    /// Runs a script; a line that cannot be read panics with its text.
    pub(crate) fn run(text: &str) -> Self {
        let mut script = Self {
            table: FlowTable::default(),
            fast: FlowTable::default(),
            taken_fast: Vec::new(),
            observed: Vec::new(),
            amended: Vec::new(),
            isn: [1000, 5000],
            port: 40_000,
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            script.line(line).unwrap_or_else(|| panic!("this line of a script cannot be read: {line}"));
        }
        script
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let mut words = line.split_whitespace();
        match words.next()? {
            "isn" => {
                while let Some(end) = words.next() {
                    self.isn[side(end)?] = words.next()?.parse().ok()?;
                }
            }
            "port" => self.port = words.next()?.parse().ok()?,
            time => {
                let seconds: f64 = time.parse().ok()?;
                let at = EPOCH + Nanos::new((seconds * 1e9).round() as i64);
                let from = words.next()?;
                let rest: Vec<_> = words.collect();
                let (packet, interface, length) = if from == "R" { self.icmp(&rest)? } else { self.segment(side(from)?, &rest)? };
                let no = PacketNo(self.observed.len() as u32 + 1);
                let observed = self.table.observe(&packet, no, at, InterfaceId(interface), length + 14);
                self.observed.push(observed);
                self.observe_fast(&packet, Taken { seen: Seen { no, at }, interface: InterfaceId(interface) }, length + 14);
                self.amended.extend(self.table.amended().iter().map(|amended| (no, *amended)));
            }
        }
        Some(())
    }

    /// Enters the packet just observed by the fast path, if it is one for that, and compares all that is known.
    fn observe_fast(&mut self, packet: &Packet<'_>, taken: Taken, wire_len: u32) {
        let observed = self.observed[self.observed.len() - 1];
        let Seen { no, at } = taken.seen;
        let compact = CompactPacket::of_segment(packet);
        match compact.and_then(|compact| self.fast.observe_fast(&compact, compact.key_hash(), taken, wire_len)) {
            Some(flow) => {
                self.taken_fast.push(no.0);
                let Observed { flow: id, direction, labels, duplicate_ack, rto, copy_of, judgement, .. } = observed;
                assert_eq!(id.zip(direction), Some(flow), "packet {no}");
                let remarkable = (labels, duplicate_ack, rto, copy_of, judgement);
                assert_eq!(remarkable, (Labels::NONE, None, None, None, None), "packet {no} took the fast path");
            }
            None => assert_eq!(self.fast.observe(packet, no, at, taken.interface, wire_len), observed, "packet {no}"),
        }
        assert_eq!(self.fast, self.table, "after packet {no}");
    }

    fn segment(&self, from: usize, words: &[&str]) -> Option<(Packet<'static>, u32, u32)> {
        let [flags, numbers, rest @ ..] = words else { return None };
        let letters = [('F', 1), ('S', 2), ('R', 4), ('P', 8), ('.', 16), ('U', 32), ('E', 64), ('W', 128)];
        let flags = flags.chars().try_fold(0, |bits, letter| {
            let (_, bit) = letters.iter().find(|(known, _)| *known == letter)?;
            Some(bits | bit)
        })?;
        let (seq, length) = numbers.trim_end_matches(')').split_once('(').unwrap_or((numbers, "0"));
        let relative = |text: &str, end: usize| text.parse::<i64>().ok().map(|n| self.isn[end].wrapping_add(n as u32));
        let payload_len: u32 = length.parse().ok()?;
        let text = rest.join(" ");
        let (plain, options) = text.split_once('<').unwrap_or((&text, ""));
        let options = self.options(options.trim_end_matches('>'), 1 - from)?;
        let value = |name| {
            let mut words = plain.split_whitespace();
            words.find(|word| *word == name).and_then(|_| words.next())
        };
        let number = |name, default: u32| value(name).map_or(Some(default), |text| text.parse().ok());
        let (ports, ends) = ([self.port, 80], [CLIENT, SERVER]);
        let header = 20 + options_len(&options);
        let ip = Ip { total_len: 20 + header + payload_len, id: Some(number("id", 0)?), ..ip(ends[from], ends[1 - from], 6) };
        let tcp = Tcp {
            src: ports[from],
            dst: ports[1 - from],
            seq: relative(seq, from)?,
            ack: value("ack").map_or(Some(0), |ack| relative(ack, 1 - from))?,
            flags: TcpFlags(flags),
            window: u16::try_from(number("win", 1000)?).ok()?,
            payload_len,
            payload: &[],
            options,
            checksum: Checksum::Good,
            offset: 34,
        };
        Some((packet(ip, Transport::Tcp(tcp)), number("if", 0)?, ip.total_len))
    }

    fn options(&self, text: &str, peer: usize) -> Option<TcpOptions> {
        let mut options = TcpOptions::default();
        for option in text.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once(' ').unwrap_or((option, ""));
            match name {
                "mss" => options.mss = Some(value.parse().ok()?),
                "wscale" => options.window_scale = Some(value.parse().ok()?),
                "sackOK" => options.sack_permitted = true,
                "mptcp" => options.mptcp |= 1 << value.parse::<u32>().ok().filter(|subtype| *subtype < 16)?,
                "TS" => {
                    let (sent, echoed) = value.split_once(':')?;
                    options.tsval = Some(sent.parse().ok()?);
                    options.tsecr = Some(echoed.parse().ok()?);
                }
                "sack" => {
                    for block in value.split_whitespace() {
                        let (left, right) = block.split_once(':')?;
                        let raw = |text: &str| text.parse::<i64>().ok().map(|n| self.isn[peer].wrapping_add(n as u32));
                        options.sack.push((raw(left)?, raw(right)?));
                    }
                }
                _ => return None,
            }
        }
        Some(options)
    }

    /// `3/4 mtu 1400 C`: type, code, next-hop MTU, and whose packet it quotes.
    fn icmp(&self, words: &[&str]) -> Option<(Packet<'static>, u32, u32)> {
        let ["icmp", kind, rest @ ..] = words else { return None };
        let (kind, code) = kind.split_once('/')?;
        let from = side(rest.last()?)?;
        let mtu = rest.strip_prefix(&["mtu"]).and_then(|rest| rest.first()?.parse().ok());
        let (ports, ends) = ([self.port, 80], [CLIENT, SERVER]);
        let quote = Quote {
            src: ends[from],
            dst: ends[1 - from],
            transport: Some(Protocol::Tcp),
            ports: Some((ports[from], ports[1 - from])),
            echo: None,
            seq: None,
            is_numbered: true,
            total_len: 1500,
        };
        let icmp = Icmp {
            protocol: Protocol::Icmp,
            kind: kind.parse().ok()?,
            code: code.parse().ok()?,
            mtu,
            echo: None,
            quote: Some(quote),
            payload: &[],
            checksum: Checksum::Good,
            offset: 34,
        };
        Some((packet(ip(ROUTER, ends[from], 1), Transport::Icmp(icmp)), 0, 56))
    }

    /// What the packets meant and what is known of each conversation, as text.
    pub(crate) fn told(&self) -> String {
        let mut out = String::new();
        for (index, observed) in self.observed.iter().enumerate() {
            let mut words: Vec<String> = observed.labels.names().map(str::to_owned).collect();
            words.extend(observed.duplicate_ack.map(|number| format!("#{number}")));
            words.extend(observed.rto.map(|rto| format!("rto {rto}")));
            words.extend(observed.copy_of.map(|original| format!("copy of {original}")));
            let judged = observed.judgement.filter(|judged| judged.verdict != super::Verdict::Copy);
            words.extend(judged.map(|judged| format!("judged {}", tell_judgement(&judged))));
            let proofs = self.amended.iter().filter(|(by, _)| by.0 as usize == index + 1);
            words.extend(proofs.map(|(_, amended)| format!("so {} was {}", amended.no, tell_judgement(&amended.judgement))));
            if !words.is_empty() {
                let _ = writeln!(out, "{}: {}", index + 1, words.join(", "));
            }
        }
        for flow in self.table.iter() {
            let _ = write!(out, "flow {} port {}, complete {}", flow.stream, flow.client.port, flow.completeness);
            let handshake = &flow.handshake;
            let seen = [
                ("syn", handshake.syn, handshake.syn_count),
                ("syn-ack", handshake.syn_ack, handshake.syn_ack_count),
                ("ack", handshake.ack, 1),
                ("refused", handshake.refused, 1),
            ];
            for (name, first, count) in seen {
                if let Some(first) = first {
                    let _ = write!(out, ", {name} {}", first.no);
                    let _ = if count > 1 { write!(out, " x{count}") } else { Ok(()) };
                }
            }
            if let Some(rtt) = handshake.rtt {
                let _ = write!(out, ", rtt {rtt}");
            }
            for error in &flow.icmp_errors {
                let _ = write!(out, ", icmp {}/{} at {} about {:?}", error.kind, error.code, error.seen.no, error.about);
                let _ = error.mtu.map_or(Ok(()), |mtu| write!(out, " mtu {mtu}"));
            }
            out.push('\n');
            for (name, direction) in [("C", Direction::AToB), ("S", Direction::BToA)] {
                tell_side(&mut out, name, flow.side(direction));
            }
        }
        out
    }
}

fn tell_judgement(judged: &Judgement) -> String {
    let mut out = format!("{:?}", judged.verdict);
    let _ = judged.original.map_or(Ok(()), |no| write!(out, " of {no}"));
    let _ = write!(out, " by {:?}", judged.evidence);
    if let (Some(cause), Some(sign)) = (judged.cause, judged.sign) {
        let _ = write!(out, "; {cause:?} by {sign:?}");
        let _ = judged.heard.map_or(Ok(()), |no| write!(out, " in {no}"));
    }
    let _ = judged.wait.map_or(Ok(()), |wait| write!(out, " after {wait}"));
    let _ = if judged.count > 0 && judged.verdict == super::Verdict::Reordered {
        write!(out, " and {}", judged.count)
    } else {
        Ok(())
    };
    let _ = if judged.tail { write!(out, ", tail") } else { Ok(()) };
    out
}

fn tell_side(out: &mut String, name: &str, side: &Side) {
    if side.packets == 0 {
        return;
    }
    let _ = write!(out, "  {name} {} packets, {} bytes, to {}", side.packets, side.payload_bytes, side.sent_to);
    let _ = side.acked_to().map_or(Ok(()), |acked| write!(out, ", acked {acked}"));
    for (count, what) in [
        (side.retransmissions, "sent again"),
        (side.copies, "copies"),
        (side.out_of_order, "out of order"),
        (side.duplicate_acks, "dup acks"),
        (side.zero_windows, "zero windows"),
    ] {
        let _ = if count > 0 { write!(out, ", {count} {what}") } else { Ok(()) };
    }
    let causes: Vec<String> = Cause::ALL
        .into_iter()
        .zip(side.causes)
        .filter(|(_, count)| *count > 0)
        .map(|(cause, count)| format!("{count} {}", cause.slug()))
        .collect();
    let _ = if causes.is_empty() { Ok(()) } else { write!(out, " ({})", causes.join(", ")) };
    for (count, what) in [
        (side.needless, "needless"),
        (side.needless_by_dsack, "by dsack"),
        (side.needless_by_eifel, "by eifel"),
        (side.needless_by_frto, "by f-rto"),
        (side.windows_filled, "windows filled"),
        (side.window_probes, "probes"),
    ] {
        let _ = if count > 0 { write!(out, ", {count} {what}") } else { Ok(()) };
    }
    if side.tail_losses > 0 {
        let _ = write!(out, ", {} tail losses for {}", side.tail_losses, side.tail_loss_time);
    }
    if let Some(longest) = side.longest_closed {
        let _ = write!(out, ", closed x{} for {}, longest {longest}", side.closed_runs, side.closed_time);
    }
    if side.segments() > u64::from(side.packets) {
        let _ = write!(out, ", {} segments", side.segments());
    }
    if side.hole_count > 0 || side.missing_bytes > 0 {
        let _ = write!(out, ", missing {} in {}", side.missing_bytes, side.hole_count);
    }
    let seen = |out: &mut String, what: &str, seen: Option<Seen>| {
        let _ = seen.map_or(Ok(()), |seen| write!(out, "{what} {}", seen.no));
    };
    seen(out, ", fin", side.fin());
    seen(out, ", rst", side.rst);
    for hole in &side.holes {
        let _ = write!(out, "\n    hole {}-{} noticed {}", hole.first, hole.last, hole.noticed.no);
        seen(out, " missed", hole.missed_by_peer);
        seen(out, " acked", hole.acked);
        seen(out, " filled", hole.filled);
    }
    if let Some(stuck) = side.stuck {
        let (first, last) = (stuck.first_sent.no, stuck.last_sent.no);
        let _ = write!(out, "\n    stuck {}-{} x{} from {first} to {last}", stuck.first, stuck.last, stuck.sent);
        let _ = write!(out, ", {} bytes of IP", stuck.ip_len);
    }
    out.push('\n');
}

fn side(name: &str) -> Option<usize> {
    match name {
        "C" => Some(0),
        "S" => Some(1),
        _ => None,
    }
}

fn options_len(options: &TcpOptions) -> u32 {
    let blocks = options.sack.len() as u32;
    let length = 4 * u32::from(options.mss.is_some())
        + 3 * u32::from(options.window_scale.is_some())
        + 2 * u32::from(options.sack_permitted)
        + 10 * u32::from(options.tsval.is_some())
        + 4 * options.mptcp.count_ones()
        + if blocks > 0 { 2 + 8 * blocks } else { 0 };
    length.next_multiple_of(4)
}

fn ip(src: IpAddr, dst: IpAddr, protocol: u8) -> Ip {
    Ip {
        src,
        dst,
        id: None,
        ttl: 64,
        protocol,
        traffic_class: 0,
        dont_fragment: Some(true),
        fragment: None,
        total_len: 56,
        offset: 14,
        payload_offset: 34,
    }
}

fn packet(ip: Ip, transport: Transport<'static>) -> Packet<'static> {
    Packet {
        vlans: Default::default(),
        service_vlans: 0,
        net: Net::Ipv4,
        ip: Some(ip),
        outer: None,
        ip_depth: 1,
        tunnel: None,
        arp: None,
        transport,
        ip_checksums: Default::default(),
        stop: None,
    }
}
