//! The answers: every type that reaches a user interface, in the order of the questions.
//!
//! Longer than most files here, since it is read as one table: declarations and what their fields mean, no logic.

use crate::anchor::Anchor;
pub use crate::dissect::Node;
use crate::finding::{Checked, Finding, Severity};
use crate::ids::{CounterId, Direction, DropNo, FlowId, InterfaceId, NetnsId, PacketNo};
use crate::log::block::{CounterKind, Host, Unit};
use crate::time::{Nanos, Span, Timestamp};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

/// An answer, in the order of `Query`.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum Answer {
    /// To `Query::Overview`.
    Overview(Overview),
    /// To `Query::Findings`.
    Findings(Findings),
    /// To `Query::Packets`.
    Packets(PacketRows),
    /// To `Query::Packet`.
    Packet(Box<PacketDetail>),
    /// To `Query::Flows`.
    Flows(FlowRows),
    /// To `Query::Ladder`.
    Ladder(Ladder),
    /// To `Query::Course`.
    Course(Box<Course>),
    /// To `Query::Timeline`.
    Timeline(Timeline),
    /// To `Query::Counters`.
    Counters(CounterTables),
    /// To `Query::Drops`.
    Drops(DropRows),
    /// To `Query::Locate`.
    Located(Located),
    /// To `Query::FilterHelp`.
    FilterHelp(FilterHelp),
    /// It could not be answered; a full sentence says why and what to do.
    Refused {
        /// The sentence.
        why: String,
    },
}

impl Answer {
    /// Whether it is all there is to say: the same question, asked again, goes on where this answer stopped.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Packets(packets) => packets.complete,
            Self::Timeline(timeline) => timeline.complete,
            Self::Course(course) => course.complete,
            Self::Ladder(ladder) => ladder.complete,
            _ => true,
        }
    }
}

/// How far reading has come. Sent without being asked, at most once a frame.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Progress {
    /// Grows with each change of what the engine knows; answers of an older revision may be out of date.
    pub revision: u64,
    /// Bytes of the log read.
    pub bytes_read: u64,
    /// Bytes there are, where that is known.
    pub bytes_total: Option<u64>,
    /// Packets read.
    pub packets: u32,
    /// Conversations.
    pub flows: u32,
    /// Findings so far, by severity: note, warning, critical.
    pub findings: [u32; 3],
    /// From the first to the last record.
    pub span: Option<Span>,
    /// Whether reading has ended.
    pub ended: bool,
    /// How it ended, when not well: a full sentence.
    pub trouble: Option<String>,
}

/// What is in the log.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Overview {
    /// As of now.
    pub progress: Progress,
    /// `pcap`, `pcapng`.
    pub format: String,
    /// The program that wrote it, where it says so.
    pub application: Option<String>,
    /// Capture interfaces.
    pub interfaces: Vec<CaptureInterface>,
    /// Watched hosts.
    pub hosts: Vec<Host>,
    /// What limits what can be said (capture loss, snaplen, one direction only), and how to read what is there (copies, offload,
    /// tunnels). Empty when there is nothing to remark.
    pub quality: Vec<Quality>,
    /// What of its traffic the rules judge.
    pub scope: Scope,
    /// What happened, in order.
    pub marks: Vec<MarkRow>,
    /// Bytes on the wire over all packets.
    pub wire_bytes: u64,
    /// Whether counters were recorded.
    pub has_counters: bool,
    /// Whether kernel drops were recorded.
    pub has_drops: bool,
}

/// A capture interface.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct CaptureInterface {
    /// Its number.
    pub id: InterfaceId,
    /// `eth0`, or `interface 0` where the file gives no name.
    pub name: String,
    /// `Ethernet`, `Linux cooked v2`, …
    pub link: String,
    /// Packets.
    pub packets: u32,
    /// Bytes kept of each packet at most; 0 for all.
    pub snaplen: u32,
    /// The capture filter.
    pub filter: Option<String>,
    /// Packets the capture itself lost here.
    pub lost: u64,
}

/// What of the traffic is judged: "no loss" is only said of that.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Scope {
    /// Traffic of which rules judge whether it arrives.
    pub judged: Vec<Traffic>,
    /// Traffic of which none does.
    pub not_judged: Vec<Traffic>,
}

/// A kind of traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Traffic {
    /// `TCP`, `DNS`, `ARP`, …, or `other`.
    pub name: String,
    /// Its packets.
    pub packets: u64,
}

/// `Judged: TCP (340 packets). Not judged: DNS (80 packets), ARP (40 packets).`
impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |kinds: &[Traffic]| {
            let one = |kind: &Traffic| format!("{} ({})", kind.name, crate::rules::say::count(kind.packets, "packet"));
            kinds.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let parts = [("Judged", &self.judged), ("Not judged", &self.not_judged)];
        let told = parts.iter().filter(|(_, kinds)| !kinds.is_empty()).map(|(title, kinds)| format!("{title}: {}.", list(kinds)));
        f.write_str(&told.collect::<Vec<_>>().join(" "))
    }
}

/// A remark on the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
pub struct Quality {
    /// `capture_lost`, `one_direction`, `copies`, …: the names in `quality::KINDS`, and `unreadable`.
    pub kind: String,
    /// A warning limits what can be said; a note says how to read what is there.
    pub severity: Severity,
    /// A full sentence with its numbers.
    pub sentence: String,
}

/// A mark.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MarkRow {
    /// When.
    pub at: Timestamp,
    /// See `log::block::Mark::kind`.
    pub kind: String,
    /// A full sentence.
    pub text: String,
}

/// What the rules say.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Findings {
    /// As of this revision.
    pub revision: u64,
    /// Most severe first, then surest, then earliest.
    pub findings: Vec<Finding>,
    /// The rules that found nothing.
    pub checked: Vec<Checked>,
}

/// Rows of the packet list.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct PacketRows {
    /// As of this revision.
    pub revision: u64,
    /// Rows in the whole selection, as far as it has been scanned.
    pub total: u32,
    /// Whether the filter has seen every packet yet; ask again while it has not.
    pub complete: bool,
    /// Index of the first row here.
    pub first: u32,
    /// The rows.
    pub rows: Vec<PacketRow>,
    /// The packet that was to be located.
    pub locate: Option<PacketNo>,
    /// Its row, or that of the next one after it.
    pub located: Option<u32>,
    /// When the filter cannot be understood.
    pub filter_error: Option<FilterError>,
}

/// One line of the packet list.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct PacketRow {
    /// Its number.
    pub no: PacketNo,
    /// When; `None` if the file gives no time.
    pub time: Option<Timestamp>,
    /// Source address, with port where there is one: `10.255.255.5:39058`.
    pub source: String,
    /// Destination, likewise.
    pub destination: String,
    /// `TCP`, `DNS`, `ARP`, …
    pub protocol: String,
    /// tcpdump's words, without the addresses: `Flags [S], seq 332257715, win 29200, options [...], length 0`.
    pub info: String,
    /// Bytes on the wire.
    pub len: u32,
    /// Its conversation.
    pub flow: Option<FlowId>,
    /// Its direction there.
    pub direction: Option<Direction>,
    /// Wireshark's labels, and ours.
    pub chips: Vec<Chip>,
    /// Interface it was taken on.
    pub interface: InterfaceId,
}

/// A label on a packet.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Chip {
    /// Short, as shown: `retransmission`, `dup ack #2`, `lost segment`, `bad checksum`, `dropped`.
    pub text: String,
    /// How loud.
    pub severity: Severity,
    /// What it means and why it is here, for hovering.
    pub about: String,
}

/// One packet in full.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct PacketDetail {
    /// Its line in the list.
    pub row: PacketRow,
    /// The decode tree, outermost layer first.
    pub tree: Vec<Node>,
    /// The bytes that were kept.
    pub bytes: Vec<u8>,
    /// Comments in the file.
    pub comments: Vec<String>,
    /// The whole line as `tcpdump -n` prints it, to copy.
    pub tcpdump: String,
    /// Findings that name it.
    pub findings: Vec<crate::finding::FindingId>,
}

/// Rows of the list of conversations.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct FlowRows {
    /// As of this revision.
    pub revision: u64,
    /// Conversations in all.
    pub total: u32,
    /// Index of the first row here.
    pub first: u32,
    /// The rows.
    pub rows: Vec<FlowRow>,
}

/// A conversation.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct FlowRow {
    /// Its number.
    pub flow: FlowId,
    /// `tcp`, `udp`, `icmp`.
    pub transport: String,
    /// Wireshark's stream number within that protocol.
    pub stream: u32,
    /// Client address and port.
    pub client: String,
    /// Server address and port.
    pub server: String,
    /// From its first to its last packet.
    pub span: Option<Span>,
    /// Packets from the client and from the server.
    pub packets: [u32; 2],
    /// Bytes on the wire, likewise.
    pub bytes: [u64; 2],
    /// Segments sent again, likewise.
    pub retransmissions: [u32; 2],
    /// Bytes that were never seen, likewise.
    pub missing_bytes: [u64; 2],
    /// How it stands: `SYN sent`, `established`, `closed`, `reset`, `no answer`.
    pub state: String,
    /// Initial round-trip time.
    pub rtt: Option<Nanos>,
    /// Loudest finding about it.
    pub severity: Option<Severity>,
}

/// A ladder diagram.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Ladder {
    /// As of this revision.
    pub revision: u64,
    /// The conversation.
    pub flow: FlowRow,
    /// Its rungs in all: packets and holes.
    pub total: u32,
    /// Whether every packet has been looked at; until then `total` grows.
    pub complete: bool,
    /// Index of the first rung here.
    pub first: u32,
    /// The rungs.
    pub rungs: Vec<Rung>,
    /// The place that was to be located.
    pub locate: Option<Anchor>,
    /// Its row; `None` where it is not of this conversation.
    pub located: Option<u32>,
}

/// One packet of a ladder, or a hole where one should be.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum Rung {
    /// A packet that was captured.
    Packet {
        /// Its number.
        no: PacketNo,
        /// When.
        time: Option<Timestamp>,
        /// Since the ladder's first packet.
        since_start: Nanos,
        /// Its direction.
        direction: Direction,
        /// `SYN`, `PSH, ACK`, for UDP `DNS query`.
        title: String,
        /// `seq 1–75, ack 1, 75 bytes`.
        detail: String,
        /// Its labels.
        chips: Vec<Chip>,
    },
    /// Bytes that must have been sent and were never seen here.
    Missing {
        /// Who sent them.
        direction: Direction,
        /// Relative number of the first byte.
        first_byte: u64,
        /// Relative number of the last byte.
        last_byte: u64,
        /// `bytes 1–75 never arrived here`.
        text: String,
    },
}

/// Tracks over time.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Timeline {
    /// As of this revision.
    pub revision: u64,
    /// What is drawn.
    pub span: Option<Span>,
    /// All there is, for the overview strip.
    pub whole: Option<Span>,
    /// Packets a column over the whole, in at most 512 columns, for the overview strip.
    pub overview: Vec<u32>,
    /// Stretches in which the capture was off or lost packets: drawn as gaps.
    pub gaps: Vec<Span>,
    /// From the top.
    pub tracks: Vec<Track>,
    /// Whether the filter has seen every packet in view yet; ask again while it has not.
    pub complete: bool,
    /// When the filter cannot be understood.
    pub filter_error: Option<FilterError>,
}

/// How one conversation went over time.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Course {
    /// As of this revision.
    pub revision: u64,
    /// The conversation.
    pub flow: FlowRow,
    /// What the columns divide.
    pub span: Span,
    /// How many there are.
    pub columns: u32,
    /// Whether all packets of it have been looked at.
    pub complete: bool,
    /// Packets looked at so far, inside the span.
    pub packets: u32,
    /// Whether the handshake told how windows are scaled; else they are as in the header.
    pub scaled: bool,
    /// From the client, and from the server.
    pub sides: [CourseSide; 2],
}

/// One direction of a course, as seen where the capture was taken. Columns without anything are left out.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct CourseSide {
    /// Round trips to the receiver and back, in nanoseconds, by acknowledgement; none of what was sent again (Karn's rule).
    pub rtt: Vec<Reach>,
    /// The same by TSecr (RFC 7323).
    pub rtt_echoed: Vec<Reach>,
    /// Bytes sent that are neither acknowledged nor told by SACK.
    pub in_flight: Vec<Reach>,
    /// The receiver's window in bytes.
    pub window: Vec<Reach>,
    /// Bytes on the wire, by column.
    pub wire: Vec<(u32, u64)>,
    /// Bytes of data acknowledged for the first time, by column.
    pub delivered: Vec<(u32, u64)>,
    /// All of `wire`.
    pub wire_bytes: u64,
    /// All of `delivered`.
    pub delivered_bytes: u64,
}

/// The values of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Reach {
    /// Which column, from 0.
    pub column: u32,
    /// The smallest value.
    pub low: u64,
    /// The largest.
    pub high: u64,
    /// The last: it holds until the next point.
    pub last: u64,
}

/// One track.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Track {
    /// Stable name: `findings`, `packets`, `bytes`, `anomalies`, `counter/link.rx_dropped/4026531840/2`.
    pub slug: String,
    /// `packets/s`, `eth0 RX-DRP`.
    pub title: String,
    /// Hovering says this.
    pub about: String,
    /// `packets`, `bytes`, …
    pub unit: String,
    /// What is drawn.
    pub marks: TrackMarks,
}

/// What a track draws.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum TrackMarks {
    /// Spans of findings.
    Spans {
        /// In order of time.
        spans: Vec<FindingSpan>,
    },
    /// One value a column.
    Columns {
        /// Smallest and largest count of any slice within the column, per second; both 0 where nothing was.
        columns: Vec<(f64, f64)>,
        /// Largest of all, for the scale.
        max: f64,
    },
    /// Ticks of several shapes.
    Ticks {
        /// In order of time; several of one kind in one column are one tick with a count.
        ticks: Vec<Tick>,
    },
    /// A counter's value as a staircase.
    Steps {
        /// Snapshot time, value, and change since the one before (0 for the first); thinned to at most four a column.
        steps: Vec<(Timestamp, u64, i64)>,
        /// The limit to compare with, where the counter has one (`nf_conntrack_max`).
        limit: Option<u64>,
    },
}

/// A finding on the timeline.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct FindingSpan {
    /// Which.
    pub id: crate::finding::FindingId,
    /// Its rule.
    pub rule: String,
    /// How loud.
    pub severity: Severity,
    /// From when to when.
    pub span: Span,
}

/// A tick.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Tick {
    /// When the first of them was.
    pub at: Timestamp,
    /// `retransmission`, `missing`, `zero_window`, `reset`, `icmp_error`, `syn_retry`, `drop`.
    pub kind: String,
    /// How many.
    pub count: u32,
    /// The first of them.
    pub no: Option<PacketNo>,
}

/// Counter tables over a span.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct CounterTables {
    /// As of this revision.
    pub revision: u64,
    /// The snapshots compared.
    pub span: Option<Span>,
    /// Like `netstat -i`, one row an interface.
    pub interfaces: Vec<InterfaceCounters>,
    /// Like `iptables -nvL`, one a chain.
    pub chains: Vec<ChainCounters>,
    /// Connection tracking, one a namespace.
    pub conntrack: Vec<ConntrackCounters>,
    /// Everything else, by group, like `nstat`.
    pub others: Vec<CounterRow>,
}

/// A value with its change over the span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Counted {
    /// At the end of the span.
    pub value: u64,
    /// Since its beginning; `None` after a reset within it.
    pub delta: Option<i64>,
    /// Its number, to draw it as a track.
    pub counter: Option<CounterId>,
}

/// One interface's counters.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct InterfaceCounters {
    /// Its namespace.
    pub netns: NetnsId,
    /// That namespace's name.
    pub netns_name: String,
    /// Its number there.
    pub ifindex: u32,
    /// `eth0`.
    pub name: String,
    /// Its MTU.
    pub mtu: u32,
    /// RX-OK, RX-ERR, RX-DRP, RX-OVR.
    pub rx: [Counted; 4],
    /// TX-OK, TX-ERR, TX-DRP, TX-OVR.
    pub tx: [Counted; 4],
    /// `BMRU`, as netstat prints them.
    pub flags: String,
}

/// One chain's counters.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct ChainCounters {
    /// Its namespace.
    pub netns: NetnsId,
    /// That namespace's name.
    pub netns_name: String,
    /// `iptables-nft`, `nftables`, …
    pub backend: String,
    /// `filter`.
    pub table: String,
    /// `INPUT`.
    pub chain: String,
    /// `ACCEPT`, `DROP`; empty where it has none.
    pub policy: String,
    /// Hits of the policy.
    pub policy_packets: Option<Counted>,
    /// Its rules.
    pub rules: Vec<RuleCounters>,
}

/// One rule's counters.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct RuleCounters {
    /// Its identity.
    pub id: String,
    /// Its place in the chain.
    pub position: u32,
    /// `DROP`, `REJECT`, `ACCEPT`, …
    pub target: String,
    /// Its text.
    pub text: String,
    /// Hits; `None` for a rule that does not count.
    pub packets: Option<Counted>,
    /// Bytes hit.
    pub bytes: Option<Counted>,
    /// When it was found deleted, for a rule that is no longer there.
    pub removed: Option<Timestamp>,
}

/// A connection tracking table.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct ConntrackCounters {
    /// Its namespace.
    pub netns: NetnsId,
    /// That namespace's name.
    pub netns_name: String,
    /// Entries.
    pub count: Option<Counted>,
    /// `nf_conntrack_max`.
    pub max: Option<u64>,
    /// drop, early_drop, insert_failed, invalid, … summed over processors.
    pub statistics: Vec<(String, Counted)>,
}

/// Any other counter.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct CounterRow {
    /// The group it is listed under: `TcpExt`, `Ip`, `softnet`.
    pub group: String,
    /// The namespace's name; empty for the host.
    pub netns_name: String,
    /// The kernel's name.
    pub kernel_name: String,
    /// What tells it from its like: interface, processor.
    pub object: String,
    /// In what it counts.
    pub unit: Option<Unit>,
    /// Whether it only grows.
    pub kind: Option<CounterKind>,
    /// Its value.
    pub counted: Counted,
}

/// Packets the kernel dropped.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct DropRows {
    /// As of this revision.
    pub revision: u64,
    /// In all, in the span.
    pub total: u32,
    /// Drops that were counted but not recorded.
    pub skipped: u64,
    /// Index of the first row here.
    pub first: u32,
    /// By reason and place: how many, over the span, most first.
    pub by_reason: Vec<(String, String, u32)>,
    /// The rows.
    pub rows: Vec<DropRow>,
}

/// A packet the kernel dropped.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct DropRow {
    /// Its number.
    pub no: DropNo,
    /// When.
    pub time: Timestamp,
    /// `NETFILTER_DROP`.
    pub reason: String,
    /// `nft_do_chain+0x3e8`.
    pub place: String,
    /// `web-1 eth0`.
    pub device: String,
    /// The packet in tcpdump's words.
    pub packet: String,
    /// Its conversation.
    pub flow: Option<FlowId>,
    /// The captured packet it was, where that was found.
    pub packet_no: Option<PacketNo>,
    /// Whether the reason means a loss, or is everyday housekeeping.
    pub benign: bool,
}

/// Where an anchor lies.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Located {
    /// When.
    pub span: Option<Span>,
    /// The packet, or the nearest one before.
    pub packet: Option<PacketNo>,
    /// Its conversation.
    pub flow: Option<FlowId>,
    /// In words: `packet 42`, `bytes 1–75 from 10.255.255.5:39058`, `eth0 RX-DRP +344`.
    pub text: String,
}

/// A filter that cannot be understood.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FilterError {
    /// From which character, from 0.
    pub at: u32,
    /// How many characters.
    pub len: u32,
    /// A full sentence: what is wrong there.
    pub message: String,
    /// What it could have been.
    pub suggestion: Option<String>,
    /// The bound it goes beyond, if that is what is wrong with it.
    pub limit: Option<FilterLimit>,
}

/// What bounds a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum FilterLimit {
    /// Its length, in bytes.
    Length {
        /// How long it is.
        bytes: u64,
        /// How long it may be.
        longest: u64,
    },
    /// Parentheses, braces and calls within each other.
    Nesting {
        /// How many may be.
        deepest: u64,
    },
}

/// Help while a filter is typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FilterHelp {
    /// What is wrong with it, if anything is.
    pub error: Option<FilterError>,
    /// Words that may stand at the cursor, best first, at most 20, each with what it means.
    pub completions: Vec<(String, String)>,
    /// From which character a chosen completion replaces the text.
    pub replace_from: u32,
}

/// An anchor with its words, for lists of evidence.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Evidence {
    /// The anchor.
    pub anchor: Anchor,
    /// Where it lies.
    pub located: Located,
}
