//! Finds percentiles that are unusual for their time of the week.
//!
//! Pages are slower at some hours than at others: other visitors, other caches, other load. So a block of three hours is
//! compared with the same blocks of the weeks before: their median is the usual value. The difference, on a logarithmic
//! scale, is divided by its sampling error and then by the spread that such differences have had in these weeks (the median
//! absolute deviation, which single outliers do not move). So a site whose percentiles vary from day to day is judged by
//! its own variation. `vitals/tests/season.rs` simulates false alarms.

use crate::budget::Increase;
use crate::metric::Metric;

/// The length of a block, in milliseconds: three hours. Shorter blocks have few page views, longer blocks delay the
/// alert.
pub const BLOCK_MS: i64 = 3 * 3_600_000;
/// Blocks of a week.
pub const WEEK_BLOCKS: usize = 56;
/// Blocks that are looked at: four earlier weeks, and the judged block.
pub const BLOCKS: usize = 4 * WEEK_BLOCKS + 1;
/// Page views that a block needs.
pub const VIEWS_MIN: u64 = 100;
/// Earlier weeks that the judged block needs. One week could itself be unusual.
pub const WEEKS_MIN: usize = 2;
/// Difference, in units of its usual spread, from which a block is unusual.
const UNUSUAL: f64 = 4.0;
/// Spread under which a block is usual again.
const USUAL: f64 = 2.0;
/// Smallest increase that is unusual, as a share of the usual value.
const INCREASE_MIN: f64 = 0.1;
/// Page views beyond which more of them make a percentile no more certain: visitors of other hours differ.
const CERTAIN_VIEWS: f64 = 2_000.0;
/// Differences that tell their spread: a week of them.
const SPREADS_MIN: usize = WEEK_BLOCKS;
/// The latest blocks, a day, take no part in the spread, so that a long increase does not hide itself.
const LATEST: usize = 8;
/// Turns the median absolute deviation into the standard deviation of a normal distribution.
const NORMAL: f64 = 1.482_6;

/// The page views of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// The 75th percentile, in the metric's unit.
    pub p75: f64,
    /// Page views with the metric.
    pub n: u64,
}

/// How unusual a block is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The usual value, in the metric's unit.
    pub usual: f64,
    /// The 75th percentile of the block.
    pub measured: f64,
    /// The difference in units of its usual spread.
    pub spreads: f64,
    /// Whether an alert opens.
    pub is_unusual: bool,
    /// Whether an open alert ends.
    pub is_usual: bool,
}

/// Judges the last block by those before, oldest first; at most [`BLOCKS`] are looked at. `None` without enough page views
/// in the block, or without enough weeks.
#[must_use]
pub fn judge(metric: Metric, blocks: &[Option<Block>]) -> Option<Judged> {
    let blocks = blocks.get(blocks.len().saturating_sub(BLOCKS)..)?;
    let least = Increase::least_default(metric).number(metric);
    // Small differences of small values are no increase; the addition also makes 0 a number.
    let values: Vec<Option<(f64, f64)>> = blocks
        .iter()
        .map(|block| {
            let block = block.filter(|block| block.n >= VIEWS_MIN)?;
            Some(((block.p75.max(0.0) + least).ln(), 1.0 / block.n as f64))
        })
        .collect();
    let last = values.len().checked_sub(1)?;
    let (usual, difference) = difference(&values, last)?;
    let past = 0..last.saturating_sub(LATEST);
    let mut spreads: Vec<f64> =
        past.filter_map(|at| self::difference(&values, at)).map(|(_, past)| past.abs()).collect();
    if spreads.len() < SPREADS_MIN {
        return None;
    }
    // The sampling error of a percentile is at least about 1 over the root of n on this scale.
    let spread = (NORMAL * median(&mut spreads)?).max(1.0);
    let (usual, measured) = ((usual.exp() - least).max(0.0), blocks.last().copied().flatten()?.p75);
    let spreads = difference / spread;
    let is_large = measured - usual >= (usual * INCREASE_MIN).max(least);
    Some(Judged {
        usual,
        measured,
        spreads,
        is_unusual: is_large && spreads >= UNUSUAL,
        is_usual: spreads < USUAL,
    })
}

/// The usual value of a block by the same blocks of other weeks, and its difference in units of its sampling error.
fn difference(values: &[Option<(f64, f64)>], at: usize) -> Option<(f64, f64)> {
    let (value, error) = values.get(at).copied().flatten()?;
    let first = at.checked_rem(WEEK_BLOCKS)?;
    let others = values.iter().enumerate().skip(first).step_by(WEEK_BLOCKS).filter(|(other, _)| *other != at);
    let (mut usual, errors): (Vec<f64>, Vec<f64>) = others.filter_map(|(_, other)| *other).unzip();
    if usual.len() < WEEKS_MIN {
        return None;
    }
    let weeks = usual.len() as f64;
    let error = error + errors.iter().sum::<f64>() / (weeks * weeks) + 1.0 / CERTAIN_VIEWS;
    let usual = median(&mut usual)?;
    Some((usual, (value - usual) / error.sqrt()))
}

/// The median; of an even number, the mean of the two in the middle.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get(values.len().saturating_sub(1) / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weeks of a site that is twice as slow at night, with some variation.
    fn weeks(blocks: usize) -> Vec<Option<Block>> {
        let block = |at: usize| {
            let night = if at % 8 < 2 { 2.0 } else { 1.0 };
            Some(Block {
                p75: 2_000.0 * night * (1.0 + 0.02 * ((at * 37 % 11) as f64 - 5.0) / 5.0),
                n: 1_000,
            })
        };
        (0..blocks).map(block).collect()
    }

    #[test]
    fn night_is_usual_and_a_slow_morning_is_not() {
        let night = judge(Metric::Lcp, &weeks(3 * WEEK_BLOCKS + 1)).unwrap();
        assert!(night.is_usual && !night.is_unusual && night.usual > 3_800.0, "{night:?}");
        let mut slow = weeks(3 * WEEK_BLOCKS + 5);
        *slow.last_mut().unwrap() = Some(Block { p75: 4_000.0, n: 1_000 });
        let slow = judge(Metric::Lcp, &slow).unwrap();
        assert!(slow.is_unusual && (1_900.0..2_100.0).contains(&slow.usual), "{slow:?}");
        let mut fast = weeks(3 * WEEK_BLOCKS + 5);
        *fast.last_mut().unwrap() = Some(Block { p75: 500.0, n: 1_000 });
        assert!(!judge(Metric::Lcp, &fast).unwrap().is_unusual, "faster is no alarm");
    }

    #[test]
    fn there_is_no_judgement_without_weeks_or_page_views() {
        assert_eq!(judge(Metric::Lcp, &weeks(2 * WEEK_BLOCKS + 1)), None, "two weeks have no known spread");
        assert!(judge(Metric::Lcp, &weeks(3 * WEEK_BLOCKS + 1)).is_some());
        let mut few = weeks(3 * WEEK_BLOCKS);
        *few.last_mut().unwrap() = Some(Block { p75: 9_000.0, n: VIEWS_MIN - 1 });
        assert_eq!(judge(Metric::Lcp, &few), None);
        for nothing in [vec![], vec![None; BLOCKS]] {
            assert_eq!(judge(Metric::Cls, &nothing), None);
        }
        let zeros = vec![Some(Block { p75: 0.0, n: 500 }); BLOCKS];
        let zero = judge(Metric::Cls, &zeros).unwrap();
        assert!(zero.is_usual && zero.usual.abs() < 1e-12, "{zero:?}");
    }
}
