//! Which sizes the packets of one direction have: what path MTU rules read.
//!
//! Packets of one size come in runs, and a run is counted in the side itself; only its end looks into the list. (Looking
//! there for each packet was a tenth of the engine's time over web-like traffic.)

use super::conversation::Side;

/// Sizes told apart in one direction.
const MOST_SIZES: usize = 24;

impl Side {
    /// Bytes of IP and how many packets had that size, ascending; at most 24 sizes, of more the nearest larger one is taken.
    pub fn sizes(&self) -> Vec<(u32, u32)> {
        let mut sizes = self.onward.0.as_ref().map_or_else(Vec::new, |onward| onward.ended_runs.clone());
        add(&mut sizes, self.run);
        sizes
    }

    /// Counts one packet of that many bytes of IP.
    #[inline]
    pub(super) fn count_size(&mut self, ip_len: u32) {
        if self.run.0 == ip_len {
            self.run.1 = self.run.1.saturating_add(1);
            return;
        }
        self.largest_ip = self.largest_ip.max(ip_len);
        let ended = std::mem::replace(&mut self.run, (ip_len, 1));
        if ended.1 > 0 {
            add(&mut self.onward.get_mut().ended_runs, ended);
        }
    }
}

/// Counts `count` packets of one size.
fn add(sizes: &mut Vec<(u32, u32)>, (ip_len, more): (u32, u32)) {
    if more == 0 {
        return;
    }
    let full = sizes.len() >= MOST_SIZES;
    let at = sizes.partition_point(|(size, _)| *size < ip_len);
    match sizes.get_mut(at) {
        Some((size, count)) if *size == ip_len || full => *count = count.saturating_add(more),
        None if full => {
            let (size, count) = sizes.last_mut().expect("a full list has a last size");
            *size = ip_len;
            *count = count.saturating_add(more);
        }
        _ => sizes.insert(at, (ip_len, more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_together_however_often_the_size_changes() {
        let mut side = Side::default();
        assert_eq!(side.sizes(), []);
        for ip_len in [1500, 1500, 52, 1500, 1500, 1500, 52, 60] {
            side.count_size(ip_len);
        }
        assert_eq!((side.sizes(), side.largest_ip), (vec![(52, 2), (60, 1), (1500, 5)], 1500));
    }

    #[test]
    fn of_many_sizes_the_nearest_larger_one_is_taken_and_none_is_lost() {
        let mut side = Side::default();
        (0..MOST_SIZES as u32).for_each(|n| side.count_size(100 + 10 * n));
        for ip_len in [105, 105, 9_000, 9_000, 50] {
            side.count_size(ip_len);
        }
        let sizes = side.sizes();
        assert_eq!((sizes.len(), sizes[0], sizes[1], sizes[23]), (MOST_SIZES, (100, 2), (110, 3), (9_000, 3)));
    }
}
