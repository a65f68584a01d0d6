//! Opens the database: creates its connections and migrates its schema.

use crate::connection::{Pools, bounded};
use crate::error::failed;
use crate::limits;
use crate::sql::{self, query};
use crate::{address, nodelay, spread};
use fieldvitals_store::StoreError;
use fieldvitals_store::schema::{self, Schema};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions, PgRow, PgSslMode};
use sqlx::{ConnectOptions, Connection, Row, SqlSafeStr};
use std::sync::LazyLock;
use std::time::Duration;

/// Connections of one server for short reads and for changes of sites, tokens and violations.
const CONNECTIONS_MAX: u32 = 3;
/// Connections of one server for reports, or of one command: those of running questions, and one that returns to the
/// pool.
const READING_CONNECTIONS_MAX: u32 = vitals::limits::QUESTIONS_RUNNING_MAX as u32 + 1;
/// Connections for background work: loading uses one, and on Citus more; maintenance uses another, and starts vacuums. The
/// last one asks for the sites on a node that hangs, while the others wait for the node.
const BACKGROUND_CONNECTIONS_MAX: u32 = limits::CITUS_LOADS_MAX as u32 + 3;
/// Connections of one server.
pub(crate) const ALL_CONNECTIONS_MAX: u32 =
    CONNECTIONS_MAX + READING_CONNECTIONS_MAX + BACKGROUND_CONNECTIONS_MAX;
/// Timeout for opening a connection, and for waiting for a free one.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(limits::DATABASE_CONNECT_MS_MAX);
/// Idle connections are closed after this time.
const IDLE_TIME_MAX: Duration = Duration::from_secs(5 * 60);
/// Connections are replaced at this age, so that servers return to the right database after a failover.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(30 * 60);
/// The oldest supported Postgres, as `server_version_num`. Under Postgres 13, two servers that update the same page views
/// can block each other without end: a statement does not see a row that the next one reports as a duplicate.
const VERSION_MIN: i32 = 140_000;

/// The files of `migrations/postgres`: version, description and text. The macro of sqlx that lists them is not used,
/// because it would build the drivers of all databases a second time for the compiler.
const FILES: [(i64, &str, &str); 11] = [
    (1, "initial", include_str!("../../migrations/postgres/0001_initial.sql")),
    (2, "site rows", include_str!("../../migrations/postgres/0002_site_rows.sql")),
    (3, "time", include_str!("../../migrations/postgres/0003_time.sql")),
    (4, "route groups", include_str!("../../migrations/postgres/0004_route_groups.sql")),
    (5, "token sites", include_str!("../../migrations/postgres/0005_token_sites.sql")),
    (6, "audit", include_str!("../../migrations/postgres/0006_audit.sql")),
    (7, "alerts", include_str!("../../migrations/postgres/0007_alerts.sql")),
    (8, "token rate", include_str!("../../migrations/postgres/0008_token_rate.sql")),
    (9, "dismissed", include_str!("../../migrations/postgres/0009_dismissed.sql")),
    (10, "digest", include_str!("../../migrations/postgres/0010_digest.sql")),
    (11, "retention", include_str!("../../migrations/postgres/0011_retention.sql")),
];

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let of = |(version, description, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrations = Migrator::with_migrations(FILES.map(of).into());
    // The migrator's lock belongs to a session. The lock of fieldvitals belongs to the transaction.
    migrations.set_locking(false);
    migrations
});

const OPENING: &str = "opening the Postgres store";
const MIGRATING: &str = "migrating the Postgres store";

/// Begins the transaction of a migration. Other servers wait for it.
const MIGRATE: &str = "begin isolation level read committed; set local statement_timeout = '10min'; \
    set local lock_timeout = '2min'; set local idle_in_transaction_session_timeout = '10min'";

/// Connects, migrates the schema, and returns the connection pools, and whether the tables are distributed over the nodes of
/// Citus.
pub(crate) async fn open(url: &str) -> Result<(Pools, bool), StoreError> {
    let (mut connection, options) = reach(url).await?;
    let place = format!("Postgres at {}", address::place(&options));
    let at = |error| named(&place, error);
    let known = newest();
    let call = Duration::from_millis(limits::DATABASE_CALL_MS_MAX);
    // The check keeps servers from waiting for each other if there is nothing to do, which is nearly always.
    if bounded(call, look(&mut connection, known)).await.map_err(at)? < known {
        let migration = Duration::from_millis(limits::DATABASE_MIGRATE_MS_MAX);
        bounded(migration, migrate(&mut connection, known)).await.map_err(at)?;
    }
    let is_citus = bounded(call, spread::look(&mut connection)).await.map_err(at)?;
    // The result does not matter, because the connection is no longer needed.
    let _ = connection.close().await;
    let tcp_port = address::tcp_port(&options);
    let pool = |connections| {
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(CONNECT_TIME_MAX)
            .idle_timeout(IDLE_TIME_MAX)
            .max_lifetime(CONNECTION_AGE_MAX)
            .after_connect(move |_, _| Box::pin(send_at_once(tcp_port)))
            .connect_lazy_with(options.clone())
    };
    let pools = Pools {
        front: pool(CONNECTIONS_MAX),
        reading: pool(READING_CONNECTIONS_MAX),
        background: pool(BACKGROUND_CONNECTIONS_MAX),
    };
    Ok((pools, is_citus))
}

/// Opens a single connection, because a pool would retry and then not report the reason. Returns the options that worked.
pub(crate) async fn reach(url: &str) -> Result<(PgConnection, PgConnectOptions), StoreError> {
    let options = address::options(url)?;
    let place = format!("Postgres at {}", address::place(&options));
    tokio::time::timeout(CONNECT_TIME_MAX, connect(options))
        .await
        .map_err(|_| StoreError::Database {
            what: OPENING,
            reason: format!(
                "no answer within {} s; are host and port of --database-url right, and may this machine reach them?",
                CONNECT_TIME_MAX.as_secs()
            ),
            transient: true,
        })
        .and_then(|connected| connected.map_err(failed(OPENING)))
        .map_err(|error| named(&place, error))
}

/// The newest version of the schema that this release knows.
pub(crate) fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Lets the connections to a port of the database send at once. The store works without it, so a failure is only
/// logged.
async fn send_at_once(port: Option<u16>) -> Result<(), sqlx::Error> {
    let Some(port) = port else { return Ok(()) };
    // A server has a descriptor for each of its clients.
    match tokio::task::spawn_blocking(move || nodelay::set(port)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::debug!(%error, "TCP_NODELAY cannot be set on connections to Postgres; loads take 40 ms longer");
        }
        Err(error) => tracing::debug!(%error, "TCP_NODELAY was not set on connections to Postgres"),
    }
    Ok(())
}

/// Connects. Without an `sslmode`, the connection is encrypted if possible. A server with an unreadable certificate
/// (such as the one that Citus generates) gets an unencrypted connection, as with other clients of Postgres.
pub(crate) async fn connect(
    options: PgConnectOptions,
) -> Result<(PgConnection, PgConnectOptions), sqlx::Error> {
    match options.connect().await {
        Err(sqlx::Error::Tls(_) | sqlx::Error::Io(_))
            if matches!(options.get_ssl_mode(), PgSslMode::Prefer) =>
        {
            let plain = options.ssl_mode(PgSslMode::Disable);
            Ok((plain.connect().await?, plain))
        }
        connected => Ok((connected?, options)),
    }
}

fn named(place: &str, error: StoreError) -> StoreError {
    match error {
        StoreError::Database { what, reason, transient } => {
            StoreError::Database { what, reason: format!("{place}: {reason}"), transient }
        }
        StoreError::TooSlow { what, reason, answered } => {
            StoreError::TooSlow { what, reason: format!("{place}: {reason}"), answered }
        }
        StoreError::Node { what, reason } => StoreError::Node { what, reason: format!("{place}: {reason}") },
        other => other,
    }
}

fn version_will_do(version: i32) -> Result<(), StoreError> {
    if version >= VERSION_MIN {
        return Ok(());
    }
    Err(StoreError::Database {
        what: OPENING,
        reason: format!(
            "this is Postgres {}; fieldvitals needs {} or newer",
            version / 10_000,
            VERSION_MIN / 10_000
        ),
        transient: false,
    })
}

/// Refuses an encoding that cannot represent every text. A visitor's text that the encoding lacks would stop the
/// loading of its site.
fn encoding_will_do(encoding: &str) -> Result<(), StoreError> {
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(StoreError::Database {
        what: OPENING,
        reason: format!(
            "its encoding is {encoding}, and fieldvitals needs UTF8: make a database by \
             `create database NAME encoding 'UTF8' template template0`, and name it in --database-url"
        ),
        transient: false,
    })
}

/// Checks that this Postgres is suitable. Returns the version of its schema.
pub(crate) async fn look(connection: &mut PgConnection, known: i64) -> Result<i64, StoreError> {
    let mut transaction = connection.begin_with(sql::LOOK).await.map_err(failed(OPENING))?;
    let (version, is_standby, encoding): (_, _, String) = query(
        "/* server.version */ select current_setting('server_version_num')::integer, pg_is_in_recovery(), \
         current_setting('server_encoding')",
    )
    .fetch_one(&mut *transaction)
    .await
    .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
    .map_err(failed(OPENING))?;
    version_will_do(version)?;
    if is_standby {
        return Err(StoreError::Database {
            what: OPENING,
            reason: "this is a standby, which takes no writes; --database-url must name the primary"
                .to_owned(),
            // A standby may become the primary soon.
            transient: true,
        });
    }
    encoding_will_do(&encoding)?;
    let found = schema_version(&mut transaction, known).await?;
    transaction.commit().await.map_err(failed(OPENING))?;
    Ok(found)
}

/// Migrates the schema in one transaction, under a lock that ends with the transaction. Two servers cannot migrate at
/// once. A failed migration, or the death of its server, leaves the schema as it was.
async fn migrate(connection: &mut PgConnection, known: i64) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with(MIGRATE).await.map_err(failed(OPENING))?;
    // A lock id chosen for fieldvitals.
    query("/* schema.lock */ select pg_advisory_xact_lock(736374510, -1)")
        .execute(&mut *transaction)
        .await
        .map_err(failed(MIGRATING))?;
    if schema_version(&mut transaction, known).await? == known {
        return Ok(());
    }
    // The future of `run` would keep the future of `open` from being spawned.
    MIGRATIONS.run_direct(None, &mut *transaction, false).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => failed(MIGRATING)(error),
        error => StoreError::Database { what: MIGRATING, reason: error.to_string(), transient: false },
    })?;
    // The migrator prepares named statements. Behind a pooler, they would collide with other sessions' names.
    sqlx::raw_sql("/* session.clean */ deallocate all")
        .execute(&mut *transaction)
        .await
        .map_err(failed(MIGRATING))?;
    transaction.commit().await.map_err(failed(MIGRATING))
}

/// The schema's version; 0 for an empty database. Fails if the version is newer than `known`.
async fn schema_version(connection: &mut PgConnection, known: i64) -> Result<i64, StoreError> {
    let (migrated, has_views): (bool, bool) = query(
        "/* schema.exists */ select to_regclass('_sqlx_migrations') is not null, \
         to_regclass('page_view') is not null",
    )
    .fetch_one(&mut *connection)
    .await
    .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
    .map_err(failed(OPENING))?;
    if !migrated {
        return Ok(0);
    }
    let rows = query(
        "/* schema.applied */ select version, description, checksum from _sqlx_migrations order by version",
    )
    .fetch_all(connection)
    .await
    .map_err(failed(OPENING))?;
    let applied = |row: &PgRow| {
        let (version, description) = (row.try_get(0)?, row.try_get(1)?);
        Ok(schema::Migration { version, description, checksum: row.try_get(2)? })
    };
    let applied = rows.iter().map(applied).collect::<Result<Vec<_>, _>>().map_err(failed(OPENING))?;
    let ours = MIGRATIONS.iter().map(|ours| schema::Migration {
        version: ours.version,
        description: ours.description.to_string(),
        checksum: ours.checksum.to_vec(),
    });
    let reason = match schema::judge(&applied, &ours.collect::<Vec<_>>(), has_views) {
        Schema::Ours(version) => return Ok(version),
        Schema::Newer(found) => return Err(StoreError::NewerSchema { found, known }),
        Schema::Unreleased => {
            "its schema is of a development version of fieldvitals, which no release can bring up to date; \
             use another database, and a new schema is made"
                .to_owned()
        }
        Schema::Foreign(version) => format!(
            "the database is another program's, whose migrations (up to version {version}) it lists in \
             `_sqlx_migrations`; give fieldvitals a database of its own, and name it in --database-url"
        ),
    };
    Err(StoreError::Database { what: OPENING, reason, transient: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[tokio::test]
    async fn every_file_is_a_migration() {
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres");
        let files = Migrator::new(files).await.unwrap();
        let all = |migrations: &Migrator| {
            let told = |one: &Migration| (one.version, one.description.clone(), one.checksum.clone());
            migrations.iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(all(&MIGRATIONS), all(&files));
    }

    #[test]
    fn an_old_postgres_is_refused_by_its_version() {
        assert!(version_will_do(140_000).is_ok());
        let message = version_will_do(130_023).unwrap_err().to_string();
        assert!(message.contains("Postgres 13") && message.contains("14 or newer"), "{message}");
    }
}
