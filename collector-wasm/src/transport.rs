//! Sends beacons: by `sendBeacon`, by `fetch` if the collector needs the answer, by `fetchLater`, or from storage on
//! the next page.

use crate::consent::forget;
use crate::explain::split;
use crate::names;
use crate::page::{
    Js, call, call_with, create, get, hold, is, keep, number, object, put_flag, put_number, put_text, say,
    set, string,
};
use crate::signal::{Signal, callback, callback_about};
use crate::state::Collector;
use vitals::limits::KEPT_BODIES_MAX;

/// Separator of bodies in storage. The JSON bodies contain no line breaks.
const BETWEEN: u8 = b'\n';
/// Status codes of a server that refuses beacons for now.
const BUSY: [f64; 2] = [429.0, 503.0];

impl Collector {
    /// Sends a body. Stores it for the next page if the browser is offline, or if the last request failed and the page
    /// is being left, because no answer would arrive.
    pub fn send(&self, body: Js) {
        say("sends", body);
        let stores = self.consent.may_store();
        if stores && (!is(Js::NAVIGATOR, names::ON_LINE) || (self.failing && self.leaving)) {
            self.store(body);
        } else if (stores && !self.leaving)
            || self.options.debug
            || !is(call(Js::NAVIGATOR, names::SEND_BEACON, Js::ENDPOINT, body), Js::ITSELF)
        {
            self.post(body, true);
        }
    }

    /// Sends a body by `fetch`, which reports the answer.
    fn post(&self, body: Js, keepalive: bool) {
        let options = request(body);
        set(options, names::KEEPALIVE, put_flag(keepalive));
        set(options, names::CREDENTIALS, names::OMIT);
        let answer = call(Js::WINDOW, names::FETCH, Js::ENDPOINT, options);
        if !answer.exists() {
            return self.store(body);
        }
        let signal = if keepalive { Signal::ANSWERED } else { Signal::ANSWERED_AGAIN };
        let answered = callback_about(signal, keep(body));
        call(answer, names::THEN, answered, answered);
    }

    /// Handles the answer to a body, or the error of a failed request.
    pub fn answered(&mut self, body: Js, keepalive: bool, answer: Js) {
        let status = number(answer, names::STATUS);
        if status == 0.0 {
            return self.failed(body, keepalive, answer);
        }
        say(if is(answer, names::OK) { "the server took it:" } else { "not taken:" }, put_number(status));
        self.failing = BUSY.contains(&status);
        if self.failing {
            self.store(body);
        }
        if self.options.debug {
            let text = call_with(answer, names::TEXT, Js::NOTHING);
            let said = callback(Signal::SAID);
            call(text, names::THEN, said, said);
        }
    }

    /// Handles a failed request. Browsers limit requests with `keepalive` to 64 KiB, so the first retry has none; it
    /// may succeed while the page lives. Sends nothing again without consent.
    fn failed(&mut self, body: Js, keepalive: bool, error: Js) {
        if !self.consent.is_given() {
            return;
        }
        if keepalive {
            self.post(body, false);
        } else {
            say("no answer:", error);
            self.failing = true;
            self.store(body);
        }
    }

    /// Stores a body for the next page, if storage is allowed.
    fn store(&self, body: Js) {
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
        call(storage, names::SET_ITEM, names::KEY, put_text(kept));
    }

    /// Sends the bodies that an earlier page left in storage.
    pub fn retry(&self) {
        let (_, stored) = self.stored();
        if stored.is_empty() {
            return;
        }
        forget(names::LOCAL_STORAGE);
        let mut rest = Some(stored.as_str());
        while let Some(bodies) = rest {
            let (body, others) = split(bodies, BETWEEN);
            rest = others;
            // An older version kept an array.
            if !body.starts_with('[') {
                self.post(put_text(body), true);
            }
        }
    }

    /// The local storage and its bodies; nothing and empty if storage is not allowed.
    #[inline(never)]
    fn stored(&self) -> (Js, String) {
        if !self.consent.may_store() {
            return (Js::NOTHING, String::new());
        }
        let storage = get(Js::WINDOW, names::LOCAL_STORAGE);
        let text = string(call_with(storage, names::GET_ITEM, names::KEY));
        (storage, text)
    }

    /// Defers the current report with `fetchLater`, in case the page ends without an event.
    pub fn defer(&mut self) {
        self.cancel();
        if !self.may_send() || !is(Js::WINDOW, names::FETCH_LATER) {
            return;
        }
        let controller = create(names::ABORT_CONTROLLER, Js::NOTHING);
        // A report that cannot be canceled would be sent after a withdrawn consent.
        if !controller.exists() {
            return;
        }
        for body in self.draft() {
            let options = request(body);
            set(options, names::SIGNAL, get(controller, names::SIGNAL));
            // Throws if the browser's quota for deferred requests is used up; then nothing is deferred.
            call(Js::WINDOW, names::FETCH_LATER, Js::ENDPOINT, options);
        }
        hold(Js::DEFERRED, controller);
    }

    /// Cancels the deferred requests.
    pub fn cancel(&mut self) {
        call_with(Js::DEFERRED, names::ABORT, Js::NOTHING);
    }
}

fn request(body: Js) -> Js {
    let options = object();
    set(options, names::METHOD, names::POST);
    set(options, names::BODY, body);
    options
}
