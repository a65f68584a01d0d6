//! All signals with which the browser and the page call the module. One exported function takes all of them.

use crate::limits::{DEFER_MS, REPORT_MS};
use crate::names;
use crate::page::{Js, call_with, keep, now, release, say};
use crate::state::{Collector, work};
use vitals::entry::Item;
use wasm_bindgen::prelude::wasm_bindgen;

/// The reason for a call of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(i32);

impl Signal {
    /// The snippet hands over all data.
    pub const TAKE_OVER: Self = Self(0);
    /// The snippet has an item.
    pub const PUSH: Self = Self(1);
    /// An event of the page, or a move of the history.
    pub const EVENT: Self = Self(2);
    /// The page calls its interface.
    pub const CALL: Self = Self(3);
    /// The observer has entries.
    pub const OBSERVED: Self = Self(4);
    /// The next slice of pending entries is due.
    pub const SLICE: Self = Self(5);
    /// A report of an interaction that came after the page was hidden.
    pub const LATE: Self = Self(6);
    /// [`DEFER_MS`] have passed.
    pub const TICK: Self = Self(7);
    /// The document may have been opened anew.
    pub const OPENED: Self = Self(8);
    /// A frame begins; one more frame must follow it.
    pub const FRAME: Self = Self(9);
    /// The awaited frame begins.
    pub const PAINT: Self = Self(10);
    /// The server has answered a body, or the request failed; the request had `keepalive`.
    pub const ANSWERED: Self = Self(11);
    /// The same, without `keepalive`.
    pub const ANSWERED_AGAIN: Self = Self(12);
    /// The text of an answer has arrived.
    pub const SAID: Self = Self(13);
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = callback)]
    fn callback_of(signal: i32, subject: Js) -> Js;
}

/// Takes a signal. `subject` is the value with which [`callback_about`] was called, `argument` the callback's argument.
#[wasm_bindgen]
pub fn take(signal: i32, subject: Js, argument: Js) {
    work(Signal(signal), subject, argument);
}

/// A function that gives this signal. No exception leaves it.
pub fn callback(signal: Signal) -> Js {
    callback_about(signal, Js::NOTHING)
}

/// A function that gives this signal about a value, which must be a kept one.
pub fn callback_about(signal: Signal, subject: Js) -> Js {
    callback_of(signal.0, subject)
}

impl Collector {
    /// Handles a signal.
    pub fn receive(&mut self, signal: Signal, subject: Js, argument: Js) {
        if !matches!(signal, Signal::TAKE_OVER | Signal::OBSERVED | Signal::SLICE) {
            self.settle();
        }
        match signal {
            Signal::TAKE_OVER => {
                self.take_over();
                self.request_slice();
            }
            Signal::PUSH => {
                if let Some(item) = &self.queued(argument) {
                    self.take(item);
                }
            }
            Signal::EVENT => self.event(argument),
            Signal::CALL => self.call(argument),
            Signal::OBSERVED => {
                self.pending.push(keep(call_with(argument, names::GET_ENTRIES, Js::NOTHING)));
                if self.is_ready {
                    self.slice();
                }
            }
            Signal::SLICE => {
                self.is_slice_due = false;
                self.slice();
            }
            Signal::LATE => self.flush(false),
            Signal::TICK => {
                self.ticks += 1;
                if self.ticks.is_multiple_of(REPORT_MS / DEFER_MS) {
                    self.flush(false);
                } else {
                    self.defer();
                }
            }
            Signal::OPENED => self.listen(),
            Signal::FRAME => self.frame(Signal::PAINT),
            Signal::PAINT => self.take(&Item::RestorePaint(now())),
            Signal::ANSWERED | Signal::ANSWERED_AGAIN => {
                self.answered(subject, signal == Signal::ANSWERED, argument);
                release(subject);
            }
            _ => say(names::SAID, argument),
        }
    }
}
