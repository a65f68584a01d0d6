//! The metrics of one route, or of the whole site.

use crate::http::answer::ask_once;
use crate::http::api::Answer;
use crate::http::api::route::RouteParam;
use crate::http::error::ErrorBody;
use crate::http::question::{Filter, FiltersReport};
use crate::http::{State, auth};
use crate::questions::Cost;
use crate::report::{self, MetricReport, PeriodReport, QualityReport};
use actix_web::{HttpRequest, web};
use fieldvitals_store::{Store, Total, estimate};
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
}

/// The metrics of one route, or of the whole site, with their distributions.
#[utoipa::path(get, path = "/api/v1/sites/{site}/report", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), RouteParam, Filter),
    responses((status = 304, description = "The client has the answer (`If-None-Match`)"), (status = 200, body = RouteReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, description = "The store is away (`store_away`), or too many questions are being answered (`busy`); try again", body = ErrorBody), (status = 504, description = "The question took too long (`too_slow`); ask for less", body = ErrorBody)))]
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
    let question = move |store: Arc<dyn Store>| async move {
        let site = owned;
        let route = route.asked(store.as_ref(), &site).await?;
        query.route.clone_from(&route.name);
        let Total { period, cell: whole } = store.total(&query).await?;
        Ok(RouteReport {
            site: site.name.clone(),
            route: route.name,
            nearest_routes: route.nearest,
            period: period.into(),
            filters: query.filters.into(),
            views: whole.views,
            views_estimated: estimate(whole.weight_milli),
            quality: QualityReport::of(&whole, query.metrics),
            metrics: report::metrics(&whole, true),
        })
    };
    ask_once(&state, &request, (&site, range), Cost::Usual, question).await
}
