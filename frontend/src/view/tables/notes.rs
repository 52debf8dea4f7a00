//! What is in the log: interfaces, watched hosts, limits of the data, and what happened, in order.

use crate::format;
use crate::text::t;
use crate::view::ViewProps;
use crate::widget::prose::prose;
use crate::widget::severity;
use dropscope_core::query::Overview;
use yew::prelude::*;

/// The notes.
#[component]
pub fn Notes(props: &ViewProps) -> Html {
    let Some(overview) = props.overview.as_deref() else {
        return html! { <div class="view" data-view="notes"><p class="view__empty">{ t("reading") }</p></div> };
    };
    html! {
        <div class="view notes" data-view="notes" data-grid="" tabindex="-1">
            <div class="view__scroll" tabindex="0">
                { summary(overview) }
                { quality(overview) }
                if !overview.interfaces.is_empty() { { interfaces(overview) } }
                { for overview.hosts.iter().map(host) }
                if !overview.marks.is_empty() { { marks(overview) } }
            </div>
        </div>
    }
}

fn summary(o: &Overview) -> Html {
    let p = &o.progress;
    let row = |name: String, value: String| html! { <tr><th scope="row">{ name }</th><td>{ value }</td></tr> };
    html! {
        <table class="table">
            <caption>{ t("capture") }</caption>
            <tbody>
                { row(t("format"), o.format.clone()) }
                { o.application.clone().map(|a| row(t("written-by"), a)) }
                { row(t("column-packets"), format::count(p.packets.into())) }
                { row(t("bytes-on-the-wire"), format!("{} ({} B)", format::bytes(o.wire_bytes), format::count(o.wire_bytes))) }
                { row(t("view-conversations"), format::count(p.flows.into())) }
                { p.span.map(|s| row(t("begins"), format::date_time(s.start, 6))) }
                { p.span.map(|s| row(t("ends"), format::date_time(s.end, 6))) }
                { p.span.map(|s| row(t("column-duration"), s.length().to_string())) }
            </tbody>
        </table>
    }
}

fn quality(o: &Overview) -> Html {
    html! {
        <section class="notes__quality">
            <h2>{ t("quality") }</h2>
            if o.quality.is_empty() {
                <p><span class="sign is-fine" aria-hidden="true">{ "✓" }</span>{ " " }{ t("quality-good") }</p>
            } else {
                <ul>{ for o.quality.iter().map(|q| html! { <li data-quality={q.kind.clone()}>{ severity::sign(q.severity) }{ " " }{ prose(&q.sentence) }</li> }) }</ul>
            }
        </section>
    }
}

fn interfaces(o: &Overview) -> Html {
    html! {
        <table class="table">
            <caption>{ t("capture-interfaces") }</caption>
            <thead><tr><th>{ t("interface") }</th><th>{ t("link") }</th><th class="num">{ t("column-packets") }</th><th class="num">{ t("snaplen") }</th><th class="num">{ t("lost-by-capture") }</th><th>{ t("capture-filter") }</th></tr></thead>
            <tbody>{ for o.interfaces.iter().map(|i| html! {
                <tr>
                    <th scope="row">{ &i.name }</th><td>{ &i.link }</td><td class="num">{ format::count(i.packets.into()) }</td>
                    <td class="num">{ if i.snaplen == 0 { t("all") } else { i.snaplen.to_string() } }</td>
                    <td class={classes!("num", (i.lost > 0).then_some("is-critical"))}>{ format::count(i.lost) }</td>
                    <td class="mono">{ i.filter.clone().unwrap_or_default() }</td>
                </tr>
            }) }</tbody>
        </table>
    }
}

/// A host and its namespace, once where they are called the same.
fn place(host: &str, namespace: &str) -> String {
    if host == namespace { host.to_owned() } else { format!("{host} · {namespace}") }
}

fn host(host: &dropscope_core::log::block::Host) -> Html {
    html! {
        <>
            { for host.namespaces.iter().map(|ns| html! {
                <table class="table">
                    <caption>{ place(&host.hostname, &ns.name) }<small>{ format!("Linux {} {} · {} CPU · {}", host.kernel, host.machine, host.cpus, host.agent) }</small></caption>
                    <thead><tr><th>{ t("interface") }</th><th>{ t("kind") }</th><th class="num">{ "MTU" }</th><th>{ t("column-state") }</th><th>{ t("addresses") }</th><th>{ "MAC" }</th></tr></thead>
                    <tbody>
                        { for ns.interfaces.iter().map(|i| html! {
                            <tr><th scope="row">{ &i.name }</th><td>{ &i.kind }</td><td class="num">{ i.mtu.to_string() }</td><td>{ &i.operstate }</td><td class="mono">{ i.addresses.join(", ") }</td><td class="mono">{ &i.mac }</td></tr>
                        }) }
                        { for ns.sysctls.iter().map(|(name, value)| html! { <tr><td colspan="5" class="mono muted">{ name }</td><td class="mono">{ value }</td></tr> }) }
                    </tbody>
                </table>
            }) }
            if !host.limits.is_empty() {
                <ul class="notes__limits">{ for host.limits.iter().map(|l| html! { <li><span class="sign is-unsure" aria-hidden="true">{ "?" }</span>{ " " }{ l }</li> }) }</ul>
            }
        </>
    }
}

fn marks(o: &Overview) -> Html {
    html! {
        <table class="table">
            <caption>{ t("what-happened") }</caption>
            <tbody>{ for o.marks.iter().map(|m| html! {
                <tr><td class="num" title={format::date_time(m.at, 9)}>{ format::time_of_day(m.at, 3) }</td><td class="muted">{ &m.kind }</td><td>{ prose(&m.text) }</td></tr>
            }) }</tbody>
        </table>
    }
}
