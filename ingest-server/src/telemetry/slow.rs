//! The log of slow requests and questions: some lines a minute, and the number of those left out.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Lines in one minute. Under overload everything is slow, and a log of it would add to the load.
const LINES_PER_MINUTE_MAX: u64 = 10;

/// Decides which slow events are logged.
#[derive(Debug)]
pub struct SlowLog {
    least: Duration,
    /// The minute of the last line, since 1970.
    minute: AtomicI64,
    /// Slow events of that minute.
    lines: AtomicU64,
    /// Events left out since the last line.
    hidden: AtomicU64,
    /// Slow events since the server started.
    total: AtomicU64,
}

/// A slow event that is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// The event's duration, in milliseconds.
    pub took_ms: u64,
    /// Slow events without a line since the last line.
    pub left_out: u64,
}

impl SlowLog {
    /// Logs events of at least this duration; zero logs none.
    #[must_use]
    pub const fn new(least: Duration) -> Self {
        Self {
            least,
            minute: AtomicI64::new(i64::MIN),
            lines: AtomicU64::new(0),
            hidden: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    /// Returns the number of slow events.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Returns the line of an event; `None` if it is not slow, or the minute has enough lines. `now_ms` is called for slow
    /// events only.
    pub fn line(&self, took: Duration, now_ms: impl FnOnce() -> i64) -> Option<Slow> {
        if self.least.is_zero() || took < self.least {
            return None;
        }
        self.total.fetch_add(1, Ordering::Relaxed);
        let minute = now_ms().div_euclid(60_000);
        if self.minute.swap(minute, Ordering::Relaxed) != minute {
            self.lines.store(0, Ordering::Relaxed);
        }
        if self.lines.fetch_add(1, Ordering::Relaxed) >= LINES_PER_MINUTE_MAX {
            self.hidden.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Some(Slow { took_ms, left_out: self.hidden.swap(0, Ordering::Relaxed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_some_lines_and_the_next_line_counts_the_rest() {
        let log = SlowLog::new(Duration::from_millis(100));
        let at = |ms| log.line(Duration::from_millis(100), move || ms);
        let lines = (0..25).filter(|_| at(0).is_some()).count();
        assert_eq!((lines, log.total()), (10, 25));
        assert_eq!(at(60_000), Some(Slow { took_ms: 100, left_out: 15 }));
        assert_eq!(at(60_001).map(|slow| slow.left_out), Some(0));
        assert_eq!(log.line(Duration::from_millis(99), || 120_000), None);
        assert_eq!(SlowLog::new(Duration::ZERO).line(Duration::from_secs(9), || 0), None);
    }
}
