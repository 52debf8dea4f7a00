//! The page of Dropscope: views over the engine, which runs in a Web Worker.
//!
//! One wasm module serves both threads: [`start`] looks where it runs and becomes the page or the engine's host. Nothing here
//! knows a protocol or judges a packet; the page asks `dropscope_core::query` and draws the answers. What is looked at stands
//! in the address (`url`), changes by one pure function (`state`), and leaves this computer only when the reader shares it.

pub mod browser;
pub mod format;
pub mod hooks;
pub mod state;
pub mod text;
pub mod url;
pub mod view;
pub mod widget;
pub mod worker;

use wasm_bindgen::JsCast;

/// Becomes the page or, in a Worker, the engine.
pub fn start() {
    let global = js_sys::global();
    if let Some(scope) = global.dyn_ref::<web_sys::DedicatedWorkerGlobalScope>() {
        worker::run(scope.clone());
    } else if global.is_instance_of::<web_sys::Window>() {
        console_error_panic_hook::set_once();
        browser::remove_loading_text();
        if let Some(root) = browser::document().get_element_by_id("app") {
            yew::Renderer::<view::shell::App>::with_root(root).render();
        }
    }
}
