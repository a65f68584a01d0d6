//! Judges budgets that are looked at for ever: each from a start of its own, and all together, because the correction for
//! many budgets needs all of them.

use super::answer::{judgement, reported, violation_key};
use super::counts::Counter;
use super::{BudgetReport, Evidenced, Question, by_severity, filters, matching, no_route};
use crate::intake::lookup;
use crate::report::Range;
use fieldvitals_store::limits::SORT_VIEWS_MAX;
use fieldvitals_store::{Filters, Judgement, Site, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use vitals::budget::{Budget, BudgetFile, Severity};
use vitals::gate::{Looks, Verdict};
use vitals::metric::Value;

/// What was counted of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Measured {
    /// Page views with a value of the metric.
    pub n: u64,
    /// Those at or under `max`.
    pub within: u64,
    /// The percentile; absent without page views.
    pub measured: Option<f64>,
    /// Its confidence interval; absent with few page views.
    pub interval: Option<[f64; 2]>,
}

impl Measured {
    /// The percentile as a share of a limit; `None` without a percentile.
    #[must_use]
    pub fn used(&self, max: Option<f64>) -> Option<f64> {
        let used = self.measured? / max?;
        used.is_finite().then_some((used * 1_000.0).round() / 1_000.0)
    }
}

/// A look at a budget.
#[derive(Debug)]
pub struct Standing {
    /// The verdict on the page views since its start.
    pub verdict: Verdict,
    /// The record for the list of violations.
    pub judgement: Judgement,
    /// The evidence.
    pub report: BudgetReport,
}

/// Returns the budgets of a file that can be looked at for ever: those on values, each with it. An increase needs a release
/// to judge, so none is kept.
#[must_use]
pub fn with_values(file: BudgetFile) -> Vec<(Budget, Value)> {
    let valued = file.budgets.into_iter().filter_map(|budget| {
        let max = budget.limit.max()?;
        Some((budget, max))
    });
    valued.collect()
}

/// Judges budgets on values by the page views since `starts`, one a budget (UTC milliseconds). The result is in the order
/// of the budgets.
///
/// # Errors
/// If the store cannot answer.
pub async fn standing(
    store: &dyn Store,
    site: &Site,
    budgets: &[(Budget, Value)],
    starts: &[i64],
    now_ms: i64,
) -> Result<Vec<Standing>, StoreError> {
    let retained_from_ms = store.retention_edges().await?.views_from_ms;
    let start = |place: usize| starts.get(place).map_or(now_ms, |&from_ms| from_ms.max(retained_from_ms));
    let mut counted: Vec<Option<(Question, Evidenced)>> = budgets.iter().map(|_| None).collect();
    let mut names = Vec::new();
    let different: BTreeSet<i64> = (0..budgets.len()).map(start).collect();
    for from_ms in different {
        let question = question(from_ms, now_ms.max(from_ms));
        let range = question.range;
        let routes = store.routes(site.id, range.from_ms, range.to_ms).await?;
        let mut counter = Counter::new(store, site, &question, budgets.len(), SORT_VIEWS_MAX).await?;
        for (place, (budget, max)) in budgets.iter().enumerate().filter(|(place, _)| start(*place) == from_ms)
        {
            let matched = matching(budget, &routes, site);
            let counts = counter.count((budget, *max), filters(budget, &question), matched).await?;
            if let Some(slot) = counted.get_mut(place) {
                *slot = Some((question.clone(), Evidenced::Counted(counts)));
            }
        }
        names = routes;
    }
    let looks = budgets.iter().zip(counted).filter_map(|((budget, _), look)| {
        let (question, evidenced) = look?;
        Some((question, (budget, budget.severity, evidenced)))
    });
    let (questions, rows): (Vec<Question>, Vec<_>) = looks.unzip();
    let judged = by_severity(&rows, Looks::Many);
    let looks = rows.iter().zip(&questions).zip(&judged);
    let standing = looks.filter_map(|(((budget, severity, evidenced), question), (judged, nuisance))| {
        let why = (evidenced.routes() == 0).then(|| no_route(&budget.route, &names));
        let report = reported(question, now_ms, (*budget, *severity), evidenced, (judged, *nuisance), why);
        let judgement = judgement(question, budget, evidenced, judged)?;
        Some(Standing { verdict: judged.verdict, judgement, report })
    });
    Ok(standing.collect())
}

/// The question of a look that never ends.
fn question(from_ms: i64, to_ms: i64) -> Question {
    let range = Range { from_ms, to_ms };
    Question { range, filters: Filters::default(), looks: Looks::Many, record: false }
}

/// Returns the page views that count for a budget.
#[must_use]
pub fn filters_of(budget: &Budget) -> Filters {
    filters(budget, &question(0, 0))
}

/// Returns the key of a budget's violations.
#[must_use]
pub fn key_of(budget: &Budget) -> String {
    violation_key(budget, &filters_of(budget))
}

/// Returns those of `routes` that a budget is about.
#[must_use]
pub fn routes_of(budget: &Budget, routes: &[String], site: &Site) -> Vec<String> {
    matching(budget, routes, site)
}

/// Returns the routes that budgets name exactly, as they are written and as they would be stored.
#[must_use]
pub fn exact_routes(file: &BudgetFile, site: &Site) -> Vec<String> {
    let exact = file.budgets.iter().map(|budget| &budget.route).filter(|route| !route.contains('*'));
    let routes: BTreeSet<String> = exact.flat_map(|route| lookup::names(route, site)).collect();
    routes.into_iter().take(vitals::limits::BUDGETS_MAX).collect()
}

impl BudgetReport {
    /// The promise in one line: `LCP p75 of /checkout, phone ≤ 2500 ms`.
    #[must_use]
    pub fn promise(&self) -> String {
        let filters = self.filters.iter().map(|(name, value)| format!(", {name} {value}"));
        let device = self.device.map(|device| format!(", {device}"));
        let scope: String = device.into_iter().chain(filters).collect();
        format!(
            "{} p{} of {}{scope} ≤ {}{}",
            self.metric,
            self.percentile,
            self.route,
            self.max.unwrap_or_default(),
            unit(self.unit)
        )
    }

    /// The evidence in one line: `measured 3120 ms, 812 of 1400 page views within`.
    #[must_use]
    pub fn evidence(&self) -> String {
        let measured = self.measured.map_or_else(
            || "not measured".to_owned(),
            // CLS has at most 4 places that tell something.
            |number| format!("measured {}{}", (number * 1e4).round() / 1e4, unit(self.unit)),
        );
        format!("{measured}, {} of {} page views within", self.within, self.n)
    }

    /// What was counted.
    #[must_use]
    pub const fn counted(&self) -> Measured {
        Measured { n: self.n, within: self.within, measured: self.measured, interval: self.interval }
    }

    /// Whether there are enough page views for a judgement.
    #[must_use]
    pub const fn is_judged(&self) -> bool {
        self.n >= self.min_samples
    }

    /// The limit; `None` without a baseline.
    #[must_use]
    pub const fn max(&self) -> Option<f64> {
        self.max
    }

    /// The comparison in one line: `2910 ms, 430 ms (17.3 %) more than in 5.0`, without a percentage if 5.0 has 0; `None`
    /// without a comparison.
    #[must_use]
    pub fn comparison(&self) -> Option<String> {
        let (change, percent, before) = self.increase.as_ref()?.change_over_release()?;
        let rounded = |number: f64| (number * 1e4).round() / 1e4;
        let unit = unit(self.unit);
        let share = percent.map_or(String::new(), |percent| format!(" ({percent:.1} %)"));
        Some(format!(
            "{}{unit}, {}{unit}{share} more than in {before}",
            rounded(self.measured?),
            rounded(change)
        ))
    }

    /// Whether the budget only warns.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.severity == Severity::Warn.name()
    }
}

/// The unit after a number; a score has none.
fn unit(name: &str) -> String {
    if name == "ms" { " ms".to_owned() } else { String::new() }
}
