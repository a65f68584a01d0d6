//! Questions to the read API: which page views an answer counts, and what is no question.

#![allow(clippy::unwrap_used)]

use fieldvitals_tests::beacon::{beacon, now_ms, view_id};
use fieldvitals_tests::server::Server;
use serde_json::{Value, json};
use vitals::view::ViewId;

const HOUR_MS: u64 = 3_600_000;

async fn visit(server: &Server, number: u128, path: &str) {
    let url = format!("https://shop.example{path}");
    let body = beacon(&server.key, view_id(number), &url, &json!({"LCP": 900.0}));
    assert_eq!(server.post("/v1/beacon", body.to_string()).await, (204, Value::Null));
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_by_every_endpoint() {
    let server = Server::start().await;
    let document = server.get("openapi.json").await.unwrap();
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(path) = path.strip_prefix("/api/v1/") else { continue };
        let path = path.replace("{site}", "default");
        for method in operations.as_object().unwrap().keys() {
            for (name, nearest) in [("relase", "release"), ("devices", "device"), ("days", ""), ("find", "")]
            {
                let url = format!("{}/api/v1/{path}?{name}=1", server.url);
                let method = method.to_uppercase().parse().unwrap();
                let request = server.http.request(method, url).bearer_auth(&server.token);
                let response = request.send().await.unwrap();
                let (status, text) = (response.status(), response.text().await.unwrap());
                assert_eq!(status, 400, "{path}?{name}: {text}");
                assert!(text.contains(&format!("unknown parameter `{name}`")), "{path}?{name}: {text}");
                if ["summary", "pages", "report", "breakdown", "attribution", "advice", "gate"]
                    .iter()
                    .any(|end| path.ends_with(end))
                {
                    assert!(text.contains(nearest), "{path}?{name}: {text}");
                }
                asked += 1;
            }
        }
    }
    assert!(asked >= 9 * 4, "{asked}");
    for given in ["sites/default/report?release=", "sites/default/pages?period=7d&metrics=LCP&sort=p75"] {
        server.get(given).await.unwrap();
    }
    let refused = server.get("sites/default/attribution?metric=lcp&metrics=INP").await.unwrap_err();
    assert!(refused.starts_with("400") && refused.contains("`metrics` is not taken here"), "{refused}");
}

#[tokio::test]
async fn a_route_is_found_in_any_spelling() {
    let server = Server::start().await;
    for (number, path) in ["/many", "/%E4%BD%A0%E5%A5%BD", "/p/12345", "/"].into_iter().enumerate() {
        visit(&server, number as u128, path).await;
    }
    server.settled().await;
    for (text, route) in [
        ("/many", "/many"),
        ("/many/", "/many"),
        ("many", "/many"),
        ("/你好", "/你好"),
        ("/%e4%bd%a0%e5%a5%bd/", "/你好"),
        ("/p/12345", "/p/:id"),
        ("p/777/", "/p/:id"),
        ("https://shop.example/p/12345?q=1", "/p/:id"),
        ("https://shop.example", "/"),
    ] {
        for resource in ["report?", "breakdown?by=device&", "attribution?metric=lcp&"] {
            let url = reqwest::Url::parse_with_params("http://a.example/", [("route", text)]).unwrap();
            let query = url.query().unwrap();
            let answer = server.get(&format!("sites/default/{resource}{query}")).await.unwrap();
            let views =
                if resource.starts_with("breakdown") { &answer["values"][0] } else { &answer }["views"]
                    .clone();
            assert_eq!((&answer["route"], views), (&json!(route), json!(1)), "{resource}{text}: {answer}");
        }
    }
    let answer = server.get("sites/default/report?route=/mani").await.unwrap();
    assert_eq!((&answer["views"], &answer["nearest_routes"]), (&json!(0), &json!(["/many"])), "{answer}");
    let output = server.cli(&["report", "--route", "/mani"]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("nearest: /many"), "{text}");
}

/// Of page views of this hour and of thirty hours ago, in whole UTC days of either.
#[tokio::test]
async fn every_filter_counts_the_hours_that_are_asked_for() {
    let server = Server::start().await;
    for (number, hours_ago) in [0, 0, 30, 30, 30].into_iter().enumerate() {
        let start_ms = now_ms() - 1_000 - hours_ago * HOUR_MS;
        let id = ViewId::new(start_ms, 1_000 + number as u128);
        let mut body = beacon(&server.key, id, "https://shop.example/", &json!({"LCP": 900.0}));
        body["release"] = "1.0".into();
        assert_eq!(server.post("/v1/beacon", body.to_string()).await, (204, Value::Null));
    }
    server.settled().await;
    let filters = ["", "&device=desktop", "&connection=4g", "&release=1.0", "&device=desktop&release=1.0"];
    for (period, views) in [("3h", 2), ("28h", 2), ("36h", 5), ("7d", 5)] {
        for filter in filters {
            let answer = server.get(&format!("sites/default/report?period={period}{filter}")).await.unwrap();
            assert_eq!(answer["views"], views, "{period}{filter}: {answer}");
            assert_eq!(answer["metrics"]["LCP"]["n"], views, "{period}{filter}");
        }
        for by in ["device", "browser", "os", "country", "connection", "navigation_type", "release"] {
            let path = format!("sites/default/breakdown?period={period}&by={by}");
            let answer = server.get(&path).await.unwrap();
            assert_eq!(answer["values"][0]["views"], views, "{path}: {answer}");
        }
    }
}
