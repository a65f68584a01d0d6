//! Behaviors of the document's delivery and its conditions: redirects, `Server-Timing`, the browser's cache, a missed
//! back/forward cache, engagement, and the classes of device and connection.

use super::{ALL, Behaviour, as_it_is, asked_in_vain, away, beacon, hide_and_show, page, sent};
use crate::engines::Engine::Chromium;
use crate::scenarios::Visit;
use crate::scenarios::lab::{Folder, Module};
use futures_util::FutureExt as _;
use vitals::beacon::Beacon;
use vitals::fetch::{Delivery, Protocol, TtfbCause};
use vitals::metric::Metric;

/// Duration of the redirect of [`REDIRECTED`], in milliseconds.
const REDIRECT_MS: f64 = 300.0;
const REDIRECTED: &str = "redirect?delay=300&to=page.html";

/// `Server-Timing` entries: some that the page requests, one that it does not request, and one with a text that must
/// not be cut.
const TIMED: &[(&str, &str)] = &[(
    "server-timing",
    "cdn-cache;desc=HIT, secret;dur=7, origin;dur=35.5, db, edge;dur=1;desc=\"Frankfurt am Main\", more;dur=1",
)];

/// The cause of the load's TTFB.
fn cause(beacon: &Beacon) -> TtfbCause {
    let views = beacon.clone().snapshots();
    views[0].attribution.ttfb.clone().unwrap_or_else(|| panic!("nothing explains TTFB: {views:?}"))
}

/// Opens a page, waits for the module, hides the page, and returns the beacon.
async fn reported(visit: &Visit<'_>, path: &str) -> Beacon {
    visit.open(path).await;
    visit.measured().await;
    let seq = sent(visit).len() as u32;
    hide_and_show(visit).await;
    beacon(visit, "the load is reported", |beacon| beacon.seq > seq).await
}

/// All behaviors of the delivery.
pub(super) const FETCHES: &[Behaviour] = &[
    Behaviour {
        name: "fetch-of-a-redirect",
        engines: ALL,
        capabilities: as_it_is,
        folder: || page("", ""),
        check: |visit| {
            async {
                let beacon = reported(visit, REDIRECTED).await;
                let view = &beacon.clone().snapshots()[0];
                let TtfbCause { parts_ms, fetch } = cause(&beacon);
                let [redirect, worker, .., request] = parts_ms.expect("parts");
                let ttfb = view.values.get(Metric::Ttfb).expect("TTFB").number(Metric::Ttfb);
                assert!(redirect >= REDIRECT_MS - 5.0, "{parts_ms:?} of {ttfb}");
                assert!(worker == 0.0 && request > 0.0, "{parts_ms:?}");
                let sum: f64 = parts_ms.iter().flatten().sum();
                assert!((sum - ttfb).abs() < 0.01, "{parts_ms:?} of {ttfb}");
                assert_eq!(Protocol::of(&fetch.protocol), Some(Protocol::Http1), "{fetch:?}");
                assert_eq!(fetch.delivery, Some(Delivery::Network), "{fetch:?}");
                assert!((500.0..3_000.0).contains(&fetch.encoded_bytes), "{fetch:?}");
                assert_eq!(fetch.not_restored.len() + fetch.server_timings.len(), 0, "{fetch:?}");
            }
            .boxed()
        },
    },
    Behaviour {
        name: "fetch-server-timing",
        engines: ALL,
        capabilities: as_it_is,
        folder: || Folder {
            headers: TIMED,
            ..page("data-server-timing='cdn-cache, edge,origin ,absent,db'", "")
        },
        check: |visit| {
            async {
                let beacon = reported(visit, "page.html").await;
                let timings = cause(&beacon).fetch.server_timings;
                let told: Vec<_> = timings
                    .iter()
                    .map(|one| (one.name.as_str(), one.duration_ms, one.description.as_str()))
                    .collect();
                let expected = [
                    ("cdn-cache", 0.0, "HIT"),
                    ("origin", 35.5, ""),
                    ("db", 0.0, ""),
                    ("edge", 1.0, "Frankfurt am Main"),
                ];
                assert_eq!(told, expected);
            }
            .boxed()
        },
    },
    Behaviour {
        name: "fetch-server-timing-is-not-sent-unasked",
        engines: ALL,
        capabilities: as_it_is,
        folder: || Folder { headers: TIMED, ..page("", "") },
        check: |visit| {
            async {
                let beacon = reported(visit, "page.html").await;
                assert_eq!(cause(&beacon).fetch.server_timings, []);
            }
            .boxed()
        },
    },
    Behaviour {
        name: "fetch-from-cache-after-a-missed-bfcache",
        // Firefox and WebKit report no reasons, and restore such a page.
        engines: &[Chromium],
        capabilities: as_it_is,
        folder: || {
            page(
                "",
                "addEventListener('unload', () => {}); navigator.locks.request('held', () => new Promise(() => {}));",
            )
        },
        check: |visit| {
            async {
                let first = reported(visit, "page.html").await;
                assert_eq!(cause(&first).fetch.not_restored.len(), 0);
                away(visit).await;
                visit.browser.run("setTimeout(() => history.back())").await;
                visit.measured().await;
                hide_and_show(visit).await;
                let id = first.snapshots()[0].id;
                let again = beacon(visit, "the load after going back", |beacon| {
                    beacon.clone().snapshots().iter().all(|view| view.id != id)
                })
                .await;
                let fetch = cause(&again).fetch;
                assert_eq!(fetch.delivery, Some(Delivery::Cache), "{fetch:?}");
                assert!(!fetch.not_restored.is_empty(), "{fetch:?}");
            }
            .boxed()
        },
    },
    Behaviour {
        name: "engaged-by-a-click",
        engines: ALL,
        capabilities: as_it_is,
        folder: || page("", ""),
        check: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                let pressed = visit.browser.run("return performance.now()").await.as_f64().expect("a time");
                visit.press("button").await;
                visit.idle().await;
                hide_and_show(visit).await;
                let told = beacon(visit, "the visitor engaged", |beacon| {
                    beacon.clone().snapshots()[0].engaged == Some(true)
                })
                .await;
                let at = told.snapshots()[0].first_input_ms;
                // WebKit's clock ticks in milliseconds.
                assert!(at.is_some_and(|at| at >= pressed - 1.0), "{at:?}, pressed after {pressed}");
            }
            .boxed()
        },
    },
    Behaviour {
        name: "not-engaged-by-a-glance",
        engines: ALL,
        capabilities: as_it_is,
        folder: || page("", ""),
        check: |visit| {
            async {
                let beacon = reported(visit, "page.html").await;
                let view = &beacon.snapshots()[0];
                let hidden_ms = visit.browser.run("return performance.now()").await.as_f64().unwrap_or(0.0);
                // A slow machine may need 10 s.
                assert!(view.engaged == Some(false) || hidden_ms >= 10_000.0, "{view:?}");
                assert_eq!(view.first_input_ms, None);
            }
            .boxed()
        },
    },
    Behaviour {
        name: "engaged-in-raw-queue-mode",
        engines: ALL,
        capabilities: as_it_is,
        folder: || Folder { module: Module::Missing, ..page("", "") },
        check: |visit| {
            async {
                visit.open("page.html").await;
                asked_in_vain(visit).await;
                visit.press("button").await;
                visit.turns().await;
                hide_and_show(visit).await;
                let told = beacon(visit, "the queue tells of the click", |beacon| {
                    beacon.clone().snapshots()[0].first_input_ms.is_some()
                })
                .await;
                let view = &told.snapshots()[0];
                assert_eq!((view.engaged, &view.attribution.ttfb), (Some(true), &None), "{view:?}");
            }
            .boxed()
        },
    },
    Behaviour {
        name: "device-and-connection-in-classes",
        engines: ALL,
        capabilities: as_it_is,
        folder: || page("", ""),
        check: |visit| {
            async {
                let told = reported(visit, "page.html").await;
                // Every engine reports the number of processors; only Chromium reports the others.
                assert!(told.cpu.is_some(), "{told:?}");
                let is_rich = visit.engine() == Chromium;
                assert_eq!((told.memory.is_some(), told.rtt.is_some()), (is_rich, is_rich), "{told:?}");
            }
            .boxed()
        },
    },
];
