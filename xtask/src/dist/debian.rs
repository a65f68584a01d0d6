//! Builds a Debian package of a static binary: it needs no other package but systemd's users.

use super::Target;
use crate::run::{output, root, run, target_dir};
use crate::toolchain;
use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// Files of the package: the source in the repository, the path, the mode.
const FILES: [(&str, &str, u32); 4] = [
    ("packaging/fieldvitals.service", "usr/lib/systemd/system/fieldvitals.service", 0o644),
    ("packaging/debian/sysusers.conf", "usr/lib/sysusers.d/fieldvitals.conf", 0o644),
    ("packaging/fieldvitals.toml", "etc/fieldvitals/fieldvitals.toml", 0o644),
    ("packaging/debian/copyright", "usr/share/doc/fieldvitals/copyright", 0o644),
];
/// Scripts of the package, which dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Writes `fieldvitals_VERSION_ARCHITECTURE.deb`.
pub(super) fn package(target: Target, binary: &Path, dist: &Path) -> Result<()> {
    toolchain::program("dpkg-deb", "dpkg")?;
    let version = env!("CARGO_PKG_VERSION");
    let folder = target_dir().join("deb").join(target.debian());
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    put(binary, &folder.join("usr/bin/fieldvitals"), 0o755)?;
    for (from, to, mode) in FILES {
        put(&root().join(from), &folder.join(to), mode)?;
    }
    let changes = fs::read(root().join("CHANGELOG.md"))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&changes)?;
    write(&folder.join("usr/share/doc/fieldvitals/changelog.gz"), &gzip.finish()?, 0o644)?;
    for script in SCRIPTS {
        let from = root().join("packaging/debian").join(script);
        put(&from, &folder.join("DEBIAN").join(script), 0o755)?;
    }
    write(&folder.join("DEBIAN/conffiles"), b"/etc/fieldvitals/fieldvitals.toml\n", 0o644)?;
    let kib = output(
        Command::new("du").args(["--summarize", "--apparent-size", "--block-size=1024"]).arg(&folder),
    )?;
    let kib = kib.split_ascii_whitespace().next().unwrap_or_default();
    let control = format!(
        "Package: fieldvitals\nVersion: {version}\nArchitecture: {}\nMaintainer: the fieldvitals authors \
         <fieldvitals@localhost>\nInstalled-Size: {kib}\nDepends: systemd\nRecommends: ca-certificates\nSection: \
         web\nPriority: optional\nDescription: real-user Web Vitals that a team owns\n A script tag measures every \
         visit of a website with a WebAssembly module.\n This server receives, stores and reports the measurements.\n",
        target.debian()
    );
    write(&folder.join("DEBIAN/control"), control.as_bytes(), 0o644)?;
    let file = dist.join(file_name(target));
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Zxz", "--build"])
        .arg(&folder)
        .arg(&file)
        .stdout(std::io::stderr()))
}

/// The name of the package's file.
pub(super) fn file_name(target: Target) -> String {
    format!("fieldvitals_{}_{}.deb", env!("CARGO_PKG_VERSION"), target.debian())
}

fn put(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    write(to, &content, mode)
}

fn write(to: &Path, content: &[u8], mode: u32) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, content)?;
    #[cfg(unix)]
    fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    Ok(())
}
