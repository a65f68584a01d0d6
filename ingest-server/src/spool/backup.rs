//! Copies of a spool's file. A backup copies the spool first and the store after it, so that each beacon acknowledged
//! before is in one of both: a beacon that the loader removes from the file meanwhile is in the store's later copy.
//!
//! The store's copy then may have loaded positions that the spool's copy does not have. [`adopt`] tells the spool's copy
//! of them, which would otherwise be refused as older than its store.

use super::{SpoolError, file};
use fieldvitals_store::Store;
use rusqlite::{Connection, params};
use std::path::Path;

/// Counts the beacons of a copy that no server uses.
///
/// # Errors
/// If the file is no spool of this release, or cannot be read.
pub fn count(path: &Path) -> Result<u64, SpoolError> {
    read(path, |connection| Ok(file::measure(connection)?.0)).map(Option::unwrap_or_default)
}

/// Reads a copy; `None` without tables, because its server was killed before it created them.
fn read<T>(
    path: &Path,
    look: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
) -> Result<Option<T>, SpoolError> {
    let failed = |error| file::open_error(path, &error);
    let connection = file::connect(path, file::Access::Idle).map_err(failed)?;
    let found = match file::tables(&connection).map_err(failed)? {
        0 => None,
        file::TABLES => Some(look(&connection).map_err(failed)?),
        found => {
            let beacons = file::measure(&connection).map_or(0, |(beacons, _)| beacons);
            return Err(SpoolError::OtherVersion {
                path: path.to_owned(),
                found,
                known: file::TABLES,
                beacons,
            });
        }
    };
    connection.close().map_err(|(_, error)| failed(error))?;
    Ok(found)
}

/// Ends each epoch of a copy at the store's cursor, if the cursor is further. The beacons between were acknowledged after
/// the copy; those that the store has loaded are in the store.
///
/// # Errors
/// If the file cannot be written, or the store cannot be read.
pub async fn adopt(path: &Path, store: &dyn Store) -> Result<(), SpoolError> {
    let failed = |error| file::open_error(path, &error);
    let Some(epochs) = read(path, |connection| Ok(file::epochs(connection, path)))? else { return Ok(()) };
    let mut ends = Vec::new();
    for epoch in epochs? {
        ends.push((epoch.number, store.cursor_max(epoch.id).await?));
    }
    let mut connection = file::connect(path, file::Access::Write).map_err(failed)?;
    let transaction = connection.transaction().map_err(failed)?;
    for (number, loaded) in ends {
        transaction
            .execute(
                "/* epoch.adopt */ update epoch set last = max(last, ?1) where epoch = ?2",
                params![loaded as i64, number],
            )
            .map_err(failed)?;
    }
    transaction.commit().map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))
}
