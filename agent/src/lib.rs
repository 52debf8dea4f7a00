//! Everything of Dropscope that touches a host.

mod check;
pub mod cli;
mod input;
mod lab;
mod live;
mod log_file;
mod manual;
mod metrics;
mod packets;
mod record;
mod recorder;
mod recording;
mod rights;
mod serve;
pub mod source;
mod web;
