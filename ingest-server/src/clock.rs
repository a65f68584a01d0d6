//! Whether the clock can be trusted with removing data.
//!
//! A clock that jumps years ahead would have everything removed as past retention. So after a jump forward
//! nothing is removed for a while, in which a clock that was wrong is put right. Jumps are told by the monotonic
//! clock; one that took place before the start, by what maintenance would remove at once.

use std::time::{Duration, Instant};
use vitals::limits;

/// A jump of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jump {
    /// By so many milliseconds.
    Forward(i64),
    /// By so many milliseconds.
    Back(i64),
}

/// What the clock did so far.
pub(crate) struct Clock {
    seen: Instant,
    seen_ms: i64,
    doubted_until: Option<Instant>,
}

impl Clock {
    /// A clock that is believed, at this moment.
    pub(crate) const fn new(now: Instant, now_ms: i64) -> Self {
        Self { seen: now, seen_ms: now_ms, doubted_until: None }
    }

    /// Doubts it for a while.
    pub(crate) fn doubt(&mut self, now: Instant) {
        self.doubted_until = Some(now + Duration::from_millis(limits::CLOCK_DOUBT_MS));
    }

    /// Looks at the clock; tells of a jump since the last look.
    pub(crate) fn look(&mut self, now: Instant, now_ms: i64) -> Option<Jump> {
        let passed_ms = i64::try_from((now - self.seen).as_millis()).unwrap_or(i64::MAX);
        let by_ms = now_ms.saturating_sub(self.seen_ms).saturating_sub(passed_ms);
        (self.seen, self.seen_ms) = (now, now_ms);
        if by_ms > limits::CLOCK_JUMP_MS_MAX {
            self.doubt(now);
            Some(Jump::Forward(by_ms))
        } else if by_ms < -limits::CLOCK_JUMP_MS_MAX {
            self.doubted_until = None;
            Some(Jump::Back(-by_ms))
        } else {
            None
        }
    }

    /// Whether data may be removed by it.
    pub(crate) fn is_trusted(&self) -> bool {
        self.doubted_until.is_none_or(|until| self.seen >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_jump_forward_is_doubted_until_it_has_lasted() {
        let start = Instant::now();
        let mut clock = Clock::new(start, 0);
        assert_eq!(clock.look(start + 30 * HOUR, 30 * HOUR_MS), None);
        assert!(clock.is_trusted());
        assert_eq!(clock.look(start + 30 * HOUR, 80 * HOUR_MS), Some(Jump::Forward(50 * HOUR_MS)));
        assert!(!clock.is_trusted());
        assert_eq!(clock.look(start + 30 * HOUR + HOUR / 2, 80 * HOUR_MS + HOUR_MS / 2), None);
        assert!(!clock.is_trusted());
        assert_eq!(clock.look(start + 31 * HOUR, 81 * HOUR_MS), None);
        assert!(clock.is_trusted(), "it stayed");
    }

    #[test]
    fn a_jump_back_ends_the_doubt() {
        let start = Instant::now();
        let mut clock = Clock::new(start, 0);
        assert!(matches!(clock.look(start, 50 * HOUR_MS), Some(Jump::Forward(_))));
        assert_eq!(clock.look(start, 0), Some(Jump::Back(50 * HOUR_MS)));
        assert!(clock.is_trusted());
    }
}
