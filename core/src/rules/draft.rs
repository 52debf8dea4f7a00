//! A finding as a rule words it: what follows from the rest is filled in.

use crate::anchor::{Anchor, Place};
use crate::finding::{Command, Confidence, Finding, FindingId, Picture, Question, Reason, Severity, Subject};
use crate::flow::Seen;
use crate::time::Span;

/// A finding without its id; fields as in [`Finding`].
pub(super) struct Draft {
    pub(super) rule: &'static str,
    pub(super) subject: Subject,
    /// What names it together with rule and subject: something that stays first while a recording goes on.
    pub(super) identity: Anchor,
    pub(super) severity: Severity,
    pub(super) confidence: Confidence,
    pub(super) sentence: String,
    pub(super) span: Span,
    pub(super) count: u64,
    pub(super) evidence: Vec<Anchor>,
    pub(super) reasons: Vec<Reason>,
    pub(super) confidence_reason: String,
    pub(super) rival: String,
    pub(super) confirm: Vec<Command>,
    pub(super) fix: Option<Fix>,
    pub(super) questions: Vec<Question>,
    pub(super) picture: Option<Picture>,
}

impl Draft {
    /// The finding. Evidence is never empty: what names it stands in for want of more.
    pub(super) fn finding(mut self) -> Finding {
        if self.evidence.is_empty() {
            self.evidence.push(self.identity.clone());
        }
        let (fix, advice) = Fix::parts(self.fix);
        Finding {
            id: FindingId::new(self.rule, &self.subject, &self.identity),
            rule: self.rule.into(),
            severity: self.severity,
            confidence: self.confidence,
            sentence: self.sentence,
            subject: self.subject,
            span: self.span,
            count: self.count,
            evidence: self.evidence,
            reasons: self.reasons,
            confidence_reason: self.confidence_reason,
            rival: self.rival,
            confirm: self.confirm,
            fix,
            advice,
            questions: self.questions,
            picture: self.picture,
        }
    }
}

/// What is pointed at, at most: of millions the first show what the others are.
const MOST_ANCHORS: usize = 16;

/// A step of the argument.
pub(super) fn reason(text: impl Into<String>, anchors: impl IntoIterator<Item = Anchor>) -> Reason {
    Reason { text: text.into(), anchors: evidence(anchors) }
}

/// What is pointed at: the first of these, each once.
pub(super) fn evidence(anchors: impl IntoIterator<Item = Anchor>) -> Vec<Anchor> {
    let mut kept: Vec<Anchor> = Vec::new();
    for anchor in anchors {
        if kept.len() == MOST_ANCHORS {
            break;
        }
        if !kept.contains(&anchor) {
            kept.push(anchor);
        }
    }
    kept
}

/// What mends it: a command, or a sentence where no command can be typed for it.
pub(super) enum Fix {
    Run(Command),
    Say(String),
}

impl From<Command> for Fix {
    fn from(command: Command) -> Self {
        Self::Run(command)
    }
}

impl Fix {
    /// As a finding keeps them.
    pub(super) fn parts(fix: Option<Self>) -> (Vec<Command>, Option<String>) {
        match fix {
            Some(Self::Run(command)) => (vec![command], None),
            Some(Self::Say(sentence)) => (Vec::new(), Some(sentence)),
            None => (Vec::new(), None),
        }
    }
}

/// A packet as an anchor.
pub(super) fn packet(seen: Seen) -> Anchor {
    Place::Packet(seen.no).into()
}
