//! Everything of Dropscope that touches a host.

pub mod source;
