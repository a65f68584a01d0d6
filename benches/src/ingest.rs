//! `bench ingest`: measures the path from HTTP request to synced spool and 204, with the loader running.

use crate::cluster::Cluster;
use crate::figure::{Bound, Figure, median, percentile};
use crate::http::{self, Counts};
use crate::progress::say;
use crate::spool::Spool;
use crate::target::Target;
use crate::{place, process, sites};
use anyhow::{Context as _, Result, bail};
use fieldvitals_traffic::Beacons;
use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// Rounds, durations and targets.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rounds; each measures every target in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of a target in a round, after 1 s of warm-up.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Beacons a second at which latency and memory are measured.
    #[arg(long, default_value_t = 10_000.0)]
    rate: f64,
    /// Seconds of a target in a round at the fixed rate.
    #[arg(long, default_value_t = 10.0)]
    rate_seconds: f64,
    /// Load into Postgres instead of the embedded store; the server's CPU time then excludes the database.
    #[arg(long, conflicts_with = "no_naive")]
    postgres: bool,
    /// Leave out the naive design and its Postgres.
    #[arg(long)]
    no_naive: bool,
    #[command(flatten)]
    sites: sites::Args,
}

const WARM_UP: Duration = Duration::from_secs(1);
/// Timeout of the loader to empty the spool after a round.
const DRAIN_SECONDS_MAX: u64 = 120;

/// The result of one target in one round.
struct Round {
    per_second: f64,
    /// CPU time of the server's process, in µs a beacon.
    cpu_micros: f64,
    failed: u64,
}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>> {
    let time = Duration::from_secs_f64(args.rate_seconds);
    if !args.sites.sites.is_empty() {
        let cluster = if args.postgres { Some(Cluster::start(&place::folder()?)?) } else { None };
        return sites::ingest(&args.sites, cluster.as_ref(), args.rate, time);
    }
    let cluster = if args.no_naive { None } else { Some(Cluster::start(&place::folder()?)?) };
    let server = server(args, "ingest", cluster.as_ref())?;
    let bare = Target::yardstick(&["bare"])?;
    let naive = match &cluster {
        None => None,
        Some(cluster) => {
            let url = cluster.empty("naive")?;
            Some(Target::yardstick(&["naive", "--database-url", &url])?)
        }
    };
    let requests = http::requests(&server.key)?;
    say(format!("beacons of {:.0} bytes over {} connections", requests.body_bytes, http::CONNECTIONS));

    let (mut ours, mut bares, mut naives) = (Vec::new(), Vec::new(), Vec::new());
    let (mut loaded_cpu, mut loaded_share) = (Vec::new(), Vec::new());
    for number in 1..=args.rounds {
        let (round, whole) = ours_round(&server, &requests, args.seconds)?;
        say(format!(
            "round {number}: fieldvitals {:.0}/s, {:.1} µs CPU, {:.1} beacons a commit; loaded {:.0} % meanwhile, \
             {:.1} µs until all was loaded",
            round.per_second,
            round.cpu_micros,
            whole.commit_beacons,
            whole.loaded_share * 100.0,
            whole.cpu_micros
        ));
        ours.push(round);
        loaded_cpu.push(whole.cpu_micros);
        loaded_share.push(whole.loaded_share * 100.0);
        let round = measure(&bare, &requests, args.seconds)?;
        say(format!("round {number}: bare {:.0}/s, {:.1} µs CPU", round.per_second, round.cpu_micros));
        bares.push(round);
        if let Some(naive) = &naive {
            let round = measure(naive, &requests, args.seconds)?;
            say(format!("round {number}: naive {:.0}/s, {:.1} µs CPU", round.per_second, round.cpu_micros));
            naives.push(round);
        }
    }
    check_counts(&server, &ours)?;
    drop((server, naive));

    let pick = |rounds: &[Round], of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    let per_second = |rounds: &[Round]| pick(rounds, |round| round.per_second);
    let cpu = |rounds: &[Round]| pick(rounds, |round| round.cpu_micros);
    // Computes the ratio in each round, because its measurements are only seconds apart; then takes the median.
    let ratio = |a: &[f64], b: &[f64]| median(&a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>());
    let (our_rate, bare_rate) = (per_second(&ours), per_second(&bares));
    let (our_cpu, bare_cpu) = (cpu(&ours), cpu(&bares));
    let mut figures = vec![
        Figure::new("durable beacons, loader running", median(&our_rate), "/s")
            .compared("bare handler", median(&bare_rate), ratio(&our_rate, &bare_rate))
            .bound(Bound::RatioAtLeast(0.40)),
    ];
    if !naives.is_empty() {
        let rate = per_second(&naives);
        figures.push(
            Figure::new("durable beacons, loader running", median(&our_rate), "/s")
                .compared("INSERT a request, pool of 16", median(&rate), ratio(&our_rate, &rate))
                .bound(Bound::RatioAtLeast(6.0)),
        );
    }
    figures.extend([
        Figure::new("server CPU a beacon, loader running", median(&our_cpu), "µs")
            .compared("bare handler", median(&bare_cpu), ratio(&our_cpu, &bare_cpu))
            .bound(Bound::RatioAtMost(3.3)),
        Figure::new("of the beacons taken, loaded meanwhile", median(&loaded_share), "%")
            .bound(Bound::AtLeast(90.0)),
        Figure::new("server CPU a beacon, until all is loaded", median(&loaded_cpu), "µs").compared(
            "bare handler",
            median(&bare_cpu),
            ratio(&loaded_cpu, &bare_cpu),
        ),
        Figure::new("beacons that failed", ours.iter().map(|round| round.failed).sum::<u64>() as f64, "")
            .bound(Bound::AtMost(0.0)),
    ]);
    figures.extend(at_a_rate(args, cluster.as_ref(), &bare, &requests)?);
    Ok(figures)
}

/// Starts fieldvitals on an empty store.
fn server(args: &Args, name: &str, cluster: Option<&Cluster>) -> Result<Target> {
    let dir = place::empty(name)?;
    match cluster {
        Some(cluster) if args.postgres => {
            let url = cluster.empty("ingest")?;
            Target::fieldvitals(&dir, &["--database-url", &url])
        }
        _ => Target::fieldvitals(&dir, &[]),
    }
}

/// Loading of a round's beacons into the store, measured until the spool is empty.
struct Whole {
    loaded_share: f64,
    cpu_micros: f64,
    commit_beacons: f64,
}

fn ours_round(server: &Target, requests: &Beacons, seconds: f64) -> Result<(Round, Whole)> {
    let before = Spool::of(server)?;
    let cpu_before = process::cpu_micros(server.pid())?;
    let round = measure(server, requests, seconds)?;
    let after = Spool::of(server)?;
    let deadline = Instant::now() + Duration::from_secs(DRAIN_SECONDS_MAX);
    let drained = loop {
        let spool = Spool::of(server)?;
        if spool.waiting == 0.0 {
            break spool;
        }
        if Instant::now() > deadline {
            bail!(
                "the loader has not emptied the spool within {DRAIN_SECONDS_MAX} s; {} wait",
                spool.waiting
            );
        }
        thread::sleep(Duration::from_millis(50));
    };
    let taken = drained.appended - before.appended;
    let meanwhile = after.appended - before.appended - after.waiting;
    let cpu_micros = (process::cpu_micros(server.pid())? - cpu_before) as f64 / taken;
    let commit_beacons = taken / (drained.commits - before.commits);
    Ok((round, Whole { loaded_share: meanwhile / taken, cpu_micros, commit_beacons }))
}

/// Fails unless the server counts each appended beacon as accepted, and no others.
fn check_counts(server: &Target, rounds: &[Round]) -> Result<()> {
    let spool = Spool::of(server)?;
    let status = http::get(server.address, "/api/v1/status", &server.token)?;
    let accepted = status["outcomes"]["accepted"].as_f64().context("outcomes.accepted")?;
    if accepted != spool.appended {
        bail!("the server has accepted {accepted} beacons and appended {}", spool.appended);
    }
    if rounds.iter().all(|round| round.per_second == 0.0) {
        bail!("no beacon was taken; see the server's log");
    }
    Ok(())
}

fn measure(target: &Target, requests: &Beacons, seconds: f64) -> Result<Round> {
    http::closed_loop(target.address, requests, |counts: &Counts| {
        thread::sleep(WARM_UP);
        let taken = counts.taken.load(Ordering::Relaxed);
        let cpu = process::cpu_micros(target.pid())?;
        let started = Instant::now();
        thread::sleep(Duration::from_secs_f64(seconds));
        let taken = counts.taken.load(Ordering::Relaxed) - taken;
        let time = started.elapsed().as_secs_f64();
        let cpu = process::cpu_micros(target.pid())? - cpu;
        Ok(Round {
            per_second: taken as f64 / time,
            cpu_micros: cpu as f64 / taken as f64,
            failed: counts.failed.load(Ordering::Relaxed),
        })
    })
}

/// Measures latency and memory at a fixed rate, on a fresh server.
fn at_a_rate(
    args: &Args,
    cluster: Option<&Cluster>,
    bare: &Target,
    requests: &Beacons,
) -> Result<Vec<Figure>> {
    let server = server(args, "ingest-rate", cluster)?;
    let own = http::requests(&server.key)?;
    let time = Duration::from_secs_f64(args.rate_seconds);
    let (mut p99s, mut p50s, mut bare_p99s) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rss, mut failed, mut cpus) = (0, 0, Vec::new());
    for number in 1..=args.rounds.min(3) {
        let cpu = process::cpu_micros(server.pid())?;
        let (latencies, missed) = http::open_loop(server.address, &own, args.rate, time, || {
            rss = process::rss_bytes(server.pid())?.max(rss);
            Ok(())
        })?;
        cpus.push((process::cpu_micros(server.pid())? - cpu) as f64 / latencies.len() as f64);
        failed += missed;
        let (p50, p99) = (percentile(&latencies, 50.0), percentile(&latencies, 99.0));
        let (bare_latencies, _) = http::open_loop(bare.address, requests, args.rate, time, || Ok(()))?;
        let bare_p99 = percentile(&bare_latencies, 99.0);
        say(format!(
            "round {number} at {:.0}/s: fieldvitals p50 {p50:.2} p99 {p99:.2} max {:.1} ms; bare p99 {bare_p99:.2} ms",
            args.rate,
            percentile(&latencies, 100.0)
        ));
        p50s.push(p50);
        p99s.push(p99);
        bare_p99s.push(bare_p99);
    }
    let spool = Spool::of(&server)?;
    let at = format!("at {:.0}/s", args.rate);
    let syncs = disk()?;
    Ok(vec![
        Figure::new("the disk: fdatasync of 8 KiB, median", median(&syncs), "ms"),
        Figure::new("the disk: fdatasync of 8 KiB, p99", percentile(&syncs, 99.0), "ms"),
        Figure::new(format!("time to 204, p50, {at}"), median(&p50s), "ms"),
        Figure::new(format!("time to 204, p99, {at}"), median(&p99s), "ms")
            .beside("bare handler", median(&bare_p99s))
            .bound(Bound::AtMost(5.0)),
        Figure::new(format!("server CPU a beacon, loader keeping up, {at}"), median(&cpus), "µs"),
        Figure::new(format!("server memory, {at}"), rss as f64 / 1024.0 / 1024.0, "MiB")
            .bound(Bound::AtMost(150.0)),
        Figure::new(format!("beacons that failed, {at}"), failed as f64, "").bound(Bound::AtMost(0.0)),
        Figure::new(format!("beacons not loaded at the end, {at}"), spool.waiting, ""),
    ])
}

/// Measures `fdatasync` of a small file, in milliseconds. Every 204 waits for such a sync, so no server answers faster.
/// A disk shared with other programs slows every server.
fn disk() -> Result<Vec<f64>> {
    let path = place::folder()?.join("sync.tmp");
    let mut file = File::create(&path)?;
    let mut millis = Vec::new();
    for _ in 0..500 {
        file.write_all(&[1; 8_192])?;
        let started = Instant::now();
        file.sync_data()?;
        millis.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    std::fs::remove_file(&path)?;
    Ok(millis)
}
