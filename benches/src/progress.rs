//! Progress messages on standard error: one line a step, and a counter for long steps.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Prints one line.
pub(crate) fn say(text: impl AsRef<str>) {
    eprintln!("bench: {}", text.as_ref());
}

/// A counter towards a total. On a terminal it updates in place; otherwise it prints a line every 10 s.
pub(crate) struct Progress {
    what: String,
    of: u64,
    started: Instant,
    shown: Instant,
    every: Duration,
    in_place: bool,
}

impl Progress {
    /// Starts the counter.
    pub(crate) fn new(what: impl Into<String>, of: u64) -> Self {
        let in_place = std::io::stderr().is_terminal();
        let every = if in_place { Duration::from_millis(200) } else { Duration::from_secs(10) };
        let now = Instant::now();
        Self { what: what.into(), of, started: now, shown: now, every, in_place }
    }

    /// Reports the number done; prints at most once an interval.
    pub(crate) fn at(&mut self, done: u64) {
        if self.shown.elapsed() < self.every || done == 0 {
            return;
        }
        self.shown = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let left = seconds / done as f64 * self.of.saturating_sub(done) as f64;
        let text = format!("bench: {}: {done} of {}, {left:.0} s left", self.what, self.of);
        if self.in_place {
            eprint!("\r\x1b[K{text}");
            // Progress output is optional, so errors are ignored.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{text}");
        }
    }

    /// Prints the total and the time taken.
    pub(crate) fn end(self) {
        let clear = if self.in_place { "\r\x1b[K" } else { "" };
        eprintln!(
            "{clear}bench: {}: {} in {:.1} s",
            self.what,
            self.of,
            self.started.elapsed().as_secs_f64()
        );
    }
}
