//! A 204 means durable: after a kill under load, every acknowledged beacon is stored exactly once.

use fieldvitals_store::{Reports as _, Sites as _};
use fieldvitals_store_sqlite::SqliteStore;
use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::server::Server;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use vitals::metric::Metric;
use vitals::view::ViewId;

const BEACONS: u128 = 10_000;
const KILL_AFTER: usize = 4_000;

#[tokio::test]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let mut server = Server::start().await;
    let (url, http, key) = (format!("{}/v1/beacon", server.url), server.http.clone(), server.key.clone());
    let done = Arc::new(AtomicUsize::new(0));
    let reached = Arc::new(Notify::new());
    let sending = tokio::spawn({
        let (done, reached) = (Arc::clone(&done), Arc::clone(&reached));
        async move {
            stream::iter(0..BEACONS)
                .map(|number| {
                    let id = view_id(number);
                    // The value identifies the beacon, so that the payloads can be compared.
                    let values = json!({"LCP": 100.0 + number as f64, "CLS": 0.01});
                    let body = beacon(&key, id, "https://shop.example/kill", &values).to_string();
                    let request = http.post(&url).body(body);
                    let (done, reached) = (Arc::clone(&done), Arc::clone(&reached));
                    async move {
                        let status = request.send().await.map_or(0, |answer| answer.status().as_u16());
                        if status == 204 && done.fetch_add(1, Ordering::Relaxed) + 1 == KILL_AFTER {
                            reached.notify_one();
                        }
                        (number, id, status)
                    }
                })
                .buffer_unordered(64)
                .collect::<Vec<(u128, ViewId, u16)>>()
                .await
        }
    });
    reached.notified().await;
    server.kill().await;
    let sent = sending.await.unwrap();
    let acknowledged: Vec<(u128, ViewId)> =
        sent.iter().filter(|(_, _, status)| *status == 204).map(|&(number, id, _)| (number, id)).collect();
    assert!(
        acknowledged.len() >= KILL_AFTER && acknowledged.len() < BEACONS as usize,
        "killed in the middle: {}",
        acknowledged.len()
    );

    server.kill_and_restart().await;
    let status = server.settled().await;
    let page = server.reported("/kill", &["LCP"]).await;
    let views = page["views"].as_u64().unwrap() as usize;
    assert!(views >= acknowledged.len(), "{views} of {} acknowledged: {status}", acknowledged.len());
    assert!(views <= sent.len(), "{views} of {} sent", sent.len());
    assert_eq!(page["metrics"]["LCP"]["n"], views);

    // Sends every unacknowledged beacon again, as a retrying client would. Then each view is stored exactly once.
    let again = sent.iter().filter(|(_, _, status)| *status != 204);
    let statuses: Vec<u16> = stream::iter(again)
        .map(|&(number, id, _)| {
            let values = json!({"LCP": 100.0 + number as f64, "CLS": 0.01});
            let body = beacon(&server.key, id, "https://shop.example/kill", &values).to_string();
            let server = &server;
            async move { server.post("/v1/beacon", body).await.0 }
        })
        .buffer_unordered(64)
        .collect()
        .await;
    assert!(statuses.iter().all(|status| *status == 204));
    server.settled().await;
    let page = server.reported("/kill", &["LCP"]).await;
    assert_eq!(page["views"], BEACONS as u64, "each beacon once");
    assert_eq!(page["metrics"]["LCP"]["n"], BEACONS as u64);

    assert_eq!(server.terminate().await, Some(0));
    let store = SqliteStore::open(&server.data_dir().join("store.db")).await.unwrap();
    let site = store.sites().await.unwrap()[0].id;
    for (number, id) in acknowledged {
        let view = store.view(site, id).await.unwrap().expect("acknowledged, so there");
        let lcp = view.update.values.get(Metric::Lcp).unwrap();
        assert_eq!(lcp.number(Metric::Lcp), 100.0 + number as f64);
    }
}

#[tokio::test]
async fn sigterm_ends_what_is_in_flight() {
    let mut server = Server::start().await;
    for number in 0..50 {
        let body = beacon(&server.key, view_id(number), "https://shop.example/term", &json!({"LCP": 1.0}));
        assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    }
    assert_eq!(server.terminate().await, Some(0));
    let store = SqliteStore::open(&server.data_dir().join("store.db")).await.unwrap();
    let site = store.sites().await.unwrap()[0].id;
    let routes = store.routes(site, 0, i64::MAX / 2).await.unwrap();
    assert_eq!(routes, ["/term"], "the spool was emptied into the store before the end");
}
