//! The module: [`vitals::document::Document`] in the browser, with a border of numbers alone.
//!
//! The glue (`js-snippet/src/collector.js`) owns what JavaScript does in fewer bytes: listeners, texts,
//! JSON, sending. It tells facts by [`push`] and asks by [`report`], which answers through `emit`, one number
//! after the other. A text is the number of its place in the glue's table, 0 the empty one; so is a view's id.

use std::cell::RefCell;
use vitals::document::Document;
use vitals::entry::Item;
use vitals::metric::Metric;
use vitals::view::{Snapshot, ViewId};
use wasm_bindgen::prelude::wasm_bindgen;

/// The standard library's allocator is a fifth of the module; this one keeps a list of free blocks.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: lol_alloc::LockedAllocator<lol_alloc::FreeListAllocator> =
    lol_alloc::LockedAllocator::new(lol_alloc::FreeListAllocator::new());

/// Absent, where a number is expected: no number of a view is negative.
const ABSENT: f64 = -1.0;

thread_local! {
    static DOCUMENT: RefCell<Option<Document<u32>>> = const { RefCell::new(None) };
}

#[wasm_bindgen]
extern "C" {
    /// Takes the next number of a report.
    fn emit(number: f64);
}

/// Begins with the document whose first page view has the id of this number.
#[wasm_bindgen]
pub fn begin(id: u32) {
    DOCUMENT.with_borrow_mut(|document| *document = Some(Document::new(ViewId::stand_in(id))));
}

/// Takes an item: its kind, numbers and texts as [`vitals::entry`] says. Missing ones are 0.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments, reason = "an array would need an allocation on both sides")]
pub fn push(kind: u8, a: f64, b: f64, c: f64, d: f64, e: f64, f: f64, first: u32, second: u32, third: u32) {
    let id = Some(ViewId::stand_in(first));
    let item = Item::from_fields(kind, &[a, b, c, d, e, f], id, [first, second, third]);
    DOCUMENT.with_borrow_mut(|document| {
        if let (Some(document), Some(item)) = (document, item) {
            document.push(&item);
        }
    });
}

/// Emits every page view as it stands at `now`, each in as many numbers as the glue's `decode` reads.
#[wasm_bindgen]
pub fn report(now: f64) {
    DOCUMENT.with_borrow(|document| {
        for view in document.iter().flat_map(|document| document.snapshots(now)) {
            emit_view(&view);
        }
    });
}

fn emit_view(view: &Snapshot<u32>) {
    let text = |text: u32| emit(text.into());
    text(view.id.number());
    text(view.url.unwrap_or_default());
    text(view.route.unwrap_or_default());
    text(view.navigation_type.map_or(0, |kind| kind as u32));
    emit(view.tti_gap.map_or(ABSENT, |gap| f64::from(gap as u8)));
    emit(view.tbt.map_or(ABSENT, |tbt| tbt.number(Metric::Tti)));
    for metric in Metric::ALL {
        let value = view.values.get(metric);
        emit(value.map_or(ABSENT, |value| value.number(metric)));
        emit(value.map_or(ABSENT, |value| f64::from(metric.rate(value) as u8)));
    }
    // Each cause by its first number, or none by one that is absent.
    match &view.attribution.lcp {
        Some(cause) => {
            text(cause.target);
            text(cause.url);
            cause.parts_ms.into_iter().for_each(emit);
        }
        None => emit(ABSENT),
    }
    match &view.attribution.inp {
        Some(cause) => {
            text(cause.target);
            text(cause.event);
            emit(cause.at_ms);
            cause.parts_ms.into_iter().for_each(emit);
            text(cause.script);
            emit(cause.script_ms);
            text(cause.load_state as u32);
        }
        None => emit(ABSENT),
    }
    match &view.attribution.cls {
        Some(cause) => {
            text(cause.target);
            emit(cause.at_ms);
            emit(cause.value);
            text(cause.load_state as u32);
        }
        None => emit(ABSENT),
    }
}
