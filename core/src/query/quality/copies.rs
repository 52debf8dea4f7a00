//! `copies`: packets that were captured more than once, by a mirror port that gives both sides of a port, or at several interfaces.
//! Wireshark calls such a copy a retransmission; nothing was sent twice, and nothing was lost.

use super::super::engine::Knowledge;
use crate::flow::Flow;
use crate::rules::say;
use crate::sort;
use crate::store::Row;
use crate::time::Nanos;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Distances kept, for the usual one among them.
const MOST_GAPS: usize = 4_096;
/// Senders named.
const MOST_NAMED: usize = 3;

/// One copy in so many, sent by another, does not make it both directions.
const FEW: u64 = 20;

/// See [`super::Passing`].
#[derive(Debug, Default)]
pub(super) struct Passing {
    elsewhere: u64,
    /// Copies of another length: offload cut them otherwise there.
    otherwise_cut: u64,
    /// From the original to its copy, nanoseconds.
    gaps: Vec<u32>,
}

impl Passing {
    #[cold]
    pub(super) fn note(&mut self, original: &Row, copy: &Row) {
        self.elsewhere += u64::from(original.interface != copy.interface);
        self.otherwise_cut += u64::from(original.wire_len != copy.wire_len);
        if self.gaps.len() < MOST_GAPS {
            let gap = (copy.time - original.time).get().unsigned_abs();
            self.gaps.push(u32::try_from(gap).unwrap_or(u32::MAX));
        }
    }
}

/// See [`super::Sums`].
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// TCP packets of all conversations.
    packets: u64,
    copies: u64,
    /// Of the conversations with copies: how many copies each sender has.
    senders: BTreeMap<IpAddr, u64>,
}

impl Sums {
    pub(super) fn add(&mut self, flow: &Flow) {
        let [client, server] = &flow.sides;
        self.packets += u64::from(client.packets) + u64::from(server.packets);
        if client.copies == 0 && server.copies == 0 {
            return;
        }
        for (side, end) in [(client, flow.client), (server, flow.server)].into_iter().filter(|(side, _)| side.packets > 0) {
            self.copies += u64::from(side.copies);
            *self.senders.entry(end.address).or_default() += u64::from(side.copies);
        }
    }
}

impl Sums {
    /// Who sent what was copied, where that is not simply everybody.
    fn whose(&self) -> String {
        let doubled: Vec<String> = self.senders.iter().filter(|(_, n)| **n > 0).map(|(sender, _)| sender.to_string()).collect();
        let most = self.senders.iter().max_by_key(|(_, n)| **n);
        match most {
            Some((sender, n)) if *n < self.copies && (self.copies - n) * FEW <= self.copies => {
                format!("all but {} sent by {sender} (one direction only)", say::number(self.copies - n))
            }
            _ if doubled.len() < self.senders.len() => {
                format!("all sent by {} (one direction only)", say::list(&doubled, MOST_NAMED))
            }
            _ => "in both directions".to_owned(),
        }
    }
}

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let (sums, passing) = (&known.sums.copies, &known.passing.copies);
    if sums.copies == 0 {
        return Vec::new();
    }
    let mut gaps = passing.gaps.clone();
    sort::by_key(&mut gaps, |gap| *gap);
    let nanos = |gap: Option<&u32>| Nanos::new(gap.copied().unwrap_or(0).into());
    let (usual, longest) = (nanos(gaps.get(gaps.len() / 2)), nanos(gaps.last()));
    let apart = if usual == longest { format!("{usual} later") } else { format!("mostly {usual}, at most {longest} later") };
    let whose = sums.whose();
    let why = match passing.elsewhere {
        0 => "a mirror port, or a bridge, shows them twice",
        n if n >= sums.copies => "they pass several of the captured interfaces",
        _ => "a mirror port shows them twice, or they pass several of the captured interfaces",
    };
    let same = match passing.otherwise_cut {
        0 => "identification and numbers",
        _ => "identification and numbers, or the same bytes cut otherwise by offload,",
    };
    vec![format!(
        "Captured twice: {} of {}, {whose}, each copy with the same {same} {apart}: {why}. They are no \
         retransmissions, and nothing was lost because of them.",
        say::number(sums.copies),
        say::count(sums.packets, "TCP packet")
    )]
}

#[cfg(test)]
mod tests {
    use super::super::case::remarked;
    use crate::rules::{OPEN, said};

    const DATA: &str = "14:40:01.003 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:101, ack 1, win 512, length 100\n";
    const ACK: &str = "14:40:01.004 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 101, win 512, length 0\n";

    #[test]
    fn copies_in_one_direction_are_a_mirror_ports_and_no_loss() {
        let script = format!("{OPEN}{DATA}14:40:01.003001 copy of 4\n{ACK}");
        assert_eq!(
            remarked("copies", &script),
            "Captured twice: 1 of 6 TCP packets, all sent by 10.0.0.2 (one direction only), each copy with the same identification and numbers \
             1.00 µs later: a mirror port, or a bridge, shows them twice. They are no retransmissions, and nothing was lost because of them."
        );
        assert_eq!(said(&script, &["retransmission"]), "clear retransmission: None of 5 TCP segments was sent again.\n");
    }

    #[test]
    fn copies_both_ways_are_told_as_such() {
        let script = format!("{OPEN}{DATA}14:40:01.003001 copy of 4\n{ACK}14:40:01.004002 copy of 6\n");
        let told = remarked("copies", &script);
        assert!(told.contains("2 of 7 TCP packets, in both directions"), "{told}");
    }

    #[test]
    fn a_segment_that_is_sent_again_is_no_copy() {
        let again = DATA.replace("01.003", "01.203");
        assert_eq!(remarked("copies", &format!("{OPEN}{DATA}{again}{ACK}")), "");
    }
}
