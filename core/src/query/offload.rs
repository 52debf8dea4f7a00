//! Which hosts leave their checksums to the network card.
//!
//! A capture taken on the sending host sees packets before the card completes their checksums, so that most packets of that
//! host look damaged. What is wrong with most packets of a sender was not done to them on the way: it is no damage, and the
//! list says nothing of it. The decode tree still shows each checksum as it stands.

use super::recording::Recording;
use crate::ids::PacketNo;
use crate::store::Facts;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// As many packets from the beginning of a log tell which senders offload; more would only take longer.
const LOOKED_AT: u32 = 100_000;
/// Fewer wrong checksums than this may be damage, however few packets the host sent.
const LEAST: u32 = 4;

/// The senders that offload.
#[derive(Clone, Debug, Default)]
pub(super) struct Offload(BTreeSet<IpAddr>);

impl Offload {
    /// Looks at the beginning of a log.
    pub(super) fn of(recording: &Recording) -> Self {
        let sent = (1..=recording.store.len().min(LOOKED_AT)).filter_map(|no| {
            let row = recording.store.get(PacketNo(no))?;
            let (flow, direction) = row.flow?;
            Some((recording.flows.get(flow)?.sender(direction).address, row.facts.has(Facts::BAD_CHECKSUM)))
        });
        Self::of_sent(sent)
    }

    /// The same from each packet's sender and whether its checksum is wrong.
    fn of_sent(packets: impl Iterator<Item = (IpAddr, bool)>) -> Self {
        let mut senders: BTreeMap<IpAddr, (u32, u32)> = BTreeMap::new();
        for (sender, bad) in packets {
            let (all, wrong) = senders.entry(sender).or_default();
            *all += 1;
            *wrong += u32::from(bad);
        }
        let offloads = |(_, (all, wrong)): &(IpAddr, (u32, u32))| *wrong >= LEAST && wrong * 2 > *all;
        Self(senders.into_iter().filter(offloads).map(|(sender, _)| sender).collect())
    }

    /// Whether that host does.
    pub(super) fn is_by(&self, sender: IpAddr) -> bool {
        self.0.contains(&sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of one sender, `x` for each wrong checksum.
    fn offloads(packets: &str) -> bool {
        let sender = IpAddr::from([10, 0, 0, 1]);
        Offload::of_sent(packets.chars().map(|c| (sender, c == 'x'))).is_by(sender)
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
        let packets = (0..20).map(|i| if i % 2 == 0 { (near, true) } else { (far, i == 5) });
        let offload = Offload::of_sent(packets);
        assert!(offload.is_by(near));
        assert!(!offload.is_by(far), "one damaged packet of the other host is still told");
    }
}
