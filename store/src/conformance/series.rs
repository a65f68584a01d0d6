//! Series: each step answers as a query of this step alone.

use super::{DAY0_MS, load, site, update};
use crate::rollup::{DAY_MS, HOUR_MS};
use crate::{
    CellQuery, Dimension, Filters, GroupBy, Lines, PeriodRows, Retention, SeriesQuery, SiteId, StepCells,
    Store, ViewUpdate,
};
use std::sync::Arc;
use vitals::metric::{Metric, Metrics};
use vitals::view::{Device, Os};

const DAYS: i64 = 8;

/// A page view of an hour. Values and dimensions follow from the hour.
fn view(hour: i64) -> ViewUpdate {
    let start_ms = DAY0_MS + hour * HOUR_MS + hour % 60 * 60_000;
    let values = [(Metric::Lcp, 900.0 + 13.0 * hour as f64), (Metric::Cls, 0.001 * (hour % 90) as f64)];
    let mut view = update(start_ms, hour.unsigned_abs().into(), &values);
    view.route = format!("/{}", hour % 3);
    view.device = Device::ALL.get((hour % 4) as usize).copied();
    view.os = (hour % 5 > 0).then_some(Os::Linux);
    view.country = (hour % 3 > 0).then(|| format!("C{}", hour % 11));
    view
}

/// Asserts that the steps of a series are the answers of the steps alone.
async fn steps_are_single_answers(store: &Arc<dyn Store>, query: &SeriesQuery) {
    let series = store.series(query).await.unwrap();
    assert_eq!(series.len(), query.bounds.len().saturating_sub(1));
    for (step, StepCells { period, cells }) in query.steps().zip(series) {
        match &query.lines {
            None => {
                let total = store.total(&step).await.unwrap();
                assert_eq!((period, cells), (total.period, vec![total.cell]), "{step:?}");
            }
            Some(lines) => {
                let PeriodRows { period: single, rows } = store.breakdown(&step, lines.by).await.unwrap();
                assert_eq!((period, cells.len()), (single, lines.values.len() + 1), "{step:?}");
                for (value, cell) in lines.values.iter().zip(&cells) {
                    let row = rows.iter().find(|row| row.value == *value);
                    assert_eq!(
                        *cell,
                        row.map(|row| row.cell.clone()).unwrap_or_default(),
                        "{value:?} {step:?}"
                    );
                }
                let views = |cells: &mut dyn Iterator<Item = i64>| cells.sum::<i64>();
                let all = views(&mut rows.iter().map(|row| row.cell.views));
                assert_eq!(views(&mut cells.iter().map(|cell| cell.views)), all, "{step:?}");
            }
        }
    }
}

async fn every_series(store: &Arc<dyn Store>, site: SiteId) {
    let filters = [
        Filters::NONE,
        Filters { device: Some(Device::Phone), ..Filters::NONE },
        Filters { country: Some("C1".to_owned()), ..Filters::NONE },
        Filters { country: Some("nowhere".to_owned()), ..Filters::NONE },
        Filters { os: Some(Os::Linux), ..Filters::NONE },
    ];
    let values = [Some("C1".to_owned()), None, Some("nowhere".to_owned())];
    let by_country = Lines { by: GroupBy::Rolled(Dimension::Country), values: values.into() };
    let by_device = Lines { by: GroupBy::Rolled(Dimension::Device), values: vec![Some("phone".to_owned())] };
    // Hours, UTC days, days that begin at 23:00 UTC, and weeks.
    for (first_hour, step_hours, steps) in
        [(30, 1, 40), (0, 24, DAYS), (-1, 24, DAYS + 1), (23, 168, 1), (5, 7, 9)]
    {
        let bound = |step: i64| DAY0_MS + (first_hour + step * step_hours) * HOUR_MS;
        for route in [None, Some("/1".to_owned()), Some("/none".to_owned())] {
            for filters in &filters {
                for lines in [None, Some(by_country.clone()), Some(by_device.clone())] {
                    let views = CellQuery {
                        route: route.clone(),
                        filters: filters.clone(),
                        metrics: Metrics::only(Metric::Lcp).with(Metric::Cls),
                        ..CellQuery::new(site, 0, 0)
                    };
                    let query =
                        SeriesQuery { lines, ..SeriesQuery::new(views, (0..=steps).map(bound).collect()) };
                    steps_are_single_answers(store, &query).await;
                }
            }
        }
    }
}

/// Before and after folding, and with days that have lost their hours or their page views.
///
/// # Panics
/// If a step differs from its single answer.
pub async fn steps_of_a_series_are_single_answers(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    load(&store, site, 1, (0..DAYS * 24 - 5).map(view).collect()).await.unwrap();
    every_series(&store, site).await;
    let retention = Retention { raw_days: 3, hourly_days: 5, daily_days: 7 };
    let done = store.maintain(DAY0_MS + DAYS * DAY_MS, retention).await.unwrap();
    assert_eq!(done.undone, []);
    load(&store, site, 1, (DAYS * 24 - 5..DAYS * 24).map(view).collect()).await.unwrap();
    every_series(&store, site).await;
    let none = SeriesQuery::new(CellQuery::new(site, 0, 0), Vec::new());
    assert_eq!(store.series(&none).await.unwrap(), []);
}
