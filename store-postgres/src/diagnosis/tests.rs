//! Doctor's findings about real databases.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::PostgresStore;
use crate::testing::Database;
use fieldvitals_store::Store;
use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
use fieldvitals_store::diagnosis::Level;
use std::sync::Arc;

fn worst(findings: &[Finding], check: &str) -> Level {
    let of_check = findings.iter().filter(|finding| finding.check == check);
    of_check.map(|finding| finding.level).max().unwrap_or_else(|| panic!("no {check} in {findings:#?}"))
}

async fn run(url: &str, statement: &'static str) {
    let (mut connection, _) = schema::reach(url).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
}

#[tokio::test]
async fn healthy_database_has_no_warning_and_a_broken_one_says_why() {
    let database = Database::empty();
    let empty = diagnose(&database.url, DAY0_MS, None).await;
    assert_eq!(worst(&empty, "store.schema"), Level::Warning, "no schema yet");

    let store: Arc<dyn Store> = Arc::new(PostgresStore::open(&database.url).await.unwrap());
    let site = site(&store, "a").await;
    load(&store, site, 0, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    let healthy = diagnose(&database.url, DAY0_MS, None).await;
    assert!(healthy.iter().all(|finding| finding.level == Level::Ok), "{healthy:#?}");
    assert!(healthy.iter().any(|finding| finding.check == "store.plans"), "{healthy:#?}");

    let (mut connection, _) = schema::reach(&database.url).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relnamespace = to_regnamespace(current_schema()) \
         and relkind in ('r', 'p') and relname <> '_sqlx_migrations' \
         and oid not in (select inhrelid from pg_inherits) order by relname",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(tables, TABLES);
    run(&database.url, "create table others (n integer); create index others_n on others (n)").await;
    let shared = diagnose(&database.url, DAY0_MS, None).await;
    assert!(shared.iter().all(|finding| finding.level == Level::Ok), "tables of others: {shared:#?}");

    let late = diagnose(&database.url, DAY0_MS + 40 * 86_400_000, None).await;
    assert_eq!(worst(&late, "store.retention"), Level::Warning);

    run(&database.url, "drop index page_view_route; create index mine on site (origins)").await;
    let broken = diagnose(&database.url, DAY0_MS, None).await;
    assert_eq!(worst(&broken, "store.indexes"), Level::Problem);
    assert!(
        broken.iter().any(|finding| finding.advice.contains("create index page_view_route")),
        "{broken:#?}"
    );
    assert!(
        broken.iter().any(|finding| finding.found.contains("`mine` is not made by fieldvitals")),
        "{broken:#?}"
    );

    run(&database.url, "drop index mine").await;
    for (name, statement) in INDEXES {
        let (mut connection, _) = schema::reach(&database.url).await.unwrap();
        let all = format!("drop index if exists {name}; {statement}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(all)).execute(&mut connection).await.unwrap();
    }
    let repaired = diagnose(&database.url, DAY0_MS, None).await;
    assert_eq!(worst(&repaired, "store.indexes"), Level::Ok, "the advice repairs: {repaired:#?}");

    run(
        &database.url,
        "do $$ begin execute format('alter database %I connection limit 5', current_database()); end $$",
    )
    .await;
    assert_eq!(worst(&diagnose(&database.url, DAY0_MS, None).await, "store.connections"), Level::Problem);
}

#[tokio::test]
async fn database_that_is_away_is_one_problem() {
    let findings = diagnose("postgres://nobody@127.0.0.1:1/none", 0, None).await;
    assert!(findings.len() == 1 && findings[0].level == Level::Problem, "{findings:#?}");
}

#[test]
fn clocks_are_compared_in_both_directions() {
    let level = |ahead_ms| judge_clock(ahead_ms).level;
    assert_eq!([level(1_999), level(-1_999)], [Level::Ok; 2]);
    assert_eq!([level(2_000), level(-2_000)], [Level::Warning; 2]);
    assert_eq!([level(300_000), level(-300_000), level(i64::MIN)], [Level::Problem; 3]);
    assert!(judge_clock(-90_000).found.contains("90.0 s behind this machine's"));
}

#[test]
fn tables_without_statistics_or_vacuum_are_named() {
    let table =
        |live, dead, is_analyzed| judge_tables(&[("page_view_1".to_owned(), live, dead, is_analyzed)]);
    assert_eq!(table(9_999, 0, false)[0].level, Level::Ok);
    assert!(table(10_000, 0, false)[0].found.contains("never analyzed: page_view_1"));
    assert!(table(150_000, 200_000, true)[0].found.contains("more dead rows"));
    assert_eq!(table(150_000, 100_000, true)[0].level, Level::Ok);
}
