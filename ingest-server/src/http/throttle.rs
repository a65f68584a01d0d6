//! Counts events of one kind and lets one a minute into the log.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Time between two log lines of a kind, in milliseconds.
const LOG_MS_MIN: u64 = 60_000;

/// A count, and the time of its last log line.
pub(super) struct Throttle {
    /// UTC milliseconds.
    logged_ms: AtomicI64,
    /// Events since then.
    count: AtomicU64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { logged_ms: AtomicI64::new(i64::MIN), count: AtomicU64::new(0) }
    }
}

impl Throttle {
    /// Counts an event. Returns how many there are since the last log line, if the next one is due.
    pub(super) fn count(&self, now_ms: i64) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let logged_ms = self.logged_ms.load(Ordering::Relaxed);
        let is_due = now_ms.abs_diff(logged_ms) >= LOG_MS_MIN;
        // Of several threads one logs.
        let order = Ordering::Relaxed;
        let is_mine = is_due && self.logged_ms.compare_exchange(logged_ms, now_ms, order, order).is_ok();
        is_mine.then(|| {
            self.count.fetch_sub(count, Ordering::Relaxed);
            count
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_a_minute_make_one_line() {
        let throttle = Throttle::default();
        let minute = 60_000;
        let told: Vec<_> =
            [0, 1, minute - 1, minute, minute + 1, 3 * minute, 0].map(|now_ms| throttle.count(now_ms)).into();
        // A clock that goes back is no reason to be silent.
        assert_eq!(told, [Some(1), None, None, Some(3), None, Some(2), Some(1)]);
    }
}
