//! Examines the file for `fieldvitals doctor`, through a connection that cannot write.

use crate::error::failed;
use crate::{load, query, retention, rows, schema, view};
use fieldvitals_store::StoreError;
use fieldvitals_store::diagnosis::{self, Finding, size_text};
use fieldvitals_store::private::with_suffix;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row as _};
use std::path::Path;
use std::time::Duration;

const EXAMINING: &str = "examining the SQLite store";

/// Bytes of write-ahead log that a store keeps at most while nobody reads for long: its `journal_size_limit`, four times.
const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Free space in the file from which `vacuum` is worth its time, if it is also half of the file.
const FREE_BYTES_MAX: i64 = 256 * 1024 * 1024;
/// Time of the check of the file's structure: about 10 GiB of a fast disk.
const CHECK_TIME_MAX: Duration = Duration::from_secs(30);

/// The indexes that are not part of a table's definition, as the migrations make them.
const INDEXES: [(&str, &str); 5] = [
    ("alert_notice_due", "create index alert_notice_due on alert_notice (due_ms) where due_ms is not null"),
    ("alert_open", "create unique index alert_open on alert (site_id, alert_key) where resolved_ms is null"),
    ("digest_due", "create index digest_due on digest (due_ms) where due_ms is not null"),
    ("page_view_route", "create index page_view_route on page_view (route_id, site_id, id)"),
    (
        "violation_open",
        "create unique index violation_open on violation (site_id, budget_key) where resolved_ms is null",
    ),
];

/// Statements of questions and of loading, by what they serve. SQLite plans them without their parameters.
const STATEMENTS: [(&str, &str); 6] = [
    ("page views of a site", query::SCAN),
    ("page views of a route", query::SCAN_ROUTE),
    ("hourly rollups", rows::RANGES[0]),
    ("daily rollups", rows::RANGES[1]),
    ("unfolded deltas", query::DELTAS),
    ("known page views of a load", load::KNOWN),
];

/// The tables that grow with page views. Reading one of them whole is slow.
const LARGE_TABLES: [&str; 4] = ["page_view", "rollup_hour", "rollup_day", "rollup_delta"];

/// Examines a store's file. Changes nothing, and creates no file.
pub async fn diagnose(path: &Path, now_ms: i64, kept_days: Option<u32>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = examine(path, now_ms, kept_days, &mut findings).await {
        findings.push(Finding::problem(
            "store.open",
            error.to_string(),
            "No server can use the file as it is. Put back a backup, or name another file.",
        ));
    }
    findings
}

async fn examine(
    path: &Path,
    now_ms: i64,
    kept_days: Option<u32>,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    let log = with_suffix(path, "-wal");
    let log_bytes = std::fs::metadata(&log).map_or(0, |file| file.len());
    // Without a log nobody has the file open. SQLite then creates none.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(!log.exists())
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(failed(EXAMINING))?;
    let applied = schema::applied(&mut connection).await?;
    let found = match &applied {
        Some(applied) => schema::version(applied)?,
        None => {
            schema::no_other(&mut connection).await?;
            0
        }
    };
    findings.push(Finding::ok("store.open", format!("{}, {}", path.display(), size_text(bytes))));
    findings.push(diagnosis::schema(found, schema::newest()));
    findings.push(log_finding(log_bytes));
    if found == schema::newest() {
        findings.push(free(&mut connection).await?);
        let set = retention::read(&mut connection).await?.unwrap_or_default();
        let kept_days = kept_days.unwrap_or(set.raw_days);
        findings.push(diagnosis::retention(oldest_ms(&mut connection).await?, now_ms, kept_days));
        findings.extend(indexes(&mut connection).await?);
        findings.extend(plans(&mut connection).await?);
    }
    // Last, because a check that takes too long keeps the connection.
    findings.push(integrity(&mut connection).await?);
    Ok(())
}

fn log_finding(bytes: u64) -> Finding {
    let found = format!("{} of write-ahead log", size_text(bytes));
    if bytes > LOG_BYTES_MAX {
        Finding::warning(
            "store.log",
            found,
            "A program reads the file for long, or a copy of it is open: end it, and the log shrinks by itself.",
        )
    } else {
        Finding::ok("store.log", found)
    }
}

/// Judges the unused space in the file.
async fn free(connection: &mut SqliteConnection) -> Result<Finding, StoreError> {
    let (pages, free, page_bytes): (i64, i64, i64) = sqlx::query_as(
        "/* file.pages */ select page_count, freelist_count, page_size \
         from pragma_page_count, pragma_freelist_count, pragma_page_size",
    )
    .fetch_one(connection)
    .await
    .map_err(failed(EXAMINING))?;
    let bytes = free.saturating_mul(page_bytes);
    let found = format!("{} of the file are unused", size_text(bytes.unsigned_abs()));
    Ok(if bytes > FREE_BYTES_MAX && free > pages / 2 {
        Finding::warning(
            "store.space",
            found,
            "New page views fill it again. To give it back to the disk, stop the server and run \
             `sqlite3 store.db vacuum`.",
        )
    } else {
        Finding::ok("store.space", found)
    })
}

/// The start of the oldest page view. The key finds the first of each site.
async fn oldest_ms(connection: &mut SqliteConnection) -> Result<Option<i64>, StoreError> {
    let rows = sqlx::query(
        "/* view.oldest */ select id from (select (select min(id) from page_view v where v.site_id = s.site_id) id \
         from site s) where id is not null order by id limit 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(failed(EXAMINING))?;
    rows.map(|row| view::start_ms(&row, 0)).transpose().map_err(failed(EXAMINING))
}

/// Judges the indexes: missing ones, and others than ours.
async fn indexes(connection: &mut SqliteConnection) -> Result<Vec<Finding>, StoreError> {
    let found: Vec<String> = sqlx::query_scalar(
        "/* index.all */ select name from sqlite_schema where type = 'index' and sql is not null order by name",
    )
    .fetch_all(connection)
    .await
    .map_err(failed(EXAMINING))?;
    Ok(judge_indexes(&found))
}

fn judge_indexes(found: &[String]) -> Vec<Finding> {
    const CHECK: &str = "store.indexes";
    let missing = INDEXES.iter().filter(|(index, _)| !found.iter().any(|found| found == index));
    let (missing, statements): (Vec<&str>, Vec<&str>) = missing.copied().unzip();
    let is_ours = |name: &&str| INDEXES.iter().any(|(index, _)| index == name);
    let other: Vec<&str> = found.iter().map(String::as_str).filter(|name| !is_ours(name)).collect();
    let mut findings = Vec::new();
    if !missing.is_empty() {
        findings.push(Finding::problem(
            CHECK,
            format!("missing: {}", missing.join(", ")),
            format!(
                "Somebody has dropped them. Stop the server, and run with sqlite3: {};",
                statements.join("; ")
            ),
        ));
    }
    if !other.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            format!("not made by fieldvitals: {}", other.join(", ")),
            "Each makes loading slower, and no question of fieldvitals needs it: drop it.",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, format!("all {} are there, and no others", INDEXES.len())));
    }
    findings
}

/// Judges the plans of the main statements.
async fn plans(connection: &mut SqliteConnection) -> Result<Vec<Finding>, StoreError> {
    const CHECK: &str = "store.plans";
    let mut findings = Vec::new();
    for (what, statement) in STATEMENTS {
        // The text is static, and nothing runs.
        let explained = sqlx::query(AssertSqlSafe(format!("explain query plan {statement}")));
        let steps = match explained.fetch_all(&mut *connection).await {
            Ok(rows) => {
                rows.iter().map(|row| row.try_get::<String, _>("detail")).collect::<Result<Vec<_>, _>>()
            }
            // Such as of a missing index that the statement names.
            Err(error) => {
                findings.push(Finding::problem(
                    CHECK,
                    format!("{what}: the statement fails: {error}"),
                    "Questions fail in the same way. Create the missing index, or put back a backup.",
                ));
                continue;
            }
        };
        if let Some(step) = steps.map_err(failed(EXAMINING))?.iter().find(|step| reads_all(step)) {
            findings.push(Finding::warning(
                CHECK,
                format!("{what}: SQLite would read a whole table ({step})"),
                "Statistics of `analyze` mislead its planner: drop the tables sqlite_stat1 and sqlite_stat4.",
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            CHECK,
            format!("all {} main statements use a key or an index", STATEMENTS.len()),
        ));
    }
    Ok(findings)
}

/// Whether a step of a plan reads a large table whole. Steps name a table or its alias.
fn reads_all(step: &str) -> bool {
    let Some(scanned) = step.strip_prefix("SCAN ") else { return false };
    let table = scanned.split(' ').next().unwrap_or_default();
    // The aliases of large tables in `STATEMENTS`.
    LARGE_TABLES.contains(&table) || matches!(table, "v" | "c")
}

/// Checks the structure of the file.
async fn integrity(connection: &mut SqliteConnection) -> Result<Finding, StoreError> {
    const CHECK: &str = "store.integrity";
    let check = sqlx::query_scalar::<_, String>("pragma quick_check(1)").fetch_one(connection);
    Ok(match tokio::time::timeout(CHECK_TIME_MAX, check).await {
        Err(_) => Finding::warning(
            CHECK,
            format!("not checked to the end: the file takes longer than {} s", CHECK_TIME_MAX.as_secs()),
            "Run `sqlite3 -readonly store.db 'pragma quick_check'`, and give it the time that it needs.",
        ),
        Ok(found) => match found.map_err(failed(EXAMINING))?.as_str() {
            "ok" => Finding::ok(CHECK, "the quick check of SQLite finds no damage"),
            damage => Finding::problem(
                CHECK,
                format!("the file is damaged: {damage}"),
                "Stop the server, and put back a backup. Check the disk: SQLite does not damage files by itself.",
            ),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SqliteStore;
    use fieldvitals_store::diagnosis::Level;
    use sqlx::Connection as _;

    fn level(findings: &[Finding], check: &str) -> Level {
        let of_check = findings.iter().filter(|finding| finding.check == check);
        of_check.map(|finding| finding.level).max().unwrap_or_else(|| panic!("no {check} in {findings:#?}"))
    }

    async fn run(path: &Path, statement: &'static str) {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn healthy_store_has_no_finding_and_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let store = SqliteStore::open(&path).await.unwrap();
        let open = diagnose(&path, 0, None).await;
        assert!(open.iter().all(|finding| finding.level == Level::Ok), "{open:#?}");
        store.close().await;
        let before = std::fs::read(&path).unwrap();
        let closed = diagnose(&path, 0, None).await;
        assert!(closed.iter().all(|finding| finding.level == Level::Ok), "{closed:#?}");
        assert!(closed.len() >= 8, "{closed:#?}");
        assert!(std::fs::read(&path).unwrap() == before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no files beside it");
    }

    #[tokio::test]
    async fn missing_index_is_a_problem_and_a_foreign_one_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        SqliteStore::open(&path).await.unwrap().close().await;
        run(&path, "create index mine on page_view (url)").await;
        assert_eq!(level(&diagnose(&path, 0, None).await, "store.indexes"), Level::Warning);
        run(&path, "drop index page_view_route").await;
        let findings = diagnose(&path, 0, None).await;
        assert_eq!(level(&findings, "store.indexes"), Level::Problem);
        assert_eq!(level(&findings, "store.plans"), Level::Problem, "the scan of a route names the index");
        let (_, statement) = INDEXES.into_iter().find(|(name, _)| *name == "page_view_route").unwrap();
        assert!(findings.iter().any(|finding| finding.advice.contains(statement)), "{findings:#?}");
        for (name, statement) in INDEXES {
            let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
            let all = format!("drop index if exists {name}; drop index if exists mine; {statement}");
            sqlx::raw_sql(AssertSqlSafe(all)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
        assert_eq!(level(&diagnose(&path, 0, None).await, "store.indexes"), Level::Ok, "the advice repairs");
    }

    #[tokio::test]
    async fn damage_and_files_of_others_are_problems() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        SqliteStore::open(&path).await.unwrap().close().await;
        let mut bytes = std::fs::read(&path).unwrap();
        // A page in the middle, behind the schema.
        let middle = bytes.len() / 8_192 * 4_096;
        bytes[middle..middle + 64].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        let findings = diagnose(&path, 0, None).await;
        assert!(findings.iter().any(|finding| finding.level == Level::Problem), "{findings:#?}");

        let other = folder.path().join("other.db");
        run(&other, "create table users (name)").await;
        let findings = diagnose(&other, 0, None).await;
        assert!(findings.iter().any(|finding| finding.found.contains("table `users`")), "{findings:#?}");
    }

    #[test]
    fn scan_of_a_large_table_is_told_from_that_of_a_list() {
        assert!(reads_all("SCAN v") && reads_all("SCAN page_view"));
        assert!(
            !reads_all("SCAN j VIRTUAL TABLE INDEX 1:")
                && !reads_all("SEARCH v USING PRIMARY KEY (site_id=?)")
        );
    }
}
