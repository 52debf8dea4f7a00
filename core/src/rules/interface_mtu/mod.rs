//! `interface_mtu`: a network interface drops what is larger than its MTU, and nobody tells the sender.
//!
//! **What.** A link does not fragment: a frame that exceeds the receiving device's MTU is dropped before its host sees it. Only
//! a router splits packets, or answers "fragmentation needed". So the handshake, whose packets are small, succeeds, and the
//! first request hangs. Virtual links check the *receiver's* MTU: a veth passes a packet only if its length is at most MTU +
//! link-layer header + 4 (room for a VLAN tag), or if it is a GSO packet (Linux `__is_skb_forwardable`, include/linux/netdevice.h);
//! else it counts `rx_dropped` on the receiving veth and `tx_dropped` on the sending one (drivers/net/veth.c).
//!
//! **When.** A conversation that comes in over a watched interface, in which bytes are missing that the peer misses too, and the
//! packet that carried them (headers of the sender's other segments + missing bytes) exceeds what the interface lets pass, while
//! all that arrived does not. Newer kernels hold the FIN back that would show the gap (measured on 6.18), so a handshake after
//! which no data at all arrives is enough when the interface's own MSS exceeds MTU - 40 and its receive drops rose meanwhile. The
//! same seen from the sender: a segment that is sent again and again, larger than the MTU of the watched interface it goes to.
//! From a capture alone: the receiver announced MSS 256, the smallest that Linux announces
//! (`net.ipv4.route.min_adv_mss`, net/ipv4/route.c `ipv4_default_advmss`), which betrays an MTU of 296 or less. Where only the
//! sending end of a virtual link was watched, the kernel's own drops there prove it, whatever the MSS.
//!
//! **Near misses.** The peer acknowledged the bytes (the capture missed them). Larger packets arrived on the same conversation. The
//! interface's receive drops were recorded and did not rise. The gap was filled later.
//!
//! **Sources.** DIAGNOSIS M1, M2, M8; the lab `mtu-100`.

mod at_interface;
mod from_sender;
mod link_drops;
mod told;
mod victim;

use super::host::{self, Watched};
use super::{Explained, Outcome, View, say};
use crate::dissect::Protocol;
use crate::ids::Direction;
use at_interface::Case;
use link_drops::SizedDrop;
use std::collections::BTreeMap;
use std::net::IpAddr;
use victim::{Victim, lost_at, lost_by_capture};

const SLUG: &str = "interface_mtu";

/// The smallest MSS that Linux announces, whatever the MTU (`ip_rt_min_advmss`, net/ipv4/route.c).
const MIN_ADVERTISED_MSS: u16 = 256;

/// What the kernel dropped for its size, by where it was going.
type OnLinks<'a> = BTreeMap<IpAddr, Vec<SizedDrop<'a>>>;

/// Judges every interface of the watched hosts; without any, the capture alone.
pub(super) fn judge(view: &View<'_>, _: &Explained) -> Outcome {
    let mut by_interface: BTreeMap<(u64, u32), (Watched<'_>, Vec<Victim<'_>>)> = BTreeMap::new();
    let mut alone: BTreeMap<IpAddr, Vec<Victim<'_>>> = BTreeMap::new();
    let on_links = link_drops::by_receiver(view);
    let mut largest_passed = 0;
    let mut opened = 0u64;
    for flow in view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp) {
        opened += u64::from(flow.handshake.ack.is_some());
        for direction in [Direction::AToB, Direction::BToA] {
            let receiver = flow.sender(direction.reverse()).address;
            largest_passed = largest_passed.max(flow.side(direction).largest_ip);
            match host::own(view, receiver) {
                Some(interface) => {
                    if let Some(victim) = lost_at(view, flow, direction, interface) {
                        let key = (interface.namespace.netns, interface.facts.ifindex);
                        by_interface.entry(key).or_insert_with(|| (interface, Vec::new())).1.push(victim);
                    }
                }
                None => {
                    if let Some(victim) = lost_by_capture(view, flow, direction, on_links.contains_key(&receiver)) {
                        alone.entry(receiver).or_default().push(victim);
                    }
                }
            }
        }
    }
    let mut outcome = Outcome::default();
    for (interface, victims) in by_interface.into_values() {
        let case = Case::gather(view, interface, victims, &on_links);
        if let Some(case) = case {
            outcome.explains.interfaces.insert((interface.namespace.netns, interface.facts.ifindex));
            outcome.explains.flows.extend(case.victims.iter().map(|victim| victim.flow.id));
            outcome.findings.push(case.finding(view));
        }
    }
    for (receiver, victims) in alone {
        outcome.explains.flows.extend(victims.iter().map(|victim| victim.flow.id));
        let drops = on_links.get(&receiver).map_or(&[][..], Vec::as_slice);
        outcome.explains.interfaces.extend(drops.iter().map(|(_, drop, _)| (drop.netns, drop.ifindex)));
        outcome.findings.push(from_sender::finding(view, receiver, &victims, drops));
    }
    if outcome.findings.is_empty() {
        return quiet(view, largest_passed, opened);
    }
    outcome
}

fn quiet(view: &View<'_>, largest_passed: u32, opened: u64) -> Outcome {
    let mut mtus: Vec<String> = Vec::new();
    for namespace in view.counters.namespaces() {
        let real = namespace.interfaces.iter().filter(|interface| interface.name != "lo");
        mtus.extend(real.map(|i| format!("{} of {} has {}", i.name, namespace.name, i.mtu)));
    }
    if mtus.is_empty() {
        return match opened {
            0 => Outcome::cannot_tell("No TCP connection was seen to open, and no interface's MTU was recorded."),
            _ => Outcome::clear(format!(
                "Nothing in the packets points to a small MTU: of {} no one lost what was too large. The MTUs themselves were \
                 not recorded.",
                say::count(opened, "opened connection")
            )),
        };
    }
    Outcome::clear(format!(
        "No data that an interface's MTU would have dropped is missing: {}; the largest packet seen had {} bytes.",
        say::list(&mtus, 4),
        say::number(largest_passed.into())
    ))
}

/// The line of text that bytes begin with.
fn text_of(bytes: &[u8]) -> Option<String> {
    let text: String = bytes.iter().map(|b| char::from(*b)).take_while(|c| c.is_ascii_graphic() || *c == ' ').collect();
    (text.len() >= 4).then_some(text)
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    const HOST: &str = "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 100 address 172.17.0.2/16
14:39:59 counters
  link.rx_dropped eth0 338
";
    const OPEN: &str = "14:40:00.589235 IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [S], seq 332257715, win 29200, options [mss 1418,sackOK,TS val 486800541 ecr 0,nop,wscale 7], length 0
14:40:00.589277 IP 172.17.0.2.80 > 10.255.255.5.39058: Flags [S.], seq 1630206251, ack 332257716, win 4880, options [mss 256,sackOK,TS val 2509376001 ecr 486800541,nop,nop,wscale 7], length 0
14:40:00.589894 IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [.], ack 1, win 229, options [nop,nop,TS val 486800541 ecr 2509376001], length 0
";
    const FIN: &str = "14:40:03.589352 IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [F.], seq 76, ack 1, win 229, options [nop,nop,TS val 486803541 ecr 2509376001], length 0
";
    const MISSED: &str = "14:40:03.589417 IP 172.17.0.2.80 > 10.255.255.5.39058: Flags [.], ack 1, win 40, options [nop,nop,TS val 2509379001 ecr 486800541,nop,nop,sack 1 {76:77}], length 0
";
    const ROSE: &str = "14:40:05 counters\n  link.rx_dropped eth0 344\n";
    const SAME: &str = "14:40:05 counters\n  link.rx_dropped eth0 338\n";
    const FINE: &str = "clear: No data that an interface's MTU would have dropped is missing: eth0 of web-1 has 100; the largest packet seen had";

    #[test]
    fn the_whole_argument_names_interface_mtu_bytes_and_packet() {
        check(
            "interface_mtu",
            &format!("{HOST}{OPEN}{FIN}{MISSED}{ROSE}"),
            "critical strong: eth0 of web-1 has an MTU of 100 and dropped bytes 1 to 75 that 10.255.255.5:39058 sent: the packet that carried them had \
             127 bytes.",
        );
    }

    #[test]
    fn a_kernel_that_holds_the_fin_back_hides_nothing() {
        check(
            "interface_mtu",
            &format!("{HOST}{OPEN}{ROSE}"),
            "critical strong: eth0 of web-1 has an MTU of 100 and drops what is larger: 10.255.255.5:39058 opened a connection to 172.17.0.2:80, and not \
             one byte of its data arrived while the interface dropped 6 packets on receive.",
        );
    }

    #[test]
    fn without_counters_it_is_weaker() {
        check(
            "interface_mtu",
            &format!("date 2021-06-01\n{OPEN}{FIN}{MISSED}"),
            "critical possible: The interface of 172.17.0.2 probably has an MTU of 296 or less and drops what is larger: bytes 1 to 75 of \
             10.255.255.5:39058 did not reach it, in a packet of 127 bytes.",
        );
    }

    #[test]
    fn where_the_sending_end_alone_was_watched_the_kernels_drops_prove_it() {
        let host = "date 2021-06-01\nnamespace 8 router\ninterface 3 veth-c veth mtu 1500 address 172.17.0.1/16\n";
        let request = "IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [P.], seq 1:75, ack 1, win 229, options [nop,nop,TS val 486800541 ecr 2509376001], length 74";
        let lost = |second: u32, place: &str| {
            format!("14:40:0{second}.0 {request}\n14:40:0{second}.1 drop NOT_SPECIFIED {place} veth-c {request}\n")
        };
        let at = |place: &str| [lost(1, place), lost(2, place), lost(4, place)].concat();
        let finding = "what is larger is dropped: bytes 1 to 74 of 10.255.255.5:39058 were sent 3 times in packets of 126 bytes without an answer.";
        let proved = |most: u32| {
            format!(
                "critical proved: The other end of veth-c of router, towards 172.17.0.2, has an MTU of {most} or less, and {finding}"
            )
        };
        let dropped = at("__dev_forward_skb2+0x87");
        check("interface_mtu", &format!("{host}{OPEN}{dropped}"), &proved(121));
        // Whatever MSS was announced.
        let usual = OPEN.replace("mss 256", "mss 1460");
        check("interface_mtu", &format!("{host}{usual}{dropped}"), &proved(121));
        // Dropped elsewhere, it is not for their size.
        let elsewhere = at("nf_hook_slow+0x3e");
        let fine = "clear: No data that an interface's MTU would have dropped is missing: veth-c of router has 1500; the largest packet seen had 126 bytes.";
        check("interface_mtu", &format!("{host}{usual}{elsewhere}"), fine);
    }

    #[test]
    fn drops_that_did_not_rise_acquit_the_interface() {
        check("interface_mtu", &format!("{HOST}{OPEN}{FIN}{MISSED}{SAME}"), &format!("{FINE} 64 bytes."));
        check("interface_mtu", &format!("{HOST}{OPEN}{SAME}"), &format!("{FINE} 64 bytes."));
    }

    #[test]
    fn bytes_that_the_server_has_were_missed_by_the_capture_alone() {
        let acked = MISSED.replace("ack 1, win", "ack 77, win").replace(",nop,nop,sack 1 {76:77}", "");
        check("interface_mtu", &format!("{HOST}{OPEN}{FIN}{acked}{ROSE}"), &format!("{FINE} 64 bytes."));
    }

    #[test]
    fn larger_packets_that_arrive_acquit_the_interface() {
        let large = "14:40:01 IP 10.255.255.5.39058 > 172.17.0.2.80: Flags [P.], seq 1:201, ack 1, win 229, options [nop,nop,TS val 5 ecr 5], length 200\n";
        let gap = FIN.replace("seq 76", "seq 401");
        check("interface_mtu", &format!("{HOST}{OPEN}{large}{gap}{ROSE}"), &format!("{FINE} 252 bytes."));
    }

    #[test]
    fn a_capture_cut_short_after_the_handshake_says_nothing() {
        check("interface_mtu", &format!("{HOST}{OPEN}"), &format!("{FINE} 64 bytes."));
    }

    #[test]
    fn without_a_connection_or_facts_it_cannot_tell() {
        check(
            "interface_mtu",
            "date 2021-06-01\n14:40:00 IP 10.0.0.2.5 > 10.0.0.1.53: UDP, length 20\n",
            "cannot tell: No TCP connection was seen to open, and no interface's MTU was recorded.",
        );
    }
}
