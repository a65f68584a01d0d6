//! Shrinks the wasm module with wasm-opt from the npm package `binaryen`, which runs in Node. Debian's version is
//! years old, and crates.io has no maintained package.

use crate::run::{run, say, target_dir};
use crate::toolchain::program;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The package's version. It is an input of the build's hash.
pub(crate) const VERSION: &str = "132.0.0";
/// The package's hash, which npm checks.
const INTEGRITY: &str =
    "sha512-4Usg7yEvwO3FMso3Oov6qkOOHSod1IEv+boKkh77kTljM+eNBouqCTbqWswGzbG+vDNO/b/v2C4gfEh1WgB9Lg==";

/// The options of wasm-opt. The first two passes rebuild the blocks of each function. The two passes for locals merge
/// locals with the same value. A later `-Oz` uses the results of the one before. Locals in the order of their uses
/// compress better. The list of features serves only wasm-opt, so it is stripped. The stack begins at the bottom of the memory, so the first KiB has no static data
/// (`--low-memory-unused`).
const OPTIONS: [&str; 10] = [
    "--low-memory-unused",
    "--flatten",
    "--rereloop",
    "--merge-locals",
    "--coalesce-locals-learning",
    "-Oz",
    "-Oz",
    "-Oz",
    "--reorder-locals",
    "--strip-target-features",
];

/// An installed wasm-opt.
pub(crate) struct WasmOpt {
    node: PathBuf,
    script: PathBuf,
}

impl WasmOpt {
    /// Finds wasm-opt, or installs it.
    ///
    /// # Errors
    /// Fails if Node or npm are missing and cannot be installed, or if npm cannot fetch the package.
    pub(crate) fn find() -> Result<Self> {
        let node = program("node", "nodejs")?;
        let dir = target_dir().join("tools").join(format!("binaryen-{VERSION}"));
        let script = dir.join("node_modules/binaryen/bin/wasm-opt");
        // npm writes this file last, so its presence proves a complete installation.
        if !dir.join("node_modules/.package-lock.json").is_file() {
            fetch(&dir)?;
        }
        Ok(Self { node, script })
    }

    /// Shrinks the module. wasm-opt reads the allowed features from the module itself.
    pub(crate) fn shrink(&self, wasm: &[u8]) -> Result<Vec<u8>> {
        let dir = target_dir().join("wasm");
        let (before, after) = (dir.join("before.wasm"), dir.join("after.wasm"));
        fs::write(&before, wasm)?;
        let mut command = Command::new(&self.node);
        command.arg(&self.script).args(OPTIONS).arg(&before).arg("-o").arg(&after);
        run(command.stdin(Stdio::null()).stdout(std::io::stderr()))?;
        Ok(fs::read(&after)?)
    }
}

/// Fetches the package into its own folder.
fn fetch(dir: &Path) -> Result<()> {
    let npm = program("npm", "npm")?;
    say(format!("fetching binaryen {VERSION} with npm, 23 MB, once"));
    let package = serde_json::json!({ "private": true, "dependencies": { "binaryen": VERSION } });
    let lock = serde_json::json!({
        "lockfileVersion": 3,
        "packages": {
            "": { "dependencies": { "binaryen": VERSION } },
            "node_modules/binaryen": { "version": VERSION, "integrity": INTEGRITY },
        },
    });
    fs::create_dir_all(dir)?;
    fs::write(dir.join("package.json"), package.to_string())?;
    fs::write(dir.join("package-lock.json"), lock.to_string())?;
    let mut install = Command::new(npm);
    install
        .args(["ci", "--loglevel=error", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(std::io::stderr());
    run(&mut install).with_context(|| format!("npm cannot fetch binaryen {VERSION}"))
}
