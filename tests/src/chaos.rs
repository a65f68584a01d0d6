//! Long fault runs: kills and power cuts under load, and a database outage with its cost.

use crate::disk::Disk;
use crate::load::{Load, Verdict};
use crate::server::{Launch, Server};
use fieldvitals_store::{NewSite, Store};
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::Cluster;
use fieldvitals_store_sqlite::SqliteStore;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The store of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The embedded SQLite store.
    Sqlite,
    /// A private Postgres.
    Postgres,
}

impl Backend {
    /// Returns the name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// Parameters of a run of kills.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    /// The store.
    pub backend: Backend,
    /// Number of kills of the server. Every fifth also kills Postgres, if the run has one.
    pub kills: u64,
    /// Makes each kill a power cut: every file reverts to its last fsync.
    pub power_cut: bool,
    /// Makes an fsync of the spool ineffective; such a run must lose beacons.
    pub no_fsync: bool,
    /// Beacons a second.
    pub rate: u64,
    /// Number of sites that the beacons are of.
    pub sites: u64,
}

/// Result of a run of kills.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The run's parameters.
    pub run: Kills,
    /// The judge's verdict on the beacons.
    pub verdict: Verdict,
    /// Number of kills of Postgres.
    pub postgres_kills: u64,
    /// Beacons without an answer; the load sent them again.
    pub unanswered: u64,
    /// Refused beacons; the load sent them again.
    pub refused: u64,
    /// Duration of the run.
    pub duration: Duration,
}

impl Outcome {
    /// Returns whether the run ended as it must: lossless with fsync, lossy without.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let clean = self.verdict.lost == 0 && self.verdict.differences.is_empty();
        self.verdict.duplicates == 0 && clean != self.run.no_fsync
    }

    /// Returns the result as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "store": self.run.backend.name(), "sites": self.run.sites, "kills": self.run.kills, "postgres_kills": self.postgres_kills,
            "power_cut": self.run.power_cut, "fsync": !self.run.no_fsync,
            "acknowledged": self.verdict.acknowledged, "views": self.verdict.views, "lost": self.verdict.lost,
            "duplicates": self.verdict.duplicates, "unanswered": self.unanswered, "refused": self.refused,
            "duration_s": self.duration.as_secs_f64(), "differences": self.verdict.differences,
        })
    }
}

/// A server with its disk and its database.
struct Site {
    server: Server,
    disk: Option<Disk>,
    cluster: Option<Cluster>,
}

impl Site {
    async fn start(backend: Backend, on_disk: bool) -> Self {
        let cluster = (backend == Backend::Postgres).then(Cluster::start);
        let launch = match &cluster {
            Some(cluster) => Launch::with(&["--database-url", &cluster.url()]),
            None => Launch::default(),
        };
        let folder = TempDir::new().expect("a temporary folder");
        let disk = on_disk.then(|| Disk::new(folder.path()));
        let launch = match &disk {
            Some(disk) => disk.under(launch),
            None => launch,
        };
        Self { server: Server::launch_on(folder, launch).await, disk, cluster }
    }

    /// Opens the server's store over separate connections.
    async fn store(&self) -> Arc<dyn Store> {
        match &self.cluster {
            Some(cluster) => Arc::new(PostgresStore::open(&cluster.url()).await.expect("the store opens")),
            None => {
                let path = self.server.data_dir().join("store.db");
                Arc::new(SqliteStore::open(&path).await.expect("the store opens"))
            }
        }
    }

    /// Adds sites until there are this many. Returns the names and keys of all.
    async fn sites(&self, count: u64) -> Vec<(String, String)> {
        let store = self.store().await;
        let mut sites = vec![("default".to_owned(), self.server.key.clone())];
        for number in 1..count {
            let (name, key) = (format!("site-{number}"), format!("key-{number}"));
            let new = NewSite {
                name: name.clone(),
                key: key.clone(),
                origins: vec!["*".to_owned()],
                created_ms: 0,
            };
            store.site_add(new).await.expect("a site is added");
            sites.push((name, key));
        }
        sites
    }

    /// Compares the store and the reports with the sent beacons, after the load has ended.
    async fn judge(&self, load: &mut Load) -> Verdict {
        load.finish().await;
        self.server.settled().await;
        load.judge(&self.server, Some(self.store().await.as_ref())).await
    }
}

/// Kills a server repeatedly under load, reports each kill to `progress`, and judges the result.
///
/// # Panics
/// If the server does not start again.
pub async fn kills(run: Kills, mut progress: impl FnMut(u64)) -> Outcome {
    let began = Instant::now();
    let mut site = Site::start(run.backend, run.power_cut).await;
    let sites = site.sites(run.sites).await;
    let mut load = Load::start_for(&site.server, sites, run.rate, 16);
    load.more(50).await;
    if let (Some(disk), true) = (&site.disk, run.no_fsync) {
        // The disk lies only from here on, because the first start must reach the disk.
        site.server.kill().await;
        disk.lies_about(&["spool.db", "spool.db-wal"]);
        site.server.start_again().await;
        load.redirect(Some(&site.server));
    }
    let mut postgres_kills = 0;
    for kill in 1..=run.kills {
        // Varies the moment of the kill, from just after the start to the middle of the work.
        load.more(1 + kill * 37 % 150).await;
        if let (Some(cluster), 0) = (&mut site.cluster, kill % 5) {
            cluster.kill();
            postgres_kills += 1;
            load.more(1 + kill * 13 % 60).await;
        }
        site.server.kill().await;
        if let Some(disk) = &site.disk {
            disk.cut_power();
        }
        if let (Some(cluster), 0) = (&mut site.cluster, kill % 5) {
            cluster.start_again();
        }
        site.server.start_again().await;
        load.redirect(Some(&site.server));
        progress(kill);
    }
    load.more(50).await;
    let verdict = site.judge(&mut load).await;
    let (unanswered, refused) = (load.unanswered(), load.refused());
    Outcome { run, verdict, postgres_kills, unanswered, refused, duration: began.elapsed() }
}

/// Result of an outage of Postgres.
#[derive(Clone, Debug)]
pub struct Outage {
    /// Planned length of the outage.
    pub away: Duration,
    /// Acknowledged beacons a second during the outage.
    pub rate: f64,
    /// Beacons that were refused or not answered.
    pub refused: u64,
    /// The judge's verdict on the beacons.
    pub verdict: Verdict,
    /// Largest backlog, in beacons.
    pub waiting_max: u64,
    /// Largest backlog on disk, in bytes.
    pub waiting_bytes_max: u64,
    /// Time from the restart of Postgres until the backlog is at most one second of load, under continuing load.
    pub caught_up: Duration,
    /// Resident memory of the server in bytes: the maximum during warm-up, and the overall maximum.
    pub memory_bytes: [u64; 2],
}

impl Outage {
    /// Returns the growth of memory, in bytes.
    #[must_use]
    pub const fn growth_bytes(&self) -> u64 {
        self.memory_bytes[1].saturating_sub(self.memory_bytes[0])
    }

    /// Returns the result as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "away_s": self.away.as_secs_f64(), "rate_per_s": self.rate, "refused": self.refused,
            "acknowledged": self.verdict.acknowledged, "lost": self.verdict.lost,
            "duplicates": self.verdict.duplicates, "waiting_max": self.waiting_max,
            "waiting_bytes_max": self.waiting_bytes_max, "caught_up_s": self.caught_up.as_secs_f64(),
            "memory_before_bytes": self.memory_bytes[0], "memory_max_bytes": self.memory_bytes[1],
            "memory_growth_bytes": self.growth_bytes(), "differences": self.verdict.differences,
        })
    }
}

/// Returns the resident memory of a process, in bytes.
fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Stops Postgres for a time under load, and measures the cost.
///
/// # Panics
/// If the server does not answer, or has not caught up within 5 minutes.
pub async fn outage(away: Duration, rate: u64, sites: u64, warm_up: Duration) -> Outage {
    const LOOK: Duration = Duration::from_millis(200);
    let mut site = Site::start(Backend::Postgres, false).await;
    let mut load = Load::start_for(&site.server, site.sites(sites).await, rate, 64);
    let pid = site.server.pid();
    let began = Instant::now();
    let mut before = 0;
    while began.elapsed() < warm_up {
        tokio::time::sleep(LOOK).await;
        before = before.max(resident_bytes(pid));
    }
    let mut outage = Outage {
        away,
        rate: 0.0,
        refused: 0,
        verdict: Verdict::default(),
        waiting_max: 0,
        waiting_bytes_max: 0,
        caught_up: Duration::ZERO,
        memory_bytes: [before, before],
    };
    if let Some(cluster) = &mut site.cluster {
        cluster.kill();
    }
    let (began, already) = (Instant::now(), load.acknowledged());
    let mut back: Option<Instant> = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let status = site.server.get("status").await.expect("the server's status");
        let waiting = status["spool"]["waiting"].as_u64().unwrap_or(0);
        outage.waiting_max = outage.waiting_max.max(waiting);
        outage.waiting_bytes_max =
            outage.waiting_bytes_max.max(status["spool"]["waiting_bytes"].as_u64().unwrap_or(0));
        outage.memory_bytes[1] = outage.memory_bytes[1].max(resident_bytes(pid));
        match back {
            None if began.elapsed() >= away => {
                outage.rate = (load.acknowledged() - already) as f64 / began.elapsed().as_secs_f64();
                if let Some(cluster) = &mut site.cluster {
                    cluster.start_again();
                }
                back = Some(Instant::now());
            }
            Some(back) if waiting <= rate => {
                outage.caught_up = back.elapsed();
                break;
            }
            Some(back) => {
                assert!(
                    back.elapsed() < Duration::from_secs(300),
                    "{waiting} beacons still wait: {outage:?}"
                );
            }
            None => {}
        }
    }
    outage.verdict = site.judge(&mut load).await;
    outage.refused = load.refused() + load.unanswered();
    outage
}
