//! The field score: how good the page views of a site or route are, 0 to 100.
//!
//! Each value gets a score between 0 and 1 on Lighthouse's log-normal curve (`shared/statistics.js`,
//! `getLogNormalScore`). A curve has two control points: 0.9 at the metric's good threshold, and 0.5 at its poor
//! threshold. For LCP, FCP, CLS and INP these curves are those of Lighthouse for mobile; TTFB follows the same rule. One
//! curve serves all devices, as the thresholds do.
//!
//! - The score of a metric is the mean over its page views, times 100. Scores of page views are averaged, never
//!   percentiles. A bucket of a histogram counts with the score of its middle, on the exact side of each threshold, so
//!   the score is off by at most 0.6 points.
//! - The field score is the weighted mean of the scores of the metrics that have values. The weights are those of
//!   Sentry's performance score (2024), with INP in the place of FID.
//!
//! The field score is no Lighthouse score: that one has Total Blocking Time and Speed Index of one load in a laboratory.

use crate::histogram::Histogram;
use crate::metric::{Metric, Value};

/// The weights of the metrics, in per cent. Source: Sentry's performance score, 2024.
pub const WEIGHTS: [(Metric, u8); 5] =
    [(Metric::Lcp, 30), (Metric::Inp, 30), (Metric::Cls, 15), (Metric::Fcp, 15), (Metric::Ttfb, 10)];

/// `erfc⁻¹(1/5)`: puts the first control point at a score of 0.9.
const INVERSE_ERFC_ONE_FIFTH: f64 = 0.906_193_802_436_823_2;

/// A field score with its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The field score, 0 to 100.
    pub score: f64,
    /// The metrics that have values, in the order of [`WEIGHTS`].
    pub parts: Vec<Part>,
}

/// A metric's part of a field score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// The metric.
    pub metric: Metric,
    /// Page views with a value.
    pub n: i64,
    /// The metric's score, 0 to 100.
    pub score: f64,
    /// The metric's share of the field score, 0 to 1. The weights of the parts sum to 1.
    pub weight: f64,
}

impl Score {
    /// Scores the histograms of some page views; `None` if no metric of [`WEIGHTS`] has a value.
    #[must_use]
    pub fn of<'a>(histogram: impl Fn(Metric) -> &'a Histogram) -> Option<Self> {
        let mut parts: Vec<Part> = WEIGHTS
            .into_iter()
            .filter_map(|(metric, weight)| {
                let values = histogram(metric);
                let score = values.mean(metric, |number| of_number(metric, number))? * 100.0;
                Some(Part { metric, n: values.n(), score, weight: weight.into() })
            })
            .collect();
        let whole: f64 = parts.iter().map(|part| part.weight).sum();
        for part in &mut parts {
            part.weight /= whole;
        }
        let score = parts.iter().map(|part| part.score * part.weight).sum();
        (!parts.is_empty()).then_some(Self { score, parts })
    }
}

/// Returns the score of one value, 0 to 1.
#[must_use]
pub fn of_value(metric: Metric, value: Value) -> f64 {
    of_number(metric, value.number(metric))
}

fn of_number(metric: Metric, number: f64) -> f64 {
    let thresholds = metric.thresholds();
    let (p10, median) = (thresholds.good.number(metric), thresholds.needs_improvement.number(metric));
    if number <= 0.0 {
        return 1.0;
    }
    let standardized = (number / median).ln() * INVERSE_ERFC_ONE_FIFTH / -(p10 / median).ln();
    let share = (1.0 - erf(standardized)) / 2.0;
    // Keeps the score in the band of its rating, as Lighthouse does against the error of `erf`.
    if number <= p10 {
        share.clamp(0.9, 1.0)
    } else if number <= median {
        share.clamp(0.5, 0.9_f64.next_down())
    } else {
        share.clamp(0.0, 0.5_f64.next_down())
    }
}

/// The error function, with an error below 1.5e-7 (Abramowitz and Stegun, 7.1.26), as in Lighthouse.
fn erf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let terms = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let y = terms.into_iter().fold(0.0, |sum, term| (sum + term) * t);
    let sum = 1.0 - y * (-x * x).exp();
    if x < 0.0 { -sum } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_those_of_lighthouse() {
        // Printed by `getLogNormalScore` of lighthouse 13.5.0 with the thresholds as p10 and median.
        for (metric, number, expected) in [
            (Metric::Lcp, 500.0, 0.9999999928391896),
            (Metric::Lcp, 1200.0, 0.9994861308983106),
            (Metric::Lcp, 2000.0, 0.9706206574372276),
            (Metric::Lcp, 2500.0, 0.9),
            (Metric::Lcp, 3000.0, 0.7836026877495138),
            (Metric::Lcp, 4000.0, 0.5),
            (Metric::Lcp, 4001.0, 0.4997280843661656),
            (Metric::Lcp, 6000.0, 0.13445521990743464),
            (Metric::Lcp, 10000.0, 0.006237153900782888),
            (Metric::Inp, 40.0, 0.99979417923456),
            (Metric::Inp, 150.0, 0.9539007154565848),
            (Metric::Inp, 200.0, 0.9),
            (Metric::Inp, 201.0, 0.8987702247735241),
            (Metric::Inp, 350.0, 0.6910596624695147),
            (Metric::Inp, 500.0, 0.5),
            (Metric::Inp, 900.0, 0.20551108402840634),
            (Metric::Cls, 0.01, 0.9999966312931263),
            (Metric::Cls, 0.05, 0.9878075200597567),
            (Metric::Cls, 0.1, 0.9),
            (Metric::Cls, 0.18, 0.6770464623881425),
            (Metric::Cls, 0.25, 0.5),
            (Metric::Cls, 0.6, 0.11039006171241772),
            (Metric::Fcp, 900.0, 0.9987381783709706),
            (Metric::Fcp, 1800.0, 0.9),
            (Metric::Fcp, 2400.0, 0.7121986321635088),
            (Metric::Fcp, 3000.0, 0.5),
            (Metric::Fcp, 5000.0, 0.10000006859614752),
            (Metric::Ttfb, 100.0, 0.9999975330946003),
            (Metric::Ttfb, 800.0, 0.9),
            (Metric::Ttfb, 1200.0, 0.7391658756182684),
            (Metric::Ttfb, 1800.0, 0.5),
            (Metric::Ttfb, 3000.0, 0.20975195372802435),
        ] {
            let score = of_value(metric, Value::new(metric, number).unwrap());
            assert!((score - expected).abs() < 1e-9, "{} {number}: {score}", metric.name());
        }
        assert_eq!(of_value(Metric::Cls, Value::ZERO), 1.0);
    }

    fn histogram(metric: Metric, numbers: &[(f64, i64)]) -> Histogram {
        let mut histogram = Histogram::default();
        for &(number, count) in numbers {
            histogram.add(metric, Value::new(metric, number).unwrap(), count);
        }
        histogram
    }

    #[test]
    fn score_of_a_metric_is_the_mean_of_its_page_views() {
        let numbers = [(900.0, 50), (2_700.0, 30), (9_000.0, 20)];
        let lcp = histogram(Metric::Lcp, &numbers);
        let none = Histogram::default();
        let score = Score::of(|metric| if metric == Metric::Lcp { &lcp } else { &none }).unwrap();
        let exact: f64 = numbers
            .into_iter()
            .map(|(number, count)| {
                of_value(Metric::Lcp, Value::new(Metric::Lcp, number).unwrap()) * count as f64
            })
            .sum();
        assert!((score.score - exact).abs() < 0.6, "{} beside {exact}", score.score);
        assert_eq!((score.parts.len(), score.parts[0].n, score.parts[0].weight), (1, 100, 1.0));
        assert_eq!(Score::of(|_| &none), None);
    }

    #[test]
    fn missing_metrics_leave_their_weight_to_the_others() {
        let (lcp, cls) = (histogram(Metric::Lcp, &[(0.0, 10)]), histogram(Metric::Cls, &[(99.0, 10)]));
        let none = Histogram::default();
        let score = Score::of(|metric| match metric {
            Metric::Lcp => &lcp,
            Metric::Cls => &cls,
            _ => &none,
        })
        .unwrap();
        // LCP has 30 of 45 parts and the score 100, CLS 15 of 45 and the score 0.
        assert!((score.score - 100.0 * 30.0 / 45.0).abs() < 1e-6, "{score:?}");
        assert_eq!(WEIGHTS.iter().map(|(_, weight)| i32::from(*weight)).sum::<i32>(), 100);
    }
}
