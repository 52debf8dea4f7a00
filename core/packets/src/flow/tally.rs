//! What is counted of one direction: labels, judgements and what became of them, and how long its window was closed.
//!
//! Segments are counted as they are on the wire, whatever the capture holds as one packet.

use super::Labels;
use super::analysis::Labelled;
use super::conversation::{Course, Flow, Seen, Side};
use super::judgement::{Evidence, Judgement, Verdict};
use super::repair::Amended;
use crate::dissect::{Ip, Tcp as Header, TcpFlags};
use crate::ids::Direction;
use crate::time::{Nanos, Span};

/// Bytes of data that fill a segment of this direction, where the handshake told: neither end can send more (RFC 9293 section
/// 3.7.1; the options of every segment are part of it, RFC 6691).
pub(super) fn full_segment(flow: &Flow, direction: Direction, ip: &Ip, header: &Header<'_>) -> Option<u32> {
    let (own, peer) = (flow.side(direction).mss, flow.side(direction.reverse()).mss);
    let mss = u32::from(peer?.min(own.unwrap_or(u16::MAX)));
    if header.payload_len <= mss / 2 {
        return Some(mss.max(1));
    }
    let headers = ip.total_len.saturating_sub(header.payload_len);
    let options = headers.saturating_sub(if ip.src.is_ipv6() { 60 } else { 40 });
    Some(mss.saturating_sub(options).max(1))
}

/// Whether it was sent again: as labelled, unless the evidence says otherwise.
pub(super) fn is_sent_again(labels: Labels, judgement: Option<Judgement>) -> bool {
    match judgement.map(|judgement| judgement.verdict) {
        Some(Verdict::Reordered | Verdict::ZeroWindowProbe) => false,
        Some(verdict) if verdict.is_sent_again() => true,
        _ => labels.has(Labels::RETRANSMISSION),
    }
}

/// Counts what labels and judgement say; `again` has the wire's segments of one that was sent again.
pub(super) fn note_labels(side: &mut Side, labelled: Labelled, judgement: Option<Judgement>, again: Option<u32>, seen: Seen) {
    const LATE: Labels = Labels::RETRANSMISSION.or(Labels::OUT_OF_ORDER);
    const COUNTED: Labels = LATE.or(Labels::DUPLICATE_ACK).or(Labels::ZERO_WINDOW).or(Labels::WINDOW_FULL).or(Labels::KEEP_ALIVE);
    let labels = labelled.labels;
    if !labels.any(COUNTED.or(Labels::ZERO_WINDOW_PROBE)) {
        return;
    }
    let verdict = judgement.map(|judgement| judgement.verdict);
    let probe = verdict == Some(Verdict::ZeroWindowProbe);
    let course = side.course_mut();
    course.out_of_order += u32::from(labels.any(LATE) && again.is_none() && !probe);
    course.duplicate_acks += u32::from(labels.has(Labels::DUPLICATE_ACK) && verdict != Some(Verdict::NoLossTold));
    course.zero_windows += u32::from(labels.has(Labels::ZERO_WINDOW));
    course.windows_filled += u32::from(labels.has(Labels::WINDOW_FULL));
    course.window_probes += u32::from(labels.has(Labels::ZERO_WINDOW_PROBE) || probe);
    if let Some(segments) = again {
        add(&mut course.retransmissions, segments);
        course.first_retransmission = course.first_retransmission.or(Some(seen));
        course.last_retransmission = Some(seen);
        let wait = judgement.and_then(|judgement| judgement.wait);
        course.longest_stall = course.longest_stall.max(labelled.rto).max(wait);
        if let Some(cause) = judgement.and_then(|judgement| judgement.cause) {
            add(&mut course.causes[cause as usize], segments);
        }
        if verdict == Some(Verdict::SentNeedlessly) {
            add(&mut course.needless, segments);
        }
    } else if verdict == Some(Verdict::Reordered)
        && let Some(judgement) = judgement
    {
        course.most_overtaken = course.most_overtaken.max(judgement.count);
        course.longest_late = course.longest_late.max(judgement.wait);
    }
}

/// How long its own window was closed.
pub(super) fn note_window(side: &mut Side, header: &Header<'_>, labels: Labels, seen: Seen) {
    if labels.has(Labels::ZERO_WINDOW) {
        let course = side.course_mut();
        if course.closed_since.is_none() {
            course.closed_since = Some(seen);
            course.closed_runs += 1;
        }
    } else if let Some(closed) = side.closed_since
        && (header.window != 0 || header.flags.has(TcpFlags::RST))
    {
        let course = side.course_mut();
        let length = seen.at - closed.at;
        course.closed_time = sum(course.closed_time, length);
        course.longest_closed = course.longest_closed.max(Some(length));
        course.closed_since = None;
        course.last_closed = Some(Span::new(closed.at, seen.at));
    }
}

/// The sum of two lengths; time stamps from a damaged file saturate.
pub(super) const fn sum(a: Nanos, b: Nanos) -> Nanos {
    Nanos::new(a.get().saturating_add(b.get()))
}

fn add(count: &mut u32, segments: u32) {
    *count = count.saturating_add(segments);
}

fn take(count: &mut u32, segments: u32) {
    *count = count.saturating_sub(segments);
}

impl Course {
    /// Counts anew what was judged anew.
    pub(super) fn amend(&mut self, amended: &Amended) {
        let Amended { before, judgement, segments, .. } = *amended;
        if let (Some(was), Some(is)) = (before.cause, judgement.cause)
            && was != is
        {
            take(&mut self.causes[was as usize], segments);
            add(&mut self.causes[is as usize], segments);
        }
        self.forget_loss(amended);
        if judgement.verdict != Verdict::SentNeedlessly {
            return;
        }
        if before.verdict != Verdict::SentNeedlessly {
            add(&mut self.needless, segments);
        }
        for (evidence, count) in [
            (Evidence::Dsack, &mut self.needless_by_dsack),
            (Evidence::Eifel, &mut self.needless_by_eifel),
            (Evidence::Frto, &mut self.needless_by_frto),
        ] {
            if before.evidence == evidence {
                take(count, segments);
            }
            if judgement.evidence == evidence {
                add(count, segments);
            }
        }
        if let Some(cost) = amended.tail {
            self.tail_losses = self.tail_losses.saturating_sub(1);
            self.tail_loss_time = sum(self.tail_loss_time, Nanos::new(cost.get().saturating_neg()));
        }
    }
}
