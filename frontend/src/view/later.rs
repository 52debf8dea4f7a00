//! What the page shows only when it is asked for: drawn by the part [`parts::VIEWS`], which is loaded when one of them is first
//! wanted. Whoever shows one puts a [`Later`] in its place.

use super::{ViewProps, course, findings, ladder, packets, shell, tables};
use crate::parts;
use crate::text::t;
use dropscope_core::ids::PacketNo;
use dropscope_core::query::Answer;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

/// What the part has.
pub struct Views {
    /// Draws one of them.
    pub draw: fn(&Pane) -> Html,
    /// Reads an answer that [`parts::Answers::ask_further`] wrote.
    pub read: fn(&[u8]) -> Result<Answer, String>,
}

/// The part itself.
pub const TABLE: Views = Views { draw, read: |bytes| borsh::from_slice(bytes).map_err(|error| error.to_string()) };

/// What may be shown later.
#[derive(Clone, PartialEq)]
pub enum Pane {
    /// The view of this slug: one of [`VIEWS`].
    View(&'static str, ViewProps),
    /// What a right click on a packet offers.
    PacketMenu(packets::menu::Props),
    /// A packet in the inspector.
    Packet(PacketNo),
    /// A finding in the inspector.
    Finding(findings::detail::Props),
    /// What is laid over the page.
    Sheet(shell::sheet::Props),
}

type Draw = fn(&ViewProps) -> Html;

/// The views, by their slugs.
const VIEWS: &[(&str, Draw)] = &[
    ("ladder", |p| html! { <ladder::FlowGraph ..p.clone() /> }),
    ("course", |p| html! { <course::Course ..p.clone() /> }),
    ("conversations", |p| html! { <tables::Conversations ..p.clone() /> }),
    ("counters", |p| html! { <tables::Counters ..p.clone() /> }),
    ("drops", |p| html! { <tables::Drops ..p.clone() /> }),
    ("notes", |p| html! { <tables::Notes ..p.clone() /> }),
];

fn draw(pane: &Pane) -> Html {
    match pane {
        Pane::View(slug, props) => {
            let view = VIEWS.iter().find(|(known, _)| known == slug);
            view.map_or_else(Html::default, |(_, draw)| draw(props))
        }
        Pane::PacketMenu(props) => html! { <packets::menu::RowMenu ..props.clone() /> },
        Pane::Packet(no) => html! { <packets::PacketInspector no={*no} /> },
        Pane::Finding(props) => html! { <findings::Detail ..props.clone() /> },
        Pane::Sheet(props) => html! { <shell::sheet::SheetOver ..props.clone() /> },
    }
}

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// What to show.
    pub pane: Pane,
}

/// A place for what is drawn later; until its code is there it says so, and where that cannot be loaded, why and what to do.
#[component]
pub fn Later(props: &Props) -> Html {
    let tries = use_state_eq(|| 0_u32);
    let unloaded = use_state_eq(|| None::<parts::Unloaded>);
    let loads = use_force_update();
    {
        let (unloaded, loads) = (unloaded.setter(), loads.clone());
        use_effect_with(*tries, move |_| {
            if parts::VIEWS.get().is_none() {
                spawn_local(async move {
                    let loaded = parts::VIEWS.load().await;
                    unloaded.set(loaded.err());
                    loads.force_update();
                });
            }
        });
    }
    match (parts::VIEWS.get(), *unloaded) {
        (Some(views), _) => (views.draw)(&props.pane),
        (None, Some(parts::Unloaded)) => {
            let again = {
                let (tries, next, unloaded) = (tries.setter(), *tries + 1, unloaded.setter());
                Callback::from(move |_: MouseEvent| {
                    unloaded.set(None);
                    tries.set(next);
                })
            };
            html! {
                <div class="view__empty" role="alert">
                    <p>{ t("part-unloaded") }</p>
                    <button class="button" data-again="" onclick={again}>{ t("try-again") }</button>
                </div>
            }
        }
        // A menu that is not there yet leaves no gap.
        (None, None) if matches!(props.pane, Pane::PacketMenu(_)) => Html::default(),
        (None, None) => html! { <p class="view__empty" aria-busy="true">{ t("loading-view") }</p> },
    }
}
