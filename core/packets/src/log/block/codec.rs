//! The bytes of our blocks: an envelope and one CBOR item (FORMAT.md).
//!
//! Whatever the bytes say, decoding gives a record: a kind that is not known here, and an item that is broken or would
//! take up more than [`MAX_DECODED`], becomes [`Record::Skipped`], so that one bad block never hides the rest of a log.

use super::{Catalogue, Clock, ENTERPRISE_NUMBER, Host, KernelDrop, Kind, MAGIC, Mark, Probe, RuleSet, Snapshot, VERSION};
use crate::log::bytes::ByteOrder;
use crate::log::record::Record;
use minicbor::{Decode, Decoder, Encode};

/// What a record may take up in memory once decoded, in bytes, as estimated before it is: [`cost`].
pub const MAX_DECODED: usize = 64 << 20;

/// Length of the envelope before the CBOR item.
pub(crate) const ENVELOPE: usize = 16;

/// Set in [`Record::Skipped`]'s block type when it names one of our kinds.
pub const OUR_KIND: u32 = 0x8000_0000;

/// A record of ours that can be written to a log.
pub trait Payload: Encode<()> {
    /// The number that stands for it in the envelope.
    const KIND: Kind;
}

impl Payload for Host {
    const KIND: Kind = Kind::Host;
}
impl Payload for Clock {
    const KIND: Kind = Kind::Clock;
}
impl Payload for Catalogue {
    const KIND: Kind = Kind::Catalogue;
}
impl Payload for Snapshot {
    const KIND: Kind = Kind::Snapshot;
}
impl Payload for RuleSet {
    const KIND: Kind = Kind::RuleSet;
}
impl Payload for KernelDrop {
    const KIND: Kind = Kind::KernelDrop;
}
impl Payload for Probe {
    const KIND: Kind = Kind::Probe;
}
impl Payload for Mark {
    const KIND: Kind = Kind::Mark;
}

/// Appends the body of a block of ours, little-endian and without its padding.
pub(crate) fn append_body<P: Payload>(payload: &P, out: &mut Vec<u8>) {
    out.extend_from_slice(&ENTERPRISE_NUMBER.to_le_bytes());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(P::KIND as u16).to_le_bytes());
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let Ok(()) = minicbor::encode(payload, &mut *out).map_err(|error| match error.into_write() {
        Some(never) => match never {},
        None => unreachable!("none of our fields has an encoder that refuses a value"),
    });
    let length = u32::try_from(out.len() - length_at - 4).unwrap_or(u32::MAX);
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

/// The record in a block's body, if it is one of ours. `block_type` and `length` are the block's, for [`Record::Skipped`].
pub(crate) fn record_from_body(body: &[u8], order: ByteOrder, block_type: u32, length: u32) -> Record<'static> {
    let skipped = |block_type| Record::Skipped { block_type, length };
    if !is_ours(body, order) {
        return skipped(block_type);
    }
    let kind = order.u16(body, 10);
    let item_length = order.u32(body, 12) as usize;
    body[ENVELOPE..]
        .get(..item_length)
        .filter(|item| cost(item) <= MAX_DECODED)
        .and_then(|item| record_from_item(kind, item))
        .unwrap_or_else(|| skipped(OUR_KIND | u32::from(kind)))
}

/// Whether a block's body is a record of ours, of the version that is read here.
pub(crate) fn is_ours(body: &[u8], order: ByteOrder) -> bool {
    let ours = body.len() >= ENVELOPE && order.u32(body, 0) == ENTERPRISE_NUMBER && body[4..8] == MAGIC;
    ours && order.u16(body, 8) == VERSION
}

fn record_from_item(kind: u16, item: &[u8]) -> Option<Record<'static>> {
    Some(match kind {
        k if k == Kind::Host as u16 => Record::Host(Box::new(decoded(item)?)),
        k if k == Kind::Clock as u16 => Record::Clock(decoded(item)?),
        k if k == Kind::Catalogue as u16 => Record::Catalogue(decoded(item)?),
        k if k == Kind::Snapshot as u16 => Record::Snapshot(decoded(item)?),
        k if k == Kind::RuleSet as u16 => Record::RuleSet(Box::new(decoded(item)?)),
        k if k == Kind::KernelDrop as u16 => Record::KernelDrop(Box::new(decoded(item)?)),
        k if k == Kind::Probe as u16 => Record::Probe(Box::new(decoded(item)?)),
        k if k == Kind::Mark as u16 => Record::Mark(decoded(item)?),
        _ => return None,
    })
}

fn decoded<'b, P: Decode<'b, ()>>(item: &'b [u8]) -> Option<P> {
    minicbor::decode(item).ok()
}

/// A field whose value is a name that this version may not know yet: then it is taken as absent. (minicbor does so by itself
/// for an `Option`, but passes over the item behind it as well.)
pub(super) fn known_or_default<'b, C, T>(d: &mut Decoder<'b>, ctx: &mut C) -> Result<T, minicbor::decode::Error>
where
    T: Decode<'b, C> + Default,
{
    match T::decode(d, ctx) {
        Err(error) if error.is_unknown_variant() => Ok(T::default()),
        decoded => decoded,
    }
}

/// A generous estimate, in bytes, of what a CBOR item takes up once decoded.
///
/// A list of a million empty maps is a megabyte here and would be hundreds as a `Vec`, so heads are counted before anything
/// is built. CBOR puts an item's head before its content and nests by order alone (RFC 8949 section 3), so one pass over
/// the heads needs no stack.
fn cost(item: &[u8]) -> usize {
    const TEXT: u8 = 3;
    const BYTES: u8 = 2;
    const MAP: u8 = 5;
    /// The largest of our structs is smaller.
    const STRUCT: usize = 320;
    /// A `String`, a `Vec` or a number.
    const VALUE: usize = 24;

    let (mut at, mut total) = (0_usize, 0_usize);
    while let Some(&head) = item.get(at) {
        at += 1;
        let (major, info) = (head >> 5, head & 0x1f);
        let argument_length = match info {
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => 0,
        };
        let argument = match item.get(at..at + argument_length) {
            Some([]) if info == 31 => 0,
            Some([]) => u64::from(info),
            Some(bytes) => bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
            None => break,
        };
        at += argument_length;
        total += if major == MAP { STRUCT } else { VALUE };
        if major == TEXT || major == BYTES {
            let length = usize::try_from(argument).unwrap_or(usize::MAX);
            at = at.saturating_add(length);
            total = total.saturating_add(length);
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::super::{Backend, Counter, CounterKind, Unit, Verdict};
    use super::*;
    use minicbor::data::Type;

    /// What a block of ours with this kind and item says.
    fn read(kind: u16, item: &[u8]) -> Record<'static> {
        let mut body = Vec::new();
        append_body(&Clock::default(), &mut body);
        body.truncate(ENVELOPE);
        body[10..12].copy_from_slice(&kind.to_le_bytes());
        body[12..16].copy_from_slice(&(item.len() as u32).to_le_bytes());
        body.extend_from_slice(item);
        record_from_body(&body, ByteOrder::Little, 7, 99)
    }

    fn item(write: impl FnOnce(&mut minicbor::Encoder<&mut Vec<u8>>)) -> Vec<u8> {
        let mut item = Vec::new();
        write(&mut minicbor::Encoder::new(&mut item));
        item
    }

    fn skipped(kind: u16) -> Record<'static> {
        Record::Skipped { block_type: OUR_KIND | u32::from(kind), length: 99 }
    }

    #[test]
    fn absent_keys_are_empty_and_unknown_keys_are_passed_over() {
        assert_eq!(read(2, &[0xa0]), Record::Clock(Clock::default()));
        assert_eq!(read(1, &[0xa0]), Record::Host(Box::default()));
        assert_eq!(read(6, &[0xa0]), Record::KernelDrop(Box::default()));
        let newer = item(|e| {
            let e = e.map(3).unwrap().u8(1).unwrap().i64(-5).unwrap();
            let e = e.u16(900).unwrap().array(2).unwrap().str("new").unwrap().map(0).unwrap();
            e.u8(3).unwrap().u8(7).unwrap();
        });
        assert_eq!(read(2, &newer), Record::Clock(Clock { monotonic_ns: -5, error_ns: 7, ..Clock::default() }));
    }

    #[test]
    fn a_name_that_is_not_known_yet_is_the_most_cautious_one() {
        let counter = item(|e| {
            let e = e.map(1).unwrap().u8(0).unwrap().array(1).unwrap().map(4).unwrap();
            let e = e.u8(0).unwrap().u8(9).unwrap().u8(2).unwrap().u8(99).unwrap();
            e.u8(3).unwrap().u8(99).unwrap().u8(12).unwrap().u8(99).unwrap();
        });
        let Record::Catalogue(catalogue) = read(3, &counter) else { panic!("it is read") };
        let [Counter { id: 9, unit: Unit::Count, kind: CounterKind::Gauge, station: None, .. }] = &catalogue.counters[..] else {
            panic!("{catalogue:?}")
        };
        let rule = |backend| {
            item(|e| {
                let e = e.map(2).unwrap().u8(2).unwrap().u8(backend).unwrap().u8(3).unwrap().array(1).unwrap();
                let e = e.map(2).unwrap().u8(3).unwrap().u8(99).unwrap().u8(4).unwrap().array(1).unwrap();
                e.map(1).unwrap().u8(3).unwrap().u8(99).unwrap();
            })
        };
        let Record::RuleSet(rules) = read(5, &rule(4)) else { panic!("it is read") };
        assert_eq!((rules.backend, rules.chains[0].policy), (Backend::Nftables, None));
        assert_eq!(rules.chains[0].rules[0].verdict, Verdict::Other);
        assert_eq!(read(5, &rule(99)), skipped(5), "rules of nobody known are not judged");
    }

    #[test]
    fn what_cannot_be_read_is_skipped_by_its_kind() {
        assert_eq!(read(99, &[0xa0]), skipped(99));
        assert_eq!(read(2, &[0xff]), skipped(2));
        assert_eq!(read(2, &[]), skipped(2));
        let mut body = Vec::new();
        append_body(&Mark::default(), &mut body);
        for (place, byte) in [(0, 0), (4, b'd'), (8, 2)] {
            let mut other = body.clone();
            other[place] = byte;
            let record = record_from_body(&other, ByteOrder::Little, 7, 99);
            assert_eq!(record, Record::Skipped { block_type: 7, length: 99 }, "byte {place}");
        }
        body[12] = 0xff; // longer than the block
        assert_eq!(record_from_body(&body, ByteOrder::Little, 7, 99), skipped(8));
    }

    #[test]
    fn an_item_that_would_swell_is_not_built() {
        // Namespaces of a host: empty maps, a byte each here and hundreds in memory.
        let maps = |count: usize| {
            let mut item = item(|e| {
                e.map(1).unwrap().u8(7).unwrap().array(count as u64).unwrap();
            });
            item.resize(item.len() + count, 0xa0);
            item
        };
        let Record::Host(host) = read(1, &maps(100_000)) else { panic!("many are read") };
        assert_eq!(host.namespaces.len(), 100_000);
        assert_eq!(read(1, &maps(1 << 20)), skipped(1));
        assert!(size_of::<super::super::InterfaceFacts>() <= 320 && size_of::<super::super::Chain>() <= 320);
        assert!(size_of::<super::super::Namespace>() <= 320 && size_of::<Counter>() <= 320);
    }

    #[test]
    fn the_cost_of_an_item_counts_every_head_once() {
        let mut body = Vec::new();
        append_body(&Snapshot { values: vec![(1, 2); 1000], ..Snapshot::default() }, &mut body);
        let item = &body[ENVELOPE..];
        // One map, four keys, three plain values, a list, and three heads a value.
        assert_eq!(cost(item), 320 + 24 * (4 + 3 + 1 + 3 * 1000));
        assert_eq!(minicbor::Decoder::new(item).datatype().expect("an item"), Type::Map);
        assert_eq!(cost(&[0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), usize::MAX);
        assert_eq!(cost(&[0x7b, 0xff]), 0);
    }
}
