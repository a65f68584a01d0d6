//! The statistics of one metric: percentiles with their uncertainty, rating counts, and a distribution for charts.

use fieldvitals_store::Cell;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use vitals::gate::INTERVAL_ALPHA;
use vitals::histogram::Histogram;
use vitals::metric::{Metric, Rating, Unit, Value};

/// Statistics of one metric. Percentiles are within 0.55 % and on the correct side of each threshold; the rating
/// counts are exact.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MetricReport {
    /// `ms` or `score`.
    pub unit: &'static str,
    /// Page views with a value of the metric.
    pub n: i64,
    /// The median.
    pub p50: f64,
    /// The 75th percentile, by which a page is rated.
    pub p75: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 90 % confidence interval of the 75th percentile, widened by the percentiles' error; absent if there are too
    /// few samples.
    pub p75_interval: Option<[f64; 2]>,
    /// Rating of the 75th percentile, decided by the exact counts: `good`, `needs-improvement` or `poor`.
    pub rating: &'static str,
    /// Page views rated good.
    pub good: i64,
    /// Page views rated needs-improvement.
    pub needs_improvement: i64,
    /// Page views rated poor.
    pub poor: i64,
    /// The largest good value, and the largest needs-improvement value.
    pub thresholds: [f64; 2],
    /// Histogram for charts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Vec<BinReport>>,
}

/// One bin: page views with a value in a range. At edges that are no thresholds, the page views of one bucket of the
/// histogram (1.1 % wide) count on the side of its middle.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BinReport {
    /// Lower edge, excluded; the first bin may contain 0.
    pub from: f64,
    /// Upper edge, included; absent in the last bin.
    pub to: Option<f64>,
    /// Page views.
    pub n: i64,
}

impl MetricReport {
    /// Returns the report of a histogram; `None` without values.
    #[must_use]
    pub fn new(metric: Metric, histogram: &Histogram, with_distribution: bool) -> Option<Self> {
        let n = histogram.n();
        if n < 1 {
            return None;
        }
        let percentile = |percent| histogram.percentile(metric, percent).unwrap_or_default();
        let thresholds = metric.thresholds();
        let (good, needs_improvement, poor) = (
            histogram.rated(Rating::Good),
            histogram.rated(Rating::NeedsImprovement),
            histogram.rated(Rating::Poor),
        );
        Some(Self {
            unit: unit_name(metric),
            n,
            p50: percentile(50),
            p75: percentile(75),
            p90: percentile(90),
            p95: percentile(95),
            p75_interval: histogram.interval(metric, 75, INTERVAL_ALPHA),
            rating: histogram.rating(75).name(),
            good,
            needs_improvement,
            poor,
            thresholds: [thresholds.good.number(metric), thresholds.needs_improvement.number(metric)],
            distribution: with_distribution.then(|| distribution(metric, histogram)),
        })
    }
}

/// Returns the name of a metric's unit: `ms` or `score`.
#[must_use]
pub fn unit_name(metric: Metric) -> &'static str {
    match metric.unit() {
        Unit::Milliseconds => "ms",
        Unit::Score => "score",
    }
}

/// Returns bins with both thresholds as edges: ten up to good, six up to poor, six of the same width above, and an
/// open last bin.
fn distribution(metric: Metric, histogram: &Histogram) -> Vec<BinReport> {
    let thresholds = metric.thresholds();
    let (good, poor) = (thresholds.good.micros(), thresholds.needs_improvement.micros());
    let step = (poor - good) / 6;
    let edges: Vec<f64> = (1..=10)
        .map(|part| good / 10 * part)
        .chain((1..6).map(|part| good + step * part))
        .chain((0..=6).map(|part| poor + step * part))
        .filter_map(|micros| Some(Value::from_micros(metric, micros)?.number(metric)))
        .collect();
    histogram
        .bins(metric, &edges)
        .into_iter()
        .map(|bin| BinReport { from: bin.from, to: bin.to.is_finite().then_some(bin.to), n: bin.n })
        .collect()
}

/// Returns the metrics of a cell that have samples, by name.
#[must_use]
pub fn metrics(cell: &Cell, with_distribution: bool) -> BTreeMap<&'static str, MetricReport> {
    Metric::ALL
        .into_iter()
        .filter_map(|metric| {
            Some((metric.name(), MetricReport::new(metric, cell.metric(metric), with_distribution)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::Weight;
    use vitals::metric::Values;

    fn cell(lcps: &[f64]) -> Cell {
        let mut cell = Cell::default();
        for &lcp in lcps {
            let mut values = Values::EMPTY;
            values.set(Metric::Lcp, Value::new(Metric::Lcp, lcp).ok());
            cell.add(&values, Weight::ONE, 1);
        }
        cell
    }

    #[test]
    fn a_report_has_exact_counts_and_the_rating_of_its_p75() {
        let mut lcps = vec![1_000.0; 75];
        lcps.extend([3_000.0; 20]);
        lcps.extend([9_000.0; 5]);
        let cell = cell(&lcps);
        let report = MetricReport::new(Metric::Lcp, cell.metric(Metric::Lcp), true).unwrap();
        assert_eq!((report.n, report.good, report.needs_improvement, report.poor), (100, 75, 20, 5));
        assert_eq!(report.rating, "good");
        assert!((report.p90 / 3_000.0 - 1.0).abs() < 0.0055, "{}", report.p90);
        let [low, high] = report.p75_interval.unwrap();
        assert!(low <= report.p75 && report.p75 <= high && high > 2_900.0);
        let bins = report.distribution.unwrap();
        assert_eq!(bins.iter().map(|bin| bin.n).sum::<i64>(), 100);
        assert!(bins.iter().any(|bin| bin.from == 2_500.0) && bins.iter().any(|bin| bin.from == 4_000.0));
        assert!(bins.windows(2).all(|pair| pair[0].to == Some(pair[1].from)));
        assert!(MetricReport::new(Metric::Inp, cell.metric(Metric::Inp), true).is_none(), "absent, not 0");
    }
}
