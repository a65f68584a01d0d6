//! Retention edges: the first days of stored page views and rollups.

use crate::Retention;
use crate::rollup::{DAY_MS, day_of};

/// The first retained UTC day (its start, in milliseconds) of each kind of row.
///
/// A backend stores the edges and moves them before it removes rows, so that a concurrent query sees either all of a
/// day or nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionEdges {
    /// Page views. Updates of older page views are ignored: the row may be gone, and counting the view again would
    /// count it twice.
    pub views_from_ms: i64,
    /// Hourly rollups of routes.
    pub hours_from_ms: i64,
    /// Hourly rollups of the whole site: kept as long as page views if that is longer than those of routes, because they
    /// are few. Never after `hours_from_ms`.
    pub site_hours_from_ms: i64,
    /// Daily rollups.
    pub days_from_ms: i64,
}

impl RetentionEdges {
    /// The edges of a store from which nothing was ever removed.
    pub const EVERYTHING: Self = Self {
        views_from_ms: i64::MIN,
        hours_from_ms: i64::MIN,
        site_hours_from_ms: i64::MIN,
        days_from_ms: i64::MIN,
    };

    /// Returns the edges after maintenance at `now_ms`.
    ///
    /// Removed data stays removed when retention is raised, so no edge moves back. The exception is an edge in the
    /// future, which a clock that jumped has caused.
    #[must_use]
    pub fn after(self, now_ms: i64, retention: Retention) -> Self {
        let edge = |old_ms: i64, days: u32| {
            let new_ms = day_of(now_ms).saturating_sub(i64::from(days).saturating_mul(DAY_MS));
            if old_ms > now_ms { new_ms } else { old_ms.max(new_ms) }
        };
        Self {
            views_from_ms: edge(self.views_from_ms, retention.raw_days),
            hours_from_ms: edge(self.hours_from_ms, retention.hourly_days),
            site_hours_from_ms: edge(self.site_hours_from_ms, retention.hourly_days.max(retention.raw_days)),
            days_from_ms: edge(self.days_from_ms, retention.daily_days),
        }
        .in_order()
    }

    /// Keeps no hours of the whole site beside those of routes, for a store in which some days have no rows of the whole
    /// site yet: their hours are summed from routes.
    #[must_use]
    pub const fn without_site_hours(self) -> Self {
        Self { site_hours_from_ms: self.hours_from_ms, ..self }
    }

    fn in_order(self) -> Self {
        Self { site_hours_from_ms: self.site_hours_from_ms.min(self.hours_from_ms), ..self }
    }

    /// Combines the edges of two clocks; `self` and `other` are both computed from `before`. The earlier edge wins, but
    /// `other` cannot move an edge back before `before`.
    #[must_use]
    pub fn held_back(self, other: Self, before: Self) -> Self {
        let edge = |own_ms: i64, other_ms: i64, before_ms: i64| own_ms.min(other_ms.max(before_ms));
        Self {
            views_from_ms: edge(self.views_from_ms, other.views_from_ms, before.views_from_ms),
            hours_from_ms: edge(self.hours_from_ms, other.hours_from_ms, before.hours_from_ms),
            site_hours_from_ms: edge(
                self.site_hours_from_ms,
                other.site_hours_from_ms,
                before.site_hours_from_ms,
            ),
            days_from_ms: edge(self.days_from_ms, other.days_from_ms, before.days_from_ms),
        }
        .in_order()
    }

    /// Returns the number of days that maintenance at `now_ms` would remove at once: the second largest move of the
    /// three edges. Lowering one retention moves only one edge. 0 for a store from which nothing was ever removed.
    #[must_use]
    pub fn leap_days(self, now_ms: i64, retention: Retention) -> i64 {
        let after = self.after(now_ms, retention);
        let edges = [
            (self.views_from_ms, after.views_from_ms),
            (self.hours_from_ms, after.hours_from_ms),
            (self.days_from_ms, after.days_from_ms),
        ];
        let mut leaps = edges.map(|(from_ms, to_ms)| match from_ms {
            // An edge before 1970: nothing was removed, or everything was retained.
            ..0 => 0,
            _ => to_ms.saturating_sub(from_ms) / DAY_MS,
        });
        leaps.sort_unstable();
        leaps[1].max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_whole_days_and_never_move_back() {
        let retention = Retention { raw_days: 2, hourly_days: 1, daily_days: 10 };
        let now_ms = 100 * DAY_MS + 5;
        let retained = RetentionEdges::EVERYTHING.after(now_ms, retention);
        assert_eq!(
            retained,
            RetentionEdges {
                views_from_ms: 98 * DAY_MS,
                hours_from_ms: 99 * DAY_MS,
                site_hours_from_ms: 98 * DAY_MS,
                days_from_ms: 90 * DAY_MS
            }
        );
        assert_eq!(retained.after(now_ms, Retention { raw_days: 30, ..retention }), retained);
    }

    #[test]
    fn hours_of_the_site_are_kept_as_long_as_page_views_or_those_of_routes() {
        let now_ms = 100 * DAY_MS;
        for (raw_days, hourly_days, days) in [(30, 14, 30), (3, 14, 14)] {
            let retention = Retention { raw_days, hourly_days, daily_days: 700 };
            let retained = RetentionEdges::EVERYTHING.after(now_ms, retention);
            assert_eq!(retained.site_hours_from_ms, now_ms - days * DAY_MS);
            assert_eq!(retained.without_site_hours().site_hours_from_ms, retained.hours_from_ms);
        }
    }

    #[test]
    fn a_clock_that_jumped_does_not_close_the_store_for_good() {
        let retention = Retention { raw_days: 2, hourly_days: 1, daily_days: 10 };
        let jumped = RetentionEdges::EVERYTHING.after(10_000 * DAY_MS, retention);
        assert_eq!(jumped.after(100 * DAY_MS, retention).views_from_ms, 98 * DAY_MS);
    }

    #[test]
    fn of_two_clocks_the_earlier_one_removes() {
        let retention = Retention { raw_days: 2, hourly_days: 1, daily_days: 10 };
        let by = |before: RetentionEdges, own_ms: i64, other_ms: i64| {
            before.after(own_ms, retention).held_back(before.after(other_ms, retention), before)
        };
        let now_ms = 100 * DAY_MS;
        let before = RetentionEdges::EVERYTHING.after(now_ms, retention);
        let next = before.after(now_ms + DAY_MS, retention);
        assert_eq!(by(before, now_ms + DAY_MS, now_ms + DAY_MS), next);
        assert_eq!(by(before, now_ms + 900 * DAY_MS, now_ms + DAY_MS), next);
        assert_eq!(by(before, now_ms + DAY_MS, now_ms), before);
        assert_eq!(by(before, now_ms + DAY_MS, now_ms - 40 * DAY_MS), before, "no edge moves back by it");
        let jumped = RetentionEdges::EVERYTHING.after(10_000 * DAY_MS, retention);
        assert_eq!(by(jumped, now_ms, now_ms), before, "what lies in the future does");
    }

    #[test]
    fn a_leap_is_what_two_edges_would_move() {
        let retention = Retention { raw_days: 2, hourly_days: 1, daily_days: 10 };
        assert_eq!(RetentionEdges::EVERYTHING.leap_days(100 * DAY_MS, retention), 0);
        let everything = Retention { raw_days: u32::MAX, hourly_days: u32::MAX, daily_days: u32::MAX };
        let moved = RetentionEdges::EVERYTHING.after(90 * DAY_MS, everything);
        assert_eq!(moved.leap_days(100 * DAY_MS, retention), 0);
        let retained = RetentionEdges::EVERYTHING.after(100 * DAY_MS, retention);
        assert_eq!(retained.leap_days(101 * DAY_MS + 5, retention), 1);
        assert_eq!(retained.leap_days(160 * DAY_MS, retention), 60);
        assert_eq!(retained.leap_days(40 * DAY_MS, retention), 0, "a clock that is behind removes nothing");
        let lowered = Retention { daily_days: 3, ..retention };
        assert_eq!(retained.leap_days(100 * DAY_MS, lowered), 0);
        let raised = Retention { daily_days: 400, ..retention };
        assert_eq!(retained.leap_days(160 * DAY_MS, raised), 60);
    }
}
