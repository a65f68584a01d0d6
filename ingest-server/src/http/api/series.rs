//! Metrics over time: one route or the whole site by hours, days or weeks.

use crate::closed_days::Reader;
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::api::route::RouteParam;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::question::{ByParam, Filter, FiltersReport, given, metrics, named, number};
use crate::http::{State, auth, known};
use crate::limits;
use crate::questions::Cost;
use crate::releases;
use crate::report::{PeriodReport, Range, time_text, unit_name};
use crate::timeline::{Step, Timeline};
use actix_web::{HttpRequest, web};
use fieldvitals_store::dimension::OTHER;
use fieldvitals_store::limits::SERIES_STEPS_MAX;
use fieldvitals_store::rollup::{DAY_MS, From, day_of};
use fieldvitals_store::{
    Cell, CellQuery, Dimension, GroupBy, Lines, RetentionEdges, SeriesQuery, Site, StepCells, Store,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use vitals::gate::INTERVAL_ALPHA;
use vitals::metric::{Metric, Metrics, Rating};

/// Default number of lines.
const TOP: usize = 5;
/// Default percentile.
const PERCENTILE: u8 = 75;
/// Time before a period in which a release must not be seen to count as new, in milliseconds.
const NEW_AFTER_MS: i64 = 28 * DAY_MS;

/// Steps, percentile and lines of a series.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SeriesParams {
    /// Metrics, such as `LCP,INP`; all when absent.
    metric: Option<String>,
    /// `hour`, `day`, `week` or `auto` (the default), which chooses by the length of the period.
    step: Option<String>,
    /// The percentile, 1 to 99; 75 when absent.
    percentile: Option<String>,
    /// With `by`: the values with most page views that get a line each, 1 to 20; 5 when absent. All others share the
    /// line `(other)`.
    top: Option<String>,
}

/// Metrics over time.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeriesReport {
    site: String,
    route: Option<String>,
    /// Routes with a similar name, if the site has none of this name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest_routes: Vec<String>,
    /// The counted period: the requested one, rounded outwards to whole steps, limited to retained data.
    period: PeriodReport,
    step: Step,
    /// The time zone in which days and weeks begin: the site's, or UTC if only UTC days are kept.
    timezone: String,
    /// The reason, if the site's time zone is not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone_note: Option<&'static str>,
    #[serde(flatten)]
    filters: FiltersReport,
    percentile: u8,
    by: Option<&'static str>,
    /// The steps, ascending. The points of every line have the same order.
    steps: Vec<StepReport>,
    lines: Vec<LineReport>,
    /// Deploys and new releases of the period, ascending.
    marks: Vec<MarkReport>,
}

/// A step of time.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepReport {
    /// Start, RFC 3339, UTC.
    start: String,
    /// End, excluded.
    end: String,
    /// Whether the step ends after the requested period, so that it may not be complete yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    incomplete: bool,
}

/// A line: all page views, or those of one value.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineReport {
    /// The value of `by`; absent without `by`, and for page views without a known value. `(other)` holds all values
    /// without a line.
    value: Option<String>,
    /// Page views of each step.
    views: Vec<i64>,
    #[schema(value_type = std::collections::HashMap<String, MetricSeries>)]
    metrics: BTreeMap<&'static str, MetricSeries>,
}

/// A metric of a line.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricSeries {
    /// `ms` or `score`.
    unit: &'static str,
    /// The largest good value, and the largest needs-improvement value.
    thresholds: [f64; 2],
    /// A point per step.
    points: Vec<PointReport>,
}

/// A metric in one step.
#[derive(Debug, Serialize, ToSchema)]
pub struct PointReport {
    /// Page views with a value of the metric.
    n: i64,
    /// The percentile, within 0.55 %; absent without page views.
    value: Option<f64>,
    /// The 90 % confidence interval of the percentile; absent with too few page views.
    interval: Option<[f64; 2]>,
    /// Page views rated good.
    good: i64,
    /// Page views rated needs-improvement.
    needs_improvement: i64,
    /// Page views rated poor.
    poor: i64,
}

/// A mark on the axis of time.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct MarkReport {
    /// Time, RFC 3339, UTC. `first_seen` is known to the UTC day.
    at: String,
    release: String,
    /// `deploy` (marked by somebody) or `first_seen`.
    kind: &'static str,
}

/// A parsed question.
struct Asked {
    metrics: Metrics,
    /// `None`: chosen by the length of the range.
    step: Option<Step>,
    percentile: u8,
    by: Option<GroupBy>,
    top: usize,
}

impl SeriesParams {
    fn asked(&self, by: Option<GroupBy>) -> Result<Asked, ApiError> {
        let step = match given(&self.step) {
            Some("auto") => None,
            _ => named("step", &self.step, &Step::ALL, Step::name)?,
        };
        if by.is_none() && given(&self.top).is_some() {
            return Err(ApiError::parameter("`top` counts the lines of `by`, which is missing"));
        }
        Ok(Asked {
            metrics: metrics(&self.metric)?,
            step,
            percentile: number("percentile", &self.percentile, [1, 99], PERCENTILE)?,
            by,
            top: number("top", &self.top, [1, limits::SERIES_TOP_MAX], TOP)?,
        })
    }
}

/// The metrics of one route, or of the whole site, over time, with the releases of that time. Steps without page views
/// are present.
#[utoipa::path(get, path = "/api/v1/sites/{site}/series", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), SeriesParams, ByParam, RouteParam, Filter),
    responses((status = 304, description = "The client has the answer (`If-None-Match`)"), (status = 200, body = SeriesReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, description = "The store is away (`store_away`), or too many questions are being answered (`busy`); try again", body = ErrorBody), (status = 504, description = "The question took too long (`too_slow`); ask for less", body = ErrorBody)))]
pub async fn series(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    params: web::Query<SeriesParams>,
    by: web::Query<ByParam>,
    route: web::Query<RouteParam>,
    filter: web::Query<Filter>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    filter.without_metrics("`metric` names the metrics of a series")?;
    let range = filter.range()?;
    let asked = params.asked(by.given()?)?;
    let mut query = CellQuery { metrics: asked.metrics, ..filter.filtered(&site, range)? };
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let site = owned;
        let route = route.asked(store.as_ref(), &site).await?;
        query.route.clone_from(&route.name);
        let retained = store.retention_edges().await?;
        let (timeline, timezone_note) = timeline(&site, &query, range, &asked, &retained)?;
        let lines = lines(store.as_ref(), &query, &timeline, &asked).await?;
        let count = lines.as_ref().map_or(1, |lines| lines.values.len() + 1);
        within_bounds(count, &timeline, &asked)?;
        let values = lines.as_ref().map(|lines| lines.values.clone());
        let series = SeriesQuery { lines, ..SeriesQuery::new(query.clone(), timeline.bounds.clone()) };
        let steps = store.series(&series).await?;
        if steps.iter().all(|step| step.cells.iter().all(|cell| cell.views == 0)) {
            known::check_empty(store.as_ref(), site.id, &query.filters).await?;
        }
        let marks = marks(store.as_ref(), &site, &timeline).await?;
        Ok(SeriesReport {
            site: site.name.clone(),
            route: route.name,
            nearest_routes: route.nearest,
            period: period(&timeline, &steps).into(),
            step: timeline.step,
            timezone: timeline.timezone.clone(),
            timezone_note,
            filters: query.filters.into(),
            percentile: asked.percentile,
            by: asked.by.map(GroupBy::name),
            steps: step_reports(&timeline, range),
            lines: line_reports(values, &steps, &asked),
            marks,
        })
    };
    ask_once(&state, &request, (&site, range, Basis::Everything), Cost::Usual, question).await
}

/// Divides the range, limited to retained data. Also returns why days are not those of the site's time zone.
fn timeline(
    site: &Site,
    query: &CellQuery,
    range: Range,
    asked: &Asked,
    retained: &RetentionEdges,
) -> Result<(Timeline, Option<&'static str>), ApiError> {
    let (kept_from_ms, hours_from_ms) = match From::question(query, asked.by) {
        From::Views => (retained.views_from_ms, retained.views_from_ms),
        From::Rollups(Dimension::Device) => {
            let is_site = query.route.is_none();
            let hours_from_ms = if is_site { retained.site_hours_from_ms } else { retained.hours_from_ms };
            (retained.days_from_ms, hours_from_ms)
        }
        From::Rollups(_) => (retained.days_from_ms, i64::MAX),
    };
    if range.to_ms <= kept_from_ms {
        return Err(ApiError::parameter(format!(
            "the period is past retention: the data of this question are kept from {} on",
            time_text(kept_from_ms)
        )));
    }
    let range = Range { from_ms: range.from_ms.max(kept_from_ms), ..range };
    let has_hours = range.from_ms >= hours_from_ms;
    let step = asked.step.unwrap_or(Step::auto(range, has_hours));
    if step == Step::Hour && !has_hours {
        return Err(ApiError::parameter(match hours_from_ms {
            i64::MAX => {
                let rolled = asked.by.into_iter().chain(query.filters.given()).map(GroupBy::name).next();
                format!(
                    "`step` is `hour`: hours are not kept by {}; use step=day",
                    rolled.unwrap_or_default()
                )
            }
            from_ms => format!(
                "`step` is `hour`: hours are kept from {} on; use a later `from`, or step=day",
                time_text(from_ms)
            ),
        }));
    }
    let mut timeline =
        Timeline::new(range, step, &site.timezone, hours_from_ms).map_err(ApiError::parameter)?;
    timeline.drop_before(kept_from_ms);
    let is_other = step != Step::Hour && timeline.timezone != site.timezone;
    let note = "days of this period are kept as UTC days only, or the time zone's days begin between hours";
    Ok((timeline, is_other.then_some(note)))
}

fn within_bounds(lines: usize, timeline: &Timeline, asked: &Asked) -> Result<(), ApiError> {
    let steps = timeline.len();
    if steps > SERIES_STEPS_MAX {
        let step = timeline.step.name();
        return Err(ApiError::parameter(format!(
            "the period has more than {SERIES_STEPS_MAX} steps of one {step}; use a shorter period or a longer `step`"
        )));
    }
    let points = steps * lines * asked.metrics.iter().count();
    if points > limits::SERIES_POINTS_MAX {
        return Err(ApiError::parameter(format!(
            "the answer would have {points} points, more than {}; use a longer `step`, fewer metrics (`metric`) or a \
             smaller `top`",
            limits::SERIES_POINTS_MAX
        )));
    }
    Ok(())
}

/// The values with most page views.
async fn lines(
    store: &dyn Store,
    query: &CellQuery,
    timeline: &Timeline,
    asked: &Asked,
) -> Result<Option<Lines>, ApiError> {
    let (Some(by), [from_ms, .., to_ms]) = (asked.by, timeline.bounds.as_slice()) else { return Ok(None) };
    let query = CellQuery { from_ms: *from_ms, to_ms: *to_ms, metrics: Metrics::NONE, ..query.clone() };
    let rows = store.breakdown(&query, by).await?.rows.into_iter().map(|row| row.value);
    let values = rows.filter(|value| value.as_deref() != Some(OTHER)).take(asked.top).collect();
    Ok(Some(Lines { by, values }))
}

/// The period that the steps count.
fn period(timeline: &Timeline, steps: &[StepCells]) -> std::ops::Range<i64> {
    match (steps, timeline.bounds.as_slice()) {
        ([first, .., last], _) => first.period.start..last.period.end,
        ([only], _) => only.period.clone(),
        ([], [at, ..]) => *at..*at,
        ([], []) => 0..0,
    }
}

fn step_reports(timeline: &Timeline, range: Range) -> Vec<StepReport> {
    let step = |bounds: &[i64]| StepReport {
        start: time_text(bounds[0]),
        end: time_text(bounds[1]),
        incomplete: bounds[1] > range.to_ms,
    };
    timeline.bounds.windows(2).map(step).collect()
}

/// The lines of all values; that of all other values only if it has page views.
fn line_reports(values: Option<Vec<Option<String>>>, steps: &[StepCells], asked: &Asked) -> Vec<LineReport> {
    let names = match values {
        None => vec![None],
        Some(values) => values.into_iter().chain([Some(OTHER.to_owned())]).collect(),
    };
    let rest = names.len() - 1;
    let lines = names.into_iter().enumerate().filter_map(|(place, value)| {
        let cells: Vec<&Cell> = steps.iter().map(|step| &step.cells[place]).collect();
        let is_empty_rest = asked.by.is_some() && place == rest && cells.iter().all(|cell| cell.views == 0);
        (!is_empty_rest).then(|| line_report(value, &cells, asked))
    });
    lines.collect()
}

fn line_report(value: Option<String>, cells: &[&Cell], asked: &Asked) -> LineReport {
    let metric = |metric: Metric| {
        let thresholds = metric.thresholds();
        let series = MetricSeries {
            unit: unit_name(metric),
            thresholds: [thresholds.good, thresholds.needs_improvement].map(|value| value.number(metric)),
            points: cells.iter().map(|cell| point(metric, cell, asked.percentile)).collect(),
        };
        (metric.name(), series)
    };
    LineReport {
        value,
        views: cells.iter().map(|cell| cell.views).collect(),
        metrics: asked.metrics.iter().map(metric).collect(),
    }
}

fn point(metric: Metric, cell: &Cell, percentile: u8) -> PointReport {
    let histogram = cell.metric(metric);
    let has_values = histogram.n() > 0;
    PointReport {
        n: histogram.n(),
        value: histogram.percentile(metric, percentile).filter(|_| has_values),
        interval: histogram.interval(metric, percentile, INTERVAL_ALPHA).filter(|_| has_values),
        good: histogram.rated(Rating::Good),
        needs_improvement: histogram.rated(Rating::NeedsImprovement),
        poor: histogram.rated(Rating::Poor),
    }
}

/// Deploys within the period, and releases that are new in it.
async fn marks(store: &dyn Store, site: &Site, timeline: &Timeline) -> Result<Vec<MarkReport>, ApiError> {
    let [from_ms, .., to_ms] = timeline.bounds.as_slice() else { return Ok(Vec::new()) };
    let period = *from_ms..*to_ms;
    let look_from_ms = day_of(period.start.saturating_sub(NEW_AFTER_MS)).max(0);
    let days = look_from_ms..day_of(period.end.saturating_sub(1)).saturating_add(DAY_MS);
    let days = days.start.max(days.end.saturating_sub(limits::QUERY_DAYS_MAX * DAY_MS))..days.end;
    let releases = releases::releases(store, site.id, days, limits::RELEASE_ROWS_MAX).await?;
    // A release of the first day with page views may be older.
    let first_day_ms = releases.iter().filter_map(|release| release.seen).map(|[first_ms, _]| first_ms).min();
    let mark = |at_ms, release: String, kind| (at_ms, MarkReport { at: time_text(at_ms), release, kind });
    let marks = releases.into_iter().filter_map(|release| match (release.deployed_ms, release.seen) {
        (Some(at_ms), _) => Some(mark(at_ms, release.name, "deploy")),
        (None, Some([first_ms, _])) if Some(first_ms) > first_day_ms => {
            Some(mark(first_ms, release.name, "first_seen"))
        }
        _ => None,
    });
    let mut marks: Vec<(i64, MarkReport)> = marks.filter(|(at_ms, _)| period.contains(at_ms)).collect();
    marks.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.release.cmp(&b.1.release)));
    Ok(marks.into_iter().map(|(_, mark)| mark).collect())
}
