//! Exports daily rollups: a row for each UTC day and route, and for each day and value of a dimension.

use super::encode::{Encoder, Segment};
use super::schema::{Datum, Field, Kind};
use crate::moment::day_text;
use fieldvitals_store::rollup::DAY_MS;
use fieldvitals_store::{Cell, CellQuery, Dimension, GroupBy, SiteId, Store, estimate};
use std::ops::Range;
use vitals::metric::{Metric, Metrics, Rating};

/// The name of the dimension of routes.
const ROUTE: &str = "route";
/// The exported percentiles.
const PERCENTILES: [u8; 4] = [50, 75, 90, 95];

/// The columns of a metric: its name, and its unit.
macro_rules! metric {
    ($name:literal, $unit:literal) => {
        [
            Field::new(concat!($name, "_n"), Kind::Integer),
            Field::new(concat!($name, "_good"), Kind::Integer),
            Field::new(concat!($name, "_needs_improvement"), Kind::Integer),
            Field::new(concat!($name, "_poor"), Kind::Integer),
            Field::new(concat!($name, "_p50", $unit), Kind::Number),
            Field::new(concat!($name, "_p75", $unit), Kind::Number),
            Field::new(concat!($name, "_p90", $unit), Kind::Number),
            Field::new(concat!($name, "_p95", $unit), Kind::Number),
        ]
    };
}

/// The columns, in parts.
const PARTS: [&[Field]; 1 + Metric::COUNT] = [
    &[
        Field::new("day_utc", Kind::Day),
        Field::new("dimension", Kind::Text),
        Field::new("value", Kind::Text),
        Field::new("views", Kind::Integer),
        Field::new("views_estimated", Kind::Integer),
    ],
    &metric!("lcp", "_ms"),
    &metric!("inp", "_ms"),
    &metric!("cls", ""),
    &metric!("fcp", "_ms"),
    &metric!("ttfb", "_ms"),
    &metric!("fid", "_ms"),
    &metric!("tti", "_ms"),
];

/// The columns.
pub(super) fn fields() -> &'static [Field] {
    static FIELDS: std::sync::LazyLock<Vec<Field>> = std::sync::LazyLock::new(|| PARTS.concat());
    &FIELDS
}

/// Reads the rollups of a period, day by day.
pub(super) struct RollupReader {
    site: SiteId,
    /// The days that are left.
    days: Range<i64>,
}

impl RollupReader {
    /// Starts at the first day of a period, or after a day of it. The period begins and ends with a day.
    pub(super) fn new(site: SiteId, period: Range<i64>, after: Option<i64>) -> Self {
        let first = after.map_or(period.start, |day_ms| day_ms.saturating_add(DAY_MS));
        Self { site, days: first..period.end }
    }

    /// The first day that is left.
    pub(super) fn day(&self) -> String {
        day_text(self.days.start)
    }

    /// Reads the rows of the next days into the encoder. Returns `None` at the end of the period.
    pub(super) async fn next(
        &mut self,
        store: &dyn Store,
        mut encoder: Encoder,
        rows_max: u64,
    ) -> anyhow::Result<Option<Segment>> {
        let mut last = None;
        while !self.days.is_empty() && encoder.rows() < rows_max {
            let day_ms = self.days.start;
            if self.day_into(store, day_ms, &mut encoder).await? {
                last = Some(day_ms);
            }
            self.days.start = day_ms.saturating_add(DAY_MS);
        }
        Ok(last.map(|day_ms| Segment { cursor: day_text(day_ms), encoder }))
    }

    /// Reads the rows of a day. Returns `false` if it has none.
    async fn day_into(&self, store: &dyn Store, day_ms: i64, encoder: &mut Encoder) -> anyhow::Result<bool> {
        let query = CellQuery::new(self.site, day_ms, day_ms.saturating_add(DAY_MS));
        let counted = CellQuery { metrics: Metrics::NONE, ..query.clone() };
        if store.total(&counted).await?.cell.is_empty() {
            return Ok(false);
        }
        for row in store.cells(&query).await?.rows {
            push(day_ms, ROUTE, Some(&row.route), &row.cell, encoder)?;
        }
        for dimension in Dimension::ALL {
            for row in store.breakdown(&query, GroupBy::Rolled(dimension)).await?.rows {
                push(day_ms, dimension.name(), row.value.as_deref(), &row.cell, encoder)?;
            }
        }
        Ok(true)
    }
}

/// Adds a row, in the order of [`fields`].
fn push(
    day_ms: i64,
    dimension: &str,
    value: Option<&str>,
    cell: &Cell,
    encoder: &mut Encoder,
) -> anyhow::Result<()> {
    let mut row = vec![
        Datum::Day(day_ms),
        Datum::Text(dimension),
        Datum::text(value),
        Datum::Integer(cell.views),
        Datum::Integer(estimate(cell.weight_milli)),
    ];
    for metric in Metric::ALL {
        let histogram = cell.metric(metric);
        row.push(Datum::Integer(histogram.n()));
        row.extend(Rating::ALL.map(|rating| Datum::Integer(histogram.rated(rating))));
        row.extend(PERCENTILES.map(|percent| Datum::number(histogram.percentile(metric, percent))));
    }
    encoder.row(&row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::encode::Format;
    use fieldvitals_store::Weight;
    use vitals::metric::{Value, Values};

    #[test]
    fn rollup_has_exact_counts_and_percentiles_of_each_metric() {
        let (mut cell, mut values) = (Cell::default(), Values::EMPTY);
        values.set(Metric::Cls, Value::from_micros(Metric::Cls, 150_000));
        cell.add(&values, Weight::of_sample(0.5), 1);
        let mut encoder = Encoder::new(Format::Jsonl, fields());
        push(20_000 * DAY_MS, "device", None, &cell, &mut encoder).unwrap();
        let line: serde_json::Value = serde_json::from_slice(&encoder.finish().unwrap()).unwrap();
        assert_eq!(line.as_object().unwrap().len(), fields().len());
        assert_eq!((&line["day_utc"], &line["value"]), (&"2024-10-04".into(), &serde_json::Value::Null));
        assert_eq!((&line["views"], &line["views_estimated"]), (&1.into(), &2.into()));
        assert_eq!((&line["cls_good"], &line["cls_needs_improvement"]), (&0.into(), &1.into()));
        assert!(line["cls_p75"].is_number() && line["lcp_p75_ms"].is_null(), "{line}");
    }
}
