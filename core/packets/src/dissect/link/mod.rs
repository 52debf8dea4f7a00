//! Link types: one file each, registered in [`LINKS`].
//!
//! Numbers are LINKTYPE_ values (<https://www.tcpdump.org/linktypes.html>). Slugs are those of Wireshark's encapsulations.

mod atm;
mod ethernet;
mod firewall;
mod frame_relay;
mod hdlc;
mod infiniband;
mod juniper;
mod loopback;
mod names;
mod other;
mod ppp;
mod raw;
mod ring;
mod serial;
mod sll;
mod wifi;
mod wrapped;

pub(super) use ethernet::read as ethernet;
pub(super) use ppp::read as ppp;
pub(super) use sll::NETLINK;
pub(super) use wifi::{read as wifi, read_swapped as wifi_swapped};

use super::walk::Reader;

/// A link type.
pub struct Link {
    /// Its numbers in capture files; some have several.
    pub numbers: &'static [u32],
    /// Short stable name: `ethernet`, `sll2`.
    pub slug: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// Reads its header.
    pub(super) read: Reader,
}

/// All link types that are read.
pub static LINKS: &[Link] = &[
    ethernet::LINK,
    sll::LINK,
    sll::LINK2,
    raw::LINK,
    raw::IPV6,
    loopback::NULL,
    loopback::LOOP,
    ppp::LINK,
    ppp::SERIAL,
    ppp::ETHERNET,
    ppp::DIRECTION,
    serial::CLIP,
    hdlc::LINK,
    frame_relay::LINK,
    wifi::LINK,
    wifi::RADIOTAP,
    wifi::AVS,
    wifi::PRISM,
    wifi::PPI,
    ring::FDDI,
    ring::TOKEN_RING,
    firewall::PFLOG,
    firewall::NFLOG,
    atm::RFC2684,
    atm::SUN,
    infiniband::LINK,
    juniper::ETHERNET,
    firewall::ENC,
    ethernet::MPACKET,
    wrapped::PKTAP,
    wrapped::IPNET,
    other::SLIP,
    other::USB_LINUX,
    other::USB_LINUX_MMAP,
    other::USBPCAP,
];

/// The name of a link type for people, also of one that is not read: `Bluetooth Low Energy`. `None` if it is not known.
pub fn link_type_name(number: u32) -> Option<&'static str> {
    link(number).map(|link| link.name).or_else(|| names::unread(number))
}

/// The link type of a number; `None` if it is not read.
#[inline]
pub fn link(number: u32) -> Option<&'static Link> {
    LINKS.iter().find(|link| link.numbers.contains(&number))
}
