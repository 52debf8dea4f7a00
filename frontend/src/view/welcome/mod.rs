//! The empty page: drop a file, try the reference case, go live; or what a link waits for.

use super::shell::picked;
use crate::format;
use crate::hooks::use_dispatch;
use crate::state::{Intent, Server};
use crate::text::{Value, t, tn};
use crate::url::Source;
use crate::widget::copy::Command;
use yew::prelude::*;

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// What the address names.
    pub source: Source,
    /// The server this page came from.
    pub server: Server,
    /// Whether the source is about to open by itself.
    pub waiting: bool,
}

/// The empty page.
#[component]
pub fn Welcome(props: &Props) -> Html {
    let dispatch = use_dispatch();
    let input = use_node_ref();
    if props.waiting {
        return html! { <main class="welcome"><p class="view__empty" role="status">{ t("opening") }</p></main> };
    }
    let onchange = Callback::from(|event: Event| {
        let input: web_sys::HtmlInputElement = event.target_unchecked_into();
        if let Some(files) = input.files().filter(|files| files.length() > 0) {
            picked(&files);
        }
        // The same file may be picked again.
        input.set_value("");
    });
    let pick = {
        let input = input.clone();
        Callback::from(move |_: MouseEvent| {
            if let Some(input) = input.cast::<web_sys::HtmlElement>() {
                input.click();
            }
        })
    };
    let reference = {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Open(Source::Reference)))
    };
    html! {
        <main class="welcome">
            <section class="welcome__drop" id="drop-zone">
                if let Source::File(name) = &props.source {
                    <h1>{ tn("elsewhere", &[("name", Value::Text(name))]) }</h1>
                    <p>{ t("elsewhere-what-to-do") }</p>
                } else {
                    <h1>{ t("welcome") }</h1>
                    <p>{ t("welcome-drop") }</p>
                }
                <p>
                    <button class="button is-main" id="pick" onclick={pick}>{ t("pick-file") }</button>{ " " }
                    <button class="button" id="reference" onclick={reference}>{ t("try-reference") }</button>
                    <input class="visually-hidden" id="file" type="file" multiple=true ref={input} tabindex="-1" aria-label={t("pick-file")} {onchange} />
                </p>
                <p class="muted">{ t("welcome-stays") }</p>
            </section>
            <div class="welcome__more">
                <section>
                    <h2>{ t("go-live") }</h2>
                    <p>{ t("go-live-about") }</p>
                    <Command line="sudo dropscope live -i eth0 'port 80'" effect={t("go-live-effect")} />
                    <Command line="sudo dropscope live --netns web-1 -i eth0" effect={t("go-live-container")} />
                </section>
                <section>
                    <h2>{ t("reference-case") }</h2>
                    <p>{ t("reference-about") }</p>
                </section>
                if !props.server.captures.is_empty() {
                    <section>
                        <h2>{ t("on-this-server") }</h2>
                        <ul class="welcome__captures">
                            { for props.server.captures.iter().map(|capture| {
                                let (dispatch, source) = (dispatch.clone(), Source::Capture(capture.id.clone()));
                                let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Open(source.clone())));
                                html! { <li><button class="link" data-capture={capture.id.clone()} {onclick}>{ &capture.name }</button>
                                    <span class="muted">{ if capture.live { t("link-live") } else { format::bytes(capture.bytes) } }</span></li> }
                            }) }
                        </ul>
                    </section>
                }
            </div>
        </main>
    }
}
