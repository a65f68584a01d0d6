//! Fetches the npm packages that read the server, or send to it, in tests: clients of other makers.

use crate::collector::hex;
use crate::run::{run, say, target_dir};
use crate::toolchain;
use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A client of the CrUX API; the reference client of the Model Context Protocol; libraries that measure pages and send what
/// they measure; the bundler of their pages.
const PACKAGES: [&str; 12] = [
    "crux-api@4.1.0",
    "@modelcontextprotocol/sdk@1.32.2",
    "@grafana/faro-web-sdk@2.12.1",
    "@opentelemetry/api-logs@0.220.0",
    "@opentelemetry/browser-instrumentation@0.6.0",
    "@opentelemetry/exporter-logs-otlp-http@0.223.1",
    "@opentelemetry/instrumentation@0.220.0",
    "@opentelemetry/sdk-logs@0.223.1",
    "@umami/node@0.4.0",
    "boomerangjs@1.815.1",
    "web-vitals@6.2.3",
    "esbuild@0.28.2",
];

/// Fetches the packages, once; returns the folder that has them.
pub(crate) fn fetch() -> Result<PathBuf> {
    toolchain::program("node", "nodejs")?;
    let npm = toolchain::program("npm", "npm")?;
    let list = PACKAGES.join(", ");
    // Another list is another folder.
    let name = hex(&Sha256::digest(&list)[..8]);
    let dir = target_dir().join("tools/clients").join(name);
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
