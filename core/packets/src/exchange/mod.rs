//! What is asked and answered beside TCP: DNS, ARP, the fragments of a datagram, and tunnels whose checksum is wrong.
//!
//! Observed packet by packet like conversations, and bounded: of each kind the first few thousand are followed.

mod arp;
mod dns;
mod fragments;
mod tunnels;

pub use arp::{Claim, Claims, Wanted};
pub use dns::{Dns, Missed};
pub use fragments::{Fragments, Incomplete};
pub use tunnels::{Damaged, Tunnels};

use crate::dissect::Packet;
use crate::flow::{Observed, Seen};

/// See the module.
#[derive(Debug, Default)]
pub struct Exchanges {
    /// DNS over UDP.
    pub dns: Dns,
    /// Who claims which IPv4 address, and which is asked for.
    pub arp: Claims,
    /// Datagrams in fragments.
    pub fragments: Fragments,
    /// Tunnels over UDP whose outer checksum is wrong.
    pub tunnels: Tunnels,
}

impl Exchanges {
    /// Observes a packet that is whole, or completes a datagram, with what it is to its conversation.
    pub(crate) fn observe(&mut self, packet: &Packet<'_>, observed: &Observed, seen: Seen) {
        if let Some(arp) = &packet.arp {
            self.arp.observe(arp, seen);
        }
        self.dns.observe(packet, seen);
        self.tunnels.observe(packet, observed, seen);
    }
}
