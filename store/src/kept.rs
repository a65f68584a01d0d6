//! From when on page views and rollups are kept.

use crate::Retention;
use crate::rollup::{DAY_MS, day_of};

/// The first UTC day (its start, in milliseconds) of which each kind of row is kept.
///
/// A backend stores it, and moves it before it removes anything, so that a question meanwhile sees
/// either all of a day or nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Page views. An update of an older one changes nothing: its row may be gone, and counting it
    /// again would count it twice.
    pub views_from_ms: i64,
    /// Hourly rollups.
    pub hours_from_ms: i64,
    /// Daily rollups.
    pub days_from_ms: i64,
}

impl Kept {
    /// Nothing was ever removed.
    pub const EVERYTHING: Self =
        Self { views_from_ms: i64::MIN, hours_from_ms: i64::MIN, days_from_ms: i64::MIN };

    /// What is kept after maintenance at `now_ms`.
    ///
    /// What is gone stays gone when retention is raised later, so no edge moves back; except one that
    /// lies in the future, which a clock that jumped has left behind.
    #[must_use]
    pub fn after(self, now_ms: i64, retention: Retention) -> Self {
        let edge = |old_ms: i64, days: u32| {
            let new_ms = day_of(now_ms).saturating_sub(i64::from(days).saturating_mul(DAY_MS));
            if old_ms > now_ms { new_ms } else { old_ms.max(new_ms) }
        };
        Self {
            views_from_ms: edge(self.views_from_ms, retention.raw_days),
            hours_from_ms: edge(self.hours_from_ms, retention.hourly_days),
            days_from_ms: edge(self.days_from_ms, retention.daily_days),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_whole_days_and_never_move_back() {
        let retention = Retention { raw_days: 2, hourly_days: 1, daily_days: 10 };
        let now_ms = 100 * DAY_MS + 5;
        let kept = Kept::EVERYTHING.after(now_ms, retention);
        assert_eq!(
            kept,
            Kept { views_from_ms: 98 * DAY_MS, hours_from_ms: 99 * DAY_MS, days_from_ms: 90 * DAY_MS }
        );
        assert_eq!(kept.after(now_ms, Retention { raw_days: 30, ..retention }), kept);
    }

    #[test]
    fn a_clock_that_jumped_does_not_close_the_store_for_good() {
        let retention = Retention { raw_days: 2, hourly_days: 1, daily_days: 10 };
        let jumped = Kept::EVERYTHING.after(10_000 * DAY_MS, retention);
        assert_eq!(jumped.after(100 * DAY_MS, retention).views_from_ms, 98 * DAY_MS);
    }
}
