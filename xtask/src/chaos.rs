//! Long fault runs on a release build: the program `chaos` of the end-to-end tests.

use crate::run::{cargo, run};
use crate::serve::build_server;
use crate::{collector, toolchain};
use anyhow::{Context as _, Result};

/// Builds the server and the program `chaos`, and runs `chaos` with these arguments.
pub(crate) fn chaos(arguments: &[String]) -> Result<()> {
    toolchain::for_faults()?;
    let collector = collector::build()?;
    let binary = build_server(&collector.dir, true)?;
    let binary = binary.canonicalize().context("the server was built and is gone")?;
    run(cargo()
        .args(["run", "--quiet", "--release", "--package", "fieldvitals-tests", "--bin", "chaos", "--"])
        .args(arguments)
        .env("FIELDVITALS_BIN", binary))
}
