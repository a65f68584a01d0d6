//! Progress of long operations, on standard error: one line that changes on a terminal, a line every few seconds in a
//! log.

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Interval between lines in a log, where every line stays.
const LOG: Duration = Duration::from_secs(5);
/// Interval at which the spinner moves.
const SPIN: Duration = Duration::from_millis(200);

/// The progress line of an operation.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// The time of the last line in a log; `None` before the first line.
    logged: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// Starts without output.
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(
            ProgressStyle::with_template("{spinner} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self { bar, logged: None, terminal }
    }

    /// Shows this text: at once on a terminal, and at intervals in a log.
    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        if self.terminal {
            self.bar.set_message(text());
            self.bar.enable_steady_tick(SPIN);
        } else if self.logged.is_none_or(|logged| logged.elapsed() >= LOG) {
            self.logged = Some(Instant::now());
            write(&text());
        }
    }

    /// Prints a line that stays.
    pub(crate) fn note(&self, text: &str) {
        self.bar.suspend(|| write(text));
    }

    /// Removes the progress line before other output.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Prints a line. Ignores errors, because the operation must go on without progress output.
fn write(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Speed of an operation, for an estimate of the remaining time.
pub(crate) struct Rate {
    bar: ProgressBar,
    all: u64,
}

impl Rate {
    /// Starts measuring an operation of `all` items, `before` of which are done.
    pub(crate) fn new(before: u64, all: u64) -> Self {
        // Hidden: only its estimate is used, which forgets early speeds.
        let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::hidden());
        bar.set_position(before);
        bar.reset_eta();
        Self { bar, all }
    }

    /// Formats a line such as `12,000 of 40,000 page views, 8,000/s, 4 seconds left`.
    pub(crate) fn text(&self, done: u64, what: &str) -> String {
        self.bar.set_position(done);
        rate_text([done, self.all], what, self.bar.per_sec(), self.bar.eta())
    }
}

fn rate_text([done, all]: [u64; 2], what: &str, per_second: f64, left: Duration) -> String {
    let mut text = format!("{} of {} {what}", grouped(done), grouped(all));
    if per_second >= 1.0 {
        text.push_str(&format!(", {}/s, {} left", grouped(per_second as u64), HumanDuration(left)));
    }
    text
}

/// Formats a count with its noun: `1 day`, `2,000 days`.
pub(crate) fn count(number: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Formats a number with thousands separators.
pub(crate) fn grouped(number: u64) -> String {
    HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators_and_plurals() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!((count(1, "day"), count(2_000, "day")), ("1 day".into(), "2,000 days".into()));
    }

    #[test]
    fn rate_is_shown_once_it_is_known() {
        let text = rate_text([3_000, 5_000], "page views", 1_000.0, Duration::from_secs(2));
        assert_eq!(text, "3,000 of 5,000 page views, 1,000/s, 2 seconds left");
        assert_eq!(Rate::new(1_000, 5_000).text(1_000, "rows"), "1,000 of 5,000 rows");
    }
}
