//! The summary of a site, of a pattern of routes, or of one route: all that a report shows.

pub mod missing;

use crate::advice::AdviceReport;
use crate::closed_days::Reader;
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::api::pages::{Before, RankingReport, ranked};
use crate::http::api::report::{PreviousReport, previous};
use crate::http::api::route::RouteParam;
use crate::http::error::ApiError;
use crate::http::question::{Filter, FiltersReport};
use crate::http::ranking::RankingParams;
use crate::http::responses::{QuestionErrors, Unchanged};
use crate::http::{State, auth};
use crate::questions::Cost;
use crate::report::{self, MetricReport, PeriodReport, QualityReport, RankedPage, Ranking};
use actix_web::{HttpRequest, web};
use fieldvitals_store::dimension::OTHER;
use fieldvitals_store::{Cell, CellQuery, Total, estimate};
use missing::{Known, MissingReport};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use utoipa::ToSchema;
use vitals::metric::Metrics;

/// A site, a pattern of routes, or one route: its verdict, metrics, pages and recommendations.
#[derive(Debug, Serialize, ToSchema)]
pub struct SummaryReport {
    site: String,
    /// The route or the pattern; `null` for the whole site.
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
    quality: Option<QualityReport>,
    #[schema(value_type = std::collections::HashMap<String, MetricReport>)]
    metrics: BTreeMap<&'static str, MetricReport>,
    /// The time of the same length before the period; absent for a pattern of routes, and if the data of one of them are
    /// not complete.
    previous: Option<PreviousReport>,
    /// The pages, ranked; absent for one route.
    #[serde(flatten)]
    ranking: Option<RankingReport>,
    /// Causes and recommendations; absent for a pattern of routes.
    advice: Option<AdviceReport>,
    /// Gaps in the answer, with the reasons.
    missing: Vec<MissingReport>,
}

/// The counts of a summary.
struct Counted {
    period: Range<i64>,
    whole: Cell,
    /// Page views of routes beyond the site's places.
    other: i64,
    pages: Option<RankedPage>,
}

/// Sums up one route, a pattern of routes (`route=/c/*`), or the whole site: verdict, score, metrics, worst pages, causes
/// and recommendations.
#[utoipa::path(get, path = "/api/v1/sites/{site}/summary", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), RouteParam, Filter, RankingParams),
    responses(Unchanged, (status = 200, body = SummaryReport), QuestionErrors))]
pub async fn summary(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    route: web::Query<RouteParam>,
    filter: web::Query<Filter>,
    ranking: web::Query<RankingParams>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let range = filter.range()?;
    filter.without_metrics("a summary has all of them")?;
    let mut ranking = ranking.ranking(&site, &filter, &route)?;
    let mut query = filter.filtered(&site, range)?;
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let site = owned;
        ranking.pattern = route.pattern(store.as_ref(), &site).await?;
        let (shown, nearest) = match &ranking.pattern {
            Some(pattern) => (Some(pattern.clone()), Vec::new()),
            None => {
                let route = route.asked(store.as_ref(), &site).await?;
                query.route.clone_from(&route.name);
                (route.name, route.nearest)
            }
        };
        let Counted { period, whole, other, pages } = counted(&store, &query, &ranking).await?;
        let (previous, advice) = match ranking.pattern {
            Some(_) => (None, None),
            None => (
                previous(&store, &query, range, (&period, &whole)).await?,
                Some(AdviceReport::of(&store, &query, &whole).await?),
            ),
        };
        let before = match &pages {
            None => None,
            Some(page) => {
                let metrics = ranking.candidates().iter().copied().collect();
                let query = CellQuery { metrics, ..query.clone() };
                Before::read(&store, &query, (range, &period), (&ranking, page)).await?
            }
        };
        let known = Known {
            asked: range,
            period: &period,
            whole: &whole,
            other,
            pages: pages.as_ref(),
            advice: advice.as_ref(),
        };
        Ok(SummaryReport {
            missing: known.missing(),
            site: site.name.clone(),
            route: shown,
            nearest_routes: nearest,
            period: PeriodReport::counted(period, range),
            filters: query.filters.into(),
            views: whole.views,
            views_estimated: estimate(whole.weight_milli),
            quality: QualityReport::of(&whole, Metrics::ALL),
            metrics: report::metrics(&whole, true),
            previous,
            ranking: pages.map(|pages| RankingReport::new(&ranking, pages, Metrics::ALL, before)),
            advice,
        })
    };
    ask_once(&state, &request, (&site, range, Basis::BeforeEnd), Cost::Usual, question).await
}

/// Counts one route, or the routes of the ranking's pattern and their sum.
async fn counted(store: &Reader, query: &CellQuery, ranking: &Ranking) -> Result<Counted, ApiError> {
    if query.route.is_some() {
        let Total { period, cell: whole } = store.total(query).await?;
        return Ok(Counted { period, whole, other: 0, pages: None });
    }
    if ranking.pattern.is_none() {
        let (period, page) = ranked(store, query, ranking).await?;
        let other = CellQuery { route: Some(OTHER.to_owned()), metrics: Metrics::NONE, ..query.clone() };
        let (whole, other) = (store.total(query).await?, store.total(&other).await?);
        // Hours of the whole site are kept for longer, so its period may be closer to the asked one.
        if whole.period == period {
            let other = other.cell.views;
            return Ok(Counted { period, whole: whole.cell, other, pages: Some(page) });
        }
    }
    let cells = store.cells(query).await?;
    let pattern = Ranking { search: None, ..ranking.clone() };
    let mut whole = Cell::default();
    for row in cells.rows.iter().filter(|row| pattern.takes(&row.route)) {
        whole.merge(&row.cell);
    }
    let other = cells.rows.iter().find(|row| row.route == OTHER && pattern.takes(OTHER));
    let other = other.map_or(0, |row| row.cell.views);
    Ok(Counted { period: cells.period, whole, other, pages: Some(ranking.page(cells.rows)) })
}
