//! Wireshark's `tcp.analysis` labels, as a set.

/// A set of labels.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Labels(u16);

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl Labels {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Every label with its Wireshark name, in the order in which they are listed.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, $text)),*];
        }
    };
}

labels! {
    /// Data sent again.
    RETRANSMISSION = 0, "retransmission";
    /// Sent again after duplicate ACKs, before the timer ran out.
    FAST_RETRANSMISSION = 1, "fast_retransmission";
    /// Sent again though it had been acknowledged.
    SPURIOUS_RETRANSMISSION = 2, "spurious_retransmission";
    /// Comes after a later segment, too soon to have been sent again.
    OUT_OF_ORDER = 3, "out_of_order";
    /// Acknowledges again what was acknowledged.
    DUPLICATE_ACK = 4, "duplicate_ack";
    /// Bytes before this segment were not captured.
    LOST_SEGMENT = 5, "lost_segment";
    /// Acknowledges bytes that were not captured.
    ACK_LOST_SEGMENT = 6, "ack_lost_segment";
    /// The receiver has no room.
    ZERO_WINDOW = 7, "zero_window";
    /// One byte sent into a window of zero.
    ZERO_WINDOW_PROBE = 8, "zero_window_probe";
    /// Its answer.
    ZERO_WINDOW_PROBE_ACK = 9, "zero_window_probe_ack";
    /// The segment fills the receiver's window.
    WINDOW_FULL = 10, "window_full";
    /// Only the window changed.
    WINDOW_UPDATE = 11, "window_update";
    /// A keep-alive.
    KEEP_ALIVE = 12, "keep_alive";
    /// Its answer.
    KEEP_ALIVE_ACK = 13, "keep_alive_ack";
    /// A SYN with another sequence number on ports already seen.
    REUSED_PORTS = 14, "reused_ports";
}

impl Labels {
    /// No label.
    pub const NONE: Self = Self(0);

    /// The set as 16 bits, for storing.
    pub const fn bits(self) -> u16 {
        self.0
    }
    /// The set of those bits.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
    /// Whether all of `other` are in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Whether any of `other` is in it.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Both.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// Adds labels.
    pub const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
    /// Their Wireshark names, `retransmission` for `tcp.analysis.retransmission`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |(label, _)| self.has(*label)).map(|(_, name)| *name)
    }
}

impl std::fmt::Debug for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
