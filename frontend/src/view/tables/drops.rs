//! Packets the kernel dropped: by reason and place, and one by one.

use crate::format;
use crate::hooks::{Same, use_answer, use_dispatch};
use crate::state::Intent;
use crate::text::{Value, t, tn};
use crate::view::ViewProps;
use crate::widget::virtual_list::VirtualList;
use dropscope_core::anchor::Place;
use dropscope_core::query::{Answer, DropRow, DropRows, Query, Rows};
use std::rc::Rc;
use yew::prelude::*;

/// The kernel's drops.
#[component]
pub fn Drops(props: &ViewProps) -> Html {
    let dispatch = use_dispatch();
    let rows = use_state_eq(|| Rows { first: 0, count: 64 });
    let answer = use_answer(Some(Query::Drops { span: props.url.span, rows: *rows }));
    let page: Option<Same<DropRows>> = use_memo(answer, |answer| match answer.as_deref() {
        Some(Answer::Drops(rows)) => Some(Same(Rc::new(rows.clone()))),
        _ => None,
    })
    .as_ref()
    .clone();
    if props.overview.as_ref().is_some_and(|o| !o.has_drops) {
        return html! { <div class="view" data-view="drops"><p class="view__empty">{ t("drops-none") }</p></div> };
    }
    let Some(page) = page else {
        return html! { <div class="view" data-view="drops"><p class="view__empty">{ t("reading") }</p></div> };
    };
    let on_window = {
        let rows = rows.setter();
        Callback::from(move |window: Rows| rows.set(window))
    };
    let lit = props.url.anchor.clone();
    let is_lit = move |row: &DropRow| match lit.as_ref().map(|anchor| &anchor.place) {
        Some(Place::KernelDrop(no)) => *no == row.no,
        Some(Place::Packet(no)) => Some(*no) == row.packet_no,
        _ => false,
    };
    let cursor = page.rows.iter().position(&is_lit).map(|i| page.first + i as u32);
    let row = {
        let (page, dispatch) = (page.clone(), dispatch.clone());
        Callback::from(move |n: u32| match n.checked_sub(page.first).and_then(|i| page.rows.get(i as usize)) {
            None => html! { <div key={n} class="drop is-placeholder" role="row" aria-rowindex={(n + 1).to_string()} /> },
            Some(row) => line(n, row, is_lit(row), &dispatch),
        })
    };
    let on_move = {
        let (page, dispatch) = (page.clone(), dispatch.clone());
        Callback::from(move |n: u32| {
            if let Some(row) = n.checked_sub(page.first).and_then(|i| page.rows.get(i as usize)) {
                dispatch.dispatch(shows(row));
            }
        })
    };
    html! {
        <div class="view drops" data-view="drops">
            <div class="view__bar">
                <span class="num">{ tn("drops-shown", &[("n", Value::Number(page.total.into())), ("shown", Value::Text(&format::count(page.total.into())))]) }</span>
                if page.skipped > 0 { <span class="is-warning">{ tn("drops-skipped", &[("shown", Value::Text(&format::count(page.skipped)))]) }</span> }
            </div>
            <div class="drops__reasons">
                <table class="table">
                    <thead><tr><th>{ t("reason") }</th><th>{ t("place") }</th><th class="num">{ t("column-packets") }</th></tr></thead>
                    <tbody>{ for page.by_reason.iter().take(30).map(|(reason, place, n)| html! {
                        <tr><th scope="row">{ reason }</th><td class="mono">{ place }</td><td class="num">{ format::count((*n).into()) }</td></tr>
                    }) }</tbody>
                </table>
            </div>
            <VirtualList id="drop-list" label={t("view-drops")} total={page.total} {cursor} {on_window} {row} {on_move} />
        </div>
    }
}

/// What choosing a drop shows: the captured packet where there is one, else the drop itself.
fn shows(row: &DropRow) -> Intent {
    match row.packet_no {
        Some(no) => Intent::Packet(no),
        None => Intent::Anchor(Place::KernelDrop(row.no).into()),
    }
}

fn line(n: u32, row: &DropRow, is_lit: bool, dispatch: &UseReducerDispatcher<crate::state::AppState>) -> Html {
    let (dispatch, intent) = (dispatch.clone(), shows(row));
    let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(intent.clone()));
    html! {
        <div key={n} id={format!("drop-list-row-{n}")} class={classes!("drop", is_lit.then_some("is-lit"), row.benign.then_some("is-benign"))}
            role="row" aria-rowindex={(n + 1).to_string()} data-drop={row.no.to_string()} {onclick}>
            <span role="gridcell" title={format::date_time(row.time, 9)}>{ format::time_of_day(row.time, 6) }</span>
            <span role="gridcell" title={row.reason.clone()}><strong>{ &row.reason }</strong></span>
            <span role="gridcell" class="mono" title={row.place.clone()}>{ &row.place }</span>
            <span role="gridcell" title={row.device.clone()}>{ &row.device }</span>
            <span role="gridcell" class="mono" title={row.packet.clone()}>{ &row.packet }</span>
            <span role="gridcell" class="num">{ row.packet_no.map(|no| format!("#{no}")).unwrap_or_default() }</span>
        </div>
    }
}
