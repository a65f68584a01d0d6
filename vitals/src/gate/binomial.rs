//! Binomial tail probabilities, exact for any realistic number of samples.
//!
//! The probability of one count uses Loader's saddle-point expansion ("Fast and Accurate Computation of Binomial
//! Probabilities", 2000). Unlike log-gamma functions, the expansion loses no digits in the difference of huge
//! logarithms. A tail is a sum of that probability times ratios of neighboring probabilities. All terms are positive
//! and shrink away from the mean. A sum therefore needs a few multiples of the standard deviation in terms (a few
//! hundred thousand for 10^9 samples), and keeps at least eleven digits.

use core::f64::consts::TAU;

/// A binomial distribution: the number of successes in `n` trials, each with a success probability of `percent` per
/// cent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binomial {
    n: u64,
    percent: u8,
}

/// Relative size below which a term of a sum is ignored.
const NEGLIGIBLE: f64 = 1e-20;

impl Binomial {
    /// The distribution; clamps `percent` to 1 to 99.
    pub(super) fn new(n: u64, percent: u8) -> Self {
        Self { n, percent: percent.clamp(1, 99) }
    }

    /// The distribution of the failures.
    pub(super) const fn mirrored(self) -> Self {
        Self { n: self.n, percent: 100_u8.saturating_sub(self.percent) }
    }

    /// The odds of a success: `p / (1 - p)`.
    fn odds(self) -> f64 {
        f64::from(self.percent) / f64::from(self.mirrored().percent)
    }

    /// The expected number of successes.
    pub(super) fn mean(self) -> f64 {
        self.n as f64 * f64::from(self.percent) / 100.0
    }

    /// P(X = k).
    pub(super) fn probability(self, k: u64) -> f64 {
        let Some(failures) = self.n.checked_sub(k) else { return 0.0 };
        let p = f64::from(self.percent) / 100.0;
        let q = f64::from(self.mirrored().percent) / 100.0;
        let (n, k_, failures_) = (self.n as f64, k as f64, failures as f64);
        if k == 0 {
            return (n * q.ln()).exp();
        }
        if failures == 0 {
            return (n * p.ln()).exp();
        }
        // Computes k − np in whole hundredths, so that no digit is lost if both are huge.
        let excess = i128::from(k)
            .saturating_mul(100)
            .saturating_sub(i128::from(self.n).saturating_mul(i128::from(self.percent)));
        let excess = excess as f64 / 100.0;
        let exponent = stirling_error(n)
            - stirling_error(k_)
            - stirling_error(failures_)
            - deviance(k_, self.mean(), excess)
            - deviance(failures_, self.mirrored().mean(), -excess);
        exponent.exp() * (n / (TAU * k_ * failures_)).sqrt()
    }

    /// P(X ≤ k).
    pub(super) fn at_most(self, k: u64) -> f64 {
        let Some(above) = self.n.checked_sub(k).filter(|&above| above > 0) else { return 1.0 };
        if (k as f64) <= self.mean() {
            self.tail_down(k)
        } else {
            // P(X > k) is P(failures < n − k), the smaller tail, so that the difference is exact.
            1.0 - self.mirrored().tail_down(above.saturating_sub(1))
        }
    }

    /// P(X ≥ k).
    pub(super) fn at_least(self, k: u64) -> f64 {
        self.n.checked_sub(k).map_or(0.0, |failures| self.mirrored().at_most(failures))
    }

    /// P(X ≤ k) for a `k` at most one above the mean.
    fn tail_down(self, k: u64) -> f64 {
        let (odds, n) = (self.odds(), self.n as f64);
        let (mut sum, mut term, mut count) = (1.0_f64, 1.0_f64, k as f64);
        while count > 0.0 && term > sum * NEGLIGIBLE {
            term *= count / ((n - count + 1.0) * odds);
            sum += term;
            count -= 1.0;
        }
        (self.probability(k) * sum).min(1.0)
    }

    /// Returns the largest `r` with P(X ≤ r − 1) ≤ `alpha`; 0 if P(X = 0) > `alpha`.
    pub(super) fn rank_below(self, alpha: f64) -> u64 {
        // The probability below the start is under 10^-15: Bernstein's inequality for twelve standard deviations and 40
        // successes below the mean.
        let deviation = (self.mean() * f64::from(self.mirrored().percent) / 100.0).sqrt();
        let mut rank = (self.mean() - 12.0 * deviation - 40.0).max(0.0) as u64;
        let (odds, n) = (self.odds(), self.n as f64);
        let mut probability = self.probability(rank);
        let mut below = 0.0;
        while rank <= self.n && below + probability <= alpha {
            below += probability;
            let count = rank as f64;
            probability *= (n - count) * odds / (count + 1.0);
            rank = rank.saturating_add(1);
        }
        rank
    }
}

/// `ln n! − ln(√(2πn) (n/e)^n)`: the error of Stirling's formula (Loader 2000, equation 2).
fn stirling_error(n: f64) -> f64 {
    if n <= 15.0 {
        // 15! is exact in an f64.
        let mut factorial = 1.0;
        let mut factor = 2.0;
        while factor <= n {
            factorial *= factor;
            factor += 1.0;
        }
        return f64::ln(factorial) - ((n + 0.5) * n.ln() - n + 0.5 * TAU.ln());
    }
    let square = n * n;
    (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / n
}

/// The deviance part `x ln(x/mean) + mean − x` (Loader 2000, equation 5), given `excess` = x − mean.
fn deviance(x: f64, mean: f64, excess: f64) -> f64 {
    if excess.abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() - excess;
    }
    // Near the mean the terms cancel. The series of the inverse hyperbolic tangent does not.
    let v = excess / (x + mean);
    let mut sum = excess * v;
    let mut power = 2.0 * x * v;
    let mut divisor = 3.0;
    loop {
        power *= v * v;
        let next = sum + power / divisor;
        // Each power is at most a hundredth of the power before, so the loop ends.
        if next == sum {
            return sum;
        }
        sum = next;
        divisor += 2.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities of all counts by definition, with products that cannot overflow for small n.
    fn definition(n: u64, percent: u8) -> Vec<f64> {
        let p = f64::from(percent) / 100.0;
        let mut probabilities = vec![1.0];
        for _ in 0..n {
            let mut next = vec![0.0; probabilities.len() + 1];
            for (k, probability) in probabilities.iter().enumerate() {
                next[k] += probability * (1.0 - p);
                next[k + 1] += probability * p;
            }
            probabilities = next;
        }
        probabilities
    }

    fn assert_close(actual: f64, expected: f64, digits: i32, what: &str) {
        let error = (actual - expected).abs() / expected.abs().max(1e-280);
        assert!(error <= 10_f64.powi(-digits), "{what}: {actual:e} is not {expected:e}");
    }

    #[test]
    fn tails_are_the_sums_of_the_definition() {
        for n in [0, 1, 2, 3, 7, 15, 16, 17, 30, 100, 333] {
            for percent in [1, 5, 50, 75, 90, 95, 99] {
                let by_definition = definition(n, percent);
                let binomial = Binomial::new(n, percent);
                for k in 0..=n {
                    let what = format!("n={n} percent={percent} k={k}");
                    let (below, above) = by_definition.split_at(k as usize + 1);
                    assert_close(binomial.probability(k), below[k as usize], 11, &what);
                    assert_close(binomial.at_most(k), below.iter().sum(), 11, &what);
                    let at_least = above.iter().rev().sum::<f64>() + below[k as usize];
                    assert_close(binomial.at_least(k), at_least, 11, &what);
                }
                assert_eq!(binomial.at_least(n + 1), 0.0);
                assert_eq!(binomial.at_most(n + 5), 1.0);
            }
        }
    }

    /// The expected numbers were computed in 60-digit arithmetic.
    #[test]
    fn tails_of_large_counts_keep_their_digits() {
        KNOWN.iter().for_each(|&(n, percent, k, at_most, at_least)| {
            let binomial = Binomial::new(n, percent);
            assert_close(binomial.at_most(k), at_most, 10, &format!("P(X <= {k}) of {n}, {percent} %"));
            assert_close(binomial.at_least(k), at_least, 10, &format!("P(X >= {k}) of {n}, {percent} %"));
        });
    }

    const KNOWN: &[(u64, u8, u64, f64, f64)] = &[
        (240, 75, 120, 7.786580020022e-17, 1.0),
        (5_000, 75, 3_699, 0.05000997901384, 0.95324138636),
        (5_000, 75, 3_801, 0.9542070473361, 0.04905098512231),
        (100_000, 75, 74_000, 1.822071658657e-13, 0.9999999999998),
        (1_000_000, 75, 749_000, 0.01051583861101, 0.9895482440539),
        (1_000_000, 99, 990_200, 0.9783174222773, 0.02221251036474),
        (1_000_000_000, 75, 749_970_000, 0.01423202698391, 0.9857706161131),
        (1_000_000_000, 75, 750_000_000, 0.500012139427, 0.5000169951978),
        (1_000_000_000, 50, 499_900_000, 1.270074179877e-10, 0.999999999873),
        (1_000_000_000, 95, 950_010_000, 0.9266169072671, 0.07340329608562),
    ];

    #[test]
    fn the_largest_counts_end_without_a_wrong_number() {
        for n in [1_000_000_000, 1_000_000_000_000] {
            for percent in [1, 75, 99] {
                let binomial = Binomial::new(n, percent);
                let mean = n / 100 * u64::from(percent);
                for k in [0, 1, mean - 1, mean, mean + 1, n - 1, n, n + 1, u64::MAX] {
                    let (at_most, at_least) = (binomial.at_most(k), binomial.at_least(k));
                    assert!(
                        (0.0..=1.0).contains(&at_most) && (0.0..=1.0).contains(&at_least),
                        "{n} {percent} {k}"
                    );
                }
                assert!((binomial.at_most(mean) - 0.5).abs() < 1e-3);
                assert!((binomial.at_least(mean) - 0.5).abs() < 1e-3);
            }
        }
    }
}
