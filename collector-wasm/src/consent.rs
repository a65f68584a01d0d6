//! What the visitor has allowed: measuring, storage, and whether this page view is in the sample.

use crate::options::Options;
use crate::page::{browser, call, call_with, counted, get, is, says};
use crate::transport::KEY;
use wasm_bindgen::prelude::JsValue;

/// What is allowed.
#[derive(Debug)]
pub struct Consent {
    /// Whether anything may be sent.
    allowed: bool,
    /// Whether anything may be stored.
    storage: bool,
    /// Whether the visitor asks to be left alone (Global Privacy Control, Do Not Track): counted, and nothing else.
    pub quiet: bool,
    /// Whether this page view is left out of the sample.
    pub out: bool,
}

impl Consent {
    /// As the tag and the page have said so far.
    pub fn of(page: &JsValue, options: &Options) -> Self {
        let navigator = &browser().navigator;
        Self {
            allowed: is(page, "consent"),
            storage: options.storage,
            quiet: is(navigator, "globalPrivacyControl") || says(navigator, "doNotTrack", "1"),
            out: is(page, "out"),
        }
    }

    /// The page's word.
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

    /// Whether anything may be sent.
    pub const fn is_given(&self) -> bool {
        self.allowed
    }

    /// Whether page views may be sent.
    pub const fn may_send(&self) -> bool {
        self.allowed && !self.out
    }

    /// Whether beacons may wait in the browser's storage.
    pub const fn may_store(&self) -> bool {
        self.storage && self.allowed && !self.quiet
    }

    /// Where it may be stored, one number decides for the whole session.
    pub fn sample(&mut self, options: &Options) {
        if options.sample.is_nan() || !self.may_store() {
            return;
        }
        let storage = get(&browser().window, SESSION);
        if !storage.is_object() {
            return;
        }
        let stored = call_with(&storage, "getItem", KEY);
        // `null` counts as 0.
        let mut drawn = if stored.is_string() { counted(&stored) } else { f64::NAN };
        if drawn.is_nan() || drawn < 0.0 {
            drawn = js_sys::Math::random();
            // Without room each view is drawn by itself.
            call(&storage, "setItem", &KEY.into(), &drawn.into());
        }
        self.out = drawn >= options.sample;
    }
}

/// The storages of the origin, where the browser gives them.
pub const LOCAL: &str = "localStorage";
const SESSION: &str = "sessionStorage";

/// Removes what is stored. What cannot be removed could not be stored.
pub fn forget(storage: &str) {
    call_with(&get(&browser().window, storage), "removeItem", KEY);
}
