//! The course of the chosen conversation: round trips, bytes in flight, rates and sums over time, a direction at a time.
//!
//! `paint` and `read` are pure; this component asks, holds the canvases and the crosshair, and shows the same as a table.

pub mod paint;
pub mod read;

use super::ViewProps;
use crate::hooks::{Same, use_answer};
use crate::text::{Value, t, tn};
use crate::view::timeline::paint::{DrawOp, Ink};
use crate::widget::canvas::{Palette, paint_on, use_width};
use dropscope_core::query::{Answer, Course as Told, Query};
use paint::{CHART_PX, CHARTS, HEIGHT_PX, RULER_PX};
use read::{stretches, summary, words};
use std::rc::Rc;
use yew::prelude::*;

/// Pixels a column takes.
const COLUMN_PX: f64 = 2.0;

/// The course.
#[component]
pub fn Course(props: &ViewProps) -> Html {
    let (base, overlay) = (use_node_ref(), use_node_ref());
    let width = use_state_eq(|| 0.0);
    let as_table = use_state_eq(|| false);
    let chosen = use_state_eq(|| None::<usize>);
    let column = use_state_eq(|| None::<u32>);
    let palette = use_memo(props.dark, |_| Palette::read());
    let flow = props.url.flow;

    use_width(&base, (flow, *as_table), width.setter());
    let columns = ((*width / COLUMN_PX) as u32).clamp(50, 1_024);
    let query = flow.filter(|_| *width > 0.0).map(|flow| Query::Course { flow, span: props.url.viewport, columns });
    let answer = use_answer(query);
    let course: Option<Same<Told>> = use_memo(answer.clone(), |answer| match answer.as_deref() {
        Some(Answer::Course(course)) => Some(Same(Rc::new((**course).clone()))),
        _ => None,
    })
    .as_ref()
    .clone();
    // The direction that brought more, unless the reader chose one.
    let side =
        chosen.unwrap_or_else(|| course.as_ref().map_or(0, |c| usize::from(c.sides[1].wire_bytes > c.sides[0].wire_bytes)));

    {
        let (base, palette, deps) = (base.clone(), palette.clone(), (course.clone(), side, *width, props.dark, *as_table));
        use_effect_with(deps, move |(course, side, width, ..)| {
            let ops = course.as_ref().map(|course| paint::paint(course, &course.sides[*side], *width)).unwrap_or_default();
            paint_on(&base, *width, HEIGHT_PX, &palette, &ops);
        });
    }
    {
        let (overlay, palette) = (overlay.clone(), palette.clone());
        let deps = (*column, *width, course.as_ref().map_or(1, |c| c.columns), *as_table);
        use_effect_with(deps, move |(column, width, columns, _)| {
            let hair = column.map(|column| {
                let x = (f64::from(column) + 0.5) / f64::from(*columns) * width;
                DrawOp::Fill { at: [x.round(), 0.0, 1.0, HEIGHT_PX], ink: Ink::Text, alpha: 0.7 }
            });
            paint_on(&overlay, *width, HEIGHT_PX, &palette, hair.as_slice());
        });
    }

    if flow.is_none() {
        return html! { <div class="view" data-view="course"><p class="view__empty">{ t("course-none") }</p></div> };
    }
    if let Some(Answer::Refused { why }) = answer.as_deref() {
        return html! { <div class="view" data-view="course"><p class="view__empty">{ why.clone() }</p></div> };
    }
    let onpointermove = {
        let (column, width, course) = (column.setter(), *width, course.clone());
        Callback::from(move |event: PointerEvent| {
            if let Some(course) = course.as_ref().filter(|_| width > 0.0) {
                let at = f64::from(event.offset_x()) / width * f64::from(course.columns);
                column.set(Some((at.max(0.0) as u32).min(course.columns.saturating_sub(1))));
            }
        })
    };
    let onpointerleave = {
        let column = column.setter();
        Callback::from(move |_: PointerEvent| column.set(None))
    };
    let onkeydown = {
        let (now, column, course) = (*column, column.setter(), course.clone());
        Callback::from(move |event: KeyboardEvent| {
            let Some(last) = course.as_ref().map(|course| course.columns.saturating_sub(1)) else { return };
            let step = if event.shift_key() { 10 } else { 1 };
            let to = match (event.key().as_str(), now) {
                ("ArrowRight", None) | ("Home", _) => 0,
                ("ArrowLeft", None) | ("End", _) => last,
                ("ArrowRight", Some(now)) => (now + step).min(last),
                ("ArrowLeft", Some(now)) => now.saturating_sub(step),
                _ => return,
            };
            event.prevent_default();
            column.set(Some(to));
        })
    };
    let direction = |place: usize, title: &'static str| {
        let chosen = chosen.setter();
        let onclick = Callback::from(move |_: MouseEvent| chosen.set(Some(place)));
        html! { <button class="button is-small is-quiet" data-side={place.to_string()} aria-pressed={(side == place).to_string()} {onclick}>{ t(title) }</button> }
    };
    let toggle = {
        let as_table = as_table.clone();
        Callback::from(move |_: MouseEvent| as_table.set(!*as_table))
    };
    let told = course.as_ref().map(|course| match *column {
        Some(column) => words(course, &course.sides[side], column..column + 1).line(),
        None => summary(course, &course.sides[side]),
    });
    html! {
        <div class="view course" data-view="course">
            <div class="view__bar course__bar">
                if let Some(course) = &course { <strong class="course__ends" title={format!("{} → {}", course.flow.client, course.flow.server)}>{ format!("{} {}", course.flow.transport, course.flow.stream) }<span class="muted">{ format!(" {} → {}", course.flow.client, course.flow.server) }</span></strong> }
                <span role="group" aria-label={t("course-direction")}>{ direction(0, "to-server") }{ direction(1, "to-client") }</span>
                <button class="button is-small is-quiet" aria-pressed={as_table.to_string()} onclick={toggle}>{ t("timeline-as-table") }</button>
                if let Some(course) = course.as_ref().filter(|c| !c.complete) { <span class="muted">{ tn("course-reading", &[("shown", Value::Text(&crate::format::count(course.packets.into())))]) }</span> }
                if course.as_ref().is_some_and(|c| !c.scaled && c.flow.transport == "tcp") { <span class="muted" title={t("course-unscaled-about")}>{ t("course-unscaled") }</span> }
            </div>
            <p class="course__told num" aria-live="polite">{ told.unwrap_or_else(|| t("reading")) }</p>
            if *as_table {
                <div class="view__scroll" tabindex="0">{ course.as_ref().map(|course| table(course, side)) }</div>
            } else {
                <div class="view__scroll course__scroll">
                    <div class="course__labels" style={format!("padding-top: {RULER_PX}px")}>{ for CHARTS.iter().map(label) }</div>
                    <div class="course__stage" style={format!("height: {HEIGHT_PX}px")}>
                        <canvas class="course__layer" ref={base} aria-hidden="true" />
                        <canvas class="course__layer course__hands" ref={overlay} tabindex="0" role="application" aria-label={t("course-canvas")} {onpointermove} {onpointerleave} {onkeydown} />
                    </div>
                </div>
            }
        </div>
    }
}

fn label(chart: &paint::Chart) -> Html {
    html! {
        <div key={chart.title} class="course__label" title={t(chart.about)} style={format!("height: {CHART_PX}px")}>
            <span>{ t(chart.title) }</span>
            { for chart.keys.iter().map(|key| html! { <small><i style={format!("background: var({})", key.ink.property())} />{ t(key.text) }</small> }) }
        </div>
    }
}

/// The charts' twin.
fn table(course: &Told, side: usize) -> Html {
    let heads = ["time", "course-rtt", "course-in-flight", "course-window", "course-throughput", "course-goodput"];
    html! {
        <table class="table course__table">
            <thead><tr>{ for heads.iter().enumerate().map(|(i, head)| html! { <th class={(i > 0).then_some("num")}>{ t(head) }</th> }) }</tr></thead>
            <tbody>{ for stretches(course).into_iter().map(|columns| {
                let w = words(course, &course.sides[side], columns);
                html! { <tr><td class="num">{ w.time }</td>{ for [w.rtt, w.in_flight, w.window, w.throughput, w.goodput].into_iter().map(|value| html! { <td class="num">{ value }</td> }) }</tr> }
            }) }</tbody>
        </table>
    }
}
