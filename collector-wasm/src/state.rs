//! The module's data, and the way in. One signal works on the data at a time; signals out of its work wait for its end.
//! The page's listeners are called after the work, because they may call back.

use crate::api::Listener;
use crate::batch::Batch;
use crate::consent::Consent;
use crate::options::Options;
use crate::page::{NOTHING, browser, call, get, now, number};
use crate::signal::Signal;
use crate::texts::Texts;
use js_sys::Function;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use vitals::document::Document;
use vitals::entry::{Detail, Item};
use vitals::limits::VIEWS_PER_BEACON_MAX;
use vitals::view::ViewId;
use wasm_bindgen::prelude::JsValue;
use web_sys::PerformanceObserver;

/// Signals that may wait, and signals that one work takes. A page that calls itself without end stops there.
const SIGNALS_WAITING_MAX: usize = 100;

/// The data, and the signals that wait for it.
struct Held {
    collector: RefCell<Collector>,
    waiting: RefCell<Vec<(Rc<Signal>, JsValue)>>,
}

thread_local! {
    static HELD: Cell<Option<&'static Held>> = const { Cell::new(None) };
}

/// Everything that the module holds.
pub struct Collector {
    /// The options of the tag.
    pub options: Options,
    /// What the visitor has allowed.
    pub consent: Consent,
    /// Where beacons go, as a whole URL.
    pub endpoint: JsValue,
    /// What is known of the document.
    pub document: Document<u32>,
    /// The texts of facts.
    pub texts: Texts,
    /// The document's URL when the snippet began, or as the page's hook wrote it at the load event; empty where the hook
    /// has dropped it.
    pub url: String,
    /// The URL as it stood when the history was last looked at, without query and fragment.
    pub here: String,
    /// Whether the page is hidden.
    pub hidden: bool,
    /// The last event.
    pub event: JsValue,
    /// What listens to events.
    pub listener: Function,
    /// Observes entries.
    pub observer: Option<PerformanceObserver>,
    /// The last largest paint and the URL of its image, whose times come later.
    pub paint: Option<(String, Detail<u32>)>,
    /// Paints that interactions have caused, until it is known which of them were navigations.
    pub paints: Vec<JsValue>,
    /// Which interactions began views.
    pub began: Vec<(ViewId, f64)>,
    /// What the page says of itself.
    pub tags: Vec<(String, String)>,
    /// What the page wants to be told.
    pub listeners: Vec<Listener>,
    /// What is news.
    pub batch: Batch,
    /// Beacons of the document.
    pub seq: u32,
    /// How many views the document had when it was last reported.
    pub reported: usize,
    /// Times that the clock of reports has ticked.
    pub ticks: u64,
    /// Whether the page is being left.
    pub leaving: bool,
    /// Whether a report of an interaction is due that came after the page was hidden.
    pub late: bool,
    /// Whether the server does not take beacons now.
    pub failing: bool,
    /// Whether how the document came has been read.
    pub is_fetch_read: bool,
    /// The `AbortController` that takes back what was left with the browser to send.
    pub deferred: JsValue,
    /// Calls of the page's listeners.
    pub calls: Vec<(Function, JsValue)>,
}

impl Collector {
    /// Takes a fact.
    #[inline(never)]
    pub fn take(&mut self, item: &Item<u32>) {
        self.document.push(item);
        let changes = matches!(item, Item::Restore { .. } | Item::Moved { .. } | Item::Named { .. });
        // A document keeps so many views; those that it will let go must be sent before.
        if changes && self.document.begun() >= self.reported + VIEWS_PER_BEACON_MAX - 2 {
            self.report();
        }
    }

    /// A new id for a view that begins at a time of the document's clock. That clock stands still while a machine
    /// sleeps, and the other may have been replaced: the later one is right.
    pub fn draw(&self, at: f64) -> ViewId {
        let origin = (js_sys::Date::now() - now()).max(number(&browser().performance, "timeOrigin"));
        ViewId::drawn(origin + at, js_sys::Math::random())
    }

    /// Tells the console, where the page wants it.
    #[inline(never)]
    pub fn say(&self, what: &str, more: &JsValue) {
        if self.options.debug {
            let console = get(&browser().window, "console");
            call(&console, "debug", &("fieldvitals: ".to_owned() + what).into(), more);
        }
    }
}

/// Begins with this state.
pub fn begin(collector: Collector) {
    let held = Held { collector: RefCell::new(collector), waiting: RefCell::default() };
    HELD.set(Some(Box::leak(Box::new(held))));
}

/// Works on the state, then tells the page's listeners, which may call back. A signal out of another's work waits: a
/// hook, `sendBeacon` and `fetch` may be the page's own, and call its interface.
pub fn work(signal: &Rc<Signal>, argument: JsValue) {
    let Some(held) = HELD.get() else { return };
    let mut waiting = held.waiting.borrow_mut();
    if waiting.len() < SIGNALS_WAITING_MAX {
        waiting.push((Rc::clone(signal), argument));
    }
    drop(waiting);
    let Ok(mut collector) = held.collector.try_borrow_mut() else { return };
    for _ in 0..SIGNALS_WAITING_MAX {
        let mut waiting = held.waiting.borrow_mut();
        if waiting.is_empty() {
            break;
        }
        let (signal, argument) = waiting.remove(0);
        drop(waiting);
        collector.receive(&signal, &argument);
    }
    let calls = std::mem::take(&mut collector.calls);
    drop(collector);
    for (listener, value) in &calls {
        tell(listener, value);
    }
}

/// Calls a listener of the page's. What fails in it is told in the console and stays there.
fn tell(listener: &Function, value: &JsValue) {
    if let Err(error) = listener.call1(&NOTHING, value) {
        call(&get(&browser().window, "console"), "error", &error, &NOTHING);
        browser().page.fail(vitals::beacon::errors::PAGE);
    }
}
