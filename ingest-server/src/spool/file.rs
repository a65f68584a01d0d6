//! The spool's file: its tables, and the statements on them.
//!
//! `epoch` has a row for each start of a server whose rows are not all loaded, and one for the current;
//! `last` is the last position that was ever written in it, kept by a trigger in the same commit.
//! `spool_row` has a row a group commit. Positions ascend through all epochs.

use super::{SpoolError, payload};
use fieldvitals_store::SpoolId;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of the tables, kept as SQLite's `user_version`.
pub(super) const TABLES: i64 = 1;
/// What a row takes on disk besides its payload, roughly, in bytes.
const ROW_BYTES: u64 = 64;
/// Pages of free space in the file beyond which some is given back to the disk: 16 MiB.
const FREE_PAGES: i64 = 4_096;
/// Pages of write-ahead log at which the writer itself empties it, should [`checkpoint`] not keep up:
/// 32 MiB.
const LOG_PAGES: &str = "8192";
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
create trigger spool_row_last after insert on spool_row begin
    update epoch set last = new.position where epoch = new.epoch;
end;
pragma user_version = 1;
";

/// A spool file that is ours.
pub(crate) struct Opened {
    /// Held as long as the file is used.
    pub(crate) lock: File,
    pub(crate) writer: SqliteConnection,
    pub(crate) reader: SqliteConnection,
    pub(crate) checkpointer: SqliteConnection,
    /// All epochs, oldest first; the last one is new.
    pub(crate) epochs: Vec<Epoch>,
    /// Beacons in the file.
    pub(crate) beacons: u64,
    /// Bytes of its rows.
    pub(crate) bytes: u64,
}

/// A stretch of spool: what one start of a server wrote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    pub(crate) number: i64,
    pub(crate) id: SpoolId,
    /// The last position that was ever written in it, or before it.
    pub(crate) last: u64,
}

/// A group commit as it is read.
pub(crate) struct SpoolRow {
    pub(crate) position: u64,
    pub(crate) payload: Vec<u8>,
}

/// What a row with this payload takes on disk.
pub(crate) const fn row_bytes(payload: usize) -> u64 {
    (payload as u64).saturating_add(ROW_BYTES)
}

pub(crate) async fn open(path: &Path) -> Result<Opened, SpoolError> {
    let lock = lock(path)?;
    let failed = |error| open_error(path, &error);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(Duration::from_secs(5))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", "67108864");
    // Before the first table is made, and by the writer alone: a reader may not set it.
    let mut writer = options
        .clone()
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .pragma("wal_autocheckpoint", LOG_PAGES)
        .connect()
        .await
        .map_err(failed)?;
    check(&mut writer, path).await?;
    let (beacons, bytes) = measure(&mut writer).await.map_err(failed)?;
    begin_epoch(&mut writer, path).await?;
    let epochs = epochs(&mut writer, path).await?;
    let reader = options.clone().read_only(true).connect().await.map_err(failed)?;
    let checkpointer = options.connect().await.map_err(failed)?;
    Ok(Opened { lock, writer, reader, checkpointer, epochs, beacons, bytes })
}

/// Takes the lock that tells a second server that the spool is in use. It goes with the process,
/// however that ends.
pub(super) fn lock(path: &Path) -> Result<File, SpoolError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let open = || {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        File::options().create(true).truncate(false).write(true).open(&lock_path)
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

/// The error of opening for one of SQLite.
pub(crate) fn open_error(path: &Path, error: &sqlx::Error) -> SpoolError {
    let path = path.to_owned();
    match code(error) {
        // SQLITE_CORRUPT and SQLITE_NOTADB.
        Some(11 | 26) => SpoolError::Damaged { path, reason: error.to_string() },
        Some(13) => SpoolError::Open { path, reason: format!("{error}; free some disk space") },
        Some(8 | 14) => SpoolError::Open {
            path,
            reason: format!("{error}; check who may write to the file and its directory"),
        },
        _ => SpoolError::Open { path, reason: error.to_string() },
    }
}

/// SQLite's primary result code (<https://www.sqlite.org/rescode.html>).
pub(crate) fn code(error: &sqlx::Error) -> Option<u32> {
    Some(extended_code(error)? & 0xff)
}

/// SQLite's extended result code.
pub(crate) fn extended_code(error: &sqlx::Error) -> Option<u32> {
    match error {
        sqlx::Error::Database(error) => error.code()?.parse().ok(),
        _ => None,
    }
}

/// Makes the tables of a new file; checks those of an old one, and that commits will be synced.
async fn check(writer: &mut SqliteConnection, path: &Path) -> Result<(), SpoolError> {
    let failed = |error| open_error(path, &error);
    let mode: String =
        sqlx::query_scalar("pragma journal_mode").fetch_one(&mut *writer).await.map_err(failed)?;
    let synchronous: i64 =
        sqlx::query_scalar("pragma synchronous").fetch_one(&mut *writer).await.map_err(failed)?;
    if (mode.as_str(), synchronous) != ("wal", 2) {
        return Err(SpoolError::Open {
            path: path.to_owned(),
            reason: format!(
                "SQLite runs it with journal_mode={mode} and synchronous={synchronous}, where an acknowledged \
                 beacon would not be durable; put it on a local disk"
            ),
        });
    }
    let tables: i64 =
        sqlx::query_scalar("pragma user_version").fetch_one(&mut *writer).await.map_err(failed)?;
    let objects: i64 = sqlx::query_scalar("/* spool.objects */ select count(*) from sqlite_schema")
        .fetch_one(&mut *writer)
        .await
        .map_err(failed)?;
    if objects == 0 {
        let mut transaction = writer.begin().await.map_err(failed)?;
        sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await.map_err(failed)?;
        return transaction.commit().await.map_err(failed);
    }
    if tables != TABLES {
        return Err(SpoolError::OtherVersion {
            path: path.to_owned(),
            found: tables,
            known: TABLES,
            beacons: measure(writer).await.map_or(0, |(beacons, _)| beacons),
        });
    }
    let found: String =
        sqlx::query_scalar("pragma quick_check(1)").fetch_one(&mut *writer).await.map_err(failed)?;
    if found != "ok" {
        return Err(SpoolError::Damaged { path: path.to_owned(), reason: found });
    }
    let other: Option<(Vec<u8>, i64)> = sqlx::query_as(
        "/* spool.formats */ select substr(payload, 1, 1), sum(beacons) from spool_row \
         where substr(payload, 1, 1) <> ?",
    )
    .bind([payload::FORMAT].as_slice())
    .fetch_optional(&mut *writer)
    .await
    .map_err(failed)?
    .and_then(|row: (Option<Vec<u8>>, Option<i64>)| Some((row.0?, row.1?)));
    match other {
        None => Ok(()),
        Some((format, beacons)) => Err(SpoolError::OtherVersion {
            path: path.to_owned(),
            found: format.first().map_or(0, |&byte| i64::from(byte)),
            known: i64::from(payload::FORMAT),
            beacons: beacons.unsigned_abs(),
        }),
    }
}

/// How many beacons wait in the file, and how many bytes their rows take.
pub(super) async fn measure(connection: &mut SqliteConnection) -> Result<(u64, u64), sqlx::Error> {
    let (rows, beacons, bytes): (i64, i64, i64) = sqlx::query_as(
        "/* spool.measure */ select count(*), coalesce(sum(beacons), 0), coalesce(sum(length(payload)), 0) \
         from spool_row",
    )
    .fetch_one(connection)
    .await?;
    Ok((beacons.unsigned_abs(), bytes.unsigned_abs() + rows.unsigned_abs() * ROW_BYTES))
}

async fn begin_epoch(writer: &mut SqliteConnection, path: &Path) -> Result<(), SpoolError> {
    let mut id = [0_u8; 16];
    getrandom::fill(&mut id).map_err(|error| SpoolError::Open {
        path: path.to_owned(),
        reason: format!("the system gave no random numbers: {error}"),
    })?;
    sqlx::query(
        "/* epoch.begin */ insert into epoch (epoch, id, last) \
         select coalesce(max(epoch), 0) + 1, ?, coalesce(max(last), 0) from epoch",
    )
    .bind(id.as_slice())
    .execute(writer)
    .await
    .map_err(|error| open_error(path, &error))?;
    Ok(())
}

pub(super) async fn epochs(connection: &mut SqliteConnection, path: &Path) -> Result<Vec<Epoch>, SpoolError> {
    let rows: Vec<(i64, Vec<u8>, i64)> =
        sqlx::query_as("/* epoch.read */ select epoch, id, last from epoch order by epoch")
            .fetch_all(connection)
            .await
            .map_err(|error| open_error(path, &error))?;
    rows.into_iter()
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
pub(crate) async fn append(
    writer: &mut SqliteConnection,
    epoch: i64,
    position: u64,
    beacons: usize,
    payload: Vec<u8>,
) -> Result<(), sqlx::Error> {
    // A statement on its own is a transaction: the row and, by the trigger, the epoch's last position.
    sqlx::query(
        "/* spool.append */ insert into spool_row (position, epoch, beacons, payload) values (?, ?, ?, ?)",
    )
    .bind(position as i64)
    .bind(epoch)
    .bind(beacons as i64)
    .bind(payload)
    .execute(writer)
    .await?;
    Ok(())
}

/// The rows of an epoch after a position, in order: at least one if there is any, and further ones
/// while all payloads together keep to `bytes_max`.
pub(crate) async fn read(
    reader: &mut SqliteConnection,
    epoch: i64,
    after: u64,
    bytes_max: usize,
) -> Result<Vec<SpoolRow>, sqlx::Error> {
    // The lengths first, which lie before the payloads: rows that do not fit are not read at all.
    let lengths: Vec<(i64, i64)> = sqlx::query_as(
        "/* spool.lengths */ select position, length(payload) from spool_row \
         where position > ?1 and epoch = ?2 order by position limit 256",
    )
    .bind(after as i64)
    .bind(epoch)
    .fetch_all(&mut *reader)
    .await?;
    let mut bytes = 0_u64;
    let fitting = lengths.iter().enumerate().take_while(|(place, (_, length))| {
        bytes = bytes.saturating_add(length.unsigned_abs());
        *place == 0 || bytes <= bytes_max as u64
    });
    let Some((_, &(last, _))) = fitting.last() else { return Ok(Vec::new()) };
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "/* spool.read */ select position, payload from spool_row \
         where position > ?1 and position <= ?2 and epoch = ?3 order by position",
    )
    .bind(after as i64)
    .bind(last)
    .bind(epoch)
    .fetch_all(reader)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(position, payload)| SpoolRow { position: position.unsigned_abs(), payload })
        .collect())
}

/// Removes rows up to a position.
pub(crate) async fn trim(writer: &mut SqliteConnection, up_to: u64) -> Result<(), sqlx::Error> {
    sqlx::query("/* spool.trim */ delete from spool_row where position <= ?")
        .bind(up_to as i64)
        .execute(writer)
        .await?;
    Ok(())
}

/// Removes an epoch whose rows are gone.
pub(crate) async fn forget(writer: &mut SqliteConnection, epoch: i64) -> Result<(), sqlx::Error> {
    sqlx::query("/* epoch.forget */ delete from epoch where epoch = ?").bind(epoch).execute(writer).await?;
    Ok(())
}

/// Gives some of the file's free space back to the disk, after a long outage of the store.
pub(crate) async fn shrink(writer: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let free: i64 = sqlx::query_scalar("pragma freelist_count").fetch_one(&mut *writer).await?;
    if free > FREE_PAGES {
        sqlx::query("pragma incremental_vacuum(4096)").fetch_all(writer).await?;
    }
    Ok(())
}

/// Copies the write-ahead log into the file beside the writer, which then need not stop for it.
pub(crate) async fn checkpoint(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("pragma wal_checkpoint(passive)").fetch_all(connection).await?;
    Ok(())
}

/// Copies the whole write-ahead log into the file and cuts it to nothing.
pub(crate) async fn empty_log(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("pragma wal_checkpoint(truncate)").fetch_all(connection).await?;
    Ok(())
}
