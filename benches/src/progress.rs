//! What is going on, on standard error: a line a step, and one that counts where there is much to count.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Says what is being done.
pub(crate) fn say(text: impl AsRef<str>) {
    eprintln!("bench: {}", text.as_ref());
}

/// Counts towards a number: in place on a terminal, else a line every ten seconds.
pub(crate) struct Progress {
    what: String,
    of: u64,
    started: Instant,
    shown: Instant,
    every: Duration,
    in_place: bool,
}

impl Progress {
    /// Begins to count.
    pub(crate) fn new(what: impl Into<String>, of: u64) -> Self {
        let in_place = std::io::stderr().is_terminal();
        let every = if in_place { Duration::from_millis(200) } else { Duration::from_secs(10) };
        let now = Instant::now();
        Self { what: what.into(), of, started: now, shown: now, every, in_place }
    }

    /// So many are done.
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
            // Nothing depends on it.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{text}");
        }
    }

    /// All are done.
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
