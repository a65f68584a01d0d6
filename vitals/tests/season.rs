//! False alarms and power of the seasonal baseline, by simulation with fixed seeds.

#[path = "../src/random.rs"]
mod random;

use random::Random;
use vitals::metric::Metric;
use vitals::season::{BLOCKS, Block, WEEK_BLOCKS, WEEKS_MIN, judge};

/// Months of sites that are simulated a kind of site.
const MONTHS: usize = 100;
/// Blocks of a month of 30 days.
const MONTH: usize = 240;
/// Weeks after which a site is judged at the latest: its third week has enough differences for their spread.
const JUDGED: usize = WEEKS_MIN + 1;

/// A kind of site.
#[derive(Clone, Copy, Debug)]
struct Site {
    /// Mean page views of a block in the first week.
    views: f64,
    /// Spread of the logarithm of the values.
    spread: f64,
    /// Spread of whole days.
    days: f64,
    /// Variance of the percentile, relative to that of independent page views.
    effect: f64,
}

const SITES: [Site; 4] = [
    Site { views: 200.0, spread: 0.7, days: 0.03, effect: 2.0 },
    Site { views: 1_000.0, spread: 0.7, days: 0.03, effect: 2.0 },
    Site { views: 20_000.0, spread: 0.7, days: 0.05, effect: 2.0 },
    Site { views: 300.0, spread: 1.2, days: 0.03, effect: 2.0 },
];

fn normal(random: &mut Random) -> f64 {
    random.log_normal(1.0).ln() / 0.7 + 0.674_489_75
}

impl Site {
    /// Blocks of stationary values: days and nights, weekends, days that resemble the day before, and traffic that grows by
    /// 5 % a week. From `slower_from` on, values are `slower` times as large.
    fn blocks(
        self,
        random: &mut Random,
        count: usize,
        (slower_from, slower): (usize, f64),
    ) -> Vec<Option<Block>> {
        let mut of_day = 0.0;
        let block = |at: usize| {
            let (day, part) = (at / 8, at % 8);
            if part == 0 {
                of_day = 0.5 * of_day + normal(random) * self.days * 0.75_f64.sqrt();
            }
            let weekend = day % 7 >= 5;
            let busy = 0.25 + 1.5 * (std::f64::consts::PI * (part as f64 + 0.5) / 8.0).sin().powi(2);
            let growth = 1.05_f64.powf(at as f64 / WEEK_BLOCKS as f64);
            let n = (self.views * busy * growth * if weekend { 0.5 } else { 1.0 }).round();
            // A percentile of n values errs by the root of q(1 − q)/n, over the density at the percentile.
            let error = self.spread * (self.effect * 0.187_5 / n).sqrt() / 0.317_8;
            // One block in 50 has something of its own, such as a campaign.
            let error = if random.uniform() < 0.02 { 2.0 * error } else { error };
            let night = 0.1 * (std::f64::consts::TAU * part as f64 / 8.0).cos();
            let level = night + if weekend { 0.05 } else { 0.0 } + of_day;
            let value = 2_000.0 * (level + normal(random) * error).exp();
            Some(Block { p75: if at >= slower_from { value * slower } else { value }, n: n as u64 })
        };
        (0..count).map(block).collect()
    }
}

/// The first block that is judged. Fewer earlier weeks have a less certain median.
fn first_judged(blocks: &[Option<Block>]) -> usize {
    let mut places = 0..blocks.len();
    places.find(|&at| judge(Metric::Lcp, &blocks[..=at]).is_some()).unwrap_or(blocks.len())
}

/// The blocks at which an alert opens, from `from` on.
fn alarms(blocks: &[Option<Block>], from: usize) -> Vec<usize> {
    let (mut is_open, mut opened) = (false, Vec::new());
    for at in from..blocks.len() {
        let start = (at + 1).saturating_sub(BLOCKS);
        let Some(judged) = judge(Metric::Lcp, &blocks[start..=at]) else { continue };
        if judged.is_unusual && !is_open {
            is_open = true;
            opened.push(at);
        } else if judged.is_usual {
            is_open = false;
        }
    }
    opened
}

#[test]
fn stationary_site_has_less_than_one_false_alarm_a_month() {
    let mut random = Random(5);
    for site in SITES {
        let mut found = 0;
        for _ in 0..MONTHS {
            let blocks = site.blocks(&mut random, JUDGED * WEEK_BLOCKS + MONTH, (usize::MAX, 1.0));
            let first = first_judged(&blocks);
            assert!((WEEKS_MIN * WEEK_BLOCKS..=JUDGED * WEEK_BLOCKS).contains(&first), "{site:?}: {first}");
            found += alarms(&blocks[..first + MONTH], first).len();
        }
        // Three metrics are watched, so each may raise a third of the alarms.
        let a_month = 3.0 * found as f64 / MONTHS as f64;
        assert!(a_month <= 1.0, "{site:?}: {a_month}");
    }
}

#[test]
fn increase_by_a_half_is_told_within_a_day() {
    let mut random = Random(6);
    for site in SITES.into_iter().filter(|site| site.views >= 1_000.0) {
        let from = 4 * WEEK_BLOCKS + 3;
        let told = (0..MONTHS).filter(|_| {
            let blocks = site.blocks(&mut random, from + 8, (from, 1.5));
            !alarms(&blocks, from).is_empty()
        });
        let told = told.count();
        assert!(told * 10 >= MONTHS * 9, "{site:?}: {told} of {MONTHS}");
    }
}
