//! The two measured stores, loaded in the same way as by the server's loader.

use crate::cluster::Cluster;
use anyhow::{Context as _, Result, bail};
use fieldvitals_store::limits;
use fieldvitals_store::{
    LoadBatch, LoadReport, NewSite, Retention, Senders, SiteId, SpoolId, Store, ViewUpdate,
};
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_sqlite::SqliteStore;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Beacons per batch: the loader's batch size under full load.
pub(crate) const BATCH: usize = limits::LOAD_VIEWS_MAX;

/// The name of the daily rollups by route and device.
pub(crate) const BY_DEVICE: &str = "rollup_day by route and device";
/// The name of all rollups of days and weeks.
pub(crate) const DAYS_AND_WEEKS: &str = "rollup_day and rollup_week";
/// The share of the daily rollups by device in all bytes of the daily rollups. A slot is 16 × the dimension's number
/// plus the part, and device is the first dimension (`store::rollup::slot`). Adds 30 bytes per row for key and header.
const DEVICE_SHARE: &str = "select cast(coalesce(sum(case when slot < 16 then length(cells) + 30.0 else 0.0 end) \
    / sum(length(cells) + 30.0), 0.0) as double precision) from rollup_day";

/// The store backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// The embedded store.
    Sqlite,
    /// The store for large sites.
    Postgres,
}

impl Backend {
    /// Both backends.
    pub(crate) const ALL: [Self; 2] = [Self::Postgres, Self::Sqlite];

    /// The backend's name in figures.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "Postgres",
        }
    }
}

/// The location of a store.
pub(crate) enum Location {
    /// A file's path.
    File(PathBuf),
    /// A database of the cluster, by name and URL.
    Database { name: String, url: String },
}

impl Location {
    /// Creates an empty location of this name.
    pub(crate) fn empty(backend: Backend, name: &str, folder: &Path, cluster: &Cluster) -> Result<Self> {
        if backend == Backend::Postgres {
            cluster.empty(name)?;
        }
        let location = Self::of(backend, name, folder, cluster);
        if let Self::File(path) = &location {
            for ending in ["", "-wal", "-shm"] {
                let mut file = path.as_os_str().to_owned();
                file.push(ending);
                match std::fs::remove_file(&file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(location)
    }

    /// The existing location of this name, with its data.
    pub(crate) fn of(backend: Backend, name: &str, folder: &Path, cluster: &Cluster) -> Self {
        match backend {
            Backend::Sqlite => Self::File(folder.join(format!("{name}.db"))),
            Backend::Postgres => Self::Database { name: name.to_owned(), url: cluster.url(name) },
        }
    }

    /// Opens the store.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>> {
        Ok(match self {
            Self::File(path) => Arc::new(SqliteStore::open(path).await?),
            Self::Database { url, .. } => Arc::new(PostgresStore::open(url).await?),
        })
    }

    /// Bytes of tables with their indexes, by name. Sums the days of page views as `page_view`. Also gives the daily
    /// rollups by device alone, as [`BY_DEVICE`].
    pub(crate) async fn bytes(&self, cluster: &Cluster) -> Result<Vec<(String, f64)>> {
        let (mut rows, by_device): (Vec<(String, i64)>, f64) = match self {
            Self::File(path) => {
                let mut connection =
                    SqliteConnection::connect(&format!("sqlite://{}", path.display())).await?;
                let rows = sqlx::query_as(
                    "select o.tbl_name, sum(s.pgsize) from dbstat s join sqlite_schema o on o.name = s.name \
                     where s.aggregate = 1 group by o.tbl_name order by 1",
                )
                .fetch_all(&mut connection)
                .await?;
                (rows, sqlx::query_scalar(DEVICE_SHARE).fetch_one(&mut connection).await?)
            }
            Self::Database { name, .. } => {
                let mut connection = cluster.connect(name).await?;
                let rows = sqlx::query_as(
                    "select coalesce(p.relname, c.relname)::text, sum(pg_total_relation_size(c.oid))::bigint \
                     from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public' \
                     left join pg_inherits i on i.inhrelid = c.oid left join pg_class p on p.oid = i.inhparent \
                     where c.relkind = 'r' group by 1 order by 1",
                )
                .fetch_all(&mut connection)
                .await?;
                (rows, sqlx::query_scalar(DEVICE_SHARE).fetch_one(&mut connection).await?)
            }
        };
        let daily = rows.iter().find(|(table, _)| table == "rollup_day").map_or(0, |&(_, bytes)| bytes);
        let weekly = rows.iter().find(|(table, _)| table == "rollup_week").map_or(0, |&(_, bytes)| bytes);
        rows.push((BY_DEVICE.to_owned(), (daily as f64 * by_device) as i64));
        rows.push((DAYS_AND_WEEKS.to_owned(), daily.saturating_add(weekly)));
        Ok(rows.into_iter().map(|(name, bytes)| (name, bytes as f64)).collect())
    }
}

/// Loads batches into a store one after the other, as the loader of one spool.
pub(crate) struct Loading {
    /// The store.
    pub(crate) store: Arc<dyn Store>,
    /// The site.
    pub(crate) site: SiteId,
    spool: SpoolId,
    at: u64,
    report: LoadReport,
}

impl Loading {
    /// Creates a site in an empty store.
    pub(crate) async fn begin(store: Arc<dyn Store>) -> Result<Self> {
        let new = NewSite {
            name: "shop".to_owned(),
            key: "bench".to_owned(),
            origins: vec!["*".to_owned()],
            created_ms: 0,
        };
        let site = store.site_add(new).await?.id;
        Ok(Self { store, site, spool: SpoolId([7; 16]), at: 0, report: LoadReport::default() })
    }

    /// Loads a batch.
    pub(crate) async fn load(&mut self, beacons: Vec<Vec<ViewUpdate>>) -> Result<()> {
        let (after, up_to) = (self.at, self.at + 1);
        let batch = LoadBatch {
            site: self.site,
            spool: self.spool,
            after,
            up_to,
            beacons,
            senders: Senders::Unknown,
        };
        let report = self.store.load(batch).await?;
        self.at = up_to;
        self.report.loaded += report.loaded;
        self.report.superseded += report.superseded;
        Ok(())
    }

    /// Folds all deltas. Returns the number of delta rows folded.
    pub(crate) async fn fold(&self, now_ms: i64) -> Result<u64> {
        let mut folded = 0;
        loop {
            match self.store.maintain(now_ms, Retention::default()).await?.deltas_folded {
                0 => return Ok(folded),
                more => folded += more,
            }
        }
    }

    /// Checks that every beacon was loaded.
    pub(crate) fn check(&self, beacons: u64) -> Result<()> {
        if (self.report.loaded, self.report.superseded) != (beacons, 0) {
            bail!("of {beacons} beacons, all news, the store says {:?}", self.report);
        }
        Ok(())
    }
}

/// The only site of an existing store.
pub(crate) async fn site_of(store: &dyn Store) -> Result<SiteId> {
    Ok(store.sites().await?.first().context("the store has a site")?.id)
}
