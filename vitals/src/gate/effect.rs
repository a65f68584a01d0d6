//! The design effect: how much more the share of page views within a budget varies than that of independent page views.
//!
//! Page views of one visitor resemble each other, and they come close together. So the shares of hours vary more than
//! binomial shares would. The ratio of both variances is the design effect `d`. A test with `n/d` page views and
//! `within/d` of them within the budget holds its level (Rao and Scott, "A simple method for the analysis of clustered
//! binary data", Biometrics 48, 1992). The variance of the total share is that of a ratio of block totals (Cochran,
//! Sampling Techniques, 3rd edition, equation 6.9):
//!
//! ```text
//! d = B/(B−1) Σ (kᵢ − s nᵢ)² / (n s (1−s)),   s = k/n,   over B blocks
//! ```

use super::{Looks, normal, sequence};
use std::collections::BTreeMap;

/// Length of a block, in milliseconds: half an hour, after which analytics count a new visit.
pub const BLOCK_MS: i64 = 30 * 60_000;
/// Fewest blocks from which the design effect is estimated: its standard error is a third then.
pub const BLOCKS_MIN: usize = 20;
/// The design effect of fewer blocks: `1 + (5 − 1) × 0.5`, that of five page views a visitor with an intraclass
/// correlation of 0.5 (Kish, Survey Sampling, 1965, section 8.2).
pub const DESIGN_EFFECT_DEFAULT: f64 = 3.0;
/// The largest design effect. A larger estimate comes from hours that differ (an outage, another audience at night), not
/// from visitors, and further page views of the same hours would not decide it.
pub const DESIGN_EFFECT_MAX: f64 = 10.0;

/// The source of a design effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectSource {
    /// Estimated from hours.
    Hours,
    /// Estimated from half hours.
    HalfHours,
    /// [`DESIGN_EFFECT_DEFAULT`], because there are too few blocks.
    Default,
    /// [`DESIGN_EFFECT_MAX`], because page views were not counted by blocks.
    Max,
}

impl EffectSource {
    /// Returns the name in API and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hours => "hours",
            Self::HalfHours => "half-hours",
            Self::Default => "default",
            Self::Max => "max",
        }
    }
}

/// A design effect and its source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DesignEffect {
    /// The design effect, 1 to [`DESIGN_EFFECT_MAX`].
    pub value: f64,
    /// Its source.
    pub source: EffectSource,
}

impl DesignEffect {
    /// The effect of page views that were not counted by blocks.
    pub const MAX: Self = Self { value: DESIGN_EFFECT_MAX, source: EffectSource::Max };
}

/// Page views of one block that have the metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The start of the block, in [`BLOCK_MS`] since 1970-01-01 UTC.
    pub number: i64,
    /// Page views with the metric.
    pub n: u64,
    /// Those at or under the budget.
    pub within: u64,
}

impl Block {
    /// The start of the block, UTC milliseconds.
    #[must_use]
    pub const fn start_ms(&self) -> i64 {
        self.number.saturating_mul(BLOCK_MS)
    }
}

/// Returns the design effect of page views, counted by blocks of half an hour.
///
/// Hours serve from [`BLOCKS_MIN`] on, else half hours, else [`DESIGN_EFFECT_DEFAULT`]. The estimate is raised for the few
/// blocks behind it, as Student's distribution is wider than the normal one: by `1 + (z² + 1)/(2 f)`, `z` the quantile of
/// the test at `alpha` and `f` its degrees of freedom. Blocks of unequal size count as `n²/Σ nᵢ²` equal ones.
#[must_use]
pub fn design_effect(blocks: &[Block], looks: Looks, alpha: f64) -> DesignEffect {
    let hours = merged(blocks, 2);
    let (blocks, source) = if hours.len() >= BLOCKS_MIN {
        (hours, EffectSource::Hours)
    } else {
        (merged(blocks, 1), EffectSource::HalfHours)
    };
    let estimate = if blocks.len() >= BLOCKS_MIN { variance_ratio(&blocks) } else { None };
    let Some((ratio, freedom)) = estimate else {
        return DesignEffect { value: DESIGN_EFFECT_DEFAULT, source: EffectSource::Default };
    };
    let n: f64 = blocks.iter().map(|&(n, _)| n).sum();
    let z = match looks {
        Looks::One => normal::quantile(alpha),
        Looks::Many => sequence::quantile(n / ratio.max(1.0), alpha),
    };
    let value = ratio * (1.0 + (z * z + 1.0) / (2.0 * freedom));
    DesignEffect { value: value.clamp(1.0, DESIGN_EFFECT_MAX), source }
}

/// Adds up neighboring blocks, `count` to one. Returns page views and those within of each, without empty ones.
fn merged(blocks: &[Block], count: i64) -> Vec<(f64, f64)> {
    let mut sums: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for block in blocks.iter().filter(|block| block.n > 0) {
        let sum = sums.entry(block.number.div_euclid(count)).or_default();
        sum.0 += block.n as f64;
        sum.1 += block.within.min(block.n) as f64;
    }
    sums.into_values().collect()
}

/// The ratio of the variances and its degrees of freedom; `None` if no page view, or every one, is within the budget.
fn variance_ratio(blocks: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n: f64 = blocks.iter().map(|&(n, _)| n).sum();
    let share = blocks.iter().map(|&(_, within)| within).sum::<f64>() / n;
    let binomial = n * share * (1.0 - share);
    let count = blocks.len() as f64;
    let squares: f64 = blocks.iter().map(|&(n, within)| (within - share * n).powi(2)).sum();
    let sizes: f64 = blocks.iter().map(|&(n, _)| n * n).sum();
    (binomial > 0.0).then(|| (count / (count - 1.0) * squares / binomial, (n * n / sizes - 1.0).max(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::ALPHA;

    fn blocks(count: i64, of: impl Fn(i64) -> (u64, u64)) -> Vec<Block> {
        (0..count)
            .map(|number| {
                let (n, within) = of(number);
                Block { number, n, within }
            })
            .collect()
    }

    #[test]
    fn few_blocks_have_the_default() {
        let few = blocks(19, |at| (10, 5 + at as u64 % 3));
        let effect = design_effect(&few, Looks::One, ALPHA);
        assert_eq!(effect, DesignEffect { value: DESIGN_EFFECT_DEFAULT, source: EffectSource::Default });
        assert_eq!(design_effect(&[], Looks::Many, ALPHA), effect);
        // Empty blocks tell nothing.
        let sparse = blocks(100, |at| if at % 10 == 0 { (10, 5 + at as u64 % 3) } else { (0, 0) });
        assert_eq!(design_effect(&sparse, Looks::One, ALPHA), effect);
        // Neither does a share without variance.
        let all_within = blocks(100, |_| (10, 10));
        assert_eq!(design_effect(&all_within, Looks::One, ALPHA), effect);
    }

    #[test]
    fn hours_serve_before_half_hours() {
        let of = |at: i64| (10, 7 + at as u64 % 2);
        assert_eq!(design_effect(&blocks(40, of), Looks::One, ALPHA).source, EffectSource::Hours);
        assert_eq!(design_effect(&blocks(38, of), Looks::One, ALPHA).source, EffectSource::HalfHours);
        assert_eq!(design_effect(&blocks(19, of), Looks::One, ALPHA).source, EffectSource::Default);
    }

    #[test]
    fn effect_is_the_ratio_of_the_variances() {
        // Hours of 4 page views that are all within or all not: d is 4, times B/(B − 1), times Student's factor.
        let alike = blocks(80, |at| if at / 2 % 2 == 0 { (2, 2) } else { (2, 0) });
        let effect = design_effect(&alike, Looks::One, ALPHA);
        let z = 1.6449_f64;
        let expected = 4.0 * 40.0 / 39.0 * (1.0 + (z * z + 1.0) / 78.0);
        assert!((effect.value - expected).abs() < 0.001, "{effect:?} is not {expected}");
        // Hours that vary less than by chance never count for more page views than there are.
        let even = blocks(80, |_| (8, 6));
        assert_eq!(design_effect(&even, Looks::One, ALPHA).value, 1.0);
        // Hours that differ are bounded.
        let split = blocks(80, |at| if at < 40 { (1_000, 1_000) } else { (1_000, 0) });
        assert_eq!(design_effect(&split, Looks::Many, ALPHA).value, DESIGN_EFFECT_MAX);
    }
}
