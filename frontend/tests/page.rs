//! The virtual list in a real page: only the rows in sight stand in the document, and the list asks for them.
#![cfg(target_arch = "wasm32")]

use dropscope_core::query::Rows;
use dropscope_frontend::widget::virtual_list::VirtualList;
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use yew::platform::time::sleep;
use yew::prelude::*;

wasm_bindgen_test_configure!(run_in_browser);

#[derive(Properties)]
struct Props {
    asked: Rc<RefCell<Vec<Rows>>>,
    moved: Rc<RefCell<Vec<u32>>>,
}

impl PartialEq for Props {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.asked, &other.asked)
    }
}

#[component]
fn Page(props: &Props) -> Html {
    let (asked, moved) = (props.asked.clone(), props.moved.clone());
    let on_window = Callback::from(move |rows: Rows| asked.borrow_mut().push(rows));
    let on_move = Callback::from(move |row: u32| moved.borrow_mut().push(row));
    let row = Callback::from(|n: u32| html! { <div key={n} class="line" style="height: 20px">{ n }</div> });
    html! {
        <div style="display: flex; flex-direction: column; height: 400px">
            <style>{ ".virtual-list { flex: 1; min-height: 0; overflow: auto; position: relative }" }</style>
            <VirtualList id="list" label="lines" total={1_000_000} {on_window} {row} {on_move} cursor={41} />
        </div>
    }
}

/// Rendering and scroll events come with the next frames; the list is looked at until it is as wanted.
async fn until(wanted: impl Fn() -> bool) {
    for _ in 0..200 {
        if wanted() {
            return;
        }
        sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the list did not come to what was wanted");
}

#[wasm_bindgen_test]
async fn only_the_rows_in_sight_stand_in_the_document() {
    let document = web_sys::window().and_then(|w| w.document()).expect("a page");
    let root = document.create_element("div").expect("an element");
    document.body().expect("a body").append_child(&root).expect("appended");
    let props = Props { asked: Rc::default(), moved: Rc::default() };
    let (asked, moved) = (props.asked.clone(), props.moved.clone());
    yew::Renderer::<Page>::with_root_and_props(root, props).render();

    until(|| document.query_selector_all(".line").is_ok_and(|l| l.length() > 0)).await;
    assert!(document.query_selector_all(".line").expect("a selector").length() < 100);
    let list = document.get_element_by_id("list").expect("the list");
    assert_eq!(list.get_attribute("aria-rowcount").as_deref(), Some("1000000"));

    list.set_scroll_top(list.scroll_height());
    until(|| asked.borrow().last().is_some_and(|rows| rows.first + rows.count == 1_000_000)).await;
    let text = || {
        document
            .query_selector_all(".line")
            .ok()
            .and_then(|l| l.item(l.length().saturating_sub(1)))
            .and_then(|n| n.text_content())
    };
    until(|| text().as_deref() == Some("999999")).await;

    let init = web_sys::KeyboardEventInit::new();
    init.set_key("ArrowDown");
    init.set_bubbles(true);
    let down = web_sys::KeyboardEvent::new_with_keyboard_event_init_dict("keydown", &init).expect("an event");
    list.dyn_ref::<web_sys::EventTarget>().expect("a target").dispatch_event(&down).expect("dispatched");
    until(|| *moved.borrow() == [42]).await;
}
