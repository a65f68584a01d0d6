//! The gate: judges budgets against stored page views. The store counts, `vitals::gate` decides.

use crate::intake::lookup;
use crate::report::{self, PeriodReport, Range};
use fieldvitals_store::{Cell, CellQuery, Filters, Judgement, Site, Store, StoreError, Tally, TallyQuery};
use serde::Serialize;
use utoipa::ToSchema;
use vitals::budget::{Budget, matches};
use vitals::gate::{ALPHA, INTERVAL_ALPHA, Sample, Verdict, interval_ranks, judge, overall};
use vitals::histogram::rank;
use vitals::metric::{Metrics, Value};
use vitals::view::Device;

/// Selects the page views to judge.
#[derive(Clone, Debug)]
pub struct Question {
    /// Range of page view starts.
    pub range: Range,
    /// Only this device class, for budgets without a device class.
    pub device: Option<Device>,
    /// Only this release.
    pub release: Option<String>,
    /// Opens and resolves violations.
    pub record: bool,
}

/// The verdict on a budget file.
#[derive(Debug, Serialize, ToSchema)]
pub struct GateReport {
    site: String,
    release: Option<String>,
    period: PeriodReport,
    /// `fail` if any budget fails, else `inconclusive` if any budget is inconclusive, else `pass`.
    verdict: &'static str,
    budgets: Vec<BudgetReport>,
}

/// The verdict on one budget.
#[derive(Debug, Serialize, ToSchema)]
pub struct BudgetReport {
    /// The line of the budget in its file.
    line: usize,
    /// The route pattern.
    route: String,
    metric: &'static str,
    percentile: u8,
    max: f64,
    unit: &'static str,
    device: Option<&'static str>,
    min_samples: u64,
    /// Number of routes with page views that match the pattern.
    routes: usize,
    /// Page views with a value of the metric.
    n: u64,
    /// Exact number of these page views at or under the budget.
    within: u64,
    /// The measured percentile: exact for ≤ 1 million page views, else within 0.55 % and on the correct side of the
    /// budget. Absent if it is not exact and rollups do not cover the exact period.
    measured: Option<f64>,
    /// The 90 % confidence interval of the measured percentile.
    interval: Option<[f64; 2]>,
    /// `pass`, `fail` or `inconclusive`.
    verdict: &'static str,
    /// Reason of the verdict.
    reason: String,
    /// Samples needed for a decision; absent if the verdict is decided.
    samples_needed: Option<u64>,
}

struct Measured {
    routes: usize,
    sample: Sample,
    measured: Option<f64>,
    interval: Option<[f64; 2]>,
}

/// Judges budgets. With [`Question::record`], opens violations of broken budgets and resolves violations of met ones.
///
/// # Errors
/// If the store cannot answer.
pub async fn check(
    store: &dyn Store,
    site: &Site,
    budgets: &[Budget],
    mut question: Question,
    now_ms: i64,
) -> Result<GateReport, StoreError> {
    // Limits the range to retained page views, because counts come from page views. The report shows the limited
    // range.
    let retained_from_ms = store.retention_edges().await?.views_from_ms;
    question.range.from_ms = question.range.from_ms.max(retained_from_ms);
    question.range.to_ms = question.range.to_ms.max(question.range.from_ms);
    let routes = store.routes(site.id, question.range.from_ms, question.range.to_ms).await?;
    let mut measured = Vec::with_capacity(budgets.len());
    for budget in budgets {
        let device = budget.device.or(question.device);
        measured.push(measure(store, site, budget, device, &routes, &question).await?);
    }
    let samples: Vec<Sample> = measured.iter().map(|measured| measured.sample).collect();
    let judged = judge(&samples, ALPHA);
    let verdicts: Vec<Verdict> = judged.iter().map(|judged| judged.verdict).collect();
    let mut judgements = Vec::with_capacity(budgets.len());
    let mut rows = Vec::with_capacity(budgets.len());
    for ((budget, measured), judged) in budgets.iter().zip(&measured).zip(judged) {
        let device = budget.device.or(question.device);
        judgements.push(Judgement {
            key: violation_key(budget, device, question.release.as_deref()),
            broken: match judged.verdict {
                Verdict::Fail => Some(true),
                Verdict::Pass => Some(false),
                Verdict::Inconclusive => None,
            },
            route: budget.route.clone(),
            metric: budget.metric,
            percentile: budget.percentile,
            at_most: budget.max,
            device,
            release: question.release.clone(),
            measured: measured.measured.and_then(|number| Value::new(budget.metric, number).ok()),
            n: i64::try_from(measured.sample.n).unwrap_or(i64::MAX),
            within: i64::try_from(measured.sample.within).unwrap_or(i64::MAX),
        });
        rows.push(BudgetReport {
            line: budget.line,
            route: budget.route.clone(),
            metric: budget.metric.name(),
            percentile: budget.percentile,
            max: budget.max.number(budget.metric),
            unit: report::unit_name(budget.metric),
            device: device.map(Device::name),
            min_samples: budget.min_samples,
            routes: measured.routes,
            n: measured.sample.n,
            within: measured.sample.within,
            measured: measured.measured,
            interval: measured.interval,
            verdict: judged.verdict.name(),
            reason: if measured.routes == 0 {
                no_route(&budget.route, &routes)
            } else {
                judged.reason.to_string()
            },
            samples_needed: judged.needed,
        });
    }
    if question.record {
        store.judgements(site.id, now_ms, &judgements).await?;
    }
    Ok(GateReport {
        site: site.name.clone(),
        release: question.release,
        period: question.range.into(),
        verdict: overall(&verdicts).name(),
        budgets: rows,
    })
}

/// Returns the key of a violation: checks of the same budget for the same device class and release share one
/// violation.
fn violation_key(budget: &Budget, device: Option<Device>, release: Option<&str>) -> String {
    format!("{}|{}|{}", budget.key(), device.map_or("", Device::name), release.unwrap_or(""))
}

/// Returns the reason for a pattern without data, with similar routes.
fn no_route(pattern: &str, routes: &[String]) -> String {
    let nearest: Vec<String> =
        lookup::nearest(pattern, routes).into_iter().map(|route| format!("`{route}`")).collect();
    let nearest =
        if nearest.is_empty() { String::new() } else { format!("; nearest: {}", nearest.join(", ")) };
    format!("no data: no route with page views matches `{pattern}`{nearest}")
}

/// Returns the routes that match a pattern as written; without a match, tries the pattern in the spelling of stored
/// routes.
fn matching(pattern: &str, routes: &[String], rules: &[String]) -> Vec<String> {
    lookup::patterns(pattern, rules)
        .into_iter()
        .map(|pattern| routes.iter().filter(|route| matches(&pattern, route)).cloned().collect())
        .find(|matched: &Vec<String>| !matched.is_empty())
        .unwrap_or_default()
}

async fn measure(
    store: &dyn Store,
    site: &Site,
    budget: &Budget,
    device: Option<Device>,
    routes: &[String],
    question: &Question,
) -> Result<Measured, StoreError> {
    let query = TallyQuery {
        site: site.id,
        from_ms: question.range.from_ms,
        to_ms: question.range.to_ms,
        routes: matching(&budget.route, routes, &site.routes),
        device,
        release: question.release.clone(),
        metric: budget.metric,
        at_most: budget.max,
        percent: budget.percentile,
    };
    let tally = store.tally(&query).await?;
    let number = |value: Value| value.number(budget.metric);
    let (measured, interval) = match tally.percentile {
        None if tally.n > 0 => from_rollups(store, &query, &tally).await?,
        percentile => (percentile.map(number), tally.interval.map(|ends| ends.map(number))),
    };
    Ok(Measured {
        routes: query.routes.len(),
        sample: Sample {
            n: u64::try_from(tally.n).unwrap_or(0),
            within: u64::try_from(tally.within).unwrap_or(0),
            percent: budget.percentile,
            min_samples: budget.min_samples,
        },
        measured,
        interval,
    })
}

/// Returns percentile and interval from rollups, for more page views than the store sorts. Returns neither if rollups
/// cover only whole days of the period.
async fn from_rollups(
    store: &dyn Store,
    query: &TallyQuery,
    tally: &Tally,
) -> Result<(Option<f64>, Option<[f64; 2]>), StoreError> {
    let (metric, percent) = (query.metric, query.percent);
    let cells = CellQuery {
        filters: Filters { device: query.device, release: query.release.clone(), ..Filters::NONE },
        metrics: Metrics::only(metric),
        ..CellQuery::new(query.site, query.from_ms, query.to_ms)
    };
    let found = match store.cells(&cells).await {
        Ok(found) if found.period == (query.from_ms..query.to_ms) => found,
        Ok(_) | Err(StoreError::TooManyViews { .. }) => return Ok((None, None)),
        Err(error) => return Err(error),
    };
    let mut pooled = Cell::default();
    for row in found.rows.iter().filter(|row| query.routes.contains(&row.route)) {
        pooled.merge(&row.cell);
    }
    let histogram = pooled.metric(metric);
    // Corrects histogram values by the exact counts: the values at the first `within` ranks are at or under the
    // budget.
    let most = query.at_most.number(metric);
    let over = Value::from_micros(metric, query.at_most.micros().saturating_add(1));
    let over = over.map_or(most, |value| value.number(metric));
    let held = |rank: i64, told: f64| if rank <= tally.within { told.min(most) } else { told.max(over) };
    let measured = histogram.percentile(metric, percent).map(|told| held(rank(tally.n, percent), told));
    let ranks = interval_ranks(u64::try_from(tally.n).unwrap_or(0), percent, INTERVAL_ALPHA);
    let interval = ranks.zip(histogram.interval(metric, percent, INTERVAL_ALPHA));
    let at = |rank: u64, told: f64| held(i64::try_from(rank).unwrap_or(i64::MAX), told);
    Ok((measured, interval.map(|((low, high), [from, to])| [at(low, from), at(high, to)])))
}
