//! Runs conformance tests through a PgBouncer in transaction mode, which may give each transaction another session.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::{DAY0_MS, Fresh, load, site, update};
use fieldvitals_store::{Store, StoreError};
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::{Database, Pooler};
use std::sync::{Arc, OnceLock};

fn pooler() -> &'static Pooler {
    static POOLER: OnceLock<Pooler> = OnceLock::new();
    POOLER.get_or_init(Pooler::start)
}

async fn fresh() -> Fresh {
    let database = Database::migrated().await;
    let store = PostgresStore::open(&pooler().url(&database)).await.unwrap();
    Fresh { store: Arc::new(store), keep: Box::new(database) }
}

// These cases cover every kind of statement and transaction. Other cases do not depend on sessions.
fieldvitals_store::conformance_cases!(fresh:
    sites_and_keys,
    tokens,
    a_load_takes_place_whole_or_not,
    a_stale_cursor_is_refused,
    a_batch_of_many_views_is_read_back,
    concurrent_loaders_agree,
    a_question_beside_loads_and_maintenance_sees_one_state,
    cells_past_retention_are_gone,
    tallies_are_exact,
    violations_open_and_close,
    a_deleted_site_takes_everything_with_it,
);

#[test]
fn random_histories() {
    fieldvitals_store::conformance::random_histories(4, || async { vec![fresh().await] });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_migrate_through_it_at_once() {
    let database = Database::empty();
    let url = pooler().url(&database);
    let opened: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { PostgresStore::open(&url).await })
        })
        .collect();
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for store in opened {
        stores.push(Arc::new(store.await.unwrap().unwrap()));
    }
    let site = site(&stores[0], "a").await;
    for (number, store) in (0..).zip(&stores) {
        load(store, site, number, vec![update(DAY0_MS, u128::from(number), &[])]).await.unwrap();
    }
    assert_eq!(database.sql("select count(*) from page_view"), "6");
}

/// With `auth_type=any` PgBouncer replaces any user and password by its own, so a wrong password is not visible here; a
/// missing database is.
#[tokio::test]
async fn what_postgres_says_comes_through() {
    let database = Database::empty();
    let nowhere = pooler().url(&database).replace("fieldvitals_test_", "fieldvitals_nowhere_");
    let refused = PostgresStore::open(&nowhere).await.err();
    let Some(error @ StoreError::Database { .. }) = refused else { panic!("{refused:?}") };
    let message = error.to_string();
    assert!(message.contains("fieldvitals_nowhere_") && message.contains("pooler"), "{message}");
}
