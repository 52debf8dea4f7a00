//! Reference case, second act: the container's eth0 has MTU 100. The handshake works; the request never arrives.

use crate::Lab;
use std::fmt::Write;

pub(super) const LAB: Lab = Lab {
    name: "mtu-100",
    about: "the container's eth0 has MTU 100: handshakes work, requests vanish between the veth pair's ends",
    causes: &["interface_mtu"],
    build: |net| {
        net.docker()?;
        net.start_nginx()
    },
    fault: |net| net.server.ip("link set eth0 mtu 100").map(drop),
    load: |net| {
        let mut told = net.syn_probes(80, 3)?;
        told.push_str(&net.get("", "3")?);
        // Gives up before the first retransmission time-out, so that its FIN still reaches the server, which answers with
        // a SACK. Kernels around 6.18 hold the FIN back once the congestion window has shrunk to one segment.
        told.push_str(&net.get("", "0.15")?);
        writeln!(told, "{}", net.server.try_run("netstat", &["-i"])?)?;
        Ok(told)
    },
};
