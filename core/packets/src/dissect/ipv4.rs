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
    let place = walk.packet.ip_checksums.len();
    let has_checksum = walk.rest().len() >= 12;
    let _ = walk.packet.ip_checksums.try_push((has_checksum && walk.rest().len() < 20).then_some(Checksum::Unverified));
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
    walk.packet.ip = Some(Ip {
        src: address(header, 12),
        dst: address(header, 16),
        id: Some(u32::from(u16::from_be_bytes([header[4], header[5]]))),
        ttl: header[8],
        protocol: header[9],
        traffic_class: header[1],
        dont_fragment: Some(word & 0x4000 != 0),
        fragment: Fragment::of_ipv4(word),
        total_len: total_len as u32,
        offset: walk.at as u32,
        payload_offset: (walk.at + header_len) as u32,
    });
    walk.limit(total_len);
    let whole = walk.take("ipv4", header_len);
    if let Some(judged) = walk.packet.ip_checksums.get_mut(place) {
        *judged = Some(whole.map_or(Checksum::Unverified, checksum::verify_plain));
    }
    let whole = whole?;
    if header_len > 20
        && let Some(last) = end_of_route(&whole[20..])
        && let Some(ip) = &mut walk.packet.ip
    {
        ip.dst = last;
    }
    walk.at += header_len;
    ip_protocol::next(walk, header[9])
}

/// The last address of a source route that is not at its end yet (RFC 791 section 3.1): the header's destination is only the
/// next hop, and this is where the packet goes, whose conversation it is part of, and what checksums cover.
#[cold]
fn end_of_route(mut options: &[u8]) -> Option<IpAddr> {
    const LOOSE: u8 = 131;
    const STRICT: u8 = 137;
    loop {
        match options {
            [] | [0, ..] => return None,
            [1, rest @ ..] => options = rest,
            [kind, len, ..] => {
                let option = options.get(..usize::from(*len)).filter(|option| option.len() >= 2)?;
                options = &options[option.len()..];
                if let (LOOSE | STRICT, [_, len, pointer, .., a, b, c, d]) = (*kind, option)
                    && (4..=*len).contains(pointer)
                    && len % 4 == 3
                {
                    return Some(IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)));
                }
            }
            _ => return None,
        }
    }
}

fn address(header: &[u8; 20], at: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]))
}
