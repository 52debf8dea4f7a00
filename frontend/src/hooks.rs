//! Hooks the views share: asking the engine, dispatching intents.

use crate::browser;
use crate::state::{AppState, Intent};
use crate::worker::{Asked, Bridge};
use dropscope_core::query::{Answer, Query};
use gloo::events::EventListener;
use std::ops::Deref;
use std::rc::Rc;
use yew::prelude::*;

/// A shared value that is equal only to itself: what a view compares instead of its content.
#[derive(Debug)]
pub struct Same<T: ?Sized>(pub Rc<T>);

impl<T: ?Sized> Clone for Same<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> PartialEq for Same<T> {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: ?Sized> Deref for Same<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// What a question depends on beside itself. When it changes, views ask again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// Which source.
    pub session: u32,
    /// What is known of it.
    pub revision: u64,
}

/// The bridge to the engine, as a context.
pub type Engine = Same<Bridge>;

/// Where intents go.
#[hook]
pub fn use_dispatch() -> UseReducerDispatcher<AppState> {
    use_context::<UseReducerDispatcher<AppState>>().expect("every view stands below the app, which provides it")
}

/// A callback that dispatches the intent made of its argument.
pub fn intend<T: 'static>(dispatch: &UseReducerDispatcher<AppState>, intent: impl Fn(T) -> Intent + 'static) -> Callback<T> {
    let dispatch = dispatch.clone();
    Callback::from(move |value| dispatch.dispatch(intent(value)))
}

/// Whether the window is too narrow for panes, now and whenever its size changes.
#[hook]
pub fn use_narrow() -> bool {
    let narrow = use_state_eq(browser::is_narrow);
    let set = narrow.setter();
    use_effect_with((), move |()| {
        let listener = EventListener::new(&browser::window(), "resize", move |_| set.set(browser::is_narrow()));
        move || drop(listener)
    });
    *narrow
}

/// The engine's answer to `query`: asked anew when the question or what is known changes, and kept until the next one is here,
/// so that nothing flickers. `None` before the first answer, for no question, and after another source was opened.
#[hook]
pub fn use_answer(query: Option<Query>) -> Option<Same<Answer>> {
    let bridge = use_context::<Engine>().expect("every view stands below the app, which provides it");
    let epoch = use_context::<Epoch>().expect("every view stands below the app, which provides it");
    let answer = use_state(|| None::<Same<Answer>>);
    let slot: Rc<Asked> = {
        let set = answer.setter();
        use_memo(bridge, move |bridge| bridge.0.slot(move |answer| set.set(Some(Same(answer)))))
    };
    {
        let set = answer.setter();
        use_effect_with(epoch.session, move |_| set.set(None));
    }
    let asks = query.is_some();
    {
        // The engine looks at a bounded piece for each question: asked again, it goes on.
        let (slot, query) = (slot.clone(), query.clone());
        use_effect_with((*answer).clone(), move |answer| {
            if let (Some(query), Some(answer)) = (query, answer)
                && !answer.is_complete()
            {
                slot.ask(query);
            }
        });
    }
    use_effect_with((query, epoch), move |(query, epoch)| {
        // Before anything was read there is nothing to ask about, and the answers would only delay the reading.
        if let Some(query) = query
            && epoch.revision > 0
        {
            slot.ask(query.clone());
        }
    });
    if asks { (*answer).clone() } else { None }
}
