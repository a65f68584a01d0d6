//! Counts and times of acknowledgements.

use super::stages::Stage;
use crate::progress::grouped;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest time that is told apart, in microseconds: the timeout of a beacon, and its delay.
const MICROS_MAX: u64 = 120_000_000;
/// Digits of times in the histogram: an error of 0.1 %.
const DIGITS: u8 = 3;
/// Share of errors from which a server counts as broken, in percent.
const BROKEN_ERRORS_PERCENT: f64 = 10.0;
/// Mean time from which a server counts as broken, in milliseconds.
const BROKEN_MEAN_MS: f64 = 1_000.0;

/// Measurements of a stage, or of a whole test.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Beacons answered with 204.
    pub(super) taken: u64,
    /// Errors by kind.
    pub(super) errors: BTreeMap<String, u64>,
    /// Times of acknowledgements, in microseconds, from the moment that a beacon was due.
    times: Option<Histogram<u64>>,
    /// Time that was measured.
    pub(super) elapsed: Duration,
}

/// A stage with its result.
pub(super) struct Tried {
    pub(super) stage: Stage,
    pub(super) measured: Measured,
}

impl Measured {
    pub(super) fn new() -> Self {
        // The bounds are constants that the library takes.
        let times = Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).ok();
        Self { taken: 0, errors: BTreeMap::new(), times, elapsed: Duration::ZERO }
    }

    /// Counts an acknowledgement.
    pub(super) fn take(&mut self, time: Duration) {
        self.taken += 1;
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).clamp(1, MICROS_MAX);
        if let Some(times) = &mut self.times {
            times.saturating_record(micros);
        }
    }

    /// Counts an error.
    pub(super) fn fail(&mut self, kind: &str) {
        match self.errors.get_mut(kind) {
            Some(count) => *count += 1,
            None => drop(self.errors.insert(kind.to_owned(), 1)),
        }
    }

    /// Adds another measurement.
    pub(super) fn add(&mut self, other: &Self) {
        self.taken += other.taken;
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
        if let (Some(times), Some(of_other)) = (&mut self.times, &other.times) {
            // Fails only for other bounds.
            let _ = times.add(of_other);
        }
        self.elapsed += other.elapsed;
    }

    /// Number of errors.
    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Number of beacons that were due.
    pub(super) fn due(&self) -> u64 {
        self.taken + self.failed()
    }

    /// Share of errors, in percent.
    pub(super) fn errors_percent(&self) -> f64 {
        if self.due() == 0 { 0.0 } else { self.failed() as f64 / self.due() as f64 * 100.0 }
    }

    /// A percentile of the times, in milliseconds; 0 without acknowledgements.
    pub(super) fn percentile_ms(&self, percent: f64) -> f64 {
        self.times.as_ref().map_or(0.0, |times| times.value_at_percentile(percent) as f64 / 1_000.0)
    }

    /// The mean of the times, in milliseconds; 0 without acknowledgements.
    pub(super) fn mean_ms(&self) -> f64 {
        self.times.as_ref().map_or(0.0, |times| times.mean() / 1_000.0)
    }

    /// Acknowledgements per second.
    pub(super) fn per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.taken as f64 / seconds } else { 0.0 }
    }

    /// Whether a server that answers like this is broken.
    pub(super) fn is_broken(&self) -> bool {
        self.errors_percent() > BROKEN_ERRORS_PERCENT || self.mean_ms() > BROKEN_MEAN_MS
    }

    /// A line of progress.
    pub(super) fn line(&self) -> String {
        format!(
            "{} taken, p95 {:.1} ms, {} errors",
            grouped(self.taken),
            self.percentile_ms(95.0),
            grouped(self.failed())
        )
    }
}

/// A limit of a whole test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Threshold {
    figure: Figure,
    pub(super) limit: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    P50,
    P95,
    P99,
    Mean,
    Errors,
}

impl Figure {
    const ALL: [Self; 5] = [Self::P50, Self::P95, Self::P99, Self::Mean, Self::Errors];

    const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Mean => "mean",
            Self::Errors => "errors",
        }
    }
}

impl Threshold {
    /// Whether a measurement keeps the limit. Without any acknowledgement none is kept.
    pub(super) fn is_kept(&self, measured: &Measured) -> bool {
        measured.taken > 0 && self.value(measured) <= self.limit
    }

    /// The limited value.
    pub(super) fn value(&self, measured: &Measured) -> f64 {
        match self.figure {
            Figure::P50 => measured.percentile_ms(50.0),
            Figure::P95 => measured.percentile_ms(95.0),
            Figure::P99 => measured.percentile_ms(99.0),
            Figure::Mean => measured.mean_ms(),
            Figure::Errors => measured.errors_percent(),
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        self.figure.name()
    }

    pub(super) const fn unit(&self) -> &'static str {
        if matches!(self.figure, Figure::Errors) { "%" } else { "ms" }
    }
}

/// Parses a threshold: `p95=200`.
pub(super) fn threshold(text: &str) -> Result<Threshold, String> {
    let expected =
        "expected p50, p95, p99 or mean in milliseconds, or errors in percent, such as p95=200 or errors=1";
    let (name, limit) = text.split_once('=').ok_or(expected)?;
    let figure = Figure::ALL.into_iter().find(|figure| figure.name() == name.trim()).ok_or(expected)?;
    let limit: f64 = limit.trim().parse().map_err(|_| expected)?;
    if limit.is_finite() && limit >= 0.0 { Ok(Threshold { figure, limit }) } else { Err(expected.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(taken_ms: &[u64], failed: u64) -> Measured {
        let mut measured = Measured::new();
        taken_ms.iter().for_each(|&ms| measured.take(Duration::from_millis(ms)));
        (0..failed).for_each(|_| measured.fail("503"));
        measured
    }

    #[test]
    fn server_is_broken_by_errors_or_by_its_mean() {
        assert!(!measured(&[1; 90], 10).is_broken(), "10 % are not over 10 %");
        assert!(measured(&[1; 89], 11).is_broken());
        assert!(!measured(&[999], 0).is_broken());
        assert!(measured(&[1_100, 1_000], 0).is_broken());
        assert!(measured(&[], 1).is_broken() && !measured(&[], 0).is_broken());
    }

    #[test]
    fn measurements_add_up() {
        let mut all = measured(&[1, 2], 1);
        all.add(&measured(&[100], 2));
        assert_eq!((all.taken, all.failed(), all.due()), (3, 3, 6));
        assert!((all.percentile_ms(100.0) - 100.0).abs() < 0.2, "{}", all.percentile_ms(100.0));
        assert_eq!(all.errors_percent(), 50.0);
    }

    #[test]
    fn thresholds_are_read_and_kept() {
        let slow = measured(&[300; 20], 1);
        for (text, is_kept) in
            [("p95=200", false), ("p95=400", true), ("errors=1", false), ("errors=5", true)]
        {
            assert_eq!(threshold(text).unwrap().is_kept(&slow), is_kept, "{text}");
        }
        assert!(!threshold("p95=400").unwrap().is_kept(&measured(&[], 3)), "no answer keeps no limit");
        for wrong in ["p96=1", "p95", "p95=fast", "p95=NaN", "errors=-1"] {
            assert!(threshold(wrong).is_err(), "{wrong}");
        }
    }
}
