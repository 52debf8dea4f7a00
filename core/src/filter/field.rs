//! The fields a filter may name: one table with name, type, meaning and where the values come from.
//!
//! Names and meanings are Wireshark's where Wireshark has the field (`docbook/dfref`); those of our own are said to be.

mod app;
mod frame;
mod network;
mod own;
mod tcp;
mod transport;
mod tree;

use super::named::Named;
use super::value::{Type, Value};
use crate::dissect::{Packet, Protocol};
use crate::drops::Drops;
use crate::finding::Finding;
use crate::flow::{Flow, Retrace, Retraced, Seen};
use crate::ids::{Direction, PacketNo};
use crate::log::record::Interface;
use crate::store::{Facts, Row, Store};
use std::sync::LazyLock;

/// A field.
pub struct Field {
    /// Its name, as typed.
    pub name: &'static str,
    /// Of which type its values are.
    pub kind: Type,
    /// What it is, for completion.
    pub about: &'static str,
    /// Where its values come from.
    values: Values,
    /// Whether its values may change after the packet was read.
    pub(super) changes: bool,
    /// Whether its values come from following the conversation up to the packet: [`Subject::retraced`].
    pub(super) follows: bool,
}

/// Where values come from.
#[derive(Clone, Copy)]
enum Values {
    /// From columns, conversation or the dissected packet.
    Given(Get),
    /// From the decode tree.
    Tree(tree::Shape),
}

/// Gives each value a packet has of a field, and says whether those are all.
type Get = fn(&Subject<'_>, &mut dyn FnMut(Value<'_>)) -> Known;

/// Whether all values of a field were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// These are all.
    Yes,
    /// There may be more, which only the packet itself can tell.
    NeedsPacket,
}

/// A packet a filter is put to, with all that is known about it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Its number.
    pub no: PacketNo,
    /// Its columns.
    pub row: Row,
    /// All packets.
    pub store: &'a Store,
    /// Its conversation.
    pub flow: Option<&'a Flow>,
    /// Capture interfaces by number.
    pub interfaces: &'a [Interface],
    /// Packets the kernel dropped.
    pub drops: &'a Drops,
    /// What the rules found.
    pub findings: &'a [Finding],
    /// Which findings name what.
    pub named: &'a Named,
    /// The packet, once it was read again.
    pub packet: Option<Read<'a>>,
    /// What its conversation up to it says, once that was followed again.
    pub retraced: Option<Retraced>,
}

/// A packet that was read again.
#[derive(Clone, Copy)]
pub struct Read<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its layers.
    pub packet: &'a Packet<'a>,
}

impl<'a> Read<'a> {
    /// The packet it quotes, if it is an ICMP error.
    fn quoted(&self) -> Option<Packet<'a>> {
        crate::dissect::quoted(self.packet, self.bytes)
    }
}

impl Field {
    /// Gives each value that a packet has of it to `out`.
    pub fn emit(&self, subject: &Subject<'_>, out: &mut dyn FnMut(Value<'_>)) -> Known {
        match self.values {
            Values::Given(get) => match tree::of_every_layer(self.name) {
                Some(shape) if subject.packet.is_some() && !subject.plain() => tree::emit(self, shape, subject, out),
                _ => get(subject, out),
            },
            Values::Tree(shape) => tree::emit(self, shape, subject, out),
        }
    }
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All fields, in the order in which they are listed.
pub static FIELDS: LazyLock<Vec<&'static Field>> = LazyLock::new(|| {
    [frame::FIELDS, network::FIELDS, tcp::FIELDS, transport::FIELDS, own::FIELDS, tree::FIELDS, app::FIELDS]
        .into_iter()
        .flatten()
        .collect()
});

/// The field of this name. Case does not matter. `ssl` and `bootp` are what TLS and DHCP were called.
pub(super) fn find(name: &str) -> Option<&'static Field> {
    let named = |name: &str| FIELDS.iter().find(|field| field.name.eq_ignore_ascii_case(name)).copied();
    named(name).or_else(|| {
        let (protocol, rest) = name.split_at(name.find('.').unwrap_or(name.len()));
        let today = match protocol {
            "ssl" => "tls",
            "bootp" => "dhcp",
            _ => return None,
        };
        named(&format!("{today}{rest}"))
    })
}

/// A field whose values never change.
const fn field(name: &'static str, kind: Type, about: &'static str, get: Get) -> Field {
    Field { name, kind, about, values: Values::Given(get), changes: false, follows: false }
}

/// A field whose values come from following the conversation.
const fn following(name: &'static str, kind: Type, about: &'static str, get: Get) -> Field {
    Field { follows: true, ..field(name, kind, about, get) }
}

impl<'a> Subject<'a> {
    /// Follows its conversation up to it. Packets come in order; `ended` promises that the log does not grow.
    pub fn retrace(&mut self, retrace: &mut Retrace, ended: bool, bytes: &[u8], packet: &Packet<'_>) {
        let over = ended && self.flow.is_some_and(|flow| flow.last.no == self.no);
        let seen = Seen { no: self.no, at: self.row.time };
        self.retraced = Some(retrace.observe(self.conversation(), seen, over, packet, bytes));
    }

    /// Whether columns and conversation name every transport and address of the packet.
    fn plain(&self) -> bool {
        !self.row.facts.has(Facts::MORE_ADDRESSES)
    }

    /// Whether what the columns name is all there is: a tunnel or a quoted packet may hold the same layer again.
    fn all_if_plain(&self) -> Known {
        if self.plain() { Known::Yes } else { Known::NeedsPacket }
    }

    /// The packet, or what to answer while it is not there.
    fn read(&self) -> Result<Read<'a>, Known> {
        self.packet.ok_or(Known::NeedsPacket)
    }

    /// The packet if its transport, by column, is `protocol`; what to answer if it is not, or not there yet.
    fn read_if(&self, protocol: Protocol) -> Result<Read<'a>, Known> {
        if self.row.protocol != protocol && self.plain() {
            return Err(Known::Yes);
        }
        self.read()
    }

    /// What following the conversation says, or what to answer before that.
    fn retraced(&self) -> Result<Retraced, Known> {
        self.retraced.ok_or(Known::NeedsPacket)
    }

    /// Conversation and direction.
    fn conversation(&self) -> Option<(&'a Flow, Direction)> {
        Some((self.flow?, self.row.flow?.1))
    }

    /// Source and destination port by the conversation.
    fn ports(&self) -> Option<(u16, u16)> {
        let (flow, direction) = self.conversation()?;
        Some(match direction {
            Direction::AToB => (flow.client.port, flow.server.port),
            Direction::BToA => (flow.server.port, flow.client.port),
        })
    }

    /// Source and destination address by the conversation.
    fn addresses(&self) -> Option<(std::net::IpAddr, std::net::IpAddr)> {
        let (flow, direction) = self.conversation()?;
        Some(match direction {
            Direction::AToB => (flow.client.address, flow.server.address),
            Direction::BToA => (flow.server.address, flow.client.address),
        })
    }
}

/// What is known for sure.
const fn flag(value: bool) -> Value<'static> {
    Value::Number(value as u64)
}

/// The bytes from an offset on.
fn from(bytes: &[u8], offset: u32) -> &[u8] {
    bytes.get(offset as usize..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once_and_says_what_it_is() {
        let mut names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
        names.sort_unstable();
        for pair in names.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
        for field in FIELDS.iter() {
            assert!(!field.about.is_empty() && !field.about.ends_with('.'), "{}", field.name);
        }
    }
}
