//! Fetches the npm packages that read the server in tests: clients of other makers.

use crate::run::{run, say, target_dir};
use crate::toolchain;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A client of the CrUX API, and the reference client of the Model Context Protocol.
const PACKAGES: [&str; 2] = ["crux-api@4.1.0", "@modelcontextprotocol/sdk@1.32.2"];

/// Fetches the packages, once; returns the folder that has them.
pub(crate) fn fetch() -> Result<PathBuf> {
    toolchain::program("node", "nodejs")?;
    let npm = toolchain::program("npm", "npm")?;
    let list = PACKAGES.join(" and ");
    let dir = target_dir().join("tools/clients").join(PACKAGES.join("+").replace('/', "-"));
    // npm writes this file last, so its presence proves a complete installation.
    if !dir.join("node_modules/.package-lock.json").is_file() {
        say(format!("fetching {list}"));
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("package.json"), "{\"private\":true}\n")?;
        let mut install = Command::new(npm);
        install
            .args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"])
            .args(PACKAGES)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(std::io::stderr());
        run(&mut install).with_context(|| format!("npm cannot fetch {list}"))?;
    }
    Ok(dir.canonicalize()?)
}
