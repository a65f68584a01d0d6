//! Observes performance entries. Only this module creates a `PerformanceObserver`.

use crate::explain;
use crate::limits::{EVENT_DURATION_MS_MIN, EXPLAINING_TEXTS_MAX};
use crate::names;
use crate::page::{
    Js, call, call_with, cut, get, get_by, hold, is, item, items, keep, length, named, now, number,
    number_or, object, place_url, put, put_flag, put_number, release, same, says, set, some_number, text,
    value,
};
use crate::signal::{Signal, callback};
use crate::state::Collector;
use vitals::entry::{Detail, DetailKind, Item, NUMBERS_MAX, TEXTS_MAX};
use vitals::limits::{ROUTE_BYTES_MAX, URL_BYTES_MAX};
use vitals::view::{NavigationType, ViewId};
use wasm_bindgen::JsCast as _;
use web_sys::PerformanceObserver;

/// Time for entries in one task, in milliseconds. A task of 50 ms or more delays the page's input. A single entry with
/// its explanation can take 10 ms on a slow phone.
const SLICE_MS: f64 = 10.0;

/// Number of observed entry types, from [`names::PAINT`] on: first the snippet's types, in the order of its kinds from 1
/// on, then the module's own.
const TYPES: i32 = 11;
/// The first kind of a name that the page has set. Its text is a route.
const NAMED: f64 = 21.0;
/// Number of types that the snippet observes already.
const KNOWN: i32 = 8;
/// The first of the classes of the snippet's entry types. They show the support of a type if another script has replaced
/// the browser's observer and does not list the supported types.
const CLASSES: Js = names::PERFORMANCE_PAINT_TIMING;

impl Collector {
    /// Observes every entry type that the browser supports.
    pub fn observe(&mut self) {
        let Ok(observer) = PerformanceObserver::new(value(callback(Signal::OBSERVED)).unchecked_ref()) else {
            return;
        };
        hold(Js::OBSERVER, put(observer.into()));
        let supported = get(get(Js::WINDOW, names::PERFORMANCE_OBSERVER), names::SUPPORTED_ENTRY_TYPES);
        let is_told = supported.exists();
        let mut support = 0;
        for place in 0..TYPES {
            let name = names::PAINT.plus(place);
            let class = place < KNOWN && is(Js::WINDOW, CLASSES.plus(place));
            if if is_told { is(call_with(supported, names::INCLUDES, name), Js::ITSELF) } else { class } {
                let options = object();
                set(options, names::TYPE, name);
                // Reads from the browser's buffer the types that the snippet has not observed.
                set(options, names::BUFFERED, put_flag(place >= KNOWN || !is_told));
                set(options, names::DURATION_THRESHOLD, put_number(f64::from(EVENT_DURATION_MS_MIN)));
                call_with(Js::OBSERVER, names::OBSERVE, options);
                support |= u32::from(class) << place;
            }
        }
        if !is_told {
            self.take(&Item::Support(support));
        }
    }

    /// Takes all entries, those that the observer has not delivered included.
    pub fn drain(&mut self) {
        // An observer replaced by another script may lack the method.
        self.pending.push(keep(call_with(Js::OBSERVER, names::TAKE_RECORDS, Js::NOTHING)));
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
            self.frame(Signal::SLICE);
        }
    }

    /// Takes pending entries until a moment.
    fn take_pending(&mut self, until: f64) {
        while let Some(&entries) = self.pending.first() {
            if self.taken < length(entries) {
                let entry = item(entries, self.taken);
                self.taken += 1;
                self.take_one(entry);
                if now() > until {
                    return;
                }
            } else {
                release(self.pending.remove(0));
                self.taken = 0;
            }
        }
    }

    /// Takes an item of the snippet's queue, or an entry.
    fn take_one(&mut self, entry: Js) {
        match named(entry, names::ENTRY_TYPE) {
            // Items of the queue are no entries. Another script's observer may pass on entries of other types.
            Js::NOTHING if !get(entry, names::ENTRY_TYPE).exists() => {
                if let Some(item) = &self.queued(entry) {
                    self.entry(item, get(entry, names::ENTRY), get(entry, names::TARGET));
                }
            }
            names::LONG_ANIMATION_FRAME => self.script(entry),
            names::SOFT_NAVIGATION => self.soft_navigation(entry),
            names::INTERACTION_CONTENTFUL_PAINT => self.soft_paint(entry),
            kind => {
                if let Some(item) = &fact_of(kind, entry) {
                    self.entry(item, entry, Js::NOTHING);
                }
            }
        }
    }

    /// Takes an entry as a fact, and the details that explain it.
    pub fn entry(&mut self, item: &Item<u32>, entry: Js, target: Js) {
        match item {
            // An event without an interaction does not count for INP.
            Item::Event(event) if event.interaction_id == 0.0 => return,
            // The page does not wait for a beacon, so a beacon is no resource of the page.
            Item::Resource { .. }
                if says(entry, names::INITIATOR_TYPE, names::BEACON)
                    || same(get(entry, names::NAME), Js::ENDPOINT) =>
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
            call_with(Js::WINDOW, names::QUEUE_MICROTASK, callback(Signal::LATE));
        }
        if entry.exists()
            && self.explains()
            && let Some(detail) = &explain::detail(item, entry, target)
        {
            if detail.kind == DetailKind::Paint {
                self.painted(entry, detail);
            }
            self.document.explain(detail);
        }
    }

    /// Whether to collect explanations. Collects none for visitors who opt out, and none beyond the limit of texts.
    pub fn explains(&self) -> bool {
        !self.consent.quiet && length(Js::TEXTS) < EXPLAINING_TEXTS_MAX
    }

    /// Keeps a largest paint, until the times of its image arrive.
    pub fn painted(&mut self, entry: Js, detail: &Detail<u32>) {
        hold(Js::PAINT_URL, text(entry, names::URL));
        self.paint = *detail;
    }

    fn script(&mut self, entry: Js) {
        if self.explains()
            && let Some(detail) = &explain::script(entry)
        {
            self.document.explain(detail);
        }
    }

    /// Reads the values that the browser gives only on request.
    pub fn ask(&mut self) {
        let entry = item(call_with(Js::PERFORMANCE, names::GET_ENTRIES_BY_TYPE, names::NAVIGATION), 0);
        if entry.exists() {
            let mut numbers: [f64; NUMBERS_MAX] =
                std::array::from_fn(|place| number(entry, names::RESPONSE_START.plus(place as i32)));
            numbers[NAVIGATION_TYPE] = match named(entry, names::TYPE) {
                _ if is(get_by(names::DOCUMENT_CLASS, Js::DOCUMENT, names::WAS_DISCARDED), Js::ITSELF) => {
                    RESTORE
                }
                names::NAVIGATE => 0.0,
                names::RELOAD => 1.0,
                names::BACK_FORWARD => 2.0,
                _ => -1.0,
            };
            if let Some(item) = &fact(0, &numbers, [0; TEXTS_MAX]) {
                self.take(item);
            }
        }
        self.count();
        if is(Js::PAINT_URL, Js::ITSELF) {
            let images = call(Js::PERFORMANCE, names::GET_ENTRIES_BY_NAME, Js::PAINT_URL, names::RESOURCE);
            let image = call_with(images, names::POP, Js::NOTHING);
            if image.exists() {
                let [_, _, request_start, response_end] = &mut self.paint.numbers;
                *request_start = number(image, names::REQUEST_START);
                if *request_start == 0.0 {
                    *request_start = number(image, names::START_TIME);
                }
                *response_end = number(image, names::RESPONSE_END);
                self.document.explain(&self.paint);
            }
        }
    }

    /// Reads the number of interactions.
    pub fn count(&mut self) {
        if let Some(count) = some_number(Js::PERFORMANCE, names::INTERACTION_COUNT) {
            self.take(&Item::InteractionCount { at: now(), count });
        }
    }

    /// Parses an item of the snippet: `[kind, numbers…, texts…]`.
    pub fn queued(&mut self, fields: Js) -> Option<Item<u32>> {
        let mut numbers = [0.0; NUMBERS_MAX + 1];
        let mut texts = [0; TEXTS_MAX];
        let (mut number_slots, mut text_slots) = (numbers.iter_mut(), texts.iter_mut());
        let bytes_max =
            if number(item(fields, 0), Js::ITSELF) >= NAMED { ROUTE_BYTES_MAX } else { URL_BYTES_MAX };
        for field in items(fields, Js::ITSELF) {
            // Of numbers and texts, only texts have a length.
            if get(field, names::LENGTH).exists() {
                *text_slots.next()? = place_url(cut(text(field, Js::ITSELF), bytes_max as i32));
            } else {
                *number_slots.next()? = number_or(field, Js::ITSELF, f64::NAN);
            }
        }
        let [kind, numbers @ ..] = numbers;
        fact(kind as u8, &numbers, texts)
    }
}

/// The index of the navigation type in these fields.
const NAVIGATION_TYPE: usize = 3;
/// The navigation type of a discarded page.
const RESTORE: f64 = NavigationType::Restore as u8 as f64;

/// Converts an entry to an item. The snippet's `read` does the same for its queue.
fn fact_of(kind: Js, entry: Js) -> Option<Item<u32>> {
    if says(entry, names::NAME, names::FIRST_PAINT) || is(entry, names::HAD_RECENT_INPUT) {
        return None;
    }
    let second = match kind {
        names::LAYOUT_SHIFT => names::VALUE,
        names::RESOURCE => names::RESPONSE_END,
        _ => names::DURATION,
    };
    let third = number(entry, names::PROCESSING_START)
        + number(entry, names::RESPONSE_STATUS)
        + f64::from(says(entry, names::NAME, names::HIDDEN));
    let numbers = [
        number(entry, names::START_TIME),
        number(entry, second),
        third,
        number(entry, names::INTERACTION_ID),
        0.0,
        0.0,
    ];
    // The kinds of the snippet's types count from 1.
    let kind = kind.number() - names::PAINT.number() + 1;
    if (1..=KNOWN).contains(&kind) { fact(kind as u8, &numbers, [0; TEXTS_MAX]) } else { None }
}

#[inline(never)]
fn fact(kind: u8, numbers: &[f64; NUMBERS_MAX], texts: [u32; TEXTS_MAX]) -> Option<Item<u32>> {
    Item::from_fields(kind, numbers, None::<ViewId>, texts)
}
