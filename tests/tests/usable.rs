//! Imperfect beacons and their origins: the usable parts are kept, and only allowed senders are accepted.

use fieldvitals_tests::beacon::{beacon, now_ms, view_id};
use fieldvitals_tests::eventually;
use fieldvitals_tests::server::{Launch, Server};
use reqwest::Method;
use serde_json::{Value, json};

fn shop(server: &Server, number: u128) -> Value {
    beacon(&server.key, view_id(number), "https://shop.example/p/42", &json!({"LCP": 900.0, "CLS": 0.02}))
}

/// Posts a body with these headers; returns the status, the error's code, and its message with the hint.
async fn post(server: &Server, body: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
    let mut request = server.http.post(format!("{}/v1/beacon", server.url)).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let answer: Value = serde_json::from_str(&response.text().await.expect("a body")).unwrap_or_default();
    let text = |name: &str| answer["error"][name].as_str().unwrap_or_default().to_owned();
    (status, text("code"), format!("{} {}", text("message"), text("hint")))
}

#[tokio::test]
async fn one_bad_field_costs_that_field_and_is_counted() {
    let server = Server::start().await;
    let changes: [fn(&mut Value); 6] = [
        |body| body["release"] = 7.into(),
        |body| body["views"][0]["nav"] = "teleport".into(),
        |body| body["views"][0]["values"]["TBT"] = 1.into(),
        |body| body["device"] = "x".repeat(50_000).into(),
        |body| body["later"] = json!({"a": [1]}),
        |body| body["tags"] = (0..9).map(|n| (format!("t{n}"), json!("x"))).collect(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut body = shop(&server, number as u128);
        change(&mut body);
        assert_eq!(server.post("/v1/beacon", body.to_string()).await, (204, Value::Null), "{body}");
    }
    let half = shop(&server, 99).to_string().replace("\"4g\"", "\"4\\ud83d\"");
    assert_eq!(server.post("/v1/beacon", half).await, (204, Value::Null));
    let status = server.settled().await;
    let dropped = status["dropped_fields"].as_object().unwrap();
    let dropped: Vec<_> = dropped
        .iter()
        .filter(|(_, count)| **count != 0)
        .map(|(name, n)| (name.as_str(), n.as_u64()))
        .collect();
    let names = ["device", "nav", "release", "tags", "text", "unknown", "values"];
    assert_eq!(dropped, names.map(|name| (name, Some(1))), "{status}");
    assert_eq!((&status["outcomes"]["accepted"], &status["received"]), (&json!(7), &json!(7)));
    let page = server.reported("/p/:id", &["LCP", "CLS"]).await;
    assert_eq!((&page["views"], &page["metrics"]["CLS"]["n"]), (&json!(7), &json!(7)), "{page}");
    let causes = server.get("sites/default/attribution?metric=lcp").await.unwrap();
    assert_eq!(causes["collector_errors"]["field"], 7);
}

#[tokio::test]
async fn a_frameworks_own_metric_costs_the_others_nothing() {
    let server = Server::start().await;
    let metric = |name: &str, random: u32| json!({"name": name, "value": 900.0, "id": format!("v6-{}-{random:013}", now_ms()), "label": "custom"});
    let path = format!("/v1/web-vitals?site={}&url=https://shop.example/next", server.key);
    let body = json!([metric("Next.js-hydration", 1), metric("LCP", 2), metric("Next.js-render", 3)]);
    assert_eq!(server.post(&path, body.to_string()).await, (204, Value::Null));
    let (status, answer) = server.post(&path, json!([metric("Next.js-render", 4)]).to_string()).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("malformed")), "{answer}");
    assert_eq!(server.settled().await["dropped_fields"]["values"], 2);
    assert_eq!(server.reported("/next", &["LCP"]).await["views"], 1);
}

/// Checks the CORS answers that `sendBeacon` needs to send a JSON blob.
#[tokio::test]
async fn pages_that_a_site_allows_may_send_with_credentials() {
    let server = Server::start().await;
    server.cli_json(&["site", "update", "default", "--origin", "https://shop.example", "--json"]).await;
    let app = server
        .cli_json(&[
            "site",
            "add",
            "app",
            "--origin",
            "file://",
            "--origin",
            "capacitor://localhost",
            "--json",
        ])
        .await;
    let app_key = app["key"].as_str().unwrap();
    eventually(|| async {
        let sites = server.get("sites").await?;
        let is_known =
            sites["sites"].as_array().is_some_and(|sites| sites.iter().all(|site| site["origins"][0] != "*"));
        if is_known { Ok(()) } else { Err(sites.to_string()) }
    })
    .await;
    let cors = |response: &reqwest::Response| {
        let text = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(text("vary").as_deref(), Some("Origin"));
        (text("access-control-allow-origin").unwrap(), text("access-control-allow-credentials"))
    };
    let with = |origin: &str| (origin.to_owned(), Some("true".to_owned()));
    let without = || ("*".to_owned(), None);
    let of_site = format!("/v1/web-vitals?site={app_key}");
    for (path, origin, expected) in [
        ("/v1/beacon", Some("https://shop.example"), with("https://shop.example")),
        ("/v1/beacon", Some("capacitor://localhost"), with("capacitor://localhost")),
        // Pages of files send the origin `null`, and so do others; the beacon's URL decides later.
        ("/v1/beacon", Some("null"), with("null")),
        ("/v1/beacon", Some("https://evil.example"), without()),
        ("/v1/beacon", None, without()),
        ("/v1/web-vitals", Some("https://shop.example"), with("https://shop.example")),
        (&of_site, Some("capacitor://localhost"), with("capacitor://localhost")),
        (&of_site, Some("https://shop.example"), without()),
        ("/v1/web-vitals?site=fvs_nobody", Some("https://shop.example"), with("https://shop.example")),
    ] {
        let mut request = server.http.request(Method::OPTIONS, format!("{}{path}", server.url));
        if let Some(origin) = origin {
            request = request.header("origin", origin).header("access-control-request-method", "POST");
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers()["access-control-allow-methods"], "POST");
        let allowed = response.headers()["access-control-allow-headers"].to_str().unwrap();
        assert!(allowed.split(", ").any(|name| name == "content-type"), "{allowed}");
        assert_eq!(cors(&response), expected, "{path} {origin:?}");
    }
    let rejections = server.get("sites/default/rejections").await.unwrap();
    let asked = rejections["rejections"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["origin"] == "https://evil.example");
    assert!(asked.is_some_and(|asked| asked["reason"] == "origin"), "{rejections}");

    let at =
        |url: &str, key: &str| beacon(key, view_id(url.len() as u128), url, &json!({"LCP": 1.0})).to_string();
    for (origin, body, status, expected) in [
        ("https://shop.example", at("https://shop.example/", &server.key), 204, with("https://shop.example")),
        ("https://shop.example", "{}".to_owned(), 400, with("https://shop.example")),
        ("https://evil.example", at("https://shop.example/", &server.key), 403, without()),
        ("null", at("file:///android_asset/www/index.html", app_key), 204, with("null")),
        ("null", at("https://evil.example/", app_key), 403, with("null")),
        (
            "capacitor://localhost",
            at("capacitor://localhost/tabs/7", app_key),
            204,
            with("capacitor://localhost"),
        ),
    ] {
        let request = server.http.post(format!("{}/v1/beacon", server.url)).header("origin", origin);
        let request = request.header("content-type", "application/json").header("cookie", "session=1");
        let response = request.body(body.clone()).send().await.unwrap();
        assert_eq!((response.status().as_u16(), cors(&response)), (status, expected), "{origin} {body}");
    }
    for path in ["/v.js", "/api/v1/sites", "/healthz", "/"] {
        let request =
            server.http.get(format!("{}{path}", server.url)).header("origin", "https://shop.example");
        let response = request.send().await.unwrap();
        assert!(!response.headers().contains_key("access-control-allow-credentials"), "{path}");
    }
    server.settled().await;
    let pages = server.get("sites/app/pages").await.unwrap();
    let mut routes: Vec<_> = pages["pages"].as_array().unwrap().iter().map(|page| &page["route"]).collect();
    routes.sort_by_key(|route| route.to_string());
    assert_eq!(routes, ["/index.html", "/tabs/:id"]);
}

#[tokio::test]
async fn programs_are_filtered_by_kind_unless_they_are_kept() {
    const HEADLESS: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36";
    const CRAWLER: &str = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/142.0.0.0 Safari/537.36";
    const PERSON: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";
    let mut server = Server::start_with(&["--bots", "filter"]).await;
    let driven = |number| {
        let mut body = shop(&server, number);
        body["webdriver"] = true.into();
        body.to_string()
    };
    let (plain, driven) = (shop(&server, 1).to_string(), driven(2));
    for (body, agent, kind) in [
        (&plain, HEADLESS, "browser-automation"),
        (&plain, CRAWLER, "search-engine"),
        (&driven, PERSON, "webdriver"),
    ] {
        let (status, code, said) = post(&server, body, &[("user-agent", agent)]).await;
        assert_eq!((status, code.as_str()), (422, "bot"), "{said}");
        assert!(said.contains(kind) && said.contains("--bots keep"), "{said}");
    }
    assert_eq!(post(&server, &plain, &[("user-agent", PERSON)]).await.0, 204);
    assert_eq!(
        post(&server, &plain, &[("user-agent", "curl/8.11.0")]).await.0,
        204,
        "a program, and no visit"
    );
    let status = server.settled().await;
    assert_eq!(status["outcomes"]["filtered(bot)"], 3);
    for kind in ["browser-automation", "search-engine", "webdriver"] {
        assert_eq!(status["bots"][kind], 1, "{status}");
    }
    let rejections = server.get("sites/default/rejections").await.unwrap();
    assert_eq!(
        (&rejections["rejections"][0]["reason"], &rejections["rejections"][0]["count"]),
        (&json!("bot"), &json!(3))
    );

    server.terminate().await;
    server.start_again_as(Launch::with(&["--bots", "keep"])).await;
    for (body, agent) in [(&plain, HEADLESS), (&driven, PERSON)] {
        assert_eq!(post(&server, body, &[("user-agent", agent)]).await.0, 204);
    }
}

#[tokio::test]
async fn a_network_that_sends_too_much_is_named_in_answer_and_log() {
    let server = Server::start_with(&["--client-rate", "1", "--trusted-proxy", "127.0.0.1"]).await;
    let body = shop(&server, 1).to_string();
    let mut refused = Vec::new();
    for _ in 0..100 {
        let (status, code, said) = post(&server, &body, &[("x-forwarded-for", "203.0.113.9")]).await;
        if status == 429 {
            assert_eq!(code, "rate_limited");
            refused.push(said);
        }
        if refused.len() == 3 {
            break;
        }
    }
    assert_eq!(refused.len(), 3, "a hundred at once are more than ten and one a second");
    let told = |said: &String| said.contains("203.0.113.0/24") && said.contains("--trusted-proxy");
    assert!(refused.iter().all(told), "{refused:?}");
    let log = server.log();
    assert_eq!(log.matches("203.0.113.0/24").count(), 1, "{log}");
    assert!(!log.contains("203.0.113.9") && log.contains("--trusted-proxy"), "{log}");
}

#[tokio::test]
async fn a_route_is_shown_as_people_read_it_and_found_in_either_spelling() {
    let server = Server::start().await;
    for (number, path) in ["/caf%c3%a9/men%C3%BC", "/caf%C3%A9/menü;jsessionid=1A2B", "/café/men%c3%bc?x=1"]
        .into_iter()
        .enumerate()
    {
        let url = format!("https://shop.example{path}");
        let body = beacon(&server.key, view_id(number as u128), &url, &json!({"LCP": 900.0}));
        assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204, "{url}");
    }
    server.settled().await;
    let page = server.reported("/café/menü", &["LCP"]).await;
    assert_eq!(page["views"], 3, "{page}");
    for route in ["/caf%C3%A9/men%C3%BC", "/caf%25c3%25a9/men%25C3%25BC", "/caf%C3%A9/men%25c3%25bc%3Bv=1"] {
        for resource in ["report?", "breakdown?by=device&", "attribution?metric=lcp&"] {
            let answer = server.get(&format!("sites/default/{resource}route={route}")).await.unwrap();
            assert_eq!(answer["route"], "/café/menü", "{resource} {route}");
        }
        let report = server.get(&format!("sites/default/report?route={route}")).await.unwrap();
        assert_eq!(report["views"], 3, "{route}");
    }
    for route in ["/café/menü", "/caf%c3%a9/men%C3%BC"] {
        let report = server.cli_json(&["report", "--route", route, "--format", "json"]).await;
        assert_eq!((&report["views"], &report["route"]), (&json!(3), &json!("/café/menü")), "{report}");
        let budget = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            budget.path(),
            format!("[[budget]]\nroute = \"{route}\"\nmetric = \"LCP\"\nmax = 2500\n"),
        )
        .unwrap();
        let path = budget.path().to_str().unwrap();
        let check = server.cli(&["check", "--budget", path, "--format", "json"]).await;
        let checked: Value = serde_json::from_slice(&check.stdout).unwrap();
        assert_eq!(checked["budgets"][0]["n"], 3, "{checked}");
    }
    let routes =
        server.cli_json(&["site", "update", "default", "--route", "/caf%c3%a9/:dish", "--json"]).await;
    assert_eq!(routes["routes"], json!(["/café/:dish"]));
}
