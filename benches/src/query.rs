//! `bench query`: queries percentiles over a month of page views. Compares rollups with a sort of the raw rows in the
//! same Postgres, and with DuckDB.

use crate::cluster::Cluster;
use crate::duck::Duck;
use crate::figure::{Bound, Figure, median};
use crate::place;
use crate::progress::{Progress, say};
use crate::stored::{BATCH, BY_DEVICE, Backend, Loading, Location, site_of};
use anyhow::{Context as _, Result, bail};
use fieldvitals_store::{Cell, CellQuery, Dimension, Filters, GroupBy, RouteCell, SiteId, Store, TallyQuery};
use fieldvitals_traffic::{self as data, Traffic};
use sqlx::postgres::PgConnection;
use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use vitals::histogram::rank;
use vitals::metric::{Metric, Metrics, Rating, Value};
use vitals::view::Device;

/// The size of the data and the repetitions.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Page views.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    views: u64,
    /// Repetitions of each query; the slow yardsticks run a fifth of them.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Leave out DuckDB.
    #[arg(long)]
    no_duckdb: bool,
}

const DAY_MS: i64 = 24 * 3_600_000;
/// The end of the last whole day, fixed so that data can be reused: 2026-11-01T00:00:00Z.
pub(crate) const TO_MS: i64 = 1_793_491_200_000;
pub(crate) const FROM_MS: i64 = TO_MS - 28 * DAY_MS;
/// Batches between two rounds of maintenance during a load. Ten million views are about 80 such rounds.
const BATCHES_A_FOLD: u64 = 30;
const PERCENT: u8 = 75;

/// The route of the queries about one route: the 20th, with about 0.8 % of all views.
pub(crate) const ONE_ROUTE: usize = 19;

/// A query of cells.
pub(crate) fn question(
    site: SiteId,
    from_ms: i64,
    to_ms: i64,
    metric: Option<Metric>,
    route: Option<String>,
    device: Option<Device>,
) -> CellQuery {
    CellQuery {
        route,
        filters: Filters { device, ..Filters::NONE },
        metrics: metric.map_or(Metrics::ALL, Metrics::only),
        ..CellQuery::new(site, from_ms, to_ms)
    }
}

/// A query that counts the views within a value.
pub(crate) fn tally(
    site: SiteId,
    from_ms: i64,
    to_ms: i64,
    routes: Vec<String>,
    at_most: Value,
) -> TallyQuery {
    TallyQuery { site, from_ms, to_ms, routes, filters: Filters::NONE, metric: Metric::Lcp, at_most }
}

/// The queries, in the order of the figures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    AllRoutes,
    OneRoute,
    Phones,
    AllMetrics,
    Site,
    Countries,
}

impl Question {
    const ALL: [Self; 6] =
        [Self::AllRoutes, Self::OneRoute, Self::Phones, Self::AllMetrics, Self::Site, Self::Countries];

    const fn name(self) -> &'static str {
        match self {
            Self::AllRoutes => "p75 of LCP, all routes",
            Self::OneRoute => "p75 of LCP, one route",
            Self::Phones => "p75 of LCP, all routes, phones",
            Self::AllMetrics => "p75 of all metrics, all routes",
            Self::Site => "p75 of all metrics, the whole site",
            Self::Countries => "p75 of all metrics, the whole site by country",
        }
    }

    /// Bound of the query's time, in milliseconds.
    const fn bound_ms(self, backend: Backend) -> Option<f64> {
        match (self, backend) {
            (Self::AllRoutes, Backend::Postgres) => Some(40.0),
            (Self::AllRoutes, Backend::Sqlite) => Some(60.0),
            (Self::OneRoute, _) => Some(5.0),
            (Self::Site | Self::Countries, _) => Some(15.0),
            _ => None,
        }
    }

    fn cells(self, site: SiteId) -> CellQuery {
        let one = || Traffic::new(SEED, 1, FROM_MS, TO_MS).routes().nth(ONE_ROUTE).map(str::to_owned);
        let lcp = Some(Metric::Lcp);
        match self {
            Self::AllRoutes => question(site, FROM_MS, TO_MS, lcp, None, None),
            Self::OneRoute => question(site, FROM_MS, TO_MS, lcp, one(), None),
            Self::Phones => question(site, FROM_MS, TO_MS, lcp, None, Some(Device::Phone)),
            Self::AllMetrics | Self::Site | Self::Countries => {
                question(site, FROM_MS, TO_MS, None, None, None)
            }
        }
    }

    /// The cells of the answer.
    async fn ask(self, store: &dyn Store, site: SiteId) -> Result<Vec<Cell>> {
        let query = self.cells(site);
        Ok(match self {
            Self::Site => vec![store.total(&query).await?.cell],
            Self::Countries => {
                let by = GroupBy::Rolled(Dimension::Country);
                store.breakdown(&query, by).await?.rows.into_iter().map(|row| row.cell).collect()
            }
            _ => store.cells(&query).await?.rows.into_iter().map(|row| row.cell).collect(),
        })
    }
}

pub(crate) const SEED: u64 = 20_261_101;

/// A loaded store.
pub(crate) struct Loaded {
    pub(crate) backend: Backend,
    pub(crate) location: Location,
    pub(crate) store: Arc<dyn Store>,
    site: SiteId,
}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = place::folder()?;
    let cluster = Cluster::start(&folder)?;
    runtime.block_on(measure(args, &folder, &cluster))
}

async fn measure(args: &Args, folder: &Path, cluster: &Cluster) -> Result<Vec<Figure>> {
    let stamp = stamp()?;
    let (mut whole, mut tenth) = (Vec::new(), Vec::new());
    for backend in Backend::ALL {
        tenth.push(loaded(backend, args.views / 10, &stamp, folder, cluster).await?);
        whole.push(loaded(backend, args.views, &stamp, folder, cluster).await?);
    }
    let duck = if args.no_duckdb {
        Err("left out".to_owned())
    } else {
        let traffic = Traffic::new(SEED, args.views, FROM_MS, TO_MS);
        let name = format!("query-{}-{}", args.views, data::VERSION);
        Duck::open(folder, &name, args.views, traffic).map_err(|error| format!("{error:#}"))
    };

    let mut figures = Vec::new();
    say("asking the raw rows in Postgres");
    let postgres =
        whole.iter().find(|loaded| loaded.backend == Backend::Postgres).context("one is Postgres")?;
    let Location::Database { name, .. } = &postgres.location else { bail!("Postgres is a database") };
    let mut raw = cluster.connect(name).await?;
    let raw_ms = ask_raw(&mut raw, postgres.site, args.times.div_ceil(5)).await?;
    let duck_ms = match &duck {
        Ok(duck) => {
            say("asking DuckDB");
            Some(duck.ask(args.times, &duck_questions())?)
        }
        Err(reason) => {
            say(format!("WITHOUT DuckDB, which cannot be had: {reason}"));
            None
        }
    };

    say("asking the stores");
    let mut millis: HashMap<(bool, &str, &str), Vec<f64>> = HashMap::new();
    // Interleaves the stores, so that other load on the machine affects all of them alike. The first round warms up.
    for time in 0..=args.times {
        for (is_whole, loaded) in
            whole.iter().map(|loaded| (true, loaded)).chain(tenth.iter().map(|loaded| (false, loaded)))
        {
            for question in Question::ALL {
                let started = Instant::now();
                let cells = question.ask(loaded.store.as_ref(), loaded.site).await?;
                std::hint::black_box(percentiles(&cells, question));
                let taken = started.elapsed().as_secs_f64() * 1_000.0;
                if cells.is_empty() {
                    bail!("{} has no answer to: {}", loaded.backend.name(), question.name());
                }
                if time > 0 {
                    millis.entry((is_whole, loaded.backend.name(), question.name())).or_default().push(taken);
                }
            }
        }
    }
    let taken = |is_whole, backend: Backend, question: Question| {
        millis.get(&(is_whole, backend.name(), question.name())).map_or(f64::NAN, |millis| median(millis))
    };

    for loaded in &whole {
        let backend = loaded.backend;
        for question in Question::ALL {
            let name = format!("{}: {}", backend.name(), question.name());
            let ms = taken(true, backend, question);
            let figure = Figure::new(&name, ms, "ms");
            figures.push(match question.bound_ms(backend) {
                Some(bound) => figure.bound(Bound::AtMost(bound)),
                None if question == Question::Phones => figure
                    .beside("without the filter", taken(true, backend, Question::AllRoutes))
                    .bound(Bound::RatioAtMost(1.0)),
                None => figure,
            });
            if let Some(&raw) = raw_ms.get(question.name()) {
                let figure = Figure::new(&name, ms, "ms").faster_than("percentile_cont over raw rows", raw);
                figures.push(if question == Question::AllRoutes {
                    figure.bound(Bound::RatioAtLeast(150.0))
                } else {
                    figure
                });
            }
            let duck = duck_ms
                .as_ref()
                .and_then(|answer| Some((&answer.version, (*answer.millis.get(question.name())?)?)));
            if let Some((version, duck)) = duck {
                let figure =
                    Figure::new(&name, ms, "ms").faster_than(format!("DuckDB {version} quantile_cont"), duck);
                figures.push(if question == Question::AllRoutes {
                    figure.bound(Bound::RatioAtLeast(3.0))
                } else {
                    figure
                });
            }
        }
        let name = format!("{}: all routes, 10 × the page views", backend.name());
        figures.push(
            Figure::new(name, taken(true, backend, Question::AllRoutes), "ms")
                .beside(format!("{} page views", args.views / 10), taken(false, backend, Question::AllRoutes))
                .bound(Bound::RatioAtMost(1.5)),
        );
    }
    say("comparing with the raw rows");
    let truth = Truth::of(&mut raw, postgres.site).await?;
    for loaded in &whole {
        figures.extend(truth.compare(loaded).await?);
    }
    for loaded in &whole {
        for (table, bytes) in loaded.location.bytes(cluster).await? {
            let figure = Figure::new(
                format!("{}: {table} a page view, with indexes", loaded.backend.name()),
                bytes / args.views as f64,
                "B",
            );
            match (table.as_str(), loaded.backend) {
                ("page_view", Backend::Postgres) => figures.push(figure.bound(Bound::AtMost(220.0))),
                (BY_DEVICE, _) => figures.push(figure.bound(Bound::AtMost(8.0))),
                ("rollup_day", _) => figures.push(figure.bound(Bound::AtMost(28.0))),
                (name, _) if bytes > 1e6 && !name.starts_with("sqlite_") => figures.push(figure),
                _ => {}
            }
        }
    }
    Ok(figures)
}

fn percentiles(cells: &[Cell], question: Question) -> Vec<Option<f64>> {
    let asked = question.cells(SiteId(0)).metrics;
    let of_cell = |cell: &Cell| {
        let percentile = |metric: Metric| cell.metric(metric).percentile(metric, PERCENT);
        asked.iter().map(percentile).collect::<Vec<_>>()
    };
    cells.iter().flat_map(of_cell).collect()
}

/// A store with this number of page views. Reuses the store of an earlier run.
pub(crate) async fn loaded(
    backend: Backend,
    views: u64,
    stamp: &str,
    folder: &Path,
    cluster: &Cluster,
) -> Result<Loaded> {
    let name = format!("query_{views}");
    let marker = folder.join(format!("{name}.{}.done", backend.name()));
    if fs::read_to_string(&marker).is_ok_and(|done| done == stamp) {
        let location = Location::of(backend, &name, folder, cluster);
        let store = location.open().await?;
        let site = site_of(store.as_ref()).await?;
        return Ok(Loaded { backend, location, store, site });
    }
    if marker.exists() {
        fs::remove_file(&marker)?;
    }
    let location = Location::empty(backend, &name, folder, cluster)?;
    let mut loading = Loading::begin(location.open().await?).await?;
    let mut traffic = Traffic::new(SEED, views, FROM_MS, TO_MS);
    let mut progress =
        Progress::new(format!("loading {}; this is kept for the next run", backend.name()), views);
    let mut done = 0;
    for number in 1.. {
        let size = (views - done).min(BATCH as u64);
        if size == 0 {
            break;
        }
        loading.load((0..size).map(|_| vec![traffic.next_view()]).collect()).await?;
        done += size;
        if number % BATCHES_A_FOLD == 0 {
            loading.fold(TO_MS).await?;
        }
        progress.at(done);
    }
    loading.fold(TO_MS).await?;
    loading.check(views)?;
    progress.end();
    if let Location::Database { name, .. } = &location {
        // Vacuums now; autovacuum would run at an unknown time.
        let mut connection = cluster.connect(name).await?;
        sqlx::raw_sql("vacuum analyze").execute(&mut connection).await?;
    }
    fs::write(&marker, stamp)?;
    Ok(Loaded { backend, location, store: Arc::clone(&loading.store), site: loading.site })
}

/// Identifies the code that loaded a store: a hash of all source that decides the store's content, and the version of
/// the data.
pub(crate) fn stamp() -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let mut files = Vec::new();
    for dir in ["migrations", "store/src", "store-postgres/src", "store-sqlite/src", "vitals/src"] {
        list(&root.join(dir), &mut files)?;
    }
    files.sort();
    let mut hash = DefaultHasher::new();
    for file in files {
        hash.write(&fs::read(file)?);
    }
    Ok(format!("{:016x} {}", hash.finish(), data::VERSION))
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("{}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// The smallest id of a view with this start, for Postgres.
fn first_id(start_ms: i64) -> sqlx::types::Uuid {
    sqlx::types::Uuid::from_u128((start_ms as u128) << 80)
}

const RAW_ALL: &str = "select route_id, percentile_cont(0.75) within group (order by lcp) from page_view \
    where site_id = $1 and id >= $2 and id < $3 group by route_id";
const RAW_PHONES: &str = "select route_id, percentile_cont(0.75) within group (order by lcp) from page_view \
    where site_id = $1 and id >= $2 and id < $3 and device = 1 group by route_id";
const RAW_ONE: &str = "select route_id, percentile_cont(0.75) within group (order by lcp) from page_view \
    where site_id = $1 and id >= $2 and id < $3 and route_id = \
    (select route_id from route where site_id = $1 and route = $4) group by route_id";

/// Milliseconds of each query over raw rows.
async fn ask_raw(
    connection: &mut PgConnection,
    site: SiteId,
    times: u32,
) -> Result<HashMap<&'static str, f64>> {
    let route = Question::OneRoute.cells(site).route.unwrap_or_default();
    let mut millis = HashMap::new();
    for (question, sql) in
        [(Question::AllRoutes, RAW_ALL), (Question::Phones, RAW_PHONES), (Question::OneRoute, RAW_ONE)]
    {
        let mut taken = Vec::new();
        // The first run warms up.
        for time in 0..=times {
            let mut query = sqlx::query(sql).bind(site.0).bind(first_id(FROM_MS)).bind(first_id(TO_MS));
            if question == Question::OneRoute {
                query = query.bind(&route);
            }
            let started = Instant::now();
            let rows = query.fetch_all(&mut *connection).await?;
            if rows.is_empty() {
                bail!("the raw rows have no answer to: {}", question.name());
            }
            if time > 0 {
                taken.push(started.elapsed().as_secs_f64() * 1_000.0);
            }
        }
        millis.insert(question.name(), median(&taken));
    }
    Ok(millis)
}

fn duck_questions() -> HashMap<&'static str, String> {
    let sql = |and: &str| {
        format!(
            "select route, quantile_cont(lcp, 0.75) from view where start_ms >= {FROM_MS} and start_ms < {TO_MS} \
             {and} group by route"
        )
    };
    HashMap::from([
        (Question::AllRoutes.name(), sql("")),
        (Question::Phones.name(), sql("and device = 0")),
        (Question::OneRoute.name(), sql(&format!("and route = {ONE_ROUTE}"))),
    ])
}

/// Statistics of the raw rows: per route and metric, n and the counts of the three ratings; and some percentiles.
struct Truth {
    counts: HashMap<String, Vec<i64>>,
    p75: HashMap<(String, Metric), f64>,
}

const COUNTS: &str = "select r.route, array[count(lcp), count(*) filter (where lcp <= 2500000), \
    count(*) filter (where lcp > 4000000), count(inp), count(*) filter (where inp <= 200000), \
    count(*) filter (where inp > 500000), count(cls), count(*) filter (where cls <= 100000), \
    count(*) filter (where cls > 250000), count(fcp), count(*) filter (where fcp <= 1800000), \
    count(*) filter (where fcp > 3000000), count(ttfb), count(*) filter (where ttfb <= 800000), \
    count(*) filter (where ttfb > 1800000), count(fid), count(*) filter (where fid <= 100000), \
    count(*) filter (where fid > 300000), count(tti), count(*) filter (where tti <= 3800000), \
    count(*) filter (where tti > 7300000)] \
    from page_view v join route r on r.site_id = v.site_id and r.route_id = v.route_id \
    where v.site_id = $1 and v.id >= $2 and v.id < $3 group by r.route";
const RANKS: &str = "select r.route, percentile_disc(0.75) within group (order by lcp), \
    percentile_disc(0.75) within group (order by inp), percentile_disc(0.75) within group (order by cls) \
    from page_view v join route r on r.site_id = v.site_id and r.route_id = v.route_id \
    where v.site_id = $1 and v.id >= $2 and v.id < $3 group by r.route";
const RANKED: [Metric; 3] = [Metric::Lcp, Metric::Inp, Metric::Cls];

/// A route, and the discrete p75 of each of [`RANKED`], in millionths.
type Ranks = (String, Option<i32>, Option<i32>, Option<i32>);

impl Truth {
    async fn of(connection: &mut PgConnection, site: SiteId) -> Result<Self> {
        let counts: Vec<(String, Vec<i64>)> = sqlx::query_as(COUNTS)
            .bind(site.0)
            .bind(first_id(FROM_MS))
            .bind(first_id(TO_MS))
            .fetch_all(&mut *connection)
            .await?;
        let ranks: Vec<Ranks> = sqlx::query_as(RANKS)
            .bind(site.0)
            .bind(first_id(FROM_MS))
            .bind(first_id(TO_MS))
            .fetch_all(connection)
            .await?;
        let mut p75 = HashMap::new();
        for (route, lcp, inp, cls) in ranks {
            for (metric, micros) in RANKED.into_iter().zip([lcp, inp, cls]) {
                let value = micros.and_then(|micros| Value::from_micros(metric, u32::try_from(micros).ok()?));
                if let Some(value) = value {
                    p75.insert((route.clone(), metric), value.number(metric));
                }
            }
        }
        Ok(Self { counts: counts.into_iter().collect(), p75 })
    }

    /// The differences between a store's answers and the raw rows.
    async fn compare(&self, loaded: &Loaded) -> Result<Vec<Figure>> {
        let cells = loaded.store.cells(&Question::AllMetrics.cells(loaded.site)).await?.rows;
        let (mut wrong, mut error_max) = (0.0, 0.0_f64);
        if cells.len() != self.counts.len() {
            bail!(
                "{} has {} routes, the rows have {}",
                loaded.backend.name(),
                cells.len(),
                self.counts.len()
            );
        }
        for RouteCell { route, cell } in &cells {
            let counts = self.counts.get(route).with_context(|| format!("no row has the route {route}"))?;
            for (metric, counts) in Metric::ALL.into_iter().zip(counts.chunks(3)) {
                let histogram = cell.metric(metric);
                let rated = [histogram.n(), histogram.rated(Rating::Good), histogram.rated(Rating::Poor)];
                wrong += f64::from(u8::from(rated != counts));
            }
            for metric in RANKED {
                let histogram = cell.metric(metric);
                let found = histogram.at_rank(metric, rank(histogram.n(), PERCENT));
                if let (Some(found), Some(&exact)) = (found, self.p75.get(&(route.clone(), metric))) {
                    let error = if exact == 0.0 { found } else { (found - exact).abs() / exact };
                    error_max = error_max.max(error * 100.0);
                }
            }
        }
        let name = loaded.backend.name();
        Ok(vec![
            Figure::new(
                format!("{name}: largest error of a p75 (LCP, INP, CLS of 500 routes)"),
                error_max,
                "%",
            )
            .bound(Bound::AtMost(0.6)),
            Figure::new(format!("{name}: rating counts that differ from the rows"), wrong, "")
                .bound(Bound::AtMost(0.0)),
        ])
    }
}
