//! Shares of page views with their uncertainty.

/// The 95th percentile of the standard normal distribution: 90 % of it lie between -Z and Z, as
/// [`crate::gate::INTERVAL_ALPHA`] asks.
const Z: f64 = 1.644_853_626_951_472_2;

/// Returns the 90 % confidence interval of a share `part / n`: the true share lies below it with probability 0.05, and
/// above it with probability 0.05. From 0 to 1 without values.
///
/// Wilson's score interval (Wilson 1927, "Probable inference, the law of succession, and statistical inference", p. 209):
/// `(p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)` with `p = part / n`.
#[must_use]
pub fn interval(part: i64, n: i64) -> [f64; 2] {
    if n < 1 {
        return [0.0, 1.0];
    }
    let (is_none, is_all) = (part <= 0, part >= n);
    let (n, share) = (n as f64, (part as f64 / n as f64).clamp(0.0, 1.0));
    let center = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // Exact at the limits, where rounding would leave them.
    [
        if is_none { 0.0 } else { (center - spread) / scale },
        if is_all { 1.0 } else { (center + spread) / scale },
    ]
}

/// Returns the lower end of [`interval`]: a cautious estimate of a share from few page views.
///
/// It is 0 for `part` 0 and approaches the share as `n` grows: 17 of 17 give 0.86, 3 of 10 give 0.13, 3,000 of 10,000 give
/// 0.2925.
#[must_use]
pub fn at_least(part: i64, n: i64) -> f64 {
    let [low, _] = interval(part, n);
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The probability of each number of successes of `n`.
    fn binomial(n: i64, share: f64) -> Vec<f64> {
        let mut probability = (1.0 - share).powi(n as i32);
        let mut all = Vec::new();
        for k in 0..=n {
            all.push(probability);
            probability *= (n - k) as f64 / (k + 1) as f64 * share / (1.0 - share);
        }
        all
    }

    #[test]
    fn interval_is_that_of_the_score_test() {
        // Its ends are the shares whose score test has exactly the level.
        for (views, n) in [(0, 10), (3, 10), (50, 100), (999, 1_000)] {
            let share = views as f64 / n as f64;
            let is_on_the_edge =
                |end: f64| ((share - end).abs() / (end * (1.0 - end) / n as f64).sqrt() - Z).abs() < 1e-9;
            let [low, high] = interval(views, n);
            assert!(low <= share && share <= high, "{views} of {n}: {low} {high}");
            assert!(views == 0 || is_on_the_edge(low), "{views} of {n}: {low}");
            assert!(is_on_the_edge(high), "{views} of {n}: {high}");
        }
        assert_eq!(interval(0, 5)[0], 0.0);
        assert_eq!(interval(5, 5)[1], 1.0);
    }

    #[test]
    fn nine_of_ten_intervals_hold_the_share() {
        for share in [0.1, 0.3, 0.5, 0.9] {
            let held: f64 = (0..)
                .zip(binomial(200, share))
                .filter(|&(views, _)| {
                    let [low, high] = interval(views, 200);
                    (low..=high).contains(&share)
                })
                .map(|(_, probability)| probability)
                .sum();
            assert!((0.87..=0.93).contains(&held), "{share}: {held}");
        }
    }

    #[test]
    fn bounds_are_those_of_the_formula() {
        // Computed by hand with z² = 2.705543: for 17 of 17 the bound is 17 / (17 + z²).
        for (part, n, bound) in
            [(17, 17, 0.862_701), (3, 10, 0.126_877), (3_000, 10_000, 0.292_517), (1, 1, 0.269_866)]
        {
            assert!((at_least(part, n) - bound).abs() < 1e-5, "{part} of {n}: {}", at_least(part, n));
        }
        assert_eq!((at_least(0, 50), at_least(0, 0), at_least(-1, 5), at_least(1, -1)), (0.0, 0.0, 0.0, 0.0));
    }

    #[test]
    fn share_without_values_is_unknown() {
        assert_eq!((interval(0, 0), interval(3, -1)), ([0.0, 1.0], [0.0, 1.0]));
    }

    proptest! {
        #[test]
        fn bound_is_below_the_share_and_grows_with_n(part in 1_i64..1_000, rest in 0_i64..1_000) {
            let n = part + rest;
            let (low, lower) = (at_least(part * 10, n * 10), at_least(part, n));
            prop_assert!(0.0 < lower && lower < low && low <= part as f64 / n as f64);
        }
    }
}
