//! Faults between a real server and a real Postgres, under load. No acknowledged beacon is lost or counted twice, and
//! no beacon is refused while the spool has room.

#![allow(clippy::unwrap_used)]

use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::{Cluster, Database};
use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::eventually;
use fieldvitals_tests::load::Load;
use fieldvitals_tests::proxy::Proxy;
use fieldvitals_tests::server::{Launch, Server};
use serde_json::json;
use std::time::{Duration, Instant};

/// A database, a faulty network to it, and a server that uses both.
struct Site {
    server: Server,
    proxy: Proxy,
    cluster: Cluster,
}

impl Site {
    async fn start() -> Self {
        let cluster = Cluster::start();
        let proxy = Proxy::start(&cluster.socket()).await;
        let server = Server::launch(Launch::with(&["--database-url", &proxy.url()])).await;
        Self { server, proxy, cluster }
    }

    fn load(&self) -> Load {
        Load::start(&self.server, 400, 16)
    }

    /// Ends the load and compares the sent beacons with the report and the store.
    async fn judge(&self, load: &mut Load) {
        load.finish().await;
        let status = self.server.settled().await;
        assert_law(&status);
        let store = PostgresStore::open(&self.cluster.url()).await.unwrap();
        load.judge(&self.server, Some(&store)).await.must_be_clean();
        store.close().await;
    }
}

/// Asserts that every beacon is in exactly one place.
fn assert_law(status: &serde_json::Value) {
    let count = |name: &str| status["spool"][name].as_u64().unwrap();
    let places = ["loaded", "superseded", "discarded", "waiting"].map(count);
    assert_eq!(count("appended"), places.iter().sum::<u64>(), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_killed_under_load_and_started_again() {
    let mut site = Site::start().await;
    let mut load = site.load();
    for _ in 0..2 {
        load.more(400).await;
        site.cluster.kill();
        load.more(400).await;
        site.cluster.start_again();
    }
    load.more(400).await;
    assert_eq!(load.refused() + load.unanswered(), 0, "beacons are taken all the while: {}", load.refusal());
    site.judge(&mut load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_out_of_reach_under_load() {
    let site = Site::start().await;
    let mut load = site.load();
    load.more(400).await;
    site.proxy.cut();
    load.more(1_500).await;
    let waiting = site.server.get("status").await.unwrap()["spool"]["waiting"].as_u64().unwrap();
    assert!(waiting >= 1_000, "beacons wait in the spool: {waiting}");
    site.proxy.pass();
    load.more(400).await;
    assert_eq!(load.refused() + load.unanswered(), 0, "{}", load.refusal());
    site.judge(&mut load).await;
    let log = site.server.log();
    assert!(log.contains("beacons wait in the spool until the store takes them"), "{log}");
    assert!(log.contains("the store takes beacons again"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_told_once_and_shown() {
    let cluster = Cluster::start();
    let proxy = Proxy::start(&cluster.socket()).await;
    let launch = Launch::with(&["--database-url", &proxy.url()]);
    let server = Server::launch(launch.env("FIELDVITALS_LOG", "info,fieldvitals_server=debug")).await;
    proxy.cut();
    let body = beacon(&server.key, view_id(1), "https://shop.example/", &json!({"LCP": 900.0}));
    assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    let stalled = eventually(|| async {
        let stalled = server.get("status").await?["spool"]["stalled"].clone();
        if stalled.is_object() { Ok(stalled) } else { Err("it is not shown".to_owned()) }
    })
    .await;
    assert!(stalled["since"].is_string() && !stalled["error"].as_str().unwrap().is_empty(), "{stalled}");
    let says = async |words: &str, times: usize| {
        eventually(|| async {
            let log = server.log();
            if log.matches(words).count() >= times { Ok(()) } else { Err(log) }
        })
        .await;
    };
    says("sites and tokens still cannot be read", 2).await;
    proxy.pass();
    says("sites and tokens are read again", 1).await;
    let status = server.settled().await;
    assert!(status["spool"]["stalled"].is_null(), "{status}");
    let log = server.log();
    assert_eq!(log.matches("sites and tokens could not be read again").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_slow_under_load() {
    let site = Site::start().await;
    let mut load = site.load();
    load.more(400).await;
    site.proxy.delay(Duration::from_millis(60), Duration::from_millis(60));
    load.more(1_500).await;
    site.proxy.delay(Duration::ZERO, Duration::ZERO);
    assert_eq!(load.refused() + load.unanswered(), 0, "{}", load.refusal());
    site.judge(&mut load).await;
}

/// Simulates a network that drops packets: connections stay open, and no data arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_stall_for_good_are_given_up() {
    let site = Site::start().await;
    let mut load = site.load();
    load.more(400).await;
    site.proxy.hold_these_for_good();
    let began = Instant::now();
    // A query on a stalled connection gets an answer, and soon a good one.
    let http = site.server.http.clone();
    let url = format!("{}/api/v1/sites/default/pages?period=24h", site.server.url);
    loop {
        let asked = http.get(&url).bearer_auth(&site.server.token).timeout(Duration::from_secs(50));
        let answer = asked.send().await.expect("an answer, good or bad");
        if answer.status() == 200 {
            break;
        }
        assert_eq!(answer.status(), 503);
        assert!(began.elapsed() < Duration::from_secs(100));
    }
    load.more(400).await;
    assert_eq!(load.refused() + load.unanswered(), 0, "{}", load.refusal());
    load.finish().await;
    // The loader drops its connection and continues on another one.
    let began = Instant::now();
    while site.server.get("status").await.unwrap()["spool"]["waiting"] != 0 {
        assert!(began.elapsed() < Duration::from_secs(90), "the loader hangs: {}", site.server.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    site.judge(&mut load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_commits_are_lost() {
    let site = Site::start().await;
    let mut load = site.load();
    load.more(200).await;
    for round in 1..=10 {
        // One at a time: a slow machine needs seconds for each of these loads.
        site.proxy.swallow(1);
        eventually(|| async {
            let swallowed = site.proxy.swallowed();
            if swallowed >= round { Ok(()) } else { Err(format!("{swallowed} swallowed")) }
        })
        .await;
        load.more(50).await;
    }
    assert_eq!(load.refused() + load.unanswered(), 0, "{}", load.refusal());
    site.judge(&mut load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_drains_into_postgres() {
    let mut site = Site::start().await;
    let mut load = site.load();
    load.more(800).await;
    load.redirect(None);
    assert_eq!(site.server.terminate().await, Some(0));
    let acknowledged = load.acknowledged();
    let views = site.cluster.sql("select count(*) from page_view").parse::<u64>().unwrap();
    // Workers without an answer send their beacon again, so the view may be in the store.
    assert!(views >= acknowledged * 3 / 4 - 16, "{views} views of {acknowledged} beacons are in the store");
    let left = std::fs::metadata(site.server.data_dir().join("spool.db-wal"));
    assert!(left.is_err(), "the spool was closed");
    site.server.start_again().await;
    let status = site.server.get("status").await.unwrap();
    assert_eq!(status["spool"]["appended"], 0, "nothing was left to load: {status}");
    load.redirect(Some(&site.server));
    load.more(100).await;
    site.judge(&mut load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_under_load_on_postgres() {
    let mut site = Site::start().await;
    let mut load = site.load();
    for round in 0..4 {
        load.more(300).await;
        if round % 2 == 1 {
            // The spool then holds beacons that the store does not have.
            site.proxy.cut();
            load.more(300).await;
        }
        site.server.kill().await;
        site.proxy.pass();
        site.server.start_again().await;
        load.redirect(Some(&site.server));
    }
    load.more(300).await;
    site.judge(&mut load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_the_database_refuses_is_told_and_holds_up_no_other() {
    let database = Database::migrated().await;
    let place = ["--database-url", database.url.as_str()];
    let server = Server::launch(Launch::with(&place)).await;
    let broken =
        server.cli_json(&["site", "add", "broken", "--origin", "*", "--json", place[0], place[1]]).await;
    let _ = database.sql(
        "create function refuse() returns trigger language plpgsql as $$ begin \
         raise 'refused by a trigger'; end $$",
    );
    let _ = database.sql(&format!(
        "create trigger refuse before insert on page_view for each row \
         when (new.site_id = {}) execute function refuse()",
        broken["id"]
    ));
    let send = async |key: &str, number: u32| {
        let body = beacon(key, view_id(number.into()), "https://shop.example/", &json!({"LCP": 900.0}));
        assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    };
    let key = broken["keys"][0]["key"].as_str().unwrap();
    for number in 0..10 {
        send(key, number).await;
        send(&server.key, 100 + number).await;
    }
    let status = eventually(|| async {
        let status = server.get("status").await?;
        let loaded = status["spool"]["loaded"] == 10 && status["spool"]["held"][0]["beacons"] == 10;
        if loaded { Ok(status) } else { Err(status.to_string()) }
    })
    .await;
    assert_law(&status);
    let held = &status["spool"]["held"][0];
    assert_eq!(held["site"], "broken", "{held}");
    assert!(held["error"].as_str().unwrap().contains("refused by a trigger"), "{held}");
    assert!(server.log().contains("the store refuses them"), "{}", server.log());
    let _ = database.sql("drop trigger refuse on page_view");
    server.settled().await;
    // The server releases the site shortly after loading its last beacon.
    let status = eventually(|| async {
        let status = server.get("status").await?;
        if status["spool"]["held"].is_null() { Ok(status) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(status["spool"]["loaded"], 20, "{status}");
    assert_law(&status);
}

/// The coordinator of a Citus cluster fails for one site when a node is gone, and for every query over all nodes.
/// (`store-postgres/tests/citus.rs` and docs/scaling.md use a real cluster.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn site_whose_node_is_gone_waits_and_holds_up_no_other() {
    let database = Database::migrated().await;
    let place = ["--database-url", database.url.as_str()];
    let mut server = Server::launch(Launch::with(&place)).await;
    let lost = server.cli_json(&["site", "add", "lost", "--origin", "*", "--json", place[0], place[1]]).await;
    let _ = database.sql(
        "create function gone() returns trigger language plpgsql as $$ begin \
         raise 'connection to the remote node vitals@10.0.0.2:5432 failed with the following error: Connection refused' \
         using errcode = '08006'; end $$",
    );
    let _ = database.sql(&format!(
        "create trigger gone before insert on page_view for each row when (new.site_id = {}) execute function gone()",
        lost["id"]
    ));
    let _ = database
        .sql("create trigger gone before delete on load_cursor for each statement execute function gone()");
    let send = async |server: &Server, key: &str, number: u32| {
        let body = beacon(key, view_id(number.into()), "https://shop.example/", &json!({"LCP": 900.0}));
        assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    };
    let loaded = async |server: &Server, others: u64, held: u64| {
        eventually(|| async {
            let status = server.get("status").await?;
            let spool = &status["spool"];
            let is =
                spool["loaded"] == others && spool["held"][0]["beacons"] == held && spool["waiting"] == held;
            if is { Ok(status) } else { Err(status.to_string()) }
        })
        .await
    };
    // The server cannot forget the old spool's cursor on all nodes.
    send(&server, &server.key, 99).await;
    server.settled().await;
    server.kill_and_restart().await;
    let key = lost["keys"][0]["key"].as_str().unwrap();
    for number in 0..10 {
        send(&server, key, number).await;
        send(&server, &server.key, 100 + number).await;
    }
    let status = loaded(&server, 10, 10).await;
    assert_law(&status);
    let error = status["spool"]["held"][0]["error"].as_str().unwrap();
    assert!(error.contains("10.0.0.2:5432") && error.contains("node of Citus"), "{error}");
    assert!(status["spool"]["stalled"].is_null(), "{status}");
    server.kill_and_restart().await;
    for number in 0..10 {
        send(&server, &server.key, 200 + number).await;
    }
    loaded(&server, 10, 10).await;
    let _ = database.sql("drop trigger gone on page_view; drop trigger gone on load_cursor");
    server.settled().await;
    assert_eq!(database.sql("select count(*) from page_view"), "31");
}
