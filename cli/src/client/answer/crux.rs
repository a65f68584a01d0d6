//! The answer of `GET /sites/{site}/crux`.

use super::PeriodAnswer;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `GET /sites/{site}/crux`.
#[derive(Debug, Deserialize)]
pub(crate) struct CruxAnswer {
    pub(crate) site: String,
    pub(crate) origin: String,
    #[serde(default)]
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) device: Option<String>,
    pub(crate) own: OwnAnswer,
    #[serde(default)]
    pub(crate) crux: Option<DaysAnswer>,
    #[serde(default)]
    pub(crate) problem: Option<ProblemAnswer>,
    pub(crate) metrics: BTreeMap<String, BesideAnswer>,
    #[serde(default)]
    pub(crate) differences: Vec<String>,
}

/// The own page views.
#[derive(Debug, Deserialize)]
pub(crate) struct OwnAnswer {
    pub(crate) period: PeriodAnswer,
    pub(crate) views: u64,
}

/// First and last day of Google's record.
#[derive(Debug, Deserialize)]
pub(crate) struct DaysAnswer {
    pub(crate) first_day: String,
    pub(crate) last_day: String,
}

/// Why there is no record.
#[derive(Debug, Deserialize)]
pub(crate) struct ProblemAnswer {
    pub(crate) message: String,
}

/// A metric on both sides.
#[derive(Debug, Deserialize)]
pub(crate) struct BesideAnswer {
    #[serde(default)]
    pub(crate) own: Option<DistributionAnswer>,
    #[serde(default)]
    pub(crate) crux: Option<DistributionAnswer>,
}

/// The 75th percentile, and the shares of the ratings.
#[derive(Debug, Deserialize)]
pub(crate) struct DistributionAnswer {
    pub(crate) p75: f64,
    #[serde(default)]
    pub(crate) n: Option<u64>,
    pub(crate) good: f64,
    pub(crate) needs_improvement: f64,
    pub(crate) poor: f64,
}
