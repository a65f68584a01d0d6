//! Judges whether a percentile exceeds that of a baseline by more than a limit.
//!
//! Let `b` be the true percentile `q` of the baseline, and `L(b)` the largest percentile that the current side may have.
//! `b` is unknown, and two counts are evidence for each `b`. The baseline has at most a share `q` of its page views under `b`.
//! The current side has at least a share `q` of its page views within `L(b)` if the limit is met.
//!
//! - **One look**: both counts have exact binomial p-values, combined by normal scores (Stouffer et al. 1949; Liptak 1958):
//!   `T(b) = w₀ max(z₀, 0) + w₁ z₁`, with the weights `wᵢ² ∝ 1/nᵢ`. `z₀` is held at 0, because a baseline that is consistent
//!   with `b` is no evidence for it. The distribution of `T` under the hypothesis follows from theirs.
//! - **Many looks**: both counts have likelihood mixtures ([`sequence`]), `E₀` and `E₁`. The page views of both sides are
//!   independent, so `E₁ (1 + E₀)/2` is a supermartingale, and its inverse a p-value at every look at once. The 1 stands for
//!   a baseline that takes no part, whose mixture would otherwise cost evidence.
//!
//! The p-value of the hypothesis is the largest over all `b` of a confidence bound of level `1 − β`, plus `β` (Berger and
//! Boos, "P values maximized over a confidence set for the nuisance parameter", JASA 89, 1994). So the uncertainty of the
//! baseline counts, whatever the distributions. The pass is the same test in the other direction.
//!
//! Current page views are weighted to the classes of the baseline ([`super::mix`]). Counts are divided by the design effects of
//! hours ([`super::effect`]) and of the weights, so with them the test holds its level nearly, as simulated in
//! `vitals/tests/gate`.

mod sides;
#[cfg(test)]
mod tests;

pub use sides::Allowance;

use super::classes::{ClassViews, TimedValue};
use super::mix::Mix;
use super::needed::POWER_QUANTILE;
use super::{ALPHA, Block, DesignEffect, Evidence, Judged, Looks, Reason, design_effect, sequence};
use crate::{limits, normal};
use sides::{Against, Sides};
use std::collections::BTreeMap;

/// The part of the level that a bound of the baseline's percentile may err with. A tenth costs little of the test's power.
const NUISANCE_PART: f64 = 0.1;
/// Halvings of the search for the end of an interval: of ten minutes to 0.04 ms.
const HALVINGS: u32 = 24;
/// Share of page views that must be in classes of both sides.
const COVERED_MIN: f64 = 0.5;

/// The percentiles of a comparison, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentiles {
    /// Of the baseline.
    pub baseline: u32,
    /// Of the current side, weighted to the classes of the baseline.
    pub current: u32,
    /// Of all current page views, without weights.
    pub unweighted: u32,
    /// The largest percentile that the current side may have.
    pub limit: u32,
}

/// Two sides whose percentiles are compared.
#[derive(Clone, Debug)]
pub struct Comparison {
    min_samples: u64,
    n: [u64; 2],
    within: u64,
    covered: f64,
    effects: [DesignEffect; 2],
    percentiles: Option<Percentiles>,
    sides: Sides,
}

/// Returns the level at which the bound of a baseline may err, for a check of this many budgets: a part of the strictest
/// level of Holm's method.
#[must_use]
pub fn nuisance_level(alpha: f64, budgets: usize) -> f64 {
    NUISANCE_PART * alpha / budgets.max(1) as f64
}

impl Comparison {
    /// Compares the page views of two sides by class.
    #[must_use]
    pub fn new(
        (percent, allowance): (u8, Allowance),
        min_samples: u64,
        looks: Looks,
        [from, to]: [&[ClassViews]; 2],
    ) -> Self {
        let mix = Mix::new(from, to);
        let mut sides = Sides {
            percent: percent.clamp(1, 99),
            looks,
            allowance,
            measured: 0,
            effective: [0; 2],
            baseline: sorted(mix.baseline()),
            current: cumulated(mix.current().map(|(view, weight)| (view.value.micros(), weight)).collect()),
        };
        let unweighted = sorted(to.iter().flat_map(|class| &class.views));
        let percentiles = sides.measure(&unweighted);
        let (mut within, mut effects) = (0, [design_effect(&[], looks, ALPHA); 2]);
        if let Some(Percentiles { baseline, limit, .. }) = percentiles {
            within = unweighted.partition_point(|&value| value <= limit) as u64;
            let of_baseline = blocks(mix.baseline(), baseline);
            let of_current = blocks(mix.current().map(|(view, _)| view), limit);
            effects = [&of_baseline, &of_current].map(|blocks| design_effect(blocks, looks, ALPHA));
            let values = effects.map(|effect| effect.value);
            let of_mix = mix.effect(f64::from(limit), values);
            let ([of_baseline, of_current], [from, to]) = (values, mix.n().map(|n| n as f64));
            sides.measured = baseline;
            sides.effective = [(from / of_baseline) as u64, (to / of_current / of_mix) as u64];
        }
        let n = [from, to].map(|side| side.iter().map(ClassViews::n).sum());
        Self { min_samples, n, within, covered: mix.covered, effects, percentiles, sides }
    }

    /// Returns the page views of baseline and current side that have the metric.
    #[must_use]
    pub const fn n(&self) -> [u64; 2] {
        self.n
    }

    /// Returns the current page views at or under the limit, without weights.
    #[must_use]
    pub const fn within(&self) -> u64 {
        self.within
    }

    /// Returns the share of the page views in classes of both sides, 0 to 1: that of the side with the smaller share.
    #[must_use]
    pub const fn covered(&self) -> f64 {
        self.covered
    }

    /// Returns the design effects of hours, of baseline and current side.
    #[must_use]
    pub const fn effects(&self) -> [DesignEffect; 2] {
        self.effects
    }

    /// Returns the percentiles; `None` if a side has no page views.
    #[must_use]
    pub const fn percentiles(&self) -> Option<Percentiles> {
        self.percentiles
    }

    /// Returns the evidence. `nuisance` is that of [`nuisance_level`].
    #[must_use]
    pub fn evidence(&self, nuisance: f64) -> Evidence {
        let allowed = self.sides.allowed();
        Evidence {
            p_fail: self.sides.p_value(Against::Kept, allowed, nuisance),
            p_pass: self.sides.p_value(Against::Exceeded, allowed, nuisance),
            unjudged: self.unjudged(),
            reasons: [Reason::Increased, Reason::NotIncreased],
            undecided: match (self.within, self.n) {
                (0, [_, n]) => Reason::AllOver { n },
                _ => Reason::IncreaseTooClose,
            },
        }
    }

    /// The page views that each side needs: those of one class at least.
    fn min_samples(&self) -> u64 {
        self.min_samples.max(limits::STRATUM_SAMPLES_MIN.unsigned_abs())
    }

    fn unjudged(&self) -> Option<Reason> {
        let ([baseline, current], min_samples) = (self.n, self.min_samples());
        if current == 0 {
            Some(Reason::NoData)
        } else if baseline == 0 {
            Some(Reason::NoBaseline)
        } else if current < min_samples {
            Some(Reason::TooFewSamples { n: current, min_samples })
        } else if baseline < min_samples {
            Some(Reason::TooFewInBaseline { n: baseline, min_samples })
        } else if self.covered < COVERED_MIN {
            Some(Reason::Apart)
        } else {
            None
        }
    }

    /// Returns the interval of the difference of the percentiles, in millionths; `None` if so few page views decide nothing.
    ///
    /// It agrees with the verdict: a budget fails if its allowed difference lies under the interval, and passes if it lies at
    /// or over the upper end.
    #[must_use]
    pub fn interval(&self, judged: &Judged, nuisance: f64) -> Option<[f64; 2]> {
        if self.unjudged().is_some() {
            return None;
        }
        let sides = &self.sides;
        let allowed = sides.allowed();
        // No value is within the first difference, and every value within the second.
        let least = -f64::from(*sides.baseline.last()?) - 1.0;
        let (most, _) = *sides.current.last()?;
        let most = f64::from(most).max(allowed) + 1.0;
        let kept = sides.steps(Against::Kept, nuisance)?;
        let exceeded = sides.steps(Against::Exceeded, nuisance)?;
        let exceeds =
            |increase| sides.largest(Against::Kept, &kept, increase) + nuisance <= judged.fail_level;
        let is_within = |increase| sides.largest(Against::Exceeded, &exceeded, increase) + nuisance <= ALPHA;
        if !exceeds(least) || !is_within(most) {
            return None;
        }
        // The verdict's difference is one of those tried, so that interval and verdict agree.
        let parts = |is_before: bool| if is_before { (least, allowed) } else { (allowed, most) };
        let low = first(parts(!exceeds(allowed)), |increase| !exceeds(increase));
        let high = first(parts(is_within(allowed)), is_within);
        Some([low, high])
    }

    /// Estimates the total current page views needed for a verdict if the percentiles stay the same; `None` if no number
    /// would decide. `is_fixed`: the baseline does not grow with them.
    ///
    /// The distance from the measured difference to the limit must be `z + 0.84` standard errors for a power of 80 %. The
    /// interval tells the present error, of which the side with fewer page views has the larger part.
    #[must_use]
    pub fn needed(&self, judged: &Judged, nuisance: f64, is_fixed: bool) -> Option<u64> {
        let [_, n] = self.n;
        let least = self.min_samples().max(n.saturating_add(1));
        let Some([low, high]) = self.interval(judged, nuisance) else {
            return (n < self.min_samples()).then_some(least);
        };
        let Percentiles { baseline, current, .. } = self.percentiles?;
        let [of_baseline, of_current] = self.sides.effective.map(|n| n as f64);
        let quantile = match self.sides.looks {
            Looks::One => normal::quantile(ALPHA),
            Looks::Many => sequence::quantile(of_current, ALPHA),
        };
        let variance = ((high - low) / 2.0 / quantile).powi(2);
        let distance = f64::from(current) - f64::from(baseline) - self.sides.allowed();
        let wanted = (distance / (quantile + POWER_QUANTILE)).powi(2);
        let part = of_baseline / (of_baseline + of_current);
        let (shrinks, stays) =
            if is_fixed { (variance * part, variance * (1.0 - part)) } else { (variance, 0.0) };
        let needed = n as f64 * shrinks / (wanted - stays);
        let is_possible = wanted > stays && needed <= limits::GATE_SAMPLES_MAX as f64;
        is_possible.then(|| (needed.ceil() as u64).max(least))
    }
}

/// Sorts values by size, and adds up their weights.
fn cumulated(mut values: Vec<(u32, f64)>) -> Vec<(u32, f64)> {
    values.sort_unstable_by_key(|&(micros, _)| micros);
    let mut sum = 0.0;
    for (_, weight) in &mut values {
        sum += *weight;
        *weight = sum;
    }
    values
}

/// Returns the values of page views in millionths, ascending.
fn sorted<'a>(views: impl Iterator<Item = &'a TimedValue>) -> Vec<u32> {
    let mut values: Vec<u32> = views.map(|view| view.value.micros()).collect();
    values.sort_unstable();
    values
}

/// Counts page views by half hours.
fn blocks<'a>(views: impl Iterator<Item = &'a TimedValue>, limit: u32) -> Vec<Block> {
    let mut blocks: BTreeMap<i32, Block> = BTreeMap::new();
    for view in views {
        let block = blocks.entry(view.block).or_insert(Block { number: view.block.into(), n: 0, within: 0 });
        block.n = block.n.saturating_add(1);
        block.within = block.within.saturating_add(u64::from(view.value.micros() <= limit));
    }
    blocks.into_values().collect()
}

/// Returns the first number between two from which on a condition holds, as it does at the second.
fn first((mut from, mut to): (f64, f64), holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = from.midpoint(to);
        if holds(middle) {
            to = middle;
        } else {
            from = middle;
        }
    }
    to
}
