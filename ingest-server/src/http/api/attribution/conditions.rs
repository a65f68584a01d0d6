//! Reports conditions of the page views that have a value of the metric.

use fieldvitals_store::context::causes::conditions::{Condition, ConditionsFound, Spread, TimingFound};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use vitals::metric::{Metric, Value};

/// Conditions of the page views that have a value of the metric. Counts need not sum to `measured`, because browsers
/// do not report all conditions.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConditionsReport {
    /// Page views by class: `protocol` (`http/1.1`, `h2`, `h3`, `other`), `delivery` (`network`, `cache`,
    /// `navigational-prefetch`), `rtt` (`under-100` to `from-800` ms), `memory` and `cpu` (`low`, `medium`, `high`),
    /// `engaged` (`yes`, `no`). Ordered by descending page views.
    #[schema(value_type = std::collections::HashMap<String, Vec<ClassReport>>)]
    classes: BTreeMap<&'static str, Vec<ClassReport>>,
    /// `Server-Timing` entries by name and description, by descending page views.
    server_timings: Vec<TimingReport>,
    /// Reasons for not restoring pages from the back/forward cache, by descending page views.
    not_restored: Vec<ReasonReport>,
    /// The compressed size of the document, in kilobytes.
    document_kb: SpreadReport,
    /// Time of the first key press or click, in milliseconds since the start of the page view.
    first_input_ms: SpreadReport,
    cold_starts: ColdStartsReport,
}

/// Page views of one class.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClassReport {
    class: &'static str,
    n: i64,
    /// The exact 75th percentile of the metric in these page views.
    p75: f64,
    /// Rating of `p75`: `good`, `needs-improvement` or `poor`.
    rating: &'static str,
}

/// Page views with one `Server-Timing` entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimingReport {
    name: String,
    /// Absent if the entry has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    n: i64,
    /// The median duration of the entry, in milliseconds.
    median_ms: u32,
    /// The exact 75th percentile of the metric in these page views.
    p75: f64,
    /// Rating of `p75`.
    rating: &'static str,
}

/// A reason, in the browser's wording.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReasonReport {
    reason: String,
    n: i64,
}

/// Percentiles of a number; absent without page views.
#[derive(Debug, Serialize, ToSchema)]
pub struct SpreadReport {
    n: i64,
    p50: Option<u32>,
    p75: Option<u32>,
}

/// Page loads that an external cause slowed down, such as the start of the browser. Browsers add noise to this flag,
/// so only the sum of many page views is meaningful.
#[derive(Debug, Serialize, ToSchema)]
pub struct ColdStartsReport {
    /// Page views with the flag, set or not.
    n: i64,
    /// Estimated cold starts, corrected for the noise.
    estimated: i64,
}

/// Builds the report.
pub(super) fn report(metric: Metric, found: ConditionsFound) -> ConditionsReport {
    let rated = |micros| {
        let p75 = Value::from_micros(metric, micros).unwrap_or(Value::ZERO);
        (p75.number(metric), metric.rate(p75).name())
    };
    let mut classes: BTreeMap<&'static str, Vec<ClassReport>> =
        Condition::ALL.into_iter().map(|condition| (condition.name(), Vec::new())).collect();
    for one in found.classes {
        let (p75, rating) = rated(one.p75_micros);
        let class = ClassReport { class: one.class, n: one.views, p75, rating };
        classes.entry(one.condition.name()).or_default().push(class);
    }
    let timing = |one: TimingFound| {
        let (p75, rating) = rated(one.p75_micros);
        let description = Some(one.description).filter(|text| !text.is_empty());
        TimingReport { name: one.name, description, n: one.views, median_ms: one.median_ms, p75, rating }
    };
    ConditionsReport {
        classes,
        server_timings: found.server_timings.into_iter().map(timing).collect(),
        not_restored: found.not_restored.into_iter().map(|(reason, n)| ReasonReport { reason, n }).collect(),
        document_kb: spread(found.document_kb),
        first_input_ms: spread(found.first_input_ms),
        cold_starts: ColdStartsReport { n: found.cold_starts.told, estimated: found.cold_starts.estimated },
    }
}

fn spread(found: Spread) -> SpreadReport {
    let known = |number| (found.n > 0).then_some(number);
    SpreadReport { n: found.n, p50: known(found.p50), p75: known(found.p75) }
}
