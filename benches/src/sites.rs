//! Loading by the number of sites: what a load costs follows page views, not sites.

use crate::cluster::Cluster;
use crate::figure::{Bound, Figure, percentile};
use crate::http;
use crate::progress::say;
use crate::spool::Spool;
use crate::stored::{BATCH, Backend, Location};
use crate::target::Target;
use crate::{delay, place};
use anyhow::{Result, bail};
use fieldvitals_store::{LoadBatch, NewSite, Senders, SiteId, SpoolId, Store, ViewUpdate};
use fieldvitals_traffic::{Random, Traffic};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// The numbers of sites, and the distance of the database.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Measure loading with these numbers of sites instead, such as `1,100,1000`.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sites: Vec<u32>,
    /// Milliseconds of a round trip to Postgres.
    #[arg(long, default_value_t = 0.0, requires = "sites")]
    pub(crate) round_trip: f64,
}

/// Routes of a site.
const ROUTES: u64 = 40;
/// Passes of a measured load, after one that adds the names.
const PASSES: u64 = 20;
/// Time between two looks at the spool.
const LOOK: Duration = Duration::from_millis(50);
const FROM_MS: i64 = 1_793_534_400_000;

impl Args {
    /// The URL of a database of the cluster, at the distance.
    fn url(&self, cluster: &Cluster, name: &str) -> Result<String> {
        let port = match self.round_trip {
            0.0 => cluster.port,
            round_trip => delay::start(cluster.port, Duration::from_secs_f64(round_trip / 1_000.0))?,
        };
        Ok(Cluster::url_at(name, port))
    }

    fn name(&self, backend: Backend, sites: u32) -> String {
        let distance = match (backend, self.round_trip) {
            (Backend::Sqlite, _) | (_, 0.0) => String::new(),
            (_, round_trip) => format!(" at {round_trip} ms"),
        };
        format!("{}{distance}, {sites} sites", backend.name())
    }
}

fn key(number: u32) -> String {
    format!("bench-{number}")
}

/// Adds sites to an empty store.
async fn add_sites(store: &dyn Store, sites: u32) -> Result<Vec<SiteId>> {
    let mut ids = Vec::new();
    for number in 0..sites {
        let (name, origins) = (format!("site {number}"), vec!["*".to_owned()]);
        ids.push(store.site_add(NewSite { name, key: key(number), origins, created_ms: 0 }).await?.id);
    }
    Ok(ids)
}

/// Measures how fast the stores load passes of many sites.
pub(crate) async fn load(args: &Args, cluster: &Cluster) -> Result<Vec<Figure>> {
    let folder = place::folder()?;
    let mut figures = Vec::new();
    for backend in Backend::ALL {
        for &sites in &args.sites {
            let location = Location::empty(backend, "load-sites", &folder, cluster)?;
            let direct = location.open().await?;
            let ids = add_sites(&*direct, sites).await?;
            direct.close().await;
            let store: Arc<dyn Store> = match backend {
                Backend::Sqlite => location.open().await?,
                Backend::Postgres => {
                    let url = args.url(cluster, "load-sites")?;
                    Arc::new(fieldvitals_store_postgres::PostgresStore::open(&url).await?)
                }
            };
            let per_second = passes(&*store, &ids).await?;
            let name = args.name(backend, sites);
            say(format!("{name}: {per_second:.0} views/s"));
            let least = if sites == 1 { 25_000.0 } else { 15_000.0 };
            figures.push(
                Figure::new(format!("{name}: page views loaded"), per_second, "/s")
                    .bound(Bound::AtLeast(least)),
            );
            store.close().await;
        }
    }
    Ok(figures)
}

async fn passes(store: &dyn Store, sites: &[SiteId]) -> Result<f64> {
    let mut traffic = Traffic::new(5, (PASSES + 1) * BATCH as u64, FROM_MS, FROM_MS + 2 * 3_600_000);
    let mut random = Random::new(6);
    let mut seconds = 0.0;
    for number in 0..=PASSES {
        let mut beacons: Vec<Vec<Vec<ViewUpdate>>> = sites.iter().map(|_| Vec::new()).collect();
        for view in 0..BATCH {
            let mut update = traffic.next_view();
            update.route = format!("/{}", random.bits() % ROUTES);
            update.url = format!("https://shop.example{}", update.route);
            beacons[view % sites.len()].push(vec![update]);
        }
        let batch = |(&site, beacons): (&SiteId, Vec<Vec<ViewUpdate>>)| LoadBatch {
            site,
            spool: SpoolId([8; 16]),
            after: number,
            up_to: number + 1,
            beacons,
            senders: Senders::Unknown,
        };
        let pass = sites.iter().zip(beacons).filter(|(_, beacons)| !beacons.is_empty()).map(batch).collect();
        let began = Instant::now();
        for outcome in store.load_pass(pass).await? {
            outcome?;
        }
        if number > 0 {
            seconds += began.elapsed().as_secs_f64();
        }
    }
    Ok(PASSES as f64 * BATCH as f64 / seconds)
}

/// Measures the loader of a server: at the rate, behind half of it, and after a burst.
pub(crate) fn ingest(
    args: &Args,
    cluster: Option<&Cluster>,
    rate: f64,
    time: Duration,
) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for &sites in &args.sites {
        let backend = if cluster.is_some() { Backend::Postgres } else { Backend::Sqlite };
        let name = args.name(backend, sites);
        let server = server(args, cluster, sites)?;
        let keys: Vec<String> = (0..sites).map(key).collect();
        let requests = http::requests_of(&keys)?;

        let mut lags = Lags::new(&server)?;
        let (latencies, failed) = http::open_loop(server.address, &requests, rate, time, || lags.look())?;
        let spool = Spool::of(&server)?;
        let loaded = (spool.appended - spool.waiting) / spool.appended * 100.0;
        let p99 = percentile(&latencies, 99.0);
        say(format!("{name}: {loaded:.1} % loaded at {rate:.0}/s, p99 {p99:.2} ms, {failed} failed"));
        figures.extend([
            Figure::new(format!("{name}: loaded meanwhile at {rate:.0}/s"), loaded, "%")
                .bound(Bound::AtLeast(95.0)),
            Figure::new(format!("{name}: time to 204, p99"), p99, "ms").bound(Bound::AtMost(5.0)),
            Figure::new(format!("{name}: beacons that failed"), failed as f64, "").bound(Bound::AtMost(0.0)),
        ]);

        drained(&server)?;
        let mut lags = Lags::new(&server)?;
        http::open_loop(server.address, &requests, rate / 2.0, time, || lags.look())?;
        say(format!("{name}: a report is up to {:.2} s behind at {:.0}/s", lags.longest, rate / 2.0));
        figures.push(
            Figure::new(
                format!("{name}: lag of a report at {:.0}/s, longest", rate / 2.0),
                lags.longest,
                "s",
            )
            .bound(Bound::AtMost(1.0)),
        );

        drained(&server)?;
        http::closed_loop(server.address, &requests, |counts| {
            thread::sleep(time / 2);
            Ok(counts.taken.load(Ordering::Relaxed))
        })?;
        let (backlog, began) = (Spool::of(&server)?.waiting, Instant::now());
        drained(&server)?;
        let per_second = backlog / began.elapsed().as_secs_f64();
        say(format!("{name}: a backlog of {backlog:.0} drains at {per_second:.0}/s"));
        let least = if sites == 1 { 25_000.0 } else { 15_000.0 };
        figures.push(
            Figure::new(format!("{name}: a backlog drains"), per_second, "/s").bound(Bound::AtLeast(least)),
        );
    }
    Ok(figures)
}

/// Starts a server whose store has these sites.
fn server(args: &Args, cluster: Option<&Cluster>, sites: u32) -> Result<Target> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let dir = place::empty("ingest-sites")?;
    let backend = if cluster.is_some() { Backend::Postgres } else { Backend::Sqlite };
    let location = match cluster {
        Some(cluster) => Location::empty(backend, "ingest-sites", &dir, cluster)?,
        None => Location::File(dir.join("store.db")),
    };
    runtime.block_on(async {
        let store = location.open().await?;
        add_sites(&*store, sites).await?;
        store.close().await;
        anyhow::Ok(())
    })?;
    match cluster {
        Some(cluster) => Target::fieldvitals(&dir, &["--database-url", &args.url(cluster, "ingest-sites")?]),
        None => Target::fieldvitals(&dir, &[]),
    }
}

/// Waits until the spool is empty.
fn drained(server: &Target) -> Result<()> {
    let began = Instant::now();
    while Spool::of(server)?.waiting > 0.0 {
        if began.elapsed() > Duration::from_secs(300) {
            bail!("the loader has not emptied the spool within 300 s");
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// How far the store is behind the spool, from samples of both.
struct Lags<'a> {
    server: &'a Target,
    began: Instant,
    /// Times and the beacons appended until then.
    appended: Vec<(f64, f64)>,
    /// In seconds.
    longest: f64,
}

impl<'a> Lags<'a> {
    fn new(server: &'a Target) -> Result<Self> {
        let mut lags = Self { server, began: Instant::now(), appended: Vec::new(), longest: 0.0 };
        lags.look()?;
        Ok(lags)
    }

    fn look(&mut self) -> Result<()> {
        let spool = Spool::of(self.server)?;
        let now = self.began.elapsed().as_secs_f64();
        self.appended.push((now, spool.appended));
        // The oldest beacon that is not loaded was appended after the last sample that is loaded whole.
        let loaded = spool.appended - spool.waiting;
        let whole = self.appended.iter().rev().find(|&&(_, appended)| appended <= loaded);
        if let Some(&(at, _)) = whole {
            self.longest = self.longest.max(now - at);
        }
        Ok(())
    }
}
