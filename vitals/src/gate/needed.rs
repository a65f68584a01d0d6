//! The number of page views that would likely decide a budget.
//!
//! One look decides with a probability of 80 % from `((z √(q(1−q)) + z₀.₂ √(s(1−s))) / (s−q))²` independent page views
//! on, the usual sample size of a one-sided test of a proportion: `q` is the percentile, `s` the measured share, `z` the
//! quantile of the test. The quantile of the always-valid test grows with the page views, so the formula is iterated. The
//! design effect multiplies the result.

use super::{Looks, Sample, normal, sequence};
use crate::limits;

/// The normal quantile of a power of 80 %.
pub(super) const POWER_QUANTILE: f64 = 0.8416;
/// Iterations of the always-valid test's formula: each moves the logarithm of a quantile, so a few suffice.
const ITERATIONS: usize = 20;

impl Sample {
    /// Estimates the total page views needed for a verdict, if the share within the budget stays the same; `None` if
    /// the number is out of reach.
    ///
    /// `fail_level` and `pass_level` are the levels of the two verdicts, as in [`Sample::ranks`]. The estimate is at least
    /// `min_samples` and the number of page views that pass if all of them are within the budget.
    #[must_use]
    pub fn needed(&self, looks: Looks, fail_level: f64, pass_level: f64) -> Option<u64> {
        let effect = self.design_effect.max(1.0);
        let percent = self.percent.clamp(1, 99);
        let least = whole(all_within(percent, looks, pass_level)? * effect)?.max(self.min_samples);
        if self.n == 0 {
            return Some(least);
        }
        let q = f64::from(percent) / 100.0;
        let share = self.within.min(self.n) as f64 / self.n as f64;
        let level = if share < q { fail_level } else { pass_level };
        let power = POWER_QUANTILE * (share * (1.0 - share)).sqrt();
        let size = |quantile: f64| ((quantile * (q * (1.0 - q)).sqrt() + power) / (share - q)).powi(2);
        let independent = match looks {
            Looks::One => size(normal::quantile(level)),
            Looks::Many => (0..ITERATIONS).fold(1_000.0, |n, _| size(sequence::quantile(n, level))),
        };
        Some(whole(independent * effect)?.max(least).max(self.n.saturating_add(1)))
    }
}

/// The independent page views that pass at `alpha` if all of them are within the budget.
fn all_within(percent: u8, looks: Looks, alpha: f64) -> Option<f64> {
    match looks {
        // qⁿ ≤ alpha.
        Looks::One => Some((alpha.ln() / (f64::from(percent) / 100.0).ln()).ceil()),
        Looks::Many => {
            let passes = |n: u64| looks.p_pass(n, n, percent) <= alpha;
            let mut to = 1_u64;
            while !passes(to) {
                to = to.checked_mul(2).filter(|&n| n <= limits::GATE_SAMPLES_MAX)?;
            }
            let mut from = to / 2;
            while from.saturating_add(1) < to {
                let middle = from.midpoint(to);
                if passes(middle) {
                    to = middle;
                } else {
                    from = middle;
                }
            }
            Some(to as f64)
        }
    }
}

/// Rounds up to a number of page views; `None` if no site could collect so many.
fn whole(number: f64) -> Option<u64> {
    (number <= limits::GATE_SAMPLES_MAX as f64).then(|| number.ceil() as u64)
}
