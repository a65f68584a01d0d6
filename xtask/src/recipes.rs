//! Builds the apps of the recipes (docs/recipes.md) with the tools of their frameworks.

use crate::collector::hex;
use crate::run::{run, say, target_dir};
use crate::source::{File, files};
use crate::toolchain;
use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder of the apps. Each is a workspace of one npm package, so that they share packages and the lock file.
const APPS: &str = "tests/apps/";
const NAMES: [&str; 5] = ["astro", "next", "nuxt", "react-router", "sveltekit"];
const PACKAGES: &str = "node_modules";

/// Installs the packages and builds the apps, unless that was done for these sources; returns the folder of the apps.
pub(crate) fn build() -> Result<PathBuf> {
    toolchain::program("node", "nodejs")?;
    let npm = toolchain::program("npm", "npm")?;
    let mut sources = files()?;
    sources.retain(|file| file.path.starts_with(APPS));
    let is_manifest =
        |file: &&File| file.path.ends_with("/package.json") || file.path.ends_with("/package-lock.json");
    // Other packages are another folder.
    let name = digest(sources.iter().filter(is_manifest));
    let dir = target_dir().join("tools/apps").join(name);
    // npm writes this file last, so its presence proves a complete installation.
    if !dir.join(PACKAGES).join(".package-lock.json").is_file() {
        say("fetching the packages of the recipes' apps");
        write(sources.iter().filter(is_manifest), &dir)?;
        let mut install = Command::new(&npm);
        install.args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]);
        run(quiet(&mut install, &dir)).context("npm cannot fetch the packages of the recipes' apps")?;
    }
    let dir = dir.canonicalize()?;
    let (mark, built) = (dir.join("built"), digest(sources.iter()));
    if fs::read_to_string(&mark).is_ok_and(|mark| mark == built) {
        return Ok(dir);
    }
    // A build that fails leaves nothing that counts as built.
    let _ = fs::remove_file(&mark);
    clean(&dir)?;
    write(sources.iter(), &dir)?;
    // The packages include a Node that is new enough for the frameworks.
    let mut path = dir.join(PACKAGES).join(".bin").into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    for name in NAMES {
        say(format!("building the app of {name}"));
        let mut build = Command::new(&npm);
        build.args(["run", "--silent", "build"]).env("PATH", &path).env("CI", "1");
        for framework in ["ASTRO", "NEXT", "NUXT"] {
            build.env(format!("{framework}_TELEMETRY_DISABLED"), "1");
        }
        run(quiet(&mut build, &dir.join(name))).with_context(|| format!("{APPS}{name} cannot be built"))?;
    }
    fs::write(mark, built)?;
    Ok(dir)
}

/// Removes the sources and the builds of earlier runs, but no packages.
fn clean(dir: &Path) -> Result<()> {
    for name in NAMES {
        for entry in fs::read_dir(dir.join(name))? {
            let path = entry?.path();
            if path.ends_with(PACKAGES) {
                continue;
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn write<'a>(sources: impl Iterator<Item = &'a File>, dir: &Path) -> Result<()> {
    for file in sources {
        let path = dir.join(file.path.trim_start_matches(APPS));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, &file.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn digest<'a>(sources: impl Iterator<Item = &'a File>) -> String {
    let mut hash = Sha256::new();
    for file in sources {
        hash.update(&file.path);
        hash.update(&file.text);
    }
    hex(&hash.finalize()[..8])
}

/// Sends a command's standard output to standard error, because standard output belongs to the caller.
fn quiet<'a>(command: &'a mut Command, dir: &Path) -> &'a mut Command {
    command.current_dir(dir).stdin(Stdio::null()).stdout(std::io::stderr())
}
