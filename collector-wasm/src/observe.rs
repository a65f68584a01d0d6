//! Performance entries: the only place that touches `PerformanceObserver`.

use crate::lifecycle::Collector;
use crate::page::{Entry, Page};
use js_sys::{Array, Object, Reflect};
use std::cell::RefCell;
use std::rc::Rc;
use vitals::document::Document;
use vitals::entry::{Event, Item};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue, wasm_bindgen};
use web_sys::{PerformanceObserver, PerformanceObserverInit};

/// Shorter events make no INP worth knowing; without it the browser leaves out those under 104 ms.
const EVENT_DURATION_MS_MIN: u32 = 40;

#[wasm_bindgen]
extern "C" {
    /// What an observer's callback gets.
    type EntryList;

    #[wasm_bindgen(method, structural, js_name = getEntries)]
    fn entries(this: &EntryList) -> Array;
}

/// Observes what the snippet observes; `None` where the browser refuses.
pub fn begin(page: &Page, collector: &Rc<RefCell<Collector>>) -> Option<PerformanceObserver> {
    let (caller, target) = (page.clone(), Rc::clone(collector));
    let callback = Closure::<dyn Fn(EntryList)>::new(move |list: EntryList| {
        if let Ok(mut collector) = target.try_borrow_mut() {
            take(&caller, &list.entries(), &mut collector.document);
        }
    });
    // The browser calls this directly, so a failure in it would reach the page.
    let callback = page.safe(callback.into_js_value().unchecked_ref());
    let observer = PerformanceObserver::new(&callback).ok()?;
    for entry_type in page.types().iter() {
        let options = Object::new();
        let set = |key: &str, value: &JsValue| Reflect::set(&options, &key.into(), value).is_ok();
        if set("type", &entry_type) && set("durationThreshold", &EVENT_DURATION_MS_MIN.into()) {
            observer.observe(options.unchecked_ref::<PerformanceObserverInit>());
        }
    }
    Some(observer)
}

/// Takes entries that the observer has and has not told yet.
pub fn drain(page: &Page, observer: &PerformanceObserver, document: &mut Document) {
    take(page, &observer.take_records(), document);
}

fn take(page: &Page, entries: &Array, document: &mut Document) {
    for entry in entries.iter() {
        if let Some(item) = item(page, entry.unchecked_ref()) {
            document.push(&item);
        }
    }
}

/// The item that an entry is; the snippet's `read` does the same.
fn item(page: &Page, entry: &Entry) -> Option<Item> {
    let start = entry.start_time();
    let event = || Event {
        start,
        duration: entry.duration(),
        processing_start: entry.processing_start(),
        // The first input of an older browser has none.
        interaction_id: or_zero(entry.interaction_id()),
    };
    Some(match entry.entry_type().as_str() {
        "paint" if entry.name() == "first-contentful-paint" => Item::FirstContentfulPaint(start),
        "largest-contentful-paint" => Item::LargestContentfulPaint(start),
        "layout-shift" if !entry.had_recent_input() => Item::LayoutShift { start, value: entry.value() },
        "first-input" => Item::FirstInput(event()),
        "event" if entry.interaction_id() > 0.0 => Item::Event(event()),
        "longtask" => Item::LongTask { start, duration: entry.duration() },
        "visibility-state" => Item::Visibility { at: start, hidden: entry.name() == "hidden" },
        "resource" if !page.own(entry) => {
            Item::Resource { start, end: entry.response_end(), status: or_zero(entry.response_status()) }
        }
        _ => return None,
    })
}

fn or_zero(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number }
}
