//! The file itself: opening it, sharing it, and what is said when it is not right.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::{DAY0_MS, everything, load, site, update};
use fieldvitals_store::rollup::{DAY_MS, route_id};
use fieldvitals_store::{Retention, SiteId, Store, StoreError};
use fieldvitals_store_sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use std::path::Path;
use std::sync::Arc;
use vitals::metric::Metric;

async fn open(path: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(path).await.unwrap())
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

#[tokio::test]
async fn a_file_is_created_with_its_folder_and_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let id = site(&(Arc::new(store) as Arc<dyn Store>), "a").await;
    let again = open(&path).await;
    assert_eq!(again.sites().await.unwrap()[0].id, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_open_a_new_file_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { SqliteStore::open(&path).await.map(drop) })
        })
        .collect();
    for opened in opened {
        opened.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_may_write_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let (server, command_line) = (open(&path).await, open(&path).await);
    let shop = site(&server, "shop").await;
    let loader = tokio::spawn(async move {
        for i in 0..50 {
            load(&server, shop, 1, vec![update(DAY0_MS + i, 1, &[])]).await.unwrap();
        }
        server
    });
    for i in 0..20 {
        site(&command_line, &format!("site-{i}")).await;
        command_line.maintain(DAY0_MS, Retention::default()).await.unwrap();
    }
    let server = loader.await.unwrap();
    assert_eq!(server.sites().await.unwrap().len(), 21);
    let query = everything(shop, DAY0_MS, DAY0_MS + DAY_MS);
    assert_eq!(command_line.cells(&query).await.unwrap()[0].cell.views, 50);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    open(&path).await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (9999, 'of the future', true, x'00', 0)",
    )
    .execute(&mut raw(&path).await)
    .await
    .unwrap();
    let refused = SqliteStore::open(&path).await.err();
    let Some(StoreError::NewerSchema { found: 9999, known }) = refused else { panic!("{refused:?}") };
    assert!(known < 9999);
    assert!(refused.unwrap().to_string().contains("install the newer release"));
}

#[tokio::test]
async fn what_is_wrong_is_said_with_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "These are not the pages of a database. ".repeat(100)).unwrap();
    let message = SqliteStore::open(&text).await.err().unwrap().to_string();
    assert!(message.contains("notes.txt") && message.contains("no store"), "{message}");
    let below_a_file = text.join("store.db");
    let message = SqliteStore::open(&below_a_file).await.err().unwrap().to_string();
    assert!(message.contains("notes.txt") && message.contains("directory"), "{message}");
}

#[tokio::test]
async fn a_route_whose_id_is_taken_gets_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let site = site(&store, "a").await;
    sqlx::query("insert into route (site_id, route_id, route) values (?, ?, '/squatter')")
        .bind(site.0)
        .bind(route_id("/", 0))
        .execute(&mut raw(&path).await)
        .await
        .unwrap();
    let mut squatter = update(DAY0_MS, 2, &[]);
    squatter.route = "/squatter".to_owned();
    for seq in 0..2 {
        load(&store, site, seq, vec![update(DAY0_MS, 1, &[]), squatter.clone()]).await.unwrap();
        store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    }
    let found = store.cells(&everything(site, DAY0_MS, DAY0_MS + DAY_MS)).await.unwrap();
    let found: Vec<_> = found.iter().map(|cell| (cell.route.as_str(), cell.cell.views)).collect();
    assert_eq!(found, [("/", 1), ("/squatter", 1)]);
    let ids: Vec<(i64,)> = sqlx::query_as("select route_id from route where route = '/'")
        .fetch_all(&mut raw(&path).await)
        .await
        .unwrap();
    assert_eq!(ids, [(route_id("/", 1),)]);
}

#[tokio::test]
async fn a_deletion_that_was_cut_short_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let site = site(&store, "a").await;
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    // The first step of a deletion, as a server that died then left it.
    let mut raw = raw(&path).await;
    for sql in ["delete from site_key", "delete from site", "insert into site_deleted (site_id) values (1)"] {
        sqlx::query(sql).execute(&mut raw).await.unwrap();
    }
    assert_eq!(site, SiteId(1));
    store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from page_view) + (select count(*) from route) \
         + (select count(*) from rollup_delta) + (select count(*) from load_cursor) \
         + (select count(*) from site_deleted)",
    )
    .fetch_one(&mut raw)
    .await
    .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_transaction_that_sqlite_rolled_back_by_itself_does_no_further_harm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let site = site(&store, "a").await;
    // What a full disk does to a transaction.
    sqlx::query(
        "create trigger full before insert on page_view begin select raise(rollback, 'disk full'); end",
    )
    .execute(&mut raw(&path).await)
    .await
    .unwrap();
    for _ in 0..3 {
        let refused = load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await;
        let Err(StoreError::Database { reason, .. }) = refused else { panic!("{refused:?}") };
        assert!(reason.contains("disk full"), "{reason}");
    }
    sqlx::query("drop trigger full").execute(&mut raw(&path).await).await.unwrap();
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    // Seen from outside, so it is committed and not only written.
    let other = open(&path).await;
    let found = other.cells(&everything(site, DAY0_MS, DAY0_MS + DAY_MS)).await.unwrap();
    assert_eq!(found[0].cell.views, 1);
}

#[tokio::test]
async fn folding_takes_any_number_of_deltas() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let site = site(&store, "a").await;
    // More rows than are read at once, of more cells than one transaction folds.
    for hour in 0..40 {
        let updates = (0..120).map(|i| {
            let mut update = update(DAY0_MS + hour * 3_600_000, i, &[(Metric::Lcp, 1.0)]);
            update.route = format!("/{i}");
            update
        });
        load(&store, site, 1, updates.collect()).await.unwrap();
        load(&store, site, 1, vec![update(DAY0_MS + hour * 3_600_000, 999, &[])]).await.unwrap();
    }
    let query = everything(site, DAY0_MS, DAY0_MS + 2 * DAY_MS);
    let before = store.cells(&query).await.unwrap();
    let done = store.maintain(DAY0_MS + 2 * DAY_MS, Retention::default()).await.unwrap();
    assert_eq!(done.deltas_folded, 80);
    assert_eq!(store.cells(&query).await.unwrap(), before);
    assert_eq!(before.iter().map(|cell| cell.cell.views).sum::<i64>(), 40 * 121);
}
