//! The ranking of a site's routes.

use crate::closed_days::Reader;
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::question::{Filter, FiltersReport};
use crate::http::ranking::{PatternParam, RankingParams};
use crate::http::responses::{QuestionErrors, Unchanged};
use crate::http::{State, auth};
use crate::questions::Cost;
use crate::report::{self, Impact, MetricReport, PeriodReport, QualityReport, RankedPage, Ranking, Row};
use actix_web::{HttpRequest, web};
use fieldvitals_store::rollup::From as Source;
use fieldvitals_store::{CellQuery, Selection, StoreError, estimate};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use utoipa::ToSchema;
use vitals::metric::Metrics;

/// A ranking of routes.
#[derive(Debug, Serialize, ToSchema)]
pub struct PagesReport {
    site: String,
    period: PeriodReport,
    #[serde(flatten)]
    filters: FiltersReport,
    #[serde(flatten)]
    ranking: RankingReport,
}

/// One page of a ranking, and the rules of its order.
#[derive(Debug, Serialize, ToSchema)]
pub struct RankingReport {
    /// `impact`, `views`, `p75`, `poor` or `route`.
    sort: &'static str,
    /// The metric that orders; `null` if it is the Core Web Vital with the largest impact of each route, or none.
    metric: Option<&'static str>,
    /// Page views below which routes are hidden.
    min_n: i64,
    /// Routes found, on all pages.
    routes_found: usize,
    /// Routes hidden, because they have fewer page views than `min_n`.
    routes_hidden: usize,
    pages: Vec<PageReport>,
    /// Value of `cursor` for the next page; absent on the last page.
    next_cursor: Option<String>,
}

/// A route with its metrics; metrics without samples are absent.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageReport {
    route: String,
    /// Number of routes in a section (`group=section`).
    #[serde(skip_serializing_if = "Option::is_none")]
    routes: Option<usize>,
    /// Page views received: the `n` of statistics.
    views: i64,
    /// Estimated page views, corrected for sampling (`data-sample`).
    views_estimated: i64,
    /// Absent if no metric that may order has `min_n` values.
    #[serde(skip_serializing_if = "Option::is_none")]
    impact: Option<Impact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<QualityReport>,
    #[schema(value_type = std::collections::HashMap<String, MetricReport>)]
    metrics: BTreeMap<&'static str, MetricReport>,
}

impl RankingReport {
    /// Reports a page of a ranking. Computes percentiles of its rows only; `shown` are the metrics of the rows.
    pub(super) fn new(ranking: &Ranking, page: RankedPage, shown: Metrics) -> Self {
        let of_row = |row: Row| PageReport {
            routes: ranking.by_section.then_some(row.routes),
            views: row.route.cell.views,
            views_estimated: estimate(row.route.cell.weight_milli),
            impact: Impact::of(&row.route.cell, ranking.candidates(), page.min_n),
            quality: QualityReport::of(&row.route.cell, shown),
            metrics: report::metrics(&row.route.cell.only(shown), false),
            route: row.route.route,
        };
        Self {
            sort: ranking.sort.name(),
            metric: ranking.metric_of_order().map(vitals::metric::Metric::name),
            min_n: page.min_n,
            routes_found: page.found,
            routes_hidden: page.hidden,
            pages: page.rows.into_iter().map(of_row).collect(),
            next_cursor: page.next.map(|cursor| cursor.encode()),
        }
    }
}

/// Ranks the routes of a question. Reads all counts of the page's rows only, unless other ones order them too.
///
/// # Errors
/// Those of [`fieldvitals_store::Reports::cells`].
pub(super) async fn ranked(
    store: &Reader,
    query: &CellQuery,
    ranking: &Ranking,
) -> Result<(Range<i64>, RankedPage), StoreError> {
    let order = ranking.metrics();
    let has_more = query.metrics.iter().any(|metric| !order.has(metric));
    // A question that reads page views would read them twice.
    if Source::question(query, None) == Source::Views || !(ranking.is_by_counts() || has_more) {
        let metrics = order.iter().fold(query.metrics, Metrics::with);
        let cells = store.cells(&CellQuery { metrics, ..query.clone() }).await?;
        return Ok((cells.period, ranking.page(cells.rows)));
    }
    let selection = if ranking.is_by_counts() { Selection::Ratings } else { Selection::All };
    let cells = store.cells_of(&CellQuery { metrics: order, ..query.clone() }, &selection).await?;
    let routes = cells.rows.iter().map(|row| row.route.clone()).collect();
    let page = ranking.page(cells.rows);
    let routes = ranking.routes_of(&page, routes);
    let metrics = order.iter().fold(query.metrics, Metrics::with);
    let shown = store.cells_of(&CellQuery { metrics, ..query.clone() }, &Selection::Routes(routes)).await?;
    Ok((cells.period, page.with_rows(ranking.rows(shown.rows))))
}

/// Ranks routes, with percentiles and rating counts of each.
#[utoipa::path(get, path = "/api/v1/sites/{site}/pages", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), Filter, RankingParams, PatternParam),
    responses(Unchanged, (status = 200, body = PagesReport), QuestionErrors))]
pub async fn pages(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    filter: web::Query<Filter>,
    ranking: web::Query<RankingParams>,
    pattern: web::Query<PatternParam>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let range = filter.range()?;
    let ranking = Ranking { pattern: pattern.pattern(), ..ranking.ranking(&site, &filter, &pattern)? };
    let query = filter.query(&site, range)?;
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let site = owned;
        let (period, page) = ranked(&store, &query, &ranking).await?;
        Ok(PagesReport {
            site: site.name.clone(),
            period: PeriodReport::counted(period, range),
            ranking: RankingReport::new(&ranking, page, query.metrics),
            filters: query.filters.into(),
        })
    };
    ask_once(&state, &request, (&site, range, Basis::BeforeEnd), Cost::Usual, question).await
}
