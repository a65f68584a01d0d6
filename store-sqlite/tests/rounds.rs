//! Tests that a round of maintenance costs what has changed. Counts the statements of this process, so it is the only
//! test of its file.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
use fieldvitals_store::rollup::DAY_MS;
use fieldvitals_store::{Retention, SiteId, Store};
use fieldvitals_store_sqlite::SqliteStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

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
async fn a_round_costs_what_has_changed() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Counter)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&directory.path().join("store.db")).await.unwrap());
    let mut sites = Vec::new();
    for number in 0..50 {
        sites.push(site(&store, &format!("site-{number}")).await);
    }
    for now_ms in [DAY0_MS + DAY_MS, DAY0_MS + 2 * DAY_MS] {
        let whole = round(&store, &sites, now_ms).await;
        let (none, one) = (round(&store, &[], now_ms).await, round(&store, &sites[7..8], now_ms).await);
        let ten = round(&store, &sites[20..30], now_ms).await;
        assert!((1..sites.len()).contains(&none), "{none} statements without a change");
        assert!(one > none && one - none < sites.len(), "{one} statements for one site, {none} for none");
        assert!(ten - none < 12 * (one - none), "{ten} statements for ten sites, {one} for one");
        assert!(whole >= 50, "{whole}: the statements are counted");
    }
}
