//! Installs DuckDB, with which the tests of exports read what other programs would read.

use crate::run::{run, say, succeeds_within, target_dir};
use crate::toolchain;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The version that the tests were written with.
const VERSION: &str = "2.0.0";

/// Installs DuckDB into a virtual environment of its own, unless it is there; returns the environment's Python.
pub(crate) fn python() -> Result<PathBuf> {
    let environment = target_dir().join("duckdb").join(VERSION);
    let python = environment.join("bin/python");
    let has = || runs(Command::new(&python).args(["-c", "import duckdb"]));
    if has() {
        return Ok(python);
    }
    if !runs(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        toolchain::install(&["python3-venv"])?;
    }
    say(format!("installing DuckDB {VERSION} into {}", environment.display()));
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"])
        .arg(format!("duckdb=={VERSION}"))
        .stdout(std::io::stderr()))?;
    Ok(python)
}

fn runs(command: &mut Command) -> bool {
    succeeds_within(command, Duration::from_secs(30))
}
