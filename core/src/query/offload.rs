//! Which hosts leave their checksums to the network card.
//!
//! A capture taken on the sending host sees packets before the card completes their checksums, so that most packets of that
//! host look damaged. What is wrong with most packets of a sender was not done to them on the way: it is no damage, and the
//! list says nothing of it. The decode tree still shows each checksum as it stands.

use crate::recording::Recording;
use crate::store::Facts;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// As many packets from the beginning of a log tell which senders offload; more would only take longer.
const LOOKED_AT: u32 = 100_000;
/// Fewer wrong checksums than this may be damage, however few packets the host sent.
const LEAST: u32 = 4;

/// The senders that offload, of the packets looked at so far.
#[derive(Debug, Default)]
pub(super) struct Offload {
    looked_at: u32,
    /// How many packets each sent, and how many of them with a wrong checksum.
    senders: BTreeMap<IpAddr, (u32, u32)>,
}

impl Offload {
    /// Looks at what came since the last time, as long as that is the beginning of the log.
    pub(super) fn look_on(&mut self, recording: &Recording) {
        let until = recording.store.len().min(LOOKED_AT);
        // By side of a conversation first: looking up the sender of each packet was an eighth of all work over 100 MB. A packet
        // begins one conversation at most, so the list is as bounded as they are.
        let mut sides: Vec<[(u32, u32); 2]> = Vec::new();
        for (flow, facts) in recording.store.senders(self.looked_at as usize, until as usize) {
            let Some((flow, direction)) = flow else { continue };
            let flow = flow.0 as usize;
            if flow >= sides.len() {
                sides.resize(flow + 1, [(0, 0); 2]);
            }
            let (all, wrong) = &mut sides[flow][direction.index()];
            *all += 1;
            *wrong += u32::from(facts.has(Facts::BAD_CHECKSUM));
        }
        for (flow, [client, server]) in recording.flows.iter().zip(sides) {
            self.count(flow.client.address, client);
            self.count(flow.server.address, server);
        }
        self.looked_at = until;
    }

    fn count(&mut self, sender: IpAddr, (more, worse): (u32, u32)) {
        if more > 0 {
            let (all, wrong) = self.senders.entry(sender).or_default();
            *all += more;
            *wrong += worse;
        }
    }

    /// Whether that host does.
    pub(super) fn is_by(&self, sender: IpAddr) -> bool {
        self.senders.get(&sender).is_some_and(|(all, wrong)| *wrong >= LEAST && wrong * 2 > *all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of one sender, `x` for each wrong checksum.
    fn offloads(packets: &str) -> bool {
        let sender = IpAddr::from([10, 0, 0, 1]);
        let mut offload = Offload::default();
        packets.chars().for_each(|c| offload.count(sender, (1, u32::from(c == 'x'))));
        offload.is_by(sender)
    }

    #[test]
    fn a_host_of_which_most_checksums_are_wrong_offloads_them() {
        let cases = [
            ("xxxxxxxx", true),
            ("xxxxx....", true),
            ("xxxx", true),
            ("xxxx....", false), // half is not most
            ("xxx", false),      // too few to tell from damage
            ("x...............", false),
            ("................", false),
            ("", false),
        ];
        for (packets, expected) in cases {
            assert_eq!(offloads(packets), expected, "{packets}");
        }
    }

    #[test]
    fn one_host_says_nothing_about_another() {
        let (near, far) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut offload = Offload::default();
        (0..20).for_each(|i| if i % 2 == 0 { offload.count(near, (1, 1)) } else { offload.count(far, (1, u32::from(i == 5))) });
        assert!(offload.is_by(near));
        assert!(!offload.is_by(far), "one damaged packet of the other host is still told");
    }
}
