//! How far a share that was seen may lie from the probability behind it.

/// The 95 % interval of the probability behind `hits` of `tries` (Wilson 1927): also right for few tries, and never outside
/// 0 to 1. `None` without tries.
pub(super) fn interval95(hits: u64, tries: u64) -> Option<(f64, f64)> {
    if tries == 0 || hits > tries {
        return None;
    }
    const Z: f64 = 1.959_964;
    let (n, p) = (tries as f64, hits as f64 / tries as f64);
    let centre = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    Some((((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // Newcombe 1998, table I, method 3: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611.
        let (low, high) = interval95(81, 263).unwrap();
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        let (low, high) = interval95(0, 20).unwrap();
        assert!(low == 0.0 && (high - 0.1611).abs() < 1e-4, "{low} {high}");
        assert_eq!(interval95(0, 0), None);
    }
}
