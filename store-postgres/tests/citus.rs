//! The conformance suite on a Citus cluster, where `CITUS_URL` names the database of its coordinator: see
//! docs/scaling.md. Elsewhere nothing is tested here.
//!
//! Each case has a schema of its own, dropped with it.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::{DAY0_MS, Fresh, load, site, update};
use fieldvitals_store::{SpoolId, Store};
use fieldvitals_store_postgres::{PostgresStore, spread};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A schema of the cluster, dropped with this.
struct Schema {
    url: String,
    name: String,
}

impl Schema {
    async fn new(url: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let schema =
            Self { url: url.to_owned(), name: format!("fieldvitals_test_{}_{number}", std::process::id()) };
        schema.run(&format!("create schema {}", schema.name)).await;
        schema
    }

    /// The address at which the schema's tables are found by their bare names.
    fn address(&self) -> String {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{separator}options=-csearch_path%3D{}", self.url, self.name)
    }

    async fn spread(&self) {
        spread(&self.address()).await.unwrap();
    }

    async fn run(&self, sql: &str) {
        let mut connection = connect(&self.address()).await;
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// Connects as the store does: a certificate that Citus made for itself cannot be read.
async fn connect(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().unwrap();
    match options.connect().await {
        Ok(connection) => connection,
        Err(_) => options.ssl_mode(PgSslMode::Disable).connect().await.unwrap(),
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = connect(&url).await;
                // As dropping a database does by force: a transaction that the case has dropped is rolled back by
                // its runtime, which may wait here.
                let sql = format!(
                    "select pg_terminate_backend(pid) from (select distinct l.pid from pg_locks l \
                     join pg_database d on d.oid = l.database join pg_class c on c.oid = l.relation \
                     where d.datname = current_database() and c.relnamespace = '{name}'::regnamespace \
                     and l.pid <> pg_backend_pid()) holders; \
                     drop schema {name} cascade"
                );
                connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
            });
        });
        if dropped.join().is_err() && !std::thread::panicking() {
            panic!("the schema could not be dropped");
        }
    }
}

/// A store whose tables are not spread yet.
async fn open() -> Option<(Schema, Arc<dyn Store>)> {
    let url = std::env::var("CITUS_URL").ok()?;
    let schema = Schema::new(&url).await;
    let store = PostgresStore::open(&schema.address()).await.unwrap();
    Some((schema, Arc::new(store)))
}

async fn fresh() -> Option<Fresh> {
    let (schema, store) = open().await?;
    schema.spread().await;
    Some(Fresh { store, keep: Box::new(schema) })
}

fieldvitals_store::conformance!(fresh);

/// What another server dropped, after a clock that jumped, is made again: the coordinator does not say that it was
/// the partition that was missing.
#[tokio::test]
async fn a_partition_that_is_gone_is_made_again() {
    let Some((schema, store)) = open().await else { return };
    schema.spread().await;
    let site = site(&store, "a").await;
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    schema.run(&format!("select page_view_day_drop({DAY0_MS})")).await;
    load(&store, site, 1, vec![update(DAY0_MS, 2, &[])]).await.unwrap();
    let views = store.views(site, None, 10).await.unwrap();
    assert_eq!(views.iter().map(|view| view.update.id).collect::<Vec<_>>(), [update(DAY0_MS, 2, &[]).id]);
}

#[tokio::test]
async fn tables_that_are_spread_stay_so() {
    let Some((schema, store)) = open().await else { return };
    let first = spread(&schema.address()).await.unwrap();
    assert_eq!((first.tables, first.moved), (10, 10));
    let site = site(&store, "a").await;
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    assert_eq!(spread(&schema.address()).await.unwrap().moved, 0);
    assert_eq!(store.views(site, None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_tables_hold_is_moved_and_nothing_of_it_stays_on_the_coordinator() {
    let Some((schema, store)) = open().await else { return };
    let site = site(&store, "a").await;
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    let before = store.views(site, None, 10).await.unwrap();
    schema.spread().await;
    assert_eq!(
        (store.views(site, None, 10).await.unwrap(), store.cursor(site, SpoolId([1; 16])).await.unwrap()),
        (before, 1)
    );
    let full = "select count(*) from pg_dist_partition p join pg_class c on c.oid = p.logicalrelid \
                where c.relnamespace = current_schema()::regnamespace and pg_relation_size(c.oid) > 0";
    let mut connection = connect(&schema.address()).await;
    assert_eq!(connection.fetch_one(full).await.unwrap().get::<i64, _>(0), 0);
}
