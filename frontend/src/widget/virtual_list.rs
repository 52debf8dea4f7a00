//! A list of any length that draws only the rows in sight.
//!
//! Rows have one height and are asked for by index; the list tells which are in sight (`on_window`) and its owner draws them.
//! Browsers cap an element's height, so past [`TALLEST_PX`] scrolling is scaled: [`Geometry`] holds all of that arithmetic.

use dropscope_core::query::Rows;
use gloo::events::EventListener;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use yew::prelude::*;

/// Firefox cuts elements at 17.9 million pixels, Chromium at 33.5 million.
const TALLEST_PX: f64 = 12_000_000.0;
/// Rows are drawn in whole chunks, so that scrolling a little draws nothing.
const CHUNK: u32 = 16;

/// Where rows lie for a scroll offset.
///
/// ```text
///  spacer_px ┌──────────┐ 0          virtual 0 ┐
///            │          │ scroll_top ──scale──▶│ virtual offset = scroll_top / scale
///            │┌────────┐│                      │ first row = virtual offset / row_px
///            ││ height ││                      │
///            └┴────────┴┘            total rows × row_px ┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// Rows in all.
    pub total: u32,
    /// Height of a row.
    pub row_px: f64,
    /// Height of what is in sight.
    pub height: f64,
}

impl Geometry {
    /// Height of the element that is scrolled.
    pub fn spacer_px(&self) -> f64 {
        self.full_px().min(TALLEST_PX)
    }

    fn full_px(&self) -> f64 {
        f64::from(self.total) * self.row_px
    }

    /// Pixels of scrolling per pixel of list; 1 for all but very long lists.
    fn scale(&self) -> f64 {
        let (spacer, full) = (self.spacer_px() - self.height, self.full_px() - self.height);
        if full > spacer && spacer > 0.0 { spacer / full } else { 1.0 }
    }

    /// The first row in sight and how many can be, partly seen ones included.
    pub fn in_sight(&self, scroll_top: f64) -> (u32, u32) {
        let first = (scroll_top.max(0.0) / self.scale() / self.row_px) as u32;
        let count = (self.height / self.row_px).ceil() as u32 + 1;
        let first = first.min(self.total.saturating_sub(1));
        (first, count.min(self.total - first.min(self.total)))
    }

    /// The rows to draw: those in sight in whole chunks, with one chunk above and below.
    pub fn window(&self, scroll_top: f64) -> Rows {
        let (first, count) = self.in_sight(scroll_top);
        let begin = (first / CHUNK).saturating_sub(1) * CHUNK;
        let end = ((first + count).div_ceil(CHUNK) + 1).saturating_mul(CHUNK).min(self.total);
        Rows { first: begin, count: end.saturating_sub(begin).min(1_000) }
    }

    /// Where `row` is drawn, from the top of the scrolled element.
    pub fn top_of(&self, row: u32, scroll_top: f64) -> f64 {
        f64::from(row) * self.row_px + scroll_top - scroll_top / self.scale()
    }

    /// The scroll offset that brings `row` into sight; unchanged when it is. A row far away comes to a third of the height.
    pub fn reveal(&self, row: u32, scroll_top: f64) -> f64 {
        let top = f64::from(row) * self.row_px;
        let seen = scroll_top / self.scale();
        if top >= seen && top + self.row_px <= seen + self.height {
            return scroll_top;
        }
        let near = self.row_px * 2.0;
        let target = if top + self.row_px > seen + self.height && top < seen + self.height + near {
            top + self.row_px - self.height
        } else if top < seen && top > seen - near {
            top
        } else {
            top - self.height / 3.0
        };
        (target * self.scale()).clamp(0.0, (self.spacer_px() - self.height).max(0.0))
    }
}

/// See the module.
#[derive(Properties, PartialEq)]
pub struct Props {
    /// The id of the scrolling element.
    pub id: AttrValue,
    /// What it lists, for screen readers.
    pub label: AttrValue,
    /// Rows in all.
    pub total: u32,
    /// Height of a row.
    #[prop_or(20.0)]
    pub row_px: f64,
    /// The row the keyboard stands on.
    #[prop_or_default]
    pub cursor: Option<u32>,
    /// Brings this row into sight each time the pair changes.
    #[prop_or_default]
    pub reveal: Option<(u32, u64)>,
    /// Stays at the end as the list grows.
    #[prop_or_default]
    pub follow: bool,
    /// The reader scrolled away from the end.
    #[prop_or_default]
    pub on_leave_end: Callback<()>,
    /// Which rows are to be drawn.
    pub on_window: Callback<Rows>,
    /// Draws a row; the id it has to bear is `ID-row-N`.
    pub row: Callback<u32, Html>,
    /// The keyboard moved to this row.
    #[prop_or_default]
    pub on_move: Callback<u32>,
    /// Enter was pressed.
    #[prop_or_default]
    pub on_enter: Callback<()>,
    /// The menu of this row is wanted by key (Shift+F10 or the menu key), at this place of the window.
    #[prop_or_default]
    pub on_menu: Callback<(u32, (i32, i32))>,
}

/// A list that draws only the rows in sight.
#[component]
pub fn VirtualList(props: &Props) -> Html {
    let node = use_node_ref();
    let height = use_state_eq(|| 400.0);
    let scroll = use_state_eq(|| 0.0);
    let geometry = Geometry { total: props.total, row_px: props.row_px, height: *height };
    let window = geometry.window(*scroll);

    use_height(&node, height.setter());
    {
        let on_window = props.on_window.clone();
        use_effect_with(window, move |window| on_window.emit(*window));
    }
    {
        let (node, scroll) = (node.clone(), scroll.setter());
        use_effect_with((props.reveal, props.total > 0), move |(reveal, _)| {
            if let (Some((row, _)), Some(element)) = (reveal, node.cast::<web_sys::Element>()) {
                let here = Geometry { height: f64::from(element.client_height()), ..geometry };
                let top = here.reveal(*row, f64::from(element.scroll_top()));
                element.set_scroll_top(top as i32);
                scroll.set(f64::from(element.scroll_top()));
            }
        });
    }
    {
        let node = node.clone();
        use_effect_with((props.follow, props.total), move |(follow, _)| {
            if let (true, Some(element)) = (*follow, node.cast::<web_sys::Element>()) {
                element.set_scroll_top(element.scroll_height());
            }
        });
    }
    let onscroll = {
        let (node, scroll, follow, leave) = (node.clone(), scroll.setter(), props.follow, props.on_leave_end.clone());
        let (total, row_px) = (props.total, props.row_px);
        Callback::from(move |_: Event| {
            let Some(element) = node.cast::<web_sys::Element>() else { return };
            let top = f64::from(element.scroll_top());
            let here = Geometry { total, row_px, height: f64::from(element.client_height()) };
            if follow && top + f64::from(element.client_height()) + 2.0 * row_px < f64::from(element.scroll_height()) {
                leave.emit(());
            }
            // The rows of a list that is not scaled move by themselves: only the chunk matters then, and scrolling within it draws nothing.
            let exact = here.scale() < 1.0;
            scroll.set(if exact { top } else { f64::from(here.in_sight(top).0 / CHUNK * CHUNK) * row_px });
        })
    };
    let onkeydown = {
        let (total, cursor, page) = (props.total, props.cursor, (*height / props.row_px) as i64 - 1);
        let (on_move, on_enter, on_menu) = (props.on_move.clone(), props.on_enter.clone(), props.on_menu.clone());
        let (id, first_in_sight) = (props.id.clone(), geometry.in_sight(*scroll).0);
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "ContextMenu" || (event.key() == "F10" && event.shift_key()) {
                event.prevent_default();
                event.stop_propagation();
                let row = cursor.unwrap_or(first_in_sight);
                if let Some(at) = below(&format!("{id}-row-{row}")) {
                    on_menu.emit((row, at));
                }
                return;
            }
            let at = cursor.map_or(-1, i64::from);
            let last = i64::from(total) - 1;
            let to = match event.key().as_str() {
                "ArrowDown" | "j" => at + 1,
                "ArrowUp" | "k" => (at - 1).max(0),
                "PageDown" => at + page,
                "PageUp" => at - page,
                "Home" => 0,
                "End" => last,
                "Enter" => return on_enter.emit(()),
                _ => return,
            };
            if event.ctrl_key() || event.meta_key() || event.alt_key() || last < 0 {
                return;
            }
            event.prevent_default();
            event.stop_propagation();
            on_move.emit(to.clamp(0, last) as u32);
        })
    };
    let top = geometry.top_of(window.first, *scroll);
    html! {
        <div id={props.id.clone()} class="virtual-list" ref={node} role="grid" tabindex="0" data-grid="" aria-label={props.label.clone()}
            aria-rowcount={props.total.to_string()} aria-activedescendant={props.cursor.map(|n| format!("{}-row-{n}", props.id))}
            {onscroll} {onkeydown}>
            <div class="virtual-list__spacer" role="presentation" style={format!("height: {}px", geometry.spacer_px())}>
                <div class="virtual-list__rows" role="presentation" style={format!("transform: translateY({top}px)")}>
                    { for (window.first..window.first + window.count).map(|n| props.row.emit(n)) }
                </div>
            </div>
        </div>
    }
}

/// Just below the beginning of an element, in pixels of the window.
fn below(id: &str) -> Option<(i32, i32)> {
    let place = crate::browser::document().get_element_by_id(id)?.get_bounding_client_rect();
    Some((place.left() as i32 + 48, place.bottom() as i32))
}

/// The row a list goes to by itself, for [`Props::reveal`]: `wanted` (the packet, the filter, …) names what is to be shown, and `row`
/// is where it stands, once that is known. Nothing moves until `wanted` changes.
#[hook]
pub fn use_reveal<T: PartialEq + 'static>(wanted: Option<T>, row: Option<u32>) -> Option<(u32, u64)> {
    let last = use_mut_ref(|| (None::<T>, 0_u64));
    let row = row.filter(|_| wanted.is_some())?;
    let mut last = last.borrow_mut();
    if last.0 != wanted {
        *last = (wanted, last.1 + 1);
    }
    Some((row, last.1))
}

/// The keyboard's way to rows that are not loaded: such a row is first brought into sight, which loads it, and then chosen.
///
/// `choose` chooses a row that is loaded and says whether it was; `loaded` changes when other rows are. Returns what the keyboard
/// calls, and the row that is waited for.
#[hook]
pub fn use_steps<T: PartialEq + 'static>(loaded: T, choose: Callback<u32, bool>) -> (Callback<u32>, Option<u32>) {
    let waiting = use_state_eq(|| None::<u32>);
    {
        let (waiting, choose) = (waiting.clone(), choose.clone());
        use_effect_with((loaded, *waiting), move |(_, row)| {
            if row.is_some_and(|row| choose.emit(row)) {
                waiting.set(None);
            }
        });
    }
    let on_move = {
        let waiting = waiting.setter();
        Callback::from(move |row: u32| waiting.set((!choose.emit(row)).then_some(row)))
    };
    (on_move, *waiting)
}

/// Tells `set` the inner height of the element, now and whenever it changes.
#[hook]
fn use_height(node: &NodeRef, set: UseStateSetter<f64>) {
    let node = node.clone();
    use_effect_with((), move |()| {
        let element = node.cast::<web_sys::Element>();
        let measure = {
            let element = element.clone();
            move || {
                if let Some(element) = &element {
                    set.set(f64::from(element.client_height().max(1)));
                }
            }
        };
        measure();
        let on_resize = Closure::<dyn FnMut()>::new(measure.clone());
        let observer = web_sys::ResizeObserver::new(on_resize.as_ref().unchecked_ref()).ok();
        if let (Some(observer), Some(element)) = (&observer, &element) {
            observer.observe(element);
        }
        let listener = EventListener::new(&crate::browser::window(), "resize", move |_| measure());
        move || {
            if let Some(observer) = observer {
                observer.disconnect();
            }
            drop((on_resize, listener));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(total: u32) -> Geometry {
        Geometry { total, row_px: 20.0, height: 400.0 }
    }

    #[test]
    fn a_short_list_scrolls_pixel_by_pixel() {
        let list = list(1_000);
        assert_eq!(list.spacer_px(), 20_000.0);
        assert_eq!(list.in_sight(205.0), (10, 21));
        assert_eq!(list.window(205.0), Rows { first: 0, count: 48 });
        assert_eq!(list.top_of(10, 205.0), 200.0);
    }

    #[test]
    fn a_list_too_tall_for_the_browser_still_reaches_both_ends() {
        let list = list(4_000_000);
        assert_eq!(list.spacer_px(), TALLEST_PX);
        assert_eq!(list.in_sight(0.0).0, 0);
        let end = list.spacer_px() - list.height;
        let (first, count) = list.in_sight(end);
        assert!(first + count >= 4_000_000, "{first} + {count}");
        // The last row ends where what is in sight ends.
        let bottom = list.top_of(3_999_999, end) + 20.0;
        assert!((bottom - (end + list.height)).abs() < 1.0, "{bottom}");
    }

    #[test]
    fn revealing_moves_as_little_as_possible() {
        let list = list(1_000);
        assert_eq!(list.reveal(12, 200.0), 200.0, "in sight already");
        assert_eq!(list.reveal(30, 200.0), 220.0, "one below: one row further");
        assert_eq!(list.reveal(9, 200.0), 180.0, "one above");
        assert_eq!(list.reveal(500, 200.0), 10_000.0 - 400.0 / 3.0, "far: to a third of the height");
        assert_eq!(list.reveal(0, 200.0), 0.0);
        assert_eq!(list.reveal(999, 0.0), 19_600.0);
    }

    #[test]
    fn an_empty_list_asks_for_nothing() {
        assert_eq!(list(0).window(0.0), Rows { first: 0, count: 0 });
    }
}
