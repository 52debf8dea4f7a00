//! `offload`: segments above the MSS. The capture stands between TCP and the network card, which cuts what is sent (TSO, GSO) and
//! joins what is received (GRO, LRO): on the wire they were several.

use super::super::engine::Knowledge;
use crate::dissect::{Packet, Transport};
use crate::flow::FlowTable;
use crate::rules::say;
use crate::store::Row;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What Ethernet carries without jumbo frames. A packet of that size may have been on the wire as it is, whatever its MSS: a
/// firewall behind the capture may have lowered that.
const ORDINARY: u32 = 1_500;
/// Senders told apart.
const MOST_SENDERS: usize = 64;
/// Senders named.
const MOST_NAMED: usize = 3;

/// See [`super::Passing`].
#[derive(Debug, Default)]
pub(super) struct Passing {
    segments: u64,
    /// Bytes of data of the largest, and the MSS that its receiver announced.
    largest: (u32, u16),
    senders: BTreeSet<IpAddr>,
}

impl Passing {
    #[inline]
    pub(super) fn note(&mut self, packet: &Packet<'_>, row: &Row, flows: &FlowTable) {
        let (Transport::Tcp(segment), Some(ip)) = (&packet.transport, &packet.ip) else { return };
        if ip.total_len <= ORDINARY {
            return;
        }
        let Some((flow, direction)) = row.flow.and_then(|(id, direction)| Some((flows.get(id)?, direction))) else { return };
        // What the receiver announced; where the capture does not show it, nothing is held against the sender.
        let Some(mss) = flow.side(direction.reverse()).mss.filter(|mss| segment.payload_len > u32::from(*mss)) else { return };
        self.segments += 1;
        self.largest = self.largest.max((segment.payload_len, mss));
        if self.senders.len() < MOST_SENDERS {
            self.senders.insert(flow.sender(direction).address);
        }
    }
}

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let passing = &known.passing.oversized;
    if passing.segments == 0 {
        return Vec::new();
    }
    let (largest, mss) = passing.largest;
    let senders: Vec<String> = passing.senders.iter().map(IpAddr::to_string).collect();
    vec![format!(
        "Larger than the MSS allows: {} of {}, with up to {} bytes for an MSS of {}. The network card of the captured host cuts or joins \
         segments (TSO, GRO, LRO): they are no jumbo frames, and on the wire each was several smaller packets.",
        say::count(passing.segments, "TCP segment"),
        say::list(&senders, MOST_NAMED),
        say::number(largest.into()),
        say::number(mss.into())
    )]
}

#[cfg(test)]
mod tests {
    use super::super::case::remarked;
    use crate::rules::OPEN;

    fn segment(length: u32) -> String {
        format!(
            "{OPEN}14:40:01.003 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [P.], seq 1:{}, ack 1, win 512, length {length}\n",
            length + 1
        )
    }

    #[test]
    fn a_segment_above_the_mss_is_the_network_cards_work() {
        assert_eq!(
            remarked("offload", &segment(2920)),
            "Larger than the MSS allows: 1 TCP segment of 10.0.0.1, with up to 2,920 bytes for an MSS of 1,460. The network card of the captured \
             host cuts or joins segments (TSO, GRO, LRO): they are no jumbo frames, and on the wire each was several smaller packets."
        );
    }

    #[test]
    fn a_segment_of_the_whole_mss_is_not_nor_a_jumbo_frame_that_was_agreed_on() {
        assert_eq!(remarked("offload", &segment(1460)), "");
        assert_eq!(remarked("offload", &segment(1440).replace("mss 1460", "mss 1380")), "");
        assert_eq!(remarked("offload", &segment(8960).replace("mss 1460", "mss 8960")), "");
    }
}
