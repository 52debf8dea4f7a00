//! The walk over a packet's bytes from layer to layer.
//!
//! A reader (`fn(&mut Walk) -> Option<Next>`) takes its header off the front, notes what matters in the [`Packet`] and names
//! the reader of what follows; `None` ends the walk. The walk is a loop, not a recursion, and takes at most [`MAX_LAYERS`]
//! steps, so that no packet can exhaust the stack or the time. It knows two ends: that of the captured bytes, and that which
//! headers and wire length tell; where the second lies beyond the first, the packet was cut.

use super::packet::{Checksum, Ip, Net, Outer, Packet, Protocol, Stop, Transport, Tunnel, Why};
use std::net::IpAddr;

/// More layers than any sane packet has, and few enough to bound the work.
const MAX_LAYERS: usize = 48;

/// The reader of the next layer.
pub(super) struct Next(pub(super) Reader);

/// Reads one layer.
pub(super) type Reader = fn(&mut Walk<'_>) -> Option<Next>;

/// One layer that was met: where it begins and where the bytes that belong to it end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) end: usize,
    /// Where they would end had nothing been cut.
    pub(super) told: usize,
}

/// Which layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ethernet,
    LinuxCooked,
    LinuxCooked2,
    Loopback,
    RawIp,
    ServiceVlan,
    Vlan,
    Arp,
    Ipv4,
    Ipv6,
    HopByHop,
    Routing,
    FragmentHeader,
    DestinationOptions,
    OtherExtension,
    Tcp,
    Udp,
    Icmp,
    Icmpv6,
    Igmp,
    Sctp,
    Dccp,
    Gre,
    Vxlan,
    Geneve,
    Gtp,
    Mpls,
    Pppoe,
    /// One that is shown by its name and Wireshark's alone.
    Named(&'static str, &'static str),
}

/// See the module.
pub(super) struct Walk<'a> {
    /// What has been found out.
    pub(super) packet: Packet<'a>,
    /// Where the next layer begins.
    pub(super) at: usize,
    /// Where a checksum's pseudo header says the packet goes, when a routing header says otherwise than the IP header.
    pub(super) final_destination: Option<IpAddr>,
    /// Where its pseudo header says it comes from, when a mobile node is not at home.
    pub(super) home_address: Option<IpAddr>,
    /// Whether it is one of several packets in a frame: what was found before does not carry it.
    pub(super) is_aggregate: bool,
    /// Whether these bytes are themselves quoted: quotes inside them are not followed.
    pub(super) is_quote: bool,
    /// The layers met, when somebody wants to show them.
    pub(super) layers: Option<Vec<Layer>>,
    /// All bytes that were kept; offsets count from its beginning.
    bytes: &'a [u8],
    /// End of the captured bytes that belong to the current layer.
    end: usize,
    /// End of the current layer as told by its headers; at or beyond `end`.
    told: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(bytes: &'a [u8], wire_len: u32) -> Self {
        Self {
            packet: Packet::default(),
            at: 0,
            final_destination: None,
            home_address: None,
            is_aggregate: false,
            is_quote: false,
            layers: None,
            bytes,
            end: bytes.len(),
            told: bytes.len().max(wire_len as usize),
        }
    }

    /// Walks from a first reader to the end.
    pub(super) fn run(&mut self, first: Next) {
        let mut next = first;
        for _ in 0..MAX_LAYERS {
            match (next.0)(self) {
                Some(following) => next = following,
                None => return,
            }
        }
        self.stop("packet", Why::TooManyLayers, false);
    }

    /// Walks a packet that an ICMP error quotes, beginning with its IP header.
    pub(super) fn run_quote(&mut self) {
        self.is_quote = true;
        match self.rest().first().map(|byte| byte >> 4) {
            Some(4) => self.run(Next(super::ipv4::read)),
            Some(6) => self.run(Next(super::ipv6::read)),
            _ => {}
        }
    }

    /// The packet, complete.
    pub(super) fn finish(mut self) -> Packet<'a> {
        // Also where IP was announced and its header could not be read.
        if self.packet.ip_depth > 0 && !self.is_fragment() && self.packet.transport == Transport::None {
            self.packet.transport = Transport::Other(Protocol::Other);
        }
        self.packet
    }

    /// Notes that a layer begins here.
    #[inline]
    pub(super) fn enter(&mut self, kind: Kind) {
        if let Some(layers) = &mut self.layers {
            layers.push(Layer { kind, at: self.at, end: self.end, told: self.told });
        }
    }

    /// Notes that a layer begins here which carries packets.
    pub(super) fn enter_tunnel(&mut self, kind: Kind, name: &'static str) {
        self.packet.tunnel.get_or_insert(Tunnel { name, outside: self.packet.ip_depth });
        self.enter(kind);
    }

    /// The captured bytes from here to the end of the layer.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..self.end).unwrap_or_default()
    }

    /// Length of [`Walk::rest`] had nothing been cut, as headers tell.
    #[inline]
    pub(super) fn told_len(&self) -> usize {
        self.told.saturating_sub(self.at)
    }

    /// Whether all that headers tell of was captured.
    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        self.end >= self.told
    }

    /// The first `N` bytes from here, or a noted stop.
    #[inline]
    pub(super) fn header<const N: usize>(&mut self, layer: &'static str) -> Option<&'a [u8; N]> {
        match self.rest().first_chunk() {
            Some(header) => Some(header),
            None => self.short(layer, N),
        }
    }

    /// The first `len` bytes from here, or a noted stop.
    #[inline]
    pub(super) fn take(&mut self, layer: &'static str, len: usize) -> Option<&'a [u8]> {
        match self.rest().get(..len) {
            Some(header) => Some(header),
            None => self.short(layer, len),
        }
    }

    /// Notes that a header needs more bytes than there are.
    #[cold]
    pub(super) fn short<T>(&mut self, layer: &'static str, needs: usize) -> Option<T> {
        let has = self.rest().len() as u32;
        // Cut by the snapshot length if the bytes were on the wire.
        let cut = self.told_len() >= needs;
        self.stop(layer, Why::Short { needs: needs as u32, has }, cut);
        None
    }

    /// Notes why the walk ends here. The last reason stays: what did not end it matters less.
    #[cold]
    pub(super) fn stop(&mut self, layer: &'static str, why: Why, cut: bool) {
        // What a fragment carries goes on in the next, unless the capture cut it.
        if !cut && self.is_fragment() {
            return;
        }
        let at = self.at.min(self.bytes.len()) as u32;
        self.packet.stop = Some(Stop { at, layer, why, cut });
    }

    /// Notes that nobody here knows the link type.
    pub(super) fn unknown_link(&mut self, link_type: u32) {
        self.stop("link", Why::UnknownLink(link_type), false);
    }

    /// Ends the current layer `len` bytes from here, where that is nearer than what was told before.
    #[inline]
    pub(super) fn limit(&mut self, len: usize) {
        self.told = self.told.min(self.at.saturating_add(len));
        self.end = self.end.min(self.told);
    }

    /// Walks a layer of `len` bytes that others follow, and goes on behind it, at `next`.
    pub(super) fn run_part(&mut self, len: usize, next: usize, first: Reader) {
        let (end, told) = (self.end, self.told);
        self.limit(len);
        self.run(Next(first));
        (self.at, self.end, self.told) = (next, end, told);
    }

    /// Begins an IP layer: what was innermost so far becomes, if it is the first, the outermost.
    pub(super) fn enter_ip(&mut self, net: Net) {
        if let Some(ip) = self.packet.ip.take()
            && self.packet.outer.is_none()
        {
            self.packet.outer = Some(Outer {
                src: ip.src,
                dst: ip.dst,
                transport: self.packet.transport.protocol().unwrap_or_default(),
                ports: self.packet.transport.ports(),
                checksum: self.packet.transport.checksum(),
            });
            if !self.is_aggregate {
                self.packet.tunnel.get_or_insert(Tunnel { name: "IP in IP", outside: self.packet.ip_depth });
            }
        }
        self.packet.transport = Transport::None;
        self.packet.arp = None;
        self.packet.net = net;
        self.packet.ip_depth = self.packet.ip_depth.saturating_add(1);
        (self.final_destination, self.home_address) = (None, None);
    }

    /// Moves past a header of IP or of an extension.
    #[inline]
    pub(super) fn advance_ip(&mut self, len: usize) {
        self.at += len;
        let at = self.at as u32;
        if let Some(ip) = &mut self.packet.ip {
            ip.payload_offset = at;
        }
    }

    /// Whether the current IP packet is a fragment.
    #[inline]
    pub(super) fn is_fragment(&self) -> bool {
        self.packet.ip.as_ref().is_some_and(|ip| ip.fragment.is_some())
    }

    /// Judges a checksum over all that follows here, with IP's pseudo header for `protocol`.
    #[inline]
    pub(super) fn checksum_to_end(&self, protocol: u8) -> Checksum {
        if self.is_fragment() || !self.is_whole() {
            return Checksum::Unverified;
        }
        let Some(ip) = &self.packet.ip else { return Checksum::Unverified };
        super::checksum::verify(&self.pseudo(ip), protocol, self.rest(), self.rest().len())
    }

    /// Source and final destination for a pseudo header.
    #[inline]
    pub(super) fn pseudo(&self, ip: &Ip) -> (IpAddr, IpAddr) {
        (self.home_address.unwrap_or(ip.src), self.final_destination.unwrap_or(ip.dst))
    }
}
