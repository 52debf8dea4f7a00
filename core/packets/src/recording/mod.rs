//! Everything that is known of a log: records go in, nothing is judged.

use crate::counters::Counters;
use crate::dissect::{self, Above, Checksum, CompactPacket, Icmp, Ip, Packet, Protocol, Stop, TcpFlags, Transport};
use crate::drops::Drops;
use crate::exchange::Exchanges;
use crate::flow::{FlowTable, KeyHash, Labels, Observed, Reassembly, Seen, Taken};
use crate::ids::{InterfaceId, PacketNo};
use crate::log::Decoder;
use crate::log::block::{Clock, Mark, Probe};
use crate::log::record::{End, Interface, PacketRecord, Record, Section, Statistics};
use crate::store::{Facts, Row, Store};
use crate::time::{Nanos, Span, Timestamp};
use std::collections::BTreeMap;

mod batch;

pub use batch::{Batch, Parser};

/// A reassembled datagram begins with its IP header.
const LINKTYPE_RAW: u32 = 101;
/// The most marks, probes and comments that are kept each.
const MOST_KEPT: usize = 10_000;
/// A record that goes back in time by no more than this stands in the wrong place; by more, the clock was set.
const LATE_RECORD: Nanos = Nanos::from_secs(1);
/// A clock that moved by more than this between two readings was set.
const CLOCK_STEP: Nanos = Nanos::from_millis(200);

/// What the capture itself says about one of its interfaces.
#[derive(Clone, Debug, Default)]
pub struct Tap {
    /// Packets.
    pub packets: u32,
    /// Packets of which not all bytes were kept.
    pub cut: u32,
    /// Whether nobody here can read its link type.
    pub unknown_link: bool,
    /// Lost by the capture, by its Interface Statistics Blocks.
    pub lost_by_statistics: u64,
    /// Packets that came to the capture, by the same blocks (`isb_ifrecv`): more than are in a file from which some were taken.
    received: Total,
    /// Whether those that were lost are not among them: Dumpcap counts what it wrote, libpcap what came.
    received_leaves_out_lost: bool,
    counted: Total,
    /// Lost by the capture, by what packets say of those before them.
    pub lost_by_packets: u64,
    /// When losses were noticed: from the time before to the time of noticing.
    pub losses: Vec<Span>,
    /// The first time on it, and the latest.
    first: Option<Timestamp>,
    latest: Option<Timestamp>,
    /// When the last statistics were read.
    counted_at: Option<Timestamp>,
    /// The farthest that time went back.
    pub went_back: Option<(Timestamp, Nanos)>,
    /// Packets that stand behind later ones.
    pub out_of_order: u32,
}

/// A count that a recorder begins at zero when it is started again.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    latest: u64,
    /// The last counts before it began anew.
    before: u64,
}

impl Total {
    fn count(&mut self, latest: u64) -> u64 {
        if latest < self.latest {
            self.before = self.before.saturating_add(self.latest);
        }
        self.latest = latest;
        self.get()
    }

    fn get(self) -> u64 {
        self.before.saturating_add(self.latest)
    }
}

impl Tap {
    /// Packets the capture lost here.
    pub fn lost(&self) -> u64 {
        self.lost_by_statistics.max(self.lost_by_packets)
    }

    /// Packets that came to the capture here, those among them that it lost.
    pub fn offered(&self) -> u64 {
        let (lost, received) = (self.lost(), self.received.get());
        let all = if self.received_leaves_out_lost || received < lost { received.saturating_add(lost) } else { received };
        all.max(lost.saturating_add(self.packets.into()))
    }

    /// Counts one packet.
    #[inline]
    fn count(&mut self, time: Option<Timestamp>, cap_len: u32, wire_len: u32) {
        self.packets += 1;
        self.cut += u32::from(cap_len < wire_len);
        let Some(time) = time else { return };
        if let Some(latest) = self.latest.filter(|latest| time < *latest) {
            let back = latest - time;
            self.out_of_order += 1;
            if self.went_back.is_none_or(|(_, most)| back > most) {
                self.went_back = Some((time, back));
            }
        }
        self.first.get_or_insert(time);
        // A packet that stands too late says nothing of those behind it; a clock that was set does.
        let is_late = self.latest.is_some_and(|latest| time < latest && latest - time <= LATE_RECORD);
        self.latest = if is_late { self.latest } else { Some(time) };
    }

    fn note_loss(&mut self, from: Option<Timestamp>, to: Timestamp) {
        if self.losses.len() < MOST_KEPT {
            self.losses.push(Span::new(from.unwrap_or(to), to));
        }
    }
}

/// What the file says of a packet that is neither commented nor without a time, nor reports a loss.
#[derive(Clone, Copy, Debug)]
struct Place {
    time: Timestamp,
    no: PacketNo,
    interface: InterfaceId,
    offset: u64,
    cap_len: u32,
    wire_len: u32,
}

impl Place {
    #[inline(always)]
    fn of(record: &PacketRecord<'_>) -> Option<Self> {
        let PacketRecord { no, interface, offset, wire_len, .. } = *record;
        let is_remarked = record.drop_count.is_some() || !record.comments.is_empty();
        let time = record.time.filter(|_| !is_remarked)?;
        Some(Self { time, no, interface, offset, cap_len: record.data.len() as u32, wire_len })
    }

    /// The record again, without its bytes. Link type and flags are not kept; nothing reads them any more.
    #[inline]
    fn record(&self) -> PacketRecord<'static> {
        let Self { time, no, interface, offset, cap_len: _, wire_len } = *self;
        let (flags, drop_count, comments) = (None, None, Vec::new());
        PacketRecord { no, interface, link_type: 0, time: Some(time), wire_len, offset, data: &[], flags, drop_count, comments }
    }
}

/// Observes the packets that may be remarkable by themselves.
pub trait Witness {
    /// The next packet, before it enters the store. Those of the fast path are left out: datagrams of UDP, and segments that are
    /// no copy, open nothing, are no larger than the MSS allows and no tunnel carries.
    fn note(&mut self, packet: &Packet<'_>, seen: &Observed, row: &Row, flows: &FlowTable, store: &Store);
}

/// The recording so far.
#[derive(Debug, Default)]
pub struct Recording {
    /// Its packets.
    pub store: Store,
    /// Its conversations.
    pub flows: FlowTable,
    /// Fragments that wait for the rest of their datagrams.
    pub reassembly: Reassembly,
    /// What was asked and answered beside TCP.
    pub exchanges: Exchanges,
    /// What the host counted, and what it is.
    pub counters: Counters,
    /// Packets the kernel dropped.
    pub drops: Drops,
    /// Its sections.
    pub sections: Vec<Section>,
    /// Interfaces it was captured on, by `InterfaceId`.
    pub interfaces: Vec<Interface>,
    /// What the capture says of each of them.
    pub taps: Vec<Tap>,
    /// What happened.
    pub marks: Vec<Mark>,
    /// Active checks.
    pub probes: Vec<Probe>,
    /// Comments on packets, by packet.
    pub comments: BTreeMap<u32, Vec<String>>,
    /// Jumps of the host's clock: when, and by how much.
    pub clock_steps: Vec<(Timestamp, Nanos)>,
    /// Bytes of all packets on the wire.
    pub wire_bytes: u64,
    /// From the first to the last time of any record, but for the capture's own statistics.
    pub span: Option<Span>,
    /// Marks, probes and comments that are more than are kept.
    pub beyond: u64,
    clock: Option<Clock>,
    latest: Timestamp,
    without_fast_path: bool,
}

impl Recording {
    /// A recording in which every packet takes the general path; what is known in the end is the same. For tests of that.
    pub fn without_fast_path() -> Self {
        Self { without_fast_path: true, ..Self::default() }
    }

    /// Takes the next bytes of the log.
    pub fn read(&mut self, decoder: &mut Decoder, bytes: &[u8], witness: &mut dyn Witness) {
        decoder.push(bytes, |record| self.take(record, witness));
    }

    /// Says that no more bytes will come, and returns how reading ended, if not well.
    pub fn finish(&mut self, decoder: &mut Decoder, witness: &mut dyn Witness) -> Option<End> {
        decoder.finish(|record| self.take(record, witness)).err()
    }

    /// Takes the next record.
    #[inline(always)]
    fn take(&mut self, record: Record<'_>, witness: &mut dyn Witness) {
        match record {
            Record::Packet(record) => self.take_record(&record, witness),
            other => self.take_other(other, witness),
        }
    }

    #[inline(always)]
    fn take_record(&mut self, record: &PacketRecord<'_>, witness: &mut dyn Witness) {
        if !self.without_fast_path
            && let Some(place) = Place::of(record)
            && let Some(packet) = CompactPacket::read(record.link_type, record.data, record.wire_len)
        {
            let hash = packet.key_hash();
            if !self.take_fast(&packet, hash, &place) {
                self.take_compact(&packet, hash, &place, packet.rest(record.data), witness);
            }
        } else {
            self.take_any(record, witness);
        }
    }

    #[inline(never)]
    fn take_any(&mut self, record: &PacketRecord<'_>, witness: &mut dyn Witness) {
        let mut packet = dissect::dissect(record.link_type, record.data, record.wire_len);
        self.take_packet(record, record.data.len() as u32, &mut packet, None, witness);
    }

    #[inline(never)]
    fn take_compact(
        &mut self,
        packet: &CompactPacket,
        hash: KeyHash,
        place: &Place,
        rest: (&[u8], &[u8]),
        witness: &mut dyn Witness,
    ) {
        self.enter(&place.record(), place.cap_len, &packet.packet(rest), Some(hash), place.time, witness);
    }

    /// Takes a packet by the fast path; false if it is none of those.
    #[inline(always)]
    fn take_fast(&mut self, packet: &CompactPacket, hash: KeyHash, place: &Place) -> bool {
        let &Place { time, no, interface, offset, cap_len, wire_len } = place;
        let taken = Taken { seen: Seen { no, at: time }, interface };
        let flow = match self.without_fast_path {
            false => self.flows.observe_fast(packet, hash, taken, wire_len),
            true => None,
        };
        if flow.is_none() {
            return false;
        }
        self.latest = time;
        self.saw(time);
        self.store.push(&Row {
            time,
            offset,
            cap_len,
            wire_len,
            flow,
            labels: Labels::NONE,
            interface,
            protocol: if matches!(packet.above, Above::Udp) { Protocol::Udp } else { Protocol::Tcp },
            facts: Facts::default().with(Facts::BAD_CHECKSUM, packet.has_bad_checksum()),
            judged: None,
        });
        for amended in self.flows.amended() {
            self.store.amend(amended.no, amended.judgement);
        }
        self.wire_bytes += u64::from(wire_len);
        if let Some(tap) = self.taps.get_mut(interface.0 as usize) {
            tap.count(Some(time), cap_len, wire_len);
        }
        true
    }

    #[inline(never)]
    fn take_other(&mut self, record: Record<'_>, witness: &mut dyn Witness) {
        match record {
            Record::Packet(record) => self.take_any(&record, witness),
            Record::Section(section) => {
                let of = |section: &Section| section.segment().map(|segment| segment.recording);
                let goes_on = of(&section).is_some_and(|new| self.sections.last().and_then(of) == Some(new));
                self.counters.begin_section(goes_on);
                keep(&mut self.sections, section, &mut self.beyond);
            }
            Record::Interface(interface) => {
                self.taps.push(Tap { unknown_link: dissect::link(interface.link_type).is_none(), ..Tap::default() });
                self.interfaces.push(interface);
            }
            Record::Statistics(statistics) => self.take_statistics(&statistics),
            Record::Names(_) | Record::Skipped { .. } => {}
            Record::Host(host) => {
                self.saw(Timestamp::from_nanos(host.at_ns));
                self.counters.learn_host(*host);
            }
            Record::Clock(clock) => self.take_clock(clock),
            Record::Catalogue(catalogue) => self.counters.describe(catalogue),
            Record::Snapshot(snapshot) => {
                self.saw(Timestamp::from_nanos(snapshot.at_ns));
                self.counters.record(&snapshot);
            }
            Record::RuleSet(rules) => self.counters.learn_rules(*rules),
            Record::KernelDrop(drop) => {
                self.saw(Timestamp::from_nanos(drop.at_ns));
                self.drops.push(*drop);
            }
            Record::Probe(probe) => keep(&mut self.probes, *probe, &mut self.beyond),
            Record::Mark(mark) => {
                self.saw(Timestamp::from_nanos(mark.at_ns));
                keep(&mut self.marks, mark, &mut self.beyond);
            }
        }
    }

    /// Takes the next packet, of which `cap_len` bytes were kept. The record has these bytes where [`Reassembly::wants`] them; of
    /// others they are not asked for. What its conversation is looked up by may be known already.
    fn take_packet(
        &mut self,
        record: &PacketRecord<'_>,
        cap_len: u32,
        packet: &mut Packet<'_>,
        hash: Option<KeyHash>,
        witness: &mut dyn Witness,
    ) {
        let time = record.time.unwrap_or(self.latest);
        if Reassembly::wants(packet) {
            self.put_together(record, cap_len, packet, time, witness);
        } else {
            let observed = self.enter(record, cap_len, packet, hash, time, witness);
            self.exchanges.observe(packet, &observed, Seen { no: record.no, at: time });
        }
    }

    /// Enters a fragment as the datagram that it completes, or stands for, and an error with what it quotes.
    #[cold]
    fn put_together(
        &mut self,
        record: &PacketRecord<'_>,
        cap_len: u32,
        packet: &mut Packet<'_>,
        time: Timestamp,
        witness: &mut dyn Witness,
    ) {
        let whole = self.reassembly.complete(packet, record.data, time);
        self.reassembly.complete_quoted(packet, record.data, time);
        let seen = Seen { no: record.no, at: time };
        self.exchanges.fragments.observe(packet, seen);
        let carried = match &whole {
            Some(whole) => Some(dissect::dissect(LINKTYPE_RAW, whole, whole.len() as u32)),
            None => first_of_cut(packet, record.data),
        };
        let observed = self.enter(record, cap_len, carried.as_ref().unwrap_or(packet), None, time, witness);
        if let Some(carried) = carried.filter(|_| whole.is_some()) {
            self.exchanges.observe(&carried, &observed, seen);
        }
    }

    /// Enters a packet whose transport is read as far as it can be.
    fn enter(
        &mut self,
        record: &PacketRecord<'_>,
        cap_len: u32,
        packet: &Packet<'_>,
        hash: Option<KeyHash>,
        time: Timestamp,
        witness: &mut dyn Witness,
    ) -> Observed {
        let seen = self.flows.observe_hashed(packet, hash, record.no, time, record.interface, record.wire_len);
        if record.time.is_some() {
            self.latest = time;
            self.saw(time);
        }
        let facts = facts(packet, seen.labels)
            .with(Facts::NO_TIME, record.time.is_none())
            .with(Facts::COMMENTED, !record.comments.is_empty())
            .with(Facts::COPY, seen.copy_of.is_some())
            .with_duplicate_ack(seen.duplicate_ack.unwrap_or(0));
        let row = Row {
            time,
            offset: record.offset,
            cap_len,
            wire_len: record.wire_len,
            flow: seen.flow.zip(seen.direction),
            labels: seen.labels,
            interface: record.interface,
            protocol: packet.transport.protocol().unwrap_or_default(),
            facts,
            judged: seen.judgement.map(Into::into),
        };
        witness.note(packet, &seen, &row, &self.flows, &self.store);
        self.store.push(&row);
        if let Some(judgement) = seen.judgement {
            self.store.give_reasons(judgement);
        }
        for amended in self.flows.amended() {
            self.store.amend(amended.no, amended.judgement);
        }
        self.wire_bytes += u64::from(record.wire_len);
        if !record.comments.is_empty() {
            if self.comments.len() < MOST_KEPT {
                self.comments.insert(record.no.0, record.comments.clone());
            } else {
                self.beyond += 1;
            }
        }
        let Some(tap) = self.taps.get_mut(record.interface.0 as usize) else { return seen };
        if let Some(lost) = record.drop_count.filter(|lost| *lost > 0) {
            tap.lost_by_packets = tap.lost_by_packets.saturating_add(lost);
            tap.note_loss(tap.latest, time);
        }
        tap.count(record.time, cap_len, record.wire_len);
        seen
    }

    /// Takes what the capture counted. When that was written is no time of the recording: Dumpcap gives it in microseconds
    /// whatever the interface's resolution is, and some writers not at all.
    fn take_statistics(&mut self, statistics: &Statistics) {
        let Some(tap) = self.taps.get_mut(statistics.interface.0 as usize) else { return };
        let application = self.sections.last().and_then(|section| section.application.as_deref());
        tap.received_leaves_out_lost = application.is_some_and(|name| name.starts_with("Dumpcap"));
        if let Some(received) = statistics.received {
            tap.received.count(received);
        }
        let lost = tap.counted.count(statistics.if_dropped.unwrap_or(0).saturating_add(statistics.os_dropped.unwrap_or(0)));
        let at = tap.latest.map_or(statistics.time, |latest| statistics.time.max(latest));
        if lost > tap.lost_by_statistics {
            tap.note_loss(tap.counted_at.or(tap.first), at);
        }
        tap.lost_by_statistics = tap.lost_by_statistics.max(lost);
        tap.counted_at = Some(at);
    }

    fn take_clock(&mut self, clock: Clock) {
        let at = Timestamp::from_nanos(clock.realtime_ns);
        self.saw(at);
        if let Some(before) = &self.clock {
            let lead = |clock: &Clock| clock.realtime_ns.saturating_sub(clock.boottime_ns);
            let step = Nanos::new(lead(&clock).saturating_sub(lead(before)));
            if step.get().unsigned_abs() > CLOCK_STEP.get().unsigned_abs() + clock.error_ns + before.error_ns {
                keep(&mut self.clock_steps, (at, step), &mut self.beyond);
            }
        }
        self.clock = Some(clock);
    }

    /// Notes that something happened at `time`.
    #[inline]
    fn saw(&mut self, time: Timestamp) {
        match &mut self.span {
            None => self.span = Some(Span::at(time)),
            Some(span) => {
                span.start = span.start.min(time);
                span.end = span.end.max(time);
            }
        }
    }

    /// Packets the capture itself lost.
    pub fn capture_lost(&self) -> u64 {
        self.taps.iter().map(Tap::lost).fold(0, u64::saturating_add)
    }

    /// Packets that came to the capture, those among them that it lost.
    pub fn capture_offered(&self) -> u64 {
        self.taps.iter().map(Tap::offered).fold(0, u64::saturating_add)
    }

    /// The name of a capture interface: `eth0`, or `interface 0`.
    pub fn interface_name(&self, id: InterfaceId) -> String {
        let name = self.interfaces.get(id.0 as usize).and_then(|interface| interface.name.clone());
        name.unwrap_or_else(|| format!("interface {id}"))
    }
}

fn keep<T>(list: &mut Vec<T>, item: T, beyond: &mut u64) {
    if list.len() < MOST_KEPT { list.push(item) } else { *beyond += 1 }
}

/// The first fragment of a datagram that can never be whole, since the snapshot length cut it: it stands for the datagram, as in
/// Wireshark. TCP's does not, as how much it carries is not known.
fn first_of_cut<'a>(packet: &Packet<'a>, data: &[u8]) -> Option<Packet<'a>> {
    let ip = packet.ip.filter(|ip| ip.src.is_ipv4() && ip.fragment.is_some_and(|fragment| fragment.offset == 0))?;
    let is_cut = (ip.offset + ip.total_len) as usize > data.len();
    let is_told = is_cut && !matches!(packet.transport, Transport::Tcp(_));
    is_told.then(|| Packet { ip: Some(Ip { fragment: None, ..ip }), ..packet.clone() })
}

/// The small facts the store keeps of a packet.
fn facts(packet: &Packet<'_>, labels: Labels) -> Facts {
    let mut facts = Facts::default()
        .with(Facts::MORE_ADDRESSES, packet.outer.is_some())
        .with(Facts::MALFORMED, packet.stop.as_ref().is_some_and(Stop::is_fault));
    let bad = packet.transport.checksum() == Some(Checksum::Bad) || packet.ip_checksums.contains(&Some(Checksum::Bad));
    facts = facts.with(Facts::BAD_CHECKSUM, bad);
    match &packet.transport {
        Transport::Tcp(tcp) => facts
            .with(Facts::RESET, tcp.flags.has(TcpFlags::RST))
            .with(Facts::SYN_RETRY, tcp.flags.has(TcpFlags::SYN) && labels.any(Labels::RETRANSMISSION)),
        Transport::Icmp(icmp) => facts.with(Facts::MORE_ADDRESSES, icmp.quote.is_some()).with(Facts::ICMP_ERROR, is_error(icmp)),
        _ => facts,
    }
}

/// Whether an ICMP message tells that a packet could not be delivered (RFC 792, RFC 4443 section 2.1).
fn is_error(icmp: &Icmp<'_>) -> bool {
    match icmp.protocol {
        Protocol::Icmp => matches!(icmp.kind, 3 | 4 | 11 | 12),
        _ => icmp.kind < 128,
    }
}
