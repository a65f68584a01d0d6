//! Random histories on both backends: each backend answers like the model, and so like the other backend.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::{Fresh, random_histories};
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::Database;
use fieldvitals_store_sqlite::SqliteStore;
use std::sync::Arc;

#[test]
fn both_backends_answer_alike() {
    random_histories(24, || async {
        let dir = tempfile::tempdir().unwrap();
        let sqlite = SqliteStore::open(&dir.path().join("store.db")).await.unwrap();
        let database = Database::migrated().await;
        let postgres = PostgresStore::open(&database.url).await.unwrap();
        vec![
            Fresh { store: Arc::new(sqlite), keep: Box::new(dir) },
            Fresh { store: Arc::new(postgres), keep: Box::new(database) },
        ]
    });
}
