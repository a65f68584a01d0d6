//! Compares two releases, two periods, or two values of a property.

use crate::clock::now_ms;
use crate::closed_days::Reader;
use crate::comparison::{self, ChangeReport, ReweightedReport, RouteChange};
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::api::route::RouteParam;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::question::{ByParam, Filter, FiltersReport, given, metrics, number};
use crate::http::{State, auth, known};
use crate::limits;
use crate::questions::Cost;
use crate::report::{PeriodReport, Range, time_text};
use actix_web::{HttpRequest, web};
use fieldvitals_store::{CellQuery, Dimension, GroupBy, RetentionEdges, Site, StrataQuery, Stratum, Total};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use vitals::metric::Metrics;

/// Default number of routes in an answer.
const ROUTES: usize = 10;
/// Default percentile.
const PERCENTILE: u8 = 75;
/// The value of `against` for the time before.
const PREVIOUS: &str = "previous";

/// The two sides.
///
/// `release=B&against=A` compares releases. `against=previous` compares the period with the time of the same length
/// before it; `against_from` (and `against_to`) name another period. `by=device&value=phone&against=desktop` compares
/// values of a property.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CompareParams {
    /// The baseline: a release, a value of `by`, or `previous`.
    against: Option<String>,
    /// With `by`: the value of the current side.
    value: Option<String>,
    /// Start of the baseline's period, RFC 3339.
    against_from: Option<String>,
    /// End of the baseline's period, excluded; its length is that of the current period when absent.
    against_to: Option<String>,
    /// Metrics, such as `LCP,INP`; all when absent.
    metric: Option<String>,
    /// The percentile, 1 to 99; 75 when absent.
    percentile: Option<String>,
    /// Routes in the answer, 0 to 100; 10 when absent. None with `route`.
    limit: Option<String>,
    /// `false` leaves out the comparison at equal shares of classes, which reads page views.
    reweight: Option<String>,
}

/// A comparison.
#[derive(Debug, Serialize, ToSchema)]
pub struct CompareReport {
    site: String,
    route: Option<String>,
    /// Routes with a similar name, if the site has none of this name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest_routes: Vec<String>,
    /// The difference between the sides: `period`, or the name of a property such as `release`.
    by: &'static str,
    percentile: u8,
    /// The filters of both sides.
    #[serde(flatten)]
    filters: FiltersReport,
    baseline: SideReport,
    current: SideReport,
    /// The change of each metric, judged together.
    #[schema(value_type = std::collections::HashMap<String, ChangeReport>)]
    metrics: BTreeMap<&'static str, ChangeReport>,
    /// The same at equal shares of device, country and navigation type.
    reweighted: Option<SharesReport>,
    /// Why `reweighted` is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    reweighted_absent: Option<String>,
    /// The routes that moved most, judged together: clear changes first.
    routes: Vec<RouteChange>,
}

/// One side of a comparison.
#[derive(Debug, Serialize, ToSchema)]
pub struct SideReport {
    /// The release or the value; absent if the sides are periods.
    value: Option<String>,
    period: PeriodReport,
    /// Page views received.
    views: i64,
}

/// A comparison at equal shares.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharesReport {
    /// Sampled page views of the baseline and of the current side.
    sampled: [i64; 2],
    /// Share of each side's time that was sampled, 0 to 1.
    share: [f64; 2],
    /// The change of each metric, judged together.
    #[schema(value_type = std::collections::HashMap<String, ReweightedReport>)]
    metrics: BTreeMap<&'static str, ReweightedReport>,
}

/// The difference between the sides.
enum Difference {
    Period,
    Value(GroupBy),
}

/// A side before its answer.
struct Side {
    query: CellQuery,
    value: Option<String>,
}

impl CompareParams {
    /// Returns the baseline and the current side.
    fn sides(
        &self,
        site: &Site,
        filter: &Filter,
        by: Option<GroupBy>,
    ) -> Result<(Difference, [Side; 2]), ApiError> {
        let range = filter.range()?;
        let text = |parameter| given(parameter).map(str::to_owned);
        let (against, value) = (text(&self.against), text(&self.value));
        let side = |filter: &Filter, range, value| -> Result<Side, ApiError> {
            let query = CellQuery { metrics: metrics(&self.metric)?, ..filter.filtered(site, range)? };
            Ok(Side { query, value })
        };
        let of_value = |by: GroupBy, value: String| side(&filter.with(by, &value), range, Some(value));
        if by.is_none() && value.is_some() {
            return Err(ApiError::parameter("`value` is one of `by`, which is missing"));
        }
        if let Some(by) = by {
            let [Some(against), Some(value)] = [against, value] else {
                return Err(ApiError::parameter("`by` needs two values: `value` and `against`"));
            };
            return Ok((Difference::Value(by), [of_value(by, against)?, of_value(by, value)?]));
        }
        let before = match (against.as_deref(), given(&self.against_from)) {
            (Some(PREVIOUS), None) => Some(previous(range)),
            (None, Some(from)) => Some(self.other_period(from, range)?),
            (Some(_), Some(_)) => {
                return Err(ApiError::parameter("`against` and `against_from` exclude each other"));
            }
            _ => None,
        };
        if let Some(before) = before {
            return Ok((Difference::Period, [side(filter, before, None)?, side(filter, range, None)?]));
        }
        let release = GroupBy::Rolled(Dimension::Release);
        match (against, filter.filtered(site, range)?.filters.release) {
            (Some(against), Some(current)) => {
                Ok((Difference::Value(release), [of_value(release, against)?, of_value(release, current)?]))
            }
            (Some(_), None) => Err(ApiError::parameter(
                "`against` is a release, or `previous`: the other `release` is missing",
            )),
            (None, _) => Err(ApiError::parameter(
                "`against` is missing: expected a release beside `release`, `previous`, or a value beside `by` and \
                 `value`; or `against_from`",
            )),
        }
    }

    fn other_period(&self, from: &str, range: Range) -> Result<Range, ApiError> {
        let before = Range::parse(None, Some(from), given(&self.against_to), now_ms())
            .map_err(|message| ApiError::parameter(format!("`against_from`, `against_to`: {message}")))?;
        Ok(match given(&self.against_to) {
            Some(_) => before,
            None => Range { to_ms: before.from_ms.saturating_add(range.to_ms - range.from_ms), ..before },
        })
    }

    fn is_reweighted(&self) -> Result<bool, ApiError> {
        match given(&self.reweight) {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(ApiError::parameter("`reweight`: expected true or false")),
        }
    }
}

/// The time of the same length before a range.
pub(super) const fn previous(range: Range) -> Range {
    let length_ms = range.to_ms.saturating_sub(range.from_ms);
    Range { from_ms: range.from_ms.saturating_sub(length_ms), to_ms: range.from_ms }
}

/// Two releases, two periods or two values of a property: the change of each metric with its uncertainty and a verdict,
/// the same at equal shares of device, country and navigation type, and the routes that moved most.
#[utoipa::path(get, path = "/api/v1/sites/{site}/compare", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), CompareParams, ByParam, RouteParam, Filter),
    responses((status = 304, description = "The client has the answer (`If-None-Match`)"), (status = 200, body = CompareReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, description = "The store is away (`store_away`), or too many questions are being answered (`busy`); try again", body = ErrorBody), (status = 504, description = "The question took too long (`too_slow`); ask for less", body = ErrorBody)))]
pub async fn compare(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    params: web::Query<CompareParams>,
    by: web::Query<ByParam>,
    route: web::Query<RouteParam>,
    filter: web::Query<Filter>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    filter.without_metrics("`metric` names the metrics of a comparison")?;
    let (difference, [mut baseline, mut current]) = params.sides(&site, &filter, by.given()?)?;
    let percentile = number("percentile", &params.percentile, [1, 99], PERCENTILE)?;
    let limit = number("limit", &params.limit, [0, limits::COMPARED_ROWS_MAX], ROUTES)?;
    let is_reweighted = params.is_reweighted()?;
    let range = filter.range()?;
    // The baseline may be later than the period.
    let to_ms = range.to_ms.max(baseline.query.to_ms).max(current.query.to_ms);
    let range = Range { to_ms, ..range };
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let (site, store) = (owned, &store);
        let route = route.asked(store.as_ref(), &site).await?;
        for side in [&mut baseline, &mut current] {
            side.query.route.clone_from(&route.name);
        }
        let retained = store.retention_edges().await?;
        let (from, to) =
            (total(store, &baseline, &retained).await?, total(store, &current, &retained).await?);
        let metrics = current.query.metrics;
        let without = match difference {
            Difference::Period => None,
            Difference::Value(by) => Some(by),
        };
        let reweighted = match is_reweighted {
            true => weigh(store, [&baseline, &current], (metrics, percentile, without), &retained).await?,
            false => Err("`reweight` is false".to_owned()),
        };
        let routes = match (&route.name, limit) {
            (Some(_), _) | (None, 0) => Vec::new(),
            (None, limit) => {
                let cells =
                    (store.cells(&baseline.query).await?.rows, store.cells(&current.query).await?.rows);
                comparison::routes(metrics, percentile, (&cells.0, &cells.1), limit)
            }
        };
        let (reweighted, reweighted_absent) = match reweighted {
            Ok(shares) => (Some(shares), None),
            Err(why) => (None, Some(why)),
        };
        let mut filters = current.query.filters.clone();
        if let Some(by) = without {
            filters = filters.without(by);
        }
        Ok(CompareReport {
            site: site.name.clone(),
            route: route.name,
            nearest_routes: route.nearest,
            by: without.map_or("period", GroupBy::name),
            percentile,
            filters: filters.into(),
            metrics: comparison::changes(metrics, percentile, &from.cell, &to.cell),
            baseline: side_report(baseline.value, &from),
            current: side_report(current.value, &to),
            reweighted,
            reweighted_absent,
            routes,
        })
    };
    ask_once(&state, &request, (&site, range, Basis::BeforeEnd), Cost::Usual, question).await
}

fn side_report(value: Option<String>, total: &Total) -> SideReport {
    SideReport { value, period: total.period.clone().into(), views: total.cell.views }
}

/// The page views of a side; refuses a period past retention, and values that the site does not have.
async fn total(store: &Reader, side: &Side, retained: &RetentionEdges) -> Result<Total, ApiError> {
    let query = &side.query;
    if query.to_ms <= retained.days_from_ms {
        return Err(ApiError::parameter(format!(
            "the period up to {} is past retention: data are kept from {} on",
            time_text(query.to_ms),
            time_text(retained.days_from_ms)
        )));
    }
    let total = store.total(query).await?;
    if total.cell.views == 0 {
        known::check_empty(store.as_ref(), query.site, &query.filters).await?;
    }
    Ok(total)
}

/// Compares at equal shares of classes, from a sample of page views. The inner error says why it cannot be done.
async fn weigh(
    store: &Reader,
    sides: [&Side; 2],
    (metrics, percentile, without): (Metrics, u8, Option<GroupBy>),
    retained: &RetentionEdges,
) -> Result<Result<SharesReport, String>, ApiError> {
    if sides.iter().any(|side| side.query.from_ms < retained.views_from_ms) {
        return Ok(Err(format!(
            "single page views are kept from {} on, and a side begins before",
            time_text(retained.views_from_ms)
        )));
    }
    let mut samples: Vec<(f64, Vec<Stratum>)> = Vec::with_capacity(2);
    for side in sides {
        samples.push(sample(store, &side.query).await?);
    }
    let [(from_share, from), (to_share, to)] = samples.as_slice() else {
        return Ok(Err("a side has no page views".to_owned()));
    };
    let views = |strata: &[Stratum]| strata.iter().map(|stratum| stratum.cell.views).sum();
    Ok(Ok(SharesReport {
        sampled: [views(from), views(to)],
        share: [*from_share, *to_share],
        metrics: comparison::reweighted(metrics, percentile, (from, to), without),
    }))
}

/// A sample of a side's page views by class, and the sampled share of its time. The page views of the whole range bound
/// the sample, because all of them are read.
async fn sample(store: &Reader, query: &CellQuery) -> Result<(f64, Vec<Stratum>), ApiError> {
    let all = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(query.site, query.from_ms, query.to_ms) };
    let views = store.total(&CellQuery { route: query.route.clone(), ..all }).await?.cell.views;
    let share = (limits::STRATA_SAMPLE_VIEWS as f64 / views.max(1) as f64).min(1.0);
    let range = Range { from_ms: query.from_ms, to_ms: query.to_ms };
    let windows = comparison::windows(range, share);
    let strata = StrataQuery { views: query.clone(), windows };
    Ok((share, store.strata(&strata).await?))
}
