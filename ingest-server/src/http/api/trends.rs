//! The rows of a ranking over time: a small line a row, of the metric that the row shows.

use crate::closed_days::Reader;
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::error::ApiError;
use crate::http::question::Filter;
use crate::http::ranking::{PatternParam, RankingParams};
use crate::http::responses::{QuestionErrors, Unchanged};
use crate::http::{State, auth};
use crate::questions::Cost;
use crate::report::{Impact, PeriodReport, Ranking, Row, time_text, unit_name};
use crate::timeline::{Step, Timeline};
use actix_web::{HttpRequest, web};
use fieldvitals_store::rollup::DAY_MS;
use fieldvitals_store::{CellQuery, Dimension, GroupBy, Selection};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::ToSchema;
use vitals::metric::Metric;

/// The percentile of the points.
const PERCENTILE: u8 = 75;
/// The longest period that is shown by days; longer ones by weeks.
const DAYS_MAX: i64 = 31;

/// The rows of a ranking over time.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrendsReport {
    site: String,
    period: PeriodReport,
    step: Step,
    /// Starts of the steps, RFC 3339, UTC. The points of each line have the same order. Steps are whole: the first one may
    /// begin before the period, and the last one may end after it.
    steps: Vec<String>,
    /// A line a row, in the order of the ranking.
    pages: Vec<TrendReport>,
}

/// A row over time.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrendReport {
    route: String,
    /// The metric of the ranking, or the Core Web Vital with the largest impact, or LCP.
    metric: &'static str,
    /// `ms` or `score`.
    unit: &'static str,
    /// The 75th percentile of each step, within 0.55 %; `null` without values.
    points: Vec<Option<f64>>,
}

/// The 75th percentile of each row of a ranking over time, by hours up to 3 days, by UTC days up to 31, else by weeks.
///
/// Takes the parameters of `pages` and `summary`, so that the rows are the same.
#[utoipa::path(get, path = "/api/v1/sites/{site}/trends", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), Filter, RankingParams, PatternParam),
    responses(Unchanged, (status = 200, body = TrendsReport), QuestionErrors))]
pub async fn trends(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    filter: web::Query<Filter>,
    ranking: web::Query<RankingParams>,
    pattern: web::Query<PatternParam>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let range = filter.range()?;
    filter.without_metrics("`metric` names the metric of the rows")?;
    let ranking = Ranking { pattern: pattern.pattern(), ..ranking.ranking(&site, &filter, &pattern)? };
    let metrics = ranking.candidates().iter().copied().collect();
    let query = CellQuery { metrics, ..filter.filtered(&site, range)? };
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let site = owned;
        let selection = if ranking.is_by_counts() { Selection::Ratings } else { Selection::All };
        let ranked = store.cells_of(&query, &selection).await?;
        let period = PeriodReport::counted(ranked.period, range);
        let routes = ranked.rows.iter().map(|row| row.route.clone()).collect();
        let page = ranking.page(ranked.rows);
        let shown_routes = Selection::Routes(ranking.routes_of(&page, routes));
        let shown = |row: &Row| {
            let impact = Impact::of(&row.route.cell, ranking.candidates(), page.min_n);
            let named =
                impact.and_then(|impact| Metric::ALL.into_iter().find(|one| one.name() == impact.metric));
            named.or_else(|| ranking.candidates().first().copied()).unwrap_or(Metric::Lcp)
        };
        let rows: Vec<(String, Metric)> =
            page.rows.iter().map(|row| (row.route.route.clone(), shown(row))).collect();
        let retained = store.retention_edges().await?;
        let length_ms = range.to_ms - range.from_ms;
        // Hours are kept by device only.
        let has_hours = range.from_ms >= retained.hours_from_ms
            && query.filters.given().all(|by| by == GroupBy::Rolled(Dimension::Device));
        let step = match Step::auto(range, has_hours) {
            Step::Day if length_ms > DAYS_MAX * DAY_MS => Step::Week,
            step => step,
        };
        let mut timeline = Timeline::new(range, step, "UTC", 0).map_err(ApiError::parameter)?;
        timeline.drop_before(retained.days_from_ms);
        let mut points = vec![Vec::with_capacity(timeline.len()); rows.len()];
        for bounds in timeline.bounds.windows(2) {
            let query = CellQuery { from_ms: bounds[0], to_ms: bounds[1], ..query.clone() };
            let step = ranking.rows(store.as_ref().cells_of(&query, &shown_routes).await?.rows);
            let cells: HashMap<&str, _> =
                step.iter().map(|row| (row.route.route.as_str(), &row.route.cell)).collect();
            for ((route, metric), points) in rows.iter().zip(&mut points) {
                let histogram = cells.get(route.as_str()).map(|cell| cell.metric(*metric));
                points.push(
                    histogram.filter(|of| of.n() > 0).and_then(|of| of.percentile(*metric, PERCENTILE)),
                );
            }
        }
        let pages = rows.into_iter().zip(points).map(|((route, metric), points)| TrendReport {
            route,
            metric: metric.name(),
            unit: unit_name(metric),
            points,
        });
        Ok(TrendsReport {
            site: site.name.clone(),
            period,
            step: timeline.step,
            steps: timeline.bounds.windows(2).map(|bounds| time_text(bounds[0])).collect(),
            pages: pages.collect(),
        })
    };
    ask_once(&state, &request, (&site, range, Basis::BeforeEnd), Cost::Large, question).await
}
