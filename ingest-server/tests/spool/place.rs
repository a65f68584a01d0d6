//! A spool with a store that fails on demand.

use fieldvitals_server::spool::{Bounds, Spool, SpoolBeacon, Stats};
use fieldvitals_store::conformance::{DAY0_MS, FaultyStore, site, update};
use fieldvitals_store::rollup::DAY_MS;
use fieldvitals_store::{CellQuery, Network, Reports as _, SiteId, Store};
use fieldvitals_store_sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vitals::metric::Metric;

/// A data folder with a store that fails on demand, for a spool.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) sites: Vec<SiteId>,
}

/// A spool with a running loader.
pub(crate) struct Running {
    pub(crate) spool: Spool,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) loader: JoinHandle<()>,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.db")).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let sites = vec![site(&store, "a").await, site(&store, "b").await];
        Self { directory, store: Arc::new(FaultyStore::new(store)), sites }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("spool.db")
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// Opens a spool without a running loader.
    pub(crate) async fn still(&self) -> Spool {
        Spool::open(&self.path(), self.store()).await.unwrap().0
    }

    pub(crate) async fn start(&self) -> Running {
        self.start_with(Bounds { retry: Duration::from_millis(1), ..Bounds::default() }).await
    }

    pub(crate) async fn start_with(&self, bounds: Bounds) -> Running {
        let (spool, loader) = Spool::open_with(&self.path(), self.store(), bounds).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        Running { spool, stop, loader: tokio::spawn(loader.run(stopped)) }
    }

    pub(crate) fn record(&self, number: u32) -> SpoolBeacon {
        let site = self.sites[number as usize % self.sites.len()];
        let start_ms = DAY0_MS + i64::from(number);
        let network = Network::of(site, number.into());
        SpoolBeacon { site, network, updates: vec![update(start_ms, 1, &[(Metric::Lcp, f64::from(number))])] }
    }

    pub(crate) async fn append(&self, spool: &Spool, numbers: Range<u32>) {
        for number in numbers {
            spool.append(self.record(number)).await.unwrap();
        }
    }

    /// Returns the page views in the store, counted from its rollups.
    pub(crate) async fn views(&self) -> i64 {
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

    pub(crate) async fn assert_has(&self, numbers: Range<u32>) {
        for number in numbers.clone() {
            let record = self.record(number);
            let view = self.store.view(record.site, record.updates[0].id).await.unwrap();
            assert_eq!(view.map(|view| view.update).as_ref(), record.updates.first(), "view {number}");
        }
        assert_eq!(self.views().await, i64::from(numbers.end - numbers.start));
    }

    pub(crate) async fn raw(&self) -> SqliteConnection {
        raw(&self.path()).await
    }
}

pub(crate) async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

impl Running {
    /// Stops as a server does. Returns the last [`Stats`].
    pub(crate) async fn stop(self) -> Stats {
        self.stop.send(true).unwrap();
        self.loader.await.unwrap();
        self.spool.close().await;
        self.spool.stats()
    }

    /// Aborts the loader at once, like a kill.
    pub(crate) async fn kill(self) {
        self.loader.abort();
        let _ = self.loader.await;
        self.spool.close().await;
    }
}

pub(crate) fn assert_law(stats: &Stats) {
    assert_eq!(
        stats.appended,
        stats.loaded + stats.superseded + stats.discarded + stats.waiting,
        "{stats:?}"
    );
}

/// Makes the store refuse page views of a site, like a damaged table.
pub(crate) async fn refuse(place: &Place, site: SiteId) {
    let mut raw = raw(&place.directory.path().join("store.db")).await;
    let sql = format!(
        "create trigger refuse_{0} before insert on page_view when new.site_id = {0} \
         begin select raise(abort, 'refused by a trigger'); end",
        site.0
    );
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut raw).await.unwrap();
}

pub(crate) async fn repair(place: &Place, site: SiteId) {
    let mut raw = raw(&place.directory.path().join("store.db")).await;
    let sql = format!("drop trigger refuse_{}", site.0);
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut raw).await.unwrap();
}

/// Waits for a condition.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let met = async {
        while !condition().await {
            // A busy loop would take CPU time from the loader.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), met).await.expect("a condition that comes true");
}

/// Returns bounds of a loader that retries almost at once (1 ms).
pub(crate) fn eager() -> Bounds {
    let soon = Duration::from_millis(1);
    Bounds { retry: soon, site_retry: soon, gather: soon, ..Bounds::default() }
}
