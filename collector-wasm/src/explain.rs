//! What explains a value: selectors of elements, URLs of images and scripts.

use crate::names;
use crate::page::{Js, get, get_by, is, item, items, number, some_number, string, text};
use crate::texts::Texts;
use vitals::entry::{Detail, Item};
use vitals::limits::{RESOURCE_URL_BYTES_MAX, SELECTOR_BYTES_MAX};

/// `Node.ELEMENT_NODE`.
const ELEMENT: f64 = 1.0;
/// `Node.DOCUMENT_NODE`.
const DOCUMENT: f64 = 9.0;
/// Number of an element's classes in a selector.
const CLASSES: i32 = 2;

/// Tags, ids and classes from the element up to the nearest id; never text. Properties are read by the getters of
/// the DOM, as the fields of a form hide its own.
pub fn selector(element: Js) -> String {
    let mut path = String::new();
    let mut node = element;
    while node.exists() && path.len() < SELECTOR_BYTES_MAX {
        let kind =
            some_number(get_by(names::NODE_CLASS, node, names::NODE_TYPE), Js::ITSELF).unwrap_or(DOCUMENT);
        if kind == DOCUMENT {
            break;
        }
        let parent = get_by(names::NODE_CLASS, node, names::PARENT_NODE);
        if kind == ELEMENT {
            let below = std::mem::take(&mut path);
            let id = string(get_by(names::ELEMENT_CLASS, node, names::ID));
            if id.is_empty() {
                path = string(get_by(names::ELEMENT_CLASS, node, names::LOCAL_NAME));
                let classes = get_by(names::ELEMENT_CLASS, node, names::CLASS_LIST);
                for place in 0..CLASSES {
                    append(&mut path, ".", &string(item(classes, place)));
                }
            } else {
                append(&mut path, "#", &id);
            }
            append(&mut path, ">", &below);
            if !id.is_empty() {
                break;
            }
        }
        node = parent;
    }
    cut(path, SELECTOR_BYTES_MAX)
}

/// Appends a text, if there is one, behind a sign.
#[inline(never)]
fn append(path: &mut String, sign: &str, text: &str) {
    if !text.is_empty() {
        path.push_str(sign);
        path.push_str(text);
    }
}

/// A resource's URL without query and fragment; of one with its content inside, the scheme.
#[inline(never)]
pub fn bare_url(url: String) -> String {
    let bare = if url.starts_with("http") {
        without_query(&url)
    } else {
        until(&url, |byte| !byte.is_ascii_alphanumeric())
    };
    let end = bare.len().min(RESOURCE_URL_BYTES_MAX);
    cut(url, end)
}

/// A URL without query and fragment.
pub fn without_query(url: &str) -> &str {
    until(url, |byte| matches!(byte, b'?' | b'#'))
}

/// The beginning of a text, up to the first ASCII character that ends it.
#[inline(never)]
fn until(text: &str, ends: fn(u8) -> bool) -> &str {
    let end = text.bytes().position(ends).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// A text before and behind the first of an ASCII character; `None` behind where there is none.
#[inline(never)]
pub fn split(text: &str, at: u8) -> (&str, Option<&str>) {
    match text.bytes().position(|byte| byte == at) {
        Some(end) => (text.get(..end).unwrap_or_default(), text.get(end + 1..)),
        None => (text, None),
    }
}

/// A text without ASCII whitespace around it.
#[inline(never)]
pub fn trim(text: &str) -> &str {
    text.trim_ascii()
}

/// The beginning of a text, in whole characters.
#[inline(never)]
pub fn cut(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
}

/// The beginning of a text, by characters.
#[inline(never)]
pub fn cut_characters(text: String, characters: usize) -> String {
    let mut left = characters;
    let mut end = 0;
    for byte in text.bytes() {
        // The bytes of a character after its first begin with 10.
        if byte & 0xc0 != 0x80 {
            if left == 0 {
                break;
            }
            left -= 1;
        }
        end += 1;
    }
    cut(text, end)
}

/// What explains the fact that an entry is. `target` is the element as the snippet saw it, before the page could
/// remove it.
pub fn detail(texts: &mut Texts, item: &Item<u32>, entry: Js, target: Js) -> Option<Detail<u32>> {
    let start = number(entry, names::START_TIME);
    let element = || {
        let mut element = target;
        for name in [names::ELEMENT, names::TARGET] {
            if !element.exists() {
                element = get(entry, name);
            }
        }
        element
    };
    Some(match item {
        Item::LargestContentfulPaint(_) => paint(texts, start, entry, element()),
        Item::LayoutShift { value, .. } => {
            let (_, source) = largest(entry, names::SOURCES, |source| {
                let rect = get(source, names::CURRENT_RECT);
                if is(source, names::NODE) {
                    number(rect, names::WIDTH) * number(rect, names::HEIGHT)
                } else {
                    -1.0
                }
            });
            let node = get(source, names::NODE);
            Detail::Shift { start, value: *value, target: texts.place(selector(node)) }
        }
        Item::FirstInput(event) | Item::Event(event) if event.interaction_id > 0.0 => Detail::Event {
            start,
            duration: event.duration,
            processing_start: event.processing_start,
            processing_end: number(entry, names::PROCESSING_END),
            target: texts.place(selector(element())),
            name: texts.place(text(entry, names::NAME)),
        },
        _ => return None,
    })
}

/// A largest paint; the times of its image come later.
pub fn paint(texts: &mut Texts, start: f64, entry: Js, element: Js) -> Detail<u32> {
    let (target, url) = (texts.place(selector(element)), texts.place(bare_url(text(entry, names::URL))));
    Detail::Paint { start, request_start: 0.0, response_end: 0.0, target, url }
}

/// The largest of a list of an entry's, with its size; of an empty list nothing, and -1.
#[inline(never)]
fn largest(entry: Js, name: Js, size: fn(Js) -> f64) -> (f64, Js) {
    let mut largest = (-1.0, Js::NOTHING);
    for one in items(entry, name) {
        let size = size(one);
        if size > largest.0 {
            largest = (size, one);
        }
    }
    largest
}

/// The longest script of a long animation frame.
pub fn script(texts: &mut Texts, entry: Js) -> Option<Detail<u32>> {
    let (script_duration, script) = largest(entry, names::SCRIPTS, |script| number(script, names::DURATION));
    if script_duration < 0.0 {
        return None;
    }
    let mut url = bare_url(text(script, names::SOURCE_URL));
    if url.is_empty() {
        url = text(script, names::INVOKER_TYPE);
    }
    Some(Detail::Script {
        start: number(entry, names::START_TIME),
        duration: number(entry, names::DURATION),
        script_duration,
        url: texts.place(url),
    })
}
