//! Any log through the whole engine: the same packets and findings however it is cut, and every question has an answer.

use crate::memory::{Bound, bounded};
use crate::pieces;
use dropscope_core::ids::{FlowId, PacketNo};
use dropscope_core::query::{Answer, Engine, FlowSort, Query, Rows, Selection};

/// Blocks of columns and conversations, and a window of the log when packets are read again.
const BOUND: Bound = Bound { base: 16 << 20, per_byte: 4_096 };

/// The first byte says how the rest, a log, is cut.
pub fn engine(input: &[u8]) {
    let Some((&cut, log)) = input.split_first() else { return };
    bounded(BOUND, log.len(), || {
        let whole = told([log].into_iter(), log);
        let cut = told(pieces(log, cut), log);
        for (whole, cut) in whole.iter().zip(&cut) {
            assert_eq!(whole, cut);
        }
    });
}

/// What the engine says of a log: an answer to each question that a page asks.
fn told<'a>(pieces: impl Iterator<Item = &'a [u8]>, log: &[u8]) -> Vec<Answer> {
    let mut engine = Engine::new();
    pieces.for_each(|piece| engine.push(piece));
    engine.finish();
    let rows = Rows { first: 0, count: 50 };
    let packets = |filter: &str| Query::Packets {
        selection: Selection { filter: filter.into(), ..Selection::default() },
        rows,
        locate: Some(PacketNo(3)),
    };
    let questions = [
        Query::Findings,
        packets(""),
        packets("tcp.len > 0 or arp or drop or finding"),
        Query::Packet { no: PacketNo(1) },
        Query::Packet { no: PacketNo(2) },
        Query::Flows { rows, sort: FlowSort::Bytes, span: None },
        Query::Ladder { flow: FlowId(0), rows, locate: None },
        Query::Timeline { span: None, columns: 64, filter: String::new() },
        Query::Counters { span: None },
        Query::Drops { span: None, rows },
        Query::Overview,
    ];
    questions
        .iter()
        .map(|question| {
            let mut answer = engine.ask(question, &mut &*log);
            // How often the engine was given something is no part of what it knows.
            match &mut answer {
                Answer::Overview(overview) => overview.progress.revision = 0,
                Answer::Findings(findings) => findings.revision = 0,
                Answer::Packets(packets) => packets.revision = 0,
                Answer::Flows(flows) => flows.revision = 0,
                Answer::Ladder(ladder) => ladder.revision = 0,
                Answer::Timeline(timeline) => timeline.revision = 0,
                Answer::Counters(counters) => counters.revision = 0,
                Answer::Drops(drops) => drops.revision = 0,
                _ => {}
            }
            answer
        })
        .collect()
}
