//! What the rest of the core needs from one packet: the innermost IP layer and the transport right above it.

use arrayvec::ArrayVec;
use borsh::{BorshDeserialize, BorshSerialize};
use std::net::IpAddr;

/// A dissected packet. Small and without allocation: one is made for each packet of a capture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packet<'a> {
    /// VLAN ids: 802.1ad tags outermost first, then 802.1Q tags outermost first; of more than four the first four are kept.
    pub vlans: ArrayVec<u16, 4>,
    /// Whether any VLAN tag was 802.1ad, and how many.
    pub service_vlans: u8,
    /// The network layer, innermost.
    pub net: Net,
    /// The innermost IP header that is not quoted by an ICMP error.
    pub ip: Option<Ip>,
    /// The outermost IP layer, when it is not the innermost.
    pub outer: Option<Outer>,
    /// IP layers, without quoted ones.
    pub ip_depth: u8,
    /// The outermost tunnel, also one that carries no packet here.
    pub tunnel: Option<Tunnel>,
    /// ARP or RARP.
    pub arp: Option<Arp>,
    /// The transport right above `ip`.
    pub transport: Transport<'a>,
    /// Header checksum of each IPv4 layer, outermost first: good, bad, or unverified where the header was cut; `None` where
    /// its length cannot be right.
    pub ip_checksums: IpChecksums,
    /// Where and why dissection stopped before the end, if it did.
    pub stop: Option<Stop>,
}

/// See [`Packet::ip_checksums`].
pub type IpChecksums = ArrayVec<Option<Checksum>, 8>;

/// The port of DNS.
pub(super) const DNS: u16 = 53;

/// Which network layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Net {
    /// None of these.
    #[default]
    Other,
    /// IPv4 (RFC 791).
    Ipv4,
    /// IPv6 (RFC 8200).
    Ipv6,
    /// ARP (RFC 826).
    Arp,
    /// RARP (RFC 903).
    Rarp,
}

/// An IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Identification: IPv4's, or that of IPv6's Fragment header.
    pub id: Option<u32>,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Protocol, or the fixed IPv6 header's Next Header.
    pub protocol: u8,
    /// DSCP and ECN, as one byte.
    pub traffic_class: u8,
    /// IPv4's Don't Fragment; `None` for IPv6.
    pub dont_fragment: Option<bool>,
    /// When it is a fragment (more to come, or offset above 0).
    pub fragment: Option<Fragment>,
    /// Whole length as the header tells it, header included, in bytes: what an MTU is compared with. Where the header says 0
    /// (TSO super-segments on the sending host), what the frame holds.
    pub total_len: u32,
    /// Where this header begins in the packet's bytes.
    pub offset: u32,
    /// Where what follows it (and its options or extension headers) begins.
    pub payload_offset: u32,
}

/// A fragment's place in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// In units of 8 bytes, as in the header.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
}

impl Fragment {
    /// From IPv4's flags and offset; `None` when it is no fragment.
    #[inline]
    pub(super) fn of_ipv4(word: u16) -> Option<Self> {
        let fragment = Self { offset: word & 0x1fff, more: word & 0x2000 != 0 };
        (fragment.more || fragment.offset > 0).then_some(fragment)
    }
}

/// The outermost IP layer of a tunnelled packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// The first transport above it.
    pub transport: Protocol,
    /// Its ports, where it has any.
    pub ports: Option<(u16, u16)>,
    /// What its checksum says, where it has one.
    pub checksum: Option<Checksum>,
}

/// What carries packets inside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// `GENEVE`, `GRE`, `MPLS`.
    pub name: &'static str,
    /// IP layers outside of it.
    pub outside: u8,
}

impl<'a> Packet<'a> {
    /// The same without the bytes it borrows: the data of its transport.
    pub fn detach(self) -> Packet<'static> {
        let transport = match self.transport {
            Transport::None => Transport::None,
            Transport::Tcp(Tcp { src, dst, seq, ack, flags, window, payload_len, payload: _, options, checksum, offset }) => {
                Transport::Tcp(Tcp { src, dst, seq, ack, flags, window, payload_len, payload: &[], options, checksum, offset })
            }
            Transport::Udp(Udp { protocol, src, dst, payload_len, payload: _, checksum, offset }) => {
                Transport::Udp(Udp { protocol, src, dst, payload_len, payload: &[], checksum, offset })
            }
            Transport::Icmp(Icmp { protocol, kind, code, mtu, echo, quote, payload: _, checksum, offset }) => {
                Transport::Icmp(Icmp { protocol, kind, code, mtu, echo, quote, payload: &[], checksum, offset })
            }
            Transport::Ports { protocol, src, dst } => Transport::Ports { protocol, src, dst },
            Transport::Other(protocol) => Transport::Other(protocol),
        };
        let Self { vlans, service_vlans, net, ip, outer, ip_depth, tunnel, arp, ip_checksums, stop, .. } = self;
        Packet { vlans, service_vlans, net, ip, outer, ip_depth, tunnel, arp, transport, ip_checksums, stop }
    }

    /// Gives its transport the data it stands before, where it has any.
    pub fn attach(&mut self, data: &'a [u8]) {
        match &mut self.transport {
            Transport::Tcp(tcp) => tcp.payload = data,
            Transport::Udp(udp) => udp.payload = data,
            Transport::Icmp(icmp) => icmp.payload = data,
            Transport::None | Transport::Ports { .. } | Transport::Other(_) => {}
        }
    }
}

impl Packet<'_> {
    /// Whether it is UDP to or from port 53.
    pub fn is_dns(&self) -> bool {
        matches!(&self.transport, Transport::Udp(udp) if udp.src == DNS || udp.dst == DNS)
    }

    /// The outermost tunnel, if it carries an IP packet: control messages do not.
    pub fn carried_in(&self) -> Option<&'static str> {
        self.tunnel.filter(|tunnel| self.ip_depth > tunnel.outside).map(|tunnel| tunnel.name)
    }
}

/// An ARP or RARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply, …
    pub operation: u16,
    /// Sender's protocol address, when that is IPv4.
    pub sender: Option<std::net::Ipv4Addr>,
    /// Target's protocol address, when that is IPv4.
    pub target: Option<std::net::Ipv4Addr>,
    /// Sender's hardware address, when that is Ethernet.
    pub sender_mac: Option<[u8; 6]>,
}

/// A transport protocol that is told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Protocol {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
    /// UDP-Lite (RFC 3828).
    UdpLite,
    /// SCTP (RFC 9260).
    Sctp,
    /// DCCP (RFC 4340).
    Dccp,
    /// ICMP (RFC 792).
    Icmp,
    /// ICMPv6 (RFC 4443).
    Icmpv6,
    /// IGMP (RFC 3376).
    Igmp,
    /// Any other protocol over IP.
    #[default]
    Other,
}

/// The transport layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Transport<'a> {
    /// Not IP, a fragment without its header, or cut before it.
    #[default]
    None,
    /// TCP.
    Tcp(Tcp<'a>),
    /// UDP or UDP-Lite.
    Udp(Udp<'a>),
    /// ICMP or ICMPv6.
    Icmp(Icmp<'a>),
    /// SCTP or DCCP, or one of the others that was cut after its ports: ports alone.
    Ports {
        /// Which.
        protocol: Protocol,
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// IGMP, an IP protocol that is only named, or one that was cut before it could be read.
    Other(Protocol),
}

impl<'a> Transport<'a> {
    /// The data it stands before, as far as it was captured.
    pub fn payload(&self) -> &'a [u8] {
        match self {
            Self::Tcp(tcp) => tcp.payload,
            Self::Udp(udp) => udp.payload,
            Self::Icmp(icmp) => icmp.payload,
            Self::None | Self::Ports { .. } | Self::Other(_) => &[],
        }
    }

    /// Which protocol; `None` if there is no transport.
    pub fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::None => None,
            Self::Tcp(_) => Some(Protocol::Tcp),
            Self::Udp(udp) => Some(udp.protocol),
            Self::Icmp(icmp) => Some(icmp.protocol),
            Self::Ports { protocol, .. } | Self::Other(protocol) => Some(*protocol),
        }
    }

    /// Source and destination port, where it has any.
    pub fn ports(&self) -> Option<(u16, u16)> {
        match self {
            Self::Tcp(tcp) => Some((tcp.src, tcp.dst)),
            Self::Udp(udp) => Some((udp.src, udp.dst)),
            Self::Ports { src, dst, .. } => Some((*src, *dst)),
            Self::None | Self::Icmp(_) | Self::Other(_) => None,
        }
    }

    /// What its checksum says, for those that are judged.
    pub fn checksum(&self) -> Option<Checksum> {
        match self {
            Self::Tcp(tcp) => Some(tcp.checksum),
            Self::Udp(udp) => Some(udp.checksum),
            Self::Icmp(icmp) => Some(icmp.checksum),
            Self::None | Self::Ports { .. } | Self::Other(_) => None,
        }
    }
}

/// A TCP segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Tcp<'a> {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number, raw.
    pub seq: u32,
    /// Acknowledgment number, raw; meaningless without the ACK flag.
    pub ack: u32,
    /// The flag bits, FIN the lowest.
    pub flags: TcpFlags,
    /// Window, as in the header.
    pub window: u16,
    /// Bytes of data, by the IP header's length (not by what was captured).
    pub payload_len: u32,
    /// The data that was captured.
    pub payload: &'a [u8],
    /// The options that matter to analysis.
    pub options: TcpOptions,
    /// Whether the checksum is right.
    pub checksum: Checksum,
    /// Where its header begins in the packet's bytes.
    pub offset: u32,
}

/// TCP's flag bits (RFC 9293 section 3.1; AE by RFC 9768), as `tcp.flags` shows them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u16);

#[allow(missing_docs)]
impl TcpFlags {
    pub const FIN: Self = Self(0x001);
    pub const SYN: Self = Self(0x002);
    pub const RST: Self = Self(0x004);
    pub const PSH: Self = Self(0x008);
    pub const ACK: Self = Self(0x010);
    pub const URG: Self = Self(0x020);
    pub const ECE: Self = Self(0x040);
    pub const CWR: Self = Self(0x080);
    pub const AE: Self = Self(0x100);

    /// Whether all of `bits` are set.
    pub const fn has(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }
    /// Whether any of `bits` is set.
    pub const fn any(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }
    /// Both.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// As tcpdump writes them: `S`, `S.`, `P.`, `F.`, `R`, `.`, `none`.
impl std::fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letters = [
            (Self::FIN, 'F'),
            (Self::SYN, 'S'),
            (Self::RST, 'R'),
            (Self::PSH, 'P'),
            (Self::ACK, '.'),
            (Self::URG, 'U'),
            (Self::ECE, 'E'),
            (Self::CWR, 'W'),
            (Self::AE, 'e'),
        ];
        if self.0 & 0x1ff == 0 {
            return f.write_str("none");
        }
        letters.iter().filter(|(bit, _)| self.has(*bit)).try_for_each(|(_, letter)| write!(f, "{letter}"))
    }
}

impl std::fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{self}]")
    }
}

/// TCP options that analysis uses; the decode tree shows all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Maximum Segment Size (RFC 9293 section 3.7.1).
    pub mss: Option<u16>,
    /// Window scale's shift count, as sent (RFC 7323 section 2.2; more than 14 counts as 14).
    pub window_scale: Option<u8>,
    /// SACK permitted (RFC 2018).
    pub sack_permitted: bool,
    /// TSval (RFC 7323 section 3).
    pub tsval: Option<u32>,
    /// TSecr, the timestamp it echoes; not there without TSval, but a packet may be cut between them.
    pub tsecr: Option<u32>,
    /// SACK blocks, raw left and right edges; a D-SACK comes first (RFC 2883).
    pub sack: ArrayVec<(u32, u32), 4>,
    /// Subtypes of the MPTCP options that are there, a bit each (RFC 8684 section 3), but for an MP_CAPABLE without a key.
    pub mptcp: u16,
    /// Whether a Fast Open cookie or request is there (RFC 7413).
    pub fast_open: bool,
}

/// A UDP or UDP-Lite datagram.
#[derive(Clone, Debug, PartialEq)]
pub struct Udp<'a> {
    /// UDP, or UDP-Lite.
    pub protocol: Protocol,
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Bytes of data, by its length field.
    pub payload_len: u32,
    /// The data that was captured.
    pub payload: &'a [u8],
    /// Whether the checksum is right.
    pub checksum: Checksum,
    /// Where its header begins in the packet's bytes.
    pub offset: u32,
}

/// An ICMP or ICMPv6 message.
#[derive(Clone, Debug, PartialEq)]
pub struct Icmp<'a> {
    /// ICMP, or ICMPv6.
    pub protocol: Protocol,
    /// Its type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// Next-hop MTU of "fragmentation needed" (3/4, RFC 1191) and "packet too big" (2, RFC 4443).
    pub mtu: Option<u32>,
    /// Identifier and sequence number of an echo.
    pub echo: Option<(u16, u16)>,
    /// The packet that an error quotes.
    pub quote: Option<Quote>,
    /// Bytes after the 8-byte header.
    pub payload: &'a [u8],
    /// Whether the checksum is right.
    pub checksum: Checksum,
    /// Where its header begins in the packet's bytes.
    pub offset: u32,
}

/// A packet quoted by an ICMP error, as far as it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Its transport; `None` where there was none to read.
    pub transport: Option<Protocol>,
    /// Its ports.
    pub ports: Option<(u16, u16)>,
    /// Identifier of a quoted echo.
    pub echo: Option<u16>,
    /// Its raw TCP sequence number.
    pub seq: Option<u32>,
    /// Whether enough of TCP or UDP is quoted for Wireshark to number a conversation by it.
    pub is_numbered: bool,
    /// Whole length of the quoted IP packet, as its header tells it.
    pub total_len: u32,
}

/// What a checksum says. Judging a bad one (offload, DIAGNOSIS K1) is not dissection's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Checksum {
    /// Right.
    Good,
    /// Wrong.
    Bad,
    /// Not all of what it covers is there.
    #[default]
    Unverified,
    /// UDP 0 over IPv4: not computed by the sender.
    Absent,
    /// UDP 0 over IPv6, which RFC 8200 section 8.1 forbids.
    Illegal,
}

/// Where and why dissection stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Byte of the packet.
    pub at: u32,
    /// Which layer it was in: `ipv4`, `tcp`.
    pub layer: &'static str,
    /// Why; shown, a full clause.
    pub why: Why,
    /// Whether the packet was only cut by the snapshot length, which is no fault of the packet.
    pub cut: bool,
}

impl Stop {
    /// Whether the packet contradicts itself: not if it was only cut, or is of a link type that nobody here reads.
    pub fn is_fault(&self) -> bool {
        !self.cut && !matches!(self.why, Why::UnknownLink(_))
    }
}

/// Why dissection stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Fewer bytes than the header takes.
    Short {
        /// Bytes the header takes.
        needs: u32,
        /// Bytes that are there.
        has: u32,
    },
    /// A length field that contradicts another or its minimum.
    HeaderLength {
        /// Length of the header, as told.
        header: u32,
        /// Length of all, as told.
        total: u32,
    },
    /// An IP version other than the one announced.
    Version(u8),
    /// A link type that is not in [`LINKS`](super::LINKS).
    UnknownLink(u32),
    /// More layers inside each other than are read.
    TooManyLayers,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short { needs, has } => write!(f, "the header needs {needs} bytes and {has} are there"),
            Self::HeaderLength { header, total } => {
                write!(f, "the header tells {header} bytes for itself and {total} in all, which cannot be")
            }
            Self::Version(version) => write!(f, "the header says IP version {version}"),
            Self::UnknownLink(number) => match super::link_type_name(*number) {
                Some(name) => write!(f, "link type {number} ({name}) is not read here"),
                None => write!(f, "link type {number} is not known"),
            },
            Self::TooManyLayers => write!(f, "the packet nests more layers than are read"),
        }
    }
}
