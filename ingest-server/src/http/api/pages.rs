//! The ranking of a site's routes.

use crate::closed_days::Reader;
use crate::http::answer::ask_once;
use crate::http::api::Answer;
use crate::http::error::ErrorBody;
use crate::http::question::{Filter, FiltersReport, RankingParams};
use crate::http::{State, auth};
use crate::questions::Cost;
use crate::report::{self, MetricReport, PeriodReport};
use actix_web::{HttpRequest, web};
use fieldvitals_store::estimate;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// A ranking of routes.
#[derive(Debug, Serialize, ToSchema)]
pub struct PagesReport {
    site: String,
    period: PeriodReport,
    #[serde(flatten)]
    filters: FiltersReport,
    metric: &'static str,
    pages: Vec<PageReport>,
    /// Value of `cursor` for the next page; absent on the last page.
    next_cursor: Option<String>,
}

/// A route with its metrics; metrics without samples are absent.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageReport {
    route: String,
    /// Page views received: the `n` of statistics.
    views: i64,
    /// Estimated page views, corrected for sampling (`data-sample`).
    views_estimated: i64,
    #[schema(value_type = std::collections::HashMap<String, MetricReport>)]
    metrics: BTreeMap<&'static str, MetricReport>,
}

/// Ranks routes, with percentiles and rating counts of each.
#[utoipa::path(get, path = "/api/v1/sites/{site}/pages", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), Filter, RankingParams),
    responses((status = 304, description = "The client has the answer (`If-None-Match`)"), (status = 200, body = PagesReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, description = "The store is away (`store_away`), or too many questions are being answered (`busy`); try again", body = ErrorBody), (status = 504, description = "The question took too long (`too_slow`); ask for less", body = ErrorBody)))]
pub async fn pages(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    filter: web::Query<Filter>,
    ranking: web::Query<RankingParams>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let range = filter.range()?;
    let ranking = ranking.ranking()?;
    let mut query = filter.query(&site, range)?;
    query.metrics = query.metrics.with(ranking.metric);
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let site = owned;
        let cells = store.cells(&query).await?;
        let (rows, next) = ranking.page(cells.rows);
        Ok(PagesReport {
            site: site.name.clone(),
            period: PeriodReport::counted(cells.period, range),
            filters: query.filters.into(),
            metric: ranking.metric.name(),
            pages: rows
                .into_iter()
                .map(|row| PageReport {
                    views: row.cell.views,
                    views_estimated: estimate(row.cell.weight_milli),
                    metrics: report::metrics(&row.cell, false),
                    route: row.route,
                })
                .collect(),
            next_cursor: next.map(|cursor| cursor.encode()),
        })
    };
    ask_once(&state, &request, (&site, range), Cost::Usual, question).await
}
