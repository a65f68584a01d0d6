//! The conformance suite on a Citus cluster, where `CITUS_URL` names the database of its coordinator: see
//! docs/scaling.md. Elsewhere nothing is tested here.
//!
//! Each case has a schema of its own, dropped with it.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::Store;
use fieldvitals_store::conformance::{self, Fresh};
use fieldvitals_store_postgres::PostgresStore;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const DISTRIBUTE: &str = include_str!("../../migrations/postgres-citus/distribute.sql");

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
                let sql = format!("drop schema {name} cascade");
                connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
            });
        });
        if dropped.join().is_err() && !std::thread::panicking() {
            panic!("the schema could not be dropped");
        }
    }
}

async fn fresh() -> Option<Fresh> {
    let url = std::env::var("CITUS_URL").ok()?;
    let schema = Schema::new(&url).await;
    let store = PostgresStore::open(&schema.address()).await.unwrap();
    schema.run(DISTRIBUTE).await;
    Some(Fresh { store: Arc::new(store) as Arc<dyn Store>, keep: Box::new(schema) })
}

macro_rules! cases {
    ($($case:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(fresh) = fresh().await {
                    conformance::$case(Arc::clone(&fresh.store)).await;
                }
            }
        )+
    };
}
cases!(
    a_batch_of_many_views_is_read_back,
    a_copy_answers_as_the_original,
    a_deleted_site_takes_everything_with_it,
    a_load_takes_place_whole_or_not,
    a_question_beside_loads_and_maintenance_sees_one_state,
    a_stale_cursor_is_refused,
    a_view_that_changes_route_leaves_its_old_cell,
    cells_past_retention_are_gone,
    concurrent_loaders_agree,
    foreign_metrics_are_joined_over_loads,
    labels_have_a_bound,
    loading_again_changes_nothing,
    odd_ranges_are_answered,
    old_edges_are_whole_days,
    releases_are_told_apart,
    rollups_are_rebuilt_beside_loads,
    routes_are_any_text,
    routes_have_a_bound,
    sites_and_keys,
    tallies_are_exact,
    the_same_view_on_two_sites_is_two_views,
    tokens,
    updates_past_retention_change_nothing,
    violations_open_and_close,
);
