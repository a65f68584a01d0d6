//! The API's answers, as far as commands use them. Unknown fields are let be, so that an older command
//! reads a newer server.

use serde::Deserialize;
use std::collections::BTreeMap;
use vitals::gate::Verdict;
use vitals::metric::{Metric, Rating};

/// An error.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorAnswer {
    pub(crate) error: ErrorDetail,
}

/// What is wrong and what to do.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorDetail {
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) hint: String,
}

/// `GET /sites`.
#[derive(Debug, Deserialize)]
pub(crate) struct SitesAnswer {
    pub(crate) sites: Vec<SiteAnswer>,
}

/// A site.
#[derive(Debug, Deserialize)]
pub(crate) struct SiteAnswer {
    pub(crate) name: String,
}

/// From and to, RFC 3339, UTC.
#[derive(Debug, Deserialize)]
pub(crate) struct PeriodAnswer {
    pub(crate) from: String,
    pub(crate) to: String,
}

/// What was measured of one metric. Values are in the metric's unit.
#[derive(Debug, Deserialize)]
pub(crate) struct MetricAnswer {
    pub(crate) n: u64,
    pub(crate) p50: f64,
    pub(crate) p75: f64,
    pub(crate) p90: f64,
    pub(crate) p95: f64,
    pub(crate) p75_interval: Option<[f64; 2]>,
    pub(crate) rating: Rating,
    pub(crate) good: u64,
    pub(crate) needs_improvement: u64,
    pub(crate) poor: u64,
}

/// Metrics by name. A metric of a newer server that this command does not know is kept under its
/// name and not shown.
pub(crate) type Metrics = BTreeMap<String, MetricAnswer>;

/// `GET /sites/{site}/pages`.
#[derive(Debug, Deserialize)]
pub(crate) struct PagesAnswer {
    pub(crate) site: String,
    pub(crate) period: PeriodAnswer,
    pub(crate) pages: Vec<PageAnswer>,
    pub(crate) next_cursor: Option<String>,
}

/// A route.
#[derive(Debug, Deserialize)]
pub(crate) struct PageAnswer {
    pub(crate) route: String,
    pub(crate) views: u64,
    pub(crate) metrics: Metrics,
}

/// `GET /sites/{site}/report`.
#[derive(Debug, Deserialize)]
pub(crate) struct ReportAnswer {
    pub(crate) site: String,
    pub(crate) period: PeriodAnswer,
    pub(crate) views: u64,
    pub(crate) metrics: Metrics,
}

/// `GET /sites/{site}/rejections`.
#[derive(Debug, Deserialize)]
pub(crate) struct RejectionsAnswer {
    pub(crate) rejections: Vec<RejectionAnswer>,
}

/// Beacons that were refused for one reason from one origin.
#[derive(Debug, Deserialize)]
pub(crate) struct RejectionAnswer {
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) origin: Option<String>,
    pub(crate) count: u64,
    pub(crate) last_seen: String,
    #[serde(default)]
    pub(crate) message: String,
}

/// `POST /sites/{site}/gate`.
#[derive(Debug, Deserialize)]
pub(crate) struct GateAnswer {
    pub(crate) site: String,
    pub(crate) release: Option<String>,
    pub(crate) period: PeriodAnswer,
    pub(crate) verdict: Verdict,
    pub(crate) budgets: Vec<BudgetAnswer>,
}

/// A budget's verdict.
#[derive(Debug, Deserialize)]
pub(crate) struct BudgetAnswer {
    pub(crate) line: usize,
    pub(crate) route: String,
    pub(crate) metric: Metric,
    pub(crate) percentile: u8,
    pub(crate) max: f64,
    pub(crate) device: Option<String>,
    pub(crate) n: u64,
    pub(crate) within: u64,
    pub(crate) measured: Option<f64>,
    pub(crate) interval: Option<[f64; 2]>,
    pub(crate) verdict: Verdict,
    pub(crate) reason: String,
    pub(crate) samples_needed: Option<u64>,
}
