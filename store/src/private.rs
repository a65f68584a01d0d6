//! Creates files that only their owner may read, because page views and spools reveal people's visits.
//!
//! SQLite gives its log and index (`-wal`, `-shm`) the permissions of the main file, so the caller must create the
//! file before SQLite opens it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

/// Suffixes of the main file and of SQLite's files beside it.
pub const BESIDE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Creates a folder and its missing parents, for the owner alone. Leaves existing folders unchanged.
///
/// # Errors
/// If a folder cannot be created.
pub fn create_folder(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file for writing; creates a missing one for the owner alone.
///
/// # Errors
/// If the file cannot be created or opened.
pub fn create_file(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A path with permissions for others, and the result of removing them.
#[derive(Debug)]
pub struct Loose {
    /// The path.
    pub path: PathBuf,
    /// The reason why the permissions remain.
    pub error: Option<Error>,
}

/// Removes the permissions of others from SQLite files. Returns the paths that had any.
pub fn tighten_files<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Vec<Loose> {
    let all = paths.into_iter().flat_map(|path| BESIDE.map(|suffix| with_suffix(path, suffix)));
    all.filter_map(|path| tighten(path, 0o600)).collect()
}

/// Removes the permissions of others from a folder. Skips a folder with entries other than `ours` (and `lost+found`),
/// because others use it too. Returns the path if it had any.
pub fn tighten_folder(path: &Path, ours: &[&str]) -> Option<Loose> {
    let is_ours = |name: &str| {
        let files = ours.iter().flat_map(|&file| BESIDE.map(|suffix| format!("{file}{suffix}")));
        name == "lost+found" || files.into_iter().any(|file| file == name)
    };
    let mut entries = std::fs::read_dir(path).ok()?;
    let all_ours =
        entries.all(|entry| entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(is_ours)));
    if all_ours { tighten(path.to_owned(), 0o700) } else { None }
}

/// Returns the SQLite files that others than their owner may access. Changes nothing.
pub fn loose_files<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Vec<PathBuf> {
    let all = paths.into_iter().flat_map(|path| BESIDE.map(|suffix| with_suffix(path, suffix)));
    all.filter(|path| is_loose(path)).collect()
}

/// Whether others than the owner of a file or folder may access it. Links and shared folders such as `/tmp` count as no.
#[cfg(unix)]
#[must_use]
pub fn is_loose(path: &Path) -> bool {
    loose_mode(path).is_some()
}

/// Whether others may access a path is unknown on this system.
#[cfg(not(unix))]
#[must_use]
pub fn is_loose(_: &Path) -> bool {
    false
}

/// Adds a suffix to a path: `store.db` and `-wal` are `store.db-wal`.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    text.into()
}

/// The mode of a path that others may access.
#[cfg(unix)]
fn loose_mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    /// The permissions of group and others; and the sticky bit of shared folders, such as `/tmp`.
    const OTHERS: u32 = 0o077;
    const STICKY: u32 = 0o1000;
    let metadata = std::fs::symlink_metadata(path).ok()?;
    let found = metadata.permissions().mode();
    let is_loose = !metadata.is_symlink() && found & OTHERS != 0 && found & STICKY == 0;
    is_loose.then_some(found)
}

#[cfg(unix)]
fn tighten(path: PathBuf, mode: u32) -> Option<Loose> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = loose_mode(&path)?;
    let error = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(found & mode)).err();
    Some(Loose { path, error })
}

#[cfg(not(unix))]
fn tighten(_: PathBuf, _: u32) -> Option<Loose> {
    None
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn folder_and_file_are_made_for_their_owner_alone() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        create_folder(&folder).unwrap();
        create_folder(&folder).unwrap();
        let file = folder.join("c");
        drop(create_file(&file).unwrap());
        assert_eq!((mode(&folder), mode(&place.path().join("a")), mode(&file)), (0o700, 0o700, 0o600));
    }

    #[test]
    fn folder_of_others_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        for (others, folder_mode, expected) in [
            (None, 0o755, 0o700),
            (None, 0o2775, 0o700),
            (Some("notes.txt"), 0o755, 0o755),
            (None, 0o1777, 0o1777),
        ] {
            let folder = tempfile::tempdir_in(place.path()).unwrap();
            let file = folder.path().join("spool.db-wal");
            std::fs::write(&file, "").unwrap();
            if let Some(others) = others {
                std::fs::write(folder.path().join(others), "").unwrap();
            }
            set(folder.path(), folder_mode);
            set(&file, 0o644);
            let loose = tighten_folder(folder.path(), &["spool.db"]);
            assert_eq!((mode(folder.path()), loose.is_some()), (expected, expected == 0o700));
            assert!(tighten_folder(folder.path(), &["spool.db"]).is_none(), "once");
            let files = tighten_files([folder.path().join("spool.db").as_path()]);
            assert!(files.len() == 1 && files[0].error.is_none() && mode(&file) == 0o600, "{files:?}");
        }
    }

    #[test]
    fn target_of_a_link_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let (target, link) = (place.path().join("target"), place.path().join("link"));
        std::fs::write(&target, "").unwrap();
        set(&target, 0o644);
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(tighten_files([link.as_path()]).is_empty());
        assert_eq!(mode(&target), 0o644);
    }
}
