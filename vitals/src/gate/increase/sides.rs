//! The evidence of two sides on the difference of their percentiles.

use super::Percentiles;
use crate::gate::{Looks, sequence};
use crate::metric::Value;
use crate::normal;

/// Largest number of steps in which the baseline's percentile is searched.
const STEPS_MAX: u64 = 64;

/// How much a percentile may exceed that of the baseline: the larger of two numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// A share of the baseline's percentile: 0.05 for 5 %.
    pub share: f64,
    /// A difference.
    pub least: Value,
}

impl Allowance {
    /// Returns the allowed difference from a percentile, in millionths.
    pub(super) fn of(self, baseline: f64) -> f64 {
        (self.share * baseline).max(f64::from(self.least.micros()))
    }
}

/// Two sides, without page views of classes that one of them lacks.
#[derive(Clone, Debug)]
pub(super) struct Sides {
    pub(super) percent: u8,
    pub(super) looks: Looks,
    pub(super) allowance: Allowance,
    /// The measured percentile of the baseline, in millionths.
    pub(super) measured: u32,
    /// Page views of both sides, divided by all effects.
    pub(super) effective: [u64; 2],
    /// Values of the baseline, ascending.
    pub(super) baseline: Vec<u32>,
    /// Current values, ascending, each with the weight of all values up to it.
    pub(super) current: Vec<(u32, f64)>,
}

/// The direction of a test.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Against {
    /// Evidence that the limit is exceeded.
    Kept,
    /// Evidence that the limit is met.
    Exceeded,
}

/// Evidence of the baseline on a range of its percentile.
pub(super) struct Step {
    /// The percentile of the range that is hardest to reject, in millionths.
    baseline: f64,
    /// A normal score, or the logarithm of `(1 + E₀)/2`.
    evidence: f64,
}

impl Sides {
    /// Returns the percentiles; `None` if a side has no page views. `unweighted` are all current values, ascending.
    pub(super) fn measure(&self, unweighted: &[u32]) -> Option<Percentiles> {
        let share = f64::from(self.percent) / 100.0;
        let baseline = at_share(&self.baseline, share)?;
        let before = self.current.partition_point(|&(_, weight)| weight < share - 1e-9);
        let (current, _) = *self.current.get(before).or_else(|| self.current.last())?;
        let limit = f64::from(baseline) + self.allowance.of(f64::from(baseline));
        Some(Percentiles {
            baseline,
            current,
            unweighted: at_share(unweighted, share)?,
            limit: limit.round() as u32,
        })
    }

    /// The allowed difference at the measured percentile of the baseline, in millionths.
    pub(super) fn allowed(&self) -> f64 {
        self.allowance.of(f64::from(self.measured))
    }

    /// The limit of the current percentile if the baseline's is `baseline`, for a test of the difference `increase`. It grows
    /// with both, and at the allowed difference it is the budget's limit.
    fn limit(&self, baseline: f64, increase: f64) -> f64 {
        let allowed = self.allowed();
        let scale = if increase > 0.0 && allowed > 0.0 { self.allowance.of(baseline) / allowed } else { 1.0 };
        // Values are whole millionths.
        (baseline + increase * scale).round()
    }

    /// Returns the p-value of the hypothesis that the difference is at most `increase`, or is more.
    pub(super) fn p_value(&self, against: Against, increase: f64, nuisance: f64) -> f64 {
        self.steps(against, nuisance)
            .map_or(1.0, |steps| (self.largest(against, &steps, increase) + nuisance).min(1.0))
    }

    /// Returns the evidence of the baseline on the ranges of its percentile, up to a confidence bound of level
    /// `1 − nuisance`; `None` if so few page views have no bound.
    ///
    /// Against a kept limit: if the percentile lies between two values, at least as many page views are under it as the rank
    /// of the lower value. It is hardest to reject at the upper value, because the limit is largest there. The other
    /// direction mirrors this.
    pub(super) fn steps(&self, against: Against, nuisance: f64) -> Option<Vec<Step>> {
        let n = self.baseline.len() as u64;
        let [effective, _] = self.effective;
        let percent = self.percent;
        let middle = (n as f64 * f64::from(self.percent) / 100.0).round() as u64;
        let ranks = match against {
            Against::Kept => {
                let above = self.looks.failing_counts(effective, 100_u8.saturating_sub(percent), nuisance);
                let bound = effective.checked_add(1)?.checked_sub(above)?;
                let bound = scaled(bound, n, effective)?.1.min(n);
                (above > 0).then(|| between(middle.clamp(1, n.max(1)).min(bound), bound))?
            }
            Against::Exceeded => {
                let below = self.looks.failing_counts(effective, percent, nuisance);
                let bound = scaled(below.checked_sub(1)?, n, effective)?.0.saturating_add(1);
                let mut ranks = between(bound, middle.saturating_add(1).clamp(bound, n.max(bound)));
                ranks.reverse();
                ranks
            }
        };
        let value = |rank: u64| {
            let place = usize::try_from(rank.checked_sub(1)?).ok()?;
            self.baseline.get(place).map(|&micros| f64::from(micros))
        };
        // The first range has no end on its other side; its baseline is no evidence.
        let mut steps = vec![Step { baseline: value(*ranks.first()?)?, evidence: self.no_evidence() }];
        for (&inner, &outer) in ranks.iter().zip(ranks.iter().skip(1)) {
            // Counts are rounded so that they are less evidence.
            let evidence = match against {
                Against::Kept => self.at_least(effective, scaled(inner, effective, n)?.0),
                Against::Exceeded => {
                    self.at_most(effective, scaled(inner.saturating_sub(1), effective, n)?.1)
                }
            };
            let evidence = match self.looks {
                Looks::One => evidence.max(0.0),
                Looks::Many => ln_mean_with_one(evidence),
            };
            steps.push(Step { baseline: value(outer)?, evidence });
        }
        Some(steps)
    }

    /// The evidence of a baseline that takes no part.
    fn no_evidence(&self) -> f64 {
        match self.looks {
            Looks::One => 0.0,
            Looks::Many => ln_mean_with_one(f64::NEG_INFINITY),
        }
    }

    /// The evidence that fewer page views are within a value than the percentile says: a normal score, or the logarithm of a
    /// mixture.
    fn at_most(&self, n: u64, within: u64) -> f64 {
        match self.looks {
            Looks::One => normal::score(self.looks.p_fail(n, within, self.percent)),
            Looks::Many => sequence::ln_at_most(n, within, self.percent),
        }
    }

    /// The evidence that more page views are within a value than the percentile says.
    fn at_least(&self, n: u64, within: u64) -> f64 {
        match self.looks {
            Looks::One => normal::score(self.looks.p_pass(n, within, self.percent)),
            Looks::Many => sequence::ln_at_least(n, within, self.percent),
        }
    }

    /// Returns the largest p-value over the ranges of the baseline's percentile.
    pub(super) fn largest(&self, against: Against, steps: &[Step], increase: f64) -> f64 {
        // The sums of weights are floating-point numbers.
        const ROUNDING: f64 = 1e-6;
        let [of_baseline, n] = self.effective;
        if n == 0 {
            return 1.0;
        }
        let [from, to] = [of_baseline as f64, n as f64];
        let weights = [(to / (from + to)).sqrt(), (from / (from + to)).sqrt()];
        let [of_baseline, of_current] = weights;
        let combined = steps.iter().map(|step| {
            let count = self.within_limit(self.limit(step.baseline, increase)) * to;
            let evidence = match against {
                Against::Kept => self.at_most(n, whole((count - ROUNDING).ceil(), n)),
                Against::Exceeded => self.at_least(n, whole((count + ROUNDING).floor(), n)),
            };
            match self.looks {
                Looks::One => of_baseline * step.evidence + of_current * evidence,
                Looks::Many => step.evidence + evidence,
            }
        });
        let least = combined.fold(f64::INFINITY, f64::min);
        match self.looks {
            Looks::One => tail(least, weights),
            Looks::Many => (-least).exp().min(1.0),
        }
    }

    /// The weight of the current values up to a limit.
    fn within_limit(&self, micros: f64) -> f64 {
        let count = self.current.partition_point(|&(value, _)| f64::from(value) <= micros);
        count.checked_sub(1).and_then(|last| self.current.get(last)).map_or(0.0, |&(_, weight)| weight)
    }
}

/// Returns `P(w₀ max(Z₀, 0) + w₁ Z₁ ≥ t)` for independent standard normal variables, rounded up by at most 1 % of it.
///
/// The probability of each step of `Z₀` is multiplied with the largest that `Z₁` has in the step.
fn tail(t: f64, [first, second]: [f64; 2]) -> f64 {
    const STEPS: u32 = 800;
    const WIDTH: f64 = 0.01;
    let rest = |score: f64| normal::upper_tail((t - first * score) / second);
    let mut sum = 0.5 * rest(0.0);
    let mut over = 0.5;
    for step in 1..=STEPS {
        let score = f64::from(step) * WIDTH;
        let beyond = normal::upper_tail(score);
        sum += (over - beyond).max(0.0) * rest(score);
        over = beyond;
    }
    sum.clamp(0.0, 1.0)
}

/// The value at a share of ascending values: the nearest rank.
fn at_share(values: &[u32], share: f64) -> Option<u32> {
    let rank = (values.len() as f64 * share - 1e-9).ceil().max(1.0) as usize;
    values.get(rank.saturating_sub(1)).copied()
}

/// Returns `ln((1 + eˣ)/2)`, without overflow.
fn ln_mean_with_one(x: f64) -> f64 {
    x.max(0.0) + ((-x.abs()).exp()).ln_1p() - core::f64::consts::LN_2
}

/// Returns `count × to / from`, rounded down and up.
fn scaled(count: u64, to: u64, from: u64) -> Option<(u64, u64)> {
    let (product, from) = (u128::from(count).saturating_mul(u128::from(to)), u128::from(from));
    let down = product.checked_div(from)?;
    Some((u64::try_from(down).ok()?, u64::try_from(product.div_ceil(from)).ok()?))
}

/// Returns ranks from one to another, ascending: all, or [`STEPS_MAX`] of them at equal distances.
fn between(from: u64, to: u64) -> Vec<u64> {
    let length = to.saturating_sub(from);
    let count = length.min(STEPS_MAX);
    let at = |step: u64| scaled(length, step, count.max(1)).map_or(to, |(down, _)| from.saturating_add(down));
    (0..=count).map(at).collect()
}

/// A number of page views, at most `n`.
fn whole(number: f64, n: u64) -> u64 {
    (number.max(0.0) as u64).min(n)
}
