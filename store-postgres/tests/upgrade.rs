//! Tests that a database from before a migration is brought up to date.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::Store;
use fieldvitals_store::conformance::upgrade;
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::Database;
use std::sync::Arc;

async fn open(database: &Database) -> Arc<dyn Store> {
    Arc::new(PostgresStore::open(&database.url).await.unwrap())
}

/// Makes a database what it was before the rows of the site.
const DOWNGRADE: &str = "delete from rollup_hour where block = -9; delete from rollup_day where block = -9; \
    drop table rollup_lacking; drop table deploy_mark; alter table site drop column timezone; alter table site drop column route_groups; alter table kept drop column site_hours_from_ms; alter table maintenance_claim rename to lease; \
    alter table access_token drop column rate_per_s; alter table access_token rename to api_token; alter table api_token drop column sites; drop table audit; alter table violation drop column dismissed_ms; alter table violation drop column dismissed_by; \
    drop table budget_file; drop table standing; drop table alert; drop table alert_notice; drop table task_lease; drop table digest; drop table retention; \
    alter table site drop column reserved; \
    delete from _sqlx_migrations where version > 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_rows_of_the_site_answers_alike_while_it_gets_them() {
    let (database, twin) = (Database::empty(), Database::empty());
    let (store, twin_store) = (open(&database).await, open(&twin).await);
    let site = upgrade::fill(&store).await;
    assert_eq!(upgrade::fill(&twin_store).await, site);
    store.close().await;
    let _ = database.sql(DOWNGRADE);
    let store = open(&database).await;
    let stop_at = |day: i64| {
        let _ = database.sql(&format!(
            "delete from rollup_day where step < {day} and block = -9; \
             delete from rollup_hour where step < {day} * 24 and block = -9; \
             insert into rollup_lacking select site_id, {day} from site"
        ));
        std::future::ready(())
    };
    upgrade::upgrade_answers_alike(&store, &twin_store, site, stop_at).await;
    let rows = "select (select count(*) from rollup_hour where step >= (select hours_from_ms / 3600000 from kept)), \
        (select count(*) from rollup_day)";
    assert_eq!(database.sql(rows), twin.sql(rows));
}
