//! Beacon data beside values, from the socket to the reports: attribution, samples, countries. Erasing removes it too.

use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::server::Server;
use serde_json::{Value, json};

/// Builds a beacon of a page view with attribution: the image of an element for LCP, a click for INP.
fn explained(server: &Server, number: u128, page: &str, target: &str) -> Value {
    let url = format!("https://shop.example/{page}");
    let mut beacon = beacon(&server.key, view_id(number), &url, &json!({"LCP": 2000.0, "INP": 300.0}));
    beacon["views"][0]["tbt"] = 150.into();
    beacon["views"][0]["attribution"] = json!({
        "lcp": {"target": target, "url": "https://cdn.example/hero.avif?secret=1", "parts": [200, 300, 1000, 500]},
        "inp": {"target": "#buy", "event": "click", "at": 5000, "parts": [20, 250, 30],
                "script": "https://shop.example/app.js", "script_ms": 200, "load": "complete"},
    });
    beacon
}

async fn causes(server: &Server, question: &str) -> Value {
    server.get(&format!("sites/default/attribution?{question}")).await.expect("an answer")
}

#[tokio::test]
async fn what_explains_a_page_view_is_kept_read_and_erased_with_it() {
    let server = Server::start().await;
    for number in 0..6 {
        let target = if number < 4 { "#hero>img" } else { "main>img" };
        let page = if number < 4 { "kept" } else { "erased" };
        let mut beacon = explained(&server, number, page, target);
        beacon["errors"] = 4.into();
        beacon["tags"] = json!({"plan": "free"});
        assert_eq!(server.post("/v1/beacon", beacon.to_string()).await.0, 204);
    }
    let mut gap = beacon(&server.key, view_id(7), "https://shop.example/kept", &json!({"LCP": 900.0}));
    gap["views"][0]["tti_gap"] = "network".into();
    assert_eq!(server.post("/v1/beacon", gap.to_string()).await.0, 204);
    server.settled().await;

    let lcp = causes(&server, "metric=lcp").await;
    assert_eq!((&lcp["views"], &lcp["measured"], &lcp["explained"]), (&json!(7), &json!(7), &json!(6)));
    let first = &lcp["causes"][0];
    assert_eq!(first["target"], "#hero>img");
    assert_eq!(first["url"], "https://cdn.example/hero.avif", "a query is never kept");
    assert_eq!((&first["n"], &first["p75"], &first["rating"]), (&json!(4), &json!(2000.0), &json!("good")));
    assert_eq!(
        first["parts_ms"],
        json!({"ttfb": 200, "load_delay": 300, "load_duration": 1000, "render_delay": 500})
    );
    assert_eq!(
        (&lcp["tbt"]["n"], &lcp["tbt"]["p75"], &lcp["tti"]["network"]),
        (&json!(6), &json!(150.0), &json!(1))
    );
    assert_eq!(lcp["collector_errors"], json!({"snippet": 0, "glue": 0, "module": 6, "page": 0, "field": 0}));
    let inp = causes(&server, "metric=INP&route=/erased&device=desktop").await;
    assert_eq!((&inp["views"], &inp["causes"][0]["script"]["median_ms"]), (&json!(2), &json!(200)));
    assert_eq!(causes(&server, "metric=cls").await["causes"], json!([]));
    assert_eq!(causes(&server, "metric=lcp&device=phone").await["views"], 0);
    for (question, expected) in [
        ("", "`metric` is missing"),
        ("metric=fcp", "expected lcp, inp, cls or ttfb"),
        ("metric=lcp&limit=101", "1 to 100"),
    ] {
        let refused = server.get(&format!("sites/default/attribution?{question}")).await.unwrap_err();
        assert!(refused.contains(expected), "{question}: {refused}");
    }

    let erase = ["site", "erase", "default", "--url", "https://shop.example/erased", "--yes"];
    let erased = server.cli(&erase).await;
    assert!(erased.status.success(), "{erased:?}");
    let lcp = causes(&server, "metric=lcp").await;
    assert_eq!((&lcp["views"], &lcp["causes_found"]), (&json!(5), &json!(1)));
    let store = std::fs::read(server.data_dir().join("store.db")).unwrap();
    let log = std::fs::read(server.data_dir().join("store.db-wal")).unwrap_or_default();
    let holds = |text: &str| {
        [&store, &log].iter().any(|file| file.windows(text.len()).any(|at| at == text.as_bytes()))
    };
    assert!(holds("#hero>img"));
    assert!(!holds("secret=1"));
}

#[tokio::test]
async fn slow_ttfb_is_explained_by_its_parts_and_the_conditions() {
    let server = Server::start().await;
    let post = async |number: u128, ttfb: u32, parts: [u32; 6], protocol: &str, cache: &str| {
        let url = "https://shop.example/slow";
        let mut beacon = beacon(&server.key, view_id(number), url, &json!({"TTFB": ttfb}));
        (beacon["rtt"], beacon["memory"], beacon["cpu"]) = (150.into(), "low".into(), "high".into());
        let view = &mut beacon["views"][0];
        (view["engaged"], view["first_input"]) = (true.into(), 1_500.into());
        view["attribution"] = json!({"ttfb": {
            "parts": parts, "protocol": protocol, "delivery": "network", "bytes": 34_567,
            "server": [["cdn-cache", 0, cache], ["origin", 35.4]], "not_restored": ["unload-listener"],
            "confidence": "low", "trigger_rate": 0,
        }});
        assert_eq!(server.post("/v1/beacon", beacon.to_string()).await.0, 204);
    };
    for number in 0..3 {
        post(number, 2_000, [100, 0, 1, 20, 79, 1_800], "http/1.1", "MISS").await;
    }
    post(3, 300, [250, 0, 0, 0, 0, 50], "h3", "HIT").await;
    server.settled().await;

    let ttfb = causes(&server, "metric=ttfb&route=/slow").await;
    assert_eq!(
        (&ttfb["measured"], &ttfb["explained"], &ttfb["causes_found"]),
        (&json!(4), &json!(4), &json!(2))
    );
    let first = &ttfb["causes"][0];
    assert_eq!(
        (&first["longest_part"], &first["n"], &first["rating"]),
        (&json!("request"), &json!(3), &json!("poor"))
    );
    let parts =
        json!({"redirect": 100, "service_worker": 0, "cache": 1, "dns": 20, "connect": 79, "request": 1_800});
    assert_eq!(first["parts_ms"], parts);
    let conditions = &ttfb["conditions"];
    let class = |class: &str, n: u32, p75: f64, rating: &str| json!({"class": class, "n": n, "p75": p75, "rating": rating});
    let (slow, all) = (class("http/1.1", 3, 2000.0, "poor"), |name| class(name, 4, 2000.0, "poor"));
    assert_eq!(conditions["classes"]["protocol"], json!([slow, class("h3", 1, 300.0, "good")]));
    for (condition, name) in [
        ("delivery", "network"),
        ("rtt", "under-200"),
        ("memory", "low"),
        ("cpu", "high"),
        ("engaged", "yes"),
    ] {
        assert_eq!(conditions["classes"][condition], json!([all(name)]), "{condition}");
    }
    let timings = conditions["server_timings"].as_array().unwrap();
    assert_eq!(
        timings[0],
        json!({"name": "origin", "n": 4, "median_ms": 35, "p75": 2000.0, "rating": "poor"})
    );
    assert_eq!((&timings[1]["description"], &timings[2]["description"]), (&json!("MISS"), &json!("HIT")));
    assert_eq!(conditions["not_restored"], json!([{"reason": "unload-listener", "n": 4}]));
    assert_eq!(conditions["document_kb"], json!({"n": 4, "p50": 35, "p75": 35}));
    assert_eq!(conditions["first_input_ms"]["p50"], 1_500);
    assert_eq!(conditions["cold_starts"], json!({"n": 4, "estimated": 4}));

    let printed = server.cli(&["report", "--attribution", "ttfb", "--route", "/slow"]).await;
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(
        printed.status.success() && text.contains("cdn-cache MISS") && text.contains("LONGEST PART"),
        "{printed:?}"
    );
}

#[tokio::test]
async fn of_a_visitor_who_asks_to_be_left_alone_the_values_alone_are_kept() {
    let server = Server::start().await;
    let asked = [("sec-gpc", "1"), ("dnt", "1"), ("sec-gpc", "0"), ("dnt", "0"), ("dnt", "unspecified")];
    for (number, (header, value)) in (0..).zip(asked) {
        let mut beacon = explained(&server, number, "p", &format!("#{header}-{value}"));
        beacon["tags"] = json!({"plan": format!("plan-{header}-{value}")});
        beacon["memory"] = "low".into();
        beacon["views"][0]["attribution"]["ttfb"] =
            json!({"server": [["edge", 1, format!("edge-{header}-{value}")]]});
        beacon["views"][0]["marks"] = json!({format!("mark-{header}-{value}"): 5});
        let request = server.http.post(format!("{}/v1/beacon", server.url)).header(header, value);
        assert_eq!(request.body(beacon.to_string()).send().await.unwrap().status(), 204);
    }
    server.settled().await;
    let lcp = causes(&server, "metric=lcp").await;
    assert_eq!(
        (&lcp["views"], &lcp["measured"], &lcp["explained"]),
        (&json!(5), &json!(5), &json!(3)),
        "{lcp}"
    );
    assert_eq!(lcp["tbt"]["n"], 5, "a value like the others");
    assert_eq!(lcp["conditions"]["classes"]["memory"][0]["n"], 3);
    let store = std::fs::read(server.data_dir().join("store.db")).unwrap();
    let log = std::fs::read(server.data_dir().join("store.db-wal")).unwrap_or_default();
    let holds = |text: String| {
        [&store, &log].iter().any(|file| file.windows(text.len()).any(|at| at == text.as_bytes()))
    };
    for (header, value) in asked {
        for what in ["#", "plan-", "mark-", "edge-"] {
            assert_eq!(holds(format!("{what}{header}-{value}")), value != "1", "{what}{header}-{value}");
        }
    }
}

#[tokio::test]
async fn sampled_page_views_are_counted_as_those_they_stand_for() {
    let server = Server::start().await;
    for number in 0..4 {
        let mut beacon = explained(&server, number, "p", "img");
        if number < 3 {
            beacon["sample"] = 0.1.into();
        }
        assert_eq!(server.post("/v1/beacon", beacon.to_string()).await.0, 204);
    }
    let mut none = explained(&server, 9, "p", "img");
    none["sample"] = 0.into();
    assert_eq!(server.post("/v1/beacon", none.to_string()).await.0, 204, "no share: it stands for itself");
    server.settled().await;
    let page = server.reported("/p", &["LCP"]).await;
    let counts = |of: &Value| (of["views"].clone(), of["views_estimated"].clone());
    assert_eq!((counts(&page), &page["metrics"]["LCP"]["n"]), ((json!(5), json!(32)), &json!(5)));
    assert_eq!(counts(&server.get("sites/default/report").await.unwrap()), (json!(5), json!(32)));
    let by = server.get("sites/default/breakdown?by=device").await.unwrap();
    assert_eq!(counts(&by["values"][0]), (json!(5), json!(32)));
    assert_eq!(counts(&causes(&server, "metric=lcp").await), (json!(5), json!(32)));
}

#[tokio::test]
async fn a_country_is_known_from_a_trusted_proxys_header_alone() {
    let set = ["--trusted-proxy", "127.0.0.1", "--country-header", "CF-IPCountry"];
    for (args, expected) in [(&set[..], json!(["DE", null])), (&set[..2], json!([null]))] {
        let server = Server::start_with(args).await;
        for (number, country) in [(1, "de"), (2, "DE"), (3, "XX")] {
            let response = server
                .http
                .post(format!("{}/v1/beacon?country=FR", server.url))
                .header("cf-ipcountry", country)
                .body(explained(&server, number, "p", "img").to_string())
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), 204);
        }
        server.settled().await;
        let _ = server.reported("/p", &["LCP"]).await;
        let by = server.get("sites/default/breakdown?by=country").await.unwrap();
        let values: Vec<Value> =
            by["values"].as_array().unwrap().iter().map(|one| one["value"].clone()).collect();
        assert_eq!(json!(values), expected);
    }
}
