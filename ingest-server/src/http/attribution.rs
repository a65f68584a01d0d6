//! What explains a metric's values, and what else page views say that is not rolled up.

pub mod conditions;

use crate::http::State;
use crate::http::api::{Answer, RouteParam, json};
use crate::http::auth;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::question::{Filter, FiltersReport, given, short};
use crate::report::{PeriodReport, unit_name};
use actix_web::{HttpRequest, web};
use conditions::ConditionsReport;
use fieldvitals_store::{Cause, CauseQuery, Causes, Explained, estimate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use vitals::attribution::LoadState;
use vitals::beacon::errors;
use vitals::fetch::PARTS;
use vitals::limits;
use vitals::metric::{Metric, Value};
use vitals::view::TtiGap;

/// Causes in an answer, where nothing else is asked for.
const CAUSE_ROWS: usize = 10;

/// Which metric is to be explained.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExplainedParams {
    /// `lcp`, `inp`, `cls` or `ttfb`.
    metric: Option<String>,
    /// Causes in the answer, 1 to 100; 10 when absent.
    limit: Option<String>,
}

impl ExplainedParams {
    fn explained(&self) -> Result<Explained, ApiError> {
        let Some(name) = given(&self.metric) else {
            return Err(ApiError::parameter("`metric` is missing: expected lcp, inp, cls or ttfb"));
        };
        let named = |explained: &Explained| explained.metric().name().eq_ignore_ascii_case(name);
        Explained::ALL.into_iter().find(named).ok_or_else(|| {
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

/// What explains a metric's values.
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
    /// Page views that were sent.
    views: i64,
    /// Page views that there were, as far as sampled ones tell.
    views_estimated: i64,
    /// Page views with a value of the metric.
    measured: i64,
    /// Page views that say what explains it.
    explained: i64,
    /// Different causes that they name.
    causes_found: usize,
    /// Those of most page views first.
    causes: Vec<CauseReport>,
    conditions: ConditionsReport,
    tbt: BlockingReport,
    tti: TtiReport,
    /// Page views in which a part of the collector had failed: `snippet`, `glue`, `module` (refused or missing),
    /// `page` (a function of the page's); or of which the server has left out a field that was not usable: `field`.
    #[schema(value_type = std::collections::HashMap<String, i64>)]
    collector_errors: BTreeMap<&'static str, i64>,
}

/// Page views of one cause.
#[derive(Debug, Serialize, ToSchema)]
pub struct CauseReport {
    /// The element, as a selector; absent where it is not known, and of TTFB. `(other)` holds what is beyond a day's
    /// bound.
    target: Option<String>,
    /// Of LCP, the image's URL; absent for text.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Of INP, the type of the interaction's longest event.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// Of TTFB, the part that took longest in these page views.
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_part: Option<String>,
    /// Page views.
    n: i64,
    /// Their share of those that say what explains the metric.
    share: f64,
    /// The 75th percentile of the metric in them, exact.
    p75: f64,
    /// `good`, `needs-improvement` or `poor`: of that percentile.
    rating: &'static str,
    /// Medians of the parts in milliseconds. LCP: `ttfb`, `load_delay`, `load_duration`, `render_delay`; INP:
    /// `input_delay`, `processing`, `presentation`; TTFB: `redirect`, `service_worker`, `cache`, `dns`, `connect`,
    /// `request`.
    #[schema(value_type = std::collections::HashMap<String, u32>)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parts_ms: BTreeMap<&'static str, u32>,
    /// Of INP and CLS, the median of when it was, in milliseconds since the view's start.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<u32>,
    /// Of CLS, the median of the largest shift's own score.
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<f64>,
    /// Of INP and CLS, page views by how far the document had come: `loading`, `dom-content-loaded`, `complete`.
    #[schema(value_type = std::collections::HashMap<String, i64>)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    load_states: BTreeMap<&'static str, i64>,
    /// Of INP, the script that ran longest most often.
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<ScriptReport>,
}

/// A script that ran while somebody waited.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScriptReport {
    url: String,
    /// In how many page views of the cause it was the longest.
    n: i64,
    /// The median of how long it ran in them, in milliseconds.
    median_ms: u32,
}

/// Total Blocking Time, of page views that have a TTI.
#[derive(Debug, Serialize, ToSchema)]
pub struct BlockingReport {
    n: i64,
    /// The median in milliseconds, exact; absent without values.
    p50: Option<f64>,
    /// The 75th percentile.
    p75: Option<f64>,
}

/// In how many page views TTI was reached, and why not in others; browsers that tell no long tasks are in none.
#[derive(Debug, Serialize, ToSchema)]
pub struct TtiReport {
    reached: i64,
    /// Hidden or left before the quiet window was over.
    hidden: i64,
    /// More than two requests stayed in flight.
    network: i64,
    /// Long tasks kept the main thread busy.
    cpu: i64,
}

/// What explains LCP, INP, CLS or TTFB: the elements that page views name, or the longest part of TTFB, with what they
/// have in common; the conditions of the page views (protocol, delivery, `Server-Timing`, device classes); and Total Blocking Time, why TTI was not reached, and what failed in the collector. From page views that are kept, to the
/// hour.
#[utoipa::path(get, path = "/api/v1/sites/{site}/attribution", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), ExplainedParams, RouteParam, Filter),
    responses((status = 200, body = AttributionReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, description = "The store is away (`store_away`); try again", body = ErrorBody), (status = 504, description = "The question took too long (`too_slow`); ask for less", body = ErrorBody)))]
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
    let route = route.asked(&state, &site).await?;
    let query = CauseQuery { views: filter.filtered(&site, range, route.name.as_deref())?, explained, limit };
    // One at a time: each may read millions of page views, and keeps some bytes of every one of them.
    let turn = state.explaining.lock().await;
    let found = state.store()?.causes(&query).await?;
    drop(turn);
    let metric = explained.metric();
    Ok(json(AttributionReport {
        site: site.name.clone(),
        metric: metric.name(),
        unit: unit_name(metric),
        route: route.name,
        nearest_routes: route.nearest,
        period: found.period.clone().into(),
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
        causes: found.causes.into_iter().map(|cause| report(explained, cause, found.explained)).collect(),
    }))
}

fn report(explained: Explained, cause: Cause, of: i64) -> CauseReport {
    let metric = explained.metric();
    let p75 = Value::from_micros(metric, cause.p75_micros).unwrap_or(Value::ZERO);
    let filled = |text: String| (!text.is_empty()).then_some(text);
    let names: &[&str] = match explained {
        Explained::Lcp => &["ttfb", "load_delay", "load_duration", "render_delay"],
        Explained::Inp => &["input_delay", "processing", "presentation"],
        Explained::Cls => &[],
        Explained::Ttfb => &PARTS,
    };
    let states = LoadState::ALL.map(LoadState::name).into_iter().zip(cause.load_states);
    let what = filled(cause.what);
    let (url, event, longest_part) = match explained {
        Explained::Lcp => (what, None, None),
        Explained::Inp | Explained::Cls => (None, what, None),
        Explained::Ttfb => (None, None, what),
    };
    let has_states = matches!(explained, Explained::Inp | Explained::Cls);
    CauseReport {
        target: filled(cause.target),
        url,
        event,
        longest_part,
        n: cause.views,
        share: cause.views as f64 / of.max(1) as f64,
        p75: p75.number(metric),
        rating: metric.rate(p75).name(),
        parts_ms: names.iter().copied().zip(cause.parts_ms).collect(),
        at_ms: cause.at_ms,
        shift: cause.shift_micros.and_then(|micros| Some(Value::from_micros(metric, micros)?.number(metric))),
        load_states: if has_states { states.collect() } else { BTreeMap::new() },
        script: cause.script.map(|script| ScriptReport {
            url: script.url,
            n: script.views,
            median_ms: script.median_ms,
        }),
    }
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
    let parts = [
        ("snippet", errors::SNIPPET),
        ("glue", errors::GLUE),
        ("module", errors::MODULE),
        ("page", errors::PAGE),
        ("field", errors::FIELD),
    ];
    parts.into_iter().map(|(name, bit)| (name, of(bit))).collect()
}
