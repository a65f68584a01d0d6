//! Runs the conformance tests of the store on Postgres.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::Fresh;
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::Database;
use std::sync::Arc;

async fn fresh() -> Fresh {
    let database = Database::migrated().await;
    let store = PostgresStore::open(&database.url).await.unwrap();
    Fresh { store: Arc::new(store), keep: Box::new(database) }
}

fieldvitals_store::conformance!(fresh);
