//! Tests of the spool: an acknowledged beacon reaches the store exactly once, whatever fails in between.

#![allow(clippy::unwrap_used)]

use fieldvitals_server::spool::{
    AppendError, Bounds, Cause, Spool, SpoolBeacon, SpoolError, Stats, lock_idle,
};
use fieldvitals_store::conformance::{DAY0_MS, FaultyStore, site, update};
use fieldvitals_store::rollup::DAY_MS;
use fieldvitals_store::{CellQuery, Network, SiteId, Source, SpoolId, Store};
use fieldvitals_store_sqlite::SqliteStore;
use futures_util::future::join_all;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vitals::metric::Metric;

/// A data folder with a store that fails on demand, for a spool.
struct Place {
    directory: TempDir,
    store: Arc<FaultyStore>,
    sites: Vec<SiteId>,
}

/// A spool with a running loader.
struct Running {
    spool: Spool,
    stop: watch::Sender<bool>,
    loader: JoinHandle<()>,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.db")).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let sites = vec![site(&store, "a").await, site(&store, "b").await];
        Self { directory, store: Arc::new(FaultyStore::new(store)), sites }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("spool.db")
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// Opens a spool without a running loader.
    async fn still(&self) -> Spool {
        Spool::open(&self.path(), self.store()).await.unwrap().0
    }

    async fn start(&self) -> Running {
        self.start_with(Bounds { retry: Duration::from_millis(1), ..Bounds::default() }).await
    }

    async fn start_with(&self, bounds: Bounds) -> Running {
        let (spool, loader) = Spool::open_with(&self.path(), self.store(), bounds).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        Running { spool, stop, loader: tokio::spawn(loader.run(stopped)) }
    }

    fn record(&self, number: u32) -> SpoolBeacon {
        let site = self.sites[number as usize % self.sites.len()];
        let start_ms = DAY0_MS + i64::from(number);
        let network = Network::of(site, number.into());
        SpoolBeacon { site, network, updates: vec![update(start_ms, 1, &[(Metric::Lcp, f64::from(number))])] }
    }

    async fn append(&self, spool: &Spool, numbers: Range<u32>) {
        for number in numbers {
            spool.append(self.record(number)).await.unwrap();
        }
    }

    /// Returns the page views in the store, counted from its rollups.
    async fn views(&self) -> i64 {
        let mut views = 0;
        for &site in &self.sites {
            for cell in self.store.cells(&CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS)).await.unwrap().rows
            {
                assert_eq!(cell.cell.metric(Metric::Lcp).n(), cell.cell.views);
                views += cell.cell.views;
            }
        }
        views
    }

    async fn assert_has(&self, numbers: Range<u32>) {
        for number in numbers.clone() {
            let record = self.record(number);
            let view = self.store.view(record.site, record.updates[0].id).await.unwrap();
            assert_eq!(view.map(|view| view.update).as_ref(), record.updates.first(), "view {number}");
        }
        assert_eq!(self.views().await, i64::from(numbers.end - numbers.start));
    }

    async fn raw(&self) -> SqliteConnection {
        raw(&self.path()).await
    }
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

impl Running {
    /// Stops as a server does. Returns the last [`Stats`].
    async fn stop(self) -> Stats {
        self.stop.send(true).unwrap();
        self.loader.await.unwrap();
        self.spool.close().await;
        self.spool.stats()
    }

    /// Aborts the loader at once, like a kill.
    async fn kill(self) {
        self.loader.abort();
        let _ = self.loader.await;
        self.spool.close().await;
    }
}

fn assert_law(stats: &Stats) {
    assert_eq!(
        stats.appended,
        stats.loaded + stats.superseded + stats.discarded + stats.waiting,
        "{stats:?}"
    );
}

/// Makes the store refuse page views of a site, like a damaged table.
async fn refuse(place: &Place, site: SiteId) {
    let mut raw = raw(&place.directory.path().join("store.db")).await;
    let sql = format!(
        "create trigger refuse_{0} before insert on page_view when new.site_id = {0} \
         begin select raise(abort, 'refused by a trigger'); end",
        site.0
    );
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut raw).await.unwrap();
}

async fn repair(place: &Place, site: SiteId) {
    let mut raw = raw(&place.directory.path().join("store.db")).await;
    let sql = format!("drop trigger refuse_{}", site.0);
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut raw).await.unwrap();
}

/// Waits for a condition.
async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let met = async {
        while !condition().await {
            // A busy loop would take CPU time from the loader.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), met).await.expect("a condition that comes true");
}

#[tokio::test]
async fn what_was_appended_is_in_the_store_after_a_stop() {
    let place = Place::new().await;
    let running = place.start().await;
    place.append(&running.spool, 0..20).await;
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!((stats.appended, stats.loaded, stats.waiting, stats.bytes), (20, 20, 0, 0));
    place.assert_has(0..20).await;
    let mut raw = place.raw().await;
    let rows: i64 = sqlx::query_scalar("select count(*) from spool_row").fetch_one(&mut raw).await.unwrap();
    assert_eq!(rows, 0, "loaded rows are removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_right_after_an_append_still_loads_it() {
    let place = Place::new().await;
    for round in 0..20_u32 {
        let running = place.start().await;
        place.append(&running.spool, round * 2..round * 2 + 1).await;
        until(async || running.spool.stats().waiting == 0).await;
        place.append(&running.spool, round * 2 + 1..round * 2 + 2).await;
        assert_eq!(running.stop().await.waiting, 0, "round {round}");
    }
    place.assert_has(0..40).await;
}

#[tokio::test]
async fn what_a_killed_server_left_is_loaded_first() {
    let place = Place::new().await;
    for start in 0..3_u32 {
        let spool = place.still().await;
        assert_eq!(spool.stats().waiting, u64::from(start) * 5);
        place.append(&spool, start * 5..start * 5 + 5).await;
        spool.close().await;
    }
    let mut raw = place.raw().await;
    let left: Vec<Vec<u8>> = sqlx::query_scalar("select id from epoch").fetch_all(&mut raw).await.unwrap();
    assert_eq!(left.len(), 3);
    let running = place.start().await;
    place.append(&running.spool, 15..20).await;
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!((stats.appended, stats.loaded), (20, 20));
    place.assert_has(0..20).await;
    let epochs: i64 = sqlx::query_scalar("select count(*) from epoch").fetch_one(&mut raw).await.unwrap();
    assert_eq!(epochs, 1, "loaded epochs are forgotten");
    for id in left {
        let spool = SpoolId(id.try_into().unwrap());
        assert_eq!(place.store.cursor_max(spool).await.unwrap(), 0, "in the store too");
    }
}

#[tokio::test]
async fn it_is_known_how_far_epochs_went_although_their_rows_are_gone() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..5).await;
    spool.close().await;
    let mut raw = place.raw().await;
    let mut lasts = async || -> Vec<i64> {
        sqlx::query_scalar("select last from epoch order by epoch").fetch_all(&mut raw).await.unwrap()
    };
    let spool = place.still().await;
    assert_eq!(lasts().await, [5, 5], "that of an epoch that has ended is written down");
    place.append(&spool, 5..7).await;
    spool.close().await;
    assert_eq!(place.start().await.stop().await.loaded, 7);
    assert_eq!(lasts().await, [7]);
    for start in 7..9 {
        let running = place.start().await;
        place.append(&running.spool, start..start + 1).await;
        assert_eq!(running.stop().await.waiting, 0);
        assert_eq!(lasts().await, [i64::from(start) + 1], "that of the current one when its rows go");
    }
    place.assert_has(0..9).await;
}

#[tokio::test]
async fn an_empty_file_is_small_again() {
    let place = Place::new().await;
    let spool = place.still().await;
    let mut record = place.record(0);
    record.updates[0].url = "u".repeat(1024 * 1024);
    for _ in 0..72 {
        spool.append(record.clone()).await.unwrap();
    }
    spool.close().await;
    let bytes = || std::fs::metadata(place.path()).unwrap().len();
    assert!(bytes() > 72 * 1024 * 1024);
    place.store.site_delete(place.sites[0]).await.unwrap();
    assert_eq!(place.start().await.stop().await.discarded, 72);
    assert!(bytes() < 1024 * 1024, "{} bytes", bytes());
    let running = place.start().await;
    place.append(&running.spool, 1..2).await;
    assert_eq!(running.stop().await.loaded, 1);
}

#[tokio::test]
async fn a_crash_between_load_and_trim_doubles_nothing() {
    let place = Place::new().await;
    let (spool, loader) = Spool::open(&place.path(), place.store()).await.unwrap();
    place.append(&spool, 0..10).await;
    // Copies the file before its rows are loaded and removed. The copy contains the whole epoch.
    let mut raw = place.raw().await;
    let copy = place.directory.path().join("copy.db");
    sqlx::query("vacuum into ?").bind(copy.to_str().unwrap()).execute(&mut raw).await.unwrap();
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;
    place.assert_has(0..10).await;

    let (spool, loader) = Spool::open(&copy, place.store()).await.unwrap();
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;
    let stats = spool.stats();
    assert_law(&stats);
    assert_eq!((stats.loaded, stats.superseded, stats.waiting), (0, 10, 0));
    place.assert_has(0..10).await;
}

#[tokio::test]
async fn a_loader_that_is_killed_anywhere_loses_and_doubles_nothing() {
    let place = Place::new().await;
    for round in 0..30_u32 {
        let running = place.start().await;
        place.append(&running.spool, round * 4..round * 4 + 4).await;
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        running.kill().await;
    }
    let stats = place.start().await.stop().await;
    assert_law(&stats);
    assert_eq!(stats.waiting, 0);
    place.assert_has(0..120).await;
}

#[tokio::test]
async fn answers_are_found_again_that_were_lost() {
    let place = Place::new().await;
    let running = place.start().await;
    for round in 0..10_u32 {
        place.store.lose_answers(1);
        place.append(&running.spool, round * 4..round * 4 + 4).await;
        until(async || running.spool.stats().waiting == 0).await;
        assert_law(&running.spool.stats());
    }
    let stats = running.stop().await;
    assert_eq!((stats.appended, stats.loaded, stats.superseded), (40, 40, 0));
    place.assert_has(0..40).await;
}

#[tokio::test]
async fn why_nothing_is_loaded_is_shown_until_it_goes_on() {
    let place = Place::new().await;
    let running = place.start().await;
    assert_eq!(running.spool.stalled(), None);
    place.store.away(u64::MAX);
    place.append(&running.spool, 0..3).await;
    until(async || running.spool.stalled().is_some()).await;
    let stalled = running.spool.stalled().unwrap();
    assert!(stalled.since_ms > DAY0_MS && stalled.error.contains("the database is away"), "{stalled:?}");
    place.store.away(0);
    until(async || running.spool.stats().waiting == 0 && running.spool.stalled().is_none()).await;
    assert_law(&running.stop().await);
}

#[tokio::test]
async fn a_store_that_is_away_loses_and_doubles_nothing() {
    let place = Place::new().await;
    let running = place.start().await;
    for round in 0..10_u32 {
        place.store.away(7);
        place.append(&running.spool, round * 4..round * 4 + 4).await;
        assert_law(&running.spool.stats());
    }
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!((stats.appended, stats.loaded), (40, 40));
    place.assert_has(0..40).await;
}

#[tokio::test]
async fn a_store_that_goes_away_between_two_sites_counts_nothing_twice() {
    for deleted in [false, true] {
        let place = Place::new().await;
        let bounds = Bounds { retry: Duration::from_millis(1), ..Bounds::default() };
        let (spool, loader) = Spool::open_with(&place.path(), place.store(), bounds).await.unwrap();
        let appended = join_all((0..10).map(|number| spool.append(place.record(number)))).await;
        assert!(appended.iter().all(Result::is_ok));
        if deleted {
            place.store.site_delete(place.sites[0]).await.unwrap();
        }
        // The first pass is refused as too large, and one half of it is loaded; the next calls of the store fail.
        place.store.slow(6);
        place.store.away_after(2, 3);
        let (_stop, stopped) = watch::channel(true);
        loader.run(stopped).await;
        let stats = spool.stats();
        assert_law(&stats);
        let expected = if deleted { (5, 5) } else { (10, 0) };
        assert_eq!((stats.loaded, stats.discarded), expected, "{stats:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_at_the_start_does_not_keep_the_spool_closed() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..4).await;
    spool.close().await;
    place.store.away(5);
    let running = place.start().await;
    place.append(&running.spool, 4..8).await;
    assert_eq!(running.stop().await.loaded, 8);
    place.assert_has(0..8).await;
}

#[tokio::test]
async fn a_store_that_comes_and_goes_at_the_start_does_not_make_the_spool_an_older_copy() {
    let place = Place::new().await;
    // The store fails when the spool opens and at the loader's first check, but not after that.
    place.store.away(2);
    let running = place.start().await;
    for number in 0..3 {
        place.append(&running.spool, number..number + 1).await;
        until(async || running.spool.stats().waiting == 0 || running.spool.is_failed()).await;
        assert!(!running.spool.is_failed(), "{}", running.spool.failed().await);
    }
    assert_eq!(running.stop().await.loaded, 3);
    place.assert_has(0..3).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_store_that_stays_away() {
    let place = Place::new().await;
    let drain = Duration::from_millis(20);
    let running =
        place.start_with(Bounds { drain, retry: Duration::from_millis(1), ..Bounds::default() }).await;
    place.store.away(u64::MAX);
    place.append(&running.spool, 0..4).await;
    let stats = running.stop().await;
    assert_eq!((stats.appended, stats.waiting), (4, 4));
    place.store.away(0);
    assert_eq!(place.start().await.stop().await.loaded, 4);
    place.assert_has(0..4).await;
}

#[tokio::test]
async fn beacons_are_counted_by_what_became_of_them() {
    let place = Place::new().await;
    let running = place.start().await;
    place.append(&running.spool, 0..4).await;
    // A repeated update, and an update from a worse source than the stored one.
    running.spool.append(place.record(0)).await.unwrap();
    let mut older = place.record(1);
    older.updates[0].source = Source::Foreign;
    running.spool.append(older).await.unwrap();
    until(async || running.spool.stats().waiting == 0).await;
    place.store.site_delete(place.sites[1]).await.unwrap();
    place.append(&running.spool, 10..13).await;
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!((stats.loaded, stats.superseded, stats.discarded), (6, 2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beacons_that_come_together_are_committed_together() {
    let place = Place::new().await;
    let running = place.start().await;
    let appends: Vec<_> = (0..1_000)
        .map(|number| {
            let (spool, record) = (running.spool.clone(), place.record(number));
            tokio::spawn(async move { spool.append(record).await })
        })
        .collect();
    for append in appends {
        append.await.unwrap().unwrap();
    }
    let commits = running.spool.stats().commits;
    assert!(commits < 250, "{commits} commits for 1000 beacons");
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!(stats.loaded, 1_000);
    place.assert_has(0..1_000).await;
}

#[tokio::test]
async fn a_commit_and_a_load_keep_their_bounds() {
    let place = Place::new().await;
    let bounds = Bounds { commit_beacons: 8, load_views: 12, ..Bounds::default() };
    let (spool, loader) = Spool::open_with(&place.path(), place.store(), bounds).await.unwrap();
    let records = (0..100).map(|number| {
        let mut record = place.record(number);
        record.site = place.sites[0];
        // Each beacon has three page views, so twelve page views are four beacons.
        for more in 1..3 {
            record.updates.push(update(DAY0_MS + i64::from(number), 1 + more, &[(Metric::Lcp, 1.0)]));
        }
        record
    });
    let appended = join_all(records.map(|record| spool.append(record))).await;
    assert!(appended.iter().all(Result::is_ok));
    let mut raw = place.raw().await;
    let most: i64 =
        sqlx::query_scalar("select max(beacons) from spool_row").fetch_one(&mut raw).await.unwrap();
    assert_eq!(most, 4);
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;
    assert_eq!(spool.stats().loaded, 100);
    let loads = place.store.loads();
    assert!(loads.iter().all(|&beacons| beacons <= 4), "{loads:?}");
    assert_eq!(place.views().await, 300);
}

#[tokio::test]
async fn a_full_spool_sheds_and_takes_again_when_it_is_loaded() {
    let place = Place::new().await;
    let bounds = Bounds { spool_bytes: 2_000, retry: Duration::from_millis(1), ..Bounds::default() };
    let running = place.start_with(bounds).await;
    place.store.away(u64::MAX);
    let mut kept = 0;
    while running.spool.append(place.record(kept)).await.is_ok() {
        kept += 1;
        assert!(kept < 100, "2000 bytes hold no 100 beacons");
    }
    assert!(kept > 5);
    assert_eq!(running.spool.append(place.record(kept)).await, Err(AppendError::Full));
    assert!(!running.spool.is_failed());
    let refusal = running.spool.refusal().unwrap();
    assert!(refusal.cause == Cause::Full && refusal.beacons == 2, "{refusal:?}");
    place.store.away(0);
    until(async || running.spool.append(place.record(kept)).await.is_ok()).await;
    let stats = running.stop().await;
    assert_law(&stats);
    place.assert_has(0..kept + 1).await;
}

#[tokio::test]
async fn memory_in_flight_is_bounded() {
    let place = Place::new().await;
    let bounds = Bounds { in_flight_bytes: 1_000, ..Bounds::default() };
    let (spool, _loader) = Spool::open_with(&place.path(), place.store(), bounds).await.unwrap();
    // The write lock keeps what is in flight there until the rest has been shed.
    let mut raw = place.raw().await;
    let held = raw.begin_with("begin immediate").await.unwrap();
    let appends = join_all((0..200).map(|number| spool.append(place.record(number))));
    let release = async {
        until(async || spool.refusal().is_some_and(|refusal| refusal.beacons >= 150)).await;
        held.rollback().await.unwrap();
    };
    let (appended, ()) = tokio::join!(appends, release);
    let full = appended.iter().filter(|answer| **answer == Err(AppendError::Full)).count();
    assert!((150..200).contains(&full), "{full} of 200 were shed");
    assert_eq!(spool.stats().appended as usize, 200 - full);
    let refusal = spool.refusal().unwrap();
    assert_eq!((refusal.cause, refusal.beacons), (Cause::InFlight, full as u64), "{refusal:?}");
    place.append(&spool, 300..301).await;
}

#[tokio::test]
async fn a_file_that_takes_nothing_for_a_while_sheds_and_recovers() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..3).await;
    // The write lock stands for any temporary failure.
    let mut raw = place.raw().await;
    let held = raw.begin_with("begin immediate").await.unwrap();
    let refused = spool.append(place.record(3)).await;
    assert!(
        matches!(&refused, Err(AppendError::Refused(reason)) if reason.contains("another process")),
        "{refused:?}"
    );
    assert!(!spool.is_failed());
    let refusal = spool.refusal().unwrap();
    assert!(refusal.beacons == 1 && refusal.trouble.error.contains("another process"), "{refusal:?}");
    held.rollback().await.unwrap();
    until(async || spool.refusal().is_none()).await;
    assert_eq!(spool.stats().appended, 3, "it is found out without beacons");
    place.append(&spool, 3..4).await;
    spool.close().await;
    place.start().await.stop().await;
    place.assert_has(0..4).await;
}

#[tokio::test]
async fn a_fault_of_the_file_ends_acknowledging() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..1).await;
    let mut raw = place.raw().await;
    sqlx::query("drop table spool_row").execute(&mut raw).await.unwrap();
    let answer = spool.append(place.record(1)).await;
    assert!(matches!(answer, Err(AppendError::Failed(_))), "{answer:?}");
    assert!(spool.is_failed());
    assert!(spool.failed().await.contains("spool_row"));
    let answer = spool.append(place.record(2)).await;
    assert!(matches!(answer, Err(AppendError::Failed(_))), "{answer:?}");
    assert_eq!(spool.stats().appended, 1);
}

#[tokio::test]
async fn an_older_copy_of_the_file_is_refused() {
    let place = Place::new().await;
    let (spool, loader) = Spool::open(&place.path(), place.store()).await.unwrap();
    place.append(&spool, 0..2).await;
    let mut raw = place.raw().await;
    let copy = place.directory.path().join("copy.db");
    sqlx::query("vacuum into ?").bind(copy.to_str().unwrap()).execute(&mut raw).await.unwrap();
    place.append(&spool, 2..6).await;
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;

    let refused = Spool::open(&copy, place.store()).await.err();
    assert!(matches!(refused, Some(SpoolError::OlderThanStore { .. })), "{refused:?}");
    let message = refused.unwrap().to_string();
    assert!(message.contains("copy.db") && message.contains("move the file away"), "{message}");
    place.assert_has(0..6).await;
}

#[tokio::test]
async fn an_older_copy_is_refused_although_the_store_was_away_at_the_start() {
    let place = Place::new().await;
    let (spool, loader) = Spool::open(&place.path(), place.store()).await.unwrap();
    place.append(&spool, 0..2).await;
    let mut raw = place.raw().await;
    let copy = place.directory.path().join("copy.db");
    sqlx::query("vacuum into ?").bind(copy.to_str().unwrap()).execute(&mut raw).await.unwrap();
    place.append(&spool, 2..6).await;
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;

    place.store.away(1);
    let (copied, loader) = Spool::open(&copy, place.store()).await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    loader.run(stopped).await;
    assert!(copied.failed().await.contains("older than the store"));
    assert_eq!(copied.stats().waiting, 2);
}

#[tokio::test]
async fn older_copy_is_refused_although_a_node_was_gone_at_the_start() {
    let place = Place::new().await;
    let (spool, loader) = Spool::open(&place.path(), place.store()).await.unwrap();
    place.append(&spool, 0..2).await;
    let mut raw = place.raw().await;
    let copy = place.directory.path().join("copy.db");
    sqlx::query("vacuum into ?").bind(copy.to_str().unwrap()).execute(&mut raw).await.unwrap();
    place.append(&spool, 2..6).await;
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;

    place.store.node_gone(true);
    let (copied, loader) = Spool::open(&copy, place.store()).await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    loader.run(stopped).await;
    assert!(copied.failed().await.contains("older than the store"));
    assert_eq!(copied.stats().waiting, 2);
}

#[tokio::test]
async fn epoch_that_a_gone_node_keeps_holds_up_no_later_one() {
    let place = Place::new().await;
    let (spool, _) = Spool::open(&place.path(), place.store()).await.unwrap();
    place.append(&spool, 0..4).await;
    spool.close().await;
    drop(spool);
    place.store.node_gone(true);
    let running = place.start_with(Bounds { site_retry: Duration::from_millis(1), ..eager() }).await;
    place.append(&running.spool, 4..8).await;
    until(async || running.spool.stats().loaded == 8).await;
    let epochs = async || {
        let mut raw = place.raw().await;
        let count: i64 = sqlx::query_scalar("select count(*) from epoch").fetch_one(&mut raw).await.unwrap();
        count
    };
    assert_eq!(epochs().await, 2, "its cursors are yet to be forgotten");
    place.store.node_gone(false);
    place.append(&running.spool, 8..9).await;
    until(async || epochs().await == 1).await;
    assert_law(&running.stop().await);
    place.assert_has(0..9).await;
}

#[tokio::test]
async fn a_second_server_on_the_same_file_is_refused() {
    let place = Place::new().await;
    let spool = place.still().await;
    let refused = Spool::open(&place.path(), place.store()).await.err();
    assert!(matches!(refused, Some(SpoolError::InUse { .. })), "{refused:?}");
    spool.close().await;
    assert!(Spool::open(&place.path(), place.store()).await.is_ok());
}

#[tokio::test]
async fn a_spool_at_rest_says_what_is_in_it_and_keeps_servers_away() {
    let place = Place::new().await;
    let nothing = lock_idle(&place.path()).unwrap();
    assert_eq!((nothing.beacons, nothing.last), (0, None));
    assert!(!place.path().exists(), "looking makes no spool");
    drop(nothing);

    let spool = place.still().await;
    place.append(&spool, 0..3).await;
    let refused = lock_idle(&place.path()).err();
    assert!(matches!(refused, Some(SpoolError::InUse { .. })), "{refused:?}");
    spool.close().await;
    let waiting = lock_idle(&place.path()).unwrap();
    assert_eq!(waiting.beacons, 3);
    let kept_away = Spool::open(&place.path(), place.store()).await.err();
    assert!(matches!(kept_away, Some(SpoolError::InUse { .. })), "{kept_away:?}");
    let first = waiting.last;
    drop(waiting);

    place.start().await.stop().await;
    let empty = lock_idle(&place.path()).unwrap();
    assert_eq!(empty.beacons, 0, "a server that stops leaves nothing that is loaded");
    assert!(empty.last.is_some() && empty.last != first, "a server that ran is seen");
    drop(empty);
    let mut raw = place.raw().await;
    sqlx::query("pragma user_version = 7").execute(&mut raw).await.unwrap();
    let refused = lock_idle(&place.path()).err();
    assert!(matches!(refused, Some(SpoolError::OtherVersion { found: 7, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_file_of_another_release_is_refused() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..3).await;
    spool.close().await;
    for (change, back) in [
        ("pragma user_version = 7", "pragma user_version = 2"),
        (
            "update spool_row set payload = cast(x'09' || substr(payload, 2) as blob)",
            "update spool_row set payload = cast(x'05' || substr(payload, 2) as blob)",
        ),
    ] {
        let mut raw = place.raw().await;
        sqlx::query(change).execute(&mut raw).await.unwrap();
        let refused = Spool::open(&place.path(), place.store()).await.err();
        let Some(SpoolError::OtherVersion { beacons: 3, .. }) = &refused else { panic!("{refused:?}") };
        assert!(refused.unwrap().to_string().contains("start the release that wrote it"));
        sqlx::query(back).execute(&mut raw).await.unwrap();
    }
    assert_eq!(place.start().await.stop().await.loaded, 3);
    place.assert_has(0..3).await;
}

#[tokio::test]
async fn a_damaged_row_is_told_and_not_skipped() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..1).await;
    spool.close().await;
    let mut raw = place.raw().await;
    let mut payload: Vec<u8> =
        sqlx::query_scalar("select payload from spool_row").fetch_one(&mut raw).await.unwrap();
    *payload.last_mut().unwrap() ^= 1;
    sqlx::query("update spool_row set payload = ?").bind(payload).execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    let running = place.start().await;
    let reason = running.spool.failed().await;
    assert!(reason.contains("is damaged") && reason.contains("move it away"), "{reason}");
    assert_eq!(running.spool.stats().waiting, 1);
}

#[tokio::test]
async fn any_damage_to_the_file_is_an_error_and_no_panic() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..200).await;
    spool.close().await;
    let whole = std::fs::read(place.path()).unwrap();
    let mut refused = 0;
    for (round, at) in (0..whole.len()).step_by(whole.len() / 40).enumerate() {
        let damaged = place.directory.path().join(format!("damaged-{round}.db"));
        let mut bytes = whole.clone();
        if round % 4 == 0 {
            bytes.truncate(at.max(1));
        } else {
            bytes[at..].iter_mut().take(64).for_each(|byte| *byte = !*byte);
        }
        std::fs::write(&damaged, bytes).unwrap();
        match Spool::open(&damaged, place.store()).await {
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("damaged-"), "{error}");
            }
            Ok((spool, loader)) => {
                // The damage is harmless, or the loader reports it.
                let (_stop, stopped) = watch::channel(true);
                loader.run(stopped).await;
                let stats = spool.stats();
                assert!(spool.is_failed() || stats.waiting == 0, "{stats:?}");
                spool.close().await;
            }
        }
    }
    assert!(refused > 0, "some of this damage is to the file's structure");
}

#[tokio::test]
async fn a_file_that_is_no_spool_is_refused() {
    let place = Place::new().await;
    std::fs::write(place.path(), "These are not the pages of a database. ".repeat(100)).unwrap();
    let refused = Spool::open(&place.path(), place.store()).await.err();
    assert!(matches!(refused, Some(SpoolError::Damaged { .. })), "{refused:?}");
}

#[tokio::test]
async fn two_loaders_on_one_epoch_double_nothing() {
    // The copy is not behind the store: both contain the same rows of the same epoch.
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..30).await;
    spool.close().await;
    let copy = place.directory.path().join("copy.db");
    std::fs::copy(place.path(), &copy).unwrap();
    let first = place.start().await;
    let (second, loader) = Spool::open(&copy, place.store()).await.unwrap();
    let (_stop, stopped) = watch::channel(true);
    loader.run(stopped).await;
    let (first, second) = (first.stop().await, second.stats());
    assert_law(&first);
    assert_law(&second);
    assert_eq!((first.waiting, second.waiting), (0, 0));
    assert_eq!(first.loaded + second.loaded, 30, "{first:?} {second:?}");
    place.assert_has(0..30).await;
}

/// Returns bounds of a loader that retries almost at once (1 ms).
fn eager() -> Bounds {
    let soon = Duration::from_millis(1);
    Bounds { retry: soon, site_retry: soon, gather: soon, ..Bounds::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_the_store_refuses_holds_up_no_other() {
    let place = Place::new().await;
    refuse(&place, place.sites[0]).await;
    let mut appended = 0..0;
    // Held beacons stay held across starts, in several epochs.
    for start in 0..3_u64 {
        let running = place.start_with(eager()).await;
        let spool = &running.spool;
        for _ in 0..4 {
            // Appends concurrently, so that rows contain beacons of both sites.
            appended = appended.end..appended.end + 20;
            let answers = join_all(appended.clone().map(|number| spool.append(place.record(number)))).await;
            assert!(answers.iter().all(Result::is_ok));
        }
        until(async || spool.stats().loaded == 40).await;
        until(async || spool.held().iter().map(|held| held.beacons).sum::<u64>() == 40 * (start + 1)).await;
        assert_eq!(spool.stats().waiting, 40 * (start + 1));
        assert_law(&spool.stats());
        let held = spool.held();
        assert_eq!((held.len(), held[0].site), (1, place.sites[0]));
        assert!(held[0].error.contains("refused by a trigger"), "{held:?}");
        until(async || spool.stats().bytes == spool.stats().held_bytes).await;
        running.kill().await;
        let mut raw = place.raw().await;
        let left: i64 =
            sqlx::query_scalar("select sum(beacons) from spool_row").fetch_one(&mut raw).await.unwrap();
        assert_eq!(left as u64, 40 * (start + 1), "what others had in the same rows is gone");
    }
    let running = place.start_with(eager()).await;
    let spool = &running.spool;
    until(async || !spool.held().is_empty()).await;
    repair(&place, place.sites[0]).await;
    until(async || spool.stats().waiting == 0 && spool.held().is_empty()).await;
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!((stats.loaded, stats.bytes, stats.held_bytes), (120, 0, 0));
    place.assert_has(0..appended.end).await;
    let mut raw = place.raw().await;
    let epochs: i64 = sqlx::query_scalar("select count(*) from epoch").fetch_one(&mut raw).await.unwrap();
    assert_eq!(epochs, 1, "epochs end once nothing is held in them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_the_store_refuses_leaves_half_of_the_spool_to_others() {
    let place = Place::new().await;
    refuse(&place, place.sites[0]).await;
    let running = place.start_with(Bounds { spool_bytes: 8_000, ..eager() }).await;
    let spool = &running.spool;
    // Beacons of the first site have even numbers.
    let mut number = 1;
    let mut others = async || {
        number += 2;
        spool.append(place.record(number)).await
    };
    others().await.unwrap();
    let mut kept = 0;
    loop {
        others().await.unwrap();
        until(async || spool.stats().bytes == spool.stats().held_bytes).await;
        if spool.append(place.record(kept * 2)).await.is_err() {
            break;
        }
        kept += 1;
        // The site fails alone once another site is loaded after its refusal.
        until(async || !spool.held().is_empty() && spool.stats().waiting == u64::from(kept)).await;
    }
    let held = spool.stats().held_bytes;
    assert!((3_800..=4_100).contains(&held), "{held} bytes are held");
    // Other sites load many times the space left to them.
    for _ in 0..100 {
        others().await.unwrap();
        until(async || spool.stats().bytes == held).await;
        assert_eq!(spool.append(place.record(kept * 2)).await, Err(AppendError::Full));
    }
    let held = spool.held();
    assert!(held[0].refused == 101 && spool.refusal().is_none(), "others are taken: {held:?}");
    repair(&place, place.sites[0]).await;
    until(async || spool.held().is_empty() && spool.stats().bytes == 0).await;
    spool.append(place.record(kept * 2)).await.unwrap();
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!(stats.loaded, stats.appended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_that_was_full_of_a_site_which_the_store_refuses_takes_others() {
    let place = Place::new().await;
    refuse(&place, place.sites[0]).await;
    let bounds = Bounds { spool_bytes: 8_000, ..eager() };
    let running = place.start_with(bounds).await;
    let spool = &running.spool;
    // While the database is unreachable, and while no other site is loaded, the spool cannot tell whether the site is
    // at fault.
    place.store.away(u64::MAX);
    let mut kept = 0;
    while spool.append(place.record(kept * 2)).await.is_ok() {
        kept += 1;
    }
    assert!(spool.stats().bytes > 7_800);
    place.store.away(0);
    until(async || spool.held().first().is_some_and(|held| held.beacons == u64::from(kept))).await;
    assert_eq!(spool.append(place.record(kept * 2)).await, Err(AppendError::Full));
    for number in 0..100 {
        spool.append(place.record(number * 2 + 1)).await.unwrap();
        until(async || spool.stats().waiting == u64::from(kept)).await;
        until(async || spool.stats().bytes == spool.stats().held_bytes).await;
    }
    assert_law(&running.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_every_site_is_waited_for_with_the_whole_spool() {
    let place = Place::new().await;
    for &site in &place.sites {
        refuse(&place, site).await;
    }
    let running = place.start_with(Bounds { spool_bytes: 8_000, ..eager() }).await;
    let spool = &running.spool;
    let mut kept = 0;
    while spool.append(place.record(kept)).await.is_ok() {
        kept += 1;
        until(async || spool.held().iter().map(|held| held.beacons).sum::<u64>() == u64::from(kept)).await;
    }
    assert!(spool.stats().bytes > 7_800, "{:?}", spool.stats());
    for &site in &place.sites {
        repair(&place, site).await;
    }
    until(async || spool.stats().waiting == 0).await;
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!(stats.loaded, u64::from(kept));
    place.assert_has(0..kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_every_site_again_has_nothing_shed_of_those_that_wait() {
    let place = Place::new().await;
    for &site in &place.sites {
        refuse(&place, site).await;
    }
    let long = Duration::from_secs(3_600);
    let running = place.start_with(Bounds { spool_bytes: 8_000, site_retry: long, ..eager() }).await;
    let spool = &running.spool;
    let mut kept = 0;
    while spool.stats().bytes < 6_000 {
        place.append(spool, kept..kept + 1).await;
        kept += 1;
        until(async || spool.held().iter().map(|held| held.beacons).sum::<u64>() == u64::from(kept)).await;
    }
    for &site in &place.sites {
        repair(&place, site).await;
    }
    // The loader loads another site between two retries of held sites.
    let other = site(&place.store(), "c").await;
    let record = SpoolBeacon { site: other, ..place.record(0) };
    spool.append(record.clone()).await.unwrap();
    until(async || place.store.view(other, record.updates[0].id).await.unwrap().is_some()).await;
    place.append(spool, kept..kept + 2).await;
    until(async || spool.stats().waiting == 0 && spool.held().is_empty()).await;
    assert_law(&running.stop().await);
    place.assert_has(0..kept + 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_takes_too_long_is_tried_with_fewer_beacons() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..200).await;
    spool.close().await;
    // Half of the beacons are of one site. The loader halves its batches until seven beacons fit.
    place.store.slow(7);
    let running = place.start_with(eager()).await;
    until(async || running.spool.stats().waiting == 0).await;
    assert!(running.spool.held().is_empty());
    let loads = place.store.loads().len();
    assert!((30..80).contains(&loads), "{loads} loads");
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!(stats.loaded, 200);
    place.assert_has(0..200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pass_that_gets_no_answer_is_split_by_sites() {
    let place = Place::new().await;
    let spool = place.still().await;
    place.append(&spool, 0..200).await;
    spool.close().await;
    // A pass of both sites has too few beacons to be halved.
    place.store.slow(110);
    place.store.silent();
    let running = place.start_with(eager()).await;
    until(async || running.spool.stats().waiting == 0).await;
    let stats = running.stop().await;
    assert_law(&stats);
    assert_eq!(stats.loaded, 200);
    place.assert_has(0..200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_which_a_load_takes_too_long_holds_up_no_other() {
    let place = Place::new().await;
    let (spool, loader) = Spool::open_with(&place.path(), place.store(), eager()).await.unwrap();
    // One beacon alone in its row, the others together in the next rows.
    spool.append(place.record(0)).await.unwrap();
    let many = join_all((0..20).map(|number| spool.append(place.record(2 + number * 2)))).await;
    assert!(many.iter().all(Result::is_ok));
    place.append(&spool, 101..102).await;
    place.store.slow(1);
    let (stop, stopped) = watch::channel(false);
    let loader = tokio::spawn(loader.run(stopped));
    let other = place.record(101);
    until(async || place.store.view(other.site, other.updates[0].id).await.unwrap().is_some()).await;
    until(async || !spool.held().is_empty()).await;
    assert!(spool.held()[0].error.contains("it took too long"), "{:?}", spool.held());
    place.store.slow(u64::MAX);
    until(async || spool.stats().waiting == 0).await;
    assert_eq!(spool.stats().loaded, 22);
    stop.send(true).unwrap();
    loader.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refused_and_one_deleted_site_of_many_cost_the_others_few_passes() {
    const SITES: u32 = 200;
    let mut place = Place::new().await;
    for number in 2..SITES {
        place.sites.push(site(&place.store(), &format!("site {number}")).await);
    }
    let (refused, deleted) = (place.sites[70], place.sites[120]);
    let spool = place.still().await;
    place.append(&spool, 0..2 * SITES).await;
    spool.close().await;
    refuse(&place, refused).await;
    place.store.site_delete(deleted).await.unwrap();

    let running = place.start_with(Bounds { site_retry: Duration::from_secs(3_600), ..eager() }).await;
    let spool = &running.spool;
    until(async || spool.stats().waiting == 2 && spool.held().first().is_some_and(|held| held.beacons == 2))
        .await;
    assert_eq!((spool.stats().loaded, spool.stats().discarded), (u64::from(2 * SITES) - 4, 2));
    assert_eq!(spool.held()[0].site, refused);
    // Each pass with the refused site is split: about two passes for each halving of 200 sites.
    let passes = place.store.loads().len();
    assert!(passes <= 18, "{passes} passes");
    // From now on the other sites are loaded without it.
    place.append(spool, 2 * SITES..3 * SITES).await;
    until(async || spool.stats().waiting == 3).await;
    assert!(place.store.loads().len() <= passes + SITES as usize, "no pass is split again");
    assert_law(&running.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_that_were_refused_together_are_loaded_together_again() {
    const SITES: u32 = 50;
    let mut place = Place::new().await;
    for number in 2..SITES {
        place.sites.push(site(&place.store(), &format!("site {number}")).await);
    }
    for &site in &place.sites {
        refuse(&place, site).await;
    }
    let spool = place.still().await;
    place.append(&spool, 0..SITES).await;
    spool.close().await;
    let running = place.start_with(Bounds { site_retry: Duration::from_millis(500), ..eager() }).await;
    let spool = &running.spool;
    until(async || spool.held().len() == SITES as usize).await;
    for &site in &place.sites {
        repair(&place, site).await;
    }
    until(async || spool.stats().waiting == 0 && spool.held().is_empty()).await;
    assert_law(&running.stop().await);
    place.assert_has(0..SITES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_takes_all_commits_that_wait() {
    let place = Place::new().await;
    let spool = place.still().await;
    // One commit for each beacon.
    place.append(&spool, 0..600).await;
    spool.close().await;
    let stats = place.start().await.stop().await;
    assert_eq!((stats.loaded, place.store.loads()), (600, vec![600]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_loaded_of_a_site_before_it_is_refused_again_waits_no_more() {
    let place = Place::new().await;
    refuse(&place, place.sites[0]).await;
    let running = place.start_with(eager()).await;
    let spool = &running.spool;
    for number in 0..20 {
        spool.append(place.record(number * 2)).await.unwrap();
    }
    until(async || spool.held().first().is_some_and(|held| held.beacons == 20)).await;
    // From now on batches are small, and the store refuses one page view.
    place.store.slow(3);
    let bad = place.record(24).updates[0].id;
    let mut raw = raw(&place.directory.path().join("store.db")).await;
    let sql = format!(
        "begin; drop trigger refuse_{0}; create trigger refuse_{0} before insert on page_view \
         when hex(new.id) = '{1}' begin select raise(abort, 'refused by a trigger'); end; commit",
        place.sites[0].0,
        bad.to_string().replace('-', "").to_uppercase()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut raw).await.unwrap();
    until(async || spool.stats().waiting < 12).await;
    until(async || spool.held().first().is_some_and(|held| held.beacons == spool.stats().waiting)).await;
    assert!(spool.stats().waiting >= 8, "{:?}", spool.stats());
    repair(&place, place.sites[0]).await;
    until(async || spool.stats().waiting == 0 && spool.held().is_empty()).await;
    assert_law(&running.stop().await);
}
