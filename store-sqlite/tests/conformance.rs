//! Runs the conformance tests of the store on SQLite.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::Fresh;
use fieldvitals_store_sqlite::SqliteStore;
use std::sync::Arc;

async fn fresh() -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("store.db")).await.unwrap();
    Fresh { store: Arc::new(store), keep: Box::new(directory) }
}

fieldvitals_store::conformance!(fresh);
