//! Our judgements in words: short on a packet, and in full with the reasons beside Wireshark's label.

use super::Chip;
use super::engine::Knowledge;
use crate::dissect::Node;
use crate::finding::Severity;
use crate::flow::{Cause, Evidence, Judgement, Labels, Sign, Verdict};
use crate::ids::PacketNo;
use crate::store::{Judged, Row};

/// What is shown on a packet beside its labels; a copy has a mark of its own.
pub(super) fn chip(judged: Judged) -> Option<Chip> {
    let (text, severity) = match judged.verdict {
        Verdict::Copy => return None,
        Verdict::Reordered => ("only late", Severity::Note),
        Verdict::LostBeforeTap => ("lost before here", Severity::Warning),
        Verdict::LostAfterTap => ("lost beyond here", Severity::Warning),
        Verdict::SentNeedlessly => ("needless", Severity::Note),
        Verdict::CaptureMissed => ("capture missed", Severity::Note),
        Verdict::NothingMissing => ("nothing missing", Severity::Note),
        Verdict::ZeroWindowProbe => ("asks for room", Severity::Note),
        Verdict::NoLossTold => ("no loss", Severity::Note),
        Verdict::SameConversation => ("same conversation", Severity::Note),
        Verdict::Refused => ("had no room", Severity::Note),
    };
    let cause = judged.cause.map_or(String::new(), |cause| format!(": {}", short(cause)));
    let tail = if judged.tail { " The end of what had been sent was lost (tail loss)." } else { "" };
    let because = judged.cause.map_or(String::new(), |cause| format!(" It was sent again {}.", caused(cause)));
    let about = format!("Our judgement: {}.{because}{tail}", what(judged.verdict));
    Some(Chip { text: format!("{text}{cause}"), severity, about })
}

/// What the detail of a packet says of our judgement on it, and of those it corrected.
pub(super) fn nodes(known: &Knowledge<'_>, no: PacketNo, row: &Row) -> Vec<Node> {
    let store = &known.recording.store;
    let mut nodes = Vec::new();
    if let Some(judged) = row.judged {
        let children = match store.judgement(no) {
            Some(judgement) => reasons(&judgement, row.labels),
            None => vec![said("Why", "the reasons are kept for the first 131,072 judgements of a log only", "")],
        };
        nodes.push(Node { children, ..said("Our judgement", what(judged.verdict), "judgement") });
    }
    nodes.extend(store.corrected_by(no).map(|(earlier, judgement)| {
        let how = match judgement.evidence {
            Evidence::Eifel => "the time stamp it echoes is that of the first sending, which arrived",
            Evidence::Frto => "it acknowledges, as the second after the timeout, what had been sent but once (F-RTO)",
            _ => "its first SACK block tells of bytes received twice (D-SACK)",
        };
        said("Shows", format!("that packet {earlier} was sent needlessly: {how}"), "")
    }));
    nodes
}

fn reasons(judgement: &Judgement, labels: Labels) -> Vec<Node> {
    let mut nodes = vec![said("Why", why(judgement), "")];
    if let Some(proof) = judgement.proof {
        nodes.push(said("Shown by", format!("packet {proof}"), ""));
    }
    if let Some(original) = judgement.original {
        nodes.push(said("First captured as", format!("packet {original}"), ""));
    }
    if let (Some(cause), Some(sign)) = (judgement.cause, judgement.sign) {
        nodes.push(said("Sent again", format!("{}: {}", caused(cause), signed(sign, judgement)), "judgement.cause"));
    } else if judgement.verdict.is_sent_again() {
        nodes.push(said("Sent again", "for a reason that the capture does not show", ""));
    }
    if let Some(wait) = judgement.wait {
        let of = match (judgement.verdict, judgement.original) {
            (Verdict::Reordered, _) => "since it was overtaken",
            (Verdict::LostBeforeTap, None) => "at least, since a later segment showed that it was missing",
            _ => "since these bytes were last sent",
        };
        nodes.push(said("Waited", format!("{wait} {of}"), ""));
    }
    if judgement.tail {
        let text = "the end of what had been sent: nothing after it could show the receiver that it was missing";
        nodes.push(said("Tail loss", text, "judgement.tail_loss"));
    }
    nodes.extend(difference(judgement.verdict, labels).map(|text| said("Unlike Wireshark's label", text, "")));
    nodes
}

/// What a verdict means.
fn what(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Copy => "a copy: the same packet was captured before, elsewhere on its way",
        Verdict::Reordered => "late on its way and not sent again: nothing was lost",
        Verdict::LostBeforeTap => "sent again: the first was lost before it came past here",
        Verdict::LostAfterTap => "sent again: the first came past here and was lost beyond, or its acknowledgement was",
        Verdict::SentNeedlessly => "sent again needlessly: the receiver had it",
        Verdict::CaptureMissed => "what it acknowledges arrived: only this capture missed it",
        Verdict::NothingMissing => "nothing is missing",
        Verdict::ZeroWindowProbe => "asks whether the receiver's closed window has opened: nothing was lost",
        Verdict::NoLossTold => "repeats an acknowledgement, which is no sign of loss here",
        Verdict::SameConversation => "answers the SYN of this conversation: the ports are not used anew",
        Verdict::Refused => "sent again, for the receiver had no room when it came first: nothing was lost on the way",
    }
}

fn why(judgement: &Judgement) -> String {
    match judgement.evidence {
        Evidence::SamePacket => "its numbers, identification and time stamps are those of the other, a moment later".into(),
        Evidence::SameBytes => {
            "its bytes, or its acknowledgement, were captured at another interface in packets that offload cut otherwise".into()
        }
        Evidence::OlderTsval => match judgement.count {
            0 => "its time stamp is older than that of a later segment captured before it".into(),
            n => format!("its time stamp is older than that of a later segment; {} overtook it", segments(n)),
        },
        Evidence::NewerTsval => {
            "its bytes were not captured before, and its time stamp is newer than that of a later segment".into()
        }
        Evidence::OlderIdentification => "its IP identification comes before that of a later segment captured before it".into(),
        Evidence::NewerIdentification => {
            "its bytes were not captured before, and its IP identification comes after that of a later segment".into()
        }
        Evidence::SeenBefore => "these bytes were captured before, and not acknowledged since".into(),
        Evidence::LaterThanRoundTrip => {
            "its bytes were not captured before; time stamps and identification do not tell, but it comes later than a round trip"
                .into()
        }
        Evidence::SoonerThanRoundTrip => {
            "time stamps and identification do not tell, but it comes sooner than anybody could have asked for it again".into()
        }
        Evidence::Acknowledged => "the receiver had acknowledged these bytes".into(),
        Evidence::Sacked => "the receiver had acknowledged these bytes selectively (SACK)".into(),
        Evidence::Dsack => "the receiver told later that it got these bytes twice (D-SACK, RFC 2883)".into(),
        Evidence::Eifel => {
            "the receiver echoed the time stamp of the first sending, so that had arrived (Eifel, RFC 3522)".into()
        }
        Evidence::Frto => {
            "the ACKs after the timeout moved on over what had been sent but once, so that had arrived and the timer ran out too soon \
             (F-RTO, RFC 5682)"
                .into()
        }
        Evidence::PeerHasThem => "the peer acknowledges bytes that were never captured".into(),
        Evidence::AllSeen => "all bytes up to there were captured".into(),
        Evidence::WindowClosed => "the peer had announced a window of 0".into(),
        Evidence::NothingOutstanding => "all that the other side had sent was acknowledged already".into(),
        Evidence::AnswersSyn => "it acknowledges the number of the SYN that opened this conversation".into(),
    }
}

fn short(cause: Cause) -> &'static str {
    match cause {
        Cause::Timeout => "timeout",
        Cause::AfterTimeout => "after timeout",
        Cause::Fast => "fast",
        Cause::Rack => "RACK",
        Cause::TailLossProbe => "probe",
        Cause::PathMtu => "too large",
    }
}

fn caused(cause: Cause) -> &'static str {
    match cause {
        Cause::Timeout => "when the timer ran out (RTO)",
        Cause::AfterTimeout => "in the wake of a timeout",
        Cause::Fast => "fast, as the receiver told of a loss",
        Cause::Rack => "early (RACK)",
        Cause::TailLossProbe => "as tail loss probe, to make the receiver answer (TLP)",
        Cause::PathMtu => "because a router called it too large for its next link",
    }
}

fn signed(sign: Sign, judgement: &Judgement) -> String {
    let wait = judgement.wait.map_or(String::new(), |wait| wait.to_string());
    let heard = judgement.heard.map_or(String::new(), |no| format!(", told last in packet {no}"));
    match sign {
        Sign::Waited => format!("nothing new was acknowledged for as long as the timer runs ({wait})"),
        Sign::WaitDoubled => format!("the wait of {wait} is about twice the one before"),
        Sign::NothingHeard => "the receiver had told nothing since, though the wait is shorter than Linux's timer".into(),
        Sign::TimeoutBefore => "it had been outstanding when the timer ran out".into(),
        Sign::DuplicateAcks => match judgement.count {
            1 => format!("1 duplicate ACK{heard}"),
            n => format!("{n} duplicate ACKs{heard}"),
        },
        Sign::SackedAbove => format!("more than two segments behind it were acknowledged selectively{heard}"),
        Sign::LaterArrived => format!("a segment that was sent later had arrived{heard}"),
        Sign::LostAgain => format!("it had been sent again before, and segments behind it arrived since{heard}"),
        Sign::PartialAck => "an ACK in the repair of an earlier loss reached up to it and no farther".into(),
        Sign::NewestFirst => "it is the newest of what was outstanding, and a timer would have taken the oldest".into(),
        Sign::SoonerThanTimer => format!("it was all that was outstanding, and {wait} is sooner than the timer"),
        Sign::WaitNotDoubled => "it was all that was outstanding, and the wait after it was not doubled".into(),
        Sign::TooBig => judgement.heard.map_or(String::new(), |no| format!("ICMP in packet {no}")),
    }
}

/// Why the label says something else.
fn difference(verdict: Verdict, labels: Labels) -> Option<&'static str> {
    let late = Labels::RETRANSMISSION.or(Labels::OUT_OF_ORDER);
    Some(match verdict {
        Verdict::Copy if labels.any(late.or(Labels::DUPLICATE_ACK)) => {
            "Wireshark does not tell a packet captured twice from one sent twice"
        }
        Verdict::Reordered if labels.has(Labels::RETRANSMISSION) => {
            "Wireshark goes by the time since the newest segment alone, not by time stamps or identification"
        }
        verdict if verdict.is_sent_again() && labels.has(Labels::OUT_OF_ORDER) => {
            "Wireshark calls out of order what comes within a round trip of the newest segment"
        }
        verdict if verdict.is_sent_again() && labels.has(Labels::KEEP_ALIVE) => {
            "Wireshark calls one byte before the newest a keep-alive, acknowledged or not"
        }
        Verdict::SentNeedlessly if !labels.has(Labels::SPURIOUS_RETRANSMISSION) => {
            "Wireshark calls spurious only what was acknowledged in this capture before it was sent again"
        }
        Verdict::NothingMissing => "Wireshark knows only one number up to which it saw all bytes",
        Verdict::ZeroWindowProbe => "Wireshark knows a probe by one byte of new data alone",
        Verdict::NoLossTold => "Wireshark does not ask whether anything is on its way (RFC 5681 section 2 does)",
        Verdict::SameConversation => "Wireshark goes by the number alone",
        _ => return None,
    })
}

fn segments(n: u16) -> String {
    if n == 1 { "1 segment".into() } else { format!("{n} segments") }
}

/// A line of which no bytes tell.
fn said(name: &str, value: impl Into<String>, field: &str) -> Node {
    Node { name: name.into(), value: value.into(), field: field.into(), derived: true, ..Node::default() }
}
