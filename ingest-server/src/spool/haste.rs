//! Whether loading may have more than what others leave.

use fieldvitals_store::priority::Priority;
use std::time::{Duration, Instant};
use vitals::limits;

/// Longest time that a load may take at idle priority, some twenty times what the largest takes on a core of its own:
/// others use all cores then, and those who want to write to the store wait for it. It is given up.
pub(super) const STEP_MAX: Duration = Duration::from_millis(limits::LOAD_IDLE_STEP_MS_MAX);
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
    /// Whether there is no other than low.
    fixed: bool,
}

/// What waits after a step.
#[derive(Clone, Copy)]
pub(super) struct Left {
    /// No more than the next load takes.
    pub(super) few: bool,
    /// A part of the spool that the rest must not be waited for with.
    pub(super) much: bool,
}

impl Haste {
    pub(super) fn new(now: Instant) -> Self {
        Self { priority: Priority::Low, caught_up: now, low_until: None, low_for: LOW_FIRST, fixed: false }
    }

    pub(super) const fn priority(&self) -> Priority {
        self.priority
    }

    /// After a step that took this time: whether the priority is another now.
    pub(super) fn step(&mut self, took: Duration, left: Left, now: Instant) -> bool {
        if left.few {
            self.caught_up = now;
        }
        let next = match self.priority {
            Priority::Idle if left.much || took >= STEP_MAX || now - self.caught_up > BEHIND_MAX => {
                self.slow_down_idling(now);
                Priority::Low
            }
            Priority::Low
                if left.few
                    && !left.much
                    && !self.fixed
                    && self.low_until.is_none_or(|until| until <= now) =>
            {
                Priority::Idle
            }
            same => same,
        };
        std::mem::replace(&mut self.priority, next) != next
    }

    /// Idle priority could not be had now.
    pub(super) fn refuse(&mut self, now: Instant) {
        self.slow_down_idling(now);
        self.priority = Priority::Low;
    }

    /// From now on it is low.
    pub(super) const fn hurry(&mut self) {
        self.fixed = true;
        self.priority = Priority::Low;
    }

    /// Something has come after a time in which nothing waited.
    pub(super) const fn wake(&mut self, now: Instant) {
        self.caught_up = now;
    }

    fn slow_down_idling(&mut self, now: Instant) {
        let follows = self.low_until.is_some_and(|until| now < until + self.low_for);
        self.low_for = if follows { (self.low_for * 2).min(LOW_MAX) } else { LOW_FIRST };
        self.low_until = Some(now + self.low_for);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(300);
    const FEW: Left = Left { few: true, much: false };
    const SOME: Left = Left { few: false, much: false };

    struct Clock(Haste, Instant);

    impl Clock {
        fn new() -> Self {
            let now = Instant::now();
            Self(Haste::new(now), now)
        }

        /// A step of this length, so many seconds after the last.
        fn step(&mut self, seconds: u64, took: Duration, left: Left) -> Priority {
            self.1 += Duration::from_secs(seconds);
            let before = self.0.priority();
            let changes = self.0.step(took, left, self.1);
            assert_eq!(changes, before != self.0.priority());
            self.0.priority()
        }
    }

    #[test]
    fn what_waits_from_an_earlier_run_is_loaded_in_haste() {
        let mut clock = Clock::new();
        assert_eq!(clock.step(1, SOON, SOME), Priority::Low);
        assert_eq!(clock.step(100, SOON, FEW), Priority::Idle);
        assert_eq!(clock.step(0, SOON, Left { few: false, much: true }), Priority::Low);
    }

    #[test]
    fn reports_are_no_more_than_half_a_minute_behind() {
        let mut clock = Clock::new();
        clock.step(0, SOON, FEW);
        for _ in 0..30 {
            assert_eq!(clock.step(1, SOON, SOME), Priority::Idle);
        }
        assert_eq!(clock.step(1, SOON, SOME), Priority::Low);
        // Caught up, and a minute later.
        assert_eq!(clock.step(59, SOON, FEW), Priority::Low);
        assert_eq!(clock.step(1, SOON, FEW), Priority::Idle);
    }

    #[test]
    fn a_quiet_time_is_none_in_which_something_waited() {
        let mut clock = Clock::new();
        clock.step(0, SOON, FEW);
        clock.1 += Duration::from_secs(3_600);
        clock.0.wake(clock.1);
        assert_eq!(clock.step(1, SOON, SOME), Priority::Idle);
    }

    #[test]
    fn a_machine_that_others_fill_is_tried_less_and_less() {
        let mut clock = Clock::new();
        clock.step(0, SOON, FEW);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(clock.step(1, STEP_MAX, FEW), Priority::Low);
            assert_eq!(clock.step(minutes * 60 - 1, SOON, FEW), Priority::Low);
            assert_eq!(clock.step(1, SOON, FEW), Priority::Idle);
        }
        // Enough of cores for longer than that.
        clock.step(3_700, SOON, FEW);
        clock.step(1, STEP_MAX, FEW);
        assert_eq!(clock.step(60, SOON, FEW), Priority::Idle);
    }

    #[test]
    fn a_store_may_refuse() {
        let mut clock = Clock::new();
        clock.step(0, SOON, FEW);
        clock.0.refuse(clock.1);
        assert_eq!(clock.step(59, SOON, FEW), Priority::Low);
        assert_eq!(clock.step(1, SOON, FEW), Priority::Idle);
        clock.0.hurry();
        assert_eq!(clock.step(4_000, SOON, FEW), Priority::Low);
    }
}
