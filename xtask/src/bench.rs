//! Builds the release binary and the benches, and runs one.

use crate::run::{cargo, run, say, target_dir};
use anyhow::Result;
use clap::ValueEnum;
use std::process::Command;

/// What is measured.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Bench {
    /// Beacons over HTTP until they are durable.
    Ingest,
    /// Page views into the stores, with their rollups.
    Load,
    /// Percentiles over a month of page views.
    Query,
}

impl Bench {
    const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Load => "load",
            Self::Query => "query",
        }
    }
}

/// Runs a bench with these arguments; its figures go to standard output.
pub(crate) fn bench(bench: Bench, json: bool, check: bool, arguments: &[String]) -> Result<()> {
    say("building in release; the first time it takes some minutes");
    // Apart, so that nothing of the benches gets into the binary that is measured.
    for package in ["fieldvitals", "fieldvitals-bench"] {
        run(cargo().args(["build", "--release", "--package", package]).stdout(std::io::stderr()))?;
    }
    let mut command = Command::new(target_dir().join("release").join("fieldvitals-bench"));
    command.arg(bench.name()).args(json.then_some("--json")).args(check.then_some("--check")).args(arguments);
    run(&mut command)
}
