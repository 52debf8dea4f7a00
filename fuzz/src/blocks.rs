//! Any bytes as the item of a block of ours: skipped or understood; and what was understood is written and read again as it was.

use crate::memory::{Bound, bounded};
use dropscope_core::log::block::{ENTERPRISE_NUMBER, MAGIC, VERSION};
use dropscope_core::log::record::{Record, Section};
use dropscope_core::log::{Decoder, Encoder, TooLong};

/// An empty map is one byte in CBOR, and a whole structure once decoded.
const BOUND: Bound = Bound { base: 256 << 10, per_byte: 2_048 };
/// Our block type (FORMAT.md).
const OURS: u32 = 0x8044_5343;

/// A byte for the kind, and the CBOR item.
pub fn blocks(input: &[u8]) {
    let Some((&kind, item)) = input.split_first() else { return };
    let mut log = Vec::new();
    let encoder = Encoder::begin(&Section::default(), &mut log);
    let header = log.len();
    block(u16::from(kind % 10), item, &mut log);
    let again = bounded(BOUND, input.len(), || {
        let mut again = None;
        let mut decoder = Decoder::new();
        decoder.push(&log, |record| {
            if let Some(written) = written(&encoder, &record) {
                again = Some((format!("{record:?}"), written));
            }
        });
        assert_eq!(decoder.finish(|_| {}), Ok(()), "a block with any item in it is a whole block");
        again
    });
    let Some((first, written)) = again else { return };
    log.truncate(header);
    log.extend_from_slice(&written.expect("it came from a shorter block"));
    let mut second = String::new();
    Decoder::new().push(&log, |record| second = format!("{record:?}"));
    assert_eq!(first, second);
}

/// A block with this item, as FORMAT.md describes it.
fn block(kind: u16, item: &[u8], log: &mut Vec<u8>) {
    let padding = item.len().next_multiple_of(4) - item.len();
    let total = (12 + 16 + item.len() + padding) as u32;
    for number in [OURS, total, ENTERPRISE_NUMBER] {
        log.extend_from_slice(&number.to_le_bytes());
    }
    log.extend_from_slice(&MAGIC);
    log.extend_from_slice(&VERSION.to_le_bytes());
    log.extend_from_slice(&kind.to_le_bytes());
    log.extend_from_slice(&(item.len() as u32).to_le_bytes());
    log.extend_from_slice(item);
    log.resize(log.len() + padding, 0);
    log.extend_from_slice(&total.to_le_bytes());
}

/// A record of ours as a block of a log; `None` for other records.
fn written(encoder: &Encoder, record: &Record<'_>) -> Option<Result<Vec<u8>, TooLong>> {
    let mut log = Vec::new();
    let result = match record {
        Record::Host(payload) => encoder.record(&**payload, &mut log),
        Record::Clock(payload) => encoder.record(payload, &mut log),
        Record::Catalogue(payload) => encoder.record(payload, &mut log),
        Record::Snapshot(payload) => encoder.record(payload, &mut log),
        Record::RuleSet(payload) => encoder.record(&**payload, &mut log),
        Record::KernelDrop(payload) => encoder.record(&**payload, &mut log),
        Record::Probe(payload) => encoder.record(&**payload, &mut log),
        Record::Mark(payload) => encoder.record(payload, &mut log),
        _ => return None,
    };
    Some(result.map(|()| log))
}
