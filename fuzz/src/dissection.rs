//! Any bytes on any link type, kept whole or cut: read in every way there is to show them.

use crate::memory::{Bound, bounded};
use dropscope_core::dissect::{Relative, dissect, info, tcpdump_line, tree};

/// A decode tree is large beside its packet: a node of names for a byte of options.
const BOUND: Bound = Bound { base: 256 << 10, per_byte: 1_024 };

/// Two bytes for the link type, one for how much was cut off, and the packet.
pub fn dissection(input: &[u8]) {
    let &[low, high, cut, ref data @ ..] = input else { return };
    let link = u32::from(u16::from_le_bytes([low, high]));
    let wire_len = data.len() as u32 + u32::from(cut) * 8;
    bounded(BOUND, data.len(), || read_all(link, data, wire_len));
}

fn read_all(link: u32, data: &[u8], wire_len: u32) {
    let packet = dissect(link, data, wire_len);
    assert!(packet.stop.is_none_or(|stop| stop.at as usize <= data.len()), "{:?}", packet.stop);
    let relative = Some(Relative { seq: 1, ack: 2 });
    info(link, data, wire_len, relative);
    tcpdump_line(None, link, data, wire_len, None);
    let mut nodes = tree(link, data, wire_len, relative);
    while let Some(node) = nodes.pop() {
        assert!((node.at.0 + node.at.1) as usize <= data.len(), "{node:?}");
        nodes.extend(node.children);
    }
}
