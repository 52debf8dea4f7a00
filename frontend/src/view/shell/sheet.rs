//! What is laid over the page: all keys, and sharing.

use super::bar::on_server;
use crate::browser::files::LocalCapture;
use crate::browser::{self, address, clipboard, server};
use crate::format;
use crate::hooks::{Same, use_dispatch};
use crate::state::{AppState, Intent, Sheet, Trouble};
use crate::text::{Value, t, tn};
use crate::url::{Source, UrlState, print};
use crate::widget::copy::Command;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

/// See the module.
#[derive(Clone, Properties, PartialEq)]
pub struct Props {
    /// The whole state.
    pub state: Same<AppState>,
    /// The captures that were dropped.
    pub held: Same<std::cell::RefCell<Vec<LocalCapture>>>,
}

/// What is laid over the page.
#[component]
pub fn SheetOver(props: &Props) -> Html {
    let dispatch = use_dispatch();
    let open = props.state.sheet != Sheet::None;
    // Focus goes into the sheet and comes back to where it was.
    use_effect_with(open, |open| {
        let before = open.then(|| browser::document().active_element()).flatten();
        if *open {
            browser::focus(".sheet");
        }
        move || {
            use wasm_bindgen::JsCast;
            if let Some(element) = before.and_then(|e| e.dyn_into::<web_sys::HtmlElement>().ok()) {
                let _ = element.focus();
            }
        }
    });
    let close = {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Sheet(Sheet::None)))
    };
    let (title, content) = match props.state.sheet {
        Sheet::None => return Html::default(),
        Sheet::Keys => (t("keys"), keys()),
        Sheet::Share => (t("share"), html! { <Share state={props.state.clone()} held={props.held.clone()} /> }),
    };
    html! {
        <div class="over">
            <div class="over__back" onclick={close.clone()} />
            <section class="sheet" role="dialog" aria-modal="true" aria-label={title.clone()} tabindex="-1">
                <div class="sheet__head"><h2>{ title }</h2><button class="button is-quiet is-icon" aria-label={t("close")} onclick={close}>{ "×" }</button></div>
                { content }
            </section>
        </div>
    }
}

fn keys() -> Html {
    let keys = [
        ("/", "key-filter"),
        ("n  p", "key-findings"),
        ("j  k", "key-rows"),
        ("[  ]", "key-edges"),
        ("f", "key-fit"),
        ("g", "key-ladder"),
        ("t", "key-theme"),
        ("?", "key-keys"),
        ("Esc", "key-escape"),
    ];
    let hands = [
        ("hand-drag", "hand-drag-does"),
        ("hand-wheel", "hand-wheel-does"),
        ("hand-shift-wheel", "hand-shift-wheel-does"),
        ("hand-double", "hand-double-does"),
        ("hand-arrows", "hand-arrows-does"),
        ("hand-right", "hand-right-does"),
    ];
    html! {
        <dl class="keys">
            { for keys.iter().map(|(key, about)| html! { <><dt>{ for key.split_whitespace().map(|k| html! { <kbd>{ k }</kbd> }) }</dt><dd>{ t(about) }</dd></> }) }
            { for hands.iter().map(|(hand, does)| html! { <><dt>{ t(hand) }</dt><dd>{ t(does) }</dd></> }) }
        </dl>
    }
}

#[derive(Properties, PartialEq)]
struct ShareProps {
    state: Same<AppState>,
    held: Same<std::cell::RefCell<Vec<LocalCapture>>>,
}

/// Starts a server that others reach.
const SERVE: &str = "dropscope serve --listen ADDRESS";

/// How sharing stands.
#[derive(Clone, PartialEq)]
enum Sharing {
    Idle,
    Working(u64),
    Link(String, bool),
    Failed(Trouble),
}

/// A link to exactly this screen: at once for what lies on the server; for a local file after an upload the reader asks for.
#[component]
fn Share(props: &ShareProps) -> Html {
    let dispatch = use_dispatch();
    let sharing = use_state(|| Sharing::Idle);
    let state: &AppState = &props.state;
    let url = state.url.clone();
    let copy_link = {
        let (sharing, dispatch) = (sharing.setter(), dispatch.clone());
        move |link: String| {
            let (sharing, dispatch, shown) = (sharing.clone(), dispatch.clone(), link.clone());
            let done = move |ok: bool| {
                dispatch.dispatch(Intent::Say(if ok { t("link-copied") } else { t("copy-refused") }));
                sharing.set(Sharing::Link(shown.clone(), ok));
            };
            clipboard::copy(link, Callback::from(done));
        }
    };
    let make_link = {
        // A link to what was uploaded from here holds the token that came back; it needs no other.
        let owner = state.server.is_owner() && state.session.shared.is_none();
        let url = match &state.session.shared {
            Some(shared) => UrlState { source: Source::Capture(shared.id.clone()), token: shared.token.clone(), ..url.clone() },
            None => url.clone(),
        };
        let (sharing, copy_link) = (sharing.setter(), copy_link.clone());
        Callback::from(move |_: MouseEvent| {
            let (url, sharing, copy_link) = (url.clone(), sharing.clone(), copy_link.clone());
            sharing.set(Sharing::Working(0));
            spawn_local(async move {
                match server::link(&url, owner).await {
                    Ok(link) => copy_link(link),
                    Err(trouble) => sharing.set(Sharing::Failed(trouble)),
                }
            });
        })
    };
    let upload = {
        let (url, sharing, held, dispatch) = (url.clone(), sharing.setter(), props.held.clone(), dispatch.clone());
        Callback::from(move |_: MouseEvent| {
            let held = held.borrow();
            let is_open = |capture: &&LocalCapture| matches!(&url.source, Source::File(name) if capture.name == *name);
            let Some(capture) = held.iter().find(is_open).cloned() else { return };
            let (url, sharing, copy_link) = (url.clone(), sharing.clone(), copy_link.clone());
            sharing.set(Sharing::Working(0));
            let size = capture.bytes.size() as u64;
            let sent = {
                let (sharing, dispatch) = (sharing.clone(), dispatch.clone());
                Callback::from(move |bytes: u64| {
                    dispatch.dispatch(Intent::Uploaded(bytes));
                    sharing.set(Sharing::Working(bytes));
                })
            };
            let dispatch = dispatch.clone();
            spawn_local(async move {
                match server::upload(&capture, &url.token, sent).await {
                    Ok(shared) => {
                        dispatch.dispatch(Intent::Uploaded(size));
                        dispatch.dispatch(Intent::Shared(shared.clone()));
                        let state = UrlState { source: Source::Capture(shared.id), token: shared.token, ..url };
                        copy_link(address::with_fragment(&print(&state)));
                    }
                    Err(trouble) => sharing.set(Sharing::Failed(trouble)),
                }
            });
        })
    };
    let size = format::bytes(state.session.size.unwrap_or(state.session.progress.bytes_read));
    let outcome = match &*sharing {
        Sharing::Idle => Html::default(),
        Sharing::Working(0) => html! { <p role="status">{ t("working") }</p> },
        Sharing::Working(sent) => {
            html! { <p role="status"><progress max={state.session.size.unwrap_or(1).to_string()} value={sent.to_string()} />{ format!(" {} / {size}", format::bytes(*sent)) }</p> }
        }
        Sharing::Link(link, copied) => {
            html! { <div id="share-link"><p role="status">{ if *copied { t("link-copied") } else { t("copy-by-hand") } }</p><Command line={link.clone()} /></div> }
        }
        Sharing::Failed(trouble) => {
            html! { <p role="alert" class="is-critical"><strong>{ &trouble.what }</strong>{ " " }{ &trouble.what_to_do }</p> }
        }
    };
    let host = address::host();
    let only_here = address::is_loopback(&host);
    let local_file = matches!(state.url.source, Source::File(_));
    let main_button =
        html! { <p><button class="button is-main" id="share-copy" onclick={make_link.clone()}>{ t("share-copy") }</button></p> };
    let upload_about = if only_here { "share-upload-about-here" } else { "share-upload-about" };
    html! {
        <div class="share">
            if on_server(&state.url.source) {
                <p>{ t("share-server") }</p>
                { main_button }
            } else if state.session.shared.is_some() {
                <p>{ tn("share-uploaded", &[("name", Value::Text(&state.session.name))]) }</p>
                { main_button }
            } else if local_file {
                <p>{ tn("share-local", &[("name", Value::Text(&state.session.name))]) }</p>
                if state.server.can_upload {
                    <p>{ tn(upload_about, &[("size", Value::Text(&size))]) }</p>
                    <p><button class="button is-main" id="share-upload" onclick={upload}>{ tn("share-upload", &[("size", Value::Text(&size))]) }</button></p>
                } else {
                    <p>{ if state.server.present { t("share-no-upload") } else { t("share-no-server") } }</p>
                    <Command line={SERVE} effect={t("share-listen-about")} />
                }
                <p>{ t(if only_here { "share-local-link-here" } else { "share-local-link" }) }</p>
                <p><button class="button" id="share-copy" onclick={make_link}>{ t("share-copy-local") }</button></p>
            } else {
                <p>{ t("share-reference") }</p>
                { main_button }
            }
            { outcome }
            if only_here && (!local_file || state.server.can_upload) {
                <p id="share-only-here">{ tn("share-only-here", &[("host", Value::Text(&host))]) }</p>
                <Command line={SERVE} effect={t("share-listen-about")} />
            }
        </div>
    }
}
