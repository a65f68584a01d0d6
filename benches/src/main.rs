//! `cargo xtask bench`: measures the costs of fieldvitals as ratios to yardsticks in the same run.
//!
//! docs/performance.md explains each figure. Milliseconds depend on the machine and its other load, so the bounds are
//! on ratios of interleaved rounds.

mod attack;
mod cluster;
#[cfg(feature = "collector")]
mod collector;
mod delay;
mod duck;
mod explained;
mod figure;
mod http;
mod ingest;
mod load;
#[cfg(feature = "collector")]
mod paired;
mod place;
mod process;
mod progress;
mod query;
mod read;
mod sites;
mod spool;
mod stored;
mod target;
mod yardstick;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The server's allocator, because this process runs the measured stores.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "fieldvitals-bench", about = "Measures fieldvitals beside its yardsticks")]
struct Arguments {
    #[command(subcommand)]
    command: Bench,
    /// Print JSON: the machine, the date and a list of figures.
    #[arg(long, global = true)]
    json: bool,
    /// Exit with code 1 if a figure misses its bound.
    #[arg(long, global = true)]
    check: bool,
}

#[derive(Subcommand)]
enum Bench {
    /// Beacons over HTTP until they are durable, beside a bare handler and the naive design.
    Ingest(ingest::Args),
    /// Hostile clients beside an honest one.
    Attack(attack::Args),
    /// Page views into the stores, with their rollups.
    Load(load::Args),
    /// The collector in a page, beside the web-vitals library.
    #[cfg(feature = "collector")]
    Collector(collector::Args),
    /// Percentiles over a month of page views, beside sorting the raw rows and DuckDB.
    Query(query::Args),
    /// The questions of a dashboard over HTTP, with beacons beside them.
    Read(read::Args),
    /// Run a yardstick's server.
    #[command(hide = true)]
    Yardstick(yardstick::Args),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let figures = match &arguments.command {
        Bench::Ingest(args) => ingest::run(args),
        Bench::Attack(args) => attack::run(args),
        Bench::Load(args) => load::run(args),
        #[cfg(feature = "collector")]
        Bench::Collector(args) => collector::run(args),
        Bench::Query(args) => query::run(args),
        Bench::Read(args) => read::run(args),
        Bench::Yardstick(args) => yardstick::serve(args).map(|()| Vec::new()),
    };
    let missed = figures.and_then(|figures| figure::show(&figures, arguments.json));
    match missed {
        Ok(missed) if missed > 0 && arguments.check => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
