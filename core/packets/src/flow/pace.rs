//! How fast a TCP conversation goes, segment by segment: round-trip times, bytes in flight, windows, bytes delivered.
//!
//! What the flow table keeps of a conversation stays small, so none of this is in it: [`Pace`] is fed a conversation's segments
//! again when somebody looks. All of it is as seen where the capture was taken: the round trip of a direction is that from there
//! to the receiver and back.
//!
//! - **Bytes in flight**: sent and neither acknowledged nor told by SACK (RFC 2018), whether or not the capture shows them.
//! - **Round trips**: from the acknowledgement of segments that were sent once (Karn's rule; what was sent again tells nothing), and
//!   from TSecr, when the acknowledgement brings something new (RFC 7323 section 4.1).
//! - **Delivered**: bytes of data that an acknowledgement covers for the first time.
//!
//! Copies taken elsewhere are not fed in. State is bounded: see the `MOST_…` constants.

use super::seq::Reference;
use crate::dissect::{Tcp, TcpFlags};
use crate::ids::Direction;
use crate::time::{Nanos, Timestamp};
use std::collections::VecDeque;

/// Segments remembered of one direction until they are acknowledged; of more the oldest are forgotten and give no round trip.
const MOST_SENT: usize = 4_096;
/// Values of TSval remembered with the time of their first use.
const MOST_STAMPS: usize = 1_024;
/// Stretches told by SACK: of more the last are left out.
const MOST_SACKED: usize = 256;
/// A jump beyond any window (RFC 7323 section 2.3: 1 GiB) is a segment that does not belong.
const FARTHEST: u64 = 1 << 30;

/// What one segment tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paced {
    /// Bytes in flight in its own direction, after it; only of segments that carry something.
    pub sent: Option<u64>,
    /// Bytes in flight in the other direction, after what it acknowledges.
    pub left: Option<u64>,
    /// Round trip of the other direction, by its acknowledgement.
    pub rtt: Option<Nanos>,
    /// Round trip of the other direction, by its TSecr.
    pub echoed: Option<Nanos>,
    /// Bytes of data of the other direction that it acknowledges for the first time.
    pub delivered: u64,
    /// The window it announces, in bytes: how much the other direction may have in flight.
    pub window: Option<u64>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    halves: [Half; 2],
    /// By how much windows are shifted, where both sides agreed to.
    shifts: Option<[u8; 2]>,
}

/// One direction. Numbers are relative to the first that was seen of it, and keep growing.
#[derive(Clone, Debug, Default)]
struct Half {
    reference: Option<Reference>,
    /// After the highest number that was sent, or acknowledged.
    next: u64,
    /// Up to where the peer has everything.
    acked: u64,
    /// Beyond that: disjoint stretches that the peer has, ascending.
    sacked: Vec<(u64, u64)>,
    /// Not acknowledged yet, ascending.
    sent: VecDeque<Sent>,
    /// TSval and when it was first sent, oldest first.
    stamps: VecDeque<(u32, Timestamp)>,
    /// Numbers that SYN and FIN took: they are no data.
    empty: [Option<u64>; 2],
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    seq: u64,
    end: u64,
    at: Timestamp,
    again: bool,
}

impl Pace {
    /// A conversation whose sides announced these window scales; scaling holds where both did.
    pub fn new(scales: [Option<u8>; 2]) -> Self {
        let shifts = match scales {
            [Some(a), Some(b)] => Some([a.min(14), b.min(14)]),
            _ => None,
        };
        Self { halves: Default::default(), shifts }
    }

    /// Takes the next segment. `again` says that it is known to be sent again.
    pub fn observe(&mut self, direction: Direction, segment: &Tcp<'_>, at: Timestamp, again: bool) -> Paced {
        let mut paced = Paced::default();
        let [a, b] = &mut self.halves;
        let (fwd, rev) = match direction {
            Direction::AToB => (a, b),
            Direction::BToA => (b, a),
        };
        if segment.flags.has(TcpFlags::RST) {
            // It sends nothing and offers no window; but one that refuses a SYN acknowledges it.
            if segment.flags.has(TcpFlags::ACK) && rev.place(segment.ack) <= rev.next {
                rev.acknowledge(segment, at, &mut paced);
            }
            return paced;
        }
        if let Some(tsval) = segment.options.tsval {
            fwd.stamp(tsval, at);
        }
        if segment.payload_len > 0 || segment.flags.any(TcpFlags::SYN.or(TcpFlags::FIN)) {
            fwd.send(segment, at, again);
            paced.sent = Some(fwd.in_flight());
        }
        let shift = match self.shifts {
            Some(shifts) if !segment.flags.has(TcpFlags::SYN) => shifts[direction.index()],
            _ => 0,
        };
        paced.window = Some(u64::from(segment.window) << shift);
        if segment.flags.has(TcpFlags::ACK) {
            rev.acknowledge(segment, at, &mut paced);
            paced.left = Some(rev.in_flight());
        }
        paced
    }
}

impl Half {
    /// The relative number of `raw`; the first one asked for is 0.
    fn place(&mut self, raw: u32) -> u64 {
        self.reference.get_or_insert_with(|| Reference::new(raw)).relative(raw)
    }

    fn in_flight(&self) -> u64 {
        let told: u64 = self.sacked.iter().map(|(first, end)| end - first).sum();
        (self.next - self.acked).saturating_sub(told + self.empty_between(self.acked, self.next))
    }

    /// How many numbers from `first` up to before `end` are no data.
    fn empty_between(&self, first: u64, end: u64) -> u64 {
        self.empty.iter().flatten().filter(|number| (first..end).contains(number)).count() as u64
    }

    fn stamp(&mut self, tsval: u32, at: Timestamp) {
        if self.stamps.back().is_some_and(|(last, _)| *last == tsval) {
            return;
        }
        if self.stamps.len() >= MOST_STAMPS {
            self.stamps.pop_front();
        }
        self.stamps.push_back((tsval, at));
    }

    fn send(&mut self, segment: &Tcp<'_>, at: Timestamp, again: bool) {
        let seq = self.place(segment.seq);
        let (syn, fin) = (segment.flags.has(TcpFlags::SYN), segment.flags.has(TcpFlags::FIN));
        let end = seq + u64::from(segment.payload_len) + u64::from(syn) + u64::from(fin);
        if syn {
            self.empty[0] = Some(seq);
        }
        if fin {
            self.empty[1] = Some(end - 1);
        }
        if end <= self.acked || end > self.next + FARTHEST {
            return;
        }
        let place = self.sent.partition_point(|other| other.end <= seq);
        let mut overlaps = false;
        for other in self.sent.range_mut(place..).take_while(|other| other.seq < end) {
            other.again = true;
            overlaps = true;
        }
        if !overlaps {
            // New, or late: what fills a gap that the capture showed.
            self.remember(place, Sent { seq, end, at, again });
        } else if end > self.next {
            self.remember(self.sent.len(), Sent { seq: self.next, end, at, again: true });
        }
        self.next = self.next.max(end);
    }

    fn remember(&mut self, place: usize, sent: Sent) {
        self.sent.insert(place, sent);
        if self.sent.len() > MOST_SENT {
            self.sent.pop_front();
        }
    }

    fn acknowledge(&mut self, segment: &Tcp<'_>, at: Timestamp, paced: &mut Paced) {
        let ack = self.place(segment.ack);
        if ack > self.next + FARTHEST {
            return;
        }
        if ack > self.acked {
            paced.delivered = (ack - self.acked).saturating_sub(self.empty_between(self.acked, ack));
            paced.rtt = self.taken(ack).map(|sent| at - sent);
            paced.echoed = segment.options.tsecr.and_then(|echo| self.echo(echo)).map(|sent| at - sent);
            self.acked = ack;
            self.next = self.next.max(ack);
            if let Some(reference) = &mut self.reference {
                reference.advance(segment.ack);
            }
        }
        for (left, right) in &segment.options.sack {
            let (left, right) = (self.place(*left), self.place(*right));
            // One that lies below the acknowledgement tells of data that came twice (RFC 2883).
            if left > self.acked && left < right && right <= self.next {
                self.tell(left, right);
            }
        }
        let acked = self.acked;
        self.sacked.retain(|(_, end)| *end > acked);
        if let Some((first, _)) = self.sacked.first_mut() {
            *first = (*first).max(acked);
        }
    }

    /// Takes what is acknowledged as a whole: when the last of it was sent, if all of it was sent once.
    fn taken(&mut self, ack: u64) -> Option<Timestamp> {
        let (mut last, mut once) = (None, true);
        while let Some(sent) = self.sent.front().filter(|sent| sent.end <= ack) {
            last = last.max(Some(sent.at));
            once &= !sent.again;
            self.sent.pop_front();
        }
        last.filter(|_| once)
    }

    /// When this TSval was first sent.
    fn echo(&mut self, tsval: u32) -> Option<Timestamp> {
        let place = self.stamps.iter().position(|(stamp, _)| *stamp == tsval)?;
        self.stamps.drain(..place);
        self.stamps.front().map(|(_, at)| *at)
    }

    /// Adds a stretch that SACK tells, joined with those it touches.
    fn tell(&mut self, mut first: u64, mut end: u64) {
        self.sacked.retain(|(other, other_end)| {
            let apart = *other > end || *other_end < first;
            if !apart {
                (first, end) = (first.min(*other), end.max(*other_end));
            }
            apart
        });
        let place = self.sacked.partition_point(|(other, _)| *other < first);
        self.sacked.insert(place, (first, end));
        self.sacked.truncate(MOST_SACKED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::{Transport, dissect};
    use crate::script::{Script, Scripted};
    use std::fmt::Write as _;

    /// What each segment of a script tells, a line each; host 2 is the client.
    fn paced(segments: &str) -> String {
        const OPEN: &str = "date 2021-06-01
14:40:01.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 100, win 600, options [mss 1460,wscale 2], length 0
14:40:01.010 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 900, ack 101, win 700, options [mss 1460,wscale 3], length 0
14:40:01.011 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], ack 1, win 600, length 0
";
        let script = Script::parse(&format!("{OPEN}{segments}")).unwrap_or_else(|error| panic!("{error}"));
        let mut pace = Pace::new([Some(2), Some(3)]);
        let mut out = String::new();
        for record in &script.records {
            let Scripted::Packet { time, frame, wire_len } = record else { continue };
            let packet = dissect(1, frame, *wire_len);
            let Transport::Tcp(segment) = &packet.transport else { panic!("no TCP") };
            let direction = if segment.dst == 80 { Direction::AToB } else { Direction::BToA };
            let told = pace.observe(direction, segment, *time, false);
            let _ = write!(out, "{}", if direction == Direction::AToB { '>' } else { '<' });
            let mut say = |name: &str, value: Option<String>| {
                if let Some(value) = value {
                    let _ = write!(out, " {name} {value}");
                }
            };
            say("sent", told.sent.map(|n| n.to_string()));
            say("left", told.left.map(|n| n.to_string()));
            say("rtt", told.rtt.map(|n| n.to_string()));
            say("echoed", told.echoed.map(|n| n.to_string()));
            say("delivered", Some(told.delivered.to_string()).filter(|_| told.delivered > 0));
            say("window", told.window.map(|n| n.to_string()));
            out.push('\n');
        }
        // The handshake is the same for all: SYN and SYN-ACK carry no data, and windows there are not scaled.
        let begins = "> sent 0 window 600\n< sent 0 left 0 rtt 10.0 ms window 700\n> left 0 rtt 1.00 ms window 2400\n";
        out.strip_prefix(begins).unwrap_or_else(|| panic!("{out}")).to_owned()
    }

    #[test]
    fn data_is_in_flight_until_it_is_acknowledged() {
        let told = paced(
            "14:40:01.020 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1:101, ack 1, win 600, length 100
14:40:01.021 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 101:301, ack 1, win 600, length 200
14:40:01.040 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 101, win 10, length 0
14:40:01.045 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 301, win 10, length 0
14:40:01.050 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [F.], seq 301, ack 1, win 600, length 0
14:40:01.060 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 302, win 10, length 0
",
        );
        // The FIN has a number, and is no data.
        assert_eq!(
            told,
            "> sent 100 left 0 window 2400
> sent 300 left 0 window 2400
< left 200 rtt 20.0 ms delivered 100 window 80
< left 0 rtt 24.0 ms delivered 200 window 80
> sent 0 left 0 window 2400
< left 0 rtt 10.0 ms window 80
"
        );
    }

    #[test]
    fn what_sack_tells_is_no_longer_in_flight() {
        let told = paced(
            "14:40:01.020 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1:101, ack 1, win 600, length 100
14:40:01.021 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 101:201, ack 1, win 600, length 100
14:40:01.022 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 201:301, ack 1, win 600, length 100
14:40:01.023 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 301:401, ack 1, win 600, length 100
14:40:01.040 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 1, win 10, options [nop,nop,sack 1 {101:201}], length 0
14:40:01.041 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 1, win 10, options [nop,nop,sack 1 {101:401}], length 0
14:40:01.050 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1:101, ack 1, win 600, length 100
14:40:01.070 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 401, win 10, length 0
14:40:01.080 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 401, win 10, options [nop,nop,sack 1 {1:101}], length 0
",
        );
        // The second sending of the first 100 bytes adds nothing to what is in flight; Karn's rule forbids a round trip; the last
        // block is a D-SACK, and changes nothing.
        let after: Vec<&str> = told.lines().skip(4).collect();
        assert_eq!(
            after,
            [
                "< left 300 window 80",
                "< left 100 window 80",
                "> sent 100 left 0 window 2400",
                "< left 0 delivered 400 window 80",
                "< left 0 window 80"
            ]
        );
    }

    #[test]
    fn a_time_stamp_tells_the_round_trip_even_of_what_was_sent_again() {
        let told = paced(
            "14:40:01.020 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1:101, ack 1, win 600, options [nop,nop,TS val 20 ecr 0], length 100
14:40:01.320 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1:101, ack 1, win 600, options [nop,nop,TS val 320 ecr 0], length 100
14:40:01.350 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 101, win 10, options [nop,nop,TS val 9 ecr 320], length 0
14:40:01.360 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 101, win 10, options [nop,nop,TS val 10 ecr 320], length 0
",
        );
        // What acknowledges nothing new echoes an old time.
        let after: Vec<&str> = told.lines().skip(2).collect();
        assert_eq!(after, ["< left 0 echoed 30.0 ms delivered 100 window 80", "< left 0 window 80"]);
    }

    #[test]
    fn a_segment_that_comes_late_is_timed_by_itself() {
        let told = paced(
            "14:40:01.020 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 101:201, ack 1, win 600, length 100
14:40:01.030 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq 1:101, ack 1, win 600, length 100
14:40:01.040 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack 201, win 10, length 0
",
        );
        // What the capture did not show yet is in flight all the same; the acknowledgement answers the one that came last.
        assert_eq!(
            told,
            "> sent 200 left 0 window 2400\n> sent 200 left 0 window 2400\n< left 0 rtt 10.0 ms delivered 200 window 80\n"
        );
    }
}
