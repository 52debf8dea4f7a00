//! `tunnel`: what is carried inside which tunnel. Everything else that is said is about the packets inside.

use super::super::engine::Knowledge;
use crate::dissect::{Packet, Protocol};
use crate::rules::say;
use crate::sort;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Pairs of tunnel ends told apart.
const MOST_PAIRS: usize = 256;
/// Pairs named.
const MOST_NAMED: usize = 2;

/// See [`super::Passing`].
#[derive(Debug, Default)]
pub(super) struct Passing(BTreeMap<&'static str, Carried>);

/// What one kind of tunnel carries.
#[derive(Debug, Default)]
struct Carried {
    packets: u64,
    /// By transport.
    inside: BTreeMap<Option<Protocol>, u64>,
    /// The tunnel's ends, where it runs over IP.
    ends: BTreeSet<(IpAddr, IpAddr)>,
}

impl Passing {
    /// Control messages of a tunnel carry nothing.
    pub(super) fn note(&mut self, packet: &Packet<'_>) {
        let Some(tunnel) = packet.carried_in() else { return };
        let carried = self.0.entry(tunnel).or_default();
        carried.packets += 1;
        *carried.inside.entry(packet.transport.protocol()).or_default() += 1;
        if let Some(outer) = &packet.outer
            && carried.ends.len() < MOST_PAIRS
        {
            carried.ends.insert((outer.src.min(outer.dst), outer.src.max(outer.dst)));
        }
    }
}

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let told = known.passing.tunnels.0.iter().map(|(tunnel, carried)| {
        let pairs: Vec<String> = carried.ends.iter().map(|(a, b)| format!("{a} and {b}")).collect();
        let between = if pairs.is_empty() {
            String::new()
        } else {
            format!(" between {}", pairs.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", "))
        };
        let more = match pairs.len().saturating_sub(MOST_NAMED) {
            0 => String::new(),
            n => format!(" and {}", say::count(n as u64, "more pair")),
        };
        let mut inside: Vec<(Option<Protocol>, u64)> = carried.inside.iter().map(|(transport, n)| (*transport, *n)).collect();
        sort::by_key(&mut inside, |(transport, n)| (std::cmp::Reverse(*n), *transport));
        let inside: Vec<String> =
            inside.iter().map(|(transport, n)| format!("{} {}", say::number(*n), name(*transport))).collect();
        format!(
            "{} carried in {tunnel}{between}{more}: {}. Conversations and findings are those inside.",
            match carried.packets {
                1 => "1 packet is".to_owned(),
                n => format!("{} are", say::count(n, "packet")),
            },
            say::list(&inside, inside.len())
        )
    });
    told.collect()
}

fn name(transport: Option<Protocol>) -> &'static str {
    match transport {
        Some(Protocol::Tcp) => "TCP",
        Some(Protocol::Udp) => "UDP",
        Some(Protocol::UdpLite) => "UDP-Lite",
        Some(Protocol::Sctp) => "SCTP",
        Some(Protocol::Dccp) => "DCCP",
        Some(Protocol::Icmp) => "ICMP",
        Some(Protocol::Icmpv6) => "ICMPv6",
        Some(Protocol::Igmp) => "IGMP",
        Some(Protocol::Other) => "of another protocol",
        None => "fragments",
    }
}

/// The tests of dissection, a crate below, have them.
#[cfg(test)]
#[path = "../../../packets/src/dissect/samples.rs"]
mod samples;

#[cfg(test)]
mod tests {
    use super::super::case::of_log;
    use super::samples::sample;
    use crate::script::{Script, Scripted};

    /// A log of one packet of dissection's samples.
    fn told(name: &str) -> String {
        let (link, bytes) = sample(name);
        // Samples of bare IP are put on Ethernet.
        let frame = if link == 101 { [&[2; 12][..], &[8, 0], &bytes].concat() } else { bytes };
        let wire_len = frame.len() as u32;
        let packet = Scripted::Packet { time: Default::default(), frame, wire_len };
        of_log("tunnel", &crate::reference::encode(&Script { records: vec![packet], ..Script::default() }))
    }

    #[test]
    fn a_tunnel_is_told_with_its_ends_and_what_it_carries() {
        let ends = told("GENEVE");
        assert!(ends.starts_with("1 packet is carried in GENEVE between ") && ends.contains(": 1 UDP. "), "{ends}");
        for (sample, tunnel) in
            [("VXLAN", "VXLAN"), ("GTP-U", "GTP"), ("GRE with key", "GRE"), ("IP in IP", "IP in IP"), ("MPLS", "MPLS")]
        {
            assert!(told(sample).starts_with(&format!("1 packet is carried in {tunnel}")), "{sample}: {}", told(sample));
        }
    }

    #[test]
    fn a_plain_packet_is_carried_in_nothing() {
        assert_eq!(told("UDP"), "");
        assert_eq!(told("SYN with all its options"), "");
    }
}
