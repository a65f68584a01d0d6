//! Tests that a hostile client can neither shut others out nor exhaust the server's memory.

#![allow(clippy::unwrap_used)]

use fieldvitals_store_postgres::testing::Cluster;
use fieldvitals_tests::attack::{Attack, Attackers};
use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::proxy::Proxy;
use fieldvitals_tests::server::{Launch, Server};
use fieldvitals_tests::{eventually, eventually_within};
use serde_json::json;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Timeout for the server to close the connections of a hostile client.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// Timeout of an honest client's request.
const ANSWER: Duration = Duration::from_secs(5);
/// Maximum growth of the server's memory during an attack.
const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The server's open files that vary: connections of the honest client and of the stores.
const OWN_FILES_MAX: usize = 12;

/// The errors by which a client notices a closed connection.
const LOST: [ErrorKind; 3] = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof, ErrorKind::BrokenPipe];

async fn ask_once(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}

/// Sends a request on a new connection. A burst of connections above the server's limit may close a connection while
/// its request is on its way, so the request is retried, as browsers do.
async fn ask(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let retried = async {
        loop {
            match ask_once(address, request).await {
                Err(error) if LOST.contains(&error.kind()) => {}
                done => return done,
            }
        }
    };
    tokio::time::timeout(ANSWER, retried).await?
}

async fn health(address: SocketAddr) -> std::io::Result<String> {
    ask(address, "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await
}

/// Attacks a server that has a low limit of open files. Meanwhile checks an honest client, memory and connections.
async fn withstands(attack: Attack, connections: usize) -> Server {
    let server = Server::launch(Launch::default().files_max(256)).await;
    assert_eq!(server.post("/v1/beacon", "{}").await.0, 400);
    let (files, memory) = (server.files(), server.rss_bytes());
    let attackers = Attackers::start(attack, server.address(), connections);
    let number = AtomicU64::new(1);
    let honest = || async {
        let answer = health(server.address()).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{attack:?}: {answer}");
        let id = view_id(number.fetch_add(1, Ordering::Relaxed).into());
        let body = beacon(&server.key, id, "https://shop.example/", &json!({"LCP": 900.0}));
        let body = body.to_string();
        let head = format!("Host: a\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        let request = format!("POST /v1/beacon HTTP/1.1\r\n{head}\r\n{body}");
        let answer = ask(server.address(), &request).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 204"), "{attack:?}: {answer}");
        let growth = server.rss_bytes().saturating_sub(memory);
        assert!(growth <= GROWTH_BYTES_MAX, "{attack:?}: {growth} bytes");
    };
    // Sends before the attack's connections are open, while they are open, and until they are closed.
    for _ in 0..20 {
        honest().await;
    }
    eventually_within(CLOSED_WITHIN, || async {
        honest().await;
        let now = server.files();
        if now <= files + OWN_FILES_MAX { Ok(()) } else { Err(format!("{attack:?}: {now} files of {files}")) }
    })
    .await;
    drop(attackers);
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_left_unfinished_after_their_answer_are_closed() {
    for attack in [Attack::UnfinishedChunk, Attack::UnfinishedGet, Attack::TooLarge] {
        withstands(attack, 300).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_stop_in_the_middle_are_closed() {
    withstands(Attack::SlowBody, 300).await;
    for attack in [Attack::SlowHead, Attack::SlowSecondHead] {
        let server = withstands(attack, 300).await;
        let status = server.get("status").await.unwrap();
        assert!(status["connections"]["closed"]["slow_head"].as_u64() > Some(10), "{attack:?}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_that_goes_on_after_its_refusal_is_cut_off() {
    let server = Server::start().await;
    let attackers = Attackers::start(Attack::Upload, server.address(), 1);
    eventually(|| async {
        let sent = attackers.sent_bytes();
        // The only open connection is the one of this request.
        let open = server.get("status").await?["connections"]["open"].as_u64();
        if sent > 0 && open <= Some(1) { Ok(()) } else { Err(format!("{sent} bytes, {open:?} connections")) }
    })
    .await;
    let sent = attackers.sent_bytes();
    // The server discards some bytes, and both systems buffer some.
    assert!(sent < 32 * 1024 * 1024, "{sent} bytes");
    withstands(Attack::Drip, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_whose_answers_are_not_read_take_no_memory() {
    let server = withstands(Attack::Pipeline, 150).await;
    let status = server.get("status").await.unwrap();
    assert!(status["connections"]["closed"]["unread_answer"].as_u64() > Some(10), "{status}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let post = "POST /v1/beacon HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
    let large = "GET /api/v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let request = format!("{}{last}", format!("{post}{large}").repeat(30));
    let (mut reading, mut writing) = stream.split();
    let mut answers = String::new();
    let (written, read) =
        tokio::join!(writing.write_all(request.as_bytes()), reading.read_to_string(&mut answers));
    written.unwrap();
    read.unwrap();
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).filter_map(|text| text.get(..3)).collect();
    assert_eq!(statuses, [["400", "200"]; 30].concat().into_iter().chain(["200"]).collect::<Vec<_>>());
}

#[tokio::test]
async fn head_over_the_limit_is_answered_and_closed() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "a".repeat(20_000));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let fits =
        format!("GET /healthz HTTP/1.1\r\nHost: a\r\nA: {}\r\nConnection: close\r\n\r\n", "a".repeat(15_000));
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(fits.as_bytes()).await.unwrap();
    answer.clear();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_counted_and_logged_in_one_line() {
    let server = Server::start().await;
    let attackers = Attackers::start(Attack::Nonsense, server.address(), 300);
    eventually(|| async {
        let status = server.get("status").await?;
        let closed = status["connections"]["closed"]["bad_request"].as_u64();
        if closed == Some(300) { Ok(()) } else { Err(status["connections"].to_string()) }
    })
    .await;
    drop(attackers);
    let log = server.log();
    assert_eq!(log.matches("something else than HTTP requests").count(), 1, "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_server_makes_room_for_others_and_says_so() {
    let args = ["--connections-max", "32", "--client-connections-max", "8"];
    let server = Server::start_with(&args).await;
    let attackers = Attackers::start(Attack::Unused, server.address(), 400);
    let status = eventually(|| async {
        let answer = health(server.address()).await.map_err(|error| error.to_string())?;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let status = server.get("status").await?;
        let evicted = status["connections"]["closed"]["evicted"].as_u64();
        if evicted > Some(200) { Ok(status) } else { Err(status["connections"].to_string()) }
    })
    .await;
    assert_eq!(
        (&status["connections"]["max"], &status["connections"]["client_max"]),
        (&json!(32), &json!(8))
    );
    assert!(status["connections"]["open"].as_u64() <= Some(32), "{status}");
    drop(attackers);
    let log = server.log();
    assert_eq!(log.matches("the limit of connections is reached").count(), 1, "{log}");
}

#[tokio::test]
async fn few_file_handles_are_fewer_connections_and_a_warning() {
    let server = Server::launch(Launch::default().files_max(200)).await;
    let max = server.get("status").await.unwrap()["connections"]["max"].as_u64().unwrap();
    assert!((16..200).contains(&max), "{max}");
    let log = server.log();
    assert!(log.contains("the process may have 200 files open"), "{log}");
}

#[tokio::test]
async fn proxies_that_are_named_wrongly_are_told_once() {
    let server = Server::start_with(&["--trusted-proxy", "0.0.0.0/0"]).await;
    assert!(server.log().contains("--trusted-proxy 0.0.0.0/0 holds clients too"), "{}", server.log());
    let server = Server::start().await;
    for _ in 0..3 {
        let request = server.http.post(format!("{}/v1/beacon", server.url)).body("{}");
        request.header("x-forwarded-for", "203.0.113.1").send().await.unwrap();
    }
    let log = server.log();
    assert_eq!(log.matches("name it with --trusted-proxy 127.0.0.1").count(), 1, "{log}");
}

#[tokio::test]
async fn idle_connection_is_closed_without_a_word_after_the_keep_alive() {
    let server = Server::start_with(&["--keep-alive", "1"]).await;
    let mut unused = TcpStream::connect(server.address()).await.unwrap();
    let mut answer = Vec::new();
    unused.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    let mut used = TcpStream::connect(server.address()).await.unwrap();
    used.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    used.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
}

#[tokio::test]
async fn idle_connections_are_kept_longer_than_balancers_keep_them() {
    let server = Server::start().await;
    let unused = TcpStream::connect(server.address()).await.unwrap();
    let mut used = TcpStream::connect(server.address()).await.unwrap();
    used.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    used.read_exact(&mut [0; 100]).await.unwrap();
    // The wait exceeds every shorter timeout of a connection.
    let closed = async {
        let (mut byte, mut answer) = ([0], [0; 4_096]);
        tokio::select! {
            closed = unused.peek(&mut byte) => closed,
            closed = used.read_exact(&mut answer) => closed,
        }
    };
    let closed = tokio::time::timeout(CLOSED_WITHIN, closed).await;
    assert!(closed.is_err(), "{closed:?}");
}

#[tokio::test]
async fn hangup_signal_changes_nothing() {
    let mut server = Server::start().await;
    server.signal("-HUP").await;
    eventually(|| async {
        let log = server.log();
        if log.contains("SIGHUP changes nothing") { Ok(()) } else { Err(log) }
    })
    .await;
    assert!(health(server.address()).await.unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(server.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_behind_a_balancer_loses_no_request() {
    let mut server = Server::start_with(&["--drain", "2"]).await;
    let (address, url, key) = (server.address(), server.url.clone(), server.key.clone());
    let is_gone = Arc::new(AtomicBool::new(false));
    let taken = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..16)
        .map(|client: u128| {
            let (is_gone, taken) = (Arc::clone(&is_gone), Arc::clone(&taken));
            let (http, url, key) = (server.http.clone(), format!("{url}/v1/beacon"), key.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    if is_gone.load(Ordering::Relaxed) {
                        return;
                    }
                    let id = view_id(client << 32 | number);
                    let body = beacon(&key, id, "https://shop.example/", &json!({"LCP": 900.0}));
                    let answer = http.post(&url).body(body.to_string()).send().await;
                    assert_eq!(answer.expect("an answer").status(), 204);
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    eventually(|| async {
        let taken = taken.load(Ordering::Relaxed);
        if taken > 200 { Ok(()) } else { Err(format!("{taken} taken")) }
    })
    .await;
    let balancer = async {
        eventually(|| async {
            let answer = ask(address, "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
            let answer = answer.map_err(|error| error.to_string())?;
            if answer.starts_with("HTTP/1.1 503") { Ok(()) } else { Err(answer) }
        })
        .await;
        let before = taken.load(Ordering::Relaxed);
        eventually(|| async {
            let taken = taken.load(Ordering::Relaxed);
            if taken > before { Ok(()) } else { Err("it still serves".to_owned()) }
        })
        .await;
        is_gone.store(true, Ordering::Relaxed);
    };
    let (code, ()) = tokio::join!(server.terminate(), balancer);
    assert_eq!(code, Some(0));
    for client in clients {
        client.await.unwrap();
    }
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_under_load_answers_everybody() {
    let cluster = Cluster::start();
    let proxy = Proxy::start(&cluster.socket()).await;
    proxy.cut();
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let launch = Launch::with(&["--database-wait", "3600", "--database-url", &proxy.url()]);
    let mut child = launch.spawn_with_log(folder.path(), &log);
    let address: SocketAddr = eventually(|| async {
        let said = said();
        let (_, waiting) = said.split_once("waiting for the store; ").ok_or_else(|| said.clone())?;
        let (address, _) = waiting.split_once(" answers 503").ok_or_else(|| said.clone())?;
        address.parse().map_err(|_| said.clone())
    })
    .await;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async move {
                let mut ready = 0;
                while ready < 100 {
                    let answer = health(address).await.expect("an answer");
                    assert!(
                        answer.starts_with("HTTP/1.1 503") || answer.starts_with("HTTP/1.1 200"),
                        "{answer}"
                    );
                    ready += u32::from(answer.starts_with("HTTP/1.1 200"));
                }
            })
        })
        .collect();
    proxy.pass();
    for client in clients {
        client.await.unwrap();
    }
    assert!(!said().contains("ERROR"), "{}", said());
    child.kill().await.unwrap();
}
