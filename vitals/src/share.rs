//! A cautious estimate of a share from few page views.

/// The value that a standard normal variable exceeds with probability 0.05, as [`crate::gate::INTERVAL_ALPHA`].
const Z: f64 = 1.644_853_626_951_472_7;

/// Returns the lower bound of a share `part / n`: the true share lies below with probability 0.05. 0 without values.
///
/// The lower end of Wilson's score interval (Wilson 1927, "Probable inference, the law of succession, and statistical
/// inference", p. 209): `(p + z²/2n − z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)` with `p = part / n`. It is 0 for `part` 0
/// and approaches `p` as `n` grows: 17 of 17 give 0.86, 3 of 10 give 0.13, 3,000 of 10,000 give 0.2925.
#[must_use]
pub fn at_least(part: i64, n: i64) -> f64 {
    if n < 1 || part < 1 {
        return 0.0;
    }
    let (n, z2) = (n as f64, Z * Z);
    let share = (part as f64 / n).min(1.0);
    let center = share + z2 / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    ((center - spread) / (1.0 + z2 / n)).clamp(0.0, share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn bound_is_below_the_share_and_grows_with_n(part in 1_i64..1_000, rest in 0_i64..1_000) {
            let n = part + rest;
            let (low, lower) = (at_least(part * 10, n * 10), at_least(part, n));
            prop_assert!(0.0 < lower && lower < low && low <= part as f64 / n as f64);
        }
    }
}
