//! Beacons and their outcomes, over a real socket: accepted beacons are reported, errors are named.

use fieldvitals_tests::beacon::{beacon, now_ms, view_id};
use fieldvitals_tests::eventually;
use fieldvitals_tests::server::Server;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};

fn shop(server: &Server, number: u128, values: &Value) -> Value {
    beacon(&server.key, view_id(number), "https://shop.example/p/42?q=secret", values)
}

#[tokio::test]
async fn what_is_taken_is_reported() {
    let server = Server::start().await;
    let values = json!({"LCP": 2400.0, "INP": 180.0, "CLS": 0.3, "FCP": 900.0, "TTFB": 120.5, "FID": 12.0, "TTI": 7400.0});
    for number in 0..20 {
        let (status, answer) = server.post("/v1/beacon", shop(&server, number, &values).to_string()).await;
        assert_eq!((status, answer), (204, Value::Null));
    }
    let page = server.reported("/p/:id", &["LCP", "INP", "CLS", "FCP", "TTFB", "FID", "TTI"]).await;
    server.settled().await;
    let page = if page["views"] == 20 { page } else { server.reported("/p/:id", &["LCP"]).await };
    assert_eq!(page["views"], 20);
    for (metric, value, rating) in [
        ("LCP", 2400.0, "good"),
        ("INP", 180.0, "good"),
        ("CLS", 0.3, "poor"),
        ("FCP", 900.0, "good"),
        ("TTFB", 120.5, "good"),
        ("FID", 12.0, "good"),
        ("TTI", 7400.0, "poor"),
    ] {
        let report = &page["metrics"][metric];
        assert_eq!(report["n"], 20, "{metric}");
        assert_eq!(report["rating"], rating, "{metric}");
        let p75 = report["p75"].as_f64().unwrap();
        assert!((p75 / value - 1.0).abs() < 0.0055, "{metric}: {p75} for {value}");
    }
    let report = server.get("sites/default/report?route=/p/:id").await.unwrap();
    let bins = report["metrics"]["CLS"]["distribution"].as_array().unwrap();
    assert_eq!(bins.iter().filter_map(|bin| bin["n"].as_i64()).sum::<i64>(), 20);
    let phones = server.get("sites/default/report?route=/p/:id&device=phone").await.unwrap();
    assert_eq!(phones["views"], 0);
}

#[tokio::test]
async fn the_last_snapshot_is_the_view_and_a_repeat_changes_nothing() {
    let server = Server::start().await;
    let mut last = shop(&server, 1, &json!({"LCP": 1000.0}));
    last["seq"] = 3.into();
    let mut early = shop(&server, 1, &json!({"LCP": 5000.0, "INP": 600.0}));
    early["seq"] = 2.into();
    early["views"][0]["id"] = last["views"][0]["id"].clone();
    for body in [&last, &early, &last, &last] {
        assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    }
    let status = server.settled().await;
    assert_eq!(
        (&status["spool"]["loaded"], &status["spool"]["superseded"]),
        (&json!(1), &json!(3)),
        "{status}"
    );
    assert_eq!(status["received"], 4);
    let page = server.reported("/p/:id", &["LCP"]).await;
    assert_eq!((&page["views"], &page["metrics"]["LCP"]["good"]), (&json!(1), &json!(1)));
    assert!(page["metrics"]["INP"].is_null(), "a snapshot is whole");
}

#[tokio::test]
async fn what_web_vitals_users_send_is_taken() {
    let server = Server::start().await;
    let metric = |name: &str, value: f64, random: u32| {
        json!({"name": name, "value": value, "delta": value, "rating": "good", "entries": [],
               "id": format!("v6-{}-{random:013}", now_ms()), "navigationType": "navigate"})
    };
    let site = &server.key;
    let one = metric("LCP", 1200.0, 1);
    let path = format!("/v1/web-vitals?site={site}&url=https://shop.example/one&device=phone&release=1.2");
    assert_eq!(server.post(&path, one.to_string()).await, (204, Value::Null));
    assert_eq!(server.post(&path, one.to_string()).await.0, 204, "sent again, counted once");
    let mut with_url = metric("CLS", 0.02, 2);
    with_url["url"] = "https://shop.example/one".into();
    assert_eq!(server.post(&format!("/v1/web-vitals?site={site}"), with_url.to_string()).await.0, 204);
    let both = json!([metric("LCP", 900.0, 3), metric("INP", 80.0, 4)]);
    let joined = format!("/v1/web-vitals?site={site}&url=https://shop.example/two&pageview=load-1");
    let response = server
        .http
        .post(format!("{}{joined}", server.url))
        .header("content-type", "application/json")
        .header("origin", "https://shop.example")
        .body(both.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["access-control-allow-origin"], "https://shop.example");
    assert_eq!(server.post(&joined, metric("CLS", 0.2, 5).to_string()).await.0, 204);
    server.settled().await;
    let one = server.reported("/one", &["LCP", "CLS"]).await;
    assert_eq!((&one["views"], &one["metrics"]["LCP"]["n"]), (&json!(2), &json!(1)));
    let two = server.reported("/two", &["LCP", "INP", "CLS"]).await;
    assert_eq!(two["views"], 1, "joined by pageview: {two}");
    let phones = server.get("sites/default/report?route=/one&device=phone&release=1.2").await.unwrap();
    assert_eq!(phones["views"], 1);
}

#[tokio::test]
async fn a_page_view_has_the_browser_and_the_system_of_who_sends_it() {
    const FIREFOX: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:153.0) Gecko/20100101 Firefox/153.0";
    let server = Server::start().await;
    let metric =
        |random: u32| json!({"name": "LCP", "value": 900.0, "id": format!("v6-{}-{random:013}", now_ms())});
    let own = shop(&server, 1, &json!({"LCP": 900.0})).to_string();
    let foreign = format!("/v1/web-vitals?site={}&url=https://shop.example/x", server.key);
    for (path, body, platform, user_agent) in [
        ("/v1/beacon", own, "\"Android\"", FIREFOX),
        (&foreign, metric(2).to_string(), "", FIREFOX),
        (&foreign, metric(3).to_string(), "\"Fuchsia\"", ""),
        (&foreign, metric(4).to_string(), "", ""),
    ] {
        let request = server.http.post(format!("{}{path}", server.url)).body(body);
        let request = request.header("sec-ch-ua-platform", platform).header("user-agent", user_agent);
        assert_eq!(request.send().await.unwrap().status(), 204);
    }
    server.settled().await;
    let android = server.get("sites/default/report?os=android&browser=Firefox").await.unwrap();
    assert_eq!((&android["views"], &android["os"]), (&json!(1), &json!("android")));
    let by = server.get("sites/default/breakdown?by=os&metrics=LCP").await.unwrap();
    let values = by["values"].as_array().unwrap().iter().map(|one| (&one["value"], &one["views"]));
    let one = json!(1);
    let expected = [json!("android"), json!("other"), json!("windows"), Value::Null];
    assert_eq!(values.collect::<Vec<_>>(), expected.each_ref().map(|name| (name, &one)), "{by}");
    let refused = server.get("sites/default/report?os=symbian").await.unwrap_err();
    assert!(refused.contains("expected windows, android, ios, macos, linux, chromeos or other"), "{refused}");
    let ranked = server.cli_json(&["report", "--os", "android", "--format", "json"]).await;
    assert_eq!(
        (&ranked["pages"][0]["route"], ranked["pages"].as_array().unwrap().len()),
        (&json!("/p/:id"), 1)
    );
}

#[tokio::test]
async fn bad_input_is_named_counted_and_never_stored() {
    let server = Server::start().await;
    let cli =
        server.cli_json(&["site", "add", "strict", "--origin", "https://*.strict.example", "--json"]).await;
    let strict = cli["key"].as_str().unwrap();
    let good = shop(&server, 1, &json!({"LCP": 1.0}));
    let text = good.to_string();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = good.clone();
        change(&mut body);
        body.to_string().into_bytes()
    };
    let value = |literal: &str| text.replace("\"LCP\":1.0", &format!("\"LCP\":{literal}")).into_bytes();
    let deep = format!("{{\"v\":1,\"site\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000)).into_bytes();
    let nested = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let late = fieldvitals_tests::beacon::now_ms() - 49 * 3_600_000;
    let cases: Vec<(Vec<u8>, u16, &str)> = vec![
        (Vec::new(), 400, "malformed"),
        (b"null".to_vec(), 400, "malformed"),
        (b"[]".to_vec(), 400, "malformed"),
        (text.as_bytes()[..text.len() / 2].to_vec(), 400, "malformed"),
        (b"\xff\xfe{}".to_vec(), 400, "not_utf8"),
        (deep, 400, "malformed"),
        (value("NaN"), 400, "malformed"),
        (value("Infinity"), 400, "malformed"),
        (value("1e999"), 400, "malformed"),
        (value("1e308"), 400, "malformed"),
        (value("-1"), 400, "malformed"),
        (value("9223372036854775808"), 400, "malformed"),
        (value("\"12\""), 400, "malformed"),
        (value("null"), 400, "malformed"),
        (with(&|body| body["views"][0]["values"] = json!({"TBT": 1})), 400, "malformed"),
        (with(&|body| body["v"] = 2.into()), 400, "version"),
        (with(&|body| body["site"] = "fvs_nobody".into()), 404, "unknown_site"),
        (with(&|body| body["site"] = strict.into()), 403, "origin"),
        (with(&|body| body["url"] = "about:blank".into()), 400, "value"),
        (with(&|body| body["views"][0]["id"] = "1".into()), 400, "malformed"),
        (with(&|body| body["views"] = json!([7, {"id": "x".repeat(50_000)}])), 400, "malformed"),
        (with(&|body| body["later"] = nested.clone()), 400, "malformed"),
        (
            with(&|body| body["views"][0]["id"] = vitals::view::ViewId::new(late, 1).to_string().into()),
            422,
            "late",
        ),
        (vec![b' '; 64 * 1024 + 1], 413, "too_large"),
    ];
    let count = cases.len();
    for (body, status, code) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        let (got, answer) = server.post("/v1/beacon", body).await;
        assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{shown}: {answer}");
        for field in ["message", "hint"] {
            assert!(
                answer["error"][field].as_str().is_some_and(|text| !text.is_empty()),
                "{shown}: {answer}"
            );
        }
    }
    let status = server.get("status").await.unwrap();
    assert_eq!(status["received"], count);
    let outcomes: u64 = status["outcomes"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(outcomes as usize, count, "every beacon has one outcome");
    assert_eq!(status["outcomes"]["accepted"], 0);
    assert_eq!(status["outcomes"]["invalid(unknown_site)"], 1);
    let pages = server.get("sites/default/pages").await.unwrap();
    assert_eq!(pages["pages"], json!([]), "nothing was stored");
    let rejections = server.get("sites/strict/rejections").await.unwrap();
    let origin = rejections["rejections"].as_array().unwrap().iter().find(|kind| kind["reason"] == "origin");
    assert_eq!(
        origin.map(|kind| (&kind["origin"], &kind["count"])),
        Some((&json!("https://shop.example"), &json!(1)))
    );
    // A beacon of exactly 64 KiB is accepted.
    let mut padded = text.into_bytes();
    padded.resize(64 * 1024, b' ');
    assert_eq!(server.post("/v1/beacon", padded).await.0, 204);
}

#[tokio::test]
async fn methods_paths_encodings_and_tokens_are_checked() {
    let server = Server::start().await;
    let http = &server.http;
    let url = |path: &str| format!("{}{path}", server.url);
    for path in ["/v1/beacon", "/v1/web-vitals"] {
        let response = http.get(url(path)).send().await.unwrap();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "POST");
        let compressed =
            http.post(url(path)).header("content-encoding", "gzip").body(vec![0; 100]).send().await.unwrap();
        assert_eq!(compressed.status(), 415);
        let preflight = http.request(reqwest::Method::OPTIONS, url(path)).send().await.unwrap();
        assert_eq!(preflight.status(), 204);
        assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
        assert!(!preflight.headers().contains_key("access-control-allow-credentials"));
    }
    assert_eq!(http.delete(url("/api/v1/sites")).send().await.unwrap().status(), 405);
    let nothing: Value = http.get(url("/api/v1/nothing")).send().await.unwrap().json().await.unwrap();
    assert_eq!(nothing["error"]["code"], "not_found");
    let bare: Value = http.get(url("/api/v1/sites")).send().await.unwrap().json().await.unwrap();
    assert_eq!(bare["error"]["code"], "token_missing");
    for path in [
        "status",
        "sites",
        "sites/default/pages",
        "sites/default/report",
        "sites/default/rejections",
        "sites/default/violations",
    ] {
        let wrong = http.get(url(&format!("/api/v1/{path}"))).bearer_auth("fvt_wrong").send().await.unwrap();
        assert_eq!(wrong.status(), 401, "{path}");
        let bare = http.get(url(&format!("/api/v1/{path}"))).send().await.unwrap();
        assert_eq!(bare.status(), 401, "{path}");
    }
    for (path, code) in [
        ("sites/nobody/pages", "site_unknown"),
        ("sites/default/pages?period=7", "parameter"),
        ("sites/default/pages?device=watch", "parameter"),
        ("sites/default/pages?metric=TBT", "parameter"),
        ("sites/default/pages?sort=best", "parameter"),
        ("sites/default/pages?limit=0", "parameter"),
        ("sites/default/pages?limit=501", "parameter"),
        ("sites/default/pages?cursor=%21", "parameter"),
        ("sites/default/report?from=yesterday", "parameter"),
        ("sites/default/violations?status=some", "parameter"),
    ] {
        let problem = server.get(path).await.unwrap_err();
        assert!(problem.contains(&format!("\"code\":\"{code}\"")), "{path}: {problem}");
    }
    let openapi = server.get("openapi.json").await.unwrap();
    for path in [
        "/v1/beacon",
        "/v1/web-vitals",
        "/api/v1/sites/{site}/pages",
        "/api/v1/sites/{site}/report",
        "/api/v1/sites/{site}/gate",
        "/v1/records:queryRecord",
        "/v1/records:queryHistoryRecord",
    ] {
        assert!(openapi["paths"][path].is_object(), "{path}");
    }
    for page in ["/", "/v.js", "/demo/"] {
        let response = http.get(url(page)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{page}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff", "{page}");
    }
    let snippet = http.get(url("/v.js")).send().await.unwrap();
    assert_eq!(snippet.headers()["cache-control"], "public, max-age=3600");
    let etag = snippet.headers()["etag"].clone();
    let again = http.get(url("/v.js")).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
}

#[tokio::test]
async fn a_body_that_trickles_is_ended() {
    let server = Server::start().await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.write_all(b"POST /v1/beacon HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").unwrap();
        let mut answer = String::new();
        let mut byte = [0; 1];
        while !answer.ends_with('\n') && socket.read(&mut byte).unwrap() == 1 {
            answer.push(char::from(byte[0]));
        }
        answer
    })
    .await
    .unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    eventually(|| async {
        let status = server.get("status").await?;
        if status["outcomes"]["invalid(timeout)"] == 1 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

/// A leaving page may close its connection. Every request that the server has begun still gets exactly one outcome.
#[tokio::test]
async fn a_client_that_goes_away_leaves_no_beacon_without_outcome() {
    let server = Server::start().await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let key = server.key.clone();
    tokio::task::spawn_blocking(move || {
        for number in 0..300 {
            let body =
                beacon(&key, view_id(number), "https://shop.example/gone", &json!({"LCP": 1.0})).to_string();
            let mut socket = std::net::TcpStream::connect(&address).unwrap();
            let head =
                format!("POST /v1/beacon HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
            socket.write_all(head.as_bytes()).unwrap();
            socket.write_all(body.as_bytes()).unwrap();
            // Closes with the answer unread, which resets the connection.
            drop(socket);
        }
    })
    .await
    .unwrap();
    eventually(|| async {
        let status = server.get("status").await?;
        let outcomes: u64 = status["outcomes"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        let spool = &status["spool"];
        let kept = status["received"] == outcomes
            && status["outcomes"]["accepted"] == spool["appended"]
            && spool["appended"] == spool["loaded"];
        if kept && outcomes > 0 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_query_that_cannot_be_read_is_a_json_error() {
    let server = Server::start().await;
    for path in ["sites/default/pages?period=1d&period=2d", "sites/default/report?route=%ff"] {
        let response = server.http.get(format!("{}/api/v1/{path}", server.url)).send().await.unwrap();
        let status = response.status().as_u16();
        let answer: Value = response.json().await.unwrap();
        assert!(
            answer["error"]["code"].is_string() && (400..=401).contains(&status),
            "{path}: {status} {answer}"
        );
    }
}
