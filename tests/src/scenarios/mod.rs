//! What the three-engine tests do: each scenario is a page of our own, measured at once by our collector,
//! by the reference library and by an independent observer, in a real browser that is driven for real.

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

/// How long nothing more must have come before a run is over: what is absent cannot be waited for.
const QUIET: Duration = Duration::from_millis(1_000);

/// How long the module may take: it is asked for after the load event, when the page is idle, or 3 s later.
const MODULE_PATIENCE: Duration = Duration::from_secs(15);

/// One scenario.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// The engines that can do it.
    pub engines: &'static [Engine],
    /// What lies in the folder.
    pub folder: fn() -> Folder,
    /// What the visitor does; ends with the page left or hidden.
    pub drive: for<'a> fn(&'a Visit<'a>) -> BoxFuture<'a, ()>,
    /// What the page was built to have.
    pub built: fn(&Seen, Engine) -> Vec<Built>,
    /// Where a difference is right, and why.
    pub known: &'static [Known],
}

/// A scenario under way in a browser.
pub struct Visit<'a> {
    /// The browser.
    pub browser: Browser,
    /// The site.
    pub lab: &'a Lab,
    /// The folder's name.
    pub name: String,
    /// The folder's address.
    pub base: String,
}

impl Scenario {
    /// Runs it once and gives what its pages sent.
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
    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        self.browser.engine
    }

    /// Opens a page of the folder and waits for its load event.
    pub async fn open(&self, page: &str) {
        self.browser.open(&format!("{}{page}", self.base)).await;
    }

    /// Waits until the page is painted and the module measures.
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

    /// Waits until the page has had its first paint.
    pub async fn painted(&self) {
        self.browser.until("performance.getEntriesByName('first-contentful-paint').length > 0").await;
    }

    /// Lets the page's tasks that are due run, timers of a tenth of a second among them.
    ///
    /// # Panics
    /// Where the page runs no script.
    pub async fn turns(&self) {
        let script = "const done = arguments[0]; setTimeout(() => setTimeout(done, 100), 100)";
        self.browser.driver.execute_async(script, Vec::new()).await.expect("the script runs");
    }

    /// Gives the reference the time that it needs to take an interaction: up to a second of idleness.
    pub async fn idle(&self) {
        let now = self.browser.run("return performance.now()").await.as_f64().unwrap_or(0.0);
        self.browser.until(&format!("performance.now() > {now} + 1300")).await;
    }

    /// Waits until the observer has seen so many entries of a type.
    pub async fn entries(&self, kind: &str, count: usize) {
        self.browser.until(&format!("(window.lab.counts['{kind}'] || 0) >= {count}")).await;
    }

    /// Waits until the page's clock has reached a time.
    pub async fn at(&self, ms: u32) {
        self.browser.until(&format!("performance.now() > {ms}")).await;
    }

    /// A trusted click as a mouse makes it. (WebDriver's own element click keeps Firefox from putting the
    /// page into its back/forward cache.)
    ///
    /// # Panics
    /// Where there is no such element.
    pub async fn press(&self, css: &str) {
        let element = self.browser.driver.find(By::Css(css)).await.expect("the element is there");
        let actions = self.browser.driver.action_chain_with_delay(Some(Duration::ZERO), Some(Duration::ZERO));
        actions.move_to_element_center(&element).click().perform().await.expect("it can be clicked");
    }

    /// A trusted press while the main thread is busy, which it is from the pointer's way to the element on.
    pub async fn press_while_busy(&self, css: &str) {
        // The driver presses when the page has taken the move, which it does as part of a frame or by itself; what is
        // next in either case keeps it busy before the press can be there.
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

    /// Hides the page: by another tab in front, or by an icon's size where tabs do not hide each other.
    ///
    /// # Panics
    /// Where it cannot be hidden.
    pub async fn hide(&self) {
        if self.engine() == Engine::WebKit {
            self.browser.driver.minimize_window().await.expect("the window can be minimised");
        } else {
            self.browser.hide().await;
        }
    }

    /// Shows it again.
    ///
    /// # Panics
    /// Where it cannot be shown.
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

    /// Goes back to the page before, which the browser has kept, and waits until that has told so: WebKit's driver never
    /// answers a script that is asked for while the pages change.
    pub async fn restore(&self) {
        self.browser.run("setTimeout(() => history.back())").await;
        self.told("restored").await;
    }

    /// Waits until the page has told something by this name.
    pub async fn told(&self, name: &str) {
        eventually(|| async {
            let (captures, _) = self.lab.captured(&self.name);
            let told =
                |capture: &Capture| matches!(capture, Capture::Report(report) if report["name"] == name);
            if captures.iter().any(told) { Ok(()) } else { Err(format!("the page did not tell `{name}`")) }
        })
        .await;
    }

    /// Waits until observer and collector have reported and nothing more comes.
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
