//! A database that stays away: what a load balancer, a reader and the log are told meanwhile.

#![allow(clippy::unwrap_used)]

use fieldvitals_store_postgres::testing::Cluster;
use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::eventually;
use fieldvitals_tests::proxy::Proxy;
use fieldvitals_tests::server::{Launch, Server};
use serde_json::{Value, json};
use std::time::Duration;
use vitals::limits;

/// A server, and a network to its database that can fail.
struct Site {
    server: Server,
    proxy: Proxy,
    _cluster: Cluster,
}

impl Site {
    async fn start(args: &[&str]) -> Self {
        let cluster = Cluster::start();
        let proxy = Proxy::start(&cluster.socket()).await;
        let url = proxy.url();
        let server = Server::launch(Launch::with(&[args, &["--database-url", &url]].concat())).await;
        Self { server, proxy, _cluster: cluster }
    }

    async fn health(&self) -> (u16, String) {
        let answer = self.server.http.get(format!("{}/readyz", self.server.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

/// The age of the oldest beacon that is not loaded, by the server's status.
fn spool_age_s(status: &Value) -> f64 {
    let checks = status["checks"].as_array().unwrap();
    let age = checks.iter().find(|check| check["name"] == "spool_age_s").unwrap();
    age["value"].as_f64().unwrap()
}

/// A beacon of many page views with long URLs.
fn large_beacon(key: &str, number: u128) -> Value {
    let url = format!("https://shop.example/{}", "long-".repeat(180));
    let mut large = beacon(key, view_id(0), &url, &json!({}));
    let views = (0..limits::VIEWS_PER_BEACON_MAX as u128).map(|view| {
        let id = view_id(number * 100 + view).to_string();
        json!({"id": id, "nav": "navigate", "url": url, "values": {"LCP": 900.0}})
    });
    large["views"] = views.collect();
    large
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spool_that_is_full_is_logged_once_and_unhealthy_until_the_store_is_back() {
    let site = Site::start(&["--spool-max-mib", "8"]).await;
    site.proxy.cut();
    let mut number = 0;
    let refusal = loop {
        let body = large_beacon(&site.server.key, number).to_string();
        let (code, answer) = site.server.post("/v1/beacon", body).await;
        if code != 204 {
            break (code, answer);
        }
        number += 1;
        assert!(number < 20_000, "the spool has a bound");
    };
    assert_eq!((refusal.0, &refusal.1["error"]["code"]), (503, &json!("overloaded")), "{}", refusal.1);
    for _ in 0..20 {
        let body = large_beacon(&site.server.key, number).to_string();
        assert_eq!(site.server.post("/v1/beacon", body).await.0, 503);
    }
    let (code, said) = site.health().await;
    assert!(code == 503 && said.contains("the spool is full: 8 MiB"), "{code} {said}");
    let status = site.server.get("status").await.unwrap();
    let refused = &status["spool"]["refused"];
    assert!(refused["beacons"] == 21 && refused["since"].is_string(), "{refused}");
    assert!(spool_age_s(&status) > 0.0, "{status}");

    site.proxy.pass();
    // A load balancer sends nothing until it is told to.
    eventually(|| async {
        let (code, said) = site.health().await;
        if code == 200 { Ok(()) } else { Err(format!("{code} {said}")) }
    })
    .await;
    let body = large_beacon(&site.server.key, number).to_string();
    let (code, answer) = site.server.post("/v1/beacon", body).await;
    assert_eq!(code, 204, "{answer}");
    eventually(|| async {
        let status = site.server.get("status").await?;
        if spool_age_s(&status) == 0.0 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let log = site.server.log();
    assert_eq!(log.matches("the spool refuses beacons").count(), 1, "{log}");
    assert_eq!(log.matches("the spool takes beacons again").count(), 1, "{log}");
    assert!(log.contains("refused=21"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn question_to_a_store_that_is_known_to_be_away_does_not_wait_for_it() {
    // Without a proxy, which would accept connections: a Postgres that is down refuses them, and they are tried again.
    let mut cluster = Cluster::start();
    let server = Server::launch(Launch::with(&["--database-url", &cluster.url()])).await;
    cluster.kill();
    eventually(|| async {
        let log = server.log();
        if log.contains("sites and tokens could not be read again") { Ok(()) } else { Err(log) }
    })
    .await;
    let paths = ["pages", "report", "breakdown?by=browser", "attribution?metric=lcp", "violations"];
    let all = async {
        for _ in 0..4 {
            for path in paths {
                let refused = server.get(&format!("sites/default/{path}")).await.unwrap_err();
                assert!(refused.starts_with("503") && refused.contains("store_away"), "{path}: {refused}");
            }
        }
        for number in 0..20 {
            let body = beacon("unknown", view_id(number), "https://shop.example/", &json!({"LCP": 900.0}));
            assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 404);
        }
    };
    // Less than three of them would wait for a connection.
    let wait = Duration::from_millis(3 * fieldvitals_store_postgres::limits::DATABASE_CONNECT_MS_MAX);
    tokio::time::timeout(wait, all).await.expect("none of them waits");
    cluster.start_again();
    eventually(|| server.get("sites/default/pages")).await;
}
