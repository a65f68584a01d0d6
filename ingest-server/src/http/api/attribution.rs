//! The attribution report: causes of a metric's values, and page view data that rollups do not hold.

pub mod cause;
pub mod conditions;

use crate::closed_days::Reader;
use crate::http::State;
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::api::route::RouteParam;
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::question::{Filter, FiltersReport, given, short};
use crate::http::responses::{QuestionErrors, Unchanged};
use crate::limits;
use crate::questions::Cost;
use crate::report::SampledReport;
use crate::report::{PeriodReport, unit_name};
use actix_web::{HttpRequest, web};
use cause::CauseReport;
use conditions::ConditionsReport;
use fieldvitals_store::limits::SAMPLE_VIEWS_MAX;
use fieldvitals_store::{AttributionMetric, CauseQuery, Causes, estimate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use vitals::beacon::errors;
use vitals::metric::{Metric, Value};
use vitals::view::TtiGap;

/// The parts of the collector that may fail, with their bits.
pub const ERRORS: [(&str, u32); 5] = [
    ("snippet", errors::SNIPPET),
    ("glue", errors::GLUE),
    ("module", errors::MODULE),
    ("page", errors::PAGE),
    ("field", errors::FIELD),
];

/// Default number of causes in an answer.
const CAUSE_ROWS: usize = 10;

/// Selects the metric to explain.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExplainedParams {
    /// `lcp`, `inp`, `cls` or `ttfb`.
    metric: Option<String>,
    /// Causes in the answer, 1 to 100; 10 when absent.
    limit: Option<String>,
}

impl ExplainedParams {
    fn explained(&self) -> Result<AttributionMetric, ApiError> {
        let Some(name) = given(&self.metric) else {
            return Err(ApiError::parameter("`metric` is missing: expected lcp, inp, cls or ttfb"));
        };
        let named = |explained: &AttributionMetric| explained.metric().name().eq_ignore_ascii_case(name);
        AttributionMetric::ALL.into_iter().find(named).ok_or_else(|| {
            ApiError::parameter(format!("`metric` is `{}`: expected lcp, inp, cls or ttfb", short(name)))
        })
    }

    fn limit(&self) -> Result<usize, ApiError> {
        let Some(text) = given(&self.limit) else { return Ok(CAUSE_ROWS) };
        let limit = text.parse().ok().filter(|limit| (1..=limits::CAUSE_ROWS_MAX).contains(limit));
        limit.ok_or_else(|| {
            let max = limits::CAUSE_ROWS_MAX;
            ApiError::parameter(format!("`limit` is `{}`: expected 1 to {max}", short(text)))
        })
    }
}

/// Causes of a metric's values.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttributionReport {
    site: String,
    metric: &'static str,
    /// `ms` or `score`.
    unit: &'static str,
    route: Option<String>,
    /// Routes with a similar name, if the site has none of this name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest_routes: Vec<String>,
    period: PeriodReport,
    #[serde(flatten)]
    filters: FiltersReport,
    /// Set if the question read a sample of the page views; all numbers of the answer are of the sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<SampledReport>,
    /// Page views received.
    views: i64,
    /// Estimated page views, corrected for sampling (`data-sample`).
    views_estimated: i64,
    /// Page views with a value of the metric.
    measured: i64,
    /// Page views that name a cause of the value.
    explained: i64,
    /// Number of distinct causes.
    causes_found: usize,
    /// Causes, by descending page views; for INP by descending `impact`.
    causes: Vec<CauseReport>,
    conditions: ConditionsReport,
    tbt: BlockingReport,
    tti: TtiReport,
    /// Page views with a failed part of the collector, by part: `snippet`, `glue`, `module` (refused or missing),
    /// `page` (a function of the page). `field` counts page views from which the server removed an unusable field.
    #[schema(value_type = std::collections::HashMap<String, i64>)]
    collector_errors: BTreeMap<&'static str, i64>,
}

/// Total Blocking Time of page views with a TTI.
#[derive(Debug, Serialize, ToSchema)]
pub struct BlockingReport {
    n: i64,
    /// The median in milliseconds, exact; absent without values.
    p50: Option<f64>,
    /// The 75th percentile in milliseconds, exact; absent without values.
    p75: Option<f64>,
}

/// Page views by outcome of TTI. Excludes browsers that do not report long tasks.
#[derive(Debug, Serialize, ToSchema)]
pub struct TtiReport {
    reached: i64,
    /// The page was hidden or left before the end of the quiet window.
    hidden: i64,
    /// More than two requests stayed in flight.
    network: i64,
    /// Long tasks kept the main thread busy.
    cpu: i64,
}

/// Explains LCP, INP, CLS or TTFB by element, or by the longest part of TTFB, with the parts of each cause. Also
/// reports conditions of the page views (protocol, delivery, `Server-Timing`, device classes), Total Blocking Time,
/// reasons for a missing TTI, and failures of the collector. Reads retained page views, to the
/// minute; of many, a sample.
#[utoipa::path(get, path = "/api/v1/sites/{site}/attribution", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), ExplainedParams, RouteParam, Filter),
    responses(Unchanged, (status = 200, body = AttributionReport), QuestionErrors))]
pub async fn attribution(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    params: web::Query<ExplainedParams>,
    route: web::Query<RouteParam>,
    filter: web::Query<Filter>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let (explained, limit) = (params.explained()?, params.limit()?);
    let range = filter.range()?;
    filter.without_metrics("`metric` says which one is explained")?;
    let views = filter.filtered(&site, range)?;
    let mut query = CauseQuery { views, explained, limit, views_max: SAMPLE_VIEWS_MAX };
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let site = owned;
        let route = route.asked(store.as_ref(), &site).await?;
        query.views.route.clone_from(&route.name);
        let found = store.causes(&query).await?;
        let metric = explained.metric();
        Ok(AttributionReport {
            site: site.name.clone(),
            metric: metric.name(),
            unit: unit_name(metric),
            route: route.name,
            nearest_routes: route.nearest,
            period: PeriodReport::counted(found.period.clone(), range),
            sample: found.sample.clone().map(SampledReport::from),
            filters: query.views.filters.into(),
            views: found.views.count,
            views_estimated: estimate(found.views.weight_milli),
            measured: found.measured,
            explained: found.explained,
            causes_found: found.found,
            tbt: blocking(&found),
            tti: tti(&found),
            collector_errors: collector_errors(&found),
            conditions: conditions::report(metric, found.conditions),
            causes: found
                .causes
                .into_iter()
                .map(|cause| cause::report(explained, cause, found.explained))
                .collect(),
        })
    };
    ask_once(&state, &request, (&site, range, Basis::BeforeEnd), Cost::Large, question).await
}

fn blocking(found: &Causes) -> BlockingReport {
    let ms = |micros| {
        let value = Value::from_micros(Metric::Tti, micros).filter(|_| found.tbt.n > 0);
        value.map(|value| value.number(Metric::Tti))
    };
    BlockingReport { n: found.tbt.n, p50: ms(found.tbt.p50_micros), p75: ms(found.tbt.p75_micros) }
}

fn tti(found: &Causes) -> TtiReport {
    let of = |gap: TtiGap| found.tti_gaps.get(gap as usize).copied().unwrap_or(0);
    TtiReport {
        reached: found.tti_reached,
        hidden: of(TtiGap::Hidden),
        network: of(TtiGap::Network),
        cpu: of(TtiGap::Cpu),
    }
}

fn collector_errors(found: &Causes) -> BTreeMap<&'static str, i64> {
    let of = |bit: u32| found.errors.get(bit.trailing_zeros() as usize).copied().unwrap_or(0);
    ERRORS.into_iter().map(|(name, bit)| (name, of(bit))).collect()
}
