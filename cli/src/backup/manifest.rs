//! The description of a backup: which files it has, and their hashes.

use anyhow::{Context as _, ensure};
use fieldvitals_server::backups::MANIFEST;
use fieldvitals_server::clock;
use fieldvitals_server::report::time_text;
use fieldvitals_store::private;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// The version of a backup's layout.
const FORMAT: u32 = 1;
/// Bytes copied at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// The description of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// The release that made the backup.
    release: String,
    /// The end of the backup, UTC.
    created: String,
    /// `None` if the store is in Postgres.
    pub(super) store: Option<StoreFile>,
    /// `None` if no server has run on the folder.
    pub(super) spool: Option<SpoolFile>,
    pub(super) thresholds: Option<StoredFile>,
}

/// A copy of a store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoreFile {
    pub(super) sites: u64,
    pub(super) page_views: u64,
    #[serde(flatten)]
    pub(super) file: StoredFile,
}

/// A copy of a spool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SpoolFile {
    /// Beacons that are to be loaded, or not removed yet.
    pub(super) beacons: u64,
    #[serde(flatten)]
    pub(super) file: StoredFile,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredFile {
    pub(super) bytes: u64,
    /// In hexadecimal digits.
    pub(super) sha256: String,
}

impl StoredFile {
    /// Reads a file.
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        pass(path, std::io::sink())
    }
}

impl Manifest {
    pub(super) fn new(
        store: Option<StoreFile>,
        spool: Option<SpoolFile>,
        thresholds: Option<StoredFile>,
    ) -> Self {
        let release = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, release, created: time_text(clock::now_ms()), store, spool, thresholds }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &StoredFile> {
        let store = self.store.as_ref().map(|store| &store.file);
        let spool = self.spool.as_ref().map(|spool| &spool.file);
        [store, spool, self.thresholds.as_ref()].into_iter().flatten()
    }

    /// Writes the description, synced.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let write = || -> std::io::Result<()> {
            let mut file = private::create_file(path)?;
            file.write_all(format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())?;
            file.sync_all()
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Reads the description of a backup.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read(&path).with_context(|| {
            format!("{} is no backup: {} cannot be read", folder.display(), path.display())
        })?;
        let read: Self =
            serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
        ensure!(
            read.format == FORMAT,
            "{} has the format {}, and this release reads {FORMAT}: restore it with fieldvitals {}",
            path.display(),
            read.format,
            read.release
        );
        Ok(read)
    }
}

/// Copies a file into a new one that only its owner may read, synced. Returns what was copied.
pub(super) fn copy(from: &Path, to: &Path) -> anyhow::Result<StoredFile> {
    let failed = || format!("{} cannot be written", to.display());
    let file = private::create_file(to).with_context(failed)?;
    file.set_len(0).with_context(failed)?;
    let copied = pass(from, &file)?;
    file.sync_all().with_context(failed)?;
    Ok(copied)
}

fn pass(from: &Path, mut to: impl Write) -> anyhow::Result<StoredFile> {
    let failed = || format!("{} cannot be copied", from.display());
    let mut file = File::open(from).with_context(failed)?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; BUFFER_BYTES]);
    loop {
        let read = file.read(&mut buffer).with_context(failed)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        hash.update(piece);
        to.write_all(piece).with_context(failed)?;
        bytes += read as u64;
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(StoredFile { bytes, sha256 })
}
