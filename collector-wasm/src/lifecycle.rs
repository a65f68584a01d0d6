//! The life of the page: events, the frames after a restore, and when it is time to report.

use crate::page::{NOTHING, browser, call, get_by, is, number, object, text};
use crate::signal::{Signal, callback};
use crate::state::Collector;
use gloo_timers::callback::Interval;
use vitals::beacon::write::{Json, Object};
use vitals::entry::Item;
use vitals::limits::DEFER_MS;
use wasm_bindgen::prelude::JsValue;
use web_sys::MutationObserver;

/// The events that the snippet listens to.
const EVENTS: [&str; 5] = ["click", "keydown", "pagehide", "pageshow", "visibilitychange"];
/// What is shown a frame after a restore begins to be shown is there at the second.
const RESTORE_FRAMES: u32 = 1;

/// Reports from time to time, as long as the page is there. Must not run in a work, because a page's own timers may
/// throw.
///
/// Some pages stay open for days, and some browsers end a page without an event. A report a minute keeps the loss
/// small and the beacons few: a page on which nothing happens sends none. In between, the browser is left what to send
/// should the page end, if it can.
pub fn keep_time() {
    let tick = callback(Signal::Tick);
    std::mem::forget(Interval::new(DEFER_MS as u32, move || {
        // What it calls lets nothing out.
        call(&tick, "call", &NOTHING, &NOTHING);
    }));
}

impl Collector {
    /// Keeps listening.
    pub fn live(&self) {
        // The document may have been opened anew before the module was there.
        self.listen();
        if let Ok(observer) = MutationObserver::new(&callback(Signal::Opened)) {
            let mut options = Object::default();
            options.flag("childList", true);
            call(&observer, "observe", &browser().document, &object(&Json::Object(options)));
        }
    }

    /// Listens, beside the snippet: a document that is opened anew forgets its listeners. One that is there already
    /// is not added twice.
    pub fn listen(&self) {
        for name in EVENTS {
            // The window takes any listener.
            let _ = browser().window.add_event_listener_with_callback_and_bool(name, &self.listener, true);
        }
    }

    /// Takes an event, or a move of the history: what has changed since the last one?
    ///
    /// A page that is being left is hidden, though the browser may say so only afterwards. It is reported at once:
    /// it may be gone when this returns.
    pub fn event(&mut self, event: &JsValue) {
        // The snippet's listener and ours may both tell it.
        if self.event == *event {
            return;
        }
        self.event = event.clone();
        let (kind, at) = (text(event, "type"), number(event, "timeStamp"));
        let left = kind == "pagehide";
        let hidden = left || get_by("Document", &browser().document, "hidden").is_truthy();
        if (kind == "click" || kind == "keydown") && is(event, "isTrusted") {
            self.take(&Item::Input(at));
        }
        self.moved(at);
        let was_hidden = std::mem::replace(&mut self.hidden, hidden);
        if hidden != was_hidden {
            self.take(&Item::Visibility { at, hidden });
        }
        if hidden && (left || !was_hidden) {
            self.flush(left);
        }
        if !left && is(event, "persisted") {
            self.take(&Item::Restore { at, id: self.draw(at) });
            self.ask();
            self.frame(RESTORE_FRAMES);
        }
    }

    /// Waits for a frame, with so many more to come.
    pub fn frame(&self, frames: u32) {
        // Without frames there is nothing to wait for.
        let _ = browser().window.request_animation_frame(&callback(Signal::Frame(frames)));
    }

    /// Reports all that is known, synchronously.
    pub fn flush(&mut self, leaving: bool) {
        self.drain();
        self.ask();
        self.late = false;
        self.leaving = leaving;
        self.report();
    }
}
