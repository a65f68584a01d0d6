//! Turns two sides' cells into changes with a verdict. `vitals::compare` has the statistics.

use crate::report::{Range, unit_name};
use fieldvitals_store::limits::STRATA_WINDOWS_MAX;
use fieldvitals_store::{Cell, Dimension, GroupBy, RouteCell, Stratum};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use utoipa::ToSchema;
use vitals::compare::{self, Change, ChangeVerdict};
use vitals::histogram::{Estimate, Histogram};
use vitals::metric::{Metric, Metrics};
use vitals::view::{Device, NavigationType};

const HOUR_MS: i64 = 3_600_000;

/// A percentile of one side, in the metric's unit.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EstimateReport {
    /// Page views with a value; of reweighted ones, the number of equal weights with the same error.
    pub n: u64,
    /// The percentile.
    pub value: f64,
    /// The 90 % confidence interval; absent with too few page views.
    pub interval: Option<[f64; 2]>,
}

impl From<Estimate> for EstimateReport {
    fn from(Estimate { n, value, interval }: Estimate) -> Self {
        Self { n, value, interval }
    }
}

/// The change of a metric's percentile from the baseline to the current side.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ChangeReport {
    /// `ms` or `score`.
    pub unit: &'static str,
    /// The percentile of the baseline.
    pub baseline: Option<EstimateReport>,
    /// The percentile of the current side.
    pub current: Option<EstimateReport>,
    /// The current percentile minus that of the baseline; absent if one is absent.
    pub change: Option<f64>,
    /// The change in per cent of the baseline; absent if the baseline is 0.
    pub change_percent: Option<f64>,
    /// The 90 % confidence interval of the change; absent with too few page views.
    pub interval: Option<[f64; 2]>,
    /// The smallest share of false alarms at which the change is an alarm, among all changes of this answer (Benjamini
    /// and Hochberg); at most 0.05 for a verdict. Absent with too few page views.
    pub p_value: Option<f64>,
    /// `worse`, `better`, `no clear change` or `not enough data`.
    #[schema(value_type = String)]
    pub verdict: ChangeVerdict,
}

/// A comparison before its verdict.
#[derive(Clone, Copy, Debug)]
struct Compared {
    metric: Metric,
    baseline: Option<Estimate>,
    current: Option<Estimate>,
    change: Option<Change>,
}

impl Compared {
    fn new(metric: Metric, percent: u8, baseline: &Histogram, current: &Histogram) -> Self {
        let [baseline, current] = [baseline, current].map(|side| Estimate::of(metric, side, percent));
        Self { metric, baseline, current, change: compare::change(metric, baseline, current) }
    }

    /// Compares a metric of two cells; `None` if one has too few values for a verdict. A ranking has many small samples, and
    /// their estimates take time.
    fn of_many(metric: Metric, percent: u8, sides: [&Cell; 2]) -> Option<Self> {
        let [baseline, current] = sides.map(|side| side.metric(metric));
        let least = vitals::limits::COMPARED_SAMPLES_MIN as i64;
        (baseline.n().min(current.n()) >= least).then(|| Self::new(metric, percent, baseline, current))
    }

    fn report(self, (verdict, p_value): (ChangeVerdict, Option<f64>)) -> ChangeReport {
        let (from, to) = (self.baseline.map(|side| side.value), self.current.map(|side| side.value));
        let change = from.zip(to).map(|(from, to)| to - from);
        let nonzero = from.filter(|from| *from > 0.0);
        ChangeReport {
            unit: unit_name(self.metric),
            baseline: self.baseline.map(Into::into),
            current: self.current.map(Into::into),
            change,
            change_percent: change.zip(nonzero).map(|(change, from)| change / from * 100.0),
            interval: self.change.map(|change| change.interval),
            p_value,
            verdict,
        }
    }
}

fn judged(all: Vec<Compared>) -> impl Iterator<Item = (Compared, ChangeReport)> {
    let changes: Vec<_> = all.iter().map(|one| (one.metric, one.change)).collect();
    all.into_iter().zip(compare::judge(&changes)).map(|(one, verdict)| (one, one.report(verdict)))
}

/// Compares the metrics of two cells, judged together. Omits metrics without values on both sides.
#[must_use]
pub fn changes(
    metrics: Metrics,
    percent: u8,
    baseline: &Cell,
    current: &Cell,
) -> BTreeMap<&'static str, ChangeReport> {
    let compared = |metric| Compared::new(metric, percent, baseline.metric(metric), current.metric(metric));
    let all = metrics.iter().map(compared).filter(|one| one.baseline.is_some() || one.current.is_some());
    judged(all.collect()).map(|(one, report)| (one.metric.name(), report)).collect()
}

/// A metric of a row of a ranking in the time before, and the change since.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RowPrevious {
    /// Page views with a value in the time before.
    pub n: u64,
    /// Their 75th percentile.
    pub p75: f64,
    /// The change since, in per cent of `p75`; absent if that is 0.
    pub change_percent: Option<f64>,
    /// `worse`, `better` or `no clear change`.
    #[schema(value_type = String)]
    pub verdict: ChangeVerdict,
}

/// Compares rows of a ranking with the time before; all metrics of all rows are judged together. Each row has the cell
/// before and the current one. Omits metrics with too few values on one side.
#[must_use]
pub fn rows(metrics: Metrics, rows: &[[&Cell; 2]]) -> Vec<BTreeMap<&'static str, RowPrevious>> {
    let each = rows
        .iter()
        .enumerate()
        .flat_map(|(place, row)| metrics.iter().map(move |metric| (place, metric, row)));
    let (places, all): (Vec<usize>, Vec<Compared>) =
        each.filter_map(|(place, metric, row)| Some((place, Compared::of_many(metric, 75, *row)?))).unzip();
    let mut previous = vec![BTreeMap::new(); rows.len()];
    for (place, (one, ChangeReport { change_percent, verdict, .. })) in places.into_iter().zip(judged(all)) {
        if let (Some(row), Some(before)) = (previous.get_mut(place), one.baseline) {
            let before = RowPrevious { n: before.n, p75: before.value, change_percent, verdict };
            row.insert(one.metric.name(), before);
        }
    }
    previous
}

/// The change of a metric on one route.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RouteChange {
    /// The route.
    pub route: String,
    /// The metric.
    pub metric: &'static str,
    /// The change.
    #[serde(flatten)]
    pub change: ChangeReport,
}

/// Returns the changes of routes that moved most, judged together: clear changes first, then by their size, measured by
/// the metric's good threshold. Omits routes without enough page views on both sides.
#[must_use]
pub fn routes(
    metrics: Metrics,
    percent: u8,
    (baseline, current): (&[RouteCell], &[RouteCell]),
    limit: usize,
) -> Vec<RouteChange> {
    let before: HashMap<&str, &Cell> = baseline.iter().map(|row| (row.route.as_str(), &row.cell)).collect();
    let mut names = Vec::new();
    let mut all = Vec::new();
    for row in current {
        let Some(&cell) = before.get(row.route.as_str()) else { continue };
        for metric in metrics.iter() {
            if let Some(one) = Compared::of_many(metric, percent, [cell, &row.cell]) {
                names.push(row.route.as_str());
                all.push(one);
            }
        }
    }
    let mut moved: Vec<(bool, f64, RouteChange)> = Vec::new();
    for (name, (one, change)) in names.into_iter().zip(judged(all)) {
        let size = change.change.unwrap_or(0.0).abs() / one.metric.thresholds().good.number(one.metric);
        let is_clear = matches!(change.verdict, ChangeVerdict::Worse | ChangeVerdict::Better);
        moved.push((
            is_clear,
            size,
            RouteChange { route: name.to_owned(), metric: one.metric.name(), change },
        ));
    }
    moved.sort_by(|a, b| {
        b.0.cmp(&a.0)
            .then(b.1.total_cmp(&a.1))
            .then_with(|| (&a.2.route, a.2.metric).cmp(&(&b.2.route, b.2.metric)))
    });
    moved.into_iter().take(limit).map(|(_, _, change)| change).collect()
}

/// The change of a metric at equal shares of device, country and navigation type.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReweightedReport {
    /// Share of the sampled page views in classes that both sides have, 0 to 1; below 0.5 there is no verdict.
    pub covered: f64,
    /// The change. Its sides hold the sampled page views of these classes.
    #[serde(flatten)]
    pub change: ChangeReport,
}

/// Compares the metrics at the baseline's shares of classes. Ignores the property that the sides differ by.
#[must_use]
pub fn reweighted(
    metrics: Metrics,
    percent: u8,
    (baseline, current): (&[Stratum], &[Stratum]),
    without: Option<GroupBy>,
) -> BTreeMap<&'static str, ReweightedReport> {
    let [baseline, current] = [baseline, current].map(|side| classes(side, without));
    let empty = Cell::default();
    let keys: Vec<&Class<'_>> =
        baseline.keys().chain(current.keys().filter(|class| !baseline.contains_key(*class))).collect();
    let compared = metrics.iter().map(|metric| {
        let sides = keys
            .iter()
            .map(|class| [&baseline, &current].map(|side| side.get(*class).unwrap_or(&empty).metric(metric)));
        (metric, compare::reweighted(metric, percent, sides))
    });
    let compared: Vec<_> = compared.filter(|(_, one)| one.baseline.is_some()).collect();
    let covered: Vec<f64> = compared.iter().map(|(_, one)| one.covered).collect();
    let all = compared.into_iter().map(|(metric, one)| Compared {
        metric,
        baseline: one.baseline,
        current: one.current,
        change: one.change,
    });
    let reports = judged(all.collect()).zip(covered);
    reports
        .map(|((one, change), covered)| (one.metric.name(), ReweightedReport { covered, change }))
        .collect()
}

/// Device, country and navigation type, as the properties of a class.
type Class<'a> = [Option<&'a str>; 3];

fn classes(strata: &[Stratum], without: Option<GroupBy>) -> BTreeMap<Class<'_>, Cell> {
    let counts = |dimension| without != Some(GroupBy::Rolled(dimension));
    let mut classes: BTreeMap<Class<'_>, Cell> = BTreeMap::new();
    for stratum in strata {
        let device = stratum.device.map(Device::name).filter(|_| counts(Dimension::Device));
        let country = stratum.country.as_deref().filter(|_| counts(Dimension::Country));
        let kind = stratum.navigation_type.map(NavigationType::name);
        let class = [device, country, kind.filter(|_| counts(Dimension::NavigationType))];
        classes.entry(class).or_default().merge(&stratum.cell);
    }
    classes
}

/// Returns windows of a range that hold about a `share` of its page views: one window of the same length in each hour, at
/// a place that follows from the hour. A long range has fewer, longer windows.
#[must_use]
pub fn windows(range: Range, share: f64) -> Vec<std::ops::Range<i64>> {
    if share >= 1.0 {
        return std::iter::once(range.from_ms..range.to_ms).collect();
    }
    let hours = (range.to_ms - range.from_ms).div_euclid(HOUR_MS).max(1);
    let step_ms =
        hours.saturating_add(STRATA_WINDOWS_MAX as i64 - 1).div_euclid(STRATA_WINDOWS_MAX as i64) * HOUR_MS;
    let length_ms = ((step_ms as f64 * share) as i64).max(1);
    let starts =
        (0..).map(|step| range.from_ms + step * step_ms).take_while(|start_ms| *start_ms < range.to_ms);
    let window = |start_ms: i64| {
        let room_ms = (step_ms - length_ms).max(0) as u64 + 1;
        // SplitMix64 (Steele, Lea and Flood 2014): the same hour always has the same window.
        let mut bits = (start_ms as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let from_ms = start_ms + ((bits ^ (bits >> 31)) % room_ms) as i64;
        from_ms..(from_ms + length_ms).min(range.to_ms)
    };
    starts.map(window).filter(|window| !window.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::Weight;
    use vitals::metric::{Value, Values};

    fn cell(n: u32, lcp: f64) -> Cell {
        let mut cell = Cell::default();
        for number in 0..n {
            let mut values = Values::EMPTY;
            let value = lcp * (0.7 + 0.6 * f64::from(number) / f64::from(n));
            values.set(Metric::Lcp, Value::new(Metric::Lcp, value).ok());
            cell.add(&values, Weight::ONE, 1);
        }
        cell
    }

    fn row(route: &str, n: u32, lcp: f64) -> RouteCell {
        RouteCell { route: route.to_owned(), cell: cell(n, lcp) }
    }

    #[test]
    fn a_change_has_its_size_and_a_verdict() {
        let changes = changes(Metrics::ALL, 75, &cell(400, 2_000.0), &cell(400, 2_800.0));
        assert_eq!(changes.keys().copied().collect::<Vec<_>>(), ["LCP"], "metrics without values are absent");
        let lcp = &changes["LCP"];
        assert_eq!(lcp.verdict, ChangeVerdict::Worse);
        assert!((lcp.change_percent.unwrap() - 40.0).abs() < 1.0 && lcp.p_value.unwrap() < 0.05);
        let few = super::changes(Metrics::ALL, 75, &cell(400, 2_000.0), &cell(50, 2_800.0));
        assert_eq!((few["LCP"].verdict, few["LCP"].p_value), (ChangeVerdict::NotEnoughData, None));
        assert!(few["LCP"].change.is_some(), "the numbers are shown all the same");
    }

    #[test]
    fn routes_that_moved_most_come_first_and_small_ones_not_at_all() {
        let baseline = vec![
            row("/a", 300, 2_000.0),
            row("/b", 300, 2_000.0),
            row("/c", 20, 1_000.0),
            row("/d", 300, 1_000.0),
        ];
        let current = vec![
            row("/a", 300, 2_000.0),
            row("/b", 300, 2_900.0),
            row("/c", 20, 9_000.0),
            row("/e", 300, 1_000.0),
        ];
        let moved = routes(Metrics::only(Metric::Lcp), 75, (&baseline, &current), 10);
        let told: Vec<_> = moved.iter().map(|one| (one.route.as_str(), one.change.verdict)).collect();
        assert_eq!(told, [("/b", ChangeVerdict::Worse), ("/a", ChangeVerdict::NoClearChange)]);
        assert_eq!(routes(Metrics::ALL, 75, (&baseline, &current), 1).len(), 1);
    }

    #[test]
    fn row_has_its_time_before_if_both_have_enough_page_views() {
        let (fast, slow, few) = (cell(400, 2_000.0), cell(400, 2_800.0), cell(99, 2_000.0));
        let rows = rows(Metrics::ALL, &[[&fast, &slow], [&fast, &fast], [&few, &slow], [&slow, &few]]);
        let told: Vec<_> =
            rows.iter().map(|row| row.get("LCP").map(|before| (before.n, before.verdict))).collect();
        assert_eq!(
            told,
            [Some((400, ChangeVerdict::Worse)), Some((400, ChangeVerdict::NoClearChange)), None, None]
        );
        let before = &rows[0]["LCP"];
        assert!((before.p75 / 2_300.0 - 1.0).abs() < 0.01, "of the time before, not of now: {}", before.p75);
        assert!((before.change_percent.unwrap() - 40.0).abs() < 1.0);
        assert_eq!(rows[0].len(), 1, "metrics without values are absent");
    }

    #[test]
    fn equal_shares_undo_a_change_of_the_audience() {
        let stratum = |device, n, lcp| Stratum {
            device: Some(device),
            country: None,
            navigation_type: None,
            cell: cell(n, lcp),
        };
        let side = |phones, slower: f64| {
            [
                stratum(Device::Phone, phones, 3_000.0 * slower),
                stratum(Device::Desktop, 2_000 - phones, 1_500.0),
            ]
        };
        let metrics = Metrics::only(Metric::Lcp);
        let verdict = |current: &[Stratum], without| {
            reweighted(metrics, 75, (&side(800, 1.0), current), without)["LCP"].change.verdict
        };
        assert_eq!(verdict(&side(1_200, 1.0), None), ChangeVerdict::NoClearChange);
        assert_eq!(verdict(&side(1_200, 1.4), None), ChangeVerdict::Worse);
        let by_device = Some(GroupBy::Rolled(Dimension::Device));
        assert_eq!(
            verdict(&side(1_200, 1.0), by_device),
            ChangeVerdict::Worse,
            "the class is of other properties"
        );
        assert!(reweighted(metrics, 75, (&[], &side(800, 1.0)), None).is_empty());
    }

    #[test]
    fn windows_hold_a_share_of_every_hour() {
        let range = Range { from_ms: 0, to_ms: 100 * HOUR_MS };
        let found = windows(range, 0.1);
        assert_eq!(found.len(), 100);
        for (hour, window) in (0..).zip(&found) {
            assert!(window.start >= hour * HOUR_MS && window.end <= (hour + 1) * HOUR_MS, "{window:?}");
            assert_eq!(window.end - window.start, HOUR_MS / 10);
        }
        let offsets: std::collections::BTreeSet<_> =
            found.iter().map(|window| window.start % HOUR_MS).collect();
        assert!(offsets.len() > 90, "no moment of the hour is preferred");
        assert_eq!(windows(range, 1.0), std::iter::once(0..100 * HOUR_MS).collect::<Vec<_>>());
        let long = windows(Range { from_ms: 0, to_ms: 2_500 * HOUR_MS }, 0.01);
        assert!(long.len() <= STRATA_WINDOWS_MAX && long.is_sorted_by(|a, b| a.end <= b.start));
    }
}
