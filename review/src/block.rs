//! Where pcapng blocks end: just enough of the format to cut a log between two of them.
//!
//! A block is type (4 bytes), length (4), body, the same length again (draft-ietf-opsawg-pcapng, section 3.1). Nothing of the
//! body is looked at but a section's byte-order magic.

const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The largest block that is believed; Wireshark refuses larger ones too (`WTAP_MAX_BLOCK_SIZE` is 16 MiB).
pub(crate) const LARGEST: usize = 16 << 20;

/// How much of some bytes can be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// This many bytes are whole blocks; at least one.
    Whole(usize),
    /// The first block goes on beyond the bytes: at least so many are needed in all.
    Needs(usize),
    /// No block begins here.
    NoBlock,
}

/// Which end of a number comes first in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    /// That of the section a file begins with; little-endian where it says nothing sensible.
    pub(crate) fn of_section(head: &[u8]) -> Self {
        match head.get(8..12) {
            Some([0x1a, 0x2b, 0x3c, 0x4d]) => Self::Big,
            _ => Self::Little,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Little => Self::Big,
            Self::Big => Self::Little,
        }
    }

    fn number(self, bytes: &[u8], at: usize) -> Option<usize> {
        let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        let number = match self {
            Self::Little => u32::from_le_bytes(four),
            Self::Big => u32::from_be_bytes(four),
        };
        usize::try_from(number).ok()
    }
}

/// How many of `bytes`, which begin at a block, are whole blocks. `order` is that of the section, and follows new sections.
pub(crate) fn cut(bytes: &[u8], order: &mut Order) -> Cut {
    let mut end = 0;
    loop {
        match one(&bytes[end..], order) {
            Cut::Whole(length) => end += length,
            _ if end > 0 => return Cut::Whole(end),
            other => return other,
        }
    }
}

fn one(bytes: &[u8], order: &mut Order) -> Cut {
    if bytes.len() < 12 {
        return Cut::Needs(12);
    }
    if bytes[..4] == SECTION {
        *order = Order::of_section(bytes);
    }
    // The other byte order is tried too: whoever comes back with an offset may be in a later section than the file's first.
    let mut answer = Cut::NoBlock;
    for candidate in [*order, order.other()] {
        let Some(length) = candidate.number(bytes, 4).filter(|length| is_length(*length)) else { continue };
        match candidate.number(bytes, length - 4) {
            Some(again) if again == length => {
                *order = candidate;
                return Cut::Whole(length);
            }
            Some(_) => {}
            None if answer == Cut::NoBlock => answer = Cut::Needs(length),
            None => {}
        }
    }
    answer
}

/// How long a block may be that begins with `head`, by either byte order.
pub(crate) fn lengths(head: &[u8]) -> impl Iterator<Item = u64> {
    let both = [Order::Little, Order::Big].map(|order| order.number(head, 4).filter(|length| is_length(*length)));
    both.into_iter().flatten().map(|length| length as u64)
}

fn is_length(length: usize) -> bool {
    (12..=LARGEST).contains(&length) && length.is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u32, body: usize, order: Order) -> Vec<u8> {
        let word = |n: u32| match order {
            Order::Little => n.to_le_bytes(),
            Order::Big => n.to_be_bytes(),
        };
        let length = u32::try_from(12 + body).unwrap();
        [&word(kind)[..], &word(length), &vec![7; body], &word(length)].concat()
    }

    #[test]
    fn only_whole_blocks_are_cut_off() {
        for order in [Order::Little, Order::Big] {
            let log = [block(6, 40, order), block(6, 0, order), block(5, 400, order)].concat();
            for length in 0..=log.len() {
                let expected = match length {
                    0..12 => Cut::Needs(12),
                    12..52 => Cut::Needs(52),
                    52..64 => Cut::Whole(52),
                    64..476 => Cut::Whole(64),
                    _ => Cut::Whole(476),
                };
                assert_eq!(cut(&log[..length], &mut order.clone()), expected, "{length} bytes, {order:?}");
            }
        }
    }

    #[test]
    fn an_offset_inside_a_block_is_noticed() {
        let log = [block(6, 40, Order::Little), block(6, 40, Order::Little)].concat();
        for from in (4..52).step_by(4) {
            assert_eq!(cut(&log[from..], &mut Order::Little.clone()), Cut::NoBlock, "from {from}");
        }
    }

    #[test]
    fn a_new_section_may_change_the_byte_order() {
        let mut section = block(0x0a0d_0d0a, 16, Order::Big);
        section[8..12].copy_from_slice(&[0x1a, 0x2b, 0x3c, 0x4d]);
        let log = [block(6, 40, Order::Little), section, block(6, 40, Order::Big)].concat();
        let mut order = Order::Little;
        assert_eq!(cut(&log, &mut order), Cut::Whole(log.len()));
        assert_eq!(order, Order::Big);
    }
}
