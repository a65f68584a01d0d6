//! The ranking of a site's routes.

use crate::closed_days::Reader;
use crate::comparison::{self, RowPrevious};
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::api::report::{before, unless_too_many};
use crate::http::error::ApiError;
use crate::http::question::{Filter, FiltersReport};
use crate::http::ranking::{PatternParam, RankingParams};
use crate::http::responses::{QuestionErrors, Unchanged};
use crate::http::{State, auth};
use crate::questions::Cost;
use crate::report::{self, Impact, MetricReport, PeriodReport, QualityReport, RankedPage, Ranking, Row};
use actix_web::{HttpRequest, web};
use fieldvitals_store::rollup::From as Source;
use fieldvitals_store::{Cell, CellQuery, Selection, StoreError, estimate};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
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
    /// The time of the same length before the period, which `previous` of the rows counts; absent if the data of one of
    /// them are not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_period: Option<PeriodReport>,
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
    /// The metrics of `metrics=` in the time before; when absent, that of the ranking, or the Core Web Vitals. Metrics with
    /// too few values in one of both times are absent. All rows are judged together.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = std::collections::HashMap<String, RowPrevious>)]
    previous: BTreeMap<&'static str, RowPrevious>,
}

/// The routes of a ranking in the time before.
pub(super) struct Before {
    period: Range<i64>,
    metrics: Metrics,
    cells: HashMap<String, Cell>,
}

impl Before {
    /// Reads the metrics of the question before the counted period. `None` if a row has nothing to compare with, or if there
    /// is no row.
    pub(super) async fn read(
        store: &Reader,
        query: &CellQuery,
        (asked, counted): (report::Range, &Range<i64>),
        (ranking, page): (&Ranking, &RankedPage),
    ) -> Result<Option<Self>, ApiError> {
        let Some((range, query)) = before(query, asked, counted).filter(|_| !page.rows.is_empty()) else {
            return Ok(None);
        };
        // A section had other routes.
        let selection = match ranking.by_section {
            true => Selection::All,
            false => Selection::Routes(page.rows.iter().map(|row| row.route.route.clone()).collect()),
        };
        let found = unless_too_many(store.cells_of(&query, &selection).await)?;
        let Some(found) = found else { return Ok(None) };
        let cells = ranking.rows(found.rows).into_iter().map(|row| (row.route.route, row.route.cell));
        Ok(range.is_about(&found.period).then(|| Self {
            period: found.period,
            metrics: query.metrics,
            cells: cells.collect(),
        }))
    }

    /// Compares the rows of a page with the time before, in their order.
    fn compare(&self, rows: &[Row]) -> Vec<BTreeMap<&'static str, RowPrevious>> {
        let none = Cell::default();
        let sides =
            rows.iter().map(|Row { route, .. }| [self.cells.get(&route.route).unwrap_or(&none), &route.cell]);
        comparison::rows(self.metrics, &sides.collect::<Vec<_>>())
    }
}

impl RankingReport {
    /// Reports a page of a ranking. Computes percentiles of its rows only; `shown` are the metrics of the rows.
    pub(super) fn new(ranking: &Ranking, page: RankedPage, shown: Metrics, before: Option<Before>) -> Self {
        let mut previous =
            before.as_ref().map(|before| before.compare(&page.rows)).unwrap_or_default().into_iter();
        let of_row = |row: Row| PageReport {
            previous: previous.next().unwrap_or_default(),
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
            previous_period: before.map(|before| before.period.into()),
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
    // All metrics of another period would cost as much as the answer itself.
    let compared =
        if filter.names_metrics() { query.metrics } else { ranking.candidates().iter().copied().collect() };
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let site = owned;
        let (period, page) = ranked(&store, &query, &ranking).await?;
        let earlier = CellQuery { metrics: compared, ..query.clone() };
        let before = Before::read(&store, &earlier, (range, &period), (&ranking, &page)).await?;
        Ok(PagesReport {
            site: site.name.clone(),
            period: PeriodReport::counted(period, range),
            ranking: RankingReport::new(&ranking, page, query.metrics, before),
            filters: query.filters.into(),
        })
    };
    ask_once(&state, &request, (&site, range, Basis::BeforeEnd), Cost::Usual, question).await
}
