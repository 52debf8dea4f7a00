//! A UDP socket with a small buffer whose program does not read.

use crate::Lab;
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

const PORT: u16 = 5353;

pub(super) const LAB: Lab = Lab {
    name: "udp-receive-buffer",
    about: "a UDP socket with a 4 kB buffer is not read, and datagrams are dropped at it",
    causes: &["udp_receive_buffer"],
    build: |net| net.docker(),
    fault: |net| {
        let socket = net.server.enter(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
            setsockopt(&socket, RcvBuf, &4096)?;
            Ok(socket)
        })?;
        net.keep.push(Box::new(socket));
        Ok(())
    },
    load: |net| {
        let server = net.server_address;
        net.client.enter(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            for _ in 0..200 {
                socket.send_to(&[b'x'; 200], (server, PORT))?;
                // Paced, so that the socket's buffer is what overflows and no queue before it.
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok("200 datagrams sent\n".to_owned())
        })
    },
};
