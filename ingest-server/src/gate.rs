//! Budgets judged with stored page views: counts from the store, verdicts from `vitals::gate`.

use crate::intake::spelling;
use crate::report::{self, PeriodReport, Range};
use fieldvitals_store::{Cell, CellQuery, Filters, Judgement, Site, Store, StoreError, TallyQuery};
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;
use vitals::budget::Budget;
use vitals::gate::{ALPHA, Sample, Verdict, judge, overall};
use vitals::metric::Value;
use vitals::view::Device;

/// Which page views are judged.
#[derive(Clone, Debug)]
pub struct Question {
    /// Their starts.
    pub range: Range,
    /// Only this class of device, for budgets that name none.
    pub device: Option<Device>,
    /// Only this release.
    pub release: Option<String>,
    /// Whether violations are opened and resolved.
    pub record: bool,
}

/// The verdict on a budget file.
#[derive(Debug, Serialize, ToSchema)]
pub struct GateReport {
    site: String,
    release: Option<String>,
    period: PeriodReport,
    /// `fail` if any budget fails, else `inconclusive` if any is, else `pass`.
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
    /// Routes that the pattern matches and that have page views.
    routes: usize,
    /// Page views that have the metric.
    n: u64,
    /// Those at or under the budget: exact.
    within: u64,
    /// The measured percentile.
    measured: Option<f64>,
    /// Where the true percentile lies with 90 % confidence.
    interval: Option<[f64; 2]>,
    /// `pass`, `fail` or `inconclusive`.
    verdict: &'static str,
    /// Why, in words.
    reason: String,
    /// How many samples a decision would take, where there is none.
    samples_needed: Option<u64>,
}

struct Measured {
    routes: usize,
    sample: Sample,
    measured: Option<f64>,
    interval: Option<[f64; 2]>,
}

/// Judges budgets. With [`Question::record`], the broken ones open violations and the kept ones resolve theirs; without it, nothing
/// changes.
///
/// # Errors
/// Where the store cannot answer.
pub async fn check(
    store: &dyn Store,
    site: &Site,
    budgets: &[Budget],
    mut question: Question,
    now_ms: i64,
) -> Result<GateReport, StoreError> {
    // Counts come from page views, so nothing older than those is judged, or shown as if it were.
    let kept_from_ms = store.kept().await?.views_from_ms;
    question.range.from_ms = question.range.from_ms.max(kept_from_ms);
    question.range.to_ms = question.range.to_ms.max(question.range.from_ms);
    let metrics = budgets.iter().map(|budget| budget.metric).collect();
    let mut cells_by_device: HashMap<Option<Device>, Vec<fieldvitals_store::RouteCell>> = HashMap::new();
    let mut measured = Vec::with_capacity(budgets.len());
    for budget in budgets {
        let device = budget.device.or(question.device);
        let cells = match cells_by_device.entry(device) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let query = CellQuery {
                    filters: Filters { device, release: question.release.clone(), ..Filters::NONE },
                    metrics,
                    // A release is judged by its own page views, not by those of its days.
                    exact: question.release.is_some(),
                    ..CellQuery::new(site.id, question.range.from_ms, question.range.to_ms)
                };
                let cells = match store.cells(&query).await {
                    // The counts that decide are exact all the same; what is shown beside them is that of
                    // the release's whole days.
                    Err(StoreError::TooManyViews { .. }) if query.exact => {
                        store.cells(&CellQuery { exact: false, ..query }).await?
                    }
                    cells => cells?,
                };
                entry.insert(cells)
            }
        };
        measured.push(measure(store, site, budget, device, cells, &question).await?);
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
                format!("no data: no route with page views matches `{}`", budget.route)
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

/// Two checks of the same promise, about the same page views, are about one violation.
fn violation_key(budget: &Budget, device: Option<Device>, release: Option<&str>) -> String {
    format!("{}|{}|{}", budget.key(), device.map_or("", Device::name), release.unwrap_or(""))
}

async fn measure(
    store: &dyn Store,
    site: &Site,
    budget: &Budget,
    device: Option<Device>,
    cells: &[fieldvitals_store::RouteCell],
    question: &Question,
) -> Result<Measured, StoreError> {
    let mut pooled = Cell::default();
    let mut routes = Vec::new();
    // A budget may spell a route as it stands in a URL.
    let spelled = Budget { route: spelling::route(&budget.route).into_owned(), ..budget.clone() };
    for row in cells.iter().filter(|row| spelled.matches(&row.route)) {
        pooled.merge(&row.cell);
        routes.push(row.route.clone());
    }
    let histogram = pooled.metric(budget.metric);
    let matched = routes.len();
    // Counts come from page views, so that they are exact for any budget.
    let tally = store
        .tally(&TallyQuery {
            site: site.id,
            from_ms: question.range.from_ms,
            to_ms: question.range.to_ms,
            routes,
            device,
            release: question.release.clone(),
            metric: budget.metric,
            at_most: budget.max,
        })
        .await?;
    Ok(Measured {
        routes: matched,
        sample: Sample {
            n: u64::try_from(tally.n).unwrap_or(0),
            within: u64::try_from(tally.within).unwrap_or(0),
            percent: budget.percentile,
            min_samples: budget.min_samples,
        },
        measured: histogram.percentile(budget.metric, budget.percentile),
        interval: report::interval(budget.metric, histogram, budget.percentile),
    })
}
