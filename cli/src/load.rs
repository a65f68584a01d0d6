//! `fieldvitals load`: tests one's own server with real beacons: load, stress, spike and endurance.
//!
//! In reading order: `stages` (times and rates), `target` (permission and resources of the server), `send` (arrivals
//! at a fixed rate), `outcome` (counts and times), `plan` (capacity of the machine), `text` (output).

mod outcome;
mod plan;
mod send;
mod stages;
mod target;
mod text;

use crate::client::server_url;
use crate::exit::{Done, Exit, Failure, finish};
use crate::interrupt::Interrupt;
use crate::output::Terminal;
use crate::progress::Progress;
use clap::ValueEnum;
use fieldvitals_server::telemetry::process::Resources;
use fieldvitals_traffic::Beacons;
use outcome::{Measured, Threshold, Tried};
use plan::Plan;
use reqwest::Url;
use stages::{Profile, Stage};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use target::Target;

/// Default rate, in beacons per second: a busy site's.
const RATE: u64 = 200;
/// Default number of connections: half of a server's limit for one client network.
const CONNECTIONS: u64 = 256;
/// Largest number of connections.
const CONNECTIONS_MAX: u64 = 4_096;

/// Test your own server with real beacons: exit 0 passed, 1 a threshold missed or the server broke, 2 refused, 4 no answer.
///
/// Only a server that was started with `serve --allow-load-test` is tested. Give the test a site of its own
/// (`fieldvitals site add load --origin '*'`), and delete it afterwards. Beacons come at a fixed rate, whether or not
/// earlier ones are answered, as visitors do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server's address.
    #[arg(value_name = "URL", value_parser = server_url)]
    url: Url,
    /// The key of the site that the beacons are for.
    #[arg(long, value_name = "KEY")]
    site: String,
    /// Stages of a time and a rate in beacons per second: 30s:1000,1m:5000.
    #[arg(long, value_name = "TIME:RATE", value_delimiter = ',', value_parser = stages::stage, conflicts_with_all = ["stress", "spike", "endurance", "rate", "duration"])]
    stages: Vec<Stage>,
    /// Raise the rate by half each step, until errors are over 10 % or the mean time over 1 s.
    #[arg(long, conflicts_with_all = ["spike", "endurance"])]
    stress: bool,
    /// A steady rate, a spike of ten times as much, and the steady rate again.
    #[arg(long, conflicts_with = "endurance")]
    spike: bool,
    /// A steady rate for 30 minutes.
    #[arg(long)]
    endurance: bool,
    /// Steady rate of a profile, and first rate of --stress, in beacons per second.
    #[arg(long, default_value_t = RATE, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=stages::RATE_MAX))]
    rate: u64,
    /// Time of a stage: 10s, 5m, 2h. Default: 1m, --stress 10s a step, --spike 20s, --endurance 30m.
    #[arg(long, value_name = "TIME", value_parser = stages::time)]
    duration: Option<Duration>,
    /// Connections at a time. A server takes 512 of one client network by default.
    #[arg(long, default_value_t = CONNECTIONS, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=CONNECTIONS_MAX))]
    connections: u64,
    /// A limit of the whole test: p50, p95, p99 or mean in milliseconds, or errors in percent: p95=200, errors=1. May be
    /// repeated.
    #[arg(long = "threshold", value_name = "NAME=LIMIT", value_delimiter = ',', value_parser = outcome::threshold)]
    thresholds: Vec<Threshold>,
    /// An API token of the server with the scope `read`; tells its memory and processor time.
    #[arg(long, env = "FIELDVITALS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// The server's data folder, if it is on this machine: the growth of its store is measured.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table and sentences for people.
    Text,
    /// One JSON object.
    Json,
}

impl Args {
    fn profile(&self) -> Profile {
        match (self.stress, self.spike, self.endurance) {
            (true, ..) => Profile::Stress,
            (_, true, _) => Profile::Spike,
            (.., true) => Profile::Endurance,
            _ => Profile::Steady,
        }
    }

    fn stages(&self) -> Vec<Stage> {
        match self.stages.as_slice() {
            [] => self.profile().stages(self.rate, self.duration),
            given => given.to_vec(),
        }
    }
}

/// The result of a test.
struct Report {
    stages: Vec<Tried>,
    all: Measured,
    thresholds: Vec<(Threshold, bool)>,
    plan: Option<Plan>,
    /// Whether Ctrl-C ended the test early.
    is_early: bool,
    /// Share of this machine's processors that this command took, in percent.
    client_percent: f64,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    Ok(finish(execute(&args).await))
}

async fn execute(args: &Args) -> Result<Done, Failure> {
    let target = Target::new(&args.url, args.token.as_deref(), args.data_dir.clone())?;
    target.ask_permission().await?;
    let beacons = Beacons::of(std::slice::from_ref(&args.site), |_| String::new())
        .map_err(|error| Failure::usage(format!("no beacon can be made: {error}"), ""))?;
    target.send_first(&beacons).await?;
    let report = test(args, &target, &beacons).await;
    let is_kept = report.thresholds.iter().all(|(_, is_kept)| *is_kept);
    // A stress test is over when the server breaks.
    let is_whole =
        args.profile() == Profile::Stress || report.stages.iter().all(|tried| !tried.measured.is_broken());
    let stdout = match args.format {
        Format::Json => text::to_json(&report),
        Format::Text => text::to_text(&report, Terminal::of_stdout()),
    };
    let exit = if is_kept && is_whole { Exit::Pass } else { Exit::Fail };
    Ok(Done { exit, stdout, warning: String::new() })
}

async fn test(args: &Args, target: &Target, beacons: &Beacons) -> Report {
    let interrupt = Interrupt::watch("the beacons under way");
    let mut progress = Progress::new();
    let before = target.usage().await;
    let (began, cpu_s) = (Instant::now(), Resources::read().cpu_s);
    let mut stages: Vec<Tried> = Vec::new();
    let (mut all, mut peak_bytes) = (Measured::new(), before.resident_bytes);
    let planned = args.stages();
    let mut is_early = false;
    for (number, stage) in planned.iter().enumerate() {
        if interrupt.asked() {
            is_early = true;
            break;
        }
        let name = format!(
            "stage {} of {}, {}/s for {} s",
            number + 1,
            planned.len(),
            stage.rate,
            stage.time.as_secs()
        );
        let say = |measured: &Measured| progress.say(|| format!("{name}: {}", measured.line()));
        let sending =
            send::stage(target, beacons, *stage, args.connections as usize, || interrupt.asked(), say);
        let (measured, was_cut) = sending.await;
        is_early |= was_cut;
        peak_bytes = peak_bytes.max(target.usage().await.resident_bytes);
        all.add(&measured);
        let tried = Tried { stage: *stage, measured };
        let is_broken = tried.measured.is_broken();
        stages.push(tried);
        if is_broken && args.profile() == Profile::Stress {
            break;
        }
    }
    let used_s = cpu_s.zip(Resources::read().cpu_s).map_or(0.0, |(before, after)| after - before);
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let client_percent = used_s / (began.elapsed().as_secs_f64() * cores) * 100.0;
    progress.say(|| "waiting until the server has loaded what it took".to_owned());
    let after = target.settled().await;
    progress.clear();
    let thresholds = args.thresholds.iter().map(|&limit| (limit, limit.is_kept(&all))).collect();
    let plan = Plan::of(&stages, &all, [&before, &after], peak_bytes);
    Report { stages, all, thresholds, plan, is_early, client_percent }
}
