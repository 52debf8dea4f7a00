//! What chance alone would show: how far a share may lie from the probability behind it, and how seldom counts come as unequal
//! as they were seen.

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

/// How often chance would have the first of two shares (hits and tries) exceed the second by as much, if both had one
/// probability behind them: Fisher's exact test, one-sided. `None` where either has no tries, or more hits than tries.
pub(super) fn fisher((hits, tries): (u64, u64), (other_hits, other_tries): (u64, u64)) -> Option<f64> {
    if tries == 0 || other_tries == 0 || hits > tries || other_hits > other_tries {
        return None;
    }
    let (all_hits, all) = (hits + other_hits, tries + other_tries);
    let whole = ln_choose(all, all_hits);
    let share = |hits: u64| (ln_choose(tries, hits) + ln_choose(other_tries, all_hits - hits) - whole).exp();
    Some((hits..=all_hits.min(tries)).map(share).sum::<f64>().min(1.0))
}

/// How often at least `hits` of `tries` come by chance, where each has this probability.
pub(super) fn at_least(hits: u64, tries: u64, probability: f64) -> f64 {
    if hits == 0 || probability >= 1.0 {
        return 1.0;
    }
    if hits > tries || probability <= 0.0 {
        return 0.0;
    }
    let (yes, no) = (probability.ln(), (1.0 - probability).ln());
    let share = |hits: u64| (ln_choose(tries, hits) + hits as f64 * yes + (tries - hits) as f64 * no).exp();
    (hits..=tries).map(share).sum::<f64>().min(1.0)
}

/// The logarithm of how many ways there are to choose `k` of `n`, `k` being at most `n`.
fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// The logarithm of `n!`: exact for few, by Stirling's series for many (NIST DLMF 5.11.1, an error below 1e-10 from 32 on).
fn ln_factorial(n: u64) -> f64 {
    if n < 32 {
        return (2..=n).map(|i| (i as f64).ln()).sum();
    }
    let x = n as f64 + 1.0;
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1_260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
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

    #[test]
    fn unequal_shares_are_as_seldom_as_fisher_says() {
        // Fisher 1935, the lady tasting tea: 3 of 4 right is 17 of 70; Fisher 1935, convicted twins: 10 of 13 against 2 of 17 is
        // 0.0004652.
        let tea = fisher((3, 4), (1, 4)).unwrap();
        let twins = fisher((10, 13), (2, 17)).unwrap();
        assert!((tea - 17.0 / 70.0).abs() < 1e-9, "{tea}");
        assert!((twins - 0.000_465_2).abs() < 1e-7, "{twins}");
        let many = fisher((500, 10_000), (500, 10_000)).unwrap();
        assert!((0.5..0.53).contains(&many), "{many}");
        assert_eq!((fisher((1, 0), (0, 5)), fisher((0, 5), (0, 0))), (None, None));
    }

    #[test]
    fn tails_are_those_of_coins() {
        assert!((at_least(8, 10, 0.5) - 56.0 / 1024.0).abs() < 1e-12);
        assert_eq!((at_least(0, 5, 0.1), at_least(6, 5, 0.1)), (1.0, 0.0));
        let half = at_least(500, 1_000, 0.5);
        assert!((half - 0.512_6).abs() < 1e-4, "{half}");
    }
}
