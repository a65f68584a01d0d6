//! The options of the tag.

use crate::names;
use crate::page::{Js, counted, get, is, place, says, text};

/// `data-*` attributes of the tag, or parameters of its URL.
#[derive(Debug)]
pub struct Options {
    /// The place of the site's public key.
    pub site: u32,
    /// The share of page views to send, as written in the tag; NaN if absent.
    pub sample: f64,
    /// Whether the tag allows storage.
    pub storage: bool,
    /// Whether the module logs to the console.
    pub debug: bool,
}

impl Options {
    /// No options.
    pub const NONE: Self = Self { site: 0, sample: f64::NAN, storage: false, debug: false };

    /// The options of this page.
    pub fn of_page() -> Self {
        Self {
            site: place(text(Js::DATA, names::SITE)),
            sample: if is(Js::DATA, names::SAMPLE) { counted(Js::DATA, names::SAMPLE) } else { f64::NAN },
            storage: says(Js::DATA, names::CONSENT, names::GRANTED),
            debug: get(Js::DATA, names::DEBUG).exists(),
        }
    }

    /// The share of page views to send; 1 without a valid `data-sample`.
    pub fn share(&self) -> f64 {
        if self.sample > 0.0 && self.sample <= 1.0 { self.sample } else { 1.0 }
    }
}
