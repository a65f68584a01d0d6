//! What a histogram tells: the value at a rank, percentiles with their interval, and bins.
//!
//! A bucket bounds the value at a rank, and the exact rating counters bound it again: the first `good` ranks hold good
//! values. So nothing that is told crosses a threshold that the counters exclude.

use super::{Histogram, Place, lower};
use crate::gate;
use crate::metric::{Metric, Rating, Value};
use core::ops::RangeInclusive;

/// Largest relative error of a value that is told, in per cent: half of a bucket's width, `(2^(1/64) − 1) / 2`, which
/// is 0.5446 %.
pub const ERROR_PERCENT_MAX: f64 = 0.55;

/// Counts between two values, for drawing. `from` lies outside, except 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// The bin's values are larger; its first one may be 0.
    pub from: f64,
    /// Largest value; infinite in the last bin.
    pub to: f64,
    /// Number of values.
    pub n: i64,
}

impl Histogram {
    /// The value at a nearest rank, 1 to n, in the metric's unit; `None` if there is no such rank. It is within
    /// [`ERROR_PERCENT_MAX`] of the exact one.
    #[must_use]
    pub fn at_rank(&self, metric: Metric, rank: i64) -> Option<f64> {
        self.values_at_rank(metric, rank).map(|values| middle(metric, &values))
    }

    /// The smallest and the largest number, in the metric's unit, that the value at a nearest rank may be; `None` if there
    /// is no such rank.
    #[must_use]
    pub fn bounds_at_rank(&self, metric: Metric, rank: i64) -> Option<[f64; 2]> {
        let values = self.values_at_rank(metric, rank)?;
        Some([number(metric, *values.start()), number(metric, *values.end())])
    }

    /// The exact number of values at or under `at_most`; `None` if it lies inside a bucket and is no threshold of the
    /// ratings.
    #[must_use]
    pub fn exactly_within(&self, metric: Metric, at_most: Value) -> Option<i64> {
        let (place, over) = (Place::new(metric, at_most), at_most.micros().saturating_add(1));
        let Some(over) = Value::from_micros(metric, over) else { return Some(self.n()) };
        let next = Place::new(metric, over);
        if place.rating != next.rating {
            let rated = Rating::ALL.into_iter().take_while(|&rating| rating != next.rating);
            return Some(rated.fold(0_i64, |sum, rating| sum.saturating_add(self.rated(rating))));
        }
        let under = self.buckets.iter().take_while(|(index, _)| *index <= place.bucket);
        (place.bucket != next.bucket).then(|| under.fold(0_i64, |sum, (_, count)| sum.saturating_add(*count)))
    }

    /// The smallest and the largest value that the value at a rank may be.
    fn values_at_rank(&self, metric: Metric, rank: i64) -> Option<RangeInclusive<u32>> {
        let mut seen = 0_i64;
        let (index, _) = *self.buckets.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= rank
        })?;
        (rank >= 1).then(|| values(metric, index, self.rating_at_rank(rank)))
    }

    fn rating_at_rank(&self, rank: i64) -> Rating {
        let good = self.rated(Rating::Good);
        if rank <= good {
            Rating::Good
        } else if rank <= good.saturating_add(self.rated(Rating::NeedsImprovement)) {
            Rating::NeedsImprovement
        } else {
            Rating::Poor
        }
    }

    /// The percentile by nearest rank (the value that at least `percent` per cent of all values do not exceed); `None`
    /// without values.
    #[must_use]
    pub fn percentile(&self, metric: Metric, percent: u8) -> Option<f64> {
        self.at_rank(metric, rank(self.n(), percent))
    }

    /// The rating of a percentile: exact.
    #[must_use]
    pub fn rating(&self, percent: u8) -> Rating {
        self.rating_at_rank(rank(self.n(), percent))
    }

    /// The confidence interval of a percentile: the values at [`gate::interval_ranks`], from the smallest that the lower
    /// may be to the largest that the upper may be, so that its confidence holds at every n. `None` with too few values.
    #[must_use]
    pub fn interval(&self, metric: Metric, percent: u8, alpha: f64) -> Option<[f64; 2]> {
        let (low, high) = gate::interval_ranks(u64::try_from(self.n()).ok()?, percent, alpha)?;
        let at = |rank: u64| self.bounds_at_rank(metric, i64::try_from(rank).ok()?);
        let ([from, _], [_, to]) = (at(low)?, at(high)?);
        Some([from, to])
    }

    /// The counts between ascending `edges` (in the metric's unit), one bin more than there are edges. A value on an
    /// edge counts below, as a value on a threshold is rated. Counts are exact between thresholds; elsewhere a bucket
    /// counts where its middle lies.
    #[must_use]
    pub fn bins(&self, metric: Metric, edges: &[f64]) -> Vec<Bin> {
        let mut bins: Vec<Bin> = core::iter::once(0.0)
            .chain(edges.iter().copied())
            .zip(edges.iter().copied().chain(core::iter::once(f64::INFINITY)))
            .map(|(from, to)| Bin { from, to, n: 0 })
            .collect();
        self.each(metric, |value, count| {
            let place = edges.partition_point(|&edge| edge < value);
            if let Some(bin) = bins.get_mut(place) {
                bin.n = bin.n.saturating_add(count);
            }
        });
        bins
    }

    /// The mean of a function over all values, each taken as the middle of its bucket; `None` without values.
    #[must_use]
    pub fn mean(&self, metric: Metric, of: impl Fn(f64) -> f64) -> Option<f64> {
        let (mut sum, mut n) = (0.0, 0_i64);
        self.each(metric, |value, count| {
            sum += of(value) * count as f64;
            n = n.saturating_add(count);
        });
        (n > 0).then(|| sum / n as f64)
    }

    /// Calls `take` with the middle and the count of each bucket. A bucket with a threshold in it is taken in parts, one
    /// for each rating.
    fn each(&self, metric: Metric, mut take: impl FnMut(f64, i64)) {
        let mut seen = 0_i64;
        for &(index, count) in &self.buckets {
            let end = seen.saturating_add(count);
            let mut rated = 0_i64;
            for rating in Rating::ALL {
                let start = rated.max(seen);
                rated = rated.saturating_add(self.rated(rating));
                // Counters and buckets agree, unless bytes are damaged; then the last rating takes the rest.
                let until = if rating == Rating::Poor { end } else { rated.min(end) };
                let part = until.saturating_sub(start).max(0);
                if part > 0 {
                    take(middle(metric, &values(metric, index, rating)), part);
                }
            }
            seen = end;
        }
    }
}

/// The nearest rank of a percentile among `n` values: `ceil(n × percent / 100)`, at least 1.
#[must_use]
pub fn rank(n: i64, percent: u8) -> i64 {
    let scaled = i128::from(n).saturating_mul(i128::from(percent));
    let rank = scaled.saturating_add(99).checked_div(100).unwrap_or(0).max(1);
    i64::try_from(rank).unwrap_or(i64::MAX)
}

/// The values of a bucket that have a rating, in millionths; the nearest one that has it, if none has.
fn values(metric: Metric, index: u16, rating: Rating) -> RangeInclusive<u32> {
    let rated = metric.rated(rating);
    let held = |value: u32| value.clamp(*rated.start(), *rated.end());
    // A small bucket holds one integer or none; no value is ever counted in the latter.
    let first = lower(index).ceil() as u32;
    let last = (lower(index.saturating_add(1)).ceil() as u32).saturating_sub(1).max(first);
    held(first)..=held(last)
}

/// The number that stands for values: off none of them by more than half of their range.
fn middle(metric: Metric, values: &RangeInclusive<u32>) -> f64 {
    f64::midpoint(number(metric, *values.start()), number(metric, *values.end()))
}

fn number(metric: Metric, micros: u32) -> f64 {
    Value::from_micros(metric, micros).map_or(f64::from(metric.value_max()), |value| value.number(metric))
}

#[cfg(test)]
mod tests {
    use super::super::{BUCKETS, bucket};
    use super::*;

    fn histogram(metric: Metric, numbers: &[(f64, i64)]) -> Histogram {
        let mut histogram = Histogram::default();
        for &(number, count) in numbers {
            histogram.add(metric, Value::new(metric, number).unwrap(), count);
        }
        histogram
    }

    #[test]
    fn a_bucket_is_the_values_that_are_counted_in_it() {
        for index in 0..BUCKETS {
            let (first, end) = (lower(index).ceil() as u64, lower(index + 1).ceil() as u64);
            for value in [first, end.saturating_sub(1)].map(|value| value.min(u32::MAX.into()) as u32) {
                assert!(first == end || bucket(value) == index, "{index}: {value}");
            }
        }
    }

    #[test]
    fn every_value_is_within_the_error_that_is_documented() {
        for metric in [Metric::Lcp, Metric::Cls] {
            let mut worst: f64 = 0.0;
            for index in 0..BUCKETS {
                let (first, end) = (lower(index).ceil(), lower(index + 1).ceil());
                for micros in [first, end - 1.0].map(|micros| micros as u32) {
                    let Some(value) = Value::from_micros(metric, micros).filter(|_| first < end) else {
                        continue;
                    };
                    let exact = value.number(metric);
                    let told = histogram(metric, &[(exact, 9)]).percentile(metric, 75).unwrap();
                    worst = worst.max(if exact == told { 0.0 } else { (told / exact - 1.0).abs() * 100.0 });
                }
            }
            assert!(worst <= ERROR_PERCENT_MAX && worst > ERROR_PERCENT_MAX - 0.02, "{metric:?}: {worst}");
        }
    }

    #[test]
    fn values_on_a_threshold_are_told_as_they_are_rated() {
        for metric in Metric::ALL {
            let thresholds = metric.thresholds();
            for (rating, edge) in
                [(Rating::Good, thresholds.good), (Rating::NeedsImprovement, thresholds.needs_improvement)]
            {
                let on = edge.number(metric);
                let over = Value::from_micros(metric, edge.micros() + 1).unwrap().number(metric);
                let told = histogram(metric, &[(on, 200)]);
                assert_eq!(told.rating(75), rating);
                let [low, high] = told.interval(metric, 75, 0.05).unwrap();
                assert!(low <= on && high == on && told.percentile(metric, 75).unwrap() <= on, "{metric:?}");
                let told = histogram(metric, &[(over, 200)]);
                let [low, high] = told.interval(metric, 75, 0.05).unwrap();
                assert!(
                    low == over && high > on && told.percentile(metric, 75).unwrap() >= over,
                    "{metric:?}"
                );
                // In one bucket, on either side.
                let told = histogram(metric, &[(on, 150), (over, 50)]);
                assert!(
                    told.percentile(metric, 75).unwrap() <= on
                        && told.percentile(metric, 76).unwrap() >= over
                );
                let bins = told.bins(metric, &[on]);
                assert_eq!((bins[0].n, bins[1].n), (150, 50), "{metric:?}");
            }
        }
    }

    #[test]
    fn counts_are_exact_at_thresholds_and_edges_of_buckets_only() {
        let metric = Metric::Lcp;
        let numbers = [0.0, 999.9, 1_000.0, 1_000.2, 2_500.0, 2_500.001, 4_000.0, 4_000.5, 600_000.0];
        let told = histogram(metric, &numbers.map(|number| (number, 1)));
        let counted = |at_most: f64| numbers.iter().filter(|&&number| number <= at_most).count() as i64;
        let mut exact = 0;
        for micros in [2_500_000, 4_000_000, 600_000_000].into_iter().chain(1_000_000..1_020_000) {
            let value = Value::from_micros(metric, micros).unwrap();
            if let Some(found) = told.exactly_within(metric, value) {
                assert_eq!(found, counted(value.number(metric)), "{micros}");
                exact += 1;
            }
        }
        // Two thresholds, the maximum, and the one or two edges of buckets between 1 s and 1.02 s.
        assert!((4..=5).contains(&exact), "{exact}");
    }

    #[test]
    fn bins_hold_every_value_once() {
        let told =
            histogram(Metric::Lcp, &[(0.0, 1), (999.0, 1), (1_100.0, 1), (2_600.0, 1), (600_000.0, 1)]);
        let bins: Vec<_> = told.bins(Metric::Lcp, &[1_000.0, 2_500.0]).iter().map(|bin| bin.n).collect();
        assert_eq!(bins, [2, 1, 2]);
        // A value on an edge belongs to the bin below.
        let edge = told.percentile(Metric::Lcp, 40).unwrap();
        let bins: Vec<_> = told.bins(Metric::Lcp, &[edge]).iter().map(|bin| bin.n).collect();
        assert_eq!(bins, [2, 3]);
    }

    #[test]
    fn ranks_are_the_nearest() {
        for (n, percent, expected) in [
            (0, 75, 1),
            (1, 75, 1),
            (4, 75, 3),
            (5, 75, 4),
            (100, 50, 50),
            (101, 50, 51),
            (3, 0, 1),
            (3, 34, 2),
            (3, 100, 3),
        ] {
            assert_eq!(rank(n, percent), expected, "{percent} % of {n}");
        }
        assert_eq!(rank(i64::MAX, 100), i64::MAX);
        assert_eq!(Histogram::default().percentile(Metric::Lcp, 75), None);
    }
}
