//! Conditions: a page with known correct values, and one peculiarity that real pages have.
//!
//! Reading order: [`page`] (the page and its values), [`foreign`] (scripts, markup and policies), [`early`] (before the
//! module runs), [`wild`] (reports from the field), [`judge`] (the comparison). Many conditions share a browser,
//! because its start costs more than a page. Each condition has a folder of its own, so it has its own origins, storage
//! and cache.

pub mod early;
pub mod foreign;
pub mod judge;
pub mod page;
pub mod wild;

use super::lab::{Capture, Folder, Lab, Module};
use super::verdict::Must;
use super::{QUIET, Visit};
use crate::browser::Browser;
use crate::engines::{Engine, Window};
use crate::{eventually, eventually_within};
use futures_util::FutureExt as _;
use serde_json::{Map, Value, json};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Timeout of a step of the page or the collector.
const STEP_PATIENCE: Duration = Duration::from_secs(15);
/// Timeout of the request for the module. The stored views show a missing request.
const MODULE_PATIENCE: Duration = Duration::from_secs(5);
/// Timeout of the last beacon after leaving a page.
const LEAVING: Duration = Duration::from_secs(1);

/// One condition.
#[derive(Clone, Copy)]
pub struct Condition {
    /// The condition's name.
    pub name: &'static str,
    /// The engines that can have the condition.
    pub engines: &'static [Engine],
    /// The folder's contents.
    pub folder: fn() -> Folder,
    /// The steps of the visit.
    pub steps: &'static [Step],
    /// The measurer that must have produced the views.
    pub by: By,
    /// The views that must have been stored, by start.
    pub views: &'static [View],
    /// Additional checks.
    pub also: fn(&judge::Stored) -> Result<(), String>,
    /// Whether an absence of views is correct too.
    pub may_be_absent: bool,
    /// Whether the server may discard the beacon despite an answer of success.
    pub may_be_filtered: bool,
    /// Whether the browser itself logs the refusals of the page's policy or network to its console.
    pub is_loud: bool,
}

/// The page without any condition.
pub const PLAIN: Condition = Condition {
    name: "plain",
    engines: &Engine::ALL,
    folder: || page::after(""),
    steps: &USE,
    by: By::Module,
    views: &[page::LOAD],
    also: |_| Ok(()),
    may_be_absent: false,
    may_be_filtered: false,
    is_loud: false,
};

/// Opens the page, waits for its shift and the module, presses the slow button, and leaves.
pub const USE: [Step; 5] =
    [Step::Open(page::DELAYED), Step::Told("ready"), Step::Module, Step::Press("slow"), Step::Leave];

/// The measurer of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The module in the browser.
    Module,
    /// The server, from the raw queue.
    Server,
    /// Either: the condition may prevent the module from loading, but the values must exist.
    Either,
}

/// A view that must have been stored.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Suffix of the URL.
    pub at: &'static str,
    /// Required suffix of the route, if any.
    pub route: Option<&'static str>,
    /// Required navigation type, if any.
    pub nav: Option<&'static str>,
    /// Required values. Metrics unsupported by an engine must be absent there; metrics not listed may have any value.
    pub values: &'static [(&'static str, Must)],
}

/// A step of the visitor, the network or the test.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Opens a page of the folder without waiting for its load.
    Open(&'static str),
    /// Opens a page of the folder through a `file:` URL.
    OpenFile(&'static str),
    /// Waits until the page has reported this name.
    Told(&'static str),
    /// Waits until the module's last file was requested, or until a timeout.
    Module,
    /// Releases a held module and a held load event.
    Release,
    /// Presses this target, and waits until the page reports it.
    Press(&'static str),
    /// Presses this target.
    Tap(&'static str),
    /// Types these keys.
    Keys(&'static str),
    /// Leaves the dialog open for a time in milliseconds, then accepts it.
    Dialog(u64),
    /// Hides the page.
    Hide,
    /// Shows the page again.
    Show,
    /// Waits until a beacon was sent.
    Sent,
    /// Navigates to a page of the same origin without the tag.
    Away,
    /// Goes back in the history.
    Back,
    /// Leaves the page.
    Leave,
}

/// The result of one condition.
pub struct Run {
    /// The folder's name.
    pub name: String,
    /// Beacons and reports of its pages.
    pub captures: Vec<Capture>,
    /// The failed step and its error.
    pub failed: Option<String>,
}

/// Returns every condition.
pub fn all() -> impl Iterator<Item = &'static Condition> {
    std::iter::once(&PLAIN).chain(foreign::CONDITIONS).chain(early::CONDITIONS).chain(wild::CONDITIONS)
}

/// Runs conditions one after another in one browser. Starts a new browser after a failure.
pub async fn run(
    conditions: &[&Condition],
    engine: Engine,
    window: Window,
    lab: &Lab,
    number: usize,
) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut open: Option<Browser> = None;
    let files = TempDir::new().expect("a temporary folder");
    for condition in conditions {
        let name = format!("{}-{}-{number}", condition.name, engine.name());
        let base = lab.folder(&name, (condition.folder)());
        let browser = match open.take() {
            Some(browser) => browser,
            None => warm(engine, window, lab, &name).await,
        };
        let visit = Visit { browser, lab, name: name.clone(), base };
        let ended = AssertUnwindSafe(follow(&visit, condition, files.path())).catch_unwind().await;
        let failed = ended.err().map(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
        });
        // A failure leaves the browser in an unknown state, so the next condition gets a new one.
        if failed.is_none() {
            open = Some(visit.browser);
        }
        runs.push(Run { name, captures: Vec::new(), failed });
    }
    if let Some(browser) = open {
        for run in &mut runs {
            run.captures = settled(lab, &run.name).await;
        }
        browser.quit().await;
    } else {
        for run in &mut runs {
            run.captures = lab.captured(&run.name).0;
        }
    }
    runs
}

/// Starts a browser and opens a page, because Firefox loses the last beacon of its very first page.
async fn warm(engine: Engine, window: Window, lab: &Lab, name: &str) -> Browser {
    let name = format!("{name}-warm");
    let base = lab.folder(&name, page::folder(&[]));
    let browser = Browser::start_with(engine, window, capabilities()).await;
    let visit = Visit { browser, lab, name, base };
    visit.open("away.html").await;
    told(&visit, "away", 1).await;
    visit.browser
}

/// Tells the driver not to wait for page loads, because steps happen during them.
fn capabilities() -> Map<String, Value> {
    Map::from_iter([("pageLoadStrategy".to_owned(), json!("none"))])
}

/// Waits until the folder's pages send nothing more, and returns their captures.
async fn settled(lab: &Lab, name: &str) -> Vec<Capture> {
    eventually(|| async {
        let (captures, quiet) = lab.captured(name);
        let ours = captures.iter().any(|capture| matches!(capture, Capture::Beacon(..)));
        let patience = if ours { QUIET } else { QUIET * 4 };
        if quiet >= patience { Ok(captures) } else { Err("more is coming".to_owned()) }
    })
    .await
}

/// Performs the condition's steps.
async fn follow(visit: &Visit<'_>, condition: &Condition, files: &Path) {
    // Drops the messages of earlier pages.
    let is_logged = visit.engine() == Engine::Chromium;
    if is_logged {
        visit.browser.log("browser").await;
    }
    for step in condition.steps {
        let done = AssertUnwindSafe(take(visit, condition, files, *step)).catch_unwind().await;
        if let Err(panic) = done {
            let text = panic.downcast_ref::<String>().map_or("it panicked", String::as_str);
            panic!("{step:?}: {text}");
        }
    }
    if is_logged && !condition.is_loud {
        let ours = visit.lab.vitals(&visit.name);
        for entry in visit.browser.log("browser").await {
            let message = entry["message"].as_str().unwrap_or_default();
            let is_problem = entry["level"] == "SEVERE" || entry["level"] == "WARNING";
            if is_problem && (message.contains(&ours) || message.contains("fieldvitals")) {
                visit.lab.note(&visit.name, json!({"kind": "expected", "name": "console", "value": message}));
            }
        }
    }
}

async fn take(visit: &Visit<'_>, condition: &Condition, files: &Path, step: Step) {
    let driver = &visit.browser.driver;
    match step {
        Step::Open(page) => visit.open(page).await,
        Step::OpenFile(page) => {
            let folder = files.join("r").join(&visit.name);
            std::fs::create_dir_all(&folder).expect("a folder in it");
            let file = folder.join(page);
            std::fs::write(&file, visit.lab.page(&visit.name, page)).expect("a file in it");
            visit.browser.open(&format!("file://{}", file.display())).await;
        }
        Step::Told(what) => told(visit, what, 1).await,
        Step::Module => {
            let asked = tokio::time::timeout(MODULE_PATIENCE, async {
                loop {
                    let served = visit.lab.served(&visit.name);
                    // A missing module never requests its last file; its first request is the only sign.
                    let is_last = |file: &String| match (condition.folder)().module {
                        Module::Missing => file.starts_with("c/"),
                        _ => file.ends_with(".wasm"),
                    };
                    if served.iter().any(is_last) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            // Ignores a timeout: the stored views show it.
            let _ = asked.await;
        }
        Step::Release => visit.lab.release(&visit.name),
        Step::Press(what) => {
            let before = count(visit, what);
            press(visit, what).await;
            told(visit, what, before + 1).await;
        }
        Step::Tap(what) => tap(visit, what).await,
        Step::Keys(keys) => {
            let actions = driver.action_chain_with_delay(Some(Duration::ZERO), Some(Duration::ZERO));
            actions.send_keys(keys).perform().await.expect("keys can be pressed");
        }
        Step::Dialog(ms) => {
            eventually_within(STEP_PATIENCE, || async {
                driver.get_alert_text().await.map_err(|error| format!("no dialog: {error}"))
            })
            .await;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            driver.accept_alert().await.expect("the dialog can be accepted");
        }
        Step::Hide => visit.hide().await,
        Step::Show => {
            if visit.engine() != Engine::WebKit {
                driver.close_window().await.expect("the tab in front can be closed");
            }
            visit.show().await;
        }
        Step::Sent => {
            eventually_within(STEP_PATIENCE, || async {
                let (captures, _) = visit.lab.captured(&visit.name);
                let ours = captures.iter().any(|capture| matches!(capture, Capture::Beacon(..)));
                if ours { Ok(()) } else { Err("no beacon was sent".to_owned()) }
            })
            .await;
        }
        Step::Away => {
            let before = count(visit, "away");
            visit.open("away.html").await;
            told(visit, "away", before + 1).await;
        }
        Step::Back => driver.back().await.expect("there is a page before"),
        Step::Leave => {
            let count = || {
                let (captures, _) = visit.lab.captured(&visit.name);
                captures.iter().filter(|capture| matches!(capture, Capture::Beacon(..))).count()
            };
            let before = count();
            visit.leave().await;
            // Waits, because browsers drop a page's last beacon if the next navigation follows too soon.
            let sent = tokio::time::timeout(LEAVING, async {
                while count() == before {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            // Ignores a timeout: some pages have nothing to send.
            let _ = sent.await;
        }
    }
}

/// Counts the reports of this name from a condition's pages.
fn count(visit: &Visit<'_>, what: &str) -> usize {
    let (captures, _) = visit.lab.captured(&visit.name);
    let told = |capture: &&Capture| matches!(capture, Capture::Report(report) if report["name"] == what);
    captures.iter().filter(told).count()
}

async fn told(visit: &Visit<'_>, what: &str, times: usize) {
    eventually_within(STEP_PATIENCE, || async {
        if count(visit, what) >= times { Ok(()) } else { Err("the page did not tell it".to_owned()) }
    })
    .await;
}

/// Presses at fixed coordinates without running a script in the page; chromedriver's own actions run scripts. The press
/// is a trusted event.
async fn press(visit: &Visit<'_>, what: &str) {
    if visit.engine() != Engine::Chromium {
        return tap(visit, what).await;
    }
    let (left, top) = page::place(what);
    for (kind, button, clicks) in
        [("mouseMoved", "none", 0), ("mousePressed", "left", 1), ("mouseReleased", "left", 1)]
    {
        let event = json!({"type": kind, "x": left, "y": top, "button": button, "clickCount": clicks});
        visit.browser.command("Input.dispatchMouseEvent", event).await;
    }
}

/// Presses at fixed coordinates without waiting for the handlers, which may open a dialog. The press is a trusted
/// event.
async fn tap(visit: &Visit<'_>, what: &str) {
    let (left, top) = page::place(what);
    let actions = visit.browser.driver.action_chain_with_delay(Some(Duration::ZERO), Some(Duration::ZERO));
    actions.move_to(left, top).click().perform().await.expect("it can be pressed");
}
