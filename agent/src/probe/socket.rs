//! What no crate wraps safely: socket options by number, TCP_INFO, and how large the fragments of a datagram were.

#![allow(unsafe_code)]

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

/// IP_RECVFRAGSIZE and IPV6_RECVFRAGSIZE (include/uapi/linux/in.h and in6.h, Linux 4.10).
const RECVFRAGSIZE: libc::c_int = 25;
const V6_RECVFRAGSIZE: libc::c_int = 77;

/// The length of the IP header to this address.
pub(super) fn header_length(to: IpAddr) -> usize {
    if to.is_ipv4() { 20 } else { 40 }
}

/// Has nobody fragment what is sent to `to`, whatever is known of the path: what is longer than the own interface takes is an
/// error.
pub(super) fn forbid_fragments(socket: &impl AsRawFd, to: IpAddr) -> io::Result<()> {
    match to {
        IpAddr::V4(_) => set_number(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
        IpAddr::V6(_) => set_number(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
    }
}

/// Has the error queue say what routers say of what is sent to `to`.
pub(super) fn report_errors(socket: &impl AsRawFd, to: IpAddr) -> io::Result<()> {
    match to {
        IpAddr::V4(_) => set_number(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1),
        IpAddr::V6(_) => set_number(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
    }
}

/// Sets an option that is a number.
pub(super) fn set_number(socket: &impl AsRawFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes from `value`, which is as long and lives through the call.
    answer(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) } as isize).map(drop)
}

/// Has the kernel say how large the fragments of what is received from `from` were.
pub(super) fn tell_fragments(socket: &impl AsRawFd, from: IpAddr) -> io::Result<()> {
    match from {
        IpAddr::V4(_) => set_number(socket, libc::IPPROTO_IP, RECVFRAGSIZE, 1),
        IpAddr::V6(_) => set_number(socket, libc::IPPROTO_IPV6, V6_RECVFRAGSIZE, 1),
    }
}

/// Receives without waiting; bytes, and the size of the largest fragment of what came in fragments.
pub(super) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<(usize, Option<u32>)> {
    let mut control = [0_u64; 8];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeros is a message without parts.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), size_of_val(&control) as _);
    // SAFETY: every pointer in `message` is to memory of the length beside it, which lives through the call.
    let length = answer(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) })?;
    let mut fragment = None;
    // SAFETY: the kernel filled `control` with whole headers; the macros stay within msg_controllen.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            let kind = ((*header).cmsg_level, (*header).cmsg_type);
            if matches!(kind, (libc::IPPROTO_IP, RECVFRAGSIZE) | (libc::IPPROTO_IPV6, V6_RECVFRAGSIZE)) {
                fragment = u32::try_from(libc::CMSG_DATA(header).cast::<i32>().read_unaligned()).ok();
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok((length, fragment))
}

/// What the kernel knows of a TCP connection.
pub(super) fn tcp_info(socket: &impl AsRawFd) -> io::Result<libc::tcp_info> {
    // SAFETY: the structure is numbers only.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `info`, which is as long.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length)
    };
    answer(result as isize).map(|_| info)
}

fn answer(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
