//! `asymmetric`, `handshake_partial`, `midway`: handshakes of which the capture shows a part, though none failed.

use super::super::engine::Knowledge;
use crate::flow::Flow;
use crate::rules::say;

/// `tcp.completeness`: data was seen.
const DATA: u8 = 8;

/// See [`super::Sums`].
#[derive(Debug, Default)]
pub(super) struct Sums {
    conversations: u64,
    without_syn_ack: u64,
    without_syn: u64,
    midway: u64,
}

impl Sums {
    pub(super) fn add(&mut self, flow: &Flow) {
        self.conversations += 1;
        let [client, server] = &flow.sides;
        if client.packets == 0 || server.packets == 0 {
            return;
        }
        let opening = &flow.handshake;
        match (opening.syn.is_some(), opening.syn_ack.is_some()) {
            (true, false) => {
                let reset = server.rst.is_some() && server.payload_bytes == 0;
                let went_on = flow.completeness & DATA != 0 && opening.refused.is_none() && !reset;
                self.without_syn_ack += u64::from(went_on);
            }
            (false, true) => self.without_syn += 1,
            (false, false) => self.midway += 1,
            (true, true) => {}
        }
    }
}

/// SYN and ACK are there, the SYN-ACK between them is not.
pub(super) fn syn_ack_missing(known: &Knowledge<'_>) -> Vec<String> {
    let sums = &known.sums.handshakes;
    one(sums.without_syn_ack, || {
        format!(
            "The SYN-ACK of {} is not in the capture, though the handshake succeeded and data followed: the capture missed it, or it took \
             another way. No handshake failed; the server's window scale and the initial round-trip time are unknown.",
            of(sums.without_syn_ack, sums.conversations)
        )
    })
}

/// The capture begins at the SYN-ACK.
pub(super) fn syn_missing(known: &Knowledge<'_>) -> Vec<String> {
    let sums = &known.sums.handshakes;
    one(sums.without_syn, || {
        format!(
            "Of {} the capture begins at the SYN-ACK: the client's SYN is missing, and only part of the handshake is there. It did not fail; \
             the client's window scale and the initial round-trip time are unknown.",
            of(sums.without_syn, sums.conversations)
        )
    })
}

/// Conversations that were under way already.
pub(super) fn midway(known: &Knowledge<'_>) -> Vec<String> {
    let sums = &known.sums.handshakes;
    one(sums.midway, || {
        format!(
            "{} had begun before the capture: window scales and initial round-trip times are unknown there.",
            of(sums.midway, sums.conversations)
        )
    })
}

fn one(count: u64, sentence: impl FnOnce() -> String) -> Vec<String> {
    if count == 0 { Vec::new() } else { vec![sentence()] }
}

fn of(part: u64, whole: u64) -> String {
    format!("{} of {}", say::number(part), say::count(whole, "TCP conversation"))
}

#[cfg(test)]
mod tests {
    use super::super::case::remarked;

    const SYN: &str = "14:40:01.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 100, win 512, options [mss 1460], length 0\n";
    const REST: &str = "14:40:01.002 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 101, ack 901, win 512, length 0
14:40:01.003 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [P.], seq 901:983, ack 101, win 512, length 82
14:40:01.004 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 101, ack 983, win 512, length 0
";

    #[test]
    fn a_syn_ack_that_was_not_seen_is_no_failed_handshake() {
        assert_eq!(
            remarked("asymmetric", &format!("date 2021-06-01\n{SYN}{REST}")),
            "The SYN-ACK of 1 of 1 TCP conversation is not in the capture, though the handshake succeeded and data followed: the capture missed \
             it, or it took another way. No handshake failed; the server's window scale and the initial round-trip time are unknown."
        );
    }

    #[test]
    fn a_syn_that_is_refused_has_no_syn_ack_to_miss() {
        let refused = "14:40:01.001 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [R.], seq 0, ack 101, win 0, length 0\n";
        assert_eq!(remarked("asymmetric", &format!("date 2021-06-01\n{SYN}{refused}")), "");
    }

    #[test]
    fn a_capture_that_begins_at_the_syn_ack_says_so() {
        let syn_ack = "14:40:01.001 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 900, ack 101, win 512, length 0
14:40:01.002 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], ack 1, win 512, length 0\n";
        let script = format!("date 2021-06-01\n{syn_ack}");
        assert!(
            remarked("handshake_partial", &script).starts_with("Of 1 of 1 TCP conversation the capture begins at the SYN-ACK")
        );
        assert_eq!(remarked("midway", &script), "");
    }

    #[test]
    fn a_capture_that_begins_in_the_middle_says_so() {
        let script = format!("date 2021-06-01\n{REST}");
        assert!(remarked("midway", &script).starts_with("1 of 1 TCP conversation had begun before the capture"));
        assert_eq!(remarked("handshake_partial", &script), "");
    }
}
