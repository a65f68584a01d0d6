//! Opens the file: creates its connections and migrates its schema.

use crate::error::failed;
use fieldvitals_store::StoreError;
use fieldvitals_store::schema::{self, Schema};
use fieldvitals_store::{priority, private};
use futures_util::future::try_join_all;
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
use vitals::limits;

/// The files of `migrations/sqlite`: version, description and text. The macro of sqlx that lists them is not used,
/// because it would build the drivers of all databases a second time for the compiler.
const FILES: [(i64, &str, &str); 11] = [
    (1, "initial", include_str!("../../migrations/sqlite/0001_initial.sql")),
    (2, "site rows", include_str!("../../migrations/sqlite/0002_site_rows.sql")),
    (3, "time", include_str!("../../migrations/sqlite/0003_time.sql")),
    (4, "route groups", include_str!("../../migrations/sqlite/0004_route_groups.sql")),
    (5, "token sites", include_str!("../../migrations/sqlite/0005_token_sites.sql")),
    (6, "audit", include_str!("../../migrations/sqlite/0006_audit.sql")),
    (7, "alerts", include_str!("../../migrations/sqlite/0007_alerts.sql")),
    (8, "token rate", include_str!("../../migrations/sqlite/0008_token_rate.sql")),
    (9, "dismissed", include_str!("../../migrations/sqlite/0009_dismissed.sql")),
    (10, "digest", include_str!("../../migrations/sqlite/0010_digest.sql")),
    (11, "retention", include_str!("../../migrations/sqlite/0011_retention.sql")),
];

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let of = |(version, description, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(FILES.map(of).into())
});

/// How long a writer waits for a writer in another process. No transaction of fieldvitals takes as long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a writer waits for earlier writers of this process.
const WRITER_TIMEOUT: Duration = Duration::from_secs(30);
/// Number of reading connections: those of running questions, two for short reads, one for a fold, and one for
/// the sites and tokens.
const READERS: u32 = limits::QUESTIONS_RUNNING_MAX as u32 + 4;
/// Page cache of a reading connection: 32 MiB. SQLite takes a size in KiB as a negative number.
const READER_CACHE: &str = "-32768";
/// Page cache of the writer: 16 MiB. It holds the pages that loads keep writing (the ends of 2,000 routes in the index
/// are 8 MiB), and little more. A commit that has split a page walks all cached pages. At 32 MiB, the walk and its CPU
/// cache misses were a twentieth of the cost of a beacon. Larger changes of a fold or an erasure spill to the log
/// before their commit.
///
/// The page size stays at 4 KiB. 8 KiB was as fast, but took daily rollups over their bound (25.9 B per page view,
/// 23.1 at 4 KiB), because the last page of each block is half empty.
const WRITER_CACHE: &str = "-16384";

const OPENING: &str = "opening the SQLite store";

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit moves the load cursor, and the spool is trimmed afterwards, so the commit must be on disk.
        .synchronous(SqliteSynchronous::Full)
        // A checkpoint truncates the log to this size (64 MiB). The log grows while a long query reads.
        .pragma("journal_size_limit", "67108864")
        // Checkpoints at this number of log pages (4 KiB each). Every load writes most of the index of routes; a
        // longer log makes SQLite skip more old versions of these pages.
        .pragma("wal_autocheckpoint", "8192")
        .pragma("cache_size", READER_CACHE)
        // Temporary data are small, and the system may have no writable folder for them.
        .pragma("temp_store", "memory")
}

/// Opens a separate connection with a short busy timeout.
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
            transient: false,
        })?;
    }
    let at = |error| named(path, failed(OPENING)(error));
    // SQLite reports a failure to create the file.
    let _ = private::create_file(path);
    let writer = open_writer(path).await?;
    let mut connection = writer.acquire().await.map_err(at)?;
    migrate(&mut connection).await.map_err(|error| named(path, error))?;
    // SQLite opens a read-only file and begins transactions on it without an error. This statement changes nothing,
    // but needs write access, so the error appears here and not at every load.
    sqlx::query("/* file.writable */ delete from site where site_id is null")
        .execute(&mut *connection)
        .await
        .map_err(at)?;
    drop(connection);
    let options = options(path).read_only(true);
    let readers = open_lowered(async move {
        let readers = pool().max_connections(READERS).connect_with(options).await?;
        // Opens all readers here, because a connection keeps the priority of the thread that opens it.
        try_join_all((0..READERS).map(|_| readers.acquire())).await?;
        Ok(readers)
    });
    Ok((writer, readers.await.map_err(at)?))
}

/// Refuses a file of another program before anything in it changes. Opening a writer would already change it.
async fn untouched(path: &Path) -> Result<(), StoreError> {
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        return Ok(());
    }
    let looking = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    // The writer repeats these checks and reports errors better.
    let Ok(mut connection) = looking.connect().await else { return Ok(()) };
    let found = look(&mut connection).await;
    // The result does not matter, because the connection is no longer needed.
    let _ = connection.close().await;
    found
}

/// Checks the file in one read transaction, because another process may be migrating it.
async fn look(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let Ok(mut transaction) = connection.begin().await else { return Ok(()) };
    match applied(&mut transaction).await {
        Ok(Some(applied)) => version(&applied).map(drop),
        Ok(None) => no_other(&mut transaction).await,
        Err(_) => Ok(()),
    }
}

/// Refuses a file that has tables but no fieldvitals schema.
pub(crate) async fn no_other(connection: &mut SqliteConnection) -> Result<(), StoreError> {
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
            transient: false,
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

/// Opens the writer: one connection.
async fn open_writer(path: &Path) -> Result<SqlitePool, StoreError> {
    // The writer's statements are long, and slow for large loads.
    let options = options(path).pragma("cache_size", WRITER_CACHE).disable_statement_logging();
    let opening = pool().max_connections(1).acquire_timeout(WRITER_TIMEOUT).connect_with(options);
    open_lowered(opening).await.map_err(|error| named(path, failed(OPENING)(error)))
}

/// Opens connections at the priority of their users: loading, maintenance and questions.
async fn open_lowered(
    opening: impl Future<Output = Result<SqlitePool, sqlx::Error>> + Send + 'static,
) -> Result<SqlitePool, sqlx::Error> {
    let (done, opened) = oneshot::channel();
    let runtime = Handle::current();
    // Uses a separate thread, because a thread cannot raise its priority again.
    let started = Builder::new().name("store opener".to_owned()).spawn(move || {
        priority::lower();
        // The caller may have stopped waiting.
        let _ = done.send(runtime.block_on(opening));
    });
    match started {
        Ok(_) => opened.await.unwrap_or(Err(sqlx::Error::WorkerCrashed)),
        Err(error) => Err(error.into()),
    }
}

/// Whether the pool may reuse a connection.
///
/// SQLite rolls back a transaction by itself in some cases, such as a full disk. The rollback of sqlx then fails, and
/// sqlx believes forever that the connection is in a transaction. The pool closes such a connection.
async fn is_clean(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // The rollback of a dropped transaction may still be queued; the ping waits for it.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

fn named(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Database { what, reason, transient } => {
            StoreError::Database { what, reason: format!("{}: {reason}", path.display()), transient }
        }
        other => other,
    }
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let known = newest();
    // The check keeps the write lock free if there is nothing to do, which is nearly always.
    if found(connection).await? == known {
        return Ok(());
    }
    // One transaction, under the write lock. Two processes cannot migrate at once, and a failed migration leaves the
    // schema as it was.
    let mut transaction = connection.begin_with("begin immediate").await.map_err(failed(OPENING))?;
    if found(&mut transaction).await? == 0 {
        no_other(&mut transaction).await?;
    }
    // The future of `run` would keep the future of `open` from being spawned.
    MIGRATIONS.run_direct(None, &mut *transaction, false).await.map_err(|error| StoreError::Database {
        what: "migrating the SQLite store",
        reason: error.to_string(),
        transient: false,
    })?;
    transaction.commit().await.map_err(failed(OPENING))
}

/// The version of the fieldvitals schema; 0 for an empty file.
async fn found(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    applied(connection).await?.map_or(Ok(0), |applied| version(&applied))
}

/// The newest version that this release knows.
pub(crate) fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The migrations applied to a file, and whether the file has page views.
pub(crate) struct Applied {
    migrations: Vec<schema::Migration>,
    has_views: bool,
}

/// The applied migrations; `None` for a file without a migrations table.
pub(crate) async fn applied(connection: &mut SqliteConnection) -> Result<Option<Applied>, StoreError> {
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

/// The version of the applied migrations. Fails if they are another program's, or newer than this release.
pub(crate) fn version(applied: &Applied) -> Result<i64, StoreError> {
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
    Err(StoreError::Database { what: OPENING, reason, transient: false })
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

    /// The system may have no folder for temporary files, such as on a read-only root.
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
