//! Measures the tests by cargo-mutants: changes the code in many small ways and reports changes that no test notices.
//!
//! `.cargo/mutants.toml` lists changes that no test can notice, each with its reason.

use crate::run::{cargo, find_program, run};
use anyhow::{Result, ensure};

/// The code whose tests are measured: the vocabulary, the gate, the intake.
const FILES: [&str; 3] =
    ["vitals/src/**/*.rs", "ingest-server/src/gate.rs", "ingest-server/src/intake/**/*.rs"];

/// Runs cargo-mutants over these files, or over all of [`FILES`]. The report is in `target/mutants.out`.
pub(crate) fn mutants(files: &[String], arguments: &[String]) -> Result<()> {
    ensure!(
        find_program("cargo-mutants").is_some(),
        "cargo-mutants is not installed; `cargo install --locked cargo-mutants` installs it"
    );
    let mut mutants = cargo();
    mutants.args(["mutants", "--workspace", "--output", "target"]);
    let all = FILES.map(str::to_owned);
    for file in if files.is_empty() { &all[..] } else { files } {
        mutants.args(["--file", file]);
    }
    run(mutants.args(arguments))
}
