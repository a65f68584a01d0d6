//! The answer of `records:queryRecord`.

use super::{Asked, CollectionPeriod, RATINGS, Source, density, edges, fractions, shown};
use fieldvitals_store::context::lcp_elements::LcpElements;
use fieldvitals_store::{Cell, Dimension, ValueCell};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use utoipa::ToSchema;
use vitals::histogram::Histogram;
use vitals::metric::Metric;
use vitals::view::Device;

/// A class of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum FormFactor {
    /// Phones.
    Phone,
    /// Tablets.
    Tablet,
    /// Desktop computers.
    Desktop,
}

impl FormFactor {
    /// All form factors, with their names.
    pub const ALL: [(&str, Self); 3] =
        [("PHONE", Self::Phone), ("TABLET", Self::Tablet), ("DESKTOP", Self::Desktop)];

    /// The device.
    #[must_use]
    pub const fn device(self) -> Device {
        match self {
            Self::Phone => Device::Phone,
            Self::Tablet => Device::Tablet,
            Self::Desktop => Device::Desktop,
        }
    }
}

/// The page views of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordKey {
    /// The class of devices; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form_factor: Option<FormFactor>,
    /// The origin, for the pages of a whole site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The origin and the route, for the pages of a route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The URL of a request, and the URL of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NormalizedUrl {
    /// As requested.
    pub original_url: String,
    /// The origin and the route, such as `https://shop.example/product/:id`.
    pub normalized_url: String,
}

/// Milliseconds; a layout shift score is a text with two decimals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Number {
    /// Whole milliseconds.
    Whole(u64),
    /// A score.
    Text(String),
}

/// A bin of a distribution: the page views with one rating.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Bin {
    start: Number,
    /// Absent in the last bin.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<Number>,
    /// Share of the page views with the metric, 0 to 1.
    density: f64,
}

/// Percentiles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Percentiles {
    p75: Number,
}

/// A metric: a distribution with its percentile, a percentile alone, or shares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct MetricRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<Vec<Bin>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percentiles: Option<Percentiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, f64>>)]
    fractions: Option<BTreeMap<&'static str, f64>>,
}

impl MetricRecord {
    /// The share of a bin.
    pub(super) fn density(&self, bin: usize) -> Option<f64> {
        self.histogram.as_ref()?.get(bin).map(|bin| bin.density)
    }

    /// The 75th percentile.
    pub(super) fn p75(&self) -> Option<Number> {
        self.percentiles.as_ref().map(|percentiles| percentiles.p75.clone())
    }

    /// The share of a value.
    pub(super) fn fraction(&self, value: &str) -> Option<f64> {
        self.fractions.as_ref()?.get(value).copied()
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    key: RecordKey,
    /// Metrics by name; those without values are absent.
    #[schema(value_type = std::collections::HashMap<String, MetricRecord>)]
    metrics: BTreeMap<&'static str, MetricRecord>,
    collection_period: CollectionPeriod,
}

/// The answer of `records:queryRecord`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordAnswer {
    record: Record,
    #[serde(skip_serializing_if = "Option::is_none")]
    url_normalization_details: Option<NormalizedUrl>,
}

/// The counts of a record.
#[derive(Debug, Default)]
pub struct Cells {
    /// The counted period, in UTC milliseconds.
    pub period: Range<i64>,
    /// All page views.
    pub total: Cell,
    /// Page views by device; empty if not requested.
    pub devices: Vec<ValueCell>,
    /// Page views by navigation type; empty if not requested.
    pub navigation_types: Vec<ValueCell>,
    /// The LCP elements; empty if not requested.
    pub elements: LcpElements,
}

impl Cells {
    /// Adds the page views of other days. The rows by value must have the same order.
    pub(super) fn merge(&mut self, other: &Self) {
        self.total.merge(&other.total);
        for (mine, others) in
            [(&mut self.devices, &other.devices), (&mut self.navigation_types, &other.navigation_types)]
        {
            if mine.is_empty() {
                mine.clone_from(others);
                continue;
            }
            for (row, other) in mine.iter_mut().zip(others) {
                row.cell.merge(&other.cell);
            }
        }
    }
}

impl RecordAnswer {
    /// Returns the record of some page views; `None` if no requested metric has values.
    #[must_use]
    pub fn new(key: RecordKey, url: Option<NormalizedUrl>, asked: &Asked, mut cells: Cells) -> Option<Self> {
        let metrics = metrics(asked, &mut cells);
        let collection_period = (&cells.period).into();
        let record = Record { key, metrics, collection_period };
        (!record.metrics.is_empty()).then_some(Self { record, url_normalization_details: url })
    }
}

/// Returns the requested metrics with values.
pub(super) fn metrics(asked: &Asked, cells: &mut Cells) -> BTreeMap<&'static str, MetricRecord> {
    asked.iter().filter_map(|(name, source)| Some((name, metric(source, cells)?))).collect()
}

fn metric(source: Source, cells: &mut Cells) -> Option<MetricRecord> {
    match source {
        Source::Distribution(metric) => distribution(metric, cells.total.metric(metric)),
        Source::Shares(dimension) => {
            let rows = match dimension {
                Dimension::Device => &cells.devices,
                _ => &cells.navigation_types,
            };
            Some(MetricRecord { fractions: Some(fractions(dimension, rows)?), ..MetricRecord::default() })
        }
        Source::ImagePart(part) => {
            let p75 = Number::Whole(cells.elements.p75_ms(part)?.into());
            Some(MetricRecord { percentiles: Some(Percentiles { p75 }), ..MetricRecord::default() })
        }
        Source::ElementKinds => {
            let (images, texts) = (cells.elements.images(), cells.elements.texts());
            let all = images + texts;
            let fractions = [("image", density(images, all)), ("text", density(texts, all))];
            (all > 0).then(|| MetricRecord { fractions: Some(fractions.into()), ..MetricRecord::default() })
        }
        Source::Absent => None,
    }
}

fn distribution(metric: Metric, histogram: &Histogram) -> Option<MetricRecord> {
    let n = histogram.n();
    let p75 = histogram.percentile(metric, 75).filter(|_| n > 0)?;
    let bins = edges(metric).into_iter().zip(RATINGS).map(|((start, end), rating)| Bin {
        start,
        end,
        density: density(histogram.rated(rating), n),
    });
    Some(MetricRecord {
        histogram: Some(bins.collect()),
        percentiles: Some(Percentiles { p75: shown(metric, p75) }),
        fractions: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::{Views, Weight};
    use serde_json::json;
    use vitals::metric::{Value, Values};

    fn cell(views: &[(f64, f64)]) -> Cell {
        let mut cell = Cell::default();
        for &(lcp, cls) in views {
            let mut values = Values::EMPTY;
            values.set(Metric::Lcp, Value::new(Metric::Lcp, lcp).ok());
            values.set(Metric::Cls, Value::new(Metric::Cls, cls).ok());
            cell.add(&values, Weight::ONE, 1);
        }
        cell
    }

    fn views(value: Option<&str>, views: i64) -> ValueCell {
        let mut cell = Cell::default();
        cell.count(Views { count: views, weight_milli: 0 });
        ValueCell { value: value.map(str::to_owned), cell }
    }

    #[test]
    fn record_has_the_shape_of_crux() {
        let cells = Cells {
            // 2026-04-23 to 2026-05-20.
            period: 1_776_902_400_000..1_779_321_600_000,
            total: cell(&[(1_000.0, 0.0), (1_000.0, 0.0), (3_000.0, 0.2), (9_000.0, 0.5)]),
            devices: vec![views(Some("phone"), 2), views(Some("desktop"), 1), views(None, 40)],
            navigation_types: vec![views(Some("navigate"), 3), views(Some("soft-navigation"), 9)],
            elements: LcpElements::default(),
        };
        let key =
            RecordKey { form_factor: None, origin: None, url: Some("https://shop.example/p/:id".to_owned()) };
        let url = NormalizedUrl {
            original_url: "https://shop.example/p/7?q".to_owned(),
            normalized_url: "https://shop.example/p/:id".to_owned(),
        };
        let answer = RecordAnswer::new(key, Some(url), &Asked::all(), cells).unwrap();
        let mut answer = serde_json::to_value(answer).unwrap();
        // Percentiles are within 0.55 %.
        let p75 = answer["record"]["metrics"]["largest_contentful_paint"]["percentiles"]["p75"].take();
        assert!((p75.as_f64().unwrap() / 3_000.0 - 1.0).abs() < 0.0055, "{p75}");
        assert_eq!(
            answer,
            json!({
                "record": {
                    "key": {"url": "https://shop.example/p/:id"},
                    "metrics": {
                        "largest_contentful_paint": {"histogram": [
                            {"start": 0, "end": 2500, "density": 0.5}, {"start": 2500, "end": 4000, "density": 0.25},
                            {"start": 4000, "density": 0.25}], "percentiles": {"p75": null}},
                        "cumulative_layout_shift": {"histogram": [
                            {"start": "0.00", "end": "0.10", "density": 0.5},
                            {"start": "0.10", "end": "0.25", "density": 0.25}, {"start": "0.25", "density": 0.25}],
                            "percentiles": {"p75": "0.20"}},
                        "form_factors": {"fractions": {"phone": 0.6667, "tablet": 0.0, "desktop": 0.3333}},
                        "navigation_types": {"fractions": {"navigate": 1.0, "reload": 0.0, "restore": 0.0,
                            "back_forward": 0.0, "back_forward_cache": 0.0, "prerender": 0.0}},
                    },
                    "collectionPeriod": {"firstDate": {"year": 2026, "month": 4, "day": 23},
                        "lastDate": {"year": 2026, "month": 5, "day": 20}},
                },
                "urlNormalizationDetails": {"originalUrl": "https://shop.example/p/7?q",
                    "normalizedUrl": "https://shop.example/p/:id"},
            })
        );
    }

    #[test]
    fn record_without_values_is_none() {
        let key = RecordKey {
            form_factor: Some(FormFactor::Phone),
            origin: Some("https://a.example".to_owned()),
            url: None,
        };
        assert_eq!(RecordAnswer::new(key.clone(), None, &Asked::all(), Cells::default()), None);
        let asked = Asked::named(&["round_trip_time"]).unwrap();
        let total = cell(&[(1_000.0, 0.0)]);
        assert_eq!(
            RecordAnswer::new(key.clone(), None, &asked, Cells { total: total.clone(), ..Cells::default() }),
            None
        );
        let answer =
            RecordAnswer::new(key, None, &Asked::all(), Cells { total, ..Cells::default() }).unwrap();
        let answer = serde_json::to_value(answer).unwrap();
        assert_eq!(answer["record"]["key"], json!({"formFactor": "PHONE", "origin": "https://a.example"}));
        assert!(answer.get("urlNormalizationDetails").is_none());
    }
}
