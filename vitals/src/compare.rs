//! Compares a percentile of two groups of page views: two releases, two periods, two values of a dimension.
//!
//! The test is that of two independent estimates. Each side's error is a third of its 90 % interval from order
//! statistics ([`crate::gate::interval_ranks`]): `se = (high − low) / (2 × 1.645)`. Times are compared by their logarithms,
//! because their spread grows with them: `z = (ln to − ln from) / √(se² + se²)`. CLS, and times whose interval touches
//! zero, are compared by their difference. The histogram's error ([`ERROR_PERCENT_MAX`] on either side) bounds the error
//! from below, so that a percentile that moves into the next bucket is no change.
//!
//! Several metrics or routes are judged together: Benjamini and Hochberg's procedure (1995) bounds the expected share of
//! false alarms among all alarms. A change must also exceed an absolute floor: a certain 3 ms is of no use to anybody.
//!
//! [`reweighted`] compares at equal shares of all classes of page views, so that a change of the audience is not a change
//! of the pages: post-stratification of the current side to the shares of the baseline (Kish, Survey Sampling, 1965,
//! §4.5).

use crate::histogram::{ERROR_PERCENT_MAX, Estimate, Histogram, Weighted};
use crate::limits::{COMPARED_SAMPLES_MIN, STRATUM_SAMPLES_MIN};
use crate::metric::{Metric, Unit};
use crate::normal::two_tails;
use serde::{Deserialize, Serialize};

/// The accepted share of false alarms among alarms, and of false alarms in a single comparison.
pub const ALPHA: f64 = 0.05;
/// The normal quantile of [`crate::gate::INTERVAL_ALPHA`].
const INTERVAL_QUANTILE: f64 = 1.645;
/// Share of page views that both sides must have in common classes for a reweighted comparison.
const COVERED_MIN: f64 = 0.5;

/// The change of a percentile between two groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The current percentile minus that of the baseline, in the metric's unit.
    pub difference: f64,
    /// The 90 % confidence interval of the difference.
    pub interval: [f64; 2],
    /// Probability of a difference at least as large on either side if nothing has changed.
    pub p_value: f64,
}

/// The verdict on a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChangeVerdict {
    /// Larger than chance explains, and by more than the floor.
    #[serde(rename = "worse")]
    Worse,
    /// Smaller than chance explains, and by more than the floor.
    #[serde(rename = "better")]
    Better,
    /// Chance explains the change, or it is below the floor.
    #[serde(rename = "no clear change")]
    NoClearChange,
    /// Too few page views on one side.
    #[serde(rename = "not enough data")]
    NotEnoughData,
}

impl ChangeVerdict {
    /// Returns the words in API and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::NoClearChange => "no clear change",
            Self::NotEnoughData => "not enough data",
        }
    }
}

/// Returns the smallest change of a metric that matters, in its unit.
#[must_use]
pub const fn floor(metric: Metric) -> f64 {
    match metric {
        Metric::Lcp | Metric::Fcp => 100.0,
        Metric::Inp => 20.0,
        Metric::Cls => 0.01,
        Metric::Ttfb => 50.0,
        Metric::Fid => 10.0,
        Metric::Tti => 200.0,
    }
}

/// Compares two estimates; `None` if one is missing or has fewer than [`COMPARED_SAMPLES_MIN`] page views.
#[must_use]
pub fn change(metric: Metric, baseline: Option<Estimate>, current: Option<Estimate>) -> Option<Change> {
    let (baseline, current) = (baseline?, current?);
    if baseline.n.min(current.n) < COMPARED_SAMPLES_MIN {
        return None;
    }
    let ([from_low, from_high], [to_low, to_high]) = (baseline.interval?, current.interval?);
    let (from, to) = (baseline.value, current.value);
    let by_logarithms =
        metric.unit() == Unit::Milliseconds && [from_low, to_low, from, to].iter().all(|&end| end > 0.0);
    let scale = |value: f64| if by_logarithms { value.ln() } else { value };
    let error = |low: f64, high: f64| (scale(high) - scale(low)) / (2.0 * INTERVAL_QUANTILE);
    let of_histogram = ERROR_PERCENT_MAX / 100.0 * if by_logarithms { 2.0 } else { from + to };
    let error =
        error(from_low, from_high).hypot(error(to_low, to_high)).max(of_histogram / INTERVAL_QUANTILE);
    let scaled = scale(to) - scale(from);
    let end = |scaled: f64| if by_logarithms { from * scaled.exp_m1() } else { scaled };
    Some(Change {
        difference: to - from,
        interval: [end(scaled - INTERVAL_QUANTILE * error), end(scaled + INTERVAL_QUANTILE * error)],
        // Equal sides without spread have no error: nothing has changed.
        p_value: if scaled == 0.0 { 1.0 } else { two_tails(scaled.abs() / error) },
    })
}

/// Judges changes together, in their order. Returns each verdict and the adjusted p-value (Benjamini and Hochberg, 1995):
/// the smallest share of false alarms at which the change is an alarm. `None` stands for a missing change.
#[must_use]
pub fn judge(changes: &[(Metric, Option<Change>)]) -> Vec<(ChangeVerdict, Option<f64>)> {
    let p_values: Vec<f64> =
        changes.iter().filter_map(|(_, change)| Some(change.as_ref()?.p_value)).collect();
    let mut adjusted = adjust(&p_values).into_iter();
    let judge = |&(metric, change): &(Metric, Option<Change>)| {
        let Some(change) = change else { return (ChangeVerdict::NotEnoughData, None) };
        let p_value = adjusted.next();
        let is_clear = p_value.is_some_and(|p_value| p_value <= ALPHA);
        let verdict = if is_clear && change.difference > floor(metric) {
            ChangeVerdict::Worse
        } else if is_clear && change.difference < -floor(metric) {
            ChangeVerdict::Better
        } else {
            ChangeVerdict::NoClearChange
        };
        (verdict, p_value)
    };
    changes.iter().map(judge).collect()
}

/// Adjusts p-values: the i-th smallest of m becomes the least of `p × m / j` over all j ≥ i.
fn adjust(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = p_values.iter().copied().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut least = 1.0_f64;
    for ((place, p_value), rank) in order.into_iter().zip((1..=p_values.len()).rev()) {
        least = least.min(p_value * p_values.len() as f64 / rank as f64);
        if let Some(adjusted) = adjusted.get_mut(place) {
            *adjusted = least;
        }
    }
    adjusted
}

/// A comparison at equal shares of all classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reweighted {
    /// The baseline, in the classes that both sides have.
    pub baseline: Option<Estimate>,
    /// The current side, at the baseline's shares of these classes.
    pub current: Option<Estimate>,
    /// Share of the page views in these classes, 0 to 1: that of the side with the smaller share.
    pub covered: f64,
    /// The change; `None` with too few page views, or too few of them in common classes.
    pub change: Option<Change>,
}

/// Compares at the baseline's shares of classes. Each class has the histograms of baseline and current side. Classes with
/// fewer than [`STRATUM_SAMPLES_MIN`] values on either side are left out, because a few values cannot stand for many.
#[must_use]
pub fn reweighted<'a>(
    metric: Metric,
    percent: u8,
    classes: impl Iterator<Item = [&'a Histogram; 2]>,
) -> Reweighted {
    let (mut from, mut to) = (Weighted::default(), Weighted::default());
    let (mut all, mut covered) = ([0_i64; 2], [0_i64; 2]);
    for sides in classes {
        let n = sides.map(Histogram::n);
        add(&mut all, n);
        let [baseline, current] = n;
        if baseline.min(current) >= STRATUM_SAMPLES_MIN {
            add(&mut covered, n);
            let [from_values, to_values] = sides;
            from.add(from_values, 1.0);
            to.add(to_values, baseline as f64 / current as f64);
        }
    }
    let share = |[covered, all]: [i64; 2]| if all > 0 { covered as f64 / all as f64 } else { 0.0 };
    let ([from_all, to_all], [from_covered, to_covered]) = (all, covered);
    let covered = share([from_covered, from_all]).min(share([to_covered, to_all]));
    let (baseline, current) = (from.estimate(metric, percent), to.estimate(metric, percent));
    let change = if covered < COVERED_MIN { None } else { change(metric, baseline, current) };
    Reweighted { baseline, current, covered, change }
}

fn add(sums: &mut [i64; 2], more: [i64; 2]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.saturating_add(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Value;
    use crate::random::Random;

    impl Random {
        /// `n` log-normal values with σ = 0.7, the spread of field LCP, and the given 75th percentile.
        fn times(&mut self, n: u32, p75: f64) -> Histogram {
            let mut histogram = Histogram::default();
            for _ in 0..n {
                histogram.add(Metric::Lcp, Value::new(Metric::Lcp, self.log_normal(p75)).unwrap(), 1);
            }
            histogram
        }

        /// Page views of which a share is on phones, whose p75 is 3,000 ms times `slower`; that of desktops is 1,500 ms.
        fn classes(&mut self, n: u32, phones: f64, slower: f64) -> [Histogram; 2] {
            let on_phones = (f64::from(n) * phones) as u32;
            [self.times(on_phones, 3_000.0 * slower), self.times(n - on_phones, 1_500.0)]
        }
    }

    fn verdict(metric: Metric, baseline: &Histogram, current: &Histogram) -> ChangeVerdict {
        let [baseline, current] = [baseline, current].map(|side| Estimate::of(metric, side, 75));
        judge(&[(metric, change(metric, baseline, current))])[0].0
    }

    fn reweighted_verdict(baseline: &[Histogram; 2], current: &[Histogram; 2]) -> ChangeVerdict {
        let classes = baseline.iter().zip(current).map(|(from, to)| [from, to]);
        judge(&[(Metric::Lcp, reweighted(Metric::Lcp, 75, classes).change)])[0].0
    }

    fn share(
        runs: u32,
        wanted: impl Fn(ChangeVerdict) -> bool,
        mut run: impl FnMut() -> ChangeVerdict,
    ) -> f64 {
        f64::from((0..runs).map(|_| u32::from(wanted(run()))).sum::<u32>()) / f64::from(runs)
    }

    const fn is_alarm(verdict: ChangeVerdict) -> bool {
        matches!(verdict, ChangeVerdict::Worse | ChangeVerdict::Better)
    }

    fn merged(classes: &[Histogram; 2]) -> Histogram {
        let mut all = classes[0].clone();
        all.merge(&classes[1]);
        all
    }

    #[test]
    fn equal_groups_rarely_differ() {
        let mut random = Random(1);
        for (from, to) in [(100, 100), (1_000, 150), (1_000, 1_000)] {
            let alarms = share(1_000, is_alarm, || {
                verdict(Metric::Lcp, &random.times(from, 2_500.0), &random.times(to, 2_500.0))
            });
            assert!(alarms <= 0.05, "{from} and {to}: {alarms}");
        }
    }

    #[test]
    fn a_regression_is_found_and_an_improvement_too() {
        let mut random = Random(2);
        for (n, slower, wanted, least) in [
            (500, 1.4, ChangeVerdict::Worse, 0.99),
            (150, 1.4, ChangeVerdict::Worse, 0.7),
            (500, 1.0 / 1.4, ChangeVerdict::Better, 0.99),
        ] {
            let found = share(
                200,
                |verdict| verdict == wanted,
                || verdict(Metric::Lcp, &random.times(n, 2_500.0), &random.times(n, 2_500.0 * slower)),
            );
            assert!(found >= least, "{n}, {slower}: {found}");
        }
    }

    #[test]
    fn a_change_of_the_audience_is_no_change_of_the_pages() {
        let mut random = Random(3);
        let mut plain = Vec::new();
        let alarms = share(200, is_alarm, || {
            let [from, to] = [random.classes(2_000, 0.4, 1.0), random.classes(2_000, 0.6, 1.0)];
            plain.push(verdict(Metric::Lcp, &merged(&from), &merged(&to)));
            reweighted_verdict(&from, &to)
        });
        assert!(alarms <= 0.05, "{alarms}");
        let cried = plain.into_iter().filter(|&verdict| verdict == ChangeVerdict::Worse).count();
        assert!(cried > 190, "without weights the audience looks like a regression: {cried} of 200");
        let found = share(
            100,
            |verdict| verdict == ChangeVerdict::Worse,
            || {
                let [from, to] = [random.classes(2_000, 0.6, 1.0), random.classes(2_000, 0.4, 1.4)];
                reweighted_verdict(&from, &to)
            },
        );
        assert!(found >= 0.99, "a regression of phones behind fewer phones: {found}");
    }

    #[test]
    fn many_comparisons_rarely_cry_together() {
        let mut random = Random(4);
        let alarms = share(
            200,
            |verdict| verdict == ChangeVerdict::Worse,
            || {
                let changes: Vec<_> = (0..20)
                    .map(|_| {
                        let sides = [random.times(200, 2_500.0), random.times(200, 2_500.0)];
                        let [from, to] = sides.map(|side| Estimate::of(Metric::Lcp, &side, 75));
                        (Metric::Lcp, change(Metric::Lcp, from, to))
                    })
                    .collect();
                let cries = judge(&changes).iter().any(|(verdict, _)| is_alarm(*verdict));
                if cries { ChangeVerdict::Worse } else { ChangeVerdict::NoClearChange }
            },
        );
        assert!(alarms <= 0.07, "one of twenty without care: 0.5; here {alarms}");
    }

    #[test]
    fn p_values_are_adjusted_as_in_the_paper() {
        // The 15 p-values of Benjamini and Hochberg (1995), §4.1: the first four are alarms at 0.05.
        let p_values = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
            0.6528, 0.7590, 1.0,
        ];
        let adjusted = adjust(&p_values);
        assert_eq!(adjusted.iter().filter(|&&p| p <= 0.05).count(), 4);
        assert!((adjusted[3] - 0.0095 * 15.0 / 4.0).abs() < 1e-12 && adjusted.is_sorted());
        assert_eq!(adjust(&[]), Vec::<f64>::new());
        assert_eq!(adjust(&[0.04]), [0.04]);
    }

    #[test]
    fn few_page_views_and_small_changes_are_no_verdict() {
        let mut random = Random(5);
        let many = random.times(5_000, 2_500.0);
        let few = random.times(99, 9_000.0);
        assert_eq!(verdict(Metric::Lcp, &many, &few), ChangeVerdict::NotEnoughData);
        assert_eq!(verdict(Metric::Lcp, &many, &Histogram::default()), ChangeVerdict::NotEnoughData);
        let values = |value: f64| {
            let mut histogram = Histogram::default();
            histogram.add(Metric::Lcp, Value::new(Metric::Lcp, value).unwrap(), 1_000_000);
            histogram
        };
        assert_eq!(verdict(Metric::Lcp, &values(1_000.0), &values(1_080.0)), ChangeVerdict::NoClearChange);
        assert_eq!(verdict(Metric::Lcp, &values(1_000.0), &values(1_200.0)), ChangeVerdict::Worse);
        // One bucket further, at a value whose bucket is wider than the floor.
        assert_eq!(verdict(Metric::Lcp, &values(20_000.0), &values(20_200.0)), ChangeVerdict::NoClearChange);
        assert_eq!(verdict(Metric::Lcp, &values(1_000.0), &values(1_000.0)), ChangeVerdict::NoClearChange);
    }

    #[test]
    fn cls_is_compared_by_its_difference() {
        let shifts = |share_of_zeros: i64, value: f64| {
            let mut histogram = Histogram::default();
            histogram.add(Metric::Cls, Value::ZERO, share_of_zeros);
            histogram.add(Metric::Cls, Value::new(Metric::Cls, value).unwrap(), 1_000 - share_of_zeros);
            histogram
        };
        assert_eq!(verdict(Metric::Cls, &shifts(900, 0.1), &shifts(500, 0.1)), ChangeVerdict::Worse);
        assert_eq!(verdict(Metric::Cls, &shifts(900, 0.1), &shifts(900, 0.1)), ChangeVerdict::NoClearChange);
        let [from, to] =
            [shifts(900, 0.1), shifts(500, 0.1)].map(|side| Estimate::of(Metric::Cls, &side, 75));
        let change = change(Metric::Cls, from, to).unwrap();
        assert!(
            change.difference > 0.099 && change.interval[0] > 0.0 && change.interval[1] < 0.11,
            "{change:?}"
        );
    }

    #[test]
    fn the_interval_holds_the_difference() {
        let mut random = Random(6);
        let mut held = 0;
        for _ in 0..300 {
            let [from, to] = [random.times(500, 2_500.0), random.times(500, 3_000.0)];
            let [from, to] = [from, to].map(|side| Estimate::of(Metric::Lcp, &side, 75));
            let [low, high] = change(Metric::Lcp, from, to).unwrap().interval;
            held += u32::from((low..high).contains(&500.0));
        }
        assert!(held >= 264, "90 % less three standard errors of 300 runs: {held}");
    }
}
