//! Everything of Dropscope that touches a host.

mod agent;
mod check;
pub mod cli;
mod connections;
mod finding_watch;
mod input;
mod keep;
mod lab;
mod live;
mod log_file;
mod manual;
mod metrics;
mod packets;
mod probe;
mod push;
mod record;
mod recorder;
mod recording;
mod rights;
mod segments;
mod serve;
pub mod source;
mod stderr;
mod sync;
mod tls;
mod trigger;
mod web;
