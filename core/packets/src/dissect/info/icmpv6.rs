//! `ICMP6, neighbor solicitation, who has fe80::1, length 32`.

use super::Info;
use crate::dissect::packet::Icmp;
use std::fmt::Write;
use std::net::Ipv6Addr;

pub(super) fn write(info: &mut Info, icmp: &Icmp<'_>, data: &[u8], len: u32) {
    info.protocol = "ICMPv6";
    let out = &mut info.text;
    let header = data.get(icmp.offset as usize..).unwrap_or_default();
    let address = |at: usize| {
        let octets: [u8; 16] = *header.get(at..)?.first_chunk()?;
        Some(Ipv6Addr::from(octets))
    };
    let half = |at: usize| header.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let long = u32::from(half(4)) << 16 | u32::from(half(6));
    let quoted = address(8 + 24);
    out.push_str("ICMP6, ");
    let _ = match icmp.kind {
        1 => match (icmp.code, quoted) {
            (_, None) => write!(out, "destination unreachable [|icmp6]"),
            (0, Some(to)) => write!(out, "destination unreachable, unreachable route {to}"),
            (1, Some(to)) => write!(out, "destination unreachable, unreachable prohibited {to}"),
            (2, Some(to)) => write!(out, "destination unreachable, beyond scope {to}"),
            (3, Some(to)) => write!(out, "destination unreachable, unreachable address {to}"),
            (4, Some(to)) => {
                let quote = icmp.quote;
                let protocol = match quote.and_then(|quote| quote.transport) {
                    Some(crate::dissect::Protocol::Tcp) => "tcp",
                    _ => "udp",
                };
                let port = quote.and_then(|quote| quote.ports).map_or(0, |(_, port)| port);
                write!(out, "destination unreachable, unreachable port, {to} {protocol} port {port}")
            }
            (code, Some(_)) => write!(out, "destination unreachable, unknown unreach code ({code})"),
        },
        2 => write!(out, "packet too big, mtu {long}"),
        3 => match (icmp.code, quoted) {
            (0, Some(to)) => write!(out, "time exceeded in-transit for {to}"),
            (1, _) => write!(out, "time exceeded in-transit (reassembly)"),
            (code, _) => write!(out, "time exceeded in-transit, unknown code ({code})"),
        },
        4 => match icmp.code {
            0 => write!(out, "parameter problem, erroneous - octet {long}"),
            1 => write!(out, "parameter problem, next header - octet {long}"),
            2 => write!(out, "parameter problem, option - octet {long}"),
            3 => write!(out, "parameter problem, incomplete header chain - octet {long}"),
            code => write!(out, "parameter problem, code-#{code}"),
        },
        128 => write!(out, "echo request, id {}, seq {}", half(4), half(6)),
        129 => write!(out, "echo reply, id {}, seq {}", half(4), half(6)),
        // A version 2 query is longer than version 1's 24 bytes.
        130 => match address(8) {
            Some(group) if len >= 28 => write!(out, "multicast listener query v2 [gaddr {group}]"),
            Some(group) => write!(out, "multicast listener query max resp delay: {} addr: {group}", half(4)),
            None => write!(out, "multicast listener query [|icmp6]"),
        },
        131 | 132 => {
            let what = if icmp.kind == 131 { "report max resp delay" } else { "done max resp delay" };
            match address(8) {
                Some(group) => write!(out, "multicast listener {what}: {} addr: {group}", half(4)),
                None => write!(out, "multicast listener {what} [|icmp6]"),
            }
        }
        133 => write!(out, "router solicitation"),
        134 => write!(out, "router advertisement"),
        135 => match address(8) {
            Some(target) => write!(out, "neighbor solicitation, who has {target}"),
            None => write!(out, "neighbor solicitation [|icmp6]"),
        },
        136 => match address(8) {
            Some(target) => write!(out, "neighbor advertisement, tgt is {target}"),
            None => write!(out, "neighbor advertisement [|icmp6]"),
        },
        137 => match (address(24), address(8)) {
            (Some(destination), Some(target)) => write!(out, "redirect, {destination} to {target}"),
            _ => write!(out, "redirect [|icmp6]"),
        },
        143 => write!(out, "multicast listener report v2, {} group record(s)", half(6)),
        141 => write!(out, "inverse neighbor solicitation"),
        142 => write!(out, "inverse neighbor advertisement"),
        148 => write!(out, "mobile router solicitation"),
        149 => write!(out, "mobile router advertisement"),
        kind => write!(out, "unknown icmp6 type ({kind})"),
    };
    let _ = write!(out, ", length {len}");
}
