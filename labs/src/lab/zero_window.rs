//! The client's program stops reading: its window closes and the server can only probe it.

use crate::Lab;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt::RcvBuf};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

pub(super) const LAB: Lab = Lab {
    name: "zero-window",
    about: "the client asks for 64 MB and does not read for four seconds",
    causes: &["zero_window"],
    build: |net| {
        net.docker()?;
        net.start_nginx()
    },
    fault: |_| Ok(()),
    load: |net| {
        let [a, b, c, d] = net.server_address.octets();
        net.client.enter(|| {
            let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
            // Before connecting: the window scale is chosen from it.
            setsockopt(&socket, RcvBuf, &8192)?;
            connect(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 80))?;
            let mut stream = TcpStream::from(socket);
            stream.write_all(b"GET /huge HTTP/1.0\r\n\r\n")?;
            std::thread::sleep(Duration::from_secs(4));
            let mut buffer = vec![0; 1 << 16];
            let mut read = 0;
            for _ in 0..20 {
                read += stream.read(&mut buffer)?;
            }
            Ok(format!("{read} bytes read after four seconds of not reading\n"))
        })
    },
};
