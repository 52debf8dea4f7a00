//! UDP (RFC 768) and UDP-Lite (RFC 3828).

use super::checksum;
use super::ip_protocol::{UDP, UDPLITE};
use super::packet::{Checksum, Net, Protocol, Transport, Udp, Why};
use super::ports;
use super::tunnel;
use super::walk::{Kind, Next, Walk};
use std::net::IpAddr;

/// Where the part of the header ends that tells ports and length.
const LENGTH_END: usize = 6;

pub(super) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Udp);
    let header = header(walk, Protocol::Udp)?;
    let told_len = walk.told_len();
    let len = match usize::from(u16::from_be_bytes([header[4], header[5]])) {
        // A jumbogram's length is in IPv6's options (RFC 2675 section 4).
        0 if walk.packet.net == Net::Ipv6 || told_len > usize::from(u16::MAX) => told_len,
        len => len,
    };
    if len < 8 {
        walk.packet.transport = ports::of(walk, Protocol::Udp);
        walk.stop("udp", Why::HeaderLength { header: len as u32, total: told_len as u32 }, false);
        return None;
    }
    walk.limit(len);
    let checksum = match (checksum_field(walk), &walk.packet.ip) {
        (None, _) => Checksum::Unverified,
        (Some(0), Some(ip)) if matches!(ip.src, IpAddr::V6(_)) => Checksum::Illegal,
        (Some(0), _) => Checksum::Absent,
        // A length beyond the packet is no cut but nonsense, and nothing can be judged then.
        _ if len > told_len => Checksum::Unverified,
        _ => walk.checksum_to_end(UDP),
    };
    set(walk, Protocol::Udp, header, len.saturating_sub(8), checksum);
    // An error need not quote a whole datagram.
    if len > told_len && !walk.is_quote {
        // What it carries tells its own length.
        walk.stop("udp", Why::HeaderLength { header: len as u32, total: told_len as u32 }, false);
    }
    walk.header::<8>("udp")?;
    if walk.is_fragment() || walk.is_quote {
        return None;
    }
    let [src, dst] = [u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]])];
    let tunnel = tunnel::over_udp(src, dst)?;
    walk.at += 8;
    Some(tunnel)
}

/// UDP-Lite's length field tells how much the checksum covers, from the beginning of its header; 0 is all of it.
pub(super) fn read_lite(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Udp);
    let header = header(walk, Protocol::UdpLite)?;
    let told_len = walk.told_len();
    let coverage = match usize::from(u16::from_be_bytes([header[4], header[5]])) {
        0 => told_len,
        coverage => coverage,
    };
    let checksum = match (&walk.packet.ip, walk.rest().get(..coverage)) {
        _ if checksum_field(walk) == Some(0) => Checksum::Illegal,
        (Some(ip), Some(covered)) if !walk.is_fragment() => checksum::verify(&walk.pseudo(ip), UDPLITE, covered, told_len),
        _ => Checksum::Unverified,
    };
    set(walk, Protocol::UdpLite, header, told_len.saturating_sub(8), checksum);
    walk.header::<8>("udp")?;
    None
}

/// The header to its length; what follows, the checksum, may be cut.
fn header<'a>(walk: &mut Walk<'a>, protocol: Protocol) -> Option<&'a [u8; LENGTH_END]> {
    match walk.rest().first_chunk() {
        Some(header) => Some(header),
        None => {
            walk.packet.transport = ports::of(walk, protocol);
            walk.short("udp", 8)
        }
    }
}

fn checksum_field(walk: &Walk<'_>) -> Option<u16> {
    walk.rest().first_chunk::<8>().map(|header| u16::from_be_bytes([header[6], header[7]]))
}

fn set(walk: &mut Walk<'_>, protocol: Protocol, header: &[u8; LENGTH_END], payload_len: usize, checksum: Checksum) {
    walk.packet.transport = Transport::Udp(Udp {
        protocol,
        src: u16::from_be_bytes([header[0], header[1]]),
        dst: u16::from_be_bytes([header[2], header[3]]),
        payload_len: payload_len as u32,
        payload: walk.rest().get(8..).unwrap_or_default(),
        checksum,
        offset: walk.at as u32,
    });
}
