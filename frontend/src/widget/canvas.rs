//! Draws operations on a canvas at the screen's own resolution.

use crate::browser::{theme, window};
use crate::view::timeline::paint::{DrawOp, INKS, Ink};
use gloo::events::EventListener;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};
use yew::prelude::*;

/// The colours of the inks in the theme that is on.
#[derive(Clone, Debug)]
pub struct Palette(Rc<[(Ink, String)]>);

impl Palette {
    /// Reads the colours from the style sheet.
    pub fn read() -> Self {
        let names: Vec<&'static str> = INKS.iter().map(|(_, name)| *name).collect();
        let colours = theme::colours(&names);
        Self(INKS.iter().filter_map(|(ink, name)| Some((*ink, colours.get(name)?.clone()))).collect())
    }

    fn of(&self, ink: Ink) -> &str {
        self.0.iter().find(|(known, _)| *known == ink).map_or("gray", |(_, colour)| colour)
    }
}

/// A canvas made `width` by `height` CSS pixels and wiped; `None` where the browser gives no drawing surface.
fn wiped(canvas: &HtmlCanvasElement, width: f64, height: f64) -> Option<CanvasRenderingContext2d> {
    let ratio = window().device_pixel_ratio().max(1.0);
    let (w, h) = ((width * ratio).round() as u32, (height * ratio).round() as u32);
    if (canvas.width(), canvas.height()) != (w, h) {
        canvas.set_width(w);
        canvas.set_height(h);
    }
    let context: CanvasRenderingContext2d = canvas.get_context("2d").ok()??.dyn_into().ok()?;
    context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0).ok()?;
    context.clear_rect(0.0, 0.0, width, height);
    Some(context)
}

/// Wipes the canvas of a node and draws on it.
pub fn paint_on(node: &NodeRef, width: f64, height: f64, palette: &Palette, ops: &[DrawOp]) {
    if let Some(context) = node.cast::<HtmlCanvasElement>().and_then(|canvas| wiped(&canvas, width, height)) {
        draw(&context, palette, ops);
    }
}

const LINE: f64 = 1.25;

/// Draws.
fn draw(context: &CanvasRenderingContext2d, palette: &Palette, ops: &[DrawOp]) {
    context.set_font("11px system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans SC', sans-serif");
    context.set_line_width(LINE);
    for op in ops {
        match op {
            DrawOp::Fill { at: [x, y, w, h], ink, alpha } => {
                context.set_global_alpha(*alpha);
                context.set_fill_style_str(palette.of(*ink));
                context.fill_rect(*x, *y, *w, *h);
                context.set_global_alpha(1.0);
            }
            DrawOp::Lines { points, ink } => {
                context.set_stroke_style_str(palette.of(*ink));
                context.begin_path();
                for (i, (x, y)) in points.iter().enumerate() {
                    if i == 0 {
                        context.move_to(*x, *y);
                    } else {
                        context.line_to(*x, *y);
                    }
                }
                context.stroke();
            }
            DrawOp::Words { x, y, text, ink, right } => {
                context.set_fill_style_str(palette.of(*ink));
                context.set_text_align(if *right { "right" } else { "left" });
                if *ink == Ink::Muted {
                    // A scale's number may lie on the tallest of its bars.
                    context.set_stroke_style_str(palette.of(Ink::Ground));
                    context.set_line_width(3.0);
                    context.set_line_join("round");
                    let _ = context.stroke_text(text, *x, *y);
                    context.set_line_width(LINE);
                }
                // Words that cannot be drawn are still in the table beside the canvas.
                let _ = context.fill_text(text, *x, *y);
            }
            DrawOp::Hatch { at: [x, y, w, h] } => {
                context.save();
                context.begin_path();
                context.rect(*x, *y, *w, *h);
                context.clip();
                context.set_stroke_style_str(palette.of(Ink::Muted));
                context.set_global_alpha(0.35);
                context.begin_path();
                let mut slant = -h;
                while slant < *w {
                    context.move_to(x + slant, y + h);
                    context.line_to(x + slant + h, *y);
                    slant += 7.0;
                }
                context.stroke();
                context.restore();
            }
        }
    }
}

/// Tells `set` the width of an element, now and whenever it changes; `shown` changes when the element is another one.
#[hook]
pub fn use_width<T: PartialEq + 'static>(node: &NodeRef, shown: T, set: UseStateSetter<f64>) {
    let node = node.clone();
    use_effect_with(shown, move |_| {
        let element = node.cast::<web_sys::Element>();
        let measure = {
            let element = element.clone();
            move || {
                if let Some(element) = &element {
                    set.set(f64::from(element.client_width()));
                }
            }
        };
        measure();
        let on_resize = Closure::<dyn FnMut()>::new(measure.clone());
        let observer = web_sys::ResizeObserver::new(on_resize.as_ref().unchecked_ref()).ok();
        if let (Some(observer), Some(element)) = (&observer, &element) {
            observer.observe(element);
        }
        let listener = EventListener::new(&window(), "resize", move |_| measure());
        move || {
            if let Some(observer) = observer {
                observer.disconnect();
            }
            drop((on_resize, listener));
        }
    });
}
