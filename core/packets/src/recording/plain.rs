//! A packet as nearly all are, in little more than a third of the bytes of any packet: what one thread writes costs the other
//! as much to read.
//!
//! Plain is TCP or UDP right above one IP header, read to its end, of which the file says nothing but when it came. All that
//! [`Packet`] says of such a packet is kept, but for its bytes; a field that its packets have in common, or that follows from
//! another, is left out.

use crate::dissect::{Checksum, Ip, Net, Packet, Protocol, Tcp, TcpFlags, TcpOptions, Transport, Udp};
use crate::flow::{KeyHash, key_hash};
use crate::ids::{InterfaceId, PacketNo};
use crate::log::record::PacketRecord;
use crate::time::Timestamp;
use arrayvec::ArrayVec;
use std::net::IpAddr;

/// See the module.
#[derive(Debug)]
pub(super) struct Plain {
    time: Timestamp,
    offset: u64,
    no: PacketNo,
    wire_len: u32,
    pub(super) cap_len: u32,
    /// Bytes of IP.
    total_len: u32,
    interface: u16,
    /// Where IP and the transport begin in the packet's bytes.
    ip_at: u16,
    transport_at: u16,
    /// IPv4's; 0 for IPv6.
    id: u16,
    /// Made here, where there is time to spare; the other thread is the one that is waited for.
    pub(super) hash: KeyHash,
    src: IpAddr,
    dst: IpAddr,
    ttl: u8,
    protocol: u8,
    traffic_class: u8,
    dont_fragment: Option<bool>,
    net: Net,
    /// Of an IPv4 header.
    ip_checksum: Option<Checksum>,
    pub(super) kept: u8,
    checksum: Checksum,
    src_port: u16,
    dst_port: u16,
    payload_len: u32,
    above: Above,
}

/// What only one of the two transports has.
#[derive(Debug)]
enum Above {
    Tcp {
        seq: u32,
        ack: u32,
        flags: TcpFlags,
        window: u16,
        /// Whether there are TSval and TSecr.
        is_stamped: bool,
        tsval: u32,
        tsecr: u32,
        mss: Option<u16>,
        window_scale: Option<u8>,
        sack_permitted: bool,
        mptcp: u16,
        fast_open: bool,
    },
    Udp(Protocol),
}

impl Plain {
    /// The packet, if it is plain; of its bytes `kept` are kept.
    #[inline]
    pub(super) fn of(record: &PacketRecord<'_>, packet: &Packet<'_>, kept: usize) -> Option<Self> {
        let Packet {
            vlans,
            service_vlans: 0,
            net,
            ip:
                Some(
                    ip @ Ip {
                        src,
                        dst,
                        id,
                        ttl,
                        protocol,
                        traffic_class,
                        dont_fragment,
                        fragment: None,
                        total_len,
                        offset,
                        payload_offset,
                    },
                ),
            outer: None,
            ip_depth: 1,
            tunnel: None,
            arp: None,
            transport,
            ip_checksums,
            stop: None,
        } = packet
        else {
            return None;
        };
        let (id, ip_checksum) = match (src, id, &ip_checksums[..]) {
            (IpAddr::V4(_), Some(id), [checksum]) => (u16::try_from(*id).ok()?, *checksum),
            (IpAddr::V6(_), None, []) => (0, None),
            _ => return None,
        };
        let (ports, payload_len, checksum, transport_at, above) = match transport {
            Transport::Tcp(tcp) => {
                let TcpOptions { mss, window_scale, sack_permitted, tsval, tsecr, sack, mptcp, fast_open } = &tcp.options;
                if !sack.is_empty() || tsval.is_some() != tsecr.is_some() {
                    return None;
                }
                let above = Above::Tcp {
                    seq: tcp.seq,
                    ack: tcp.ack,
                    flags: tcp.flags,
                    window: tcp.window,
                    is_stamped: tsval.is_some(),
                    tsval: tsval.unwrap_or_default(),
                    tsecr: tsecr.unwrap_or_default(),
                    mss: *mss,
                    window_scale: *window_scale,
                    sack_permitted: *sack_permitted,
                    mptcp: *mptcp,
                    fast_open: *fast_open,
                };
                ((tcp.src, tcp.dst), tcp.payload_len, tcp.checksum, tcp.offset, above)
            }
            Transport::Udp(udp) => ((udp.src, udp.dst), udp.payload_len, udp.checksum, udp.offset, Above::Udp(udp.protocol)),
            _ => return None,
        };
        let is_remarked = record.drop_count.is_some() || !record.comments.is_empty();
        if !vlans.is_empty() || is_remarked || transport_at != *payload_offset {
            return None;
        }
        Some(Self {
            time: record.time?,
            offset: record.offset,
            no: record.no,
            wire_len: record.wire_len,
            cap_len: record.data.len() as u32,
            total_len: *total_len,
            interface: u16::try_from(record.interface.0).ok()?,
            ip_at: u16::try_from(*offset).ok()?,
            transport_at: u16::try_from(transport_at).ok()?,
            id,
            hash: key_hash(ip, transport)?,
            src: *src,
            dst: *dst,
            ttl: *ttl,
            protocol: *protocol,
            traffic_class: *traffic_class,
            dont_fragment: *dont_fragment,
            net: *net,
            ip_checksum,
            kept: u8::try_from(kept).ok()?,
            checksum,
            src_port: ports.0,
            dst_port: ports.1,
            payload_len,
            above,
        })
    }

    /// Its record. Nobody asks for the link type and the flags.
    #[inline]
    pub(super) fn record(&self) -> PacketRecord<'static> {
        PacketRecord {
            no: self.no,
            interface: InterfaceId(u32::from(self.interface)),
            link_type: 0,
            time: Some(self.time),
            wire_len: self.wire_len,
            offset: self.offset,
            data: &[],
            flags: None,
            drop_count: None,
            comments: Vec::new(),
        }
    }

    /// The packet again, with `payload` as its data.
    #[inline]
    pub(super) fn packet<'a>(&self, payload: &'a [u8]) -> Packet<'a> {
        let offset = u32::from(self.transport_at);
        let mut ip_checksums = ArrayVec::new();
        let is_v4 = self.src.is_ipv4();
        if is_v4 {
            ip_checksums.push(self.ip_checksum);
        }
        let ip = Ip {
            src: self.src,
            dst: self.dst,
            id: is_v4.then_some(u32::from(self.id)),
            ttl: self.ttl,
            protocol: self.protocol,
            traffic_class: self.traffic_class,
            dont_fragment: self.dont_fragment,
            fragment: None,
            total_len: self.total_len,
            offset: u32::from(self.ip_at),
            payload_offset: offset,
        };
        let (src, dst, payload_len, checksum) = (self.src_port, self.dst_port, self.payload_len, self.checksum);
        // In each arm, so that it is made where it stays.
        let packet =
            |transport| Packet { net: self.net, ip: Some(ip), ip_depth: 1, transport, ip_checksums, ..Packet::default() };
        match self.above {
            Above::Udp(protocol) => packet(Transport::Udp(Udp { protocol, src, dst, payload_len, payload, checksum, offset })),
            Above::Tcp {
                seq,
                ack,
                flags,
                window,
                is_stamped,
                tsval,
                tsecr,
                mss,
                window_scale,
                sack_permitted,
                mptcp,
                fast_open,
            } => {
                let (tsval, tsecr) = (is_stamped.then_some(tsval), is_stamped.then_some(tsecr));
                let sack = ArrayVec::new();
                let options = TcpOptions { mss, window_scale, sack_permitted, tsval, tsecr, sack, mptcp, fast_open };
                packet(Transport::Tcp(Tcp { src, dst, seq, ack, flags, window, payload_len, payload, options, checksum, offset }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::dissect;

    const TCP: &str = "0242ac1100020242ac110001080045000034abcd40004006d8de0affff05ac1100029892005013cdd9b4612af92c801000e525d000000101080a1d03fc9d95920a01";
    const SYN: &str = "0242ac1100020242ac11000108004500003cabcd40004006d8d60affff05ac1100029892005013cdd9b300000000a00272107ffd00000204058a0402080a1d03fc9d0000000001030307";
    const SACK: &str = "0242ac1100020242ac110001080045000040abcd40004006d8d2ac1100020affff0500509892612af92c13cdd9b4b0100028092300000101080a959215b91d03fc9d0101050a13cdd9ff13cdda00";
    const VLAN: &str = "0242ac1100020242ac1100018100000a080045000034abcd40004006d8de0affff05ac1100029892005013cdd9b4612af92c801000e525d000000101080a1d03fc9d95920a01";
    const UDP: &str = "0242ac1100020242ac110001080045000021000100004011f977c0a80001c0a8000213881389000d139d68656c6c6f";
    const UDP6: &str = "0242ac1100020242ac11000186dd60000000000d114020010db800000000000000000000000120010db800000000000000000000000213881389000d139d68656c6c6f";

    /// Whether a packet on Ethernet is plain; if so, it comes back as it was.
    fn is_plain(hex: &str) -> bool {
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
        let data: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
        let record = PacketRecord {
            no: PacketNo(7),
            interface: InterfaceId(3),
            link_type: 1,
            time: Some(Timestamp::from_nanos(5)),
            wire_len: data.len() as u32,
            offset: 40,
            data: &data,
            flags: None,
            drop_count: None,
            comments: Vec::new(),
        };
        let packet = dissect(1, &data, data.len() as u32);
        let Some(plain) = Plain::of(&record, &packet, 5) else { return false };
        assert_eq!(plain.packet(packet.transport.payload()), packet);
        assert_eq!(PacketRecord { link_type: 1, data: &data, ..plain.record() }, record);
        assert_eq!((plain.cap_len as usize, plain.kept), (data.len(), 5));
        true
    }

    #[test]
    fn what_is_plain_comes_back_as_it_was() {
        assert_eq!([TCP, SYN, UDP, UDP6].map(is_plain), [true; 4]);
        assert_eq!([SACK, VLAN, &UDP6[..40], &TCP[..60]].map(is_plain), [false; 4]);
    }

    #[test]
    fn it_takes_two_lines_of_the_cache() {
        assert!(size_of::<Plain>() <= 128, "{}", size_of::<Plain>());
    }
}
