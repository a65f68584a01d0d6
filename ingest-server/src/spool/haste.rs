//! Whether loading may have more than what others leave.

use fieldvitals_store::priority::Priority;
use std::time::{Duration, Instant};
use vitals::limits;

/// Longest time in which a load must have begun at idle priority: others use all cores where it does not.
pub(super) const START_MAX: Duration = Duration::from_millis(limits::LOAD_IDLE_START_MS_MAX);
/// Longest time that a load may take at idle priority, some twenty times what the largest takes on a core of its own:
/// those who want to write to the store wait for it. It is given up.
pub(super) const LOAD_MAX: Duration = Duration::from_millis(limits::LOAD_IDLE_MS_MAX);
/// Longest time for which beacons may have to wait for more than the next load.
const BEHIND_MAX: Duration = Duration::from_millis(limits::LOAD_IDLE_BEHIND_MS_MAX);
/// Time at low priority after loading was too slow; twice as long where it is so again soon after, up to an hour.
const LOW_FIRST: Duration = Duration::from_secs(60);
const LOW_MAX: Duration = Duration::from_secs(3_600);

/// The priority at which is loaded.
pub(super) struct Haste {
    priority: Priority,
    /// When no more waited than one load takes.
    caught_up: Instant,
    /// Not before this it is idle.
    low_until: Option<Instant>,
    low_for: Duration,
}

/// What waits after a load.
#[derive(Clone, Copy)]
pub(super) struct Left {
    /// No more than the next load takes.
    pub(super) few: bool,
    /// A part of the spool that the rest must not be waited for with.
    pub(super) much: bool,
}

impl Haste {
    pub(super) fn new(now: Instant) -> Self {
        Self { priority: Priority::Low, caught_up: now, low_until: None, low_for: LOW_FIRST }
    }

    pub(super) const fn priority(&self) -> Priority {
        self.priority
    }

    /// After a load: for how long it is low from now on, where it is idle no more.
    pub(super) fn left(&mut self, left: Left, now: Instant) -> Option<Duration> {
        if left.few {
            self.caught_up = now;
        }
        match self.priority {
            Priority::Idle if left.much || now - self.caught_up > BEHIND_MAX => return Some(self.slow(now)),
            Priority::Low if left.few && !left.much && self.low_until.is_none_or(|until| until <= now) => {
                self.priority = Priority::Idle;
            }
            Priority::Low | Priority::Idle => {}
        }
        None
    }

    /// Idle priority is too slow: it is low for this time.
    pub(super) fn slow(&mut self, now: Instant) -> Duration {
        let follows = self.low_until.is_some_and(|until| now < until + self.low_for);
        self.low_for = if follows { (self.low_for * 2).min(LOW_MAX) } else { LOW_FIRST };
        self.low_until = Some(now + self.low_for);
        self.priority = Priority::Low;
        self.low_for
    }

    /// Something has come after a time in which nothing waited.
    pub(super) const fn wake(&mut self, now: Instant) {
        self.caught_up = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Left = Left { few: true, much: false };
    const SOME: Left = Left { few: false, much: false };

    struct Clock(Haste, Instant);

    impl Clock {
        fn new() -> Self {
            let now = Instant::now();
            Self(Haste::new(now), now)
        }

        /// A load so many seconds after the last.
        fn load(&mut self, seconds: u64, left: Left) -> Priority {
            self.1 += Duration::from_secs(seconds);
            let before = self.0.priority();
            let low_for = self.0.left(left, self.1);
            assert_eq!(low_for.is_some(), (before, self.0.priority()) == (Priority::Idle, Priority::Low));
            self.0.priority()
        }
    }

    #[test]
    fn what_waits_from_an_earlier_run_is_loaded_in_haste() {
        let mut clock = Clock::new();
        assert_eq!(clock.load(1, SOME), Priority::Low);
        assert_eq!(clock.load(100, FEW), Priority::Idle);
        assert_eq!(clock.load(0, Left { few: false, much: true }), Priority::Low);
    }

    #[test]
    fn reports_are_no_more_than_half_a_minute_behind() {
        let mut clock = Clock::new();
        clock.load(0, FEW);
        for _ in 0..30 {
            assert_eq!(clock.load(1, SOME), Priority::Idle);
        }
        assert_eq!(clock.load(1, SOME), Priority::Low);
        // Caught up, and a minute later.
        assert_eq!(clock.load(59, FEW), Priority::Low);
        assert_eq!(clock.load(1, FEW), Priority::Idle);
    }

    #[test]
    fn a_quiet_time_is_none_in_which_something_waited() {
        let mut clock = Clock::new();
        clock.load(0, FEW);
        clock.1 += Duration::from_secs(3_600);
        clock.0.wake(clock.1);
        assert_eq!(clock.load(1, SOME), Priority::Idle);
    }

    #[test]
    fn a_machine_that_others_fill_is_tried_less_and_less() {
        let mut clock = Clock::new();
        clock.load(0, FEW);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(clock.0.slow(clock.1), Duration::from_secs(minutes * 60));
            assert_eq!(clock.load(minutes * 60 - 1, FEW), Priority::Low);
            assert_eq!(clock.load(1, FEW), Priority::Idle);
        }
        // Enough of cores for longer than that.
        clock.load(3_700, FEW);
        assert_eq!(clock.0.slow(clock.1), LOW_FIRST);
    }
}
