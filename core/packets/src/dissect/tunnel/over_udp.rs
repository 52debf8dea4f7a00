//! Tunnels over UDP, by port: VXLAN (RFC 7348) and its generic form, GENEVE (RFC 8926), GTP-U (3GPP TS 29.281), L2TP (RFC 2661),
//! Teredo (RFC 4380), LISP (RFC 6830), MPLS (RFC 7510), GRE (RFC 8086), CAPWAP (RFC 5415), SCTP (RFC 6951), TZSP, AYIYA.

use super::{by_version, gre, mpls, network_service};
use crate::dissect::ports::sctp;
use crate::dissect::walk::{Kind, Next, Reader, Walk};
use crate::dissect::{ethertype, ipv4, ipv6, link};

/// The tunnel that a port tells. Where both ports do, the lower one, as Wireshark chooses.
#[inline]
pub(in crate::dissect) fn next(src: u16, dst: u16) -> Option<Next> {
    let (low, high) = (src.min(dst), src.max(dst));
    by_port(low).or_else(|| by_port(high)).map(Next)
}

fn by_port(port: u16) -> Option<Reader> {
    Some(match port {
        4789 | 8472 => vxlan,
        4790 => vxlan_gpe,
        6081 => geneve,
        2152 => gtp_u,
        3386 => gtp_prime,
        1701 => l2tp,
        3544 => teredo,
        4341 => lisp_data,
        4342 => lisp_control,
        5072 => ayiya,
        6635 => mpls,
        4754 => gre,
        5247 => capwap_data,
        9899 => sctp,
        37008 => tzsp,
        _ => return None,
    })
}

fn vxlan(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Vxlan, "VXLAN");
    walk.header::<8>("vxlan")?;
    walk.at += 8;
    Some(Next(link::ethernet))
}

fn vxlan_gpe(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Vxlan, "VXLAN");
    let header = walk.header::<8>("vxlan")?;
    walk.at += 8;
    match header[3] {
        1 => Some(Next(ipv4::read)),
        2 => Some(Next(ipv6::read)),
        3 => Some(Next(link::ethernet)),
        4 => Some(Next(network_service)),
        5 => Some(Next(mpls)),
        _ => None,
    }
}

fn geneve(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Geneve, "GENEVE");
    let header = walk.header::<8>("geneve")?;
    let len = 8 + usize::from(header[0] & 0x3f) * 4;
    walk.take("geneve", len)?;
    walk.at += len;
    match u16::from_be_bytes([header[2], header[3]]) {
        0x6558 => Some(Next(link::ethernet)),
        protocol => ethertype::next(protocol),
    }
}

/// Only user data (message type 255) carries packets.
fn gtp_u(walk: &mut Walk<'_>) -> Option<Next> {
    const USER_DATA: u8 = 255;
    walk.enter_tunnel(Kind::Gtp, "GTP");
    let header = walk.header::<8>("gtp")?;
    // Version 1, and not GTP', the charging protocol.
    if header[0] >> 4 != 3 || header[1] != USER_DATA {
        return None;
    }
    walk.at += 8;
    // Any of these bits brings all three optional fields (section 5.1).
    if header[0] & 0x07 != 0 {
        let optional = walk.header::<4>("gtp")?;
        walk.at += 4;
        let mut next_type = optional[3];
        while header[0] & 0x04 != 0 && next_type != 0 {
            // Length in units of 4 bytes first, next type last.
            let len = usize::from(walk.header::<1>("gtp")?[0]) * 4;
            let whole = walk.take("gtp", len.max(4))?;
            next_type = whole[whole.len() - 1];
            walk.at += whole.len();
        }
    }
    // 5G carries Ethernet, too, without saying so (TS 29.281 section 5.1): then a type stands where it should.
    let frame = walk.rest();
    match frame.first()? >> 4 {
        4 | 6 => by_version(*frame.first()?),
        _ => {
            let kind = u16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
            ethertype::next(kind).map(|_| Next(link::ethernet))
        }
    }
}

/// What an access point carries to its controller: frames as they were in the air, or Ethernet's. DTLS, fragments and keep-alives
/// cannot be read (RFC 5415 section 4.3).
fn capwap_data(walk: &mut Walk<'_>) -> Option<Next> {
    const PLAIN: u8 = 0;
    const NATIVE: u8 = 0x01;
    const FRAGMENT: u8 = 0x80;
    const KEEP_ALIVE: u8 = 0x08;
    const IEEE_802_11: u8 = 1;
    walk.enter_tunnel(Kind::Named("Control And Provisioning of Wireless Access Points - Data", "capwap.data"), "CAPWAP");
    let header = walk.header::<8>("capwap.data")?;
    if header[0] & 0x0f != PLAIN || header[3] & (FRAGMENT | KEEP_ALIVE) != 0 {
        return None;
    }
    // In units of 4 bytes.
    let len = usize::from(header[1] >> 3) * 4;
    let binding = header[2] >> 1 & 0x1f;
    walk.take("capwap.data", len.max(8))?;
    walk.at += len.max(8);
    match (header[2] & NATIVE, binding) {
        (NATIVE, IEEE_802_11) => Some(Next(link::wifi_swapped)),
        (NATIVE, _) => None,
        _ => Some(Next(link::ethernet)),
    }
}

/// TaZmen Sniffer Protocol: tags, until the last, then a frame of a kind that is told.
fn tzsp(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Named("TZSP", "tzsp"), "TZSP");
    let header = walk.header::<4>("tzsp")?;
    walk.at += 4;
    // Padding and the last tag have no length.
    loop {
        match walk.rest() {
            [1, ..] => break,
            [0, ..] => walk.at += 1,
            [_, len, ..] => walk.at += 2 + usize::from(*len),
            _ => return walk.short("tzsp", 1),
        }
    }
    walk.at += 1;
    match (header[1], u16::from_be_bytes([header[2], header[3]])) {
        (0 | 1, 1) => Some(Next(link::ethernet)),
        (0 | 1, 18) => Some(Next(link::wifi)),
        _ => None,
    }
}

/// GTP version 0 (GSM 09.60): a header of 20 bytes.
fn gtp_prime(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Gtp, "GTP");
    let header = walk.header::<20>("gtp")?;
    walk.at += 20;
    if header[0] >> 5 == 0 && header[0] & 0x10 != 0 && header[1] == 255 { by_version(*walk.rest().first()?) } else { None }
}

/// Data messages of version 2 carry PPP; the flags tell which fields there are (RFC 2661 section 3.1).
fn l2tp(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Named("Layer 2 Tunneling Protocol", "l2tp"), "L2TP");
    let header = walk.header::<2>("l2tp")?;
    let flags = u16::from_be_bytes(*header);
    if flags & 0x8000 != 0 || flags & 0x000f != 2 {
        return None;
    }
    let mut len = 6;
    if flags & 0x4000 != 0 {
        len += 2;
    }
    if flags & 0x0800 != 0 {
        len += 4;
    }
    if flags & 0x0200 != 0 {
        let offset = walk.take("l2tp", len + 2)?;
        len += 2 + usize::from(u16::from_be_bytes([offset[len], offset[len + 1]]));
    }
    walk.take("l2tp", len)?;
    walk.at += len;
    Some(Next(link::ppp))
}

/// Authentication and origin indications may stand before the IPv6 packet (RFC 4380 section 5.1.1).
fn teredo(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Named("Teredo IPv6 over UDP tunneling", "teredo"), "Teredo");
    if let [0, 1, id_len, auth_len, ..] = walk.rest() {
        walk.at += 13 + usize::from(*id_len) + usize::from(*auth_len);
    }
    if walk.rest().starts_with(&[0, 0]) {
        walk.at += 8;
    }
    if walk.rest().first()? >> 4 == 6 { Some(Next(ipv6::read)) } else { None }
}

fn lisp_data(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Named("Locator/ID Separation Protocol (Data)", "lisp-data"), "LISP");
    walk.header::<8>("lisp-data")?;
    walk.at += 8;
    by_version(*walk.rest().first()?)
}

/// Encapsulated control messages (type 8) carry a packet.
fn lisp_control(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Named("Locator/ID Separation Protocol", "lisp"), "LISP");
    let header = walk.header::<4>("lisp")?;
    walk.at += 4;
    if header[0] >> 4 == 8 { by_version(*walk.rest().first()?) } else { None }
}

/// Anything In Anything (draft-massar-v6ops-ayiya-02): identity and signature, then what Next Header names.
fn ayiya(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter_tunnel(Kind::Named("Anything in Anything Protocol", "ayiya"), "AYIYA");
    let header = walk.header::<8>("ayiya")?;
    let len = 8 + (1_usize << (header[0] >> 4)) + usize::from(header[1] >> 4) * 4;
    walk.take("ayiya", len)?;
    walk.at += len;
    match (header[2] & 0x0f, header[3]) {
        (1, 41) => Some(Next(ipv6::read)),
        (1, 4) => Some(Next(ipv4::read)),
        _ => None,
    }
}
