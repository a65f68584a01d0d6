//! Builds everything and runs the server.

use crate::collector;
use crate::run::{cargo, run, say, target_dir};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// The environment variable with the folder of the collector that the server's build embeds.
pub(crate) const COLLECTOR_DIR: &str = "FIELDVITALS_COLLECTOR_DIR";

/// Builds the collector and the server, and runs the server with these arguments until it ends.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    let collector = collector::build()?;
    let binary = build_server(&collector.dir, false)?;
    say("starting the server; end it with Ctrl-C");
    let mut server = std::process::Command::new(&binary);
    server.arg("serve").args(arguments);
    become_program(server)
}

/// Builds the server with this collector embedded; returns the path of the binary.
pub(crate) fn build_server(collector: &Path, release: bool) -> Result<PathBuf> {
    say("building the server; the first time it takes some minutes");
    let mut build = cargo();
    build
        .args(["build", "--package", "fieldvitals"])
        .args(release.then_some("--release"))
        .env(COLLECTOR_DIR, collector.canonicalize().context("the collector was built and is gone")?)
        .stdout(std::io::stderr());
    run(&mut build)?;
    Ok(target_dir().join(if release { "release" } else { "debug" }).join("fieldvitals"))
}

/// Replaces this process by a program, so that the program receives Ctrl-C and sets the exit code.
#[cfg(unix)]
fn become_program(mut command: std::process::Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec()).with_context(|| format!("cannot run {}", command.get_program().display()))
}

/// Runs a program to its end.
#[cfg(not(unix))]
fn become_program(mut command: std::process::Command) -> Result<()> {
    run(&mut command)
}
