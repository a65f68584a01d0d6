//! The plans and the costs of our own statements.

use super::{EXAMINING, LARGE_ROWS};
use crate::error::failed;
use crate::sql::{self, Statement};
use crate::{query, rows, view};
use fieldvitals_store::StoreError;
use fieldvitals_store::diagnosis::Finding;
use fieldvitals_store::rollup::{Grain, slots};
use serde_json::Value;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use std::collections::HashMap;
use vitals::view::ViewId;

const DAY_MS: i64 = 86_400_000;
/// Days that the examined questions ask for, as the dashboard does at first.
const ASKED_DAYS: i64 = 7;
/// Page views that the examined load looks up.
const KNOWN_VIEWS: u32 = 100;
/// Share of a large table from which reading it whole is no waste.
const SHARE_MIN: f64 = 0.1;
/// Mean time of a statement from which its question is slow, in milliseconds: the warning of `/api/v1/status` is at a p95 of
/// 100 ms, its critical limit at 500 ms.
const MEAN_MS_MAX: f64 = 500.0;
/// Statements in the output.
const STATEMENTS_MAX: i64 = 5;

/// Judges the plans of our main statements over the real tables. Explains, and does not run them.
pub(super) async fn plans(connection: &mut PgConnection, now_ms: i64) -> Result<Vec<Finding>, StoreError> {
    const CHECK: &str = "store.plans";
    let mut transaction = connection.begin_with(sql::LOOK).await.map_err(failed(EXAMINING))?;
    let tables: HashMap<String, f64> = sql::query(
        "/* doctor.sizes */ select relname::text, reltuples::float8 from pg_class \
         where relnamespace = to_regnamespace(current_schema()) and relkind in ('r', 'p')",
    )
    .fetch_all(&mut *transaction)
    .await
    .and_then(|rows| rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect())
    .map_err(failed(EXAMINING))?;
    let busiest = sql::query(
        "/* doctor.site */ select r.site_id, max(r.route_id) from route r group by r.site_id order by count(*) desc limit 1",
    )
    .fetch_optional(&mut *transaction)
    .await
    .and_then(|row| row.map(|row: PgRow| Ok((row.try_get(0)?, row.try_get(1)?))).transpose())
    .map_err(failed(EXAMINING))?;
    let Some((site, route)) = busiest else {
        transaction.commit().await.map_err(failed(EXAMINING))?;
        return Ok(vec![Finding::ok(CHECK, "no page views yet, so no plans to judge")]);
    };
    let mut findings = Vec::new();
    for (what, statement) in statements_of(site, route, now_ms) {
        let row = statement.fetch_one(&mut *transaction).await.map_err(failed(EXAMINING))?;
        let text = row.try_get_raw(0).and_then(|value| value.as_str().map_err(sqlx::Error::Decode));
        let plan: Value =
            text.map_err(failed(EXAMINING)).map(|text| serde_json::from_str(text).unwrap_or_default())?;
        findings.extend(wasteful(&plan, &tables).map(|table| {
            Finding::warning(
                CHECK,
                format!("{what}: Postgres would read the table {table} whole, for a small part of its rows"),
                format!(
                    "Run `analyze {table}`. If the plan stays: are its indexes valid, and is random_page_cost that of \
                     your disk (1.1 for SSDs)?"
                ),
            )
        }));
    }
    transaction.commit().await.map_err(failed(EXAMINING))?;
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "the main statements read no large table whole"));
    }
    Ok(findings)
}

/// The explained statements of a site, by what they serve.
fn statements_of(site: i64, route: i64, now_ms: i64) -> [(&'static str, Statement); 4] {
    // The text is static, and nothing runs.
    let explain = |statement: &str| {
        sqlx::query(AssertSqlSafe(format!("explain (format json) {statement}"))).persistent(false)
    };
    let from_ms = now_ms.saturating_sub(ASKED_DAYS * DAY_MS);
    let scan = |route: Option<i64>| {
        explain(query::SCAN)
            .bind(site)
            .bind(view::first_id(from_ms))
            .bind(view::first_id(now_ms))
            .bind(route)
            .bind(None::<i16>)
            .bind(None::<String>)
            .bind(None::<String>)
            .bind(None::<String>)
            .bind(None::<i16>)
            .bind(None::<String>)
            .bind(0_i16)
            .bind(None::<i16>)
            .bind(false)
    };
    let rollups = {
        let mut statement = explain(rows::READ_ALL).bind(site).bind(slots().collect::<Vec<i16>>());
        for grain in Grain::ALL {
            statement = statement
                .bind(vec![grain.step(from_ms)])
                .bind(vec![grain.step(now_ms)])
                .bind(vec![0_i16])
                .bind(vec![i16::MAX]);
        }
        statement.bind(now_ms.saturating_sub(DAY_MS)).bind(now_ms)
    };
    let start_ms = u64::try_from(now_ms.saturating_sub(DAY_MS)).unwrap_or_default();
    let ids: Vec<_> =
        (0..KNOWN_VIEWS).map(|number| view::uuid(ViewId::new(start_ms, u128::from(number)))).collect();
    let (first, last) = (ids.first().copied().unwrap_or_default(), ids.last().copied().unwrap_or_default());
    let known =
        explain(view::KNOWN).bind(Some(site)).bind(vec![site; ids.len()]).bind(ids).bind(first).bind(last);
    [
        ("page views of a route", scan(Some(route))),
        ("page views of a site", scan(None)),
        ("rollups and deltas", rollups),
        ("known page views of a load", known),
    ]
}

/// Returns the large tables that a plan reads whole for a small part of their rows.
fn wasteful<'a>(plan: &'a Value, tables: &'a HashMap<String, f64>) -> Box<dyn Iterator<Item = &'a str> + 'a> {
    match plan {
        Value::Array(nodes) => Box::new(nodes.iter().flat_map(|node| wasteful(node, tables))),
        Value::Object(node) => {
            let below = [node.get("Plan"), node.get("Plans")].into_iter().flatten();
            let table = node.get("Relation Name").and_then(Value::as_str);
            let is_whole = node.get("Node Type").and_then(Value::as_str) == Some("Seq Scan");
            let rows = node.get("Plan Rows").and_then(Value::as_f64).unwrap_or_default();
            let table = table.filter(|&table| {
                let all = tables.get(table).copied().unwrap_or_default();
                is_whole && all >= LARGE_ROWS && rows < all * SHARE_MIN
            });
            Box::new(table.into_iter().chain(below.flat_map(|node| wasteful(node, tables))))
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// Judges our statements by `pg_stat_statements`, if the database has it. Their texts begin with their names.
pub(super) async fn statements(connection: &mut PgConnection) -> Finding {
    const CHECK: &str = "store.statements";
    match read_statements(connection).await {
        Ok(Some(found)) => judge_statements(&found),
        Ok(None) => Finding::ok(
            CHECK,
            "pg_stat_statements is not installed; with it, this names the slowest statements",
        ),
        Err(error) => Finding::ok(CHECK, format!("pg_stat_statements cannot be read: {error}")),
    }
}

/// Name, calls, mean and total time in milliseconds.
type Timed = (String, i64, f64, f64);

async fn read_statements(connection: &mut PgConnection) -> Result<Option<Vec<Timed>>, StoreError> {
    let mut transaction = connection.begin_with(sql::LOOK).await.map_err(failed(EXAMINING))?;
    let row = sql::query("/* doctor.extension */ select to_regclass('pg_stat_statements') is not null")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed(EXAMINING))?;
    if !row.try_get::<bool, _>(0).map_err(failed(EXAMINING))? {
        return Ok(None);
    }
    let rows = sql::query(
        r"/* doctor.statements */ select substring(query from '^/\* ([a-z_.]+) \*/'), sum(calls)::bigint,
        sum(total_exec_time) / greatest(sum(calls), 1)::float8, sum(total_exec_time) from pg_stat_statements
        where query ~ '^/\* [a-z_.]+ \*/' and query !~ '^/\* doctor' and calls > 0
        and dbid = (select oid from pg_database where datname = current_database())
        group by 1 order by 4 desc limit $1",
    )
    .bind(STATEMENTS_MAX)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(EXAMINING))?;
    transaction.commit().await.map_err(failed(EXAMINING))?;
    let timed = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
    let found: Result<_, sqlx::Error> = rows.iter().map(timed).collect();
    found.map(Some).map_err(failed(EXAMINING))
}

fn judge_statements(found: &[Timed]) -> Finding {
    const CHECK: &str = "store.statements";
    let listed: Vec<String> = found
        .iter()
        .map(|(name, calls, mean_ms, total_ms)| {
            format!("{name}: {calls} calls, mean {mean_ms:.1} ms, {:.1} s in all", total_ms / 1_000.0)
        })
        .collect();
    let slow: Vec<&str> = found
        .iter()
        .filter(|(_, _, mean_ms, _)| *mean_ms > MEAN_MS_MAX)
        .map(|(name, ..)| name.as_str())
        .collect();
    let found = match listed.is_empty() {
        true => "pg_stat_statements has none of fieldvitals yet".to_owned(),
        false => format!("most time of: {}", listed.join("; ")),
    };
    if slow.is_empty() {
        return Finding::ok(CHECK, found);
    }
    Finding::warning(
        CHECK,
        found,
        format!(
            "{} take more than {MEAN_MS_MAX} ms on average. Give the database memory for its working set \
             (shared_buffers), ask for shorter periods, or keep page views for fewer days.",
            slow.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::diagnosis::Level;
    use serde_json::json;

    #[test]
    fn whole_read_of_a_large_table_for_few_rows_is_wasteful() {
        let tables = HashMap::from([("big".to_owned(), 1e6), ("small".to_owned(), 1e3)]);
        let scan = |kind: &str, table: &str, rows: f64| {
            json!([{"Plan": {"Node Type": "Append", "Plans": [
                {"Node Type": kind, "Relation Name": table, "Plan Rows": rows}]}}])
        };
        let found = |plan: Value| wasteful(&plan, &tables).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(found(scan("Seq Scan", "big", 10.0)), ["big"]);
        assert!(found(scan("Seq Scan", "big", 500_000.0)).is_empty(), "most of its rows are asked for");
        assert!(found(scan("Index Scan", "big", 10.0)).is_empty());
        assert!(found(scan("Seq Scan", "small", 1.0)).is_empty());
    }

    #[test]
    fn slow_statement_is_a_warning_that_names_it() {
        let finding = judge_statements(&[("view.scan".to_owned(), 10, 900.0, 9_000.0)]);
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.found.contains("view.scan: 10 calls, mean 900.0 ms, 9.0 s in all"), "{finding:?}");
        assert_eq!(judge_statements(&[("view.scan".to_owned(), 10, 9.0, 90.0)]).level, Level::Ok);
    }
}
