//! Copies SQLite files that servers use meanwhile, and checks copies. The spool's file is copied by the same code.

use fieldvitals_store::{StoreError, private};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Pages copied between two looks at a lock of others: all of them. A copy in steps would begin again at each commit of
/// another process; in one step it reads one snapshot, and no writer waits for it.
const STEP_PAGES: i32 = i32::MAX;
/// Pause before the next try, if another process holds the file alone: a server that starts or ends.
const RETRY: Duration = Duration::from_millis(100);
/// How long a statement waits for such a process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a copy of a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupCounts {
    /// Sites.
    pub sites: u64,
    /// Page views within their retention.
    pub page_views: u64,
}

/// Copies a file, as of one moment after the call, into a new file that only its owner may read. Syncs the copy to disk.
/// Takes as long as the disk, so call it on a thread that may block.
///
/// # Errors
/// If either file cannot be opened, read or written.
pub fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| {
        refused("copying", from, &format!("{error} (from {} to {})", from.display(), to.display()))
    };
    let source = open(from).map_err(failed)?;
    let unwritable = |error: std::io::Error| refused("writing", to, &error.to_string());
    private::create_file(to).map_err(unwritable)?;
    let mut target = open(to).map_err(failed)?;
    Backup::new(&source, &mut target)
        .and_then(|backup| backup.run_to_completion(STEP_PAGES, RETRY, None))
        .map_err(failed)?;
    target.close().map_err(|(_, error)| failed(error))?;
    // Fails only if the file was closed badly; its content is not in question, because nothing was written to it.
    let _ = source.close();
    std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(unwritable)
}

/// Checks that a file is whole: every page, row and index entry.
///
/// # Errors
/// If the file cannot be opened, or is damaged.
pub fn check_file(path: &Path) -> Result<(), StoreError> {
    let found: String = query(path, "pragma integrity_check(1)")?;
    if found == "ok" { Ok(()) } else { Err(refused("checking", path, &found)) }
}

/// Counts what a copy of a store holds.
///
/// # Errors
/// If the file cannot be read, or is no store.
pub fn count_file(path: &Path) -> Result<BackupCounts, StoreError> {
    let count = |statement| query::<i64>(path, statement).map(i64::unsigned_abs);
    Ok(BackupCounts {
        sites: count("/* backup.sites */ select count(*) from site")?,
        page_views: count("/* backup.views */ select count(*) from page_view")?,
    })
}

fn query<T: rusqlite::types::FromSql>(path: &Path, statement: &'static str) -> Result<T, StoreError> {
    let failed = |error: rusqlite::Error| refused("reading", path, &error.to_string());
    let connection = open(path).map_err(failed)?;
    let found = connection.query_row(statement, [], |row| row.get(0)).map_err(failed)?;
    // Closing removes the log beside the file.
    connection.close().map_err(|(_, error)| failed(error))?;
    Ok(found)
}

/// Opens an existing file. Not read-only, because the log of a killed server may need recovery.
fn open(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn refused(what: &'static str, path: &Path, reason: &str) -> StoreError {
    StoreError::Database { what, reason: format!("{}: {reason}", path.display()), transient: false }
}
