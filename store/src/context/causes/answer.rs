//! Defines the question about the causes of a metric's values, and its answer.

use super::conditions::ConditionsFound;
use super::slow::Slow;
use crate::cell::{CellQuery, Views};
use crate::scan::Sample;
use std::ops::Range;
use vitals::attribution::LoadState;
use vitals::metric::Metric;
use vitals::view::TtiGap;

/// A metric with attribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributionMetric {
    /// Caused by the largest element.
    Lcp,
    /// Caused by the slowest interaction.
    Inp,
    /// Caused by the largest shift.
    Cls,
    /// Caused by the longest part.
    Ttfb,
}

impl AttributionMetric {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lcp, Self::Inp, Self::Cls, Self::Ttfb];

    /// The metric.
    #[must_use]
    pub const fn metric(self) -> Metric {
        match self {
            Self::Lcp => Metric::Lcp,
            Self::Inp => Metric::Inp,
            Self::Cls => Metric::Cls,
            Self::Ttfb => Metric::Ttfb,
        }
    }
}

/// A query for the causes of a metric's values.
#[derive(Clone, Debug, PartialEq)]
pub struct CauseQuery {
    /// Selects the page views, to the millisecond; its metrics are ignored.
    pub views: CellQuery,
    /// The metric.
    pub explained: AttributionMetric,
    /// Maximum number of causes in the answer, the first ones in the order of [`Causes::causes`].
    pub limit: usize,
    /// The page views after which a sample is read.
    pub views_max: u64,
}

/// The causes of a metric's values, and the other attributes of page views that rollups lack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    /// The counted period: that of the query, limited to the retention of page views.
    pub period: Range<i64>,
    /// Set if only a sample of the page views was read; all numbers are of the sample.
    pub sample: Option<Sample>,
    /// The selected page views.
    pub views: Views,
    /// Page views with a value of the metric.
    pub measured: i64,
    /// Page views with attribution of the metric.
    pub explained: i64,
    /// The number of distinct causes.
    pub found: usize,
    /// The causes, those with most page views first; for INP those with the largest product of page views and 75th
    /// percentile.
    pub causes: Vec<Cause>,
    /// The slow page views, by the part that dominates them.
    pub slow: Slow,
    /// The conditions of the page views with a value.
    pub conditions: ConditionsFound,
    /// Total Blocking Time.
    pub tbt: Blocking,
    /// Page views with a TTI.
    pub tti_reached: i64,
    /// Page views without a TTI, by [`TtiGap`].
    pub tti_gaps: [i64; 3],
    /// Page views in which a part of the collector failed, by the bit of [`vitals::beacon::errors`].
    pub errors: [i64; 8],
}

/// Page views of one cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// The element by its most frequent selector; empty if unknown.
    pub target: String,
    /// Its other selectors, the most frequent first; at most [`crate::limits::SELECTORS_SHOWN_MAX`].
    pub selectors: Vec<String>,
    /// The image's URL for LCP, the most frequent event's type for INP, the longest part for TTFB; empty for CLS.
    pub what: String,
    /// Page views by the event's type, the most frequent first; for INP only.
    pub events: Vec<(String, i64)>,
    /// Page views.
    pub views: i64,
    /// The 75th percentile of the metric, in millionths of its unit.
    pub p75_micros: u32,
    /// Medians of the parts, in milliseconds: four for LCP, three for INP, six for TTFB, none for CLS.
    pub parts_ms: Vec<u32>,
    /// The median time of the interaction or shift, in milliseconds since the view's start; for INP and CLS only.
    pub at_ms: Option<u32>,
    /// The median of the largest shift's own score, in millionths; for CLS only.
    pub shift_micros: Option<u32>,
    /// Page views by [`LoadState`]; zeros except for INP and CLS.
    pub load_states: [i64; 3],
    /// The script that was most often the longest; for INP only.
    pub script: Option<Script>,
}

/// The longest script during an interaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Its URL.
    pub url: String,
    /// Page views of the cause with this script.
    pub views: i64,
    /// The median duration, in milliseconds.
    pub median_ms: u32,
}

/// Total Blocking Time of some page views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocking {
    /// Page views with a value.
    pub n: i64,
    /// The median, in microseconds.
    pub p50_micros: u32,
    /// The 75th percentile, in microseconds.
    pub p75_micros: u32,
}

const _: () = assert!(LoadState::ALL.len() == 3 && TtiGap::ALL.len() == 3, "a count for each");
