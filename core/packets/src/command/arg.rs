//! The words of a command.

use crate::text::is_control;
use std::net::{IpAddr, SocketAddr};

/// A word of a command: a literal, a number, an address, or a checked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg(String);

impl Arg {
    /// One word of several parts: `sport = :80`.
    pub fn concat<const N: usize>(parts: [Self; N]) -> Self {
        Self(parts.map(|part| part.0).concat())
    }

    /// A value whose meaning the caller has checked; `None` if a terminal would act on it or a program could take it for an option.
    pub(super) fn checked(text: &str) -> Option<Self> {
        let is_word = !text.is_empty() && text.len() <= MOST && !text.starts_with('-') && !text.chars().any(is_control);
        is_word.then(|| Self(text.to_owned()))
    }

    /// A word of a firewall rule, which may be empty or an option.
    pub(super) fn of_rule(text: &str) -> Option<Self> {
        (text.len() <= MOST && !text.chars().any(is_control)).then(|| Self(text.to_owned()))
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// The length of a word, at most: `PATH_MAX`.
const MOST: usize = 4096;

impl From<&'static str> for Arg {
    fn from(literal: &'static str) -> Self {
        Self(literal.to_owned())
    }
}

macro_rules! displayed {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Arg {
            fn from(value: $kind) -> Self {
                Self(value.to_string())
            }
        }
    )*};
}
displayed!(u16, u32, u64, IpAddr, SocketAddr);

/// The name of a network interface, as the kernel allows it (`dev_valid_name`), if it can be typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfName(String);

impl IfName {
    /// `None` if this is no interface's name, or one that cannot be typed or could be taken for an option.
    pub fn new(name: &str) -> Option<Self> {
        let allowed = |c: char| !c.is_whitespace() && c != '/' && c != ':';
        let is_name = name.len() < 16 && name != "." && name != ".." && name.chars().all(allowed);
        Arg::checked(name).filter(|_| is_name).map(|name| Self(name.0))
    }
}

impl From<IfName> for Arg {
    fn from(name: IfName) -> Self {
        Self(name.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_a_name_that_the_kernel_allows_and_a_hand_can_type() {
        for name in ["eth0", "x;id;#", "$(id)", "a'b", "br-0a1b2c", "ünïcode"] {
            assert!(IfName::new(name).is_some(), "{name:?}");
        }
        for name in
            ["", ".", "..", "a b", "a/b", "a:b", "-all", "0123456789abcdef", "a\u{1b}[2J", "a\u{202e}b", "a\nb", "a\u{9b}m"]
        {
            assert_eq!(IfName::new(name), None, "{name:?}");
        }
    }
}
