//! Wireshark's `tcp.analysis` labels: the same conditions in the same order as TShark 4.0.
//!
//! This is the label that users compare, with its known mistakes (`judgement` stands beside it). It looks at raw sequence
//! numbers only, modulo 2^32; 0 stands for "not known yet" where Wireshark lets it (`next_seq`, `contiguous`, `last_ack`).

use super::Labels;
use super::seq::{after, before};
use super::unacked::{Acked, Segment, Unacked};
use crate::dissect::TcpFlags;
use crate::ids::{Direction, PacketNo};
use crate::time::{Nanos, Timestamp};

/// Time after the last ACK within which a segment sent again is a fast retransmission.
const FAST_RETRANSMISSION_WITHIN: Nanos = Nanos::from_millis(20);
/// Time after the last ACK within which a late segment is out of order, where the handshake's round trip is not known.
const OUT_OF_ORDER_WITHIN: Nanos = Nanos::from_millis(3);

/// Stands in place of a count of duplicate ACKs once "ACKed unseen segment" was told of that direction. It is more than any
/// threshold: Wireshark's count is then -1 in an unsigned variable.
const TOLD: u32 = u32::MAX;

/// What the labels of a conversation depend on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Analysis {
    /// By `Direction::index`.
    halves: [Half; 2],
    /// Subtypes of MPTCP options that either side sent so far, a bit each.
    mptcp: u16,
    /// When the last SYN without ACK was sent.
    syn_at: Option<Timestamp>,
    /// `tcp.analysis.initial_rtt`.
    pub initial_rtt: Option<Nanos>,
}

/// One direction.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Half {
    /// What relative number 0 stands for.
    pub base: Option<u32>,
    saw_syn: bool,
    saw_syn_ack: bool,
    /// Whether bytes in flight can be told: not from a lost segment to the peer's next ACK.
    in_flight_known: bool,
    /// Whether `window` is that of a SYN, which is never scaled.
    window_unscaled: bool,
    scale: Scale,
    next_seq: u32,
    next_seq_at: Timestamp,
    contiguous: u32,
    last_ack: u32,
    last_ack_at: Timestamp,
    window: u32,
    last_labels: Labels,
    duplicate_acks: u32,
    /// What `Analysis::mptcp` was at its last segment.
    mptcp: u16,
    pub unacked: Unacked,
}

impl Half {
    /// When its direction last brought new data, or its SYN.
    pub(super) const fn last_data_at(&self) -> Timestamp {
        self.next_seq_at
    }
}

impl Default for Half {
    fn default() -> Self {
        Self {
            base: None,
            saw_syn: false,
            saw_syn_ack: false,
            in_flight_known: true,
            window_unscaled: false,
            scale: Scale::Unknown,
            next_seq: 0,
            next_seq_at: Timestamp::default(),
            contiguous: 0,
            last_ack: 0,
            last_ack_at: Timestamp::default(),
            window: u32::MAX,
            last_labels: Labels::NONE,
            duplicate_acks: 0,
            mptcp: 0,
            unacked: Unacked::default(),
        }
    }
}

impl Half {
    /// Whether the last window it told was 0.
    pub(super) const fn window_closed(&self) -> bool {
        self.window == 0
    }
}

/// Window scaling of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// The handshake was not seen.
    Unknown,
    /// The handshake agreed on none.
    Off,
    /// Shift count.
    By(u8),
}

impl Scale {
    const fn shift(self) -> u32 {
        match self {
            Self::By(shift) => shift as u32,
            Self::Unknown | Self::Off => 0,
        }
    }
}

/// A TCP segment as the labels need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub no: PacketNo,
    pub at: Timestamp,
    pub direction: Direction,
    pub seq: u32,
    pub ack: u32,
    pub len: u32,
    pub flags: TcpFlags,
    pub window: u16,
    /// Of its options: the window scale, and the subtypes of MPTCP, a bit each.
    pub window_scale: Option<u8>,
    pub mptcp: u16,
}

/// What the labels of one segment are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Labelled {
    pub labels: Labels,
    /// `tcp.analysis.duplicate_ack_num`.
    pub duplicate_ack: u32,
    /// `tcp.analysis.rto`.
    pub rto: Option<Nanos>,
    /// Whether Wireshark shows a SEQ/ACK analysis for it, and with it the initial round-trip time.
    pub shown: bool,
    /// Since the segment that it acknowledges was captured, where that was sent but once.
    pub round_trip: Option<Nanos>,
}

const SYN_FIN: TcpFlags = TcpFlags::SYN.or(TcpFlags::FIN);
const SYN_FIN_RST: TcpFlags = SYN_FIN.or(TcpFlags::RST);

impl Analysis {
    /// One direction.
    pub(super) const fn half(&self, direction: Direction) -> &Half {
        &self.halves[direction.index()]
    }

    /// Whether a SYN without ACK with this number begins another conversation on the same addresses and ports.
    pub(super) fn is_new_life(&self, direction: Direction, seq: u32) -> bool {
        self.half(direction).base.is_some_and(|base| base != seq)
    }

    /// The window of a segment as `tcp.window_size` shows it.
    pub(super) fn window(&self, direction: Direction, flags: TcpFlags, window: u16) -> u32 {
        if flags.has(TcpFlags::SYN) {
            return window.into();
        }
        u32::from(window) << self.half(direction).scale.shift()
    }

    /// What a second look adds to the labels of a segment, now that the whole conversation is known: Wireshark looks twice
    /// (`tshark -2`), and then calls every SYN-ACK reused whose number is not the last one.
    pub(super) fn hindsight(&self, direction: Direction, flags: TcpFlags, seq: u32) -> Labels {
        let is_other = self.half(direction).base.is_some_and(|base| base != seq);
        if flags.has(TcpFlags::SYN.or(TcpFlags::ACK)) && is_other { Labels::REUSED_PORTS } else { Labels::NONE }
    }

    /// Labels one segment.
    pub(super) fn label(&mut self, packet: &Packet) -> Labelled {
        let mut labelled = Labelled::default();
        let flags = packet.flags;
        let [a, b] = &mut self.halves;
        let (fwd, rev) = match packet.direction {
            Direction::AToB => (a, b),
            Direction::BToA => (b, a),
        };
        if flags.has(TcpFlags::SYN) {
            open(fwd, packet, &mut labelled);
        }
        if flags.has(TcpFlags::SYN) && !flags.has(TcpFlags::ACK) {
            self.syn_at = Some(packet.at);
        }
        begin(fwd, rev, packet);
        let decided = if packet.len == 1 && packet.seq == fwd.next_seq && rev.window == 0 {
            labelled.labels.add(Labels::ZERO_WINDOW_PROBE);
            true
        } else {
            false
        };
        if !decided {
            label_by_window(fwd, rev, packet, self.mptcp != fwd.mptcp, &mut labelled);
        }
        restart_duplicate_acks(fwd, packet);
        label_acked_unseen(rev, packet, &mut labelled);
        if packet.len > 0 || flags.any(SYN_FIN) {
            let threshold = self.initial_rtt.filter(|rtt| rtt.get() != 0).unwrap_or(OUT_OF_ORDER_WITHIN);
            label_sent_again(fwd, rev, packet, threshold, &mut labelled);
        }
        let acked = self.enter(packet, labelled.labels);
        labelled.round_trip = acked.sent_at.map(|sent| packet.at - sent);
        labelled.shown |= acked.matched || !labelled.labels.is_empty();
        let fwd = self.half(packet.direction);
        if packet.len > 0 && fwd.in_flight_known && fwd.unacked.len() > 0 {
            labelled.shown = true;
        }
        labelled
    }

    /// Enters a segment whose labels are known.
    #[inline(always)]
    fn enter(&mut self, packet: &Packet, labels: Labels) -> Acked {
        let flags = packet.flags;
        let [a, b] = &mut self.halves;
        let (fwd, rev) = match packet.direction {
            Direction::AToB => (a, b),
            Direction::BToA => (b, a),
        };
        remember(fwd, packet, labels);
        let acked = rev.unacked.acknowledge(packet.ack);
        learn_options(fwd, rev, packet);
        fwd.mptcp = self.mptcp;
        self.mptcp |= packet.mptcp;
        if self.initial_rtt.is_none_or(|rtt| rtt.get() == 0) && flags.has(TcpFlags::ACK) && !flags.any(TcpFlags::SYN) {
            // A SYN at time 0 counts as none.
            self.initial_rtt = self.syn_at.filter(|syn| syn.nanos() != 0).map(|syn| packet.at - syn);
        }
        acked
    }

    /// Whether both directions have begun, and with them their relative numbers.
    pub(super) fn has_both_bases(&self) -> bool {
        self.halves.iter().all(|half| half.base.is_some())
    }

    /// Whether no later segment can change the initial round-trip time.
    pub(super) fn has_final_rtt(&self) -> bool {
        self.initial_rtt.is_some_and(|rtt| rtt.get() != 0) || self.syn_at.is_none_or(|syn| syn.nanos() == 0)
    }

    /// Whether [`label`](Self::label) would find nothing to label on a segment: one with ACK and without SYN and RST, whose only
    /// options are time stamps, of a conversation that has both bases. Each condition excludes the labels named beside it.
    #[inline(always)]
    pub(super) fn is_unlabelled(&self, packet: &Packet) -> bool {
        let [a, b] = &self.halves;
        let (fwd, rev) = match packet.direction {
            Direction::AToB => (a, b),
            Direction::BToA => (b, a),
        };
        // No lost segment, keep-alive, retransmission or one out of order: those begin elsewhere than at the next number.
        let continues = fwd.next_seq != 0 && packet.seq == fwd.next_seq;
        // No zero window, no probe of one and no answer to a probe.
        let windows_open = packet.window != 0 && rev.window != 0;
        // No ACK of an unseen segment.
        let acks_seen = rev.contiguous == 0 || !after(packet.ack, rev.contiguous);
        let end = packet.seq.wrapping_add(packet.len);
        let is_first_of_its_kind = if packet.len == 0 {
            // No duplicate ACK, window update or answer to a keep-alive: those acknowledge the same again, without FIN.
            packet.ack != fwd.last_ack || packet.flags.has(TcpFlags::FIN)
        } else {
            // No full window, and no needless retransmission.
            let shift = if rev.window_unscaled { 0 } else { rev.scale.shift() };
            let fills = rev.scale != Scale::Unknown && end == rev.last_ack.wrapping_add(rev.window << shift);
            !fills && (rev.last_ack == 0 || after(end, rev.last_ack))
        };
        continues && windows_open && acks_seen && is_first_of_its_kind
    }

    /// Enters a segment that [`is_unlabelled`](Self::is_unlabelled) as [`label`](Self::label) does; since the segment that it
    /// acknowledges.
    #[inline(always)]
    pub(super) fn enter_unlabelled(&mut self, packet: &Packet) -> Option<Nanos> {
        let [a, b] = &mut self.halves;
        let (fwd, rev) = match packet.direction {
            Direction::AToB => (a, b),
            Direction::BToA => (b, a),
        };
        begin(fwd, rev, packet);
        restart_duplicate_acks(fwd, packet);
        self.enter(packet, Labels::NONE).sent_at.map(|sent| packet.at - sent)
    }
}

fn restart_duplicate_acks(fwd: &mut Half, packet: &Packet) {
    if packet.ack != fwd.last_ack {
        fwd.duplicate_acks = 0;
    }
}

/// A SYN or SYN-ACK on a conversation that has one already.
fn open(fwd: &mut Half, packet: &Packet, labelled: &mut Labelled) {
    let Some(base) = fwd.base else { return };
    if packet.flags.has(TcpFlags::ACK) {
        if base != packet.seq {
            // The SYN-ACK of another life of these ports, whose SYN was not captured.
            labelled.labels.add(Labels::REUSED_PORTS);
            fwd.base = Some(packet.seq);
        }
    } else {
        // A RST may have carried the number that the peer acknowledged, which then is no ground to expect more.
        fwd.next_seq = fwd.contiguous;
        labelled.shown = true;
    }
}

fn begin(fwd: &mut Half, rev: &mut Half, packet: &Packet) {
    if fwd.base.is_none() {
        if packet.flags.has(TcpFlags::SYN) {
            fwd.base = Some(packet.seq);
            if packet.flags.has(TcpFlags::ACK) {
                fwd.saw_syn_ack = true;
            } else {
                fwd.saw_syn = true;
            }
        } else {
            fwd.base = Some(packet.seq.wrapping_sub(1));
        }
    }
    if packet.flags.has(TcpFlags::ACK) {
        if rev.base.is_none() {
            rev.base = Some(packet.ack.wrapping_sub(1));
        }
        rev.in_flight_known = true;
    }
}

/// `tells_mptcp`: since the sender's last segment the conversation saw the first MPTCP option of a kind. Such options go on ACKs of
/// their own, which tell of no loss (RFC 8684 section 4).
fn label_by_window(fwd: &mut Half, rev: &Half, packet: &Packet, tells_mptcp: bool, labelled: &mut Labelled) {
    let labels = &mut labelled.labels;
    let plain = !packet.flags.any(SYN_FIN_RST);
    let window = u32::from(packet.window);
    if window == 0 && plain {
        labels.add(Labels::ZERO_WINDOW);
    }
    if fwd.next_seq != 0 && after(packet.seq, fwd.next_seq) && !packet.flags.has(TcpFlags::RST) {
        labels.add(Labels::LOST_SEGMENT);
        fwd.in_flight_known = false;
    }
    if !plain {
        return;
    }
    if packet.len <= 1 && packet.seq == fwd.next_seq.wrapping_sub(1) {
        labels.add(Labels::KEEP_ALIVE);
    }
    let repeats = packet.len == 0 && packet.seq == fwd.next_seq && packet.ack == fwd.last_ack;
    if repeats && window != 0 && window != fwd.window {
        labels.add(Labels::WINDOW_UPDATE);
    }
    if packet.len > 0 && rev.scale != Scale::Unknown {
        let shift = if rev.window_unscaled { 0 } else { rev.scale.shift() };
        if packet.seq.wrapping_add(packet.len) == rev.last_ack.wrapping_add(rev.window << shift) {
            labels.add(Labels::WINDOW_FULL);
        }
    }
    if repeats && window != 0 && window == fwd.window && rev.last_labels.has(Labels::KEEP_ALIVE) {
        labels.add(Labels::KEEP_ALIVE_ACK);
        return;
    }
    if packet.len == 0
        && window == 0
        && window == fwd.window
        && packet.seq == fwd.next_seq
        && packet.ack == fwd.last_ack
        && rev.last_labels.has(Labels::ZERO_WINDOW_PROBE)
    {
        labels.add(Labels::ZERO_WINDOW_PROBE_ACK);
        return;
    }
    if repeats && window != 0 && window == fwd.window && !tells_mptcp {
        labels.add(Labels::DUPLICATE_ACK);
        fwd.duplicate_acks = if fwd.duplicate_acks == TOLD { 1 } else { fwd.duplicate_acks + 1 };
        labelled.duplicate_ack = fwd.duplicate_acks;
    }
}

fn label_acked_unseen(rev: &mut Half, packet: &Packet, labelled: &mut Labelled) {
    if rev.contiguous == 0 || !after(packet.ack, rev.contiguous) || !packet.flags.has(TcpFlags::ACK) {
        return;
    }
    labelled.shown = true;
    if rev.contiguous != rev.next_seq {
        rev.contiguous = rev.next_seq;
    } else {
        // Once for each stall: not again until that direction acknowledges something new.
        if std::mem::replace(&mut rev.duplicate_acks, TOLD) != 0 {
            return;
        }
    }
    labelled.labels.add(Labels::ACK_LOST_SEGMENT);
}

fn label_sent_again(fwd: &Half, rev: &Half, packet: &Packet, out_of_order_within: Nanos, labelled: &mut Labelled) {
    let labels = &mut labelled.labels;
    if labels.has(Labels::KEEP_ALIVE) {
        return;
    }
    let end = packet.seq.wrapping_add(packet.len);
    let mut goes_back = fwd.next_seq != 0 && before(packet.seq, fwd.next_seq);
    if packet.len > 1 && packet.seq == fwd.next_seq.wrapping_sub(1) {
        // New data after a zero window probe that was not taken.
        goes_back = false;
    }
    if packet.len > 0 && rev.last_ack != 0 && !after(end, rev.last_ack) {
        labels.add(Labels::SPURIOUS_RETRANSMISSION);
        labels.add(Labels::RETRANSMISSION);
        return;
    }
    if !goes_back {
        return;
    }
    if within(packet.at, rev.last_ack_at, FAST_RETRANSMISSION_WITHIN) && rev.duplicate_acks >= 2 && rev.last_ack == packet.seq {
        labels.add(Labels::FAST_RETRANSMISSION);
        labels.add(Labels::RETRANSMISSION);
        return;
    }
    let whole_end = end.wrapping_add(packet.flags.any(SYN_FIN).into());
    if within(packet.at, fwd.next_seq_at, out_of_order_within) && fwd.next_seq != whole_end {
        labels.add(Labels::OUT_OF_ORDER);
        return;
    }
    labels.add(Labels::RETRANSMISSION);
    // Since the oldest segment not acknowledged; Wireshark tells no RTO of 0.
    let since = fwd.unacked.iter().next().map_or(fwd.next_seq_at, |segment| segment.at);
    labelled.rto = Some(packet.at - since).filter(|rto| rto.get() != 0);
}

/// Whether `at` lies less than `limit` after `since`; never if it lies before.
fn within(at: Timestamp, since: Timestamp, limit: Nanos) -> bool {
    (0..limit.get()).contains(&(at - since).get())
}

fn remember(fwd: &mut Half, packet: &Packet, labels: Labels) {
    let one = u32::from(packet.flags.any(SYN_FIN));
    let end = packet.seq.wrapping_add(packet.len).wrapping_add(one);
    if packet.len > 0 || one > 0 {
        fwd.unacked.push(Segment { seq: packet.seq, end, no: packet.no, at: packet.at });
        if packet.flags.has(TcpFlags::FIN) {
            fwd.unacked.close();
        }
    }
    let probe = labels.has(Labels::ZERO_WINDOW_PROBE);
    if !probe && (fwd.next_seq == 0 || after(end, fwd.next_seq)) {
        fwd.next_seq = end;
        fwd.next_seq_at = packet.at;
    }
    if !probe && (fwd.contiguous == 0 || packet.seq == fwd.contiguous) {
        fwd.contiguous = fwd.next_seq;
    }
    fwd.window = packet.window.into();
    fwd.window_unscaled = packet.flags.has(TcpFlags::SYN);
    fwd.last_ack = packet.ack;
    fwd.last_ack_at = packet.at;
    fwd.last_labels = labels;
}

fn learn_options(fwd: &mut Half, rev: &mut Half, packet: &Packet) {
    // Also outside of a SYN, where it has no business (RFC 7323 section 2.2), as Wireshark takes it.
    if let Some(shift) = packet.window_scale {
        fwd.scale = Scale::By(shift.min(14));
    }
    if !packet.flags.has(TcpFlags::SYN) {
        return;
    }
    if fwd.scale == Scale::Unknown {
        // Without the option in either SYN there is no scaling (RFC 7323 section 2.2).
        fwd.scale = Scale::Off;
        rev.scale = Scale::Off;
    } else if packet.flags.has(TcpFlags::ACK) && rev.scale == Scale::Off {
        fwd.scale = Scale::Off;
    }
}
