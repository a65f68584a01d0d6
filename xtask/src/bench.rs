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
    // Together, so that what both are made of is compiled once. The benches ask for no feature of it that the
    // server does not, so the binary that is measured is the one that ships.
    let packages = ["--package", "fieldvitals", "--package", "fieldvitals-bench"];
    run(cargo().args(["build", "--release"]).args(packages).stdout(std::io::stderr()))?;
    let mut command = Command::new(target_dir().join("release").join("fieldvitals-bench"));
    command.arg(bench.name()).args(json.then_some("--json")).args(check.then_some("--check")).args(arguments);
    run(&mut command)
}
