//! Handles navigations inside the document: moves of the history, routes named by the page, and soft navigations
//! reported by the browser. [`vitals::metrics::views`] decides which of them begin a page view.

use crate::explain::paint;
use crate::limits::SOFT_PAINTS_MAX;
use crate::names;
use crate::page::{
    Js, call_with, cut, get, hold, keep, matched, now, number, place, place_url, release, same, text,
};
use crate::state::Collector;
use vitals::beacon::write::Own;
use vitals::entry::Item;
use vitals::limits::{CLICK_TO_MOVE_MS, ROUTE_BYTES_MAX, URL_BYTES_MAX};
use vitals::metrics::views::Cause;
use vitals::view::ViewId;

/// Time within which changes get later times, in milliseconds: a thousand calls at one time of the clock.
const STANDING_MS: f64 = 1.0;
/// The shortest difference of two times, in milliseconds: values are whole microseconds. A view starts so long after
/// its click, because the click itself belongs to the view before.
const TICK_MS: f64 = 0.001;

/// The URL without query and fragment.
fn here() -> Js {
    matched(text(get(Js::WINDOW, names::LOCATION), names::HREF), names::WITHOUT_QUERY)
}

/// The URL to send; nothing if the page's hook drops the view.
fn url() -> Js {
    cut(text(call_with(Js::PAGE, names::PAGE_URL, Js::NOTHING), Js::ITSELF), URL_BYTES_MAX as i32)
}

impl Collector {
    /// Checks whether the history has moved. A change of only the query or the fragment is no move.
    pub fn moved(&mut self, at: f64) {
        let here = here();
        if same(here, Js::HERE) {
            return;
        }
        hold(Js::HERE, here);
        let url = place_url(url());
        self.count();
        // A URL without a place is dropped, too.
        let url = if url == 0 { Own::Dropped as u32 } else { url };
        let at = self.after_changes(at);
        self.take(&Item::Moved { at, id: self.draw(at), url, route: 0 });
    }

    /// The time of a change, which is later than the change before. The clock of a browser may stand still between two
    /// calls of the page, and changes at the same time would be ordered by their ids.
    fn after_changes(&mut self, at: f64) -> f64 {
        let stands = at <= self.changed && at > self.changed - STANDING_MS;
        self.changed = if stands { self.changed + TICK_MS } else { at };
        self.changed
    }

    /// Handles a route named by the page. It may begin a view if `begins`.
    pub fn named(&mut self, route: Js, begins: bool) {
        let at = now();
        self.moved(at);
        self.count();
        let route = place(cut(route, ROUTE_BYTES_MAX as i32));
        let at = self.after_changes(at);
        let id = if begins { self.draw(at) } else { ViewId::NONE };
        self.take(&Item::Named { at, id, route });
    }

    /// Handles a soft-navigation entry. The browser reports it late; it names the interaction behind a navigation that
    /// the history has already shown.
    pub fn soft_navigation(&mut self, entry: Js) {
        let start = number(entry, names::START_TIME);
        let view = self.document.later().iter().rev().find(|view| {
            view.cause == Cause::Soft && (start..start + CLICK_TO_MOVE_MS).contains(&view.start)
        });
        let Some(id) = view.map(|view| view.id) else { return };
        if self.began.iter().any(|(known, _)| *known == id) {
            return;
        }
        let interaction = number(entry, names::INTERACTION_ID);
        if self.began.len() >= SOFT_PAINTS_MAX {
            self.began.remove(0);
        }
        self.began.push((id, interaction));
        self.take(&Item::Moved { at: start + TICK_MS, id, url: 0, route: 0 });
        self.take(&Item::SoftPaint(painted(entry)));
        // Keeps the paints of other interactions.
        for paint in std::mem::take(&mut self.paints) {
            self.soft_paint(paint);
            release(paint);
        }
    }

    /// Handles a paint caused by an interaction.
    pub fn soft_paint(&mut self, entry: Js) {
        let interaction = number(entry, names::INTERACTION_ID);
        if self.began.iter().any(|(_, known)| *known == interaction) {
            let (at, largest) = (painted(entry), get(entry, names::LARGEST_CONTENTFUL_PAINT_OF));
            self.take(&Item::SoftPaint(at));
            if self.explains() {
                let detail = &paint(at, largest, get(largest, names::ELEMENT));
                self.painted(largest, detail);
                self.document.explain(detail);
            }
        } else {
            if self.paints.len() >= SOFT_PAINTS_MAX {
                release(self.paints.remove(0));
            }
            self.paints.push(keep(entry));
        }
    }
}

/// The time at which the browser showed the effect of an interaction, in milliseconds.
fn painted(entry: Js) -> f64 {
    let presented = number(entry, names::PRESENTATION_TIME);
    if presented > 0.0 { presented } else { number(entry, names::PAINT_TIME) }
}
