//! Checks licenses and sources of the dependencies with cargo-deny and `deny.toml`.

use crate::run::{cargo, find_program, output, run, say, target_dir};
use anyhow::{Context as _, Result};
use std::path::PathBuf;
use std::process::Command;

/// The version of cargo-deny to build if none is installed.
const VERSION: &str = "0.20.2";

/// Checks licenses, bans and sources. Leaves out advisories (`cargo deny check advisories`), because they change by the
/// day instead of by the commit, and need the network.
pub(crate) fn check() -> Result<()> {
    let program = program()?;
    let cargo = cargo();
    let mut deny = Command::new(program);
    deny.current_dir(crate::run::root()).args(["--all-features", "check", "licenses", "bans", "sources"]);
    // cargo-deny queries the same cargo that runs xtask.
    deny.env("CARGO", cargo.get_program());
    run(&mut deny)
}

fn program() -> Result<PathBuf> {
    if let Some(program) = find_program("cargo-deny") {
        return Ok(program);
    }
    let root = target_dir().join("tools");
    let program = root.join("bin").join("cargo-deny");
    if output(Command::new(&program).arg("--version")).is_ok_and(|text| text.ends_with(VERSION)) {
        return Ok(program);
    }
    say(format!(
        "building cargo-deny {VERSION} into {}; this takes a few minutes, once (installing it yourself \
         saves them: `cargo install --locked cargo-deny`)",
        root.display()
    ));
    // Unoptimized, because a build takes minutes and a run only seconds.
    run(cargo()
        .args(["install", "--quiet", "--locked", "--debug", "--version", VERSION, "cargo-deny", "--root"])
        .arg(&root)
        .arg("--target-dir")
        .arg(root.join("build")))
    .context("cargo-deny could not be built; `cargo install --locked cargo-deny` may say more")?;
    // Frees 1 GB. A failure costs only that space.
    let _ = std::fs::remove_dir_all(root.join("build"));
    Ok(program)
}
