//! Builds the files of a release.

mod debian;
mod musl;
mod trial;

use crate::run::{root, run, say};
use crate::{collector, npm, serve};
use anyhow::{Context as _, Result};
use base64::Engine as _;
pub(crate) use musl::Target;
use sha2::Digest as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The certificates of public authorities on Debian, for images without a system.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Writes the release to `dist/`: the collector's files, the npm package, and for each target a static binary as the
/// content of an image, and a Debian package. Without a target, a binary for this machine. `SHA256SUMS` has the hashes of
/// all files. Prints the integrity hashes of the collector.
pub(crate) fn dist(targets: &[Target]) -> Result<()> {
    let collector = collector::build()?;
    let dist = root().join("dist");
    match fs::remove_dir_all(&dist) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot empty {}", dist.display()));
        }
        _ => fs::create_dir_all(dist.join("collector"))?,
    }
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
    npm::pack(&dist)?;
    if targets.is_empty() {
        let binary = serve::build_server(&collector.dir, true)?;
        fs::copy(&binary, dist.join("fieldvitals"))
            .with_context(|| format!("the build succeeded and did not leave {}", binary.display()))?;
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

/// Tries the release under `dist/`: its hashes, and package and image of each target.
///
/// # Errors
/// If a file is changed or missing, or does not work.
pub(crate) fn test(targets: &[Target]) -> Result<()> {
    let dist = root().join("dist");
    run(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&dist))?;
    targets.iter().try_for_each(|&target| trial::trial(target, &dist))
}

/// Writes a static binary, and beside it what `packaging/Dockerfile` copies into an image.
fn image(target: Target, binary: &Path, dist: &Path) -> Result<()> {
    let image = dist.join(format!("image-{}", target.debian()));
    // The folder of data, empty and for its owner alone.
    let data = image.join("volume/data");
    fs::create_dir_all(&data)?;
    #[cfg(unix)]
    fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
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
