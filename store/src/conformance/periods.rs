//! Periods that begin or end within an hour.

use super::cases::fold;
use super::{DAY0_MS, load, site, update};
use crate::rollup::{DAY_MS, MINUTE_MS};
use crate::{CellQuery, Dimension, Filters, GroupBy, PeriodRows, Retention, Store, Total};
use std::ops::Range;
use std::sync::Arc;
use vitals::metric::Metric;
use vitals::view::Device;

/// Parts of hours are counted from page views while those are kept; later the period grows to whole hours.
pub async fn parts_of_hours_are_counted_from_page_views(store: Arc<dyn Store>) {
    let site = site(&store, "a").await;
    // One every ten minutes, for two days.
    let updates = (0..2 * 24 * 6).map(|number| {
        let mut update = update(DAY0_MS + number * 10 * MINUTE_MS, 1, &[(Metric::Lcp, 1_000.0)]);
        (update.country, update.device) = (Some("DE".to_owned()), Some(Device::Phone));
        update
    });
    load(&store, site, 1, updates.collect()).await.unwrap();
    let asked = async |range: &Range<i64>, filters: Filters| {
        let (from_ms, to_ms) = (DAY0_MS + range.start * MINUTE_MS, DAY0_MS + range.end * MINUTE_MS);
        let query = CellQuery { filters, ..CellQuery::new(site, from_ms, to_ms) };
        let minutes =
            |period: Range<i64>| (period.start - DAY0_MS) / MINUTE_MS..(period.end - DAY0_MS) / MINUTE_MS;
        let Total { period, cell } = store.total(&query).await.unwrap();
        assert_eq!(cell.metric(Metric::Lcp).n(), cell.views, "{query:?}");
        let PeriodRows { period: by_country, rows } =
            store.breakdown(&query, GroupBy::Rolled(Dimension::Country)).await.unwrap();
        let views = rows.iter().map(|row| row.cell.views).sum::<i64>();
        [(minutes(period), cell.views), (minutes(by_country), views)]
    };
    let day = DAY_MS / MINUTE_MS;
    let ranges = [10 * 60 + 20..11 * 60 + 20, 5..15, day - 30..day + 30, 50..day + 70, 9..day, 0..60];
    for folded in [false, true] {
        if folded {
            fold(&store).await;
        }
        for range in &ranges {
            let views = (range.start..range.end).filter(|minute| minute % 10 == 0).count() as i64;
            for filters in [Filters::NONE, Filters { country: Some("DE".to_owned()), ..Filters::NONE }] {
                let answers = asked(range, filters).await;
                assert_eq!(answers, [(); 2].map(|()| (range.clone(), views)), "folded {folded}");
            }
        }
    }
    // Keeps the page views of the second day, and all hours.
    let retention = Retention { raw_days: 1, hourly_days: 30, daily_days: 700 };
    store.maintain(DAY0_MS + 2 * DAY_MS, retention).await.unwrap();
    let [(period, views), by_country] = asked(&(10 * 60 + 20..day + 70), Filters::NONE).await;
    assert_eq!((period, views), (10 * 60..day + 70, 14 * 6 + 7), "the first hour is whole");
    assert_eq!(by_country, (0..day + 70, 24 * 6 + 7), "the first day is whole");
}
