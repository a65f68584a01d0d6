//! Compares a release with the one before, for alerts.

use super::compared::{self, ReleaseSide};
use super::{BudgetReport, Evidenced, Question, answer};
use crate::report::Range;
use fieldvitals_store::{Filters, Site, Store, StoreError};
use vitals::budget::{
    Baseline, Budget, BudgetFilters, Increase, Limit, MIN_SAMPLES_DEFAULT, OnNoBaseline, PERCENTILE_DEFAULT,
    ROUTE_DEFAULT, Severity,
};
use vitals::gate::{ALPHA, Evidence, Looks, Verdict, judge_together, nuisance_level};
use vitals::metric::Metric;

/// The compared metrics: the Core Web Vitals.
const METRICS: [Metric; 3] = [Metric::Lcp, Metric::Inp, Metric::Cls];
/// The largest increase that is no regression, in hundredths of a per cent: 10 %. Smaller ones follow from other hours and
/// other visitors too, and a pipeline may check them by `max_increase`.
const INCREASE_MAX: u32 = 1_000;

/// The comparison of a metric.
#[derive(Debug)]
pub struct ReleaseVerdict {
    /// The metric.
    pub metric: Metric,
    /// `Fail` if the release is worse.
    pub verdict: Verdict,
    /// The comparison.
    pub report: BudgetReport,
}

/// Compares the Core Web Vitals of a whole site in two releases, the earlier one first, at one of `looks` looks. All looks
/// together call a release worse by mistake with a probability of at most [`ALPHA`].
///
/// # Errors
/// If the store cannot answer.
pub async fn compare_releases(
    store: &dyn Store,
    site: &Site,
    sides: [(&str, Range); 2],
    looks: usize,
    now_ms: i64,
) -> Result<Vec<ReleaseVerdict>, StoreError> {
    let [(before, _), (after, range)] = sides;
    let filters = Filters { release: Some(after.to_owned()), ..Filters::NONE };
    let question = Question { range, filters, looks: Looks::One, record: false };
    let [before_side, after_side] = sides;
    let sides = [
        ReleaseSide::read(store, site, before_side).await?,
        ReleaseSide::read(store, site, after_side).await?,
    ];
    let mut rows = Vec::with_capacity(METRICS.len());
    for metric in METRICS {
        let increase = Increase {
            max: INCREASE_MAX,
            least: Increase::least_default(metric),
            baseline: Baseline::Release(before.to_owned()),
            on_no_baseline: OnNoBaseline::Inconclusive,
        };
        let budget = Budget {
            route: ROUTE_DEFAULT.to_owned(),
            except: Vec::new(),
            metric,
            limit: Limit::Increase(increase.clone()),
            percentile: PERCENTILE_DEFAULT,
            filters: BudgetFilters::default(),
            severity: Severity::Warn,
            min_samples: MIN_SAMPLES_DEFAULT,
            line: 0,
        };
        let found = compared::releases(store, site, (&budget, &increase), &sides).await?;
        rows.push((budget, Evidenced::Compared(Box::new(found))));
    }
    let level = ALPHA / looks.max(1) as f64;
    let nuisance = nuisance_level(level, rows.len());
    let evidence: Vec<Evidence> =
        rows.iter().map(|(_, evidenced)| evidenced.evidence(Looks::One, nuisance)).collect();
    let judged = judge_together(&evidence, Looks::One, level);
    let verdicts = rows.iter().zip(&judged).map(|((budget, evidenced), judged)| ReleaseVerdict {
        metric: budget.metric,
        verdict: judged.verdict,
        report: answer::reported(
            &question,
            now_ms,
            (budget, budget.severity),
            evidenced,
            (judged, nuisance),
            None,
        ),
    });
    Ok(verdicts.collect())
}
