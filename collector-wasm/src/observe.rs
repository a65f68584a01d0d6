//! Observes performance entries. Only this module creates a `PerformanceObserver`.

use crate::explain::{self, cut};
use crate::limits::EXPLAINING_TEXTS_MAX;
use crate::page::{
    NOTHING, array, browser, call, call_with, get, get_by, is, now, number, object, says, text,
};
use crate::signal::{Signal, callback};
use crate::state::Collector;
use js_sys::Array;
use vitals::beacon::write::{Json, Object};
use vitals::entry::{Detail, Item, NUMBERS_MAX, TEXTS_MAX};
use vitals::limits::{ROUTE_BYTES_MAX, URL_BYTES_MAX};
use vitals::view::{NavigationType, ViewId};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::JsValue;
use web_sys::PerformanceObserver;

/// Minimum duration of observed events, in milliseconds. Shorter events do not matter for INP. The browser's default
/// would miss events under 104 ms.
const EVENT_DURATION_MS_MIN: f64 = 40.0;
/// Time for entries in one task, in milliseconds. A task of 50 ms or more delays the page's input. A single entry with
/// its explanation can take 10 ms on a slow phone.
const SLICE_MS: f64 = 10.0;

/// The observed entry types: first the snippet's types, in the order of its kinds from 1 on, then the module's own.
const TYPES: [&str; 11] = [
    "paint",
    "largest-contentful-paint",
    "layout-shift",
    "first-input",
    "event",
    "longtask",
    "resource",
    "visibility-state",
    "long-animation-frame",
    "soft-navigation",
    "interaction-contentful-paint",
];
/// The kind of a name that the page has set. Its text is a route.
const NAMED: f64 = 21.0;
/// Number of types that the snippet observes already.
const KNOWN: usize = 8;
/// The classes of the snippet's entry types. They show the support of a type if another script has replaced the
/// browser's observer and does not list the supported types.
const CLASSES: [&str; KNOWN] = [
    "PerformancePaintTiming",
    "LargestContentfulPaint",
    "LayoutShift",
    "PerformanceEventTiming",
    "PerformanceEventTiming",
    "PerformanceLongTaskTiming",
    "PerformanceResourceTiming",
    "VisibilityStateEntry",
];

impl Collector {
    /// Observes every entry type that the browser supports.
    pub fn observe(&mut self) {
        let window = &browser().window;
        let Ok(observer) = PerformanceObserver::new(&callback(Signal::Observed)) else { return };
        let supported = get(&get(window, "PerformanceObserver"), "supportedEntryTypes");
        let is_told = supported.is_object();
        let mut support = 0;
        for (place, name) in TYPES.into_iter().enumerate() {
            let class = CLASSES.get(place).is_some_and(|class| is(window, class));
            if if is_told { call_with(&supported, "includes", name).is_truthy() } else { class } {
                let mut options = Object::default();
                options.text("type", name);
                // Reads from the browser's buffer the types that the snippet has not observed.
                options.flag("buffered", place >= KNOWN || !is_told);
                options.number("durationThreshold", EVENT_DURATION_MS_MIN);
                call(&observer, "observe", &object(&Json::Object(options)), &NOTHING);
                support |= u32::from(class) << place;
            }
        }
        if !is_told {
            self.take(&Item::Support(support));
        }
        self.observer = Some(observer);
    }
}

/// The entries in an observer's callback.
pub fn entries(list: &JsValue) -> Array {
    array(&call(list, "getEntries", &NOTHING, &NOTHING))
}

impl Collector {
    /// Takes all entries, those that the observer has not delivered included.
    pub fn drain(&mut self) {
        if let Some(observer) = &self.observer {
            // An observer replaced by another script may lack the method.
            self.pending.push(array(&call(observer, "takeRecords", &NOTHING, &NOTHING)));
        }
        self.settle();
    }

    /// Takes all pending entries, and ends the takeover.
    pub fn settle(&mut self) {
        self.take_pending(f64::INFINITY);
        if !self.is_ready {
            self.ready();
        }
    }

    /// Takes pending entries for about [`SLICE_MS`]. Takes all of them if the page is hidden, because it may end.
    pub fn slice(&mut self) {
        if self.hidden || (!self.is_ready && self.pending.is_empty()) {
            self.settle();
        } else {
            self.take_pending(now() + SLICE_MS);
            self.request_slice();
        }
    }

    /// Requests a frame for the next slice if anything is pending. A page without frames is settled by its next event
    /// or report.
    pub fn request_slice(&mut self) {
        if !self.is_slice_due && (!self.is_ready || !self.pending.is_empty()) {
            self.is_slice_due = true;
            let _ = browser().window.request_animation_frame(&callback(Signal::Slice));
        }
    }

    /// Takes pending entries until a moment.
    fn take_pending(&mut self, until: f64) {
        while let Some(entries) = self.pending.first() {
            if self.taken < entries.length() {
                let entry = entries.get(self.taken);
                self.taken += 1;
                self.take_one(&entry);
                if now() > until {
                    return;
                }
            } else {
                self.pending.remove(0);
                self.taken = 0;
            }
        }
    }

    /// Takes an item of the snippet's queue, or an entry.
    fn take_one(&mut self, entry: &JsValue) {
        match text(entry, "entryType").as_str() {
            "" => {
                if let Some(item) = self.queued(entry) {
                    self.entry(&item, &get(entry, "entry"), &get(entry, "target"));
                }
            }
            "long-animation-frame" => self.script(entry),
            "soft-navigation" => self.soft_navigation(entry),
            "interaction-contentful-paint" => self.soft_paint(entry),
            kind => {
                if let Some(item) = item(kind, entry) {
                    self.entry(&item, entry, &NOTHING);
                }
            }
        }
    }

    /// Takes an entry as a fact, and the details that explain it.
    pub fn entry(&mut self, item: &Item<u32>, entry: &JsValue, target: &JsValue) {
        match item {
            // An event without an interaction does not count for INP.
            Item::Event(event) if event.interaction_id == 0.0 => return,
            // The page does not wait for a beacon, so a beacon is no resource of the page.
            Item::Resource { .. }
                if says(entry, "initiatorType", "beacon") || get(entry, "name") == self.endpoint =>
            {
                return;
            }
            _ => {}
        }
        self.take(item);
        // The browser may report an interaction only after the page was hidden. No later event may follow, so a
        // microtask reports it.
        if self.hidden && !self.late && matches!(item, Item::FirstInput(_) | Item::Event(_)) {
            self.late = true;
            call(&browser().window, "queueMicrotask", &callback(Signal::Late), &NOTHING);
        }
        if entry.is_object()
            && self.explains()
            && let Some(detail) = explain::detail(&mut self.texts, item, entry, target)
        {
            if let Detail::Paint { .. } = detail {
                self.paint = Some((text(entry, "url"), detail));
            }
            self.take(&Item::Detail(detail));
        }
    }

    /// Whether to collect explanations. Collects none for visitors who opt out, and none beyond the limit of texts.
    pub fn explains(&self) -> bool {
        !self.consent.quiet && self.texts.count() < EXPLAINING_TEXTS_MAX
    }

    fn script(&mut self, entry: &JsValue) {
        if self.explains()
            && let Some(detail) = explain::script(&mut self.texts, entry)
        {
            self.take(&Item::Detail(detail));
        }
    }

    /// Reads the values that the browser gives only on request.
    pub fn ask(&mut self) {
        let performance = &browser().performance;
        let entry = get(&call_with(performance, "getEntriesByType", "navigation"), "0");
        if entry.is_object() {
            let mut numbers = NAVIGATION.map(|name| number(&entry, name));
            numbers[NAVIGATION_TYPE] = match text(&entry, "type").as_bytes().first() {
                _ if get_by("Document", &browser().document, "wasDiscarded").is_truthy() => RESTORE,
                Some(b'n') => 0.0,
                Some(b'r') => 1.0,
                Some(b'b') => 2.0,
                _ => -1.0,
            };
            if let Some(item) = fact(0, &numbers, [0; TEXTS_MAX]) {
                self.take(&item);
            }
        }
        self.count();
        if let Some((url, Detail::Paint { start, target, url: bare, .. })) = &self.paint
            && !url.is_empty()
        {
            let images = call(performance, "getEntriesByName", &url.into(), &"resource".into());
            let image = call(&images, "pop", &NOTHING, &NOTHING);
            if image.is_object() {
                let requested = number(&image, "requestStart");
                let request_start = if requested > 0.0 { requested } else { number(&image, "startTime") };
                let (start, target, url) = (*start, *target, *bare);
                let response_end = number(&image, "responseEnd");
                self.take(&Item::Detail(Detail::Paint { start, request_start, response_end, target, url }));
            }
        }
    }

    /// Reads the number of interactions.
    pub fn count(&mut self) {
        if let Some(count) = get(&browser().performance, "interactionCount").as_f64() {
            self.take(&Item::InteractionCount { at: now(), count });
        }
    }

    /// Parses an item of the snippet: `[kind, numbers…, texts…]`.
    pub fn queued(&mut self, fields: &JsValue) -> Option<Item<u32>> {
        let mut numbers = [0.0; NUMBERS_MAX + 1];
        let mut texts = [0; TEXTS_MAX];
        let (mut number_slots, mut text_slots) = (numbers.iter_mut(), texts.iter_mut());
        let bytes_max = if number(fields, "0") == NAMED { ROUTE_BYTES_MAX } else { URL_BYTES_MAX };
        for field in fields.unchecked_ref::<Array>().iter() {
            match field.as_f64() {
                Some(number) => *number_slots.next()? = number,
                None => *text_slots.next()? = self.texts.url(cut(field.as_string()?, bytes_max)),
            }
        }
        let [kind, numbers @ ..] = numbers;
        fact(kind as u8, &numbers, texts)
    }
}

/// The fields of a navigation entry, in the order of an item's numbers.
const NAVIGATION: [&str; NUMBERS_MAX] =
    ["responseStart", "activationStart", "domContentLoadedEventEnd", "", "responseEnd", "domComplete"];
/// The index of the navigation type in these fields.
const NAVIGATION_TYPE: usize = 3;
/// The navigation type of a discarded page.
const RESTORE: f64 = NavigationType::Restore as u8 as f64;

/// Converts an entry to an item. The snippet's `read` does the same for its queue.
fn item(kind: &str, entry: &JsValue) -> Option<Item<u32>> {
    let place = TYPES.iter().position(|known| *known == kind)?;
    if says(entry, "name", "first-paint") || is(entry, "hadRecentInput") {
        return None;
    }
    let second = match kind {
        "layout-shift" => "value",
        "resource" => "responseEnd",
        _ => "duration",
    };
    let third = number(entry, "processingStart")
        + number(entry, "responseStatus")
        + f64::from(says(entry, "name", "hidden"));
    let numbers =
        [number(entry, "startTime"), number(entry, second), third, number(entry, "interactionId"), 0.0, 0.0];
    fact(place as u8 + 1, &numbers, [0; TEXTS_MAX])
}

#[inline(never)]
fn fact(kind: u8, numbers: &[f64; NUMBERS_MAX], texts: [u32; TEXTS_MAX]) -> Option<Item<u32>> {
    Item::from_fields(kind, numbers, None::<ViewId>, texts)
}
