//! The conversations, sorted by what hurts.

use crate::format;
use crate::hooks::{Same, use_answer, use_dispatch};
use crate::state::Intent;
use crate::text::{Value, t, tn};
use crate::view::ViewProps;
use crate::widget::ends::ends;
use crate::widget::severity;
use crate::widget::virtual_list::VirtualList;
use dropscope_core::query::{Answer, FlowRow, FlowRows, FlowSort, Query, Rows};
use std::rc::Rc;
use yew::prelude::*;

/// The conversations.
#[component]
pub fn Conversations(props: &ViewProps) -> Html {
    let dispatch = use_dispatch();
    let rows = use_state_eq(|| Rows { first: 0, count: 64 });
    let answer = use_answer(Some(Query::Flows { rows: *rows, sort: props.url.sort, span: props.url.span }));
    let page: Option<Same<FlowRows>> = use_memo(answer, |answer| match answer.as_deref() {
        Some(Answer::Flows(rows)) => Some(Same(Rc::new(rows.clone()))),
        _ => None,
    })
    .as_ref()
    .clone();
    let total = page.as_ref().map_or(0, |p| p.total);
    let on_window = {
        let rows = rows.setter();
        Callback::from(move |window: Rows| rows.set(window))
    };
    let shown = props.url.flow;
    let cursor = page.as_ref().and_then(|p| p.rows.iter().position(|r| Some(r.flow) == shown).map(|i| p.first + i as u32));
    let row = {
        let (page, dispatch) = (page.clone(), dispatch.clone());
        Callback::from(move |n: u32| match page.as_ref().and_then(|p| p.rows.get(n.checked_sub(p.first)? as usize)) {
            None => html! { <div key={n} class="flow is-placeholder" role="row" aria-rowindex={(n + 1).to_string()} /> },
            Some(row) => {
                let (dispatch, flow) = (dispatch.clone(), row.flow);
                let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Flow(flow)));
                html! { <div key={n} class={classes!("flow", (shown == Some(row.flow)).then_some("is-selected"))} id={format!("flow-list-row-{n}")} role="row" aria-rowindex={(n + 1).to_string()} data-flow={row.flow.to_string()} {onclick}>{ cells(row) }</div> }
            }
        })
    };
    let on_move = {
        let (page, dispatch) = (page.clone(), dispatch.clone());
        Callback::from(move |n: u32| {
            if let Some(row) = page.as_ref().and_then(|p| p.rows.get(n.checked_sub(p.first)? as usize)) {
                dispatch.dispatch(Intent::ChooseFlow(row.flow));
            }
        })
    };
    let on_enter = {
        let dispatch = dispatch.clone();
        Callback::from(move |()| dispatch.dispatch(Intent::View("ladder")))
    };
    let sorted = |sort: FlowSort, key: &'static str| {
        let on = props.url.sort == sort;
        let dispatch = dispatch.clone();
        let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Sort(sort)));
        html! { <button class="flow__sort" aria-pressed={on.to_string()} {onclick}>{ t(key) }{ if on { " ▾" } else { "" } }</button> }
    };
    html! {
        <div class="view flows" data-view="conversations">
            <div class="view__bar"><span class="num">{ tn("conversations-shown", &[("n", Value::Number(total.into())), ("shown", Value::Text(&format::count(total.into())))]) }</span></div>
            <div class="flow flow--head">
                { sorted(FlowSort::First, "column-conversation") }<span>{ t("column-state") }</span>
                { sorted(FlowSort::Packets, "column-packets") }{ sorted(FlowSort::Bytes, "column-bytes") }{ sorted(FlowSort::Duration, "column-duration") }
                <span class="num">{ "RTT" }</span>{ sorted(FlowSort::Retransmissions, "column-retransmissions") }{ sorted(FlowSort::Missing, "column-missing") }
            </div>
            <VirtualList id="flow-list" label={t("view-conversations")} {total} {cursor} {on_window} {row} {on_move} {on_enter} />
            if page.is_some() && total == 0 { <p class="view__empty">{ t("conversations-none") }</p> }
        </div>
    }
}

fn cells(row: &FlowRow) -> Html {
    let sum = |pair: [u64; 2]| pair[0].saturating_add(pair[1]);
    let two = |pair: [u64; 2], text: fn(u64) -> String| {
        let both = html! { <span class="flow__both">{ text(pair[0]) }<i>{ " / " }</i>{ text(pair[1]) }</span> };
        html! { <span role="gridcell" class="num">{ both }<span class="flow__sum">{ text(sum(pair)) }</span></span> }
    };
    let retransmissions = sum(row.retransmissions.map(u64::from));
    let missing = sum(row.missing_bytes);
    // One packet lasts no time, which is not the same as a conversation that was over at once.
    let duration = row.span.filter(|_| sum(row.packets.map(u64::from)) > 1).map(|span| span.length());
    html! {
        <>
            <span role="gridcell" class="ends" title={format!("{} {} {} → {}", row.transport, row.stream, row.client, row.server)}>
                if let Some(severity) = row.severity { { severity::sign(severity) } }
                <i>{ &row.transport }</i>{ ends(&row.client, &row.server) }
            </span>
            <span role="gridcell">{ &row.state }</span>
            { two(row.packets.map(u64::from), format::count) }
            { two(row.bytes, format::bytes) }
            <span role="gridcell" class="num">{ format::length(duration) }</span>
            <span role="gridcell" class="num">{ format::length(row.rtt) }</span>
            <span role="gridcell" class={classes!("num", (retransmissions > 0).then_some("is-warning"))}>{ format::count(retransmissions) }</span>
            <span role="gridcell" class={classes!("num", (missing > 0).then_some("is-critical"))}>{ format::bytes(missing) }</span>
        </>
    }
}
