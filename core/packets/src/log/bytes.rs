//! Numbers in either byte order, and the lengths that pcapng rounds to.

/// The order of a section's or a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}

/// Each reads the number that begins at `at`. The caller has checked that it is there.
impl ByteOrder {
    #[inline]
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let field = array(bytes, at);
        if self == Self::Little { u16::from_le_bytes(field) } else { u16::from_be_bytes(field) }
    }

    #[inline]
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let field = array(bytes, at);
        if self == Self::Little { u32::from_le_bytes(field) } else { u32::from_be_bytes(field) }
    }

    #[inline]
    pub(crate) fn u64(self, bytes: &[u8], at: usize) -> u64 {
        let field = array(bytes, at);
        if self == Self::Little { u64::from_le_bytes(field) } else { u64::from_be_bytes(field) }
    }
}

/// `length` rounded up to the 32-bit boundary that pcapng pads to.
#[inline]
pub(crate) const fn padded(length: usize) -> usize {
    length.saturating_add(3) & !3
}

#[inline]
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}
