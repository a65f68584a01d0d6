//! `bench collector`: measures the cost of the collector to its page. The yardstick is the web-vitals library with
//! attribution, which sends the same data. Both run in one browser, in turn.

use crate::figure::{Bound, Figure, median};
use crate::paired;
use crate::progress::{Progress, say};
use anyhow::{Context as _, Result, bail};
use fieldvitals_tests::browser::Browser;
use fieldvitals_tests::engines::{Engine, Window};
use fieldvitals_tests::scenarios::lab::{Capture, Folder, Lab};
use fieldvitals_tests::server::Server;
use fieldvitals_tests::trace::{self, Cost, Trace};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use vitals::beacon::{Content, decode};
use vitals::limits::SNIPPET_BYTES_MAX;

/// Number of measurements and slowdown.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Traced loads of each page.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    loads: u32,
    /// Slowdown factor of the main thread in traced loads.
    #[arg(long, default_value_t = 6)]
    slowdown: u32,
    /// Pairs of loads, with and without the collector, whose paint times are compared.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..))]
    pairs: u32,
}

/// The measured page: images, moving text and a button with a handler. Its only own script makes no microtask, so every
/// microtask in the trace belongs to the measuring script, the driver or the browser.
const PAGE: &str = "<!doctype html><html><head><meta charset=utf-8><meta name=viewport content='width=device-width'>
    <link rel=icon href='data:,'><title>page</title><style>body { margin: 0 } img { width: 240px; height: 240px }
    button { position: fixed; left: 20px; top: 20px; width: 200px; height: 60px }</style>__TAG_HERE__</head><body>
    <div id=pad></div><main id=content class='wide page'><h1>A page with images</h1>__IMAGES__
    <section class=text>__TEXT__</section></main><button id=buy class='large primary'>a button</button>
    <script>
    let height = 0;
    document.querySelector('button').onclick = () => {
        const end = performance.now() + 60;
        while (performance.now() < end);
    };
    addEventListener('load', () => {
        for (const ms of [100, 300, 900, 1600]) setTimeout(() => { pad.style.height = (height += 30) + 'px' }, ms);
    });
    </script></body></html>";

/// A typical reporter for the web-vitals library. It sends the same data as the collector's beacons.
const REPORTER: &str = r"
(() => {
    const base = document.currentScript.src.replace(/[^/]*$/, '');
    const metrics = {};
    const parts = {
        LCP: (of) => ({ target: of.target, url: of.url, parts: [of.timeToFirstByte, of.resourceLoadDelay, of.resourceLoadDuration, of.elementRenderDelay] }),
        INP: (of) => ({ target: of.interactionTarget, event: of.interactionType, at: of.interactionTime, parts: [of.inputDelay, of.processingDuration, of.presentationDelay],
            script: of.longestScript?.entry.sourceURL, script_ms: of.longestScript?.entry.duration, load: of.loadState }),
        CLS: (of) => ({ target: of.largestShiftTarget, at: of.largestShiftTime, value: of.largestShiftValue, load: of.loadState }),
        FCP: () => undefined, TTFB: () => undefined,
    };
    let changed;
    for (const name in parts) webVitals['on' + name]((metric) => { metrics[name] = metric; changed = 1 });
    const send = () => {
        if (!changed) return;
        changed = 0;
        const views = Object.values(metrics).map(({ name, value, rating, id, navigationType, attribution }) =>
            ({ name, value, rating, id, navigationType, attribution: parts[name](attribution) }));
        navigator.sendBeacon(base + 'capture', JSON.stringify({ kind: 'reporter', url: location.origin + location.pathname,
            connection: navigator.connection?.effectiveType, touch: matchMedia('(pointer:coarse)').matches && Math.min(screen.width, screen.height),
            viewport: innerWidth < 600 ? 'small' : innerWidth < 1200 ? 'medium' : 'large', views }));
    };
    addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && send());
    addEventListener('pagehide', send);
})();
";

/// Wait after the load event, long enough for late work on the slowed main thread.
const SETTLE: Duration = Duration::from_millis(2_500);
/// Wait after a click, long enough for the browser to report the interaction.
const AFTER_CLICK: Duration = Duration::from_millis(700);
/// Wait after leaving the page, long enough for the page to end and its last beacon to arrive.
const AFTER_LEAVING: Duration = Duration::from_millis(1_200);
/// Wait after a load, long enough for the page to paint.
const PAINTED: Duration = Duration::from_millis(400);
const CLICKS: u32 = 3;

/// The script that measures the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measurer {
    Fieldvitals,
    Library,
    Nobody,
}

impl Measurer {
    const ALL: [Self; 3] = [Self::Fieldvitals, Self::Library, Self::Nobody];

    const fn page(self) -> &'static str {
        match self {
            Self::Fieldvitals => "fieldvitals.html",
            Self::Library => "library.html",
            Self::Nobody => "nobody.html",
        }
    }

    const fn tag(self) -> &'static str {
        match self {
            Self::Fieldvitals => "__TAG__",
            Self::Library => "<script async src='__BASE__/web-vitals.js'></script>",
            Self::Nobody => "",
        }
    }

    fn owns(self, script: &str) -> bool {
        match self {
            Self::Fieldvitals => is_ours(script),
            Self::Library => script.contains("/web-vitals.js"),
            Self::Nobody => false,
        }
    }
}

fn is_ours(script: &str) -> bool {
    script.contains("/v.js") || script.contains("/c/collector")
}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>> {
    tokio::runtime::Runtime::new()?.block_on(measure(args))
}

async fn measure(args: &Args) -> Result<Vec<Figure>> {
    let library = std::env::var_os("FIELDVITALS_WEB_VITALS_ATTRIBUTION");
    let library = library.context("`cargo xtask bench collector` fetches the library and names it")?;
    let mut script = std::fs::read(&library)?;
    script.extend(REPORTER.as_bytes());
    let lab = Lab::start(Arc::new(Server::start().await), script);
    let mut figures = main_thread(args, &lab).await?;
    figures.extend(paints(args, &lab).await?);
    Ok(figures)
}

/// Returns a folder with the page once for each [`Measurer`].
fn folder() -> Folder {
    let images: String = (0..8).map(|number| format!("<img src='image.bmp?{number}' alt=''>")).collect();
    let text: String =
        (0..60).map(|number| format!("<p class='line odd'>Line {number} of a page of text.</p>")).collect();
    let page = PAGE.replace("__IMAGES__", &images).replace("__TEXT__", &text);
    let pages = Measurer::ALL
        .map(|measurer| (measurer.page().to_owned(), page.replace("__TAG_HERE__", measurer.tag())));
    Folder { pages: pages.into(), ..Folder::default() }
}

/// Measures total main-thread time, the longest task and the flush at hide, on a slowed main thread.
async fn main_thread(args: &Args, lab: &Lab) -> Result<Vec<Figure>> {
    let browser = Browser::start_with(Engine::Chromium, Window::Headless, trace::capabilities()).await;
    // Empties the log now: the entries of the browser's start are many, and reading them would delay the first page.
    browser.log("performance").await;
    browser.command("Emulation.setCPUThrottlingRate", json!({"rate": args.slowdown})).await;
    let mut costs: [Vec<Cost>; 3] = Default::default();
    let mut progress = Progress::new("traced loads", u64::from(args.loads) * 3);
    // The first load of each page warms up the browser and is dropped.
    for load in 0..=args.loads {
        for (measurer, costs) in Measurer::ALL.into_iter().zip(&mut costs) {
            let cost = visit(&browser, lab, measurer, load).await?;
            if load > 0 {
                costs.push(cost);
            }
        }
        progress.at(u64::from(load) * 3);
    }
    progress.end();
    browser.quit().await;

    let ms = |costs: &[Cost], of: fn(&Cost) -> Duration| {
        let all: Vec<f64> = costs.iter().map(|cost| of(cost).as_secs_f64() * 1e3).collect();
        (median(&all), all.iter().copied().fold(0.0, f64::max))
    };
    let [ours, library, nobody] = &costs;
    let ((total, _), (library_total, _)) = (ms(ours, |cost| cost.total), ms(library, |cost| cost.total));
    let (nobody_total, _) = ms(nobody, |cost| cost.total);
    let (longest, longest_max) = ms(ours, |cost| cost.longest_task);
    let (library_longest, _) = ms(library, |cost| cost.longest_task);
    let (hiding, hiding_max) = ms(ours, |cost| cost.hiding);
    let (library_hiding, _) = ms(library, |cost| cost.hiding);
    // Subtracts the page without either script, because the driver and the browser run microtasks in every page.
    let (own, library_own) = (total - nobody_total, library_total - nobody_total);
    let yardstick = "web-vitals with attribution";
    Ok(vec![
        Figure::new(format!("main thread in all, {} × slower", args.slowdown), own, "ms")
            .beside(yardstick, library_own)
            .bound(Bound::RatioAtMost(2.0)),
        Figure::new("main thread of a page without either (taken off)", nobody_total, "ms"),
        Figure::new("longest task, median of loads", longest, "ms").beside(yardstick, library_longest),
        Figure::new("longest task of all loads", longest_max, "ms").bound(Bound::AtMost(50.0)),
        Figure::new("flush at hide, median of loads", hiding, "ms")
            .beside(yardstick, library_hiding)
            .bound(Bound::AtMost(15.0)),
        Figure::new("flush at hide, slowest load", hiding_max, "ms"),
    ])
}

/// Opens, uses and leaves the page, and returns the cost of its measurer.
async fn visit(browser: &Browser, lab: &Lab, measurer: Measurer, load: u32) -> Result<Cost> {
    let name = format!("traced-{load}-{}", measurer.page());
    let url = format!("{}{}", lab.folder(&name, folder()), measurer.page());
    browser.open(&url).await;
    // Sleeps instead of polling: the driver's queries would run as scripts of the page.
    tokio::time::sleep(SETTLE).await;
    for _ in 0..CLICKS {
        for kind in ["mousePressed", "mouseReleased"] {
            let press = json!({"type": kind, "x": 100, "y": 50, "button": "left", "clickCount": 1});
            browser.command("Input.dispatchMouseEvent", press).await;
        }
        tokio::time::sleep(AFTER_CLICK).await;
    }
    // The driver's own navigation command would cut the trace.
    browser.command("Page.navigate", json!({"url": "about:blank"})).await;
    tokio::time::sleep(AFTER_LEAVING).await;
    let trace = Trace::take(browser, &url).await;
    let (captures, _) = lab.captured(&name);
    check(measurer, &captures)?;
    let cost = trace.cost(|script| measurer.owns(script));
    if cost.hiding.is_zero() && measurer != Measurer::Nobody {
        bail!("the trace of {url} does not have its end");
    }
    Ok(cost)
}

/// Fails unless the measurer sent all five metrics and attributed LCP, INP and CLS. Costs are comparable only then.
fn check(measurer: Measurer, captures: &[Capture]) -> Result<()> {
    const SENT: [&str; 5] = ["LCP", "INP", "CLS", "FCP", "TTFB"];
    let mut explained: Vec<String> = Vec::new();
    let mut sent: Vec<String> = Vec::new();
    for capture in captures {
        match (capture, measurer) {
            (Capture::Beacon(body, 204), Measurer::Fieldvitals) => {
                let beacon = decode(body).context("what we send is a beacon")?;
                let Content::Views(views) = beacon.content else {
                    bail!("the module did not measure: {}", capture.line())
                };
                for view in views {
                    sent.extend(view.values.iter().map(|(metric, _)| metric.name().to_owned()));
                    let causes = view.attribution;
                    let causes = [
                        ("LCP", causes.lcp.is_some()),
                        ("INP", causes.inp.is_some()),
                        ("CLS", causes.cls.is_some()),
                    ];
                    explained.extend(causes.iter().filter(|(_, is)| *is).map(|(name, _)| (*name).to_owned()));
                }
            }
            (Capture::Report(report), Measurer::Library) => {
                for view in report["views"].as_array().into_iter().flatten() {
                    let name = view["name"].as_str().unwrap_or_default().to_owned();
                    if view["attribution"].is_object() {
                        explained.push(name.clone());
                    }
                    sent.push(name);
                }
            }
            _ => {}
        }
    }
    if measurer != Measurer::Nobody {
        for name in SENT {
            if !sent.iter().any(|sent| sent == name) {
                bail!("{measurer:?}: {name} was not sent: {captures:?}");
            }
        }
        for name in ["LCP", "INP", "CLS"] {
            if !explained.iter().any(|sent| sent == name) {
                bail!("{measurer:?}: {name} was not explained: {captures:?}");
            }
        }
    }
    Ok(())
}

/// Compares FCP and LCP of the page with and without the collector, and sums the bytes fetched before its load event.
async fn paints(args: &Args, lab: &Lab) -> Result<Vec<Figure>> {
    let browser = Browser::start_with(Engine::Chromium, Window::Headless, Map::new()).await;
    let base = lab.folder("paints", folder());
    let mut fetched: Vec<String> = Vec::new();
    // Differences to the page without the collector: of the page with it, and of a second load without it.
    let mut with: [Vec<f64>; 2] = Default::default();
    let mut again: [Vec<f64>; 2] = Default::default();
    let mut without: [Vec<f64>; 2] = Default::default();
    let mut progress = Progress::new("paired loads", u64::from(args.pairs));
    for pair in 0..=args.pairs {
        let mut order = [Some(Measurer::Fieldvitals), Some(Measurer::Nobody), None];
        order.rotate_left(pair as usize % 3);
        let mut found = [[0.0; 2]; 3];
        for kind in order {
            let measurer = kind.unwrap_or(Measurer::Nobody);
            browser.open(&format!("{base}{}?{pair}", measurer.page())).await;
            tokio::time::sleep(PAINTED).await;
            let last = |starts: Vec<f64>| starts.into_iter().fold(0.0, f64::max);
            let fcp = browser
                .run("return performance.getEntriesByName('first-contentful-paint')[0].startTime")
                .await;
            let lcp = last(browser.entries("largest-contentful-paint", "startTime").await);
            let place = match kind {
                Some(Measurer::Fieldvitals) => 0,
                Some(_) => 1,
                None => 2,
            };
            found[place] = [fcp.as_f64().context("FCP")?, lcp];
            if measurer == Measurer::Fieldvitals {
                fetched = before_load(&browser).await;
            }
            browser.leave().await;
        }
        // The first pair warms up the browser and is dropped.
        if pair > 0 {
            let [ours, nobody, nobody_again] = found;
            for metric in 0..2 {
                with[metric].push(ours[metric] - nobody[metric]);
                again[metric].push(nobody_again[metric] - nobody[metric]);
                without[metric].push(nobody[metric]);
            }
        }
        progress.at(u64::from(pair));
    }
    progress.end();
    browser.quit().await;

    let mut figures = Vec::new();
    for (metric, name) in ["FCP", "LCP"].into_iter().enumerate() {
        say(format!("{name} without: median {:.1} ms", median(&without[metric])));
        let same = format!("{name} of pages without us, among themselves");
        figures.push(Figure::new(
            format!("{name} with us minus without, median of pairs"),
            median(&with[metric]),
            "ms",
        ));
        figures.push(Figure::new(format!("{same}, median of pairs"), median(&again[metric]), "ms"));
        figures.push(
            Figure::new(
                format!("{name}: probability of such differences by chance"),
                paired::probability(&with[metric]),
                "",
            )
            .bound(Bound::AtLeast(0.01)),
        );
        figures.push(Figure::new(format!("{same}: the same"), paired::probability(&again[metric]), ""));
    }
    let mut bytes = 0;
    for url in &fetched {
        // The path after the host.
        let file = url.splitn(4, '/').nth(3).unwrap_or_default();
        let answer = lab
            .server
            .http
            .get(format!("{}/{file}", lab.server.url))
            .header("accept-encoding", "br")
            .send()
            .await?;
        bytes += answer.error_for_status()?.bytes().await?.len();
    }
    figures.push(
        Figure::new("requests of ours before the load event", fetched.len() as f64, "")
            .bound(Bound::AtMost(1.0)),
    );
    figures.push(
        Figure::new("their bytes, brotli", bytes as f64, "B").bound(Bound::AtMost(SNIPPET_BYTES_MAX as f64)),
    );
    Ok(figures)
}

/// Returns the collector's URLs that the page requested before its load event.
async fn before_load(browser: &Browser) -> Vec<String> {
    let names = browser
        .run(
            "const [{ loadEventStart }] = performance.getEntriesByType('navigation');
             return performance.getEntriesByType('resource').filter(entry => entry.startTime < loadEventStart).map(entry => entry.name)",
        )
        .await;
    let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
    names.filter(|name| is_ours(name)).map(str::to_owned).collect()
}
