//! `reordered`: segments that came late and were not sent again, in directions that lost nothing.

use super::super::engine::Knowledge;
use crate::flow::{Flow, Side};
use crate::rules::say;
use crate::time::Nanos;

/// See [`super::Sums`].
#[derive(Debug, Default)]
pub(super) struct Sums {
    segments: u64,
    /// Farthest that one was overtaken: by how many segments, and for how long.
    most_overtaken: u16,
    longest_late: Nanos,
    /// Conversations, and the first of them.
    conversations: u64,
    first: Option<String>,
}

impl Sums {
    pub(super) fn add(&mut self, flow: &Flow) {
        let lossless = |side: &&Side| side.out_of_order > 0 && side.retransmissions == 0 && side.missing_bytes == 0;
        let late: u64 = flow.sides.iter().filter(lossless).map(|side| u64::from(side.out_of_order)).sum();
        if late > 0 {
            self.segments += late;
            for side in flow.sides.iter().filter(lossless) {
                self.most_overtaken = self.most_overtaken.max(side.most_overtaken);
                self.longest_late = self.longest_late.max(side.longest_late.unwrap_or_default());
            }
            self.conversations += 1;
            self.first.get_or_insert_with(|| format!("{} and {}", flow.client, flow.server));
        }
    }
}

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let sums = &known.sums.reordered;
    let Some(first) = &sums.first else { return Vec::new() };
    let between = match sums.conversations {
        1 => format!("between {first}"),
        n => format!("in {} (the first between {first})", say::count(n, "conversation")),
    };
    // Linux takes a segment for lost once three have overtaken it (`tcp_reordering`).
    let extent = match sums.most_overtaken {
        0 => String::new(),
        n => format!(
            " The farthest was overtaken by {}{} and came {} late{}.",
            say::count(n.into(), "segment"),
            if n >= 300 { " or more" } else { "" },
            sums.longest_late,
            if n > 3 { ", which makes a sender that allows for three send it again" } else { "" }
        ),
    };
    vec![format!(
        "{} {between} came out of order, and none was sent again: they were reordered, on the way or by the capture, and nothing was \
         lost.{extent}",
        say::count(sums.segments, "segment")
    )]
}

#[cfg(test)]
mod tests {
    use super::super::case::remarked;
    use crate::rules::OPEN;

    const LATER: &str = "14:40:01.0050 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 101:201, ack 1, win 512, options [nop,nop,TS val 11 ecr 1], length 100\n";
    const ACK: &str = "14:40:01.0060 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 201, win 512, length 0\n";

    #[test]
    fn a_segment_that_comes_late_is_reordered() {
        let late = "14:40:01.0051 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:101, ack 1, win 512, options [nop,nop,TS val 10 ecr 1], length 100\n";
        assert_eq!(
            remarked("reordered", &format!("{OPEN}{LATER}{late}{ACK}")),
            "1 segment between 10.0.0.2:5 and 10.0.0.1:80 came out of order, and none was sent again: they were reordered, on the way or by the \
             capture, and nothing was lost. The farthest was overtaken by 1 segment and came 100 µs late."
        );
    }

    #[test]
    fn a_segment_that_is_sent_again_is_not() {
        let again = "14:40:01.4000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:101, ack 1, win 512, options [nop,nop,TS val 400 ecr 1], length 100\n";
        assert_eq!(remarked("reordered", &format!("{OPEN}{LATER}{again}{ACK}")), "");
    }
}
