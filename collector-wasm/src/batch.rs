//! Finds the page views that changed since the last report, and writes them as beacon bodies.

use crate::context::{cpu, memory};
use crate::options::Options;
use crate::page::{NOTHING, browser, call, call_with, get, is, map, now, number, string, text};
use crate::state::Collector;
use js_sys::Array;
use vitals::beacon::write;
use vitals::beacon::{DROPPED_URL, Wire};
use vitals::limits::BODY_BYTES_MAX;
use vitals::metric::Value;
use vitals::view::{Device, ViewId, Viewport};
use wasm_bindgen::prelude::JsValue;

/// The last report, and the page's marks.
#[derive(Default)]
pub struct Batch {
    /// The page views of the last report, as JSON.
    reported: Vec<JsValue>,
    /// Marks set by the page, by view.
    pub marks: Vec<(ViewId, String, Value)>,
}

impl Collector {
    /// Sends the changed page views, if sending is allowed.
    pub fn report(&mut self) {
        self.reported = self.document.begun();
        self.cancel();
        let may_send = self.may_send();
        for body in self.news(may_send) {
            if may_send {
                self.send(&body);
            }
        }
    }

    /// Whether page views may be sent. Sends nothing if the page's hook dropped the document's URL.
    pub fn may_send(&self) -> bool {
        self.consent.may_send() && !self.url.is_empty()
    }

    /// The bodies that a report would send now. The last report stays as it is.
    pub fn draft(&mut self) -> Vec<JsValue> {
        self.news(false)
    }

    /// The bodies of the views that differ from the last report. With `told`, these views become the last report.
    fn news(&mut self, told: bool) -> Vec<JsValue> {
        let mut all = Vec::new();
        let news = Array::new();
        self.read_fetch();
        let mut views = self.document.snapshots(now());
        let is_there = |id: &ViewId| views.iter().any(|view| view.id == *id);
        self.batch.marks.retain(|(id, ..)| is_there(id));
        for listener in &mut self.listeners {
            listener.told.retain(|(id, _)| is_there(id));
        }
        for view in &mut views {
            if self.consent.quiet {
                (view.engaged, view.first_input_ms) = (None, None);
            }
            let id = view.id.text();
            let value = map(&write::view(view, &id, &self.batch.marks, &|place| self.texts.text(*place)));
            self.tell_listeners(view, &id);
            let json = json(&value);
            if !json.is_string() || self.texts.text(view.url.unwrap_or_default()) == DROPPED_URL {
                continue;
            }
            if !self.batch.reported.contains(&json) {
                news.push(&value);
            }
            all.push(json);
        }
        let mut bodies = Vec::new();
        self.bodies(&news, &mut bodies);
        if told {
            self.batch.reported = all;
        }
        bodies
    }

    /// Appends the bodies of these views. Splits the views while a body is larger than [`BODY_BYTES_MAX`].
    fn bodies(&mut self, views: &Array, bodies: &mut Vec<JsValue>) {
        let count = views.length();
        if count == 0 {
            return;
        }
        let body = self.body(views);
        if count > 1 && string(&body).len() > BODY_BYTES_MAX {
            self.bodies(&views.slice(0, count / 2), bodies);
            self.bodies(&views.slice(count / 2, count), bodies);
        } else if body.is_string() {
            bodies.push(body);
        }
    }

    /// The body of these views; undefined if it cannot be written.
    fn body(&mut self, views: &JsValue) -> JsValue {
        self.seq += 1;
        let navigator = &browser().navigator;
        let network = get(navigator, "connection");
        let (connection, release) = (text(&network, "effectiveType"), Self::release());
        let told = !self.consent.quiet;
        let wire = Wire {
            site: &self.options.site,
            seq: self.seq,
            url: &self.url,
            route: "",
            device: Some(device()),
            connection: &connection,
            rtt_ms: get(&network, "rtt").as_f64().filter(|_| told),
            memory: memory().filter(|_| told),
            cpu: cpu().filter(|_| told),
            release: &release,
            viewport: Some(viewport()),
            tags: if self.consent.quiet { &[] } else { &self.tags },
            sample: Some(self.options.share()),
            errors: browser().page.fail(0),
            webdriver: is(navigator, "webdriver"),
            views: Vec::new(),
        };
        let beacon = map(&wire.json());
        call(&beacon, "set", &"views".into(), views);
        json(&beacon)
    }

    /// The release of the script tag; otherwise the page's first `<meta name="release">`.
    fn release() -> String {
        let named = Options::text("release");
        if named.is_empty() {
            text(&call_with(&browser().document, "querySelector", "meta[name=release]"), "content")
        } else {
            named
        }
    }
}

/// The JSON of a value; undefined on failure. Uses the loader's function, because pages may replace `JSON` and its
/// prototypes.
fn json(value: &JsValue) -> JsValue {
    call(&browser().page, "json", value, &NOTHING)
}

/// The device class, from the primary pointer and the shorter side of the screen.
fn device() -> Device {
    let window = &browser().window;
    if !is(&call_with(window, "matchMedia", "(pointer:coarse)"), "matches") {
        return Device::Desktop;
    }
    let screen = get(window, "screen");
    if number(&screen, "width").min(number(&screen, "height")) < Device::TABLET_SIDE_MIN {
        Device::Phone
    } else {
        Device::Tablet
    }
}

fn viewport() -> Viewport {
    match number(&browser().window, "innerWidth") {
        width if width < Viewport::MEDIUM_WIDTH_MIN => Viewport::Small,
        width if width < Viewport::LARGE_WIDTH_MIN => Viewport::Medium,
        _ => Viewport::Large,
    }
}
