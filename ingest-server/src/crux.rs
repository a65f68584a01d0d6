//! Records in the shape of the Chrome UX Report (CrUX) API, computed from the site's own page views.
//!
//! `period` has the collection periods, `record` and `history` the two answers. `google` asks Google for its own record.
//! Source of the shape: Google's discovery document `chromeuxreport:v1`.

mod google;
mod history;
mod period;
mod record;

pub use google::{CruxPages, CruxProblem, CruxSource, GoogleCrux, GoogleMetric, GoogleRecord};
pub use history::{
    BinSeries, FractionSeries, HistoryAnswer, HistoryRecord, MetricHistory, PercentileSeries, Share, Weeks,
};
pub use period::{CalendarDate, CollectionPeriod, PERIODS_DEFAULT, latest, weeks, windows};
pub use record::{
    Bin, Cells, FormFactor, MetricRecord, NormalizedUrl, Number, Percentiles, Record, RecordAnswer, RecordKey,
};

use fieldvitals_store::{Dimension, GroupBy, ValueCell};
use std::collections::BTreeMap;
use vitals::metric::{Metric, Metrics, Rating, Unit};
use vitals::view::{Device, NavigationType};

/// The source of a metric of CrUX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A distribution in three bins, and its 75th percentile.
    Distribution(Metric),
    /// Shares of page views by the values of a dimension.
    Shares(Dimension),
    /// The 75th percentile of a part of LCP over images, by its place among the parts.
    ImagePart(usize),
    /// Shares of page views by the kind of LCP element.
    ElementKinds,
    /// Not stored, so never in an answer.
    Absent,
}

/// The metrics of CrUX, sorted by name.
pub const METRICS: [(&str, Source); 13] = [
    ("cumulative_layout_shift", Source::Distribution(Metric::Cls)),
    ("experimental_time_to_first_byte", Source::Distribution(Metric::Ttfb)),
    ("first_contentful_paint", Source::Distribution(Metric::Fcp)),
    ("form_factors", Source::Shares(Dimension::Device)),
    ("interaction_to_next_paint", Source::Distribution(Metric::Inp)),
    ("largest_contentful_paint", Source::Distribution(Metric::Lcp)),
    ("largest_contentful_paint_image_element_render_delay", Source::ImagePart(3)),
    ("largest_contentful_paint_image_resource_load_delay", Source::ImagePart(1)),
    ("largest_contentful_paint_image_resource_load_duration", Source::ImagePart(2)),
    ("largest_contentful_paint_image_time_to_first_byte", Source::ImagePart(0)),
    ("largest_contentful_paint_resource_type", Source::ElementKinds),
    ("navigation_types", Source::Shares(Dimension::NavigationType)),
    ("round_trip_time", Source::Absent),
];

/// Form factors of CrUX, and the device of each.
const FORM_FACTORS: [(&str, Device); 3] =
    [("phone", Device::Phone), ("tablet", Device::Tablet), ("desktop", Device::Desktop)];

/// Navigation types of CrUX. `navigate` includes documents from the HTTP cache, which CrUX counts as `navigate_cache`. Soft
/// navigations have no type there.
const NAVIGATION_TYPES: [(&str, NavigationType); 6] = [
    ("navigate", NavigationType::Navigate),
    ("reload", NavigationType::Reload),
    ("restore", NavigationType::Restore),
    ("back_forward", NavigationType::BackForward),
    ("back_forward_cache", NavigationType::BackForwardCache),
    ("prerender", NavigationType::Prerender),
];

/// The requested metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked(Vec<(&'static str, Source)>);

impl Asked {
    /// All metrics.
    #[must_use]
    pub fn all() -> Self {
        Self(METRICS.to_vec())
    }

    /// Returns the named metrics.
    ///
    /// # Errors
    /// The first name that is unknown.
    pub fn named<'a>(names: &[&'a str]) -> Result<Self, &'a str> {
        let find = |name: &'a str| METRICS.into_iter().find(|(known, _)| *known == name).ok_or(name);
        names.iter().map(|&name| find(name)).collect::<Result<Vec<_>, _>>().map(Self)
    }

    /// The metrics with a distribution.
    #[must_use]
    pub fn distributions(&self) -> Metrics {
        self.sources()
            .filter_map(|source| if let Source::Distribution(metric) = source { Some(metric) } else { None })
            .collect()
    }

    /// Whether the shares of a dimension are requested.
    #[must_use]
    pub fn has_shares(&self, dimension: Dimension) -> bool {
        self.sources().any(|source| source == Source::Shares(dimension))
    }

    /// Whether a metric needs the attribution of page views.
    #[must_use]
    pub fn has_elements(&self) -> bool {
        self.sources().any(|source| matches!(source, Source::ImagePart(_) | Source::ElementKinds))
    }

    fn sources(&self) -> impl Iterator<Item = Source> {
        self.0.iter().map(|(_, source)| *source)
    }

    fn iter(&self) -> impl Iterator<Item = (&'static str, Source)> {
        self.0.iter().copied()
    }
}

/// Returns the names in CrUX of a dimension's values, with the values; empty if CrUX lacks the dimension.
#[must_use]
pub fn shared_values(dimension: Dimension) -> Vec<(&'static str, &'static str)> {
    match dimension {
        Dimension::Device => FORM_FACTORS.map(|(name, device)| (name, device.name())).to_vec(),
        Dimension::NavigationType => NAVIGATION_TYPES.map(|(name, kind)| (name, kind.name())).to_vec(),
        _ => Vec::new(),
    }
}

/// Returns the column of a dimension.
#[must_use]
pub const fn column(dimension: Dimension) -> GroupBy {
    GroupBy::Rolled(dimension)
}

/// The share of each value among page views with one of the values; `None` without such page views.
fn fractions(dimension: Dimension, rows: &[ValueCell]) -> Option<BTreeMap<&'static str, f64>> {
    let views = |value: &str| {
        rows.iter().find(|row| row.value.as_deref() == Some(value)).map_or(0, |row| row.cell.views)
    };
    let counts: Vec<(&str, i64)> =
        shared_values(dimension).into_iter().map(|(name, value)| (name, views(value))).collect();
    let all: i64 = counts.iter().map(|(_, views)| views).sum();
    (all > 0).then(|| counts.into_iter().map(|(name, views)| (name, density(views, all))).collect())
}

/// A share with four decimals, as CrUX has them.
fn density(part: i64, whole: i64) -> f64 {
    (part as f64 / whole.max(1) as f64 * 10_000.0).round() / 10_000.0
}

/// The edges of the three bins: the start of each, and the end of all but the last. They are the metric's thresholds.
fn edges(metric: Metric) -> [(Number, Option<Number>); 3] {
    let thresholds = metric.thresholds();
    let edge = |number: f64| shown(metric, number);
    let (good, poor) = (thresholds.good.number(metric), thresholds.needs_improvement.number(metric));
    [(edge(0.0), Some(edge(good))), (edge(good), Some(edge(poor))), (edge(poor), None)]
}

/// The ratings of the three bins.
const RATINGS: [Rating; 3] = [Rating::Good, Rating::NeedsImprovement, Rating::Poor];

/// A value as CrUX writes it: whole milliseconds, or a score as a text with two decimals. Rounds up a value that rounding
/// would carry over a threshold, because clients rate what they read.
fn shown(metric: Metric, value: f64) -> Number {
    let scale = match metric.unit() {
        Unit::Milliseconds => 1.0,
        Unit::Score => 100.0,
    };
    let thresholds = metric.thresholds();
    let nearest = (value * scale).round();
    let is_carried = [thresholds.good, thresholds.needs_improvement].into_iter().any(|threshold| {
        let threshold = threshold.number(metric);
        value > threshold && nearest <= (threshold * scale).round()
    });
    let whole = if is_carried { nearest + 1.0 } else { nearest };
    match metric.unit() {
        Unit::Milliseconds => Number::Whole(whole as u64),
        Unit::Score => Number::Text(format!("{:.2}", whole / scale)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_have_the_edges_of_crux() {
        let text = |text: &str| Number::Text(text.to_owned());
        let whole = Number::Whole;
        assert_eq!(
            edges(Metric::Cls),
            [(text("0.00"), Some(text("0.10"))), (text("0.10"), Some(text("0.25"))), (text("0.25"), None)]
        );
        for (metric, good, poor) in [
            (Metric::Lcp, 2_500, 4_000),
            (Metric::Inp, 200, 500),
            (Metric::Fcp, 1_800, 3_000),
            (Metric::Ttfb, 800, 1_800),
        ] {
            let expected =
                [(whole(0), Some(whole(good))), (whole(good), Some(whole(poor))), (whole(poor), None)];
            assert_eq!(edges(metric), expected, "{metric:?}");
        }
    }

    #[test]
    fn rounding_carries_no_value_over_a_threshold() {
        for (metric, value, expected) in [
            (Metric::Lcp, 2_499.6, Number::Whole(2_500)),
            (Metric::Lcp, 2_500.0, Number::Whole(2_500)),
            (Metric::Lcp, 2_500.3, Number::Whole(2_501)),
            (Metric::Lcp, 2_612.4, Number::Whole(2_612)),
            (Metric::Cls, 0.0, Number::Text("0.00".to_owned())),
            (Metric::Cls, 0.1, Number::Text("0.10".to_owned())),
            (Metric::Cls, 0.100_2, Number::Text("0.11".to_owned())),
            (Metric::Cls, 0.117, Number::Text("0.12".to_owned())),
        ] {
            assert_eq!(shown(metric, value), expected, "{metric:?} {value}");
        }
    }

    #[test]
    fn names_are_found_or_told() {
        let names: Vec<&str> = METRICS.into_iter().map(|(name, _)| name).collect();
        assert!(names.is_sorted());
        assert_eq!(Asked::named(&names), Ok(Asked::all()));
        assert_eq!(Asked::named(&["form_factors", "lcp"]), Err("lcp"));
        let asked = Asked::named(&["largest_contentful_paint", "form_factors"]).unwrap();
        assert!(asked.has_shares(Dimension::Device) && !asked.has_shares(Dimension::NavigationType));
        assert!(asked.distributions() == Metrics::only(Metric::Lcp) && !asked.has_elements());
    }
}
