//! The sysctls that decide whether packets pass, by name and value. /proc/sys/net shows the namespace of the reading thread.

use crate::source::proc_file::read_short;
use std::fs;
use std::path::Path;

/// Read where they exist; each decides or explains a cause of loss.
const NAMES: [&str; 46] = [
    "net.bridge.bridge-nf-call-iptables",
    "net.core.default_qdisc",
    "net.core.netdev_budget",
    "net.core.netdev_max_backlog",
    "net.core.rmem_default",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.icmp_ratelimit",
    "net.ipv4.ip_default_ttl",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_no_pmtu_disc",
    "net.ipv4.ipfrag_high_thresh",
    "net.ipv4.neigh.default.gc_thresh3",
    "net.ipv4.route.min_adv_mss",
    "net.ipv4.route.min_pmtu",
    "net.ipv4.route.mtu_expires",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_base_mss",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_ecn",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_min_snd_mss",
    "net.ipv4.tcp_mtu_probing",
    "net.ipv4.tcp_retries2",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_sack",
    "net.ipv4.tcp_syn_retries",
    "net.ipv4.tcp_synack_retries",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_window_scaling",
    "net.ipv4.tcp_wmem",
    "net.ipv4.udp_mem",
    "net.ipv6.conf.all.disable_ipv6",
    "net.ipv6.conf.all.forwarding",
    "net.netfilter.nf_conntrack_buckets",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.netfilter.nf_conntrack_tcp_loose",
    "net.netfilter.nf_conntrack_tcp_timeout_established",
    "net.netfilter.nf_conntrack_udp_timeout",
];

/// Read for each interface and for `all`: the larger of the two holds (ip-sysctl.rst, rp_filter).
const PER_INTERFACE: [&str; 3] = ["accept_local", "forwarding", "rp_filter"];

/// Every one that exists, by name.
pub(super) fn read() -> Vec<(String, String)> {
    let mut found: Vec<_> = NAMES.into_iter().filter_map(|name| Some((name.to_owned(), value(name)?))).collect();
    let mut interfaces: Vec<String> = fs::read_dir("/proc/sys/net/ipv4/conf")
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    interfaces.sort();
    for interface in interfaces {
        for leaf in PER_INTERFACE {
            // An interface's name may hold dots, so the path is not made from the sysctl's name.
            let path = format!("/proc/sys/net/ipv4/conf/{interface}/{leaf}");
            if let Ok(text) = read_short(path) {
                found.push((format!("net.ipv4.conf.{interface}.{leaf}"), text.trim().to_owned()));
            }
        }
    }
    found
}

fn value(name: &str) -> Option<String> {
    let text = read_short(Path::new("/proc/sys").join(name.replace('.', "/"))).ok()?;
    Some(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_of_this_kernel_are_read() {
        let found = super::read();
        let value = |name: &str| found.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        assert!(value("net.ipv4.conf.all.rp_filter").is_some_and(|value| value.parse::<u8>().is_ok()));
        assert_eq!(value("net.ipv4.tcp_rmem").map(|value| value.split(' ').count()), Some(3));
    }
}
