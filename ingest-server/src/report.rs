//! Turns cells into reports: percentiles with their uncertainty, rating shares, rankings.

use crate::limits;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldvitals_store::{Cell, RouteCell};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use vitals::gate::INTERVAL_ALPHA;
use vitals::histogram::Histogram;
use vitals::metric::{Metric, Rating, Unit, Value};

pub(crate) const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The longest period that ends with the current minute; longer ones end with the current hour. Half an hour more or less
/// changes a short period's answer, and parts of hours cost reads of page views.
const MINUTES_PERIOD_MS_MAX: i64 = 2 * DAY_MS;

/// A range of page view start times in UTC milliseconds: whole minutes, end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Start of the range.
    pub from_ms: i64,
    /// End of the range, excluded.
    pub to_ms: i64,
}

impl Range {
    /// Parses the range of a query: `from` and `to` (RFC 3339), or a `period` such as `24h` or `7d` that ends at `to`, or
    /// now: with the current minute, or with the current hour if longer than 2 days. The default is 7 days.
    ///
    /// # Errors
    /// The message says which parameter is wrong and what was expected.
    pub fn parse(
        period: Option<&str>,
        from: Option<&str>,
        to: Option<&str>,
        now_ms: i64,
    ) -> Result<Self, String> {
        if from.is_some() && period.is_some() {
            return Err("`period` and `from` exclude each other".to_owned());
        }
        let length_ms = duration_ms(period.unwrap_or("7d"))?;
        let is_long = from.is_none() && length_ms > MINUTES_PERIOD_MS_MAX;
        // Excludes page views from devices whose clocks run ahead, until their start time is reached.
        let end_ms = match to {
            Some(text) => next(instant("to", text)?, MINUTE_MS),
            None => next(now_ms.saturating_add(1), if is_long { HOUR_MS } else { MINUTE_MS }),
        };
        let from_ms = match from {
            Some(text) => instant("from", text)?.div_euclid(MINUTE_MS) * MINUTE_MS,
            None => end_ms.saturating_sub(length_ms),
        };
        if from_ms >= end_ms {
            return Err("the range is empty: `from` is not before `to`".to_owned());
        }
        if end_ms.saturating_sub(from_ms) > limits::QUERY_DAYS_MAX * DAY_MS {
            return Err(format!("the range is longer than {} days", limits::QUERY_DAYS_MAX));
        }
        Ok(Self { from_ms, to_ms: end_ms })
    }
}

/// Returns the first start of a step at or after a moment.
const fn next(ms: i64, step_ms: i64) -> i64 {
    ms.saturating_add(step_ms - 1).div_euclid(step_ms) * step_ms
}

fn instant(name: &str, text: &str) -> Result<i64, String> {
    text.parse::<Timestamp>()
        .map(Timestamp::as_millisecond)
        .map_err(|_| format!("`{name}` is `{}`: expected a time such as 2026-11-21T00:00:00Z", short(text)))
}

fn duration_ms(period: &str) -> Result<i64, String> {
    let wrong = || format!("`period` is `{}`: expected hours or days, such as 24h or 28d", short(period));
    let (digits, unit_ms) = match period.strip_suffix('h') {
        Some(digits) => (digits, HOUR_MS),
        None => (period.strip_suffix('d').ok_or_else(wrong)?, DAY_MS),
    };
    let count: i64 = digits.parse().map_err(|_| wrong())?;
    if count < 1 { Err(wrong()) } else { count.checked_mul(unit_ms).ok_or_else(wrong) }
}

/// Cuts a parameter's value for an error message.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(32).collect()
}

/// Formats UTC milliseconds as RFC 3339.
#[must_use]
pub fn time_text(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}

/// The period of an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PeriodReport {
    /// Start of the period by page view start, RFC 3339, UTC.
    pub from: String,
    /// End of the period, excluded.
    pub to: String,
    /// Set if a part of the requested period is past the retention of the data that the answer needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited: Option<String>,
}

impl PeriodReport {
    /// The counted period of an answer, beside the requested range.
    #[must_use]
    pub fn counted(period: std::ops::Range<i64>, asked: Range) -> Self {
        let limited = (period.start > asked.from_ms).then(|| {
            let from = time_text(period.start);
            format!("the data for this question is kept from {from} on; filters and groupings that only page views have \
                     work within the retention of page views")
        });
        Self { limited, ..period.into() }
    }
}

impl From<Range> for PeriodReport {
    fn from(range: Range) -> Self {
        (range.from_ms..range.to_ms).into()
    }
}

impl From<std::ops::Range<i64>> for PeriodReport {
    fn from(period: std::ops::Range<i64>) -> Self {
        Self { from: time_text(period.start), to: time_text(period.end), limited: None }
    }
}

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

/// One bin: page views with a value in a range.
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

/// Sort key of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Page views.
    Views,
    /// The 75th percentile of the chosen metric.
    P75,
    /// The share of poor page views of the chosen metric.
    Poor,
    /// The route's name.
    Route,
}

/// Sort order of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Smallest first.
    Asc,
    /// Largest first.
    Desc,
}

/// A ranking of routes, and the start of a page of it.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// The metric of `p75` and `poor`.
    pub metric: Metric,
    /// Sort key.
    pub sort: Sort,
    /// Sort order.
    pub order: Order,
    /// Routes per page.
    pub limit: usize,
    /// The last route of the previous page.
    pub after: Option<Cursor>,
}

/// A position in a ranking: sort value and route of the last row shown. Stays valid when rows are added or removed
/// between two pages.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    value: Option<f64>,
    route: String,
}

impl Cursor {
    /// Encodes the cursor as URL-safe text.
    #[must_use]
    pub fn encode(&self) -> String {
        let bits = self.value.map_or(String::new(), |value| format!("{:016x}", value.to_bits()));
        URL_SAFE_NO_PAD.encode(format!("{bits}:{}", self.route))
    }

    /// Parses the text of [`Cursor::encode`].
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (bits, route) = text.split_once(':')?;
        let value = match bits {
            "" => None,
            bits => Some(f64::from_bits(u64::from_str_radix(bits, 16).ok()?)),
        };
        Some(Self { value, route: route.to_owned() })
    }
}

impl Ranking {
    /// Returns one page of the ranking, and the cursor of the next page if there is one.
    #[must_use]
    pub fn page(&self, cells: Vec<RouteCell>) -> (Vec<RouteCell>, Option<Cursor>) {
        let mut rows: Vec<(Cursor, RouteCell)> = cells
            .into_iter()
            .filter(|row| row.cell.views > 0)
            .map(|row| (Cursor { value: self.value(&row.cell), route: row.route.clone() }, row))
            .collect();
        rows.sort_by(|(a, _), (b, _)| self.compare(a, b));
        let start = match &self.after {
            Some(after) => rows.partition_point(|(place, _)| self.compare(place, after) != Ordering::Greater),
            None => 0,
        };
        let mut page = rows.split_off(start);
        let more = page.len() > self.limit;
        page.truncate(self.limit);
        let next = page.last().filter(|_| more).map(|(place, _)| place.clone());
        (page.into_iter().map(|(_, row)| row).collect(), next)
    }

    fn value(&self, cell: &Cell) -> Option<f64> {
        let histogram = cell.metric(self.metric);
        match self.sort {
            Sort::Views => Some(cell.views as f64),
            Sort::P75 => histogram.percentile(self.metric, 75),
            Sort::Poor => {
                (histogram.n() > 0).then(|| histogram.rated(Rating::Poor) as f64 / histogram.n() as f64)
            }
            Sort::Route => None,
        }
    }

    /// Sorts routes without a value last in either order, and equal values by route.
    fn compare(&self, a: &Cursor, b: &Cursor) -> Ordering {
        let directed = |ordering: Ordering| match self.order {
            Order::Asc => ordering,
            Order::Desc => ordering.reverse(),
        };
        match (a.value, b.value) {
            (Some(a), Some(b)) => directed(a.total_cmp(&b)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) if self.sort == Sort::Route => directed(a.route.cmp(&b.route)),
            (None, None) => Ordering::Equal,
        }
        .then_with(|| a.route.cmp(&b.route))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::Weight;
    use vitals::metric::Values;

    const NOW_MS: i64 = 1_763_632_800_000 + 1_234_567;

    fn cell(route: &str, lcps: &[f64]) -> RouteCell {
        let mut cell = Cell::default();
        for &lcp in lcps {
            let mut values = Values::EMPTY;
            values.set(Metric::Lcp, Value::new(Metric::Lcp, lcp).ok());
            cell.add(&values, Weight::ONE, 1);
        }
        if lcps.is_empty() {
            cell.add(&Values::EMPTY, Weight::ONE, 1);
        }
        RouteCell { route: route.to_owned(), cell }
    }

    #[test]
    fn period_ends_with_the_current_minute_or_if_long_with_the_current_hour() {
        for (period, length_ms, step_ms) in [
            ("1h", HOUR_MS, MINUTE_MS),
            ("24h", DAY_MS, MINUTE_MS),
            ("2d", 2 * DAY_MS, MINUTE_MS),
            ("49h", 49 * HOUR_MS, HOUR_MS),
            ("7d", 7 * DAY_MS, HOUR_MS),
        ] {
            for now_ms in [NOW_MS, NOW_MS / HOUR_MS * HOUR_MS, NOW_MS / HOUR_MS * HOUR_MS - 1] {
                let range = Range::parse(Some(period), None, None, now_ms).unwrap();
                assert_eq!((range.to_ms - range.from_ms, range.to_ms % step_ms), (length_ms, 0), "{period}");
                assert!(now_ms < range.to_ms && range.to_ms <= now_ms + step_ms, "{period}: {now_ms}");
            }
        }
    }

    #[test]
    fn ranges_are_whole_minutes() {
        let range = |period, from, to| {
            let range = Range::parse(period, from, Some(to), NOW_MS).map(PeriodReport::from);
            range.map(|period| (period.from, period.to))
        };
        let of = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
        assert_eq!(
            range(None, Some("2026-11-20T00:30:10Z"), "2026-11-20T00:59:10Z"),
            of("2026-11-20T00:30:00Z", "2026-11-20T01:00:00Z")
        );
        assert_eq!(
            range(Some("7d"), None, "2026-11-20T00:30:00Z"),
            of("2026-11-13T00:30:00Z", "2026-11-20T00:30:00Z")
        );
        assert_eq!(Range::parse(None, None, None, NOW_MS), Range::parse(Some("7d"), None, None, NOW_MS));
        for (period, from, to) in [
            (Some("7"), None, None),
            (Some("0d"), None, None),
            (Some("-1d"), None, None),
            (Some("99999d"), None, None),
            (Some("9223372036854775807d"), None, None),
            (Some("7d"), Some("2026-11-20T00:00:00Z"), None),
            (None, Some("yesterday"), None),
            (None, Some("2026-11-20T00:00:00Z"), Some("2026-11-19T00:00:00Z")),
        ] {
            assert!(Range::parse(period, from, to, NOW_MS).is_err(), "{period:?} {from:?} {to:?}");
        }
    }

    #[test]
    fn a_report_has_exact_counts_and_the_rating_of_its_p75() {
        let mut lcps = vec![1_000.0; 75];
        lcps.extend([3_000.0; 20]);
        lcps.extend([9_000.0; 5]);
        let row = cell("/", &lcps);
        let report = MetricReport::new(Metric::Lcp, row.cell.metric(Metric::Lcp), true).unwrap();
        assert_eq!((report.n, report.good, report.needs_improvement, report.poor), (100, 75, 20, 5));
        assert_eq!(report.rating, "good");
        assert!((report.p90 / 3_000.0 - 1.0).abs() < 0.0055, "{}", report.p90);
        let [low, high] = report.p75_interval.unwrap();
        assert!(low <= report.p75 && report.p75 <= high && high > 2_900.0);
        let bins = report.distribution.unwrap();
        assert_eq!(bins.iter().map(|bin| bin.n).sum::<i64>(), 100);
        assert!(bins.iter().any(|bin| bin.from == 2_500.0) && bins.iter().any(|bin| bin.from == 4_000.0));
        assert!(bins.windows(2).all(|pair| pair[0].to == Some(pair[1].from)));
        assert!(
            MetricReport::new(Metric::Inp, row.cell.metric(Metric::Inp), true).is_none(),
            "absent, not 0"
        );
    }

    #[test]
    fn a_ranking_is_paged_without_gap_or_repeat() {
        let cells: Vec<RouteCell> = (0..10)
            .map(|n| cell(&format!("/{n}"), if n % 4 == 3 { &[] } else { &[500.0, 500.0] }))
            .chain([cell("/slow", &[9_000.0])])
            .collect();
        for (sort, order, first) in [
            (Sort::P75, Order::Desc, "/slow"),
            (Sort::Views, Order::Desc, "/0"),
            (Sort::Route, Order::Asc, "/0"),
            (Sort::Poor, Order::Desc, "/slow"),
        ] {
            let mut ranking = Ranking { metric: Metric::Lcp, sort, order, limit: 3, after: None };
            let mut seen = Vec::new();
            loop {
                let (page, next) = ranking.page(cells.clone());
                seen.extend(page.into_iter().map(|row| row.route));
                let Some(next) = next else { break };
                ranking.after = Cursor::decode(&next.encode());
                assert!(ranking.after.is_some());
            }
            assert_eq!(seen.len(), cells.len(), "{sort:?}");
            assert_eq!(seen[0], first, "{sort:?}");
            if sort == Sort::P75 {
                assert!(["/3", "/7"].contains(&seen[10].as_str()), "without a value: last");
            }
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), cells.len(), "{sort:?}");
        }
    }
}
