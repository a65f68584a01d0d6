//! The scenarios of the three-engine tests.

use super::lab::{Folder, Hosts, Module};
use super::replay::replay;
use super::seen::Seen;
use super::verdict::{Built, Known, Must, Side, first};
use super::{Scenario, Visit};
use crate::engines::Engine::{self, Chromium, Firefox, WebKit};
use crate::eventually;
use futures_util::FutureExt as _;
use std::time::Duration;
use thirtyfour::prelude::*;
use vitals::view::TtiGap;

const ALL: &[Engine] = &[Chromium, Firefox, WebKit];
/// The engines that support LCP and interactions.
const RICH: &[Engine] = &[Chromium, Firefox];

const TEXT: &str =
    "<!doctype html><title>t</title>__HEAD__<h1 style='font-size:60px'>A page of text</h1><p>more</p>";
const AWAY: &str = "<!doctype html><meta charset=utf-8><link rel=icon href='data:,'><title>away</title>away";

/// A page in use: a layout shift, a long task, a slow button, and a button that navigates.
const USED: &str =
    "<!doctype html><title>t</title><style>body{margin:0}</style>__HEAD__<div id=pad></div><h1>text</h1>
     <button id=slow onclick='lab.busy(70)'>slow</button> <button id=next>next</button>
     <script>
     setTimeout(() => { pad.style.height = '90px' }, 200);
     setTimeout(lab.busy, 500, 90);
     next.onclick = () => { lab.busy(45); lab.soft(); history.pushState(null, '', 'second.html') };
     </script>";

fn pages(pages: &[(&str, &str)]) -> Folder {
    let pages = pages.iter().map(|&(name, html)| (name.to_owned(), html.to_owned())).collect();
    Folder { pages, ..Folder::default() }
}

fn page(html: &str) -> Folder {
    pages(&[("page.html", html), ("away.html", AWAY)])
}

fn text() -> Folder {
    page(TEXT)
}

const fn nothing(_: &Seen, _: Engine) -> Vec<Built> {
    Vec::new()
}

/// Returns whether an engine supports a metric.
pub(super) fn knows(engine: Engine, metric: &str) -> bool {
    match metric {
        "CLS" | "TTI" => engine == Chromium,
        "LCP" | "INP" | "FID" => engine != WebKit,
        _ => true,
    }
}

/// Requires the condition if the engine supports the metric, and absence otherwise.
fn where_known(engine: Engine, metric: &'static str, must: Must) -> Built {
    first(metric, if knows(engine, metric) { must } else { Must::BeAbsent })
}

async fn load_and_leave(visit: &Visit<'_>) {
    visit.open("page.html").await;
    visit.measured().await;
    visit.leave().await;
}

/// Uses the page [`USED`] after the first request for a file of the module.
async fn use_and_leave(visit: &Visit<'_>) {
    visit.open("page.html").await;
    visit.painted().await;
    let asked = "performance.getEntriesByType('resource').some(entry => entry.name.includes('/c/'))";
    visit.browser.until(asked).await;
    visit.at(1_000).await;
    visit.press("#slow").await;
    visit.idle().await;
    visit.press("#next").await;
    visit.idle().await;
    visit.leave().await;
}

/// The values of the page [`USED`], independent of the measurer.
fn built_used(_: &Seen, engine: Engine) -> Vec<Built> {
    let mut built = vec![
        first("FCP", Must::Reach(1.0)),
        first("TTFB", Must::Reach(0.0)),
        where_known(engine, "LCP", Must::Reach(1.0)),
        where_known(engine, "CLS", Must::Reach(0.001)),
        where_known(engine, "INP", Must::Reach(64.0)),
    ];
    if knows(engine, "CLS") {
        built.push(Built { view: 1, metric: "CLS", must: Must::Be(0.0, 0.0) });
    }
    built
}

/// As [`built_used`]; also requires that the module measured every view.
fn built_by_module(seen: &Seen, engine: Engine) -> Vec<Built> {
    let raw = seen.ours.iter().filter(|view| view.raw).count();
    assert_eq!(raw, 0, "of {} views, so many were not measured by the module", seen.ours.len());
    built_used(seen, engine)
}

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "text",
        engines: ALL,
        folder: text,
        drive: |visit| load_and_leave(visit).boxed(),
        built: |_, engine| {
            vec![
                where_known(engine, "LCP", Must::Reach(1.0)),
                where_known(engine, "CLS", Must::Be(0.0, 0.0)),
                where_known(engine, "TTI", Must::Lack(TtiGap::Hidden)),
                first("INP", Must::BeAbsent),
                first("FID", Must::BeAbsent),
            ]
        },
        known: &[],
    },
    Scenario {
        name: "late-image",
        engines: ALL,
        folder: || {
            page(
                "<!doctype html><title>t</title>__HEAD__<p>text</p><img src='image.bmp?delay=700' width=480 height=480>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                if visit.engine() != WebKit {
                    visit.browser.until("lab.largest > 700").await;
                }
                visit.measured().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, engine| vec![where_known(engine, "LCP", Must::Reach(700.0))],
        known: &[],
    },
    Scenario {
        name: "slow-server",
        engines: ALL,
        folder: text,
        drive: |visit| {
            async {
                visit.open("page.html?delay=500").await;
                visit.measured().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, engine| {
            vec![first("TTFB", Must::Reach(500.0)), where_known(engine, "LCP", Must::Reach(500.0))]
        },
        known: &[],
    },
    Scenario {
        name: "shift",
        engines: ALL,
        folder: || {
            page(
                "<!doctype html><title>t</title><style>body{margin:0}</style>__HEAD__<div id=pad></div><div id=box style='height:200px;background:#ccc'>text</div>
                 <script>addEventListener('load', () => setTimeout(() => {
                     pad.style.height = '120px';
                     lab.expect('CLS', (200 + 120) / innerHeight * 120 / Math.max(innerWidth, innerHeight));
                 }, 300))</script>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.told("CLS").await;
                visit.measured().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |seen, engine| vec![where_known(engine, "CLS", Must::Be(seen.expected["CLS"], 0.002))],
        known: &[],
    },
    Scenario {
        name: "slow-handler",
        engines: ALL,
        folder: || {
            page(
                "<!doctype html><title>t</title>__HEAD__<h1>text</h1><button onclick='lab.busy(150)'>a button</button>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                visit.press("button").await;
                if visit.engine() != WebKit {
                    visit.entries("event", 1).await;
                }
                visit.idle().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, engine| {
            vec![where_known(engine, "INP", Must::Reach(144.0)), where_known(engine, "FID", Must::Reach(0.0))]
        },
        known: &[],
    },
    Scenario {
        name: "shift-windows",
        engines: &[Chromium],
        folder: || {
            page(
                "<!doctype html><title>t</title><style>body{margin:0}</style>__HEAD__<div id=pad></div><div id=box style='height:200px;background:#ccc'>text</div>
                 <script>
                 const shift = () => { pad.style.height = pad.style.height ? '' : '100px'; lab.busy(1); };
                 addEventListener('load', () => {
                     lab.expect('one', (200 + 100) / innerHeight * 100 / Math.max(innerWidth, innerHeight));
                     // Two shifts, a gap of more than a second, and a row of more than five seconds.
                     for (const ms of [300, 600]) setTimeout(shift, ms);
                     for (let place = 0; place < 10; place++) setTimeout(shift, 2200 + 600 * place);
                 })</script>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.entries("layout-shift", 12).await;
                visit.measured().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |seen, _| {
            let one = seen.expected["one"];
            // Nine of the ten shifts lie within 5 s; a late timer may exclude the ninth.
            vec![first("CLS", Must::LieIn(7.5 * one, 9.5 * one))]
        },
        known: &[],
    },
    Scenario {
        name: "many-inputs",
        engines: ALL,
        folder: || {
            page(
                "<!doctype html><title>t</title>__HEAD__<h1>text</h1><input onkeydown='lab.busy({x: 300, y: 200}[event.key] || 0)'>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                let input = visit.browser.driver.find(By::Css("input")).await.expect("the input is there");
                // Waits between the keys: keys typed while the page is busy would wait too, and be as slow.
                for keys in ["a".repeat(15), "x".to_owned(), "a".repeat(28), "y".to_owned(), "a".repeat(15)] {
                    input.send_keys(keys).await.expect("it takes keys");
                    visit.turns().await;
                }
                visit.idle().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, engine| vec![where_known(engine, "INP", Must::Reach(192.0))],
        known: &[],
    },
    Scenario {
        name: "first-input",
        engines: ALL,
        folder: || page("<!doctype html><title>t</title>__HEAD__<h1>text</h1><button>a button</button>"),
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                visit.press_while_busy("button").await;
                visit.idle().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, engine| {
            // Only Chromium delivers a press while the page is busy; other drivers deliver it afterwards.
            let least = if engine == Chromium { 50.0 } else { 0.0 };
            vec![where_known(engine, "FID", Must::Reach(least))]
        },
        known: &[],
    },
    Scenario {
        name: "long-tasks",
        engines: ALL,
        folder: || {
            page(
                "<!doctype html><title>t</title>__HEAD__<h1>text</h1>
                 <script>addEventListener('load', () => { for (const ms of [200, 900, 1600]) setTimeout(lab.busy, ms, 120) })</script>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                visit.at(8_000).await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, engine| vec![where_known(engine, "TTI", Must::LieIn(1_720.0, 6_000.0))],
        known: &[],
    },
    Scenario {
        name: "tti-never-free",
        engines: &[Chromium],
        folder: || {
            page(
                "<!doctype html><title>t</title>__HEAD__<h1>text</h1>
                 <script>setInterval(lab.busy, 1500, 120)</script>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                visit.at(7_500).await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, _| vec![first("TTI", Must::Lack(TtiGap::Cpu))],
        known: &[],
    },
    Scenario {
        name: "tti-never-silent",
        engines: &[Chromium],
        folder: || {
            page(
                "<!doctype html><title>t</title>__HEAD__<h1>text</h1>
                 <script>
                 const again = () => fetch('slow?delay=1200').then(again);
                 for (const ms of [0, 300, 600, 900]) setTimeout(again, ms);
                 </script>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                visit.at(7_500).await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, _| vec![first("TTI", Must::Lack(TtiGap::Network))],
        known: &[],
    },
    Scenario {
        name: "background-open",
        engines: RICH,
        folder: || {
            pages(&[
                ("start.html", "<!doctype html><title>s</title><a href='page.html?delay=100'>a link</a>"),
                ("page.html", TEXT),
            ])
        },
        drive: |visit| {
            async {
                visit.open("start.html").await;
                let driver = &visit.browser.driver;
                let link = driver.find(By::Css("a")).await.expect("the link is there");
                let actions = driver.action_chain().key_down(Key::Control);
                actions
                    .move_to_element_center(&link)
                    .click()
                    .key_up(Key::Control)
                    .perform()
                    .await
                    .expect("a click");
                let tabs = eventually(|| async {
                    let tabs = driver.windows().await.map_err(|error| error.to_string())?;
                    if tabs.len() > 1 { Ok(tabs) } else { Err("no tab was opened".to_owned()) }
                })
                .await;
                // Sleeps long enough for a load in the background; a background page offers no condition to wait for.
                tokio::time::sleep(Duration::from_secs(2)).await;
                driver.switch_to_window(tabs[1].clone()).await.expect("the tab comes to the front");
                visit.measured().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, _| {
            vec![
                first("FCP", Must::BeAbsent),
                first("LCP", Must::BeAbsent),
                first("CLS", Must::BeAbsent),
                first("TTFB", Must::Reach(50.0)),
            ]
        },
        known: &[],
    },
    Scenario {
        name: "hide-and-show",
        engines: ALL,
        folder: || {
            page(
                "<!doctype html><title>t</title>__HEAD__<h1>text</h1>
                 <script>addEventListener('visibilitychange', () => {
                     if (document.visibilityState === 'hidden') {
                         const image = new Image(600, 600);
                         image.src = 'image.bmp?delay=300';
                         document.body.append(image);
                         lab.expect('hidden', performance.now());
                     }
                 })</script>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                visit.hide().await;
                visit.told("hidden").await;
                visit.show().await;
                if visit.engine() != WebKit {
                    visit.browser.until("lab.counts['largest-contentful-paint'] > 1").await;
                }
                visit.leave().await;
            }
            .boxed()
        },
        built: |seen, engine| vec![where_known(engine, "LCP", Must::LieIn(0.0, seen.expected["hidden"]))],
        known: &[],
    },
    Scenario {
        name: "inp-then-hide",
        engines: RICH,
        folder: || {
            page(
                "<!doctype html><title>t</title>__HEAD__<h1>text</h1><button onclick='lab.busy(200)'>a button</button>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                visit.press("button").await;
                visit.hide().await;
            }
            .boxed()
        },
        built: |_, engine| vec![where_known(engine, "INP", Must::Reach(192.0))],
        known: INP_LOST,
    },
    Scenario {
        name: "inp-then-leave",
        engines: RICH,
        folder: || {
            page(
                "<!doctype html><title>t</title>__HEAD__<h1>text</h1><a href='away.html' onclick='lab.busy(200)'>a link</a>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                visit.press("a").await;
                visit.browser.until("location.pathname.endsWith('away.html')").await;
            }
            .boxed()
        },
        built: |_, engine| vec![where_known(engine, "INP", Must::Reach(192.0))],
        known: INP_LOST,
    },
    Scenario {
        name: "bfcache",
        engines: ALL,
        folder: text,
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.browser.run("window.kept = true").await;
                visit.measured().await;
                visit.open("away.html").await;
                visit.restore().await;
                assert_eq!(visit.browser.run("return window.kept").await, true, "the page itself is back");
                visit.turns().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, engine| {
            let restored = |metric, must| Built { view: 1, metric, must };
            let mut built =
                vec![restored("TTFB", Must::Be(0.0, 0.0)), restored("FCP", Must::LieIn(0.0, 5_000.0))];
            if knows(engine, "LCP") {
                built.push(restored("LCP", Must::LieIn(0.0, 5_000.0)));
            }
            built
        },
        known: &[],
    },
    Scenario {
        name: "prerender",
        engines: &[Chromium],
        folder: || {
            let prerendered =
                format!("{TEXT}<script>lab.expect('prerendering', +document.prerendering)</script>");
            pages(&[
                (
                    "start.html",
                    r#"<!doctype html><title>s</title><a href="page.html">a link</a>
                    <script type="speculationrules">{"prerender": [{"urls": ["page.html"], "eagerness": "immediate"}]}</script>"#,
                ),
                ("page.html", &prerendered),
            ])
        },
        drive: |visit| {
            async {
                visit.open("start.html").await;
                visit.told("prerendering").await;
                visit.press("a").await;
                visit.browser.until("location.pathname.endsWith('page.html')").await;
                visit.measured().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |seen, _| {
            assert_eq!(seen.expected["prerendering"], 1.0, "the browser prerendered the page");
            vec![first("TTFB", Must::Be(0.0, 0.0)), first("FCP", Must::LieIn(0.0, 5_000.0))]
        },
        known: &[],
    },
    Scenario {
        name: "reload",
        engines: ALL,
        folder: text,
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                visit.browser.driver.refresh().await.expect("the page can be loaded again");
                visit.measured().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, _| vec![Built { view: 1, metric: "TTFB", must: Must::Reach(0.1) }],
        known: &[],
    },
    Scenario {
        // WebKit keeps such a page in its cache nevertheless.
        name: "back-forward",
        engines: RICH,
        folder: || {
            // Pages with an `unload` listener do not enter the back-forward cache.
            let held = format!("{TEXT}<script>addEventListener('unload', () => {{}})</script>");
            page(&held)
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.browser.run("window.kept = true").await;
                visit.measured().await;
                visit.open("away.html").await;
                visit.browser.run("setTimeout(() => history.back())").await;
                visit.browser.until("location.pathname.endsWith('page.html') && !window.kept").await;
                visit.measured().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: nothing,
        known: FROM_CACHE,
    },
    Scenario {
        name: "same-origin",
        engines: ALL,
        folder: || Folder { hosts: Hosts::One, ..page(USED) },
        drive: |visit| use_and_leave(visit).boxed(),
        built: built_by_module,
        known: SAME_CODE,
    },
    Scenario {
        name: "first-party-proxy",
        engines: ALL,
        folder: || Folder { hosts: Hosts::Proxied, ..page(USED) },
        drive: |visit| use_and_leave(visit).boxed(),
        built: built_by_module,
        known: SAME_CODE,
    },
    Scenario {
        name: "short-input",
        engines: ALL,
        folder: || page(USED),
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                visit.press("#next").await;
                visit.idle().await;
                visit.press("h1").await;
                visit.idle().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, engine| {
            let must = if knows(engine, "INP") { Must::LieIn(0.0, 105.0) } else { Must::BeAbsent };
            vec![Built { view: 1, metric: "INP", must }]
        },
        known: SHORT_INPUT,
    },
    Scenario {
        name: "two-hosts",
        engines: ALL,
        folder: || page(USED),
        drive: |visit| use_and_leave(visit).boxed(),
        built: built_by_module,
        known: SAME_CODE,
    },
    Scenario {
        name: "wasm-forbidden",
        engines: ALL,
        folder: || Folder {
            policy: Some(
                "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' __VITALS__; img-src 'self' data:; connect-src 'self' __VITALS__",
            ),
            ..page(USED)
        },
        drive: |visit| use_and_leave(visit).boxed(),
        built: built_used,
        known: SAME_CODE,
    },
    Scenario {
        name: "wasm-missing",
        engines: ALL,
        folder: || Folder { module: Module::WasmMissing, ..page(USED) },
        drive: |visit| use_and_leave(visit).boxed(),
        built: built_used,
        known: SAME_CODE,
    },
    Scenario {
        name: "all-missing",
        engines: ALL,
        folder: || Folder { module: Module::Missing, ..page(USED) },
        drive: |visit| use_and_leave(visit).boxed(),
        built: built_used,
        known: SAME_CODE,
    },
    Scenario {
        name: "same-code",
        engines: ALL,
        folder: || Folder { module: Module::WasmMissing, ..page(USED) },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.painted().await;
                // By then the layout shift has moved the button.
                visit.at(1_000).await;
                visit.press("#slow").await;
                visit.idle().await;
                if visit.engine() == Chromium {
                    visit.at(6_500).await;
                }
                visit.press("#next").await;
                visit.idle().await;
                visit.open("away.html").await;
                visit.restore().await;
                visit.turns().await;
                visit.press("#slow").await;
                visit.idle().await;
                visit.open("away.html").await;
                replay(visit).await;
            }
            .boxed()
        },
        built: |_, engine| {
            let mut built = vec![
                where_known(engine, "TTI", Must::Reach(590.0)),
                where_known(engine, "INP", Must::Reach(70.0)),
            ];
            if knows(engine, "INP") {
                built.push(Built { view: 2, metric: "INP", must: Must::Reach(70.0) });
            }
            built
        },
        known: SAME_CODE,
    },
    Scenario {
        name: "late-script",
        engines: ALL,
        folder: || {
            page(
                "<!doctype html><title>t</title>__LAB__<h1 style='font-size:60px'>A page of text</h1><button onclick='lab.busy(150)'>a button</button>
                 <script>lab.arrive = () => {
                     const script = document.createElement('script');
                     script.src = '__TAG_URL__';
                     script.dataset.site = '__KEY__';
                     document.head.append(script);
                 }</script>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.painted().await;
                visit.press("button").await;
                if visit.engine() != WebKit {
                    visit.entries("first-input", 1).await;
                }
                visit.idle().await;
                visit.browser.run("lab.arrive()").await;
                visit.measured().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, engine| vec![where_known(engine, "INP", Must::Reach(144.0))],
        known: &[],
    },
    Scenario {
        name: "iframe",
        engines: ALL,
        folder: || {
            pages(&[
                ("page.html", TEXT),
                (
                    "outer.html",
                    "<!doctype html><meta charset=utf-8><title>o</title><link rel=icon href='data:,'><p>outer</p><iframe src='page.html' width=800 height=500></iframe>",
                ),
            ])
        },
        drive: |visit| {
            async {
                visit.open("outer.html").await;
                visit.browser.driver.enter_frame(0).await.expect("there is a frame");
                visit.measured().await;
                visit.browser.driver.enter_default_frame().await.expect("there is a page around it");
                visit.leave().await;
            }
            .boxed()
        },
        built: nothing,
        known: &[],
    },
    Scenario {
        name: "two-tags",
        engines: ALL,
        folder: || {
            page(
                "<!doctype html><title>t</title>__HEAD____TAG__<h1 style='font-size:60px'>A page of text</h1>__TAG__",
            )
        },
        drive: |visit| load_and_leave(visit).boxed(),
        built: nothing,
        known: &[],
    },
    Scenario {
        name: "single-page",
        engines: ALL,
        folder: || {
            page(
                "<!doctype html><title>t</title>__SOFT____TAG__<div id=main><h1>First</h1></div><button>next</button>
                 <script>
                 document.querySelector('button').onclick = async () => {
                     lab.busy(60);
                     lab.soft();
                     history.pushState(null, '', 'second.html');
                     await fetch('slow?delay=100');
                     main.innerHTML = '<h1 style=\"font-size:60px\">The second view, larger</h1>';
                     lab.expect('second', performance.now());
                 };
                 </script>",
            )
        },
        drive: |visit| {
            async {
                visit.open("page.html").await;
                visit.measured().await;
                visit.press("button").await;
                visit.told("second").await;
                visit.idle().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: nothing,
        known: SOFT,
    },
];

const SAME_CODE: &[Known] = &[Known {
    engines: ALL,
    view: Some(1),
    metrics: &["CLS"],
    side: Side::Reference,
    reason: "ok: the reference is not asked for soft navigations here",
}];

const SHORT_INPUT: &[Known] = &[
    SAME_CODE[0],
    Known {
        engines: RICH,
        view: Some(1),
        metrics: &["INP"],
        side: Side::Reference,
        reason: "ok: the reference is not asked for soft navigations here",
    },
];

const SOFT: &[Known] = &[Known {
    engines: &[Chromium],
    view: Some(1),
    metrics: &["TTFB"],
    side: Side::Reference,
    reason: "ok: nothing is requested; the reference says 0",
}];

/// Firefox takes the page from its HTTP cache and reports a response start of 0. The reference rejects such an entry,
/// and calls the view a `navigate`.
const FROM_CACHE: &[Known] = &[Known {
    engines: &[Firefox],
    view: Some(1),
    metrics: &["LCP", "FCP"],
    side: Side::Reference,
    reason: "ok: the reference takes the view for a `navigate`, as Firefox says that the response began at 0",
}];

/// The reference processes interactions in the next idle task. If the page is hidden before, its report lacks them.
const INP_LOST: &[Known] = &[Known {
    engines: RICH,
    view: Some(0),
    metrics: &["INP"],
    side: Side::Reference,
    reason: "ok: the reference loses an INP that is hidden before its idle task",
}];
