//! Bytes of a packet to its layers.
//!
//! Dissection never fails: it returns the layers it read, plus where and why it stopped. A snaplen-cut packet, a fragment
//! and a quoted packet are normal. Nothing here keeps state; reassembly of fragments belongs to `flow`.

mod packet;

pub use packet::*;
