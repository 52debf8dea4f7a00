//! Reasons for which the kernel frees packets without anybody losing anything.
//!
//! Names are those of `enum skb_drop_reason` (include/net/dropreason-core.h, Linux 6.18); they are compared as text because
//! their numbers move between kernels.

/// The reasons, each with why it is no loss.
const BENIGN: &[(&str, &str)] = &[
    ("OTHERHOST", "the frame was addressed to another host and only seen because the device listens to everything"),
    ("QUEUE_PURGE", "a queue was emptied because its socket or device went away"),
    ("TCP_OLD_DATA", "the segment repeats data that had arrived before"),
    ("TCP_OLD_SEQUENCE", "the segment repeats what had arrived before"),
    ("TCP_OLD_ACK", "the segment acknowledges what had been acknowledged before"),
    ("TCP_ACK_UNSENT_DATA", "the segment acknowledges what was never sent, as after a restart"),
    ("TCP_OFOMERGE", "the segment repeats data that waits out of order"),
    ("SOCKET_FILTER", "a program's own filter did not want the packet"),
    ("UNICAST_IN_L2_MULTICAST", "a unicast packet came in a multicast frame"),
    ("IPV6_NDISC_NS_OTHERHOST", "the neighbour solicitation asked for another host"),
    ("PKT_TOO_SMALL", "the frame was shorter than its headers"),
    ("CONSUMED", "the packet was used up, not dropped"),
    ("NOT_DROPPED_YET", "the packet was not dropped"),
    ("UNHANDLED_PROTO", "nobody on this host speaks the frame's protocol"),
    ("PACKET_SOCK_ERROR", "a capturing program did not take its copy"),
    ("DUP_FRAG", "the fragment had arrived before"),
];

/// Why a drop for this reason is no loss; `None` if it is one, or if nobody knows.
pub fn benign(reason: &str) -> Option<&'static str> {
    let reason = reason.strip_prefix("SKB_DROP_REASON_").unwrap_or(reason);
    BENIGN.iter().find(|(name, _)| *name == reason).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewalls_drop_is_a_loss_and_a_duplicate_is_not() {
        assert!(benign("TCP_OLD_DATA").is_some());
        assert!(benign("SKB_DROP_REASON_OTHERHOST").is_some());
        for reason in ["NETFILTER_DROP", "PKT_TOO_BIG", "NOT_SPECIFIED", "", "TCP_OVERWINDOW"] {
            assert_eq!(benign(reason), None, "{reason}");
        }
    }
}
