//! `cargo xtask chaos`: runs kills, power cuts and a database outage, for any number of rounds.

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use fieldvitals_tests::chaos::{self, Backend, Kills};
use serde_json::Value;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stores {
    Sqlite,
    Postgres,
    Both,
}

/// Kills, power cuts and outages under load; reports lost and duplicated beacons.
#[derive(Parser)]
#[command(name = "cargo xtask chaos")]
struct Arguments {
    /// Number of kills of the server.
    #[arg(long, default_value_t = 20)]
    kills: u64,
    /// The store.
    #[arg(long, default_value = "both")]
    store: Stores,
    /// Make each kill a power cut: every file reverts to its last fsync.
    #[arg(long)]
    power_cut: bool,
    /// Power cuts with a spool whose fsync has no effect, as with synchronous=OFF: this run must lose beacons.
    #[arg(long)]
    no_fsync: bool,
    /// Stop Postgres for this many seconds, instead of kills.
    #[arg(long, value_name = "SECONDS")]
    outage: Option<u64>,
    /// Beacons a second (default: 400 with kills, 5,000 in an outage).
    #[arg(long)]
    rate: Option<u64>,
    /// Number of sites that the beacons are of.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    sites: u64,
    /// Print JSON: a list with one object a run.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let (reports, are_right) = match arguments.outage {
        Some(seconds) => outage(&arguments, seconds).await,
        None => kills(&arguments).await,
    };
    let mut out = std::io::stdout();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&Value::Array(reports))?)?;
    } else {
        for report in reports {
            for (name, value) in report.as_object().into_iter().flatten() {
                writeln!(out, "{name:<20} {value}")?;
            }
            writeln!(out)?;
        }
    }
    if !are_right {
        bail!("this is not as it must be");
    }
    Ok(ExitCode::SUCCESS)
}

async fn kills(arguments: &Arguments) -> (Vec<Value>, bool) {
    let backends: &[Backend] = match arguments.store {
        Stores::Sqlite => &[Backend::Sqlite],
        Stores::Postgres => &[Backend::Postgres],
        Stores::Both => &[Backend::Sqlite, Backend::Postgres],
    };
    let (mut reports, mut are_right) = (Vec::new(), true);
    for &backend in backends {
        let run = Kills {
            backend,
            kills: arguments.kills,
            power_cut: arguments.power_cut || arguments.no_fsync,
            no_fsync: arguments.no_fsync,
            rate: arguments.rate.unwrap_or(400),
            sites: arguments.sites,
        };
        let outcome = chaos::kills(run, |kill| {
            if kill % 20 == 0 {
                eprintln!("{}: {kill} of {} kills", backend.name(), run.kills);
            }
        })
        .await;
        are_right &= outcome.is_right();
        reports.push(outcome.json());
    }
    (reports, are_right)
}

async fn outage(arguments: &Arguments, seconds: u64) -> (Vec<Value>, bool) {
    let rate = arguments.rate.unwrap_or(5_000);
    let outage =
        chaos::outage(Duration::from_secs(seconds), rate, arguments.sites, Duration::from_secs(15)).await;
    let is_clean = outage.verdict.lost == 0
        && outage.verdict.duplicates == 0
        && outage.verdict.differences.is_empty()
        && outage.refused == 0;
    (vec![outage.json()], is_clean)
}
