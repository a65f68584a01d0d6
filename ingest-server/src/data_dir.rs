//! The data folder: its rights, and the file of the first token.

use crate::backups::LAST_BACKUP;
use crate::{EMBEDDED_STORE, SPOOL, ServeError, StoreUrl, health};
use fieldvitals_store::private::{self, Loose};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The file of the first start's token in the data folder.
pub(crate) const ADMIN_TOKEN: &str = "admin-token";

/// The file whose lock says that a server runs on the spool.
const SPOOL_LOCK: &str = "spool.db.lock";

/// The file that marks a folder whose restore has not ended.
pub const RESTORING: &str = "restore.part";

/// Refuses a folder whose restore has not ended: a start would begin with half of it.
pub(crate) fn whole(data_dir: &Path) -> Result<(), ServeError> {
    if data_dir.join(RESTORING).exists() {
        return Err(ServeError::Restoring { path: data_dir.to_owned() });
    }
    Ok(())
}

/// The files of the folder besides those of the server's health.
const OURS: [&str; 5] = [EMBEDDED_STORE, SPOOL, SPOOL_LOCK, ADMIN_TOKEN, LAST_BACKUP];

/// Makes the folder, for its owner alone, where it is missing.
pub(crate) fn create(data_dir: &Path) -> Result<(), ServeError> {
    private::create_folder(data_dir)
        .map_err(|reason| ServeError::DataDir { path: data_dir.to_owned(), reason })
}

/// Takes the rights on the folder, its files and a store's file elsewhere from all but their owner, and logs on which
/// others had any. Called once these files are known to be ours.
pub(crate) fn tighten(data_dir: &Path, database_url: Option<&str>) {
    let ours = ours();
    let files = files(data_dir, database_url);
    let mut loose = private::tighten_files(files.iter().map(PathBuf::as_path));
    loose.extend(private::tighten_folder(data_dir, &ours));
    let names = |loose: &[Loose]| {
        let names: Vec<String> = loose.iter().map(|loose| loose.path.display().to_string()).collect();
        names.join(", ")
    };
    let (failed, done): (Vec<Loose>, Vec<Loose>) = loose.into_iter().partition(|loose| loose.error.is_some());
    if !done.is_empty() {
        tracing::warn!(
            paths = names(&done),
            "other users of this machine could read the data; their rights are removed"
        );
    }
    if let Some(error) = failed.first().and_then(|failed| failed.error.as_ref()) {
        tracing::warn!(
            paths = names(&failed),
            %error,
            "other users of this machine may read the data; remove their rights with chmod"
        );
    }
}

fn ours() -> Vec<&'static str> {
    OURS.into_iter().chain(health::FILES).collect()
}

/// The files of the folder, and a store's file elsewhere.
fn files(data_dir: &Path, database_url: Option<&str>) -> Vec<PathBuf> {
    let elsewhere = match database_url.and_then(StoreUrl::parse) {
        Some(Ok(StoreUrl::File(path))) => Some(path),
        _ => None,
    };
    ours().into_iter().map(|name| data_dir.join(name)).chain(elsewhere).collect()
}

/// Returns the folder and the files that others than their owner may access. Changes nothing.
pub(crate) fn loose(data_dir: &Path, database_url: Option<&str>) -> Vec<PathBuf> {
    let folder = private::is_loose(data_dir).then(|| data_dir.to_owned());
    let files = files(data_dir, database_url);
    folder.into_iter().chain(private::loose_files(files.iter().map(PathBuf::as_path))).collect()
}

/// Identifies the server of a data folder among those that share tasks, so that a restart goes on with the tasks of the
/// process before. Random where the system does not tell which machine it is.
pub(crate) fn holder(data_dir: &Path) -> Result<[u8; 16], getrandom::Error> {
    let machine: Vec<u8> = ["/etc/machine-id", "/etc/hostname"]
        .iter()
        .filter_map(|file| std::fs::read(file).ok())
        .flatten()
        .collect();
    let mut holder = [0; 16];
    match data_dir.canonicalize() {
        Ok(path) if !machine.is_empty() => {
            let hash = Sha256::new()
                .chain_update(machine)
                .chain_update(path.as_os_str().as_encoded_bytes())
                .finalize();
            holder.copy_from_slice(&hash[..16]);
        }
        _ => getrandom::fill(&mut holder)?,
    }
    Ok(holder)
}

/// Writes the first token to its file, which it replaces.
pub(crate) fn write_token(data_dir: &Path, secret: &str) -> Result<PathBuf, ServeError> {
    let path = data_dir.join(ADMIN_TOKEN);
    let write = || {
        // Not over one that is there: its rights would stay, and it may be a link.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private::create_file(&path)?;
        writeln!(file, "{secret}")?;
        file.sync_all()
    };
    write().map_err(|reason| ServeError::AdminToken { path: path.clone(), reason })?;
    Ok(path)
}
