//! Percentiles of histograms with different weights, such as groups of page views at the shares of another period.

use super::{Estimate, Histogram, lower};
use crate::gate::{INTERVAL_ALPHA, interval_ranks};
use crate::metric::{Metric, Value};
use std::collections::BTreeMap;

/// A weighted sum of histograms of one metric.
#[derive(Clone, Debug, Default)]
pub struct Weighted {
    buckets: BTreeMap<u16, f64>,
    weight: f64,
    /// The sum of the squares of the weights of all values.
    squares: f64,
}

impl Weighted {
    /// Adds a histogram whose values count `weight` times each.
    pub fn add(&mut self, histogram: &Histogram, weight: f64) {
        for &(bucket, count) in histogram.buckets.iter().filter(|(_, count)| *count > 0) {
            *self.buckets.entry(bucket).or_default() += weight * count as f64;
            self.weight += weight * count as f64;
            self.squares += weight * weight * count as f64;
        }
    }

    /// Returns the number of values of equal weight whose percentiles are as uncertain: `(Σw)² / Σw²` (Kish, Survey
    /// Sampling, 1965, §11.7).
    #[must_use]
    pub fn effective_n(&self) -> u64 {
        if self.squares > 0.0 { (self.weight * self.weight / self.squares).round() as u64 } else { 0 }
    }

    /// Estimates a percentile. Its interval is that of as many equal weights; `None` without values.
    #[must_use]
    pub fn estimate(&self, metric: Metric, percent: u8) -> Option<Estimate> {
        let n = self.effective_n();
        let [low, high] = self.quantile(metric, f64::from(percent) / 100.0)?;
        let at = |rank: u64| self.quantile(metric, rank as f64 / n as f64);
        let interval = interval_ranks(n, percent, INTERVAL_ALPHA)
            .and_then(|(below, above)| Some([at(below)?.first().copied()?, at(above)?.last().copied()?]));
        Some(Estimate { n, value: f64::midpoint(low, high), interval })
    }

    /// Returns the smallest and the largest value that a quantile may be.
    fn quantile(&self, metric: Metric, share: f64) -> Option<[f64; 2]> {
        let wanted = self.weight * share;
        let mut below = 0.0;
        let bucket = self.buckets.iter().find(|(_, weight)| {
            below += **weight;
            // Weights are sums of floating-point numbers.
            below >= wanted * (1.0 - 1e-12)
        });
        let (&bucket, _) = bucket.or_else(|| self.buckets.last_key_value())?;
        let first = lower(bucket).ceil() as u32;
        let last = (lower(bucket.saturating_add(1)).ceil() as u32).saturating_sub(1).max(first);
        Some([first, last].map(|micros| number(metric, micros)))
    }
}

fn number(metric: Metric, micros: u32) -> f64 {
    Value::from_micros(metric, micros).map_or(f64::from(metric.value_max()), |value| value.number(metric))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl Iterator<Item = f64>) -> Histogram {
        let mut histogram = Histogram::default();
        values.for_each(|value| histogram.add(Metric::Lcp, Value::new(Metric::Lcp, value).unwrap(), 1));
        histogram
    }

    #[test]
    fn equal_weights_estimate_as_the_histogram_itself() {
        let histogram = histogram((1..=400).map(|number| 10.0 * f64::from(number)));
        for weight in [1.0, 0.3] {
            let mut weighted = Weighted::default();
            weighted.add(&histogram, weight);
            let estimate = weighted.estimate(Metric::Lcp, 75).unwrap();
            assert_eq!(estimate, Estimate::of(Metric::Lcp, &histogram, 75).unwrap(), "{weight}");
        }
    }

    #[test]
    fn a_weight_counts_as_so_many_values() {
        let [fast, slow] = [1_000.0, 3_000.0].map(|value| histogram(std::iter::repeat_n(value, 100)));
        let mut weighted = Weighted::default();
        weighted.add(&fast, 4.0);
        weighted.add(&slow, 1.0);
        let estimate = |percent| weighted.estimate(Metric::Lcp, percent).unwrap().value;
        assert!((estimate(80) / 1_000.0 - 1.0).abs() < 0.006 && (estimate(81) / 3_000.0 - 1.0).abs() < 0.006);
        // 500² / (16 × 100 + 100).
        assert_eq!(weighted.effective_n(), 147);
        assert_eq!(Weighted::default().estimate(Metric::Lcp, 75), None);
    }
}
