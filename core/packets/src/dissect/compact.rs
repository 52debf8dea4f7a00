//! The fast reader: the packet as nearly all are, read in one step. TCP or UDP right above one IP header without options or
//! extension headers, on Ethernet, Linux cooked or raw IP, with at most one 802.1Q tag.
//!
//! [`CompactPacket::read`] returns all that the walk from layer to layer ([`dissect`](super::dissect)) finds out about a packet,
//! or `None`, and then the walk reads it. It is exact because it only takes what no reader of the walk makes an exception for:
//! 1. Every header is there as a whole, so the walk would not stop ([`Packet::stop`] is `None`); data may be cut.
//! 2. The frame holds what IP's length says, or IP's length is 0 and the frame counts, as in the walk. So the shorter of two
//!    lengths never has to be chosen.
//! 3. There is one IP header of 20 or 40 bytes, no fragment, and TCP or UDP is its protocol: no options, extension headers,
//!    source routes or tunnels, none of which move addresses or checksums.
//! 4. UDP's length lies within IP's, and its ports are not those of a tunnel.
//! 5. Checksums, TCP options and numbers of protocols are those functions and constants of the walk itself.
//!
//! The tests of `dissect` hold both readers against each other on every packet they read, and so do the fuzz targets.

use super::ethertype::{IPV4, IPV6, VLAN};
use super::ip_protocol::{TCP, UDP};
use super::link::NETLINK;
use super::packet::{Checksum, DNS, Fragment, Ip, Net, Packet, Protocol, Tcp, TcpFlags, Transport, Udp};
use super::{checksum, tcp, tunnel};
use arrayvec::ArrayVec;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ETHERNET: u32 = 1;
const RAW_IP: u32 = 101;
const LINUX_COOKED: u32 = 113;
const LINUX_COOKED_2: u32 = 276;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompactPacket {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub src_port: u16,
    pub dst_port: u16,
    /// Bytes of IP.
    pub total_len: u32,
    /// Bytes of the transport's data.
    pub payload_len: u32,
    /// IPv4's; 0 for IPv6.
    pub id: u16,
    pub dont_fragment: bool,
    pub ttl: u8,
    traffic_class: u8,
    /// Where the IP header begins in the packet's bytes.
    ip_at: u8,
    /// Of one 802.1Q tag, or [`NO_VLAN`].
    vlan: u16,
    ip_checksum: Checksum,
    checksum: Checksum,
    pub above: Above,
}

/// More than the 12 bits that a tag has for it.
const NO_VLAN: u16 = u16::MAX;

/// The transport.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Above {
    Tcp(Segment),
    Udp,
}

/// What TCP has beyond ports and data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub seq: u32,
    pub ack: u32,
    /// TSval and TSecr, where they are the only options.
    pub stamps: Option<(u32, u32)>,
    pub flags: TcpFlags,
    pub window: u16,
    /// Bytes of options.
    pub options_len: u8,
}

impl Segment {
    /// Whether it has no options but time stamps, which are known without its bytes.
    #[inline]
    pub(crate) fn has_ordinary_options(&self) -> bool {
        self.options_len == 0 || self.stamps.is_some()
    }
}

impl CompactPacket {
    /// The packet, if it is one of these: `data` are the bytes that were kept of `wire_len` bytes.
    #[inline]
    pub(crate) fn read(link_type: u32, data: &[u8], wire_len: u32) -> Option<Self> {
        let wire_len = wire_len as usize;
        if data.len() > wire_len {
            return None;
        }
        let (mut ethertype, mut ip_at) = match link_type {
            ETHERNET => (number(data, 12)?, 14),
            LINUX_COOKED if number(data, 2)? != NETLINK => (number(data, 14)?, 16),
            LINUX_COOKED_2 if number(data, 8)? != NETLINK => (number(data, 0)?, 20),
            RAW_IP => (if data.first()? >> 4 == 6 { IPV6 } else { IPV4 }, 0),
            _ => return None,
        };
        let mut vlan = NO_VLAN;
        if ethertype == VLAN {
            vlan = number(data, ip_at)? & 0x0fff;
            ethertype = number(data, ip_at + 2)?;
            ip_at += 4;
        }
        let ip = data.get(ip_at..)?;
        let network = Network { at: ip_at as u8, vlan, framed: wire_len - ip_at };
        match ethertype {
            IPV4 => network.ipv4(ip),
            IPV6 => network.ipv6(ip),
            _ => None,
        }
    }

    /// Where its transport begins in the packet's bytes.
    #[inline]
    fn transport_at(&self) -> usize {
        usize::from(self.ip_at) + if self.src.is_ipv4() { 20 } else { 40 }
    }

    /// Its options, where the packet itself does not hold them, and its data, in the packet's bytes.
    #[inline]
    pub(crate) fn rest<'a>(&self, data: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let at = self.transport_at();
        let (options_at, payload_at) = match &self.above {
            Above::Tcp(segment) => (at + 20, at + 20 + usize::from(segment.options_len)),
            Above::Udp => (at + 8, at + 8),
        };
        let options_end = match &self.above {
            Above::Tcp(segment) if !segment.has_ordinary_options() => payload_at,
            _ => options_at,
        };
        let end = data.len().min(payload_at + self.payload_len as usize);
        (data.get(options_at..options_end).unwrap_or_default(), data.get(payload_at..end).unwrap_or_default())
    }

    /// Whether a checksum in it is wrong.
    #[inline]
    pub(crate) fn has_bad_checksum(&self) -> bool {
        self.checksum == Checksum::Bad || self.ip_checksum == Checksum::Bad
    }

    /// The packet as [`dissect`](super::dissect) returns it, from [`rest`](Self::rest).
    #[inline]
    pub(crate) fn packet<'a>(&self, (options, payload): (&[u8], &'a [u8])) -> Packet<'a> {
        let is_v4 = self.src.is_ipv4();
        let offset = self.transport_at() as u32;
        let mut vlans = ArrayVec::new();
        if self.vlan != NO_VLAN {
            vlans.push(self.vlan);
        }
        let mut ip_checksums = ArrayVec::new();
        if is_v4 {
            ip_checksums.push(Some(self.ip_checksum));
        }
        let ip = Ip {
            src: self.src,
            dst: self.dst,
            id: is_v4.then_some(u32::from(self.id)),
            ttl: self.ttl,
            protocol: if matches!(self.above, Above::Udp) { UDP } else { TCP },
            traffic_class: self.traffic_class,
            dont_fragment: is_v4.then_some(self.dont_fragment),
            fragment: None,
            total_len: self.total_len,
            offset: u32::from(self.ip_at),
            payload_offset: offset,
        };
        let net = if is_v4 { Net::Ipv4 } else { Net::Ipv6 };
        let (src, dst, payload_len, checksum) = (self.src_port, self.dst_port, self.payload_len, self.checksum);
        // In each arm, so that it is made where it stays.
        let packet = |transport| Packet { vlans, net, ip: Some(ip), ip_depth: 1, transport, ip_checksums, ..Packet::default() };
        match self.above {
            Above::Udp => {
                packet(Transport::Udp(Udp { protocol: Protocol::Udp, src, dst, payload_len, payload, checksum, offset }))
            }
            Above::Tcp(Segment { seq, ack, stamps, flags, window, .. }) => {
                let options = match stamps {
                    Some(stamps) => tcp::only_time_stamps(stamps),
                    None => tcp::read_options(options, options.len()),
                };
                packet(Transport::Tcp(Tcp { src, dst, seq, ack, flags, window, payload_len, payload, options, checksum, offset }))
            }
        }
    }
}

/// Two bytes as a number.
#[inline(always)]
fn number(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// What is known where the IP header begins.
#[derive(Clone, Copy)]
struct Network {
    at: u8,
    vlan: u16,
    /// Bytes of the frame from here on, had nothing been cut.
    framed: usize,
}

/// What is known where the transport begins.
struct Carrier<'a> {
    /// All that was captured of the transport and its data.
    bytes: &'a [u8],
    /// How many bytes they would be had nothing been cut.
    told: usize,
    /// Sum of the addresses, for a checksum.
    addresses: u64,
}

impl Network {
    #[inline(always)]
    fn ipv4(self, ip: &[u8]) -> Option<CompactPacket> {
        let header = ip.first_chunk::<20>()?;
        let word = u16::from_be_bytes([header[6], header[7]]);
        let total_len = match usize::from(u16::from_be_bytes([header[2], header[3]])) {
            0 => self.framed,
            told => told,
        };
        if header[0] != 0x45 || Fragment::of_ipv4(word).is_some() || total_len > self.framed {
            return None;
        }
        let carrier = Carrier {
            bytes: ip.get(20..total_len.min(ip.len()))?,
            told: total_len - 20,
            addresses: checksum::words(header[12..].first_chunk::<8>()?),
        };
        let packet = CompactPacket {
            src: IpAddr::V4(Ipv4Addr::from_bits(u32::from_be_bytes([header[12], header[13], header[14], header[15]]))),
            dst: IpAddr::V4(Ipv4Addr::from_bits(u32::from_be_bytes([header[16], header[17], header[18], header[19]]))),
            id: u16::from_be_bytes([header[4], header[5]]),
            dont_fragment: word & 0x4000 != 0,
            ttl: header[8],
            traffic_class: header[1],
            ip_checksum: checksum::verdict(checksum::words(header)),
            ..self.packet(total_len)
        };
        packet.with_transport(header[9], &carrier)
    }

    #[inline(always)]
    fn ipv6(self, ip: &[u8]) -> Option<CompactPacket> {
        let header = ip.first_chunk::<40>()?;
        let total_len = match usize::from(u16::from_be_bytes([header[4], header[5]])) {
            0 => self.framed,
            payload_len => 40 + payload_len,
        };
        if header[0] >> 4 != 6 || total_len > self.framed {
            return None;
        }
        let carrier = Carrier {
            bytes: ip.get(40..total_len.min(ip.len()))?,
            told: total_len - 40,
            addresses: checksum::words(header[8..].first_chunk::<32>()?),
        };
        let packet = CompactPacket {
            src: IpAddr::V6(Ipv6Addr::from(*header[8..].first_chunk::<16>()?)),
            dst: IpAddr::V6(Ipv6Addr::from(*header[24..].first_chunk::<16>()?)),
            ttl: header[7],
            traffic_class: header[0] << 4 | header[1] >> 4,
            ..self.packet(total_len)
        };
        packet.with_transport(header[6], &carrier)
    }

    /// A packet of which the rest is still to be filled in.
    #[inline(always)]
    fn packet(self, total_len: usize) -> CompactPacket {
        CompactPacket {
            src: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            dst: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            src_port: 0,
            dst_port: 0,
            total_len: total_len as u32,
            payload_len: 0,
            id: 0,
            dont_fragment: false,
            ttl: 0,
            traffic_class: 0,
            ip_at: self.at,
            vlan: self.vlan,
            ip_checksum: Checksum::Unverified,
            checksum: Checksum::Unverified,
            above: Above::Udp,
        }
    }
}

impl CompactPacket {
    #[inline(always)]
    fn with_transport(self, protocol: u8, carrier: &Carrier<'_>) -> Option<Self> {
        match protocol {
            TCP => self.with_tcp(carrier),
            UDP => self.with_udp(carrier),
            _ => None,
        }
    }

    #[inline(always)]
    fn with_tcp(self, carrier: &Carrier<'_>) -> Option<Self> {
        let Carrier { bytes, told, addresses } = *carrier;
        let header = bytes.first_chunk::<20>()?;
        let header_len = usize::from(header[12] >> 4) * 4;
        let options = bytes.get(20..header_len)?;
        if header_len > told {
            return None;
        }
        let whole = bytes.len() == told;
        let checksum = match whole {
            true if tcp::is_never_computed([header[16], header[17]]) => Checksum::Bad,
            true => checksum::verify_with(addresses, TCP, bytes, told),
            false => Checksum::Unverified,
        };
        Some(Self {
            src_port: u16::from_be_bytes([header[0], header[1]]),
            dst_port: u16::from_be_bytes([header[2], header[3]]),
            payload_len: (told - header_len) as u32,
            checksum,
            above: Above::Tcp(Segment {
                seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
                ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
                stamps: tcp::time_stamps_alone(options, options.len()),
                flags: TcpFlags(u16::from_be_bytes([header[12], header[13]]) & 0x0fff),
                window: u16::from_be_bytes([header[14], header[15]]),
                options_len: options.len() as u8,
            }),
            ..self
        })
    }

    #[inline(always)]
    fn with_udp(self, carrier: &Carrier<'_>) -> Option<Self> {
        let Carrier { bytes, told, addresses } = *carrier;
        let header = bytes.first_chunk::<8>()?;
        let (src_port, dst_port) = (u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]]));
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        // What DNS asks is looked at.
        let is_dns = src_port == DNS || dst_port == DNS;
        if !(8..=told).contains(&length) || is_dns || tunnel::over_udp(src_port, dst_port).is_some() {
            return None;
        }
        let checksum = match (header[6..] == [0, 0], bytes.get(..length)) {
            (true, _) if self.src.is_ipv6() => Checksum::Illegal,
            (true, _) => Checksum::Absent,
            (false, Some(covered)) => checksum::verify_with(addresses, UDP, covered, length),
            (false, None) => Checksum::Unverified,
        };
        Some(Self { src_port, dst_port, payload_len: (length - 8) as u32, checksum, above: Above::Udp, ..self })
    }
}

#[cfg(test)]
impl CompactPacket {
    /// A segment of IPv4 that was made without bytes, for tests of what follows dissection.
    pub(crate) fn of_segment(packet: &Packet<'_>) -> Option<Self> {
        let (Some(ip), Transport::Tcp(tcp)) = (&packet.ip, &packet.transport) else { return None };
        let options_len = ip.total_len - 40 - tcp.payload_len;
        let stamps = tcp.options.tsval.zip(tcp.options.tsecr).filter(|_| options_len == 12);
        let segment =
            Segment { seq: tcp.seq, ack: tcp.ack, stamps, flags: tcp.flags, window: tcp.window, options_len: options_len as u8 };
        Some(Self {
            src: ip.src,
            dst: ip.dst,
            src_port: tcp.src,
            dst_port: tcp.dst,
            payload_len: tcp.payload_len,
            id: ip.id? as u16,
            dont_fragment: ip.dont_fragment?,
            ttl: ip.ttl,
            above: Above::Tcp(segment),
            ..Network { at: 0, vlan: NO_VLAN, framed: 0 }.packet(ip.total_len as usize)
        })
    }
}
