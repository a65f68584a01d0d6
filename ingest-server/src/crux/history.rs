//! The answer of `records:queryHistoryRecord`: weekly collection periods. Each period is computed as a record.

use super::record::{self, Cells, MetricRecord, NormalizedUrl, Number, RecordKey};
use super::{Asked, CollectionPeriod, Source, edges, shared_values, windows};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A share; `NaN` in a period without values.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Share {
    /// 0 to 1.
    Known(f64),
    /// The text `NaN`.
    Missing(&'static str),
}

impl From<Option<f64>> for Share {
    fn from(share: Option<f64>) -> Self {
        share.map_or(Self::Missing("NaN"), Self::Known)
    }
}

/// A bin over time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BinSeries {
    start: Number,
    /// Absent in the last bin.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<Number>,
    /// The share of each period.
    densities: Vec<Share>,
}

/// Percentiles over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PercentileSeries {
    /// The 75th percentile of each period; null without values.
    p75s: Vec<Option<Number>>,
}

/// A share over time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FractionSeries {
    /// The share of each period.
    fractions: Vec<Share>,
}

/// A metric over time: a distribution with its percentile, or shares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricHistory {
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram_timeseries: Option<Vec<BinSeries>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percentiles_timeseries: Option<PercentileSeries>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, FractionSeries>>)]
    fraction_timeseries: Option<BTreeMap<&'static str, FractionSeries>>,
}

/// A record over time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryRecord {
    key: RecordKey,
    /// Metrics by name; those without values are absent.
    #[schema(value_type = std::collections::HashMap<String, MetricHistory>)]
    metrics: BTreeMap<&'static str, MetricHistory>,
    /// The periods, oldest first. The values of all metrics have their order.
    collection_periods: Vec<CollectionPeriod>,
}

/// The answer of `records:queryHistoryRecord`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryAnswer {
    record: HistoryRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    url_normalization_details: Option<NormalizedUrl>,
}

/// The weeks of a history.
#[derive(Debug)]
pub struct Weeks {
    /// The bounds of the weeks, ascending; one more than there are weeks.
    pub bounds: Vec<i64>,
    /// The counts of each week; `None` past retention.
    pub cells: Vec<Option<Cells>>,
}

/// The metrics of a period.
type OfPeriod = BTreeMap<&'static str, MetricRecord>;

impl HistoryAnswer {
    /// Returns the history of some page views; `None` if no requested metric has values. A period with a week past
    /// retention has no values.
    #[must_use]
    pub fn new(key: RecordKey, url: Option<NormalizedUrl>, asked: &Asked, weeks: &Weeks) -> Option<Self> {
        let (mut periods, mut all) = (Vec::new(), Vec::new());
        for (range, places) in windows(&weeks.bounds) {
            periods.push(CollectionPeriod::from(&range));
            let cells = weeks.cells.get(places).and_then(merged);
            all.push(cells.map(|mut cells| record::metrics(asked, &mut cells)).unwrap_or_default());
        }
        let metrics: BTreeMap<_, _> =
            asked.iter().filter_map(|(name, source)| Some((name, over_time(name, source, &all)?))).collect();
        let record = HistoryRecord { key, metrics, collection_periods: periods };
        (!record.metrics.is_empty()).then_some(Self { record, url_normalization_details: url })
    }
}

/// The counts of some weeks together; `None` if one is past retention.
fn merged(weeks: &[Option<Cells>]) -> Option<Cells> {
    let mut sum = Cells::default();
    for week in weeks {
        sum.merge(week.as_ref()?);
    }
    Some(sum)
}

/// A metric over all periods; `None` without values in any.
fn over_time(name: &str, source: Source, all: &[OfPeriod]) -> Option<MetricHistory> {
    if !all.iter().any(|metrics| metrics.contains_key(name)) {
        return None;
    }
    let records: Vec<MetricRecord> =
        all.iter().map(|metrics| metrics.get(name).cloned().unwrap_or_default()).collect();
    match source {
        Source::Distribution(metric) => {
            let bins = edges(metric).into_iter().enumerate().map(|(place, (start, end))| BinSeries {
                start,
                end,
                densities: records.iter().map(|record| record.density(place).into()).collect(),
            });
            let p75s = records.iter().map(MetricRecord::p75).collect();
            Some(MetricHistory {
                histogram_timeseries: Some(bins.collect()),
                percentiles_timeseries: Some(PercentileSeries { p75s }),
                fraction_timeseries: None,
            })
        }
        Source::Shares(dimension) => {
            let series = shared_values(dimension).into_iter().map(|(value, _)| {
                let fractions = records.iter().map(|record| record.fraction(value).into()).collect();
                (value, FractionSeries { fractions })
            });
            Some(MetricHistory { fraction_timeseries: Some(series.collect()), ..MetricHistory::default() })
        }
        // Their page views are not kept for years.
        Source::ImagePart(_) | Source::ElementKinds | Source::Absent => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::rollup::DAY_MS;
    use fieldvitals_store::{Cell, Dimension, ValueCell, Views, Weight};
    use serde_json::json;
    use vitals::metric::{Metric, Value, Values};

    fn week(lcps: &[f64]) -> Option<Cells> {
        let mut total = Cell::default();
        for &lcp in lcps {
            let mut values = Values::EMPTY;
            values.set(Metric::Lcp, Value::new(Metric::Lcp, lcp).ok());
            total.add(&values, Weight::ONE, 1);
        }
        let devices = shared_values(Dimension::Device).into_iter().map(|(_, value)| {
            let mut cell = Cell::default();
            let count = if value == "phone" { lcps.len() as i64 } else { 0 };
            cell.count(Views { count, weight_milli: 0 });
            ValueCell { value: Some(value.to_owned()), cell }
        });
        Some(Cells { total, devices: devices.collect(), ..Cells::default() })
    }

    #[test]
    fn period_merges_four_weeks_and_missing_ones_have_no_values() {
        let good = [1_000.0; 3];
        // The first week is past retention, the last five have no page views.
        let mut cells = vec![None, week(&good), week(&[]), week(&[9_000.0]), week(&[])];
        cells.extend((0..4).map(|_| week(&[])));
        let weeks = Weeks { bounds: (0..=9).map(|week| (3 + week * 7) * DAY_MS).collect(), cells };
        let key = RecordKey { form_factor: None, origin: Some("https://a.example".to_owned()), url: None };
        let answer = HistoryAnswer::new(key, None, &Asked::all(), &weeks).unwrap();
        let answer = serde_json::to_value(answer).unwrap();
        let record = &answer["record"];
        assert_eq!(
            record["metrics"]["largest_contentful_paint"]["histogramTimeseries"],
            json!([
                {"start": 0, "end": 2500, "densities": ["NaN", 0.75, 0.0, 0.0, "NaN", "NaN"]},
                {"start": 2500, "end": 4000, "densities": ["NaN", 0.0, 0.0, 0.0, "NaN", "NaN"]},
                {"start": 4000, "densities": ["NaN", 0.25, 1.0, 1.0, "NaN", "NaN"]},
            ])
        );
        let p75s = record["metrics"]["largest_contentful_paint"]["percentilesTimeseries"]["p75s"].as_array();
        let known: Vec<bool> = p75s.unwrap().iter().map(serde_json::Value::is_u64).collect();
        assert_eq!(known, [false, true, true, true, false, false], "{p75s:?}");
        assert_eq!(
            record["metrics"]["form_factors"]["fractionTimeseries"]["phone"],
            json!({"fractions": ["NaN", 1.0, 1.0, 1.0, "NaN", "NaN"]})
        );
        assert_eq!(
            record["collectionPeriods"][0],
            json!({"firstDate": {"year": 1970, "month": 1, "day": 4}, "lastDate": {"year": 1970, "month": 1, "day": 31}})
        );
        assert_eq!(record["collectionPeriods"].as_array().map(Vec::len), Some(6));
        assert_eq!(record["metrics"].as_object().map(|metrics| metrics.len()), Some(2), "{record}");
    }

    #[test]
    fn history_without_values_is_none() {
        let weeks = Weeks { bounds: (0..=4).map(|week| week * 7 * DAY_MS).collect(), cells: Vec::new() };
        let key = RecordKey { form_factor: None, origin: None, url: None };
        assert_eq!(HistoryAnswer::new(key, None, &Asked::all(), &weeks), None);
    }
}
