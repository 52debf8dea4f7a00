//! What an application said, as far as it is read: DNS, HTTP/1, TLS, QUIC's long header, DHCP, NTP.
//!
//! HTTP/1 is read by `httparse`. The others are small bounded readers of our own: parser crates for them want whole messages and
//! do not tell where in the bytes a field stands, while here a message may be cut anywhere and every field shows its bytes.

mod dhcp;
mod dns;
mod http;
mod ntp;
mod quic;
mod tls;

use super::fields::Fields;
use crate::dissect::node::Node;
use crate::dissect::packet::{Packet, Protocol, Tcp, Transport, Udp};

/// The application's layer, if it is one that is read. Offsets count from the beginning of `data`.
pub(super) fn app(packet: &Packet<'_>, data: &[u8]) -> Option<Node> {
    match &packet.transport {
        Transport::Tcp(segment) => over_tcp(segment, data),
        Transport::Udp(datagram) if datagram.protocol == Protocol::Udp => over_udp(datagram, data),
        _ => None,
    }
}

fn over_tcp(segment: &Tcp<'_>, data: &[u8]) -> Option<Node> {
    let header_len = usize::from(data.get(segment.offset as usize + 12)? >> 4) * 4;
    let at = segment.offset as usize + header_len.max(20);
    let mut fields = Fields::within(data, at, at + segment.payload.len());
    let is_dns = segment.src == 53 || segment.dst == 53;
    match segment.payload {
        [_, _, _, ..] if is_dns => {
            fields = Fields::within(data, at + 2, at + segment.payload.len());
            dns::dns(&mut fields, "Domain Name System", "dns")?;
        }
        [20..=23, 3, 0..=4, ..] => tls::records(&mut fields),
        _ => http::http(&mut fields)?,
    }
    Some(fields.finish())
}

fn over_udp(datagram: &Udp<'_>, data: &[u8]) -> Option<Node> {
    let at = datagram.offset as usize + 8;
    let mut fields = Fields::within(data, at, at + datagram.payload.len());
    let is_port = |port: u16| datagram.src == port || datagram.dst == port;
    if datagram.payload.is_empty() {
        return None;
    } else if is_port(53) {
        dns::dns(&mut fields, "Domain Name System", "dns")?;
    } else if is_port(5353) {
        dns::dns(&mut fields, "Multicast Domain Name System", "mdns")?;
    } else if is_port(67) || is_port(68) {
        dhcp::dhcp(&mut fields);
    } else if is_port(123) {
        ntp::ntp(&mut fields);
    } else {
        quic::quic(&mut fields)?;
    }
    Some(fields.finish())
}
