//! Asks the sockets of the store for `TCP_NODELAY`. The only test of its program, because it sees all connections.

#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use fieldvitals_store::conformance::{DAY0_MS, load, site, update};
use fieldvitals_store::{CellQuery, Store};
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::Cluster;
use std::sync::Arc;

#[tokio::test]
async fn connections_to_the_database_send_at_once() {
    let cluster = Cluster::start();
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open(&cluster.url()).await.unwrap());
    let site = site(&store, "a").await;
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    store.cells(&CellQuery::new(site, DAY0_MS, DAY0_MS + 1)).await.unwrap();
    let (all, at_once) = cluster.connections();
    assert!(all >= 2, "{all} connections of two pools");
    assert_eq!(at_once, all);
}
