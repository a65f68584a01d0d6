//! Long runs of faults: kills and power cuts under load, and an outage of the database with its cost.

use crate::disk::Disk;
use crate::load::{Load, Verdict};
use crate::server::{Launch, Server};
use fieldvitals_store::Store;
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::Cluster;
use fieldvitals_store_sqlite::SqliteStore;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Which store a run is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The embedded one.
    Sqlite,
    /// A private Postgres.
    Postgres,
}

impl Backend {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A run of kills.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    /// The store.
    pub backend: Backend,
    /// Kills of the server; a Postgres is killed at every fifth as well.
    pub kills: u64,
    /// Whether each kill is a power cut: every file goes back to its last fsync.
    pub power_cut: bool,
    /// Whether an fsync of the spool keeps nothing, which must lose.
    pub no_fsync: bool,
    /// Beacons a second.
    pub rate: u64,
}

/// What a run of kills came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was run.
    pub run: Kills,
    /// What became of the beacons.
    pub verdict: Verdict,
    /// Kills of Postgres.
    pub postgres_kills: u64,
    /// Beacons without an answer, which were sent again.
    pub unanswered: u64,
    /// Beacons that were refused, and sent again.
    pub refused: u64,
    /// How long it took.
    pub duration: Duration,
}

impl Outcome {
    /// Whether it is as it must be.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let clean = self.verdict.lost == 0 && self.verdict.differences.is_empty();
        self.verdict.duplicates == 0 && clean != self.run.no_fsync
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "store": self.run.backend.name(), "kills": self.run.kills, "postgres_kills": self.postgres_kills,
            "power_cut": self.run.power_cut, "fsync": !self.run.no_fsync,
            "acknowledged": self.verdict.acknowledged, "views": self.verdict.views, "lost": self.verdict.lost,
            "duplicates": self.verdict.duplicates, "unanswered": self.unanswered, "refused": self.refused,
            "duration_s": self.duration.as_secs_f64(), "differences": self.verdict.differences,
        })
    }
}

/// A server with what it stands on.
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

    /// Its store, beside the server's own connections to it.
    async fn store(&self) -> Arc<dyn Store> {
        match &self.cluster {
            Some(cluster) => Arc::new(PostgresStore::open(&cluster.url()).await.expect("the store opens")),
            None => {
                let path = self.server.data_dir().join("store.db");
                Arc::new(SqliteStore::open(&path).await.expect("the store opens"))
            }
        }
    }

    /// Compares everything with what was sent, once the load has ended.
    async fn judge(&self, load: &mut Load) -> Verdict {
        load.finish().await;
        self.server.settled().await;
        load.judge(&self.server, Some(self.store().await.as_ref())).await
    }
}

/// Kills a server again and again under load, says each kill to `progress`, and judges.
///
/// # Panics
/// Where the server does not come back.
pub async fn kills(run: Kills, mut progress: impl FnMut(u64)) -> Outcome {
    let began = Instant::now();
    let mut site = Site::start(run.backend, run.power_cut).await;
    let mut load = Load::start(&site.server, run.rate, 16);
    load.more(50).await;
    if let (Some(disk), true) = (&site.disk, run.no_fsync) {
        // From here on: the first start must have come to the disk.
        site.server.kill().await;
        disk.lies_about(&["spool.db", "spool.db-wal"]);
        site.server.start_again().await;
        load.redirect(Some(&site.server));
    }
    let mut postgres_kills = 0;
    for kill in 1..=run.kills {
        // Moments that differ: from one just after the start to one deep in the work.
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

/// What an outage of Postgres came to.
#[derive(Clone, Debug)]
pub struct Outage {
    /// How long Postgres was away.
    pub away: Duration,
    /// Beacons a second that were acknowledged meanwhile.
    pub rate: f64,
    /// Beacons that were refused or not answered.
    pub refused: u64,
    /// What became of the beacons.
    pub verdict: Verdict,
    /// Most beacons that waited.
    pub waiting_max: u64,
    /// Most bytes that waited on disk.
    pub waiting_bytes_max: u64,
    /// From the return of Postgres until no more waited than arrive in a second; the load went on.
    pub caught_up: Duration,
    /// Memory of the server before, at most meanwhile and while it caught up, in bytes.
    pub memory_bytes: [u64; 2],
}

impl Outage {
    /// How much memory grew, in bytes.
    #[must_use]
    pub const fn growth_bytes(&self) -> u64 {
        self.memory_bytes[1].saturating_sub(self.memory_bytes[0])
    }

    /// As JSON.
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

/// Memory of a process that is resident, in bytes.
fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Takes Postgres away from a server under load for a while, and says what it cost.
///
/// # Panics
/// Where the server does not answer, or has not caught up after five minutes.
pub async fn outage(away: Duration, rate: u64, warm_up: Duration) -> Outage {
    const LOOK: Duration = Duration::from_millis(200);
    let mut site = Site::start(Backend::Postgres, false).await;
    let mut load = Load::start(&site.server, rate, 64);
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
