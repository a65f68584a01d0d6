//! A server, or two, on Postgres.

use fieldvitals_store_postgres::testing::Database;
use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::server::{Server, binary};
use serde_json::json;
use std::process::Stdio;
use tokio::process::Command;

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

#[tokio::test]
async fn a_server_without_its_database_says_what_to_do() {
    let data_dir = tempfile::tempdir().unwrap();
    let output = Command::new(binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--database-url", "postgres://me:hush@127.0.0.1:1/vitals"])
        .arg("--data-dir")
        .arg(data_dir.path())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(message.contains("127.0.0.1:1") && message.contains("is Postgres running"), "{message}");
    assert!(!message.contains("hush"), "{message}");
}
