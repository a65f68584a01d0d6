//! Failing starts: the server names the problem, at once if waiting cannot help, and never leaves a database half
//! migrated.

#![allow(clippy::unwrap_used)]

use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::Cluster;
use fieldvitals_tests::eventually;
use fieldvitals_tests::proxy::Proxy;
use fieldvitals_tests::server::{Launch, Server, run_to_the_end, signal};
use std::time::Duration;
use tempfile::TempDir;

/// Starts a server on an unusable database with a wait of 10 min; returns its log. The server must exit with code 2
/// without waiting.
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
    // Maintenance adds partitions at any time.
    let tables = || {
        cluster.sql(
            "select (select count(*) from pg_class where relnamespace = 'public'::regnamespace and not relispartition) \
             + (select count(*) from pg_proc where pronamespace = 'public'::regnamespace)",
        )
    };
    // Counts the bytes of a complete start.
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
        // Waits until Postgres has ended the sessions of the killed server.
        eventually(|| async {
            let busy =
                cluster.sql("select count(*) from pg_stat_activity where application_name = 'fieldvitals'");
            if busy == "0" { Ok(()) } else { Err(format!("{busy} connections")) }
        })
        .await;
        let left = tables();
        assert!(left == "0" || left == all, "killed after {eighth}/8: {left} of {all} tables and functions");
        if left == "0" {
            cut_short += 1;
            proxy.delay(Duration::ZERO, Duration::ZERO);
            let mut server = Server::launch(launch.clone()).await;
            assert_eq!((server.terminate().await, tables()), (Some(0), all.clone()));
            proxy.delay(Duration::from_millis(5), Duration::from_millis(5));
        }
    }
    assert!(cut_short >= 2, "some of the kills came before the end of the migration: {cut_short}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_together_on_a_new_database_all_serve() {
    let cluster = Cluster::start();
    PostgresStore::open(&cluster.url()).await.unwrap().close().await;
    // Delays the network, so that all servers look before one has written.
    let proxy = Proxy::start(&cluster.socket()).await;
    proxy.delay(Duration::from_millis(20), Duration::from_millis(20));
    let launch = Launch::with(&["--database-url", &proxy.url()]);
    let start = || tokio::spawn(Server::launch_on(TempDir::new().unwrap(), launch.clone()));
    let starts: Vec<_> = (0..4).map(|_| start()).collect();
    let (mut keys, mut tokens) = (Vec::new(), Vec::new());
    let mut servers = Vec::new();
    for start in starts {
        let server = start.await.unwrap();
        keys.push(server.key.clone());
        tokens.extend(Some(server.token.clone()).filter(|token| !token.is_empty()));
        servers.push(server);
    }
    keys.dedup();
    assert_eq!((keys.len(), tokens.len()), (1, 1), "one made the site and the token: {keys:?}");
    assert_eq!(cluster.sql("select (select count(*) from site) + (select count(*) from access_token)"), "2");
    for server in &mut servers {
        server.token.clone_from(&tokens[0]);
        eventually(|| server.get("status")).await;
    }
}

#[tokio::test]
async fn a_start_that_fails_takes_no_token_with_it() {
    let folder = TempDir::new().unwrap();
    let spool = folder.path().join("spool.db");
    std::fs::write(&spool, [b'x'; 4_096]).unwrap();
    let (code, log) = run_to_the_end(folder.path(), &Launch::default()).await;
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("is damaged"), "{log}");
    std::fs::remove_file(&spool).unwrap();
    let server = Server::launch_on(folder, Launch::default()).await;
    assert!(!server.token.is_empty(), "the start that succeeds is the first one");
    server.get("status").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_waits_answers_and_can_be_ended() {
    let cluster = Cluster::start();
    let proxy = Proxy::start(&cluster.socket()).await;
    proxy.cut();
    let launch = Launch::with(&["--database-wait", "3600", "--database-url", &proxy.url()]);
    for (name, code) in [("-TERM", 143), ("-INT", 130)] {
        let folder = TempDir::new().unwrap();
        let log = folder.path().join("log");
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let mut child = launch.spawn_with_log(folder.path(), &log);
        let address = eventually(|| async {
            let said = said();
            let (_, waiting) = said.split_once("waiting for the store; ").ok_or_else(|| said.clone())?;
            let (address, _) = waiting.split_once(" answers 503").ok_or_else(|| said.clone())?;
            Ok(address.to_owned())
        })
        .await;
        for path in ["healthz", "readyz", "v1/beacon"] {
            let answer = reqwest::get(format!("http://{address}/{path}")).await.unwrap();
            assert_eq!(answer.status(), 503);
            assert!(answer.text().await.unwrap().contains("\"starting\""));
        }
        signal(&child, name).await;
        let ended = tokio::time::timeout(Duration::from_secs(30), child.wait()).await;
        assert_eq!(ended.expect("it ends").unwrap().code(), Some(code), "{}", said());
        assert!(said().contains("stopped before the start was complete"), "{}", said());
    }
    assert_eq!(cluster.sql("select count(*) from pg_class where relname = 'site'"), "0");
}
