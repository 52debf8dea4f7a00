//! ATM adaptation layer 5 with LLC (RFC 2684), bare or as SunATM captures it.

use super::Link;
use crate::dissect::walk::{Kind, Next, Walk};
use crate::dissect::{ipv4, llc};

pub(super) const RFC2684: Link = Link { numbers: &[100], slug: "atm-rfc1483", name: "RFC 2684 over ATM", read: llc::read };
pub(super) const SUN: Link = Link { numbers: &[123], slug: "sunatm", name: "SunATM", read };

/// What SunATM tells beside the packet is not part of it. Not every virtual circuit begins with LLC.
fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("ATM", "atm"));
    match walk.rest() {
        [0xaa, 0xaa, 0x03, ..] | [0xfe, 0xfe, 0x03, ..] => Some(Next(llc::read)),
        [0x45, ..] => Some(Next(ipv4::read)),
        _ => None,
    }
}
