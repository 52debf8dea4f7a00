//! The flow graph: one conversation as a ladder between its two ends, with rungs for bytes that never came.

use super::ViewProps;
use super::packets::label;
use crate::format;
use crate::hooks::{Same, use_answer, use_dispatch};
use crate::state::Intent;
use crate::text::{Value, t, tn};
use crate::widget::virtual_list::{VirtualList, use_reveal, use_steps};
use dropscope_core::anchor::{Anchor, Place};
use dropscope_core::ids::Direction;
use dropscope_core::query::{Answer, Ladder, Query, Rows, Rung};
use std::rc::Rc;
use yew::prelude::*;

/// Height of a rung.
const RUNG_PX: f64 = 40.0;

/// The flow graph.
#[component]
pub fn FlowGraph(props: &ViewProps) -> Html {
    let dispatch = use_dispatch();
    let rows = use_state_eq(|| Rows { first: 0, count: 64 });
    let flow = props.url.flow;
    // Bytes that are missing have a rung of their own; else it is the packet to show.
    let place = match &props.url.anchor {
        Some(anchor) if matches!(anchor.place, Place::Bytes { flow: its, .. } if Some(its) == flow) => Some(anchor.clone()),
        _ => props.focus.map(|no| Place::Packet(no).into()),
    };
    let answer = use_answer(flow.map(|flow| Query::Ladder { flow, rows: *rows, locate: place.clone() }));
    let ladder: Option<Same<Ladder>> = use_memo(answer.clone(), |answer| match answer.as_deref() {
        Some(Answer::Ladder(ladder)) => Some(Same(Rc::new(ladder.clone()))),
        _ => None,
    })
    .as_ref()
    .clone();
    let choose = {
        let (ladder, dispatch) = (ladder.clone(), dispatch.clone());
        Callback::from(move |n: u32| {
            let rung = ladder.as_ref().and_then(|l| Some((l, l.rungs.get(n.checked_sub(l.first)? as usize)?)));
            rung.inspect(|(ladder, rung)| dispatch.dispatch(choice(ladder, rung))).is_some()
        })
    };
    let (on_move, stepping) = use_steps(ladder.clone(), choose);
    let cursor = stepping.or_else(|| row_of(ladder.as_ref()?, place.as_ref()?));
    let reveal = use_reveal(Some((flow, place, stepping)), cursor);
    if flow.is_none() {
        return html! { <div class="view" data-view="ladder"><p class="view__empty">{ t("ladder-none") }</p></div> };
    }
    if let Some(Answer::Refused { why }) = answer.as_deref() {
        return html! { <div class="view" data-view="ladder"><p class="view__empty">{ why.clone() }</p></div> };
    }
    let Some(ladder) = ladder else {
        return html! { <div class="view" data-view="ladder"><p class="view__empty">{ t("reading") }</p></div> };
    };
    let on_window = {
        let rows = rows.setter();
        Callback::from(move |window: Rows| rows.set(window))
    };
    let row = {
        let (ladder, props, dispatch) = (ladder.clone(), props.clone(), dispatch.clone());
        Callback::from(move |n: u32| match n.checked_sub(ladder.first).and_then(|i| ladder.rungs.get(i as usize)) {
            None => html! { <div key={n} class="rung is-placeholder" role="row" aria-rowindex={(n + 1).to_string()} /> },
            Some(rung) => draw_rung(n, rung, &ladder, &props, &dispatch),
        })
    };
    let f = &ladder.flow;
    let packets = f.packets.iter().map(|n| u64::from(*n)).sum();
    html! {
        <div class="view ladder" data-view="ladder">
            <div class="view__bar">
                <strong>{ format!("{} {}", f.transport, f.stream) }</strong>
                <span class="muted">{ &f.state }</span>
                <span class="num">{ tn("packets-shown", &[("n", Value::Number(packets)), ("shown", Value::Text(&format::count(packets)))]) }</span>
                if let Some(rtt) = f.rtt { <span class="num">{ format!("RTT {rtt}") }</span> }
                if f.retransmissions != [0, 0] {
                    <span class="num">{ format!("{}: {}", t("column-retransmissions"), f.retransmissions[0] + f.retransmissions[1]) }</span>
                }
                if f.missing_bytes != [0, 0] {
                    <span class="num is-critical">{ format!("{}: {}", t("column-missing"), format::bytes(f.missing_bytes[0].saturating_add(f.missing_bytes[1]))) }</span>
                }
            </div>
            <div class="rung rung--head" aria-hidden="true">
                <span>{ t("column-time") }</span>
                <div class="rung__ends"><strong title={t("client")}>{ &f.client }</strong><strong title={t("server")}>{ &f.server }</strong></div>
                <span>{ t("column-info") }</span>
            </div>
            <VirtualList id="ladder-list" label={t("view-ladder")} total={ladder.total} row_px={RUNG_PX} {cursor} {reveal}
                {on_window} {row} {on_move} />
        </div>
    }
}

/// Where a place stands: among the rungs that are there, else where the engine says.
fn row_of(ladder: &Ladder, place: &Anchor) -> Option<u32> {
    let here = ladder.rungs.iter().position(|rung| match (rung, &place.place) {
        (Rung::Packet { no, .. }, Place::Packet(wanted)) => no == wanted,
        (Rung::Missing { direction, first_byte, last_byte, .. }, Place::Bytes { flow, direction: side, first, last }) => {
            *flow == ladder.flow.flow && direction == side && first_byte <= last && first <= last_byte
        }
        _ => false,
    });
    match here {
        Some(i) => Some(ladder.first + i as u32),
        None => ladder.located.filter(|_| ladder.locate.as_ref() == Some(place)),
    }
}

/// The bytes a rung stands for that are missing.
fn hole(ladder: &Ladder, direction: Direction, first: u64, last: u64) -> Anchor {
    Place::Bytes { flow: ladder.flow.flow, direction, first, last }.into()
}

/// What choosing a rung means.
fn choice(ladder: &Ladder, rung: &Rung) -> Intent {
    match rung {
        Rung::Packet { no, .. } => Intent::Packet(*no),
        Rung::Missing { direction, first_byte, last_byte, .. } => {
            Intent::Anchor(hole(ladder, *direction, *first_byte, *last_byte))
        }
    }
}

fn draw_rung(
    n: u32,
    rung: &Rung,
    ladder: &Ladder,
    props: &ViewProps,
    dispatch: &UseReducerDispatcher<crate::state::AppState>,
) -> Html {
    let side = |direction: Direction| if direction == Direction::AToB { "is-right" } else { "is-left" };
    let id = format!("ladder-list-row-{n}");
    let onclick = {
        let (dispatch, chosen) = (dispatch.clone(), choice(ladder, rung));
        Callback::from(move |_: MouseEvent| dispatch.dispatch(chosen.clone()))
    };
    let rowindex = (n + 1).to_string();
    match rung {
        Rung::Packet { no, time, since_start, direction, title, detail, chips } => {
            let no = *no;
            // Of bytes that are missing their own rung is chosen, not the packet that showed it.
            let is_hole = matches!(&props.url.anchor, Some(anchor) if matches!(anchor.place, Place::Bytes { .. }));
            let selected = props.focus == Some(no) && !is_hole;
            let lit = props.lit.binary_search(&no).is_ok();
            let class = classes!("rung", side(*direction), selected.then_some("is-selected"), lit.then_some("is-lit"));
            let about = time.map(|t| format::date_time(t, 9));
            html! {
                <div key={n} {id} {class} role="row" aria-rowindex={rowindex} aria-selected={selected.to_string()} data-rung={no.to_string()} {onclick}>
                    <span role="gridcell" class="rung__time num" title={about}>{ format!("+{since_start}") }</span>
                    <div role="gridcell" class="rung__ends"><span class="rung__title">{ title }</span><span class="rung__arrow" aria-label={if *direction == Direction::AToB { t("to-server") } else { t("to-client") }} /></div>
                    <span role="gridcell" class="rung__detail">{ for chips.iter().map(label) }<span class="muted">{ format!("#{no} ") }</span>{ detail }</span>
                </div>
            }
        }
        Rung::Missing { direction, first_byte, last_byte, text } => {
            let anchor = hole(ladder, *direction, *first_byte, *last_byte);
            let selected = props.url.anchor.as_ref() == Some(&anchor);
            let lit = props.evidence.contains(&anchor);
            html! {
                <div key={n} {id} class={classes!("rung", "is-missing", side(*direction), selected.then_some("is-selected"), lit.then_some("is-lit"))} role="row" aria-rowindex={rowindex} aria-selected={selected.to_string()} data-missing={format!("{first_byte}-{last_byte}")} {onclick}>
                    <span role="gridcell" class="rung__time" />
                    <div role="gridcell" class="rung__ends"><span class="rung__title">{ tn("missing-bytes", &[("n", Value::Text(&format::count(last_byte.saturating_sub(*first_byte).saturating_add(1))))]) }</span><span class="rung__arrow" /></div>
                    <span role="gridcell" class="rung__detail">{ text }</span>
                </div>
            }
        }
    }
}
