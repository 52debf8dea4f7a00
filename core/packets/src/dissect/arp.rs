//! ARP (RFC 826) and RARP (RFC 903).

use super::ethertype;
use super::packet::{Arp, Net};
use super::walk::{Kind, Next, Walk};
use std::net::Ipv4Addr;

pub(super) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    read_as(walk, Net::Arp)
}

pub(super) fn read_rarp(walk: &mut Walk<'_>) -> Option<Next> {
    read_as(walk, Net::Rarp)
}

fn read_as(walk: &mut Walk<'_>, net: Net) -> Option<Next> {
    walk.enter(Kind::Arp);
    // Inside a tunnel the outer IP layer stays what the packet is about.
    if walk.packet.ip_depth > 0 {
        return None;
    }
    walk.packet.net = Net::Arp;
    let header = walk.header::<8>("arp")?;
    walk.packet.net = net;
    // Over ATM these bytes mean something else (RFC 2225 section 8.1).
    const ATM: u16 = 19;
    if u16::from_be_bytes([header[0], header[1]]) == ATM {
        return None;
    }
    let [hardware_len, protocol_len] = [usize::from(header[4]), usize::from(header[5])];
    let is_ipv4 = u16::from_be_bytes([header[2], header[3]]) == ethertype::IPV4 && protocol_len == 4;
    let len = 8 + 2 * (hardware_len + protocol_len);
    let rest = walk.rest();
    // Where lengths lead beyond the packet, what stands at their places is not an address.
    let is_ipv4 = is_ipv4 && rest.len() >= len;
    let address = |at: usize| {
        let octets = rest.get(at..)?.first_chunk::<4>()?;
        is_ipv4.then(|| Ipv4Addr::from(*octets))
    };
    walk.packet.arp = Some(Arp {
        operation: u16::from_be_bytes([header[6], header[7]]),
        sender: address(8 + hardware_len),
        target: address(8 + 2 * hardware_len + protocol_len),
        sender_mac: rest.get(8..).and_then(|r| r.first_chunk()).filter(|_| hardware_len == 6).copied(),
    });
    walk.take("arp", len)?;
    None
}
