//! Licences and sources of the dependencies, by cargo-deny and `deny.toml`.

use crate::run::{cargo, find_program, output, run, say, target_dir};
use anyhow::{Context as _, Result};
use std::path::PathBuf;
use std::process::Command;

/// The version that is built where none is installed.
const VERSION: &str = "0.20.2";

/// Checks licences, bans and sources. Advisories are a matter of the day, not of a commit, and need the
/// network: `cargo deny check advisories`.
pub(crate) fn check() -> Result<()> {
    let program = program()?;
    let cargo = cargo();
    let mut deny = Command::new(program);
    deny.current_dir(crate::run::root()).args(["--all-features", "check", "licenses", "bans", "sources"]);
    // Told which cargo runs us, it asks the same one.
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
    // Unoptimised, as it runs for seconds and building it takes minutes.
    run(cargo()
        .args(["install", "--quiet", "--locked", "--debug", "--version", VERSION, "cargo-deny", "--root"])
        .arg(&root)
        .arg("--target-dir")
        .arg(root.join("build")))
    .context("cargo-deny could not be built; `cargo install --locked cargo-deny` may say more")?;
    // A gigabyte that nobody needs again; staying costs no more than that.
    let _ = std::fs::remove_dir_all(root.join("build"));
    Ok(program)
}
