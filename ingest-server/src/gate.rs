//! The gate: judges budgets against stored page views. The store counts, `vitals::gate` decides.

mod counts;
#[cfg(test)]
mod tests;

use crate::intake::lookup;
use crate::report::{self, PeriodReport, Range};
use counts::{Counter, Counts};
use fieldvitals_store::limits::SORT_VIEWS_MAX;
use fieldvitals_store::{Filters, Judgement, Site, Store, StoreError};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use utoipa::ToSchema;
use vitals::budget::{Budget, BudgetFile, NotEvaluated, Severity, matches, verdict};
use vitals::gate::{ALPHA, Judged, Looks, Sample, Verdict, judge};
use vitals::metric::Value;
use vitals::view::{Device, NavigationType, Os};

/// Selects the page views to judge.
#[derive(Clone, Debug)]
pub struct Question {
    /// Range of page view starts.
    pub range: Range,
    /// Selects page views where a budget has no filter of its own; properties of the context are not supported.
    pub filters: Filters,
    /// How often the growing data of this question are judged.
    pub looks: Looks,
    /// Opens and resolves violations.
    pub record: bool,
}

/// The verdict on a budget file.
#[derive(Debug, Serialize, ToSchema)]
pub struct GateReport {
    site: String,
    release: Option<String>,
    period: PeriodReport,
    /// The rule: `one` is the exact binomial test, for a single look; `many` stays valid however often growing data are
    /// judged.
    looks: &'static str,
    /// `fail` if any budget fails, else `inconclusive` if any budget is inconclusive, else `pass`. Budgets of the severity
    /// `warn` do not count.
    verdict: &'static str,
    /// The tool whose format the budget file has; absent for TOML.
    tool: Option<&'static str>,
    budgets: Vec<BudgetReport>,
    /// Limits in the file of another tool that page views cannot judge.
    not_evaluated: Vec<NotEvaluatedReport>,
}

/// A limit that page views cannot judge.
#[derive(Debug, Serialize, ToSchema)]
pub struct NotEvaluatedReport {
    /// The line in the file.
    line: usize,
    /// The limit's name in the file.
    what: String,
    /// The reason.
    why: String,
}

impl From<&NotEvaluated> for NotEvaluatedReport {
    fn from(limit: &NotEvaluated) -> Self {
        Self { line: limit.line, what: limit.what.clone(), why: limit.why.clone() }
    }
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
    /// The other filters, by the names of their parameters.
    filters: BTreeMap<&'static str, String>,
    /// `error` or `warn`.
    severity: &'static str,
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
    /// The confidence interval of the measured percentile. It tells the same as the verdict: `fail` if it lies over
    /// `max`, `pass` if it reaches at most `max`. Its ends err with 5 % each, the lower one with less if many budgets are
    /// judged. Absent with fewer page views than `min_samples`.
    interval: Option<[f64; 2]>,
    /// How many page views carry the information of one independent page view, 1 to 10; the test divides the counts by
    /// it.
    design_effect: f64,
    /// The source of the design effect: estimated from `hours` or `half-hours`, the `default` of fewer than 20 half
    /// hours, or the largest (`max`) of more than a million page views.
    design_effect_from: &'static str,
    /// `pass`, `fail` or `inconclusive`.
    verdict: &'static str,
    /// Reason of the verdict.
    reason: String,
    /// Page views, in all, that would likely decide at this share; absent if the verdict is decided, or if no number
    /// would decide it.
    samples_needed: Option<u64>,
    /// Hours until then at the traffic of the period; absent if nothing was measured, or the period has ended.
    hours_needed: Option<f64>,
}

/// Judges budgets. With [`Question::record`], opens violations of broken budgets and resolves violations of met ones.
///
/// # Errors
/// If the store cannot answer.
pub async fn check(
    store: &dyn Store,
    site: &Site,
    file: &BudgetFile,
    mut question: Question,
    now_ms: i64,
) -> Result<GateReport, StoreError> {
    // Limits the range to retained page views, because counts come from page views. The report shows the limited
    // range.
    let retained_from_ms = store.retention_edges().await?.views_from_ms;
    question.range.from_ms = question.range.from_ms.max(retained_from_ms);
    question.range.to_ms = question.range.to_ms.max(question.range.from_ms);
    let routes = store.routes(site.id, question.range.from_ms, question.range.to_ms).await?;
    let budgets = &file.budgets;
    let mut counted = Vec::with_capacity(budgets.len());
    let mut counter = Counter::new(store, site, &question, budgets.len(), SORT_VIEWS_MAX).await?;
    for budget in budgets {
        let filters = filters(budget, &question);
        let matched = matching(budget, &routes, site);
        counted.push(counter.count(budget, filters, matched).await?);
    }
    let judged = by_severity(budgets, &counted, question.looks);
    let verdict =
        verdict(budgets.iter().zip(&judged).map(|(budget, judged)| (budget.severity, judged.verdict)));
    let rows: Vec<_> = budgets.iter().zip(&counted).zip(&judged).collect();
    let judgements: Vec<_> =
        rows.iter().map(|((budget, counts), judged)| judgement(&question, budget, counts, judged)).collect();
    let reports = rows
        .iter()
        .map(|((budget, counts), judged)| {
            let mut report = reported(&question, now_ms, budget, counts, judged);
            if counts.routes == 0 {
                report.reason = no_route(&budget.route, &routes);
            }
            report
        })
        .collect();
    if question.record {
        store.judgements(site.id, now_ms, &judgements).await?;
    }
    Ok(GateReport {
        site: site.name.clone(),
        release: question.filters.release,
        period: question.range.into(),
        looks: question.looks.name(),
        verdict: verdict.name(),
        tool: file.tool,
        budgets: reports,
        not_evaluated: file.not_evaluated.iter().map(NotEvaluatedReport::from).collect(),
    })
}

/// Judges the budgets of each severity together: warnings take no part in the correction for many budgets.
fn by_severity(budgets: &[Budget], counted: &[Counts], looks: Looks) -> Vec<Judged> {
    let samples_of = |severity: Severity| -> Vec<Sample> {
        let all = budgets.iter().zip(counted);
        all.filter(|(budget, _)| budget.severity == severity).map(|(_, counts)| counts.sample).collect()
    };
    let [mut errors, mut warnings] = [Severity::Error, Severity::Warn]
        .map(|severity| judge(&samples_of(severity), looks, ALPHA).into_iter());
    let judged = budgets.iter().filter_map(|budget| match budget.severity {
        Severity::Error => errors.next(),
        Severity::Warn => warnings.next(),
    });
    judged.collect()
}

/// Returns the record of a verdict.
fn judgement(question: &Question, budget: &Budget, counts: &Counts, judged: &Judged) -> Judgement {
    let filters = filters(budget, question);
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Judgement {
        key: violation_key(budget, &filters),
        broken: match judged.verdict {
            Verdict::Fail => Some(true),
            Verdict::Pass => Some(false),
            Verdict::Inconclusive => None,
        },
        route: budget.route.clone(),
        metric: budget.metric,
        percentile: budget.percentile,
        at_most: budget.max,
        device: filters.device,
        release: filters.release,
        measured: counts.percentile().and_then(|number| Value::new(budget.metric, number).ok()),
        n: count(counts.sample.n),
        within: count(counts.sample.within),
    }
}

/// Returns the report of a verdict.
fn reported(
    question: &Question,
    now_ms: i64,
    budget: &Budget,
    counts: &Counts,
    judged: &Judged,
) -> BudgetReport {
    let sample = &counts.sample;
    let filters = filters(budget, question);
    let ranks = sample.is_judged().then(|| sample.ranks(question.looks, judged.fail_level, ALPHA)).flatten();
    let samples_needed = match judged.verdict {
        Verdict::Inconclusive => sample.needed(question.looks, judged.fail_level, ALPHA),
        Verdict::Pass | Verdict::Fail => None,
    };
    BudgetReport {
        line: budget.line,
        route: budget.route.clone(),
        metric: budget.metric.name(),
        percentile: budget.percentile,
        max: budget.max.number(budget.metric),
        unit: report::unit_name(budget.metric),
        device: filters.device.map(Device::name),
        filters: further(&filters).map(|(name, value)| (name, value.to_owned())).collect(),
        severity: budget.severity.name(),
        min_samples: budget.min_samples,
        routes: counts.routes,
        n: sample.n,
        within: sample.within,
        measured: counts.percentile(),
        interval: ranks.and_then(|ranks| counts.interval(ranks)),
        design_effect: (counts.effect.value * 100.0).round() / 100.0,
        design_effect_from: counts.effect.source.name(),
        verdict: judged.verdict.name(),
        reason: judged.reason.to_string(),
        samples_needed,
        hours_needed: samples_needed.and_then(|needed| hours_until(needed, question, counts, now_ms)),
    }
}

/// Returns the hours until so many page views are there, at the rate since the first one; `None` without page views, or if
/// the period has ended.
fn hours_until(needed: u64, question: &Question, counts: &Counts, now_ms: i64) -> Option<f64> {
    let Range { from_ms, to_ms } = question.range;
    let passed_ms = now_ms.saturating_sub(counts.first_ms.unwrap_or(from_ms));
    // A period that ends now ends with a minute that may be over when its question is answered.
    let is_over = to_ms.saturating_add(report::MINUTE_MS) < now_ms;
    if counts.sample.n == 0 || is_over || passed_ms <= 0 {
        return None;
    }
    let hours = passed_ms as f64 / 3_600_000.0;
    let missing = needed.saturating_sub(counts.sample.n) as f64;
    Some((missing * hours / counts.sample.n as f64 * 10.0).ceil() / 10.0)
}

/// Returns the page views that count for a budget: by its own filters, and by those of the question.
fn filters(budget: &Budget, question: &Question) -> Filters {
    let (own, asked) = (&budget.filters, &question.filters);
    let label = |own: &Option<String>, asked: &Option<String>| own.clone().or_else(|| asked.clone());
    Filters {
        device: own.device.or(asked.device),
        browser: label(&own.browser, &asked.browser),
        os: own.os.or(asked.os),
        country: label(&own.country, &asked.country),
        connection: label(&own.connection, &asked.connection),
        navigation_type: own.navigation_type.or(asked.navigation_type),
        release: label(&own.release, &asked.release),
        context: Vec::new(),
    }
}

/// Returns the given filters other than the device, with their names.
fn further(filters: &Filters) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("browser", filters.browser.as_deref()),
        ("os", filters.os.map(Os::name)),
        ("country", filters.country.as_deref()),
        ("connection", filters.connection.as_deref()),
        ("navigation_type", filters.navigation_type.map(NavigationType::name)),
        ("release", filters.release.as_deref()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}

/// Returns the key of a violation: checks of the same budget for the same page views share one violation.
fn violation_key(budget: &Budget, filters: &Filters) -> String {
    let (device, release) =
        (filters.device.map_or("", Device::name), filters.release.as_deref().unwrap_or(""));
    let mut key = format!("{}|{device}|{release}", budget.key());
    for (name, value) in further(filters).filter(|(name, _)| *name != "release") {
        key.push_str(&format!("|{name}={value}"));
    }
    key
}

/// Returns the reason for a pattern without data, with similar routes.
fn no_route(pattern: &str, routes: &[String]) -> String {
    let nearest: Vec<String> =
        lookup::nearest(pattern, routes).into_iter().map(|route| format!("`{route}`")).collect();
    let nearest =
        if nearest.is_empty() { String::new() } else { format!("; nearest: {}", nearest.join(", ")) };
    format!("no data: no route with page views matches `{pattern}`{nearest}")
}

/// Returns the routes of a budget. A pattern applies as written; without a match, in the spelling of stored routes.
fn matching(budget: &Budget, routes: &[String], site: &Site) -> Vec<String> {
    let found = |pattern: &str| -> Vec<String> {
        lookup::patterns(pattern, site)
            .into_iter()
            .map(|pattern| routes.iter().filter(|route| matches(&pattern, route)).cloned().collect())
            .find(|matched: &Vec<String>| !matched.is_empty())
            .unwrap_or_default()
    };
    let excluded: HashSet<String> = budget.except.iter().flat_map(|pattern| found(pattern)).collect();
    let mut matched = found(&budget.route);
    matched.retain(|route| !excluded.contains(route));
    matched
}
