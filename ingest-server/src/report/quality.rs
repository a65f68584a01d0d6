//! The Core Web Vitals assessment and the field score of a cell.

use fieldvitals_store::Cell;
use serde::Serialize;
use utoipa::ToSchema;
use vitals::assessment::{Assessment, MIN_SAMPLES};
use vitals::metric::Metrics;
use vitals::score::{Score, WEIGHTS};

/// How good page views are. Absent if `metrics` leaves out a metric of the score.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct QualityReport {
    /// Core Web Vitals assessment: `pass` (at least 75 % of the values of LCP, INP and CLS are good), `fail`, or
    /// `not-enough-data` (LCP or CLS has fewer than `min_n` values). INP counts if it has enough values.
    core_web_vitals: &'static str,
    /// Values below which a metric does not count in the assessment.
    min_n: i64,
    /// Field score, 0 to 100: the weighted mean of `parts`; absent without values. Not a Lighthouse score.
    field_score: Option<f64>,
    /// The score's parts; metrics without values are absent, and leave their weight to the others.
    parts: Vec<ScorePart>,
}

/// A metric's part of the field score.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScorePart {
    metric: &'static str,
    /// Page views with a value.
    n: i64,
    /// Mean score of these page views on the metric's log-normal curve, 0 to 100.
    score: f64,
    /// Share of the field score, 0 to 1.
    weight: f64,
}

impl QualityReport {
    /// Returns the Core Web Vitals assessment: `pass`, `fail` or `not-enough-data`.
    #[must_use]
    pub const fn core_web_vitals(&self) -> &'static str {
        self.core_web_vitals
    }

    /// Returns the field score, 0 to 100.
    #[must_use]
    pub const fn field_score(&self) -> Option<f64> {
        self.field_score
    }

    /// Assesses a cell. Returns `None` if a metric of the score is not among the `read` ones.
    #[must_use]
    pub fn of(cell: &Cell, read: Metrics) -> Option<Self> {
        if WEIGHTS.iter().any(|(metric, _)| !read.has(*metric)) {
            return None;
        }
        let score = Score::of(|metric| cell.metric(metric));
        let parts = score.iter().flat_map(|score| &score.parts);
        Some(Self {
            core_web_vitals: Assessment::of(|metric| cell.metric(metric)).name(),
            min_n: MIN_SAMPLES,
            field_score: score.as_ref().map(|score| tenths(score.score)),
            parts: parts
                .map(|part| ScorePart {
                    metric: part.metric.name(),
                    n: part.n,
                    score: tenths(part.score),
                    weight: part.weight,
                })
                .collect(),
        })
    }
}

/// Rounds to one decimal, which is more than the buckets support.
fn tenths(score: f64) -> f64 {
    (score * 10.0).round() / 10.0
}
