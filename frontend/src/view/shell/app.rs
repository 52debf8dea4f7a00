//! The root: the one reducer, the bridge to the engine, and the effects that tie them to the address, the keyboard and files.

use super::bar::Bar;
use super::body::Body;
use super::captures::{Captures, beside};
use super::fetch::Fetch;
use super::sheet::SheetOver;
use super::status::{Banner, StatusBar};
use crate::browser::files::{self, LocalCapture};
use crate::browser::{self, address, server, storage, theme};
use crate::format;
use crate::hooks::{Engine, Epoch, Same};
use crate::state::{AppState, Edge, History, Intent, Link, LocalNames, Sheet, Theme};
use crate::text::{self, Language, Value, t, tn};
use crate::url::{self, Source};
use crate::view::welcome::Welcome;
use crate::worker::{Bridge, Opening, ToPage};
use gloo::events::{EventListener, EventListenerOptions};
use gloo::timers::callback::Timeout;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

/// Views ask again at most this often while a source grows, in milliseconds.
const REFRESH_MS: f64 = 300.0;
/// The address follows scrubbing after this pause, in milliseconds: browsers limit how often it may change.
const SETTLE_MS: u32 = 250;

type Dispatch = UseReducerDispatcher<AppState>;
/// The captures that were dropped, for opening them, for restarting the engine and for an upload the reader asks for.
pub(super) type Held = Rc<RefCell<Vec<LocalCapture>>>;

fn first_state() -> AppState {
    let language = storage::get("language").map(|tag| Language::from_tag(&tag));
    let language = language.unwrap_or_else(|| Language::from_tag(&browser::window().navigator().language().unwrap_or_default()));
    let theme = match storage::get("theme").as_deref() {
        Some("light") => Theme::Light,
        Some("dark") => Theme::Dark,
        _ => Theme::System,
    };
    text::speak(language);
    AppState {
        url: url::parse(&address::fragment()),
        language,
        theme,
        system_dark: theme::is_dark(Theme::System),
        ..AppState::default()
    }
}

/// The page.
#[component]
pub fn App() -> Html {
    let state = use_reducer(first_state);
    let dispatch = state.dispatcher();
    let bridge: Engine = {
        let dispatch = dispatch.clone();
        (*use_memo((), move |()| Same(Bridge::start(on_message(dispatch))))).clone()
    };
    let held: Held = (*use_memo((), |()| Held::default())).clone();
    let dragging = use_state_eq(|| false);
    text::speak(state.language);
    // Before what is drawn below reads its colours from the style sheet.
    use_memo(state.theme, |now| theme::apply(*now));

    use_address(&state, &dispatch);
    use_keyboard(&dispatch);
    use_files(&dispatch, &held, dragging.setter());
    use_source(&state, &dispatch, &bridge, &held);
    use_title(&state);
    {
        let (theme_now, language) = (state.theme, state.language);
        use_effect_with((theme_now, language), move |(now, language)| {
            let word = match now {
                Theme::System => "system",
                Theme::Light => "light",
                Theme::Dark => "dark",
            };
            storage::set("theme", word);
            storage::set("language", language.tag());
            if let Some(root) = browser::document().document_element() {
                // Our own root always takes a valid attribute.
                let _ = root.set_attribute("lang", language.tag());
            }
        });
    }
    {
        let dispatch = dispatch.clone();
        use_effect_with(state.url.token.clone(), move |token| {
            let token = token.clone();
            spawn_local(async move { dispatch.dispatch(Intent::Server(server::session(&token).await)) });
        });
    }

    let epoch = Epoch { session: state.session.number, revision: state.session.revision };
    let stop = {
        let (dispatch, bridge) = (dispatch.clone(), bridge.clone());
        Callback::from(move |()| {
            bridge.0.stop();
            dispatch.dispatch(Intent::Stopped);
        })
    };
    let restart = {
        let (dispatch, bridge) = (dispatch.clone(), bridge.clone());
        Callback::from(move |()| {
            bridge.0.restart();
            dispatch.dispatch(Intent::Reopen);
        })
    };
    let session = &state.session;
    let dark = theme::is_dark(state.theme);
    let whole = Same(Rc::new((*state).clone()));
    html! {
        <ContextProvider<Dispatch> context={dispatch.clone()}>
        <ContextProvider<Engine> context={bridge}>
        <ContextProvider<Epoch> context={epoch}>
            <div class="app" key={state.language.tag()} data-state={if session.has_content() { "open" } else { "empty" }}>
                <Bar state={whole.clone()} {stop} />
                <Captures source={state.url.source.clone()} captures={beside(&state)} />
                <Banner trouble={session.trouble.clone()} engine_dead={session.engine_dead} {restart} />
                if session.has_content() {
                    <ContextProvider<Epoch> context={Epoch { revision: session.judged, ..epoch }}>
                        <Fetch anchor={state.url.anchor.clone()} />
                    </ContextProvider<Epoch>>
                    <Body state={whole.clone()} {dark} />
                } else {
                    <Welcome source={if session.open { Source::None } else { state.url.source.clone() }} server={state.server.clone()} waiting={waits(&state)} />
                }
                <StatusBar state={whole.clone()} />
                if *dragging { <div class="drop-over" aria-hidden="true"><p>{ t("drop-now") }</p></div> }
                if state.sheet != Sheet::None {
                    <SheetOver state={whole} held={Same(held)} />
                }
            </div>
        </ContextProvider<Epoch>>
        </ContextProvider<Engine>>
        </ContextProvider<Dispatch>>
    }
}

/// Whether the address names a source that is about to open by itself.
fn waits(state: &AppState) -> bool {
    state.session.trouble.is_none() && matches!(state.url.source, Source::Reference | Source::Capture(_))
}

/// What comes from the Worker unasked, as intents.
fn on_message(dispatch: Dispatch) -> impl Fn(ToPage) {
    let last = RefCell::new((0.0_f64, 0_u64, 0.0_f64, 0.0_f64));
    let found = Cell::new([0; 3]);
    move |message| {
        dispatch.dispatch(match message {
            ToPage::Progress { progress, .. } => {
                let now = browser::now_ms();
                let mut last = last.borrow_mut();
                let (mut at, mut bytes, mut rate, mut refreshed) = *last;
                if progress.bytes_read < bytes {
                    (at, bytes, rate, refreshed) = (now, 0, 0.0, 0.0);
                }
                if now - at > 200.0 {
                    let speed = (progress.bytes_read - bytes) as f64 / (now - at) * 1_000.0;
                    rate = if rate == 0.0 { speed } else { 0.7 * rate + 0.3 * speed };
                    (at, bytes) = (now, progress.bytes_read);
                }
                let found = found.replace(progress.findings) != progress.findings;
                let refresh = now - refreshed > REFRESH_MS || progress.ended;
                if refresh {
                    refreshed = now;
                }
                *last = (at, bytes, rate, refreshed);
                Intent::Progress { progress: Box::new(progress), bytes_per_second: rate, refresh, found }
            }
            ToPage::Link { link, .. } => Intent::Link(link),
            ToPage::Trouble { trouble, .. } => Intent::Trouble(trouble),
            ToPage::Panicked { why } => Intent::EngineDied(why),
            // The bridge keeps these to itself.
            ToPage::Ready | ToPage::Answer { .. } => return,
        });
    }
}

/// State to address and back.
#[hook]
fn use_address(state: &UseReducerHandle<AppState>, dispatch: &Dispatch) {
    let settle = use_mut_ref(|| None::<Timeout>);
    let printed = url::print(&state.url);
    let history = state.history;
    use_effect_with(printed, move |printed| {
        settle.borrow_mut().take();
        let printed = printed.clone();
        match history {
            History::Replace => {
                *settle.borrow_mut() = Some(Timeout::new(SETTLE_MS, move || address::show(&printed, History::Replace)))
            }
            _ if printed != address::fragment() && !(printed == "#/" && address::fragment().is_empty()) => {
                address::show(&printed, history)
            }
            _ => {}
        }
    });
    let dispatch = dispatch.clone();
    use_effect_with((), move |()| {
        let read = move |_: &web_sys::Event| dispatch.dispatch(Intent::Navigated(Box::new(url::parse(&address::fragment()))));
        // A pasted link fires both; the second changes nothing.
        let listeners = [
            EventListener::new(&browser::window(), "popstate", read.clone()),
            EventListener::new(&browser::window(), "hashchange", read),
        ];
        move || drop(listeners)
    });
}

/// The keys that work everywhere but in text fields.
#[hook]
fn use_keyboard(dispatch: &Dispatch) {
    let dispatch = dispatch.clone();
    use_effect_with((), move |()| {
        let options = EventListenerOptions::enable_prevent_default();
        let listener = EventListener::new_with_options(&browser::window(), "keydown", options, move |event| {
            let Some(key) = event.dyn_ref::<web_sys::KeyboardEvent>() else { return };
            if key.ctrl_key() || key.meta_key() || key.alt_key() || browser::is_typing(event) {
                return;
            }
            let intent = match key.key().as_str() {
                "/" => {
                    event.prevent_default();
                    browser::focus("#filter");
                    return;
                }
                "j" => return browser::press_on_grid("ArrowDown"),
                "k" => return browser::press_on_grid("ArrowUp"),
                "n" => Intent::StepFinding(1),
                "p" => Intent::StepFinding(-1),
                "[" => Intent::SpanEdge(Edge::Start),
                "]" => Intent::SpanEdge(Edge::End),
                "f" => Intent::FitSelection,
                "g" => Intent::View("ladder"),
                "t" => Intent::ToggleTheme,
                "?" => Intent::Sheet(Sheet::Keys),
                "Escape" => Intent::Escape,
                _ => return,
            };
            dispatch.dispatch(intent);
        });
        move || drop(listener)
    });
}

/// Files dropped anywhere on the page.
#[hook]
fn use_files(dispatch: &Dispatch, held: &Held, dragging: UseStateSetter<bool>) {
    let (dispatch, held) = (dispatch.clone(), held.clone());
    use_effect_with((), move |()| {
        let options = EventListenerOptions::enable_prevent_default();
        let window = browser::window();
        let over = {
            let dragging = dragging.clone();
            EventListener::new_with_options(&window, "dragover", options, move |event| {
                event.prevent_default();
                dragging.set(true);
            })
        };
        let leave = {
            let dragging = dragging.clone();
            EventListener::new(&window, "dragleave", move |event| {
                // Leaving an element within the window is no leaving.
                if event.dyn_ref::<web_sys::DragEvent>().is_some_and(|e| e.related_target().is_none()) {
                    dragging.set(false);
                }
            })
        };
        let (held_by_drop, dispatch_drop) = (held.clone(), dispatch.clone());
        let dropped = EventListener::new_with_options(&window, "drop", options, move |event| {
            event.prevent_default();
            dragging.set(false);
            let files = event.dyn_ref::<web_sys::DragEvent>().and_then(|e| e.data_transfer()).and_then(|d| d.files());
            if let Some(files) = files {
                take(files::of_list(&files), &held_by_drop, &dispatch_drop);
            }
        });
        // The file picker stands in the bar and on the empty page; both say it by one event.
        let picked = EventListener::new(&window, "dropscope-file", move |event| {
            let detail = js_sys::Reflect::get(event, &"detail".into()).ok();
            if let Some(files) = detail.and_then(|d| d.dyn_into::<js_sys::Array>().ok()) {
                take(files.iter().filter_map(|file| file.dyn_into().ok()).collect(), &held, &dispatch);
            }
        });
        move || drop((over, leave, dropped, picked))
    });
}

fn take(files: Vec<web_sys::File>, held: &Held, dispatch: &Dispatch) {
    let (held, dispatch) = (held.clone(), dispatch.clone());
    spawn_local(async move {
        let captures = files::captures_of(files).await;
        let names = |capture: &LocalCapture| LocalNames { name: capture.name.clone(), files: capture.files.clone() };
        let names: Vec<LocalNames> = captures.iter().map(names).collect();
        *held.borrow_mut() = captures;
        if let Some(first) = names.first().map(|first| first.name.clone()) {
            dispatch.dispatch(Intent::Dropped(names));
            dispatch.dispatch(Intent::Open(Source::File(first)));
        }
    });
}

/// Opens what the address names.
#[hook]
fn use_source(state: &UseReducerHandle<AppState>, dispatch: &Dispatch, bridge: &Engine, held: &Held) {
    let (dispatch, bridge, held) = (dispatch.clone(), bridge.clone(), held.clone());
    let token = state.url.token.clone();
    use_effect_with((state.url.source.clone(), state.openings), move |(source, _)| {
        let opened = |name: String, size: Option<u64>| dispatch.dispatch(Intent::Opened { name, size });
        match source {
            Source::None => {
                bridge.0.close();
                dispatch.dispatch(Intent::Closed);
            }
            Source::Reference => {
                bridge.0.open(Opening::Reference, None);
                opened(t("reference-case"), None);
            }
            Source::File(name) => match held.borrow().iter().find(|capture| capture.name == *name) {
                Some(capture) => {
                    bridge.0.open(Opening::File, Some(&capture.bytes));
                    opened(name.clone(), Some(capture.bytes.size() as u64));
                }
                None => {
                    bridge.0.close();
                    dispatch.dispatch(Intent::Closed);
                }
            },
            Source::Capture(id) => {
                let (id, dispatch, bridge) = (id.clone(), dispatch.clone(), bridge.clone());
                spawn_local(async move {
                    match server::capture(&id, &token).await {
                        Ok(capture) => {
                            let url = address::websocket(&format!("/api/captures/{}/live", url::escape(&id)));
                            bridge.0.open(Opening::Capture { url, token }, None);
                            dispatch
                                .dispatch(Intent::Opened { name: capture.name, size: (!capture.live).then_some(capture.bytes) });
                        }
                        Err(trouble) => {
                            bridge.0.close();
                            dispatch.dispatch(Intent::Closed);
                            dispatch.dispatch(Intent::Trouble(trouble));
                        }
                    }
                });
            }
        }
    });
}

/// The title tells the state: how far, how many findings, which capture.
#[hook]
fn use_title(state: &UseReducerHandle<AppState>) {
    use_effect_with(title(state), |title| browser::set_title(title));
}

fn title(state: &AppState) -> String {
    let session = &state.session;
    if !session.has_content() {
        return "Dropscope".into();
    }
    let progress = &session.progress;
    let head = if session.engine_dead {
        t("title-dead")
    } else if let (false, Some(total)) = (progress.ended, progress.bytes_total.or(session.size).filter(|n| *n > 0)) {
        format!("{} %", (progress.bytes_read.min(total) as f64 / total as f64 * 100.0) as u32)
    } else if session.link == Link::Live {
        format!("● {}", format::count(progress.packets.into()))
    } else {
        match state.open_finding().filter(|_| !state.url.whole) {
            Some(finding) => finding.rule.clone(),
            None => tn("title-findings", &[("n", Value::Number(progress.findings.iter().sum::<u32>().into()))]),
        }
    };
    format!("{head} · {} · Dropscope", session.name)
}

/// What the empty page says when files were picked.
pub fn picked(files: &web_sys::FileList) {
    let init = web_sys::CustomEventInit::new();
    init.set_detail(&files::of_list(files).iter().collect::<js_sys::Array>());
    if let Ok(event) = web_sys::CustomEvent::new_with_event_init_dict("dropscope-file", &init) {
        // Nobody cancels this event.
        let _ = browser::window().dispatch_event(&event);
    }
}
