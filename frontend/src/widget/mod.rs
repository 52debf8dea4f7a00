//! Small parts the views are built from; none knows what a packet is.

pub mod canvas;
pub mod copy;
pub mod ends;
pub mod menu;
pub mod prose;
pub mod severity;
pub mod splitter;
pub mod virtual_list;
