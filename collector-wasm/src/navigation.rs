//! Navigations inside the document: where the history has moved, what the page calls it, and what the browser tells
//! of it. Which of them begin a page view is decided by [`vitals::metrics::views`].

use crate::explain::{cut, paint, without_query};
use crate::page::{NOTHING, browser, call, get, now, number, string, text};
use crate::state::Collector;
use vitals::beacon::DROPPED_URL;
use vitals::entry::Item;
use vitals::limits::{CLICK_TO_MOVE_MS, ROUTE_BYTES_MAX, SOFT_PAINTS_MAX, URL_BYTES_MAX};
use vitals::metrics::views::Cause;
use wasm_bindgen::prelude::JsValue;

/// A view begins just after the click that made it, which belongs to the view before.
const AFTER_CLICK_MS: f64 = 0.001;

/// The URL without query and fragment.
fn here() -> String {
    let href = text(&get(&browser().window, "location"), "href");
    let end = without_query(&href).len();
    cut(href, end)
}

/// The URL to send; empty where the page's hook drops the view.
fn url() -> String {
    let url = call(&browser().page, "pageUrl", &NOTHING, &NOTHING);
    cut(string(&url), URL_BYTES_MAX)
}

impl Collector {
    /// Looks whether the history has moved. A new query or fragment alone is no move.
    pub fn moved(&mut self, at: f64) {
        let here = here();
        if here == self.here {
            return;
        }
        self.here = here;
        let mut url = url();
        if url.is_empty() {
            DROPPED_URL.clone_into(&mut url);
        }
        self.count();
        let url = self.texts.url(url);
        self.take(&Item::Moved { at, id: self.draw(at), url, route: 0 });
    }

    /// The page names its route.
    pub fn named(&mut self, route: String) {
        let at = now();
        self.moved(at);
        self.count();
        let route = self.texts.place(cut(route, ROUTE_BYTES_MAX));
        self.take(&Item::Named { at, id: self.draw(at), route });
    }

    /// The browser tells afterwards which interaction made a navigation that its history has told already.
    pub fn soft_navigation(&mut self, entry: &JsValue) {
        let start = number(entry, "startTime");
        let view = self.document.later().iter().rev().find(|view| {
            view.cause == Cause::Soft && (start..start + CLICK_TO_MOVE_MS).contains(&view.start)
        });
        let Some(id) = view.map(|view| view.id) else { return };
        if self.began.iter().any(|(known, _)| *known == id) {
            return;
        }
        let interaction = number(entry, "interactionId");
        if self.began.len() >= SOFT_PAINTS_MAX {
            self.began.remove(0);
        }
        self.began.push((id, interaction));
        self.take(&Item::Moved { at: start + AFTER_CLICK_MS, id, url: 0, route: 0 });
        self.take(&Item::SoftPaint(painted(entry)));
        // Those of other interactions are kept again.
        for paint in std::mem::take(&mut self.paints) {
            self.soft_paint(&paint);
        }
    }

    /// A paint that an interaction has caused.
    pub fn soft_paint(&mut self, entry: &JsValue) {
        let interaction = number(entry, "interactionId");
        if self.began.iter().any(|(_, known)| *known == interaction) {
            let (at, largest) = (painted(entry), get(entry, "largestContentfulPaint"));
            self.take(&Item::SoftPaint(at));
            if self.explains() {
                let detail = paint(&mut self.texts, at, &largest, &get(&largest, "element"));
                self.paint = Some((text(&largest, "url"), detail));
                self.take(&Item::Detail(detail));
            }
        } else {
            if self.paints.len() >= SOFT_PAINTS_MAX {
                self.paints.remove(0);
            }
            self.paints.push(entry.clone());
        }
    }
}

/// When what an interaction has caused was shown.
fn painted(entry: &JsValue) -> f64 {
    let presented = number(entry, "presentationTime");
    if presented > 0.0 { presented } else { number(entry, "paintTime") }
}
