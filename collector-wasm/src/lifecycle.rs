//! Follows the life of the page: its events, the frames after a restore, and the times to report.

use crate::limits::DEFER_MS;
use crate::names;
use crate::page::{
    Js, attempt, call, call_with, create, get_by, hold, is, keep, listen, named, number, object, same, set,
};
use crate::signal::{Signal, callback};
use crate::state::Collector;
use gloo_timers::callback::Interval;
use vitals::entry::Item;

/// Number of events that the snippet also listens to, from [`names::CLICK`] on.
const EVENTS: i32 = 5;

/// Reports periodically while the page lives. Must not run inside [`crate::state::work`], because a page's own timers
/// may throw.
///
/// Some pages stay open for days, and some browsers end a page without an event. One report per minute limits the
/// loss and the number of beacons. An idle page sends none. Between reports, the module defers a report with the
/// browser (`fetchLater`), in case the page ends.
pub fn keep_time() {
    let tick = keep(callback(Signal::TICK));
    std::mem::forget(Interval::new(DEFER_MS, move || {
        // The callback catches all exceptions.
        attempt(tick, Js::NOTHING);
    }));
}

impl Collector {
    /// Adds the listeners, and adds them again whenever the document is opened anew.
    pub fn live(&self) {
        // The document may have been opened anew before the module loaded.
        self.listen();
        let observer = create(names::MUTATION_OBSERVER, callback(Signal::OPENED));
        let options = object();
        set(options, names::CHILD_LIST, Js::TRUE);
        call(observer, names::OBSERVE, Js::DOCUMENT, options);
    }

    /// Adds the listeners. A document that is opened anew loses all its listeners.
    pub fn listen(&self) {
        for place in 0..EVENTS {
            listen(names::CLICK.plus(place));
        }
    }

    /// Handles an event or a move of the history.
    ///
    /// A page that is being left counts as hidden, even if the browser reports the change only later. The module
    /// reports such a page at once, because the page may be gone afterwards.
    pub fn event(&mut self, event: Js) {
        // The snippet's listener and the module's listener may both deliver an event.
        if same(event, Js::EVENT) {
            return;
        }
        hold(Js::EVENT, event);
        let (kind, at) = (named(event, names::TYPE), number(event, names::TIME_STAMP));
        let left = kind == names::PAGEHIDE;
        let hidden = left || is(get_by(names::DOCUMENT_CLASS, Js::DOCUMENT, names::HIDDEN), Js::ITSELF);
        if (kind == names::CLICK || kind == names::KEYDOWN) && is(event, names::IS_TRUSTED) {
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
        if !left && is(event, names::PERSISTED) {
            self.take(&Item::Restore { at, id: self.draw(at) });
            self.ask();
            // The first frame starts to show the page; the page is visible at the second one.
            self.frame(Signal::FRAME);
        }
    }

    /// Requests an animation frame, which gives the signal. A browser without frames has nothing to wait for.
    pub fn frame(&self, signal: Signal) {
        call_with(Js::WINDOW, names::REQUEST_ANIMATION_FRAME, callback(signal));
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
