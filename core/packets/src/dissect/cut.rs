//! What stands before the cut of an IP header, field by field, as Wireshark shows it.
//!
//! A snapshot length that ends inside an IP header leaves no [`Ip`](super::Ip): a packet without a destination has no
//! conversation. What was captured of it is read again here for whoever lists packets, so that the hot path knows whole
//! headers alone.

use super::packet::{Fragment, Packet, Why};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The fields of an IP header that was cut; each is there when all of its bytes are. Both destinations end their headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutIp {
    /// Source address.
    pub src: Option<IpAddr>,
    /// IPv4's Identification.
    pub id: Option<u16>,
    /// TTL or hop limit.
    pub ttl: Option<u8>,
    /// Protocol, or Next Header.
    pub protocol: Option<u8>,
    /// IPv4's Don't Fragment.
    pub dont_fragment: Option<bool>,
    /// When it is a fragment (more to come, or offset above 0).
    pub fragment: Option<Fragment>,
}

/// The innermost IP header of a packet whose dissection stopped in the middle of it; `data` are the bytes that were dissected.
pub fn cut_ip(packet: &Packet<'_>, data: &[u8]) -> Option<CutIp> {
    let stop = packet.stop.filter(|stop| packet.ip.is_none() && matches!(stop.why, Why::Short { .. }))?;
    let header = data.get(stop.at as usize..)?;
    match stop.layer {
        "ipv4" => Some(ipv4(header)).filter(|_| can_be_ipv4(header)),
        "ipv6" => Some(ipv6(header)),
        _ => None,
    }
}

/// Whether version and lengths can be right: what would not be read if it were whole is not read from its beginning either.
fn can_be_ipv4(header: &[u8]) -> bool {
    let Some(&[first, _, high, low]) = header.first_chunk() else { return false };
    let (header_len, total_len) = (u16::from(first & 0x0f) * 4, u16::from_be_bytes([high, low]));
    first >> 4 == 4 && header_len >= 20 && (total_len == 0 || total_len >= header_len)
}

fn ipv4(header: &[u8]) -> CutIp {
    let word = header.get(6..8).map(|word| u16::from_be_bytes([word[0], word[1]]));
    CutIp {
        src: header.get(12..).and_then(|rest| rest.first_chunk()).map(|octets: &[u8; 4]| Ipv4Addr::from(*octets).into()),
        id: header.get(4..6).map(|id| u16::from_be_bytes([id[0], id[1]])),
        ttl: header.get(8).copied(),
        protocol: header.get(9).copied(),
        dont_fragment: word.map(|word| word & 0x4000 != 0),
        fragment: word.and_then(Fragment::of_ipv4),
    }
}

fn ipv6(header: &[u8]) -> CutIp {
    CutIp {
        src: header.get(8..).and_then(|rest| rest.first_chunk()).map(|octets: &[u8; 16]| Ipv6Addr::from(*octets).into()),
        ttl: header.get(7).copied(),
        protocol: header.get(6).copied(),
        ..CutIp::default()
    }
}
