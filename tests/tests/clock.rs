//! Jumps of the server's clock, forward and back. The server judges beacons by its clock, and refuses nothing for good.

#![allow(clippy::unwrap_used)]

use fieldvitals_tests::beacon::{beacon, now_ms, view_id};
use fieldvitals_tests::clock::Clock;
use fieldvitals_tests::eventually;
use fieldvitals_tests::server::Server;
use serde_json::json;
use vitals::view::ViewId;

const DAY_MS: u64 = 86_400_000;

/// Sends a view that starts this many days from now; returns the status and body of the answer.
async fn send(server: &Server, number: u64, days: i64) -> (u16, String) {
    let id = view_id(u128::from(number));
    let start = (now_ms() - 1_000).checked_add_signed(days * DAY_MS as i64).unwrap();
    let id = ViewId::new(start, u128::from(number) << 8 | u128::from(id.start_ms() as u64 % 256));
    let body = beacon(&server.key, id, "https://shop.example/clock", &json!({"LCP": 900.0}));
    let (status, answer) = server.post("/v1/beacon", body.to_string()).await;
    (status, answer.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_and_returns_shuts_nothing_for_good() {
    let clock = Clock::new();
    let mut server = Server::launch(clock.launch(&[])).await;
    assert_eq!(send(&server, 1, 0).await.0, 204);
    assert_eq!(server.reported("/clock", &["LCP"]).await["views"], 1);

    clock.set("+3d");
    let (status, answer) = send(&server, 2, 0).await;
    assert!(status == 422 && answer.contains("started 72 hours ago"), "{status} {answer}");
    assert_eq!(send(&server, 3, 3).await.0, 204, "by the server's clock it is now");
    clock.set("-3650d");
    assert_eq!(send(&server, 4, 0).await.0, 422);
    assert_eq!(send(&server, 5, -3_650).await.0, 204);
    clock.set("+0");
    assert_eq!(send(&server, 6, 0).await.0, 204);
    server.settled().await;
    eventually(|| async {
        let page = server.reported("/clock", &["LCP"]).await;
        if page["views"] == 2 { Ok(()) } else { Err(page.to_string()) }
    })
    .await;

    // A server whose clock is far ahead at the start deletes nothing either, even after several starts.
    for number in 7..9 {
        server.kill().await;
        clock.set("+400d");
        server.start_again().await;
        assert_eq!(send(&server, number, 400).await.0, 204);
        server.settled().await;
        eventually(|| async {
            let log = server.log();
            let rounds = server.get("status").await?["maintenance"]["rounds"].as_u64();
            if log.contains("past retention at once") && rounds >= Some(1) { Ok(()) } else { Err(log) }
        })
        .await;
    }
    server.kill().await;
    clock.set("+0");
    server.start_again().await;
    assert!(!server.log().contains("views_removed=1"), "{}", server.log());
    assert_eq!(server.reported("/clock", &["LCP"]).await["views"], 2);
    let mut number = 100;
    let views = eventually(|| {
        number += 1;
        let server = &server;
        async move {
            let (status, answer) = send(server, number, 0).await;
            assert_eq!(status, 204, "{answer}");
            server.settled().await;
            let pages = server.get("sites/default/pages?period=24h").await?;
            let page = pages["pages"].as_array().unwrap().iter().find(|page| page["route"] == "/clock");
            page.map(|page| page["views"].clone()).ok_or_else(|| format!("{pages}"))
        }
    })
    .await;
    assert!(views.as_u64().unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ahead_takes_nothing_away() {
    let clock = Clock::new();
    let server = Server::launch(clock.launch(&[])).await;
    assert_eq!(send(&server, 1, 0).await.0, 204);
    assert_eq!(server.reported("/clock", &["LCP"]).await["views"], 1);
    let said = |words: &'static str| {
        let server = &server;
        eventually(move || async move {
            let log = server.log();
            if log.contains(words) { Ok(()) } else { Err(log) }
        })
    };
    clock.set("+400d");
    said("the clock jumped forward").await;
    // The jump triggers a maintenance round at once. The round is over once it has folded the new view.
    assert_eq!(send(&server, 2, 400).await.0, 204);
    server.settled().await;
    clock.set("+0");
    said("the clock jumped back").await;
    assert_eq!(server.reported("/clock", &["LCP"]).await["views"], 1);
    assert_eq!(send(&server, 3, 0).await.0, 204);
    eventually(|| async {
        let page = server.reported("/clock", &["LCP"]).await;
        if page["views"] == 2 { Ok(()) } else { Err(page.to_string()) }
    })
    .await;
    assert!(!server.log().contains("views_removed=1"), "{}", server.log());
}
