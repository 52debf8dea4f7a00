//! The line between two panes: dragged or moved with the arrow keys; a double click gives the size it came with.

use crate::browser::storage;
use wasm_bindgen::JsCast;
use yew::prelude::*;

/// Which way it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Left and right; the pane on its left has the size.
    Columns,
    /// Left and right; the pane on its right has the size.
    ColumnsFromRight,
    /// Up and down; the pane above has the size.
    Rows,
}

/// A pane's size and its limits, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Where it is remembered.
    pub key: &'static str,
    /// The size it comes with in a window that has room.
    pub usual: f64,
    /// The share of the window it comes with at most.
    pub share: f64,
    /// Smallest.
    pub least: f64,
    /// Largest.
    pub most: f64,
}

impl Size {
    /// The remembered size, else the one it comes with.
    pub fn remembered(&self, along: Along) -> f64 {
        // Whole pixels: reading any number would take 10 KB of tables along.
        let px = storage::get(self.key).and_then(|text| text.parse::<u32>().ok());
        px.map_or_else(|| self.at_first(along), |px| self.clamp(px.into()))
    }

    /// The size it comes with in this window.
    fn at_first(&self, along: Along) -> f64 {
        let window = crate::browser::window();
        let room = if along == Along::Rows { window.inner_height() } else { window.inner_width() };
        let room = room.ok().and_then(|px| px.as_f64()).unwrap_or(f64::INFINITY);
        self.clamp(self.usual.min((room * self.share).round()))
    }

    /// `px` within the limits.
    pub fn clamp(&self, px: f64) -> f64 {
        if px.is_finite() { px.clamp(self.least, self.most) } else { self.usual }
    }
}

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// Which way it moves.
    pub along: Along,
    /// The limits.
    pub size: Size,
    /// The size now.
    pub px: f64,
    /// The size it is moved to.
    pub on_move: Callback<f64>,
    /// What it divides, for screen readers.
    pub label: AttrValue,
}

/// The line between two panes.
#[component]
pub fn Splitter(props: &Props) -> Html {
    let drag = use_mut_ref(|| None::<(f64, f64)>);
    let along = props.along;
    let position = move |event: &PointerEvent| f64::from(if along == Along::Rows { event.client_y() } else { event.client_x() });
    let sign = if along == Along::ColumnsFromRight { -1.0 } else { 1.0 };
    let set = {
        let (on_move, size) = (props.on_move.clone(), props.size);
        move |px: f64| {
            let px = size.clamp(px);
            storage::set(size.key, &px.round().to_string());
            on_move.emit(px);
        }
    };
    let onpointerdown = {
        let (drag, px) = (drag.clone(), props.px);
        Callback::from(move |event: PointerEvent| {
            event.prevent_default();
            *drag.borrow_mut() = Some((position(&event), px));
            if let Some(element) = event.target().and_then(|t| t.dyn_into::<web_sys::Element>().ok()) {
                // Without capture the drag ends at the line's own edge; it still works within.
                let _ = element.set_pointer_capture(event.pointer_id());
            }
        })
    };
    let onpointermove = {
        let (drag, set) = (drag.clone(), set.clone());
        Callback::from(move |event: PointerEvent| {
            if let Some((from, px)) = *drag.borrow() {
                set(px + sign * (position(&event) - from));
            }
        })
    };
    let onpointerup = Callback::from(move |_: PointerEvent| *drag.borrow_mut() = None);
    let ondblclick = {
        let (set, size) = (set.clone(), props.size);
        Callback::from(move |_: MouseEvent| set(size.at_first(along)))
    };
    let onkeydown = {
        let px = props.px;
        Callback::from(move |event: KeyboardEvent| {
            let by = match event.key().as_str() {
                "ArrowLeft" | "ArrowUp" => -16.0,
                "ArrowRight" | "ArrowDown" => 16.0,
                _ => return,
            };
            event.prevent_default();
            set(px + sign * by);
        })
    };
    let class = if along == Along::Rows { "splitter splitter--rows" } else { "splitter splitter--columns" };
    let orientation = if along == Along::Rows { "horizontal" } else { "vertical" };
    html! {
        <div {class} role="separator" tabindex="0" aria-orientation={orientation} aria-label={props.label.clone()}
            aria-valuenow={format!("{:.0}", props.px)} aria-valuemin={props.size.least.to_string()} aria-valuemax={props.size.most.to_string()}
            {onpointerdown} {onpointermove} onpointerup={onpointerup.clone()} onpointercancel={onpointerup} {ondblclick} {onkeydown} />
    }
}
