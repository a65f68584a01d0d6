//! Access to the page: the functions shared with the snippet and the loader, and safe reads of JavaScript values.
//!
//! Whatever the page does to an object, only the fact read from it is lost. A property that is missing, throws or has
//! another type reads as absent. The functions here are never inlined, because each of their many calls would add its
//! own exception handling.

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
    /// The object that `js-snippet/src/loader.js` passes to the module.
    pub type Page;

    /// Records failures. Returns all failures so far, as a sum of the [`vitals::beacon::errors`] bits.
    #[wasm_bindgen(method, structural)]
    pub fn fail(this: &Page, bits: u32) -> u32;
    /// Wraps a function. The wrapper catches all exceptions.
    #[wasm_bindgen(method, structural)]
    pub fn guard(this: &Page, run: JsValue) -> Function;
    /// Replaces the snippet's functions for an item, for an event and for a call.
    #[wasm_bindgen(method, structural)]
    pub fn install(this: &Page, push: &Function, event: &Function, call: &Function);

    #[wasm_bindgen(js_namespace = Reflect, js_name = get, catch)]
    fn reflect_get(target: &JsValue, key: &str, receiver: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = Reflect, js_name = set, catch)]
    fn reflect_set(target: &JsValue, key: &str, value: &JsValue) -> Result<bool, JsValue>;
}

/// Undefined, as a static. A constant would be created and dropped at each use.
pub static NOTHING: JsValue = JsValue::UNDEFINED;

/// The browser's main objects, and the loader's object.
pub struct Browser {
    /// The loader's object.
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

/// Stores the objects of this window for the life of the page. Must run before every other function.
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
    // `enter` has run before.
    #[expect(clippy::unwrap_used)]
    BROWSER.get().unwrap()
}

/// Milliseconds since the document's time origin.
#[inline(never)]
pub fn now() -> f64 {
    call(&browser().performance, "now", &NOTHING, &NOTHING).as_f64().unwrap_or(0.0)
}

/// Reads a property; undefined if it cannot be read.
#[inline(never)]
pub fn get(object: &JsValue, key: &str) -> JsValue {
    get_of(object, key, object)
}

#[inline(never)]
fn get_of(target: &JsValue, key: &str, receiver: &JsValue) -> JsValue {
    reflect_get(target, key, receiver).unwrap_or(JsValue::UNDEFINED)
}

/// Reads a property by its getter on the prototype of a class, such as `Document`. A page's element of the same name
/// may hide the property on the object itself.
#[inline(never)]
pub fn get_by(class: &str, object: &JsValue, key: &str) -> JsValue {
    get_of(&get(&get(&browser().window, class), "prototype"), key, object)
}

/// Sets a property. Ignores failures.
#[inline(never)]
pub fn set(object: &JsValue, key: &str, value: &JsValue) {
    // A property that cannot be set reads as absent.
    let _ = reflect_set(object, key, value);
}

/// Reads a number; 0 for any other type.
#[inline(never)]
pub fn number(object: &JsValue, key: &str) -> f64 {
    get(object, key).as_f64().unwrap_or(0.0)
}

/// Reads a text; empty for any other type.
#[inline(never)]
pub fn text(object: &JsValue, key: &str) -> String {
    string(&get(object, key))
}

/// A value as text; empty for any other type.
#[inline(never)]
pub fn string(value: &JsValue) -> String {
    value.as_string().unwrap_or_default()
}

/// Whether a property equals this text.
#[inline(never)]
pub fn says(object: &JsValue, key: &str, expected: &str) -> bool {
    text(object, key) == expected
}

/// Whether a property is truthy.
#[inline(never)]
pub fn is(object: &JsValue, key: &str) -> bool {
    get(object, key).is_truthy()
}

/// Reads an array; empty for any value that is not an object.
pub fn list(object: &JsValue, key: &str) -> Array {
    array(&get(object, key))
}

/// A value as an array; empty for any value that is not an object.
#[inline(never)]
pub fn array(value: &JsValue) -> Array {
    // An object without a length is safe, because its iterator is empty.
    if value.is_object() { value.clone().unchecked_into() } else { Array::new() }
}

/// Converts to a JavaScript value for the page and the browser. Maps become objects.
#[inline(never)]
pub fn object(value: &Json<'_>) -> JsValue {
    serialized(value, true)
}

/// Converts to a JavaScript value for the loader's JSON. Maps become `Map`s, because an object cannot have an own
/// property `__proto__`.
#[inline(never)]
pub fn map(value: &Json<'_>) -> JsValue {
    serialized(value, false)
}

#[inline(never)]
fn serialized(value: &Json<'_>, objects: bool) -> JsValue {
    let serializer = Serializer::new().serialize_maps_as_objects(objects);
    value.serialize(&serializer).unwrap_or(JsValue::UNDEFINED)
}

/// Calls a method with two arguments; undefined if the method is missing or throws. The browser's functions ignore
/// surplus arguments.
#[inline(never)]
pub fn call(object: &JsValue, name: &str, first: &JsValue, second: &JsValue) -> JsValue {
    // Calling a value that is not a function throws too.
    let method: Function = get(object, name).unchecked_into();
    method.call2(object, first, second).unwrap_or(JsValue::UNDEFINED)
}

/// Calls a method with one text.
#[inline(never)]
pub fn call_with(object: &JsValue, name: &str, text: &str) -> JsValue {
    call(object, name, &text.into(), &NOTHING)
}

/// A value as text by JavaScript's conversion; empty if the conversion fails.
#[inline(never)]
pub fn written(value: &JsValue) -> String {
    match value.as_string() {
        Some(text) => text,
        None => string(&call(&browser().window, "String", value, &NOTHING)),
    }
}

/// A value as a number by JavaScript's conversion; NaN if it is not a number.
#[inline(never)]
pub fn counted(value: &JsValue) -> f64 {
    call(&browser().window, "Number", value, &NOTHING).as_f64().unwrap_or(f64::NAN)
}
