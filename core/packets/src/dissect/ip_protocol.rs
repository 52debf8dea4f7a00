//! What IPv4's Protocol and IPv6's Next Header name (IANA "Assigned Internet Protocol Numbers").

use super::packet::Net;
use super::walk::{Next, Walk};
use super::{icmp, ipv4, ipv6, link, ports, tcp, tunnel, udp};

pub(super) const ICMP: u8 = 1;
pub(super) const IGMP: u8 = 2;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const DCCP: u8 = 33;
pub(super) const ICMPV6: u8 = 58;
pub(super) const SCTP: u8 = 132;
pub(super) const UDPLITE: u8 = 136;

/// The reader for a protocol number. Of fragments only the first holds the transport header, and nothing beyond it is read:
/// what a tunnel carries shows when the datagram is whole.
#[inline]
pub(super) fn next(walk: &Walk<'_>, protocol: u8) -> Option<Next> {
    let fragment = walk.packet.ip.as_ref().and_then(|ip| ip.fragment);
    if let Some(fragment) = fragment
        && (fragment.offset > 0 || !is_transport(protocol))
    {
        return None;
    }
    // What has no bytes at all is only named.
    let is_empty = if walk.is_quote { walk.rest().is_empty() } else { walk.told_len() == 0 && walk.packet.net == Net::Ipv4 };
    if is_empty {
        return None;
    }
    Some(Next(match protocol {
        TCP => tcp::read,
        UDP => udp::read,
        UDPLITE => udp::read_lite,
        ICMP => icmp::read,
        ICMPV6 => icmp::read_v6,
        SCTP => ports::sctp,
        DCCP => ports::dccp,
        IGMP => ports::igmp,
        0 => ipv6::hop_by_hop,
        43 => ipv6::routing,
        44 => ipv6::fragment,
        60 => ipv6::destination_options,
        135 | 140 => ipv6::other,
        4 => ipv4::read,
        41 => ipv6::read,
        47 => tunnel::gre,
        51 => tunnel::authentication,
        97 => tunnel::ether_ip,
        103 => tunnel::pim,
        137 => tunnel::mpls,
        // Segment routing's way to carry a frame (RFC 8986 section 4.9).
        143 => link::ethernet,
        _ => return None,
    }))
}

fn is_transport(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | UDPLITE | ICMP | ICMPV6 | SCTP | DCCP | IGMP | 60)
}
