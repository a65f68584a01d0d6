//! Long runs of faults, as releases: the program `chaos` of the end-to-end tests, on the server that is shipped.

use crate::run::{cargo, run};
use crate::serve::build_server;
use crate::{collector, toolchain};
use anyhow::{Context as _, Result};

/// Builds the server and the program, and runs it with these arguments.
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
