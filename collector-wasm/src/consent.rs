//! Holds the visitor's consent to measuring and storage, and the decision whether this page view is in the sample.

use crate::names;
use crate::options::Options;
use crate::page::{Js, call, call_with, counted, get, is, put_number, says};

/// The visitor's consent, and the sampling decision.
#[derive(Debug)]
pub struct Consent {
    /// Whether the module may send data.
    allowed: bool,
    /// Whether the module may store data in the browser.
    storage: bool,
    /// Whether the visitor opts out (Global Privacy Control, Do Not Track). The module then counts the page view only.
    pub quiet: bool,
    /// Whether sampling excludes this page view.
    pub out: bool,
}

impl Consent {
    /// No consent.
    pub const NONE: Self = Self { allowed: false, storage: false, quiet: false, out: false };

    /// The consent given by the tag and the page so far.
    pub fn of(options: &Options) -> Self {
        Self {
            allowed: is(Js::PAGE, names::CONSENT),
            storage: options.storage,
            quiet: is(Js::NAVIGATOR, names::GLOBAL_PRIVACY_CONTROL)
                || says(Js::NAVIGATOR, names::DO_NOT_TRACK, names::ONE),
            out: is(Js::PAGE, names::OUT),
        }
    }

    /// Sets the consent given by the page.
    pub fn say(&mut self, given: bool, options: &Options) {
        self.allowed = given;
        self.storage = given;
        if given {
            self.sample(options);
        } else {
            forget(names::LOCAL_STORAGE);
            forget(names::SESSION_STORAGE);
        }
    }

    /// Whether the module may send data.
    pub const fn is_given(&self) -> bool {
        self.allowed
    }

    /// Whether the module may send page views.
    pub const fn may_send(&self) -> bool {
        self.allowed && !self.out
    }

    /// Whether the module may store beacons in the browser.
    pub const fn may_store(&self) -> bool {
        self.storage && self.allowed && !self.quiet
    }

    /// Decides sampling by one random number per session, if the module may store it.
    pub fn sample(&mut self, options: &Options) {
        if options.sample.is_nan() || !self.may_store() {
            return;
        }
        let storage = get(Js::WINDOW, names::SESSION_STORAGE);
        if !storage.exists() {
            return;
        }
        let stored = call_with(storage, names::GET_ITEM, names::KEY);
        // `null` would convert to 0.
        let mut drawn = if stored.exists() { counted(stored, Js::ITSELF) } else { f64::NAN };
        if drawn.is_nan() || drawn < 0.0 {
            drawn = js_sys::Math::random();
            // If the storage is full, each view draws its own number.
            call(storage, names::SET_ITEM, names::KEY, put_number(drawn));
        }
        self.out = drawn >= options.sample;
    }
}

/// Removes the data in one of the origin's storages. Ignores failures, because a storage that allows no removal
/// allowed no write.
pub fn forget(storage: Js) {
    call_with(get(Js::WINDOW, storage), names::REMOVE_ITEM, names::KEY);
}
