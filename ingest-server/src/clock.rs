//! Reads the system clock, and detects its jumps, so that a wrong clock does not remove data.
//!
//! A clock that is years ahead puts all data past retention. Nothing is removed for [`limits::CLOCK_DOUBT_MS`] after a
//! jump forward, which leaves time to correct the clock. The monotonic clock reveals jumps while the server runs.
//! Maintenance detects a jump before the start by the number of days that it would remove at once.

use crate::limits;
use std::time::{Duration, Instant};

/// Returns the current time in UTC milliseconds.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A jump of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jump {
    /// Size in milliseconds.
    Forward(i64),
    /// Size in milliseconds.
    Back(i64),
}

/// The last observation of the clock, and the time until which the clock is not trusted.
pub(crate) struct Clock {
    seen: Instant,
    seen_ms: i64,
    doubted_until: Option<Instant>,
}

impl Clock {
    /// A trusted clock, last observed now.
    pub(crate) const fn new(now: Instant, now_ms: i64) -> Self {
        Self { seen: now, seen_ms: now_ms, doubted_until: None }
    }

    /// Distrusts the clock for [`limits::CLOCK_DOUBT_MS`].
    pub(crate) fn doubt(&mut self, now: Instant) {
        self.doubted_until = Some(now + Duration::from_millis(limits::CLOCK_DOUBT_MS));
    }

    /// Observes the clock. Returns a jump since the last observation; a jump back ends the distrust.
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

    /// Whether data may be removed by this clock.
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
