//! The browser side: measures a visit with [`vitals`] and sends the results.
//!
//! The snippet (`js-snippet/src/v.js`) runs first and queues facts. After the load event, the loader
//! (`js-snippet/src/loader.js`) calls [`start`], which takes the page over within one task, and the snippet's queue in
//! short tasks after it. A fact then passes from
//! [`observe`] (entries), [`lifecycle`] (events) or [`navigation`] to [`vitals::document::Document`]. [`batch`] finds
//! changed page views, and [`transport`] sends them.
//!
//! [`signal`] has the module's callbacks, and [`state`] its state. [`explain`] builds selectors and URLs. [`context`] reads the delivery of the document and the properties of the device. [`consent`]
//! holds the visitor's choice, and [`options`] the tag's options. [`api`] is the page's interface, and [`page`] the
//! access to JavaScript's values, with their [`names`].

pub mod api;
pub mod batch;
pub mod consent;
pub mod context;
pub mod explain;
pub mod lifecycle;
mod limits;
pub mod names;
pub mod navigation;
pub mod observe;
pub mod options;
pub mod page;
pub mod signal;
pub mod state;
pub mod transport;
pub mod value;

use crate::consent::Consent;
use crate::lifecycle::keep_time;
use crate::options::Options;
use crate::page::{
    Js, call_with, counted, get, hold, install, is, item, items, keep, now, number, place_url, put_number,
    say, set, text,
};
use crate::signal::{Signal, callback};
use crate::state::{Collector, work};
use vitals::view::ViewId;
use wasm_bindgen::prelude::wasm_bindgen;

/// Keeps a list of free blocks. The standard library's allocator would be a fifth of the module's size.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: lol_alloc::LockedAllocator<lol_alloc::FreeListAllocator> =
    lol_alloc::LockedAllocator::new(lol_alloc::FreeListAllocator::new());

/// Takes over from the snippet, which has just drained its observer into its queue. The observers change within one
/// task, so no entry is lost between them. The queue follows in slices.
#[wasm_bindgen]
pub fn start() {
    work(Signal::TAKE_OVER, Js::NOTHING, Js::NOTHING);
    keep_time();
}

impl Collector {
    /// Takes over from the snippet. Its queue becomes pending.
    pub fn take_over(&mut self) {
        self.options = Options::of_page();
        self.consent = Consent::of(&self.options);
        self.url = place_url(text(Js::PAGE, names::URL));
        let id = get(Js::PAGE, names::ID);
        let part = |number| counted(item(id, number), Js::ITSELF);
        self.document.begin(ViewId::drawn(part(0), part(1)), self.url);
        hold(Js::HERE, text(Js::PAGE, names::HERE));
        self.hidden = is(Js::PAGE, names::HIDDEN);
        self.seq = number(Js::PAGE, names::SEQ) as u32;
        self.observe();
        install(callback(Signal::PUSH), callback(Signal::EVENT), callback(Signal::CALL));
        // Disconnects the snippet's observer.
        call_with(get(Js::PAGE, names::OBSERVER), names::DISCONNECT, Js::NOTHING);
        self.pending.push(keep(get(Js::PAGE, names::QUEUE)));
        // The history may have moved while the module was loading, and may move again before the queue is taken.
        self.moved(now());
        if self.hidden {
            self.settle();
        }
    }

    /// Ends the takeover, after the snippet's queue.
    pub fn ready(&mut self) {
        self.is_ready = true;
        self.tags_of_attribute();
        self.consent.sample(&self.options);
        self.retry();
        for waiting in items(Js::PAGE, names::CALLS) {
            self.call(waiting);
        }
        // The snippet still has both lists, and their items may hold on to large objects.
        for name in [names::QUEUE, names::CALLS] {
            set(get(Js::PAGE, name), names::LENGTH, put_number(0.0));
        }
        self.live();
        say(names::MEASURES, Js::ENDPOINT);
        let sample = get(Js::DATA, names::SAMPLE);
        if is(sample, Js::ITSELF) && (self.options.sample.is_nan() || self.options.sample > 1.0) {
            say(names::NO_SHARE, sample);
        }
        if self.consent.out {
            say(names::LEFT_OUT, Js::NOTHING);
        }
        if self.hidden {
            self.flush(false);
        }
    }
}
