//! What a right click on a packet offers.

use crate::browser::{clipboard, server};
use crate::format;
use crate::hooks::{Same, use_dispatch};
use crate::state::{Inspect, Intent};
use crate::text::{Value, t, tn};
use crate::url::UrlState;
use crate::widget::menu::{Item, Menu};
use dropscope_core::anchor::Place;
use dropscope_core::query::PacketRow;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

/// See the module.
#[derive(Clone, Properties, PartialEq)]
pub struct Props {
    /// Where it was clicked.
    pub at: (i32, i32),
    /// The packet's line.
    pub row: PacketRow,
    /// What is looked at.
    pub url: Same<UrlState>,
    /// Whether the bearer of the address may do more than read.
    pub owner: bool,
    /// Closes it.
    pub close: Callback<()>,
}

/// What a right click on a packet offers.
#[component]
pub fn RowMenu(props: &Props) -> Html {
    let dispatch = use_dispatch();
    let Props { at, row, url, owner, close } = props.clone();
    let item = |words: String, run: Box<dyn Fn()>| Item { words: words.into(), run: Callback::from(move |()| run()) };
    let filter = |text: String| {
        let dispatch = dispatch.clone();
        Box::new(move || dispatch.dispatch(Intent::Filter(text.clone()))) as Box<dyn Fn()>
    };
    let copy = |text: String| {
        let dispatch = dispatch.clone();
        Box::new(move || {
            let dispatch = dispatch.clone();
            let said = move |ok: bool| dispatch.dispatch(Intent::Say(if ok { t("copied") } else { t("copy-refused") }));
            clipboard::copy(text.clone(), Callback::from(said));
        }) as Box<dyn Fn()>
    };
    let mut items = vec![];
    for end in [&row.source, &row.destination] {
        if let Some(text) = address_filter(end) {
            items.push(item(tn("filter-for", &[("what", Value::Text(&text))]), filter(text)));
        }
    }
    if let Some(flow) = row.flow {
        let dispatch = dispatch.clone();
        items.push(item(t("follow-flow"), Box::new(move || dispatch.dispatch(Intent::Flow(flow)))));
    }
    let time = row.time.map(|t| format!("{} ", format::time_of_day(t, 6))).unwrap_or_default();
    items.push(item(t("copy-line"), copy(format!("{time}{} > {}: {}", row.source, row.destination, row.info))));
    items.push(item(t("copy-filter"), copy(format!("frame.number == {}", row.no))));
    // The link is about the packet, also where a finding is open beside it.
    let inspect = if url.finding.is_some() { Inspect::Packet } else { Inspect::Finding };
    let link = UrlState { anchor: Some(Place::Packet(row.no).into()), inspect, ..(*url.0).clone() };
    let dispatch = dispatch.clone();
    let copy_link = move || {
        let (link, dispatch) = (link.clone(), dispatch.clone());
        spawn_local(async move {
            match server::link(&link, owner).await {
                Ok(link) => {
                    let said = move |ok: bool| dispatch.dispatch(Intent::Say(t(if ok { "copied" } else { "copy-refused" })));
                    clipboard::copy(link, Callback::from(said));
                }
                Err(trouble) => dispatch.dispatch(Intent::Trouble(trouble)),
            }
        });
    };
    items.push(item(t("copy-link"), Box::new(copy_link)));
    html! { <Menu {at} {items} {close} /> }
}

/// The display filter for one end of a packet, by its address alone.
fn address_filter(end: &str) -> Option<String> {
    let bare = match end.rsplit_once(':') {
        // 10.0.0.1:80 and [::1]:80 carry a port; a bare IPv6 address holds colons of its own.
        Some((host, _)) if host.contains('.') && !host.contains(':') => host,
        Some((host, _)) if host.starts_with('[') => host.trim_matches(['[', ']']),
        _ => end,
    };
    match bare.parse::<std::net::IpAddr>().ok()? {
        std::net::IpAddr::V4(ip) => Some(format!("ip.addr == {ip}")),
        std::net::IpAddr::V6(ip) => Some(format!("ipv6.addr == {ip}")),
    }
}

#[cfg(test)]
mod tests {
    use super::address_filter;

    #[test]
    fn a_filter_names_the_address_without_its_port() {
        let cases = [
            ("10.255.255.5:39058", Some("ip.addr == 10.255.255.5")),
            ("172.17.0.2", Some("ip.addr == 172.17.0.2")),
            ("[fe80::1]:80", Some("ipv6.addr == fe80::1")),
            ("2001:db8::7", Some("ipv6.addr == 2001:db8::7")),
            ("02:42:ac:11:00:02", None),
        ];
        for (end, filter) in cases {
            assert_eq!(address_filter(end).as_deref(), filter, "{end}");
        }
    }
}
