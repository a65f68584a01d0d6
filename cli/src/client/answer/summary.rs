//! `GET /sites/{site}/summary`: the contents of a report.

use super::{ChangeAnswer, Metrics, PeriodAnswer, SampledAnswer};
use serde::Deserialize;
use std::collections::BTreeMap;
use vitals::compare::ChangeVerdict;
use vitals::metric::Metric;

/// A site, a pattern of routes, or one route.
#[derive(Debug, Deserialize)]
pub(crate) struct SummaryAnswer {
    pub(crate) site: String,
    /// The route as the server names it, or the pattern.
    pub(crate) route: Option<String>,
    #[serde(default)]
    pub(crate) nearest_routes: Vec<String>,
    pub(crate) period: PeriodAnswer,
    pub(crate) views: u64,
    pub(crate) views_estimated: u64,
    pub(crate) quality: Option<QualityAnswer>,
    pub(crate) metrics: Metrics,
    /// Absent for a pattern of routes, and if the data are not complete.
    #[serde(default)]
    pub(crate) previous: Option<PreviousAnswer>,
    /// Empty for one route.
    #[serde(default)]
    pub(crate) pages: Vec<PageAnswer>,
    #[serde(default)]
    pub(crate) min_n: u64,
    #[serde(default)]
    pub(crate) routes_hidden: u64,
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
    /// Absent for a pattern of routes.
    pub(crate) advice: Option<AdviceAnswer>,
    pub(crate) missing: Vec<MissingAnswer>,
}

impl SummaryAnswer {
    /// Page views received, and page views estimated by correcting for sampling.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [self.views, self.views_estimated]
    }
}

/// The time before the period, and the change since.
#[derive(Debug, Deserialize)]
pub(crate) struct PreviousAnswer {
    pub(crate) period: PeriodAnswer,
    pub(crate) views: u64,
    pub(crate) metrics: BTreeMap<String, ChangeAnswer>,
}

/// The assessment and the score.
#[derive(Debug, Deserialize)]
pub(crate) struct QualityAnswer {
    /// `pass`, `fail` or `not-enough-data`.
    pub(crate) core_web_vitals: String,
    pub(crate) min_n: u64,
    pub(crate) field_score: Option<f64>,
    pub(crate) parts: Vec<ScorePartAnswer>,
}

/// A metric's part of the score.
#[derive(Debug, Deserialize)]
pub(crate) struct ScorePartAnswer {
    pub(crate) metric: Metric,
    pub(crate) score: f64,
    pub(crate) weight: f64,
}

/// A route, or a section of routes.
#[derive(Debug, Deserialize)]
pub(crate) struct PageAnswer {
    pub(crate) route: String,
    pub(crate) views: u64,
    pub(crate) views_estimated: u64,
    #[serde(default)]
    pub(crate) impact: Option<ImpactAnswer>,
    #[serde(default)]
    pub(crate) quality: Option<QualityAnswer>,
    pub(crate) metrics: Metrics,
    /// The time before, by metric. Absent in answers of older servers.
    #[serde(default)]
    pub(crate) previous: BTreeMap<String, RowPreviousAnswer>,
}

/// A metric of a row in the time before.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RowPreviousAnswer {
    pub(crate) n: u64,
    pub(crate) p75: f64,
    pub(crate) change_percent: Option<f64>,
    pub(crate) verdict: ChangeVerdict,
}

impl RowPreviousAnswer {
    /// The same of one route or the whole site; `None` if one side has too few values.
    pub(crate) fn of(change: &ChangeAnswer) -> Option<Self> {
        let &ChangeAnswer { change_percent, verdict, .. } = change;
        let before = change.baseline.as_ref().filter(|_| verdict != ChangeVerdict::NotEnoughData)?;
        Some(Self { n: before.n, p75: before.value, change_percent, verdict })
    }
}

impl PageAnswer {
    /// Page views received, and page views estimated by correcting for sampling.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [self.views, self.views_estimated]
    }
}

/// The page views of a route that are not good.
#[derive(Debug, Deserialize)]
pub(crate) struct ImpactAnswer {
    pub(crate) metric: Metric,
    pub(crate) views: f64,
}

/// Recommendations, and the causes of slow page views.
#[derive(Debug, Deserialize)]
pub(crate) struct AdviceAnswer {
    pub(crate) recommendations: Vec<RecommendationAnswer>,
    pub(crate) causes: Vec<SlowAnswer>,
    pub(crate) silent: Vec<SilentAnswer>,
}

/// A recommendation.
#[derive(Debug, Deserialize)]
pub(crate) struct RecommendationAnswer {
    pub(crate) code: String,
    pub(crate) severity: String,
    pub(crate) title: String,
    pub(crate) evidence: String,
    #[serde(default)]
    pub(crate) element: Option<String>,
    #[serde(default)]
    pub(crate) resource: Option<String>,
    pub(crate) dominated: u64,
    pub(crate) named: u64,
    pub(crate) steps: Vec<StepAnswer>,
}

/// A step of a recommendation.
#[derive(Debug, Deserialize)]
pub(crate) struct StepAnswer {
    pub(crate) horizon: String,
    pub(crate) text: String,
}

/// The slow page views of a metric.
#[derive(Debug, Deserialize)]
pub(crate) struct SlowAnswer {
    pub(crate) metric: Metric,
    pub(crate) period: PeriodAnswer,
    #[serde(default)]
    pub(crate) sample: Option<SampledAnswer>,
    pub(crate) slow: u64,
    pub(crate) explained: u64,
    pub(crate) parts: Vec<PartAnswer>,
}

/// Slow page views that one part dominates.
#[derive(Debug, Deserialize)]
pub(crate) struct PartAnswer {
    pub(crate) name: String,
    pub(crate) n: u64,
    pub(crate) median: f64,
    #[serde(default)]
    pub(crate) element: Option<String>,
}

/// A metric without advice, and why.
#[derive(Debug, Deserialize)]
pub(crate) struct SilentAnswer {
    pub(crate) metric: String,
    /// Empty in answers of older servers.
    #[serde(default)]
    pub(crate) code: String,
    pub(crate) message: String,
}

/// A gap in the answer, and the reason.
#[derive(Debug, Deserialize)]
pub(crate) struct MissingAnswer {
    pub(crate) message: String,
}
