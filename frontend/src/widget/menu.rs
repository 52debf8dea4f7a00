//! A menu at the pointer: opened by a right click or the menu key, closed by Escape, a click elsewhere or a choice.

use gloo::events::EventListener;
use wasm_bindgen::JsCast;
use yew::prelude::*;

/// One line of a menu.
#[derive(Clone, PartialEq)]
pub struct Item {
    /// Its words.
    pub words: AttrValue,
    /// What it does.
    pub run: Callback<()>,
}

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// Where, in pixels of the window.
    pub at: (i32, i32),
    /// Its lines.
    pub items: Vec<Item>,
    /// It wants to be gone.
    pub close: Callback<()>,
}

/// A menu at the pointer.
#[component]
pub fn Menu(props: &Props) -> Html {
    let node = use_node_ref();
    {
        let (node, close) = (node.clone(), props.close.clone());
        use_effect_with((), move |()| {
            let before = crate::browser::document().active_element().and_then(|e| e.dyn_into::<web_sys::HtmlElement>().ok());
            let first = node.cast::<web_sys::Element>().and_then(|e| e.query_selector("button").ok().flatten());
            if let Some(first) = first.and_then(|e| e.dyn_into::<web_sys::HtmlElement>().ok()) {
                let _ = first.focus();
            }
            let menu = node.cast::<web_sys::Element>();
            let listener = EventListener::new(&crate::browser::window(), "pointerdown", move |event| {
                let inside = event.target().and_then(|t| t.dyn_into::<web_sys::Node>().ok());
                if !node.get().is_some_and(|menu| menu.contains(inside.as_ref())) {
                    close.emit(());
                }
            });
            move || {
                drop(listener);
                // Whoever came by keyboard goes on where he was; a choice that moved the focus itself is left alone.
                let document = crate::browser::document();
                let body = document.body();
                let is_lost = |now: web_sys::Element| {
                    menu.as_ref().is_some_and(|menu| menu.contains(Some(&now))) || body.is_some_and(|body| *body == now)
                };
                if document.active_element().is_none_or(is_lost) {
                    let _ = before.map(|before| before.focus());
                }
            }
        });
    }
    // Where the menu key asks for a menu on its way up, this one is open already.
    let oncontextmenu = Callback::from(|event: MouseEvent| event.prevent_default());
    let onkeydown = {
        let (close, node) = (props.close.clone(), node.clone());
        Callback::from(move |event: KeyboardEvent| {
            let step = match event.key().as_str() {
                "Escape" | "Tab" => {
                    event.stop_propagation();
                    return close.emit(());
                }
                "ArrowDown" => 1,
                "ArrowUp" => -1,
                _ => return,
            };
            event.prevent_default();
            let Some(menu) = node.cast::<web_sys::Element>() else { return };
            let buttons = menu.children();
            let active = crate::browser::document().active_element();
            let now = (0..buttons.length()).find(|i| buttons.item(*i) == active).unwrap_or(0);
            let next = (i64::from(now) + step).rem_euclid(i64::from(buttons.length().max(1)));
            if let Some(button) = buttons.item(next as u32).and_then(|e| e.dyn_into::<web_sys::HtmlElement>().ok()) {
                let _ = button.focus();
            }
        })
    };
    // Kept within the window: a menu opened at the right or lower edge would otherwise be cut.
    let window = crate::browser::window();
    let edge = |size: Result<wasm_bindgen::JsValue, _>| size.ok().and_then(|v| v.as_f64()).unwrap_or(1e6);
    let left = f64::from(props.at.0).min(edge(window.inner_width()) - 240.0);
    let top = f64::from(props.at.1).min(edge(window.inner_height()) - 28.0 * props.items.len() as f64 - 12.0);
    html! {
        <div class="menu" role="menu" ref={node} {onkeydown} {oncontextmenu} style={format!("left: {left}px; top: {top}px")}>
            { for props.items.iter().map(|item| {
                let (run, close) = (item.run.clone(), props.close.clone());
                let onclick = Callback::from(move |_: MouseEvent| { run.emit(()); close.emit(()); });
                html! { <button role="menuitem" class="menu__item" {onclick}>{ &item.words }</button> }
            }) }
        </div>
    }
}
