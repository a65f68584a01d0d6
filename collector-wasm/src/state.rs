//! Holds the module's state and serializes access to it.
//!
//! One signal at a time works on the state. A signal that this work raises is queued until the work ends. The page's
//! listeners run after the work, because they may call back.

use crate::api::Listener;
use crate::batch::Batch;
use crate::consent::Consent;
use crate::names;
use crate::options::Options;
use crate::page::{Js, attempt, call_with, fail, get, now, number};
use crate::signal::Signal;
use std::cell::RefCell;
use vitals::document::Document;
use vitals::entry::{Detail, Item};
use vitals::limits::VIEWS_PER_BEACON_MAX;
use vitals::view::ViewId;

/// Bound of the signal queue, and of the signals that one call of [`work`] handles. It stops a page that calls itself
/// endlessly.
const SIGNALS_WAITING_MAX: usize = 100;

/// The state, and the queue of signals for it.
struct Held {
    collector: RefCell<Collector>,
    waiting: RefCell<Vec<(Signal, Js, Js)>>,
}

thread_local! {
    // A constant, because code that fills and moves the state would be 1 % of the module.
    static HELD: Held =
        const { Held { collector: RefCell::new(Collector::EMPTY), waiting: RefCell::new(Vec::new()) } };
}

/// The state of the module.
pub struct Collector {
    /// The options of the tag.
    pub options: Options,
    /// The visitor's consent.
    pub consent: Consent,
    /// The page views of the document.
    pub document: Document<u32>,
    /// Whether the page is hidden.
    pub hidden: bool,
    /// The last largest paint. The times of its image ([`Js::PAINT_URL`]) arrive later.
    pub paint: Detail<u32>,
    /// The place of the document's URL at the snippet's start, or as rewritten by the page's hook at the load event; 0
    /// if the hook dropped the URL.
    pub url: u32,
    /// Paints caused by interactions, kept until the module knows which interactions were navigations.
    pub paints: Vec<Js>,
    /// The views that began with an interaction, each with a number that identifies the interaction.
    pub began: Vec<(ViewId, f64)>,
    /// The places of the names and values of the page's tags.
    pub tags: Vec<(u32, u32)>,
    /// The listeners that the page has registered.
    pub listeners: Vec<Listener>,
    /// The last report and the marks of the page.
    pub batch: Batch,
    /// Sequence number of the last body written for this document. Drafts count too.
    pub seq: u32,
    /// Number of views that the document had at the last report.
    pub reported: usize,
    /// Time of the last move or name.
    pub changed: f64,
    /// Number of ticks of the report timer.
    pub ticks: u32,
    /// Whether the user is leaving the page.
    pub leaving: bool,
    /// Whether a late report is due, for an interaction that arrived after the page was hidden.
    pub late: bool,
    /// Whether the server refuses beacons for now, or did not answer.
    pub failing: bool,
    /// Whether the delivery of the document has been read.
    pub is_fetch_read: bool,
    /// Pending calls of the page's listeners.
    pub calls: Vec<(Js, Js)>,
    /// The snippet's queue and lists of entries that are not taken yet, in order.
    pub pending: Vec<Js>,
    /// The number of entries taken from the first of these lists.
    pub taken: i32,
    /// Whether the takeover has ended.
    pub is_ready: bool,
    /// Whether a frame for the next slice is requested.
    pub is_slice_due: bool,
}

impl Collector {
    /// The state before the takeover.
    const EMPTY: Self = Self {
        options: Options::NONE,
        consent: Consent::NONE,
        document: Document::EMPTY,
        url: 0,
        hidden: false,
        paint: Detail::paint(0.0, 0.0, 0.0, 0, 0),
        paints: Vec::new(),
        began: Vec::new(),
        tags: Vec::new(),
        listeners: Vec::new(),
        batch: Batch::EMPTY,
        seq: 0,
        reported: 0,
        changed: 0.0,
        ticks: 0,
        leaving: false,
        late: false,
        failing: false,
        is_fetch_read: false,
        calls: Vec::new(),
        pending: Vec::new(),
        taken: 0,
        is_ready: false,
        is_slice_due: false,
    };

    /// Adds a fact to the document.
    #[inline(never)]
    pub fn take(&mut self, item: &Item<u32>) {
        self.document.push(item);
        let changes = matches!(item, Item::Restore { .. } | Item::Moved { .. } | Item::Named { .. });
        // The document keeps a limited number of views. Reports views before the document drops them.
        if changes && self.document.begun() >= self.reported + VIEWS_PER_BEACON_MAX - 2 {
            self.report();
        }
    }

    /// Draws an id for a view that begins at `at`, in milliseconds of the document's clock. The document's clock
    /// stands still while a machine sleeps, and the page may have replaced `Date`. The later of both clocks is right.
    pub fn draw(&self, at: f64) -> ViewId {
        let origin = (js_sys::Date::now() - now()).max(number(Js::PERFORMANCE, names::TIME_ORIGIN));
        ViewId::drawn(origin + at, js_sys::Math::random())
    }
}

/// Handles a signal, then calls the page's listeners, which may call back. Queues the signal if another one is being
/// handled: hooks, `sendBeacon` and `fetch` may be the page's own functions, and may call the module's interface.
pub fn work(signal: Signal, subject: Js, argument: Js) {
    HELD.with(|held| work_on(held, signal, subject, argument));
}

fn work_on(held: &Held, signal: Signal, subject: Js, argument: Js) {
    let mut waiting = held.waiting.borrow_mut();
    if waiting.len() < SIGNALS_WAITING_MAX {
        waiting.push((signal, subject, argument));
    }
    drop(waiting);
    let Ok(mut collector) = held.collector.try_borrow_mut() else { return };
    for _ in 0..SIGNALS_WAITING_MAX {
        let mut waiting = held.waiting.borrow_mut();
        if waiting.is_empty() {
            break;
        }
        let (signal, subject, argument) = waiting.remove(0);
        drop(waiting);
        collector.receive(signal, subject, argument);
    }
    // The values of these signals end with this call.
    held.waiting.borrow_mut().clear();
    let calls = std::mem::take(&mut collector.calls);
    drop(collector);
    for (listener, value) in calls {
        tell(listener, value);
    }
}

/// Calls a listener of the page. Logs its exception to the console and does not rethrow it.
fn tell(listener: Js, value: Js) {
    let error = attempt(listener, value);
    if error.exists() {
        call_with(get(Js::WINDOW, names::CONSOLE), names::ERROR, error);
        fail(vitals::beacon::errors::PAGE as i32);
    }
}
