//! Writes the verdict on a budget: for the answer, and for the record of violations.

use super::compared::Compared;
use super::{Evidenced, Question, filters};
use crate::report::{self, PeriodReport, Range};
use fieldvitals_store::{Filters, Judgement};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use vitals::budget::{Budget, Severity};
use vitals::gate::{ALPHA, DesignEffect, Judged, Percentiles, Verdict};
use vitals::metric::{Metric, Value};
use vitals::view::{Device, NavigationType, Os};

/// The verdict on one budget.
#[derive(Debug, Serialize, ToSchema)]
pub struct BudgetReport {
    /// The line of the budget in its file.
    pub(super) line: usize,
    /// The route pattern.
    pub(super) route: String,
    pub(super) metric: &'static str,
    pub(super) percentile: u8,
    /// The largest value that keeps the budget. Of a budget on an increase, the percentile of the baseline with the allowed
    /// increase; absent without a baseline.
    pub(super) max: Option<f64>,
    pub(super) unit: &'static str,
    pub(super) device: Option<&'static str>,
    /// The other filters, by the names of their parameters.
    pub(super) filters: BTreeMap<&'static str, String>,
    /// `error` or `warn`. A budget without a baseline has `warn` if its `on_no_baseline` says so.
    pub(super) severity: &'static str,
    pub(super) min_samples: u64,
    /// Number of routes with page views that match the pattern.
    pub(super) routes: usize,
    /// Page views with a value of the metric; of a large release, those of a sample.
    pub(super) n: u64,
    /// Exact number of these page views at or under the budget.
    pub(super) within: u64,
    /// The measured percentile: exact for ≤ 1 million page views, else within 0.55 % and on the correct side of the
    /// budget. Absent if it is not exact and rollups do not cover the exact period. Of a budget on an increase, the percentile
    /// at the baseline's shares of device, country and navigation type.
    pub(super) measured: Option<f64>,
    /// The confidence interval of the measured percentile. It tells the same as the verdict: `fail` if it lies over
    /// `max`, `pass` if it reaches at most `max`. Its ends err with 5 % each, the lower one with less if many budgets are
    /// judged. Absent with fewer page views than `min_samples`. Of a budget on an increase, the percentile of the baseline with
    /// the interval of the increase.
    pub(super) interval: Option<[f64; 2]>,
    /// How many page views carry the information of one independent page view, 1 to 10; the test divides the counts by
    /// it.
    pub(super) design_effect: f64,
    /// The source of the design effect: estimated from `hours` or `half-hours`, the `default` of fewer than 20 half
    /// hours, or the largest (`max`) of more than a million page views.
    pub(super) design_effect_from: &'static str,
    /// `pass`, `fail` or `inconclusive`.
    pub(super) verdict: &'static str,
    /// Reason of the verdict.
    pub(super) reason: String,
    /// Page views, in all, that would likely decide at this share; absent if the verdict is decided, or if no number
    /// would decide it.
    pub(super) samples_needed: Option<u64>,
    /// Hours until then at the traffic of the period; absent if nothing was measured, or the period has ended.
    pub(super) hours_needed: Option<f64>,
    /// The comparison with a baseline; absent if the budget has a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) increase: Option<IncreaseReport>,
}

/// A comparison with a baseline.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncreaseReport {
    /// The largest increase, in per cent of the baseline's percentile.
    max_percent: f64,
    /// Differences up to this never exceed the budget, in the metric's unit.
    min: f64,
    /// The baseline, as the budget names it.
    baseline: String,
    /// The page views of the baseline; absent if there are none.
    against: Option<BaselineReport>,
    /// Why there is no baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    absent: Option<String>,
    /// `measured` minus the percentile of the baseline.
    change: Option<f64>,
    /// The change in per cent of the baseline; absent if the baseline is 0.
    change_percent: Option<f64>,
    /// The confidence interval of the change. It tells the same as the verdict.
    interval: Option<[f64; 2]>,
    /// The percentile of the judged page views without weights: its distance from `measured` is due to another audience.
    unweighted: Option<f64>,
    /// Share of the page views in classes that both sides have, 0 to 1; below 0.5 there is no verdict.
    covered: Option<f64>,
}

impl IncreaseReport {
    /// Returns the change, in the metric's unit and in per cent, and the release of the baseline. A baseline of 0 has no
    /// percentage.
    pub(super) fn change_over_release(&self) -> Option<(f64, Option<f64>, &str)> {
        let release = self.against.as_ref()?.release.as_deref()?;
        Some((self.change?, self.change_percent, release))
    }
}

/// The page views of a baseline.
#[derive(Debug, Serialize, ToSchema)]
pub struct BaselineReport {
    /// The release; absent if the baseline is a period.
    release: Option<String>,
    period: PeriodReport,
    /// Page views with a value of the metric; of a large release, those of a sample.
    n: u64,
    /// The percentile of those in classes that both sides have.
    measured: Option<f64>,
    /// As that of the judged page views.
    design_effect: f64,
    design_effect_from: &'static str,
    /// The shares of the time of baseline and judged side that were read, if one was sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<[f64; 2]>,
}

/// The numbers that a report shows of either kind of budget.
struct Numbers {
    max: Option<f64>,
    n: u64,
    within: u64,
    measured: Option<f64>,
    interval: Option<[f64; 2]>,
    effect: DesignEffect,
    needed: Option<u64>,
    first_ms: Option<i64>,
}

/// Returns the record of a verdict; `None` if the budget has no limit, because it has no baseline.
pub(super) fn judgement(
    question: &Question,
    budget: &Budget,
    evidenced: &Evidenced,
    judged: &Judged,
) -> Option<Judgement> {
    let filters = filters(budget, question);
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let (at_most, measured, n, within) = match evidenced {
        Evidenced::Counted(counts) => {
            let measured = counts.percentile().and_then(|number| Value::new(budget.metric, number).ok());
            (budget.limit.max()?, measured, counts.sample.n, counts.sample.within)
        }
        Evidenced::Compared(compared) => {
            let Percentiles { current, limit, .. } = compared.comparison.percentiles()?;
            let [_, n] = compared.comparison.n();
            let measured = Value::from_micros(budget.metric, current);
            (held(budget.metric, limit), measured, n, compared.comparison.within())
        }
    };
    Some(Judgement {
        key: violation_key(budget, &filters),
        broken: match judged.verdict {
            Verdict::Fail => Some(true),
            Verdict::Pass => Some(false),
            Verdict::Inconclusive => None,
        },
        route: budget.route.clone(),
        metric: budget.metric,
        percentile: budget.percentile,
        at_most,
        device: filters.device,
        release: filters.release,
        measured,
        n: count(n),
        within: count(within),
    })
}

/// A limit as a value, at most the largest of its metric.
fn held(metric: Metric, micros: u32) -> Value {
    Value::from_micros(metric, micros.min(metric.micros_max())).unwrap_or(Value::ZERO)
}

/// Returns the report of a verdict. `why` replaces its reason.
pub(super) fn reported(
    question: &Question,
    now_ms: i64,
    (budget, severity): (&Budget, Severity),
    evidenced: &Evidenced,
    (judged, nuisance): (&Judged, f64),
    why: Option<String>,
) -> BudgetReport {
    let filters = filters(budget, question);
    let (numbers, increase) = match evidenced {
        Evidenced::Counted(counts) => {
            let sample = &counts.sample;
            let ranks =
                sample.is_judged().then(|| sample.ranks(question.looks, judged.fail_level, ALPHA)).flatten();
            let numbers = Numbers {
                max: budget.limit.max().map(|max| max.number(budget.metric)),
                n: sample.n,
                within: sample.within,
                measured: counts.percentile(),
                interval: ranks.and_then(|ranks| counts.interval(ranks)),
                effect: counts.effect,
                needed: sample.needed(question.looks, judged.fail_level, ALPHA),
                first_ms: counts.first_ms,
            };
            (numbers, None)
        }
        Evidenced::Compared(compared) => {
            let (numbers, increase) = compared_report(budget.metric, compared, (judged, nuisance));
            (numbers, Some(increase))
        }
    };
    let Numbers { max, n, within, measured, interval, effect, needed, first_ms } = numbers;
    let needed = needed.filter(|_| judged.verdict == Verdict::Inconclusive);
    let absent = increase.as_ref().and_then(|increase| increase.absent.clone());
    BudgetReport {
        line: budget.line,
        route: budget.route.clone(),
        metric: budget.metric.name(),
        percentile: budget.percentile,
        max,
        unit: report::unit_name(budget.metric),
        device: filters.device.map(Device::name),
        filters: further(&filters).map(|(name, value)| (name, value.to_owned())).collect(),
        severity: severity.name(),
        min_samples: budget.min_samples,
        routes: evidenced.routes(),
        n,
        within,
        measured,
        interval,
        design_effect: rounded(effect),
        design_effect_from: effect.source.name(),
        verdict: judged.verdict.name(),
        reason: why.or(absent).unwrap_or_else(|| judged.reason.to_string()),
        samples_needed: needed,
        hours_needed: needed.and_then(|needed| hours_until(needed, question, (n, first_ms), now_ms)),
        increase,
    }
}

fn rounded(effect: DesignEffect) -> f64 {
    (effect.value * 100.0).round() / 100.0
}

/// Returns the numbers of a budget on an increase, and its comparison.
fn compared_report(
    metric: Metric,
    compared: &Compared,
    (judged, nuisance): (&Judged, f64),
) -> (Numbers, IncreaseReport) {
    let Compared { increase, comparison, baseline, absent, read, .. } = compared;
    let percentiles = comparison.percentiles();
    let number = |micros: u32| f64::from(micros) / metric.micros_per_unit();
    let (measured, of_baseline) =
        (percentiles.map(|found| number(found.current)), percentiles.map(|found| number(found.baseline)));
    let change = measured.zip(of_baseline).map(|(measured, baseline)| measured - baseline);
    let nonzero = of_baseline.filter(|baseline| *baseline > 0.0);
    let ends = comparison.interval(judged, nuisance);
    let interval = ends.map(|ends| ends.map(|end| end / metric.micros_per_unit()));
    let ([from_effect, effect], [from_n, n]) = (comparison.effects(), comparison.n());
    let numbers = Numbers {
        max: percentiles.map(|found| number(found.limit)),
        n,
        within: comparison.within(),
        measured,
        interval: interval.zip(of_baseline).map(|(ends, baseline)| ends.map(|end| baseline + end)),
        effect,
        needed: match absent {
            // More traffic makes a sample no larger.
            None if read.iter().all(|share| *share >= 1.0) => {
                comparison.needed(judged, nuisance, compared.is_fixed())
            }
            _ => None,
        },
        first_ms: compared.first_ms,
    };
    let report = IncreaseReport {
        max_percent: increase.percent(),
        min: increase.least.number(metric),
        baseline: increase.baseline.to_string(),
        against: baseline.as_ref().map(|chosen| BaselineReport {
            release: chosen.release.clone(),
            period: chosen.range.into(),
            n: from_n,
            measured: of_baseline,
            design_effect: rounded(from_effect),
            design_effect_from: from_effect.source.name(),
            sampled: read.iter().any(|share| *share < 1.0).then_some(*read),
        }),
        absent: absent.clone(),
        change,
        change_percent: change.zip(nonzero).map(|(change, baseline)| change / baseline * 100.0),
        interval,
        unweighted: percentiles.map(|found| number(found.unweighted)),
        covered: percentiles.map(|_| comparison.covered()),
    };
    (numbers, report)
}

/// Returns the hours until so many page views are there, at the rate since the first one; `None` without page views, or if
/// the period has ended.
fn hours_until(
    needed: u64,
    question: &Question,
    (n, first_ms): (u64, Option<i64>),
    now_ms: i64,
) -> Option<f64> {
    let Range { from_ms, to_ms } = question.range;
    let passed_ms = now_ms.saturating_sub(first_ms.unwrap_or(from_ms));
    // A period that ends now ends with a minute that may be over when its question is answered.
    let is_over = to_ms.saturating_add(report::MINUTE_MS) < now_ms;
    if n == 0 || is_over || passed_ms <= 0 {
        return None;
    }
    let hours = passed_ms as f64 / 3_600_000.0;
    let missing = needed.saturating_sub(n) as f64;
    Some((missing * hours / n as f64 * 10.0).ceil() / 10.0)
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
pub(super) fn violation_key(budget: &Budget, filters: &Filters) -> String {
    let (device, release) =
        (filters.device.map_or("", Device::name), filters.release.as_deref().unwrap_or(""));
    let mut key = format!("{}|{device}|{release}", budget.key());
    for (name, value) in further(filters).filter(|(name, _)| *name != "release") {
        key.push_str(&format!("|{name}={value}"));
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The report of a CLS that is 0.3 more than in a release.
    fn report(change_percent: Option<f64>) -> BudgetReport {
        let against = BaselineReport {
            release: Some("5.0".to_owned()),
            period: Range { from_ms: 0, to_ms: 1 }.into(),
            n: 900,
            measured: None,
            design_effect: 1.0,
            design_effect_from: "hours",
            sampled: None,
        };
        let increase = IncreaseReport {
            max_percent: 10.0,
            min: 0.01,
            baseline: "release:5.0".to_owned(),
            against: Some(against),
            absent: None,
            change: Some(0.3),
            change_percent,
            interval: None,
            unweighted: None,
            covered: None,
        };
        BudgetReport {
            line: 0,
            route: "*".to_owned(),
            metric: "CLS",
            percentile: 75,
            max: None,
            unit: "score",
            device: None,
            filters: BTreeMap::new(),
            severity: "warn",
            min_samples: 100,
            routes: 1,
            n: 900,
            within: 0,
            measured: Some(0.4),
            interval: None,
            design_effect: 1.0,
            design_effect_from: "hours",
            verdict: "fail",
            reason: String::new(),
            samples_needed: None,
            hours_needed: None,
            increase: Some(increase),
        }
    }

    #[test]
    fn comparison_with_a_baseline_of_zero_has_no_percentage() {
        assert_eq!(report(Some(300.0)).comparison().as_deref(), Some("0.4, 0.3 (300.0 %) more than in 5.0"));
        assert_eq!(report(None).comparison().as_deref(), Some("0.4, 0.3 more than in 5.0"));
    }
}
