//! Visits that end before the module loads, or that cannot load it, are measured nevertheless.

use fieldvitals_tests::browser::Browser;
use fieldvitals_tests::eventually;
use fieldvitals_tests::scenarios::lab::{Folder, Lab, Module};
use fieldvitals_tests::server::Server;
use std::sync::Arc;

const PAGE: &str =
    "<!doctype html><title>t</title>__TAG__<h1 style='font-size:60px'>A page</h1><button>b</button>";

/// Starts a lab: pages on one host, the tag on another, before a server.
async fn lab() -> Lab {
    Lab::start(Arc::new(Server::start().await), Vec::new())
}

fn pages(pages: &[(&str, &str)]) -> Folder {
    let pages = pages.iter().map(|&(name, html)| (name.to_owned(), html.to_owned())).collect();
    Folder { pages, ..Folder::default() }
}

/// Visits a page without the module, and checks that the server reports the page's own values. Reports do not show
/// whether a beacon came from the raw queue. So each test ensures by its conditions that the module does not run.
async fn visit(conditions: Folder, stay: &str) {
    let lab = lab().await;
    let server = &lab.server;
    let base = lab.folder("early", Folder { pages: pages(&[("page.html", PAGE)]).pages, ..conditions });
    let browser = Browser::start().await;
    browser.open(&format!("{base}page.html")).await;
    browser.until("performance.getEntriesByName('first-contentful-paint').length > 0").await;
    browser.until(stay).await;
    let fcp = browser.entries("paint", "startTime").await.into_iter().fold(0.0, f64::max);
    let lcp = browser.entries("largest-contentful-paint", "startTime").await.into_iter().fold(0.0, f64::max);
    let ttfb = browser.run("return performance.getEntriesByType('navigation')[0].responseStart").await;
    browser.leave().await;
    let page = server.reported("/r/early/page.html", &["FCP", "LCP", "TTFB", "CLS"]).await;
    for (metric, truth) in [("FCP", fcp), ("LCP", lcp), ("TTFB", ttfb.as_f64().expect("a number"))] {
        let reported = page["metrics"][metric]["p75"].as_f64().expect("a number");
        assert!(
            (reported - truth).abs() <= truth * 0.0055 + 0.002,
            "{metric}: {reported}, the truth is {truth}"
        );
    }
    let status = server.get("status").await.expect("the status");
    assert_eq!(status["outcomes"]["accepted"], status["received"], "{status}");
    browser.quit().await;
}

#[tokio::test]
async fn left_before_the_module_is_fetched() {
    visit(Folder { module: Module::Held, ..Folder::default() }, "true").await;
}

#[tokio::test]
async fn the_module_is_not_found() {
    let stay = "performance.getEntriesByType('resource').some(e => e.name.includes('/c/')) && performance.now() > 1500";
    visit(Folder { module: Module::Missing, ..Folder::default() }, stay).await;
}

#[tokio::test]
async fn wasm_is_forbidden_by_the_page() {
    let stay = "performance.getEntriesByType('resource').filter(e => e.name.includes('/c/')).length > 1 && performance.now() > 1500";
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' __VITALS__; connect-src *";
    visit(Folder { policy: Some(policy), ..Folder::default() }, stay).await;
}

#[tokio::test]
async fn hiding_is_leaving() {
    let lab = lab().await;
    let server = &lab.server;
    let base = lab.folder("hide", pages(&[("page.html", PAGE)]));
    let browser = Browser::start().await;
    browser.open(&format!("{base}page.html")).await;
    browser.until("performance.getEntriesByName('first-contentful-paint').length > 0").await;
    browser.until("window.fieldvitals !== undefined").await;
    browser.hide().await;
    let page = server.reported("/r/hide/page.html", &["FCP", "TTFB"]).await;
    assert_eq!(page["views"], 1);
    browser.quit().await;
}

#[tokio::test]
async fn a_restored_page_is_a_view_of_its_own() {
    let lab = lab().await;
    let server = &lab.server;
    let base = lab
        .folder("back", pages(&[("page.html", PAGE), ("away.html", "<!doctype html><title>a</title>away")]));
    let browser = Browser::start().await;
    browser.open(&format!("{base}page.html")).await;
    browser.run("window.kept = true").await;
    browser.open(&format!("{base}away.html")).await;
    browser.run("setTimeout(() => history.back(), 0)").await;
    browser.until("location.pathname.endsWith('/page.html') && window.kept === true").await;
    browser.until("document.visibilityState === 'visible'").await;
    browser.leave().await;
    let page = eventually(|| async {
        let page = server.reported("/r/back/page.html", &["TTFB"]).await;
        if page["metrics"]["TTFB"]["n"] == 2 { Ok(page) } else { Err(page.to_string()) }
    })
    .await;
    assert_eq!(page["views"], 2, "a load and a restore: {page}");
    assert!(
        page["metrics"]["TTFB"]["p50"].as_f64().unwrap() < 0.001,
        "a restore waits for no server: {page}"
    );
    browser.quit().await;
}

#[tokio::test]
async fn a_redirect_of_the_start_is_the_same_view() {
    const ROUTED: &str = "<!doctype html><title>t</title><script src='__TAG_URL__' data-site='__KEY__'></script><h1>A page</h1>
        <script>history.replaceState(null, '', '/arrived'); fieldvitals.navigate('/named')</script>";
    let lab = lab().await;
    let server = &lab.server;
    let unnamed = ROUTED.replace("fieldvitals.navigate('/named')", "");
    let base = lab.folder("start", pages(&[("named.html", ROUTED), ("unnamed.html", &unnamed)]));
    let browser = Browser::start().await;
    for (path, route) in [("named.html", "/named"), ("unnamed.html", "/arrived")] {
        browser.open(&format!("{base}{path}")).await;
        browser.until("performance.getEntriesByName('first-contentful-paint').length > 0").await;
        browser.leave().await;
        let page = server.reported(route, &["FCP", "LCP", "TTFB"]).await;
        assert_eq!(page["views"], 1, "{page}");
    }
    server.settled().await;
    let whole = server.get("sites/default/report").await.unwrap();
    assert_eq!(whole["views"], 2, "one view a load: {whole}");
    browser.quit().await;
}
