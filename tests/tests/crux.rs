//! Records in the shape of the CrUX API: over HTTP, and read by the npm package crux-api.

#![allow(clippy::unwrap_used)]

use fieldvitals_tests::beacon::now_ms;
use fieldvitals_tests::receiver::Receiver;
use fieldvitals_tests::server::{Launch, Server};
use fieldvitals_tests::{clients, eventually, shop};
use jiff::Timestamp;
use serde_json::{Value, json};

const DAY_MS: i64 = 24 * 3_600_000;
const ORIGIN: &str = "https://shop.example";
/// The metrics with a distribution, and their names in reports.
const METRICS: [(&str, &str); 5] = [
    ("largest_contentful_paint", "LCP"),
    ("interaction_to_next_paint", "INP"),
    ("cumulative_layout_shift", "CLS"),
    ("first_contentful_paint", "FCP"),
    ("experimental_time_to_first_byte", "TTFB"),
];

/// A server with the shop, whose site names its origin, and a key that reads it.
async fn shop() -> (Server, String) {
    let server = shop::server().await;
    server.cli_json(&["site", "update", shop::NAME, "--origin", ORIGIN, "--json"]).await;
    let token = server.cli_json(&["token", "add", "crux", "--scope", "read", "--json"]).await;
    let key = token["token"].as_str().unwrap().to_owned();
    // The server reads sites and tokens again every second.
    eventually(|| async {
        match ask(&server, "Record", &key, &json!({"origin": ORIGIN})).await {
            (200, _) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    (server, key)
}

/// Asks for a record or a history. `key` may have further query parameters.
async fn ask(server: &Server, what: &str, key: &str, query: &Value) -> (u16, Value) {
    server.post(&format!("/v1/records:query{what}?key={key}"), query.to_string()).await
}

fn text(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).unwrap().to_string()
}

fn today_ms() -> i64 {
    now_ms() as i64 / DAY_MS * DAY_MS
}

/// The start of a day of the answer, in UTC milliseconds.
fn start_ms(date: &Value) -> i64 {
    let part = |name: &str| date[name].as_i64().unwrap();
    let day = format!("{:04}-{:02}-{:02}T00:00:00Z", part("year"), part("month"), part("day"));
    day.parse::<Timestamp>().unwrap().as_millisecond()
}

/// The report of a time.
async fn report(server: &Server, from_ms: i64, to_ms: i64, filter: &str) -> Value {
    let path = format!("sites/shop/report?from={}&to={}{filter}", text(from_ms), text(to_ms));
    server.get(&path).await.unwrap()
}

fn share(part: &Value, whole: &Value) -> f64 {
    (part.as_f64().unwrap() / whole.as_f64().unwrap() * 10_000.0).round() / 10_000.0
}

/// Compares the distributions and percentiles of a record with a report.
fn assert_same(record: &Value, report: &Value) {
    for (name, metric) in METRICS {
        let (told, known) = (&record["metrics"][name], &report["metrics"][metric]);
        let densities: Vec<f64> = told["histogram"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bin| bin["density"].as_f64().unwrap())
            .collect();
        let shares = ["good", "needs_improvement", "poor"].map(|rating| share(&known[rating], &known["n"]));
        assert_eq!(densities, shares, "{name}");
        let (p75, known) = (&told["percentiles"]["p75"], known["p75"].as_f64().unwrap());
        let (p75, unit) = match p75 {
            Value::String(score) => (score.parse::<f64>().unwrap(), 0.01),
            number => (number.as_f64().unwrap(), 1.0),
        };
        assert!((p75 - known).abs() <= unit, "{name}: {p75}, {known}");
    }
}

#[tokio::test]
async fn record_has_the_numbers_of_the_report() {
    let (server, key) = shop().await;
    let (from_ms, to_ms) = (today_ms() - 28 * DAY_MS, today_ms());
    let (status, whole) = ask(&server, "Record", &key, &json!({"origin": ORIGIN})).await;
    assert_eq!((status, &whole["record"]["key"]), (200, &json!({"origin": ORIGIN})), "{whole}");
    let period = &whole["record"]["collectionPeriod"];
    assert_eq!((start_ms(&period["firstDate"]), start_ms(&period["lastDate"])), (from_ms, to_ms - DAY_MS));
    assert_same(&whole["record"], &report(&server, from_ms, to_ms, "").await);

    let metrics = &whole["record"]["metrics"];
    let by = format!("sites/shop/breakdown?by=device&from={}&to={}", text(from_ms), text(to_ms));
    let devices = server.get(&by).await.unwrap();
    let views = |value: &str| {
        let values = devices["values"].as_array().unwrap();
        values.iter().find(|one| one["value"] == value).unwrap()["views"].clone()
    };
    let all = json!(views("phone").as_i64().unwrap() + views("desktop").as_i64().unwrap());
    assert_eq!(
        metrics["form_factors"]["fractions"],
        json!({"phone": share(&views("phone"), &all), "tablet": 0.0, "desktop": share(&views("desktop"), &all)})
    );
    let types = &metrics["navigation_types"]["fractions"];
    assert_eq!(
        (types["navigate"].as_f64(), types["back_forward"].as_f64()),
        (Some(0.8888), Some(0.1112)),
        "{types}"
    );
    // Three of ten page views are of products, whose LCP is an image.
    let kinds = &metrics["largest_contentful_paint_resource_type"]["fractions"];
    assert!((kinds["image"].as_f64().unwrap() - 0.3).abs() < 0.02, "{kinds}");
    let part =
        |name: &str| metrics[format!("largest_contentful_paint_image_{name}")]["percentiles"]["p75"].as_u64();
    assert!(part("resource_load_delay") > part("resource_load_duration"), "{metrics}");
    assert!(part("time_to_first_byte").is_some() && part("element_render_delay").is_some(), "{metrics}");
    assert!(metrics["round_trip_time"].is_null());

    let url = format!("{ORIGIN}/product/12345?colour=red#top");
    let query = json!({"url": url, "formFactor": "PHONE", "metrics": METRICS.map(|(name, _)| name)});
    let (_, page) = ask(&server, "Record", &key, &query).await;
    let normalized = format!("{ORIGIN}/product/:id");
    assert_eq!(page["record"]["key"], json!({"formFactor": "PHONE", "url": normalized}), "{page}");
    assert_eq!(page["urlNormalizationDetails"], json!({"originalUrl": url, "normalizedUrl": normalized}));
    assert_eq!(page["record"]["metrics"].as_object().map(|metrics| metrics.len()), Some(METRICS.len()));
    assert_same(&page["record"], &report(&server, from_ms, to_ms, "&route=/product/:id&device=phone").await);
    let (_, again) = ask(&server, "Record", &key, &json!({"url": normalized, "formFactor": "PHONE"})).await;
    assert_eq!(again["record"]["key"], page["record"]["key"], "a normalized URL names the same record");
}

#[tokio::test]
async fn history_has_the_numbers_of_each_period() {
    let (server, key) = shop().await;
    let query = json!({"origin": ORIGIN, "formFactor": "DESKTOP", "collectionPeriodCount": 6});
    let (status, history) = ask(&server, "HistoryRecord", &key, &query).await;
    let periods = history["record"]["collectionPeriods"].as_array().unwrap();
    assert_eq!((status, periods.len()), (200, 6), "{history}");
    let lcp = &history["record"]["metrics"]["largest_contentful_paint"];
    let p75s = lcp["percentilesTimeseries"]["p75s"].as_array().unwrap();
    assert!(p75s[0].is_null() && lcp["histogramTimeseries"][0]["densities"][0] == "NaN", "{lcp}");
    for (place, period) in periods.iter().enumerate() {
        let (first_ms, last_ms) = (start_ms(&period["firstDate"]), start_ms(&period["lastDate"]));
        assert_eq!(last_ms - first_ms, 27 * DAY_MS);
        if p75s[place].is_null() {
            continue;
        }
        let known = report(&server, first_ms, last_ms + DAY_MS, "&device=desktop").await;
        let metrics = METRICS.map(|(name, _)| {
            let metric = &history["record"]["metrics"][name];
            let bins = metric["histogramTimeseries"].as_array().unwrap().iter();
            let bins: Vec<Value> = bins.map(|bin| json!({"density": bin["densities"][place]})).collect();
            let p75 = &metric["percentilesTimeseries"]["p75s"][place];
            (name.to_owned(), json!({"histogram": bins, "percentiles": {"p75": p75}}))
        });
        let metrics: serde_json::Map<String, Value> = metrics.into_iter().collect();
        assert_same(&json!({"metrics": metrics}), &known);
    }
    assert!(p75s.iter().filter(|p75| !p75.is_null()).count() >= 3, "{p75s:?}");

    let (_, all) = ask(&server, "HistoryRecord", &key, &json!({"origin": ORIGIN})).await;
    assert_eq!(all["record"]["collectionPeriods"].as_array().map(Vec::len), Some(25));
    for (metric, value) in [("form_factors", "phone"), ("navigation_types", "navigate")] {
        let fractions = &all["record"]["metrics"][metric]["fractionTimeseries"][value]["fractions"];
        assert!(fractions[0] == "NaN" && fractions[24].as_f64() > Some(0.5), "{metric}: {fractions}");
    }
}

#[tokio::test]
async fn refusal_has_the_shape_of_google_and_says_why() {
    let (server, key) = shop().await;
    let origin = json!({"origin": ORIGIN});
    let with_site = format!("{key}&site=other");
    let misspelled = format!("{key}&sites=shop");
    for (key, query, code, status, message, why) in [
        ("", &origin, 403, "PERMISSION_DENIED", "this request needs an API key", "?key=TOKEN"),
        (
            "wrong",
            &origin,
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            "not known",
        ),
        (&key, &json!({}), 400, "INVALID_ARGUMENT", "one of 'origin' and 'url' is required", ""),
        (
            &key,
            &json!({"origin": ORIGIN, "formFactor": "mobile"}),
            400,
            "INVALID_ARGUMENT",
            "invalid value at 'formFactor'",
            "TABLET",
        ),
        (
            &misspelled,
            &origin,
            400,
            "INVALID_ARGUMENT",
            "unknown query parameter 'sites': did you mean 'site'?",
            "",
        ),
        (
            &key,
            &json!({"origin": "https://www.google.example"}),
            404,
            "NOT_FOUND",
            "chrome ux report data not found",
            "no site that this key reads names the origin",
        ),
        (&with_site, &origin, 404, "NOT_FOUND", "chrome ux report data not found", "no site `other`"),
        (
            &key,
            &json!({"url": format!("{ORIGIN}/prodct/7")}),
            404,
            "NOT_FOUND",
            "chrome ux report data not found",
            "nearest: /product/:id",
        ),
        (
            &key,
            &json!({"origin": ORIGIN, "formFactor": "TABLET"}),
            404,
            "NOT_FOUND",
            "chrome ux report data not found",
            "no page views on a tablet with these metrics",
        ),
        (
            &key,
            &json!({"origin": ORIGIN, "metrics": ["round_trip_time"]}),
            404,
            "NOT_FOUND",
            "chrome ux report data not found",
            "with these metrics",
        ),
    ] {
        for what in ["Record", "HistoryRecord"] {
            let (told, answer) = ask(&server, what, key, query).await;
            let error = &answer["error"];
            assert_eq!(
                (told, &error["code"], &error["status"]),
                (code, &json!(code), &json!(status)),
                "{answer}"
            );
            assert!(error["message"].as_str().unwrap().starts_with(message), "{answer}");
            assert!(error["details"][0]["message"].as_str().unwrap().contains(why), "{answer}");
        }
    }
    let get =
        server.http.get(format!("{}/v1/records:queryRecord?key={key}", server.url)).send().await.unwrap();
    assert_eq!((get.status().as_u16(), get.headers()["allow"].to_str().unwrap()), (405, "POST, OPTIONS"));
    let url = format!("{}/v1/records:queryRecord", server.url);
    let preflight = server.http.request("OPTIONS".parse().unwrap(), url).send().await.unwrap();
    let (status, headers) = (preflight.status().as_u16(), preflight.headers());
    assert_eq!((status, &headers["access-control-allow-origin"]), (204, &"*".parse().unwrap()));
    assert!(headers["access-control-allow-headers"].to_str().unwrap().contains("x-goog-api-key"));
    let large = json!({"origin": ORIGIN, "metrics": ["x".repeat(20_000)]});
    assert_eq!(ask(&server, "Record", &key, &large).await.1["error"]["status"], "INVALID_ARGUMENT");
}

#[tokio::test]
async fn link_to_one_site_is_a_key_of_that_site_only() {
    let (server, token) = shop().await;
    server.cli_json(&["site", "add", "help", "--origin", "https://help.example", "--json"]).await;
    let link = eventually(|| async {
        let url = format!("{}/api/v1/sites/help/links", server.url);
        let made = server.http.post(url).bearer_auth(&token).body("{\"days\": 1}").send().await.unwrap();
        if made.status() == 200 {
            Ok(made.json::<Value>().await.unwrap())
        } else {
            Err(made.status().to_string())
        }
    })
    .await;
    let link = link["link"].as_str().unwrap();
    let (status, answer) = ask(&server, "Record", link, &json!({"origin": ORIGIN})).await;
    assert_eq!(status, 404, "{answer}");
    let (_, answer) = ask(&server, "Record", link, &json!({"origin": "https://help.example"})).await;
    let why = answer["error"]["details"][0]["message"].as_str().unwrap();
    assert!(why.starts_with("the site `help` has no page views with these metrics"), "{answer}");
    let by_header = |name: &str, value: String| {
        let url = format!("{}/v1/records:queryRecord", server.url);
        server.http.post(url).header(name, value).body(json!({"origin": ORIGIN}).to_string()).send()
    };
    for (name, value) in [("x-goog-api-key", token.clone()), ("authorization", format!("Bearer {token}"))] {
        assert_eq!(by_header(name, value).await.unwrap().status(), 200, "{name}");
    }
}

#[tokio::test]
async fn crux_api_of_npm_reads_records_and_histories() {
    let (server, key) = shop().await;
    let queries = json!([
        {"api": "record", "query": {"origin": ORIGIN}},
        {"api": "record", "query": {"url": format!("{ORIGIN}/cart"), "formFactor": "PHONE"}},
        {"api": "history", "query": {"origin": ORIGIN}},
        {"api": "record", "query": {"origin": "https://other.example"}},
        {"api": "record", "query": {"origin": ORIGIN, "formFactor": "mobile"}},
    ]);
    let env = [("SERVER", server.url.as_str()), ("KEY", key.as_str()), ("QUERIES", &queries.to_string())];
    let Some(answers) = clients::node(include_str!("../node/crux.mjs"), &env).await else { return };
    for (place, what) in [(0, "Record"), (1, "Record"), (2, "HistoryRecord")] {
        let (_, expected) = ask(&server, what, &key, &queries[place]["query"]).await;
        let expected = clients::as_in_javascript(&expected);
        assert_eq!(clients::as_in_javascript(&answers[place]["answer"]), expected, "{what}");
    }
    assert_eq!(answers[3], json!({"answer": null}), "no data");
    let error = answers[4]["error"].as_str().unwrap();
    assert!(error.contains("INVALID_ARGUMENT") && error.contains("expected PHONE"), "{error}");
}

/// A record as Google answers it.
fn googles_record() -> Value {
    let bins = |good: f64, poor: f64| {
        json!([{"start": 0, "end": 2500, "density": good}, {"start": 2500, "end": 4000, "density": 1.0 - good - poor},
               {"start": 4000, "density": poor}])
    };
    let date = |day: u8| json!({"year": 2026, "month": 11, "day": day});
    json!({"record": {
        "key": {"origin": ORIGIN, "formFactor": "PHONE"},
        "metrics": {
            "largest_contentful_paint": {"histogram": bins(0.75, 0.05), "percentiles": {"p75": 2345}},
            "cumulative_layout_shift": {"histogram": bins(0.9, 0.0), "percentiles": {"p75": "0.07"}},
            "form_factors": {"fractions": {"desktop": 0.0, "phone": 1.0, "tablet": 0.0}},
        },
        "collectionPeriod": {"firstDate": date(1), "lastDate": date(28)},
    }})
}

#[tokio::test]
async fn record_of_google_is_asked_once_and_stands_beside_the_own_numbers() {
    let refusal = |code: u16, message: &str| (code, json!({"error": {"code": code, "message": message}}));
    let google = Receiver::answering(&[
        (200, googles_record()),
        refusal(404, "chrome ux report data not found"),
        refusal(429, "Quota exceeded"),
        refusal(400, "API key not valid. Please pass a valid API key."),
    ])
    .await;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "AIza-secret\n").unwrap();
    let url = format!("http://{}/", google.address);
    let launch = Launch::with(&["--crux-url", &url, "--crux-key-file", file.to_str().unwrap()]);
    let server = shop::server_with(launch).await;
    server.cli_json(&["site", "update", shop::NAME, "--origin", ORIGIN, "--json"]).await;
    // The server knows of the origin when it has read its sites again.
    eventually(|| async { server.get("sites/shop/crux?device=phone").await }).await;

    // The second question of the day is answered from memory.
    let answer = server.get("sites/shop/crux?device=phone").await.unwrap();
    assert_eq!(google.connections(), 1, "{answer}");
    let asked = &google.received()[0];
    assert_eq!(asked.body, json!({"origin": ORIGIN, "formFactor": "PHONE"}));
    let head = asked.head.to_lowercase();
    assert!(
        head.starts_with("post /v1/records:queryrecord http") && head.contains("x-goog-api-key: aiza-secret"),
        "{head}"
    );
    let lcp = &answer["metrics"]["LCP"];
    assert_eq!((&lcp["crux"]["p75"], &lcp["crux"]["good"]), (&json!(2345.0), &json!(0.75)), "{answer}");
    assert_eq!(answer["metrics"]["CLS"]["crux"]["p75"], 0.07);
    assert!(answer["metrics"]["INP"]["crux"].is_null() && answer["problem"].is_null(), "{answer}");
    let own = report(&server, today_ms() - 28 * DAY_MS, today_ms(), "&device=phone").await;
    assert_eq!(
        (&lcp["own"]["p75"], &lcp["own"]["n"]),
        (&own["metrics"]["LCP"]["p75"], &own["metrics"]["LCP"]["n"])
    );

    let report = ["report", "--crux", "--site", "shop", "--device", "phone"];
    let text = server.command(&report).env_remove("COLUMNS").output().await.unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for expected in ["2345", "75.0 %", "CrUX: 2026-11-01 to 2026-11-28", "Why they differ:"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    for (query, code, message) in [
        ("", "no_data", "too few visits"),
        ("?route=/cart", "rate_limited", "quota"),
        ("?route=/search", "refused", "Google answered 400: API key not valid"),
    ] {
        let answer = server.get(&format!("sites/shop/crux{query}")).await.unwrap();
        assert_eq!((&answer["problem"]["code"], &answer["crux"]), (&json!(code), &Value::Null), "{answer}");
        assert!(answer["problem"]["message"].as_str().unwrap().contains(message), "{answer}");
        assert!(answer["metrics"]["LCP"]["own"]["p75"].is_number(), "{answer}");
    }
    assert_eq!(google.received()[2].body, json!({"url": "https://shop.example/cart"}));
    for (query, expected) in [
        ("?route=/product/:id", "records of pages"),
        ("?origin=https://evil.example", "takes no beacons"),
        ("?origin=x", "expected an origin"),
    ] {
        let refused = server.get(&format!("sites/shop/crux{query}")).await.unwrap_err();
        assert!(refused.starts_with("400") && refused.contains(expected), "{refused}");
    }
    assert_eq!(google.connections(), 4, "a refused question is not sent on");
    assert!(!server.log().contains("AIza"), "{}", server.log());
}

#[tokio::test]
async fn google_is_never_asked_without_a_key() {
    let google = Receiver::start(&[]).await;
    let url = format!("http://{}/", google.address);
    let server = Server::launch(Launch::with(&["--crux-url", &url])).await;
    let refused = server.get("sites/default/crux?origin=https://shop.example").await.unwrap_err();
    assert!(
        refused.starts_with("404") && refused.contains("crux_off") && refused.contains("--crux-key-file"),
        "{refused}"
    );
    let told = server.cli(&["report", "--crux"]).await;
    assert_eq!(told.status.code(), Some(2), "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(google.connections(), 0);
}
