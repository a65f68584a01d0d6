//! Checks that the module in a browser and `vitals` in this process compute bit-equal page views from the same facts.
//!
//! The facts come from a real visit without the module: the raw queue that the snippet sent. Then another page of the
//! same browser passes these facts to the real module through the test's own glue. The glue replaces the page's own
//! queue, and sets the clock to the time of sending.

use super::Visit;
use super::lab::{Capture, Folder, Module};
use crate::eventually;
use serde_json::{Value, json};
use vitals::beacon::{Content, decode, write};
use vitals::snapshot::Snapshot;

const GLUE: &str = r#"
import real from "__GLUE__";
const raw = __RAW__;
export default real.then((start) => (page, data, endpoint, id, url, path, observer, hidden, out, queued, calls, read, pageUrl, install) => {
    // What this page itself does is not to be observed.
    observer.disconnect();
    window.PerformanceObserver = undefined;
    Object.defineProperty(performance, "interactionCount", { value: undefined });
    performance.getEntriesByType = () => [];
    const [now, queue] = raw.slice(-2);
    performance.now = () => now;
    // A page that is hidden is reported at once.
    start(page, data, endpoint, raw.slice(9, 11), raw[3], path, null, true, out, queue, calls, read, pageUrl, install);
    // A late report, in a microtask, is at the same time, so nothing has changed for it.
    setTimeout(() => delete performance.now);
});
"#;

/// Replays the last raw queue of a visit.
///
/// # Panics
/// If the results differ.
pub async fn replay(visit: &Visit<'_>) {
    let raw = eventually(|| async {
        let (captures, _) = visit.lab.captured(&visit.name);
        let bodies = captures.into_iter().filter_map(|capture| match capture {
            Capture::Beacon(body, _) => Some(body),
            Capture::Report(_) => None,
        });
        bodies
            .filter(|body| decode(body).is_ok_and(|beacon| matches!(beacon.content, Content::Raw(_))))
            .max_by_key(|body| decode(body).map_or(0, |beacon| beacon.seq))
            .ok_or_else(|| "there was no raw beacon".to_owned())
    })
    .await;
    let fields: Value = serde_json::from_slice(&raw).expect("a beacon is JSON");
    let native = decode(&raw).expect("it is a beacon").snapshots();

    let name = format!("{}-again", visit.name);
    let page = "<!doctype html><meta charset=utf-8><link rel=icon href='data:,'><title>t</title>__TAG__<h1>text</h1>";
    let base = visit.lab.folder(
        &name,
        Folder {
            pages: vec![("again.html".to_owned(), page.to_owned())],
            module: Module::Behind(GLUE.replace("__RAW__", &fields.to_string())),
            ..Folder::default()
        },
    );
    visit.browser.open(&format!("{base}again.html")).await;
    let in_browser = eventually(|| async {
        let (captures, _) = visit.lab.captured(&name);
        let beacon = captures.iter().find_map(|capture| match capture {
            Capture::Beacon(body, _) => decode(body).ok(),
            Capture::Report(_) => None,
        });
        beacon.ok_or_else(|| "the module did not report".to_owned())
    })
    .await;
    assert!(matches!(in_browser.content, Content::Views(_)), "the module measured: {in_browser:?}");
    let mut in_browser = in_browser.snapshots();
    // The module reads how its own document came, which no raw queue tells.
    for view in &mut in_browser {
        view.attribution.ttfb = None;
    }
    let values = |views: &[Snapshot]| views.iter().map(|view| (view.id, view.values)).collect::<Vec<_>>();
    assert_eq!(values(&in_browser), values(&native), "wasm and native differ for {fields}");
    let whole = |views: &[Snapshot]| {
        views.iter().map(|view| json!(write::view(&view.written(), "", &[]))).collect::<Vec<_>>()
    };
    assert_eq!(whole(&in_browser), whole(&native), "wasm and native explain otherwise for {fields}");
}
