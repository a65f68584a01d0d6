//! The gate: judges budgets against stored page views. The store counts, `vitals::gate` decides.
//!
//! In reading order:
//!
//! - `counts`: page views within a value
//! - `baseline`: the page views that an increase is relative to
//! - `compared`: both sides of an increase
//! - `release`: a release and the one before, for alerts
//! - `answer`: the verdict on a budget, for the answer and for violations

mod answer;
mod baseline;
mod compared;
mod counts;
mod release;
mod standing;
#[cfg(test)]
mod tests;

pub use answer::{BaselineReport, BudgetReport, IncreaseReport};
pub use release::{ReleaseVerdict, compare_releases};
pub use standing::{Measured, Standing, exact_routes, filters_of, key_of, routes_of, standing, with_values};

use crate::intake::{lookup, origin};
use crate::report::{PeriodReport, Range};
use compared::Compared;
use counts::{Counter, Counts};
use fieldvitals_store::limits::SORT_VIEWS_MAX;
use fieldvitals_store::{Filters, Site, Store, StoreError};
use serde::Serialize;
use std::collections::HashSet;
use utoipa::ToSchema;
use vitals::budget::{Budget, BudgetFile, Limit, NotEvaluated, Severity, matches, verdict};
use vitals::gate::{ALPHA, Evidence, Judged, Looks, judge_together, nuisance_level};

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
    /// Limits in the file of another tool that page views cannot judge, and hosts in it that the site does not have.
    not_evaluated: Vec<NotEvaluatedReport>,
}

impl GateReport {
    /// Returns the verdict: `pass`, `fail` or `inconclusive`.
    #[must_use]
    pub const fn verdict(&self) -> &'static str {
        self.verdict
    }

    /// Returns the verdict of each budget in a sentence.
    #[must_use]
    pub fn reasons(&self) -> String {
        let reasons = self.budgets.iter().map(|budget| {
            let [verdict, metric, why] = [budget.verdict, budget.metric, budget.reason.as_str()];
            format!(
                "{verdict}: {metric} p{} of {}: {why}; {}",
                budget.percentile,
                budget.route,
                budget.evidence()
            )
        });
        reasons.collect::<Vec<_>>().join("; ")
    }
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

/// Returns what is not evaluated of a file. A host that the site has needs no notice.
#[must_use]
pub fn not_evaluated(file: &BudgetFile, site: &Site) -> Vec<NotEvaluatedReport> {
    let is_of_site = |host: &String| {
        ["https", "http"].iter().any(|scheme| origin::allowed(&format!("{scheme}://{host}"), &site.origins))
    };
    let left = file.not_evaluated.iter().filter(|one| !one.host.as_ref().is_some_and(is_of_site));
    left.map(|NotEvaluated { line, what, why, .. }| NotEvaluatedReport {
        line: *line,
        what: what.clone(),
        why: why.clone(),
    })
    .collect()
}

/// The reason why budgets are not judged.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A baseline of releases, and no release to judge.
    #[error(
        "the baseline `{baseline}` compares releases, and no release is judged: name it, by `release` in the query, by \
         --release of the command, or by `release` in the budget"
    )]
    NoRelease {
        /// The line of the budget.
        line: usize,
        /// The baseline.
        baseline: String,
    },
    /// A release that is compared with itself.
    #[error("the baseline `{baseline}` is the release that is judged: name another one")]
    SameRelease {
        /// The line of the budget.
        line: usize,
        /// The baseline.
        baseline: String,
    },
    /// A release that the site never had.
    #[error("the baseline is of the release `{release}`, which the site never had")]
    UnknownRelease {
        /// The line of the budget.
        line: usize,
        /// The release.
        release: String,
        /// The releases of the site.
        known: Vec<String>,
    },
}

/// The evidence on a budget.
enum Evidenced {
    /// Page views within a value.
    Counted(Counts),
    /// An increase over a baseline.
    Compared(Box<Compared>),
}

impl Evidenced {
    fn evidence(&self, looks: Looks, nuisance: f64) -> Evidence {
        match self {
            Self::Counted(counts) => counts.sample.evidence(looks),
            Self::Compared(compared) => compared.comparison.evidence(nuisance),
        }
    }

    fn severity(&self, budget: &Budget) -> Severity {
        match self {
            Self::Counted(_) => budget.severity,
            Self::Compared(compared) => compared.severity(budget),
        }
    }

    /// Number of matching routes.
    const fn routes(&self) -> usize {
        match self {
            Self::Counted(counts) => counts.routes,
            Self::Compared(compared) => compared.routes,
        }
    }
}

/// Judges budgets. With [`Question::record`], opens violations of broken budgets and resolves violations of met ones.
///
/// # Errors
/// If the store cannot answer, or a budget names a baseline that cannot be compared with.
pub async fn check(
    store: &dyn Store,
    site: &Site,
    file: &BudgetFile,
    mut question: Question,
    now_ms: i64,
) -> Result<GateReport, GateError> {
    // Limits the range to retained page views, because counts come from page views. The report shows the limited
    // range.
    let retained_from_ms = store.retention_edges().await?.views_from_ms;
    question.range.from_ms = question.range.from_ms.max(retained_from_ms);
    question.range.to_ms = question.range.to_ms.max(question.range.from_ms);
    let budgets = &file.budgets;
    baseline::check(store, site, budgets, |budget| filters(budget, &question)).await?;
    let routes = store.routes(site.id, question.range.from_ms, question.range.to_ms).await?;
    let mut counter = Counter::new(store, site, &question, budgets.len(), SORT_VIEWS_MAX).await?;
    let mut rows = Vec::with_capacity(budgets.len());
    for budget in budgets {
        let filters = filters(budget, &question);
        let matched = matching(budget, &routes, site);
        let evidenced = match &budget.limit {
            Limit::Max(max) => Evidenced::Counted(counter.count((budget, *max), filters, matched).await?),
            Limit::Increase(increase) => Evidenced::Compared(Box::new(
                compared::compare(store, site, &question, (budget, increase), (filters, matched)).await?,
            )),
        };
        rows.push((budget, evidenced.severity(budget), evidenced));
    }
    let judged = by_severity(&rows, question.looks);
    let verdict =
        verdict(rows.iter().zip(&judged).map(|((_, severity, _), (judged, _))| (*severity, judged.verdict)));
    let both = rows.iter().zip(&judged);
    let judgements: Vec<_> = both
        .clone()
        .filter_map(|((budget, _, evidenced), (judged, _))| {
            answer::judgement(&question, budget, evidenced, judged)
        })
        .collect();
    let reports = both
        .map(|((budget, severity, evidenced), (judged, nuisance))| {
            let why = (evidenced.routes() == 0).then(|| no_route(&budget.route, &routes));
            answer::reported(&question, now_ms, (*budget, *severity), evidenced, (judged, *nuisance), why)
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
        not_evaluated: not_evaluated(file, site),
    })
}

/// Judges the budgets of each severity together: warnings take no part in the correction for many budgets. Returns each
/// verdict with the level at which the bound of its baseline may err.
fn by_severity(rows: &[(&Budget, Severity, Evidenced)], looks: Looks) -> Vec<(Judged, f64)> {
    let [mut errors, mut warnings] = [Severity::Error, Severity::Warn].map(|severity| {
        let of: Vec<_> = rows.iter().filter(|(_, other, _)| *other == severity).collect();
        let nuisance = nuisance_level(ALPHA, of.len());
        let evidence: Vec<Evidence> =
            of.iter().map(|(_, _, evidenced)| evidenced.evidence(looks, nuisance)).collect();
        judge_together(&evidence, looks, ALPHA).into_iter().map(move |judged| (judged, nuisance))
    });
    let judged = rows.iter().filter_map(|(_, severity, _)| match severity {
        Severity::Error => errors.next(),
        Severity::Warn => warnings.next(),
    });
    judged.collect()
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
