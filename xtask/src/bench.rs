//! Builds the release binary and the benches, and runs one.

use crate::run::{cargo, run, say, target_dir};
use crate::serve::build_server;
use crate::{browsers, collector};
use anyhow::Result;
use clap::ValueEnum;
use std::process::Command;

/// The benches.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// Beacons over HTTP until they are durable.
    Ingest,
    /// Hostile clients beside an honest one.
    Attack,
    /// Page views into the stores, with their rollups.
    Load,
    /// Percentiles over a month of page views.
    Query,
    /// The questions of a dashboard, with beacons beside them.
    Read,
    /// Cost of the collector for a page.
    Collector,
}

impl Bench {
    const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Attack => "attack",
            Self::Load => "load",
            Self::Query => "query",
            Self::Read => "read",
            Self::Collector => "collector",
        }
    }
}

/// Runs a bench with these arguments. Its figures go to standard output.
pub(crate) fn bench(bench: Bench, json: bool, check: bool, arguments: &[String]) -> Result<()> {
    let mut command = if bench == Bench::Collector { in_a_browser()? } else { in_release()? };
    command.arg(bench.name()).args(json.then_some("--json")).args(check.then_some("--check")).args(arguments);
    run(&mut command)
}

/// The command of the server's benches, in release mode because the server's speed is measured.
fn in_release() -> Result<Command> {
    say("building in release; the first time it takes some minutes");
    // One command builds both, so that shared crates compile once. Without the browser bench, the benches enable no
    // feature that the server does not enable. The measured binary is therefore the shipped one.
    let packages = ["--package", "fieldvitals", "--package", "fieldvitals-bench", "--no-default-features"];
    run(cargo().args(["build", "--release"]).args(packages).stdout(std::io::stderr()))?;
    Ok(Command::new(target_dir().join("release").join("fieldvitals-bench")))
}

/// The command of the collector's benches. The measured code runs in the browser, so server and bench may be slow.
fn in_a_browser() -> Result<Command> {
    browsers::install_programs(&browsers::CHROMIUM)?;
    let library = browsers::web_vitals()?;
    let collector = collector::build()?;
    let server = build_server(&collector.dir, false)?;
    run(cargo().args(["build", "--package", "fieldvitals-bench"]).stdout(std::io::stderr()))?;
    let mut command = Command::new(target_dir().join("debug").join("fieldvitals-bench"));
    command
        .env("FIELDVITALS_BIN", server.canonicalize()?)
        .env("FIELDVITALS_WEB_VITALS_ATTRIBUTION", library.with_file_name("web-vitals.attribution.iife.js"));
    Ok(command)
}
