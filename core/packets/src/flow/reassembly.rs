//! Fragments of IP datagrams put together again (RFC 791 section 3.2, RFC 8200 section 4.5).
//!
//! A datagram is handed out with the record that completes it, as Wireshark shows it. Bounded in datagrams, bytes and time;
//! what was given up is counted. Where fragments overlap, the bytes that came first stay.
//!
//! A fragment that an ICMP error quotes whole takes part like one that was captured itself, as in Wireshark: what it completes
//! tells which conversation the error is about.

use crate::dissect::{Ip, Packet, Transport, quote, quoted};
use crate::time::{Nanos, Timestamp};
use std::net::IpAddr;

/// Datagrams waiting for fragments.
const MOST_DATAGRAMS: usize = 1024;
/// Bytes held in all.
const MOST_BYTES: usize = 8 << 20;
/// Linux gives up after 30 s (`net.ipv4.ipfrag_time`); after that an identification may stand for another datagram.
const PATIENCE: Nanos = Nanos::from_secs(30);

/// See the module.
#[derive(Debug, Default)]
pub struct Reassembly {
    /// Oldest first: the one looked for is mostly among the last.
    waiting: Vec<Datagram>,
    bytes: usize,
    given_up: u64,
}

#[derive(Debug)]
struct Datagram {
    /// Source, destination, identification; for IPv4 the protocol, too (RFC 791 section 3.2). The Next Header of an IPv6
    /// fragment says nothing of which datagram it belongs to (RFC 8200 section 4.5).
    key: (IpAddr, IpAddr, u32, u8),
    begun: Timestamp,
    /// Fragments by their first byte, none overlapping another.
    pieces: Vec<(usize, Vec<u8>)>,
    /// Bytes in all, once the last fragment told.
    len: Option<usize>,
}

impl Reassembly {
    /// Whether it has to do with a packet: with a fragment, and with an ICMP error, which may quote one.
    #[inline]
    pub fn wants(packet: &Packet<'_>) -> bool {
        let is_fragment = packet.ip.as_ref().is_some_and(|ip| ip.fragment.is_some());
        is_fragment || matches!(&packet.transport, Transport::Icmp(icmp) if icmp.quote.is_some())
    }

    /// Takes a packet and, if it completes a datagram, gives that: a plain IP packet (LINKTYPE_RAW, 101) without options.
    /// `data` are the packet's bytes as they were dissected.
    pub fn complete(&mut self, packet: &Packet<'_>, data: &[u8], at: Timestamp) -> Option<Vec<u8>> {
        let ip = packet.ip.as_ref()?;
        let fragment = ip.fragment?;
        let begin = ip.payload_offset as usize;
        // A fragment that was cut by the snapshot length cannot take part.
        let payload = data.get(begin..ip.offset as usize + ip.total_len as usize)?;
        let protocol = match ip.src {
            IpAddr::V4(_) => ip.protocol,
            // The Fragment header, 8 bytes before, names what follows it.
            IpAddr::V6(_) => *data.get(begin.checked_sub(8)?)?,
        };
        let first = usize::from(fragment.offset) * 8;
        self.give_up_late(at);
        let key = (ip.src, ip.dst, ip.id?, if ip.src.is_ipv4() { protocol } else { 0 });
        let index = match self.waiting.iter().rposition(|datagram| datagram.key == key) {
            Some(index) => index,
            None => {
                self.make_room(payload.len());
                self.waiting.push(Datagram { key, begun: at, pieces: Vec::new(), len: None });
                self.waiting.len() - 1
            }
        };
        let datagram = &mut self.waiting[index];
        if !fragment.more {
            datagram.len = Some(first + payload.len());
        }
        self.bytes += datagram.insert(first, payload);
        if !datagram.is_whole() {
            self.make_room(0);
            return None;
        }
        let datagram = self.waiting.remove(index);
        self.bytes -= datagram.held();
        Some(datagram.packet(ip, protocol))
    }

    /// Takes the fragment that an ICMP error quotes; if it completes a datagram, the error quotes that.
    pub fn complete_quoted(&mut self, packet: &mut Packet<'_>, data: &[u8], at: Timestamp) {
        let Some(inner) = quoted(packet, data) else { return };
        let Some(whole) = self.complete(&inner, data, at) else { return };
        if let (Transport::Icmp(icmp), Some(whole)) = (&mut packet.transport, quote(&whole))
            && let Some(fragment) = &mut icmp.quote
        {
            *fragment = crate::dissect::Quote { total_len: fragment.total_len, ..whole };
        }
    }

    /// Datagrams given up: too late, or too many at a time.
    pub const fn given_up(&self) -> u64 {
        self.given_up
    }

    fn give_up_late(&mut self, at: Timestamp) {
        while self.waiting.first().is_some_and(|oldest| at - oldest.begun > PATIENCE) {
            self.give_up_oldest();
        }
    }

    fn make_room(&mut self, bytes: usize) {
        while self.waiting.len() >= MOST_DATAGRAMS || (self.bytes + bytes > MOST_BYTES && !self.waiting.is_empty()) {
            self.give_up_oldest();
        }
    }

    fn give_up_oldest(&mut self) {
        let oldest = self.waiting.remove(0);
        self.bytes -= oldest.held();
        self.given_up += 1;
    }
}

impl Datagram {
    /// Adds a fragment's bytes as far as they are new; how many were.
    fn insert(&mut self, first: usize, payload: &[u8]) -> usize {
        let (mut at, end, mut added) = (first, first + payload.len(), 0);
        while at < end {
            let index = self.pieces.partition_point(|(begin, _)| *begin <= at);
            let covered = index.checked_sub(1).map_or(0, |before| self.pieces[before].0 + self.pieces[before].1.len());
            if covered > at {
                at = covered;
                continue;
            }
            let until = self.pieces.get(index).map_or(end, |(begin, _)| end.min(*begin));
            self.pieces.insert(index, (at, payload[at - first..until - first].to_vec()));
            added += until - at;
            at = until;
        }
        added
    }

    fn held(&self) -> usize {
        self.pieces.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Pieces do not overlap, so that their sum tells.
    fn is_whole(&self) -> bool {
        self.len.is_some_and(|len| self.held() >= len)
    }

    fn packet(&self, ip: &Ip, protocol: u8) -> Vec<u8> {
        let mut packet = Vec::with_capacity(40 + self.held());
        // More than the field can tell is told by the packet's own length, which 0 stands for.
        let told = |len: usize| u16::try_from(len).unwrap_or(0).to_be_bytes();
        match (ip.src, ip.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                packet.extend([0x45, ip.traffic_class]);
                packet.extend(told(20 + self.held()));
                packet.extend([0, 0, 0, 0, ip.ttl, protocol, 0, 0]);
                packet.extend(src.octets());
                packet.extend(dst.octets());
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                packet.extend([0x60, 0, 0, 0]);
                packet.extend(told(self.held()));
                packet.extend([protocol, ip.ttl]);
                packet.extend(src.octets());
                packet.extend(dst.octets());
            }
            _ => {}
        }
        self.pieces.iter().for_each(|(_, bytes)| packet.extend(bytes));
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::{Transport, dissect};

    const RAW: u32 = 101;

    /// A UDP datagram of 24 bytes of data, from 5 to 6, cut into fragments at these bytes.
    fn fragment(from: usize, to: usize, id: u16) -> Vec<u8> {
        let mut udp = vec![0, 5, 0, 6, 0, 32, 0, 0];
        udp.extend(0..24);
        let more = if to < udp.len() { 0x20 } else { 0 };
        let mut packet = vec![0x45, 0, 0, (20 + to - from) as u8];
        packet.extend(id.to_be_bytes());
        packet.extend([more, (from / 8) as u8, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        packet.extend(&udp[from..to]);
        packet
    }

    fn take(reassembly: &mut Reassembly, packet: &[u8], second: i64) -> Option<Vec<u8>> {
        let dissected = dissect(RAW, packet, packet.len() as u32);
        reassembly.complete(&dissected, packet, Timestamp::default() + Nanos::from_secs(second))
    }

    #[test]
    fn fragments_in_any_order_make_the_datagram_once() {
        for order in [[(0, 8), (8, 24), (24, 32)], [(24, 32), (0, 8), (8, 24)], [(8, 24), (24, 32), (0, 8)]] {
            let mut reassembly = Reassembly::default();
            let given: Vec<_> =
                order.iter().filter_map(|(from, to)| take(&mut reassembly, &fragment(*from, *to, 7), 0)).collect();
            let [whole] = &given[..] else { panic!("{} datagrams of {order:?}", given.len()) };
            let Transport::Udp(udp) = dissect(RAW, whole, whole.len() as u32).transport else { panic!("no UDP") };
            assert_eq!((udp.src, udp.dst, udp.payload_len, udp.payload[23]), (5, 6, 24, 23));
            assert_eq!((reassembly.bytes, reassembly.waiting.len()), (0, 0));
        }
    }

    #[test]
    fn overlaps_repeats_and_strangers_do_no_harm() {
        let mut reassembly = Reassembly::default();
        for packet in [fragment(0, 16, 7), fragment(0, 16, 7), fragment(8, 24, 7), fragment(24, 32, 8)] {
            assert_eq!(take(&mut reassembly, &packet, 0), None);
        }
        assert_eq!(take(&mut reassembly, &fragment(16, 32, 7), 0).map(|whole| whole.len()), Some(52));
    }

    /// An ICMP error that quotes a packet.
    fn error(quoted: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, (28 + quoted.len()) as u8, 0, 1, 0, 0, 64, 1, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1];
        packet.extend([11, 1, 0, 0, 0, 0, 0, 0]);
        packet.extend(quoted);
        packet
    }

    fn ports_quoted(reassembly: &mut Reassembly, packet: &[u8]) -> Option<(u16, u16)> {
        let mut dissected = dissect(RAW, packet, packet.len() as u32);
        reassembly.complete_quoted(&mut dissected, packet, Timestamp::default());
        let Transport::Icmp(icmp) = dissected.transport else { panic!("no ICMP") };
        icmp.quote.expect("a quote").ports
    }

    #[test]
    fn a_quoted_fragment_takes_part_if_it_is_quoted_whole() {
        let mut reassembly = Reassembly::default();
        assert_eq!(take(&mut reassembly, &fragment(0, 8, 7), 0), None);
        let last = fragment(8, 32, 7);
        assert_eq!(ports_quoted(&mut reassembly, &error(&last[..28])), None);
        assert_eq!(ports_quoted(&mut reassembly, &error(&last)), Some((5, 6)));
        // What an error quoted may be completed by a packet.
        assert_eq!(ports_quoted(&mut reassembly, &error(&fragment(8, 32, 9))), None);
        assert!(take(&mut reassembly, &fragment(0, 8, 9), 0).is_some());
    }

    #[test]
    fn fragments_beyond_the_largest_datagram_are_put_together_all_the_same() {
        let mut reassembly = Reassembly::default();
        let mut whole = None;
        for first in (0..=65_520).step_by(1_040) {
            let more = if first < 65_520 { 0x20 } else { 0 };
            let mut packet = vec![0x45, 0, 4, 36, 0, 7, more | (first / 8 / 256) as u8, (first / 8) as u8];
            packet.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            packet.resize(20 + 1_040, 0);
            whole = take(&mut reassembly, &packet, 0);
        }
        assert_eq!(whole.map(|whole| whole.len()), Some(20 + 65_520 + 1_040));
    }

    #[test]
    fn what_stays_incomplete_is_given_up_and_counted() {
        let mut reassembly = Reassembly::default();
        assert_eq!(take(&mut reassembly, &fragment(0, 8, 7), 0), None);
        assert_eq!(take(&mut reassembly, &fragment(8, 32, 7), 31), None);
        assert_eq!(reassembly.given_up(), 1);
        for id in 0..3 * MOST_DATAGRAMS as u16 {
            take(&mut reassembly, &fragment(0, 8, id), 31);
        }
        assert!(reassembly.waiting.len() <= MOST_DATAGRAMS && reassembly.given_up() >= 2 * MOST_DATAGRAMS as u64);
    }
}
