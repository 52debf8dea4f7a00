//! One packet in the inspector: its decode tree and its bytes, each lighting the other.

use super::label;
use crate::format;
use crate::hooks::{Same, use_answer, use_dispatch};
use crate::state::Intent;
use crate::text::{Value, t, tn};
use crate::widget::copy::Command;
use dropscope_core::ids::PacketNo;
use dropscope_core::query::{Answer, Node, PacketDetail, Query};
use std::collections::BTreeSet;
use std::rc::Rc;
use yew::prelude::*;

/// Bytes shown before the reader asks for all of them.
const FIRST_BYTES: usize = 1_024;
/// Bytes in a line of the dump.
const LINE: usize = 16;

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// Which packet.
    pub no: PacketNo,
}

/// One packet in the inspector.
#[component]
pub fn PacketInspector(props: &Props) -> Html {
    let dispatch = use_dispatch();
    let answer = use_answer(Some(Query::Packet { no: props.no }));
    let detail: Option<Same<PacketDetail>> = use_memo(answer, |answer| match answer.as_deref() {
        Some(Answer::Packet(detail)) => Some(Same(Rc::new((**detail).clone()))),
        _ => None,
    })
    .as_ref()
    .clone();
    let lit = use_state_eq(|| (0_u32, 0_u32));
    let open = use_state_eq(|| None::<BTreeSet<String>>);
    let Some(detail) = detail else {
        return html! { <p class="view__empty">{ t("reading-packet") }</p> };
    };
    let row = &detail.row;
    // Closed but for the innermost layer, until the reader opens or closes something.
    let opened = (*open).clone().unwrap_or_else(|| innermost(&detail.tree));
    let toggle = {
        let (open, opened) = (open.setter(), opened.clone());
        Callback::from(move |path: String| {
            let mut next = opened.clone();
            if !next.remove(&path) {
                next.insert(path);
            }
            open.set(Some(next));
        })
    };
    let light = {
        let lit = lit.setter();
        Callback::from(move |at: (u32, u32)| lit.set(at))
    };
    let follow = row.flow.map(|flow| {
        let dispatch = dispatch.clone();
        let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Flow(flow)));
        html! { <button class="button is-small" {onclick}>{ t("follow-flow") }</button> }
    });
    html! {
        <article class="packet-detail" data-packet-detail={row.no.to_string()}>
            <header>
                <h2>{ format!("{} {}", t("packet"), row.no) }{ " " }<span class="muted">{ &row.protocol }</span></h2>
                <p class="finding__foot">
                    if let Some(time) = row.time { <span class="num" title={t("utc")}>{ format::date_time(time, 9) }</span> }
                    <span class="num">{ format!("{} B", row.len) }</span>
                    { follow }
                </p>
                if !row.chips.is_empty() { <p class="chips">{ for row.chips.iter().map(label) }</p> }
                { for row.chips.iter().filter(|c| !c.about.is_empty()).map(|c| html! { <p class="packet-detail__about"><strong>{ &c.text }</strong>{ ": " }{ &c.about }</p> }) }
                { for detail.comments.iter().map(|c| html! { <p class="packet-detail__comment">{ c }</p> }) }
            </header>
            <ul class="tree" role="tree" aria-label={t("decode-tree")}>
                { for detail.tree.iter().map(|node| branch(node, &node.name, &opened, *lit, &toggle, &light, &dispatch)) }
            </ul>
            <Bytes detail={detail.clone()} lit={*lit} light={light} />
            if !detail.tcpdump.is_empty() { <Command line={detail.tcpdump.clone()} /> }
        </article>
    }
}

fn innermost(tree: &[Node]) -> BTreeSet<String> {
    tree.iter().rev().find(|n| !n.derived && !n.children.is_empty()).map(|n| n.name.clone()).into_iter().collect()
}

type Dispatcher = UseReducerDispatcher<crate::state::AppState>;

fn branch(
    node: &Node,
    path: &str,
    opened: &BTreeSet<String>,
    lit: (u32, u32),
    toggle: &Callback<String>,
    light: &Callback<(u32, u32)>,
    dispatch: &Dispatcher,
) -> Html {
    let is_open = opened.contains(path);
    let has_children = !node.children.is_empty();
    let enter = {
        let (light, at) = (light.clone(), node.at);
        Callback::from(move |event: MouseEvent| {
            event.stop_propagation();
            light.emit(at);
        })
    };
    let onclick = {
        let (toggle, path) = (toggle.clone(), path.to_owned());
        Callback::from(move |_: MouseEvent| toggle.emit(path.clone()))
    };
    let onkeydown = {
        let (toggle, path) = (toggle.clone(), path.to_owned());
        Callback::from(move |event: KeyboardEvent| {
            let wanted = match event.key().as_str() {
                "Enter" | " " => !is_open,
                "ArrowRight" => true,
                "ArrowLeft" => false,
                _ => return,
            };
            event.prevent_default();
            event.stop_propagation();
            if has_children && wanted != is_open {
                toggle.emit(path.clone());
            }
        })
    };
    let is_lit = node.at.1 > 0 && lit.1 > 0 && node.at.0 <= lit.0 && lit.0 + lit.1 <= node.at.0 + node.at.1;
    let text = match (node.value.is_empty(), node.derived) {
        (true, false) => html! { { &node.name } },
        (true, true) => html! { { format!("[{}]", node.name) } },
        (false, false) => html! { <>{ &node.name }{": "}<b>{ &node.value }</b></> },
        (false, true) => html! { <>{"["}{ &node.name }{": "}<b>{ &node.value }</b>{"]"}</> },
    };
    let filter = (!node.filter.is_empty()).then(|| {
        let text = node.filter.clone();
        let dispatch = dispatch.clone();
        let title = tn("filter-for", &[("what", Value::Text(&text))]);
        let onclick = Callback::from(move |event: MouseEvent| {
            event.stop_propagation();
            dispatch.dispatch(Intent::Filter(text.clone()));
        });
        html! { <button class="tree__filter" tabindex="-1" data-filter={node.filter.clone()} aria-label={title.clone()} {title} {onclick}>{ &node.field }</button> }
    });
    let class = classes!(
        "tree__line",
        is_lit.then_some("is-lit"),
        node.trouble.then_some("is-trouble"),
        node.derived.then_some("is-derived")
    );
    html! {
        <li role="treeitem" aria-expanded={has_children.then(|| is_open.to_string())}>
            <div {class} tabindex="0" onmouseenter={enter} {onclick} {onkeydown}>
                <span class="tree__twig" aria-hidden="true">{ if !has_children { "" } else if is_open { "▾" } else { "▸" } }</span>
                <span class="tree__text">{ text }</span>{ filter }
            </div>
            if has_children && is_open {
                <ul role="group">
                    { for node.children.iter().enumerate().map(|(i, child)| {
                        branch(child, &format!("{path}/{i}:{}", child.name), opened, lit, toggle, light, dispatch)
                    }) }
                </ul>
            }
        </li>
    }
}

#[derive(Properties, PartialEq)]
struct BytesProps {
    detail: Same<PacketDetail>,
    lit: (u32, u32),
    light: Callback<(u32, u32)>,
}

/// The dump.
#[component]
fn Bytes(props: &BytesProps) -> Html {
    let all = use_state_eq(|| false);
    let bytes = &props.detail.bytes;
    let shown = if *all { bytes.len() } else { bytes.len().min(FIRST_BYTES) };
    let pick = {
        let (detail, light) = (props.detail.clone(), props.light.clone());
        Callback::from(move |offset: u32| light.emit(field_at(&detail.tree, offset).unwrap_or((offset, 1))))
    };
    let show_all = {
        let all = all.setter();
        Callback::from(move |_: MouseEvent| all.set(true))
    };
    html! {
        <div class="hex" tabindex="0" role="group" aria-label={t("bytes-of-packet")}>
            { for (0..shown.div_ceil(LINE)).map(|n| {
                let (start, end) = ((n * LINE) as u32, ((n + 1) * LINE) as u32);
                // Each line is told only its own part of what is lit, so that the others stay as they are.
                let lit = (props.lit.0.clamp(start, end), (props.lit.0 + props.lit.1).clamp(start, end));
                let lit = if lit.0 < lit.1 { lit } else { (0, 0) };
                html! { <HexLine key={n} detail={props.detail.clone()} {start} {lit} pick={pick.clone()} /> }
            }) }
            if shown < bytes.len() {
                <button class="button is-small" onclick={show_all}>{ tn("show-all-bytes", &[("n", Value::Text(&format::count(bytes.len() as u64)))]) }</button>
            }
            if (bytes.len() as u64) < u64::from(props.detail.row.len) {
                <p class="muted">{ tn("bytes-cut", &[("kept", Value::Text(&bytes.len().to_string())), ("len", Value::Text(&props.detail.row.len.to_string()))]) }</p>
            }
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct HexLineProps {
    detail: Same<PacketDetail>,
    start: u32,
    lit: (u32, u32),
    pick: Callback<u32>,
}

#[component]
fn HexLine(props: &HexLineProps) -> Html {
    let start = props.start as usize;
    let bytes = &props.detail.bytes[start..(start + LINE).min(props.detail.bytes.len())];
    let cell = |text: String, i: usize| {
        let offset = props.start + i as u32;
        let is_lit = props.lit.0 <= offset && offset < props.lit.1;
        let pick = props.pick.clone();
        let onmouseenter = Callback::from(move |_: MouseEvent| pick.emit(offset));
        html! { <span class={classes!(is_lit.then_some("is-lit"))} {onmouseenter}>{ text }</span> }
    };
    let print = |b: u8| if (0x20..0x7f).contains(&b) { char::from(b).to_string() } else { "·".into() };
    html! {
        <div class="hex__line">
            <span class="hex__offset">{ format!("{start:04x}") }</span>
            <span class="hex__bytes">{ for bytes.iter().enumerate().map(|(i, b)| cell(format!("{b:02x}"), i)) }</span>
            <span class="hex__text">{ for bytes.iter().enumerate().map(|(i, b)| cell(print(*b), i)) }</span>
        </div>
    }
}

/// The smallest field that holds the byte at `offset`.
fn field_at(tree: &[Node], offset: u32) -> Option<(u32, u32)> {
    let holds = |n: &Node| n.at.1 > 0 && n.at.0 <= offset && offset < n.at.0.saturating_add(n.at.1);
    tree.iter()
        .filter_map(|node| field_at(&node.children, offset).or_else(|| holds(node).then_some(node.at)))
        .min_by_key(|at| at.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_lights_the_smallest_field_that_holds_it() {
        let node = |at: (u32, u32), children| Node { at, children, ..Node::default() };
        let tree = [node((0, 14), vec![]), node((14, 20), vec![node((14, 1), vec![]), node((26, 4), vec![])])];
        assert_eq!(field_at(&tree, 3), Some((0, 14)));
        assert_eq!(field_at(&tree, 14), Some((14, 1)));
        assert_eq!(field_at(&tree, 28), Some((26, 4)));
        assert_eq!(field_at(&tree, 20), Some((14, 20)));
        assert_eq!(field_at(&tree, 99), None);
    }
}
