//! How often the 90 % interval of a 75th percentile holds the true one, by simulation.
//!
//! The table of all sizes: `cargo test --release -p vitals --test coverage -- --ignored --nocapture`.

use vitals::gate::interval_ranks;
use vitals::histogram::Histogram;
use vitals::metric::{Metric, Value};

/// One-sided error of the interval.
const ALPHA: f64 = 0.05;

/// SplitMix64 (Steele, Lea and Flood 2014): the same numbers on every machine.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A log-normal value with σ = 0.7, the spread of field LCP, and the given 75th percentile.
    fn value(&mut self, p75: f64) -> Value {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let normal = radius * (core::f64::consts::TAU * self.uniform()).cos();
        let number = p75 * (0.7 * (normal - 0.674_489_75)).exp();
        Value::new(Metric::Lcp, number.min(600_000.0)).expect("within bounds")
    }
}

/// Shares of runs whose interval holds the true percentile, in per cent.
struct Coverage {
    /// As it is told.
    told: f64,
    /// Between the buckets' middles alone, without their error.
    middles: f64,
    /// Mean width relative to the percentile, in per cent.
    width: f64,
}

fn simulate(n: u64, runs: u32, seed: u64) -> Coverage {
    let mut random = Random(seed);
    let (mut told, mut middles, mut width) = (0, 0, 0.0);
    for _ in 0..runs {
        // Anywhere in a bucket, on either side of a threshold.
        let p75 = 1_000.0 + 4_000.0 * random.uniform();
        let mut histogram = Histogram::default();
        for _ in 0..n {
            histogram.add(Metric::Lcp, random.value(p75), 1);
        }
        let [low, high] = histogram.interval(Metric::Lcp, 75, ALPHA).expect("enough values");
        told += u32::from(low <= p75 && p75 <= high);
        width += (high - low) / p75;
        let ranks = interval_ranks(n, 75, ALPHA).expect("enough values");
        let at = |rank| histogram.at_rank(Metric::Lcp, rank as i64).expect("a rank that exists");
        middles += u32::from(at(ranks.0) <= p75 && p75 <= at(ranks.1));
    }
    let percent = |count: f64| 100.0 * count / f64::from(runs);
    Coverage { told: percent(told.into()), middles: percent(middles.into()), width: percent(width) }
}

#[test]
fn an_interval_holds_the_true_percentile_at_every_n() {
    let mut middles = f64::NAN;
    for (n, runs) in [(100, 600), (1_000, 200), (10_000, 40), (100_000, 10), (1_000_000, 4)] {
        let coverage = simulate(n, runs, n);
        // Three standard errors of a coverage of 90 %.
        let least = 90.0 - 3.0 * (90.0 * 10.0 / f64::from(runs)).sqrt();
        assert!(coverage.told >= least, "n = {n}: {:.1} %, not {least:.1} %", coverage.told);
        middles = coverage.middles;
    }
    assert!(middles < 51.0, "without the histogram's error the last does not hold: {middles:.1} %");
}

#[test]
#[ignore = "a table, of some minutes; it needs --release"]
#[allow(clippy::print_stdout)]
fn coverage_table() {
    println!("| n | runs | coverage | without the error | mean width |\n|-:|-:|-:|-:|-:|");
    for (n, runs) in [(100, 20_000), (1_000, 10_000), (10_000, 4_000), (100_000, 2_000), (1_000_000, 400)] {
        let Coverage { told, middles, width } = simulate(n, runs, n);
        println!("| {n} | {runs} | {told:.1} % | {middles:.1} % | {width:.2} % |");
    }
}
