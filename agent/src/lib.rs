//! Everything of Dropscope that touches a host.

pub mod cli;
mod serve;
pub mod source;
mod web;
