//! Judges budgets that are looked at for ever: each from a start of its own, and all together, because the correction for
//! many budgets needs all of them.

use super::counts::{Counter, Counts};
use super::{
    BudgetReport, Question, by_severity, filters, judgement, matching, no_route, reported, violation_key,
};
use crate::intake::lookup;
use crate::report::Range;
use fieldvitals_store::limits::SORT_VIEWS_MAX;
use fieldvitals_store::{Filters, Judgement, Site, Store, StoreError};
use std::collections::BTreeSet;
use vitals::budget::{Budget, BudgetFile, Severity};
use vitals::gate::{Looks, Verdict};

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

/// Judges budgets by the page views since `starts`, one a budget (UTC milliseconds). The result is in the order of the
/// budgets.
///
/// # Errors
/// If the store cannot answer.
pub async fn standing(
    store: &dyn Store,
    site: &Site,
    budgets: &[Budget],
    starts: &[i64],
    now_ms: i64,
) -> Result<Vec<Standing>, StoreError> {
    let retained_from_ms = store.retention_edges().await?.views_from_ms;
    let start = |place: usize| starts.get(place).map_or(now_ms, |&from_ms| from_ms.max(retained_from_ms));
    let mut counted: Vec<Option<(Question, Counts)>> = budgets.iter().map(|_| None).collect();
    let mut names = Vec::new();
    let different: BTreeSet<i64> = (0..budgets.len()).map(start).collect();
    for from_ms in different {
        let question = question(from_ms, now_ms.max(from_ms));
        let range = question.range;
        let routes = store.routes(site.id, range.from_ms, range.to_ms).await?;
        let mut counter = Counter::new(store, site, &question, budgets.len(), SORT_VIEWS_MAX).await?;
        for (place, budget) in budgets.iter().enumerate().filter(|(place, _)| start(*place) == from_ms) {
            let matched = matching(budget, &routes, &site.routes);
            let counts = counter.count(budget, filters(budget, &question), matched).await?;
            if let Some(slot) = counted.get_mut(place) {
                *slot = Some((question.clone(), counts));
            }
        }
        names = routes;
    }
    let (questions, counts): (Vec<Question>, Vec<Counts>) = counted.into_iter().flatten().unzip();
    let judged = by_severity(budgets, &counts, Looks::Many);
    let rows = budgets.iter().zip(questions.iter().zip(&counts)).zip(&judged);
    let looks = rows.map(|((budget, (question, counts)), judged)| {
        let mut report = reported(question, now_ms, budget, counts, judged);
        if counts.routes == 0 {
            report.reason = no_route(&budget.route, &names);
        }
        let judgement = judgement(question, budget, counts, judged);
        Standing { verdict: judged.verdict, judgement, report }
    });
    Ok(looks.collect())
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
pub fn routes_of(budget: &Budget, routes: &[String], rules: &[String]) -> Vec<String> {
    matching(budget, routes, rules)
}

/// Returns the routes that budgets name exactly, as they are written and as they would be stored.
#[must_use]
pub fn exact_routes(file: &BudgetFile, rules: &[String]) -> Vec<String> {
    let exact = file.budgets.iter().map(|budget| &budget.route).filter(|route| !route.contains('*'));
    let routes: BTreeSet<String> = exact.flat_map(|route| lookup::names(route, rules)).collect();
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
            self.max,
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

    /// The measured percentile as a share of the limit; `None` without a measurement.
    #[must_use]
    pub fn used(&self) -> Option<f64> {
        let used = self.measured? / self.max;
        used.is_finite().then_some((used * 1_000.0).round() / 1_000.0)
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
