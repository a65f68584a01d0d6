//! Tests that a round of maintenance costs what has changed. Counts the statements of this process, so it is the only
//! test of its file.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
use fieldvitals_store::rollup::DAY_MS;
use fieldvitals_store::{Retention, SiteId, Store};
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::Database;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Statements that a round may have more than another, because connections roll back after their callers went on.
const ROLLBACKS: usize = 4;

static STATEMENTS: AtomicUsize = AtomicUsize::new(0);

/// Counts the statements that sqlx reports.
struct Counter;

impl<S: tracing::Subscriber> Layer<S> for Counter {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            STATEMENTS.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Statements of a round of maintenance after one beacon for each site.
async fn round(store: &Arc<dyn Store>, changed: &[SiteId], now_ms: i64) -> usize {
    for &site in changed {
        let random = STATEMENTS.load(Ordering::SeqCst) as u128;
        load(store, site, 1, vec![update(now_ms - DAY_MS / 2, random, &[])]).await.unwrap();
    }
    let before = STATEMENTS.load(Ordering::SeqCst);
    let done = store.maintain(now_ms, Retention::default()).await.unwrap();
    assert_eq!((done.deltas_folded, done.undone), (changed.len() as u64, Vec::new()));
    STATEMENTS.load(Ordering::SeqCst) - before
}

#[tokio::test]
async fn round_of_many_sites_takes_the_statements_of_one() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Counter)).unwrap();
    let database = Database::migrated().await;
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open(&database.url).await.unwrap());
    let mut sites = Vec::new();
    for number in 0..50 {
        sites.push(site(&store, &format!("site-{number}")).await);
    }
    for now_ms in [DAY0_MS + DAY_MS, DAY0_MS + 2 * DAY_MS] {
        // The first round of a day looks for rows past retention.
        round(&store, &[], now_ms).await;
        let (none, one) = (round(&store, &[], now_ms).await, round(&store, &sites[7..8], now_ms).await);
        assert!(none > 0 && one > none + ROLLBACKS, "{one} statements for one site, {none} for none");
        for changed in [&sites[20..30], &sites[..]] {
            let many = round(&store, changed, now_ms).await;
            assert!(many <= one + ROLLBACKS, "{many} statements for {} sites, {one} for one", changed.len());
        }
    }
}
