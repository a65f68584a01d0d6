//! The life of the page: what the snippet's listeners tell, and when it is time to report.

use crate::batch::Batch;
use crate::page::Page;
use crate::{observe, transport};
use gloo_timers::callback::Interval;
use js_sys::Array;
use std::cell::RefCell;
use std::rc::Rc;
use vitals::document::Document;
use vitals::entry::{Item, NUMBERS_MAX, TEXTS_MAX};
use vitals::limits;
use vitals::view::ViewId;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue};
use web_sys::PerformanceObserver;

/// How often a page that nobody leaves reports what has changed.
///
/// Some pages stay open for days, and some browsers end a page without a word. A minute keeps the loss
/// small and the beacons few: a page on which nothing happens sends none.
const REPORT_EVERY_MS: u32 = 60_000;

/// Everything the module holds.
pub struct Collector {
    /// What is known of the document.
    pub document: Document,
    batch: Batch,
    /// Views begun since the last report.
    begun: usize,
}

impl Collector {
    /// A collector that knows what the snippet has queued; `None` where the first view's id is none.
    #[must_use]
    pub fn from_queue(page: &Page, is_reported: bool) -> Option<Self> {
        let mut document = Document::new(ViewId::parse(&page.id())?);
        for fields in page.queue().iter() {
            if let Some(item) = item(fields.unchecked_ref()) {
                document.push(&item);
            }
        }
        let mut batch = Batch::default();
        if is_reported {
            batch.news(document.snapshots(now()?));
        }
        Some(Self { document, batch, begun: 0 })
    }
}

/// Puts the module in the snippet's place: the snippet's listeners tell it, and it reports.
pub fn begin(page: &Page, collector: &Rc<RefCell<Collector>>, observer: PerformanceObserver) {
    let (reporter, target) = (page.clone(), Rc::clone(collector));
    let push = Closure::<dyn Fn(Array)>::new(move |fields: Array| {
        let Some(item) = item(&fields) else { return };
        // A document keeps so many views and no more; those that it will let go must be sent before.
        if matches!(item, Item::Restore { .. } | Item::SoftNavigation { .. }) && is_full(&target) {
            reporter.report();
        }
        if let Ok(mut collector) = target.try_borrow_mut() {
            collector.document.push(&item);
        }
    });
    let (sender, source) = (page.clone(), Rc::clone(collector));
    let flush = Closure::<dyn Fn()>::new(move || flush(&sender, &source, &observer));
    page.set_push(push.into_js_value().unchecked_ref());
    page.set_flush(flush.into_js_value().unchecked_ref());
    page.set_queue(&Array::new());
    let reporter = page.clone();
    Interval::new(REPORT_EVERY_MS, move || reporter.report()).forget();
}

/// Counts a view that is about to begin. True, and the count starts anew, when a report is due.
fn is_full(collector: &Rc<RefCell<Collector>>) -> bool {
    let Ok(mut collector) = collector.try_borrow_mut() else { return false };
    collector.begun += 1;
    // The first view is always kept, and the current one is not over.
    let full = collector.begun >= limits::VIEWS_PER_BEACON_MAX - 2;
    if full {
        collector.begun = 0;
    }
    full
}

/// Drains, computes and sends, all before it returns: the page may be gone the next moment.
fn flush(page: &Page, collector: &Rc<RefCell<Collector>>, observer: &PerformanceObserver) {
    let Some(now) = now() else { return };
    let news = {
        let Ok(mut collector) = collector.try_borrow_mut() else { return };
        let Collector { document, batch, begun } = &mut *collector;
        observe::drain(page, observer, document);
        *begun = 0;
        batch.news(document.snapshots(now))
    };
    // The borrow has ended: what follows calls the page, and the page may call back.
    if news.is_empty() {
        return;
    }
    transport::send(page, &news);
    for (metric, value) in news.iter().flat_map(|change| change.values()) {
        page.tell(metric.name(), value.number(metric), metric.rate(value).name());
    }
}

/// The time since the document's time origin, in milliseconds.
fn now() -> Option<f64> {
    Some(web_sys::window()?.performance()?.now())
}

/// Reads an item of the snippet: `[kind, numbers…, texts…]`.
fn item(fields: &Array) -> Option<Item> {
    let mut kind = None;
    let mut numbers = [0.0; NUMBERS_MAX];
    let mut texts: [String; TEXTS_MAX] = Default::default();
    let (mut number_slots, mut text_slots) = (numbers.iter_mut(), texts.iter_mut());
    for field in fields.iter() {
        match field.as_f64() {
            Some(number) if kind.is_none() => kind = Some(number as u8),
            Some(number) => *number_slots.next()? = number,
            None => *text_slots.next()? = text(&field)?,
        }
    }
    Item::from_fields(kind?, &numbers, texts.each_ref().map(String::as_str))
}

fn text(field: &JsValue) -> Option<String> {
    field.as_string()
}
