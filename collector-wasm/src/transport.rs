//! Beacons on their way: by `sendBeacon`, by `fetch` where an answer is wanted, left with the browser, or waiting in
//! storage for the next page.

use crate::consent::{LOCAL, forget};
use crate::explain::split;
use crate::page::{NOTHING, browser, call, call_with, get, is, number, object, set, string};
use crate::signal::{Signal, callback};
use crate::state::Collector;
use vitals::beacon::write::{Json, Object};
use vitals::limits::KEPT_BODIES_MAX;
use wasm_bindgen::prelude::JsValue;
use web_sys::AbortController;

/// The key of everything that is stored.
pub const KEY: &str = "fieldvitals";
/// What stands between bodies in storage. JSON has no line breaks of its own here.
const BETWEEN: u8 = b'\n';
/// Answers of a server that does not take beacons now.
const BUSY: [f64; 2] = [429.0, 503.0];

impl Collector {
    /// Sends a body. Without a network, or where the server refused before and the page will hear of no answer, it
    /// waits for the next page.
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

    /// Sends a body and looks at the answer.
    fn post(&self, body: &JsValue, keepalive: bool) {
        let options = request(body);
        set(&options, "keepalive", &keepalive.into());
        set(&options, "credentials", &"omit".into());
        let answer = call(&browser().window, "fetch", &self.endpoint, &options);
        let answered = callback(Signal::Answered(body.clone(), keepalive));
        call(&answer, "then", &answered, &answered);
    }

    /// Looks at the answer to a body, or at the error for want of one.
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

    /// Browsers let 64 KiB outlive their page; what is more may still come through while the page is there. Without
    /// consent nothing is sent again.
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

    /// Puts a body into storage for the next page, where that is allowed.
    fn keep(&self, body: &JsValue) {
        let (storage, mut text) = self.stored();
        if !text.is_empty() {
            text.push(char::from(BETWEEN));
        }
        text += &string(body);
        // The latest stay.
        let mut kept = text.as_str();
        let bodies = text.bytes().filter(|byte| *byte == BETWEEN).count() + 1;
        for _ in KEPT_BODIES_MAX..bodies {
            kept = split(kept, BETWEEN).1.unwrap_or_default();
        }
        // Storage that is full takes no more.
        call(&storage, "setItem", &KEY.into(), &kept.into());
    }

    /// Sends what an earlier page has left in storage.
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

    /// The storage of the origin and what waits in it; undefined where nothing may be stored.
    #[inline(never)]
    fn stored(&self) -> (JsValue, String) {
        if !self.consent.may_store() {
            return (JsValue::UNDEFINED, String::new());
        }
        let storage = get(&browser().window, LOCAL);
        let text = string(&call_with(&storage, "getItem", KEY));
        (storage, text)
    }

    /// Leaves with the browser what it is to send should the page end without a word.
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
            // A browser that leaves no room for it sends nothing later.
            call(window, "fetchLater", &self.endpoint, &options);
        }
        self.deferred = controller.into();
    }

    /// Takes back what was left with the browser.
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
