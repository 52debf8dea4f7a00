//! A layer's node while its fields are added.

use crate::dissect::node::Node;
use crate::dissect::walk::Layer;
use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A node under construction, over the bytes of one layer. Offsets count from the layer's beginning.
pub(super) struct Fields<'a> {
    pub(super) data: &'a [u8],
    pub(super) at: usize,
    pub(super) end: usize,
    node: Node,
}

impl<'a> Fields<'a> {
    pub(super) fn new(data: &'a [u8], layer: &Layer) -> Self {
        Self::within(data, layer.at, layer.end)
    }

    /// Over any stretch of the packet.
    pub(super) fn within(data: &'a [u8], at: usize, end: usize) -> Self {
        let end = end.min(data.len());
        Self { data, at: at.min(end), end, node: Node::default() }
    }

    /// Names the node, and tells how many bytes it stands on.
    pub(super) fn named(&mut self, name: &str, field: &str, value: impl Display, len: usize) {
        self.node.name = name.to_owned();
        self.node.field = field.to_owned();
        self.node.value = value.to_string();
        self.node.at = (self.at as u32, len.min(self.end - self.at) as u32);
    }

    pub(super) fn finish(self) -> Node {
        self.node
    }

    /// All bytes from `offset` to the end of the layer.
    pub(super) fn rest(&self, offset: usize) -> &'a [u8] {
        self.data.get(self.at + offset..self.end).unwrap_or_default()
    }

    pub(super) fn bytes(&self, offset: usize, len: usize) -> Option<&'a [u8]> {
        self.rest(offset).get(..len)
    }

    /// A number in network byte order, of up to 8 bytes.
    pub(super) fn number(&self, offset: usize, len: usize) -> Option<u64> {
        Some(self.bytes(offset, len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(super) fn u8(&self, offset: usize) -> Option<u8> {
        self.rest(offset).first().copied()
    }

    pub(super) fn u16(&self, offset: usize) -> Option<u16> {
        Some(u16::from_be_bytes(*self.rest(offset).first_chunk()?))
    }

    pub(super) fn u32(&self, offset: usize) -> Option<u32> {
        Some(u32::from_be_bytes(*self.rest(offset).first_chunk()?))
    }

    /// Adds a field if its bytes are there.
    pub(super) fn add(&mut self, offset: usize, len: usize, name: &str, field: &str, value: impl Display) -> Option<&mut Node> {
        if self.at + offset + len > self.end {
            return None;
        }
        let at = ((self.at + offset) as u32, len as u32);
        self.push(Node { name: name.to_owned(), value: value.to_string(), field: field.to_owned(), at, ..Node::default() })
    }

    /// Adds a value that is not in the bytes.
    pub(super) fn derived(&mut self, name: &str, field: &str, value: impl Display) {
        let (name, value, field) = (name.to_owned(), value.to_string(), field.to_owned());
        self.push(Node { name, value, field, derived: true, ..Node::default() });
    }

    /// Adds a node as it is.
    pub(super) fn push(&mut self, node: Node) -> Option<&mut Node> {
        self.node.children.push(node);
        self.node.children.last_mut()
    }

    /// Adds a number in decimal.
    pub(super) fn decimal(&mut self, offset: usize, len: usize, name: &str, field: &str) -> Option<&mut Node> {
        let value = self.number(offset, len)?;
        self.add(offset, len, name, field, value)
    }

    /// Adds a number in hexadecimal.
    pub(super) fn hex(&mut self, offset: usize, len: usize, name: &str, field: &str) -> Option<&mut Node> {
        let value = self.number(offset, len)?;
        self.add(offset, len, name, field, format_args!("0x{value:0width$x}", width = len * 2))
    }

    /// Adds a number with its name: `IPv4 (0x0800)`, `TCP (6)`.
    pub(super) fn decimal_named(&mut self, offset: usize, len: usize, name: &str, field: &str, of: impl Fn(u64) -> &'static str) {
        let Some(value) = self.number(offset, len) else { return };
        let word = of(value);
        match word.is_empty() {
            true => self.add(offset, len, name, field, value),
            false => self.add(offset, len, name, field, format_args!("{word} ({value})")),
        };
    }

    pub(super) fn mac(&mut self, offset: usize, name: &str, field: &str) {
        let Some(&[a, b, c, d, e, f]) = self.bytes(offset, 6).and_then(|bytes| bytes.first_chunk()) else { return };
        self.add(offset, 6, name, field, format_args!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"));
    }

    pub(super) fn ipv4(&mut self, offset: usize, name: &str, field: &str) {
        let Some(octets) = self.rest(offset).first_chunk::<4>() else { return };
        self.add(offset, 4, name, field, Ipv4Addr::from(*octets));
    }

    pub(super) fn ipv6(&mut self, offset: usize, name: &str, field: &str) {
        let Some(octets) = self.rest(offset).first_chunk::<16>() else { return };
        self.add(offset, 16, name, field, Ipv6Addr::from(*octets));
    }

    /// Adds bytes in hexadecimal, the first 24 of them.
    pub(super) fn opaque(&mut self, offset: usize, len: usize, name: &str, field: &str) -> Option<&mut Node> {
        let value = hex(self.bytes(offset, len)?);
        self.add(offset, len, name, field, value)
    }

    /// Adds one bit of a number, as `Set` or `Not set`.
    pub(super) fn bit(&mut self, offset: usize, len: usize, mask: u64, name: &str, field: &str) {
        let Some(value) = self.number(offset, len) else { return };
        self.add(offset, len, name, field, if value & mask != 0 { "Set" } else { "Not set" });
    }

    /// Adds a node with children of its own over the same layer, built by `fill`.
    pub(super) fn group(
        &mut self,
        offset: usize,
        len: usize,
        name: &str,
        field: &str,
        value: impl Display,
        fill: impl FnOnce(&mut Self),
    ) {
        let mut inner = Self::within(self.data, self.at, self.end);
        fill(&mut inner);
        let children = inner.node.children;
        if let Some(node) = self.add(offset, len, name, field, value) {
            node.children = children;
        }
    }
}

/// Bytes in hexadecimal; of more than 24 the first 24.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text: String = bytes.iter().take(24).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > 24 {
        text.push('…');
    }
    text
}

/// Text as it came, with what cannot be printed escaped.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}
