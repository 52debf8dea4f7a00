//! What an EtherType names, and the VLAN tags among them (IEEE 802.1Q).

use super::walk::{Kind, Next, Walk};
use super::{arp, ipv4, ipv6, link, llc, tunnel};

/// EtherTypes that are told apart (IEEE registry).
pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
pub(super) const RARP: u16 = 0x8035;
pub(super) const VLAN: u16 = 0x8100;
pub(super) const IPV6: u16 = 0x86dd;
pub(super) const MPLS: u16 = 0x8847;
pub(super) const MPLS_MULTICAST: u16 = 0x8848;
pub(super) const PPPOE_SESSION: u16 = 0x8864;
pub(super) const NETWORK_SERVICE: u16 = 0x894f;
pub(super) const BRIDGED: u16 = 0x6558;
/// Of integrity alone what it protects can be read (IEEE 802.1AE).
const MACSEC: u16 = 0x88e5;
/// LLC in frames longer than 1500 bytes.
const JUMBO_LLC: u16 = 0x8870;
/// Tags of port extenders: Cisco's, and that of IEEE 802.1BR.
const VN_TAG: u16 = 0x8926;
const E_TAG: u16 = 0x893f;
/// High-availability Seamless Redundancy (IEC 62439-3), and the R-TAG of IEEE 802.1CB.
const REDUNDANCY: u16 = 0x892f;
const R_TAG: u16 = 0xf1c1;
/// Frames in frames (IEEE 802.1ah): service, then the customer's addresses.
const PROVIDER_BACKBONE: u16 = 0x88e7;
/// RFC 6325.
const TRILL: u16 = 0x22f3;
/// A frame of Cisco's FabricPath, which carries one (packet-cisco-fp-mim.c).
const FABRIC_PATH: u16 = 0x8903;
/// What a tap of Arista's puts before a packet's own type.
const ARISTA: u16 = 0xd28b;
/// A security group tag before the packet's own type (Cisco TrustSec).
const CISCO_META_DATA: u16 = 0x8909;
pub(super) const SERVICE_VLAN: u16 = 0x88a8;
/// The tag of 802.1ad before its time, which Wireshark shows as 802.1Q.
pub(super) const OLD_QINQ: u16 = 0x9100;

/// The reader for an EtherType.
pub(super) fn next(ethertype: u16) -> Option<Next> {
    Some(Next(match ethertype {
        IPV4 => ipv4::read,
        IPV6 => ipv6::read,
        ARP => arp::read,
        RARP => arp::read_rarp,
        VLAN | OLD_QINQ => vlan,
        SERVICE_VLAN => service_vlan,
        MPLS | MPLS_MULTICAST => tunnel::mpls,
        PPPOE_SESSION => tunnel::pppoe,
        NETWORK_SERVICE => tunnel::network_service,
        BRIDGED => link::ethernet,
        MACSEC => macsec,
        CISCO_META_DATA => cisco_meta_data,
        JUMBO_LLC => llc::read,
        VN_TAG => |walk| tag(walk, "vntag", 4),
        E_TAG => |walk| tag(walk, "etag", 6),
        REDUNDANCY => |walk| tag(walk, "hsr", 4),
        R_TAG => |walk| tag(walk, "ieee8021cb", 4),
        PROVIDER_BACKBONE => |walk| tag(walk, "ieee8021ah", 16),
        TRILL => trill,
        FABRIC_PATH => fabric_path,
        ARISTA => arista,
        _ => return None,
    }))
}

fn vlan(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Vlan);
    if let Some(id) = id(walk) {
        let _ = walk.packet.vlans.try_push(id);
    }
    after_tag(walk, "vlan")
}

/// S-tags stand before C-tags in `vlans`, also where a C-tag came first.
fn service_vlan(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::ServiceVlan);
    let place = usize::from(walk.packet.service_vlans);
    if let Some(id) = id(walk)
        && walk.packet.vlans.try_insert(place, id).is_ok()
    {
        walk.packet.service_vlans += 1;
    }
    after_tag(walk, "ieee8021ad")
}

/// A security tag (IEEE 802.1AE clause 9): flags, short length, packet number, and an identifier of 8 bytes if flagged. Data
/// that is encrypted or changed, 16 bytes of check value at its end, cannot be read.
fn macsec(walk: &mut Walk<'_>) -> Option<Next> {
    const ENCRYPTED_OR_CHANGED: u8 = 0x0c;
    const IDENTIFIER: u8 = 0x20;
    walk.enter(Kind::Named("802.1AE Security tag", "macsec"));
    let header = walk.header::<6>("macsec")?;
    walk.at += if header[0] & IDENTIFIER != 0 { 14 } else { 6 };
    if header[0] & ENCRYPTED_OR_CHANGED != 0 {
        return None;
    }
    let protocol = walk.header::<2>("macsec")?;
    walk.at += 2;
    next(u16::from_be_bytes(*protocol))
}

/// A tag of `len` bytes, after which the packet's own type stands.
fn tag(walk: &mut Walk<'_>, name: &'static str, len: usize) -> Option<Next> {
    walk.enter(Kind::Named("Tag", name));
    walk.take(name, len)?;
    walk.at += len;
    let protocol = walk.header::<2>(name)?;
    walk.at += 2;
    next(u16::from_be_bytes(*protocol))
}

/// The length of options is told in units of 4 bytes (RFC 6325 section 3).
fn trill(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Named("TRILL", "trill"), "TRILL");
    let header = walk.header::<6>("trill")?;
    walk.at += 6 + 4 * (usize::from(header[0] & 7) << 2 | usize::from(header[1] >> 6));
    Some(Next(link::ethernet))
}

/// Two bytes of forwarding tag and hop count.
fn fabric_path(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Named("Cisco FabricPath", "cfp"), "FabricPath");
    walk.header::<2>("cfp")?;
    walk.at += 2;
    Some(Next(link::ethernet))
}

/// When the tap saw the packet, as subtype 1 tells it: in 64 bits or in 48, TAI or UTC ("Overview of Arista Timestamps").
fn arista(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("Arista Vendor Specific Protocol", "avsp"));
    let header = walk.header::<4>("avsp")?;
    let len = match (u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]])) {
        (1, 0x0010 | 0x0110) => 8,
        (1, 0x0020 | 0x0120) => 6,
        _ => return None,
    };
    walk.take("avsp", 4 + len)?;
    walk.at += 4 + len;
    let protocol = walk.header::<2>("avsp")?;
    walk.at += 2;
    next(u16::from_be_bytes(*protocol))
}

fn cisco_meta_data(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("Cisco MetaData", "cmd"));
    let header = walk.header::<8>("cmd")?;
    walk.at += 8;
    next(u16::from_be_bytes([header[6], header[7]]))
}

/// A tag's first two bytes hold it, also where the packet was cut behind them.
fn id(walk: &Walk<'_>) -> Option<u16> {
    walk.rest().first_chunk().map(|tag| u16::from_be_bytes(*tag) & 0x0fff)
}

fn after_tag(walk: &mut Walk<'_>, layer: &'static str) -> Option<Next> {
    let tag = walk.header::<4>(layer)?;
    walk.at += 4;
    type_or_length(walk, u16::from_be_bytes([tag[2], tag[3]]))
}

/// Ethernet's two bytes: an EtherType from 1536 up, a length to 1500 (IEEE 802.3 clause 3.2.6).
pub(super) fn type_or_length(walk: &mut Walk<'_>, value: u16) -> Option<Next> {
    if value > 1500 {
        return next(value);
    }
    walk.limit(usize::from(value));
    // Novell's raw 802.3 begins where LLC would, with all ones.
    if walk.rest().starts_with(&[0xff, 0xff]) { None } else { Some(Next(llc::read)) }
}
