//! `one_direction`: only one side of the conversations was captured, by a one-way tap, a mirror port of one direction, or because
//! the answers take another way.

use super::super::engine::Knowledge;
use crate::flow::{Flow, Side};
use crate::ids::Direction;
use crate::rules::say;
use std::net::IpAddr;

/// A side that sends so many bare ACKs has heard something; a prober sends fewer.
const ACKS: u32 = 3;

/// See [`super::Sums`].
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// TCP conversations that could show two sides.
    conversations: u64,
    /// Those of them in which only the client, and only the server, was seen.
    only: [u64; 2],
    /// Who was seen in them: the first, and whether there are others.
    sender: Option<(IpAddr, bool)>,
}

impl Sums {
    pub(super) fn add(&mut self, flow: &Flow) {
        let seen = seen_alone(flow);
        let [client, server] = &flow.sides;
        let packets = client.packets + server.packets;
        if packets < 2 || (packets < 3 && seen.is_none()) {
            return;
        }
        self.conversations += 1;
        if let Some(direction) = seen {
            self.only[direction.index()] += 1;
            let address = flow.sender(direction).address;
            let (first, others) = self.sender.get_or_insert((address, false));
            *others |= *first != address;
        }
    }
}

/// The direction that was seen, if the other was not though its sender must have spoken.
fn seen_alone(flow: &Flow) -> Option<Direction> {
    let has_heard = |side: &Side| side.payload_bytes > 0 || (flow.completeness & 4 != 0 && side.packets >= ACKS);
    match &flow.sides {
        [client, server] if client.packets == 0 => {
            (has_heard(server) || flow.handshake.syn_ack.is_some()).then_some(Direction::BToA)
        }
        [client, server] if server.packets == 0 => has_heard(client).then_some(Direction::AToB),
        _ => None,
    }
}

pub(super) fn tell(known: &Knowledge<'_>) -> Vec<String> {
    let sums = &known.sums.directions;
    let one_way: u64 = sums.only.iter().sum();
    if one_way == 0 || one_way * 2 < sums.conversations {
        return Vec::new();
    }
    let whose = match (sums.sender, sums.only) {
        (Some((sender, false)), _) => format!(", what {sender} sent"),
        (_, [_, 0]) => ", the clients'".to_owned(),
        (_, [0, _]) => ", the servers'".to_owned(),
        _ => String::new(),
    };
    vec![format!(
        "Of {} of {} only one direction was captured{whose}: what the other side received and answered is not known. This is a one-way \
         tap, or the answers take another way; it is no loss.",
        say::number(one_way),
        say::count(sums.conversations, "TCP conversation")
    )]
}

#[cfg(test)]
mod tests {
    use super::super::case::remarked;

    #[test]
    fn the_servers_side_alone_is_told_as_a_one_way_tap() {
        let script = "date 2021-06-01
14:40:01.0 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 900, ack 101, win 512, options [mss 1460], length 0
14:40:01.1 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 901, ack 153, win 512, length 0
14:40:01.2 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [F.], seq 901, ack 154, win 512, length 0
";
        assert_eq!(
            remarked("one_direction", script),
            "Of 1 of 1 TCP conversation only one direction was captured, what 10.0.0.1 sent: what the other side received and answered is not \
             known. This is a one-way tap, or the answers take another way; it is no loss."
        );
    }

    #[test]
    fn a_scan_that_nobody_answers_is_no_one_way_tap() {
        let syns: String = (1..=20)
            .map(|port| format!("14:40:01.{port:02} IP 10.0.0.2.5 > 10.0.0.1.{port}: Flags [S], seq 1, win 512, length 0\n"))
            .collect();
        assert_eq!(remarked("one_direction", &format!("date 2021-06-01\n{syns}")), "");
    }
}
