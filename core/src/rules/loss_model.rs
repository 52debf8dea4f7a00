//! How loss lies: whether it depends on size, on the conversation or on time, and what fits that.
//!
//! **What.** Of losses that no rule explains, the way they lie tells the kind of cause. Large packets alone: a limit of size.
//! One conversation among several on the same path: what keeps state for it, or one of several paths. At equal intervals: a
//! timer, or a limit that is refilled. Next to each other: a queue or a ring that overflows. None of these: chance, as of a rule
//! that drops at random, `netem` or a radio link, though a queue that is full now and then can look like it, too: the lab
//! `tbf-overlimit` does. (That only SYNs are lost is told by the rules of the handshake.)
//!
//! **How sure.** Each is a test of the counts at hand, and is told only where chance alone would show as much in fewer than
//! 5 % of cases; fewer than five losses are said to be too few. That tests find nothing is told as that and with the interval
//! of the probability, not as a proof.
//!
//! **Left out.** What the repeats do not show (`flow::Loss`): losses in the wake of a timeout, and of bare acknowledgements,
//! which are never sent again. Captures with copies: their packets are counted once for each capture point.
//!
//! **Sources.** DIAGNOSIS R11 and M3 (one-sided Fisher test, five large losses at least); Fisher's exact test and binomial tails
//! in `chance`.

use super::draft::reason;
use super::group::PathGroup;
use super::{View, chance, say};
use crate::anchor::{Anchor, Place};
use crate::dissect::Protocol;
use crate::finding::Reason;
use crate::flow::{Flow, Loss, Side};
use crate::ids::Direction;
use crate::time::Nanos;
use std::collections::BTreeSet;

/// Fewer losses are too few to tell.
const ENOUGH: u64 = 5;
/// Fewer losses than this look like chance whatever made them.
const ENOUGH_FOR_CHANCE: u64 = 8;
/// What chance alone shows more seldom than this is told.
const SELDOM: f64 = 0.05;
/// Packets up to this size fit every path (RFC 791: 576 bytes of datagram).
const MIDDLE: u32 = 576;
/// Losses within this time of each other are one event: no sender learns of the first so soon.
const TOGETHER: Nanos = Nanos::from_millis(20);
/// Events at equal intervals that make a rhythm, and by how much of the mean an interval may differ.
const RHYTHM: (usize, f64) = (6, 0.1);

/// Losses of one direction of a conversation, by place in its data.
struct Lost<'a> {
    flow: &'a Flow,
    side: &'a Side,
    /// By their first byte, each only once however often it was lost.
    losses: Vec<&'a Loss>,
}

/// How the losses of a group lie; `None` where nothing was lost more than once, or copies forbid counting.
pub(super) fn reason_of(view: &View<'_>, group: &PathGroup<'_>) -> Option<Reason> {
    let sides = || group.hits.iter().map(|(flow, direction)| flow.side(*direction));
    let all: u64 = sides().map(|side| u64::from(side.loss_count)).sum();
    let lost: Vec<Lost<'_>> = group.hits.iter().map(|(flow, direction)| Lost::of(flow, flow.side(*direction))).collect();
    // The same data lost again and again is one place, and tells of one.
    let places: u64 = lost.iter().map(|lost| lost.losses.len() as u64).sum();
    if places < 2 || sides().any(|side| side.copies > 0) {
        return None;
    }
    let anchors = sides().flat_map(|side| &side.losses).map(|loss| Anchor::from(Place::Packet(loss.repeat)));
    if places < ENOUGH {
        return Some(reason(
            format!("{} are too few to tell whether size or time decides.", say::count(places, "loss")),
            anchors,
        ));
    }
    let (sizes, when) = (Sizes::of(&lost), When::of(&lost));
    let model = sizes
        .told()
        .or_else(|| rhythm(&lost))
        .or_else(|| when.bursts(sizes.share()))
        .or_else(|| one_conversation(view, group, &sizes))
        .or_else(|| when.uneven())
        .unwrap_or_else(|| sizes.chance(places));
    let kept: u64 = sides().map(|side| side.losses.len() as u64).sum();
    let of = if kept < all { format!(" (the first {kept} of {all} losses)") } else { String::new() };
    Some(reason(format!("{}; {}{of}. {model}", sizes.text(), when.text()), anchors))
}

impl<'a> Lost<'a> {
    fn of(flow: &'a Flow, side: &'a Side) -> Self {
        let mut losses: Vec<&Loss> = side.losses.iter().collect();
        crate::sort::by_key(&mut losses, |loss| (loss.first, loss.repeat));
        losses.dedup_by_key(|loss| loss.first);
        Self { flow, side, losses }
    }

    /// Bytes of IP up to which a packet may be a bare acknowledgement: header, and all options there may be.
    fn bare(&self) -> u32 {
        if self.flow.server.address.is_ipv6() { 100 } else { 80 }
    }

    /// Packets with data up to the middle size, and larger: lost, and sent.
    fn by_size(&self) -> [(u64, u64); 2] {
        let sent = self.side.sent_by_size(self.bare(), MIDDLE);
        let mut counts = sent.map(|sent| (0, sent));
        for loss in self.side.losses.iter().filter(|loss| loss.ip_len > self.bare()) {
            let (lost, sent) = &mut counts[usize::from(loss.ip_len > MIDDLE)];
            *lost += 1;
            // What was lost before the capture point was sent, too.
            *sent += u64::from(!loss.captured);
        }
        counts
    }
}

/// Packets with data up to the middle size, and larger: lost, and sent.
struct Sizes {
    small: (u64, u64),
    large: (u64, u64),
}

impl Sizes {
    fn of(lost: &[Lost<'_>]) -> Self {
        let mut sum = [(0, 0); 2];
        for one in lost.iter().map(Lost::by_size) {
            for (sum, one) in sum.iter_mut().zip(one) {
                *sum = (sum.0 + one.0, sum.1 + one.1);
            }
        }
        let [small, large] = sum;
        Self { small, large }
    }

    /// Lost and sent of all sizes.
    fn share(&self) -> (u64, u64) {
        (self.small.0 + self.large.0, self.small.1 + self.large.1)
    }

    fn text(&self) -> String {
        let part = |(lost, sent): (u64, u64), what: String| {
            (sent > 0).then(|| format!("{} of {} {what} ({})", say::number(lost), say::number(sent), say::percent(lost, sent)))
        };
        let smaller = match self.large.1 {
            0 => format!("packets with data of up to {MIDDLE} bytes of IP"),
            _ => "smaller ones".to_owned(),
        };
        let parts = [part(self.large, format!("packets with data above {MIDDLE} bytes of IP")), part(self.small, smaller)];
        match parts.into_iter().flatten().collect::<Vec<_>>()[..] {
            [] => "Only packets with hardly any data were lost".to_owned(),
            ref parts => format!("{} were lost", parts.join(" and ")),
        }
    }

    /// Large packets are lost more often.
    fn told(&self) -> Option<String> {
        let p = chance::fisher(self.large, self.small)?;
        (self.large.0 >= ENOUGH && p < SELDOM).then(|| {
            format!(
                "Size decides ({}): a link or tunnel with a smaller MTU fits, and so does a queue that bulk data fills.",
                likelihood(p)
            )
        })
    }

    /// Nothing decides that these counts show.
    fn chance(&self, places: u64) -> String {
        let (lost, sent) = self.share();
        match chance::interval95(lost, sent) {
            Some((low, high)) if places >= ENOUGH_FOR_CHANCE => format!(
                "Neither size nor time decides as far as these counts show: each packet is lost with a probability of {} to {} (95 %), which fits a rule that drops at random, netem or a radio link, and \
                 a queue that is full now and then.",
                say::share(low),
                say::share(high)
            ),
            _ => "Neither size nor time decides as far as so few losses show.".to_owned(),
        }
    }
}

/// Where in the data losses lie, which stands for time: each packet counts the same, however fast they were sent.
struct When {
    first_half: u64,
    second_half: u64,
    /// Right behind another one.
    adjacent: u64,
}

impl When {
    fn of(lost: &[Lost<'_>]) -> Self {
        let mut when = Self { first_half: 0, second_half: 0, adjacent: 0 };
        for Lost { side, losses, .. } in lost {
            for loss in losses {
                let half = if loss.first <= side.sent_to / 2 { &mut when.first_half } else { &mut when.second_half };
                *half += 1;
            }
            let follows = |pair: &&[&Loss]| {
                pair[0].last + 1 == pair[1].first && (pair[1].sent_at - pair[0].sent_at).get().abs() <= TOGETHER.get()
            };
            when.adjacent += losses.windows(2).filter(follows).count() as u64;
        }
        when
    }

    fn text(&self) -> String {
        format!(
            "{} in the first half of the data, {} in the second, {} right behind another",
            say::number(self.first_half),
            say::number(self.second_half),
            say::number(self.adjacent)
        )
    }

    /// They come in bursts.
    fn bursts(&self, (lost, sent): (u64, u64)) -> Option<String> {
        let share = if lost < sent { lost as f64 / sent as f64 } else { return None };
        let p = chance::at_least(self.adjacent, self.first_half + self.second_half, share);
        (self.adjacent >= 2 && p < SELDOM)
            .then(|| format!("They come in bursts ({}): a queue or a ring that overflows fits.", likelihood(p)))
    }

    /// They come now and not then.
    fn uneven(&self) -> Option<String> {
        let places = self.first_half + self.second_half;
        let p = 2.0 * chance::at_least(self.first_half.max(self.second_half), places, 0.5);
        (p < SELDOM).then(|| {
            format!(
                "They are not spread evenly ({}): what drops began, ended or changed while the capture lasted.",
                likelihood(p)
            )
        })
    }
}

/// Others between the same hosts, that lose nothing though they would if all were alike.
fn one_conversation(view: &View<'_>, group: &PathGroup<'_>, sizes: &Sizes) -> Option<String> {
    let [(only, direction)] = group.hits[..] else { return None };
    let ends = |flow: &Flow, direction: Direction| (flow.sender(direction).address, flow.sender(direction.reverse()).address);
    let wanted = ends(only, direction);
    let mut others = BTreeSet::new();
    let mut sent = 0;
    for flow in view.flows.iter().filter(|flow| flow.transport == Protocol::Tcp && flow.id != only.id) {
        for direction in [Direction::AToB, Direction::BToA] {
            if ends(flow, direction) == wanted {
                let packets: u64 = Lost::of(flow, flow.side(direction)).by_size().iter().map(|(_, sent)| sent).sum();
                sent += packets;
                others.extend((packets > 0).then_some(flow.id));
            }
        }
    }
    let p = chance::fisher(sizes.share(), (0, sent))?;
    (p < SELDOM).then(|| {
        format!(
            "It is the only conversation that suffers: {} between the same hosts lost none of {} ({}): what keeps state for a conversation, \
             or one of several paths, fits.",
            say::count(others.len() as u64, "other"),
            say::count(sent, "packet"),
            likelihood(p)
        )
    })
}

/// Losses at equal intervals.
fn rhythm(lost: &[Lost<'_>]) -> Option<String> {
    let mut times: Vec<i64> = lost.iter().flat_map(|lost| &lost.losses).map(|loss| loss.sent_at.nanos()).collect();
    crate::sort::by_key(&mut times, |time| *time);
    let mut events: Vec<i64> = Vec::new();
    for time in times {
        if events.last().is_none_or(|last| time.saturating_sub(*last) > TOGETHER.get()) {
            events.push(time);
        }
    }
    let (least, tolerance) = RHYTHM;
    let (first, last) = (events.first()?, events.last()?);
    if events.len() < least {
        return None;
    }
    let mean = last.saturating_sub(*first) as f64 / (events.len() - 1) as f64;
    let even = events.windows(2).all(|pair| (pair[1].saturating_sub(pair[0]) as f64 - mean).abs() <= mean * tolerance);
    even.then(|| {
        format!(
            "They come every {}, {} times: a timer or a limit that is refilled fits, unless the sender itself keeps that rhythm.",
            Nanos::new(mean as i64),
            events.len()
        )
    })
}

/// `chance would show as much in 0.3 % of cases`.
fn likelihood(p: f64) -> String {
    if p < 0.001 {
        "chance would show as much in less than 0.1 % of cases".to_owned()
    } else {
        format!("chance would show as much in {} of cases", say::share((p * 1_000.0).round() / 1_000.0))
    }
}

#[cfg(test)]
mod tests {
    use crate::script::Script;
    use std::fmt::Write;

    /// A conversation of port `port`, each of whose segments is acknowledged before the next; those for which `lost` says so, by
    /// number, are sent again after 300 ms. `length` tells each segment's bytes, and `pause` the milliseconds before it.
    fn one_by_one(port: u16, count: u64, length: fn(u64) -> u64, lost: fn(u64) -> bool, pause: u64) -> String {
        let (mut out, mut ms, mut seq) = (format!("date 2021-06-01\n{}", open(port)), 1_000_u64, 1_u64);
        for number in 0..count {
            ms += pause;
            let end = seq + length(number);
            let data =
                format!("IP 10.0.0.2.{port} > 10.0.0.1.80: Flags [.], seq {seq}:{end}, ack 1, win 512, length {}", end - seq);
            let _ = writeln!(out, "{} {data}", clock(ms));
            if lost(number) {
                ms += 300;
                let _ = writeln!(out, "{} {data}", clock(ms));
            }
            let _ = writeln!(
                out,
                "{} IP 10.0.0.1.80 > 10.0.0.2.{port}: Flags [.], seq 1, ack {end}, win 512, length 0",
                clock(ms + 1)
            );
            seq = end;
        }
        out
    }

    fn open(port: u16) -> String {
        crate::rules::OPEN.split_once('\n').expect("a date").1.replace("10.0.0.2.5", &format!("10.0.0.2.{port}"))
    }

    fn clock(ms: u64) -> String {
        format!("{:02}:{:02}:{:02}.{:03}", 14 + ms / 3_600_000, 40 + ms / 60_000 % 20, ms / 1_000 % 60, ms % 1_000)
    }

    /// What the finding says of how the losses lie.
    #[track_caller]
    fn check(script: &str, expected: &str) {
        let script = Script::parse(script).unwrap_or_else(|error| panic!("{error}"));
        let judgement = crate::rules::case::judged(&crate::reference::encode(&script));
        let finding = judgement.findings.iter().find(|finding| finding.rule == "retransmission").expect("a finding");
        let told = |text: &&str| text.contains(" were lost; ") || text.contains("too few to tell");
        let said = finding.reasons.iter().map(|reason| reason.text.as_str()).find(told).unwrap_or("nothing");
        assert_eq!(said, expected);
    }

    /// Numbers without order: the middle square of a few digits would do; this is the golden ratio's (Knuth, volume 3).
    fn scattered(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33
    }

    const ALTERNATING: fn(u64) -> u64 = |number| if number.is_multiple_of(2) { 400 } else { 1_000 };

    #[test]
    fn large_packets_alone_are_a_matter_of_size() {
        check(
            &one_by_one(5, 40, ALTERNATING, |number| number % 4 == 1, 7),
            "10 of 30 packets with data above 576 bytes of IP (33.3 %) and 0 of 20 smaller ones (0 %) were lost; 5 in the first \
             half of the data, 5 in the second, 0 right behind another. Size decides (chance would show as much in 0.3 % of \
             cases): a link or tunnel with a smaller MTU fits, and so does a queue that bulk data fills.",
        );
    }

    #[test]
    fn losses_without_order_are_chance() {
        check(
            &one_by_one(5, 120, ALTERNATING, |number| scattered(number).is_multiple_of(9), 7),
            "5 of 65 packets with data above 576 bytes of IP (7.7 %) and 9 of 69 smaller ones (13.0 %) were lost; 8 in the \
             first half of the data, 6 in the second, 0 right behind another. Neither size nor time decides as far as these \
             counts show: each packet is lost with a probability of 6.3 % to 16.8 % (95 %), which fits a rule that drops at random, netem or a radio link, and \
                 a queue that is full now and then.",
        );
    }

    #[test]
    fn losses_at_equal_intervals_are_a_rhythm() {
        check(
            &one_by_one(5, 160, ALTERNATING, |number| number % 20 == (number / 20) % 2, 10),
            "4 of 84 packets with data above 576 bytes of IP (4.8 %) and 4 of 84 smaller ones (4.8 %) were lost; 4 in the first \
             half of the data, 4 in the second, 0 right behind another. They come every 501 ms, 8 times: a timer or a limit \
             that is refilled fits, unless the sender itself keeps that rhythm.",
        );
    }

    #[test]
    fn few_losses_are_said_to_be_few() {
        check(
            &one_by_one(5, 40, ALTERNATING, |number| number % 10 == 3, 7),
            "4 losses are too few to tell whether size or time decides.",
        );
        check(&one_by_one(5, 40, ALTERNATING, |number| number == 3, 7), "nothing");
        // The same data, however often it is lost, is one loss.
        let (before, after) = one_by_one(5, 5, ALTERNATING, |number| number == 3, 7)
            .split_once("14:40:01.028")
            .map_or_else(|| panic!("the fourth segment"), |(before, after)| (before.to_owned(), after.to_owned()));
        let data = after.lines().next().expect("a segment");
        let again: String = (0..6).map(|n| format!("14:40:01.0{}{data}\n", 30 + 3 * n)).collect();
        check(&format!("{before}14:40:01.028{data}\n{again}{}", after.split_once('\n').expect("more").1), "nothing");
    }

    #[test]
    fn losses_that_begin_late_are_not_spread_evenly() {
        check(
            &one_by_one(5, 160, ALTERNATING, |number| number > 80 && scattered(number).is_multiple_of(7), 7),
            "8 of 88 packets with data above 576 bytes of IP (9.1 %) and 6 of 86 smaller ones (7.0 %) were lost; 0 in the first \
             half of the data, 14 in the second, 0 right behind another. They are not spread evenly (chance would show as much \
             in less than 0.1 % of cases): what drops began, ended or changed while the capture lasted.",
        );
    }

    #[test]
    fn one_conversation_of_several_is_told_apart() {
        let suffers = one_by_one(5, 120, ALTERNATING, |number| scattered(number).is_multiple_of(9), 7);
        check(
            &format!("{suffers}{}", one_by_one(6, 60, ALTERNATING, |_| false, 7).replace("14:4", "14:5")),
            "5 of 65 packets with data above 576 bytes of IP (7.7 %) and 9 of 69 smaller ones (13.0 %) were lost; 8 in the \
             first half of the data, 6 in the second, 0 right behind another. It is the only conversation that suffers: 1 other \
             between the same hosts lost none of 60 packets (chance would show as much in 0.5 % of cases): what keeps state for \
             a conversation, or one of several paths, fits.",
        );
        // Near miss: too few packets of the other to tell.
        check(
            &format!("{suffers}{}", one_by_one(6, 5, ALTERNATING, |_| false, 7).replace("14:4", "14:5")),
            "5 of 65 packets with data above 576 bytes of IP (7.7 %) and 9 of 69 smaller ones (13.0 %) were lost; 8 in the first half of the data, 6 in the second, 0 right behind another. Neither size nor time decides as far as these counts show: each packet is lost with a probability of 6.3 % to 16.8 % (95 %), which fits a rule that drops at random, netem or a radio link, and \
                 a queue that is full now and then.",
        );
    }

    /// Windows of eight segments, of which three in a row are lost each time, and sent again as SACK tells of them.
    #[test]
    fn losses_in_a_row_are_bursts() {
        let mut out = crate::rules::OPEN.to_owned();
        for window in 0..6_u64 {
            let (base, ms) = (1 + window * 8_000, 2_000 + window * 137 + window * window * 31);
            let mut data = |ms: u64, number: u64| {
                let seq = base + number * 1_000;
                let _ = writeln!(
                    out,
                    "{} IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], seq {seq}:{}, ack 1, win 512, length 1000",
                    clock(ms),
                    seq + 1_000
                );
            };
            (0..8).for_each(|number| data(ms, number));
            (1..4).for_each(|number| data(ms + 40, number));
            let again = out.split_off(out.match_indices('\n').rev().nth(3).map_or(0, |(at, _)| at + 1));
            for seen in 5..=8 {
                let _ = writeln!(
                    out,
                    "{} IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack {}, win 512, options [nop,nop,sack 1 {{{}:{}}}], length 0",
                    clock(ms + 20),
                    base + 1_000,
                    base + 4_000,
                    base + seen * 1_000
                );
            }
            out += &again;
            let _ = writeln!(
                out,
                "{} IP 10.0.0.1.80 > 10.0.0.2.5: Flags [.], seq 1, ack {}, win 512, length 0",
                clock(ms + 60),
                base + 8_000
            );
        }
        check(
            &out,
            "18 of 66 packets with data above 576 bytes of IP (27.3 %) were lost; 9 in the first half \
             of the data, 9 in the second, 12 right behind another. They come in bursts (chance would show as much in less than \
             0.1 % of cases): a queue or a ring that overflows fits.",
        );
    }
}
