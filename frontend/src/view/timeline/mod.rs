//! The timeline: packets, bytes, anomalies, counter steps and findings on one axis.
//!
//! The engine gives tracks for a span and a number of columns; `scale`, `paint` and `hit` are pure; this component holds the
//! canvases, the pointer and the keyboard. While a zoom waits for its answer the last one is drawn where it belongs now.
//! A second canvas on top carries what follows the pointer, so that a mouse move repaints one thin layer and renders nothing.

pub mod hit;
pub mod paint;
pub mod scale;
pub mod table;

use crate::hooks::{Same, use_answer, use_dispatch};
use crate::state::Intent;
use crate::text::{Value, t, tn};
use crate::widget::canvas::{Palette, paint_on, use_width};
use dropscope_core::query::{Answer, Query, Timeline as Tracks, Track};
use dropscope_core::time::Span;
use hit::Target;
use paint::{DrawOp, Ink, OVERVIEW_PX, RULER_PX, Scene};
use scale::Scale;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use yew::prelude::*;

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// What is shown; `None` for all there is.
    pub viewport: Option<Span>,
    /// The selected span.
    pub selected: Option<Span>,
    /// The open finding.
    pub finding: Option<AttrValue>,
    /// Packet tracks count only packets of this filter.
    pub filter: AttrValue,
    /// Whether it is dark: colours are read anew when this changes.
    pub dark: bool,
}

/// What a track is called: in the page's language where it is one of ours, else by the counter's own name.
fn name(track: &Track) -> String {
    match track.slug.as_str() {
        "findings" => t("track-findings"),
        "packets" => t("track-packets"),
        "bytes" => t("track-bytes"),
        "anomalies" => t("track-anomalies"),
        _ => track.title.clone(),
    }
}

/// What the pointer is doing, from where.
#[derive(Clone, Copy, PartialEq)]
enum Drag {
    Select { from: f64, moved: bool },
    Overview,
}

/// The timeline.
#[component]
pub fn Timeline(props: &Props) -> Html {
    let dispatch = use_dispatch();
    let (head, base, overlay, tip) = (use_node_ref(), use_node_ref(), use_node_ref(), use_node_ref());
    let width = use_state_eq(|| 0.0);
    let as_table = use_state_eq(|| false);
    let drag = use_mut_ref(|| None::<Drag>);
    let palette = use_memo(props.dark, |_| Palette::read());

    use_width(&head, (), width.setter());
    let columns = (*width as u32).clamp(1, 4_096);
    let query = Query::Timeline { span: props.viewport, columns, filter: props.filter.to_string() };
    let answer = use_answer((*width > 0.0).then_some(query));
    let tracks: Option<Same<Tracks>> = use_memo(answer, |answer| match answer.as_deref() {
        Some(Answer::Timeline(timeline)) => Some(Same(Rc::new(timeline.clone()))),
        _ => None,
    })
    .as_ref()
    .clone();
    let scale =
        tracks.as_ref().and_then(|t| props.viewport.or(t.span).or(t.whole)).map(|span| Scale { span, width: width.max(1.0) });
    let lanes = tracks.as_ref().map(|t| paint::lanes(&t.tracks)).unwrap_or_default();
    let height = lanes.last().map_or(0.0, |l| l.top + l.height);

    {
        let (head, base, palette) = (head.clone(), base.clone(), palette.clone());
        let deps = (tracks.clone(), scale, props.selected, props.finding.clone(), *as_table, props.dark);
        use_effect_with(deps, move |(tracks, scale, selected, finding, ..)| {
            let (Some(tracks), Some(scale)) = (tracks, scale) else { return };
            let scene = Scene { timeline: tracks, scale: *scale, selected: *selected, finding: finding.as_deref() };
            let lanes = paint::lanes(&tracks.tracks);
            let height = lanes.last().map_or(0.0, |l| l.top + l.height);
            paint_on(&head, scale.width, OVERVIEW_PX + RULER_PX, &palette, &paint::paint_head(&scene));
            paint_on(&base, scale.width, height, &palette, &paint::paint_tracks(&scene, &lanes));
        });
    }

    let whole = tracks.as_ref().and_then(|t| t.whole);
    let over = Overlay { node: overlay.clone(), tip: tip.clone(), palette: (*palette).clone(), width: *width, height };
    let handlers = scale.zip(whole).map(|(scale, whole)| {
        let scene =
            Hands { dispatch: dispatch.clone(), tracks: tracks.clone(), scale, whole, drag: drag.clone(), over: over.clone() };
        Rc::new(scene)
    });
    let hand = |act: fn(&Hands, &PointerEvent)| {
        let hands = handlers.clone();
        Callback::from(move |event: PointerEvent| {
            if let Some(hands) = &hands {
                act(hands, &event);
            }
        })
    };
    let onwheel = {
        let hands = handlers.clone();
        Callback::from(move |event: WheelEvent| {
            if let Some(hands) = &hands {
                hands.wheel(&event);
            }
        })
    };
    let onkeydown = {
        let hands = handlers.clone();
        Callback::from(move |event: KeyboardEvent| {
            if let Some(hands) = &hands {
                hands.key(&event);
            }
        })
    };
    let ondblclick = {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Intent::Viewport(None)))
    };
    let toggle = {
        let as_table = as_table.clone();
        Callback::from(move |_: MouseEvent| as_table.set(!*as_table))
    };
    // How many tracks lie below what is in sight, the one that is cut among them.
    let (scroller, below) = (use_node_ref(), use_state_eq(|| 0_usize));
    let look = {
        let (scroller, below, bottoms) =
            (scroller.clone(), below.setter(), lanes.iter().map(|l| l.top + l.height).collect::<Vec<_>>());
        move || {
            let Some(element) = scroller.cast::<web_sys::Element>() else { return };
            let end = f64::from(element.scroll_top() + element.client_height());
            below.set(bottoms.iter().filter(|bottom| **bottom > end + 6.0).count());
        }
    };
    {
        let (look, scroller) = (look.clone(), scroller.clone());
        use_effect_with((height as u32, lanes.len(), *as_table), move |_| {
            let on_resize = Closure::<dyn FnMut()>::new(look);
            let observer = web_sys::ResizeObserver::new(on_resize.as_ref().unchecked_ref()).ok();
            if let (Some(observer), Some(element)) = (&observer, scroller.cast::<web_sys::Element>()) {
                observer.observe(&element);
            }
            move || {
                if let Some(observer) = observer {
                    observer.disconnect();
                }
                drop(on_resize);
            }
        });
    }
    let onscroll = Callback::from(move |_: Event| look());
    let further = {
        let scroller = scroller.clone();
        Callback::from(move |_: MouseEvent| {
            if let Some(element) = scroller.cast::<web_sys::Element>() {
                element.set_scroll_top(element.scroll_top() + element.client_height() * 3 / 4);
            }
        })
    };
    let labels = tracks.as_ref().map(|t| {
        t.tracks.iter().zip(&lanes).map(|(track, lane)| {
            html! {
                <div key={track.slug.clone()} class={classes!("timeline__label", (lane.height < 30.0).then_some("is-low"))} title={format!("{}\n{}", name(track), track.about)} style={format!("height: {}px", lane.height)}>
                    <span>{ name(track) }</span>
                </div>
            }
        }).collect::<Html>()
    });
    html! {
        <section class="timeline" data-view="timeline" aria-label={t("timeline")}>
            <div class="timeline__corner">
                <button class="button is-small is-quiet" aria-pressed={as_table.to_string()} onclick={toggle}>
                    { t("timeline-as-table") }
                </button>
            </div>
            <canvas class="timeline__head" ref={head} aria-hidden="true" onwheel={onwheel.clone()} ondblclick={ondblclick.clone()}
                onpointerdown={hand(Hands::head_down)} onpointermove={hand(Hands::head_move)} onpointerup={hand(Hands::up)} onpointercancel={hand(Hands::up)} />
            if *as_table {
                <div class="timeline__table" tabindex="0" role="region" aria-label={t("timeline")}>{ tracks.as_ref().map(|t| table::table(t)) }</div>
            } else {
                <div class="timeline__scroll" ref={scroller} {onscroll}>
                    <div class="timeline__labels">{ labels }</div>
                    <div class="timeline__stage" style={format!("height: {height}px")}>
                        <canvas class="timeline__layer" ref={base} aria-hidden="true" />
                        <canvas class="timeline__layer timeline__hands" ref={overlay} tabindex="0" role="application"
                            aria-label={t("timeline-canvas")} {onwheel} {ondblclick} {onkeydown}
                            onpointerdown={hand(Hands::down)} onpointermove={hand(Hands::moved)} onpointerup={hand(Hands::up)}
                            onpointercancel={hand(Hands::up)} onpointerleave={hand(Hands::left)} />
                        <div class="timeline__tip" ref={tip} hidden=true />
                    </div>
                </div>
                if *below > 0 {
                    <button class="timeline__more" tabindex="-1" onclick={further}>{ tn("timeline-more", &[("n", Value::Number(*below as u64))]) }</button>
                }
            }
        </section>
    }
}

/// The thin layer that follows the pointer.
#[derive(Clone)]
struct Overlay {
    node: NodeRef,
    tip: NodeRef,
    palette: Palette,
    width: f64,
    height: f64,
}

impl Overlay {
    fn show(&self, x: f64, y: f64, words: &str, selecting: Option<f64>) {
        let mut ops = vec![];
        if let Some(from) = selecting {
            let (a, b) = (from.min(x), from.max(x));
            ops.push(DrawOp::Fill { at: [a, 0.0, b - a, self.height], ink: Ink::Accent, alpha: 0.2 });
        }
        ops.push(DrawOp::Fill { at: [x.round(), 0.0, 1.0, self.height], ink: Ink::Muted, alpha: 0.8 });
        paint_on(&self.node, self.width, self.height, &self.palette, &ops);
        if let Some(tip) = self.tip.cast::<web_sys::HtmlElement>() {
            tip.set_text_content(Some(words));
            tip.set_hidden(false);
            let left = if x > self.width - 260.0 { x - f64::from(tip.offset_width()) - 10.0 } else { x + 12.0 };
            let top = (y + 14.0).min((self.height - 24.0).max(0.0));
            // Only geometry; a tip that cannot be moved is a tip in the corner.
            let _ = tip.set_attribute("style", &format!("left: {left:.0}px; top: {top:.0}px"));
        }
    }

    fn hide(&self) {
        paint_on(&self.node, self.width, self.height, &self.palette, &[]);
        if let Some(tip) = self.tip.cast::<web_sys::HtmlElement>() {
            tip.set_hidden(true);
        }
    }
}

/// What pointer and keyboard do, for one rendering.
struct Hands {
    dispatch: UseReducerDispatcher<crate::state::AppState>,
    tracks: Option<Same<Tracks>>,
    scale: Scale,
    whole: Span,
    drag: Rc<std::cell::RefCell<Option<Drag>>>,
    over: Overlay,
}

impl Hands {
    fn down(&self, event: &PointerEvent) {
        if event.button() == 0 {
            self.begin(event, Drag::Select { from: f64::from(event.offset_x()), moved: false });
        }
    }

    fn head_down(&self, event: &PointerEvent) {
        if event.button() != 0 {
            return;
        }
        if f64::from(event.offset_y()) < OVERVIEW_PX {
            self.begin(event, Drag::Overview);
            self.centre_on(f64::from(event.offset_x()));
        } else {
            self.down(event);
        }
    }

    fn begin(&self, event: &PointerEvent, drag: Drag) {
        *self.drag.borrow_mut() = Some(drag);
        if let Some(element) = event.target().and_then(|t| t.dyn_into::<web_sys::Element>().ok()) {
            // Without capture the drag ends at the canvas's edge; it still works within.
            let _ = element.set_pointer_capture(event.pointer_id());
        }
    }

    fn moved(&self, event: &PointerEvent) {
        let (x, y) = (f64::from(event.offset_x()), f64::from(event.offset_y()));
        let mut drag = self.drag.borrow_mut();
        if let Some(Drag::Select { from, moved }) = drag.as_mut() {
            *moved = *moved || (x - *from).abs() > 3.0;
            if *moved {
                let length = self.scale.span_from_px(*from, x).length();
                return self.over.show(x, y, &length.to_string(), Some(*from));
            }
        }
        self.over.show(x, y, &self.hit(x, y).words, None);
    }

    fn head_move(&self, event: &PointerEvent) {
        let drag = *self.drag.borrow();
        match drag {
            Some(Drag::Overview) => self.centre_on(f64::from(event.offset_x())),
            Some(Drag::Select { .. }) => self.moved(event),
            None => {}
        }
    }

    fn up(&self, event: &PointerEvent) {
        let (x, y) = (f64::from(event.offset_x()), f64::from(event.offset_y()));
        match self.drag.borrow_mut().take() {
            Some(Drag::Select { from, moved: true }) => {
                self.over.hide();
                self.dispatch.dispatch(Intent::Span(Some(self.scale.span_from_px(from, x))));
            }
            Some(Drag::Select { moved: false, .. }) => match self.hit(x, y).target {
                Some(Target::Finding(id)) => self.dispatch.dispatch(Intent::Finding(Some(id))),
                Some(Target::Anchor(anchor)) => self.dispatch.dispatch(Intent::Anchor(anchor)),
                Some(Target::Counters(span)) => {
                    self.dispatch.dispatch(Intent::Span(Some(span)));
                    self.dispatch.dispatch(Intent::View("counters"));
                }
                None => {}
            },
            Some(Drag::Overview) | None => {}
        }
    }

    fn left(&self, _: &PointerEvent) {
        if self.drag.borrow().is_none() {
            self.over.hide();
        }
    }

    fn hit(&self, x: f64, y: f64) -> hit::Hit {
        let Some(tracks) = &self.tracks else { return hit::Hit::default() };
        let scene = Scene { timeline: tracks, scale: self.scale, selected: None, finding: None };
        hit::hit(&scene, &paint::lanes(&tracks.tracks), x, y)
    }

    /// Moves the viewport so that the time at `x` of the overview is in its middle.
    fn centre_on(&self, x: f64) {
        let overview = Scale { span: self.whole, width: self.scale.width };
        let middle = self.scale.px_from_time(overview.time_from_px(x));
        self.show(self.scale.panned(middle - self.scale.width / 2.0, self.whole));
    }

    fn wheel(&self, event: &WheelEvent) {
        event.prevent_default();
        let line = if event.delta_mode() == 0 { 1.0 } else { 16.0 };
        let (dx, dy) = (event.delta_x() * line, event.delta_y() * line);
        let span = if event.shift_key() || dx.abs() > dy.abs() {
            self.scale.panned(if dx.abs() > dy.abs() { dx } else { dy }, self.whole)
        } else {
            self.scale.zoomed(f64::from(event.offset_x()), (dy / 300.0).clamp(-2.0, 2.0).exp(), self.whole)
        };
        self.over.hide();
        self.show(span);
    }

    fn key(&self, event: &KeyboardEvent) {
        let width = self.scale.width;
        let span = match event.key().as_str() {
            "ArrowLeft" => self.scale.panned(-width / 8.0, self.whole),
            "ArrowRight" => self.scale.panned(width / 8.0, self.whole),
            "ArrowUp" | "+" | "=" => self.scale.zoomed(width / 2.0, 0.7, self.whole),
            "ArrowDown" | "-" => self.scale.zoomed(width / 2.0, 1.0 / 0.7, self.whole),
            "Home" | "0" => self.whole,
            _ => return,
        };
        event.prevent_default();
        self.show(span);
    }

    fn show(&self, span: Span) {
        self.dispatch.dispatch(Intent::Viewport((span != self.whole).then_some(span)));
    }
}
