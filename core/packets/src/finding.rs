//! What a rule says: a cause of loss with its proof, or why nothing can be said.

use crate::anchor::Anchor;
pub use crate::command::Command;
use crate::ids::{Direction, FlowId, NetnsId};
use crate::time::Span;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;
use std::fmt;

/// How much it costs the user: stalls and failed connections, not the mere presence of a retransmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nobody waits for it.
    Note,
    /// Something is slower or less reliable than it should be.
    Warning,
    /// Somebody's request fails or hangs.
    Critical,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Fits what was seen, and so may other causes.
    Possible,
    /// Independent observations agree, and the rival explanations fit worse.
    Strong,
    /// The kernel itself named the cause for these packets.
    Proved,
}

macro_rules! words {
    ($type:ident { $($variant:ident => $word:literal),* }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),* })
            }
        }
    };
}
words!(Severity { Note => "note", Warning => "warning", Critical => "critical" });
words!(Confidence { Possible => "possible", Strong => "strong", Proved => "proved" });

/// A finding's name, the same for the same bytes: the rule's slug and 16 hex digits over rule, subject and first evidence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(transparent)]
pub struct FindingId(String);

impl FindingId {
    /// The name of a finding of `rule` about `subject` whose evidence begins with `first`.
    pub fn new(rule: &str, subject: &Subject, first: &Anchor) -> Self {
        let text = format!("{rule}\n{}\n{first}", serde_json::to_string(subject).unwrap_or_default());
        Self(format!("{rule}-{:016x}", fnv1a(text.as_bytes())))
    }

    /// The name as text, for links.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// FNV-1a, 64 bit (RFC 9923): names must not change with a hasher crate's version, and nobody gains by a collision.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// One conversation.
    Flow {
        /// Its number.
        flow: FlowId,
        /// Client address and port, `10.255.255.5:39058`.
        client: String,
        /// Server address and port.
        server: String,
        /// `tcp`, `udp`, …
        transport: String,
    },
    /// Everything that goes to one service (address and port).
    Service {
        /// Server address and port.
        server: String,
        /// `tcp`, `udp`, …
        transport: String,
    },
    /// A network interface of a watched host.
    Interface {
        /// Its namespace.
        netns: NetnsId,
        /// The kernel's number for it; 0 when only the capture names it.
        ifindex: u32,
        /// `eth0`.
        name: String,
    },
    /// A firewall rule.
    FirewallRule {
        /// Its namespace.
        netns: NetnsId,
        /// Its identity (see `log::block::FirewallRule::id`).
        rule: String,
        /// Its text, as `iptables-save` or `nft list` prints it.
        text: String,
    },
    /// A connection tracking table.
    Conntrack {
        /// The namespace whose table it is.
        netns: NetnsId,
    },
    /// A socket that listens or receives.
    Socket {
        /// Its namespace.
        netns: NetnsId,
        /// Local address and port.
        local: String,
    },
    /// A queueing discipline.
    Queue {
        /// Its namespace.
        netns: NetnsId,
        /// The interface it belongs to.
        ifname: String,
        /// `tbf`, `fq_codel`, …
        qdisc: String,
    },
    /// A host by address.
    Host {
        /// Its address.
        address: String,
    },
    /// The path between two hosts.
    Path {
        /// From here …
        from: String,
        /// … to there.
        to: String,
    },
}

/// One step of the argument: a sentence and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Reason {
    /// A full sentence.
    pub text: String,
    /// What to light up when the reader asks for proof; may be empty for a fact of the protocol.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<Anchor>,
}

/// The picture that shows one kind of finding best; its numbers, ready to draw.
#[derive(Clone, Debug, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Picture {
    /// A ruler of packet sizes: what passed on the left of the limit, what vanished on the right of it.
    SizeRuler {
        /// The MTU, in bytes of IP.
        mtu: u32,
        /// What the link really lets through, if that is more (veth: MTU + 4).
        limit: Option<u32>,
        /// Packets that arrived: bytes of IP, and how many.
        passed: Vec<(u32, u32)>,
        /// Packets that did not: bytes of IP, and how many (at least 1 each).
        vanished: Vec<(u32, u32)>,
    },
    /// A rule's hits over time above the packets that went unanswered.
    HitSteps {
        /// The rule's text.
        rule: String,
        /// Snapshot time and total hits.
        hits: Vec<(crate::time::Timestamp, u64)>,
        /// Times of unanswered packets.
        unanswered: Vec<crate::time::Timestamp>,
    },
    /// Sizes and times of what was lost.
    LossHistogram {
        /// Upper edge of the size class in bytes of payload, sent, lost.
        by_size: Vec<(u32, u32, u32)>,
        /// Time and number lost.
        by_time: Vec<(crate::time::Timestamp, u32)>,
    },
    /// The flow's ladder from the first packet named to the last.
    Ladder {
        /// The conversation.
        flow: FlowId,
    },
}

/// A question readers of this finding ask, with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Question {
    /// "Why was it dropped and not fragmented?"
    pub question: String,
    /// One to three sentences.
    pub answer: String,
}

/// A cause of loss: what happened, how sure that is, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Finding {
    /// Its stable name.
    pub id: FindingId,
    /// The slug of the rule that found it.
    pub rule: String,
    /// What it costs.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// One full sentence: what happened, with its numbers.
    pub sentence: String,
    /// What it is about.
    pub subject: Subject,
    /// From the first to the last evidence.
    pub span: Span,
    /// How many times it was seen (packets, connections or hits: the sentence says which).
    pub count: u64,
    /// What it rests on, most telling first; never empty.
    pub evidence: Vec<Anchor>,
    /// The argument, step by step.
    pub reasons: Vec<Reason>,
    /// Why the confidence is what it is, and what would raise it.
    pub confidence_reason: String,
    /// The strongest other explanation, and what would decide between the two.
    pub rival: String,
    /// How to see it for oneself.
    pub confirm: Vec<Command>,
    /// How to mend it.
    pub fix: Vec<Command>,
    /// What mends it, where no command can be given for it; a full sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// What readers ask.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// The picture for its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<Picture>,
}

/// What a rule says when it found nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quiet {
    /// It looked, and all is well.
    Clear,
    /// It could not look.
    CannotTell,
}

/// A rule that found nothing: the "checked and fine" and "cannot tell" lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Checked {
    /// The rule's slug.
    pub rule: String,
    /// Its human name, "Connection tracking table".
    pub title: String,
    /// Clear, or cannot tell.
    pub verdict: Quiet,
    /// With figures: "182 of 262144 entries in use" or "no counters were recorded".
    pub why: String,
    /// What it looked at, where something can be shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<Anchor>,
}

/// Which direction of a flow a sentence means, in words: "from the client", "from the server".
pub fn from_whom(direction: Direction) -> &'static str {
    match direction {
        Direction::AToB => "from the client",
        Direction::BToA => "from the server",
    }
}
