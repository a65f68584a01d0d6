//! Which moves of the history, names and restores begin a page view.
//!
//! The changes that are kept are replayed in order of time, so the views follow from the facts alone and not
//! from the order in which they were told:
//!
//! - A restore begins a view. It shows the page of the view before, with its URL and route.
//! - A move to the URL of the current view, but for trailing slashes, changes nothing.
//! - A move is a redirect if it is *early*: the view goes on under the new URL. Any other begins a view.
//! - A name names the current view if the document is still loading, or the move that brought the view there
//!   has no name yet, or the name is early, or nobody has named or used the first view. Any other begins a view
//!   under the same URL.
//!
//! Early is a change that no input precedes in its view, at most [`limits::REDIRECT_MS`] after the view has
//! settled: for a load, after the document was complete (or activated, if that is later); for other views, after
//! their start.
//!
//! A change without a URL is a name, one with both is a move and then a name. One that is told again with another
//! time happened at the latest time and begins its view at the earliest: the click came before the move. A click
//! before the start of the view before is not believed, so that views keep the order of their moves.

use super::facts::Facts;
use crate::entry::Text;
use crate::limits;
use crate::view::ViewId;
use core::cmp::Ordering;

/// What begins a page view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The document was loaded.
    Load,
    /// The document came back from the back/forward cache.
    Restore,
    /// A navigation inside the document.
    Soft,
}

/// Whether a view takes the next name as its own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Naming {
    /// A load that has no name; it takes one until it is used.
    Fresh,
    /// A move brought the view here, and no name has followed.
    Moved,
    /// It has its name.
    Named,
}

/// A page view of the document.
#[derive(Clone, Debug)]
pub struct View {
    /// When it began.
    pub start: f64,
    /// Its id.
    pub id: ViewId,
    /// What began it.
    pub cause: Cause,
    /// When the history moved, after the click that is the start.
    moved: f64,
    naming: Naming,
    /// The places of the changes that began it and gave it its URL and route.
    begun: usize,
    url: Option<usize>,
    route: Option<usize>,
}

/// A restore, a move or a name.
#[derive(Clone, Debug)]
pub struct Change<T> {
    /// The latest time that was told.
    at: f64,
    /// The earliest.
    start: f64,
    id: ViewId,
    restored: bool,
    url: T,
    route: T,
    /// Set on the change that began the oldest view that is kept, after the views before it were dropped: then
    /// it has the view's start, URL and route, and no change before it decides on it.
    detached: bool,
    /// Set on a redirect that was compared with a URL that is no longer kept.
    elsewhere: bool,
}

impl<T: Text> Change<T> {
    /// A change that begins a view of this id, if it begins one.
    pub const fn new(at: f64, id: ViewId, restored: bool, url: T, route: T) -> Self {
        Self { at, start: at, id, restored, url, route, detached: false, elsewhere: false }
    }

    /// By time. At one time a name follows the move that it names.
    fn order(&self, other: &Self) -> Ordering {
        let key = |change: &Self| (!change.restored, change.url.is_blank(), change.id);
        self.at.total_cmp(&other.at).then_with(|| key(self).cmp(&key(other)))
    }

    fn names(&self) -> bool {
        self.url.is_blank() || !self.route.is_blank()
    }

    /// Adds what another telling of the same change says.
    fn merge(&mut self, other: Self) {
        self.at = self.at.max(other.at);
        self.start = self.start.min(other.start);
        self.restored |= other.restored;
        self.url = core::mem::take(&mut self.url).max(other.url);
        self.route = core::mem::take(&mut self.route).max(other.route);
    }
}

/// The facts that decide beside the changes.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// When a prerendered document was activated; 0 for every other.
    pub activation: f64,
    /// When the document was complete; infinite until it is known.
    pub complete: f64,
    /// The trusted inputs.
    pub inputs: &'a Facts,
}

/// The page views of a document.
#[derive(Clone, Debug)]
pub struct Views<T> {
    /// The document's own URL, if it was told.
    own: Option<T>,
    /// By time.
    changes: Vec<Change<T>>,
    first: View,
    /// The latest views after the first, by start.
    later: Vec<View>,
    /// How many views between the first and the later ones were dropped, and when the earliest of them began.
    dropped: usize,
    dropped_from: f64,
    /// Where the first view ends, then the starts of `later`: ascending. Empty without later views.
    bounds: Vec<f64>,
}

impl<T: Text> Views<T> {
    /// The views of a document whose first view has this id.
    pub const fn new(first: ViewId) -> Self {
        Self {
            own: None,
            changes: Vec::new(),
            first: View {
                start: 0.0,
                id: first,
                cause: Cause::Load,
                moved: 0.0,
                naming: Naming::Fresh,
                begun: usize::MAX,
                url: None,
                route: None,
            },
            later: Vec::new(),
            dropped: 0,
            dropped_from: f64::INFINITY,
            bounds: Vec::new(),
        }
    }

    /// Takes the document's own URL.
    pub fn own(&mut self, url: T) {
        self.own = Some(url);
    }

    /// Takes a change. [`Views::replay`] must follow.
    pub fn change(&mut self, mut new: Change<T>) {
        if !(new.at >= 0.0 && new.at.is_finite()) {
            return;
        }
        // -0 and 0 are one time, and have one order.
        new.at += 0.0;
        // What surrounded a change in the time of the dropped views is not known.
        if self.dropped_from <= new.at && self.later.first().is_some_and(|oldest| new.at < oldest.start) {
            return;
        }
        if let Some(place) = self.changes.iter().position(|known| known.id == new.id) {
            let told = core::mem::replace(&mut new, self.changes.remove(place));
            new.merge(told);
        }
        let place = self.changes.iter().take_while(|known| known.order(&new).is_lt()).count();
        self.changes.insert(place, new);
    }

    /// Finds the views anew, from all changes.
    pub fn replay(&mut self, circumstances: Circumstances<'_>) {
        self.find(circumstances);
        while self.later.len() >= limits::VIEWS_PER_BEACON_MAX {
            self.drop_oldest();
            self.find(circumstances);
        }
        if self.changes.len() > limits::CHANGES_MAX {
            self.compact();
            self.find(circumstances);
        }
        self.bounds.clear();
        let starts = self.later.iter().map(|view| view.start);
        let first_end = starts.clone().fold(self.dropped_from, f64::min);
        if first_end < f64::INFINITY {
            self.bounds.push(first_end);
            self.bounds.extend(starts);
        }
    }

    fn find(&mut self, circumstances: Circumstances<'_>) {
        let Circumstances { activation, complete, inputs } = circumstances;
        self.first = View {
            start: activation,
            moved: activation,
            naming: Naming::Fresh,
            url: None,
            route: None,
            ..self.first
        };
        let first = self.first.id;
        self.later.clear();
        for (place, change) in self.changes.iter().enumerate() {
            let &Change { at, start, .. } = change;
            let view = self.later.last_mut().unwrap_or(&mut self.first);
            let loading_until = if view.cause == Cause::Load { complete } else { f64::NEG_INFINITY };
            // The click that made a view belongs to the view before, even at the same time.
            let quiet = inputs.first_after(view.start).is_none_or(|input| input > at);
            let early = quiet && at <= view.moved.max(loading_until) + limits::REDIRECT_MS;
            let mut begins = change.restored || change.detached;
            if !begins && !change.url.is_blank() {
                let current = view.url.and_then(|place| self.changes.get(place)).map(|current| &current.url);
                let same =
                    current.or(self.own.as_ref()).is_some_and(|current| current.same_page(&change.url));
                if change.elsewhere || !same {
                    begins = !early;
                    if early {
                        view.url = Some(place);
                        view.naming = Naming::Moved;
                    }
                }
            }
            if !begins && change.names() {
                begins = !(early
                    || at <= loading_until
                    || view.naming == Naming::Moved
                    || (quiet && view.naming == Naming::Fresh));
                if !begins {
                    view.route = Some(place);
                    view.naming = Naming::Named;
                }
            }
            // A restore shows the page of the view before, and a name keeps its URL.
            let own_url = !change.url.is_blank();
            let own_route = change.detached || !change.restored;
            if begins && change.id != first {
                let begun = View {
                    start: if start < view.start { at } else { start },
                    id: change.id,
                    cause: if change.restored { Cause::Restore } else { Cause::Soft },
                    moved: at,
                    naming: if change.restored || change.names() { Naming::Named } else { Naming::Moved },
                    begun: place,
                    url: if own_url { Some(place) } else { view.url },
                    route: if own_route { Some(place) } else { view.route },
                };
                self.later.push(begun);
            }
        }
    }

    /// Drops the oldest view but the first, with its changes.
    fn drop_oldest(&mut self) {
        let [oldest, next, ..] = self.later.as_slice() else { return };
        let (dropped, start) = (oldest.begun..next.begun, next.start);
        let (url, route) = self.texts(oldest);
        self.dropped = self.dropped.saturating_add(1);
        self.dropped_from = self.dropped_from.min(oldest.start);
        if let Some(change) = self.changes.get_mut(dropped.end).filter(|change| !change.detached) {
            if change.url.is_blank() {
                change.url = url;
            }
            if change.restored {
                change.route = route;
            }
            (change.start, change.detached) = (start, true);
        }
        self.retain(|place| !dropped.contains(&place));
    }

    /// Keeps the changes that the views were made from.
    fn compact(&mut self) {
        let mut used = Vec::new();
        for view in core::iter::once(&self.first).chain(&self.later) {
            used.extend([Some(view.begun), view.url, view.route]);
            if let Some(change) = view.url.and_then(|place| self.changes.get_mut(place)) {
                change.elsewhere = true;
            }
        }
        self.retain(|place| used.contains(&Some(place)));
    }

    fn retain(&mut self, kept: impl Fn(usize) -> bool) {
        let mut next = 0_usize;
        self.changes.retain(|_| {
            let place = next;
            next = next.saturating_add(1);
            kept(place)
        });
    }

    /// The first view.
    pub const fn first(&self) -> &View {
        &self.first
    }

    /// The views after the first that are kept, by start.
    pub fn later(&self) -> &[View] {
        &self.later
    }

    /// How many views the document has had after the first.
    pub const fn begun(&self) -> usize {
        self.dropped.saturating_add(self.later.len())
    }

    /// Where the first view ends, then the starts of the later ones: ascending. Between the first two lie the
    /// views that were dropped.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// URL and route of a view; the URL is empty until the first move, as facts do not tell the document's own.
    pub fn texts(&self, view: &View) -> (T, T) {
        let change = |place: Option<usize>| place.and_then(|place| self.changes.get(place));
        let url = change(view.url).map(|change| change.url.clone());
        let route = change(view.route).map(|change| change.route.clone());
        (url.unwrap_or_default(), route.unwrap_or_default())
    }
}
