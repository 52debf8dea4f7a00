//! What carries IP inside IP, Ethernet or UDP.

mod gre;
mod mpls;
mod over_ip;
mod over_udp;
mod pppoe;

pub(super) use gre::read as gre;
pub(super) use mpls::read as mpls;
pub(super) use over_ip::{authentication, ether_ip, pim};
pub(super) use over_udp::next as over_udp;
pub(super) use pppoe::{network_service, read as pppoe};

use super::walk::Next;
use super::{ipv4, ipv6};

/// IP by the version its first four bits tell.
fn by_version(first: u8) -> Option<Next> {
    match first >> 4 {
        4 => Some(Next(ipv4::read)),
        6 => Some(Next(ipv6::read)),
        _ => None,
    }
}
