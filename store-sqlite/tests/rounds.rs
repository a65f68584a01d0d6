//! Tests that a round of maintenance costs what has changed. Counts the statements of this process, so it is the only
//! test of its file.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
use fieldvitals_store::rollup::DAY_MS;
use fieldvitals_store::{Retention, SiteId, Store};
use fieldvitals_store_sqlite::SqliteStore;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

static STATEMENTS: AtomicUsize = AtomicUsize::new(0);

/// Counts the statements that sqlx reports: those of readers, because the writer reports none.
struct Counter;

impl<S: tracing::Subscriber> Layer<S> for Counter {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            STATEMENTS.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Counts the transactions in a write-ahead log. The last frame of a transaction holds the size of the database, and the
/// other frames hold 0 (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>).
fn transactions(log: &Path) -> usize {
    let bytes = std::fs::read(log).unwrap();
    let (header, frames) = bytes.split_at(32);
    let page = u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize;
    let frames = frames.chunks_exact(24 + page).take_while(|frame| frame[8..16] == header[16..24]);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

/// Returns the reading statements and the writing transactions of a round of maintenance, after one beacon for each
/// changed site.
async fn round(store: &Arc<dyn Store>, log: &Path, changed: &[SiteId], now_ms: i64) -> (usize, usize) {
    for &site in changed {
        let random = STATEMENTS.load(Ordering::SeqCst) as u128;
        load(store, site, 1, vec![update(now_ms - DAY_MS / 2, random, &[])]).await.unwrap();
    }
    let before = (STATEMENTS.load(Ordering::SeqCst), transactions(log));
    let done = store.maintain(now_ms, Retention::default()).await.unwrap();
    assert_eq!((done.deltas_folded, done.undone), (changed.len() as u64, Vec::new()));
    (STATEMENTS.load(Ordering::SeqCst) - before.0, transactions(log) - before.1)
}

#[tokio::test]
async fn round_of_many_sites_takes_the_statements_of_one() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Counter)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).await.unwrap());
    let log = directory.path().join("store.db-wal");
    let mut sites = Vec::new();
    for number in 0..80 {
        sites.push(site(&store, &format!("site-{number}")).await);
    }
    // An open transaction keeps the log from being started again.
    let mut reader = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::raw_sql("begin; select count(*) from site").execute(&mut reader).await.unwrap();
    for now_ms in [DAY0_MS + DAY_MS, DAY0_MS + 2 * DAY_MS] {
        // The first round of a day looks for rows past retention.
        round(&store, &log, &[], now_ms).await;
        let none = round(&store, &log, &[], now_ms).await;
        let one = round(&store, &log, &sites[7..8], now_ms).await;
        assert!(none.0 > 0 && one.0 > none.0, "{none:?} {one:?}");
        assert_eq!((none.1, one.1), (0, 1));
        assert_eq!(round(&store, &log, &sites[20..30], now_ms).await, one);
        // A beacon changes 14 blocks, and a transaction writes about 1,000: it reads the versions, hours and days first.
        assert_eq!(round(&store, &log, &sites, now_ms).await, (one.0 + 3, 2));
    }
}
