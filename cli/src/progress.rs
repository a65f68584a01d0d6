//! Progress of long operations, on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Interval between updates on a terminal. Each update overwrites the line before it.
const TERMINAL: Duration = Duration::from_millis(100);
/// Interval between lines in a log, where every line stays.
const LOG: Duration = Duration::from_secs(5);

/// Prints progress: the first line at once, then at the interval of the terminal or the log.
pub(crate) struct Progress {
    terminal: bool,
    last: Option<Instant>,
    /// Whether the terminal has a line without a line break.
    open: bool,
}

impl Progress {
    /// Starts without output.
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: None, open: false }
    }

    /// Prints progress if the interval has passed.
    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        let pause = if self.terminal { TERMINAL } else { LOG };
        if self.last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        self.last = Some(Instant::now());
        let text = text();
        if self.terminal {
            // Returns to the start of the line and clears the rest of a longer line.
            self.write(&format!("\r{text}\u{1b}[K"));
            self.open = true;
        } else {
            self.write(&format!("{text}\n"));
        }
    }

    /// Prints a line that stays.
    pub(crate) fn note(&mut self, text: &str) {
        self.clear();
        self.write(&format!("{text}\n"));
    }

    /// Clears the progress line before other output.
    pub(crate) fn clear(&mut self) {
        if self.open {
            self.write("\r\u{1b}[K");
            self.open = false;
        }
    }

    /// Ignores errors, because the operation must go on without progress output.
    fn write(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Speed of an operation, for an estimate of the remaining time.
pub(crate) struct Rate {
    start: Instant,
    /// Items done before this run.
    before: u64,
    all: u64,
}

impl Rate {
    /// Starts measuring an operation of `all` items, `before` of which are done.
    pub(crate) fn new(before: u64, all: u64) -> Self {
        Self { start: Instant::now(), before, all }
    }

    /// Formats a line such as `12,000 of 40,000 page views, 8,000/s, 4 s left`.
    pub(crate) fn text(&self, done: u64, what: &str) -> String {
        self.text_after(done, what, self.start.elapsed())
    }

    fn text_after(&self, done: u64, what: &str, after: Duration) -> String {
        let mut text = format!("{} of {} {what}", grouped(done), grouped(self.all));
        let rate = done.saturating_sub(self.before) as f64 / after.as_secs_f64().max(1e-3);
        if rate >= 1.0 {
            let left = Duration::from_secs_f64(self.all.saturating_sub(done) as f64 / rate);
            text.push_str(&format!(", {}/s, {} left", grouped(rate as u64), long(left)));
        }
        text
    }
}

/// Formats a count with its noun: `1 day`, `2,000 days`.
pub(crate) fn count(number: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Formats a number with thousands separators.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn long(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_can_be_read() {
        let shown = [0, 7, 123, 1_234, 12_345, 123_456, 1_234_567].map(grouped);
        assert_eq!((count(1, "day"), count(2_000, "day")), ("1 day".into(), "2,000 days".into()));
        assert_eq!(shown, ["0", "7", "123", "1,234", "12,345", "123,456", "1,234,567"]);
    }

    #[test]
    fn what_was_done_before_does_not_count_for_the_rate() {
        let rate = Rate::new(1_000, 5_000);
        let text = rate.text_after(3_000, "page views", Duration::from_secs(2));
        assert_eq!(text, "3,000 of 5,000 page views, 1,000/s, 2 s left");
        assert_eq!(rate.text_after(1_000, "rows", Duration::from_secs(2)), "1,000 of 5,000 rows");
        assert_eq!(
            (long(Duration::from_secs(600)), long(Duration::from_secs(7_300))),
            ("10 min".into(), "2 h".into())
        );
    }
}
