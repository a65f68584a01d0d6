//! What explains a value: selectors of elements, URLs of images and scripts.

use crate::names;
use crate::page::{
    Js, cut, get, get_by, is, item, items, joined, matched, number, place, same, some_number, text,
};
use vitals::entry::{Detail, Item};
use vitals::limits::{RESOURCE_URL_BYTES_MAX, SELECTOR_BYTES_MAX};

/// `Node.ELEMENT_NODE`.
const ELEMENT: f64 = 1.0;
/// `Node.DOCUMENT_NODE`.
const DOCUMENT: f64 = 9.0;
/// Number of an element's classes in a selector.
const CLASSES: i32 = 2;
/// Bytes of a selector.
const SELECTOR_BYTES: i32 = SELECTOR_BYTES_MAX as i32;

/// Tags, ids and classes from the element up to the nearest id; never text. Properties are read by the getters of
/// the DOM, as the fields of a form hide its own.
pub fn selector(element: Js) -> Js {
    let mut path = Js::NOTHING;
    let mut node = element;
    while node.exists() && same(cut(path, SELECTOR_BYTES - 1), path) {
        let kind =
            some_number(get_by(names::NODE_CLASS, node, names::NODE_TYPE), Js::ITSELF).unwrap_or(DOCUMENT);
        if kind == DOCUMENT {
            break;
        }
        let parent = get_by(names::NODE_CLASS, node, names::PARENT_NODE);
        if kind == ELEMENT {
            let below = path;
            let of_element = |name| text(get_by(names::ELEMENT_CLASS, node, name), Js::ITSELF);
            let id = of_element(names::ID);
            if id.exists() {
                path = joined(Js::NOTHING, names::HASH, id);
            } else {
                path = of_element(names::LOCAL_NAME);
                let classes = get_by(names::ELEMENT_CLASS, node, names::CLASS_LIST);
                for number in 0..CLASSES {
                    path = joined(path, names::DOT, text(item(classes, number), Js::ITSELF));
                }
            }
            path = joined(path, names::ABOVE, below);
            if id.exists() {
                break;
            }
        }
        node = parent;
    }
    cut(path, SELECTOR_BYTES)
}

/// A resource's URL without query and fragment; of one with its content inside, the scheme.
pub fn bare_url(url: Js) -> Js {
    cut(matched(url, names::RESOURCE_URL), RESOURCE_URL_BYTES_MAX as i32)
}

/// A text without whitespace around it.
pub fn trim(text: Js) -> Js {
    matched(text, names::TRIMMED)
}

/// The explanation of an entry's fact. `target` is the element as the snippet saw it, before the page could
/// remove it.
pub fn detail(item: &Item<u32>, entry: Js, target: Js) -> Option<Detail<u32>> {
    let start = number(entry, names::START_TIME);
    Some(match item {
        Item::LargestContentfulPaint(_) => paint(start, entry, element(entry, target)),
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
            Detail::shift(start, *value, place(selector(node)))
        }
        Item::FirstInput(event) | Item::Event(event) if event.interaction_id > 0.0 => Detail::event(
            start,
            event.duration,
            [event.processing_start, number(entry, names::PROCESSING_END)],
            place(selector(element(entry, target))),
            place(text(entry, names::NAME)),
        ),
        _ => return None,
    })
}

/// The element of an entry, or else the element as the snippet saw it.
#[inline(never)]
fn element(entry: Js, seen: Js) -> Js {
    let mut element = seen;
    for name in [names::ELEMENT, names::TARGET] {
        if !element.exists() {
            element = get(entry, name);
        }
    }
    element
}

/// A largest paint; the times of its image come later.
pub fn paint(start: f64, entry: Js, element: Js) -> Detail<u32> {
    let (target, url) = (place(selector(element)), place(bare_url(text(entry, names::URL))));
    Detail::paint(start, 0.0, 0.0, target, url)
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
pub fn script(entry: Js) -> Option<Detail<u32>> {
    let (script_duration, script) = largest(entry, names::SCRIPTS, |script| number(script, names::DURATION));
    if script_duration < 0.0 {
        return None;
    }
    let mut url = bare_url(text(script, names::SOURCE_URL));
    if !url.exists() {
        url = text(script, names::INVOKER_TYPE);
    }
    let (start, duration) = (number(entry, names::START_TIME), number(entry, names::DURATION));
    Some(Detail::script(start, duration, script_duration, place(url)))
}
