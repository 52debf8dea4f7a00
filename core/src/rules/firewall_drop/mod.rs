//! `firewall_drop`: a firewall rule, or a chain's policy, drops packets that somebody waits for.
//!
//! **What.** Rules count what they match. A DROP rule whose hits rose while packets went unanswered is the cause as far as the
//! numbers agree; the kernel's own drop records prove it.
//!
//! **When.** Each DROP rule and DROP policy whose hits rose while the log was written, deleted rules included. *Proved* when
//! the kernel recorded drops with the reason NETFILTER_DROP for packets that the rule matches. *Strong* when its hits equal,
//! within 10 % or 2, what went missing: packets that got no effect in the capture, or the gap between what the host's IP layer
//! received and what it delivered; or when the share that a `statistic` rule dropped agrees with its probability. Else
//! *possible*. A rule that hit nothing anybody waited for is a note: a closed door is no fault. Native nftables rules
//! without `counter` are invisible except by kernel drops, and are named (wiki.nftables.org, Counters).
//!
//! **Counting unit.** A host counts packets after GRO and before TSO, so hits are compared with the host's own counters first
//! (`IpInReceives`, `IpOutRequests`; Documentation/networking/snmp_counter.rst), with captured packets second. The capture
//! sees what INPUT drops (its tap stands before), and not what OUTPUT drops (its tap stands behind).
//!
//! **Near misses.** A rule whose hits did not rise. A rule that rejects: see `rejected` and `refused`.
//!
//! **Sources.** DIAGNOSIS F1 to F8; the labs `random-drop`, `random-drop-legacy`, `nft-drop`, `syn-blackhole`.

mod asked;
mod dropper;
mod finding;
mod missing;
mod weighed;

pub(super) use asked::{dropping_icmp, rejecting};

use super::{Explained, Outcome, View, say};
use crate::finding::Quiet;
use crate::log::block::Verdict;
use crate::sort;
use dropper::{Dropper, droppers};
use missing::Missing;
use weighed::{Weighed, dropped_by_netfilter};

const SLUG: &str = "firewall_drop";
/// What it says where no host says anything.
pub(super) const UNRECORDED: &str = "No firewall rules were recorded.";

/// Of more rules that dropped, only the ones with most hits are told one by one.
const MOST_FINDINGS: usize = 12;

/// Judges all rules that drop.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let mut droppers = droppers(view, Verdict::Drop);
    let counted = droppers.len() as u64;
    if counted == 0 {
        return if view.counters.rule_sets().next().is_some() {
            Outcome::clear("The firewall has no rule and no policy that drops.")
        } else {
            Outcome::cannot_tell(UNRECORDED)
        };
    }
    let uncounted: Vec<Dropper<'_>> = extract(&mut droppers, |d| d.rule.is_some_and(|rule| !rule.counted));
    droppers.retain(|d| d.growth.is_some());
    let hits = |dropper: &Dropper<'_>| dropper.growth.map_or(0, |growth| growth.by);
    sort::by(&mut droppers, |a, b| hits(b).cmp(&hits(a)).then_with(|| a.id.cmp(&b.id)));

    let dropped = dropped_by_netfilter(view);
    let mut outcome = Outcome::default();
    let more = droppers.len().saturating_sub(MOST_FINDINGS) as u64;
    for dropper in droppers.iter().take(MOST_FINDINGS) {
        let drops = dropper.of_it(&dropped);
        let missing = Missing::of(dropper, &drops, view, explained);
        let Some(weighed) = Weighed::new(dropper, &droppers, drops, view, &missing) else { continue };
        let (finding, explains) = dropper.finding(view, &droppers, &weighed);
        outcome.explains.flows.extend(explains);
        outcome.findings.push(finding);
    }
    for dropper in &uncounted {
        if let Some((finding, explains)) = dropper.unseen(view, &droppers, &dropped, explained) {
            outcome.explains.flows.extend(explains);
            outcome.findings.push(finding);
        }
    }
    let rest = if more > 0 {
        format!(" {} with fewer hits are not told one by one.", say::count(more, "more rule"))
    } else {
        String::new()
    };
    let invisible = uncounted.iter().filter_map(|d| d.rule).map(|rule| format!("`{}`", rule.text)).collect::<Vec<_>>();
    outcome.quiet = match (outcome.findings.is_empty(), invisible.is_empty()) {
        (true, true) => Some((
            Quiet::Clear,
            format!("{}, and no packet was dropped while the log was written.", say::count(counted, "dropping rule")),
        )),
        (true, false) => Some((
            Quiet::CannotTell,
            format!(
                "Rules without a counter cannot be judged: {}. Add the word `counter` to them, or record kernel drops.",
                say::list(&invisible, 3)
            ),
        )),
        (false, _) if more > 0 => Some((Quiet::CannotTell, rest.trim().to_owned())),
        _ => None,
    };
    outcome
}

fn extract<T>(from: &mut Vec<T>, wanted: impl Fn(&T) -> bool) -> Vec<T> {
    let (taken, kept) = std::mem::take(from).into_iter().partition(wanted);
    *from = kept;
    taken
}

#[cfg(test)]
mod tests {
    use crate::rules::case::check;

    const HOST: &str = "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 1500 address 10.0.0.1/24
14:40:00 rules iptables-nft
  filter INPUT input ACCEPT
  -A INPUT -p tcp -m tcp --dport 80 -j DROP
14:40:00 counters
  firewall.rule.packets INPUT 1 7
";
    const TRIES: &str = "14:40:01.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:02.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:04.0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
";
    const RULE: &str = "`-A INPUT -p tcp -m tcp --dport 80 -j DROP`";

    #[test]
    fn hits_that_equal_the_missing_answers_are_strong() {
        check(
            "firewall_drop",
            &format!("{HOST}{TRIES}14:40:09 counters\n  firewall.rule.packets INPUT 1 10\n"),
            &format!(
                "critical strong: Rule 1 of INPUT (table filter, iptables-nft) in web-1 dropped 3 packets of 3 (100 %): {RULE}; 1 connection attempt got no \
                 answer."
            ),
        );
    }

    #[test]
    fn the_kernels_own_word_proves_it() {
        let drop = "14:40:01.0 drop NETFILTER_DROP nft_do_chain+0x3e8 eth0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0\n";
        check(
            "firewall_drop",
            &format!("{HOST}{TRIES}{drop}14:40:09 counters\n  firewall.rule.packets INPUT 1 10\n"),
            &format!(
                "critical proved: Rule 1 of INPUT (table filter, iptables-nft) in web-1 dropped 3 packets of 3 (100 %): {RULE}; 1 connection attempt got no \
                 answer."
            ),
        );
    }

    /// The server sends its answer again for want of an ACK that the capture saw and the firewall dropped: only the kernel's word
    /// ties the two together.
    #[test]
    fn what_is_sent_again_for_a_dropped_ack_has_its_cause() {
        let opened = "14:40:01.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 0, win 512, length 0
14:40:01.001 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 0, ack 1, win 512, length 0
14:40:01.002 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1, ack 1, win 512, length 0
14:40:01.003 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [P.], seq 1:101, ack 1, win 512, length 100
14:40:01.004 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1, ack 101, win 512, length 0
14:40:02.203 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [P.], seq 1:101, ack 1, win 512, length 100
14:40:02.204 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1, ack 101, win 512, length 0
";
        let counters = "14:40:09 counters\n  firewall.rule.packets INPUT 1 8\n";
        let symptom = "warning possible: 10.0.0.1 to 10.0.0.2 sent 1 of 3 segments again (33.3 %); the longest wait was 1.20 s.";
        check("retransmission", &format!("{HOST}{opened}{counters}"), symptom);
        let drop = "14:40:01.004 drop NETFILTER_DROP nft_do_chain+0x3e8 eth0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1, ack 101, win 512, length 0\n";
        let known = "clear: The only retransmissions are those of 1 conversation whose cause is told.";
        check("retransmission", &format!("{HOST}{opened}{drop}{counters}"), known);
    }

    #[test]
    fn a_closed_door_that_nobody_missed_is_a_note() {
        check(
            "firewall_drop",
            &format!("{HOST}14:40:09 counters\n  firewall.rule.packets INPUT 1 900\n"),
            &format!("note possible: Rule 1 of INPUT (table filter, iptables-nft) in web-1 dropped 893 packets: {RULE}."),
        );
    }

    #[test]
    fn a_rule_whose_hits_stand_still_is_innocent() {
        check(
            "firewall_drop",
            &format!("{HOST}{TRIES}14:40:09 counters\n  firewall.rule.packets INPUT 1 7\n"),
            "clear: 1 dropping rule, and no packet was dropped while the log was written.",
        );
    }

    #[test]
    fn a_rule_without_a_counter_cannot_be_judged() {
        check(
            "firewall_drop",
            &format!(
                "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 1500 address 10.0.0.1/24
14:40:00 rules nftables
  inet filter input input ACCEPT
  tcp dport 80 drop
14:40:00 counters
  nstat.IpInReceives 1
{TRIES}"
            ),
            "cannot tell: Rules without a counter cannot be judged: `tcp dport 80 drop`. Add the word `counter` to them, or record kernel drops.",
        );
    }

    #[test]
    fn without_rules_it_cannot_tell() {
        check("firewall_drop", &format!("date 2021-06-01\n{TRIES}"), "cannot tell: No firewall rules were recorded.");
    }
}
