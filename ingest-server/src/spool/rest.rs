//! A spool that no server uses.

use super::{SpoolError, file};
use fieldvitals_store::SpoolId;
use std::fs::File;
use std::path::Path;

/// A spool that no server uses, and that none can for as long as this is held.
#[derive(Debug)]
pub struct Rest {
    _lock: File,
    /// Beacons in it that were not loaded yet, or not removed since.
    pub beacons: u64,
    /// The last stretch that a server began in it: another one where a server ran meanwhile. `None` where
    /// there is no file.
    pub last: Option<SpoolId>,
}

/// Keeps servers away from a spool, and says what is in it. Nothing in it is changed, and a file that is
/// missing stays so.
///
/// # Errors
/// [`SpoolError::InUse`] where a server runs on it; else with what is wrong with the file, and what to do.
pub fn rest(path: &Path) -> Result<Rest, SpoolError> {
    let lock = file::lock(path)?;
    if !path.exists() {
        return Ok(Rest { _lock: lock, beacons: 0, last: None });
    }
    let failed = |error| file::open_error(path, &error);
    // Not for reading alone: the log that a killed server left may have to be recovered.
    let connection = file::connect(path, file::Access::Rest).map_err(failed)?;
    let tables = file::tables(&connection).map_err(failed)?;
    if tables == 0 {
        // A server that was killed before it made the tables.
        return Ok(Rest { _lock: lock, beacons: 0, last: None });
    }
    let (beacons, _) = file::measure(&connection).map_err(failed)?;
    if tables != file::TABLES {
        let path = path.to_owned();
        return Err(SpoolError::OtherVersion { path, found: tables, known: file::TABLES, beacons });
    }
    let last = file::epochs(&connection, path)?.last().map(|epoch| epoch.id);
    connection.close().map_err(|(_, error)| failed(error))?;
    Ok(Rest { _lock: lock, beacons, last })
}
