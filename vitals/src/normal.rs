//! The standard normal distribution.

/// Returns the value that a standard normal variable exceeds with probability `tail`, over 0 and at most 0.5, with an error
/// under 0.00045 (Abramowitz and Stegun, 26.2.23).
pub(crate) fn quantile(tail: f64) -> f64 {
    let t = (-2.0 * tail.ln()).sqrt();
    let numerator = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let denominator = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - numerator / denominator
}

/// Returns the value that is exceeded with probability `tail`, from 0 to 1. Tails beyond 10⁻¹² count as 10⁻¹².
pub(crate) fn score(tail: f64) -> f64 {
    const LEAST: f64 = 1e-12;
    if tail <= 0.5 { quantile(tail.max(LEAST)) } else { -quantile((1.0 - tail).max(LEAST)) }
}

/// Returns the probability to be at least `z` away from 0, with an error under 1.5 × 10⁻⁷ (Abramowitz and Stegun, 26.2.17).
pub(crate) fn two_tails(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let polynomial = t
        * (0.319_381_530
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let density = (-z * z / 2.0).exp() / core::f64::consts::TAU.sqrt();
    (2.0 * density * polynomial).clamp(0.0, 1.0)
}

/// Returns the probability to exceed `z`.
pub(crate) fn upper_tail(z: f64) -> f64 {
    let tail = two_tails(z.abs()) / 2.0;
    if z < 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_tables() {
        for (z, expected) in [(0.0, 1.0), (1.645, 0.1), (1.96, 0.05), (3.2905, 0.001)] {
            assert!((two_tails(z) - expected).abs() < 5e-5, "{z}: {}", two_tails(z));
        }
        assert_eq!(two_tails(f64::INFINITY), 0.0);
        assert!((upper_tail(-1.645) - 0.95).abs() < 5e-5 && (upper_tail(1.645) - 0.05).abs() < 5e-5);
    }

    #[test]
    fn score_has_its_tail() {
        for tail in [1e-9, 0.001, 0.05, 0.3, 0.5, 0.8, 0.999] {
            let found = upper_tail(score(tail));
            assert!((found / tail - 1.0).abs() < 0.01, "{tail}: {found}");
        }
        assert!(score(0.0) > 7.0 && score(1.0) < -7.0);
    }
}
