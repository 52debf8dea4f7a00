//! TCP sequence numbers: comparison modulo 2^32 (RFC 9293 section 3.4), and numbers that keep growing past 4 GiB.

/// Whether `a` lies after `b`, on the shorter way round.
pub(super) const fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// Whether `a` lies before `b`, on the shorter way round.
pub(super) const fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Where relative numbers of one direction stand: a raw number and the relative number it has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reference {
    raw: u32,
    relative: u64,
}

impl Reference {
    /// The initial sequence number has the relative number 0.
    pub(super) const fn new(isn: u32) -> Self {
        Self { raw: isn, relative: 0 }
    }

    /// The relative number of `raw`, taken to lie within 2 GiB of the reference; what lies before the beginning is 0.
    pub(super) const fn relative(self, raw: u32) -> u64 {
        let distance = raw.wrapping_sub(self.raw) as i32 as i64;
        self.relative.saturating_add_signed(distance)
    }

    /// Moves the reference to `raw`, if that lies ahead.
    pub(super) const fn advance(&mut self, raw: u32) {
        if after(raw, self.raw) {
            self.relative = self.relative(raw);
            self.raw = raw;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_the_shorter_way_round() {
        assert!(after(0, u32::MAX) && before(u32::MAX, 0) && !after(7, 7) && !before(7, 7));
        assert!(after(0x7fff_ffff, 0) && !after(0x8000_0001, 0));
    }

    #[test]
    fn relative_numbers_grow_past_four_gigabytes() {
        let mut reference = Reference::new(0xffff_fff0);
        for _ in 0..6 {
            let next = reference.raw.wrapping_add(0x4000_0000);
            reference.advance(next);
        }
        assert_eq!(reference.relative(0xffff_fff0_u32.wrapping_add(0x8000_0000)), 0x1_8000_0000);
        assert_eq!(Reference::new(100).relative(101), 1);
        assert_eq!(Reference::new(100).relative(99), 0);
    }
}
