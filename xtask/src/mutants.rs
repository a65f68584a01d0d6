//! Measures the tests by cargo-mutants: changes the code in many small ways and reports changes that no test notices.
//!
//! `.cargo/mutants.toml` lists changes that no test can notice, each with its reason.

use crate::run::{cargo, find_program, root, run};
use anyhow::{Result, ensure};
use std::process::Command;

/// The code whose tests are measured: the vocabulary, the gate, the intake.
const FILES: [&str; 3] =
    ["vitals/src/**/*.rs", "ingest-server/src/gate.rs", "ingest-server/src/intake/**/*.rs"];

/// Cases of each property test: enough to notice most changes, in a tenth of the time. Test what is missed again with
/// all cases.
const PROPERTY_CASES: &str = "32";

/// Memory of one process, in KiB: more than the compiler and any test take.
const MEMORY_KIB_MAX: u32 = 6 * 1024 * 1024;

/// Runs cargo-mutants over these files, or over all of [`FILES`]. The report is in `target/mutants.out`.
pub(crate) fn mutants(files: &[String], arguments: &[String]) -> Result<()> {
    ensure!(
        find_program("cargo-mutants").is_some(),
        "cargo-mutants is not installed; `cargo install --locked cargo-mutants` installs it"
    );
    let cargo = cargo();
    // A changed loop may allocate without end; the bound ends it before it ends the machine.
    let mut mutants = Command::new("sh");
    mutants.current_dir(root()).arg("-c").arg(format!("ulimit -v {MEMORY_KIB_MAX}; exec \"$@\"")).arg("sh");
    mutants
        .arg(cargo.get_program())
        .args(["mutants", "--workspace", "--output", "target"])
        .env("PROPTEST_CASES", PROPERTY_CASES);
    let all = FILES.map(str::to_owned);
    for file in if files.is_empty() { &all[..] } else { files } {
        mutants.args(["--file", file]);
    }
    run(mutants.args(arguments))
}
