//! The metrics of one route, or of the whole site.

use crate::closed_days::Reader;
use crate::comparison::{self, ChangeReport};
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::api::compare;
use crate::http::api::route::RouteParam;
use crate::http::error::ApiError;
use crate::http::question::{Filter, FiltersReport};
use crate::http::responses::{QuestionErrors, Unchanged};
use crate::http::{State, auth};
use crate::questions::Cost;
use crate::report::{self, MetricReport, PeriodReport, QualityReport, Range};
use actix_web::{HttpRequest, web};
use fieldvitals_store::{Cell, CellQuery, StoreError, Total, estimate};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// One route, or the whole site.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteReport {
    site: String,
    route: Option<String>,
    /// Routes with a similar name, if the site has none of this name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest_routes: Vec<String>,
    period: PeriodReport,
    #[serde(flatten)]
    filters: FiltersReport,
    /// Page views received: the `n` of statistics.
    views: i64,
    /// Estimated page views, corrected for sampling (`data-sample`).
    views_estimated: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<QualityReport>,
    #[schema(value_type = std::collections::HashMap<String, MetricReport>)]
    metrics: BTreeMap<&'static str, MetricReport>,
    /// The time of the same length before the period; absent if the data of one of them are not complete.
    previous: Option<PreviousReport>,
}

/// The time before the period, and the change since.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviousReport {
    period: PeriodReport,
    /// Page views received.
    views: i64,
    /// The change of each metric's 75th percentile since the previous period (`baseline`), judged together.
    #[schema(value_type = std::collections::HashMap<String, ChangeReport>)]
    metrics: BTreeMap<&'static str, ChangeReport>,
}

/// The metrics of one route, or of the whole site, with their distributions.
#[utoipa::path(get, path = "/api/v1/sites/{site}/report", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), RouteParam, Filter),
    responses(Unchanged, (status = 200, body = RouteReport), QuestionErrors))]
pub async fn report(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    route: web::Query<RouteParam>,
    filter: web::Query<Filter>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let range = filter.range()?;
    let mut query = filter.query(&site, range)?;
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let site = owned;
        let route = route.asked(store.as_ref(), &site).await?;
        query.route.clone_from(&route.name);
        let Total { period, cell: whole } = store.total(&query).await?;
        let previous = previous(&store, &query, range, (&period, &whole)).await?;
        Ok(RouteReport {
            site: site.name.clone(),
            route: route.name,
            nearest_routes: route.nearest,
            period: PeriodReport::counted(period, range),
            filters: query.filters.into(),
            views: whole.views,
            views_estimated: estimate(whole.weight_milli),
            quality: QualityReport::of(&whole, query.metrics),
            metrics: report::metrics(&whole, true),
            previous,
        })
    };
    ask_once(&state, &request, (&site, range, Basis::BeforeEnd), Cost::Usual, question).await
}

/// Compares with the time before. `None` if there is nothing to compare with ([`before`], [`unless_too_many`]).
pub(super) async fn previous(
    store: &Reader,
    query: &CellQuery,
    range: Range,
    (period, whole): (&std::ops::Range<i64>, &Cell),
) -> Result<Option<PreviousReport>, ApiError> {
    let Some((before, query)) = before(query, range, period) else { return Ok(None) };
    let Some(total) = unless_too_many(store.total(&query).await)? else { return Ok(None) };
    Ok(before.is_about(&total.period).then(|| PreviousReport {
        period: total.period.into(),
        views: total.cell.views,
        metrics: comparison::changes(query.metrics, 75, &total.cell, whole),
    }))
}

/// The time before a range, and the question about it. `None` if retention has cut the range, or if it has grown a lot: then
/// both count different lengths of time.
pub(super) fn before(
    query: &CellQuery,
    range: Range,
    counted: &std::ops::Range<i64>,
) -> Option<(Range, CellQuery)> {
    let before = compare::previous(range);
    let query = CellQuery { from_ms: before.from_ms, to_ms: before.to_ms, ..query.clone() };
    range.is_about(counted).then_some((before, query))
}

/// An answer about the time before; `None` if it has too many page views to read, because the question itself has its answer.
pub(super) fn unless_too_many<T>(answer: Result<T, StoreError>) -> Result<Option<T>, ApiError> {
    match answer {
        Err(StoreError::TooManyViews { .. }) => Ok(None),
        answer => Ok(Some(answer?)),
    }
}
