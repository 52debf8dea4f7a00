//! `ICMP 172.17.0.2 unreachable - need to frag (mtu 600), length 556`.

use super::Info;
use crate::dissect::packet::{Icmp, Protocol, Quote};
use std::fmt::Write;
use std::net::Ipv4Addr;

pub(super) fn write(info: &mut Info, icmp: &Icmp<'_>, data: &[u8], len: u32) {
    info.protocol = "ICMP";
    let out = &mut info.text;
    let header = data.get(icmp.offset as usize..).unwrap_or_default();
    let long = |at: usize| header.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    out.push_str("ICMP ");
    let needs_quote = matches!(icmp.kind, 3 | 5 | 11);
    let _ = match (icmp.kind, icmp.echo, &icmp.quote) {
        (8 | 0, Some((id, seq)), _) => {
            let word = if icmp.kind == 8 { "request" } else { "reply" };
            write!(out, "echo {word}, id {id}, seq {seq}")
        }
        (0 | 8, None, _) => write!(out, "[|icmp]"),
        (_, _, None) if needs_quote => write!(out, "[|icmp]"),
        (3, _, Some(quote)) => unreachable(out, icmp, quote, header),
        (5, _, Some(quote)) => {
            let [kind, what] = match icmp.code {
                0 => ["redirect", "net"],
                1 => ["redirect", "host"],
                2 => ["redirect-tos", "net"],
                3 => ["redirect-tos", "host"],
                _ => ["redirect", "net"],
            };
            write!(out, "{kind} {} to {what} {}", quote.dst, Ipv4Addr::from(long(4)))
        }
        (11, ..) => match icmp.code {
            0 => write!(out, "time exceeded in-transit"),
            1 => write!(out, "ip reassembly time exceeded"),
            code => write!(out, "time exceeded-#{code}"),
        },
        (12, ..) => match icmp.code {
            0 => write!(out, "parameter problem - octet {}", header.get(4).unwrap_or(&0)),
            code => write!(out, "parameter problem - code {code}"),
        },
        (18, ..) => write!(out, "address mask is 0x{:08x}", long(8)),
        (13, ..) => write!(out, "time stamp query id {} seq {}", long(4) >> 16, long(4) & 0xffff),
        (4, ..) => write!(out, "source quench"),
        (9, ..) => write!(out, "router advertisement"),
        (10, ..) => write!(out, "router solicitation"),
        (14, ..) => write!(out, "time stamp reply"),
        (15, ..) => write!(out, "information request"),
        (16, ..) => write!(out, "information reply"),
        (17, ..) => write!(out, "address mask request"),
        (kind, ..) => write!(out, "type-#{kind}"),
    };
    let _ = write!(out, ", length {len}");
}

fn unreachable(out: &mut String, icmp: &Icmp<'_>, quote: &Quote, header: &[u8]) -> std::fmt::Result {
    let dst = quote.dst;
    match icmp.code {
        0 => write!(out, "net {dst} unreachable"),
        1 => write!(out, "host {dst} unreachable"),
        2 => write!(out, "{dst} protocol {} unreachable", header.get(17).unwrap_or(&0)),
        3 => match (quote.transport, quote.ports) {
            (Some(Protocol::Tcp), Some((_, port))) => write!(out, "{dst} tcp port {port} unreachable"),
            (Some(Protocol::Udp), Some((_, port))) => write!(out, "{dst} udp port {port} unreachable"),
            _ => {
                let port = header.get(30..32).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
                write!(out, "{dst} protocol {} port {port} unreachable", header.get(17).unwrap_or(&0))
            }
        },
        4 => match icmp.mtu {
            None | Some(0) => write!(out, "{dst} unreachable - need to frag"),
            Some(mtu) => write!(out, "{dst} unreachable - need to frag (mtu {mtu})"),
        },
        5 => write!(out, "{dst} unreachable - source route failed"),
        6 => write!(out, "net {dst} unreachable - unknown"),
        7 => write!(out, "host {dst} unreachable - unknown"),
        8 => write!(out, "{dst} unreachable - source host isolated"),
        9 => write!(out, "net {dst} unreachable - admin prohibited"),
        10 => write!(out, "host {dst} unreachable - admin prohibited"),
        11 => write!(out, "net {dst} unreachable - tos prohibited"),
        12 => write!(out, "host {dst} unreachable - tos prohibited"),
        13 => write!(out, "host {dst} unreachable - admin prohibited filter"),
        14 => write!(out, "host {dst} unreachable - host precedence violation"),
        15 => write!(out, "host {dst} unreachable - precedence cutoff"),
        code => write!(out, "{dst} unreachable - #{code}"),
    }
}
