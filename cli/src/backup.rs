//! `fieldvitals backup`: copies the embedded store and the spool while the server runs.

mod manifest;
pub(crate) mod restore;

use crate::output::print;
use crate::progress::{Progress, count, grouped};
use crate::site::print as print_json;
use crate::store_args::StoreArgs;
use anyhow::{Context as _, ensure};
use fieldvitals_server::backups::{LastBackup, MANIFEST, UNFINISHED};
use fieldvitals_server::clock;
use fieldvitals_server::health::THRESHOLDS;
use fieldvitals_server::{EMBEDDED_STORE, SPOOL, StoreUrl, spool};
use fieldvitals_store::private::{self, with_suffix};
use fieldvitals_store_sqlite::backup::{check_file, copy_file, count_file};
use manifest::{Manifest, SpoolFile, StoreFile, StoredFile};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Copy the embedded store and the spool into a new folder, while the server runs.
///
/// The copy holds everything that was acknowledged before the command began. It is checked, and gets its name when it is
/// whole. `fieldvitals restore` puts it into a new data folder. If the store is in Postgres, the copy has the spool
/// alone: run pg_dump after it (docs/backup.md).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of the copy. It must not exist.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.store.check()?;
    let store = match args.store.url()? {
        StoreUrl::File(path) => Some(path),
        StoreUrl::Postgres(_) => None,
    };
    let source = Source { store, data_dir: args.store.data_dir.clone() };
    let folder = args.folder.clone();
    let made = tokio::task::spawn_blocking(move || make(&source, &folder)).await??;
    record(&args.store.data_dir, &args.folder);
    if args.json {
        print_json(&json!({"folder": args.folder, "backup": made}));
    } else {
        print(&format!("{}\n", summary(&made, &args.folder)));
    }
    if made.store.is_none() {
        eprintln!(
            "note: the store is in Postgres, and not in this copy; run pg_dump now, after the copy of the spool"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Records the backup for `fieldvitals doctor`. The backup is whole without the record, so a failure is a note.
fn record(data_dir: &Path, folder: &Path) {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    if let Err(error) = LastBackup::new(clock::now_ms(), folder).write(data_dir) {
        eprintln!(
            "note: the time of this backup cannot be recorded in {}: {error}; name the folder of the backups to \
             `fieldvitals doctor` with --backups",
            data_dir.display()
        );
    }
}

fn summary(made: &Manifest, folder: &Path) -> String {
    let bytes: u64 = made.files().map(|file| file.bytes).sum();
    let store = made.store.as_ref().map(|store| {
        format!("{}, {} and ", count(store.sites, "site"), count(store.page_views, "page view"))
    });
    format!(
        "{}{} are in {}: {} bytes, checked",
        store.unwrap_or_default(),
        count(made.spool.as_ref().map_or(0, |spool| spool.beacons), "waiting beacon"),
        folder.display(),
        grouped(bytes)
    )
}

/// What is copied.
struct Source {
    /// The file of the embedded store; `None` for Postgres.
    store: Option<PathBuf>,
    data_dir: PathBuf,
}

/// Makes a copy under another name, and renames it when it is whole.
fn make(source: &Source, folder: &Path) -> anyhow::Result<Manifest> {
    ensure!(!folder.exists(), "{} exists already; name a new folder", folder.display());
    if let Some(store) = &source.store {
        ensure!(
            store.exists(),
            "there is no store in {}; --data-dir (or FIELDVITALS_DATA_DIR) names the server's folder",
            store.parent().unwrap_or(store).display()
        );
    }
    // A new store has no spool before its server starts. Any other folder without one is not the server's.
    let is_new = source.store.as_ref().is_some_and(|store| *store == source.data_dir.join(EMBEDDED_STORE));
    ensure!(
        is_new || source.data_dir.join(SPOOL).exists(),
        "there is no spool in {}; --data-dir (or FIELDVITALS_DATA_DIR) names the server's folder",
        source.data_dir.display()
    );
    let part = with_suffix(folder, UNFINISHED);
    ensure!(
        !part.exists(),
        "{} is left from a backup that did not end, or that still runs; remove it and try again",
        part.display()
    );
    private::create_folder(&part).with_context(|| format!("{} cannot be created", part.display()))?;
    let made = fill(source, &part).and_then(|made| {
        fs::rename(&part, folder)
            .and_then(|()| {
                sync_folder(
                    folder.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")),
                )
            })
            .with_context(|| format!("{} cannot be renamed to {}", part.display(), folder.display()))?;
        Ok(made)
    });
    if made.is_err() {
        // Ignores errors: the copy's own error is reported.
        let _ = fs::remove_dir_all(&part);
    }
    made
}

fn fill(source: &Source, part: &Path) -> anyhow::Result<Manifest> {
    let mut progress = Progress::new();
    // The spool first: what the loader removes from it meanwhile is in the store's copy.
    let from = source.data_dir.join(SPOOL);
    let spool = match from.exists() {
        false => None,
        true => {
            progress.say(|| "copying the spool".to_owned());
            let to = part.join(SPOOL);
            copy_file(&from, &to)?;
            check_file(&to)?;
            Some(SpoolFile { beacons: spool::backup::count(&to)?, file: StoredFile::of(&to)? })
        }
    };
    let store = match &source.store {
        None => None,
        Some(from) => {
            progress.say(|| "copying the store".to_owned());
            let to = part.join(EMBEDDED_STORE);
            copy_file(from, &to)?;
            progress.say(|| "checking the copy".to_owned());
            check_file(&to)?;
            let counts = count_file(&to)?;
            Some(StoreFile { sites: counts.sites, page_views: counts.page_views, file: StoredFile::of(&to)? })
        }
    };
    let thresholds = source.data_dir.join(THRESHOLDS);
    let thresholds = match thresholds.exists() {
        false => None,
        true => {
            let to = part.join(THRESHOLDS);
            manifest::copy(&thresholds, &to)?;
            Some(StoredFile::of(&to)?)
        }
    };
    let made = Manifest::new(store, spool, thresholds);
    made.write(&part.join(MANIFEST))?;
    sync_folder(part).with_context(|| format!("{} cannot be synced", part.display()))?;
    Ok(made)
}

/// Makes new names in a folder durable.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_without_a_spool_is_no_server_and_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (data_dir, copy) = (folder.path().join("data"), folder.path().join("copy"));
        let elsewhere = folder.path().join("elsewhere.db");
        fs::create_dir(&data_dir).unwrap();
        fs::write(&elsewhere, "").unwrap();
        for store in [None, Some(elsewhere)] {
            let source = Source { store, data_dir: data_dir.clone() };
            let message = make(&source, &copy).unwrap_err().to_string();
            assert!(message.contains("there is no spool in"), "{message}");
            assert!(message.contains("--data-dir (or FIELDVITALS_DATA_DIR)"), "{message}");
            assert!(!copy.exists());
        }
    }
}
