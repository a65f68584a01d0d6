//! The dashboard's views that change something, in a real browser: settings, budgets and alerts.

#![allow(clippy::unwrap_used)]

use fieldvitals_tests::beacon::{beacon, now_ms, view_id};
use fieldvitals_tests::browser::Browser;
use fieldvitals_tests::eventually;
use fieldvitals_tests::server::{Launch, Server};
use serde_json::{Value, json};
use vitals::view::ViewId;

/// A name that would be markup, if a page took it for that.
const HOSTILE: &str = "<img src=x onerror=window.hit=1>";

async fn send(server: &Server, ids: impl Iterator<Item = ViewId>, path: &str, lcp: f64) {
    for id in ids {
        let url = reqwest::Url::parse("https://shop.example").unwrap().join(path).unwrap();
        let body = beacon(&server.key, id, url.as_str(), &json!({ "LCP": lcp }));
        assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    }
}

/// Opens a view of a signed-in browser, and waits until it is drawn.
async fn open(server: &Server, browser: &Browser, query: &str) {
    browser.open(&format!("{}/?{query}", server.url)).await;
    browser.until("document.querySelector('h1') !== null && !document.body.hasAttribute('data-busy')").await;
}

async fn signed_in(server: &Server) -> Browser {
    let browser = Browser::start().await;
    browser.open(&format!("{}/#token={}", server.url, server.token)).await;
    browser.until("document.querySelector('#sign-out') !== null").await;
    browser
}

/// Types a value into a field, as far as the page can tell.
async fn fill(browser: &Browser, field: &str, value: &str) {
    let script = format!(
        "const field = document.querySelector({}); field.value = {};
         field.dispatchEvent(new Event('input', {{ bubbles: true }}))",
        json!(field),
        json!(value)
    );
    browser.run(&script).await;
}

/// Sends the form of a field.
async fn submit(browser: &Browser, field: &str) {
    browser.run(&format!("document.querySelector({}).form.requestSubmit()", json!(field))).await;
}

async fn until_told(browser: &Browser, text: &str) {
    browser.until(&format!("document.querySelector('.toast')?.innerText.includes({})", json!(text))).await;
}

fn shows(text: &str) -> String {
    format!("document.querySelector('main').innerText.includes({})", json!(text))
}

async fn site(server: &Server) -> Value {
    server.get("sites").await.unwrap()["sites"][0].clone()
}

/// No name became markup, and the browser refused nothing of the pages.
async fn assert_inert(browser: &Browser) {
    assert_eq!(browser.run("return window.hit ?? null").await, Value::Null);
    let mut refusals = browser.refusals().await;
    // A change that the server refuses is there, too.
    refusals
        .retain(|entry| !entry["message"].as_str().unwrap_or_default().contains("Failed to load resource"));
    assert_eq!(refusals, Vec::<Value>::new());
}

#[tokio::test]
async fn settings_of_a_site_are_changed_and_what_rules_join_is_shown_before() {
    let server = Server::start().await;
    let paths = ["/blog/a", "/blog/b", "/blog/b", "/about", &format!("/blog/{HOSTILE}")];
    for (number, path) in paths.iter().enumerate() {
        send(&server, [view_id(number as u128)].into_iter(), path, 900.0).await;
    }
    server.settled().await;
    let browser = signed_in(&server).await;
    open(&server, &browser, "view=settings&part=routes").await;
    fill(&browser, "[data-key=site-routes]", "/blog/*\n/blog/b\n/nowhere").await;
    browser.until("document.querySelectorAll('.rules tbody tr').length === 3").await;
    let rows = browser
        .run("return [...document.querySelectorAll('.rules tbody tr')].map(row => row.innerText)")
        .await;
    let rows: Vec<String> = serde_json::from_value(rows).unwrap();
    assert!(rows[0].contains("4 (80 %)") && rows[0].contains("/blog/b, /blog/"), "{rows:?}");
    assert!(rows[1].contains("its pages go to earlier rules, such as /blog/*"), "{rows:?}");
    assert!(rows[2].contains("matches no page"), "{rows:?}");
    assert_eq!(site(&server).await["routes"], json!([]), "a preview changes nothing");
    fill(&browser, "[data-key=site-routes]", "/blog/*").await;
    submit(&browser, "[data-key=site-routes]").await;
    until_told(&browser, "The rules are saved").await;
    assert_eq!(site(&server).await["routes"], json!(["/blog/*"]));

    open(&server, &browser, "view=settings").await;
    fill(&browser, "[data-key=site-timezone]", "Berlin").await;
    submit(&browser, "[data-key=site-timezone]").await;
    browser.until(&shows("did you mean `Europe/Berlin`?")).await;
    fill(&browser, "[data-key=site-origins]", "https://shop.example\n").await;
    submit(&browser, "[data-key=site-origins]").await;
    until_told(&browser, "The origins are saved").await;
    browser.until("document.querySelector('[data-key=site-origins]').value === 'https://shop.example'").await;
    assert_eq!(
        browser.run("return document.querySelector('[data-key=site-timezone]').value").await,
        "Berlin",
        "what is typed in another form stays"
    );
    let old = site(&server).await["keys"][0]["key"].clone();
    submit(&browser, "[data-key=key-hours]").await;
    browser.until("document.querySelector('dialog form.edit') !== null").await;
    browser.run("document.querySelector('dialog form.edit').requestSubmit()").await;
    until_told(&browser, "The site has a new key").await;
    let keys = site(&server).await["keys"].clone();
    assert_eq!(keys.as_array().map(Vec::len), Some(2), "the old key ends later: {keys}");
    assert!(keys.as_array().unwrap().iter().any(|key| key["key"] != old && key["until"].is_null()), "{keys}");

    fill(&browser, "[data-key=site-timezone]", "Asia/Tokyo").await;
    submit(&browser, "[data-key=site-timezone]").await;
    until_told(&browser, "The time zone is saved").await;
    browser.until(&shows("GMT+9")).await;
    open(&server, &browser, "from=2026-11-01").await;
    let midnight = "performance.getEntriesByType('resource').some(({ name }) => name.includes('/summary?from=2026-10-31T15'))";
    browser.until(midnight).await;
    browser.until("document.querySelector('.filter-panel')?.textContent.includes('From (Asia/Tokyo)')").await;
    assert_inert(&browser).await;
    browser.quit().await;
}

#[tokio::test]
async fn token_is_shown_once_and_works_until_it_is_revoked() {
    let server = Server::start().await;
    let browser = signed_in(&server).await;
    open(&server, &browser, "view=settings&part=tokens").await;
    fill(&browser, "[data-key=token-name]", HOSTILE).await;
    browser.click("[data-key='token-site-default']").await;
    submit(&browser, "[data-key=token-name]").await;
    browser.until("document.querySelector('dialog .snippet code') !== null").await;
    let secret = browser.run("return document.querySelector('dialog .snippet code').innerText").await;
    let secret = secret.as_str().unwrap().to_owned();
    let status = async || {
        let url = format!("{}/api/v1/sites/default/report", server.url);
        server.http.get(url).bearer_auth(&secret).send().await.unwrap().status().as_u16()
    };
    assert_eq!(status().await, 200);
    let made = server.get("tokens").await.unwrap();
    let made =
        made["tokens"].as_array().unwrap().iter().find(|token| token["name"] == HOSTILE).unwrap().clone();
    assert_eq!((&made["scope"], &made["sites"]), (&json!("read"), &json!(["default"])));
    browser.run("document.querySelector('dialog form').requestSubmit()").await;
    browser.until(&shows(HOSTILE)).await;
    browser.until(&shows(&format!("id {}", made["id"]))).await;
    fill(&browser, "[data-key=token-name]", HOSTILE).await;
    submit(&browser, "[data-key=token-name]").await;
    browser.until(&shows("already: id")).await;
    assert_eq!(
        browser
            .run("return document.documentElement.outerHTML")
            .await
            .as_str()
            .unwrap()
            .matches(&secret)
            .count(),
        0
    );
    browser.click(&format!("[data-key='revoke-{}']", made["id"])).await;
    browser.until("document.querySelector('dialog form.edit') !== null").await;
    browser.run("document.querySelector('dialog form.edit').requestSubmit()").await;
    until_told(&browser, "The token is revoked").await;
    eventually(|| async {
        match status().await {
            401 => Ok(()),
            other => Err(format!("{other}: the token is taken")),
        }
    })
    .await;
    let limits = json!({"memory_percent": {"warning": 0.0, "critical": 100.0}});
    let set = server.http.put(format!("{}/api/v1/status/thresholds", server.url)).bearer_auth(&server.token);
    assert_eq!(set.body(limits.to_string()).send().await.unwrap().status(), 200);
    open(&server, &browser, "view=server").await;
    browser.until(&shows("past a limit")).await;
    assert_eq!(browser.run(&format!("return {}", shows("Everything works"))).await, false);
    open(&server, &browser, "view=settings&part=log").await;
    let log =
        browser.run("return [...document.querySelectorAll('.log tbody tr')].map(row => row.innerText)").await;
    let log: Vec<String> = serde_json::from_value(log).unwrap();
    assert!(
        log[0].contains("token.revoke") && log[1].contains("token.add") && log[1].contains(HOSTILE),
        "{log:?}"
    );
    open(&server, &browser, "view=settings&part=channels").await;
    browser.until(&shows("This server has no channel")).await;
    assert_inert(&browser).await;
    browser.quit().await;
}

#[tokio::test]
async fn budget_is_kept_after_a_look_at_what_it_would_have_done_and_its_alert_is_worked_with() {
    let folder = tempfile::TempDir::new().unwrap();
    let channels = folder.path().join("alerts.toml");
    // A refused address. The name of the second site is a typing error.
    let loopback = "[[channel]]\nname = \"loop\"\nkind = \"slack\"\nurl = \"https://127.0.0.1/\"\nsites = [\"default\", \"shpo\"]\n";
    std::fs::write(&channels, loopback).unwrap();
    let args = ["--standing-every", "1", "--alerts", channels.to_str().unwrap()];
    let server = Server::launch(Launch::with(&args)).await;
    let hours_ago = |number: u128| {
        ViewId::new(now_ms() - 5 * 3_600_000, number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    };
    send(&server, (0..300).map(hours_ago), "/p", 4_000.0).await;
    server.settled().await;
    let browser = signed_in(&server).await;
    open(&server, &browser, "view=budgets").await;
    browser.click("[data-key=add-budget]").await;
    fill(&browser, "dialog [name=route]", "/p").await;
    browser.until("document.querySelector('dialog figcaption')?.innerText.includes('Would have failed on 1 of 28 days')").await;
    fill(&browser, "[data-key=budget-max]", "9000").await;
    browser.until("document.querySelector('dialog figcaption')?.innerText.includes('Would have failed on 0 of 28 days')").await;
    assert_eq!(
        server.get("sites/default/budgets").await.unwrap()["version"],
        Value::Null,
        "a look changes nothing"
    );
    fill(&browser, "[data-key=budget-max]", "2500").await;
    submit(&browser, "[data-key=budget-max]").await;
    until_told(&browser, "The budgets are kept").await;
    let kept = server.get("sites/default/budgets").await.unwrap();
    assert_eq!(kept["text"], "[[budget]]\nroute = \"/p\"\nmetric = \"LCP\"\nmax = 2500\npercentile = 75\n");
    eventually(|| async {
        let alerts = server.get("sites/default/alerts").await?;
        if alerts["alerts"].as_array().is_some_and(|all| all.len() == 1) {
            Ok(())
        } else {
            Err(alerts.to_string())
        }
    })
    .await;

    // The sequence after the verdict has no page view, so the numbers of the verdict are shown.
    open(&server, &browser, "view=budgets").await;
    browser.until(&shows("160 % used: 4.00 s of 2.5 s")).await;
    browser.until(&shows("0 page views since then")).await;
    browser.until(&shows("0 % of 300 page views within")).await;
    browser.click("[data-key=dismiss-1]").await;
    until_told(&browser, "The violation is dismissed").await;
    browser.until(&shows("No budget is broken.")).await;
    let all = server.get("sites/default/violations?status=all").await.unwrap();
    assert!(
        all["violations"][0]["resolved"].is_null() && all["violations"][0]["dismissed_by"].is_string(),
        "{all}"
    );

    open(&server, &browser, "").await;
    browser.until("document.querySelector('[data-key=to-alerts]')?.innerText === '1 open alert'").await;
    browser.click("[data-key=to-alerts]").await;
    browser.until("document.querySelector('[data-key=ack-1]') !== null").await;
    for problem in
        ["127.0.0.1 is not public; `allow` in the file of channels permits it", "there is no site `shpo`"]
    {
        let shown = format!(
            "document.querySelector('[aria-labelledby=channels] td')?.closest('table').innerText.includes({problem:?})"
        );
        browser.until(&shown).await;
    }
    browser.click("[data-key=ack-1]").await;
    browser.until("document.querySelector('.alerts .chip')?.innerText === 'Acknowledged'").await;
    browser.click("[data-key=snooze-1]").await;
    browser.until("document.querySelector('.alerts .chip')?.innerText === 'Snoozed'").await;
    browser.click("[data-key=resolve-1]").await;
    browser.until(&shows("No alert is open.")).await;
    let resolved = server.get("sites/default/alerts?status=all").await.unwrap()["alerts"][0].clone();
    assert!(resolved["resolved_by"].is_string() && resolved["acknowledged_by"].is_string(), "{resolved}");

    // A session that only reads sees all of it, and changes nothing.
    let made = server.cli_json(&["token", "add", "reader", "--json"]).await;
    browser.click("#sign-out").await;
    browser.until("document.querySelector('#token') !== null").await;
    fill(&browser, "#token", made["token"].as_str().unwrap()).await;
    submit(&browser, "#token").await;
    browser.until("document.querySelector('#sign-out') !== null").await;
    open(&server, &browser, "view=budgets&status=all").await;
    browser.until(&shows("over its budget of 2.5 s")).await;
    assert_eq!(browser.run("return document.querySelectorAll('[data-key^=dismiss], [data-key=add-budget], [data-key^=change-budget]').length").await, 0);
    assert_inert(&browser).await;
    browser.quit().await;
}
