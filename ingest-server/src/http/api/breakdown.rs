//! One route, or the whole site, grouped by a dimension.

use crate::closed_days::Reader;
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::api::route::RouteParam;
use crate::http::question::{ByParam, Filter, FiltersReport, Grouping};
use crate::http::responses::{QuestionErrors, Unchanged};
use crate::http::{State, auth};
use crate::questions::Cost;
use crate::report::{self, MetricReport, PeriodReport};
use actix_web::{HttpRequest, web};
use fieldvitals_store::estimate;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// One route, or the whole site, grouped by a dimension.
#[derive(Debug, Serialize, ToSchema)]
pub struct BreakdownReport {
    site: String,
    /// As asked: `browser`, `tag:plan`.
    by: String,
    route: Option<String>,
    /// Routes with a similar name, if the site has none of this name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest_routes: Vec<String>,
    period: PeriodReport,
    #[serde(flatten)]
    filters: FiltersReport,
    /// Values, by descending page views.
    values: Vec<ValueReport>,
}

/// A value with its metrics; metrics without samples are absent.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValueReport {
    /// The value; absent for page views without a known value. `(other)` holds the values beyond the site's limit. A mark
    /// has `yes` and `no`.
    value: Option<String>,
    /// Page views received: the `n` of statistics.
    views: i64,
    /// Estimated page views, corrected for sampling (`data-sample`).
    views_estimated: i64,
    #[schema(value_type = std::collections::HashMap<String, MetricReport>)]
    metrics: BTreeMap<&'static str, MetricReport>,
}

/// The metrics of one route, or of the whole site, by device, browser, operating system, country, connection,
/// navigation type, release, or a property of the page views' context.
#[utoipa::path(get, path = "/api/v1/sites/{site}/breakdown", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), ByParam, RouteParam, Filter),
    responses(Unchanged, (status = 200, body = BreakdownReport), QuestionErrors))]
pub async fn breakdown(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    by: web::Query<ByParam>,
    route: web::Query<RouteParam>,
    filter: web::Query<Filter>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let range = filter.range()?;
    let by = by.grouping()?;
    let mut query = filter.query(&site, range)?;
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let site = owned;
        let route = route.asked(store.as_ref(), &site).await?;
        query.route.clone_from(&route.name);
        let values = match &by {
            Grouping::Column(by) => store.breakdown(&query, *by).await?,
            Grouping::Context(property) => store.split(&query, property).await?,
        };
        Ok(BreakdownReport {
            site: site.name.clone(),
            by: by.name(),
            route: route.name,
            nearest_routes: route.nearest,
            period: PeriodReport::counted(values.period, range),
            filters: query.filters.into(),
            values: values
                .rows
                .into_iter()
                .map(|row| ValueReport {
                    value: row.value,
                    views: row.cell.views,
                    views_estimated: estimate(row.cell.weight_milli),
                    metrics: report::metrics(&row.cell, false),
                })
                .collect(),
        })
    };
    ask_once(&state, &request, (&site, range, Basis::BeforeEnd), Cost::Usual, question).await
}
