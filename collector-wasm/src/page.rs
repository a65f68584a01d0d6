//! Access to the page: its JavaScript values, by number.
//!
//! The values stay in a table of the loader (`js-snippet/src/loader.js`), and the module works with their numbers. A
//! number is free to copy, and the loader empties the table after each call of the module. Values that live longer are
//! named ([`hold`]) or kept ([`keep`]). The loader's functions catch exceptions, because wasm cannot.
//!
//! Whatever the page does to an object, only the fact read from it is lost. A property that is missing, throws or has
//! another type reads as absent.

use crate::names;
pub use crate::value::Js;
use serde::Serialize as _;
use serde_wasm_bindgen::Serializer;
use vitals::beacon::write::{Json, Named, Own};
use vitals::view::ViewId;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    /// Reads a property; nothing if it cannot be read.
    pub fn get(object: Js, name: Js) -> Js;
    /// Reads a property by its getter on the prototype of a class, such as `Document`. A page's element of the same
    /// name may hide the property on the object itself.
    #[wasm_bindgen(js_name = getBy)]
    pub fn get_by(class: Js, object: Js, name: Js) -> Js;
    /// Reads an item of a list.
    pub fn item(list: Js, place: i32) -> Js;
    /// Reads a number; `otherwise` for any other type.
    #[wasm_bindgen(js_name = number)]
    pub fn number_or(object: Js, name: Js, otherwise: f64) -> f64;
    /// Reads a number by JavaScript's conversion; NaN if the property is no number.
    pub fn counted(object: Js, name: Js) -> f64;
    /// Whether a property is truthy.
    pub fn is(object: Js, name: Js) -> bool;
    /// Reads a property that is one of the [`names`]; nothing for any other value.
    pub fn named(object: Js, name: Js) -> Js;
    /// Reads a text; nothing for any other type.
    pub fn text(object: Js, name: Js) -> Js;
    /// Reads a text by JavaScript's conversion; nothing if the conversion fails.
    pub fn spelled(object: Js, name: Js) -> Js;
    /// Whether two values are the same.
    pub fn same(one: Js, other: Js) -> bool;

    /// The part of a text that matches a group, the first of a regular expression; nothing without a match.
    pub fn matched(text: Js, pattern: Js) -> Js;
    /// The begin of a text, in whole characters that take at most so many bytes in UTF-8.
    pub fn cut(text: Js, bytes: i32) -> Js;
    /// Two texts with a sign between them; the first one if the second one is empty.
    pub fn joined(first: Js, sign: Js, second: Js) -> Js;
    /// The place of a text in [`Js::TEXTS`], which is added if it is new; 0 if the list is full.
    pub fn place(text: Js) -> u32;
    /// The place of a URL, which is that of a URL that differs in trailing slashes alone.
    #[wasm_bindgen(js_name = placeUrl)]
    pub fn place_url(url: Js) -> u32;

    /// Sets a property. Ignores failures: a property that cannot be set reads as absent.
    pub fn set(object: Js, name: Js, value: Js);
    /// Calls a method with one or two arguments; nothing if the method is missing or throws. The browser's functions ignore
    /// surplus arguments.
    pub fn call(object: Js, name: Js, first: Js, second: Js) -> Js;
    /// Calls a function. Returns its exception, or nothing.
    pub fn attempt(function: Js, argument: Js) -> Js;
    /// Creates an object of one of the window's classes; nothing if that fails.
    pub fn create(class: Js, argument: Js) -> Js;
    /// Creates an empty object.
    pub fn object() -> Js;
    /// Creates an empty list.
    pub fn list() -> Js;
    /// A number as a value.
    #[wasm_bindgen(js_name = put)]
    pub fn put_number(number: f64) -> Js;

    /// Keeps a value at the place of one of the constants of [`Js`].
    pub fn hold(place: Js, value: Js);
    /// Keeps a value until [`release`]. Returns its lasting number.
    pub fn keep(value: Js) -> Js;
    /// Releases a kept value.
    pub fn release(value: Js);

    /// A value from wasm-bindgen.
    pub fn put(value: JsValue) -> Js;
    /// A value for wasm-bindgen.
    pub fn value(value: Js) -> JsValue;
    /// The JSON of a [`tree`]; nothing if it cannot be written.
    pub fn written(tree: Js) -> Js;
    /// The object that a list of parts describes. `__proto__` is a name like any other.
    pub fn tree(parts: Js) -> Js;

    /// Replaces the snippet's functions for an item, for an event and for a call.
    pub fn install(push: Js, event: Js, call: Js);
    /// Adds the function for an event to the window's listeners. The browser ignores a listener that is already
    /// present.
    pub fn listen(kind: Js);
    /// Records failures. Returns all failures so far, as a sum of the [`vitals::beacon::errors`] bits.
    pub fn fail(bits: i32) -> i32;
    /// Logs to the console in debug mode.
    pub fn say(what: Js, more: Js);

    /// Appends a byte of a view's id to the text at [`Own::ViewId`](vitals::beacon::write::Own::ViewId).
    fn identify(place: usize, byte: u8);
}

/// Reads a number; 0 for any other type.
#[inline(never)]
pub fn number(object: Js, name: Js) -> f64 {
    number_or(object, name, 0.0)
}

/// Reads a number; `None` for any other type, and for NaN.
pub fn some_number(object: Js, name: Js) -> Option<f64> {
    Some(number_or(object, name, f64::NAN)).filter(|number| !number.is_nan())
}

/// Whether a property is this name.
pub fn says(object: Js, name: Js, expected: Js) -> bool {
    named(object, name) == expected
}

/// The items of a list; none for any other value.
pub fn items(object: Js, name: Js) -> impl Iterator<Item = Js> {
    let list = get(object, name);
    (0..length(list)).map(move |place| item(list, place))
}

/// The length of a list; 0 for any other value.
pub fn length(list: Js) -> i32 {
    number(list, names::LENGTH) as i32
}

/// Calls a method with at most one argument.
#[inline(never)]
pub fn call_with(object: Js, name: Js, first: Js) -> Js {
    call(object, name, first, Js::NOTHING)
}

/// `true` or `false` as a value.
pub const fn put_flag(flag: bool) -> Js {
    if flag { Js::TRUE } else { Js::FALSE }
}

/// Milliseconds since the document's time origin.
#[inline(never)]
pub fn now() -> f64 {
    number(call_with(Js::PERFORMANCE, names::NOW, Js::NOTHING), Js::ITSELF)
}

/// The list of parts, for [`tree`].
#[inline(never)]
pub fn parts(json: &Json<u32>) -> Js {
    put(json.parts().serialize(&Serializer::new()).unwrap_or(JsValue::UNDEFINED))
}

/// The one of these values that has a text as its name.
pub fn one_of<T: Named>(all: &[T], text: Js) -> Option<T> {
    all.iter().copied().find(|one| same(placed(one.place()), text))
}

/// The text at a place.
pub fn placed(place: u32) -> Js {
    item(Js::TEXTS, place as i32)
}

/// Writes a view's id. Returns the place of its text, which is that of every id.
pub fn place_id(id: ViewId) -> u32 {
    for (place, byte) in id.as_bytes().iter().enumerate() {
        identify(place, *byte);
    }
    Own::ViewId as u32
}
