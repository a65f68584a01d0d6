//! Scenarios of the three-engine tests. A real browser visits a test page. The collector, the reference library and an
//! independent observer measure the page at the same time.

pub mod behaviours;
pub mod conditions;
pub mod lab;
pub mod list;
pub mod oracle;
pub mod replay;
pub mod seen;
pub mod verdict;

use crate::browser::Browser;
use crate::engines::{Engine, Window};
use crate::eventually;
use futures_util::future::BoxFuture;
use lab::{Capture, Folder, Lab};
use seen::Seen;
use serde_json::Map;
use std::time::{Duration, Instant};
use thirtyfour::prelude::*;
use verdict::{Built, Known};

/// Time without captures that ends a run. Absence cannot be waited for otherwise.
const QUIET: Duration = Duration::from_millis(1_000);

/// Timeout of the module. The snippet requests it after the load event, when the page is idle or after 3 s.
const MODULE_PATIENCE: Duration = Duration::from_secs(15);

/// One scenario.
pub struct Scenario {
    /// The scenario's name.
    pub name: &'static str,
    /// The engines that can run the scenario.
    pub engines: &'static [Engine],
    /// The folder's contents.
    pub folder: fn() -> Folder,
    /// The visitor's actions. At the end the page is left or hidden.
    pub drive: for<'a> fn(&'a Visit<'a>) -> BoxFuture<'a, ()>,
    /// The values that the page has by construction.
    pub built: fn(&Seen, Engine) -> Vec<Built>,
    /// Accepted differences, with their reasons.
    pub known: &'static [Known],
}

/// A running visit in a browser.
pub struct Visit<'a> {
    /// The browser.
    pub browser: Browser,
    /// The hosts of the pages.
    pub lab: &'a Lab,
    /// The folder's name.
    pub name: String,
    /// The folder's URL.
    pub base: String,
}

impl Scenario {
    /// Runs the scenario once; returns the captures of its pages.
    pub async fn run(&self, engine: Engine, window: Window, lab: &Lab, number: usize) -> Vec<Capture> {
        let name = format!("{}-{}-{number}", self.name, engine.name());
        let base = lab.folder(&name, (self.folder)());
        let browser = Browser::start_with(engine, window, Map::new()).await;
        let visit = Visit { browser, lab, name, base };
        (self.drive)(&visit).await;
        let captures = visit.settled().await;
        visit.browser.quit().await;
        captures
    }
}

impl Visit<'_> {
    /// Returns the browser's engine.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        self.browser.engine
    }

    /// Opens a page of the folder and waits for its load event.
    pub async fn open(&self, page: &str) {
        self.browser.open(&format!("{}{page}", self.base)).await;
    }

    /// Waits until the page has painted and the module has loaded.
    pub async fn measured(&self) {
        self.painted().await;
        self.browser
            .until_within(
                MODULE_PATIENCE,
                "performance.getEntriesByType('resource').some(entry =>
                     entry.name.includes('/c/') && entry.name.endsWith('.wasm') && entry.responseEnd > 0)",
            )
            .await;
        self.turns().await;
    }

    /// Waits for the page's first contentful paint.
    pub async fn painted(&self) {
        self.browser.until("performance.getEntriesByName('first-contentful-paint').length > 0").await;
    }

    /// Lets the page's pending tasks run, including timers of up to 100 ms.
    ///
    /// # Panics
    /// If the page runs no script.
    pub async fn turns(&self) {
        let script = "const done = arguments[0]; setTimeout(() => setTimeout(done, 100), 100)";
        self.browser.driver.execute_async(script, Vec::new()).await.expect("the script runs");
    }

    /// Waits 1.3 s of page time. The reference needs up to 1 s of idle time to process an interaction.
    pub async fn idle(&self) {
        let now = self.browser.run("return performance.now()").await.as_f64().unwrap_or(0.0);
        self.browser.until(&format!("performance.now() > {now} + 1300")).await;
    }

    /// Waits until the observer has seen this number of entries of a type.
    pub async fn entries(&self, kind: &str, count: usize) {
        self.browser.until(&format!("(window.lab.counts['{kind}'] || 0) >= {count}")).await;
    }

    /// Waits until the page's clock has reached a time, in milliseconds.
    pub async fn at(&self, ms: u32) {
        self.browser.until(&format!("performance.now() > {ms}")).await;
    }

    /// Clicks an element with a simulated mouse. The click is a trusted event. (WebDriver's own element click prevents
    /// Firefox from putting the page into its back-forward cache.)
    ///
    /// # Panics
    /// If no element matches the selector.
    pub async fn press(&self, css: &str) {
        let element = self.browser.driver.find(By::Css(css)).await.expect("the element is there");
        let actions = self.browser.driver.action_chain_with_delay(Some(Duration::ZERO), Some(Duration::ZERO));
        actions.move_to_element_center(&element).click().perform().await.expect("it can be clicked");
    }

    /// Presses an element while the main thread is busy: each task after the pointer's move blocks it.
    pub async fn press_while_busy(&self, css: &str) {
        // The driver presses once the page has processed the move, either as part of a frame or by itself. In either
        // case the next task keeps the page busy before the press can arrive.
        self.browser
            .run(
                "addEventListener('pointermove', () => {
                     const { port1, port2 } = new MessageChannel();
                     port1.onmessage = () => lab.busy(250);
                     port2.postMessage(0);
                     requestAnimationFrame(() => lab.busy(250));
                 }, { capture: true, once: true })",
            )
            .await;
        self.press(css).await;
    }

    /// Leaves the page by a navigation to another site.
    pub async fn leave(&self) {
        self.browser.leave().await;
    }

    /// Hides the page behind another tab. In WebKit minimizes the window, because tabs do not hide each other there.
    ///
    /// # Panics
    /// If the page cannot be hidden.
    pub async fn hide(&self) {
        if self.engine() == Engine::WebKit {
            self.browser.driver.minimize_window().await.expect("the window can be minimised");
        } else {
            self.browser.hide().await;
        }
    }

    /// Shows the page again.
    ///
    /// # Panics
    /// If the page cannot be shown.
    pub async fn show(&self) {
        let driver = &self.browser.driver;
        if self.engine() == Engine::WebKit {
            driver.set_window_rect(0, 0, 1000, 800).await.expect("the window can be shown");
        } else {
            let tabs = driver.windows().await.expect("the tabs");
            driver.switch_to_window(tabs[0].clone()).await.expect("the first tab comes to the front");
        }
        self.browser.until("document.visibilityState === 'visible'").await;
    }

    /// Goes back to the previous page in the back-forward cache, and waits until it reports the restore. Waits for the
    /// report, because WebKit's driver never answers a script sent during the change of pages.
    pub async fn restore(&self) {
        self.browser.run("setTimeout(() => history.back())").await;
        self.told("restored").await;
    }

    /// Waits until the page has reported this name.
    pub async fn told(&self, name: &str) {
        eventually(|| async {
            let (captures, _) = self.lab.captured(&self.name);
            let told =
                |capture: &Capture| matches!(capture, Capture::Report(report) if report["name"] == name);
            if captures.iter().any(told) { Ok(()) } else { Err(format!("the page did not tell `{name}`")) }
        })
        .await;
    }

    /// Waits until the observer has reported and no more captures arrive. Without a beacon of the collector, waits four
    /// times as long.
    async fn settled(&self) -> Vec<Capture> {
        let since = Instant::now();
        eventually(|| async {
            let (captures, quiet) = self.lab.captured(&self.name);
            let quiet = quiet.min(since.elapsed());
            let observed = |capture: &Capture| matches!(capture, Capture::Report(report) if report["kind"] == "observed");
            let ours = |capture: &Capture| matches!(capture, Capture::Beacon(..));
            if !captures.iter().any(observed) {
                Err("the observer did not report".to_owned())
            } else if !captures.iter().any(ours) && quiet < QUIET * 4 {
                Err("our collector did not report".to_owned())
            } else if quiet < QUIET {
                Err("more is coming".to_owned())
            } else {
                Ok(captures)
            }
        })
        .await
    }
}
