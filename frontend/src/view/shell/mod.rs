//! The frame of the page: the root that holds the state and the engine, and what lies around the views.

pub mod app;
pub mod bar;
pub mod body;
pub mod captures;
pub mod fetch;
pub mod filter;
pub mod sheet;
pub mod status;

pub use app::{App, picked};
