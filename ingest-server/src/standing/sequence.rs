//! The life of a standing budget: sequences of looks at growing page views, and the state that their verdicts set.
//!
//! Within one sequence, any number of looks raises a false alarm in at most 5 % of cases (`vitals::gate`). A sequence that
//! ran for ever would be slow: weeks of good page views would have to be outweighed before a break shows. So a sequence
//! ends, and the next one starts with no page views:
//!
//! - at a verdict that changes the state, so that the way back is judged by page views of after the change;
//! - at a verdict that confirms `kept` after a day, which has every hour of visitors, or `broken` after an hour, so that a
//!   repair shows soon;
//! - without a verdict after a week, or earlier where page views are kept for a shorter time. A sequence without page views
//!   goes on, so that its start says since when there are none.

use serde::{Deserialize, Serialize};
use vitals::gate::Verdict;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The longest sequence, in milliseconds.
const LENGTH_MS_MAX: i64 = 7 * DAY_MS;

/// What is known of a standing budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No sequence has decided yet.
    Undecided,
    /// The last verdict was `pass`.
    Kept,
    /// The last verdict was `fail`.
    Broken,
}

impl State {
    /// Returns the name in the API: `undecided`, `kept` or `broken`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Kept => "kept",
            Self::Broken => "broken",
        }
    }
}

/// The running sequence of a budget, and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Start of the page views of the running sequence, UTC milliseconds.
    pub from_ms: i64,
    /// The state.
    pub state: State,
    /// When the state began, UTC milliseconds.
    pub since_ms: i64,
}

impl Sequence {
    /// The first sequence of a budget. It has the page views of the last day, so that there is an answer at once.
    #[must_use]
    pub const fn new(now_ms: i64) -> Self {
        Self { from_ms: now_ms.saturating_sub(DAY_MS), state: State::Undecided, since_ms: now_ms }
    }

    /// Starts another sequence and keeps the state, for a budget whose limit was changed.
    #[must_use]
    pub const fn restarted(self, now_ms: i64) -> Self {
        Self { from_ms: now_ms.saturating_sub(DAY_MS), ..self }
    }

    /// Takes the verdict of a look at `n` page views. `kept_days` is the retention of page views.
    pub fn look(&mut self, (verdict, n): (Verdict, u64), now_ms: i64, kept_days: u32) {
        let age_ms = now_ms.saturating_sub(self.from_ms);
        let state = match verdict {
            Verdict::Pass => State::Kept,
            Verdict::Fail => State::Broken,
            Verdict::Inconclusive => {
                // The first day that is kept is being removed.
                let kept_ms = i64::from(kept_days).saturating_sub(1).saturating_mul(DAY_MS);
                if n > 0 && age_ms >= LENGTH_MS_MAX.min(kept_ms) {
                    self.from_ms = now_ms;
                }
                return;
            }
        };
        let confirmed_ms = if state == State::Broken { HOUR_MS } else { DAY_MS };
        if state != self.state {
            *self = Self { from_ms: now_ms, state, since_ms: now_ms };
        } else if age_ms >= confirmed_ms {
            self.from_ms = now_ms;
        }
    }

    /// Returns the start of a time without page views, of which there are `n` now; `None` if it is shorter than a day.
    #[must_use]
    pub fn silent_since_ms(&self, now_ms: i64, n: u64) -> Option<i64> {
        (n == 0 && now_ms.saturating_sub(self.from_ms) >= DAY_MS).then_some(self.from_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The looks, in hours after the start: verdict, then state, its start and the start of the sequence.
    fn run(looks: &[(i64, Verdict, State, i64, i64)]) {
        let start_ms = 100 * DAY_MS;
        let mut sequence = Sequence::new(start_ms);
        for &(hour, verdict, state, since, from) in looks {
            sequence.look((verdict, 9), start_ms + hour * HOUR_MS, 30);
            let of = |ms: i64| (ms - start_ms) / HOUR_MS;
            let found = (sequence.state, of(sequence.since_ms), of(sequence.from_ms));
            assert_eq!(found, (state, since, from), "at hour {hour}");
        }
    }

    #[test]
    fn state_changes_by_verdicts_and_starts_a_sequence() {
        use {State::*, Verdict::*};
        run(&[
            (0, Inconclusive, Undecided, 0, -24),
            (1, Pass, Kept, 1, 1),
            (2, Pass, Kept, 1, 1),
            (3, Inconclusive, Kept, 1, 1),
            (4, Fail, Broken, 4, 4),
            (4, Fail, Broken, 4, 4),
            (5, Fail, Broken, 4, 5),
            (6, Inconclusive, Broken, 4, 5),
            (7, Pass, Kept, 7, 7),
            (30, Pass, Kept, 7, 7),
            (31, Pass, Kept, 7, 31),
        ]);
    }

    #[test]
    fn sequence_without_a_verdict_ends_within_a_week_and_within_retention() {
        use {State::*, Verdict::*};
        run(&[(143, Inconclusive, Undecided, 0, -24), (144, Inconclusive, Undecided, 0, 144)]);
        let mut short = Sequence::new(0);
        short.look((Inconclusive, 1), 0, 3);
        assert_eq!(short.from_ms, -DAY_MS);
        short.look((Inconclusive, 1), DAY_MS, 3);
        assert_eq!(short.from_ms, DAY_MS, "of 3 kept days, one is being removed");
    }

    #[test]
    fn sequence_without_page_views_keeps_its_start_until_one_comes() {
        let mut sequence = Sequence { from_ms: 0, state: State::Kept, since_ms: 0 };
        sequence.look((Verdict::Inconclusive, 0), 30 * DAY_MS, 30);
        assert_eq!((sequence.from_ms, sequence.silent_since_ms(30 * DAY_MS, 0)), (0, Some(0)));
        assert_eq!(sequence.silent_since_ms(DAY_MS - 1, 0), None, "nights have no page views");
        assert_eq!(sequence.silent_since_ms(30 * DAY_MS, 1), None);
        sequence.look((Verdict::Inconclusive, 1), 31 * DAY_MS, 30);
        assert_eq!((sequence.from_ms, sequence.state), (31 * DAY_MS, State::Kept));
    }
}
