//! The age of backups. `fieldvitals backup` records its last success in the data folder; `diagnosis` reads that record,
//! or the folder of the backups.

use crate::report::time_text;
use fieldvitals_store::private;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::{Path, PathBuf};

/// The description in each backup of `fieldvitals backup`.
pub const MANIFEST: &str = "backup.json";
/// The ending of a backup that is not whole.
pub const UNFINISHED: &str = ".part";
/// The record in the data folder.
pub(crate) const LAST_BACKUP: &str = "last-backup.json";

/// The last successful `fieldvitals backup` of a data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastBackup {
    /// The end of the backup, RFC 3339, UTC.
    created: String,
    /// The folder of the copy.
    pub folder: PathBuf,
}

impl LastBackup {
    /// A backup that ended at this moment.
    #[must_use]
    pub fn new(created_ms: i64, folder: PathBuf) -> Self {
        Self { created: time_text(created_ms), folder }
    }

    /// The end of the backup, in UTC milliseconds; `None` if the record is damaged.
    pub(crate) fn created_ms(&self) -> Option<i64> {
        milliseconds(&self.created)
    }

    /// Replaces the record of a data folder. A reader sees the old record or the new one.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, data_dir: &Path) -> Result<()> {
        let path = data_dir.join(LAST_BACKUP);
        let part = private::with_suffix(&path, UNFINISHED);
        let mut file = private::create_file(&part)?;
        file.set_len(0)?;
        file.write_all(format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, &path)
    }

    /// Reads the record of a data folder; `None` if no backup was made.
    ///
    /// # Errors
    /// If the record cannot be read or parsed.
    pub(crate) fn read(data_dir: &Path) -> Result<Option<Self>> {
        match std::fs::read(data_dir.join(LAST_BACKUP)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The newest backup at a place, in UTC milliseconds: a file, or the files in a folder and its folders.
///
/// A backup of `fieldvitals backup` is as old as its description says, because a copy to another disk has new times of
/// its files. Other files, such as dumps of Postgres, are as old as their last modification. Unfinished backups do not
/// count; with `has_store` false, neither do those of `fieldvitals backup`, because beside Postgres they hold the spool alone.
pub(crate) fn newest_ms(place: &Path, has_store: bool) -> Option<i64> {
    let mut newest = None;
    // The place itself may be a link.
    let mut left: Vec<PathBuf> = vec![place.canonicalize().unwrap_or_else(|_| place.to_owned())];
    while let Some(path) = left.pop() {
        if path.as_os_str().as_encoded_bytes().ends_with(UNFINISHED.as_bytes()) {
            continue;
        }
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        if !metadata.is_dir() {
            newest = newest.max(modified_ms(&metadata));
        } else if path.join(MANIFEST).exists() {
            // A damaged description has no age, and its files are no backup.
            newest = newest.max(described_ms(&path.join(MANIFEST)).ok().filter(|_| has_store));
        } else {
            let entries = std::fs::read_dir(&path).into_iter().flatten();
            left.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        }
    }
    newest
}

fn modified_ms(metadata: &std::fs::Metadata) -> Option<i64> {
    let since = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

/// The moment that the description of a backup names.
fn described_ms(path: &Path) -> Result<i64> {
    /// The description, as far as it is read here.
    #[derive(Deserialize)]
    struct Described {
        created: String,
    }
    let described: Described = serde_json::from_slice(&std::fs::read(path)?)?;
    milliseconds(&described.created).ok_or_else(|| Error::from(ErrorKind::InvalidData))
}

fn milliseconds(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const CREATED_MS: i64 = 1_796_000_000_123;

    #[test]
    fn record_is_replaced_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(LastBackup::read(folder.path()).unwrap(), None);
        for (created_ms, name) in [(1, "/backups/a-long-name"), (CREATED_MS, "/b")] {
            let last = LastBackup::new(created_ms, name.into());
            last.write(folder.path()).unwrap();
            assert_eq!(LastBackup::read(folder.path()).unwrap(), Some(last.clone()));
            assert_eq!(last.created_ms(), Some(created_ms));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(folder.path().join(LAST_BACKUP), "{").unwrap();
        assert!(LastBackup::read(folder.path()).is_err());
    }

    #[test]
    fn newest_backup_is_found_in_folders() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest_ms(folder.path(), true), None);
        assert_eq!(newest_ms(&folder.path().join("none"), true), None);
        fs::create_dir(folder.path().join("monday")).unwrap();
        fs::write(folder.path().join("monday/vitals.dump"), "").unwrap();
        assert!(newest_ms(folder.path(), true) > Some(CREATED_MS - 365 * 86_400_000));
        assert_eq!(
            newest_ms(folder.path(), true),
            newest_ms(&folder.path().join("monday/vitals.dump"), true)
        );
    }

    #[test]
    fn copied_backup_is_as_old_as_its_description_and_unfinished_ones_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let backup = |name: &str, description: &str| {
            let backup = folder.path().join(name);
            fs::create_dir(&backup).unwrap();
            fs::write(backup.join("store.db"), "").unwrap();
            fs::write(backup.join(MANIFEST), description).unwrap();
        };
        backup("cut.part", &format!("{{\"created\": \"{}\"}}", time_text(2 * CREATED_MS)));
        backup("damaged", "{");
        assert_eq!(newest_ms(folder.path(), true), None);
        backup("old", &format!("{{\"created\": \"{}\"}}", time_text(1_000)));
        backup("new", &format!("{{\"created\": \"{}\"}}", time_text(CREATED_MS)));
        assert_eq!(newest_ms(folder.path(), true), Some(CREATED_MS));
        assert_eq!(newest_ms(&folder.path().join("old"), true), Some(1_000));
        assert_eq!(newest_ms(folder.path(), false), None, "beside Postgres, these are backups of the spool");
        fs::write(folder.path().join("vitals.dump"), "").unwrap();
        assert!(newest_ms(folder.path(), false).is_some());
    }
}
