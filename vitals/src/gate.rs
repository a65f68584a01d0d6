//! Judges whether field data meets a budget, exceeds it, or does not decide yet.
//!
//! A budget "p75 ≤ B" says that at least 75 % of page views are within B. So two counts decide, the page views `n`
//! and those `within` the budget; no percentile is estimated. A comparison of the sample's percentile with the budget
//! would raise a false alarm in almost half of all checks of a page exactly on its budget.
//!
//! - **fail**: if the budget were met, so few page views within it would occur with probability at most `alpha`. Holm's
//!   correction (1979) for the number of budgets in the check bounds the probability of a false alarm in the whole
//!   check by `alpha`.
//! - **pass**: if the budget were exceeded, so many page views within it would occur with probability at most `alpha`.
//!   This needs no correction, because a check passes only if every budget passes. A check that should not pass has at
//!   least one exceeded budget, which alone passes with probability at most `alpha` (an intersection-union test, Berger
//!   1982).
//! - **inconclusive** otherwise. No data is never a pass.
//!
//! [`Looks`] chooses the probabilities: exact binomial tails for a single look ([`binomial`]), or a mixture that stays
//! valid however often growing data are judged ([`sequence`]). Both see the counts divided by the design effect
//! ([`effect`]), because page views of one visitor resemble each other. [`increase`] judges a percentile by that of
//! other page views, and [`verdicts`] judges the budgets of a check together.
//!
//! At `alpha` 0.05, the 75th percentile and a design effect of 1, a single look fails from 3 page views on and passes from
//! 11 on.

mod binomial;
mod classes;
mod effect;
mod increase;
mod mix;
mod needed;
mod sequence;
#[cfg(test)]
mod tests;
mod verdicts;

pub use effect::{
    BLOCK_MS, BLOCKS_MIN, Block, DESIGN_EFFECT_DEFAULT, DESIGN_EFFECT_MAX, DesignEffect, EffectSource,
    design_effect,
};

pub use classes::{Class, ClassViews, TimedValue};
pub use increase::{Allowance, Comparison, Percentiles, nuisance_level};
pub use verdicts::{Evidence, Judged, Reason, judge, judge_together, overall};

use crate::normal;
use binomial::Binomial;
use serde::{Deserialize, Serialize};

/// The default error level of gates: the accepted probability of a false verdict.
pub const ALPHA: f64 = 0.05;

/// One-sided error of the displayed confidence intervals: 0.05 at each end makes them 90 % intervals, and agrees with
/// [`ALPHA`].
pub const INTERVAL_ALPHA: f64 = ALPHA;

/// How often the growing data of one question are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Looks {
    /// Once: the exact binomial test.
    #[default]
    One,
    /// Any number of times, until a verdict: an always-valid test. It takes about twice the page views.
    Many,
}

impl Looks {
    /// All rules.
    pub const ALL: [Self; 2] = [Self::One, Self::Many];

    /// Returns the name in API and reports: `one` or `many`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Many => "many",
        }
    }

    /// The probability of at most `within` page views within the budget, if it were just met.
    fn p_fail(self, n: u64, within: u64, percent: u8) -> f64 {
        match self {
            Self::One => Binomial::new(n, percent).at_most(within),
            Self::Many => sequence::p_at_most(n, within, percent),
        }
    }

    /// The probability of at least `within` page views within the budget, if it were just exceeded.
    fn p_pass(self, n: u64, within: u64, percent: u8) -> f64 {
        match self {
            Self::One => Binomial::new(n, percent).at_least(within),
            Self::Many => sequence::p_at_least(n, within, percent),
        }
    }

    /// Returns the number of counts, from 0 on, whose [`Looks::p_fail`] is at most `alpha`.
    fn failing_counts(self, n: u64, percent: u8, alpha: f64) -> u64 {
        match self {
            Self::One => Binomial::new(n, percent).rank_below(alpha),
            Self::Many => {
                let (mut from, mut to) = (0, n.saturating_add(1));
                while from < to {
                    let middle = from.midpoint(to);
                    if sequence::p_at_most(n, middle, percent) <= alpha {
                        from = middle.saturating_add(1);
                    } else {
                        to = middle;
                    }
                }
                from
            }
        }
    }
}

/// The verdict of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The budget is kept.
    Pass,
    /// The budget is exceeded.
    Fail,
    /// The data do not decide.
    Inconclusive,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Fail, Self::Inconclusive];

    /// Returns the name in API and reports: `pass`, `fail` or `inconclusive`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// Returns the verdict of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

/// The counts that decide on one budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Page views that have the metric.
    pub n: u64,
    /// Page views whose value is at or under the budget; more than `n` counts as `n`.
    pub within: u64,
    /// The budget's percentile; clamped to 1 to 99.
    pub percent: u8,
    /// Page views needed before the budget is judged at all.
    pub min_samples: u64,
    /// The design effect: as many page views carry the information of one independent page view. Under 1 counts as 1.
    pub design_effect: f64,
}

/// Returns the ranks `(r, s)`, from 1 to `n`, of the ordered values that enclose the percentile; `None` with too few
/// values.
///
/// Each end errs with probability at most `alpha`, so the interval has confidence `1 − 2 alpha`. It agrees with the
/// gate: a single budget fails if the value at `r` exceeds it, and passes if the value at `s` is within it.
/// (Distribution-free interval from order statistics: David and Nagaraja, Order Statistics, 3rd edition, §7.1.)
#[must_use]
pub fn interval_ranks(n: u64, percent: u8, alpha: f64) -> Option<(u64, u64)> {
    // r = max { r : P(X ≤ r − 1) ≤ alpha } and s = min { s : P(X ≥ s) ≤ alpha }. By symmetry, s is r for the number
    // of values above the percentile, counted from the other end.
    let binomial = Binomial::new(n, percent);
    let from_below = binomial.rank_below(alpha);
    let from_above = binomial.mirrored().rank_below(alpha);
    let upper = n.checked_add(1)?.checked_sub(from_above)?;
    (from_below >= 1 && from_above >= 1 && from_below <= upper).then_some((from_below, upper))
}

/// Counts divided by the design effect, rounded so that neither test is helped.
struct Effective {
    n: u64,
    /// Page views within the budget, rounded up, for the test that fails.
    over: u64,
    /// Page views within the budget, rounded down, for the test that passes.
    under: u64,
}

impl Sample {
    /// Whether there are enough page views to judge.
    #[must_use]
    pub const fn is_judged(&self) -> bool {
        self.n > 0 && self.n >= self.min_samples
    }

    /// Returns the evidence of the counts.
    #[must_use]
    pub fn evidence(&self, looks: Looks) -> Evidence {
        let Effective { n, over, under } = self.effective();
        let unjudged = if self.n == 0 {
            Some(Reason::NoData)
        } else if !self.is_judged() {
            Some(Reason::TooFewSamples { n: self.n, min_samples: self.min_samples })
        } else {
            None
        };
        let undecided = match self.within {
            0 => Reason::AllOver { n: self.n },
            within if within >= self.n => Reason::AllWithin { n: self.n },
            _ => Reason::TooClose,
        };
        Evidence {
            p_fail: looks.p_fail(n, over, self.percent),
            p_pass: looks.p_pass(n, under, self.percent),
            unjudged,
            reasons: [Reason::Exceeded, Reason::Within],
            undecided,
        }
    }

    fn effective(&self) -> Effective {
        let within = self.within.min(self.n);
        let n = self.effective_n();
        // At most n, because within is.
        let product = u128::from(within).saturating_mul(u128::from(n));
        let divided = |count: u128| u64::try_from(count).unwrap_or(n);
        let all = u128::from(self.n.max(1));
        Effective {
            n,
            over: divided(product.div_ceil(all)),
            under: divided(product.checked_div(all).unwrap_or(0)),
        }
    }

    fn effective_n(&self) -> u64 {
        if self.design_effect > 1.0 { (self.n as f64 / self.design_effect) as u64 } else { self.n }
    }

    /// Returns the ranks `(r, s)`, from 1 to `n`, of the ordered values that enclose the percentile; `None` if no count
    /// of so few page views would decide.
    ///
    /// The budget fails at `fail_level` if the value at `r` exceeds it, and passes at `pass_level` if the value at `s`
    /// is within it.
    #[must_use]
    pub fn ranks(&self, looks: Looks, fail_level: f64, pass_level: f64) -> Option<(u64, u64)> {
        if !(fail_level > 0.0 && pass_level > 0.0) {
            return None;
        }
        let n = self.effective_n();
        let percent = self.percent.clamp(1, 99);
        let below = looks.failing_counts(n, percent, fail_level);
        let above = looks.failing_counts(n, 100_u8.saturating_sub(percent), pass_level);
        let upper = n.checked_add(1)?.checked_sub(above)?;
        if below == 0 || above == 0 || below > upper {
            return None;
        }
        // Undoes the rounding of `effective`: r is the first count that does not fail, s the first that passes.
        let scaled = |count: u64| u128::from(count).saturating_mul(u128::from(self.n));
        let low = scaled(below.saturating_sub(1)).checked_div(u128::from(n))?.saturating_add(1);
        let high = scaled(upper).div_ceil(u128::from(n));
        Some((u64::try_from(low).ok()?, u64::try_from(high).ok()?.min(self.n)))
    }
}
