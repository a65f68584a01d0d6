//! Examines the database for `fieldvitals doctor`, in read-only transactions.
//!
//! `plans` has the checks of statements; the rest is here, in the order of the output.

mod plans;

use crate::error::failed;
use crate::sql::{self, query};
use crate::{address, retention, schema};
use fieldvitals_store::StoreError;
use fieldvitals_store::diagnosis::{self, Finding, size_text};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const EXAMINING: &str = "examining the Postgres store";

/// Round trips that are timed; the median counts.
const ROUND_TRIPS: usize = 5;
/// Round trip from which loading is slow, in milliseconds: a load takes some twenty.
const ROUND_TRIP_MS_MAX: f64 = 10.0;
/// Difference of clocks from which leases and retention are judged by a wrong time, in milliseconds.
const CLOCK_WARNING_MS: i64 = 2_000;
/// Difference of clocks that makes page views count in the wrong hour, in milliseconds.
const CLOCK_PROBLEM_MS: i64 = 300_000;
/// Transactions that show whether a pooler changes the session between them.
const POOLER_TRANSACTIONS: usize = 3;
/// Rows from which a table counts as large.
const LARGE_ROWS: f64 = 100_000.0;
/// Rows from which the planner needs statistics.
const STATISTICS_ROWS: i64 = 10_000;

/// The indexes that are not constraints, as the migrations make them.
const INDEXES: [(&str, &str); 6] = [
    ("alert_notice_due", "create index alert_notice_due on alert_notice (due_ms) where due_ms is not null"),
    ("alert_open", "create unique index alert_open on alert (site_id, alert_key) where resolved_ms is null"),
    (
        "context_text_known",
        "create unique index context_text_known on context_text (site_id, day, kind, text) where not retired",
    ),
    ("digest_due", "create index digest_due on digest (due_ms) where due_ms is not null"),
    ("page_view_route", "create index page_view_route on page_view (site_id, route_id)"),
    (
        "violation_open",
        "create unique index violation_open on violation (site_id, budget_key) where resolved_ms is null",
    ),
];

/// Examines a database. Changes nothing.
pub async fn diagnose(url: &str, now_ms: i64, kept_days: Option<u32>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let began = Instant::now();
    let (mut connection, options) = match schema::reach(url).await {
        Ok(reached) => reached,
        Err(error) => {
            let advice = "Servers keep beacons in their spools meanwhile, and wait at their start for --database-wait.";
            return vec![Finding::problem("store.connection", error.to_string(), advice)];
        }
    };
    let connected = began.elapsed();
    if let Err(error) = examine(&mut connection, &options, connected, now_ms, kept_days, &mut findings).await
    {
        findings.push(Finding::problem(
            "store.open",
            error.to_string(),
            "The further checks of the database were left out. Repair this first.",
        ));
    }
    // The result does not matter, because the connection is no longer needed.
    let _ = connection.close().await;
    findings
}

async fn examine(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
    connected: Duration,
    now_ms: i64,
    kept_days: Option<u32>,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    findings.push(latency(connection, options, connected).await?);
    findings.push(clock(connection).await?);
    findings.push(pooler(connection, options).await?);
    // Refuses versions, encodings, standbys and schemas that no server can use.
    let found = schema::look(connection, schema::newest()).await?;
    let facts = Facts::read(connection).await?;
    findings.push(Finding::ok(
        "store.version",
        match &facts.citus {
            None => format!("Postgres {}", facts.version),
            Some(citus) => format!("Postgres {} with Citus {citus}", facts.version),
        },
    ));
    findings.push(diagnosis::schema(found, schema::newest()));
    findings.push(rights(&facts));
    findings.push(connections(&facts));
    findings.push(archive(connection).await?);
    if found == schema::newest() {
        findings.push(partitions(connection, now_ms, kept_days, facts.bytes).await?);
        findings.extend(indexes(connection).await?);
        findings.extend(tables(connection).await?);
        findings.extend(plans::plans(connection, now_ms).await?);
        findings.push(plans::statements(connection).await);
    }
    Ok(())
}

/// Times a connection and its round trips.
async fn latency(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
    connected: Duration,
) -> Result<Finding, StoreError> {
    let mut transaction = connection.begin_with(sql::LOOK).await.map_err(failed(EXAMINING))?;
    let mut trips = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        sqlx::raw_sql("/* doctor.trip */ select 1")
            .execute(&mut *transaction)
            .await
            .map_err(failed(EXAMINING))?;
        trips.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    transaction.commit().await.map_err(failed(EXAMINING))?;
    trips.sort_by(f64::total_cmp);
    let trip = trips.get(ROUND_TRIPS / 2).copied().unwrap_or_default();
    let found = format!(
        "Postgres at {}: connected in {:.0} ms, {trip:.1} ms a round trip",
        address::place(options),
        connected.as_secs_f64() * 1_000.0
    );
    Ok(if trip > ROUND_TRIP_MS_MAX {
        Finding::warning(
            "store.connection",
            found,
            format!(
                "A load takes some twenty round trips. Put server and database in one network: ≤ {ROUND_TRIP_MS_MAX} ms."
            ),
        )
    } else {
        Finding::ok("store.connection", found)
    })
}

/// Compares the clocks of the database and of this machine.
async fn clock(connection: &mut PgConnection) -> Result<Finding, StoreError> {
    let mut transaction = connection.begin_with(sql::LOOK).await.map_err(failed(EXAMINING))?;
    let (before_ms, began) = (unix_ms(), Instant::now());
    let row = query("/* doctor.clock */ select (extract(epoch from clock_timestamp()) * 1000)::bigint")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed(EXAMINING))?;
    let half_ms = i64::try_from(began.elapsed().as_millis() / 2).unwrap_or_default();
    let database_ms: i64 = row.try_get(0).map_err(failed(EXAMINING))?;
    transaction.commit().await.map_err(failed(EXAMINING))?;
    Ok(judge_clock(database_ms.saturating_sub(before_ms.saturating_add(half_ms))))
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Judges how far the database's clock is ahead of this machine's, in milliseconds.
fn judge_clock(ahead_ms: i64) -> Finding {
    const CHECK: &str = "store.clock";
    const ADVICE: &str = "Run an NTP client on both machines. Beacons are counted by the server's clock, and leases by \
        the database's.";
    let side = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let found = format!(
        "the database's clock is {:.1} s {side} this machine's",
        ahead_ms.saturating_abs() as f64 / 1_000.0
    );
    match ahead_ms.saturating_abs() {
        CLOCK_PROBLEM_MS.. => Finding::problem(CHECK, found, ADVICE),
        CLOCK_WARNING_MS.. => Finding::warning(CHECK, found, ADVICE),
        _ => Finding::ok(CHECK, found),
    }
}

/// Tells a pooler between, as far as it shows: another port, or another session for each transaction.
async fn pooler(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<Finding, StoreError> {
    const CHECK: &str = "store.pooler";
    let (mut sessions, mut port) = (Vec::new(), None);
    for _ in 0..POOLER_TRANSACTIONS {
        let mut transaction = connection.begin_with(sql::LOOK).await.map_err(failed(EXAMINING))?;
        let row = query("/* doctor.session */ select pg_backend_pid(), inet_server_port()")
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed(EXAMINING))?;
        transaction.commit().await.map_err(failed(EXAMINING))?;
        sessions.push(row.try_get::<i32, _>(0).map_err(failed(EXAMINING))?);
        port = row.try_get::<Option<i32>, _>(1).map_err(failed(EXAMINING))?;
    }
    sessions.dedup();
    let given = address::tcp_port(options).map(i32::from);
    let is_other_port = given.is_some() && given != port;
    Ok(Finding::ok(
        CHECK,
        if sessions.len() > 1 {
            "a pooler in transaction mode is between: each transaction had another session".to_owned()
        } else if is_other_port {
            "another port than Postgres' own answers: a pooler, or a mapped port; both work".to_owned()
        } else {
            "none shows between this machine and the database".to_owned()
        },
    ))
}

/// Properties of the server and of the user.
struct Facts {
    version: String,
    citus: Option<String>,
    user: String,
    /// The schema that new tables go into.
    schema: Option<String>,
    may_create: bool,
    /// Tables of the schema that belong to others.
    foreign: Vec<String>,
    connections_max: i32,
    /// Open connections of all clients.
    connections: i64,
    role_max: i32,
    database_max: i32,
    bytes: i64,
}

impl Facts {
    async fn read(connection: &mut PgConnection) -> Result<Self, StoreError> {
        let mut transaction = connection.begin_with(sql::LOOK).await.map_err(failed(EXAMINING))?;
        let row = query(
            "/* doctor.facts */ select current_setting('server_version'), \
             (select extversion from pg_extension where extname = 'citus'), current_user::text, current_schema()::text, \
             coalesce(has_schema_privilege(current_schema(), 'create'), false), \
             array(select c.relname::text from pg_class c where c.relnamespace = to_regnamespace(current_schema()) \
             and c.relname = any($1) and not pg_has_role(c.relowner, 'usage') order by 1 limit 5), \
             current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer, \
             (select count(*) from pg_stat_activity where datid is not null), \
             coalesce((select rolconnlimit from pg_roles where rolname = current_user), -1), \
             coalesce((select datconnlimit from pg_database where datname = current_database()), -1), \
             pg_database_size(current_database())",
        )
        .bind(TABLES.as_slice())
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed(EXAMINING))?;
        transaction.commit().await.map_err(failed(EXAMINING))?;
        Self::from_row(&row).map_err(failed(EXAMINING))
    }

    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            version: row.try_get(0)?,
            citus: row.try_get(1)?,
            user: row.try_get(2)?,
            schema: row.try_get(3)?,
            may_create: row.try_get(4)?,
            foreign: row.try_get(5)?,
            connections_max: row.try_get(6)?,
            connections: row.try_get(7)?,
            role_max: row.try_get(8)?,
            database_max: row.try_get(9)?,
            bytes: row.try_get(10)?,
        })
    }
}

/// Our tables, without the partitions of page views. A schema may hold tables of other programs, too.
const TABLES: [&str; 26] = [
    "access_token",
    "alert",
    "alert_notice",
    "audit",
    "budget_file",
    "context_text",
    "context_text_doubt",
    "deploy_mark",
    "digest",
    "kept",
    "label",
    "load_cursor",
    "maintenance_claim",
    "page_view",
    "retention",
    "rollup_day",
    "rollup_delta",
    "rollup_hour",
    "rollup_lacking",
    "route",
    "site",
    "site_deleted",
    "site_key",
    "standing",
    "task_lease",
    "violation",
];

/// Judges the rights of the user. A server makes a partition for each day.
fn rights(facts: &Facts) -> Finding {
    const CHECK: &str = "store.rights";
    let user = &facts.user;
    match &facts.schema {
        None => Finding::problem(
            CHECK,
            format!("no schema of the search path of `{user}` exists"),
            format!("As the database's owner: create schema {user} authorization {user}"),
        ),
        Some(schema) if !facts.may_create => Finding::problem(
            CHECK,
            format!(
                "`{user}` may not create tables in the schema `{schema}`; page views need a new one each day"
            ),
            format!("As the database's owner: grant create on schema {schema} to {user}"),
        ),
        Some(_) if !facts.foreign.is_empty() => Finding::problem(
            CHECK,
            format!("`{user}` does not own {}", facts.foreign.join(", ")),
            format!(
                "Only owners may migrate and drop tables. As a superuser: {}",
                facts
                    .foreign
                    .iter()
                    .map(|table| format!("alter table {table} owner to {user};"))
                    .collect::<Vec<_>>()
                    .join(" ")
            ),
        ),
        Some(schema) => Finding::ok(
            CHECK,
            format!("`{user}` owns the tables of the schema `{schema}`, and may create more"),
        ),
    }
}

/// Judges the room for the connections of a server.
fn connections(facts: &Facts) -> Finding {
    const CHECK: &str = "store.connections";
    let needed = i64::from(schema::ALL_CONNECTIONS_MAX);
    let limits = [
        ("max_connections", facts.connections_max),
        ("the user's connection limit", facts.role_max),
        ("the database's connection limit", facts.database_max),
    ];
    // -1 is no limit.
    let limits = limits.into_iter().filter(|&(_, limit)| limit >= 0);
    let (name, least) = limits.min_by_key(|&(_, limit)| limit).unwrap_or(("max_connections", i32::MAX));
    let least = i64::from(least);
    let found =
        format!("a server opens up to {needed}; {} are open, and {name} allows {least}", facts.connections);
    let advice =
        format!("Raise it, or put PgBouncer between: {needed} for each server, and 3 for a command.");
    if least < needed {
        Finding::problem(CHECK, found, advice)
    } else if facts.connections.saturating_add(needed) > least {
        Finding::warning(CHECK, found, advice)
    } else {
        Finding::ok(CHECK, found)
    }
}

/// Judges the archiving of the write-ahead log, which point-in-time recovery needs.
async fn archive(connection: &mut PgConnection) -> Result<Finding, StoreError> {
    const CHECK: &str = "store.archive";
    let mut transaction = connection.begin_with(sql::LOOK).await.map_err(failed(EXAMINING))?;
    let row = query(
        "/* doctor.archive */ select current_setting('archive_mode') <> 'off', \
         coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false), \
         (extract(epoch from clock_timestamp() - last_archived_time) / 60)::bigint from pg_stat_archiver",
    )
    .fetch_one(&mut *transaction)
    .await
    .map_err(failed(EXAMINING))?;
    transaction.commit().await.map_err(failed(EXAMINING))?;
    let facts = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get::<Option<i64>, _>(2)?));
    Ok(match facts().map_err(failed(EXAMINING))? {
        (true, true, _) => Finding::problem(
            CHECK,
            "the last attempt to archive write-ahead log failed",
            "See Postgres' log, and archive_command: a recovery would end at the last archived log, and the disk fills.",
        ),
        (true, false, Some(minutes)) => {
            Finding::ok(CHECK, format!("the last write-ahead log was archived {minutes} min ago"))
        }
        (true, false, None) => Finding::ok(CHECK, "the archive of write-ahead log is on, and empty so far"),
        (false, ..) => Finding::ok(
            CHECK,
            "no archive of write-ahead log; backups of pg_dump or of a provider do not show here",
        ),
    })
}

/// Judges the partitions of page views by the retention.
async fn partitions(
    connection: &mut PgConnection,
    now_ms: i64,
    kept_days: Option<u32>,
    bytes: i64,
) -> Result<Finding, StoreError> {
    let mut transaction = connection.begin_with(sql::LOOK).await.map_err(failed(EXAMINING))?;
    let row = query("/* doctor.partitions */ select count(*), min(day) from page_view_days() day")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed(EXAMINING))?;
    let set = retention::read(&mut transaction).await?.unwrap_or_default();
    transaction.commit().await.map_err(failed(EXAMINING))?;
    let kept_days = kept_days.unwrap_or(set.raw_days);
    let facts = || Ok((row.try_get::<i64, _>(0)?, row.try_get::<Option<i64>, _>(1)?));
    let (count, oldest_ms) = facts().map_err(failed(EXAMINING))?;
    let finding = diagnosis::retention(oldest_ms, now_ms, kept_days);
    let found = format!(
        "{} in the database, {count} partitions of a day; {}",
        size_text(bytes.unsigned_abs()),
        finding.found
    );
    Ok(Finding { found, ..finding })
}

/// Judges the indexes: missing, invalid, and others than ours.
async fn indexes(connection: &mut PgConnection) -> Result<Vec<Finding>, StoreError> {
    let mut transaction = connection.begin_with(sql::LOOK).await.map_err(failed(EXAMINING))?;
    // An index of a partition has a parent.
    let rows = query(
        "/* doctor.indexes */ select x.relname::text, i.indisvalid, \
         (select coalesce(sum(s.idx_scan), 0)::bigint from pg_stat_user_indexes s where s.indexrelid = x.oid \
         or s.indexrelid in (select inhrelid from pg_inherits where inhparent = x.oid)) \
         from pg_index i join pg_class x on x.oid = i.indexrelid join pg_class c on c.oid = i.indrelid \
         where c.relnamespace = to_regnamespace(current_schema()) and c.relname = any($1) \
         and not exists (select 1 from pg_constraint n where n.conindid = x.oid) \
         and not exists (select 1 from pg_inherits h where h.inhrelid in (x.oid, c.oid)) order by 1",
    )
    .bind(TABLES.as_slice())
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(EXAMINING))?;
    transaction.commit().await.map_err(failed(EXAMINING))?;
    let index = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    let found: Result<Vec<(String, bool, i64)>, sqlx::Error> = rows.iter().map(index).collect();
    Ok(judge_indexes(&found.map_err(failed(EXAMINING))?))
}

/// Judges indexes by name, validity and number of scans.
fn judge_indexes(found: &[(String, bool, i64)]) -> Vec<Finding> {
    const CHECK: &str = "store.indexes";
    let mut findings = Vec::new();
    let missing = INDEXES.iter().filter(|(index, _)| !found.iter().any(|(name, ..)| name == index));
    let (missing, statements): (Vec<&str>, Vec<&str>) = missing.copied().unzip();
    if !missing.is_empty() {
        findings.push(Finding::problem(
            CHECK,
            format!("missing: {}", missing.join(", ")),
            format!("Somebody has dropped them. Loading waits while this runs: {};", statements.join("; ")),
        ));
    }
    let invalid: Vec<&str> =
        found.iter().filter(|(_, is_valid, _)| !is_valid).map(|(name, ..)| name.as_str()).collect();
    if !invalid.is_empty() {
        findings.push(Finding::problem(
            CHECK,
            format!("invalid: {}", invalid.join(", ")),
            "No question uses an invalid index, and each load keeps it up to date: drop it and create it again.",
        ));
    }
    let is_ours = |name: &str| INDEXES.iter().any(|(index, _)| *index == name);
    for (name, _, scans) in found.iter().filter(|(name, ..)| !is_ours(name)) {
        findings.push(if *scans == 0 {
            Finding::warning(
                CHECK,
                format!(
                    "`{name}` is not made by fieldvitals, and nothing has used it since the statistics began"
                ),
                format!("It makes loading slower: drop index concurrently {name}"),
            )
        } else {
            Finding::warning(
                CHECK,
                format!("`{name}` is not made by fieldvitals; {scans} scans used it"),
                "It makes loading slower. Keep it if a program of yours needs it.",
            )
        });
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, format!("all {} are there, and no others", INDEXES.len())));
    }
    findings
}

/// Judges the statistics and the dead rows of tables.
async fn tables(connection: &mut PgConnection) -> Result<Vec<Finding>, StoreError> {
    let mut transaction = connection.begin_with(sql::LOOK).await.map_err(failed(EXAMINING))?;
    let rows = query(
        "/* doctor.tables */ select relname::text, n_live_tup, n_dead_tup, \
         coalesce(last_analyze, last_autoanalyze) is not null from pg_stat_user_tables \
         where schemaname = current_schema() and (relname = any($1) or relid in \
         (select inhrelid from pg_inherits where inhparent = to_regclass('page_view'))) order by n_live_tup desc",
    )
    .bind(TABLES.as_slice())
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(EXAMINING))?;
    transaction.commit().await.map_err(failed(EXAMINING))?;
    let table = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
    let found: Result<Vec<(String, i64, i64, bool)>, sqlx::Error> = rows.iter().map(table).collect();
    Ok(judge_tables(&found.map_err(failed(EXAMINING))?))
}

/// Judges tables by name, live rows, dead rows, and whether they were analyzed.
fn judge_tables(found: &[(String, i64, i64, bool)]) -> Vec<Finding> {
    const CHECK: &str = "store.tables";
    let names = |names: Vec<&str>| match names.len() {
        0..=3 => names.join(", "),
        more => format!("{} and {} more", names[..3].join(", "), more - 3),
    };
    let mut findings = Vec::new();
    let unknown: Vec<&str> = found
        .iter()
        .filter(|(_, live, _, is_analyzed)| *live >= STATISTICS_ROWS && !is_analyzed)
        .map(|(name, ..)| name.as_str())
        .collect();
    if !unknown.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            format!("never analyzed: {}; plans are guesses", names(unknown)),
            "Run `analyze`, and see that autovacuum is on and its workers keep up.",
        ));
    }
    let dead: Vec<&str> = found
        .iter()
        .filter(|(_, live, dead, _)| *dead as f64 >= LARGE_ROWS && dead > live)
        .map(|(name, ..)| name.as_str())
        .collect();
    if !dead.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            format!("more dead rows than live ones: {}", names(dead)),
            "Vacuum does not keep up: look for old transactions in pg_stat_activity, and for replication slots that \
             nobody reads.",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "statistics and vacuum keep up"));
    }
    findings
}

#[cfg(all(test, feature = "testing"))]
mod tests;
