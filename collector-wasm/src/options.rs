//! The options of the tag.

use crate::page::{browser, counted, get, is, says, text};
use wasm_bindgen::prelude::JsValue;

/// `data-*` attributes of the tag, or parameters of its URL.
#[derive(Debug)]
pub struct Options {
    /// The site's public key.
    pub site: String,
    /// The share of page views that are sent, as the tag says it; NaN where it says none.
    pub sample: f64,
    /// Whether the tag allows storage.
    pub storage: bool,
    /// Whether the console is to be told.
    pub debug: bool,
}

impl Options {
    /// Those of this page.
    pub fn of(page: &JsValue) -> Self {
        let data = get(page, "data");
        Self {
            site: text(&data, "site"),
            sample: if is(&data, "sample") { counted(&get(&data, "sample")) } else { f64::NAN },
            storage: says(&data, "consent", "granted"),
            debug: !get(&data, "debug").is_undefined(),
        }
    }

    /// An option that is read where it is needed; empty where the tag has none.
    #[inline(never)]
    pub fn text(name: &str) -> String {
        text(&get(&browser().page, "data"), name)
    }

    /// The share of page views that are sent; 1 where `data-sample` says none.
    pub fn share(&self) -> f64 {
        if self.sample > 0.0 && self.sample <= 1.0 { self.sample } else { 1.0 }
    }
}
