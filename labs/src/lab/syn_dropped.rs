//! A rule drops every SYN to port 80: connections hang without any answer.

use crate::Lab;

pub(super) const LAB: Lab = Lab {
    name: "syn-dropped",
    about: "an iptables rule drops every SYN to port 80",
    causes: &["syn_unanswered", "firewall_drop"],
    build: |net| {
        net.docker()?;
        net.start_nginx()
    },
    fault: |net| net.server.run("iptables-nft", &["-A", "INPUT", "-p", "tcp", "--dport", "80", "--syn", "-j", "DROP"]).map(drop),
    load: |net| net.get("", "4"),
};
