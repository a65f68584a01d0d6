//! Holds the visitor's consent to measuring and storage, and the decision whether this page view is in the sample.

use crate::options::Options;
use crate::page::{browser, call, call_with, counted, get, is, says};
use crate::transport::KEY;
use wasm_bindgen::prelude::JsValue;

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
    /// The consent given by the tag and the page so far.
    pub fn of(page: &JsValue, options: &Options) -> Self {
        let navigator = &browser().navigator;
        Self {
            allowed: is(page, "consent"),
            storage: options.storage,
            quiet: is(navigator, "globalPrivacyControl") || says(navigator, "doNotTrack", "1"),
            out: is(page, "out"),
        }
    }

    /// Sets the consent given by the page.
    pub fn say(&mut self, given: bool, options: &Options) {
        self.allowed = given;
        self.storage = given;
        if given {
            self.sample(options);
        } else {
            forget(LOCAL);
            forget(SESSION);
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
        let storage = get(&browser().window, SESSION);
        if !storage.is_object() {
            return;
        }
        let stored = call_with(&storage, "getItem", KEY);
        // `null` would convert to 0.
        let mut drawn = if stored.is_string() { counted(&stored) } else { f64::NAN };
        if drawn.is_nan() || drawn < 0.0 {
            drawn = js_sys::Math::random();
            // If the storage is full, each view draws its own number.
            call(&storage, "setItem", &KEY.into(), &drawn.into());
        }
        self.out = drawn >= options.sample;
    }
}

/// The names of the origin's storages on the window.
pub const LOCAL: &str = "localStorage";
const SESSION: &str = "sessionStorage";

/// Removes the stored data. Ignores failures, because a storage that allows no removal allowed no write.
pub fn forget(storage: &str) {
    call_with(&get(&browser().window, storage), "removeItem", KEY);
}
