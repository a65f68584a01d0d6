//! The history of 30 days: a row a minute, in memory and in a file of the data folder.
//!
//! The file has one JSON object a line, and rows are only appended. A line that a crash tore is dropped at the next start.
//! Rows past 30 days leave the file when a start, or the growth of the file, rewrites it.

use super::check::Check;
use super::thresholds::replace;
use super::window::Values;
use crate::limits;
use fieldvitals_store::private;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Result, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// The file of the data folder.
pub(crate) const FILE: &str = "health.jsonl";
/// The file while it is rewritten.
pub(crate) const NEW_FILE: &str = "health.jsonl.new";

/// Length of the history, in milliseconds.
pub(super) const KEPT_MS: i64 = 30 * DAY_MS;
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// Time between two rows, in milliseconds.
pub(super) const ROW_MS: i64 = 60_000;
/// Lines of old rows in the file that are worth a rewrite.
const OLD_LINES_MAX: usize = limits::HISTORY_ROWS_MAX / 4;
/// History below which no availability is told: a restart soon after the first start would be a large part of it.
const AVAILABILITY_MS_MIN: i64 = DAY_MS;

/// A minute of the server, or the part of it in which the server ran.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// End of the time that the row covers, in UTC milliseconds.
    pub(super) at_ms: i64,
    /// Time in which the server ran since the row before, or since its start, in seconds.
    pub(super) up_s: f32,
    /// Requests of that time.
    pub(super) requests: u32,
    /// Requests that ended with a status 5xx.
    pub(super) failed: u32,
    /// Values of the checks; not a number if unknown.
    values: [f32; Check::ALL.len()],
}

/// A row as a line.
#[derive(Serialize, Deserialize)]
struct Line {
    at_ms: i64,
    up_s: f32,
    requests: u32,
    failed: u32,
    values: BTreeMap<String, f32>,
}

impl Row {
    pub(super) fn new(at_ms: i64, up_s: f32, [requests, failed]: [u64; 2], values: &Values) -> Self {
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let values = values.map(|value| value.map_or(f32::NAN, |value| value as f32));
        Self { at_ms, up_s, requests: count(requests), failed: count(failed), values }
    }

    /// Returns the value of a check; `None` if it was unknown.
    pub(super) fn value(&self, check: Check) -> Option<f64> {
        self.values.get(check as usize).copied().filter(|value| value.is_finite()).map(f64::from)
    }

    fn line(&self) -> Vec<u8> {
        let values = Check::ALL.into_iter().filter_map(|check| {
            // Three digits suffice for a chart, and keep the file small.
            let rounded = (self.value(check)? * 1_000.0).round() / 1_000.0;
            Some((check.name().to_owned(), rounded as f32))
        });
        let &Self { at_ms, up_s, requests, failed, .. } = self;
        let line = Line { at_ms, up_s, requests, failed, values: values.collect() };
        // Numbers and known names are always written.
        let mut line = serde_json::to_vec(&line).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// Reads a line. Ignores checks that this release does not know.
    fn read(line: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        let values = Check::ALL.map(|check| line.values.get(check.name()).copied().unwrap_or(f32::NAN));
        let is_sane = line.up_s.is_finite() && line.up_s >= 0.0;
        is_sane.then_some(Self {
            at_ms: line.at_ms,
            up_s: line.up_s,
            requests: line.requests,
            failed: line.failed,
            values,
        })
    }
}

/// The rows of the last 30 days, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) rows: VecDeque<Row>,
    /// The availability of these rows, in percent.
    pub(super) availability: Option<f64>,
}

impl History {
    pub(super) fn new(rows: VecDeque<Row>) -> Self {
        let availability = availability(&rows);
        Self { rows, availability }
    }

    /// Adds a row, and drops those that are too old.
    pub(super) fn push(&mut self, row: Row) {
        let from_ms = row.at_ms.saturating_sub(KEPT_MS);
        self.rows.push_back(row);
        while self.rows.len() > limits::HISTORY_ROWS_MAX
            || self.rows.front().is_some_and(|row| row.at_ms < from_ms)
        {
            self.rows.pop_front();
        }
        self.availability = availability(&self.rows);
    }
}

/// Returns the share of time in which the server ran, times the share of requests that did not fail, in percent.
fn availability(rows: &VecDeque<Row>) -> Option<f64> {
    let (first, last) = (rows.front()?, rows.back()?);
    let first_up_ms = (f64::from(first.up_s) * 1_000.0) as i64;
    let span_ms = last.at_ms.saturating_sub(first.at_ms.saturating_sub(first_up_ms));
    if span_ms < AVAILABILITY_MS_MIN {
        return None;
    }
    let up_s: f64 = rows.iter().map(|row| f64::from(row.up_s)).sum();
    let sum = |count: fn(&Row) -> u32| rows.iter().map(|row| f64::from(count(row))).sum::<f64>();
    let (requests, failed) = (sum(|row| row.requests), sum(|row| row.failed));
    let answered = if requests > 0.0 { 1.0 - (failed / requests).min(1.0) } else { 1.0 };
    Some((up_s * 1_000.0 / span_ms as f64).min(1.0) * answered * 100.0)
}

/// The file of the history.
#[derive(Debug)]
pub(super) struct Journal {
    data_dir: PathBuf,
    file: Option<File>,
    lines: usize,
    /// The last line may be incomplete.
    is_torn: bool,
    is_failing: bool,
}

impl Journal {
    /// Reads the rows of the last 30 days. A file that cannot be read is logged, and the history begins anew.
    pub(super) fn open(data_dir: &Path, now_ms: i64) -> (Self, VecDeque<Row>) {
        let mut journal =
            Self { data_dir: data_dir.to_owned(), file: None, lines: 0, is_torn: false, is_failing: false };
        let rows = match journal.read(now_ms) {
            Ok(rows) => rows,
            Err(error) => {
                journal.failed(&error);
                VecDeque::new()
            }
        };
        (journal, rows)
    }

    fn read(&mut self, now_ms: i64) -> Result<VecDeque<Row>> {
        let mut rows = VecDeque::new();
        let file = match File::open(self.data_dir.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(rows),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() > limits::HISTORY_BYTES_MAX {
            self.is_torn = true;
            return Ok(rows);
        }
        for line in BufReader::new(file).split(b'\n') {
            self.lines += 1;
            match Row::read(&line?) {
                // Rows of a clock that was ahead are dropped.
                Some(row) if (now_ms - KEPT_MS..=now_ms + ROW_MS).contains(&row.at_ms) => rows.push_back(row),
                Some(_) => {}
                None => self.is_torn = true,
            }
            if rows.len() > limits::HISTORY_ROWS_MAX {
                rows.pop_front();
            }
        }
        Ok(rows)
    }

    /// Appends the last row of the history. Rewrites a file with many old lines or a torn one.
    pub(super) fn append(&mut self, row: &Row, rows: impl FnOnce() -> Vec<Row>) {
        match self.try_append(row, rows) {
            Ok(()) => self.is_failing = false,
            Err(error) => self.failed(&error),
        }
    }

    fn try_append(&mut self, row: &Row, rows: impl FnOnce() -> Vec<Row>) -> Result<()> {
        if self.is_torn || self.lines > limits::HISTORY_ROWS_MAX + OLD_LINES_MAX {
            let rows = rows();
            let bytes: Vec<u8> = rows.iter().flat_map(Row::line).collect();
            self.file = None;
            replace(&self.data_dir, [NEW_FILE, FILE], &bytes)?;
            (self.lines, self.is_torn) = (rows.len(), false);
            return Ok(());
        }
        if self.file.is_none() {
            let mut file = private::create_file(&self.data_dir.join(FILE))?;
            file.seek(SeekFrom::End(0))?;
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            // Not synced: a crash may cost the last rows.
            self.is_torn = true;
            file.write_all(&row.line())?;
            self.is_torn = false;
        }
        self.lines += 1;
        Ok(())
    }

    /// Logs the first of several failures.
    fn failed(&mut self, error: &std::io::Error) {
        if !self.is_failing {
            let path = self.data_dir.join(FILE);
            tracing::warn!(path = %path.display(), %error, "the history of the server's health cannot be kept");
        }
        self.is_failing = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    fn row(minute: i64, up_s: f32) -> Row {
        Row::new(minute * MINUTE_MS, up_s, [10, 0], &[Some(12.5); Check::ALL.len()])
    }

    fn reopened(folder: &Path, now_ms: i64) -> VecDeque<Row> {
        Journal::open(folder, now_ms).1
    }

    #[test]
    fn rows_survive_a_restart_and_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, rows) = Journal::open(folder.path(), 0);
        assert!(rows.is_empty());
        let written: VecDeque<Row> = (1..=3).map(|minute| row(minute, 60.0)).collect();
        written.iter().for_each(|row| journal.append(row, || panic!("nothing to rewrite")));
        drop(journal);
        assert_eq!(reopened(folder.path(), 3 * MINUTE_MS), written);

        let path = folder.path().join(FILE);
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"at_ms\":240000,\"up");
        std::fs::write(&path, text).unwrap();
        let (mut journal, rows) = Journal::open(folder.path(), 5 * MINUTE_MS);
        assert_eq!(rows, written);
        let all = || written.iter().cloned().chain([row(5, 60.0)]).collect::<Vec<_>>();
        journal.append(&row(5, 60.0), all);
        drop(journal);
        assert_eq!(Vec::from(reopened(folder.path(), 5 * MINUTE_MS)), all());
    }

    #[test]
    fn rows_of_the_future_and_of_long_ago_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path(), 0);
        let now = 100 * 24 * 60;
        for minute in [1, now - 31 * 24 * 60, now - 60, now, now + 60] {
            journal.append(&row(minute, 60.0), Vec::new);
        }
        let minutes: Vec<i64> =
            reopened(folder.path(), now * MINUTE_MS).iter().map(|row| row.at_ms / MINUTE_MS).collect();
        assert_eq!(minutes, [now - 60, now]);
    }

    #[test]
    fn availability_is_of_lifetimes_and_failed_requests() {
        let mut history = History::default();
        for minute in 1..=2_000 {
            // The server was off for 20 minutes.
            if !(500..520).contains(&minute) {
                history.push(row(minute, 60.0));
            }
            assert_eq!(history.availability.is_some(), minute >= 24 * 60, "{minute}");
        }
        assert!(history.availability.is_some_and(|percent| (percent - 99.0).abs() < 0.01), "{history:?}");
        history.push(Row::new(2_001 * MINUTE_MS, 60.0, [20_000, 19_810], &[None; Check::ALL.len()]));
        assert!(history.availability.is_some_and(|percent| percent < 60.0));
    }
}
