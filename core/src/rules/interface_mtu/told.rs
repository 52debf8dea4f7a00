//! What both findings say: that the handshake is fine, what the MSS betrays, and the questions people ask.

use super::MIN_ADVERTISED_MSS;
use super::victim::{Loss, Victim};
use crate::anchor::Place;
use crate::finding::{Question, Reason};
use crate::flow::{Flow, Stuck};
use crate::ids::Direction;

pub(super) fn handshake(flow: &Flow) -> Reason {
    let opening = [flow.handshake.syn, flow.handshake.syn_ack, flow.handshake.ack];
    let anchors = opening.into_iter().flatten().map(|seen| Place::Packet(seen.no).into()).collect();
    let took = flow.handshake.rtt.map(|rtt| format!(" in {rtt}")).unwrap_or_default();
    Reason { text: format!("The handshake is fine: SYN, SYN-ACK and ACK passed{took}. They are small."), anchors }
}

/// What the receiver's MSS says: of an MTU that is known, that it is too large; else, what the MTU can be at most.
pub(super) fn mss_reason(victim: &Victim<'_>, mtu: Option<u32>, limit: u32) -> Option<Reason> {
    let mss = victim.flow.side(victim.direction.reverse()).mss?;
    let overhead = if victim.flow.server.address.is_ipv4() { 40 } else { 60 };
    let announced = victim.flow.handshake.syn_ack.filter(|_| victim.direction == Direction::AToB).or(victim.flow.handshake.syn);
    let floor = if mss == MIN_ADVERTISED_MSS {
        format!("{mss} is the smallest MSS that Linux announces (min_adv_mss)")
    } else {
        format!("{mss} was announced")
    };
    let text = match mtu {
        Some(mtu) if u32::from(mss) + overhead > limit => format!(
            "The receiver announced MSS {mss}, though an MTU of {mtu} leaves room for {}: {floor}. So the sender may send packets of up to \
             {} bytes, which the interface then drops.",
            mtu.saturating_sub(overhead),
            u32::from(mss) + overhead
        ),
        Some(_) => return None,
        None => format!(
            "The receiver announced MSS {mss}: {floor}, so the MTU of its interface is {} or less.",
            u32::from(mss) + overhead
        ),
    };
    Some(Reason { text, anchors: announced.map(|seen| Place::Packet(seen.no).into()).into_iter().collect() })
}

pub(super) fn questions(victim: &Victim<'_>, mtu: u32, name: &str) -> Vec<Question> {
    let mss = victim.flow.side(victim.direction.reverse()).mss;
    let fragment =
        if victim.flow.side(victim.direction).dont_fragment { " The packet also bears DF, which forbids it." } else { "" };
    let mut questions = vec![Question {
        question: "Why was it dropped and not fragmented?".into(),
        answer: format!(
            "Only a router splits packets, or tells the sender with ICMP to send smaller ones. This one was already on its last link: what \
             exceeds the MTU of the receiving interface is dropped there without a word.{fragment}"
        ),
    }];
    if let Some(mss) = mss.filter(|mss| u32::from(*mss) + 40 > mtu) {
        questions.push(Question {
            question: format!("Why is the MSS {mss} with an MTU of {mtu}?"),
            answer: format!(
                "Linux announces the MTU less 40, but never below 256 (net.ipv4.route.min_adv_mss). {mss} is more than an MTU of {mtu} can \
                 carry ({}), so the sender believes packets that {name} drops to be fine.",
                mtu.saturating_sub(40)
            ),
        });
    }
    let seen = match victim.loss {
        Loss::Hole(hole, _) => format!(
            "In packet {}: its sequence number is {}, though nothing after byte {} was seen before. Wireshark labels it \"Previous segment \
             not captured\" (tcp.analysis.lost_segment).{}",
            hole.noticed.no,
            hole.last + 1,
            hole.first.saturating_sub(1),
            hole.missed_by_peer
                .map(|ack| format!(" Packet {} is the receiver's answer that it misses them.", ack.no))
                .unwrap_or_default()
        ),
        Loss::Stuck(Stuck { first_sent, last_sent, .. }) => format!(
            "In packets {} to {}: the same bytes again and again, each time after a longer wait (tcp.analysis.retransmission).",
            first_sent.no, last_sent.no
        ),
        Loss::Silence => {
            "By what is not there: after the ACK of the handshake comes no packet with data. This kernel holds the FIN back as \
             well, which would have shown the gap; capture on the sending host shows the request and its retransmissions."
                .into()
        }
    };
    questions.push(Question { question: "Where in the capture does one see it?".into(), answer: seen });
    questions.push(Question {
        question: "Is there a tool that finds abnormal packet sizes?".into(),
        answer: "Dropscope's ruler above: sizes that passed against sizes that vanished. `ping` with Don't Fragment probes one size, `tracepath` \
                 the whole path, Wireshark's Statistics, Packet Lengths shows what arrived; only the drop counter shows what did not."
            .into(),
    });
    questions
}
