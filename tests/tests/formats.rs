//! Data of other libraries: their own clients from npm measure a page of another origin, and send to a real server.

use fieldvitals_tests::browser::Browser;
use fieldvitals_tests::clients;
use fieldvitals_tests::scenarios::lab::{Folder, Lab};
use fieldvitals_tests::server::Server;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// The pages, and their scripts.
const SCRIPTS: [(&str, &str); 4] = [
    ("faro", include_str!("../pages/formats/faro.js")),
    ("otlp", include_str!("../pages/formats/otlp.js")),
    ("umami", include_str!("../pages/formats/umami.js")),
    ("web-vitals", include_str!("../pages/formats/web-vitals.js")),
];
/// The files of boomerang that measure web vitals, in the order of its `plugins.json`. It has no build on npm.
const BOOMERANG: [&str; 7] = [
    "boomerang.js",
    "plugins/continuity.js",
    "plugins/rt.js",
    "plugins/painttiming.js",
    "plugins/navtiming.js",
    "plugins/mobile.js",
    "plugins/eventtiming.js",
];
/// A page whose click takes 60 ms, so that it has an interaction.
const PAGE: &str = "<!doctype html><meta charset=\"utf-8\"><link rel=\"icon\" href=\"data:,\"><h1>A page with a text</h1>\
    <button onclick=\"const end = performance.now() + 60; while (performance.now() < end); document.title = 'clicked'\">\
    click</button><script src=\"NAME.js\"></script>";

/// The scripts of all pages.
async fn scripts(server: &Server) -> Option<Vec<(&'static str, String)>> {
    let scripts: Value = SCRIPTS.into_iter().map(|(name, script)| (name.to_owned(), json!(script))).collect();
    let env = [("SCRIPTS", scripts.to_string()), ("SERVER", server.url.clone()), ("KEY", server.key.clone())];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let bundled = clients::node(include_str!("../node/bundle.mjs"), &env).await?;
    let bundle = |name| bundled[name].as_str().expect("a bundle").to_owned();
    let mut scripts: Vec<_> = SCRIPTS.map(|(name, _)| (name, bundle(name))).into();
    let folder = PathBuf::from(std::env::var_os("FIELDVITALS_CLIENTS")?).join("node_modules/boomerangjs");
    let mut boomerang: String = BOOMERANG
        .iter()
        .map(|file| std::fs::read_to_string(folder.join(file)).expect("a file of boomerang") + "\n")
        .collect();
    boomerang += &format!(
        "BOOMR.init({{ beacon_url: \"{}/v1/boomerang?site={}&release=1.4.2\", beacon_type: \"POST\" }});",
        server.url, server.key
    );
    scripts.push(("boomerang", boomerang));
    Some(scripts)
}

#[tokio::test]
async fn libraries_on_npm_send_what_they_measure_and_each_visit_is_one_page_view() {
    let server = Arc::new(Server::start().await);
    let Some(scripts) = scripts(&server).await else { return };
    let (lab, browser) = (Lab::start(Arc::clone(&server), Vec::new()), Browser::start().await);
    let mut folder = Folder::default();
    for (name, script) in &scripts {
        folder.pages.push((format!("{name}.html"), PAGE.replace("NAME", name)));
        folder.pages.push((format!("{name}.js"), script.clone()));
    }
    let address = lab.folder("formats", folder);
    for (name, _) in &scripts {
        for _visit in 0..2 {
            browser.open(&format!("{address}{name}.html")).await;
            // It observes interactions from then on.
            if *name == "boomerang" {
                browser.until("BOOMR.hasSentPageLoadBeacon()").await;
            }
            browser.click("button").await;
            browser.until("document.title === 'clicked'").await;
            // The entry of the click follows its frame.
            browser
                .run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
                .await;
            browser.leave().await;
        }
    }
    for (name, _) in &scripts {
        // boomerang sends INP only if the interaction reached it before the page was left.
        let metrics: &[&str] = match *name {
            "boomerang" => &["LCP", "CLS", "FCP", "TTFB"],
            _ => &["LCP", "CLS", "FCP", "TTFB", "INP"],
        };
        let page = server.reported(&format!("/r/formats/{name}.html"), metrics).await;
        assert_eq!(page["views"], 2, "{page}");
        for metric in metrics {
            assert_eq!(page["metrics"][*metric]["n"], 2, "{metric}: {page}");
        }
        if metrics.contains(&"INP") {
            let inp = page["metrics"]["INP"]["p75"].as_f64().expect("a value");
            assert!(inp >= 56.0, "{name}: the click took 60 ms, {inp}");
        }
    }
    let status = server.settled().await;
    let counts = &status["outcomes"];
    assert_eq!(
        counts["accepted"]
            .as_u64()
            .map(|accepted| accepted + counts["filtered(no_metric)"].as_u64().unwrap_or(0)),
        status["received"].as_u64(),
        "{status}"
    );
    assert!(counts["filtered(no_metric)"].as_u64() >= Some(2), "an event a visit: {status}");
    assert_eq!(status["dropped_fields"]["values"], 0, "{status}");
    let releases = server.get("sites/default/breakdown?by=release&period=24h").await.expect("an answer");
    assert_eq!(
        (&releases["values"][0]["value"], &releases["values"][0]["views"]),
        (&json!("1.4.2"), &json!(8)),
        "{releases}"
    );
    browser.quit().await;
}

/// Posts a body; returns the status and the answer.
async fn post(server: &Server, path: &str, body: &str, headers: &[(&str, &str)]) -> (StatusCode, Value) {
    let mut request = server.http.post(format!("{}{path}", server.url)).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") })
}

#[tokio::test]
async fn each_format_answers_and_refuses_in_its_own_terms() {
    let server = Server::start().await;
    let key = &server.key;
    let header = [("x-api-key", key.as_str())];
    let event = |value: Value| {
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        json!({"eventName": "browser.web_vital", "attributes": [
            text("browser.web_vital.name", "lcp"), text("browser.web_vital.id", "b"), text("url.full", "https://shop.example/otlp"),
            {"key": "browser.web_vital.value", "value": value},
        ]})
    };
    let logs =
        |records: &[Value]| json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).to_string();
    let faro = json!({"meta": {"page": {"url": "https://shop.example/faro"}},
        "measurements": [{"type": "web-vitals", "values": {"lcp": 900}, "context": {"id": "a"}}]});
    let umami = json!({"type": "performance", "payload": {"website": key, "url": "https://shop.example/umami", "lcp": 900}});
    let form = "u=https://shop.example/boomerang&pid=a&pt.lcp=900&rt.start=none";
    let image = server.http.get(format!("{}/v1/boomerang?site={key}&{form}&n=1", server.url)).send().await;
    assert_eq!(image.expect("an answer").status(), 204);
    let load = "u=https://shop.example/start&pid=b&pt.lcp=900&nt_nav_type=0&rt.start=none&n=1";
    // The last beacon of a single-page application is sent from another URL.
    let unload = "u=https://shop.example/later&pid=b&et.inp=40&rt.quit=&n=2";
    let (good, bad) = (event(json!({"intValue": "900"})), event(json!({"stringValue": "900"})));
    let partly = json!({"partialSuccess": {"rejectedLogRecords": "1",
        "errorMessage": "log record 1: attribute `browser.web_vital.value` is not a number"}});
    for (path, body, headers, status, answer) in [
        (format!("/collect/{key}"), faro.to_string(), &[][..], 202, Value::Null),
        ("/collect".to_owned(), faro.to_string(), &header, 202, Value::Null),
        ("/collect".to_owned(), json!({"events": []}).to_string(), &header, 202, Value::Null),
        (format!("/v1/logs?site={key}"), logs(&[good.clone(), bad.clone()]), &[], 200, partly),
        ("/v1/logs".to_owned(), logs(&[]), &header, 200, json!({"partialSuccess": {}})),
        ("/api/send".to_owned(), umami.to_string(), &[], 200, json!({})),
        (format!("/v1/boomerang?site={key}"), form.to_owned(), &[], 204, Value::Null),
        (format!("/v1/boomerang?site={key}"), load.to_owned(), &[], 204, Value::Null),
        (format!("/v1/boomerang?site={key}"), unload.to_owned(), &[], 204, Value::Null),
    ] {
        let told = post(&server, &path, &body, headers).await;
        assert_eq!((told.0.as_u16(), &told.1), (status, &answer), "{path} {body}");
    }
    for (path, body, code, expected) in [
        ("/collect", faro.to_string(), "unknown_site", "/collect/KEY"),
        ("/collect/nobody", faro.to_string(), "unknown_site", "`nobody`"),
        ("/collect/KEY", "[]".to_owned(), "malformed", "`meta` and `measurements`"),
        ("/v1/logs?site=KEY", logs(&[bad]), "malformed", "log record 0: attribute `browser.web_vital.value`"),
        ("/v1/logs?site=KEY", "\u{1}".to_owned(), "malformed", "not as protobuf"),
        ("/api/send", "{}".to_owned(), "malformed", "`payload`"),
        ("/v1/boomerang?site=KEY", "{}".to_owned(), "malformed", "boomerang's parameters"),
    ] {
        let (_, told) = post(&server, &path.replace("KEY", key), &body, &[]).await;
        let message = told["error"]["message"].as_str().unwrap_or_default();
        assert!(told["error"]["code"] == code && message.contains(expected), "{path}: {told}");
    }
    for path in ["/collect/x", "/v1/logs", "/api/send", "/v1/boomerang"] {
        let (status, told) = post(&server, path, "\u{1f}", &[("content-encoding", "gzip")]).await;
        assert_eq!((status.as_u16(), &told["error"]["code"]), (415, &json!("encoding")), "{path}");
        let (status, _) = post(&server, path, &"x".repeat(65_537), &[]).await;
        assert_eq!(status.as_u16(), 413, "{path}");
        let put = server.http.put(format!("{}{path}", server.url)).send().await.expect("an answer");
        assert_eq!(put.status(), 405, "{path}");
    }
    for route in ["/faro", "/otlp", "/umami", "/boomerang"] {
        let views = server.reported(route, &["LCP"]).await["views"].clone();
        assert_eq!(views, 1, "{route}: the same metric again is the same page view");
    }
    let page = server.reported("/start", &["LCP", "INP"]).await;
    assert_eq!(page["views"], 1, "the page view stays on the page of its load: {page}");
    let status = server.settled().await;
    let sum: u64 = status["outcomes"].as_object().expect("outcomes").values().filter_map(Value::as_u64).sum();
    assert_eq!(
        (Some(sum), &status["outcomes"]["filtered(no_metric)"]),
        (status["received"].as_u64(), &json!(2)),
        "{status}"
    );
}
