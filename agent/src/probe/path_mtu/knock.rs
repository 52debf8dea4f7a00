//! Does a datagram of some size arrive? One to a port where nobody listens is answered by the host itself: ICMP "port
//! unreachable", of a few hundred bytes whatever the datagram's size, and so the way back is no part of the answer.

use super::PATIENCE;
use crate::probe::socket::{forbid_fragments, header_length};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// The ports of traceroute: nobody listens there.
const FIRST_PORT: u16 = 33_434;
/// A host answers a handful at once, and then one a second (Linux, icmp_ratelimit).
const TRIES: u16 = 3;
const UDP_HEADER: usize = 8;

/// Whether the host of `to` says that a packet of `size` bytes came.
pub(super) fn arrives(to: IpAddr, size: usize, sent: &mut u32) -> io::Result<bool> {
    let any = if to.is_ipv4() { SocketAddr::from(([0; 4], 0)) } else { SocketAddr::from(([0_u16; 8], 0)) };
    let datagram = vec![0; size.saturating_sub(header_length(to) + UDP_HEADER)];
    for at in 0..TRIES {
        let socket = UdpSocket::bind(any)?;
        forbid_fragments(&socket, to)?;
        socket.connect((to, FIRST_PORT + at))?;
        socket.set_read_timeout(Some(2 * PATIENCE))?;
        socket.send(&datagram)?;
        *sent += 1;
        match socket.recv(&mut [0; 64]) {
            // Somebody listens after all: it arrived.
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            // A firewall's word, or too large after all.
            Err(_) => return Ok(false),
        }
    }
    Ok(false)
}
