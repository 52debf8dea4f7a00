//! The packet list: one line a packet in tcpdump's words, labels as chips, any number of packets.

pub mod detail;
pub mod menu;

pub use detail::PacketInspector;

use super::ViewProps;
use crate::format;
use crate::hooks::{Same, use_answer, use_dispatch};
use crate::state::Intent;
use crate::text::{Value, t, tn};
use crate::url::UrlState;
use crate::widget::ends::ends;
use crate::widget::prose::prose;
use crate::widget::severity;
use crate::widget::virtual_list::{VirtualList, use_reveal, use_steps};
use dropscope_core::query::{Answer, Chip, PacketRow, PacketRows, Query, Rows, Selection};
use dropscope_core::time::Timestamp;
use std::rc::Rc;
use yew::prelude::*;

/// Labels shown on a row; the inspector shows all.
const CHIPS_A_ROW: usize = 2;

/// How many characters the columns take that must never be cut, and that of the addresses at most. They only grow, so that
/// nothing moves to and fro while the list is scrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Columns {
    no: usize,
    ends: usize,
    len: usize,
}

impl Columns {
    /// Makes room for these rows, of a capture that has so many packets.
    fn fit(&mut self, rows: &[PacketRow], packets: u32) {
        let digits = |n: u32| n.to_string().len();
        let most = rows.iter().map(|row| row.no.0).max().unwrap_or(0).max(packets);
        self.no = self.no.max(digits(most)).max(3);
        self.len = rows.iter().map(|row| digits(row.len)).max().unwrap_or(0).max(self.len).max(4);
        let ends = rows.iter().map(|row| row.source.chars().count() + row.destination.chars().count());
        // Beside the two ends the arrow, and the gaps around it.
        self.ends = ends.max().unwrap_or(0).max(self.ends).max(12);
    }

    fn style(self) -> String {
        format!("--no: {}ch; --ends: {}ch; --len: {}ch", self.no, self.ends + 4, self.len)
    }
}

/// The packet list.
#[component]
pub fn Packets(props: &ViewProps) -> Html {
    let dispatch = use_dispatch();
    let rows = use_state_eq(|| Rows { first: 0, count: 64 });
    let follow = use_state_eq(|| false);
    let seen = use_state_eq(|| 0_u32);
    let menu = use_state(|| None::<((i32, i32), PacketRow)>);
    let url = &props.url;
    let selection = Selection { filter: url.filter.clone(), span: url.span, flow: None };
    let query = Query::Packets { selection: selection.clone(), rows: *rows, locate: props.focus };
    let answer = use_answer(Some(query));
    let page: Option<Same<PacketRows>> = use_memo(answer, |answer| match answer.as_deref() {
        Some(Answer::Packets(rows)) => Some(Same(Rc::new(rows.clone()))),
        _ => None,
    })
    .as_ref()
    .clone();
    let total = page.as_ref().map_or(0, |p| p.total);
    // Among the rows that are there, else where the engine says it stands.
    let at = props.focus.zip(page.as_ref()).and_then(|(no, page)| match page.rows.binary_search_by_key(&no, |row| row.no) {
        Ok(i) => Some(page.first + i as u32),
        Err(_) => page.located.filter(|_| page.locate == Some(no)),
    });
    let columns = use_mut_ref(|| (None, Columns::default()));
    let columns = {
        let mut columns = columns.borrow_mut();
        if columns.0.as_ref() != Some(&url.source) {
            *columns = (Some(url.source.clone()), Columns::default());
        }
        columns.1.fit(page.as_ref().map_or(&[], |page| &page.rows), props.overview.as_ref().map_or(0, |o| o.progress.packets));
        columns.1
    };

    let on_window = {
        let rows = rows.setter();
        Callback::from(move |window: Rows| rows.set(window))
    };
    let zero = props.overview.as_ref().and_then(|o| o.progress.span).map(|s| s.start);
    let row = {
        let (page, lit, chosen, focus, menu) =
            (page.clone(), props.lit.clone(), props.chosen.clone(), props.focus, menu.setter());
        Callback::from(move |n: u32| {
            let place = page.as_ref().and_then(|p| n.checked_sub(p.first)).map(|i| i as usize);
            let known = page.as_ref().zip(place).filter(|(p, i)| *i < p.rows.len());
            match known {
                None => {
                    html! { <div key={format!("row-{n}")} class="packet is-placeholder" role="row" aria-rowindex={(n + 1).to_string()} /> }
                }
                Some((page, i)) => {
                    let no = page.rows[i].no;
                    html! {
                        <Line key={no.0} page={page.clone()} {i} {n} {zero} chosen={chosen.clone()} selected={focus == Some(no)} lit={lit.binary_search(&no).is_ok()} menu={menu.clone()} />
                    }
                }
            }
        })
    };
    let choose = {
        let (dispatch, page) = (dispatch.clone(), page.clone());
        Callback::from(move |n: u32| {
            let row = page.as_ref().and_then(|p| p.rows.get((n.checked_sub(p.first)?) as usize));
            row.inspect(|row| dispatch.dispatch(Intent::Packet(row.no))).is_some()
        })
    };
    let (on_move, stepping) = use_steps(page.clone(), choose);
    let reveal = use_reveal(Some((props.focus, selection, stepping)), stepping.or(at));
    let cursor = stepping.or(at);
    let on_menu = {
        let (page, menu) = (page.clone(), menu.setter());
        Callback::from(move |(n, at): (u32, (i32, i32))| {
            let row = page.as_ref().and_then(|p| p.rows.get((n.checked_sub(p.first)?) as usize));
            if let Some(row) = row {
                menu.set(Some((at, row.clone())));
            }
        })
    };
    let follow_toggle = {
        let (follow, seen) = (follow.clone(), seen.clone());
        Callback::from(move |_: MouseEvent| {
            follow.set(!*follow);
            seen.set(total);
        })
    };
    let leave = {
        let (follow, seen) = (follow.clone(), seen.clone());
        Callback::from(move |()| {
            follow.set(false);
            seen.set(total);
        })
    };
    let clear_span = {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Span(None)))
    };
    let fresh = total.saturating_sub(*seen);
    let wrong = page.as_ref().and_then(|page| page.filter_error.as_ref());
    html! {
        <div class="view packets" data-view="packets">
            <div class="view__bar">
                <span class="num">{ tn("packets-shown", &[("n", Value::Number(total.into())), ("shown", Value::Text(&format::count(total.into())))]) }</span>
                if page.as_ref().is_some_and(|p| !p.complete) { <span class="muted">{ t("still-filtering") }</span> }
                if let Some(span) = url.span {
                    <button class="chip is-link" onclick={clear_span} title={t("clear-span")}>{ format!("{} {} ×", t("selected"), span.length()) }</button>
                }
                if let Some(error) = wrong {
                    <span class="is-critical" role="alert">{ prose(&error.message) }</span>
                }
                <span class="view__spring" />
                if props.growing {
                    if !*follow && fresh > 0 && *seen > 0 {
                        <button class="button is-small" id="new" onclick={follow_toggle.clone()}>{ tn("n-new", &[("n", Value::Text(&format::count(fresh.into())))]) }</button>
                    }
                    <button class="button is-small" id="follow" aria-pressed={follow.to_string()} onclick={follow_toggle}>{ t("follow") }</button>
                }
            </div>
            <div class="packets__wide"><div class="packets__inner" style={columns.style()}>
            <div class="packet packet--head" aria-hidden="true">
                <span>{ t("column-no") }</span><span>{ t("column-time") }</span><span>{ t("column-addresses") }</span>
                <span class="packet__protocol">{ t("column-protocol") }</span><span>{ t("column-info") }</span><span class="num">{ t("column-length") }</span>
            </div>
            <VirtualList id="packet-list" label={t("view-packets")} {total} {cursor} {reveal} follow={*follow} on_leave_end={leave} {on_window} {row} {on_move} {on_menu} />
            </div></div>
            if page.is_some() && total == 0 && wrong.is_none() {
                <p class="view__empty">{ match (url.filter.is_empty(), url.span) {
                    (false, Some(_)) => t("packets-none-match"),
                    (false, None) => t("packets-none-pass"),
                    (true, Some(_)) => t("packets-none-then"),
                    (true, None) if props.growing => t("packets-none-yet"),
                    (true, None) => t("packets-none"),
                } }</p>
            }
            if let Some((at, row)) = &*menu {
                { row_menu(*at, row.clone(), url.clone(), props.owner, menu.setter()) }
            }
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct LineProps {
    page: Same<PacketRows>,
    i: usize,
    n: u32,
    zero: Option<Timestamp>,
    chosen: Option<AttrValue>,
    selected: bool,
    lit: bool,
    menu: UseStateSetter<Option<((i32, i32), PacketRow)>>,
}

/// One packet.
#[component]
fn Line(props: &LineProps) -> Html {
    let dispatch = use_dispatch();
    let Some(row) = props.page.rows.get(props.i) else { return Html::default() };
    let onclick = {
        let (dispatch, no) = (dispatch.clone(), row.no);
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Packet(no)))
    };
    let oncontextmenu = {
        let (menu, row) = (props.menu.clone(), row.clone());
        Callback::from(move |event: MouseEvent| {
            event.prevent_default();
            menu.set(Some(((event.client_x(), event.client_y()), row.clone())));
        })
    };
    let time = row.time.map(|t| format::time_of_day(t, 6)).unwrap_or_else(|| "–".into());
    let about = row.time.map(|t| match props.zero {
        Some(zero) => format!("{} · +{} s", format::date_time(t, 9), format::since(t, zero)),
        None => format::date_time(t, 9),
    });
    // What the open finding says of every packet it names is said by lighting them.
    let names_chosen = row.chips.iter().any(|chip| props.chosen.as_deref() == Some(&chip.text));
    let chips: Vec<&Chip> = row.chips.iter().filter(|chip| props.chosen.as_deref() != Some(&chip.text)).collect();
    let (shown, rest) = chips.split_at(chips.len().min(CHIPS_A_ROW));
    let is_unread = row.source.is_empty() && row.destination.is_empty() && row.protocol.is_empty();
    let class = classes!("packet", props.selected.then_some("is-selected"), (props.lit || names_chosen).then_some("is-lit"));
    html! {
        <div {class} id={format!("packet-list-row-{}", props.n)} role="row" aria-rowindex={(props.n + 1).to_string()}
            aria-selected={props.selected.to_string()} data-packet={row.no.to_string()} {onclick} {oncontextmenu}>
            <span role="gridcell" class="packet__no">{ row.no.to_string() }</span>
            <span role="gridcell" title={about}>{ time }</span>
            // What is not read any further has no ends, and much to say about why.
            if !is_unread {
                <span role="gridcell" class="ends" title={format!("{} → {}", row.source, row.destination)}>{ ends(&row.source, &row.destination) }</span>
                <span role="gridcell" class="packet__protocol">{ &row.protocol }</span>
            }
            <span role="gridcell" class={classes!("packet__info", is_unread.then_some("is-wide"))}>
                <span title={row.info.clone()}>{ &row.info }</span>
                { for shown.iter().map(|chip| label(chip)) }
                if !rest.is_empty() { <span class="chip is-more" title={rest.iter().map(|chip| chip.text.as_str()).collect::<Vec<_>>().join(", ")}>{ format!("+{}", rest.len()) }</span> }
            </span>
            <span role="gridcell" class="num" title={format!("{} B", row.len)}>{ row.len.to_string() }</span>
        </div>
    }
}

/// A label as a chip.
pub fn label(chip: &Chip) -> Html {
    html! { <span class={classes!("chip", severity::class(chip.severity))} title={chip.about.clone()}>{ &chip.text }</span> }
}

/// What a right click on a packet offers.
fn row_menu(
    at: (i32, i32),
    row: PacketRow,
    url: Same<UrlState>,
    owner: bool,
    menu: UseStateSetter<Option<((i32, i32), PacketRow)>>,
) -> Html {
    let close = Callback::from(move |()| menu.set(None));
    html! { <menu::RowMenu {at} {row} {url} {owner} {close} /> }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dropscope_core::ids::PacketNo;

    #[test]
    fn columns_make_room_for_what_is_listed_and_never_shrink() {
        let row = |no, len, source: &str| PacketRow { no: PacketNo(no), len, source: source.into(), ..PacketRow::default() };
        let mut columns = Columns::default();
        columns.fit(&[row(7, 66, "10.255.255.5:39058")], 1_234_567);
        assert_eq!(columns.style(), "--no: 7ch; --ends: 22ch; --len: 4ch");
        columns.fit(&[row(8, 262_144, "10.0.0.1")], 0);
        assert_eq!(columns.style(), "--no: 7ch; --ends: 22ch; --len: 6ch");
    }
}
