//! What of the traffic is judged at all. Nobody may read "no loss" of what was not looked at.

use super::super::{Scope, Traffic};
use crate::dissect::{Packet, Protocol, Transport};
use crate::flow::{Flow, Observed};

/// Traffic that is told apart.
#[derive(Clone, Copy)]
enum Kind {
    Tcp,
    IcmpErrors,
    Dns,
    MulticastDns,
    Dhcp,
    Quic,
    Udp,
    Icmp,
    Arp,
    Sctp,
    Other,
}

/// Their names, in the order of [`Kind`], and whether a rule judges whether they arrive.
const KINDS: [(&str, bool); 11] = [
    ("TCP", true),
    ("ICMP errors", true),
    ("DNS", true),
    ("mDNS and LLMNR", false),
    ("DHCP", false),
    ("QUIC", false),
    ("UDP", false),
    ("ICMP", false),
    ("ARP", true),
    ("SCTP", false),
    ("other", false),
];

/// Packets of each of [`KINDS`].
#[derive(Clone, Copy, Debug, Default)]
struct Counts([u64; KINDS.len()]);

impl Counts {
    fn add(&mut self, kind: Kind, packets: u64) {
        self.0[kind as usize] = self.0[kind as usize].saturating_add(packets);
    }
}

/// Packets that belong to no conversation of TCP or UDP; see [`super::Passing`].
#[derive(Debug, Default)]
pub(super) struct Passing(Counts);

impl Passing {
    #[inline]
    pub(super) fn note(&mut self, packet: &Packet<'_>, seen: &Observed) {
        let of_conversation = seen.flow.is_some() && matches!(packet.transport, Transport::Tcp(_) | Transport::Udp(_));
        if !of_conversation {
            self.0.add(kind_of(packet), 1);
        }
    }
}

/// Packets of the conversations; see [`super::Sums`].
#[derive(Debug, Default)]
pub(super) struct Sums(Counts);

impl Sums {
    pub(super) fn add(&mut self, flow: &Flow) {
        let kind = match flow.transport {
            Protocol::Tcp => Kind::Tcp,
            Protocol::Udp => kind_of_ports([flow.client.port, flow.server.port]),
            // Counted one by one.
            _ => return,
        };
        self.0.add(kind, flow.sides.iter().map(|side| u64::from(side.packets)).sum());
    }
}

/// What was judged, of these conversations and of the other packets.
pub(super) fn scope(sums: &Sums, passing: &Passing) -> Scope {
    let packets = |(conversations, others): (u64, u64)| conversations.saturating_add(others);
    let counts: Vec<u64> = sums.0.0.into_iter().zip(passing.0.0).map(packets).collect();
    let traffic = |is_judged: bool| {
        let kinds = KINDS.iter().zip(&counts).filter(move |((_, judged), packets)| *judged == is_judged && **packets > 0);
        kinds.map(|((name, _), packets)| Traffic { name: (*name).to_owned(), packets: *packets }).collect()
    };
    Scope { judged: traffic(true), not_judged: traffic(false) }
}

fn kind_of(packet: &Packet<'_>) -> Kind {
    match &packet.transport {
        Transport::Tcp(_) => Kind::Tcp,
        Transport::Udp(udp) => kind_of_ports([udp.src, udp.dst]),
        Transport::Icmp(icmp) if icmp.quote.is_some() => Kind::IcmpErrors,
        Transport::Icmp(_) => Kind::Icmp,
        _ if packet.arp.is_some() => Kind::Arp,
        other => match other.protocol() {
            // Cut before it could be read.
            Some(Protocol::Tcp) => Kind::Tcp,
            Some(Protocol::Udp) => Kind::Udp,
            Some(Protocol::Sctp) => Kind::Sctp,
            _ => Kind::Other,
        },
    }
}

/// By the ports that IANA gave these.
fn kind_of_ports(ends: [u16; 2]) -> Kind {
    let is = |ports: &[u16]| ends.iter().any(|port| ports.contains(port));
    match () {
        () if is(&[53]) => Kind::Dns,
        () if is(&[5353, 5355]) => Kind::MulticastDns,
        () if is(&[67, 68, 546, 547]) => Kind::Dhcp,
        () if is(&[443]) => Kind::Quic,
        () => Kind::Udp,
    }
}

#[cfg(test)]
mod tests {
    use crate::query::Engine;
    use crate::script::Script;

    fn told(script: &str) -> String {
        let script = Script::parse(&format!("date 2021-06-01\n{script}")).unwrap_or_else(|error| panic!("{error}"));
        let mut engine = Engine::new();
        engine.push(&crate::reference::encode(&script));
        engine.finish();
        engine.overview().scope.to_string()
    }

    #[test]
    fn what_no_rule_looks_at_is_told_as_not_judged() {
        assert_eq!(
            told(
                "14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:01.1 IP 10.0.0.2.7 > 10.0.0.1.53: UDP, length 30
14:40:01.2 IP 10.0.0.2.5353 > 224.0.0.251.5353: UDP, length 30
14:40:01.3 IP 10.0.0.2.9 > 10.0.0.1.514: UDP, length 30\n"
            ),
            "Judged: TCP (1 packet), DNS (1 packet). Not judged: mDNS and LLMNR (1 packet), UDP (1 packet)."
        );
        // However many of them there are: most take the fast path.
        assert_eq!(
            told(
                "14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1:11, ack 1, win 512, length 10
14:40:01.1 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 11:21, ack 1, win 512, length 10
14:40:01.2 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 21:31, ack 1, win 512, length 10
14:40:01.3 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 21:31, ack 1, win 512, length 10
14:40:01.4 IP 10.0.0.1.514 > 10.0.0.2.9: UDP, length 30
14:40:01.5 IP 10.0.0.2.9 > 10.0.0.1.514: UDP, length 30\n"
            ),
            "Judged: TCP (4 packets). Not judged: UDP (2 packets)."
        );
        assert_eq!(told("14:40:01.1 IP 10.0.0.2.7 > 10.0.0.1.67: UDP, length 30\n"), "Not judged: DHCP (1 packet).");
        assert_eq!(told(""), "");
    }
}
