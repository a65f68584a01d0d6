//! Tests how many round trips questions and rounds of maintenance cost.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
use fieldvitals_store::rollup::{DAY_MS, HOUR_MS};
use fieldvitals_store::{CellQuery, Dimension, Filters, GroupBy, Retention, SeriesQuery, SiteId, Store};
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::{Cluster, count_round_trips};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use vitals::metric::Metric;
use vitals::view::Device;

/// A day after the page views.
const NOW_MS: i64 = DAY0_MS + 5 * DAY_MS;

struct Counted {
    cluster: Cluster,
    store: Arc<dyn Store>,
    trips: Arc<AtomicU64>,
}

impl Counted {
    async fn start() -> Self {
        let cluster = Cluster::start();
        let (port, trips) = count_round_trips(cluster.port());
        let url = cluster.url().replace(&cluster.port().to_string(), &port.to_string());
        Self { cluster, store: Arc::new(PostgresStore::open(&url).await.unwrap()), trips }
    }

    /// Returns the round trips until a call is answered: the fewest of some calls. The first call opens a connection, and
    /// a call may begin before the connection of the last one is back.
    async fn of<T>(&self, call: impl AsyncFn() -> T) -> u64 {
        let mut fewest = u64::MAX;
        for _ in 0..4 {
            self.returned().await;
            let before = self.trips.load(Ordering::SeqCst);
            let _ = call().await;
            fewest = fewest.min(self.trips.load(Ordering::SeqCst) - before);
        }
        fewest
    }

    /// Waits until the connection of the last call is back in its pool, which takes round trips that no caller waits for.
    async fn returned(&self) {
        let busy = "select count(*) from pg_stat_activity where application_name = 'fieldvitals' and state <> 'idle'";
        loop {
            let before = self.trips.load(Ordering::SeqCst);
            let is_idle = self.cluster.sql(busy) == "0";
            tokio::time::sleep(Duration::from_millis(5)).await;
            if is_idle && before == self.trips.load(Ordering::SeqCst) {
                return;
            }
        }
    }
}

#[tokio::test]
async fn questions_cost_few_round_trips() {
    let counted = Counted::start().await;
    let store = &counted.store;
    let site = site(store, "a").await;
    for day in -10..5 {
        let views = (0..6).map(|hour| {
            let mut view = update(DAY0_MS + day * DAY_MS + 4 * hour * HOUR_MS, 1, &[(Metric::Lcp, 900.0)]);
            view.country = Some("DE".to_owned());
            view
        });
        load(store, site, 1, views.collect()).await.unwrap();
    }
    let retention = Retention { hourly_days: 3, ..Retention::default() };
    assert_eq!(store.maintain(NOW_MS, retention).await.unwrap().undone, []);
    load(store, site, 1, vec![update(NOW_MS, 1, &[(Metric::Lcp, 900.0)])]).await.unwrap();

    let days = CellQuery::new(site, DAY0_MS - 12 * DAY_MS, NOW_MS + 5 * HOUR_MS);
    let phones = Filters { device: Some(Device::Phone), ..Filters::NONE };
    let phones = CellQuery { filters: phones, ..days.clone() };
    let page = CellQuery { route: Some("/".to_owned()), ..days.clone() };
    let by = GroupBy::Rolled(Dimension::Device);
    let mut trips = Vec::new();
    for query in [&days, &phones, &page] {
        trips.push(("cells", counted.of(async || store.cells(query).await.unwrap()).await));
        trips.push(("total", counted.of(async || store.total(query).await.unwrap()).await));
        trips.push(("breakdown", counted.of(async || store.breakdown(query, by).await.unwrap()).await));
    }
    let series = SeriesQuery::new(days.clone(), (-10..=5).map(|day| DAY0_MS + day * DAY_MS).collect());
    trips.push(("series", counted.of(async || store.series(&series).await.unwrap()).await));
    assert!(trips.iter().all(|&(_, trips)| trips == 4), "{trips:?}");
    assert_eq!(counted.of(async || store.version(site).await.unwrap()).await, 2);
    // A part of a day of a dimension without hours: counted, then read from page views.
    let country = GroupBy::Rolled(Dimension::Country);
    let parts = CellQuery { to_ms: DAY0_MS + 10 * HOUR_MS, ..days.clone() };
    let parts = counted.of(async || store.breakdown(&parts, country).await.unwrap()).await;
    assert_eq!(parts, 8);
}

async fn maintain(counted: &Counted, sites: &[SiteId], round: i64) -> u64 {
    for &site in sites {
        load(&counted.store, site, 1, vec![update(NOW_MS, round as u128, &[])]).await.unwrap();
    }
    counted.returned().await;
    let before = counted.trips.load(Ordering::SeqCst);
    let done = counted.store.maintain(NOW_MS, Retention::default()).await.unwrap();
    assert_eq!((done.deltas_folded, done.undone), (sites.len() as u64, Vec::new()));
    counted.trips.load(Ordering::SeqCst) - before
}

#[tokio::test]
async fn round_of_maintenance_of_many_sites_costs_little_more_than_of_one() {
    let counted = Counted::start().await;
    let mut sites = Vec::new();
    for number in 0..40 {
        sites.push(site(&counted.store, &format!("site {number}")).await);
    }
    // The first round adds partitions, and looks for rows past retention.
    maintain(&counted, &sites, 0).await;
    let (one, all) = (maintain(&counted, &sites[..1], 1).await, maintain(&counted, &sites, 2).await);
    assert!(all <= one + 16, "{one} for one site, {all} for forty");
}
