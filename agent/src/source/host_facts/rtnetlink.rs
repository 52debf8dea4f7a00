//! Addresses, routes, neighbours, learnt path MTUs and the numbers of other namespaces, by rtnetlink.

use crate::source::Target;
use crate::source::netlink::{Request, Socket, attribute, attributes, u16_at, u32_at};
use dropscope_core::log::block::{Neighbour, PathMtu, Route};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const RTM_GETNSID: u16 = 90;
/// `rtm_flags`: a cached route, here one with a learnt path MTU.
const RTM_F_CLONED: u32 = 0x200;
const RT_TABLE_LOCAL: u8 = 255;
const RTAX_MTU: u16 = 2;
const RTAX_ADVMSS: u16 = 8;

/// Addresses with prefix length, by interface.
pub(super) fn addresses(socket: &mut Socket) -> io::Result<BTreeMap<u32, Vec<String>>> {
    socket.dump(&Request::new(RTM_GETADDR, &[0; 8]), BTreeMap::new, |found, kind, body| {
        if let (RTM_NEWADDR, Some((ifindex, text))) = (kind, address(body)) {
            found.entry(ifindex).or_insert_with(Vec::new).push(text);
        }
    })
}

/// `struct ifaddrmsg` and IFA_ attributes. On a point-to-point link IFA_ADDRESS is the other end: IFA_LOCAL comes first.
fn address(body: &[u8]) -> Option<(u32, String)> {
    let (prefix, ifindex, rest) = (*body.get(1)?, u32_at(body, 4)?, body.get(8..)?);
    let value = attribute(rest, 2).or_else(|| attribute(rest, 1))?;
    Some((ifindex, format!("{}/{prefix}", ip(value)?)))
}

/// Every route outside the local table, with its MTU and advertised MSS where they are set.
pub(super) fn routes(socket: &mut Socket) -> io::Result<Vec<Route>> {
    socket.dump(&Request::new(RTM_GETROUTE, &[0; 12]), Vec::new, |routes, kind, body| {
        let is_wanted = body.get(4).is_some_and(|table| *table != RT_TABLE_LOCAL)
            && u32_at(body, 8).is_some_and(|flags| flags & RTM_F_CLONED == 0);
        // One more than is kept, so that the caller sees that there are more.
        if kind == RTM_NEWROUTE && is_wanted && routes.len() <= super::MOST_ENTRIES {
            routes.extend(route(body));
        }
    })
}

/// `struct rtmsg` and RTA_ attributes.
fn route(body: &[u8]) -> Option<Route> {
    let (prefix, kind, rest) = (*body.get(1)?, *body.get(7)?, body.get(12..)?);
    let mut route = Route { destination: "default".into(), ..Route::default() };
    for (kind, value) in attributes(rest) {
        match kind {
            1 => route.destination = format!("{}/{prefix}", ip(value)?),
            4 => route.ifindex = u32_at(value, 0),
            5 => route.gateway = ip(value).map(|gateway| gateway.to_string()),
            // RTA_VIA: a gateway of another family, after two bytes that name it.
            18 => route.gateway = value.get(2..).and_then(ip).map(|gateway| gateway.to_string()),
            // RTA_MULTIPATH: `struct rtnexthop`, of which the first is told.
            9 => {
                route.ifindex = u32_at(value, 4);
                let inner = value.get(8..u16_at(value, 0)? as usize).unwrap_or_default();
                route.gateway = attribute(inner, 5).and_then(ip).map(|gateway| gateway.to_string());
            }
            8 => {
                route.mtu = attribute(value, RTAX_MTU).and_then(|mtu| u32_at(mtu, 0));
                route.advmss = attribute(value, RTAX_ADVMSS).and_then(|mss| u32_at(mss, 0));
            }
            _ => {}
        }
    }
    // rtm_type: what is not plainly sent is told with the word `ip route` uses.
    let word = match kind {
        6 => "blackhole ",
        7 => "unreachable ",
        8 => "prohibit ",
        _ => "",
    };
    route.destination.insert_str(0, word);
    Some(route)
}

/// Destinations with a path MTU that was learnt from an ICMP message, at most `most`.
///
/// `strict` must have had [`Socket::set_strict`]: only then does the kernel answer with what `rtm_flags` asks for.
pub(super) fn path_mtus(strict: &mut Socket, most: usize) -> io::Result<Vec<PathMtu>> {
    let mut all = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut fixed = [0; 12];
        fixed[0] = family as u8;
        fixed[8..].copy_from_slice(&RTM_F_CLONED.to_ne_bytes());
        let found = strict.dump(&Request::new(RTM_GETROUTE, &fixed), Vec::new, |found, kind, body| {
            let is_cached = u32_at(body, 8).is_some_and(|flags| flags & RTM_F_CLONED != 0);
            if kind == RTM_NEWROUTE && is_cached && found.len() < most {
                found.extend(path_mtu(body));
            }
        });
        match found {
            Ok(found) => all.extend(found),
            // A kernel without IPv6.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    all.sort_by(|a, b| a.destination.cmp(&b.destination));
    Ok(all)
}

fn path_mtu(body: &[u8]) -> Option<PathMtu> {
    let rest = body.get(12..)?;
    let mtu = u32_at(attribute(attribute(rest, 8)?, RTAX_MTU)?, 0)?;
    let destination = ip(attribute(rest, 1)?)?.to_string();
    Some(PathMtu { destination, mtu, ifindex: attribute(rest, 4).and_then(|value| u32_at(value, 0)) })
}

/// The neighbour cache, at most `most` entries, those that failed first.
pub(super) fn neighbours(socket: &mut Socket, most: usize) -> io::Result<Vec<Neighbour>> {
    let mut all = socket.dump(&Request::new(RTM_GETNEIGH, &[0; 12]), Vec::new, |all, kind, body| {
        if kind == RTM_NEWNEIGH {
            all.extend(neighbour(body));
        }
    })?;
    all.sort_by(|a, b| {
        let key = |one: &Neighbour| (one.state != "failed", one.ifindex, one.address.clone());
        key(a).cmp(&key(b))
    });
    all.truncate(most);
    Ok(all)
}

/// `struct ndmsg` and NDA_ attributes. The states that come and go while all is well are told as one, `valid`: facts are said
/// again whenever they change.
fn neighbour(body: &[u8]) -> Option<Neighbour> {
    let (ifindex, state, rest) = (u32_at(body, 4)?, u16_at(body, 8)?, body.get(12..)?);
    let state = match state {
        0x01 => "incomplete",
        0x20 => "failed",
        0x80 => "permanent",
        // NUD_NOARP: loopback and groups, nothing that was ever asked for.
        0x40 | 0 => return None,
        _ => "valid",
    };
    Some(Neighbour {
        address: ip(attribute(rest, 1)?)?.to_string(),
        ifindex,
        mac: attribute(rest, 2).map(mac_text).filter(|mac| !mac.is_empty()),
        state: state.into(),
    })
}

/// How the socket's namespace numbers others (RTM_GETNSID), as inode by number.
pub(in crate::source) fn namespace_ids<'a>(
    socket: &mut Socket,
    candidates: impl IntoIterator<Item = &'a Target>,
) -> BTreeMap<u32, u64> {
    let mut ids = BTreeMap::new();
    for target in candidates {
        const NETNSA_NSID: u16 = 1;
        const NETNSA_FD: u16 = 3;
        let request = Request::new(RTM_GETNSID, &[0; 4]).with(NETNSA_FD, &target.raw_fd().to_ne_bytes());
        // Asking for a namespace that has no number here answers -1; an old kernel answers with an error: unknown either way.
        let _ = socket.ask(&request, |_, body| {
            let id = body.get(4..).and_then(|rest| attribute(rest, NETNSA_NSID)).and_then(|value| u32_at(value, 0));
            if let Some(id) = id.filter(|id| *id != u32::MAX) {
                ids.insert(id, target.netns.0);
            }
        });
    }
    ids
}

/// `d2:4d:72:aa:3a:5c`; empty for an interface without an address.
pub(super) fn mac_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ip route add default via 172.17.0.1 dev eth0 mtu 600 advmss 560` as kernel 6.18 tells it.
    #[test]
    fn a_route_is_told_with_its_mtu() {
        let metrics = Request::new(0, &[]).with(RTAX_MTU, &600u32.to_ne_bytes()).with(RTAX_ADVMSS, &560u32.to_ne_bytes());
        let message = Request::new(0, &[2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0])
            .with(15, &254u32.to_ne_bytes())
            .with(5, &[172, 17, 0, 1])
            .with(4, &2u32.to_ne_bytes())
            .with(8, metrics.body());
        let told = route(message.body()).expect("a whole message");
        let gateway = Some("172.17.0.1".to_owned());
        let expected = Route { destination: "default".into(), gateway, ifindex: Some(2), mtu: Some(600), advmss: Some(560) };
        assert_eq!(told, expected);
        for cut in 0..message.body().len() {
            let _ = route(&message.body()[..cut]);
        }
    }

    #[test]
    fn a_route_that_drops_says_so() {
        let message = Request::new(0, &[2, 8, 0, 0, 254, 3, 0, 6, 0, 0, 0, 0]).with(1, &[10, 0, 0, 0]);
        assert_eq!(route(message.body()).expect("a whole message").destination, "blackhole 10.0.0.0/8");
    }

    #[test]
    fn an_own_address_is_the_local_one() {
        let message = Request::new(0, &[2, 32, 0, 0, 7, 0, 0, 0]).with(1, &[10, 0, 0, 2]).with(2, &[10, 0, 0, 1]);
        assert_eq!(address(message.body()), Some((7, "10.0.0.1/32".into())));
    }

    #[test]
    fn states_of_a_neighbour_that_come_and_go_are_one() {
        let told = |state: u8| {
            let message = Request::new(0, &[2, 0, 0, 0, 3, 0, 0, 0, state, 0, 0, 1]).with(1, &[10, 0, 0, 9]);
            neighbour(message.body()).map(|one| one.state)
        };
        assert_eq!(told(2), told(4));
        assert_eq!(told(0x20).as_deref(), Some("failed"));
        assert_eq!(told(0x40), None);
    }
}
