//! A rule rejects connections to port 80 with ICMP port unreachable, which a closed port would never send for TCP.

use crate::Lab;

pub(super) const LAB: Lab = Lab {
    name: "rejected",
    about: "an iptables rule rejects connections to port 80 with ICMP port unreachable",
    causes: &["rejected"],
    build: |net| {
        net.docker()?;
        net.start_nginx()
    },
    fault: |net| net.server.run("iptables-nft", &["-A", "INPUT", "-p", "tcp", "--dport", "80", "-j", "REJECT"]).map(drop),
    load: |net| net.get("", "4"),
};
