//! The dashboard in a real browser, and what it asks the server.

#![allow(clippy::unwrap_used)]

use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::browser::Browser;
use fieldvitals_tests::eventually;
use fieldvitals_tests::server::Server;
use reqwest::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, COOKIE, SET_COOKIE,
};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use thirtyfour::Key;

/// The header that requests of the dashboard's own pages have.
const OWN_PAGE: (&str, &str) = ("Fieldvitals-Dashboard", "1");

/// Routes that would be markup, if a page took them for that.
const HOSTILE: [&str; 5] = [
    "/<img src=x onerror=window.hit=1>",
    "/\"><script>window.hit=1</script>",
    "/'onmouseover='window.hit=1",
    "/javascript:window.hit=1",
    "/{{constructor.constructor('window.hit=1')()}}",
];

async fn visit(server: &Server, number: u128, path: &str) {
    let url = reqwest::Url::parse("https://shop.example").unwrap().join(path).unwrap();
    let values = json!({"LCP": 900.0 + number as f64, "CLS": 0.02, "INP": 80.0, "TTFB": 120.0, "FCP": 500.0});
    let body = beacon(&server.key, view_id(number), url.as_str(), &values);
    assert_eq!(server.post("/v1/beacon", body.to_string()).await, (204, Value::Null));
}

async fn signed_in(server: &Server) -> Browser {
    let browser = Browser::start().await;
    browser.open(&format!("{}/#token={}", server.url, server.token)).await;
    browser
        .until("document.querySelector('h1') !== null && document.querySelector('#sign-out') !== null")
        .await;
    browser
}

async fn press(browser: &Browser, key: Key) {
    browser.driver.action_chain().send_keys(key).perform().await.expect("a key press");
}

fn has_text(text: &str) -> String {
    format!("document.querySelector('main').innerText.includes({})", json!(text))
}

async fn session(server: &Server, sign_in: Value) -> Response {
    let request = server.http.post(format!("{}/api/v1/session", server.url)).header(OWN_PAGE.0, OWN_PAGE.1);
    request.body(sign_in.to_string()).send().await.expect("an answer")
}

/// The cookie of an answer, as a request sends it.
fn cookie(response: &Response) -> String {
    let set = response.headers()[SET_COOKIE].to_str().unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"), "{set}");
    set.split(';').next().unwrap().to_owned()
}

/// The status and the error's code of a request with a cookie.
async fn asked(
    server: &Server,
    cookie: &str,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, String) {
    let mut request =
        server.http.request(method, format!("{}/api/v1/{path}", server.url)).header(COOKIE, cookie);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.body(json!({"days": 7}).to_string()).send().await.expect("an answer");
    let status = response.status().as_u16();
    let answer: Value = response.json().await.unwrap_or_default();
    (status, answer["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn last_visit_is_shown_without_a_reload() {
    let server = Server::start().await;
    let browser = signed_in(&server).await;
    browser.until(&has_text("Waiting for your first visit")).await;
    browser.run("window.loadedOnce = true").await;
    visit(&server, 1, "/first").await;
    browser.until(&has_text("/first")).await;
    visit(&server, 2, "/second").await;
    browser.until(&has_text("/second")).await;
    assert_eq!(browser.run("return window.loadedOnce").await, json!(true), "it is the same document");
    browser.quit().await;
}

#[tokio::test]
async fn typed_text_outlives_a_change_of_the_data() {
    let server = Server::start().await;
    visit(&server, 1, "/first").await;
    server.settled().await;
    let browser = signed_in(&server).await;
    browser.until(&has_text("/first")).await;
    browser.click("[data-key=search]").await;
    browser.driver.action_chain().send_keys("/fir").perform().await.expect("key presses");
    let listen = "window.heard = 0; const stream = new EventSource('/api/v1/sites/default/live');
         stream.addEventListener('change', () => { window.heard += 1 })";
    browser.run(listen).await;
    browser.until("window.heard >= 1").await;
    visit(&server, 2, "/second").await;
    browser.until("window.heard >= 2").await;
    // The dashboard heard of it too. Its question would have been answered before these two.
    let ask = "const done = arguments[0]; const ask = () => fetch('/api/v1/sites/default/summary').then(answer => answer.json());
         ask().then(ask).then(({ views }) => done(views))";
    let views = browser.driver.execute_async(ask, Vec::new()).await.expect("an answer");
    assert_eq!(views.json(), 2);
    let field = "document.querySelector('[data-key=search]')";
    assert_eq!(browser.run(&format!("return {field}.value")).await, "/fir", "the text is there");
    browser.run(&format!("{field}.value = ''; {field}.blur()")).await;
    browser.until(&has_text("/second")).await;
    browser.quit().await;
}

#[tokio::test]
async fn refused_beacon_is_explained_while_the_first_visit_is_awaited() {
    let server = Server::start().await;
    server.cli_json(&["site", "update", "default", "--origin", "https://shop.example", "--json"]).await;
    let browser = signed_in(&server).await;
    browser.until(&has_text("Waiting for your first visit")).await;
    let body = beacon(&server.key, view_id(1), "https://evil.example/", &json!({"LCP": 1.0})).to_string();
    eventually(|| async {
        let refused =
            server.http.post(format!("{}/v1/beacon", server.url)).header("origin", "https://evil.example");
        match refused.body(body.clone()).send().await.map_err(|error| error.to_string())?.status().as_u16() {
            403 => Ok(()),
            other => Err(format!("{other}: the new origin is not known yet")),
        }
    })
    .await;
    browser.until(&has_text("beacons were refused")).await;
    browser.until(&has_text("https://evil.example")).await;
    browser.click("[aria-label='Allow https://evil.example']").await;
    browser.until("document.querySelector('.toast')?.innerText.includes('The origin is allowed')").await;
    let allowed = server.get("sites").await.unwrap()["sites"][0]["origins"].clone();
    assert_eq!(allowed, json!(["https://shop.example", "https://evil.example"]));
    browser.quit().await;
}

#[tokio::test]
async fn every_watcher_of_a_site_hears_of_a_change_and_the_streams_end_with_the_server() {
    let mut server = Server::start().await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        let url = format!("{}/api/v1/sites/default/live", server.url);
        let response = server.http.get(url).bearer_auth(&server.token).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        streams.push((response, String::new()));
    }
    for events in 1..=2 {
        for (stream, text) in &mut streams {
            while text.matches("event: change").count() < events {
                let piece = stream.chunk().await.expect("bytes").expect("the stream goes on");
                text.push_str(std::str::from_utf8(&piece).unwrap());
            }
        }
        if events == 1 {
            visit(&server, 1, "/").await;
        }
    }
    let live = &server.get("status").await.unwrap()["live"];
    assert_eq!((&live["streams"], &live["sites"]), (&json!(50), &json!(1)));
    let url = format!("{}/api/v1/sites/default/report", server.url);
    let report = server.http.get(url).bearer_auth(&server.token).send().await.unwrap();
    let version = report.headers()["data-version"].to_str().unwrap();
    // Maintenance may have changed the version too, so the event of this one may be a later one.
    let (stream, text) = &mut streams[0];
    while !text.contains(version) {
        let piece = stream.chunk().await.expect("bytes").expect("the stream goes on");
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }

    drop(streams.split_off(10));
    eventually(|| async {
        let live = server.get("status").await?["live"].clone();
        if live["streams"] == 10 { Ok(()) } else { Err(live.to_string()) }
    })
    .await;
    assert_eq!(server.terminate().await, Some(0));
    for (mut stream, _) in streams {
        while stream.chunk().await.expect("the stream ends by itself").is_some() {}
    }
}

#[tokio::test]
async fn session_is_a_cookie_that_other_pages_cannot_use() {
    let server = Server::start().await;
    assert_eq!(session(&server, json!({"token": "fvt_wrong"})).await.status(), 401);
    let without = server.http.post(format!("{}/api/v1/session", server.url));
    let without = without.body(json!({"token": server.token}).to_string()).send().await.unwrap();
    assert_eq!(without.status(), 403, "a page of another origin cannot send the header");
    let response = session(&server, json!({"token": server.token})).await;
    assert_eq!(response.status(), 204);
    let cookie = cookie(&response);
    assert!(!cookie.contains(&server.token));
    assert_eq!(asked(&server, &cookie, Method::GET, "status", &[]).await.0, 200);
    let links = "sites/default/links";
    let refused = asked(&server, &cookie, Method::POST, links, &[]).await;
    assert_eq!(refused, (403, "foreign_page".to_owned()));
    assert_eq!(asked(&server, &cookie, Method::POST, links, &[OWN_PAGE]).await.0, 200);
    let forged = cookie.replacen(".-.", ".1.", 1);
    assert_eq!(asked(&server, &forged, Method::GET, "sites", &[]).await, (401, "session_over".to_owned()));
}

#[tokio::test]
async fn link_reads_one_site_and_makes_no_links() {
    let server = Server::start().await;
    server.cli_json(&["site", "add", "other", "--origin", "https://other.example", "--json"]).await;
    eventually(|| async { server.get("sites/other/report").await }).await;
    let url = format!("{}/api/v1/sites/default/links", server.url);
    let made =
        server.http.post(url).bearer_auth(&server.token).body(json!({"days": 1}).to_string()).send().await;
    let made: Value = made.unwrap().json().await.unwrap();
    let response = session(&server, json!({"link": made["link"]})).await;
    assert_eq!(response.status(), 204);
    let cookie = cookie(&response);
    assert_eq!(asked(&server, &cookie, Method::GET, "sites/default/report", &[]).await.0, 200);
    let one_site = (403, "one_site".to_owned());
    for path in ["sites/other/report", "sites/nowhere/report", "status"] {
        assert_eq!(asked(&server, &cookie, Method::GET, path, &[]).await, one_site, "{path}");
    }
    let links = "sites/default/links";
    assert_eq!(asked(&server, &cookie, Method::POST, links, &[OWN_PAGE]).await, one_site);
    let sites = server.http.get(format!("{}/api/v1/sites", server.url)).header(COOKIE, &cookie).send().await;
    let sites: Value = sites.unwrap().json().await.unwrap();
    assert_eq!((sites["sites"].as_array().unwrap().len(), &sites["link"]), (1, &json!(true)));
}

#[tokio::test]
async fn password_signs_in_until_it_is_changed_and_attempts_are_limited() {
    let server = Server::start().await;
    let set = |password: &'static str| {
        let mut command = Command::new(fieldvitals_tests::server::binary());
        command.args(["password", "set"]).env_remove("DATABASE_URL");
        command.env("FIELDVITALS_DATA_DIR", server.data_dir()).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        child.wait().unwrap().code()
    };
    assert_eq!(session(&server, json!({"password": "correct horse"})).await.status(), 401);
    assert_eq!(set("short\n"), Some(2));
    assert_eq!(set("correct horse\n"), Some(0));
    // A wrong password would count as an attempt.
    eventually(|| async {
        let ways = server.http.get(format!("{}/api/v1/session", server.url)).send().await.unwrap();
        let ways: Value = ways.json().await.unwrap();
        if ways["password"] == json!(true) { Ok(()) } else { Err(ways.to_string()) }
    })
    .await;
    let response = session(&server, json!({"password": "correct horse"})).await;
    assert_eq!(response.status(), 204);
    let cookie = cookie(&response);
    assert_eq!(session(&server, json!({"password": "correct horsf"})).await.status(), 401);
    assert_eq!(asked(&server, &cookie, Method::GET, "status", &[]).await.0, 200);
    assert_eq!(set("battery staple\n"), Some(0));
    eventually(|| async {
        match asked(&server, &cookie, Method::GET, "status", &[]).await {
            (401, code) if code == "session_over" => Ok(()),
            other => Err(format!("{other:?}: the session of the old password goes on")),
        }
    })
    .await;
    let mut limited = false;
    for _ in 0..100 {
        limited |= session(&server, json!({"token": "fvt_guess"})).await.status() == 429;
    }
    assert!(limited, "a hundred guesses at once are too many");
}

#[tokio::test]
async fn shared_link_that_needs_a_sign_in_returns_to_its_view() {
    let server = Server::start().await;
    visit(&server, 1, "/cart").await;
    server.reported("/cart", &["LCP"]).await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/?route=/cart&period=24h&relese=1", server.url)).await;
    browser.until("document.querySelector('#token') !== null").await;
    let fill = format!(
        "document.querySelector('#token').value = '{}'; document.querySelector('form button').click()",
        server.token
    );
    browser.run(&fill).await;
    browser.until("document.querySelector('h1.route-title')?.innerText === '/cart'").await;
    browser.until(&has_text("relese")).await;
    assert_eq!(
        browser.run("return document.cookie + (sessionStorage.length + localStorage.length)").await,
        json!("0")
    );
    browser.open(&format!("{}/?view=budgets", server.url)).await;
    browser.until(&has_text("No budget is broken")).await;
    browser.click("#sign-out").await;
    browser.until("document.querySelector('#token') !== null").await;
    browser.quit().await;
}

#[tokio::test]
async fn hostile_names_are_text_in_every_view() {
    let server = Server::start().await;
    for (number, path) in HOSTILE.iter().enumerate() {
        visit(&server, number as u128, path).await;
    }
    server.settled().await;
    let browser = signed_in(&server).await;
    browser.until("document.querySelectorAll('.ranking tbody tr').length >= 5").await;
    let pages = server.get("sites/default/pages").await.unwrap();
    for page in pages["pages"].as_array().unwrap() {
        let mut url = reqwest::Url::parse(&server.url).unwrap();
        url.query_pairs_mut().append_pair("route", page["route"].as_str().unwrap());
        browser.open(url.as_str()).await;
        browser.until("document.querySelector('.breakdown tbody tr') !== null").await;
        browser.run("dispatchEvent(new KeyboardEvent('keydown', {key: 'k', ctrlKey: true}))").await;
        browser.until("document.querySelectorAll('[role=option]').length >= 5").await;
        assert_eq!(browser.run("return window.hit ?? null").await, Value::Null);
    }
    assert_eq!(browser.refusals().await, Vec::<Value>::new());
    browser.quit().await;
}

#[tokio::test]
async fn second_page_is_reached_by_keyboard_and_focus_stays_at_what_was_chosen() {
    let server = Server::start().await;
    for number in 0..4 {
        visit(&server, number, &format!("/{}", ["a", "b", "c", "d"][number as usize])).await;
    }
    server.settled().await;
    let browser = signed_in(&server).await;
    browser.until("document.querySelectorAll('.ranking tbody tr').length === 4").await;
    browser.open(&server.url).await;
    browser.until("document.querySelectorAll('.ranking tbody tr').length === 4").await;
    let mut tabs = 0;
    while browser.run("return document.activeElement.id").await != json!("skip-ranking") {
        press(&browser, Key::Tab).await;
        tabs += 1;
        assert!(tabs < 12, "there is a skip link at the start");
    }
    press(&browser, Key::Enter).await;
    browser.until("location.hash === '#rows'").await;
    let second = "return document.activeElement === document.querySelectorAll('.ranking tbody a')[1]";
    while browser.run(second).await != json!(true) {
        press(&browser, Key::Tab).await;
        tabs += 1;
        assert!(tabs <= 12, "the second page is too far for a keyboard");
    }
    browser.run("document.querySelector('[data-key=\"metric-CLS\"]').focus()").await;
    browser.run("document.activeElement.click()").await;
    browser.until("location.search.includes('metric=CLS') && !document.body.hasAttribute('data-busy')").await;
    browser.until("document.activeElement.getAttribute('data-key') === 'metric-CLS'").await;
    browser.quit().await;
}

#[tokio::test]
async fn files_are_compressed_and_immutable_and_run_no_code_of_others() {
    let server = Server::start().await;
    let get = |path: String, encoding: &'static str| {
        let request = server.http.get(format!("{}{path}", server.url)).header(ACCEPT_ENCODING, encoding);
        async { request.bearer_auth(&server.token).send().await.unwrap() }
    };
    let page = get("/".to_owned(), "identity").await;
    let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(!policy.contains("unsafe") && policy.contains("require-trusted-types-for 'script'"), "{policy}");
    let html = page.text().await.unwrap();
    let files: Vec<&str> = html.split('"').filter(|part| part.starts_with("assets/")).collect();
    assert_eq!(files.len(), 2, "{html}");
    for file in files {
        let file = format!("/{file}");
        let [plain, packed] = [get(file.clone(), "identity").await, get(file.clone(), "br, gzip").await];
        assert_eq!(packed.headers()[CONTENT_ENCODING], "br");
        assert!(packed.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        let (plain, packed) = (plain.bytes().await.unwrap().len(), packed.bytes().await.unwrap().len());
        assert!(packed * 2 < plain, "{file}: {packed} of {plain}");
    }
    for number in 0..20 {
        visit(&server, number, &format!("/page-{}", (b'a' + number as u8) as char)).await;
    }
    server.settled().await;
    for path in ["sites/default/pages", "sites/default/report", "status"] {
        let path = format!("/api/v1/{path}");
        let [plain, packed] = [get(path.clone(), "identity").await, get(path.clone(), "gzip").await];
        assert!(
            plain.headers().get(CONTENT_ENCODING).is_none() && plain.headers()["vary"] == "Accept-Encoding"
        );
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip", "{path}");
        let (plain, packed) = (plain.bytes().await.unwrap().len(), packed.bytes().await.unwrap().len());
        assert!(packed * 2 < plain, "{path}: {packed} of {plain}");
    }
}
