//! Interfaces as rtnetlink describes them (RTM_GETLINK), which is read when one changes, and their counters (RTM_GETSTATS), which
//! are read every second and are a sixth as long.

use super::netlink::{Request, Socket, attribute, attributes, text, u32_at, u64_at};
use std::io;
use std::sync::Arc;

const RTM_GETLINK: u16 = 18;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWSTATS: u16 = 92;
const RTM_GETSTATS: u16 = 94;
const IFLA_STATS_LINK_64: u16 = 1;

/// The fields of `struct rtnl_link_stats64` (include/uapi/linux/if_link.h) in its order, which only ever grows at the end.
pub(super) const STATS64: [&str; 25] = [
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
    "multicast",
    "collisions",
    "rx_length_errors",
    "rx_over_errors",
    "rx_crc_errors",
    "rx_frame_errors",
    "rx_fifo_errors",
    "rx_missed_errors",
    "tx_aborted_errors",
    "tx_carrier_errors",
    "tx_fifo_errors",
    "tx_heartbeat_errors",
    "tx_window_errors",
    "rx_compressed",
    "tx_compressed",
    "rx_nohandler",
    "rx_otherhost_dropped",
];

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) ifindex: u32,
    pub(super) name: Arc<str>,
    pub(super) flags: u32,
    /// ARPHRD_ value, which says how long the link-layer header is.
    pub(super) hardware_type: u16,
    pub(super) mtu: u32,
    pub(super) operstate: u8,
    pub(super) kind: String,
    pub(super) mac: Vec<u8>,
    /// IFLA_LINK and the namespace id it counts in, as this namespace numbers others.
    pub(super) peer: Option<u32>,
    pub(super) peer_nsid: Option<u32>,
    pub(super) master: Option<u32>,
    pub(super) gso_max_size: Option<u32>,
    /// Its counters at that moment.
    pub(super) stats: Stats,
}

/// Values of [`STATS64`]; those an older kernel does not give are missing at the end.
pub(super) type Stats = Vec<u64>;

/// Every interface of the socket's namespace, by number.
pub(super) fn read(socket: &mut Socket) -> io::Result<Vec<Link>> {
    let request = Request::new(RTM_GETLINK, &[0; 16]);
    let mut links = socket.dump(&request, Vec::new, |links, kind, body| {
        if kind == RTM_NEWLINK {
            links.extend(parse(body));
        }
    })?;
    links.sort_by_key(|link| link.ifindex);
    Ok(links)
}

/// One RTM_NEWLINK: `struct ifinfomsg` and IFLA_ attributes.
fn parse(body: &[u8]) -> Option<Link> {
    let mut link = Link {
        hardware_type: super::netlink::u16_at(body, 2)?,
        ifindex: u32_at(body, 4)?,
        flags: u32_at(body, 8)?,
        ..Link::default()
    };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            1 => link.mac = value.to_vec(),
            3 => link.name = text(value).into(),
            4 => link.mtu = u32_at(value, 0)?,
            5 => link.peer = u32_at(value, 0),
            10 => link.master = u32_at(value, 0),
            16 => link.operstate = *value.first()?,
            18 => link.kind = attribute(value, 1).map(text).unwrap_or_default(),
            23 => link.stats = stats64(value),
            37 => link.peer_nsid = u32_at(value, 0),
            41 => link.gso_max_size = u32_at(value, 0),
            _ => {}
        }
    }
    Some(link)
}

/// The counters of every interface, by its number (Linux 4.7).
pub(super) fn stats(socket: &mut Socket) -> io::Result<Vec<(u32, Stats)>> {
    // `struct if_stats_msg`: family and padding, interface, which of its statistics.
    let mut fixed = [0; 12];
    fixed[8..].copy_from_slice(&(1u32 << (IFLA_STATS_LINK_64 - 1)).to_ne_bytes());
    socket.dump(&Request::new(RTM_GETSTATS, &fixed), Vec::new, |all, kind, body| {
        let stats = |body: &[u8]| Some((u32_at(body, 4)?, stats64(attribute(body.get(12..)?, IFLA_STATS_LINK_64)?)));
        if kind == RTM_NEWSTATS {
            all.extend(stats(body));
        }
    })
}

fn stats64(value: &[u8]) -> Stats {
    (0..STATS64.len()).map_while(|at| u64_at(value, at * 8)).collect()
}

/// RFC 2863 states as `ip link` names them (net/core/dev.c, IF_OPER_*).
pub(super) fn operstate(state: u8) -> &'static str {
    match state {
        1 => "notpresent",
        2 => "down",
        3 => "lowerlayerdown",
        4 => "testing",
        5 => "dormant",
        6 => "up",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RTM_NEWLINK of `eth0@if3` in the server's namespace of the lab `mtu-100`, kernel 6.18, made shorter: the attributes this
    /// module reads, as the kernel sent them.
    pub(in crate::source) fn newlink() -> Vec<u8> {
        let mut stats = Vec::new();
        for value in [40u64, 30, 3000, 2000, 0, 0, 6] {
            stats.extend(value.to_ne_bytes());
        }
        stats.resize(200, 0);
        let mut fixed = vec![0, 0, 1, 0];
        fixed.extend(2u32.to_ne_bytes());
        fixed.extend(0x11043u32.to_ne_bytes());
        fixed.extend([0; 4]);
        let whole = Request::new(16, &fixed)
            .with(3, b"eth0\0")
            .with(16, &[6])
            .with(4, &100u32.to_ne_bytes())
            .with(5, &3u32.to_ne_bytes())
            .with(37, &0u32.to_ne_bytes())
            .with(0x8000 | 18, &[9, 0, 1, 0, b'v', b'e', b't', b'h', 0, 0, 0, 0])
            .with(1, &[0xd2, 0x4d, 0x72, 0xaa, 0x3a, 0x5c])
            .with(23, &stats);
        whole.body().to_vec()
    }

    #[test]
    fn an_interface_is_read_with_its_mtu_peer_and_counters() {
        let link = parse(&newlink()).expect("a whole message");
        assert_eq!((link.ifindex, &*link.name, link.mtu, link.kind.as_str()), (2, "eth0", 100, "veth"));
        assert_eq!((link.peer, link.peer_nsid, operstate(link.operstate)), (Some(3), Some(0), "up"));
        let rx_dropped = STATS64.iter().position(|name| *name == "rx_dropped").expect("it is a field");
        assert_eq!((link.stats[rx_dropped], link.stats.len()), (6, 25));
    }

    #[test]
    fn a_message_cut_anywhere_is_read_as_far_as_it_goes() {
        let whole = newlink();
        for cut in 0..whole.len() {
            let _ = parse(&whole[..cut]);
        }
    }
}
