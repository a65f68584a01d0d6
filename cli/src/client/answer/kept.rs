//! Answers about budgets that are kept on the server.

use super::PeriodAnswer;
use super::gate::BudgetAnswer;
use serde::Deserialize;
use vitals::metric::Metric;

/// `GET /sites/{site}/budgets`.
#[derive(Debug, Deserialize)]
pub(crate) struct KeptAnswer {
    pub(crate) site: String,
    pub(crate) version: Option<i64>,
    pub(crate) applied: Option<String>,
    pub(crate) by: Option<String>,
    pub(crate) text: String,
    pub(crate) versions: Vec<VersionAnswer>,
}

/// A version of a budget file.
#[derive(Debug, Deserialize)]
pub(crate) struct VersionAnswer {
    pub(crate) version: i64,
    pub(crate) applied: String,
    pub(crate) by: String,
}

/// `PUT /sites/{site}/budgets`.
#[derive(Debug, Deserialize)]
pub(crate) struct AppliedAnswer {
    pub(crate) site: String,
    pub(crate) version: i64,
    pub(crate) budgets: u64,
}

/// `GET /sites/{site}/budgets/state`.
#[derive(Debug, Deserialize)]
pub(crate) struct StatesAnswer {
    pub(crate) site: String,
    pub(crate) version: Option<i64>,
    pub(crate) judged: Option<String>,
    pub(crate) budgets: Vec<StateAnswer>,
}

/// The state of a budget.
#[derive(Debug, Deserialize)]
pub(crate) struct StateAnswer {
    pub(crate) state: String,
    pub(crate) since: String,
    pub(crate) from: String,
    #[serde(default)]
    pub(crate) no_views_since: Option<String>,
    pub(crate) used: Option<f64>,
    pub(crate) evidence: EvidenceAnswer,
    #[serde(flatten)]
    pub(crate) budget: BudgetAnswer,
}

/// What was counted of a budget, and when.
#[derive(Debug, Deserialize)]
pub(crate) struct EvidenceAnswer {
    pub(crate) to: String,
    pub(crate) of_verdict: bool,
    pub(crate) n: u64,
    pub(crate) within: u64,
    pub(crate) measured: Option<f64>,
}

/// `POST /sites/{site}/budgets/what-if`.
#[derive(Debug, Deserialize)]
pub(crate) struct ReplayAnswer {
    pub(crate) site: String,
    pub(crate) period: PeriodAnswer,
    pub(crate) budgets: Vec<ReplayedAnswer>,
}

/// What a budget would have done.
#[derive(Debug, Deserialize)]
pub(crate) struct ReplayedAnswer {
    pub(crate) metric: Metric,
    pub(crate) max: f64,
    pub(crate) key: String,
    pub(crate) n: u64,
    pub(crate) within: u64,
    pub(crate) state: String,
    pub(crate) broken_hours: u64,
    pub(crate) alerts: Vec<EpisodeAnswer>,
}

/// A time in which a budget would have been broken.
#[derive(Debug, Deserialize)]
pub(crate) struct EpisodeAnswer {
    pub(crate) from: String,
    pub(crate) to: Option<String>,
}
