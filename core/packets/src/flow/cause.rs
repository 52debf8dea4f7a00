//! What made a sender send again: its timer, a tail loss probe, or what the peer or a router told.
//!
//! Nothing on the wire names the cause, so it is told by what the sender could know when it sent: what the peer had
//! acknowledged, selectively or again, and how long ago. The waits are those at the capture point; the handshake's round trip,
//! which is the whole path's wherever it is measured, says how late the peer's word may have come to the sender.
//!
//! **Sources.** RFC 6298 (timer, doubling), RFC 5681 and RFC 6675 (fast retransmission and recovery), RFC 8985 (RACK, TLP);
//! Linux `net/ipv4/tcp_input.c` and `tcp_output.c` for a timer of no less than 200 ms beyond the round trip.

use crate::time::Nanos;

/// What made a sender send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The retransmission timer ran out.
    Timeout,
    /// An earlier timeout: what was sent before it is sent again as ACKs come back (Linux: `TCPSlowStartRetrans`).
    AfterTimeout,
    /// The peer told of a loss, by three duplicate ACKs or as much by SACK: fast retransmission and recovery.
    Fast,
    /// A segment sent later had arrived, and time passed, though less was told than fast retransmission waits for.
    Rack,
    /// The newest segment again, before the timer, to make the peer answer.
    TailLossProbe,
    /// A router said that it was too large for its next link: it is cut smaller (RFC 1191, RFC 8201).
    PathMtu,
}

impl Cause {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 6] = [Self::Timeout, Self::AfterTimeout, Self::Fast, Self::Rack, Self::TailLossProbe, Self::PathMtu];

    /// Its name in filters: `judgement.cause == "rack"`.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::AfterTimeout => "after_timeout",
            Self::Fast => "fast",
            Self::Rack => "rack",
            Self::TailLossProbe => "tail_loss_probe",
            Self::PathMtu => "path_mtu",
        }
    }
}

/// What shows a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Nothing new was acknowledged for as long as the timer runs.
    Waited,
    /// Likewise, and about twice as long as the time before (RFC 6298 section 5.5).
    WaitDoubled,
    /// The peer told nothing since, so only a timer was left, though one shorter than Linux has.
    NothingHeard,
    /// What had been outstanding when the timer ran out is sent again.
    TimeoutBefore,
    /// Duplicate ACKs.
    DuplicateAcks,
    /// More than two segments' worth of later bytes were acknowledged selectively (RFC 6675 section 2).
    SackedAbove,
    /// A segment that was sent later had arrived.
    LaterArrived,
    /// Sent again before, and later segments had arrived since: lost again.
    LostAgain,
    /// An ACK of a part in recovery (RFC 6582).
    PartialAck,
    /// The newest segment came before older ones that are not acknowledged: a timer would have taken the oldest.
    NewestFirst,
    /// The only segment outstanding, sooner than the timer.
    SoonerThanTimer,
    /// The only segment outstanding, and the next wait was no longer: the timer began only then.
    WaitNotDoubled,
    /// An ICMP error about it.
    TooBig,
}

/// The shortest timer beyond the round trip (Linux `TCP_RTO_MIN`).
const SHORTEST_TIMER: Nanos = Nanos::from_millis(200);
/// The shortest wait that may be a timer, where no round trip is known.
const SHORTEST_WAIT: Nanos = Nanos::from_millis(10);
/// Duplicate ACKs that make a loss (RFC 5681 section 3.2).
const THRESHOLD: u32 = 3;

/// Round trips of one direction, smoothed (RFC 6298 section 2); both 0 before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RoundTrip {
    smoothed_us: u32,
    variation_us: u32,
}

impl RoundTrip {
    /// Takes a measurement.
    #[inline]
    pub(super) fn add(&mut self, sample: Nanos) {
        let sample = (sample.get() / 1_000).clamp(1, i64::from(u32::MAX / 8)) as u32;
        if self.smoothed_us == 0 {
            (self.smoothed_us, self.variation_us) = (sample, sample / 2);
        } else {
            let error = self.smoothed_us.abs_diff(sample);
            self.variation_us = self.variation_us - self.variation_us / 4 + error / 4;
            self.smoothed_us = self.smoothed_us - self.smoothed_us / 8 + sample / 8;
        }
    }
}

/// What the sender could know when it sent a segment again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// SYN or SYN-ACK: only their timer sends them again.
    pub opens: bool,
    /// Since these bytes were last sent.
    pub wait: Nanos,
    /// How long the sending before this one had waited, where it was itself a repeat.
    pub wait_before: Option<Nanos>,
    /// Since the peer last acknowledged something new; `None` if it never did.
    pub since_news: Option<Nanos>,
    /// Since the peer last told of a loss, if it did since it last acknowledged something new.
    pub since_told: Option<Nanos>,
    /// Duplicate ACKs since then.
    pub duplicate_acks: u32,
    /// Bytes above this segment that the peer acknowledged selectively.
    pub sacked_above: u64,
    /// Whether a router has called it too large since it was sent.
    pub too_big: bool,
    /// Whether a segment that was sent again after it has arrived.
    pub later_delivered: bool,
    /// Whether it is the oldest that is not acknowledged.
    pub oldest: bool,
    /// Whether nothing was sent beyond it.
    pub newest: bool,
    /// Whether it was sent before an earlier timeout.
    pub before_timeout: bool,
    /// Whether it was sent before a loss that is still being repaired.
    pub in_recovery: bool,
    /// Bytes of a full segment.
    pub mss: u32,
    /// The handshake's round trip.
    pub handshake: Option<Nanos>,
    /// Those of its data.
    pub round_trip: RoundTrip,
}

impl Moment {
    /// The whole path's round trip, as far as is known.
    fn rtt(&self) -> Nanos {
        let data = Nanos::new(i64::from(self.round_trip.smoothed_us) * 1_000);
        self.handshake.unwrap_or_default().max(data)
    }

    /// A tenth less than the shortest time a timer may take; measurements at the capture point are not the sender's.
    fn timer(&self) -> Nanos {
        let variation = Nanos::new(i64::from(self.round_trip.variation_us) * 4_000);
        let timer = self.rtt().get().saturating_add(variation.max(SHORTEST_TIMER).get());
        Nanos::new(timer - timer / 10)
    }

    /// Whether the peer's word of a loss is so fresh that it may be what was answered.
    fn is_answer(&self) -> bool {
        let fresh = self.rtt().get().saturating_mul(2).saturating_add(50_000_000);
        self.since_told.is_some_and(|since| since < Nanos::new(fresh).min(self.timer()))
    }

    /// The cause and what shows it; `None` where nothing does.
    pub(super) fn cause(&self) -> Option<(Cause, Sign)> {
        let told = self.duplicate_acks > 0 || self.sacked_above > 0;
        let first = self.wait_before.is_none();
        if self.opens {
            return Some((Cause::Timeout, self.waited()));
        }
        if self.too_big {
            return Some((Cause::PathMtu, Sign::TooBig));
        }
        if self.newest && !self.oldest && first && self.since_told.is_none() && !self.before_timeout && !self.in_recovery {
            return Some((Cause::TailLossProbe, Sign::NewestFirst));
        }
        let since = self.since_news.map_or(self.wait, |news| news.min(self.wait));
        // A timer takes the oldest; what else it left outstanding comes in its wake.
        if since >= self.timer() && !self.is_answer() && (self.oldest || !self.before_timeout) {
            return Some((Cause::Timeout, self.waited()));
        }
        if self.before_timeout {
            return Some((Cause::AfterTimeout, Sign::TimeoutBefore));
        }
        if told && !first && self.sacked_above > 0 {
            return Some((Cause::Rack, Sign::LostAgain));
        }
        if self.duplicate_acks >= THRESHOLD {
            return Some((Cause::Fast, Sign::DuplicateAcks));
        }
        if self.sacked_above > u64::from(self.mss) * 2 {
            return Some((Cause::Fast, Sign::SackedAbove));
        }
        if self.sacked_above > 0 || (self.later_delivered && !self.in_recovery) {
            return Some((Cause::Rack, Sign::LaterArrived));
        }
        if told {
            return Some((Cause::Fast, Sign::DuplicateAcks));
        }
        if self.in_recovery && self.since_news.is_some_and(|news| news < self.timer()) {
            return Some((Cause::Fast, Sign::PartialAck));
        }
        let shortest = self.rtt().max(SHORTEST_WAIT);
        match (self.oldest, self.newest) {
            (true, true) if first && self.wait >= shortest => Some((Cause::TailLossProbe, Sign::SoonerThanTimer)),
            (true, _) if since >= shortest => Some((Cause::Timeout, Sign::NothingHeard)),
            _ => None,
        }
    }

    fn waited(&self) -> Sign {
        match self.wait_before {
            Some(before) if is_doubled(before, self.wait) => Sign::WaitDoubled,
            _ => Sign::Waited,
        }
    }
}

/// Whether a wait is about twice as long as the one before.
fn is_doubled(before: Nanos, wait: Nanos) -> bool {
    let (before, wait) = (before.get(), wait.get());
    before > 0 && (before.saturating_mul(8) / 5..=before.saturating_mul(5) / 2).contains(&wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(i64) -> Nanos = Nanos::from_millis;

    /// A moment on a path of 20 ms: the oldest of several, its peer silent since 20 ms after it was sent.
    fn moment(wait: i64) -> Moment {
        let since_news = Some(MS(wait));
        Moment { wait: MS(wait), since_news, oldest: true, mss: 1_448, handshake: Some(MS(20)), ..Moment::default() }
    }

    #[track_caller]
    fn check(moment: Moment, expected: Option<(Cause, Sign)>) {
        assert_eq!(moment.cause(), expected, "{moment:?}");
    }

    #[test]
    fn a_timer_takes_the_round_trip_and_200_ms_and_then_doubles() {
        check(moment(221), Some((Cause::Timeout, Sign::Waited)));
        check(moment(150), Some((Cause::Timeout, Sign::NothingHeard)));
        check(moment(5), None);
        check(Moment { wait_before: Some(MS(221)), ..moment(442) }, Some((Cause::Timeout, Sign::WaitDoubled)));
        check(Moment { wait_before: Some(MS(221)), ..moment(300) }, Some((Cause::Timeout, Sign::Waited)));
        check(Moment { opens: true, ..moment(1_000) }, Some((Cause::Timeout, Sign::Waited)));
        // Something new was acknowledged a moment ago: the timer began anew.
        check(Moment { since_news: Some(MS(1)), ..moment(500) }, None);
    }

    #[test]
    fn a_probe_takes_the_newest_and_comes_sooner() {
        let newest = |wait| Moment { newest: true, oldest: false, ..moment(wait) };
        check(newest(45), Some((Cause::TailLossProbe, Sign::NewestFirst)));
        check(newest(300), Some((Cause::TailLossProbe, Sign::NewestFirst)));
        // The only one outstanding.
        check(Moment { oldest: true, ..newest(60) }, Some((Cause::TailLossProbe, Sign::SoonerThanTimer)));
        check(Moment { oldest: true, ..newest(230) }, Some((Cause::Timeout, Sign::Waited)));
        // A second time is no probe.
        check(Moment { wait_before: Some(MS(45)), ..newest(230) }, Some((Cause::Timeout, Sign::Waited)));
    }

    #[test]
    fn what_the_peer_tells_makes_it_fast() {
        let told = Moment { since_news: Some(MS(30)), since_told: Some(MS(1)), ..moment(40) };
        check(Moment { duplicate_acks: 3, ..told }, Some((Cause::Fast, Sign::DuplicateAcks)));
        check(Moment { duplicate_acks: 1, sacked_above: 2_897, ..told }, Some((Cause::Fast, Sign::SackedAbove)));
        check(Moment { duplicate_acks: 1, sacked_above: 2_896, ..told }, Some((Cause::Rack, Sign::LaterArrived)));
        let again = Moment { wait_before: Some(MS(20)), sacked_above: 9_000, duplicate_acks: 9, ..told };
        check(again, Some((Cause::Rack, Sign::LostAgain)));
        check(Moment { later_delivered: true, ..told }, Some((Cause::Rack, Sign::LaterArrived)));
        check(Moment { in_recovery: true, since_told: None, ..told }, Some((Cause::Fast, Sign::PartialAck)));
        // Told long ago, and nothing since: the timer.
        let silent = Moment { since_told: Some(MS(290)), since_news: Some(MS(300)), wait: MS(310), ..told };
        check(Moment { duplicate_acks: 1, sacked_above: 100, ..silent }, Some((Cause::Timeout, Sign::Waited)));
    }

    #[test]
    fn after_a_timeout_the_rest_follows_the_acks() {
        let after = Moment { before_timeout: true, since_news: Some(MS(1)), ..moment(450) };
        check(after, Some((Cause::AfterTimeout, Sign::TimeoutBefore)));
        check(Moment { since_news: Some(MS(450)), ..after }, Some((Cause::Timeout, Sign::Waited)));
    }

    #[test]
    fn round_trips_are_smoothed_and_widen_the_timer() {
        let mut round_trip = RoundTrip::default();
        (0..50).for_each(|_| round_trip.add(MS(80)));
        assert!((79_000..=80_000).contains(&round_trip.smoothed_us), "{round_trip:?}");
        let slow = Moment { round_trip, handshake: None, ..moment(270) };
        check(slow, Some((Cause::Timeout, Sign::Waited)));
        check(Moment { wait: MS(230), since_news: Some(MS(230)), ..slow }, Some((Cause::Timeout, Sign::NothingHeard)));
    }
}
