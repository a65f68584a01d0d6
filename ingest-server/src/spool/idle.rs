//! Locks a spool that no server uses, and counts its beacons.

use super::{SpoolError, file};
use fieldvitals_store::SpoolId;
use std::fs::File;
use std::path::Path;

/// A locked spool. No server can use the spool while this value exists.
#[derive(Debug)]
pub struct IdleSpool {
    _lock: File,
    /// Beacons in the file: not loaded yet, or not removed after loading.
    pub beacons: u64,
    /// The id of the last epoch. It differs after a server ran on the spool. `None` without a file.
    pub last: Option<SpoolId>,
}

/// Locks a spool against servers and counts its beacons. Does not change the spool's contents, and does not create a
/// missing file.
///
/// # Errors
/// [`SpoolError::InUse`] if a server runs on the spool; else an error that names the fault of the file and its remedy.
pub fn lock_idle(path: &Path) -> Result<IdleSpool, SpoolError> {
    let lock = file::lock(path)?;
    if !path.exists() {
        return Ok(IdleSpool { _lock: lock, beacons: 0, last: None });
    }
    let failed = |error| file::open_error(path, &error);
    // Not read-only, because the log of a killed server may need recovery.
    let connection = file::connect(path, file::Access::Idle).map_err(failed)?;
    let tables = file::tables(&connection).map_err(failed)?;
    if tables == 0 {
        // A server was killed before it created the tables.
        return Ok(IdleSpool { _lock: lock, beacons: 0, last: None });
    }
    let (beacons, _) = file::measure(&connection).map_err(failed)?;
    if tables != file::TABLES {
        let path = path.to_owned();
        return Err(SpoolError::OtherVersion { path, found: tables, known: file::TABLES, beacons });
    }
    let last = file::epochs(&connection, path)?.last().map(|epoch| epoch.id);
    connection.close().map_err(|(_, error)| failed(error))?;
    Ok(IdleSpool { _lock: lock, beacons, last })
}
