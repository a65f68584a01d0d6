//! Sends beacons: by `sendBeacon`, by `fetch` if the collector needs the answer, by `fetchLater`, or from storage on
//! the next page.

use crate::consent::{LOCAL, forget};
use crate::explain::split;
use crate::page::{NOTHING, browser, call, call_with, get, is, number, object, set, string};
use crate::signal::{Signal, callback};
use crate::state::Collector;
use vitals::beacon::write::{Json, Object};
use vitals::limits::KEPT_BODIES_MAX;
use wasm_bindgen::prelude::JsValue;
use web_sys::AbortController;

/// The storage key of all data that the collector stores.
pub const KEY: &str = "fieldvitals";
/// Separator of bodies in storage. The JSON bodies contain no line breaks.
const BETWEEN: u8 = b'\n';
/// Status codes of a server that refuses beacons for now.
const BUSY: [f64; 2] = [429.0, 503.0];

impl Collector {
    /// Sends a body. Stores it for the next page if the browser is offline, or if the last request failed and the page
    /// is being left, because no answer would arrive.
    pub fn send(&self, body: &JsValue) {
        self.say("sends", body);
        let stores = self.consent.may_store();
        let navigator = &browser().navigator;
        if stores && (!is(navigator, "onLine") || (self.failing && self.leaving)) {
            self.keep(body);
        } else if (stores && !self.leaving)
            || self.options.debug
            || !call(navigator, "sendBeacon", &self.endpoint, body).is_truthy()
        {
            self.post(body, true);
        }
    }

    /// Sends a body by `fetch`, which reports the answer.
    fn post(&self, body: &JsValue, keepalive: bool) {
        let options = request(body);
        set(&options, "keepalive", &keepalive.into());
        set(&options, "credentials", &"omit".into());
        let answer = call(&browser().window, "fetch", &self.endpoint, &options);
        let answered = callback(Signal::Answered(body.clone(), keepalive));
        call(&answer, "then", &answered, &answered);
    }

    /// Handles the answer to a body, or the error of a failed request.
    pub fn answered(&mut self, body: &JsValue, keepalive: bool, answer: &JsValue) {
        let status = number(answer, "status");
        if status == 0.0 {
            return self.failed(body, keepalive, answer);
        }
        self.say(if is(answer, "ok") { "the server took it:" } else { "not taken:" }, &status.into());
        self.failing = BUSY.contains(&status);
        if self.failing {
            self.keep(body);
        }
        if self.options.debug {
            let text = call(answer, "text", &NOTHING, &NOTHING);
            let said = callback(Signal::Said);
            call(&text, "then", &said, &said);
        }
    }

    /// Handles a failed request. Browsers limit requests with `keepalive` to 64 KiB, so the first retry has none; it
    /// may succeed while the page lives. Sends nothing again without consent.
    fn failed(&mut self, body: &JsValue, keepalive: bool, error: &JsValue) {
        if !self.consent.is_given() {
            return;
        }
        if keepalive {
            self.post(body, false);
        } else {
            self.say("no answer:", error);
            self.failing = true;
            self.keep(body);
        }
    }

    /// Stores a body for the next page, if storage is allowed.
    fn keep(&self, body: &JsValue) {
        let (storage, mut text) = self.stored();
        if !text.is_empty() {
            text.push(char::from(BETWEEN));
        }
        text += &string(body);
        // Keeps the latest bodies.
        let mut kept = text.as_str();
        let bodies = text.bytes().filter(|byte| *byte == BETWEEN).count() + 1;
        for _ in KEPT_BODIES_MAX..bodies {
            kept = split(kept, BETWEEN).1.unwrap_or_default();
        }
        // Fails silently if the storage is full.
        call(&storage, "setItem", &KEY.into(), &kept.into());
    }

    /// Sends the bodies that an earlier page left in storage.
    pub fn retry(&self) {
        let (_, stored) = self.stored();
        if stored.is_empty() {
            return;
        }
        forget(LOCAL);
        let mut rest = Some(stored.as_str());
        while let Some(bodies) = rest {
            let (body, others) = split(bodies, BETWEEN);
            rest = others;
            // An older version kept an array.
            if !body.starts_with('[') {
                self.post(&body.into(), true);
            }
        }
    }

    /// The local storage and its bodies; undefined and empty if storage is not allowed.
    #[inline(never)]
    fn stored(&self) -> (JsValue, String) {
        if !self.consent.may_store() {
            return (JsValue::UNDEFINED, String::new());
        }
        let storage = get(&browser().window, LOCAL);
        let text = string(&call_with(&storage, "getItem", KEY));
        (storage, text)
    }

    /// Defers the current report with `fetchLater`, in case the page ends without an event.
    pub fn defer(&mut self) {
        self.cancel();
        let window = &browser().window;
        if !self.may_send() || !is(window, "fetchLater") {
            return;
        }
        let Ok(controller) = AbortController::new() else { return };
        for body in self.draft() {
            let options = request(&body);
            set(&options, "signal", &get(&controller, "signal"));
            // Throws if the browser's quota for deferred requests is used up; then nothing is deferred.
            call(window, "fetchLater", &self.endpoint, &options);
        }
        self.deferred = controller.into();
    }

    /// Cancels the deferred requests.
    pub fn cancel(&mut self) {
        call(&self.deferred, "abort", &NOTHING, &NOTHING);
    }
}

fn request(body: &JsValue) -> JsValue {
    let mut options = Object::default();
    options.text("method", "POST");
    let options = object(&Json::Object(options));
    set(&options, "body", body);
    options
}
