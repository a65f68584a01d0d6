//! Advice about a route, or about the whole site.

use crate::advice::AdviceReport;
use crate::closed_days::Reader;
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::api::route::RouteParam;
use crate::http::question::{Filter, FiltersReport};
use crate::http::responses::{QuestionErrors, Unchanged};
use crate::http::{State, auth};
use crate::questions::Cost;
use crate::report::PeriodReport;
use actix_web::{HttpRequest, web};
use fieldvitals_store::Total;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The repairs that reach most page views.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteAdvice {
    site: String,
    route: Option<String>,
    /// Routes with a similar name, if the site has none of this name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest_routes: Vec<String>,
    period: PeriodReport,
    #[serde(flatten)]
    filters: FiltersReport,
    /// Page views received.
    views: i64,
    #[serde(flatten)]
    advice: AdviceReport,
}

/// The repairs of one route, or of the whole site, that reach most page views: the part that dominates slow page views, and
/// the steps.
#[utoipa::path(get, path = "/api/v1/sites/{site}/advice", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), RouteParam, Filter),
    responses(Unchanged, (status = 200, body = RouteAdvice), QuestionErrors))]
pub async fn advice(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    route: web::Query<RouteParam>,
    filter: web::Query<Filter>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let range = filter.range()?;
    filter.without_metrics("advice is about the metrics that need it")?;
    let mut query = filter.filtered(&site, range)?;
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let site = owned;
        let route = route.asked(store.as_ref(), &site).await?;
        query.route.clone_from(&route.name);
        let Total { period, cell: whole } = store.total(&query).await?;
        Ok(RouteAdvice {
            site: site.name.clone(),
            route: route.name,
            nearest_routes: route.nearest,
            period: PeriodReport::counted(period, range),
            views: whole.views,
            advice: AdviceReport::of(&store, &query, &whole).await?,
            filters: query.filters.into(),
        })
    };
    ask_once(&state, &request, (&site, range, Basis::BeforeEnd), Cost::Usual, question).await
}
