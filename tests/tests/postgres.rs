//! One server or two on Postgres.

use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::{Cluster, Database, Pooler};
use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::eventually;
use fieldvitals_tests::load::Load;
use fieldvitals_tests::server::{Launch, Server, run_to_the_end};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn a_beacon_is_taken_and_reported_from_postgres() {
    let database = Database::empty();
    let server = Server::start_with(&["--database-url", &database.url]).await;
    let values = json!({"LCP": 2400.0, "CLS": 0.3});
    let body = beacon(&server.key, view_id(1), "https://shop.example/p/42", &values);
    assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    let page = server.reported("/p/:id", &["LCP", "CLS"]).await;
    assert_eq!(page["views"], 1);
    assert_eq!(database.sql("select count(*) from page_view"), "1");
    assert!(!server.data_dir().join("store.db").exists(), "no embedded store beside it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_works_through_pgbouncer() {
    let database = Database::empty();
    let pooler = Pooler::start();
    let server = Server::start_with(&["--database-url", &pooler.url(&database)]).await;
    let mut load = Load::start(&server, 300, 16);
    load.more(600).await;
    load.finish().await;
    server.settled().await;
    let store = PostgresStore::open(&pooler.url(&database)).await.unwrap();
    load.judge(&server, Some(&store)).await.must_be_clean();
    store.close().await;
}

#[tokio::test]
async fn a_server_without_its_database_says_what_to_do() {
    let data_dir = tempfile::tempdir().unwrap();
    let url = "postgres://me:hush@127.0.0.1:1/vitals";
    let launch = Launch::with(&["--database-wait", "0", "--database-url", url]);
    let (code, message) = run_to_the_end(data_dir.path(), &launch).await;
    assert_eq!(code, Some(2));
    assert!(message.contains("127.0.0.1:1") && message.contains("is Postgres running"), "{message}");
    assert!(!message.contains("hush"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_closed_as_postgres_expects_it() {
    let cluster = Cluster::start_with_tls();
    let _ = cluster.sql("alter system set log_min_messages = debug1");
    let _ = cluster.sql("select pg_reload_conf()");
    let mut server = Server::start_with(&["--database-url", &cluster.url_at("localhost")]).await;
    let body = beacon(&server.key, view_id(1), "https://shop.example/", &json!({"LCP": 900.0}));
    assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    server.settled().await;
    assert_eq!(server.terminate().await, Some(0));
    let busy = "select count(*) from pg_stat_activity where application_name = 'fieldvitals'";
    eventually(|| async {
        let busy = cluster.sql(busy);
        if busy == "0" { Ok(()) } else { Err(format!("{busy} connections")) }
    })
    .await;
    let log = std::fs::read_to_string(cluster.dir().join("log")).unwrap();
    for rude in ["could not receive data from client", "unexpected EOF on client connection"] {
        assert!(!log.contains(rude), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_the_database_ends_says_what_to_ask_less_of() {
    let database = Arc::new(Database::empty());
    let server = Server::start_with(&["--database-url", &database.url]).await;
    let locking = Arc::clone(&database);
    // Locks the table and cancels the waiting report, as Postgres' statement timeout would.
    let holder = tokio::task::spawn_blocking(move || {
        locking.sql(
            "do $$ begin lock table page_view; \
             while not exists (select 1 from site where name = 'enough') loop \
             perform pg_cancel_backend(pid) from pg_stat_activity where datname = current_database() \
             and wait_event_type = 'Lock'; perform pg_sleep(0.05); end loop; end $$",
        )
    });
    eventually(|| async {
        let locks = database.sql(
            "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and relation = 'page_view'::regclass",
        );
        if locks == "1" { Ok(()) } else { Err(format!("{locks} locks")) }
    })
    .await;
    let refused = server.get("sites/default/attribution?metric=LCP").await.unwrap_err();
    let _ =
        database.sql("insert into site (name, origins, routes, created_ms) values ('enough', '[]', '[]', 0)");
    let _ = holder.await.unwrap();
    assert!(refused.starts_with("504 ") && refused.contains("\"too_slow\""), "{refused}");
    assert!(refused.contains("a shorter range, fewer metrics"), "{refused}");
}
