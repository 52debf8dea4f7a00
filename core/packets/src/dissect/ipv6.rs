//! IPv6 (RFC 8200) and its extension headers. Each extension header is a layer of its own.

use super::ip_protocol;
use super::packet::{Fragment, Ip, Net, Why};
use super::walk::{Kind, Next, Walk};
use std::net::{IpAddr, Ipv6Addr};

pub(super) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    // What is announced as IPv6 and says another version is no IP layer, as in Wireshark.
    if let Some(version) = walk.rest().first().map(|byte| byte >> 4).filter(|version| *version != 6) {
        walk.stop("ipv6", Why::Version(version), false);
        return None;
    }
    walk.enter_ip(Net::Ipv6);
    walk.enter(Kind::Ipv6);
    let header = walk.header::<40>("ipv6")?;
    let payload_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    // 0 with a hop-by-hop header is a jumbogram (RFC 2675), 0 with a transport a TSO super-segment: the frame tells then.
    // A quote is no frame.
    let frame_tells = payload_len == 0 && walk.told_len() > 40 && header[6] != 59 && !walk.is_quote;
    let total_len = if frame_tells { walk.told_len() } else { 40 + payload_len };
    walk.packet.ip = Some(Ip {
        src: address(&header[8..24]),
        dst: address(&header[24..40]),
        id: None,
        ttl: header[7],
        protocol: header[6],
        traffic_class: header[0] << 4 | header[1] >> 4,
        dont_fragment: None,
        fragment: None,
        total_len: total_len as u32,
        offset: walk.at as u32,
        payload_offset: 0,
    });
    walk.limit(total_len);
    walk.advance_ip(40);
    ip_protocol::next(walk, header[6])
}

/// Hop-by-Hop Options (RFC 8200 section 4.3).
pub(super) fn hop_by_hop(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::HopByHop);
    options(walk, "ipv6.hopopts")
}

/// Destination Options (section 4.6).
pub(super) fn destination_options(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::DestinationOptions);
    let header = walk.header::<2>("ipv6.dstopts")?;
    let home = walk.rest().get(2..length(header)).and_then(home_address);
    walk.home_address = home.or(walk.home_address);
    options(walk, "ipv6.dstopts")
}

/// Where a mobile node is at home, which its checksums cover in place of the source (RFC 6275 sections 6.3 and 9.3.1).
fn home_address(mut options: &[u8]) -> Option<IpAddr> {
    const HOME_ADDRESS: u8 = 201;
    loop {
        match options {
            [] | [_] => return None,
            [0, rest @ ..] => options = rest,
            [HOME_ADDRESS, 16, home @ ..] => return home.get(..16).map(address),
            [_, len, rest @ ..] => options = rest.get(usize::from(*len)..)?,
        }
    }
}

/// Mobility (RFC 6275) and Shim6 (RFC 5533), which have the same shape.
pub(super) fn other(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::OtherExtension);
    options(walk, "ipv6.ext")
}

fn options(walk: &mut Walk<'_>, layer: &'static str) -> Option<Next> {
    let header = walk.header::<2>(layer)?;
    walk.take(layer, length(header))?;
    walk.advance_ip(length(header));
    ip_protocol::next(walk, header[0])
}

/// Routing header (section 4.4). The last address on the route is what checksums cover (section 8.1).
pub(super) fn routing(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Routing);
    let header = walk.header::<4>("ipv6.routing")?;
    let whole = walk.take("ipv6.routing", length(&[header[0], header[1]]))?;
    if header[3] > 0 {
        walk.final_destination = match header[2] {
            // Types 0 (RFC 5095) and 2 (RFC 6275): the addresses follow in order of travel.
            0 | 2 if whole.len() >= 24 => Some(address(&whole[whole.len() - 16..])),
            // Segment routing (RFC 8754): the last segment stands first.
            4 if whole.len() >= 24 => Some(address(&whole[8..24])),
            _ => None,
        };
    }
    walk.advance_ip(whole.len());
    ip_protocol::next(walk, header[0])
}

/// Fragment header (section 4.5). An atomic fragment (RFC 6946) has an id but is none.
pub(super) fn fragment(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::FragmentHeader);
    let header = walk.header::<8>("ipv6.fraghdr")?;
    let word = u16::from_be_bytes([header[2], header[3]]);
    let place = Fragment { offset: word >> 3, more: word & 1 != 0 };
    if let Some(ip) = &mut walk.packet.ip {
        ip.id = Some(u32::from_be_bytes([header[4], header[5], header[6], header[7]]));
        ip.fragment = (place.more || place.offset > 0).then_some(place);
    }
    walk.advance_ip(8);
    ip_protocol::next(walk, header[0])
}

/// Length of an extension header: the second byte counts units of 8 bytes after the first 8.
fn length(header: &[u8; 2]) -> usize {
    (usize::from(header[1]) + 1) * 8
}

fn address(bytes: &[u8]) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(bytes);
    IpAddr::V6(Ipv6Addr::from(octets))
}
