//! Behaviors of the collector beside measuring: consent, privacy, sampling, retries, URLs and size limits. Each is a
//! visit in a real browser, judged by the beacons sent and the views stored.

mod fetch;

use super::Visit;
use super::lab::{Answer, Capture, Folder, Lab, Module};
use crate::browser::Browser;
use crate::engines::Engine::{self, Chromium, Firefox, WebKit};
use crate::engines::Window;
use crate::eventually;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use vitals::beacon::{Beacon, Content, decode, errors};
use vitals::limits;
use vitals::metric::Metric;
use vitals::view::{NavigationType, ViewId};

/// One behavior.
pub struct Behaviour {
    /// Its name.
    pub name: &'static str,
    /// The engines that can show the behavior.
    pub engines: &'static [Engine],
    /// Extra capabilities of the browser's session.
    pub capabilities: fn(Engine) -> Map<String, Value>,
    /// The folder's contents.
    pub folder: fn() -> Folder,
    /// The visitor's actions and the checks. Panics if a check fails.
    pub check: for<'a> fn(&'a Visit<'a>) -> BoxFuture<'a, ()>,
}

impl Behaviour {
    /// Runs the behavior once; returns the captures of its pages.
    pub async fn run(&self, engine: Engine, window: Window, lab: &Lab, number: usize) -> Vec<Capture> {
        let name = format!("{}-{}-{number}", self.name, engine.name());
        let base = lab.folder(&name, (self.folder)());
        let browser = Browser::start_with(engine, window, (self.capabilities)(engine)).await;
        let visit = Visit { browser, lab, name, base };
        (self.check)(&visit).await;
        let captures = visit.lab.captured(&visit.name).0;
        visit.browser.quit().await;
        captures
    }
}

const ALL: &[Engine] = &[Chromium, Firefox, WebKit];

/// Builds a page whose tag has these additional attributes; the script runs before the tag.
fn tagged(attributes: &str, script: &str) -> String {
    format!(
        "<!doctype html><meta charset=utf-8><link rel=icon href='data:,'><title>t</title>
         <script>
         window.thrown = [];
         window.hidings = 0;
         addEventListener('visibilitychange', () => hidings += document.hidden);
         addEventListener('error', event => thrown.push(event.message));
         addEventListener('unhandledrejection', event => thrown.push(String(event.reason)));
         window.tell = (name, value) => navigator.sendBeacon('__BASE__/capture', JSON.stringify({{ kind: 'expected', name, value }}));
         window.busy = ms => {{ const end = performance.now() + ms; while (performance.now() < end); }};
         {script}
         </script>
         <script async src='__TAG_URL__' data-site='__KEY__' {attributes}></script>
         <h1>A page</h1><button onclick='busy(60)'>a button</button>"
    )
}

fn folder(pages: &[(&str, String)]) -> Folder {
    let away = "<!doctype html><meta charset=utf-8><link rel=icon href='data:,'><title>away</title>away
                <script>navigator.sendBeacon('__BASE__/capture', '{\"kind\":\"expected\",\"name\":\"away\",\"value\":1}')</script>";
    let pages = pages.iter().map(|(name, html)| ((*name).to_owned(), html.clone()));
    Folder { pages: pages.chain([("away.html".to_owned(), away.to_owned())]).collect(), ..Folder::default() }
}

fn page(attributes: &str, script: &str) -> Folder {
    folder(&[("page.html", tagged(attributes, script))])
}

fn as_it_is(_: Engine) -> Map<String, Value> {
    Map::new()
}

/// Capabilities of a visitor who opts out of tracking, by each browser's own signal. WebKit has no such signal, so the
/// page sets it.
fn left_alone(engine: Engine) -> Map<String, Value> {
    let (options, preferences) = match engine {
        Chromium => ("goog:chromeOptions", json!({"enable_do_not_track": true})),
        Firefox => (
            "moz:firefoxOptions",
            json!({"privacy.globalprivacycontrol.enabled": true, "privacy.globalprivacycontrol.functionality.enabled": true}),
        ),
        WebKit => return Map::new(),
    };
    Map::from_iter([(options.to_owned(), json!({"prefs": preferences}))])
}

/// Returns the beacons in order of sending, each with the answer's status and its size in bytes.
fn sent(visit: &Visit<'_>) -> Vec<(Beacon, u16, usize)> {
    let (captures, _) = visit.lab.captured(&visit.name);
    let beacon = |capture: &Capture| match capture {
        Capture::Beacon(body, status) => {
            let beacon =
                decode(body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(body)));
            Some((beacon, *status, body.len()))
        }
        Capture::Report(_) => None,
    };
    captures.iter().filter_map(beacon).collect()
}

/// Waits for a beacon that matches, and returns it.
async fn beacon(visit: &Visit<'_>, what: &str, is: impl Fn(&Beacon) -> bool) -> Beacon {
    eventually(|| async {
        let found = sent(visit).into_iter().find(|(beacon, ..)| is(beacon));
        found.map(|(beacon, ..)| beacon).ok_or_else(|| format!("no beacon: {what}; sent: {:?}", sent(visit)))
    })
    .await
}

/// Returns the ids of the sent views.
fn views(visit: &Visit<'_>) -> BTreeSet<ViewId> {
    sent(visit).into_iter().flat_map(|(beacon, ..)| beacon.snapshots()).map(|view| view.id).collect()
}

/// Leaves for a page without the collector, and waits until that page reports. By then the left page has sent its
/// beacons.
async fn away(visit: &Visit<'_>) {
    visit.open("away.html").await;
    visit.told("away").await;
    visit.turns().await;
}

/// Returns the number of entries in the origin's local storage and session storage.
async fn stored(visit: &Visit<'_>) -> (u64, u64) {
    let counts = visit.browser.run("return [localStorage.length, sessionStorage.length]").await;
    (counts[0].as_u64().expect("a number"), counts[1].as_u64().expect("a number"))
}

async fn no_errors(visit: &Visit<'_>) {
    assert_eq!(visit.browser.run("return window.thrown").await, json!([]), "an error reached the page");
}

/// Hides the page and shows it again. Firefox may return from the other tab before the page learns of the change, and
/// then fires no event. Such a page is hidden again.
async fn hide_and_show(visit: &Visit<'_>) {
    let hidings = || async { visit.browser.run("return hidings").await };
    let before = hidings().await;
    eventually(|| async {
        visit.hide().await;
        visit.show().await;
        if hidings().await == before { Err("the page was not hidden".to_owned()) } else { Ok(()) }
    })
    .await;
}

/// Checks that a page with required consent sends and stores nothing before consent, and then sends all measurements.
async fn consent_required(visit: &Visit<'_>, ready: impl AsyncFn(&Visit<'_>)) {
    visit.open("page.html").await;
    ready(visit).await;
    hide_and_show(visit).await;
    visit.browser.run("tell('before', 1)").await;
    visit.told("before").await;
    assert!(sent(visit).is_empty(), "sent without consent: {:?}", sent(visit));
    assert_eq!(stored(visit).await, (0, 0), "stored without consent");
    visit.browser.run("fieldvitals.consent(true)").await;
    away(visit).await;
    let granted = beacon(visit, "after consent", |_| true).await;
    assert!(views(visit).len() == 1, "the view from its start: {granted:?}");
    let [view] = &granted.snapshots()[..] else { panic!("one view") };
    assert!(view.values.get(Metric::Ttfb).is_some(), "what was seen before counts: {view:?}");

    let before = sent(visit).len();
    visit.open("page.html").await;
    ready(visit).await;
    visit.browser.run("fieldvitals.consent(false)").await;
    away(visit).await;
    assert_eq!(sent(visit).len(), before, "refused, and sent");
    assert_eq!(stored(visit).await, (0, 0), "refused, and stored");
}

/// Waits until the page has requested the module's glue, without success.
async fn asked_in_vain(visit: &Visit<'_>) {
    visit.painted().await;
    visit
        .browser
        .until("performance.getEntriesByType('resource').some(entry => entry.name.includes('/c/'))")
        .await;
    visit.turns().await;
}

/// Visits a page with a fixed random number, and leaves it.
async fn drawn(visit: &Visit<'_>, random: f64) {
    visit.open(&format!("page.html?{random}")).await;
    visit.measured().await;
    visit.leave().await;
}

const DRAW: &str = "Math.random = () => +location.search.slice(1)";

/// Script that counts the bodies in storage. Bodies are separated by newlines, which JSON text never contains.
const KEPT: &str = r"localStorage.fieldvitals.split('\n').length";

/// Waits until storage holds bodies for the next page, and returns their number.
async fn kept(visit: &Visit<'_>) -> u64 {
    let bodies = visit.browser.until(&format!("localStorage.fieldvitals && {KEPT}")).await;
    bodies.as_u64().expect("a number")
}

/// Checks after failed sends that the next page sends the stored bodies, and that the server counts every view once.
async fn counted_once(visit: &Visit<'_>, count: u64) {
    let route = format!("/r/{}", visit.name);
    visit.open("page.html").await;
    visit.measured().await;
    visit.browser.until("!localStorage.fieldvitals").await;
    away(visit).await;
    let counted = eventually(|| async {
        let page = visit.lab.server.reported(&route, &["FCP"]).await;
        if page["views"] == count { Ok(page) } else { Err(format!("{count} views: {page}")) }
    })
    .await;
    assert_eq!(counted["metrics"]["FCP"]["n"], count, "once each: {counted}");
    assert_eq!(views(visit).len() as u64, count);
}

/// All behaviors.
pub fn behaviours() -> impl Iterator<Item = &'static Behaviour> {
    BEHAVIOURS.iter().chain(fetch::FETCHES)
}

const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "consent-required",
        engines: ALL,
        capabilities: as_it_is,
        folder: || page("data-consent=required data-tags='plan=free'", ""),
        check: |visit| consent_required(visit, async |visit: &Visit<'_>| visit.measured().await).boxed(),
    },
    Behaviour {
        name: "consent-required-raw",
        engines: ALL,
        capabilities: as_it_is,
        folder: || Folder { module: Module::Missing, ..page("data-consent=required", "") },
        check: |visit| consent_required(visit, async |visit: &Visit<'_>| asked_in_vain(visit).await).boxed(),
    },
    Behaviour {
        name: "consent-withdrawn",
        engines: ALL,
        capabilities: as_it_is,
        folder: || Folder {
            answer: Some(Answer::Status(503)),
            ..page("data-consent=granted data-sample=1", "")
        },
        check: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                hide_and_show(visit).await;
                kept(visit).await;
                assert_eq!(stored(visit).await, (1, 1));
                visit.browser.run("fieldvitals.consent(false); fieldvitals.mark('later')").await;
                assert_eq!(stored(visit).await, (0, 0), "what was stored is removed");
                let before = sent(visit).len();
                away(visit).await;
                assert_eq!(sent(visit).len(), before, "nothing more is sent");
                assert_eq!(stored(visit).await, (0, 0));
            }
            .boxed()
        },
    },
    Behaviour {
        name: "consent-withdrawn-during-a-post",
        engines: ALL,
        capabilities: as_it_is,
        folder: || {
            page(
                "data-consent=granted data-sample=1",
                "window.posts = 0;
                 (load => fetch = (url, options) => options
                     ? new Promise((_, refuse) => { posts++; window.refuse = refuse })
                     : load(url))(fetch.bind(window))",
            )
        },
        check: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                hide_and_show(visit).await;
                visit.browser.until("posts == 1").await;
                visit.browser.run("fieldvitals.consent(false); refuse(new TypeError('no keepalive'))").await;
                visit.turns().await;
                assert_eq!(visit.browser.run("return posts").await, 1, "nothing is sent without consent");
            }
            .boxed()
        },
    },
    Behaviour {
        name: "left-alone",
        engines: ALL,
        capabilities: left_alone,
        folder: || Folder {
            answer: Some(Answer::Status(503)),
            ..page(
                "data-consent=granted data-tags='plan=free' data-sample=0.999999",
                "window.own = navigator.doNotTrack == 1 || !!navigator.globalPrivacyControl;
                     if (!own) navigator.globalPrivacyControl = true",
            )
        },
        check: |visit| {
            async {
                visit.open("page.html").await;
                let own = visit.browser.run("return window.own").await;
                assert_eq!(own == true, visit.engine() != WebKit, "the browser says it itself");
                visit.measured().await;
                visit.browser.run("fieldvitals.tag('team', 'shop'); fieldvitals.mark('cart')").await;
                visit.press("button").await;
                visit.idle().await;
                hide_and_show(visit).await;
                let told = beacon(visit, "the view counts", |_| true).await;
                assert!(told.tags.is_empty() && told.marks.is_empty(), "{told:?}");
                assert_eq!((told.memory, told.cpu, told.rtt), (None, None, None), "{told:?}");
                let [view] = &told.snapshots()[..] else { panic!("one view") };
                assert!(view.attribution == vitals::attribution::Attribution::NONE, "{view:?}");
                assert_eq!((view.engaged, view.first_input_ms), (None, None), "{view:?}");
                assert!(!view.values.is_empty(), "it is measured: {view:?}");
                assert_eq!(stored(visit).await, (0, 0));
            }
            .boxed()
        },
    },
    Behaviour {
        name: "sample-by-view",
        engines: ALL,
        capabilities: as_it_is,
        folder: || page("data-sample=0.5", DRAW),
        check: |visit| {
            async {
                for random in [0.7, 0.1, 0.9] {
                    drawn(visit, random).await;
                }
                visit.open("page.html?0.2").await;
                assert_eq!(stored(visit).await, (0, 0), "nothing is stored without consent");
                visit.measured().await;
                away(visit).await;
                beacon(visit, "two views", |_| views(visit).len() == 2).await;
                assert!(sent(visit).iter().all(|(beacon, ..)| beacon.sample == 0.5), "{:?}", sent(visit));
            }
            .boxed()
        },
    },
    Behaviour {
        name: "sample-by-session",
        engines: ALL,
        capabilities: as_it_is,
        folder: || page("data-sample=.5 data-consent=granted", DRAW),
        check: |visit| {
            async {
                // The draw 0.7 is out of the sample and holds for the session.
                drawn(visit, 0.7).await;
                drawn(visit, 0.1).await;
                away(visit).await;
                assert!(sent(visit).is_empty(), "out of the sample: {:?}", sent(visit));
                let cleared = visit.browser.run("sessionStorage.clear(); return Date.now()").await;
                // A new session draws 0.1, which is in the sample.
                drawn(visit, 0.1).await;
                drawn(visit, 0.9).await;
                away(visit).await;
                beacon(visit, "two views", |_| views(visit).len() == 2).await;
                let cleared = cleared.as_i64().expect("a time");
                assert!(views(visit).iter().all(|id| id.start_ms() >= cleared), "{:?}", sent(visit));
            }
            .boxed()
        },
    },
    Behaviour {
        name: "sample-mistaken",
        engines: ALL,
        capabilities: as_it_is,
        folder: || {
            const TELL: &str = "console.debug = (...words) => tell('said', words.join(' '))";
            folder(&[
                ("percent.html", tagged("data-sample=10% data-debug", TELL)),
                ("ten.html", tagged("data-sample=10 data-consent=granted data-debug", TELL)),
                ("empty.html", tagged("data-sample", "")),
                ("tiny.html", tagged("data-sample=0.00001", "Math.random = () => 0")),
                ("none.html", tagged("data-sample=0 data-debug", TELL)),
            ])
        },
        check: |visit| {
            async {
                let said = || {
                    let (captures, _) = visit.lab.captured(&visit.name);
                    let words = |capture: &Capture| match capture {
                        Capture::Report(report) if report["name"] == "said" => {
                            report["value"].as_str().map(str::to_owned)
                        }
                        _ => None,
                    };
                    captures.iter().filter_map(words).collect::<Vec<_>>()
                };
                let told = async |what: &str| {
                    eventually(|| async {
                        if said().iter().any(|said| said.contains(what)) {
                            Ok(())
                        } else {
                            Err(format!("not in the console: {what}; but {:?}", said()))
                        }
                    })
                    .await;
                };
                for (page, share) in
                    [("percent", 1.0), ("ten", 1.0), ("empty", 1.0), ("tiny", limits::SAMPLE_MIN)]
                {
                    visit.open(&format!("{page}.html")).await;
                    visit.measured().await;
                    visit.leave().await;
                    let told =
                        beacon(visit, page, |beacon| beacon.url.ends_with(&format!("/{page}.html"))).await;
                    assert_eq!(told.sample, share, "{page}: {told:?}");
                }
                assert!(sent(visit).iter().all(|(_, status, _)| *status == 204), "{:?}", sent(visit));
                told("data-sample is no share, so all page views are sent: 10%").await;
                told("data-sample is no share, so all page views are sent: 10").await;
                let before = sent(visit).len();
                visit.open("none.html").await;
                visit.measured().await;
                away(visit).await;
                assert_eq!(sent(visit).len(), before, "a share of nothing");
                told("leaves this page view out").await;
            }
            .boxed()
        },
    },
    Behaviour {
        name: "name-taken",
        engines: ALL,
        capabilities: as_it_is,
        folder: || {
            let with = |html: &str| tagged("", &format!("document.write(`{html}`)"));
            folder(&[
                ("element.html", with("<p id=fieldvitals>of the page</p>")),
                ("frame.html", with("<iframe name=fieldvitals src='about:blank'></iframe>")),
                (
                    "many.html",
                    with(
                        "<form name=fieldvitals id=fieldvitals><input name=on></form><a name=fieldvitals id=fieldvitals></a>",
                    ),
                ),
                ("twice.html", with("<script async src='__TAG_URL__' data-site='__KEY__'><\\/script>")),
            ])
        },
        check: |visit| {
            async {
                for page in ["element", "frame", "many", "twice"] {
                    visit.open(&format!("{page}.html")).await;
                    visit.measured().await;
                    visit.browser.run("fieldvitals.mark('mine')").await;
                    no_errors(visit).await;
                    away(visit).await;
                    let is = |beacon: &Beacon| beacon.url.ends_with(&format!("/{page}.html"));
                    let told = beacon(visit, page, is).await;
                    assert_eq!((told.errors, told.marks.len()), (0, 1), "{page}: {told:?}");
                    let [view] = &told.snapshots()[..] else { panic!("{page}: one view") };
                    assert!(view.values.get(Metric::Ttfb).is_some(), "{page}: {view:?}");
                    let ids: BTreeSet<ViewId> = sent(visit)
                        .into_iter()
                        .filter(|(beacon, ..)| is(beacon))
                        .flat_map(|(beacon, ..)| beacon.snapshots())
                        .map(|view| view.id)
                        .collect();
                    assert_eq!(ids.len(), 1, "{page}: one collector alone measures");
                }
            }
            .boxed()
        },
    },
    Behaviour {
        name: "fetch-later",
        engines: &[Chromium],
        capabilities: as_it_is,
        folder: || {
            // The test drives the collector's 10 s interval through `window.tick`.
            page(
                "",
                "const every = setInterval;
                 window.setInterval = (run, ms) => ms == 10000 ? void (window.tick = run) : every(run, ms);",
            )
        },
        check: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                assert_eq!(
                    visit.browser.run("return typeof fetchLater").await,
                    "function",
                    "Chromium has it from 135 on"
                );
                visit.browser.run("fieldvitals.mark('first'); tick()").await;
                visit.browser.run("fieldvitals.mark('second'); tick()").await;
                visit.turns().await;
                assert!(sent(visit).is_empty(), "left with the browser, not sent: {:?}", sent(visit));
                // After a crash no event and no script of the page runs. The command never gets an answer.
                let crash = visit.browser.driver.cdp();
                let crashed = crash.send_raw("Page.crash", json!({}));
                drop(tokio::time::timeout(std::time::Duration::from_secs(2), crashed).await);
                let told = beacon(visit, "what was left with the browser", |_| true).await;
                assert_eq!(told.marks.len(), 2, "the last word alone: {told:?}");
                let [view] = &told.snapshots()[..] else { panic!("one view") };
                assert!(view.values.get(Metric::Ttfb).is_some(), "{view:?}");
                assert_eq!(sent(visit).len(), 1, "{:?}", sent(visit));
            }
            .boxed()
        },
    },
    Behaviour {
        name: "retry-503",
        engines: ALL,
        capabilities: as_it_is,
        folder: || Folder {
            answer: Some(Answer::Status(503)),
            ..page("data-consent=granted data-route='__BASE__'", "")
        },
        check: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                for number in 0..limits::KEPT_BODIES_MAX + 3 {
                    visit.browser.run(&format!("fieldvitals.mark('mark{number}')")).await;
                    hide_and_show(visit).await;
                    eventually(|| async {
                        if sent(visit).len() > number { Ok(()) } else { Err("it was not sent".to_owned()) }
                    })
                    .await;
                }
                visit.browser.until(&format!("{KEPT} == {}", limits::KEPT_BODIES_MAX)).await;
                visit.lab.answer(&visit.name, None);
                counted_once(visit, 2).await;
                let taken = || -> Vec<Beacon> {
                    sent(visit)
                        .into_iter()
                        .filter(|(_, status, _)| *status == 204)
                        .map(|(beacon, ..)| beacon)
                        .collect()
                };
                eventually(|| async {
                    let count = taken().len();
                    if count > limits::KEPT_BODIES_MAX { Ok(()) } else { Err(format!("{count} were taken")) }
                })
                .await;
            }
            .boxed()
        },
    },
    Behaviour {
        name: "retry-unreachable",
        engines: ALL,
        capabilities: as_it_is,
        folder: || Folder {
            answer: Some(Answer::Nothing),
            ..page("data-consent=granted data-route='__BASE__'", "")
        },
        check: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                hide_and_show(visit).await;
                assert_eq!(kept(visit).await, 1, "without an answer");
                // After one failure, a leaving page stores its last beacon without sending it, because the page cannot
                // receive an answer.
                visit.browser.run("fieldvitals.mark('left')").await;
                away(visit).await;
                assert_eq!(kept(visit).await, 2, "the last word");
                visit.lab.answer(&visit.name, None);
                counted_once(visit, 2).await;
                let left = |beacon: &Beacon| beacon.marks.iter().any(|mark| mark.name == "left");
                beacon(visit, "the last word before the page was left", left).await;
            }
            .boxed()
        },
    },
    Behaviour {
        name: "retry-offline",
        engines: &[Chromium],
        capabilities: as_it_is,
        folder: || page("data-consent=granted data-route='__BASE__'", ""),
        check: |visit| {
            async {
                let network = async |offline: bool| {
                    let conditions = json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
                    visit.browser.command("Network.emulateNetworkConditions", conditions).await;
                    visit.browser.until(&format!("navigator.onLine == {}", !offline)).await;
                };
                visit.open("page.html").await;
                visit.measured().await;
                network(true).await;
                hide_and_show(visit).await;
                assert_eq!(kept(visit).await, 1, "nobody was asked");
                assert!(sent(visit).is_empty(), "{:?}", sent(visit));
                network(false).await;
                counted_once(visit, 2).await;
            }
            .boxed()
        },
    },
    Behaviour {
        name: "url-hook",
        engines: ALL,
        capabilities: as_it_is,
        folder: || {
            const HOOK: &str =
                "window.hook = url => url.includes('secret') ? null : url.replace('.html', '.renamed')";
            folder(&[
                ("page.html", tagged("data-before-send=hook", HOOK)),
                ("secret.html", tagged("data-before-send=hook", HOOK)),
            ])
        },
        check: |visit| {
            async {
                visit.open("secret.html").await;
                visit.measured().await;
                away(visit).await;
                assert!(sent(visit).is_empty(), "dropped, and sent: {:?}", sent(visit));
                visit.open("page.html?question#fragment").await;
                visit.measured().await;
                for path in ["secret.html", "third.html?question"] {
                    // Gives an input first, because otherwise a navigation so soon after the load counts as a redirect.
                    visit.press("button").await;
                    visit.browser.run(&format!("history.pushState(null, '', '{path}')")).await;
                    visit.turns().await;
                }
                away(visit).await;
                let told = beacon(visit, "the page's", |_| true).await;
                assert!(told.url.ends_with("/page.renamed"), "{told:?}");
                let views = told.snapshots();
                let urls: Vec<_> = views.iter().map(|view| view.url.clone().unwrap_or_default()).collect();
                assert!(matches!(&urls[..], [first, third] if first.is_empty() && third.ends_with("/third.renamed")), "{urls:?}");
                assert!(!sent(visit).iter().any(|(beacon, ..)| format!("{beacon:?}").contains("secret")));
            }
            .boxed()
        },
    },
    Behaviour {
        name: "split",
        engines: ALL,
        capabilities: as_it_is,
        folder: || {
            page(
                "data-tags=''",
                "window.long = (start, length) => start + '語'.repeat(length - start.length);
                 window.go = view => {
                     history.pushState(null, '', '__BASE__/' + 'x'.repeat(1000) + view);
                     fieldvitals.navigate(long('/route' + view, 512));
                     for (let mark = 0; mark < 16; mark++) fieldvitals.mark(long('m' + mark, 32));
                 };
                 document.write('<meta name=release content=' + '語'.repeat(4000) + '>');
                 window.tags = () => { for (let tag = 0; tag < 8; tag++) fieldvitals.tag(long('t' + tag, 32), '語'.repeat(64)) };",
            )
        },
        check: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                visit.browser.run("tags()").await;
                const VIEWS: usize = 16;
                for view in 1..VIEWS {
                    // Gives an input first, because otherwise a second navigation so soon counts as a redirect.
                    visit.press("button").await;
                    visit.browser.run(&format!("go({view})")).await;
                }
                hide_and_show(visit).await;
                eventually(|| async {
                    let count = views(visit).len();
                    if count == VIEWS { Ok(()) } else { Err(format!("{count} views of {VIEWS}")) }
                })
                .await;
                for (beacon, status, bytes) in sent(visit) {
                    assert!(
                        bytes <= limits::BODY_BYTES_MAX && status == 204,
                        "{bytes} bytes, {status}: {beacon:?}"
                    );
                }
                let all: usize = sent(visit).iter().map(|(_, _, bytes)| bytes).sum();
                assert!(all > limits::BODY_BYTES_MAX, "too little for one body: {all}");
            }
            .boxed()
        },
    },
    Behaviour {
        name: "patched",
        engines: ALL,
        capabilities: as_it_is,
        folder: || {
            folder(&[
                ("observer.html", tagged("", "window.PerformanceObserver = undefined")),
                ("beacon.html", tagged("", "navigator.sendBeacon = () => false")),
                ("idle.html", tagged("", "window.requestIdleCallback = undefined")),
                (
                    "storage.html",
                    tagged(
                        "data-consent=granted",
                        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no storage') } })",
                    ),
                ),
                (
                    // Holds a reference; otherwise Firefox discards the frozen object and creates another.
                    "history.html",
                    tagged(
                        "",
                        "window.held = Object.freeze(history); if (window.navigation) Object.defineProperty(window, 'navigation', { value: undefined })",
                    ),
                ),
                (
                    "listener.html",
                    tagged(
                        "",
                        "addEventListener('load', () => fieldvitals?.on('TTFB', () => { throw new Error('of the page') }))",
                    ),
                ),
            ])
        },
        check: |visit| {
            async {
                for (name, failed) in [
                    ("observer", errors::SNIPPET | errors::GLUE),
                    ("beacon", 0),
                    ("idle", 0),
                    // A visitor may forbid storage, so a storage error is no failure.
                    ("storage", 0),
                    ("history", errors::GLUE),
                    ("listener", errors::PAGE),
                ] {
                    visit.open(&format!("{name}.html")).await;
                    visit.measured().await;
                    hide_and_show(visit).await;
                    // A failure during the making of a beacon is reported in the next beacon.
                    visit.browser.run("fieldvitals.mark('again')").await;
                    no_errors(visit).await;
                    visit.leave().await;
                    let what = format!("{name}: an error code of {failed}");
                    let told = beacon(visit, &what, |beacon| {
                        beacon.url.ends_with(&format!("/{name}.html")) && beacon.errors == failed
                    })
                    .await;
                    assert!(
                        matches!(told.content, Content::Views(_)),
                        "{name}: the module measures: {told:?}"
                    );
                    let [view] = &told.snapshots()[..] else { panic!("{name}: one view") };
                    assert!(view.values.get(Metric::Ttfb).is_some(), "{name}: {view:?}");
                }
            }
            .boxed()
        },
    },
    Behaviour {
        name: "page-interface",
        engines: ALL,
        capabilities: as_it_is,
        folder: || {
            page(
                "data-tags='plan=free; team = shop' data-release=1.2.3",
                "addEventListener('load', () => {
                     fieldvitals.tag('late', 'x'.repeat(100));
                     fieldvitals.mark('cart');
                     for (let tag = 0; tag < 20; tag++) fieldvitals.tag('more' + tag, 'y');
                     fieldvitals.on('TTFB', function (value) {
                         if (this !== window) throw new Error('a listener runs on the window');
                         tell('on', JSON.stringify(value));
                     });
                 })",
            )
        },
        check: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                hide_and_show(visit).await;
                let told = beacon(visit, "the view", |_| true).await;
                assert_eq!(
                    (told.tags.len(), told.tags["plan"].as_str()),
                    (limits::TAGS_MAX, "free"),
                    "{told:?}"
                );
                assert_eq!(
                    (told.tags["team"].as_str(), told.tags["late"].len()),
                    ("shop", limits::TAG_VALUE_CHARS_MAX)
                );
                assert_eq!(told.release.as_deref(), Some("1.2.3"));
                let [mark] = &told.marks[..] else { panic!("one mark: {told:?}") };
                assert_eq!(mark.name, "cart");
                visit.told("on").await;
                let (captures, _) = visit.lab.captured(&visit.name);
                let heard = captures.iter().find_map(|capture| match capture {
                    Capture::Report(report) if report["name"] == "on" => {
                        report["value"].as_str().map(str::to_owned)
                    }
                    _ => None,
                });
                let heard: Value = serde_json::from_str(&heard.expect("it was called")).expect("JSON");
                let [view] = &told.snapshots()[..] else { panic!("one view") };
                let value = view.values.get(Metric::Ttfb).expect("TTFB").number(Metric::Ttfb);
                assert_eq!(heard["value"], value, "{heard}");
                assert_eq!((&heard["name"], &heard["rating"]), (&json!("TTFB"), &json!("good")));
                assert_eq!(heard["id"], view.id.to_string());
                assert_eq!(heard["navigationType"], NavigationType::Navigate.name());
                no_errors(visit).await;
            }
            .boxed()
        },
    },
];
