//! One load of a page, measured by the snippet.
//!
//! The snippet runs in a world of its own, where the page's code cannot reach it and the page's Content-Security-Policy does
//! not apply. It keeps its queue (`raw` mode) and hands it over at the end; nothing is sent. `vitals` then measures the
//! queue as the server measures those of short visits.

use super::cdp::{Cdp, CdpError};
use super::chromium::Chromium;
use super::device::LabDevice;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout_at};
use url::Url;
use vitals::metric::Values;

/// The snippet, as pages load it.
const SNIPPET: &str = include_str!("../../../../js-snippet/src/v.js");
/// The world of the snippet.
const WORLD: &str = "fieldvitals";
/// Requests that the page's own snippet sends: a lab run is no visit.
const BEACONS: &str = "*/v1/beacon";
/// Longest wait for a quiet network after the settling time: pages with streams are never quiet. Chromium reports the first
/// quiet time of a document only (`networkIdle`), so a quiet time before the end of the settling time counts.
const QUIET: Duration = Duration::from_secs(10);

/// The times of a load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Longest time until the load event.
    pub(super) load: Duration,
    /// Time after the load event, for late paints and shifts.
    pub(super) settle: Duration,
}

/// A measured load.
pub(super) struct Visit {
    pub(super) values: Values,
    /// The page's address after redirects.
    pub(super) url: String,
}

/// Why a load has no measurement.
#[derive(Debug, thiserror::Error)]
pub(super) enum VisitError {
    #[error(transparent)]
    Browser(#[from] CdpError),
    /// The page: what is wrong with it.
    #[error("{0}")]
    Page(String),
}

/// A tab with an empty cache and storage.
struct Tab<'a> {
    cdp: &'a mut Cdp,
    session: String,
    frame: String,
}

/// Loads a page in a context of its own, and measures it.
///
/// # Errors
/// If the page does not load, or the browser has ended.
pub(super) async fn visit(
    browser: &mut Chromium,
    url: &Url,
    device: LabDevice,
    times: Times,
) -> Result<Visit, VisitError> {
    let user_agent = device.user_agent(&browser.user_agent);
    let cdp = &mut browser.cdp;
    let context = text(&cdp.call("", "Target.createBrowserContext", json!({})).await?, "browserContextId");
    let created = json!({"url": "about:blank", "browserContextId": context});
    let frame = text(&cdp.call("", "Target.createTarget", created).await?, "targetId");
    let attached = json!({"targetId": frame, "flatten": true});
    let session = text(&cdp.call("", "Target.attachToTarget", attached).await?, "sessionId");
    let mut tab = Tab { cdp, session, frame };
    let visit = async {
        tab.prepare(device, user_agent).await?;
        tab.load(url, times).await?;
        // A script that never ends keeps the page from answering.
        let measured = tokio::time::timeout(times.load, tab.measure()).await;
        measured.unwrap_or_else(|_| Err(VisitError::Page("the page does not answer any more".to_owned())))
    }
    .await;
    let disposed = json!({"browserContextId": context});
    browser.cdp.call("", "Target.disposeBrowserContext", disposed).await?;
    visit
}

impl Tab<'_> {
    async fn call(&mut self, method: &str, params: Value) -> Result<Value, CdpError> {
        self.cdp.call(&self.session, method, params).await
    }

    async fn prepare(&mut self, device: LabDevice, user_agent: Value) -> Result<(), CdpError> {
        self.call("Page.enable", json!({})).await?;
        self.call("Page.setLifecycleEventsEnabled", json!({"enabled": true})).await?;
        self.call("Network.enable", json!({"maxTotalBufferSize": 0, "maxResourceBufferSize": 0})).await?;
        self.call("Network.setBlockedURLs", json!({"urls": [BEACONS]})).await?;
        self.call("Emulation.setUserAgentOverride", user_agent).await?;
        for (method, params) in device.emulation() {
            self.call(method, params).await?;
        }
        let script = json!({"source": script(), "worldName": WORLD});
        self.call("Page.addScriptToEvaluateOnNewDocument", script).await?;
        Ok(())
    }

    /// Loads the page, and waits for its load event, the settling time and a quiet network.
    async fn load(&mut self, url: &Url, times: Times) -> Result<(), VisitError> {
        let deadline = Instant::now() + times.load;
        let late = || VisitError::Page(format!("no load event within {} s", times.load.as_secs()));
        let navigated = self.call("Page.navigate", json!({"url": url.as_str()}));
        let answer = timeout_at(deadline.into(), navigated).await.map_err(|_| late())??;
        let error = text(&answer, "errorText");
        if !error.is_empty() {
            return Err(VisitError::Page(error));
        }
        let mut document = text(&answer, "loaderId");
        let (mut loaded, mut quiet) = (None, false);
        loop {
            let settled = loaded.map(|loaded: Instant| loaded + times.settle);
            let end = match (settled, quiet) {
                (None, _) => deadline,
                (Some(settled), true) => settled,
                (Some(settled), false) => settled + QUIET,
            };
            let event = tokio::select! {
                event = self.cdp.event() => event?,
                () = sleep_until(end.into()) => return if loaded.is_some() { Ok(()) } else { Err(late()) },
            };
            if event.session != self.session
                || event.method != "Page.lifecycleEvent"
                || text(&event.params, "frameId") != self.frame
            {
                continue;
            }
            let (name, of) = (text(&event.params, "name"), text(&event.params, "loaderId"));
            match name.as_str() {
                // The page has led to another document.
                "init" => (document, loaded, quiet) = (of, None, false),
                _ if of != document => {}
                "load" => loaded = Some(Instant::now()),
                "networkIdle" => quiet = true,
                _ => {}
            }
        }
    }

    /// Takes the queue of the snippet, and measures it.
    async fn measure(&mut self) -> Result<Visit, VisitError> {
        let world = json!({"frameId": self.frame, "worldName": WORLD});
        let context = self.call("Page.createIsolatedWorld", world).await?;
        let context = context.get("executionContextId").cloned().unwrap_or_default();
        let asked = json!({"expression": "fieldvitalsLab()", "contextId": context, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", asked).await?;
        let taken = answer.pointer("/result/value").cloned().unwrap_or_default();
        let Some(body) = taken.get("body").and_then(Value::as_str) else {
            let why = answer.pointer("/exceptionDetails/exception/description").and_then(Value::as_str);
            let why = why.and_then(|why| why.lines().next()).unwrap_or("it queued nothing");
            return Err(VisitError::Page(format!("the snippet does not run in the page: {why}")));
        };
        let status = taken.get("status").and_then(Value::as_u64).unwrap_or(0);
        if status >= 400 {
            return Err(VisitError::Page(format!("the server answers {status}")));
        }
        let beacon = vitals::beacon::decode(body.as_bytes())
            .map_err(|error| VisitError::Page(format!("the snippet's queue cannot be read: {error}")))?;
        // The first view is the load.
        let values = beacon.snapshots().first().map_or(Values::EMPTY, |view| view.values);
        Ok(Visit { values, url: text(&taken, "url") })
    }
}

/// The snippet with a script tag of its own, and a function that ends the page view and returns its queue.
fn script() -> String {
    format!(
        "(() => {{
  if (window !== window.top) return;
  const bodies = [];
  Object.defineProperty(Navigator.prototype, 'sendBeacon', {{ value: (url, body) => bodies.push(body) > 0 }});
  const tag = {{ src: 'https://lab.invalid/v.js', dataset: {{ site: 'lab' }} }};
  const own = Object.getOwnPropertyDescriptor(Document.prototype, 'currentScript');
  Object.defineProperty(Document.prototype, 'currentScript', {{ configurable: true, get: () => tag }});
  {SNIPPET}
  Object.defineProperty(Document.prototype, 'currentScript', own);
  window.fieldvitalsLab = () => {{
    window.dispatchEvent(new Event('pagehide'));
    const [navigation] = performance.getEntriesByType('navigation');
    return {{ body: bodies.at(-1), status: navigation?.responseStatus ?? 0, url: location.href }};
  }};
}})();"
    )
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
