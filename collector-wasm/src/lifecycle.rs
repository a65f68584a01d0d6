//! Follows the life of the page: its events, the frames after a restore, and the times to report.

use crate::limits::DEFER_MS;
use crate::page::{NOTHING, browser, call, get_by, is, number, object, text};
use crate::signal::{Signal, callback};
use crate::state::Collector;
use gloo_timers::callback::Interval;
use vitals::beacon::write::{Json, Object};
use vitals::entry::Item;
use wasm_bindgen::prelude::JsValue;
use web_sys::MutationObserver;

/// The events that the snippet also listens to.
const EVENTS: [&str; 5] = ["click", "keydown", "pagehide", "pageshow", "visibilitychange"];
/// Number of further frames to wait for after a restore. The first frame starts to show the page; the page is visible
/// at the second one.
const RESTORE_FRAMES: u32 = 1;

/// Reports periodically while the page lives. Must not run inside [`crate::state::work`], because a page's own timers
/// may throw.
///
/// Some pages stay open for days, and some browsers end a page without an event. One report per minute limits the
/// loss and the number of beacons. An idle page sends none. Between reports, the module defers a report with the
/// browser (`fetchLater`), in case the page ends.
pub fn keep_time() {
    let tick = callback(Signal::Tick);
    std::mem::forget(Interval::new(DEFER_MS as u32, move || {
        // The callback catches all exceptions.
        call(&tick, "call", &NOTHING, &NOTHING);
    }));
}

impl Collector {
    /// Adds the listeners, and adds them again whenever the document is opened anew.
    pub fn live(&self) {
        // The document may have been opened anew before the module loaded.
        self.listen();
        if let Ok(observer) = MutationObserver::new(&callback(Signal::Opened)) {
            let mut options = Object::default();
            options.flag("childList", true);
            call(&observer, "observe", &browser().document, &object(&Json::Object(options)));
        }
    }

    /// Adds the listeners. A document that is opened anew loses all its listeners. The browser ignores a listener that
    /// is already present.
    pub fn listen(&self) {
        for name in EVENTS {
            // The window accepts every listener.
            let _ = browser().window.add_event_listener_with_callback_and_bool(name, &self.listener, true);
        }
    }

    /// Handles an event or a move of the history.
    ///
    /// A page that is being left counts as hidden, even if the browser reports the change only later. The module
    /// reports such a page at once, because the page may be gone afterwards.
    pub fn event(&mut self, event: &JsValue) {
        // The snippet's listener and the module's listener may both deliver an event.
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

    /// Requests an animation frame. `frames` more frames follow it.
    pub fn frame(&self, frames: u32) {
        // A browser without frames has nothing to wait for.
        let _ = browser().window.request_animation_frame(&callback(Signal::Frame(frames)));
    }

    /// Reports all known data, synchronously.
    pub fn flush(&mut self, leaving: bool) {
        self.drain();
        self.ask();
        self.late = false;
        self.leaving = leaving;
        self.report();
    }
}
