//! The counters of the last minutes, and the values that follow from them.

use super::check::Check;
use crate::telemetry::timing::Timed;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Length of the window. Shorter ones flap with single slow answers.
pub const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Requests of the window below which no percentile is judged: with fewer, one request is the 95th percentile.
const PERCENTILE_N_MIN: u64 = 20;
/// Requests or answers of the window below which no share is judged: with fewer, one request is more than 1 %.
const SHARE_N_MIN: u64 = 100;

/// Counters of the server at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The moment.
    pub at: Instant,
    /// The moment, in UTC milliseconds.
    pub at_ms: i64,
    /// Durations of API requests.
    pub api: Timed,
    /// Durations of questions to the store.
    pub questions: Timed,
    /// Requests for beacons, answers and files.
    pub requests: u64,
    /// Requests of these that ended with a status 5xx.
    pub failed: u64,
    /// Answers about page views.
    pub answers: u64,
    /// Answers of these that needed no computation.
    pub hits: u64,
    /// Taken places for questions, in percent.
    pub pool_percent: f64,
    /// Processor time of the process, in seconds.
    pub cpu_s: Option<f64>,
    /// Cores that the process may use.
    pub cores: usize,
    /// Resident share of the memory, in percent.
    pub memory_percent: Option<f64>,
    /// Used share of the disk, in percent.
    pub disk_percent: Option<f64>,
    /// Age of the oldest beacon in the spool, in seconds.
    pub spool_age_s: f64,
}

/// The values of all checks; `None` if unknown.
pub type Values = [Option<f64>; Check::ALL.len()];

/// Samples of the last minutes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<Sample>);

impl Window {
    /// Adds a sample. Keeps one that is older than the window, as its start.
    pub(super) fn push(&mut self, sample: Sample) {
        let start = sample.at.checked_sub(WINDOW);
        while let (Some(start), Some(second)) = (start, self.0.get(1)) {
            if second.at > start {
                break;
            }
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// Returns the time of the last sample, in UTC milliseconds.
    pub(super) fn last_ms(&self) -> Option<i64> {
        self.0.back().map(|sample| sample.at_ms)
    }

    /// Returns the values from the start of the window to a sample, but for the availability.
    pub(super) fn values(&self, now: &Sample) -> Values {
        let first = self.0.front().unwrap_or(now);
        let percentile = |timed: Timed| {
            let is_enough = timed.count() >= PERCENTILE_N_MIN;
            timed.percentile_ms(95.0).filter(|_| is_enough)
        };
        let cpu_percent = || {
            let wall_s = now.at.saturating_duration_since(first.at).as_secs_f64() * now.cores.max(1) as f64;
            let cpu_s = now.cpu_s? - first.cpu_s?;
            (wall_s > 0.0).then(|| (cpu_s / wall_s * 100.0).clamp(0.0, 100.0))
        };
        let pool = self.0.iter().map(|sample| sample.pool_percent).fold(now.pool_percent, f64::max);
        Check::ALL.map(|check| match check {
            Check::Api => percentile(now.api.since(&first.api)),
            Check::Store => percentile(now.questions.since(&first.questions)),
            Check::Pool => Some(pool),
            Check::Errors => {
                percent(now.failed.saturating_sub(first.failed), now.requests.saturating_sub(first.requests))
            }
            Check::Cpu => cpu_percent(),
            Check::Memory => now.memory_percent,
            Check::CacheHits => {
                percent(now.hits.saturating_sub(first.hits), now.answers.saturating_sub(first.answers))
            }
            Check::SpoolAge => Some(now.spool_age_s),
            Check::Disk => now.disk_percent,
            Check::Availability => None,
        })
    }
}

/// Returns a share in percent; `None` if it is of too few.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole >= SHARE_N_MIN).then(|| part as f64 / whole as f64 * 100.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::telemetry::timing::Timing;

    /// A sample of an idle server, some seconds after `start`.
    pub(crate) fn idle(start: Instant, seconds: u64) -> Sample {
        Sample {
            at: start + Duration::from_secs(seconds),
            at_ms: i64::try_from(seconds).unwrap() * 1_000,
            api: Timed::default(),
            questions: Timed::default(),
            requests: 0,
            failed: 0,
            answers: 0,
            hits: 0,
            pool_percent: 0.0,
            cpu_s: Some(0.0),
            cores: 2,
            memory_percent: Some(1.0),
            disk_percent: Some(1.0),
            spool_age_s: 0.0,
        }
    }

    fn value(values: Values, check: Check) -> Option<f64> {
        values[check as usize]
    }

    #[test]
    fn values_are_those_of_the_last_minutes() {
        let start = Instant::now();
        let mut window = Window::default();
        window.push(idle(start, 0));
        let slow = Timing::default();
        (0..30).for_each(|_| slow.record(Duration::from_millis(800)));
        let busy = Sample {
            api: slow.read(),
            requests: 200,
            failed: 50,
            pool_percent: 90.0,
            cpu_s: Some(60.0),
            ..idle(start, 60)
        };
        let values = window.values(&busy);
        assert!(value(values, Check::Api).is_some_and(|ms| ms > 500.0), "{values:?}");
        assert_eq!(value(values, Check::Errors), Some(25.0));
        assert_eq!(value(values, Check::Cpu), Some(50.0));
        window.push(busy.clone());
        let quiet =
            |seconds| Sample { at: start + Duration::from_secs(seconds), pool_percent: 0.0, ..busy.clone() };
        for seconds in (70..=420).step_by(10) {
            window.push(quiet(seconds));
        }
        let values = window.values(&quiet(430));
        assert_eq!(
            (value(values, Check::Api), value(values, Check::Errors)),
            (None, None),
            "too few to judge"
        );
        assert_eq!((value(values, Check::Pool), value(values, Check::Cpu)), (Some(0.0), Some(0.0)));
        assert!(window.0.len() <= 32, "{}", window.0.len());
    }
}
