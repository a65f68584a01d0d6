//! Counts durations in fixed buckets. Recording costs three atomic additions, so that beacons can be measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper edges of the buckets, in microseconds. The edges hold the default limits of [`crate::health`] (100, 200, 500 and
/// 1,000 ms), so a percentile is on the correct side of each of them.
pub const EDGES_US: [u64; 15] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// Buckets: one for each edge, and one above the last.
const BUCKETS: usize = EDGES_US.len() + 1;

/// Durations since the server started.
#[derive(Debug, Default)]
pub struct Timing {
    buckets: [AtomicU64; BUCKETS],
    total_us: AtomicU64,
}

impl Timing {
    /// Records a duration.
    pub fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = EDGES_US.partition_point(|&edge| edge < us);
        if let Some(counter) = self.buckets.get(bucket) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.total_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Reads the counters.
    #[must_use]
    pub fn read(&self) -> Timed {
        let mut timed = Timed { total_us: self.total_us.load(Ordering::Relaxed), ..Timed::default() };
        for (count, counter) in timed.buckets.iter_mut().zip(&self.buckets) {
            *count = counter.load(Ordering::Relaxed);
        }
        timed
    }
}

/// The counters of a [`Timing`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timed {
    /// Durations in each bucket.
    pub buckets: [u64; BUCKETS],
    /// Sum of the durations, in microseconds.
    pub total_us: u64,
}

impl Timed {
    /// Returns the number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the durations since an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = Self { total_us: self.total_us.saturating_sub(earlier.total_us), ..*self };
        for (count, before) in since.buckets.iter_mut().zip(&earlier.buckets) {
            *count = count.saturating_sub(*before);
        }
        since
    }

    /// Adds other durations.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = Self { total_us: self.total_us.saturating_add(other.total_us), ..*self };
        for (count, more) in sum.buckets.iter_mut().zip(&other.buckets) {
            *count = count.saturating_add(*more);
        }
        sum
    }

    /// Returns a percentile in milliseconds, interpolated within its bucket as `histogram_quantile` of Prometheus does;
    /// the last edge if it is above. `None` without durations.
    #[must_use]
    pub fn percentile_ms(&self, percent: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = count as f64 * percent / 100.0;
        let (mut below, mut lower_us) = (0.0, 0);
        for (&n, &edge_us) in self.buckets.iter().zip(&EDGES_US) {
            let n = n as f64;
            if n > 0.0 && below + n >= rank {
                let part = (rank - below) / n;
                return Some((lower_us as f64 + part * (edge_us - lower_us) as f64) / 1_000.0);
            }
            (below, lower_us) = (below + n, edge_us);
        }
        Some(lower_us as f64 / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(durations_ms: impl IntoIterator<Item = u64>) -> Timing {
        let timing = Timing::default();
        durations_ms.into_iter().for_each(|ms| timing.record(Duration::from_millis(ms)));
        timing
    }

    #[test]
    fn percentile_is_on_the_correct_side_of_an_edge() {
        let just_within = timing([150; 95].into_iter().chain([300; 5])).read();
        assert_eq!(just_within.percentile_ms(95.0), Some(200.0));
        let just_above = timing([150; 94].into_iter().chain([300; 6])).read();
        assert!(just_above.percentile_ms(95.0).is_some_and(|ms| ms > 200.0 && ms < 300.0));
        assert_eq!(timing([20_000]).read().percentile_ms(95.0), Some(10_000.0));
        assert_eq!(Timed::default().percentile_ms(95.0), None);
    }

    #[test]
    fn durations_of_a_window_are_the_difference_of_two_readings() {
        let timing = timing([1, 7]);
        let before = timing.read();
        timing.record(Duration::from_millis(80));
        let window = timing.read().since(&before);
        assert_eq!((window.count(), window.total_us), (1, 80_000));
        assert_eq!(before.plus(&window), timing.read());
    }
}
