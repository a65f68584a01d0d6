//! Builds the files of a release.

mod debian;
mod musl;

use crate::run::{root, say};
use crate::{collector, serve};
use anyhow::{Context as _, Result};
use base64::Engine as _;
pub(crate) use musl::Target;
use sha2::Digest as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The certificates of public authorities on Debian, for images without a system.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Writes the release binary and the collector's files to `dist/`, and prints their integrity hashes. For each further
/// target writes a static binary, the content of an image and a Debian package. `SHA256SUMS` has the hashes of all files.
pub(crate) fn dist(targets: &[Target]) -> Result<()> {
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
    for &target in targets {
        let binary = musl::build(target, &collector.dir)?;
        image(target, &binary, &dist)?;
        debian::package(target, &binary, &dist)?;
    }
    checksums(&dist)?;
    say(format!("the release is in {}", dist.display()));
    Ok(())
}

/// Writes a static binary, and beside it what `packaging/Dockerfile` copies into an image.
fn image(target: Target, binary: &Path, dist: &Path) -> Result<()> {
    let image = dist.join(format!("image-{}", target.debian()));
    // The folder of data, empty.
    fs::create_dir_all(image.join("data"))?;
    fs::copy(binary, image.join("fieldvitals"))
        .with_context(|| format!("the build succeeded and did not leave {}", binary.display()))?;
    fs::copy(AUTHORITIES, image.join("ca-certificates.crt"))
        .with_context(|| format!("{AUTHORITIES} is missing; on Debian: apt-get install ca-certificates"))?;
    Ok(())
}

/// Writes the SHA-256 of each file, in the form that `sha256sum --check` reads.
fn checksums(dist: &Path) -> Result<()> {
    let mut files = Vec::new();
    walk(dist, &mut files)?;
    files.sort();
    let mut sums = String::new();
    for file in files {
        let hash = sha2::Sha256::digest(fs::read(&file)?);
        let name = file.strip_prefix(dist)?.display();
        let digits = collector::hex(&hash);
        sums.push_str(&format!("{digits}  {name}\n"));
    }
    fs::write(dist.join("SHA256SUMS"), sums)?;
    Ok(())
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
