//! Content and questions for the tests of stores from before the rows of the whole site.

use super::{DAY0_MS, load, site, update};
use crate::rollup::{DAY_MS, HOUR_MS};
use crate::{CellQuery, Dimension, Erase, Filters, GroupBy, Retention, SiteId, Store, ViewUpdate};
use std::sync::Arc;
use vitals::metric::{Metric, Metrics};
use vitals::view::Device;

/// Days with page views.
const DAYS: i64 = 6;

/// A page view of a day. Values, route and dimensions follow from the numbers.
fn view(day: i64, number: i64) -> ViewUpdate {
    let start_ms = DAY0_MS + day * DAY_MS + number * HOUR_MS;
    let values = [(Metric::Lcp, 1_000.0 + 37.0 * (number + day) as f64), (Metric::Cls, 0.01 * number as f64)];
    let mut view = update(start_ms, number.unsigned_abs().into(), &values);
    view.route = format!("/{}", number % 7);
    view.device = Device::ALL.get((number % 4) as usize).copied();
    view.country = (number % 3 > 0).then(|| format!("C{}", number % 3));
    view.release = Some(format!("r{}", day % 2));
    view
}

/// Fills a store: two days have only daily rollups left, one has no hourly ones, and the last is not folded.
///
/// # Panics
/// If the store fails.
pub async fn fill(store: &Arc<dyn Store>) -> SiteId {
    let site = site(store, "a").await;
    for day in 0..DAYS - 1 {
        load(store, site, 1, (0..20).map(|number| view(day, number)).collect()).await.unwrap();
    }
    maintain(store).await;
    load(store, site, 1, (0..20).map(|number| view(DAYS - 1, number)).collect()).await.unwrap();
    site
}

/// Adds a late view to each day that still has its page views.
///
/// # Panics
/// If the store fails.
pub async fn load_late(store: &Arc<dyn Store>, site: SiteId) {
    load(store, site, 1, (2..DAYS).map(|day| view(day, 21)).collect()).await.unwrap();
}

/// Runs a round of maintenance on the day after the last one. Returns the number of built days.
///
/// # Panics
/// If the store fails.
pub async fn maintain(store: &Arc<dyn Store>) -> u64 {
    let retention = Retention { raw_days: 4, hourly_days: 3, daily_days: 700 };
    let done = store.maintain(DAY0_MS + DAYS * DAY_MS, retention).await.unwrap();
    assert_eq!(done.undone, []);
    done.days_built
}

/// Returns all kinds of answers about a site, as text, and finds no difference in its rollups.
///
/// # Panics
/// If the store fails, or if a rollup differs from its page views.
pub async fn answers(store: &Arc<dyn Store>, site: SiteId) -> Vec<String> {
    let phones = Filters { device: Some(Device::Phone), ..Filters::NONE };
    let release = Filters { release: Some("r1".to_owned()), ..Filters::NONE };
    let mut answers = Vec::new();
    for (from_hour, hours) in [(0, DAYS * 24), (24, 72), (77, 24), (100, 3), (-5, 60)] {
        let from_ms = DAY0_MS + from_hour * HOUR_MS;
        for filters in [Filters::NONE, phones.clone(), release.clone()] {
            for metrics in [Metrics::ALL, Metrics::only(Metric::Lcp)] {
                let query = CellQuery::new(site, from_ms, from_ms + hours * HOUR_MS);
                let query = CellQuery { filters: filters.clone(), metrics, ..query };
                answers.push(format!("{:?}", store.total(&query).await.unwrap()));
                answers.push(format!("{:?}", store.cells(&query).await.unwrap()));
                for dimension in Dimension::ALL {
                    let by = GroupBy::Rolled(dimension);
                    answers.push(format!("{:?}", store.breakdown(&query, by).await.unwrap()));
                }
            }
        }
    }
    answers.push(format!("{:?}", store.site_size(site).await.unwrap()));
    for day in 0..DAYS {
        assert_eq!(store.verify_day(site, DAY0_MS + day * DAY_MS).await.unwrap(), []);
    }
    answers
}

/// Plays the upgrade of a store: answers before, during and after are those of `twin`, which had the rows from the
/// beginning. Both stores were filled by [`fill`]. `stop_at` removes the rows of the site before a day, as if the
/// building had got there.
///
/// # Panics
/// If an answer differs, or if the days are not built.
pub async fn upgrade_answers_alike<F: Future<Output = ()>>(
    store: &Arc<dyn Store>,
    twin: &Arc<dyn Store>,
    site: SiteId,
    stop_at: impl Fn(i64) -> F,
) {
    assert_eq!(answers(store, site).await, answers(twin, site).await, "before");
    for store in [store, twin] {
        load_late(store, site).await;
    }
    assert_eq!(answers(store, site).await, answers(twin, site).await, "with unfolded deltas");
    assert_eq!((maintain(store).await, maintain(twin).await), (DAYS.unsigned_abs(), 0));
    let expected = answers(twin, site).await;
    assert_eq!(answers(store, site).await, expected, "after");
    assert_eq!(maintain(store).await, 0);
    // The first day, one that has lost its hours, and the last.
    for day in [1, 3, DAYS - 1] {
        stop_at(DAY0_MS / DAY_MS + day).await;
        assert_eq!(answers(store, site).await, expected, "during, at day {day}");
        store.rebuild_day(site, DAY0_MS + 3 * DAY_MS).await.unwrap();
        assert_eq!(answers(store, site).await, expected, "after a rebuild, at day {day}");
        assert_eq!(maintain(store).await, day.unsigned_abs());
        assert_eq!(answers(store, site).await, expected, "after, from day {day}");
    }
    // The page views of a day are erased and folded before the day is built.
    stop_at(DAY0_MS / DAY_MS + DAYS).await;
    let from_ms = DAY0_MS + 4 * DAY_MS;
    for store in [store, twin] {
        let erase = Erase { site, from_ms, to_ms: from_ms + DAY_MS, url: None };
        while store.erase(&erase).await.unwrap().more {}
        maintain(store).await;
    }
    assert_eq!(answers(store, site).await, answers(twin, site).await, "after an erasure");
}
