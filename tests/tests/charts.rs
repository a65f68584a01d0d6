//! The dashboard's charts and causes, in a real browser, against the API's answers about a shop of four weeks.
//!
//! `FIELDVITALS_SCREENSHOTS` names a folder for a picture of each view. `FIELDVITALS_AXE` names axe-core's `axe.min.js`, which
//! checks each view; `cargo xtask test` sets it.

#![allow(clippy::unwrap_used)]

use fieldvitals_tests::browser::Browser;
use fieldvitals_tests::engines::Engine;
use fieldvitals_tests::server::Server;
use fieldvitals_tests::shop;
use serde_json::{Value, json};
use std::path::Path;

/// All period that the shop has.
const PERIOD: &str = "period=28d";
/// The page that release 2.5.0 made slower.
const SLOWER: &str = "/product/:id";
/// Bytes of the overview, with all that it loads.
const OVERVIEW_BYTES_MAX: f64 = 120_000.0;
/// Requests of the overview, without the stream of events.
const OVERVIEW_REQUESTS_MAX: usize = 8;

async fn ask(server: &Server, question: &str) -> Value {
    let path = format!("sites/{}/{question}", shop::NAME);
    server.get(&path).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A browser that is signed in to a shop's server.
async fn signed_in() -> (Server, Browser) {
    let server = shop::server().await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/#token={}", server.url, server.token)).await;
    browser.until("document.querySelector('#sign-out') !== null").await;
    (server, browser)
}

/// Opens a view, and waits until it is drawn.
async fn open(server: &Server, browser: &Browser, query: &str) {
    browser.open(&format!("{}/?{query}", server.url)).await;
    browser.until("document.querySelector('h1') !== null && !document.body.hasAttribute('data-busy')").await;
}

/// The texts of all elements that a selector matches.
async fn texts(browser: &Browser, css: &str) -> Vec<String> {
    let script =
        format!("return [...document.querySelectorAll({})].map(node => node.innerText.trim())", json!(css));
    serde_json::from_value(browser.run(&script).await).unwrap()
}

/// Chooses an option of a list, as a visitor does.
async fn choose(browser: &Browser, key: &str, value: &str) {
    let script = format!(
        "const list = document.querySelector('select[data-key={}]'); list.value = {};
         list.dispatchEvent(new Event('change')); return list.value",
        json!(key),
        json!(value)
    );
    assert_eq!(browser.run(&script).await, value, "{key} has no such option");
    browser.until("!document.body.hasAttribute('data-busy')").await;
}

/// Waits until the chart has a line of the accent color.
async fn until_drawn(browser: &Browser) {
    browser
        .until(
            "(() => {
                const canvas = document.querySelector('.timeline canvas');
                if (canvas === null || canvas.width === 0) return false;
                const style = getComputedStyle(document.documentElement).getPropertyValue('--accent').trim();
                const wanted = [1, 3, 5].map(at => parseInt(style.slice(at, at + 2), 16));
                const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                let found = 0;
                for (let at = 0; at < data.length; at += 4) {
                    if (wanted.every((part, place) => data[at + place] === part)) found += 1;
                }
                return found > 200;
            })()",
        )
        .await;
}

fn strings(values: &Value, field: &str) -> Vec<String> {
    let all = values.as_array().unwrap();
    all.iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
}

/// The first number of a text, such as `2886.6 ms`.
fn number(text: &str) -> f64 {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].parse().unwrap_or_else(|_| panic!("{text} begins with a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overview_shows_the_numbers_of_the_api_and_stays_small() {
    let (server, browser) = signed_in().await;
    // High enough for the whole view: shifts outside of the window do not count.
    browser.resize(1_280, 2_400).await;
    open(&server, &browser, PERIOD).await;
    until_drawn(&browser).await;
    let shifts = browser.entries("layout-shift", "value").await;
    assert!(shifts.iter().sum::<f64>() < 0.001, "the overview's own CLS: {shifts:?}");
    let summary = ask(&server, &format!("summary?{PERIOD}")).await;
    for metric in ["LCP", "INP", "CLS", "FCP", "TTFB"] {
        let tile = format!("document.querySelector('[data-key=\"tile-{metric}\"]').closest('article')");
        let shown = browser.run(&format!("return {tile}.querySelector('.big span').title")).await;
        let p75 = summary["metrics"][metric]["p75"].as_f64().unwrap();
        assert!((number(shown.as_str().unwrap()) - p75).abs() < 0.06, "{metric}: {shown} of {p75}");
        assert_eq!(
            browser.run(&format!("return {tile}.querySelectorAll('.sparkline').length")).await,
            1,
            "{metric}"
        );
        assert_eq!(
            browser.run(&format!("return {tile}.querySelectorAll('.change').length")).await,
            1,
            "{metric}"
        );
    }
    let score = summary["quality"]["field_score"].as_f64().unwrap().round();
    assert_eq!(texts(&browser, ".verdict .score").await, [format!("Field score {score}")]);
    let advice = strings(&summary["advice"]["recommendations"], "title");
    assert!(advice.len() >= 3, "{advice:?}");
    assert_eq!(texts(&browser, ".advice .cause-line strong").await[..3].to_vec(), advice[..3].to_vec());
    assert_eq!(texts(&browser, ".ranking tbody .route-cell a").await, strings(&summary["pages"], "route"));
    let impact = summary["pages"][0]["impact"]["views"].as_f64().unwrap().round();
    assert_eq!(number(&texts(&browser, ".ranking tbody .impact").await[0]), impact);
    let trends = ask(&server, &format!("trends?{PERIOD}")).await;
    let slower = trends["pages"].as_array().unwrap().iter().find(|page| page["route"] == SLOWER).unwrap();
    let points: Vec<f64> = slower["points"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert!(points[points.len() - 1] > 1.3 * points[0], "release 2.5.0 made {SLOWER} slower: {points:?}");
    browser.until("document.querySelectorAll('.ranking tbody .sparkline').length === 6").await;
    let lines = browser
        .run(&format!(
            "return document.querySelector('[data-trend=\"{SLOWER}\"] polyline').getAttribute('points').split(' ').length"
        ))
        .await;
    assert_eq!(lines, points.len());

    let series = ask(&server, &format!("series?{PERIOD}&metric=LCP")).await;
    let views: Vec<String> =
        series["lines"][0]["views"].as_array().unwrap().iter().map(Value::to_string).collect();
    browser.run("document.querySelectorAll('details.counts').forEach(node => { node.open = true })").await;
    assert_eq!(texts(&browser, "[aria-labelledby=traffic] tbody td").await, views);
    assert!(texts(&browser, "[aria-labelledby=traffic] .marks").await[0].starts_with("2.5.0 deployed"));
    assert_eq!(browser.run("return document.querySelectorAll('.traffic .mark').length").await, 1);

    // The rows' lines are read when the ranking comes into view.
    let loaded = browser
        .run(
            "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
                .filter(({ name }) => !name.endsWith('/live') && !name.includes('/trends')).map(({ name, encodedBodySize }) => [name, encodedBodySize])",
        )
        .await;
    let loaded: Vec<(String, f64)> = serde_json::from_value(loaded).unwrap();
    let bytes: f64 = loaded.iter().map(|(_, bytes)| bytes).sum();
    assert!(
        loaded.len() <= OVERVIEW_REQUESTS_MAX && bytes <= OVERVIEW_BYTES_MAX,
        "{bytes} bytes: {loaded:#?}"
    );

    let csv = downloaded(&browser, "csv-shop-pages").await;
    let rows: Vec<&str> = csv.trim_end().lines().collect();
    let pages = summary["pages"].as_array().unwrap();
    assert_eq!(rows.len(), 1 + pages.len());
    assert!(rows[0].starts_with("page,page views,") && rows[0].contains(",LCP p75,"), "{csv}");
    for (row, page) in rows[1..].iter().zip(pages) {
        let start = format!("{},{},", page["route"].as_str().unwrap(), page["views"]);
        assert!(row.starts_with(&start) && row.contains(&page["metrics"]["LCP"]["p75"].to_string()), "{row}");
    }
    let csv = downloaded(&browser, "csv-shop-LCP").await;
    assert_eq!(csv.trim_end().lines().count(), 1 + views.len(), "{csv}");
    let picture = downloaded(&browser, "png-shop-LCP").await;
    assert!(
        picture.starts_with("image/png ") && number(&picture["image/png ".len()..]) > 5_000.0,
        "{picture}"
    );

    open(&server, &browser, "period=7d").await;
    let summary = ask(&server, "summary?period=7d").await;
    let slower = summary["pages"].as_array().unwrap().iter().find(|page| page["route"] == SLOWER).unwrap();
    let before = &slower["previous"][slower["impact"]["metric"].as_str().unwrap()];
    let change = format!(
        "document.querySelector('[data-key=\"route-{SLOWER}\"]').closest('tr').querySelector('.change')"
    );
    let shown = browser.run(&format!("return {change}.innerText + {change}.title")).await;
    let (shown, n) = (shown.as_str().unwrap(), before["n"].to_string());
    assert!(before["verdict"] == "worse" && shown.contains(" % worse"), "{shown} of {before}");
    assert!(shown.ends_with(&format!("p75 of {n} values")), "{shown} of {before}");
    open(&server, &browser, "period=90d").await;
    // Folded tiles show nothing.
    let changes: Vec<String> =
        texts(&browser, ".tiles .change").await.into_iter().filter(|text| !text.is_empty()).collect();
    let is_told = |text: &String| text == "no values in the period before";
    assert!(changes.len() >= 5 && changes.iter().all(is_told), "before the first visit: {changes:?}");
    browser.quit().await;
}

/// Clicks a button that downloads something. Returns its text, or the type and size of a picture.
async fn downloaded(browser: &Browser, key: &str) -> String {
    let script = format!(
        "const done = arguments[0];
         URL.createObjectURL = blob => {{
             if (blob.type.startsWith('text/')) blob.text().then(done);
             else done(`${{blob.type}} ${{blob.size}}`);
             return '#';
         }};
         document.querySelector({}).click()",
        json!(format!("[data-key='{key}']"))
    );
    let found = browser.driver.execute_async(&script, Vec::new()).await.expect("a download");
    found.json().as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_shows_its_metric_over_time_its_slow_page_views_and_their_causes() {
    let (server, browser) = signed_in().await;
    let asked = format!("route={SLOWER}&{PERIOD}");
    open(&server, &browser, &asked).await;
    until_drawn(&browser).await;
    let series = ask(&server, &format!("series?{asked}&metric=LCP")).await;
    let points = series["lines"][0]["metrics"]["LCP"]["points"].as_array().unwrap();
    let counts: Vec<String> =
        points.iter().map(|point| point["n"].to_string()).filter(|n| n != "0").collect();
    browser.run("document.querySelectorAll('details').forEach(node => { node.open = true })").await;
    assert_eq!(texts(&browser, "[aria-labelledby=trend] tbody td:last-child").await, counts);
    assert_eq!(texts(&browser, "[aria-labelledby=trend] thead th:first-child").await, ["From (UTC)"]);
    assert!(texts(&browser, "[aria-labelledby=trend] .marks").await[0].starts_with("2.5.0 deployed"));

    let samples = ask(&server, &format!("samples?{asked}&metric=LCP&around=75&limit=5")).await;
    let samples = samples["samples"].as_array().unwrap();
    assert_eq!(browser.run("return document.querySelectorAll('.sample').length").await, samples.len());
    let spans = samples[0]["waterfall"].as_array().unwrap();
    let shown = texts(&browser, ".sample:first-child .waterfall .name").await;
    assert_eq!(shown.len(), spans.len(), "{shown:?}");
    assert!(
        shown.contains(&"LCP load delay".to_owned()) && shown.contains(&"TTFB DNS".to_owned()),
        "{shown:?}"
    );
    let placed = "return [...document.querySelectorAll('.sample:first-child .track > span')].map(bar => parseFloat(bar.style.left))";
    let placed: Vec<f64> = serde_json::from_value(browser.run(placed).await).unwrap();
    let end = spans.iter().map(|span| span["end_ms"].as_f64().unwrap()).fold(0.0, f64::max);
    for (span, left) in spans.iter().zip(placed) {
        assert!((span["start_ms"].as_f64().unwrap() / end * 100.0 - left).abs() < 0.1, "{span} at {left} %");
    }

    browser.run("document.querySelector('[data-key=\"around-worst\"]').click()").await;
    browser
        .until("location.search.includes('around=worst') && !document.body.hasAttribute('data-busy')")
        .await;
    let worst = ask(&server, &format!("samples?{asked}&metric=LCP&around=worst&limit=5")).await;
    let slowest = worst["samples"][0]["value"].as_f64().unwrap();
    let shown = browser.run("return document.querySelector('.sample summary strong span').title").await;
    assert!((number(shown.as_str().unwrap()) - slowest).abs() < 0.06, "{shown} of {slowest}");

    let engagement = ask(&server, &format!("engagement?{asked}&metric=LCP")).await;
    let known: Vec<f64> = engagement["ratings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rating| rating["n"].as_f64().unwrap())
        .collect();
    let shown = texts(&browser, ".engagement tbody td:nth-child(2)").await;
    assert_eq!(shown.iter().map(|text| number(&text.replace(',', ""))).collect::<Vec<_>>(), known);
    let advice = ask(&server, &format!("advice?{asked}")).await;
    assert_eq!(texts(&browser, ".advice .cause-line strong").await[0], advice["recommendations"][0]["title"]);
    assert_eq!(texts(&browser, ".advice ol > li:first-child code").await, ["main>div.gallery>img.hero"]);

    choose(&browser, "by", "viewport").await;
    browser.until("location.search.includes('by=viewport')").await;
    let breakdown = ask(&server, &format!("breakdown?{asked}&by=viewport")).await;
    assert_eq!(texts(&browser, ".breakdown tbody .route-cell").await, strings(&breakdown["values"], "value"));
    browser.run("document.querySelector('[data-key=\"metric-INP\"]').click()").await;
    browser.until("document.querySelector('#trend').innerText === 'INP over time'").await;
    until_drawn(&browser).await;
    assert_eq!(texts(&browser, "#samples").await, ["Slow page views by INP"]);
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newest_release_is_compared_with_the_one_before_and_names_the_page_that_moved() {
    let (server, browser) = signed_in().await;
    open(&server, &browser, &format!("view=compare&{PERIOD}")).await;
    choose(&browser, "sides", "release").await;
    browser
        .until("location.search.includes('sides=release') && document.querySelector('#moved') !== null")
        .await;
    assert_eq!(
        texts(&browser, "[aria-labelledby=changes] thead th").await,
        ["Metric", "2.4.0", "2.5.0", "Change"]
    );
    let compared =
        ask(&server, &format!("compare?{PERIOD}&by=release&value=2.5.0&against=2.4.0&limit=20")).await;
    let clear: Vec<&Value> =
        compared["routes"].as_array().unwrap().iter().filter(|route| route["verdict"] == "worse").collect();
    assert!(!clear.is_empty() && clear.iter().all(|route| route["route"] == SLOWER), "{clear:?}");
    let moved = texts(&browser, "[aria-labelledby=moved] > table tbody th a").await;
    assert_eq!(moved, clear.iter().map(|route| route["route"].as_str().unwrap()).collect::<Vec<_>>());
    let words = texts(&browser, "[aria-labelledby=moved] > table .change.worse").await;
    assert_eq!(words.len(), clear.len(), "{words:?}");
    browser.run("document.querySelector('[aria-labelledby=moved] a').click()").await;
    browser.until(&format!("document.querySelector('h1').innerText === '{SLOWER}'")).await;
    browser.until("location.search.includes('by=release') && !document.body.hasAttribute('data-busy')").await;
    browser.run("history.back()").await;
    browser.until("document.querySelector('#moved') !== null").await;
    choose(&browser, "sides", "dates").await;
    browser.until("document.querySelector('[data-key=against_from]') !== null").await;
    let day = |days: i64| {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
        at.strftime("%Y-%m-%d").to_string()
    };
    let (from, to) = (day(21), day(14));
    browser
        .run(&format!(
            "const field = document.querySelector('[data-key=against_from]'); field.value = '{from}';
             document.querySelector('[data-key=against_to]').value = '{to}'; field.form.requestSubmit()"
        ))
        .await;
    browser
        .until(&format!(
            "location.search.includes('against_from={from}') && document.querySelector('#changes') !== null"
        ))
        .await;
    let other = ask(
        &server,
        &format!("compare?{PERIOD}&against_from={from}T00:00:00Z&against_to={to}T00:00:00Z&limit=20"),
    )
    .await;
    let views = other["baseline"]["views"].as_u64().unwrap();
    assert!(views > 1_000, "{views}");
    let shown = browser
        .run("return document.querySelector('#changes').closest('section').innerText.replaceAll(',', '')")
        .await;
    assert!(shown.as_str().unwrap().contains(&format!("{views} page views against")), "{shown} of {views}");
    choose(&browser, "sides", "period").await;
    browser.until("document.querySelector('[data-key=current]') === null").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_by_context_are_in_the_address_and_leave_it() {
    let (server, browser) = signed_in().await;
    open(&server, &browser, PERIOD).await;
    browser
        .run(
            "document.querySelector('.more-filters').open = true;
             document.querySelector('[data-key=\"filter-tag\"]').value = 'plan:pro';
             document.querySelector('[data-key=\"filter-tag\"]').form.requestSubmit()",
        )
        .await;
    browser
        .until("location.search.includes('tag=plan:pro') && document.querySelector('.filter-chip') !== null")
        .await;
    let views = ask(&server, &format!("report?{PERIOD}&tag=plan:pro")).await["views"].as_f64().unwrap();
    let has_views =
        |n: f64| format!("document.querySelector('.subtitle').innerText.replace(',', '').startsWith('{n} ')");
    browser.until(&has_views(views)).await;
    choose(&browser, "filter-viewport", "small").await;
    browser.until("location.search.includes('viewport=small')").await;
    let both = ask(&server, &format!("report?{PERIOD}&tag=plan:pro&viewport=small")).await["views"]
        .as_f64()
        .unwrap();
    browser.until(&has_views(both)).await;
    assert!(0.0 < both && both < views);
    browser.run("document.querySelector('.filter-chip').click()").await;
    browser.until("document.querySelectorAll('.filter-chip').length === 1").await;

    // A value that no page view has: the server says so, and the way out is there.
    browser.open(&format!("{}/?{PERIOD}&tag=plan:none", server.url)).await;
    browser.until("document.querySelector('[data-key=unfiltered]') !== null").await;
    browser.click("[data-key=unfiltered]").await;
    browser.until("document.querySelector('.tile') !== null && !location.search.includes('tag')").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_that_cannot_be_read_says_so_and_the_others_stay() {
    let (server, browser) = signed_in().await;
    // Only Chromium's driver blocks requests.
    if browser.engine != Engine::Chromium {
        return browser.quit().await;
    }
    browser.command("Network.enable", json!({})).await;
    browser.command("Network.setBlockedURLs", json!({"urls": ["*/series*", "*/samples*"]})).await;
    open(&server, &browser, PERIOD).await;
    assert_eq!(browser.run("return document.querySelectorAll('.tile .big').length").await, 7);
    for part in ["trend", "traffic"] {
        let shown = texts(&browser, &format!("[aria-labelledby={part}] .failed")).await;
        assert!(shown.len() == 1 && shown[0].starts_with("The server does not answer."), "{part}: {shown:?}");
    }
    open(&server, &browser, &format!("route={SLOWER}&{PERIOD}")).await;
    assert_eq!(texts(&browser, "[aria-labelledby=samples] .failed").await.len(), 1);
    assert_eq!(browser.run("return document.querySelectorAll('.engagement').length").await, 1);
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_fits_a_phone_and_a_desk_in_light_and_dark() {
    let (server, browser) = signed_in().await;
    let views = [
        ("overview", PERIOD.to_owned()),
        ("page", format!("route={SLOWER}&{PERIOD}")),
        ("compare", format!("view=compare&{PERIOD}&sides=release")),
        ("budgets", "view=budgets".to_owned()),
        ("alerts", "view=alerts".to_owned()),
        ("settings", "view=settings".to_owned()),
        ("routes", "view=settings&part=routes".to_owned()),
        ("tokens", "view=settings&part=tokens".to_owned()),
        ("channels", "view=settings&part=channels".to_owned()),
        ("log", "view=settings&part=log".to_owned()),
        ("setup", "view=setup".to_owned()),
        ("server", "view=server".to_owned()),
    ];
    let axe = std::env::var_os("FIELDVITALS_AXE").map(|file| std::fs::read_to_string(file).unwrap());
    let pictures = std::env::var_os("FIELDVITALS_SCREENSHOTS");
    for (width, height) in [(1_280, 900), (390, 844)] {
        for scheme in ["light", "dark"] {
            let width = browser.resize(width, height).await;
            // The colour scheme and pictures of whole pages are Chromium's.
            let is_chromium = browser.engine == Engine::Chromium;
            if is_chromium {
                let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
                browser.command("Emulation.setEmulatedMedia", features).await;
            } else if scheme == "dark" {
                continue;
            }
            for (name, query) in &views {
                let view = format!("{name}-{width}-{scheme}");
                open(&server, &browser, query).await;
                if ["overview", "page"].contains(name) {
                    until_drawn(&browser).await;
                }
                assert_fits(&browser, &view, width).await;
                if let Some(source) = &axe {
                    assert_accessible(&browser, source, &view).await;
                }
                if let Some(folder) = pictures.as_ref().filter(|_| is_chromium) {
                    picture(&browser, &Path::new(folder).join(format!("{view}.png"))).await;
                }
            }
        }
    }
    assert_eq!(browser.refusals().await, Vec::<Value>::new());
    browser.quit().await;
}

/// Asserts that nothing is wider than the window, and that each chart has a table. A phone zooms out if something is, so
/// `innerWidth` says nothing.
async fn assert_fits(browser: &Browser, view: &str, width: u32) {
    let script = format!(
        "return [...document.querySelectorAll('body *')]
            .filter(node => node.checkVisibility() && node.getBoundingClientRect().right > {width} + 1)
            .filter(node => node.closest('.sections, .segmented, .skip, .hidden, pre, thead, [aria-hidden]') === null)
            .map(node => node.outerHTML.slice(0, 160))"
    );
    assert_eq!(browser.run(&script).await, json!([]), "{view}");
    let page = browser.run("return document.documentElement.scrollWidth").await;
    assert!(page.as_u64().unwrap() <= width.into(), "{view} scrolls sideways: {page}");
    let bare = browser
        .run(
            "return [...document.querySelectorAll('.timeline, .traffic, .histogram')]
                .filter(chart => chart.closest('section').querySelector('details.counts table') === null).length",
        )
        .await;
    assert_eq!(bare, 0, "{view}: a chart has no table");
    let is_told = "const views = document.querySelector('.sections');
        return views.scrollWidth > views.clientWidth === /more-(before|after)/.test(views.className)";
    assert_eq!(browser.run(is_told).await, true, "{view}: views are out of sight without a hint");
}

async fn assert_accessible(browser: &Browser, axe: &str, view: &str) {
    browser.run(axe).await;
    let script = "const done = arguments[0]; axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
        done(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)))";
    let found = browser.driver.execute_async(script, Vec::new()).await.expect("axe runs");
    assert_eq!(found.json(), &json!([]), "{view}");
}

async fn picture(browser: &Browser, file: &Path) {
    let size = browser.command("Page.getLayoutMetrics", json!({})).await;
    let size = &size["cssContentSize"];
    let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
    let options = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
    let taken = browser.command("Page.captureScreenshot", options).await;
    // The driver takes binary data as base64; the browser has a decoder.
    let decoded = format!(
        "return [...Uint8Array.from(atob('{}'), char => char.charCodeAt(0))]",
        taken["data"].as_str().expect("a picture")
    );
    let bytes: Vec<u8> = serde_json::from_value(browser.run(&decoded).await).expect("bytes");
    std::fs::write(file, bytes).expect("the picture can be written");
}
