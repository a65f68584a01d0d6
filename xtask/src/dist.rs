//! Builds the files of a release.

use crate::run::{root, say};
use crate::{collector, serve};
use anyhow::{Context as _, Result};
use base64::Engine as _;
use sha2::Digest as _;
use std::fs;
use std::io::Write as _;

/// Writes the release binary and the collector's files to `dist/`, and prints their integrity hashes.
pub(crate) fn dist() -> Result<()> {
    let collector = collector::build()?;
    let binary = serve::build_server(&collector.dir, true)?;
    let dist = root().join("dist");
    match fs::remove_dir_all(&dist) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot empty {}", dist.display()));
        }
        _ => fs::create_dir_all(dist.join("collector"))?,
    }
    fs::copy(&binary, dist.join("fieldvitals"))
        .with_context(|| format!("the build succeeded and did not leave {}", binary.display()))?;
    let mut out = std::io::stdout();
    for (_, name) in collector.files() {
        for ending in ["", ".br", ".gz"] {
            let file = format!("{name}{ending}");
            fs::copy(collector.dir.join(&file), dist.join("collector").join(&file))?;
        }
        let hash = sha2::Sha384::digest(fs::read(collector.dir.join(&name))?);
        let hash = base64::engine::general_purpose::STANDARD.encode(hash);
        writeln!(out, "collector/{name} sha384-{hash}")?;
    }
    say(format!("the release is in {}", dist.display()));
    Ok(())
}
