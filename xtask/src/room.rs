//! Checks the free disk space, because a compiler reports a full disk late and among many other messages.

use crate::run::{say, target_dir};
use std::fs;
use std::path::{Path, PathBuf};

/// Size of `target` after `cargo xtask test` in a fresh clone, including built tools: 4.6 GB (measured 2026-11-28),
/// plus a margin for files that tests write.
const TEST_BYTES: u64 = 5_000_000_000;
/// Size of cargo's incremental build data, unless disabled: 2.1 GB.
const INCREMENTAL_BYTES: u64 = 2_000_000_000;
/// A disk with less free space counts as full, and as the likely cause of a failure.
const FULL_BYTES: u64 = 200_000_000;

/// Prints a warning if the disk may be too small for all tests.
pub(crate) fn look_before_testing() {
    let dir = target_dir();
    let is_incremental = std::env::var_os("CARGO_INCREMENTAL").is_none_or(|value| value != "0");
    let needed = TEST_BYTES + if is_incremental { INCREMENTAL_BYTES } else { 0 };
    if let Some(text) = available(&dir).and_then(|free| too_little(&dir, needed, free, size(&dir))) {
        say(text);
    }
}

fn too_little(dir: &Path, needed: u64, free: u64, built: u64) -> Option<String> {
    (free.saturating_add(built) < needed).then(|| {
        format!(
            "{} may not be enough: {} are free there, and it holds {} of the {} that a build of every test takes. \
             Free some, or let CARGO_TARGET_DIR name a larger disk",
            dir.display(),
            gigabytes(free),
            gigabytes(built),
            gigabytes(needed),
        )
    })
}

/// Returns a message if a disk is full, the likely cause of a failure.
pub(crate) fn why_failed() -> Option<String> {
    let full = |dir: &PathBuf| available(dir).is_some_and(|free| free < FULL_BYTES);
    let dir = [target_dir(), std::env::temp_dir()].into_iter().find(full)?;
    Some(format!(
        "the disk of {} is full, which is likely why; free some, or let CARGO_TARGET_DIR (for what is built) and \
         TMPDIR (for what tests write) name a larger one",
        dir.display()
    ))
}

/// Returns the free bytes on the disk of a folder, or of its nearest existing ancestor.
#[cfg(unix)]
fn available(dir: &Path) -> Option<u64> {
    let dir = dir.ancestors().find(|dir| dir.is_dir())?;
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Returns `None`: free space is known only on Unix.
#[cfg(not(unix))]
fn available(_dir: &Path) -> Option<u64> {
    None
}

/// Returns the size of the files under a folder, in bytes. Unreadable files count as 0.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            // Cargo hard-links most files under two names, so this divides by the number of names.
            Ok(metadata) => metadata.len() / names(&metadata),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(unix)]
fn names(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata).max(1)
}

#[cfg(not(unix))]
const fn names(_metadata: &fs::Metadata) -> u64 {
    1
}

fn gigabytes(bytes: u64) -> String {
    format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_already_needs_no_room() {
        let dir = Path::new("target");
        assert_eq!(too_little(dir, TEST_BYTES, TEST_BYTES, 0), None);
        assert_eq!(too_little(dir, TEST_BYTES, 1_000_000_000, TEST_BYTES), None);
        let text = too_little(dir, TEST_BYTES, 1_020_000_000, 500_000_000).unwrap();
        assert!(text.contains("1.0 GB are free") && text.contains("holds 0.5 GB of the 5.0 GB"), "{text}");
    }

    #[test]
    #[cfg(unix)]
    fn the_disk_of_a_folder_that_is_not_there_yet_is_known() {
        assert!(available(&target_dir().join("not/there")).is_some());
        assert!(size(Path::new(env!("CARGO_MANIFEST_DIR"))) > 1_000);
    }
}
