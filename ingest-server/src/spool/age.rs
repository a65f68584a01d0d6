//! The age of the backlog: when the oldest row was written that is not loaded.
//!
//! Rows have no time. The writer marks the position of at most one commit a second; the age is that of the last mark at or
//! before the oldest row.

use std::collections::VecDeque;

/// Least time between two marks, in milliseconds.
const MARK_MS: i64 = 1_000;
/// Marks kept. With more, every second one is dropped and the time between marks doubles: after an outage of hours the age
/// is known to some seconds.
const MARKS_MAX: usize = 2_048;

/// Positions of commits, and their times in UTC milliseconds, oldest first.
#[derive(Debug)]
pub(super) struct Age {
    marks: VecDeque<(u64, i64)>,
    /// Time between two marks, in milliseconds.
    step_ms: i64,
    /// The last written position.
    last: u64,
    /// The last loaded position.
    loaded: u64,
}

impl Age {
    /// The age of a spool that may have rows of earlier starts. Their times are unknown; they count from now on.
    pub(super) fn new(last: u64, now_ms: i64) -> Self {
        Self { marks: VecDeque::from([(0, now_ms)]), step_ms: MARK_MS, last, loaded: 0 }
    }

    /// Notes a commit.
    pub(super) fn written(&mut self, position: u64, now_ms: i64) {
        self.last = position;
        let is_due = self.marks.back().is_none_or(|&(_, at_ms)| (now_ms - at_ms).abs() >= self.step_ms);
        // The first row after an empty backlog is marked, because the mark before it may be long ago.
        if !is_due && self.loaded + 1 < position {
            return;
        }
        self.marks.push_back((position, now_ms));
        self.trim();
        if self.marks.len() > MARKS_MAX {
            let mut is_kept = false;
            self.marks.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.step_ms = self.step_ms.saturating_mul(2);
        }
    }

    /// Notes that all rows up to a position are loaded or held.
    pub(super) fn loaded(&mut self, position: u64) {
        self.loaded = position;
        self.trim();
    }

    /// Drops the marks before the last one at or before the oldest row.
    fn trim(&mut self) {
        while self.marks.get(1).is_some_and(|&(next, _)| next <= self.loaded + 1) {
            self.marks.pop_front();
        }
        if self.marks.len() == 1 {
            self.step_ms = MARK_MS;
        }
    }

    /// Returns the age of the oldest row that is not loaded, in milliseconds; 0 without one.
    pub(super) fn ms(&self, now_ms: i64) -> i64 {
        match self.marks.front() {
            Some(&(_, at_ms)) if self.loaded < self.last => now_ms.saturating_sub(at_ms).max(0),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_that_of_the_oldest_row_that_is_not_loaded() {
        let mut age = Age::new(0, 0);
        assert_eq!(age.ms(9_000), 0, "nothing waits");
        for position in 1..=100_u64 {
            age.written(position, i64::try_from(position).unwrap() * 100);
        }
        let now_ms = 10_000;
        assert!((9_900..=10_000).contains(&age.ms(now_ms)), "{}", age.ms(now_ms));
        age.loaded(50);
        assert!((4_900..=5_900).contains(&age.ms(now_ms)), "{}", age.ms(now_ms));
        age.loaded(100);
        assert_eq!(age.ms(now_ms), 0);
        age.written(101, 60_000);
        assert_eq!(age.ms(60_500), 500, "the first row after an empty backlog");
    }

    #[test]
    fn backlog_of_an_earlier_start_ages_from_the_start() {
        let mut age = Age::new(7, 1_000);
        assert_eq!(age.ms(3_000), 2_000);
        age.loaded(7);
        assert_eq!(age.ms(4_000), 0);
    }

    #[test]
    fn marks_of_a_long_outage_are_bounded() {
        let mut age = Age::new(0, 0);
        for position in 1..=20_000_u64 {
            age.written(position, i64::try_from(position).unwrap() * 1_000);
        }
        assert!(age.marks.len() <= MARKS_MAX);
        age.loaded(10_000);
        let ms = age.ms(20_000_000);
        assert!((9_990_000..=10_020_000).contains(&ms), "{ms}");
    }
}
