//! UDP and what its well-known ports carry.

use super::{Info, dns};
use crate::dissect::packet::Udp;
use std::fmt::Write;

pub(super) fn write(info: &mut Info, udp: &Udp<'_>) {
    info.protocol = "UDP";
    let is_port = |port: u16| udp.src == port || udp.dst == port;
    let out = &mut info.text;
    if is_port(53) {
        info.protocol = "DNS";
        dns::write(out, udp.payload, udp.payload_len, false);
    } else if is_port(67) || is_port(68) {
        info.protocol = "DHCP";
        dhcp(out, udp);
    } else if is_port(123) {
        info.protocol = "NTP";
        ntp(out, udp);
    } else if is_port(5353) {
        info.protocol = "MDNS";
        dns::write(out, udp.payload, udp.payload_len, true);
    } else {
        if is_quic(udp.payload) && is_port(443) {
            info.protocol = "QUIC";
        }
        let _ = write!(out, "UDP, length {}", udp.payload_len);
    }
}

/// A QUIC long header of version 1, 2 or a draft (RFC 8999 section 5.1).
fn is_quic(payload: &[u8]) -> bool {
    matches!(
        payload,
        [0x80..=0xff, 0, 0, 0, 1, ..] | [0x80..=0xff, 0x6b, 0x33, 0x43, 0xcf, ..] | [0x80..=0xff, 0xff, 0, 0, _, ..]
    )
}

fn dhcp(out: &mut String, udp: &Udp<'_>) {
    let kind = match udp.payload.first() {
        Some(1) => "Request",
        Some(2) => "Reply",
        _ => {
            let _ = write!(out, "BOOTP/DHCP, unknown (0x{:02x})", udp.payload.first().unwrap_or(&0));
            return;
        }
    };
    let _ = write!(out, "BOOTP/DHCP, {kind}");
    // Only a client's hardware address on Ethernet is told.
    if let (Some([_, 1, 6, ..]), Some(mac), "Request") = (udp.payload.get(..4), udp.payload.get(28..34), kind) {
        let _ = write!(out, " from {:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    }
    let _ = write!(out, ", length {}", udp.payload_len);
}

fn ntp(out: &mut String, udp: &Udp<'_>) {
    let Some(first) = udp.payload.first() else {
        out.push_str("[|ntp]");
        return;
    };
    let mode =
        ["unspecified", "symmetric active", "symmetric passive", "Client", "Server", "Broadcast", "Control Message", "Reserved"];
    let mode = mode[usize::from(first & 7)];
    let _ = write!(out, "NTPv{}, {mode}, length {}", first >> 3 & 7, udp.payload_len);
}
