//! `bench load`: loads batches into the stores: alone, while maintenance folds rollups, and with the data that explain
//! values.

use crate::cluster::Cluster;
use crate::explained::Explained;
use crate::figure::{Bound, Figure, median};
use crate::progress::{Progress, say};
use crate::stored::{BATCH, Backend, Loading, Location};
use crate::{place, process, query, sites};
use anyhow::{Result, bail};
use fieldvitals_store::{Retention, ViewUpdate};
use fieldvitals_traffic::{Random, Traffic};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vitals::metric::{Metric, Value};

/// The size of the load.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rounds, each with every store in turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Beacons per round and store, with one page view each; 5 % are later snapshots of stored views.
    #[arg(long, default_value_t = 100 * BATCH)]
    beacons: usize,
    #[command(flatten)]
    sites: sites::Args,
}

/// One beacon in 20 is an update of a stored view.
const UPDATE_EVERY: usize = 20;
/// A fixed start, so that every run has the same rows and partitions: 2026-11-01T12:00:00Z.
const FROM_MS: i64 = 1_793_534_400_000;
const TO_MS: i64 = FROM_MS + 2 * 3_600_000;
/// Bound of the additional bytes per page view for its explanations, including texts.
const CONTEXT_BYTES: f64 = 64.0;
/// Pause between two rounds of maintenance. The server pauses for one minute.
const MAINTENANCE_PAUSE: Duration = Duration::from_millis(500);

/// The kind of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Beacons with values only.
    Plain,
    /// The same, while maintenance folds rollups.
    Folding,
    /// Beacons with all data that the collector sends.
    Explained,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Plain, Self::Folding, Self::Explained];

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Folding => ", folding meanwhile",
            Self::Explained => ", with attribution",
        }
    }
}

/// The cost of loading in one round.
struct Round {
    per_second: f64,
    cpu_micros: f64,
    fold_seconds: f64,
    raw_bytes: f64,
    text_bytes: f64,
}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = place::folder()?;
    let cluster = Cluster::start(&folder)?;
    if !args.sites.sites.is_empty() {
        return runtime.block_on(sites::load(&args.sites, &cluster));
    }
    say(format!("making {} beacons", args.beacons));
    let (batches, views) = batches(args.beacons);
    let explained = explained(&batches);

    let kinds: Vec<(Backend, Kind)> =
        Backend::ALL.into_iter().flat_map(|backend| Kind::ALL.map(|kind| (backend, kind))).collect();
    let mut rounds: Vec<Vec<Round>> = kinds.iter().map(|_| Vec::new()).collect();
    for number in 1..=args.rounds {
        for (&(backend, kind), rounds) in kinds.iter().zip(&mut rounds) {
            let what = format!("round {number}: {}{}", backend.name(), kind.name());
            let batches = if kind == Kind::Explained { &explained } else { &batches };
            let round = runtime.block_on(load(backend, kind, &folder, &cluster, batches, views, &what))?;
            say(format!(
                "{what}: {:.0} views/s, {:.1} µs CPU a view, {:.1} s to fold the rest",
                round.per_second, round.cpu_micros, round.fold_seconds
            ));
            rounds.push(round);
        }
    }

    let mut figures = Vec::new();
    let mut plain_bytes = f64::NAN;
    for (&(backend, kind), rounds) in kinds.iter().zip(&rounds) {
        let of = |field: fn(&Round) -> f64| median(&rounds.iter().map(field).collect::<Vec<_>>());
        let name = format!("{}{}", backend.name(), kind.name());
        figures.extend([
            Figure::new(format!("{name}: page views"), of(|round| round.per_second), "/s")
                .bound(Bound::AtLeast(60_000.0)),
            Figure::new(
                format!("{name}: CPU a page view, all processes"),
                of(|round| round.cpu_micros),
                "µs",
            ),
            Figure::new(format!("{name}: folding what is left"), of(|round| round.fold_seconds), "s"),
        ]);
        if kind == Kind::Explained {
            figures.push(
                Figure::new(
                    format!("{name}: what explains a page view, its texts among it"),
                    of(|round| round.raw_bytes + round.text_bytes) - plain_bytes,
                    "B",
                )
                .bound(Bound::AtMost(CONTEXT_BYTES)),
            );
            figures.push(Figure::new(
                format!("{name}: texts a page view"),
                of(|round| round.text_bytes),
                "B",
            ));
        }
        if kind == Kind::Plain {
            plain_bytes = of(|round| round.raw_bytes);
            let bytes = Figure::new(
                format!("{name}: a raw page view with indexes"),
                of(|round| round.raw_bytes),
                "B",
            );
            let bound = backend == Backend::Postgres;
            figures.push(if bound { bytes.bound(Bound::AtMost(220.0)) } else { bytes });
        }
    }
    Ok(figures)
}

/// The same beacons, with all data that a page view's beacon carries beside its values.
fn explained(batches: &[Vec<Vec<ViewUpdate>>]) -> Vec<Vec<Vec<ViewUpdate>>> {
    let mut explained = Explained::new(4);
    let mut batches = batches.to_vec();
    for view in batches.iter_mut().flatten().flatten() {
        view.context = explained.context(view);
    }
    batches
}

/// Batches of beacons, and their number of page views.
fn batches(beacons: usize) -> (Vec<Vec<Vec<ViewUpdate>>>, u64) {
    let mut traffic = Traffic::new(2, beacons as u64, FROM_MS, TO_MS);
    let mut random = Random::new(3);
    let mut batches: Vec<Vec<Vec<ViewUpdate>>> = Vec::new();
    let mut views = 0;
    for first in (0..beacons).step_by(BATCH) {
        let mut batch = Vec::with_capacity(BATCH);
        for place in 0..BATCH.min(beacons - first) {
            let known = batches.last().and_then(|before: &Vec<Vec<ViewUpdate>>| {
                // Takes each position of the batch before once, so that no view gets the same number twice.
                let number = place + (random.bits() as usize) % UPDATE_EVERY;
                before.get(number - number % UPDATE_EVERY)?.first()
            });
            batch.push(vec![match known {
                Some(view) if place % UPDATE_EVERY == 0 && view.source == new_view() => traffic.update(view),
                _ => {
                    views += 1;
                    traffic.next_view()
                }
            }]);
        }
        batches.push(batch);
    }
    (batches, views)
}

const fn new_view() -> fieldvitals_store::Source {
    fieldvitals_store::Source::Own { seq: 1 }
}

async fn load(
    backend: Backend,
    kind: Kind,
    folder: &Path,
    cluster: &Cluster,
    batches: &[Vec<Vec<ViewUpdate>>],
    views: u64,
    what: &str,
) -> Result<Round> {
    let location = Location::empty(backend, "load", folder, cluster)?;
    let mut loading = Loading::begin(location.open().await?).await?;
    let beacons: usize = batches.iter().map(Vec::len).sum();
    // Copies before the timer starts, because the loader reads its batches from the spool.
    let copies = batches.to_vec();
    let stop = Arc::new(AtomicBool::new(false));
    let maintenance = (kind == Kind::Folding).then(|| {
        let (store, stop) = (Arc::clone(&loading.store), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                store.maintain(TO_MS, Retention::default()).await?;
                tokio::time::sleep(MAINTENANCE_PAUSE).await;
            }
            anyhow::Ok(())
        })
    });

    let mut progress = Progress::new(what, beacons as u64);
    let cpu = all_cpu_micros(cluster)?;
    let started = Instant::now();
    let mut done = 0;
    for batch in copies {
        done += batch.len() as u64;
        loading.load(batch).await?;
        progress.at(done);
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu = all_cpu_micros(cluster)? - cpu;
    progress.end();

    stop.store(true, Ordering::Relaxed);
    if let Some(maintenance) = maintenance {
        maintenance.await??;
    }
    let folding = Instant::now();
    loading.fold(TO_MS).await?;
    let fold_seconds = folding.elapsed().as_secs_f64();
    loading.check(beacons as u64)?;
    verify(&loading, views).await?;
    let tables = location.bytes(cluster).await?;
    let bytes = |name: &str| {
        let table = tables.iter().find(|(table, _)| table == name);
        table.map_or(f64::NAN, |(_, bytes)| bytes / views as f64)
    };
    Ok(Round {
        per_second: beacons as f64 / seconds,
        cpu_micros: cpu as f64 / beacons as f64,
        fold_seconds,
        raw_bytes: bytes("page_view"),
        text_bytes: bytes("context_text"),
    })
}

/// CPU time of this process (the loader and SQLite) and of Postgres.
fn all_cpu_micros(cluster: &Cluster) -> Result<u64> {
    Ok(process::cpu_micros(std::process::id())? + process::family_cpu_micros(cluster.pid)?)
}

/// Checks that page views and rollups both count every view once.
async fn verify(loading: &Loading, views: u64) -> Result<()> {
    let (store, site) = (&loading.store, loading.site);
    let cells = store.cells(&query::question(site, FROM_MS, TO_MS, None, None, None)).await?.rows;
    let counted: i64 = cells.iter().map(|cell| cell.cell.views).sum();
    let routes = store.routes(site, FROM_MS, TO_MS).await?;
    let largest = Value::new(Metric::Lcp, f64::from(Metric::Lcp.value_max()));
    let Ok(at_most) = largest else { bail!("the largest LCP is a value") };
    let tally = query::tally(site, FROM_MS, TO_MS, routes, at_most);
    let raw = store.tally(&tally).await?.n;
    // Every view has an LCP.
    if (counted, raw) != (views as i64, views) {
        bail!("of {views} page views the rollups have {counted} and the rows {raw}");
    }
    Ok(())
}
