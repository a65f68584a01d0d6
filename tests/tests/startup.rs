//! A start that cannot be: what is wrong is said, at once where waiting would not help, and a database is
//! never left half migrated.

#![allow(clippy::unwrap_used)]

use fieldvitals_store_postgres::testing::Cluster;
use fieldvitals_tests::proxy::Proxy;
use fieldvitals_tests::server::{Launch, Server, run_to_the_end};
use std::time::Duration;
use tempfile::TempDir;

/// What a start on this database comes to, were it to wait for ten minutes: the end that is expected must
/// come without that.
async fn refused(url: &str) -> String {
    let folder = TempDir::new().unwrap();
    let launch = Launch::with(&["--database-wait", "600", "--database-url", url]);
    let (code, log) = run_to_the_end(folder.path(), &launch).await;
    assert_eq!(code, Some(2), "{log}");
    assert!(!log.contains("waiting for the store") && !log.contains("panicked"), "{log}");
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_pass_is_told_at_once() {
    let cluster = Cluster::start();
    let _ = cluster
        .sql("create user guarded password 'right'; revoke create on schema public from public, guarded");
    let guarded = |password| format!("{}&user=guarded&password={password}", cluster.url());
    let log = refused(&guarded("wrong-one")).await;
    assert!(log.contains("check user and password") && !log.contains("wrong-one"), "{log}");
    let log = refused(&guarded("right")).await;
    assert!(log.contains("grant create on schema public"), "{log}");
    let log = refused(&cluster.url().replace("/postgres?", "/nowhere?")).await;
    assert!(log.contains("createdb"), "{log}");
    let log = refused("postgres://[").await;
    assert!(log.contains("postgres://USER:PASSWORD@HOST:PORT/NAME"), "{log}");
    let log = refused("mysql://me@db/vitals").await;
    assert!(log.contains("`mysql:` is no database that fieldvitals can use"), "{log}");

    let mut server = Server::launch(Launch::with(&["--database-url", &cluster.url()])).await;
    assert_eq!(server.terminate().await, Some(0));
    let _ = cluster.sql(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (9999, 'of the future', true, '', 0)",
    );
    let log = refused(&cluster.url()).await;
    assert!(log.contains("schema version 9999") && log.contains("install the newer release"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_waited_for() {
    let cluster = Cluster::start();
    let proxy = Proxy::start(&cluster.socket()).await;
    proxy.cut();
    let folder = TempDir::new().unwrap();
    let url = proxy.url();
    let launch = Launch::with(&["--database-wait", "1", "--database-url", &url]);
    let (code, log) = run_to_the_end(folder.path(), &launch).await;
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("waiting for the store") && log.contains("--database-url"), "{log}");

    let before = proxy.connections();
    let (server, ()) = tokio::join!(Server::launch(Launch::with(&["--database-url", &url])), async {
        while proxy.connections() < before + 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        proxy.pass();
    });
    let log = server.log();
    assert!(log.contains("waiting for the store"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_while_it_migrates_leaves_nothing() {
    let cluster = Cluster::start();
    let proxy = Proxy::start(&cluster.socket()).await;
    let launch = Launch::with(&["--database-url", &proxy.url()]);
    let tables = || {
        cluster.sql(
            "select (select count(*) from pg_class where relnamespace = 'public'::regnamespace) \
             + (select count(*) from pg_proc where pronamespace = 'public'::regnamespace)",
        )
    };
    // Bytes that a whole start sends.
    let mut server = Server::launch(launch.clone()).await;
    assert_eq!(server.terminate().await, Some(0));
    let (whole, all) = (proxy.bytes_up(), tables());
    assert_ne!(all, "0");
    let mut cut_short = 0;
    proxy.delay(Duration::from_millis(5), Duration::from_millis(5));
    for eighth in 0..8 {
        let _ = cluster.sql("drop schema public cascade; create schema public");
        let folder = TempDir::new().unwrap();
        let goal = proxy.bytes_up() + whole * eighth / 8;
        let mut child = launch.spawn(folder.path());
        while proxy.bytes_up() <= goal && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        child.kill().await.unwrap();
        // Postgres ends what it was doing for a server that is gone.
        fieldvitals_tests::eventually(|| async {
            let busy =
                cluster.sql("select count(*) from pg_stat_activity where application_name = 'fieldvitals'");
            if busy == "0" { Ok(()) } else { Err(format!("{busy} connections")) }
        })
        .await;
        let left = tables();
        assert!(left == "0" || left == all, "killed after {eighth}/8: {left} of {all} tables and functions");
        cut_short += u32::from(left == "0");
    }
    assert!(cut_short >= 2, "some of the kills came before the end of the migration: {cut_short}");
    proxy.delay(Duration::ZERO, Duration::ZERO);
    let _server = Server::launch(launch).await;
    assert_eq!(tables(), all);
}
