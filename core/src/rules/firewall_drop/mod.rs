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
//! without `counter` are invisible except by kernel drops, and are named (wiki.nftables.org, Counters); so are verdict maps, whose
//! counters count look-ups, the policies of native chains, which never count, and rules that reject while the capture shows no
//! answer. What the kernel dropped in netfilter's name and no rule, no full connection table and no earlier cause accounts for
//! is a finding of its own.
//!
//! **Its own time.** A rule that came while the log was written had its first hits before its first reading; shares and gaps are
//! those of the time in which its hits were read, never of packets of before or after it.
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

use super::host;
use super::{Explained, Outcome, View, say};
use crate::finding::Quiet;
use crate::ids::{DropNo, NetnsId};
use crate::log::block::Verdict;
use crate::sort;
use dropper::{Dropper, droppers};
use missing::Missing;
use std::collections::{BTreeMap, BTreeSet};
use weighed::{Dropped, Weighed, dropped_by_netfilter};

const SLUG: &str = "firewall_drop";
/// What it says where no host says anything.
const UNRECORDED: &str = "No firewall rules were recorded.";

/// Of more rules that dropped, only the ones with most hits are told one by one.
const MOST_FINDINGS: usize = 12;

/// Judges all rules that drop.
pub(super) fn judge(view: &View<'_>, explained: &Explained) -> Outcome {
    let mut droppers = droppers(view, Verdict::Drop);
    let known = droppers.len() as u64;
    let dropped = dropped_by_netfilter(view);
    let has_rules = view.counters.rule_sets().next().is_some();
    if known == 0 && dropped.is_empty() {
        return if has_rules {
            Outcome::clear("The firewall has no rule and no policy that drops.")
        } else {
            Outcome::cannot_tell(UNRECORDED)
        };
    }
    let uncounted: Vec<Dropper<'_>> = extract(&mut droppers, |d| !d.counts_drops());
    droppers.retain(|d| d.growth.is_some());
    let hits = |dropper: &Dropper<'_>| dropper.growth.map_or(0, |growth| growth.by);
    sort::by(&mut droppers, |a, b| hits(b).cmp(&hits(a)).then_with(|| a.id.cmp(&b.id)));

    let mut outcome = Outcome::default();
    let more = droppers.len().saturating_sub(MOST_FINDINGS) as u64;
    let mut left: Vec<Dropped<'_>> = dropped.clone();
    for (place, dropper) in droppers.iter().enumerate() {
        let drops = dropper.of_it(view, &dropped);
        if place < MOST_FINDINGS {
            let missing = Missing::of(dropper, &drops, view, explained);
            let Some(weighed) = Weighed::new(dropper, &droppers, drops.clone(), view, &missing) else { continue };
            let (finding, explains) = dropper.finding(view, &droppers, &weighed);
            outcome.explains.flows.extend(explains);
            outcome.findings.push(finding);
        }
        // It has dropped as many as it counted.
        let most = dropper.most_of(&drops);
        take(&mut left, drops.into_iter().take(most));
    }
    let invisible = uncounted.iter().map(|dropper| format!("`{}`", dropper.text())).collect::<Vec<_>>();
    for dropper in in_their_order(uncounted, view) {
        let drops = dropper.of_it(view, &left);
        take(&mut left, drops.iter().copied());
        if dropper.rule.is_some_and(|rule| rule.verdict == Verdict::Reject) && is_told_elsewhere(view, &drops) {
            continue;
        }
        if let Some((finding, explains)) = dropper.unseen(view, &drops, explained) {
            outcome.explains.flows.extend(explains);
            outcome.findings.push(finding);
        }
    }
    for (netns, drops) in unaccounted_for(view, explained, left) {
        let rules_are_known = view.counters.rule_sets().any(|set| set.netns == netns.0);
        if let Some((finding, explains)) = finding::unaccounted(view, netns, &drops, rules_are_known) {
            outcome.explains.flows.extend(explains);
            outcome.findings.push(finding);
        }
    }
    let rest = if more > 0 {
        format!(" {} with fewer hits are not told one by one.", say::count(more, "more rule"))
    } else {
        String::new()
    };
    outcome.quiet = match (outcome.findings.is_empty(), invisible.is_empty()) {
        (true, true) if known == 0 && has_rules => Some((Quiet::Clear, ONLY_TOLD_ELSEWHERE.into())),
        (true, true) if known == 0 => Some((Quiet::CannotTell, UNRECORDED.into())),
        (true, true) => Some((
            Quiet::Clear,
            format!("{}, and no packet was dropped while the log was written.", say::count(known, "dropping rule")),
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

/// What is said where netfilter dropped packets, and other rules tell why.
const ONLY_TOLD_ELSEWHERE: &str = "The firewall has no rule and no policy that drops in silence; what netfilter dropped has a cause that is \
                                   told elsewhere.";

/// Removes from `left` what a rule accounts for.
fn take<'a>(left: &mut Vec<Dropped<'a>>, taken: impl Iterator<Item = Dropped<'a>>) {
    let taken: BTreeSet<DropNo> = taken.map(|(no, _)| no).collect();
    left.retain(|(no, _)| !taken.contains(no));
}

/// Droppers whose counters tell nothing of what they drop, and the rules that reject, in the order in which a packet meets those
/// of one chain: a policy comes last.
fn in_their_order<'a>(uncounted: Vec<Dropper<'a>>, view: &View<'a>) -> Vec<Dropper<'a>> {
    let rejecting = droppers(view, Verdict::Reject).into_iter().filter(|d| d.growth.is_some() || !d.counts_drops());
    let mut all: Vec<Dropper<'a>> = uncounted.into_iter().chain(rejecting).collect();
    sort::by_key(&mut all, |dropper| dropper.rule.map_or(u32::MAX, |rule| rule.position));
    all
}

/// Whether `rejected` or `refused` tells of these: the capture shows an answer.
fn is_told_elsewhere(view: &View<'_>, drops: &[Dropped<'_>]) -> bool {
    let flows = drops.iter().filter_map(|(no, _)| view.flows.get(view.joined.flow(*no)?));
    flows.into_iter().any(|flow| flow.icmp_error_count > 0 || flow.handshake.refused.is_some())
}

/// What nothing accounts for, by namespace: neither a rule nor a cause that was found before, and more than connection tracking
/// refused an entry, which drops in netfilter's name.
fn unaccounted_for<'a>(view: &View<'_>, explained: &Explained, left: Vec<Dropped<'a>>) -> BTreeMap<NetnsId, Vec<Dropped<'a>>> {
    let mut by_namespace: BTreeMap<NetnsId, Vec<Dropped<'a>>> = BTreeMap::new();
    for (no, drop) in left {
        if !view.joined.flow(no).is_some_and(|flow| explained.has(flow)) {
            by_namespace.entry(NetnsId(drop.netns)).or_default().push((no, drop));
        }
    }
    let whole = host::recorded(view);
    by_namespace.retain(|netns, drops| {
        let tables = view.counters.of_key("conntrack.drop").filter(|(_, series)| series.counter.netns == Some(netns.0));
        let refused = tables.filter_map(|counter| host::growth(counter, whole?)).map(|growth| growth.by).sum::<u64>();
        drops.len() as u64 > refused
    });
    by_namespace
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

    /// A rule that is loaded with its old count (`nft -f`) has not had these hits meanwhile.
    #[test]
    fn a_rule_that_came_meanwhile_has_all_its_hits_but_not_those_of_its_earlier_life() {
        let later = |first: u64| {
            format!(
                "date 2021-06-01
namespace 7 web-1
interface 2 eth0 veth mtu 1500 address 10.0.0.1/24
14:39:50 counters
  nstat.IpInReceives 0
  nstat.IpOutRequests 0
14:40:00 counters
  nstat.IpInReceives 50
14:40:01 rules iptables-nft
  filter INPUT input ACCEPT
  -A INPUT -j DROP
14:40:01 counters
  firewall.rule.packets INPUT 1 {first}
  nstat.IpInReceives 60
14:40:09 counters
  firewall.rule.packets INPUT 1 {}
  nstat.IpInReceives 100
",
                first + 40
            )
        };
        check(
            "firewall_drop",
            &later(9),
            "warning possible: Rule 1 of INPUT (table filter, iptables-nft) in web-1 dropped 49 packets: `-A INPUT -j DROP`.",
        );
        check(
            "firewall_drop",
            &later(0),
            "warning possible: Rule 1 of INPUT (table filter, iptables-nft) in web-1 dropped 40 packets of 40 (100 %): `-A INPUT -j DROP`.",
        );
        check(
            "firewall_drop",
            &later(900),
            "warning possible: Rule 1 of INPUT (table filter, iptables-nft) in web-1 dropped 40 packets of 40 (100 %): `-A INPUT -j DROP`.",
        );
    }

    /// What its counter counts before and after, another policy accepts.
    #[test]
    fn a_policy_that_came_and_went_has_the_hits_of_its_own_time() {
        let rules = |at: u32, policy: &str| format!("14:40:{at:02} rules iptables-legacy\n  filter FORWARD forward {policy}\n");
        let hits = |at: u32, hits: u64| format!("14:40:{at:02} counters\n  firewall.policy.packets FORWARD {hits}\n");
        let host = "date 2021-06-01\nnamespace 7 web-1\ninterface 2 eth0 veth mtu 1500 address 10.0.0.1/24\n";
        let accepts = [rules(0, "ACCEPT"), hits(0, 0), hits(4, 900)].concat();
        let drops = [rules(5, "DROP"), hits(5, 1000), hits(7, 1030)].concat();
        let again = [rules(9, "ACCEPT"), hits(9, 1100), hits(12, 5000)].concat();
        let name = "The DROP policy of FORWARD (table filter, iptables-legacy) in web-1 dropped";
        check(
            "firewall_drop",
            &format!("{host}{accepts}{drops}{again}"),
            &format!("note possible: {name} 30 packets: `-P FORWARD DROP`."),
        );
        let dropped_to_the_end = [rules(5, "DROP"), hits(5, 1000), hits(12, 1070)].concat();
        check(
            "firewall_drop",
            &format!("{host}{accepts}{dropped_to_the_end}"),
            &format!("note possible: {name} 70 packets: `-P FORWARD DROP`."),
        );
    }

    #[test]
    fn what_netfilter_dropped_without_a_rule_to_show_for_it_is_told() {
        let drop = "14:40:01.0 drop NETFILTER_DROP nft_do_chain+0x3e8 eth0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0\n";
        let host = "date 2021-06-01\nnamespace 7 web-1\ninterface 2 eth0 veth mtu 1500 address 10.0.0.1/24\n";
        check(
            "firewall_drop",
            &format!("{host}{TRIES}{drop}"),
            "critical possible: Netfilter dropped 1 packet in web-1, and its rules were not recorded.",
        );
        let rules = "14:40:00 rules nftables\n  inet filter input input ACCEPT\n  tcp dport 22 drop\n";
        check(
            "firewall_drop",
            &format!("{host}{rules}{TRIES}{drop}"),
            "critical possible: Netfilter dropped 1 packet in web-1, and no rule and no policy that was recorded accounts for that.",
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
