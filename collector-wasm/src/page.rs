//! The border to the snippet: the object that it shares, and entries as JavaScript values.
//!
//! What a field means is written at its place in `js-snippet/src/v.js`.

use js_sys::{Array, Function, JsString, Object};
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::PerformanceObserver;

#[wasm_bindgen]
extern "C" {
    /// What the snippet shares.
    #[wasm_bindgen(extends = Object)]
    #[derive(Clone)]
    pub type Page;

    /// The fields of every beacon.
    #[wasm_bindgen(method, getter, structural)]
    pub fn wire(this: &Page) -> Fields;
    /// The document's first page view.
    #[wasm_bindgen(method, getter, structural)]
    pub fn id(this: &Page) -> String;
    /// Items as arrays.
    #[wasm_bindgen(method, getter, structural)]
    pub fn queue(this: &Page) -> Array;
    /// The snippet's queue, which is empty once the module has it.
    #[wasm_bindgen(method, setter, structural)]
    pub fn set_queue(this: &Page, queue: &Array);
    /// The entry types that this browser lets us observe.
    #[wasm_bindgen(method, getter, structural)]
    pub fn types(this: &Page) -> Array;
    /// The snippet's observer.
    #[wasm_bindgen(method, getter, structural)]
    pub fn observer(this: &Page) -> PerformanceObserver;
    /// Where the snippet's listeners put an item.
    #[wasm_bindgen(method, setter, structural)]
    pub fn set_push(this: &Page, push: &Function);
    /// What sends everything now.
    #[wasm_bindgen(method, setter, structural)]
    pub fn set_flush(this: &Page, flush: &Function);
    /// The function that catches whatever it throws.
    #[wasm_bindgen(method, structural)]
    pub fn safe(this: &Page, run: &Function) -> Function;
    /// Whether a resource entry is that of our own beacon.
    #[wasm_bindgen(method, structural)]
    pub fn own(this: &Page, entry: &Entry) -> bool;
    /// Reads what must be asked for, and flushes.
    #[wasm_bindgen(method, structural)]
    pub fn report(this: &Page);
    /// Sends a body.
    #[wasm_bindgen(method, structural)]
    pub fn send(this: &Page, body: &JsString);
    /// Tells the page's listeners of a value.
    #[wasm_bindgen(method, structural)]
    pub fn tell(this: &Page, name: &str, value: f64, rating: &str);

    /// The fields of every beacon; see [`vitals::beacon::Wire`].
    pub type Fields;

    /// See [`vitals::beacon::Wire::site`].
    #[wasm_bindgen(method, getter, structural)]
    pub fn site(this: &Fields) -> String;
    /// See [`vitals::beacon::Wire::seq`].
    #[wasm_bindgen(method, getter, structural)]
    pub fn seq(this: &Fields) -> u32;
    /// Counts up.
    #[wasm_bindgen(method, setter, structural)]
    pub fn set_seq(this: &Fields, seq: u32);
    /// See [`vitals::beacon::Wire::url`].
    #[wasm_bindgen(method, getter, structural)]
    pub fn url(this: &Fields) -> String;
    /// See [`vitals::beacon::Wire::route`].
    #[wasm_bindgen(method, getter, structural)]
    pub fn route(this: &Fields) -> Option<String>;
    /// See [`vitals::beacon::Wire::device`].
    #[wasm_bindgen(method, getter, structural)]
    pub fn device(this: &Fields) -> Option<String>;
    /// See [`vitals::beacon::Wire::connection`].
    #[wasm_bindgen(method, getter, structural)]
    pub fn connection(this: &Fields) -> Option<String>;
    /// See [`vitals::beacon::Wire::release`].
    #[wasm_bindgen(method, getter, structural)]
    pub fn release(this: &Fields) -> Option<String>;

    /// A `PerformanceEntry` of any type. A number that an entry does not have reads as NaN.
    pub type Entry;

    /// `entryType`
    #[wasm_bindgen(method, getter, structural, js_name = entryType)]
    pub fn entry_type(this: &Entry) -> String;
    /// `name`
    #[wasm_bindgen(method, getter, structural)]
    pub fn name(this: &Entry) -> String;
    /// `startTime`
    #[wasm_bindgen(method, getter, structural, js_name = startTime)]
    pub fn start_time(this: &Entry) -> f64;
    /// `duration`
    #[wasm_bindgen(method, getter, structural)]
    pub fn duration(this: &Entry) -> f64;
    /// `processingStart` of an event.
    #[wasm_bindgen(method, getter, structural, js_name = processingStart)]
    pub fn processing_start(this: &Entry) -> f64;
    /// `interactionId` of an event.
    #[wasm_bindgen(method, getter, structural, js_name = interactionId)]
    pub fn interaction_id(this: &Entry) -> f64;
    /// `value` of a layout shift.
    #[wasm_bindgen(method, getter, structural)]
    pub fn value(this: &Entry) -> f64;
    /// `hadRecentInput` of a layout shift.
    #[wasm_bindgen(method, getter, structural, js_name = hadRecentInput)]
    pub fn had_recent_input(this: &Entry) -> bool;
    /// `responseEnd` of a resource.
    #[wasm_bindgen(method, getter, structural, js_name = responseEnd)]
    pub fn response_end(this: &Entry) -> f64;
    /// `responseStatus` of a resource.
    #[wasm_bindgen(method, getter, structural, js_name = responseStatus)]
    pub fn response_status(this: &Entry) -> f64;
}
