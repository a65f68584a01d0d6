//! Compares the collector's values with the reference's and the truth: the table's rows, and the errors.

use super::oracle;
use super::seen::{Seen, View};
use crate::engines::Engine;
use serde_json::{Value, json};
use vitals::metric::Metric;
use vitals::view::TtiGap;

/// Metrics that the reference measures.
const REFERENCE: [&str; 5] = ["LCP", "INP", "CLS", "FCP", "TTFB"];
const TOLERANCE_MS: f64 = 1.0;
const TOLERANCE_CLS: f64 = 0.0005;
/// A restore's paint is the second frame after the restore, and each side waits for that frame separately.
const TOLERANCE_RESTORE_MS: f64 = 40.0;

/// A value that a page has by construction.
#[derive(Clone, Debug)]
pub struct Built {
    /// The view's index in the run.
    pub view: usize,
    /// The metric.
    pub metric: &'static str,
    /// The condition.
    pub must: Must,
}

/// A condition on a value.
#[derive(Clone, Debug)]
pub enum Must {
    /// Equal within a tolerance: value and tolerance.
    Be(f64, f64),
    /// At least this value.
    Reach(f64),
    /// In the half-open range: at least the first value, less than the second.
    LieIn(f64, f64),
    /// Absent.
    BeAbsent,
    /// TTI absent for this reason.
    Lack(TtiGap),
}

/// Creates a condition on the first view.
#[must_use]
pub const fn first(metric: &'static str, must: Must) -> Built {
    Built { view: 0, metric, must }
}

/// The other side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The web-vitals library.
    Reference,
    /// The truth from the raw entries.
    Truth,
}

/// An accepted difference or a known fault.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The engines with the difference.
    pub engines: &'static [Engine],
    /// The view's index; `None` for every view.
    pub view: Option<usize>,
    /// The metrics; `["views"]` stands for the sequence of navigation types.
    pub metrics: &'static [&'static str],
    /// The other side of the comparison.
    pub side: Side,
    /// The reason, shown in the table.
    pub reason: &'static str,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// The scenario.
    pub scenario: String,
    /// The engine.
    pub engine: Engine,
    /// The view: its number and navigation type.
    pub view: String,
    /// The metric.
    pub metric: &'static str,
    /// The collector's value.
    pub ours: Option<f64>,
    /// The reference's value; also `None` if the reference does not measure the metric.
    pub reference: Option<f64>,
    /// The value computed from the raw entries.
    pub truth: Option<f64>,
    /// The value by construction.
    pub built: String,
    /// `ok`, or the reason of a difference.
    pub verdict: String,
    /// Whether the difference fails the test.
    pub failed: bool,
}

impl Row {
    /// Returns the row as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "scenario": self.scenario, "engine": self.engine.name(), "view": self.view, "metric": self.metric,
            "ours": self.ours, "reference": self.reference, "truth": self.truth, "built": self.built,
            "verdict": self.verdict, "failed": self.failed,
        })
    }
}

/// Compares a run; returns the rows, and the errors that belong to no row.
#[must_use]
pub fn judge(
    scenario: &str,
    engine: Engine,
    seen: &Seen,
    built: &[Built],
    known: &[Known],
) -> (Vec<Row>, Vec<String>) {
    let truths: Vec<View> = seen.documents.iter().flat_map(oracle::views).collect();
    let mut wrong = Vec::new();
    for (status, body) in &seen.refused {
        wrong.push(format!("the server answered {status} to {body}"));
    }
    let navs = |views: &[View]| views.iter().map(|view| view.nav.clone()).collect::<Vec<_>>();
    let navs_known = known.iter().any(|known| known.metrics == ["views"] && known.engines.contains(&engine));
    if navs(&seen.ours) != navs(&truths) && !navs_known {
        wrong.push(format!("our views are {:?}, the truth is {:?}", navs(&seen.ours), navs(&truths)));
    }
    let mut references: Vec<Option<&View>> = seen.reference.iter().map(Some).collect();
    let mut rows = Vec::new();
    for (place, ours) in seen.ours.iter().enumerate() {
        let reference = references.iter_mut().find(|slot| slot.is_some_and(|view| view.nav == ours.nav));
        let reference = reference.and_then(Option::take);
        let truth = truths.get(place);
        for metric in Metric::ALL.map(Metric::name) {
            let value = |view: Option<&View>| view.and_then(|view| view.values.get(metric).copied());
            let mut row = Row {
                scenario: scenario.to_owned(),
                engine,
                view: format!("{} {}{}", place + 1, ours.nav, if ours.raw { " (raw)" } else { "" }),
                metric,
                ours: value(Some(ours)),
                reference: value(reference),
                truth: value(truth),
                built: String::new(),
                verdict: "ok".to_owned(),
                failed: false,
            };
            // The reference reports some values late, and loses them if the page is left before.
            let lost = row.reference.is_none()
                && row.truth.is_some()
                && same(metric, &ours.nav, row.ours, row.truth);
            let mut verdicts = Vec::new();
            let mut differs = |side: Side, what: String, failed: &mut bool| {
                let reason = known.iter().find(|known| {
                    known.engines.contains(&engine)
                        && known.view.is_none_or(|view| view == place)
                        && known.metrics.contains(&metric)
                        && known.side == side
                });
                *failed |= reason.is_none();
                verdicts.push(reason.map_or(what, |known| known.reason.to_owned()));
            };
            if REFERENCE.contains(&metric) && !lost && !same(metric, &ours.nav, row.ours, row.reference) {
                differs(Side::Reference, "DIFFERS from the reference".to_owned(), &mut row.failed);
            }
            if !same(metric, &ours.nav, row.ours, row.truth) {
                differs(Side::Truth, "DIFFERS from the truth".to_owned(), &mut row.failed);
            }
            for condition in built.iter().filter(|built| built.view == place && built.metric == metric) {
                let (text, holds) = check(&condition.must, row.ours, ours.tti_gap);
                if !holds {
                    differs(Side::Truth, format!("NOT {text}"), &mut row.failed);
                }
                row.built = text;
            }
            if lost && REFERENCE.contains(&metric) && verdicts.is_empty() {
                row.verdict = "ok: the reference has none, the truth is ours".to_owned();
            }
            if !verdicts.is_empty() {
                row.verdict = verdicts.join("; ");
            }
            let empty = row.ours.is_none() && row.reference.is_none() && row.truth.is_none();
            if !(empty && row.built.is_empty() && !row.failed) {
                rows.push(row);
            }
        }
    }
    for condition in built.iter().filter(|built| built.view >= seen.ours.len()) {
        wrong.push(format!(
            "there is no view {} to have {} {:?}",
            condition.view + 1,
            condition.metric,
            condition.must
        ));
    }
    (rows, wrong)
}

fn same(metric: &str, nav: &str, one: Option<f64>, other: Option<f64>) -> bool {
    let tolerance = match metric {
        "CLS" => TOLERANCE_CLS,
        "LCP" | "FCP" if nav == "back-forward-cache" => TOLERANCE_RESTORE_MS,
        _ => TOLERANCE_MS,
    };
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= tolerance,
        (None, None) => true,
        _ => false,
    }
}

/// Returns the condition as text, and whether it holds.
pub(super) fn check(must: &Must, value: Option<f64>, gap: Option<TtiGap>) -> (String, bool) {
    match *must {
        Must::Be(wanted, tolerance) => {
            (format!("= {}", number(wanted)), value.is_some_and(|value| (value - wanted).abs() <= tolerance))
        }
        Must::Reach(least) => (format!(">= {}", number(least)), value.is_some_and(|value| value >= least)),
        Must::LieIn(least, below) => (
            format!("{} to {}", number(least), number(below)),
            value.is_some_and(|value| (least..below).contains(&value)),
        ),
        Must::BeAbsent => ("absent".to_owned(), value.is_none()),
        Must::Lack(wanted) => {
            (format!("not reached: {wanted:?}").to_lowercase(), value.is_none() && gap == Some(wanted))
        }
    }
}

/// Returns one line a view: the metrics that are still measured when parts of the collector cannot run.
#[must_use]
pub fn measured(scenario: &str, engine: Engine, seen: &Seen) -> Vec<String> {
    let line = |(place, view): (usize, &View)| {
        let by = if view.raw { "server, from the raw queue" } else { "module" };
        let values: Vec<&str> = view.values.keys().copied().collect();
        format!(
            "{scenario:<15} {:<9} {:<20} {by:<27} {:<34} {}",
            engine.name(),
            format!("{} {}", place + 1, view.nav),
            values.join(" "),
            view.explained.join(" ")
        )
    };
    seen.ours.iter().enumerate().map(line).collect()
}

pub(super) fn number(value: f64) -> String {
    if value.abs() < 10.0 && value.fract() != 0.0 { format!("{value:.4}") } else { format!("{value:.1}") }
}

/// Formats the rows as a table.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    let mut text = format!(
        "{:<18} {:<9} {:<26} {:<6} {:>9} {:>9} {:>9} {:<20} verdict\n",
        "scenario", "engine", "view", "metric", "ours", "reference", "truth", "by construction"
    );
    for row in rows {
        let reference = if REFERENCE.contains(&row.metric) { cell(row.reference) } else { "n/a".to_owned() };
        text += &format!(
            "{:<18} {:<9} {:<26} {:<6} {:>9} {:>9} {:>9} {:<20} {}{}\n",
            row.scenario,
            row.engine.name(),
            row.view,
            row.metric,
            cell(row.ours),
            reference,
            cell(row.truth),
            row.built,
            if row.failed { "FAILED: " } else { "" },
            row.verdict
        );
    }
    text
}
