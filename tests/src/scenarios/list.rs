//! The scenarios.

use super::lab::{Folder, Module};
use super::seen::Seen;
use super::verdict::{Built, Known, Must, Side, first};
use super::{Scenario, Visit};
use crate::engines::Engine::{self, Chromium, Firefox, WebKit};
use futures_util::FutureExt as _;
use vitals::view::TtiGap;

const ALL: &[Engine] = &[Chromium, Firefox, WebKit];
/// The engines that know LCP and interactions.
const RICH: &[Engine] = &[Chromium, Firefox];

const TEXT: &str =
    "<!doctype html><title>t</title>__HEAD__<h1 style='font-size:60px'>A page of text</h1><p>more</p>";
const AWAY: &str = "<!doctype html><meta charset=utf-8><link rel=icon href='data:,'><title>away</title>away";

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

/// Whether an engine knows a metric at all.
fn knows(engine: Engine, metric: &str) -> bool {
    match metric {
        "CLS" | "TTI" => engine == Chromium,
        "LCP" | "INP" | "FID" => engine != WebKit,
        _ => true,
    }
}

/// A condition where the engine knows the metric, absence where it does not.
fn where_known(engine: Engine, metric: &'static str, must: Must) -> Built {
    first(metric, if knows(engine, metric) { must } else { Must::BeAbsent })
}

async fn load_and_leave(visit: &Visit<'_>) {
    visit.open("page.html").await;
    visit.measured().await;
    visit.leave().await;
}

/// Every scenario.
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
                visit.turns().await;
                visit.leave().await;
            }
            .boxed()
        },
        built: |_, engine| {
            vec![where_known(engine, "INP", Must::Reach(144.0)), where_known(engine, "FID", Must::Reach(0.0))]
        },
        known: &[],
    },
];

const _: (&[Engine], Module, Option<Known>, Option<Side>) = (RICH, Module::Served, None, None);
const _: fn(&Seen, Engine) -> Vec<Built> = nothing;
