//! Tests that a store from before a migration is brought up to date.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::Store;
use fieldvitals_store::conformance::upgrade;
use fieldvitals_store_sqlite::SqliteStore;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::path::Path;
use std::sync::Arc;

async fn open(path: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(path).await.unwrap())
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

/// Makes a store what it was before the rows of the site.
async fn downgrade(path: &Path) {
    sqlx::raw_sql(
        "delete from rollup_hour where block = -9; delete from rollup_day where block = -9; \
         drop table rollup_lacking; drop table deploy_mark; alter table site drop column timezone; alter table site drop column route_groups; alter table kept drop column site_hours_from_ms; alter table rollup_state rename to rollup_version; \
         alter table access_token drop column rate_per_s; alter table access_token rename to api_token; alter table api_token drop column sites; drop table audit; alter table violation drop column dismissed_ms; alter table violation drop column dismissed_by; \
    drop table budget_file; drop table standing; drop table alert; drop table alert_notice; drop table task_lease; drop table digest; drop table retention; \
    alter table site drop column reserved; \
         delete from _sqlx_migrations where version > 1",
    )
    .execute(&mut raw(path).await)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_store_without_rows_of_the_site_answers_alike_while_it_gets_them() {
    let directory = tempfile::tempdir().unwrap();
    let [path, twin] = ["store.db", "twin.db"].map(|name| directory.path().join(name));
    let store = open(&path).await;
    let site = upgrade::fill(&store).await;
    store.close().await;
    downgrade(&path).await;
    let (store, twin_store) = (open(&path).await, open(&twin).await);
    assert_eq!(upgrade::fill(&twin_store).await, site);
    let path = &path;
    upgrade::upgrade_answers_alike(&store, &twin_store, site, |day| async move {
        let mut raw = raw(path).await;
        for sql in [
            "delete from rollup_day where step < ? and block = -9",
            "delete from rollup_hour where step < ? * 24 and block = -9",
            "insert into rollup_lacking select site_id, ? from site",
        ] {
            sqlx::query(sql).bind(day).execute(&mut raw).await.unwrap();
        }
    })
    .await;
    let rows = async |path: &Path| -> (i64, i64) {
        sqlx::query_as("select (select count(*) from rollup_hour where step >= (select hours_from_ms / 3600000 from kept)), \
             (select count(*) from rollup_day)")
            .fetch_one(&mut raw(path).await)
            .await
            .unwrap()
    };
    assert_eq!(rows(path).await, rows(&twin).await);
}
