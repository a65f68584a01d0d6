//! Tests that a load costs the same number of round trips, however many sites it has.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::{DAY0_MS, explained, site};
use fieldvitals_store::{LoadBatch, Senders, SiteId, Source, SpoolId, Store};
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::{Cluster, count_round_trips};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A pass: of each site a new page view, and a page view of the round before, both with texts.
fn pass(sites: &[SiteId], round: u64) -> Vec<LoadBatch> {
    let view = |number: u64, seq| {
        let mut view = explained(DAY0_MS + number as i64, number.into(), "#hero", "/app.js");
        view.source = Source::Own { seq };
        vec![view]
    };
    let batch = |&site: &SiteId| LoadBatch {
        site,
        spool: SpoolId([1; 16]),
        after: round - 1,
        up_to: round,
        beacons: vec![view(round, 1), view(round - 1, 2)],
        senders: Senders::Unknown,
    };
    sites.iter().map(batch).collect()
}

#[tokio::test]
async fn number_of_round_trips_of_a_load_does_not_depend_on_the_number_of_sites() {
    let cluster = Cluster::start();
    let (port, trips) = count_round_trips(cluster.port());
    let url = cluster.url().replace(&cluster.port().to_string(), &port.to_string());
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open(&url).await.unwrap());
    let mut sites = Vec::new();
    for number in 0..50 {
        sites.push(site(&store, &format!("site {number}")).await);
    }
    let mut counts = Vec::new();
    for of in [&sites[..2], &sites[2..]] {
        for round in 1..=5 {
            let before = trips.load(Ordering::SeqCst);
            let loaded = store.load_pass(pass(of, round)).await.unwrap();
            assert!(loaded.iter().all(Result::is_ok), "{loaded:?}");
            counts.push(trips.load(Ordering::SeqCst) - before);
        }
    }
    // The least of several loads: the first load of all adds the partition of the day, and a long question whose answer
    // begins before the question has arrived whole counts twice.
    let least = |counts: &[u64]| counts.iter().copied().min().unwrap();
    let (few, many) = counts.split_at(5);
    assert_eq!(least(few), least(many), "{counts:?}");
    assert!(least(few) <= 28, "{counts:?}");
}
