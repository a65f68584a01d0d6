//! Visits every demo page in a real browser, and compares the reported value with the page's value by construction.

use fieldvitals_tests::browser::Browser;
use fieldvitals_tests::server::Server;
use serde_json::{Value, json};

/// Asserts that a percentile lies within 0.55 % of the single visit's value, the accuracy of the reports.
fn near(reported: &Value, truth: f64, what: &str) {
    let reported = reported.as_f64().unwrap_or_else(|| panic!("{what} is absent"));
    assert!(
        (reported - truth).abs() <= truth * 0.0055 + 0.002,
        "{what}: {reported} is reported, the truth is {truth}"
    );
}

/// Waits until TTI is known: 5 s after the last long task.
async fn quiet(browser: &Browser) {
    browser.until("performance.now() > 7500").await;
}

async fn visit(server: &Server, browser: &Browser, page: &str) {
    browser.open(&format!("{}{page}", server.url)).await;
    browser.until("document.readyState === 'complete'").await;
}

#[tokio::test]
async fn a_quiet_page_has_all_metrics() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    visit(&server, &browser, "/demo/fast.html").await;
    browser.click("h1").await;
    quiet(&browser).await;
    let fcp = browser.entries("paint", "startTime").await.into_iter().fold(0.0, f64::max);
    let lcp = browser.entries("largest-contentful-paint", "startTime").await.into_iter().fold(0.0, f64::max);
    // A busy machine may paint the page in two frames.
    let shifts: f64 = browser.entries("layout-shift", "value").await.into_iter().sum();
    let ttfb = browser.run("return performance.getEntriesByType('navigation')[0].responseStart").await;
    let delay = browser
        .run(
            "return performance.getEntriesByType('first-input').map(e => e.processingStart - e.startTime)[0]",
        )
        .await;
    browser.leave().await;
    let page = server.reported("/demo/fast.html", &["LCP", "FCP", "TTFB", "CLS", "INP", "FID", "TTI"]).await;
    assert_eq!(page["views"], 1);
    let metrics = &page["metrics"];
    near(&metrics["FCP"]["p75"], fcp, "FCP");
    near(&metrics["LCP"]["p75"], lcp, "LCP");
    near(&metrics["TTFB"]["p75"], ttfb.as_f64().unwrap(), "TTFB");
    near(&metrics["CLS"]["p75"], shifts, "CLS");
    near(&metrics["FID"]["p75"], delay.as_f64().unwrap(), "FID");
    assert!(metrics["TTI"]["p75"].as_f64().unwrap() >= fcp * 0.9945, "TTI is not before FCP: {metrics}");
    let status = server.get("status").await.unwrap();
    assert_eq!(status["collector"], "wasm", "the binary under test has the module");
    browser.quit().await;
}

#[tokio::test]
async fn a_late_image_is_a_late_lcp() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    visit(&server, &browser, "/demo/late-image.html").await;
    let lcp = browser.entries("largest-contentful-paint", "startTime").await.into_iter().fold(0.0, f64::max);
    assert!(lcp >= 1_500.0, "the image makes the LCP: {lcp}");
    browser.leave().await;
    let page = server.reported("/demo/late-image.html", &["LCP", "FCP", "TTFB", "CLS"]).await;
    near(&page["metrics"]["LCP"]["p75"], lcp, "LCP");
    near(&page["metrics"]["CLS"]["p75"], 0.0, "CLS");
    assert!(
        page["metrics"]["INP"].is_null() && page["metrics"]["FID"].is_null(),
        "nobody interacted: {page}"
    );
    assert!(page["metrics"]["TTI"].is_null(), "left before it could be known: {page}");
    browser.quit().await;
}

#[tokio::test]
async fn a_shift_of_known_geometry_is_its_cls() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    visit(&server, &browser, "/demo/layout-shift.html").await;
    let expected = browser.run("return Number(document.documentElement.dataset.expectedCls)").await;
    browser
        .until("performance.getEntriesByType('layout-shift').length >= 0 && performance.now() > 2500")
        .await;
    let shifts: f64 = browser.entries("layout-shift", "value").await.into_iter().sum();
    browser.leave().await;
    let page = server.reported("/demo/layout-shift.html", &["CLS"]).await;
    near(&page["metrics"]["CLS"]["p75"], shifts, "CLS");
    let expected = expected.as_f64().unwrap();
    assert!((shifts - expected).abs() < 0.002, "built to shift {expected}, the browser saw {shifts}");
    browser.quit().await;
}

#[tokio::test]
async fn a_slow_handler_is_a_slow_inp() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    visit(&server, &browser, "/demo/slow-handler.html").await;
    browser.click("button").await;
    // Leaves at once: the value must be final when the page is hidden, not only at the next idle period.
    browser.leave().await;
    let page = server.reported("/demo/slow-handler.html", &["INP", "FID"]).await;
    let inp = page["metrics"]["INP"]["p75"].as_f64().unwrap();
    assert!((318.0..1_500.0).contains(&inp), "a handler of 320 ms: {inp}");
    browser.quit().await;
}

#[tokio::test]
async fn each_view_of_a_single_page_is_its_own() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    visit(&server, &browser, "/demo/spa.html").await;
    for path in ["/demo/spa/cart", "/demo/spa/checkout"] {
        browser.click(&format!("main a[href='{path}']")).await;
        browser.until(&format!("location.pathname === '{path}'")).await;
    }
    browser.leave().await;
    for route in ["/demo/spa.html", "/demo/spa/cart", "/demo/spa/checkout"] {
        let page = server.reported(route, &[]).await;
        assert_eq!(page["views"], 1, "{route}");
        let load = ["TTFB", "FCP", "LCP"].iter().all(|metric| !page["metrics"][metric].is_null());
        assert_eq!(load, route == "/demo/spa.html", "only the first view was loaded: {page}");
    }
    browser.quit().await;
}

#[tokio::test]
async fn long_tasks_make_a_late_tti() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    visit(&server, &browser, "/demo/long-tasks.html").await;
    quiet(&browser).await;
    let starts = browser.entries("longtask", "startTime").await;
    let durations = browser.entries("longtask", "duration").await;
    let end = starts.iter().zip(&durations).map(|(start, duration)| start + duration).fold(0.0, f64::max);
    let fcp = browser.entries("paint", "startTime").await.into_iter().fold(0.0, f64::max);
    assert!(durations.len() >= 3 && end > fcp, "the page has its long tasks: {durations:?}");
    browser.leave().await;
    let page = server.reported("/demo/long-tasks.html", &["TTI", "FCP"]).await;
    near(&page["metrics"]["TTI"]["p75"], end, "TTI");
    browser.quit().await;
}

#[tokio::test]
async fn the_dashboard_shows_what_was_measured() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    visit(&server, &browser, "/demo/fast.html").await;
    browser.leave().await;
    server.reported("/demo/fast.html", &["LCP"]).await;
    browser.open(&format!("{}/#token={}", server.url, server.token)).await;
    browser.until("document.body.innerText.includes('/demo/fast.html')").await;
    assert_eq!(
        browser.run("return location.hash.includes('token')").await,
        json!(false),
        "the token is not left in the address"
    );
    browser.open(&format!("{}/#token=fvt_wrong", server.url)).await;
    browser.until("document.querySelector('#sign-in-error')?.textContent.includes('not known')").await;
    browser.quit().await;
}
