//! The counters, as `netstat -i`, `iptables -nvL` and `nstat` print them, with their change over the selected span.

use crate::format;
use crate::hooks::use_answer;
use crate::text::t;
use crate::view::{ViewProps, names_rule};
use dropscope_core::anchor::{Anchor, Place};
use dropscope_core::query::{
    Answer, ChainCounters, ConntrackCounters, Counted, CounterRow, CounterTables, InterfaceCounters, Query,
};
use yew::prelude::*;

/// The counters.
#[component]
pub fn Counters(props: &ViewProps) -> Html {
    let answer = use_answer(Some(Query::Counters { span: props.url.span }));
    let only_changed = use_state_eq(|| true);
    let has_counters = props.overview.as_ref().is_none_or(|o| o.has_counters);
    let lit: Vec<Anchor> = props.url.anchor.iter().cloned().chain(props.evidence.iter().cloned()).collect();
    let toggle = {
        let only_changed = only_changed.clone();
        Callback::from(move |_: MouseEvent| only_changed.set(!*only_changed))
    };
    let body = match answer.as_deref() {
        Some(Answer::Counters(tables)) if has_counters => draw(tables, &lit, *only_changed),
        Some(Answer::Refused { why }) => html! { <p class="view__empty">{ why.clone() }</p> },
        _ if !has_counters => html! { <p class="view__empty">{ t("counters-none") }</p> },
        _ => html! { <p class="view__empty">{ t("reading") }</p> },
    };
    let span = match answer.as_deref() {
        Some(Answer::Counters(tables)) => tables.span,
        _ => None,
    };
    html! {
        <div class="view counters" data-view="counters" data-grid="" tabindex="-1">
            if has_counters {
                <div class="view__bar">
                    if let Some(span) = span {
                        <span class="num" title={format!("{} – {}", format::date_time(span.start, 3), format::date_time(span.end, 3))}>
                            { format!("{} {} – {} ({})", t("counters-between"), format::time_of_day(span.start, 0), format::time_of_day(span.end, 0), span.length()) }
                        </span>
                    }
                    <span class="view__spring" />
                    <button class="button is-small" aria-pressed={only_changed.to_string()} onclick={toggle}>{ t("only-changed") }</button>
                </div>
            }
            <div class="view__scroll" tabindex="0">{ body }</div>
        </div>
    }
}

fn draw(tables: &CounterTables, lit: &[Anchor], only_changed: bool) -> Html {
    html! {
        <>
            if !tables.interfaces.is_empty() { { interfaces(&tables.interfaces, lit) } }
            { for tables.chains.iter().map(|chain| rules(chain, lit)) }
            { for tables.conntrack.iter().map(conntrack) }
            { others(&tables.others, lit, only_changed) }
        </>
    }
}

/// A value with its change; what grew is told apart by weight, what should not grow by colour as well.
fn counted(value: &Counted, bad: bool, lit: &[Anchor]) -> Html {
    let delta = value.delta.filter(|d| *d != 0);
    let is_lit =
        value.counter.is_some_and(|id| lit.iter().any(|a| matches!(a.place, Place::Counter { counter, .. } if counter == id)));
    let class = classes!("num", is_lit.then_some("is-lit"), (bad && delta.is_some_and(|d| d > 0)).then_some("is-critical"));
    let change = match (delta, value.delta) {
        (Some(delta), _) => html! { <b class="counted__delta">{ format::change(delta) }</b> },
        // Not recorded at all, as against reset within the span.
        (None, None) if value.counter.is_none() => return html! { <td class="num muted">{ "–" }</td> },
        (None, None) => html! { <b class="counted__delta" title={t("counter-was-reset")}>{ "?" }</b> },
        _ => Html::default(),
    };
    html! { <td {class} data-counter={value.counter.map(|c| c.to_string())}>{ change }{ format::count(value.value) }</td> }
}

fn interfaces(list: &[InterfaceCounters], lit: &[Anchor]) -> Html {
    html! {
        <table class="table">
            <caption>{ t("interfaces") }<code>{ "netstat -i" }</code></caption>
            <thead><tr>
                <th>{ "Iface" }</th><th class="num">{ "MTU" }</th>
                { for ["RX-OK", "RX-ERR", "RX-DRP", "RX-OVR", "TX-OK", "TX-ERR", "TX-DRP", "TX-OVR"].map(|h| html! { <th class="num">{ h }</th> }) }
                <th>{ "Flg" }</th>
            </tr></thead>
            <tbody>
                { for list.iter().map(|i| {
                    let is_lit = lit.iter().any(|a| matches!(a.place, Place::Interface { netns, ifindex } if netns == i.netns && ifindex == i.ifindex));
                    html! {
                        <tr key={format!("{}/{}", i.netns.0, i.ifindex)} class={classes!(is_lit.then_some("is-lit"))} data-interface={i.name.clone()}>
                            <th scope="row">{ &i.name }if !i.netns_name.is_empty() { { " " }<small title={i.netns_name.clone()}>{ &i.netns_name }</small> }</th>
                            <td class="num">{ i.mtu.to_string() }</td>
                            { for i.rx.iter().chain(&i.tx).enumerate().map(|(n, value)| counted(value, n % 4 != 0, lit)) }
                            <td>{ &i.flags }</td>
                        </tr>
                    }
                }) }
            </tbody>
        </table>
    }
}

fn rules(chain: &ChainCounters, lit: &[Anchor]) -> Html {
    let none = || html! { <td class="num muted" title={t("rule-does-not-count")}>{ "–" }</td> };
    let drops = |target: &str| matches!(target, "DROP" | "REJECT" | "drop" | "reject");
    html! {
        <table class="table">
            <caption>
                { format!("{} {}", chain.table, chain.chain) }
                if !chain.policy.is_empty() { <span class="muted">{ format!("policy {}", chain.policy) }</span> }
                if let Some(hits) = &chain.policy_packets { <span class="muted num">{ format!("{} ({})", format::count(hits.value), hits.delta.map_or("?".into(), format::change)) }</span> }
                <code>{ if chain.backend == "nftables" { "nft list ruleset" } else { "iptables -nvL" } }</code>
                if !chain.netns_name.is_empty() { <small>{ &chain.netns_name }</small> }
                <small>{ &chain.backend }</small>
            </caption>
            if !chain.rules.is_empty() {
                <thead><tr><th class="num">{ "#" }</th><th class="num">{ "pkts" }</th><th class="num">{ "bytes" }</th><th>{ "target" }</th><th>{ t("rule") }</th></tr></thead>
            }
            <tbody>
                if chain.rules.is_empty() { <tr><td class="muted">{ t("rules-none") }</td></tr> }
                { for chain.rules.iter().map(|rule| {
                    let bad = drops(&rule.target);
                    html! {
                        <tr key={rule.id.clone()} class={classes!(names_rule(lit, &rule.id).then_some("is-lit"))} data-rule={rule.id.clone()}>
                            <td class="num muted">{ rule.position.to_string() }</td>
                            { rule.packets.as_ref().map_or_else(none, |v| counted(v, bad, lit)) }
                            { rule.bytes.as_ref().map_or_else(none, |v| counted(v, false, lit)) }
                            <td class={classes!(bad.then_some("is-critical"))}>{ &rule.target }</td>
                            <td class="mono">{ &rule.text }</td>
                        </tr>
                    }
                }) }
            </tbody>
        </table>
    }
}

fn conntrack(table: &ConntrackCounters) -> Html {
    let full = table.count.zip(table.max).map(|(count, max)| (count.value, max));
    html! {
        <table class="table">
            <caption>{ t("conntrack") }if !table.netns_name.is_empty() { <small>{ &table.netns_name }</small> }<code>{ "conntrack -S" }</code></caption>
            <tbody>
                if let Some((count, max)) = full {
                    <tr><th scope="row">{ t("conntrack-entries") }</th><td class="num">{ format!("{} / {}", format::count(count), format::count(max)) }</td>
                        <td><meter min="0" max={max.to_string()} high={(max / 100 * 95).to_string()} value={count.to_string()} aria-label={t("conntrack-entries")} /></td></tr>
                }
                { for table.statistics.iter().map(|(name, value)| html! {
                    <tr key={name.clone()}><th scope="row">{ name }</th>{ counted(value, matches!(name.as_str(), "drop" | "early_drop" | "insert_failed"), &[]) }<td /></tr>
                }) }
            </tbody>
        </table>
    }
}

fn others(rows: &[CounterRow], lit: &[Anchor], only_changed: bool) -> Html {
    let shown: Vec<&CounterRow> = rows.iter().filter(|r| !only_changed || r.counted.delta != Some(0)).collect();
    let hidden = rows.len() - shown.len();
    html! {
        <table class="table">
            <caption>{ t("other-counters") }<code>{ "nstat" }</code></caption>
            <thead><tr><th>{ t("group") }</th><th>{ t("counter") }</th><th class="num">{ t("value") }</th><td /></tr></thead>
            <tbody>
                { for shown.iter().map(|row| html! {
                    <tr>
                        <td class="muted">{ &row.group }if !row.netns_name.is_empty() { <small>{ format!(" {}", row.netns_name) }</small> }</td>
                        <th scope="row">{ &row.kernel_name }if !row.object.is_empty() { { " " }<small title={row.object.clone()}>{ &row.object }</small> }</th>
                        { counted(&row.counted, false, lit) }
                        <td />
                    </tr>
                }) }
                if hidden > 0 { <tr><td colspan="4" class="muted">{ format!("{hidden} {}", t("counters-unchanged")) }</td></tr> }
            </tbody>
        </table>
    }
}
