//! Simulated page views: the distribution of their values, and visitors with correlated page views.

use crate::random::Random;
use vitals::gate::{BLOCK_MS, Block};

/// The budget of every simulation, in milliseconds.
pub(crate) const MAX_MS: f64 = 2_500.0;

/// A distribution of values.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spread {
    /// Log-normal with σ = 0.7, the spread of field LCP.
    LogNormal,
    /// Pareto with shape 1.1, whose variance is infinite.
    HeavyTailed,
    /// Zeros for half of the page views, as CLS has them, and an exponential distribution for the others.
    ZeroInflated,
}

impl Spread {
    /// All distributions.
    pub(crate) const ALL: [Self; 3] = [Self::LogNormal, Self::HeavyTailed, Self::ZeroInflated];

    /// A value of the distribution with this 75th percentile.
    pub(crate) fn value(self, random: &mut Random, p75: f64) -> f64 {
        match self {
            Self::LogNormal => random.log_normal(p75),
            Self::HeavyTailed => p75 * ((1.0 - random.uniform()) / 0.25).powf(-1.0 / 1.1),
            Self::ZeroInflated => {
                let uniform = random.uniform();
                if uniform < 0.5 {
                    0.0
                } else {
                    -(2.0 * (1.0 - uniform)).ln() * p75 / core::f64::consts::LN_2
                }
            }
        }
    }
}

/// Visitors over some time, with the page views of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// The time.
    pub(crate) half_hours: u64,
    /// Visitors in that time.
    pub(crate) visitors: u64,
    /// Page views of each.
    pub(crate) views_each: u64,
    /// Intraclass correlation: the probability that all page views of a visitor are alike.
    pub(crate) icc: f64,
    /// The 75th percentile, relative to the budget.
    pub(crate) over: f64,
}

impl Traffic {
    /// The time in milliseconds.
    pub(crate) fn ms(&self) -> u64 {
        self.half_hours * BLOCK_MS.unsigned_abs()
    }

    /// The start of each page view in milliseconds, and whether it is within the budget. A visitor starts at any time and
    /// stays three minutes on a page.
    pub(crate) fn views(&self, random: &mut Random) -> Vec<(u64, bool)> {
        let mut views = Vec::new();
        let p75 = self.over * MAX_MS;
        for _ in 0..self.visitors {
            let alike = random.uniform() < self.icc;
            let mut at_ms = random.uniform() * self.ms() as f64;
            let mut within = Spread::LogNormal.value(random, p75) <= MAX_MS;
            for _ in 0..self.views_each {
                views.push((at_ms as u64, within));
                at_ms -= 180_000.0 * (1.0 - random.uniform()).ln();
                if !alike {
                    within = Spread::LogNormal.value(random, p75) <= MAX_MS;
                }
            }
        }
        views
    }

    /// All page views by blocks.
    pub(crate) fn blocks(&self, random: &mut Random) -> Vec<Block> {
        Self::blocks_until(&self.views(random), u64::MAX)
    }

    /// The page views before a moment by blocks.
    pub(crate) fn blocks_until(views: &[(u64, bool)], until_ms: u64) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for &(at_ms, within) in views.iter().filter(|(at_ms, _)| *at_ms < until_ms) {
            let number = at_ms / BLOCK_MS.unsigned_abs();
            let place = number as usize;
            while blocks.len() <= place {
                blocks.push(Block { number: blocks.len() as i64, n: 0, within: 0 });
            }
            blocks[place].n += 1;
            blocks[place].within += u64::from(within);
        }
        blocks
    }
}
