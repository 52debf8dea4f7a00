//! Sockets as the kernel's inet_diag tells them: what `ss -tuanmi` shows.

use crate::source::netlink::{Request, Socket, attribute, u32_at};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// The older request, which asks for TCP of both families at once. The kernel walks the table of all of the host's connections
/// for each request, however few of them are in this namespace.
const TCPDIAG_GETSOCK: u16 = 18;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_SKMEMINFO: u16 = 7;
/// SK_MEMINFO_DROPS: packets that found the socket's receive buffer full.
const DROPS_AT: usize = 8 * 4;

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// A TCP state, by the kernel's numbers (include/net/tcp_states.h).
pub(super) const LISTEN: u8 = 10;
const TIME_WAIT: u8 = 6;
/// Those that are told: not TIME_WAIT, which only waits for time to pass, nor sockets that are bound and not connected (number
/// 13, Linux 6.8), for which the kernel walks another table.
const TOLD: u32 = ((1 << STATES.len()) - 2) & !(1 << TIME_WAIT);

/// Names of the states, by number.
pub(super) const STATES: [&str; 13] = [
    "unknown",
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    "syn_recv",
];

/// A socket.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InetSocket {
    pub(super) protocol: Protocol,
    pub(super) state: u8,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Bytes waiting to be read; of a listening socket, connections waiting to be accepted.
    pub(super) receive_queue: u32,
    /// Bytes not yet acknowledged; of a listening socket, how many connections may wait.
    pub(super) send_queue: u32,
    /// Packets that found the receive buffer full.
    pub(super) drops: u32,
    /// What TCP knows of a connection.
    pub(super) tcp: Option<TcpInfo>,
}

/// The part of `struct tcp_info` (include/uapi/linux/tcp.h) that tells of loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct TcpInfo {
    /// Retransmissions of the segment that now waits for its acknowledgement.
    pub(super) retransmits: u8,
    pub(super) snd_mss: u32,
    pub(super) unacked: u32,
    pub(super) pmtu: u32,
    /// Microseconds.
    pub(super) rtt: u32,
    pub(super) snd_cwnd: u32,
    /// Retransmissions of the whole connection.
    pub(super) total_retrans: u32,
}

/// Every socket of a protocol but those that only wait for time to pass, at most `most`; and how many there were.
pub(super) fn read(socket: &mut Socket, protocol: Protocol, most: usize) -> io::Result<(Vec<InetSocket>, usize)> {
    let mut ask = |request: Request| {
        let begin = || (Vec::new(), 0);
        socket.dump(&request, begin, |(found, there), kind, body| {
            if !matches!(kind, SOCK_DIAG_BY_FAMILY | TCPDIAG_GETSOCK) {
                return;
            }
            *there += 1;
            if found.len() < most {
                found.extend(parse(body, protocol));
            }
        })
    };
    // A kernel that no longer knows it is asked for one family after the other.
    if protocol == Protocol::Tcp
        && let Ok(both) = ask(request_of_both())
    {
        return Ok(both);
    }
    let mut all = Vec::new();
    let mut there = 0;
    for family in [libc::AF_INET, libc::AF_INET6] {
        match ask(request(family as u8, protocol)) {
            Ok((found, number)) => {
                all.extend(found);
                there += number;
            }
            // A kernel without IPv6.
            Err(error) if family == libc::AF_INET6 && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok((all, there))
}

/// `struct inet_diag_req`: family (which it does not look at), two lengths, extensions, a socket's identity, states.
fn request_of_both() -> Request {
    let mut fixed = vec![libc::AF_INET as u8, 0, 0, extensions(&[INET_DIAG_INFO, INET_DIAG_SKMEMINFO])];
    fixed.resize(52, 0);
    fixed.extend(TOLD.to_ne_bytes());
    fixed.resize(60, 0);
    Request::new(TCPDIAG_GETSOCK, &fixed)
}

fn extensions(wanted: &[u16]) -> u8 {
    wanted.iter().fold(0, |bits, extension| bits | 1 << (extension - 1))
}

/// `struct inet_diag_req_v2`.
fn request(family: u8, protocol: Protocol) -> Request {
    let (number, wanted) = match protocol {
        Protocol::Tcp => (libc::IPPROTO_TCP, [INET_DIAG_INFO, INET_DIAG_SKMEMINFO].as_slice()),
        Protocol::Udp => (libc::IPPROTO_UDP, [INET_DIAG_SKMEMINFO].as_slice()),
    };
    let mut fixed = vec![family, number as u8, extensions(wanted), 0];
    fixed.extend(TOLD.to_ne_bytes());
    fixed.resize(56, 0);
    Request::new(SOCK_DIAG_BY_FAMILY, &fixed)
}

/// `struct inet_diag_msg` and INET_DIAG_ attributes.
fn parse(body: &[u8], protocol: Protocol) -> Option<InetSocket> {
    let (family, state) = (*body.first()?, *body.get(1)?);
    let port = |at: usize| Some(u16::from_be_bytes(*body.get(at..)?.first_chunk()?));
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 16] = *body.get(at..)?.first_chunk()?;
        Some(match i32::from(family) {
            libc::AF_INET => Ipv4Addr::from(*bytes.first_chunk()?).into(),
            _ => Ipv6Addr::from(bytes).into(),
        })
    };
    let rest = body.get(72..)?;
    Some(InetSocket {
        protocol,
        state,
        local: SocketAddr::new(address(8)?, port(4)?),
        remote: SocketAddr::new(address(24)?, port(6)?),
        receive_queue: u32_at(body, 56)?,
        send_queue: u32_at(body, 60)?,
        drops: attribute(rest, INET_DIAG_SKMEMINFO).and_then(|memory| u32_at(memory, DROPS_AT)).unwrap_or(0),
        tcp: attribute(rest, INET_DIAG_INFO).and_then(tcp_info),
    })
}

fn tcp_info(info: &[u8]) -> Option<TcpInfo> {
    Some(TcpInfo {
        retransmits: *info.get(2)?,
        snd_mss: u32_at(info, 16)?,
        unacked: u32_at(info, 24)?,
        pmtu: u32_at(info, 60)?,
        rtt: u32_at(info, 68)?,
        snd_cwnd: u32_at(info, 80)?,
        total_retrans: u32_at(info, 100)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(state: u8, info: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut fixed = vec![2, state, 0, 0, 0, 80, 0xb2, 0xc0];
        fixed.extend([172, 17, 0, 2]);
        fixed.resize(24, 0);
        fixed.extend([192, 168, 0, 2]);
        fixed.resize(56, 0);
        fixed.extend(3u32.to_ne_bytes());
        fixed.extend(128u32.to_ne_bytes());
        fixed.resize(72, 0);
        info.iter().fold(Request::new(0, &fixed), |request, (kind, value)| request.with(*kind, value)).body().to_vec()
    }

    /// The server's socket in the lab `mtu-100`: pmtu 100, snd_mss 48 (kernel 6.18), other fields zero.
    #[test]
    fn a_connection_tells_its_path_mtu_and_segment_size() {
        let mut info = vec![0; 104];
        info[2] = 2;
        info[16..20].copy_from_slice(&48u32.to_ne_bytes());
        info[60..64].copy_from_slice(&100u32.to_ne_bytes());
        info[100..104].copy_from_slice(&5u32.to_ne_bytes());
        let whole = message(1, &[(INET_DIAG_INFO, info)]);
        let socket = parse(&whole, Protocol::Tcp).expect("a whole message");
        assert_eq!((socket.local.to_string(), socket.remote.to_string()), ("172.17.0.2:80".into(), "192.168.0.2:45760".into()));
        let tcp = socket.tcp.expect("it was asked for");
        assert_eq!((tcp.pmtu, tcp.snd_mss, tcp.retransmits, tcp.total_retrans), (100, 48, 2, 5));
        for cut in 0..whole.len() {
            let _ = parse(&whole[..cut], Protocol::Tcp);
        }
    }

    #[test]
    fn a_full_receive_buffer_is_counted_by_the_socket() {
        let mut memory = vec![0; 36];
        memory[DROPS_AT..].copy_from_slice(&194u32.to_ne_bytes());
        let socket = parse(&message(7, &[(INET_DIAG_SKMEMINFO, memory)]), Protocol::Udp).expect("a whole message");
        assert_eq!((socket.drops, socket.receive_queue, socket.send_queue), (194, 3, 128));
    }
}
