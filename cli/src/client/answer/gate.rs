//! The answer of the gate.

use super::PeriodAnswer;
use serde::Deserialize;
use std::collections::BTreeMap;
use vitals::budget::Severity;
use vitals::gate::{Looks, Verdict};
use vitals::metric::Metric;

/// `POST /sites/{site}/gate`.
#[derive(Debug, Deserialize)]
pub(crate) struct GateAnswer {
    pub(crate) site: String,
    pub(crate) release: Option<String>,
    pub(crate) period: PeriodAnswer,
    /// Absent in answers of older servers, which know one rule.
    #[serde(default)]
    pub(crate) looks: Looks,
    pub(crate) verdict: Verdict,
    pub(crate) budgets: Vec<BudgetAnswer>,
    /// Absent in answers of older servers.
    #[serde(default)]
    pub(crate) not_evaluated: Vec<NotEvaluatedAnswer>,
    /// Present if a lab measured instead of visitors; no server sends it.
    #[serde(default)]
    pub(crate) lab: Option<LabAnswer>,
}

/// How a lab measured.
#[derive(Debug, Deserialize)]
pub(crate) struct LabAnswer {
    pub(crate) browser: String,
    pub(crate) device: String,
    pub(crate) runs: u8,
}

/// A limit that page views cannot judge.
#[derive(Debug, Deserialize)]
pub(crate) struct NotEvaluatedAnswer {
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) why: String,
}

/// A budget's verdict.
#[derive(Debug, Deserialize)]
pub(crate) struct BudgetAnswer {
    /// Whether runs of a lab are judged, not page views.
    #[serde(default)]
    pub(crate) lab: bool,
    pub(crate) line: usize,
    pub(crate) route: String,
    pub(crate) metric: Metric,
    pub(crate) percentile: u8,
    /// Absent if the budget has no baseline.
    #[serde(default)]
    pub(crate) max: Option<f64>,
    pub(crate) device: Option<String>,
    /// Further filters by their names. Absent in answers of older servers, as are the severity and the number of routes.
    #[serde(default)]
    pub(crate) filters: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) severity: Severity,
    #[serde(default)]
    pub(crate) routes: Option<u64>,
    pub(crate) n: u64,
    pub(crate) within: u64,
    pub(crate) measured: Option<f64>,
    pub(crate) interval: Option<[f64; 2]>,
    /// Absent in answers of older servers, as are its source and the hours.
    #[serde(default)]
    pub(crate) design_effect: Option<f64>,
    #[serde(default)]
    pub(crate) design_effect_from: Option<String>,
    pub(crate) verdict: Verdict,
    pub(crate) reason: String,
    pub(crate) samples_needed: Option<u64>,
    #[serde(default)]
    pub(crate) hours_needed: Option<f64>,
    #[serde(default)]
    pub(crate) increase: Option<IncreaseAnswer>,
}

/// A comparison with a baseline.
#[derive(Debug, Deserialize)]
pub(crate) struct IncreaseAnswer {
    pub(crate) max_percent: f64,
    pub(crate) min: f64,
    pub(crate) baseline: String,
    pub(crate) against: Option<BaselineAnswer>,
    pub(crate) change: Option<f64>,
    pub(crate) change_percent: Option<f64>,
    pub(crate) interval: Option<[f64; 2]>,
    pub(crate) unweighted: Option<f64>,
}

/// The page views of a baseline.
#[derive(Debug, Deserialize)]
pub(crate) struct BaselineAnswer {
    pub(crate) release: Option<String>,
    pub(crate) n: u64,
    pub(crate) measured: Option<f64>,
}
