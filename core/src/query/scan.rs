//! Which packets pass a filter, found bit by bit and remembered.
//!
//! A scan is kept for each filter lately asked for. It goes on where it stopped, a bounded piece at a time, and grows with
//! the log, so that no question takes long and no packet is looked at twice.

use super::engine::Knowledge;
use super::reader::{ByteSource, Reader, dissected};
use crate::filter::{Error, Filter, Read, Subject};
use crate::flow::Retrace;
use crate::ids::{FlowId, PacketNo};
use crate::store::{Store, Summary};
use crate::time::Span;
use std::cell::RefCell;
use std::ops::Range;

/// Filters that are remembered.
const REMEMBERED: usize = 6;
/// Packets looked at by their columns in one go: some tens of milliseconds.
const COLUMNS_AT_ONCE: usize = 1 << 20;
/// Bytes of packets read again in one go.
const BYTES_AT_ONCE: u64 = 16 << 20;
/// Packets dissected again in one go.
const PACKETS_AT_ONCE: usize = 1 << 15;
/// Packets that are scanned together.
const CHUNK: usize = 1 << 10;
/// Comparisons that a filter may make before a packet counts for more than one: a long filter takes smaller pieces, so that no
/// question takes long.
const USUAL_COST: usize = 16;

/// What a scan looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    filter: String,
    flow: Option<FlowId>,
}

/// One filter's answers so far.
#[derive(Debug)]
struct Scan {
    wanted: Wanted,
    filter: Option<Filter>,
    /// A bit a packet: whether it passes.
    passes: Vec<u64>,
    /// How many packets of each chunk have been scanned.
    scanned: Vec<u16>,
    /// What was known when it began; a scan of something that changes begins anew.
    judgement: u64,
    /// The conversations, followed as far as packets were scanned, where the filter asks for that: it then begins with the first packet,
    /// whatever stretch of time is wanted.
    retrace: Option<Box<Retrace>>,
}

/// The scans lately asked for, the latest last.
#[derive(Debug, Default)]
pub(super) struct Scans {
    scans: Vec<Scan>,
}

/// The packets of a selection.
#[derive(Debug)]
pub(super) struct Selected<'s> {
    /// The places (from 0) within which they lie, ascending.
    ranges: Vec<Range<usize>>,
    /// Those among them that pass; `None` for all.
    passes: Option<&'s [u64]>,
    /// Whether all of them have been looked at.
    pub complete: bool,
}

impl Scans {
    /// The packets that pass `filter`, belong to `flow` and lie in `span`, as far as a bounded piece of work tells.
    pub(super) fn select(
        &mut self,
        known: &Knowledge<'_>,
        filter: &str,
        flow: Option<FlowId>,
        span: Option<Span>,
        source: &mut dyn ByteSource,
    ) -> Result<Selected<'_>, Error> {
        let mut ranges = Selected::within(known, span).ranges;
        if let Some(flow) = flow.and_then(|flow| known.recording.flows.get(flow)) {
            let whole = flow.first.no.0 as usize - 1..flow.last.no.0 as usize;
            ranges = ranges.into_iter().map(|range| range.start.max(whole.start)..range.end.min(whole.end)).collect();
            ranges.retain(|range| !range.is_empty());
        }
        let wanted = Wanted { filter: filter.trim().to_owned(), flow };
        if wanted.filter.is_empty() && flow.is_none() {
            return Ok(Selected { ranges, passes: None, complete: true });
        }
        let place = match self.scans.iter().position(|scan| scan.wanted == wanted) {
            Some(place) => place,
            None => {
                let filter = Filter::parse(&wanted.filter)?;
                if self.scans.len() >= REMEMBERED {
                    self.scans.remove(0);
                }
                let retrace = filter.as_ref().filter(|filter| filter.follows()).map(|_| Box::default());
                self.scans.push(Scan {
                    wanted,
                    filter,
                    passes: Vec::new(),
                    scanned: Vec::new(),
                    judgement: known.judged,
                    retrace,
                });
                self.scans.len() - 1
            }
        };
        let scan = self.scans.remove(place);
        self.scans.push(scan);
        let last = self.scans.len() - 1;
        let scan = &mut self.scans[last];
        if scan.filter.as_ref().is_some_and(Filter::changes) && scan.judgement != known.judged {
            scan.passes.clear();
            scan.scanned.clear();
            scan.judgement = known.judged;
            scan.retrace.iter_mut().for_each(|retrace| **retrace = Retrace::default());
        }
        let complete = match (&scan.retrace, ranges.last()) {
            (Some(_), Some(last)) => scan.advance(known, std::slice::from_ref(&(0..last.end)), source),
            _ => scan.advance(known, &ranges, source),
        };
        Ok(Selected { ranges, passes: Some(&scan.passes), complete })
    }
}

impl Scan {
    /// Looks at what was not looked at yet within `ranges`, up to a bound; whether all of it has been.
    fn advance(&mut self, known: &Knowledge<'_>, ranges: &[Range<usize>], source: &mut dyn ByteSource) -> bool {
        let packets = known.recording.store.len() as usize;
        self.passes.resize(packets.div_ceil(64), 0);
        self.scanned.resize(packets.div_ceil(CHUNK), 0);
        let mut reader = Reader::new(source, known.bytes_read);
        let mut looked_at = 0;
        let mut dissected = 0;
        let weight = 1 + self.filter.as_ref().map_or(0, Filter::cost) / USUAL_COST;
        let step = (CHUNK / weight).max(1);
        for range in ranges {
            for chunk in range.start / CHUNK..range.end.div_ceil(CHUNK) {
                let last = ((chunk + 1) * CHUNK).min(packets);
                let mut begin = chunk * CHUNK + usize::from(self.scanned[chunk]);
                while begin < last {
                    let spent = looked_at.max(dissected * (COLUMNS_AT_ONCE / PACKETS_AT_ONCE));
                    if spent * weight >= COLUMNS_AT_ONCE || reader.spent >= BYTES_AT_ONCE {
                        return false;
                    }
                    let end = (begin + step).min(last);
                    looked_at += end - begin;
                    self.scan(known, begin..end, &mut reader, &mut dissected);
                    self.scanned[chunk] = (end - chunk * CHUNK) as u16;
                    begin = end;
                }
            }
        }
        true
    }

    fn scan(&mut self, known: &Knowledge<'_>, range: Range<usize>, reader: &mut Reader<'_>, dissections: &mut usize) {
        if let Some(flow) = self.wanted.flow {
            let (first, last) = (PacketNo(range.start as u32 + 1), PacketNo(range.end as u32));
            for no in known.recording.store.of_flow(flow, first, last) {
                if self.filter.is_none() || self.passes(known, no, reader, dissections) {
                    self.set(no);
                }
            }
            return;
        }
        for place in range {
            let no = PacketNo(place as u32 + 1);
            if self.passes(known, no, reader, dissections) {
                self.set(no);
            }
        }
    }

    fn set(&mut self, no: PacketNo) {
        let place = no.0 as usize - 1;
        self.passes[place / 64] |= 1 << (place % 64);
    }

    /// A packet that cannot be read again does not pass what only it could tell.
    fn passes(&mut self, known: &Knowledge<'_>, no: PacketNo, reader: &mut Reader<'_>, dissections: &mut usize) -> bool {
        let (Some(filter), Some(mut subject)) = (&self.filter, known.subject(no)) else { return false };
        if self.retrace.is_none()
            && let Some(passes) = filter.test(&subject)
        {
            return passes;
        }
        *dissections += 1;
        let link_type = known.link_type(&subject.row);
        let Ok(bytes) = reader.bytes(&subject.row) else { return false };
        let packet = dissected(link_type, &subject.row, bytes);
        if let Some(retrace) = &mut self.retrace {
            subject.retrace(retrace, known.ended, bytes, &packet);
        }
        subject.packet = Some(Read { bytes, packet: &packet });
        filter.test(&subject).unwrap_or(false)
    }
}

impl<'a> Knowledge<'a> {
    /// A packet as filters see it.
    pub(super) fn subject(&self, no: PacketNo) -> Option<Subject<'a>> {
        let row = self.recording.store.get(no)?;
        Some(Subject {
            no,
            row,
            store: &self.recording.store,
            flow: row.flow.and_then(|(flow, _)| self.recording.flows.get(flow)),
            interfaces: &self.recording.interfaces,
            drops: &self.recording.drops,
            findings: self.findings,
            named: self.named,
            packet: None,
            retraced: None,
        })
    }
}

impl Selected<'_> {
    /// All packets that lie in `span`.
    pub(super) fn within(known: &Knowledge<'_>, span: Option<Span>) -> Self {
        let store = &known.recording.store;
        let everything = 0..store.len() as usize;
        Self { ranges: span.map_or_else(|| vec![everything], |span| ranges(store, span)), passes: None, complete: true }
    }

    /// How many packets there are.
    pub(super) fn total(&self) -> u32 {
        self.ranges.iter().map(|range| self.count(range)).sum()
    }

    fn count(&self, range: &Range<usize>) -> u32 {
        match self.passes {
            None => range.len() as u32,
            Some(passes) => words(passes, range).map(|(_, word)| word.count_ones()).sum(),
        }
    }

    /// The packets from the `first`th on, ascending.
    pub(super) fn from(&self, first: u32) -> impl Iterator<Item = PacketNo> + '_ {
        let mut skip = first;
        self.ranges.iter().flat_map(move |range| {
            let count = self.count(range);
            let skipped = skip.min(count);
            skip -= skipped;
            self.places(range.clone(), skipped as usize)
        })
    }

    /// The places in a range, without the first `skip`.
    fn places(&self, range: Range<usize>, skip: usize) -> Box<dyn Iterator<Item = PacketNo> + '_> {
        let number = |place: usize| PacketNo(place as u32 + 1);
        let Some(passes) = self.passes else {
            return Box::new((range.start + skip..range.end).map(number));
        };
        // Whole words are skipped by their count, so that the millionth row costs no more than some thousand additions.
        let mut left = skip;
        let mut start = range.start;
        for (place, word) in words(passes, &range) {
            let ones = word.count_ones() as usize;
            if ones > left {
                break;
            }
            left -= ones;
            start = (place / 64 + 1) * 64;
        }
        let rest = start.min(range.end)..range.end;
        Box::new(
            words(passes, &rest)
                .flat_map(|(place, word)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| place / 64 * 64 + bit))
                .skip(left)
                .map(number),
        )
    }

    /// At which row a packet, or the next one after it, stands.
    pub(super) fn row_of(&self, no: PacketNo) -> u32 {
        let place = (no.0 as usize).saturating_sub(1);
        self.ranges.iter().map(|range| self.count(&(range.start.min(place)..range.end.min(place)))).sum()
    }
}

/// The words of the bits in a range, each with the place of its first bit in the range; bits outside are cleared.
fn words<'p>(passes: &'p [u64], range: &Range<usize>) -> impl Iterator<Item = (usize, u64)> + use<'p> {
    let Range { start, end } = *range;
    (start / 64..end.div_ceil(64)).map(move |index| {
        let base = index * 64;
        let mut word = passes.get(index).copied().unwrap_or(0);
        if base < start {
            word &= u64::MAX << (start - base);
        }
        if end - base < 64 {
            word &= (1 << (end - base)) - 1;
        }
        (base.max(start), word)
    })
}

/// The places of the packets that lie in a span, ascending; a single range where time stamps are in order.
fn ranges(store: &Store, span: Span) -> Vec<Range<usize>> {
    let (start, end) = (span.start.nanos(), span.end.nanos());
    let found: RefCell<Vec<Range<usize>>> = RefCell::default();
    let add = |range: Range<usize>| {
        let mut found = found.borrow_mut();
        match found.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => found.push(range),
        }
    };
    store.tree().walk(
        &mut |run: &Summary, range: Range<usize>| {
            if run.packets == 0 || run.latest < start || run.earliest > end {
                return false;
            }
            let all_timed = run.packets as usize == range.len();
            if all_timed && start <= run.earliest && run.latest <= end {
                add(range);
                return false;
            }
            true
        },
        &mut |range| {
            for (time, place) in store.times(range.start, range.end).flatten().zip(range.clone()) {
                if (start..=end).contains(time) && store.time(PacketNo(place as u32 + 1)).is_some() {
                    add(place..place + 1);
                }
            }
        },
    );
    found.into_inner()
}
