//! Everything by which the browser and the page call the module. One kind of function serves all of them, as each
//! kind would be in the module once more.

use crate::limits::{DEFER_MS, REPORT_MS};
use crate::observe;
use crate::page::{browser, now};
use crate::state::{Collector, work};
use js_sys::Function;
use std::rc::Rc;
use vitals::entry::Item;
use wasm_bindgen::prelude::{Closure, JsValue};

/// Why the module is called.
pub enum Signal {
    /// The snippet hands everything over.
    TakeOver,
    /// The snippet has an item.
    Push,
    /// Something has happened to the page.
    Event,
    /// The page calls its interface.
    Call,
    /// The observer has entries.
    Observed,
    /// The next slice of pending entries is due.
    Slice,
    /// A report of an interaction is due that came after the page was hidden.
    Late,
    /// [`DEFER_MS`] have passed.
    Tick,
    /// The document may have been opened anew.
    Opened,
    /// A frame begins, this many before the one that is waited for.
    Frame(u32),
    /// The server has answered a body, or it could not be sent, or not with `keepalive`.
    Answered(JsValue, bool),
    /// The text of an answer is there.
    Said,
}

/// A function that gives this signal. Nothing that goes wrong in it reaches the page.
pub fn callback(signal: Signal) -> Function {
    let signal = Rc::new(signal);
    let run = Closure::<dyn Fn(JsValue)>::new(move |argument| work(&signal, argument));
    browser().page.guard(run.into_js_value())
}

impl Collector {
    /// Works on a signal.
    pub fn receive(&mut self, signal: &Signal, argument: &JsValue) {
        if !matches!(signal, Signal::TakeOver | Signal::Observed | Signal::Slice) {
            self.settle();
        }
        match signal {
            Signal::TakeOver => {
                self.take_over();
                self.request_slice();
            }
            Signal::Push => {
                if let Some(item) = self.queued(argument) {
                    self.take(&item);
                }
            }
            Signal::Event => self.event(argument),
            Signal::Call => self.call(argument),
            Signal::Observed => {
                self.pending.push(observe::entries(argument));
                if self.is_ready {
                    self.slice();
                }
            }
            Signal::Slice => {
                self.is_slice_due = false;
                self.slice();
            }
            Signal::Late => self.flush(false),
            Signal::Tick => {
                self.ticks += 1;
                if self.ticks.is_multiple_of(REPORT_MS / DEFER_MS) {
                    self.flush(false);
                } else {
                    self.defer();
                }
            }
            Signal::Opened => self.listen(),
            Signal::Frame(0) => self.take(&Item::RestorePaint(now())),
            Signal::Frame(frames) => self.frame(frames - 1),
            Signal::Answered(body, keepalive) => self.answered(body, *keepalive, argument),
            Signal::Said => self.say("it said:", argument),
        }
    }
}
