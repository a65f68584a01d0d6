//! The spool's file: its tables, and the SQL statements on them.
//!
//! `epoch` has one row for the current start of the server and one for each earlier start with unloaded rows.
//! `spool_row` has one row per group commit. Positions ascend across all epochs. The last written position of an epoch
//! is the higher of its last row and `epoch.last`. Only a commit that removes rows updates `epoch.last`, so an append
//! writes one page less.

use super::{SpoolError, payload};
use fieldvitals_store::SpoolId;
use fieldvitals_store::private::{self, with_suffix};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

/// Version of the tables, stored as SQLite's `user_version`.
pub(super) const TABLES: i64 = 2;
/// Approximate overhead of a row on disk, in bytes.
const ROW_BYTES: u64 = 64;
/// Free pages above which [`shrink`] returns the space of an empty file to the disk: 64 MiB.
const FREE_PAGES: i64 = 16_384;
/// A file with at most this many bytes of rows counts as empty.
pub(crate) const EMPTY_BYTES_MAX: u64 = 1024 * 1024;
/// Pages of write-ahead log at which the writer itself checkpoints, if [`checkpoint`] does not keep up: 32 MiB.
const LOG_PAGES: u32 = 8_192;
/// Bytes that the writer appends between two [`checkpoint`]s.
pub(crate) const CHECKPOINT_BYTES: usize = 4 * 1024 * 1024;

const SCHEMA: &str = "
create table epoch (
    epoch integer primary key,
    id blob not null unique,
    last integer not null
) strict;
create table spool_row (
    position integer primary key,
    epoch integer not null,
    beacons integer not null,
    payload blob not null
) strict;
pragma user_version = 2;
";

/// An open spool file, locked by this process.
pub(crate) struct OpenSpool {
    /// Held while the file is open.
    pub(crate) lock: File,
    pub(crate) writer: Connection,
    pub(crate) reader: Connection,
    pub(crate) checkpointer: Connection,
    /// All epochs, oldest first; the last one is new.
    pub(crate) epochs: Vec<Epoch>,
    /// Backlog of the file, in beacons.
    pub(crate) beacons: u64,
    /// Bytes of all rows.
    pub(crate) bytes: u64,
}

/// An epoch: the rows that one start of a server wrote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    pub(crate) number: i64,
    pub(crate) id: SpoolId,
    /// The last position ever written in this epoch or before it.
    pub(crate) last: u64,
}

/// One row: a group commit.
pub(crate) struct SpoolRow {
    pub(crate) position: u64,
    /// The number of its epoch.
    pub(crate) epoch: i64,
    pub(crate) payload: Vec<u8>,
}

/// Returns the approximate bytes on disk of a row with this payload.
pub(crate) const fn row_bytes(payload: usize) -> u64 {
    (payload as u64).saturating_add(ROW_BYTES)
}

pub(crate) fn open(path: &Path) -> Result<OpenSpool, SpoolError> {
    let lock = lock(path)?;
    let failed = |error| open_error(path, &error);
    // SQLite reports the error when it opens the file.
    let _ = private::create_file(path);
    let mut writer = connect(path, Access::Write).map_err(failed)?;
    check(&mut writer, path)?;
    let (beacons, bytes) = measure(&writer).map_err(failed)?;
    begin_epoch(&writer, path)?;
    let epochs = epochs(&writer, path)?;
    let reader = connect(path, Access::Read).map_err(failed)?;
    let checkpointer = connect(path, Access::Checkpoint).map_err(failed)?;
    Ok(OpenSpool { lock, writer, reader, checkpointer, epochs, beacons, bytes })
}

/// Purpose of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
    Checkpoint,
    /// Inspects the file of a stopped server. Sets no pragmas and does not create the file.
    Idle,
}

pub(super) fn connect(path: &Path, access: Access) -> Result<Connection, rusqlite::Error> {
    let access_flags = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Access::Checkpoint | Access::Idle => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let connection = Connection::open_with_flags(path, access_flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    if access == Access::Write {
        connection.query_row("pragma journal_mode = wal", [], |_| Ok(()))?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        // The temporary data of `shrink` is small, and a full disk may have no space for temporary files.
        connection.pragma_update(None, "temp_store", "memory")?;
    }
    if matches!(access, Access::Write | Access::Checkpoint) {
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "journal_size_limit", 67_108_864)?;
    }
    Ok(connection)
}

/// Opens the file to read it beside a running server, or none. Creates no file: without a log nobody has the file open, and
/// SQLite needs none.
pub(super) fn look(path: &Path) -> Result<Connection, rusqlite::Error> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let is_open = with_suffix(path, "-wal").exists();
    match url::Url::from_file_path(&whole) {
        Ok(mut url) if !is_open => {
            url.set_query(Some("immutable=1"));
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(url.as_str(), flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        }
        _ => connect(path, Access::Read),
    }
}

/// Whether a server runs on the spool. Holds the lock for a moment, and creates no file.
pub(super) fn is_in_use(path: &Path) -> bool {
    let lock = File::open(with_suffix(path, ".lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Checks the structure of the file. Returns the damage.
pub(super) fn damage(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    let found: String = connection.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}

/// Takes the lock that keeps a second server off the spool. The system releases the lock when the process ends, even
/// after a crash.
pub(super) fn lock(path: &Path) -> Result<File, SpoolError> {
    let lock_path = with_suffix(path, ".lock");
    let open = || {
        if let Some(directory) = path.parent() {
            private::create_folder(directory)?;
        }
        private::create_file(&lock_path)
    };
    let refused = |reason: std::io::Error| SpoolError::Open {
        path: lock_path.clone(),
        reason: format!("{reason}; check who may write to its directory"),
    };
    let lock = open().map_err(refused)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(SpoolError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(reason)) => Err(refused(reason)),
    }
}

/// Maps a SQLite error to an error of opening.
pub(crate) fn open_error(path: &Path, error: &rusqlite::Error) -> SpoolError {
    let path = path.to_owned();
    match code(error) {
        // SQLITE_CORRUPT and SQLITE_NOTADB.
        Some(11 | 26) => SpoolError::Damaged { path, reason: error.to_string() },
        Some(13) => SpoolError::Open { path, reason: format!("{error}; free some disk space") },
        Some(8 | 14) => SpoolError::Open {
            path,
            reason: "it or its folder is read-only here; let the server's user write to both".to_owned(),
        },
        _ => SpoolError::Open { path, reason: error.to_string() },
    }
}

/// SQLite's primary result code (<https://www.sqlite.org/rescode.html>).
pub(crate) fn code(error: &rusqlite::Error) -> Option<u32> {
    Some(extended_code(error)? & 0xff)
}

/// SQLite's extended result code.
pub(crate) fn extended_code(error: &rusqlite::Error) -> Option<u32> {
    u32::try_from(error.sqlite_error()?.extended_code).ok()
}

/// Creates the tables of a new file, or checks the version and integrity of existing tables. Also checks that SQLite
/// syncs commits.
fn check(writer: &mut Connection, path: &Path) -> Result<(), SpoolError> {
    let failed = |error| open_error(path, &error);
    let mode: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(failed)?;
    let synchronous: i64 =
        writer.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(failed)?;
    if (mode.as_str(), synchronous) != ("wal", 2) {
        return Err(SpoolError::Open {
            path: path.to_owned(),
            reason: format!(
                "SQLite runs it with journal_mode={mode} and synchronous={synchronous}, where an acknowledged \
                 beacon would not be durable; put it on a local disk"
            ),
        });
    }
    let tables = tables(writer).map_err(failed)?;
    let objects: i64 = writer
        .query_row("/* spool.objects */ select count(*) from sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    if objects == 0 {
        let transaction = writer.transaction().map_err(failed)?;
        transaction.execute_batch(SCHEMA).map_err(failed)?;
        return transaction.commit().map_err(failed);
    }
    if tables != TABLES {
        return Err(SpoolError::OtherVersion {
            path: path.to_owned(),
            found: tables,
            known: TABLES,
            beacons: measure(writer).map_or(0, |(beacons, _)| beacons),
        });
    }
    if let Some(reason) = damage(writer).map_err(failed)? {
        return Err(SpoolError::Damaged { path: path.to_owned(), reason });
    }
    let other: Option<(Option<Vec<u8>>, Option<i64>)> = writer
        .query_row(
            "/* spool.formats */ select substr(payload, 1, 1), sum(beacons) from spool_row \
             where substr(payload, 1, 1) not in (?1, ?2)",
            [[payload::WITHOUT_CONDITIONS].as_slice(), [payload::FORMAT].as_slice()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(failed)?;
    match other {
        Some((Some(format), Some(beacons))) => Err(SpoolError::OtherVersion {
            path: path.to_owned(),
            found: format.first().map_or(0, |&byte| i64::from(byte)),
            known: i64::from(payload::FORMAT),
            beacons: beacons.unsigned_abs(),
        }),
        _ => Ok(()),
    }
}

/// Returns the version of the tables in a file; 0 without tables.
pub(super) fn tables(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Returns the number of beacons in the file, and the bytes of their rows on disk.
pub(super) fn measure(connection: &Connection) -> Result<(u64, u64), rusqlite::Error> {
    let (rows, beacons, bytes): (i64, i64, i64) = connection.query_row(
        "/* spool.measure */ select count(*), coalesce(sum(beacons), 0), coalesce(sum(length(payload)), 0) \
         from spool_row",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    Ok((beacons.unsigned_abs(), bytes.unsigned_abs() + rows.unsigned_abs() * ROW_BYTES))
}

fn begin_epoch(writer: &Connection, path: &Path) -> Result<(), SpoolError> {
    let mut id = [0_u8; 16];
    getrandom::fill(&mut id).map_err(|error| SpoolError::Open {
        path: path.to_owned(),
        reason: format!("the system gave no random numbers: {error}"),
    })?;
    let begin = || {
        let transaction = writer.unchecked_transaction()?;
        // Fixes the end of the newest epoch: it gets no more rows, and a later commit that removes its rows updates
        // only its own epoch's `last`. Earlier starts have ended the older epochs in the same way.
        transaction.execute(
            "/* epoch.end */ update epoch set last = max(last, coalesce((select max(position) from spool_row), 0)) \
             where epoch = (select max(epoch) from epoch)",
            [],
        )?;
        transaction.execute(
            "/* epoch.begin */ insert into epoch (epoch, id, last) \
             select coalesce(max(epoch), 0) + 1, ?, coalesce(max(last), 0) from epoch",
            [id.as_slice()],
        )?;
        transaction.commit()
    };
    begin().map_err(|error| open_error(path, &error))
}

pub(super) fn epochs(connection: &Connection, path: &Path) -> Result<Vec<Epoch>, SpoolError> {
    let read = || -> Result<Vec<(i64, Vec<u8>, i64)>, rusqlite::Error> {
        connection
            .prepare("/* epoch.read */ select epoch, id, last from epoch order by epoch")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
    };
    read()
        .map_err(|error| open_error(path, &error))?
        .into_iter()
        .map(|(number, id, last)| {
            let id = <[u8; 16]>::try_from(id).map_err(|_| SpoolError::Damaged {
                path: path.to_owned(),
                reason: format!("epoch {number} has no proper id"),
            })?;
            Ok(Epoch { number, id: SpoolId(id), last: last.unsigned_abs() })
        })
        .collect()
}

/// Writes a group commit and waits for the disk.
pub(crate) fn append(
    writer: &Connection,
    epoch: i64,
    position: u64,
    beacons: usize,
    payload: &[u8],
) -> Result<(), rusqlite::Error> {
    // A single statement is its own transaction.
    writer
        .prepare_cached(
            "/* spool.append */ insert into spool_row (position, epoch, beacons, payload) values (?, ?, ?, ?)",
        )?
        .execute(params![position as i64, epoch, beacons as i64, payload])?;
    Ok(())
}

/// Returns the next rows of one epoch after a position, in order: at least one if any exists, then more while they have
/// ≤ `beacons_max` beacons and all payloads together are ≤ `bytes_max`.
pub(crate) fn read(
    reader: &Connection,
    after: u64,
    beacons_max: usize,
    bytes_max: usize,
) -> Result<Vec<SpoolRow>, rusqlite::Error> {
    // Reads the lengths first, which SQLite stores before the payloads, so that it does not read rows that do not fit.
    let mut statement = reader.prepare_cached(
        "/* spool.lengths */ select position, epoch, beacons, length(payload) from spool_row \
         where position > ?1 order by position limit ?2",
    )?;
    let mut rows = statement.query(params![after as i64, beacons_max.max(1) as i64])?;
    let (mut beacons, mut bytes) = (0_u64, 0_u64);
    let mut first_and_last: Option<(i64, i64)> = None;
    while let Some(row) = rows.next()? {
        let (position, epoch): (i64, i64) = (row.get(0)?, row.get(1)?);
        beacons = beacons.saturating_add(row.get::<_, i64>(2)?.unsigned_abs());
        bytes = bytes.saturating_add(row.get::<_, i64>(3)?.unsigned_abs());
        let is_fitting = beacons <= beacons_max as u64 && bytes <= bytes_max as u64;
        if first_and_last.is_some_and(|(first, _)| epoch != first || !is_fitting) {
            break;
        }
        first_and_last = Some((epoch, position));
    }
    let Some((_, last)) = first_and_last else { return Ok(Vec::new()) };
    reader
        .prepare_cached(
            "/* spool.read */ select position, epoch, payload from spool_row \
             where position > ?1 and position <= ?2 order by position",
        )?
        .query_map(params![after as i64, last], |row| {
            let position = row.get::<_, i64>(0)?.unsigned_abs();
            Ok(SpoolRow { position, epoch: row.get(1)?, payload: row.get(2)? })
        })?
        .collect()
}

/// Removes ranges of rows (exclusive start, inclusive end) and rewrites partly loaded rows (position, number of
/// beacons, payload). Uses one transaction, because each commit is a sync. `last` is the last written position of the
/// current epoch.
pub(crate) fn remove_loaded(
    writer: &Connection,
    (epoch, last): (i64, u64),
    removed: &[(u64, u64)],
    rewritten: &[(u64, usize, Vec<u8>)],
) -> Result<(), rusqlite::Error> {
    let transaction = writer.unchecked_transaction()?;
    transaction
        .prepare_cached("/* epoch.last */ update epoch set last = ?1 where epoch = ?2 and last < ?1")?
        .execute([last as i64, epoch])?;
    for &(after, up_to) in removed {
        transaction
            .prepare_cached("/* spool.remove */ delete from spool_row where position > ? and position <= ?")?
            .execute([after as i64, up_to as i64])?;
    }
    for (position, beacons, payload) in rewritten {
        transaction
            .prepare_cached(
                "/* spool.rewrite */ update spool_row set beacons = ?, payload = ? where position = ?",
            )?
            .execute(params![*beacons as i64, payload, *position as i64])?;
    }
    transaction.commit()
}

/// Commits a change without effect, and waits for the disk.
pub(crate) fn try_commit(writer: &Connection, epoch: i64) -> Result<(), rusqlite::Error> {
    let transaction = writer.unchecked_transaction()?;
    // Changes the value and changes it back, because SQLite does not write an unchanged page.
    for change in [1, -1] {
        transaction
            .prepare_cached("/* epoch.touch */ update epoch set last = last + ? where epoch = ?")?
            .execute([change, epoch])?;
    }
    transaction.commit()
}

/// Removes the row of a loaded epoch.
pub(crate) fn forget(writer: &Connection, epoch: i64) -> Result<(), rusqlite::Error> {
    writer.execute("/* epoch.forget */ delete from epoch where epoch = ?", [epoch])?;
    Ok(())
}

/// Vacuums the file if it has much free space, such as after a long store outage; the next [`checkpoint`] truncates
/// the file. Vacuuming rewrites the remaining rows, so call it only on an almost empty file. Returns whether it
/// vacuumed.
pub(crate) fn shrink(writer: &Connection) -> Result<bool, rusqlite::Error> {
    let free: i64 = writer.prepare_cached("pragma freelist_count")?.query_row([], |row| row.get(0))?;
    if free > FREE_PAGES {
        writer.execute_batch("vacuum")?;
    }
    Ok(free > FREE_PAGES)
}

/// Copies the write-ahead log into the file without blocking the writer.
pub(crate) fn checkpoint(connection: &Connection) -> Result<(), rusqlite::Error> {
    run(connection, "pragma wal_checkpoint(passive)")
}

/// Copies the whole write-ahead log into the file and truncates the log.
pub(crate) fn empty_log(connection: &Connection) -> Result<(), rusqlite::Error> {
    run(connection, "pragma wal_checkpoint(truncate)")
}

/// Runs a statement to its end and ignores its rows.
fn run(connection: &Connection, statement: &'static str) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(statement)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_changes_nothing_is_written_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let opened = open(&directory.path().join("spool.db")).unwrap();
        let version = || -> i64 {
            // `data_version` changes with commits of other connections.
            opened.reader.query_row("pragma data_version", [], |row| row.get(0)).unwrap()
        };
        let last =
            || -> i64 { opened.reader.query_row("select last from epoch", [], |row| row.get(0)).unwrap() };
        let before = (version(), last());
        try_commit(&opened.writer, 1).unwrap();
        assert_ne!(version(), before.0);
        assert_eq!(last(), before.1);
    }
}
