//! Places in a log that evidence, links and notes point to.
//!
//! An anchor has a short text form, used in links and in `check --json`, that parses back to the same anchor:
//! `p42` (packet 42), `f3>1-75` (bytes 1 to 75 of flow 3 from client to server), `c17@T-T` (a step of counter 17),
//! `r4026531840/filter/INPUT/9c1f…` (a firewall rule), `d7` (kernel drop 7), `i4026531840/2` (an interface),
//! `t@T-T` (a span of time); `2:p42` is packet 42 of capture 2.

use crate::ids::{CaptureNo, CounterId, Direction, DropNo, FlowId, NetnsId, PacketNo};
use crate::time::{Span, Timestamp};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// A place in one capture.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Anchor {
    /// The capture that holds it.
    pub capture: CaptureNo,
    /// Where in it.
    pub place: Place,
}

/// What an anchor points to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Place {
    /// One packet.
    Packet(PacketNo),
    /// A conversation.
    Flow(FlowId),
    /// Bytes of one direction of a conversation, relative to its first byte being 1 (`seq` as tcpdump and Wireshark show it);
    /// both ends belong to it. Used for bytes that were never seen, too.
    Bytes {
        /// The conversation.
        flow: FlowId,
        /// Which of its directions.
        direction: Direction,
        /// The first byte.
        first: u64,
        /// The last byte.
        last: u64,
    },
    /// A counter's change over a span.
    Counter {
        /// Which counter.
        counter: CounterId,
        /// From the snapshot before the step to the one after it.
        span: Span,
    },
    /// A firewall rule, by its identity (content and place among equals, never a line number).
    FirewallRule {
        /// The namespace whose rule it is.
        netns: NetnsId,
        /// `log::block::FirewallRule::id`.
        rule: String,
    },
    /// A packet the kernel dropped.
    KernelDrop(DropNo),
    /// A network interface of a watched host.
    Interface {
        /// Its namespace.
        netns: NetnsId,
        /// The kernel's number for it there.
        ifindex: u32,
    },
    /// A stretch of time.
    Span(Span),
}

impl From<Place> for Anchor {
    fn from(place: Place) -> Self {
        Self { capture: CaptureNo(0), place }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.capture.0 != 0 {
            write!(f, "{}:", self.capture)?;
        }
        let span = |s: &Span| format!("{}-{}", s.start.nanos(), s.end.nanos());
        match &self.place {
            Place::Packet(no) => write!(f, "p{no}"),
            Place::Flow(flow) => write!(f, "f{flow}"),
            Place::Bytes { flow, direction, first, last } => {
                let arrow = match direction {
                    Direction::AToB => '>',
                    Direction::BToA => '<',
                };
                write!(f, "f{flow}{arrow}{first}-{last}")
            }
            Place::Counter { counter, span: s } => write!(f, "c{counter}@{}", span(s)),
            Place::FirewallRule { netns, rule } => write!(f, "r{}/{rule}", netns.0),
            Place::KernelDrop(no) => write!(f, "d{no}"),
            Place::Interface { netns, ifindex } => write!(f, "i{}/{ifindex}", netns.0),
            Place::Span(s) => write!(f, "t@{}", span(s)),
        }
    }
}

/// Text that is not an anchor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not name a place in a capture; expected something like p42, f3>1-75, c17@START-END or d7")]
pub struct NotAnAnchor(pub String);

impl FromStr for Anchor {
    type Err = NotAnAnchor;

    fn from_str(text: &str) -> Result<Self, NotAnAnchor> {
        parse(text).ok_or_else(|| NotAnAnchor(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Anchor> {
    // A rule's identity may hold colons, so only leading digits before a colon name a capture.
    let (capture, rest) = match text.split_once(':') {
        Some((n, rest)) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => (CaptureNo(n.parse().ok()?), rest),
        _ => (CaptureNo(0), text),
    };
    let kind = rest.chars().next()?;
    let body = &rest[kind.len_utf8()..];
    let place = match kind {
        'p' => Place::Packet(PacketNo(body.parse().ok()?)),
        'd' => Place::KernelDrop(DropNo(body.parse().ok()?)),
        'f' => match body.find(['>', '<']) {
            None => Place::Flow(FlowId(body.parse().ok()?)),
            Some(at) => {
                let (first, last) = body[at + 1..].split_once('-')?;
                Place::Bytes {
                    flow: FlowId(body[..at].parse().ok()?),
                    direction: if &body[at..=at] == ">" { Direction::AToB } else { Direction::BToA },
                    first: first.parse().ok()?,
                    last: last.parse().ok()?,
                }
            }
        },
        'c' => {
            let (id, span) = body.split_once('@')?;
            Place::Counter { counter: CounterId(id.parse().ok()?), span: parse_span(span)? }
        }
        'r' => {
            let (netns, rule) = body.split_once('/')?;
            Place::FirewallRule { netns: NetnsId(netns.parse().ok()?), rule: rule.to_owned() }
        }
        'i' => {
            let (netns, ifindex) = body.split_once('/')?;
            Place::Interface { netns: NetnsId(netns.parse().ok()?), ifindex: ifindex.parse().ok()? }
        }
        't' => Place::Span(parse_span(body.strip_prefix('@')?)?),
        _ => return None,
    };
    Some(Anchor { capture, place })
}

/// `START-END` in nanoseconds; either may be negative, so the dividing dash is the first one after a digit.
fn parse_span(text: &str) -> Option<Span> {
    let divider = 1 + text.get(1..)?.find('-')?;
    let start: i64 = text[..divider].parse().ok()?;
    let end: i64 = text[divider + 1..].parse().ok()?;
    (start <= end).then(|| Span::new(Timestamp::from_nanos(start), Timestamp::from_nanos(end)))
}

impl Serialize for Anchor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_anchor_parses_back_from_its_text() {
        let span = Span::new(Timestamp::from_nanos(-5), Timestamp::from_nanos(1_700_000_000_000_000_000));
        let places = [
            Place::Packet(PacketNo(42)),
            Place::Flow(FlowId(3)),
            Place::Bytes { flow: FlowId(3), direction: Direction::BToA, first: 1, last: 75 },
            Place::Counter { counter: CounterId(17), span },
            Place::FirewallRule { netns: NetnsId(4_026_531_840), rule: "filter/INPUT/9c:1f#2".into() },
            Place::KernelDrop(DropNo(7)),
            Place::Interface { netns: NetnsId(4_026_531_840), ifindex: 2 },
            Place::Span(span),
        ];
        for place in places {
            for capture in [CaptureNo(0), CaptureNo(2)] {
                let anchor = Anchor { capture, place: place.clone() };
                assert_eq!(anchor.to_string().parse(), Ok(anchor));
            }
        }
    }

    #[test]
    fn text_that_names_no_place_is_refused() {
        for text in ["", "p", "p-1", "x9", "f3>75", "c1@5-2", "2:", "r12"] {
            assert!(text.parse::<Anchor>().is_err(), "{text}");
        }
    }
}
