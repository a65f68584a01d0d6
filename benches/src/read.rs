//! `bench read`: asks a server the questions of a dashboard, one at a time and at a fixed rate, with beacons beside them.

mod client;
mod mix;

use crate::cluster::Cluster;
use crate::figure::{Figure, median, percentile};
use crate::http;
use crate::progress::say;
use crate::query::{self, Loaded};
use crate::stored::{Backend, Location};
use crate::target::Target;
use crate::{place, process};
use anyhow::{Context as _, Result, bail};
use client::Reader;
use fieldvitals_traffic::Beacons;
use mix::{Mix, Question};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The data, the readers and the beacons.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Page views of the stores, which `bench query` fills and reuses too.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    views: u64,
    /// Readers; each has one question in flight.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    readers: u32,
    /// Questions a second of all readers.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Beacons a second beside the readers; 0 for none.
    #[arg(long, default_value_t = 5_000.0)]
    beacons: f64,
    /// Seconds at the fixed rate.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Seconds of the same questions before those that are measured, without figures.
    #[arg(long, default_value_t = 0.0)]
    warm_up: f64,
    /// Repetitions of each question that is asked one at a time.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Ask about periods that end now, so that each beacon changes the answers.
    #[arg(long)]
    until_now: bool,
    /// Leave out this store.
    #[arg(long, value_enum)]
    without: Option<Without>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Without {
    Sqlite,
    Postgres,
}

/// Retention that keeps the data, whose days are fixed, for some years.
const KEEP: [&str; 6] =
    ["--keep-views-days", "1000", "--keep-hours-days", "1000", "--keep-rollups-days", "1000"];

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = place::folder()?;
    let cluster = Cluster::start(&folder)?;
    let stamp = query::stamp()?;
    let mut figures = Vec::new();
    for backend in Backend::ALL {
        let is_left_out = match args.without {
            Some(Without::Sqlite) => backend == Backend::Sqlite,
            Some(Without::Postgres) => backend == Backend::Postgres,
            None => false,
        };
        if !is_left_out {
            let loaded = runtime.block_on(query::loaded(backend, args.views, &stamp, &folder, &cluster))?;
            figures.extend(measure(args, &runtime, &loaded, &cluster)?);
        }
    }
    Ok(figures)
}

fn measure(
    args: &Args,
    runtime: &tokio::runtime::Runtime,
    loaded: &Loaded,
    cluster: &Cluster,
) -> Result<Vec<Figure>> {
    let name = loaded.backend.name();
    // The measured server gets a copy, because beacons change the store, and other benches reuse it.
    runtime.block_on(loaded.store.close());
    let dir = place::empty("read")?;
    let url = copy(runtime, &loaded.location, cluster, &dir)?;
    let with = |more: &[&str]| -> Result<Target> {
        let database: Vec<&str> = url.iter().flat_map(|url| ["--database-url", url.as_str()]).collect();
        Target::fieldvitals(&dir, &[&KEEP, more, &database].concat())
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let mix = Mix::new(args.until_now.then_some(now.as_millis() as i64));
    let mut figures = Vec::new();
    {
        let server = with(&["--answers-mib", "0"])?;
        say(format!("{name}: asking one at a time, nothing kept"));
        for (question, _) in Question::ALL {
            let millis = one_at_a_time(&server, &mix, question, args.times, false)?;
            figures.push(Figure::new(format!("{name}: {}, nothing kept", question.name()), millis, "ms"));
        }
    }
    let server = with(&[])?;
    say(format!("{name}: asking one at a time, kept"));
    for (question, _) in Question::ALL.into_iter().filter(|(question, _)| *question != Question::Rejections) {
        let millis = one_at_a_time(&server, &mix, question, args.times, false)?;
        figures.push(Figure::new(format!("{name}: {}, kept", question.name()), millis, "ms"));
    }
    let millis = one_at_a_time(&server, &mix, Question::Overview, args.times, true)?;
    figures.push(Figure::new(format!("{name}: overview, unchanged (304)"), millis, "ms"));

    let requests = http::requests(&server.key)?;
    let time = Duration::from_secs_f64(args.seconds);
    say(format!("{name}: {:.0} beacons/s alone", args.beacons));
    let alone = beacons(args, &server, &requests, time)?;
    if args.warm_up > 0.0 {
        say(format!("{name}: {:.0} questions/s for {:.0} s, not measured", args.rate, args.warm_up));
        read_open_loop(args, &server, &mix, Duration::from_secs_f64(args.warm_up))?;
    }
    say(format!("{name}: {:.0} questions/s by {} readers beside them", args.rate, args.readers));
    let (beside, read) = thread::scope(|scope| -> Result<_> {
        let sending = scope.spawn(|| beacons(args, &server, &requests, time));
        let read = read_open_loop(args, &server, &mix, time)?;
        let Ok(beside) = sending.join() else { bail!("the client of beacons failed") };
        Ok((beside?, read))
    })?;
    let at = format!("at {:.0}/s", args.rate);
    for percent in [50.0, 95.0, 99.0] {
        let ms = percentile(&read.millis, percent);
        figures.push(Figure::new(format!("{name}: answers {at}, p{percent:.0}"), ms, "ms"));
    }
    figures.extend([
        Figure::new(format!("{name}: answers {at}"), read.millis.len() as f64 / args.seconds, "/s"),
        Figure::new(format!("{name}: questions refused as busy {at}"), read.busy as f64, ""),
        Figure::new(format!("{name}: questions that failed {at}"), read.failed as f64, ""),
    ]);
    for percent in [50.0, 95.0, 99.0] {
        let (with, without) = (percentile(&beside.millis, percent), percentile(&alone.millis, percent));
        let name = format!("{name}: beacons beside readers, time to 204, p{percent:.0}");
        figures.push(Figure::new(name, with, "ms").beside("without readers", without));
    }
    let failed = (alone.failed + beside.failed) as f64;
    figures.push(Figure::new(format!("{name}: beacons that failed"), failed, ""));
    let mib = process::rss_bytes(server.pid())? as f64 / 1024.0 / 1024.0;
    figures.push(Figure::new(format!("{name}: server memory"), mib, "MiB"));
    Ok(figures)
}

/// Copies a filled store for the server on this folder. Returns the URL of a database.
fn copy(
    runtime: &tokio::runtime::Runtime,
    from: &Location,
    cluster: &Cluster,
    dir: &Path,
) -> Result<Option<String>> {
    match from {
        Location::File(path) => {
            let copied = dir.join("store.db");
            // Synced, so that the server's syncs do not wait for the copy's.
            fs::copy(path, &copied)
                .and_then(|_| fs::File::open(&copied)?.sync_all())
                .with_context(|| format!("{} cannot be copied", path.display()))?;
            Ok(None)
        }
        Location::Database { name, .. } => runtime.block_on(async {
            let mut connection = cluster.connect("postgres").await?;
            // The name is the bench's own: `query_` and a number.
            for statement in [
                "drop database if exists read with (force)".to_owned(),
                format!("create database read template {name}"),
            ] {
                sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
            }
            Ok(Some(cluster.url("read")))
        }),
    }
}

/// The median time of a question about the 20th page, in milliseconds. The first answer warms up. With `is_known`, the
/// reader has the answer.
fn one_at_a_time(server: &Target, mix: &Mix, question: Question, times: u32, is_known: bool) -> Result<f64> {
    let path = mix.path(question, query::ONE_ROUTE);
    let mut reader = Reader::new(server.address, &server.token);
    let first = reader.ask(&path, None)?;
    if first.status != 200 || first.body_bytes == 0 {
        bail!("GET {path}: status {}, {} bytes", first.status, first.body_bytes);
    }
    let (tag, expected) = if is_known { (Some(first.tag.as_str()), 304) } else { (None, 200) };
    let mut millis = Vec::new();
    for _ in 0..times {
        let started = Instant::now();
        let answered = reader.ask(&path, tag)?;
        millis.push(started.elapsed().as_secs_f64() * 1_000.0);
        if answered.status != expected {
            bail!("GET {path}: status {}, not {expected}", answered.status);
        }
    }
    Ok(median(&millis))
}

/// Latencies and failures of beacons.
struct Sent {
    millis: Vec<f64>,
    failed: u64,
}

fn beacons(args: &Args, server: &Target, requests: &Beacons, time: Duration) -> Result<Sent> {
    if args.beacons == 0.0 {
        return Ok(Sent { millis: Vec::new(), failed: 0 });
    }
    let (millis, failed) = http::open_loop(server.address, requests, args.beacons, time, || Ok(()))?;
    Ok(Sent { millis, failed })
}

/// Latencies of answers, and the questions without one.
#[derive(Default)]
struct Read {
    millis: Vec<f64>,
    busy: u64,
    failed: u64,
}

/// Asks at a fixed rate, whether or not earlier questions are answered. A latency starts when the question is due.
fn read_open_loop(args: &Args, server: &Target, mix: &Mix, time: Duration) -> Result<Read> {
    let began = Instant::now();
    let readers = args.readers as usize;
    thread::scope(|scope| {
        let asking: Vec<_> = (0..readers)
            .map(|number| {
                scope.spawn(move || {
                    let mut reader = Reader::new(server.address, &server.token);
                    let mut read = Read::default();
                    for place in (number..).step_by(readers) {
                        let after = Duration::from_secs_f64(place as f64 / args.rate);
                        if after >= time {
                            break;
                        }
                        let due = began + after;
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        match reader.ask(&mix.at(place), None) {
                            Ok(answered) if answered.status == 200 => {
                                read.millis.push(due.elapsed().as_secs_f64() * 1_000.0);
                            }
                            Ok(answered) if answered.status == 503 => read.busy += 1,
                            Ok(_) | Err(_) => read.failed += 1,
                        }
                    }
                    read
                })
            })
            .collect();
        let mut all = Read::default();
        for one in asking {
            let Ok(read) = one.join() else { bail!("a reader failed") };
            all.millis.extend(read.millis);
            all.busy += read.busy;
            all.failed += read.failed;
        }
        Ok(all)
    })
}
