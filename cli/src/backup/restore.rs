//! `fieldvitals restore`: puts a backup into a data folder.

use super::manifest::{self, Manifest, StoredFile};
use super::{summary, sync_folder};
use crate::output::print;
use crate::progress::Progress;
use crate::site::print as print_json;
use crate::store_args::StoreArgs;
use anyhow::{Context as _, bail, ensure};
use fieldvitals_server::health::THRESHOLDS;
use fieldvitals_server::{EMBEDDED_STORE, RESTORING, SPOOL, StoreUrl, close_store, spool};
use fieldvitals_store::private::{self, BESIDE, with_suffix};
use fieldvitals_store_sqlite::backup::{check_file, count_file};
use serde_json::json;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Added to the names of files that are not whole.
const SUFFIX: &str = ".restoring";

/// Put a backup into a data folder that has no store yet.
///
/// Checks the hashes of the backup, and the integrity of what it writes. Then a server can start on the folder: it loads
/// the beacons that waited when the backup was made. Refuses the folder of a running server, and replaces no file. If the
/// backup has the spool alone, --database-url names the restored Postgres.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder that `fieldvitals backup` made.
    #[arg(value_name = "DIR")]
    backup: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.store.check()?;
    let manifest = Manifest::read(&args.backup)?;
    let url = args.store.url()?;
    let store = match (&url, &manifest.store) {
        (StoreUrl::File(path), Some(_)) => Some(path.clone()),
        (StoreUrl::Postgres(_), None) => None,
        (StoreUrl::File(_), None) => bail!(
            "{} has no store, because that of its server is in Postgres: restore the dump, and name the database with \
             --database-url",
            args.backup.display()
        ),
        (StoreUrl::Postgres(_), Some(_)) => bail!(
            "{} has an embedded store, and --database-url names Postgres: leave --database-url out, then bring the \
             store there with `fieldvitals store copy`",
            args.backup.display()
        ),
    };
    let data_dir = args.store.data_dir.clone();
    // Held to the end, so that no server starts on the folder.
    let _lock = spool::lock_idle(&data_dir.join(SPOOL))?;
    let marker = data_dir.join(RESTORING);
    let target = Target { data_dir, store };
    if !marker.exists() {
        target.refuse_files()?;
    }
    private::create_file(&marker)
        .and_then(|file| file.sync_all())
        .with_context(|| format!("{} cannot be written", marker.display()))?;
    let moves = {
        let (backup, manifest) = (args.backup.clone(), manifest.clone());
        let target = target.clone();
        tokio::task::spawn_blocking(move || target.copy(&backup, &manifest)).await??
    };
    if manifest.spool.is_some() {
        let url = match &target.store {
            Some(path) => StoreUrl::File(with_suffix(path, SUFFIX)),
            None => url,
        };
        let store = url.open().await?;
        let spool = with_suffix(&target.data_dir.join(SPOOL), SUFFIX);
        let adopted = spool::backup::adopt(&spool, store.as_ref()).await;
        close_store(store.as_ref()).await;
        adopted?;
    }
    for (from, to) in &moves {
        for log in ["-wal", "-journal"] {
            ensure!(
                !with_suffix(from, log).exists(),
                "{} was not closed; run the same command again",
                from.display()
            );
        }
        fs::rename(from, to).with_context(|| format!("{} cannot be renamed", from.display()))?;
    }
    target.sync()?;
    fs::remove_file(&marker).with_context(|| format!("{} cannot be removed", marker.display()))?;
    target.sync()?;
    if args.json {
        print_json(&json!({"folder": target.data_dir, "backup": manifest}));
    } else {
        print(&format!("{}\n", summary(&manifest, &target.data_dir)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a backup is put.
#[derive(Clone)]
struct Target {
    data_dir: PathBuf,
    /// The file of the store; `None` for Postgres.
    store: Option<PathBuf>,
}

impl Target {
    /// Refuses a place with files that a restore would replace, or whose log would damage what it writes.
    fn refuse_files(&self) -> anyhow::Result<()> {
        let spool = self.data_dir.join(SPOOL);
        let databases = self.store.iter().chain([&spool]);
        let files = databases.flat_map(|path| BESIDE.map(|suffix| with_suffix(path, suffix)));
        for file in files.chain([self.data_dir.join(THRESHOLDS)]) {
            ensure!(
                !file.exists(),
                "{} exists already; restore into a new folder (--data-dir), or move this one away",
                file.display()
            );
        }
        Ok(())
    }

    /// Copies the files under other names, and checks them. Returns each with its name.
    fn copy(&self, backup: &Path, manifest: &Manifest) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
        let mut progress = Progress::new();
        let mut moves = Vec::new();
        let mut take = |name: &str, to: PathBuf, file: &StoredFile| -> anyhow::Result<PathBuf> {
            let (from, part) = (backup.join(name), with_suffix(&to, SUFFIX));
            remove_rest(&part)?;
            let copied = manifest::copy(&from, &part)?;
            ensure!(
                copied == *file,
                "{} is damaged: it is not the file that backup.json describes; take another backup",
                from.display()
            );
            moves.push((part.clone(), to));
            Ok(part)
        };
        if let Some(spool) = &manifest.spool {
            progress.say(|| "copying the spool".to_owned());
            let part = take(SPOOL, self.data_dir.join(SPOOL), &spool.file)?;
            check_file(&part)?;
            let beacons = spool::backup::count(&part)?;
            ensure!(
                beacons == spool.beacons,
                "the copied spool has {beacons} beacons, not {}",
                spool.beacons
            );
        }
        if let (Some(store), Some(to)) = (&manifest.store, &self.store) {
            progress.say(|| "copying the store".to_owned());
            if let Some(folder) = to.parent() {
                private::create_folder(folder)
                    .with_context(|| format!("{} cannot be created", folder.display()))?;
            }
            let part = take(EMBEDDED_STORE, to.clone(), &store.file)?;
            progress.say(|| "checking the store".to_owned());
            check_file(&part)?;
            let counts = count_file(&part)?;
            ensure!(
                (counts.sites, counts.page_views) == (store.sites, store.page_views),
                "the copied store has {} sites and {} page views, not {} and {}",
                counts.sites,
                counts.page_views,
                store.sites,
                store.page_views
            );
        }
        if let Some(file) = &manifest.thresholds {
            take(THRESHOLDS, self.data_dir.join(THRESHOLDS), file)?;
        }
        Ok(moves)
    }

    /// Makes new names durable.
    fn sync(&self) -> anyhow::Result<()> {
        let elsewhere = self.store.as_ref().and_then(|store| store.parent());
        for folder in [self.data_dir.as_path()].into_iter().chain(elsewhere) {
            sync_folder(folder).with_context(|| format!("{} cannot be synced", folder.display()))?;
        }
        Ok(())
    }
}

/// Removes what an interrupted restore has left of a file. SQLite would apply its log to the new copy.
fn remove_rest(part: &Path) -> anyhow::Result<()> {
    for rest in BESIDE.map(|suffix| with_suffix(part, suffix)) {
        if let Err(error) = fs::remove_file(&rest)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("{} cannot be removed", rest.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Source, make};
    use super::*;
    use fieldvitals_store::{NewSite, Sites as _};
    use fieldvitals_store_sqlite::SqliteStore;

    /// Makes a store with one site. It is open, so its log is beside it.
    async fn store_of(path: &Path, site: &str) -> SqliteStore {
        let store = SqliteStore::open(path).await.unwrap();
        let site =
            NewSite { name: site.to_owned(), key: site.to_owned(), origins: Vec::new(), created_ms: 0 };
        store.site_add(site).await.unwrap();
        store
    }

    #[tokio::test]
    async fn log_that_an_interrupted_restore_left_is_not_applied_to_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let [data_dir, new_dir] = ["data", "new"].map(|name| folder.path().join(name));
        for folder in [&data_dir, &new_dir] {
            private::create_folder(folder).unwrap();
        }
        let store = data_dir.join(EMBEDDED_STORE);
        store_of(&store, "ours").await.close().await;
        let backup = folder.path().join("backup");
        let manifest = make(&Source { store: Some(store), data_dir }, &backup).unwrap();

        let other = folder.path().join("other.db");
        let other_store = store_of(&other, "other").await;
        let target = Target { store: Some(new_dir.join(EMBEDDED_STORE)), data_dir: new_dir };
        let part = with_suffix(target.store.as_ref().unwrap(), SUFFIX);
        let log = with_suffix(&part, "-wal");
        assert!(fs::copy(with_suffix(&other, "-wal"), &log).unwrap() > 0, "the other store has a log");
        other_store.close().await;

        let moves = target.copy(&backup, &manifest).unwrap();
        assert_eq!(moves, [(part.clone(), target.store.unwrap())]);
        assert!(!log.exists());
        assert_eq!(StoredFile::of(&part).unwrap(), manifest.store.unwrap().file);
    }

    #[test]
    fn folder_with_limits_of_health_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target { data_dir: folder.path().to_owned(), store: None };
        assert!(target.refuse_files().is_ok());
        fs::write(folder.path().join(THRESHOLDS), "").unwrap();
        let message = target.refuse_files().unwrap_err().to_string();
        assert!(message.contains("thresholds.toml exists already"), "{message}");
    }
}
