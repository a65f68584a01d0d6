//! Opening the file: connections and migrations.

use crate::error::failed;
use fieldvitals_store::StoreError;
use fieldvitals_store::schema::{self, Schema};
use fieldvitals_store::{priority, private};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqlSafeStr};
use std::path::Path;
use std::sync::LazyLock;
use std::thread::Builder;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The files of `migrations/sqlite`: versions, descriptions and texts. (sqlx has a macro that lists them, for which the
/// drivers of all databases would be built a second time, as parts of the compiler.)
const FILES: [(i64, &str, &str); 1] =
    [(1, "initial", include_str!("../../migrations/sqlite/0001_initial.sql"))];

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let of = |(version, description, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(FILES.map(of).into())
});

/// How long a writer waits for one in another process: longer than any transaction of ours takes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a writer waits for those of this process that came before it.
const WRITER_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that read.
const READERS: u32 = 4;
/// The pages that a connection keeps, as SQLite is told it: KiB, negative.
const READER_CACHE: &str = "-32768";
/// The writer's cache, 16 MiB: the pages that loads keep writing (the ends of 2,000 routes in the index are 8 MiB), and
/// little more. A commit that has split a page walks all cached pages; at 32 MiB the walk and its misses of the CPU
/// caches were a twentieth of the cost of a beacon. Larger changes of a fold or an erasure go to the log before their
/// commit.
///
/// The page size stays at 4 KiB. 8 KiB was as fast and took daily rollups over their bound (25.9 B a page view, 23.1 at
/// 4 KiB), because the last page of each block is half empty.
const WRITER_CACHE: &str = "-16384";

const OPENING: &str = "opening the SQLite store";

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Wal)
        // The load cursor moves with a commit, and the spool is trimmed after it: it must be on disk.
        .synchronous(SqliteSynchronous::Full)
        // The log is cut back to this after a checkpoint; it grows while a long question is read.
        .pragma("journal_size_limit", "67108864")
        // Pages (of 4 KiB) in the log after which it is carried over. Every load writes most of the index of routes; in
        // a longer log more of its versions are passed over.
        .pragma("wal_autocheckpoint", "8192")
        .pragma("cache_size", READER_CACHE)
        // What a statement sets aside is small, and the system may have no folder that can be written.
        .pragma("temp_store", "memory")
}

/// A connection of its own that gives up soon when others are at work.
pub(crate) async fn impatient(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    options(path).busy_timeout(Duration::from_millis(100)).connect().await
}

/// Opens the file and returns its writer (one connection) and its readers.
pub(crate) async fn open(path: &Path) -> Result<(SqlitePool, SqlitePool), StoreError> {
    untouched(path).await.map_err(|error| named(path, error))?;
    if let Some(directory) = path.parent() {
        private::create_folder(directory).map_err(|error| StoreError::Database {
            what: OPENING,
            reason: format!("cannot create the directory {}: {error}", directory.display()),
            passing: false,
        })?;
    }
    let at = |error| named(path, failed(OPENING)(error));
    // What cannot be made is told by SQLite.
    let _ = private::create_file(path);
    let writer = open_writer(path).await?;
    let mut connection = writer.acquire().await.map_err(at)?;
    migrate(&mut connection).await.map_err(|error| named(path, error))?;
    // A file that cannot be written opens all the same, and begins transactions; better told now than by
    // every load. This changes nothing, but asks for the right to.
    sqlx::query("/* file.writable */ delete from site where site_id is null")
        .execute(&mut *connection)
        .await
        .map_err(at)?;
    drop(connection);
    // All at once, from this thread: a connection keeps the priority of the thread that opens it, and loading, which
    // reads too, has a lower one.
    let readers = pool()
        .max_connections(READERS)
        .min_connections(READERS)
        .connect_with(options(path).read_only(true))
        .await
        .map_err(at)?;
    Ok((writer, readers))
}

/// Refuses a file of another program before anything of it changes, as opening a writer does already.
async fn untouched(path: &Path) -> Result<(), StoreError> {
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        return Ok(());
    }
    let looking = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    // What cannot be read is told by the writer, which says it better; it looks again.
    let Ok(mut connection) = looking.connect().await else { return Ok(()) };
    let found = look(&mut connection).await;
    // Nothing is left to be done on it, so it does not matter how it ends.
    let _ = connection.close().await;
    found
}

/// Looks at one state of a file: it may be being migrated just now.
async fn look(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let Ok(mut transaction) = connection.begin().await else { return Ok(()) };
    match applied(&mut transaction).await {
        Ok(Some(applied)) => version(&applied).map(drop),
        Ok(None) => no_other(&mut transaction).await,
        Err(_) => Ok(()),
    }
}

/// Refuses a file that has tables, though no fieldvitals made any.
async fn no_other(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let table: Option<String> = sqlx::query_scalar(
        "/* file.foreign */ select name from sqlite_schema where type = 'table' \
         and name not like 'sqlite^_%' escape '^' and name <> '_sqlx_migrations' order by name limit 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(failed(OPENING))?;
    table.map_or(Ok(()), |table| {
        Err(StoreError::Database {
            what: OPENING,
            reason: format!(
                "this is no store of fieldvitals, but a file of something else, such as a server's spool or another \
                 program's: it has a table `{table}` and none of a store's. It was left as it is; --database-url, or \
                 --from and --to of a copy, must name a store's file (store.db in a data folder), or one that is not \
                 there yet"
            ),
            passing: false,
        })
    })
}

fn pool() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_release(|connection, _| Box::pin(is_clean(connection)))
}

/// Opens the writer: one connection, at the priority of loading, which is its main user.
async fn open_writer(path: &Path) -> Result<SqlitePool, StoreError> {
    // Its statements are long, and slow where they load much.
    let options = options(path).pragma("cache_size", WRITER_CACHE).disable_statement_logging();
    let opening = pool().max_connections(1).acquire_timeout(WRITER_TIMEOUT).connect_with(options);
    let (done, opened) = oneshot::channel();
    let runtime = Handle::current();
    // A thread of its own, because a priority cannot be raised again.
    let started = Builder::new().name("store opener".to_owned()).spawn(move || {
        priority::lower();
        // The caller may have gone.
        let _ = done.send(runtime.block_on(opening));
    });
    let opened = match started {
        Ok(_) => opened.await.unwrap_or(Err(sqlx::Error::WorkerCrashed)),
        Err(error) => Err(error.into()),
    };
    opened.map_err(|error| named(path, failed(OPENING)(error)))
}

/// Whether a connection may be used again.
///
/// Where SQLite has rolled back a transaction by itself (a full disk does that), the rollback of sqlx
/// fails and sqlx takes the connection for one inside a transaction for ever. Such a one is closed.
async fn is_clean(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // The rollback of a transaction that was dropped may still be queued; this waits behind it.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

fn named(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Database { what, reason, passing } => {
            StoreError::Database { what, reason: format!("{}: {reason}", path.display()), passing }
        }
        other => other,
    }
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let known = newest();
    // Looking first keeps the write lock free when there is nothing to do, which is nearly always.
    if found(connection).await? == known {
        return Ok(());
    }
    // One transaction, under the write lock: two processes cannot migrate at once, and a migration
    // that fails leaves the schema as it was.
    let mut transaction = connection.begin_with("begin immediate").await.map_err(failed(OPENING))?;
    if found(&mut transaction).await? == 0 {
        no_other(&mut transaction).await?;
    }
    // `run` would make the future of `open` one that cannot be spawned.
    MIGRATIONS.run_direct(None, &mut *transaction, false).await.map_err(|error| StoreError::Database {
        what: "migrating the SQLite store",
        reason: error.to_string(),
        passing: false,
    })?;
    transaction.commit().await.map_err(failed(OPENING))
}

/// The version of our schema; 0 for an empty file.
async fn found(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    applied(connection).await?.map_or(Ok(0), |applied| version(&applied))
}

/// The newest version that is known.
fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// What was applied to a file, and whether it has page views.
struct Applied {
    migrations: Vec<schema::Migration>,
    has_views: bool,
}

/// What was applied; `None` for a file that has no list of it.
async fn applied(connection: &mut SqliteConnection) -> Result<Option<Applied>, StoreError> {
    let (migrated, has_views): (bool, bool) = sqlx::query_as(
        "/* schema.exists */ select count(*) filter (where name = '_sqlx_migrations') > 0, \
         count(*) filter (where name = 'page_view') > 0 from sqlite_schema where type = 'table'",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed(OPENING))?;
    if !migrated {
        return Ok(None);
    }
    let rows: Vec<(i64, String, Vec<u8>)> =
        sqlx::query_as("/* schema.applied */ select version, description, checksum from _sqlx_migrations")
            .fetch_all(connection)
            .await
            .map_err(failed(OPENING))?;
    let migration = |(version, description, checksum)| schema::Migration { version, description, checksum };
    Ok(Some(Applied { migrations: rows.into_iter().map(migration).collect(), has_views }))
}

/// The version of what was applied, which must be ours and not newer than what is known.
fn version(applied: &Applied) -> Result<i64, StoreError> {
    let ours = MIGRATIONS.iter().map(|ours| schema::Migration {
        version: ours.version,
        description: ours.description.to_string(),
        checksum: ours.checksum.to_vec(),
    });
    let reason = match schema::judge(&applied.migrations, &ours.collect::<Vec<_>>(), applied.has_views) {
        Schema::Ours(version) => return Ok(version),
        Schema::Newer(found) => return Err(StoreError::NewerSchema { found, known: newest() }),
        Schema::Unreleased => {
            "an unreleased fieldvitals made this store, with other tables than this one has; \
                               move the file away, and a new one is made"
                .to_owned()
        }
        Schema::Foreign(version) => format!(
            "this is another program's file, whose migrations (up to version {version}) it lists in `_sqlx_migrations`. \
             It was left as it is; --database-url, or --from and --to of a copy, must name a file of fieldvitals' own"
        ),
    };
    Err(StoreError::Database { what: OPENING, reason, passing: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_file_is_a_migration() {
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/sqlite");
        let files = Migrator::new(files).await.unwrap();
        let all = |migrations: &Migrator| {
            let told = |one: &Migration| (one.version, one.description.clone(), one.checksum.clone());
            migrations.iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(all(&MIGRATIONS), all(&files));
    }

    /// A folder for temporary files may not be there: on a root that is read only there is none.
    #[tokio::test]
    async fn temporary_data_of_connections_stay_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        for connection in [options(&path).connect().await, impatient(&path).await] {
            let place: i64 =
                sqlx::query_scalar("pragma temp_store").fetch_one(&mut connection.unwrap()).await.unwrap();
            assert_eq!(place, 2);
        }
    }
}
