//! Tries the files of a release: `cargo xtask dist --test`.
//!
//! In reading order: `package` (Debian's package under a systemd of its own), `image` (the image in a container), `visit`
//! (a beacon in, a report out). An image of another architecture runs under qemu, and so do the tests of the crates that
//! compute and store.

mod image;
mod package;
mod visit;

use super::{Target, musl};
use crate::run::{output, say, seconds};
use crate::toolchain;
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Timeout of one step. A server under qemu is some ten times slower.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tries the package and the image of a target.
///
/// # Errors
/// If one does not work, or if this machine cannot start containers.
pub(super) fn trial(target: Target, dist: &Path) -> Result<()> {
    ensure!(
        output(Command::new("id").arg("-u"))? == "0",
        "`dist --test` starts containers, and needs root for it: run it as root, or leave --test out"
    );
    let emulator = emulator(target)?;
    if emulator.is_none() {
        timed("the Debian package", target, || package::trial(target, dist))?;
    }
    timed("the image", target, || image::trial(target, dist, emulator.as_deref()))?;
    if let Some(emulator) = emulator {
        timed("tests", target, || musl::test(target, &emulator))?;
    }
    Ok(())
}

fn timed(what: &str, target: Target, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    say(format!("trying {what} for {}", target.debian()));
    work().with_context(|| format!("{what} for {} failed", target.debian()))?;
    say(format!("{what} for {}: ok, {}", target.debian(), seconds(started.elapsed())));
    Ok(())
}

/// qemu's static program for the target; `None` on the architecture of this machine.
fn emulator(target: Target) -> Result<Option<PathBuf>> {
    if std::env::consts::ARCH == target.architecture() {
        return Ok(None);
    }
    toolchain::program(&format!("qemu-{}-static", target.architecture()), "qemu-user-static").map(Some)
}

/// Checks that a process has no rights, by its file `/proc/PID/status`.
fn check_rights(status: &str) -> Result<()> {
    for (name, expected) in [
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
    ] {
        let found = field(status, name)?;
        ensure!(found == [expected], "the server runs with {name} {found:?}; expected {expected}");
    }
    for name in ["Uid", "Gid"] {
        let found = field(status, name)?;
        ensure!(!found.contains(&"0"), "the server runs with {name} {found:?}");
    }
    Ok(())
}

/// The values of a field of `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> Result<Vec<&'a str>> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("the system tells no {name}"))?.split_ascii_whitespace().collect())
}

/// Checks the options of mounts, by the file `/proc/PID/mountinfo`.
fn check_mounts(mounts: &str, expected: &[(&str, &str)]) -> Result<()> {
    for &(place, expected) in expected {
        // The last mount of a place hides the others.
        let options = mounts.lines().rev().find_map(|line| {
            let mut fields = line.split(' ').skip(4);
            (fields.next() == Some(place)).then(|| fields.next().unwrap_or_default())
        });
        let options = options.with_context(|| format!("nothing is mounted at {place}"))?;
        let is_expected = options.split(',').any(|option| option == expected);
        ensure!(is_expected, "{place} is mounted {options}; expected {expected}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_of_a_process_are_found() {
        let none = "Name:\tfieldvitals\nUid:\t9\t9\t9\t9\nGid:\t9\t9\t9\t9\nNoNewPrivs:\t1\nCapPrm:\t0000000000000000\n\
                    CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n";
        check_rights(none).unwrap();
        for (from, to, name) in [
            ("Uid:\t9\t9\t9", "Uid:\t9\t9\t0", "Uid"),
            ("Gid:\t9", "Gid:\t0", "Gid"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0", "NoNewPrivs"),
            ("CapBnd:\t0", "CapBnd:\t1", "CapBnd"),
        ] {
            let message = check_rights(&none.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
        assert!(check_rights(&none.replace("NoNewPrivs", "Other")).is_err());
    }

    #[test]
    fn last_mount_of_a_place_counts() {
        let mounts = "22 1 0:20 / / rw,relatime - ext4 a rw\n23 22 0:21 / /data rw,nosuid - ext4 a rw\n\
                      24 1 0:20 / / ro,relatime - ext4 a rw\n";
        check_mounts(mounts, &[("/", "ro"), ("/data", "rw")]).unwrap();
        assert!(check_mounts(mounts, &[("/data", "ro")]).is_err());
        assert!(check_mounts(mounts, &[("/proc", "rw")]).is_err());
    }
}
