//! JSON the server says, read by the browser itself: a reader of our own would be downloaded with every page, for a few small
//! answers that most pages never ask for.
//!
//! A member that is not there, or is of another type, is `None`: who reads it says whether that is allowed.

use js_sys::{Array, JSON, Reflect};
use wasm_bindgen::{JsCast, JsValue};

/// A value.
#[derive(Clone, Debug)]
pub struct Json(JsValue);

impl Json {
    /// The value a text stands for; `None` when it is not JSON.
    pub fn parse(text: &str) -> Option<Self> {
        JSON::parse(text).ok().map(Self)
    }

    /// A member of an object.
    pub fn member(&self, name: &str) -> Option<Self> {
        let value = Reflect::get(&self.0, &name.into()).ok()?;
        (!value.is_undefined()).then_some(Self(value))
    }

    /// A member that is a text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.member(name)?.0.as_string()
    }

    /// A member that is true or false.
    pub fn truth(&self, name: &str) -> Option<bool> {
        self.member(name)?.0.as_bool()
    }

    /// A member that is a count; exact up to 2^53, as JavaScript's numbers are.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.member(name)?.0.as_f64().map(|n| n as u64)
    }

    /// The items of a member that is a list.
    pub fn items(&self, name: &str) -> Option<Vec<Self>> {
        Some(self.member(name)?.0.dyn_into::<Array>().ok()?.iter().map(Self).collect())
    }
}
