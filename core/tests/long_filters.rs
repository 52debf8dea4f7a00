//! Filters of 64 and of 100 kB in each production of the grammar that repeats or nests, as deep as they may be, on a small stack.

#[cfg(target_arch = "wasm32")]
#[macro_use]
extern crate dropscope_wasm_test;
#[path = "common/long_filters.rs"]
mod long_filters;

use dropscope_core::query::{Answer, Engine, FilterError, FilterLimit, PacketRows, Query, Rows, Selection};
use long_filters::{Outcome, PRODUCTIONS, deepest, long};

const CAPTURE: &[u8] = include_bytes!("data/mtu-100-srv.pcap");
/// Bytes that are read.
const LONGEST: usize = 64 << 10;

/// The packets that pass, or why the filter is none.
fn rows(engine: &mut Engine, filter: &str) -> Result<PacketRows, FilterError> {
    let selection = Selection { filter: filter.into(), ..Selection::default() };
    loop {
        let query = Query::Packets { selection: selection.clone(), rows: Rows { first: 0, count: 100 }, locate: None };
        match engine.ask(&query, &mut &*CAPTURE) {
            Answer::Packets(PacketRows { filter_error: Some(error), .. }) => return Err(error),
            Answer::Packets(rows) if rows.complete => return Ok(rows),
            Answer::Packets(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn engine() -> Engine {
    let mut engine = Engine::new();
    engine.push(CAPTURE);
    engine.finish();
    engine
}

/// Natively on a stack of this size; in WebAssembly on that which the page and its Worker have.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    #[cfg(target_arch = "wasm32")]
    run();
    #[cfg(not(target_arch = "wasm32"))]
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).expect("a thread").join().expect("it ends well");
}

#[test]
fn filters_of_64_kb_are_read_or_refused_in_a_sentence() {
    on_a_small_stack(|| {
        let mut engine = engine();
        for production in PRODUCTIONS {
            let filter = long(production, LONGEST);
            assert!(filter.len() <= LONGEST && filter.len() > LONGEST - 64, "{production:?}: {}", filter.len());
            let got = rows(&mut engine, &filter);
            let outcome = match &got {
                Ok(rows) if rows.total == 0 => Outcome::None,
                Ok(rows) if rows.total == 17 => Outcome::Tcp,
                Ok(_) => Outcome::All,
                Err(FilterError { limit: Some(FilterLimit::Nesting { deepest: 32 }), .. }) => Outcome::TooDeep,
                Err(error) => {
                    assert!(error.limit.is_none() && error.message.len() < 300, "{production:?}: {error:?}");
                    Outcome::Wrong
                }
            };
            assert_eq!(outcome, production.4, "{production:?}: {:?}", got.err());
        }
    });
}

#[test]
fn filters_of_100_kb_are_too_long() {
    on_a_small_stack(|| {
        let mut engine = engine();
        for production in PRODUCTIONS {
            let filter = long(production, 100_000);
            // A blank at the end is no part of it.
            let length = filter.trim().len();
            match rows(&mut engine, &filter) {
                Ok(rows) => assert_eq!((length, rows.total), (3, 17), "{production:?}"),
                Err(error) => {
                    let limit = FilterLimit::Length { bytes: length as u64, longest: LONGEST as u64 };
                    assert_eq!(error.limit, Some(limit), "{production:?}");
                    assert_eq!((error.at as usize, (error.at + error.len) as usize), (LONGEST, length));
                }
            }
        }
    });
}

#[test]
fn nesting_is_read_up_to_its_bound() {
    on_a_small_stack(|| {
        let mut engine = engine();
        for filter in deepest(32) {
            assert_eq!(rows(&mut engine, &filter).map(|rows| rows.total), Ok(17), "{filter}");
        }
        for filter in deepest(33) {
            let error = rows(&mut engine, &filter).expect_err(&filter);
            assert_eq!(error.limit, Some(FilterLimit::Nesting { deepest: 32 }), "{filter}");
            // The parenthesis at fault, which is the 33rd.
            let before: String = filter.chars().take(error.at as usize + 1).collect();
            assert_eq!((before.matches(['(', '{']).count(), before.ends_with(['(', '{'])), (33, true), "{filter}");
        }
    });
}

/// What is written a hundred times one after the other is not nested, whatever its characters.
#[test]
fn only_what_is_nested_counts_as_nesting() {
    on_a_small_stack(|| {
        let mut engine = engine();
        for filter in [
            format!("tcp{}", " and (tcp)".repeat(100)),
            format!("tcp{}", " and frame.len != 1".repeat(300)),
            format!("tcp or frame contains \"{}\"", "(!{".repeat(100)),
            format!("tcp.port in {{80}}{}", " or tcp.port in {1..65535}".repeat(100)),
        ] {
            assert_eq!(rows(&mut engine, &filter).map(|rows| rows.total), Ok(17), "{filter}");
        }
    });
}

#[test]
fn what_helps_with_typing_takes_any_length() {
    on_a_small_stack(|| {
        let mut engine = engine();
        for production in PRODUCTIONS {
            let filter = long(production, 100_000);
            let cursor = filter.chars().count() as u32;
            assert!(matches!(engine.ask(&Query::FilterHelp { filter, cursor }, &mut &*CAPTURE), Answer::FilterHelp(_)));
        }
    });
}
