//! The server's judgement of itself: values of the last minutes, their limits, and advice. In reading order:
//!
//! - `check`: the checks, with default limits and advice
//! - `thresholds`: other limits, from a file or the API
//! - `window`: counters of the last minutes, and the values that follow from them
//! - `history`: a row a minute, for 30 days
//!
//! Nothing here changes the server.

mod check;
mod history;
mod thresholds;
mod window;

pub use check::{Backend, Check, Condition, Limits};
pub use thresholds::{FILE as THRESHOLDS, Source, Thresholds};
pub use window::{Sample, Values, WINDOW};

use crate::report::time_text;
use history::{History, Journal, KEPT_MS, ROW_MS, Row};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use utoipa::ToSchema;
use window::Window;

/// The files of the data folder.
pub(crate) const FILES: [&str; 4] =
    [history::FILE, history::NEW_FILE, thresholds::FILE, thresholds::NEW_FILE];

/// Rows in one answer about the history.
const POINTS_MAX: i64 = 300;

/// Judges the server.
#[derive(Debug)]
pub struct Health {
    data_dir: PathBuf,
    state: Mutex<State>,
    journal: Mutex<Journal>,
    /// Held while limits are written, so that file and memory change together.
    writing: Mutex<()>,
}

#[derive(Debug)]
struct State {
    backend: Backend,
    window: Window,
    /// The condition of each check, and the start of it.
    since: [(Condition, i64); Check::ALL.len()],
    thresholds: Thresholds,
    source: Source,
    history: History,
    /// The sample of the last row, or of the start.
    last_row: Sample,
}

/// The result of one check.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CheckReport {
    /// The name in files and metrics; ends with the unit of the numbers.
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// The unit of the numbers: `ms`, `s` or `%`.
    pub unit: &'static str,
    /// `ok`, `warning` or `critical`.
    pub state: Condition,
    /// The value of the last five minutes; for `availability_percent` of up to 30 days. `null` if there are too few
    /// requests to judge, or the system does not tell.
    pub value: Option<f64>,
    /// Past this value, the state is `warning`.
    pub warning: f64,
    /// Past this value, the state is `critical`.
    pub critical: f64,
    /// Start of the state, or of the server.
    pub since: String,
    /// Advice for the operator; absent while the state is `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommendation: Option<&'static str>,
}

/// A part of the history.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryPoint {
    /// End of the part.
    at: String,
    /// The worst state of the part, by the present limits.
    state: Condition,
    /// Time in which the server ran, in seconds.
    up_s: f64,
    /// Requests.
    requests: u64,
    /// Requests that ended with a status 5xx.
    failed: u64,
    /// The worst value of each check.
    #[schema(value_type = std::collections::HashMap<String, f64>)]
    values: BTreeMap<&'static str, f64>,
}

impl Health {
    /// Reads limits and history of a data folder. `now` is the start of the server. Advice is for a kind of store.
    ///
    /// # Errors
    /// The limits cannot be read. The message names their file.
    pub fn open(
        data_dir: &Path,
        backend: Backend,
        thresholds: Option<&Path>,
        now: Sample,
    ) -> Result<Self, String> {
        let (thresholds, source) = thresholds::read(data_dir, thresholds)?;
        let (journal, rows) = Journal::open(data_dir, now.at_ms);
        let mut window = Window::default();
        window.push(now.clone());
        let since = [(Condition::Ok, now.at_ms); Check::ALL.len()];
        let history = History::new(rows);
        Ok(Self {
            data_dir: data_dir.to_owned(),
            state: Mutex::new(State { backend, window, since, thresholds, source, history, last_row: now }),
            journal: Mutex::new(journal),
            writing: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No holder of the lock can panic with the value half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges the server at a moment.
    #[must_use]
    pub fn judge(&self, now: &Sample) -> Vec<CheckReport> {
        self.state().judge(now)
    }

    /// Judges the server, and keeps the sample for the window and, once a minute, for the history. `is_last` ends the
    /// history of this start. Blocks on the disk.
    pub fn keep(&self, now: Sample, is_last: bool) {
        let mut state = self.state();
        for report in state.judge_changes(&now) {
            let CheckReport { name, value, recommendation, .. } = &report;
            let state = report.state.name();
            match recommendation {
                Some(advice) => {
                    tracing::warn!(check = name, state, value, advice, "the server's health changed");
                }
                None => tracing::info!(check = name, state, value, "the server's health changed"),
            }
        }
        let is_due = now.at_ms.saturating_sub(state.last_row.at_ms).abs() >= ROW_MS;
        let row = (is_due || is_last).then(|| state.row(&now));
        state.window.push(now);
        drop(state);
        if let Some(row) = row {
            let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.append(&row, || self.state().history.rows.iter().cloned().collect());
        }
    }

    /// Returns the limits and their source.
    #[must_use]
    pub fn thresholds(&self) -> (Thresholds, Source) {
        let state = self.state();
        (state.thresholds.clone(), state.source)
    }

    /// Replaces the limits, and keeps them in the data folder. Blocks on the disk.
    ///
    /// # Errors
    /// The file cannot be written; the limits stay.
    pub fn set_thresholds(&self, thresholds: Thresholds) -> std::io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        thresholds::write(&self.data_dir, &thresholds)?;
        let mut state = self.state();
        (state.thresholds, state.source) = (thresholds, Source::Api);
        Ok(())
    }

    /// Returns the history from a moment on, in at most [`POINTS_MAX`] parts, and the length of a part in seconds.
    #[must_use]
    pub fn history(&self, from_ms: i64, now_ms: i64) -> (Vec<HistoryPoint>, i64) {
        let from_ms = from_ms.max(now_ms.saturating_sub(KEPT_MS));
        let minutes = now_ms.saturating_sub(from_ms).max(ROW_MS).div_euclid(ROW_MS);
        let step_ms = (minutes.saturating_add(POINTS_MAX - 1) / POINTS_MAX).max(1) * ROW_MS;
        let state = self.state();
        let mut parts: BTreeMap<i64, Vec<&Row>> = BTreeMap::new();
        for row in state.history.rows.iter().filter(|row| row.at_ms > from_ms && row.at_ms <= now_ms) {
            parts.entry((row.at_ms - 1).div_euclid(step_ms)).or_default().push(row);
        }
        let points = parts.into_values().map(|rows| state.point(&rows));
        (points.collect(), step_ms / 1_000)
    }
}

impl State {
    fn values(&self, now: &Sample) -> Values {
        let mut values = self.window.values(now);
        if let Some(value) = values.get_mut(Check::Availability as usize) {
            *value = self.history.availability;
        }
        values
    }

    fn judge(&mut self, now: &Sample) -> Vec<CheckReport> {
        let values = self.values(now);
        let each = Check::ALL.into_iter().zip(values).zip(&mut self.since);
        each.map(|((check, value), (before, since_ms))| {
            let limits = self.thresholds.of(check);
            let state = value.map_or(Condition::Ok, |value| check.judge(value, limits));
            if state != *before {
                (*before, *since_ms) = (state, now.at_ms);
            }
            CheckReport {
                name: check.name(),
                title: check.title(),
                unit: check.unit(),
                state,
                value: value.map(|value| (value * 1_000.0).round() / 1_000.0),
                warning: limits.warning,
                critical: limits.critical,
                since: time_text(*since_ms),
                recommendation: (state > Condition::Ok).then(|| check.advice(self.backend)),
            }
        })
        .collect()
    }

    /// Judges, and returns the checks whose condition changed since the last kept sample.
    fn judge_changes(&mut self, now: &Sample) -> Vec<CheckReport> {
        let kept_ms = self.window.last_ms();
        let since = self.since;
        let changed = |at: usize, report: &CheckReport| {
            since.get(at).is_some_and(|&(before, since_ms)| {
                before != report.state || (kept_ms.is_some_and(|kept_ms| since_ms > kept_ms))
            })
        };
        let reports = self.judge(now).into_iter().enumerate();
        reports.filter(|(at, report)| changed(*at, report)).map(|(_, report)| report).collect()
    }

    /// Makes a row of the time since the last one, and adds it to the history.
    fn row(&mut self, now: &Sample) -> Row {
        let last = std::mem::replace(&mut self.last_row, now.clone());
        let up_s = now.at.saturating_duration_since(last.at).as_secs_f32();
        let counts = [now.requests.saturating_sub(last.requests), now.failed.saturating_sub(last.failed)];
        let row = Row::new(now.at_ms, up_s, counts, &self.values(now));
        self.history.push(row.clone());
        row
    }

    /// Joins rows.
    fn point(&self, rows: &[&Row]) -> HistoryPoint {
        let worst = |check: Check| {
            let values = rows.iter().filter_map(|row| row.value(check));
            Some((check, values.reduce(|a, b| check.worse(a, b))?))
        };
        let worst: Vec<(Check, f64)> = Check::ALL.into_iter().filter_map(worst).collect();
        let state = worst.iter().map(|&(check, value)| check.judge(value, self.thresholds.of(check)));
        HistoryPoint {
            at: time_text(rows.last().map_or(0, |row| row.at_ms)),
            state: state.max().unwrap_or_default(),
            up_s: rows.iter().map(|row| f64::from(row.up_s)).sum(),
            requests: rows.iter().map(|row| u64::from(row.requests)).sum(),
            failed: rows.iter().map(|row| u64::from(row.failed)).sum(),
            values: worst
                .iter()
                .map(|&(check, value)| (check.name(), (value * 1_000.0).round() / 1_000.0))
                .collect(),
        }
    }
}

/// Returns the worst condition of some checks.
#[must_use]
pub fn worst(checks: &[CheckReport]) -> Condition {
    checks.iter().map(|check| check.state).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::window::tests::idle;
    use super::*;
    use std::time::Instant;

    fn report(reports: &[CheckReport], check: Check) -> CheckReport {
        reports.iter().find(|report| report.name == check.name()).unwrap().clone()
    }

    #[test]
    fn condition_has_its_start_and_its_advice_and_follows_the_limits() {
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let health = Health::open(folder.path(), Backend::Embedded, None, idle(start, 0)).unwrap();
        assert_eq!(worst(&health.judge(&idle(start, 1))), Condition::Ok);
        let stale = |seconds| Sample { spool_age_s: 90.0, ..idle(start, seconds) };
        health.keep(stale(5), false);
        let age = report(&health.judge(&stale(9)), Check::SpoolAge);
        assert_eq!((age.state, age.since.as_str()), (Condition::Warning, "1970-01-01T00:00:05Z"));
        assert!(age.recommendation.is_some_and(|advice| advice.contains("spool.stalled")));

        let limits = Limits { warning: 100.0, critical: 200.0 };
        let thresholds = Thresholds::from_named([(Check::SpoolAge.name(), limits)]).unwrap();
        health.set_thresholds(thresholds.clone()).unwrap();
        let age = report(&health.judge(&stale(12)), Check::SpoolAge);
        assert_eq!((age.state, age.since.as_str()), (Condition::Ok, "1970-01-01T00:00:12Z"));
        let again = Health::open(folder.path(), Backend::Embedded, None, idle(start, 20)).unwrap();
        assert_eq!(again.thresholds(), (thresholds, Source::Api));
    }

    #[test]
    fn history_joins_minutes_by_their_worst_value_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let health = Health::open(folder.path(), Backend::Embedded, None, idle(start, 0)).unwrap();
        for minute in 1..=600 {
            let spool_age_s = if minute == 300 { 700.0 } else { 0.0 };
            health.keep(Sample { spool_age_s, requests: minute * 10, ..idle(start, minute * 60) }, false);
        }
        health.keep(idle(start, 600 * 60 + 7), true);
        drop(health);
        let now = idle(start, 601 * 60);
        let health = Health::open(folder.path(), Backend::Embedded, None, now.clone()).unwrap();
        let (points, step_s) = health.history(0, now.at_ms);
        assert!(points.len() <= 300 && step_s == 180, "{} of {step_s} s", points.len());
        let critical: Vec<&HistoryPoint> =
            points.iter().filter(|point| point.state == Condition::Critical).collect();
        assert!(critical.len() == 1 && critical[0].values["spool_age_s"] == 700.0, "{critical:?}");
        assert_eq!(points.iter().map(|point| point.requests).sum::<u64>(), 6_000);
        assert_eq!(points.iter().map(|point| point.up_s).sum::<f64>(), 36_007.0);
    }
}
