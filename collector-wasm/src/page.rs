//! The border to the page: what the snippet and the loader share, and reading JavaScript values.
//!
//! Whatever the page has done to an object costs the fact that is read, never more: a property that is missing,
//! throws or is of another type reads as absent. Functions here are never inlined, because each of their many calls
//! would bring the handling of exceptions along.

use js_sys::{Array, Function};
use serde::Serialize as _;
use serde_wasm_bindgen::Serializer;
use std::cell::Cell;
use vitals::beacon::write::Json;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::{Navigator, Performance, Window};

#[wasm_bindgen]
extern "C" {
    /// What `js-snippet/src/loader.js` hands over.
    pub type Page;

    /// Notes that something has failed; returns what has failed so far, a sum of the [`vitals::beacon::errors`] bits.
    #[wasm_bindgen(method, structural)]
    pub fn fail(this: &Page, bits: u32) -> u32;
    /// A function that calls this one and catches everything that it throws.
    #[wasm_bindgen(method, structural)]
    pub fn guard(this: &Page, run: JsValue) -> Function;
    /// Puts these in the place of the snippet's functions: for an item, for an event, for a call.
    #[wasm_bindgen(method, structural)]
    pub fn install(this: &Page, push: &Function, event: &Function, call: &Function);

    #[wasm_bindgen(js_namespace = Reflect, js_name = get, catch)]
    fn reflect_get(target: &JsValue, key: &str, receiver: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = Reflect, js_name = set, catch)]
    fn reflect_set(target: &JsValue, key: &str, value: &JsValue) -> Result<bool, JsValue>;
}

/// Undefined, in one place: a constant would be made and dropped at each use.
pub static NOTHING: JsValue = JsValue::UNDEFINED;

/// The browser's main objects, and the loader's.
pub struct Browser {
    /// What the loader has handed over.
    pub page: Page,
    /// The window.
    pub window: Window,
    /// The window's clock and timeline.
    pub performance: Performance,
    /// The window's navigator.
    pub navigator: Navigator,
    /// The window's document.
    pub document: JsValue,
}

thread_local! {
    static BROWSER: Cell<Option<&'static Browser>> = const { Cell::new(None) };
}

/// Keeps the objects of this window for good. Must come before everything else.
pub fn enter(page: Page) {
    let window = get(&page, "window");
    let browser = Browser {
        page,
        performance: get(&window, "performance").unchecked_into(),
        navigator: get(&window, "navigator").unchecked_into(),
        document: get(&window, "document"),
        window: window.unchecked_into(),
    };
    BROWSER.set(Some(Box::leak(Box::new(browser))));
}

/// The browser's main objects.
#[inline(never)]
pub fn browser() -> &'static Browser {
    // `enter` came first.
    #[expect(clippy::unwrap_used)]
    BROWSER.get().unwrap()
}

/// Milliseconds since the document's time origin.
#[inline(never)]
pub fn now() -> f64 {
    call(&browser().performance, "now", &NOTHING, &NOTHING).as_f64().unwrap_or(0.0)
}

/// A property; undefined where it cannot be read.
#[inline(never)]
pub fn get(object: &JsValue, key: &str) -> JsValue {
    get_of(object, key, object)
}

#[inline(never)]
fn get_of(target: &JsValue, key: &str, receiver: &JsValue) -> JsValue {
    reflect_get(target, key, receiver).unwrap_or(JsValue::UNDEFINED)
}

/// A property by its getter on the prototype of a class, such as `Document`: a page's element of the same name hides
/// that of the object itself.
#[inline(never)]
pub fn get_by(class: &str, object: &JsValue, key: &str) -> JsValue {
    get_of(&get(&get(&browser().window, class), "prototype"), key, object)
}

/// Sets a property, where that can be.
#[inline(never)]
pub fn set(object: &JsValue, key: &str, value: &JsValue) {
    // What cannot be set is absent, as what cannot be read.
    let _ = reflect_set(object, key, value);
}

/// A number; 0 where it is none.
#[inline(never)]
pub fn number(object: &JsValue, key: &str) -> f64 {
    get(object, key).as_f64().unwrap_or(0.0)
}

/// A text; empty where it is none.
#[inline(never)]
pub fn text(object: &JsValue, key: &str) -> String {
    string(&get(object, key))
}

/// A value as text; empty where it is none.
#[inline(never)]
pub fn string(value: &JsValue) -> String {
    value.as_string().unwrap_or_default()
}

/// Whether a property is this text.
#[inline(never)]
pub fn says(object: &JsValue, key: &str, expected: &str) -> bool {
    text(object, key) == expected
}

/// Whether a property is a value that counts as true.
#[inline(never)]
pub fn is(object: &JsValue, key: &str) -> bool {
    get(object, key).is_truthy()
}

/// An array; empty where it is none.
pub fn list(object: &JsValue, key: &str) -> Array {
    array(&get(object, key))
}

/// A value as an array; empty where it is none.
#[inline(never)]
pub fn array(value: &JsValue) -> Array {
    // What has no length has no iterator either.
    if value.is_object() { value.clone().unchecked_into() } else { Array::new() }
}

/// A JavaScript value for the page and the browser, its maps as objects.
#[inline(never)]
pub fn object(value: &Json<'_>) -> JsValue {
    serialized(value, true)
}

/// A JavaScript value for the loader's JSON, its maps as `Map`: an object has no own property `__proto__`.
#[inline(never)]
pub fn map(value: &Json<'_>) -> JsValue {
    serialized(value, false)
}

#[inline(never)]
fn serialized(value: &Json<'_>, objects: bool) -> JsValue {
    let serializer = Serializer::new().serialize_maps_as_objects(objects);
    value.serialize(&serializer).unwrap_or(JsValue::UNDEFINED)
}

/// Calls a method; undefined where it is missing or throws. The browser's functions do not look at arguments beyond
/// theirs.
#[inline(never)]
pub fn call(object: &JsValue, name: &str, first: &JsValue, second: &JsValue) -> JsValue {
    // What is no function throws too.
    let method: Function = get(object, name).unchecked_into();
    method.call2(object, first, second).unwrap_or(JsValue::UNDEFINED)
}

/// Calls a method with one text.
#[inline(never)]
pub fn call_with(object: &JsValue, name: &str, text: &str) -> JsValue {
    call(object, name, &text.into(), &NOTHING)
}

/// A value as text, as JavaScript writes it; empty where it cannot be written.
#[inline(never)]
pub fn written(value: &JsValue) -> String {
    match value.as_string() {
        Some(text) => text,
        None => string(&call(&browser().window, "String", value, &NOTHING)),
    }
}

/// A value as a number, as JavaScript reads it; NaN where it is none.
#[inline(never)]
pub fn counted(value: &JsValue) -> f64 {
    call(&browser().window, "Number", value, &NOTHING).as_f64().unwrap_or(f64::NAN)
}
