//! Readers beside beacons: a bounded queue of questions, and beacons that never wait for it.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::{NewSite, Sites as _, Store};
use fieldvitals_store_postgres::PostgresStore;
use fieldvitals_store_postgres::testing::{Cluster, Database};
use fieldvitals_store_sqlite::SqliteStore;
use fieldvitals_tests::beacon::{beacon, now_ms, view_id};
use fieldvitals_tests::eventually;
use fieldvitals_tests::filled::fill;
use fieldvitals_tests::proxy::Proxy;
use fieldvitals_tests::server::{Launch, Server};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use vitals::limits::{CLIENT_TIME_MS_MAX, QUESTIONS_QUEUED_MAX, QUESTIONS_RUNNING_MAX};
use vitals::view::ViewId;

/// Sends a question on a connection of its own, and does not read the answer.
async fn ask_and_hold(server: &Server, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request =
        format!("GET /api/v1/{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", server.token);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Waits until so many questions run and are queued. Returns the status of the questions.
async fn questions(server: &Server, running: usize, queued: usize) -> Value {
    eventually(|| async {
        let questions = server.get("status").await?["questions"].clone();
        let is_so = questions["running"] == running && questions["queued"] == queued;
        if is_so { Ok(questions) } else { Err(questions.to_string()) }
    })
    .await
}

async fn beacon_is_taken(server: &Server, key: &str, number: u128) {
    let body = beacon(key, view_id(number), "https://shop.example/", &json!({"LCP": 900.0}));
    assert_eq!(server.post("/v1/beacon", body.to_string()).await, (204, Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_of_clients_that_leave_are_dropped_and_others_are_busy_meanwhile() {
    let cluster = Cluster::start();
    let proxy = Proxy::start(&cluster.socket()).await;
    let server = Server::launch(Launch::with(&["--database-url", &proxy.url()])).await;
    server.get("sites/default/violations").await.unwrap();
    proxy.hold();
    let mut askers = Vec::new();
    for _ in 0..QUESTIONS_RUNNING_MAX + QUESTIONS_QUEUED_MAX {
        askers.push(ask_and_hold(&server, "sites/default/violations").await);
    }
    questions(&server, QUESTIONS_RUNNING_MAX, QUESTIONS_QUEUED_MAX).await;

    let url = format!("{}/api/v1/sites/default/violations", server.url);
    let refused = server.http.get(url).bearer_auth(&server.token).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["error"]["code"], "busy", "{refused}");
    let health = server.http.get(format!("{}/healthz", server.url)).send().await.unwrap();
    assert_eq!(health.status(), 200);
    beacon_is_taken(&server, &server.key, 1).await;

    // The last askers are queued, the first run.
    askers.truncate(QUESTIONS_RUNNING_MAX + 1);
    questions(&server, QUESTIONS_RUNNING_MAX, 1).await;
    askers.clear();
    let asked = questions(&server, 0, 0).await;
    assert_eq!(
        (&asked["busy"], &asked["dropped"]),
        (&json!(1), &json!(QUESTIONS_RUNNING_MAX + QUESTIONS_QUEUED_MAX)),
        "{asked}"
    );
    proxy.pass();
    eventually(|| server.get("sites/default/violations")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dearest_question_in_a_loop_shuts_out_neither_beacons_nor_other_readers() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).await.unwrap();
    let site = fill(&store, "shop", 20_000).await;
    Store::close(&store).await;
    let server = Arc::new(Server::launch_on(folder, Launch::default()).await);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let loops: Vec<_> = (0..64)
        .map(|_| {
            let (server, stop, answered) = (Arc::clone(&server), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let dearest = "sites/shop/attribution?metric=lcp&limit=100&period=28d";
                    match server.get(dearest).await {
                        Ok(_) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => assert!(error.contains("busy"), "{error}"),
                    }
                }
            })
        })
        .collect();
    let mut read = 0;
    for number in 0.. {
        beacon_is_taken(&server, &site.keys[0].key, 1_000 + number).await;
        match server.get("sites/shop/report?period=7d").await {
            Ok(report) => {
                assert!(report["views"].as_u64() >= Some(20_000), "{report}");
                read += 1;
            }
            Err(error) => assert!(error.contains("busy"), "{error}"),
        }
        if number >= 20 && read >= 5 && answered.load(Ordering::Relaxed) >= 5 {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for one in loops {
        one.await.unwrap();
    }
    questions(&server, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_reports_hold_up_neither_versions_nor_the_directory() {
    let database = Arc::new(Database::empty());
    let server = Server::start_with(&["--database-url", &database.url]).await;
    beacon_is_taken(&server, &server.key, 1).await;
    server.settled().await;
    let old = "sites/default/report?from=2020-01-01T00:00:00Z&to=2020-06-01T00:00:00Z";
    let (_, tag, _) = ask_with(&server, old, None).await;
    let locking = Arc::clone(&database);
    let holder = tokio::task::spawn_blocking(move || {
        locking.sql(
            "do $$ begin lock table rollup_day; while not exists (select 1 from site where name = 'enough') loop \
             perform pg_sleep(0.05); end loop; end $$",
        )
    });
    let mut askers = Vec::new();
    for days in 0..QUESTIONS_RUNNING_MAX {
        askers.push(ask_and_hold(&server, &format!("sites/default/report?period={}d", 7 + days)).await);
    }
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() \
        and wait_event_type = 'Lock' and query like '%rollup%'";
    eventually(|| async {
        let waiting = database.sql(waiting);
        if waiting.parse() == Ok(QUESTIONS_RUNNING_MAX) { Ok(()) } else { Err(format!("{waiting} wait")) }
    })
    .await;

    assert_eq!(ask_with(&server, old, Some(&tag)).await.0, 304, "the version is read");
    let other = PostgresStore::open(&database.url).await.unwrap();
    let added = NewSite {
        name: "b".to_owned(),
        key: "key-of-b".to_owned(),
        origins: vec!["*".to_owned()],
        created_ms: 0,
    };
    other.site_add(added).await.unwrap();
    let number = AtomicU64::new(2);
    eventually(|| async {
        let body = view_id(number.fetch_add(1, Ordering::Relaxed).into());
        let body = beacon("key-of-b", body, "https://shop.example/", &json!({"LCP": 900.0}));
        match server.post("/v1/beacon", body.to_string()).await {
            (204, _) => Ok(()),
            (code, answer) => Err(format!("{code} {answer}")),
        }
    })
    .await;
    questions(&server, QUESTIONS_RUNNING_MAX, 0).await;
    let _ =
        database.sql("insert into site (name, origins, routes, created_ms) values ('enough', '[]', '[]', 0)");
    let _ = holder.await.unwrap();
    questions(&server, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn askers_of_a_database_that_hangs_silently_are_all_answered_in_time() {
    let cluster = Cluster::start();
    let proxy = Proxy::start(&cluster.socket()).await;
    let server = Arc::new(Server::launch(Launch::with(&["--database-url", &proxy.url()])).await);
    server.get("sites/default/report").await.unwrap();
    proxy.hold();
    let asked: Vec<_> = (0..20)
        .map(|number| {
            let server = Arc::clone(&server);
            let path = match number % 2 {
                0 => "sites/default/violations".to_owned(),
                _ => format!("sites/default/report?route=/{number}"),
            };
            let patience = Duration::from_millis(CLIENT_TIME_MS_MAX);
            tokio::spawn(async move { tokio::time::timeout(patience, server.get(&path)).await })
        })
        .collect();
    for asked in asked {
        let refused = asked.await.unwrap().expect("an answer before clients give up").unwrap_err();
        let is_told = refused.contains("\"busy\"") || refused.contains("\"store_away\"");
        assert!(refused.starts_with("503") && is_told, "{refused}");
    }
}

/// Asks with the tag of an answer that the client has. Returns the status, the new tag and the body.
async fn ask_with(server: &Server, path: &str, tag: Option<&str>) -> (u16, String, Value) {
    let mut request = server.http.get(format!("{}/api/v1/{path}", server.url)).bearer_auth(&server.token);
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    assert_eq!(response.headers()["cache-control"], "private, no-cache", "{path}");
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    (status, tag, serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
}

#[tokio::test]
async fn answer_is_kept_until_the_data_change_and_is_never_stale() {
    let server = Server::start().await;
    beacon_is_taken(&server, &server.key, 1).await;
    server.settled().await;
    // The end of the period is fixed, because the current hour may end during the test.
    let asked = ["pages?", "report?", "breakdown?by=device&", "attribution?metric=lcp&"].map(|path| {
        let hours = "from=2020-01-01T00:00:00Z&to=2020-06-01T00:00:00Z";
        (format!("sites/default/{path}period=7d"), format!("sites/default/{path}{hours}"))
    });
    for (recent, old) in &asked {
        let (status, tag, body) = ask_with(&server, old, None).await;
        assert_eq!(status, 200);
        assert_eq!(ask_with(&server, old, None).await, (200, tag.clone(), body), "the kept answer");
        assert_eq!(ask_with(&server, old, Some(&tag)).await, (304, tag.clone(), Value::Null));
        let several = format!("\"other\", {tag}");
        assert_eq!(ask_with(&server, old, Some(&several)).await.0, 304);
        assert_ne!(ask_with(&server, recent, None).await.1, tag, "another question");
    }
    let answers = server.get("status").await.unwrap()["answers"].clone();
    assert_eq!(
        (&answers["computed"], &answers["hits"], &answers["unchanged"]),
        (&json!(8), &json!(4), &json!(8))
    );
    assert!(answers["bytes"].as_u64() > Some(1_000) && answers["hit_ratio"] == 0.6, "{answers}");

    for number in 2..12 {
        let (_, tag, _) = ask_with(&server, &asked[1].0, None).await;
        beacon_is_taken(&server, &server.key, number).await;
        server.settled().await;
        let (status, _, report) = ask_with(&server, &asked[1].0, Some(&tag)).await;
        assert_eq!((status, &report["views"]), (200, &json!(number)), "what was loaded is in the answer");
    }
    // Another process changes the data.
    let (_, tag, _) = ask_with(&server, &asked[1].0, None).await;
    let erased = server
        .cli(&["site", "erase", "default", "--from", "2020-01-01", "--to", "2100-01-01", "--all", "--yes"])
        .await;
    assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    let (status, _, report) = ask_with(&server, &asked[1].0, Some(&tag)).await;
    assert_eq!((status, &report["views"]), (200, &json!(0)), "{report}");
}

#[tokio::test]
async fn answer_about_a_past_day_changes_with_the_page_views_of_that_day_alone() {
    const DAY_MS: u64 = 86_400_000;
    let server = Server::start().await;
    let today_ms = now_ms() / DAY_MS * DAY_MS;
    let text = |at_ms: u64| jiff::Timestamp::from_millisecond(at_ms as i64).unwrap().to_string();
    let yesterday = format!("sites/default/report?from={}&to={}", text(today_ms - DAY_MS), text(today_ms));
    let send = |at_ms: u64, number: u128| {
        let body =
            beacon(&server.key, ViewId::new(at_ms, number), "https://shop.example/", &json!({"LCP": 900.0}));
        let server = &server;
        async move {
            assert_eq!(server.post("/v1/beacon", body.to_string()).await, (204, Value::Null));
            server.settled().await;
        }
    };
    let (_, empty, _) = ask_with(&server, &yesterday, None).await;
    send(today_ms - 1, 1).await;
    let (_, tag, report) = ask_with(&server, &yesterday, Some(&empty)).await;
    assert_eq!(report["views"], 1, "a late beacon");
    send(now_ms() - 1_000, 2).await;
    assert_eq!(ask_with(&server, &yesterday, Some(&tag)).await.0, 304, "a beacon of today");
    send(today_ms - DAY_MS - 1, 3).await;
    let (status, _, report) = ask_with(&server, &yesterday, Some(&tag)).await;
    assert_eq!((status, &report["views"]), (200, &json!(1)), "an earlier day may be in a comparison");
}

#[tokio::test]
async fn nothing_is_kept_without_memory_for_answers() {
    let server = Server::start_with(&["--answers-mib", "0"]).await;
    for _ in 0..2 {
        server.get("sites/default/report").await.unwrap();
    }
    let answers = server.get("status").await.unwrap()["answers"].clone();
    assert_eq!((&answers["computed"], &answers["bytes"]), (&json!(2), &json!(0)), "{answers}");
}
