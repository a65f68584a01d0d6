//! Examines a spool for `fieldvitals doctor`, beside a running server or without one. Changes nothing.

use super::{SpoolError, file, payload};
use std::path::Path;

/// What a spool holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Whether a server runs on it.
    pub in_use: bool,
    /// Beacons in it: not loaded yet, or not removed after loading.
    pub beacons: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// When the oldest of them was received, in UTC milliseconds.
    pub oldest_ms: Option<i64>,
}

/// Examines a spool; `None` without a file.
///
/// # Errors
/// The file cannot be read, is damaged, or is of another release. The error says what to do.
pub fn examine(path: &Path) -> Result<Option<Examined>, SpoolError> {
    if !path.exists() {
        return Ok(None);
    }
    let failed = |error| file::open_error(path, &error);
    let in_use = file::is_in_use(path);
    let connection = file::look(path).map_err(failed)?;
    let tables = file::tables(&connection).map_err(failed)?;
    if tables == 0 {
        // A server was killed before it created the tables.
        return Ok(Some(Examined { in_use, beacons: 0, bytes: 0, oldest_ms: None }));
    }
    let (beacons, bytes) = file::measure(&connection).map_err(failed)?;
    if tables != file::TABLES {
        let path = path.to_owned();
        return Err(SpoolError::OtherVersion { path, found: tables, known: file::TABLES, beacons });
    }
    if let Some(reason) = file::damage(&connection).map_err(failed)? {
        return Err(SpoolError::Damaged { path: path.to_owned(), reason });
    }
    let first = file::read(&connection, 0, 1, 0).map_err(failed)?;
    let oldest_ms = first.first().map(|row| payload::split(&row.payload)).transpose();
    let oldest_ms = oldest_ms.map_err(|reason| SpoolError::Damaged { path: path.to_owned(), reason })?;
    let times = oldest_ms.into_iter().flatten().flat_map(|beacon| beacon.updates);
    let oldest_ms = times.map(|update| update.received_ms).min();
    Ok(Some(Examined { in_use, beacons, bytes, oldest_ms }))
}
