//! Weeks answer as their days, whatever happens to these.

use super::{DAY0_MS, load, site, update};
use crate::rollup::{DAY_MS, HOUR_MS, WEEK_MS};
use crate::{
    CellQuery, Dimension, Erase, Filters, GroupBy, MaintenanceSummary, Retention, SeriesQuery, SiteId,
    Source, Store, ViewUpdate,
};
use std::sync::Arc;
use vitals::metric::{Metric, Metrics};
use vitals::view::Device;

/// Days with page views, from `DAY0_MS`. They are of three weeks, which begin on the days -3, 4 and 11.
const DAYS: [i64; 6] = [-3, 0, 3, 4, 10, 11];
/// The second day of the third week.
const NOW_MS: i64 = DAY0_MS + 12 * DAY_MS;

fn view(day: i64, number: i64) -> ViewUpdate {
    let values = [(Metric::Lcp, 900.0 + 301.0 * (number + day) as f64), (Metric::Cls, 0.01 * number as f64)];
    let mut view = update(DAY0_MS + day * DAY_MS + number * HOUR_MS, number.unsigned_abs().into(), &values);
    view.route = format!("/{}", number % 5);
    view.device = Device::ALL.get((number % 4) as usize).copied();
    view.country = (number % 3 > 0).then(|| format!("C{}", number % 3));
    view
}

/// Adds a site with page views in two closed weeks and in one that is not closed.
///
/// # Panics
/// If the store fails.
pub async fn fill(store: &Arc<dyn Store>) -> SiteId {
    let site = site(store, "of weeks").await;
    for day in DAYS {
        load(store, site, 1, (0..12).map(|number| view(day, number)).collect()).await.unwrap();
    }
    site
}

/// Runs a round of maintenance.
///
/// # Panics
/// If the store fails, or a part of the round.
pub async fn maintain(store: &Arc<dyn Store>) -> MaintenanceSummary {
    let done = store.maintain(NOW_MS, Retention::default()).await.unwrap();
    assert_eq!(done.undone, []);
    done
}

/// Returns answers about whole weeks and parts of weeks, as text.
///
/// # Panics
/// If the store fails.
pub async fn answers(store: &Arc<dyn Store>, site: SiteId) -> Vec<String> {
    let mut answers = Vec::new();
    for (from_day, days) in [(-3, 7), (-3, 21), (-5, 30), (0, 14), (4, 7), (5, 2)] {
        let from_ms = DAY0_MS + from_day * DAY_MS;
        for device in [None, Some(Device::Phone)] {
            for metrics in [Metrics::ALL, Metrics::only(Metric::Lcp)] {
                for route in [None, Some("/2".to_owned())] {
                    let filters = Filters { device, ..Filters::NONE };
                    let query = CellQuery::new(site, from_ms, from_ms + days * DAY_MS);
                    let query = CellQuery { filters, metrics, route, ..query };
                    answers.push(format!("{:?}", store.total(&query).await.unwrap()));
                    answers.push(format!("{:?}", store.cells(&query).await.unwrap()));
                    let by = device.map_or(Dimension::Country, |_| Dimension::Device);
                    answers
                        .push(format!("{:?}", store.breakdown(&query, GroupBy::Rolled(by)).await.unwrap()));
                    let bounds = (0..=days / 7).map(|week| from_ms + week * WEEK_MS).collect();
                    let series = SeriesQuery::new(query, bounds);
                    answers.push(format!("{:?}", store.series(&series).await.unwrap()));
                }
            }
        }
    }
    answers
}

async fn verify(store: &Arc<dyn Store>, site: SiteId) {
    for day in DAYS[0]..=DAYS[5] {
        assert_eq!(store.verify_day(site, DAY0_MS + day * DAY_MS).await.unwrap(), [], "day {day}");
    }
}

/// Weeks are built when they are closed. Answers equal those from days before and after, with late page views, changed
/// ones and erased ones, and after a day was rebuilt.
///
/// # Panics
/// If the store behaves otherwise.
pub async fn weeks_answer_as_their_days(store: Arc<dyn Store>) {
    let site = fill(&store).await;
    let before = answers(&store, site).await;
    assert_eq!(maintain(&store).await.weeks_built, 2);
    assert_eq!(answers(&store, site).await, before);
    verify(&store, site).await;

    // A new page view of a day with others, one of a day without, and one that changes its route.
    let changed = ViewUpdate { source: Source::Own { seq: 2 }, route: "/2".to_owned(), ..view(3, 3) };
    load(&store, site, 1, vec![view(0, 13), view(5, 2), changed]).await.unwrap();
    let with_late = answers(&store, site).await;
    assert_ne!(with_late, before);
    let done = maintain(&store).await;
    assert!(done.deltas_folded > 0 && done.weeks_built == 0, "{done:?}");
    assert_eq!(answers(&store, site).await, with_late);
    verify(&store, site).await;

    let from_ms = DAY0_MS + 4 * DAY_MS;
    let erase = Erase { site, from_ms, to_ms: from_ms + DAY_MS, url: None };
    while store.erase(&erase).await.unwrap().more {}
    let erased = answers(&store, site).await;
    assert_ne!(erased, with_late);
    assert_eq!(maintain(&store).await.weeks_built, 0);
    assert_eq!(answers(&store, site).await, erased);
    verify(&store, site).await;

    store.rebuild_day(site, DAY0_MS).await.unwrap();
    assert_eq!(answers(&store, site).await, erased);
    assert_eq!(maintain(&store).await.weeks_built, 2, "the week of the day and the later one");
    assert_eq!(answers(&store, site).await, erased);
    verify(&store, site).await;

    store.site_delete(site).await.unwrap();
    assert_eq!(maintain(&store).await.weeks_built, 0);
}

/// Rollups of days past the retention of page views are erased from weeks too, and a week that begins past retention is
/// not read.
///
/// # Panics
/// If the store behaves otherwise.
pub async fn weeks_of_erased_and_removed_days_are_not_counted(store: Arc<dyn Store>) {
    let site = fill(&store).await;
    assert_eq!(maintain(&store).await.weeks_built, 2);
    let week = |from_day: i64| {
        let from_ms = DAY0_MS + from_day * DAY_MS;
        CellQuery::new(site, from_ms, from_ms + 7 * DAY_MS)
    };
    let views = async |from_day| store.total(&week(from_day)).await.unwrap().cell.views;
    assert_eq!((views(-3).await, views(4).await), (36, 24));
    let retention = Retention { raw_days: 6, hourly_days: 6, daily_days: 700 };
    assert_eq!(store.maintain(NOW_MS, retention).await.unwrap().undone, []);
    let from_ms = DAY0_MS + 3 * DAY_MS;
    let erase = Erase { site, from_ms, to_ms: from_ms + DAY_MS, url: None };
    while store.erase(&erase).await.unwrap().more {}
    assert_eq!((views(-3).await, views(4).await), (24, 24));
    assert_eq!(store.maintain(NOW_MS, retention).await.unwrap().weeks_built, 2);
    assert_eq!((views(-3).await, views(4).await), (24, 24));
    // The retention of days begins in the middle of the first week.
    let retention = Retention { daily_days: 12, ..retention };
    let done = store.maintain(NOW_MS, retention).await.unwrap();
    assert!(done.rows_removed > 0 && done.undone.is_empty(), "{done:?}");
    assert_eq!((views(-3).await, views(4).await), (12, 24));
}
