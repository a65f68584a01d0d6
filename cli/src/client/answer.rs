//! The API's answers, as far as the commands use them. Unknown fields are ignored, so that an older command can read a
//! newer server.

pub(crate) mod alerts;
pub(crate) mod crux;
pub(crate) mod gate;
pub(crate) mod kept;
pub(crate) mod summary;

use serde::Deserialize;
use std::collections::BTreeMap;
use vitals::compare::ChangeVerdict;
use vitals::metric::{Metric, Rating};

/// An error.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorAnswer {
    pub(crate) error: ErrorDetail,
}

/// The message of an error: the problem and the fix.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorDetail {
    #[serde(default)]
    pub(crate) code: String,
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

/// `GET /sites/{site}/breakdown`, as far as a check for a name needs it.
#[derive(Debug, Deserialize)]
pub(crate) struct NamesAnswer {
    pub(crate) values: Vec<NameAnswer>,
}

/// A value of a dimension; `None` counts page views whose value is unknown.
#[derive(Debug, Deserialize)]
pub(crate) struct NameAnswer {
    pub(crate) value: Option<String>,
}

/// `GET /sites/{site}/breakdown`.
#[derive(Debug, Deserialize)]
pub(crate) struct BreakdownAnswer {
    pub(crate) site: String,
    #[serde(default)]
    pub(crate) route: Option<String>,
    #[serde(default)]
    pub(crate) nearest_routes: Vec<String>,
    pub(crate) period: PeriodAnswer,
    pub(crate) values: Vec<ValueAnswer>,
}

/// The page views of a value.
#[derive(Debug, Deserialize)]
pub(crate) struct ValueAnswer {
    pub(crate) value: Option<String>,
    pub(crate) views: u64,
    /// Absent in answers of older servers.
    #[serde(default)]
    pub(crate) views_estimated: Option<u64>,
    pub(crate) metrics: Metrics,
}

/// `GET /status`.
#[derive(Debug, Deserialize)]
pub(crate) struct StatusAnswer {
    #[serde(default)]
    pub(crate) crowded: Vec<CrowdedAnswer>,
}

/// A kind of names for which a site has more names than places.
#[derive(Debug, Deserialize)]
pub(crate) struct CrowdedAnswer {
    pub(crate) site: String,
    pub(crate) kind: String,
}

/// Start and end of a period, RFC 3339, UTC.
#[derive(Debug, Deserialize)]
pub(crate) struct PeriodAnswer {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Set if a part of the requested period is past retention.
    #[serde(default)]
    pub(crate) limited: Option<String>,
}

/// The statistics of one metric. Values are in the metric's unit.
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
    /// Page views by value; of a whole site or route only.
    #[serde(default)]
    pub(crate) distribution: Vec<BinAnswer>,
}

/// Page views with a value in a range. The last bin has no upper edge.
#[derive(Debug, Deserialize)]
pub(crate) struct BinAnswer {
    pub(crate) from: f64,
    pub(crate) to: Option<f64>,
    pub(crate) n: u64,
}

/// Metrics by name. Keeps an unknown metric of a newer server under its name; the commands do not show it.
pub(crate) type Metrics = BTreeMap<String, MetricAnswer>;

/// `GET /sites/{site}/attribution`.
#[derive(Debug, Deserialize)]
pub(crate) struct AttributionAnswer {
    pub(crate) site: String,
    pub(crate) metric: Metric,
    pub(crate) route: Option<String>,
    #[serde(default)]
    pub(crate) nearest_routes: Vec<String>,
    pub(crate) period: PeriodAnswer,
    #[serde(default)]
    pub(crate) sample: Option<SampledAnswer>,
    pub(crate) views: u64,
    pub(crate) measured: u64,
    pub(crate) explained: u64,
    pub(crate) causes_found: u64,
    pub(crate) causes: Vec<CauseAnswer>,
    /// Absent in answers of older servers.
    #[serde(default)]
    pub(crate) conditions: ConditionsAnswer,
    pub(crate) tbt: BlockingAnswer,
    pub(crate) tti: TtiAnswer,
    pub(crate) collector_errors: BTreeMap<String, u64>,
}

/// Page views of one cause.
#[derive(Debug, Deserialize)]
pub(crate) struct CauseAnswer {
    pub(crate) target: Option<String>,
    #[serde(default)]
    pub(crate) selectors: Vec<String>,
    #[serde(default)]
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) event: Option<String>,
    #[serde(default)]
    pub(crate) longest_part: Option<String>,
    pub(crate) n: u64,
    pub(crate) p75: f64,
    pub(crate) rating: Rating,
    #[serde(default)]
    pub(crate) parts_ms: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) at_ms: Option<u64>,
    #[serde(default)]
    pub(crate) shift: Option<f64>,
    #[serde(default)]
    pub(crate) load_states: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) script: Option<ScriptAnswer>,
}

/// The conditions of the page views that have a value of the metric.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ConditionsAnswer {
    pub(crate) classes: BTreeMap<String, Vec<ClassAnswer>>,
    pub(crate) server_timings: Vec<TimingAnswer>,
    pub(crate) not_restored: Vec<ReasonAnswer>,
    pub(crate) document_kb: SpreadAnswer,
    pub(crate) first_input_ms: SpreadAnswer,
    pub(crate) cold_starts: ColdStartsAnswer,
}

/// Page views of one class.
#[derive(Debug, Deserialize)]
pub(crate) struct ClassAnswer {
    pub(crate) class: String,
    pub(crate) n: u64,
    pub(crate) p75: f64,
    pub(crate) rating: Rating,
}

/// Page views with one `Server-Timing` entry.
#[derive(Debug, Deserialize)]
pub(crate) struct TimingAnswer {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: Option<String>,
    pub(crate) n: u64,
    pub(crate) median_ms: u64,
    pub(crate) p75: f64,
    pub(crate) rating: Rating,
}

/// A reason why pages were not restored from the back/forward cache.
#[derive(Debug, Deserialize)]
pub(crate) struct ReasonAnswer {
    pub(crate) reason: String,
    pub(crate) n: u64,
}

/// Percentiles of a number.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct SpreadAnswer {
    pub(crate) n: u64,
    pub(crate) p50: Option<u64>,
    pub(crate) p75: Option<u64>,
}

/// Loads slowed down by a cause outside of the page.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ColdStartsAnswer {
    pub(crate) n: u64,
    pub(crate) estimated: u64,
}

/// A script that ran during an interaction.
#[derive(Debug, Deserialize)]
pub(crate) struct ScriptAnswer {
    pub(crate) url: String,
    pub(crate) median_ms: u64,
}

/// Total Blocking Time in milliseconds.
#[derive(Debug, Deserialize)]
pub(crate) struct BlockingAnswer {
    pub(crate) n: u64,
    pub(crate) p50: Option<f64>,
    pub(crate) p75: Option<f64>,
}

/// Number of page views that reached TTI, and the reasons of the others.
#[derive(Debug, Deserialize)]
pub(crate) struct TtiAnswer {
    pub(crate) reached: u64,
    pub(crate) hidden: u64,
    pub(crate) network: u64,
    pub(crate) cpu: u64,
}

/// The sample of an answer.
#[derive(Debug, Deserialize)]
pub(crate) struct SampledAnswer {
    pub(crate) of: u64,
    pub(crate) share: f64,
    /// Set if the sample lacks a part of the period.
    #[serde(default)]
    pub(crate) cut: bool,
}

/// `GET /sites/{site}/samples`.
#[derive(Debug, Deserialize)]
pub(crate) struct SamplesAnswer {
    pub(crate) site: String,
    pub(crate) metric: Metric,
    pub(crate) route: Option<String>,
    #[serde(default)]
    pub(crate) nearest_routes: Vec<String>,
    pub(crate) period: PeriodAnswer,
    #[serde(default)]
    pub(crate) sample: Option<SampledAnswer>,
    pub(crate) rule: String,
    pub(crate) measured: u64,
    pub(crate) percentile: Option<f64>,
    pub(crate) samples: Vec<ViewAnswer>,
}

/// A slow page view.
#[derive(Debug, Deserialize)]
pub(crate) struct ViewAnswer {
    pub(crate) value: f64,
    pub(crate) rating: Rating,
    pub(crate) started: String,
    pub(crate) route: String,
    pub(crate) device: Option<String>,
    pub(crate) browser: Option<String>,
    pub(crate) os: Option<String>,
    pub(crate) country: Option<String>,
    pub(crate) connection: Option<String>,
    pub(crate) navigation_type: Option<String>,
    pub(crate) release: Option<String>,
    pub(crate) viewport: Option<String>,
    pub(crate) metrics: BTreeMap<String, RatedAnswer>,
    pub(crate) waterfall: Vec<SpanAnswer>,
    #[serde(default)]
    pub(crate) lcp: Option<LcpAnswer>,
    #[serde(default)]
    pub(crate) inp: Option<InpAnswer>,
    #[serde(default)]
    pub(crate) cls: Option<ClsAnswer>,
    #[serde(default)]
    pub(crate) conditions: Option<ViewConditionsAnswer>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
}

/// A value with its rating.
#[derive(Debug, Deserialize)]
pub(crate) struct RatedAnswer {
    pub(crate) value: f64,
    pub(crate) rating: Rating,
}

/// A part of a page view, in milliseconds since its start.
#[derive(Debug, Deserialize)]
pub(crate) struct SpanAnswer {
    pub(crate) name: String,
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
}

/// What explains LCP.
#[derive(Debug, Deserialize)]
pub(crate) struct LcpAnswer {
    pub(crate) target: Option<String>,
    pub(crate) url: Option<String>,
}

/// What explains INP.
#[derive(Debug, Deserialize)]
pub(crate) struct InpAnswer {
    pub(crate) target: Option<String>,
    pub(crate) event: String,
    pub(crate) script: Option<String>,
    pub(crate) script_ms: Option<u64>,
}

/// What explains CLS.
#[derive(Debug, Deserialize)]
pub(crate) struct ClsAnswer {
    pub(crate) target: Option<String>,
    pub(crate) at_ms: u64,
    pub(crate) shift: f64,
}

/// The conditions of a page view.
#[derive(Debug, Deserialize)]
pub(crate) struct ViewConditionsAnswer {
    pub(crate) protocol: Option<String>,
    pub(crate) delivery: Option<String>,
    pub(crate) rtt: Option<String>,
    pub(crate) memory: Option<String>,
    pub(crate) cpu: Option<String>,
    pub(crate) engaged: Option<bool>,
    pub(crate) document_kb: Option<u64>,
    #[serde(default)]
    pub(crate) server_timings: Vec<EntryAnswer>,
    #[serde(default)]
    pub(crate) not_restored: Vec<String>,
}

/// A `Server-Timing` entry of a page view.
#[derive(Debug, Deserialize)]
pub(crate) struct EntryAnswer {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: Option<String>,
    pub(crate) duration_ms: u64,
}

/// `GET /sites/{site}/engagement`.
#[derive(Debug, Deserialize)]
pub(crate) struct EngagementAnswer {
    pub(crate) site: String,
    pub(crate) metric: Metric,
    pub(crate) mark: Option<String>,
    pub(crate) route: Option<String>,
    #[serde(default)]
    pub(crate) nearest_routes: Vec<String>,
    pub(crate) period: PeriodAnswer,
    #[serde(default)]
    pub(crate) sample: Option<SampledAnswer>,
    pub(crate) views: u64,
    pub(crate) measured: u64,
    pub(crate) known: u64,
    pub(crate) ratings: Vec<BucketAnswer>,
    pub(crate) buckets: Vec<BucketAnswer>,
    pub(crate) note: String,
}

/// Page views with a value in a range.
#[derive(Debug, Deserialize)]
pub(crate) struct BucketAnswer {
    pub(crate) from: f64,
    pub(crate) to: Option<f64>,
    pub(crate) rating: Rating,
    pub(crate) n: u64,
    pub(crate) interaction: ShareAnswer,
    pub(crate) engaged: ShareAnswer,
    #[serde(default)]
    pub(crate) mark: Option<ShareAnswer>,
}

/// A share of page views.
#[derive(Debug, Deserialize)]
pub(crate) struct ShareAnswer {
    pub(crate) views: u64,
    pub(crate) share: Option<f64>,
    pub(crate) interval: Option<[f64; 2]>,
}

/// `GET /sites/{site}/rejections`.
#[derive(Debug, Deserialize)]
pub(crate) struct RejectionsAnswer {
    pub(crate) rejections: Vec<RejectionAnswer>,
}

/// Beacons refused for one reason from one origin.
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

/// `GET /sites/{site}/series`.
#[derive(Debug, Deserialize)]
pub(crate) struct SeriesAnswer {
    pub(crate) site: String,
    pub(crate) route: Option<String>,
    #[serde(default)]
    pub(crate) nearest_routes: Vec<String>,
    pub(crate) period: PeriodAnswer,
    pub(crate) step: String,
    pub(crate) timezone: String,
    pub(crate) percentile: u8,
    pub(crate) steps: Vec<StepAnswer>,
    pub(crate) lines: Vec<LineAnswer>,
    pub(crate) marks: Vec<MarkAnswer>,
}

/// A step of time.
#[derive(Debug, Deserialize)]
pub(crate) struct StepAnswer {
    pub(crate) start: String,
}

/// A line of a series.
#[derive(Debug, Deserialize)]
pub(crate) struct LineAnswer {
    pub(crate) views: Vec<u64>,
    pub(crate) metrics: BTreeMap<String, MetricSeriesAnswer>,
}

/// A metric of a line.
#[derive(Debug, Deserialize)]
pub(crate) struct MetricSeriesAnswer {
    pub(crate) points: Vec<PointAnswer>,
}

/// A metric in one step.
#[derive(Debug, Deserialize)]
pub(crate) struct PointAnswer {
    pub(crate) n: u64,
    pub(crate) value: Option<f64>,
    pub(crate) good: u64,
    pub(crate) needs_improvement: u64,
    pub(crate) poor: u64,
}

/// A mark on the axis of time.
#[derive(Debug, Deserialize)]
pub(crate) struct MarkAnswer {
    pub(crate) at: String,
    pub(crate) release: String,
    pub(crate) kind: String,
}

/// `GET /sites/{site}/compare`.
#[derive(Debug, Deserialize)]
pub(crate) struct CompareAnswer {
    pub(crate) site: String,
    pub(crate) route: Option<String>,
    pub(crate) by: String,
    pub(crate) percentile: u8,
    pub(crate) baseline: SideAnswer,
    pub(crate) current: SideAnswer,
    pub(crate) metrics: BTreeMap<String, ChangeAnswer>,
    pub(crate) reweighted: Option<SharesAnswer>,
    #[serde(default)]
    pub(crate) reweighted_absent: Option<String>,
    pub(crate) routes: Vec<RouteChangeAnswer>,
}

/// One side of a comparison.
#[derive(Debug, Deserialize)]
pub(crate) struct SideAnswer {
    pub(crate) value: Option<String>,
    pub(crate) period: PeriodAnswer,
    pub(crate) views: u64,
}

/// The change of a metric.
#[derive(Debug, Deserialize)]
pub(crate) struct ChangeAnswer {
    pub(crate) baseline: Option<EstimateAnswer>,
    pub(crate) current: Option<EstimateAnswer>,
    pub(crate) change: Option<f64>,
    pub(crate) change_percent: Option<f64>,
    pub(crate) interval: Option<[f64; 2]>,
    pub(crate) verdict: ChangeVerdict,
}

/// A percentile of one side.
#[derive(Debug, Deserialize)]
pub(crate) struct EstimateAnswer {
    pub(crate) n: u64,
    pub(crate) value: f64,
}

/// The comparison at equal shares of classes.
#[derive(Debug, Deserialize)]
pub(crate) struct SharesAnswer {
    pub(crate) sampled: [u64; 2],
    pub(crate) metrics: BTreeMap<String, ChangeAnswer>,
}

/// The change of a metric on one route.
#[derive(Debug, Deserialize)]
pub(crate) struct RouteChangeAnswer {
    pub(crate) route: String,
    pub(crate) metric: Metric,
    #[serde(flatten)]
    pub(crate) change: ChangeAnswer,
}
