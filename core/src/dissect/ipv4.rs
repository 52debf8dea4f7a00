//! IPv4 (RFC 791).

use super::packet::{Checksum, Fragment, Ip, Net, Why};
use super::walk::{Kind, Next, Walk};
use super::{checksum, ip_protocol, ipv6};
use std::net::{IpAddr, Ipv4Addr};

pub(super) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    // What is announced as IPv4 and says it is IPv6 is read as what it says, as Wireshark does.
    if walk.rest().first().is_some_and(|byte| byte >> 4 == 6) {
        return ipv6::read(walk);
    }
    walk.enter_ip(Net::Ipv4);
    walk.enter(Kind::Ipv4);
    let header = walk.header::<20>("ipv4")?;
    if header[0] >> 4 != 4 {
        walk.stop("ipv4", Why::Version(header[0] >> 4), false);
        return None;
    }
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let told_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // TSO on the sending host leaves 0 in the super-segments it hands to the card.
    let total_len = if told_len == 0 { walk.told_len() } else { told_len };
    if header_len < 20 || total_len < header_len {
        walk.stop("ipv4", Why::HeaderLength { header: header_len as u32, total: total_len as u32 }, false);
        return None;
    }
    let word = u16::from_be_bytes([header[6], header[7]]);
    let fragment = Fragment { offset: word & 0x1fff, more: word & 0x2000 != 0 };
    walk.packet.ip = Some(Ip {
        src: address(header, 12),
        dst: address(header, 16),
        id: Some(u32::from(u16::from_be_bytes([header[4], header[5]]))),
        ttl: header[8],
        protocol: header[9],
        traffic_class: header[1],
        dont_fragment: Some(word & 0x4000 != 0),
        fragment: (fragment.more || fragment.offset > 0).then_some(fragment),
        total_len: total_len as u32,
        offset: walk.at as u32,
        payload_offset: (walk.at + header_len) as u32,
    });
    walk.limit(total_len);
    let whole = walk.take("ipv4", header_len)?;
    let _ = walk.packet.ip_checksums.try_push(checksum::verify_plain(whole) == Checksum::Good);
    walk.at += header_len;
    ip_protocol::next(walk, header[9])
}

fn address(header: &[u8; 20], at: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]))
}
