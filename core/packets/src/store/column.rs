//! A column: values of one kind, one a packet, in blocks of fixed size.
//!
//! A block is never moved once it is full, so a growing capture costs no copying and never holds two copies of a column, as
//! a growing vector does. Only the first block grows to its size, for many a column stays short.

/// Values in a block.
pub(super) const BLOCK: usize = 1 << 14;

/// A block of zeros, which the allocator has at hand: nothing is written until it is used.
pub(super) fn zeros<T: Copy + Default, const N: usize>() -> Box<[T; N]> {
    match vec![T::default(); N].into_boxed_slice().try_into() {
        Ok(block) => block,
        Err(_) => unreachable!("a list of N values has N values"),
    }
}

/// The blocks that hold the indexes from `from` on up to (without) `to`, and the range of each that does.
pub(super) fn pieces(from: usize, to: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    let from = from.min(to);
    (from / BLOCK..to.div_ceil(BLOCK)).map(move |block| {
        let base = block * BLOCK;
        (block, from.saturating_sub(base)..(to - base).min(BLOCK))
    })
}

/// An append-only column.
#[derive(Debug, Default)]
pub struct Column<T> {
    blocks: Vec<Vec<T>>,
    len: usize,
}

impl<T: Copy> Column<T> {
    /// Appends a value.
    #[inline]
    pub fn push(&mut self, value: T) {
        if self.len.is_multiple_of(BLOCK) {
            let first = self.blocks.is_empty();
            self.blocks.push(if first { Vec::new() } else { Vec::with_capacity(BLOCK) });
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(value);
        }
        self.len += 1;
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value at `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<T> {
        self.blocks.get(index / BLOCK)?.get(index % BLOCK).copied()
    }

    /// The values from `from` on up to (without) `to`, piece by piece as they lie in memory.
    pub fn slices(&self, from: usize, to: usize) -> impl Iterator<Item = &[T]> {
        pieces(from, to.min(self.len)).map(|(block, range)| &self.blocks[block][range])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_where_they_were_put() {
        let mut column = Column::default();
        for value in 0..3 * BLOCK as u32 + 5 {
            column.push(value);
        }
        assert_eq!(column.len(), 3 * BLOCK + 5);
        assert_eq!(column.get(0), Some(0));
        assert_eq!(column.get(BLOCK), Some(BLOCK as u32));
        assert_eq!(column.get(3 * BLOCK + 4), Some(3 * BLOCK as u32 + 4));
        assert_eq!(column.get(3 * BLOCK + 5), None);
    }

    #[test]
    fn a_range_comes_in_pieces_that_together_are_the_range() {
        let mut column = Column::default();
        for value in 0..2 * BLOCK as u32 + 7 {
            column.push(value);
        }
        for (from, to) in [(0, 0), (0, 1), (5, BLOCK), (BLOCK - 1, BLOCK + 1), (3, 2 * BLOCK + 7), (9, usize::MAX)] {
            let found: Vec<u32> = column.slices(from, to).flatten().copied().collect();
            let expected: Vec<u32> = (from as u32..to.min(column.len()) as u32).collect();
            assert_eq!(found, expected);
        }
    }
}
