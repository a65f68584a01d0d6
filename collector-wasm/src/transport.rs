//! Sends beacons: by `sendBeacon`, by `fetch` if the collector needs the answer, by `fetchLater`, or from storage on
//! the next page.

use crate::consent::forget;
use crate::names;
use crate::page::{
    Js, call, call_with, create, get, hold, is, items, joined, keep, matched, number, object, put_flag,
    put_number, say, set, text,
};
use crate::signal::{Signal, callback, callback_about};
use crate::state::Collector;
use vitals::limits::KEPT_BODIES_MAX;

/// Status codes of a server that refuses beacons for now.
const BUSY: [f64; 2] = [429.0, 503.0];

impl Collector {
    /// Sends a body. Stores it for the next page if the browser is offline, or if the last request failed and the page
    /// is being left, because no answer would arrive.
    pub fn send(&self, body: Js) {
        say(names::SENDS, body);
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
        say(if is(answer, names::OK) { names::TAKEN } else { names::NOT_TAKEN }, put_number(status));
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
            say(names::NO_ANSWER, error);
            self.failing = true;
            self.store(body);
        }
    }

    /// Stores a body for the next page, if storage is allowed.
    fn store(&self, body: Js) {
        let (storage, stored) = self.stored();
        // The JSON bodies contain no line breaks.
        let bodies = if stored.exists() { joined(stored, names::LINE_BREAK, body) } else { body };
        let bodies = call_with(bodies, names::SPLIT, names::LINE_BREAK);
        // Keeps the latest bodies.
        let latest = call_with(bodies, names::SLICE, put_number(-(KEPT_BODIES_MAX as f64)));
        // Fails silently if the storage is full.
        call(storage, names::SET_ITEM, names::KEY, call_with(latest, names::JOIN, names::LINE_BREAK));
    }

    /// Sends the bodies that an earlier page left in storage.
    pub fn retry(&self) {
        let (_, stored) = self.stored();
        if !stored.exists() {
            return;
        }
        forget(names::LOCAL_STORAGE);
        for body in items(call_with(stored, names::SPLIT, names::LINE_BREAK), Js::ITSELF) {
            // An older version kept an array.
            let body = matched(body, names::NO_ARRAY);
            if body.exists() {
                self.post(body, true);
            }
        }
    }

    /// The local storage and its bodies; both nothing if storage is not allowed.
    fn stored(&self) -> (Js, Js) {
        let storage =
            if self.consent.may_store() { get(Js::WINDOW, names::LOCAL_STORAGE) } else { Js::NOTHING };
        (storage, text(call_with(storage, names::GET_ITEM, names::KEY), Js::ITSELF))
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
