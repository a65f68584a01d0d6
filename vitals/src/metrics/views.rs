//! Derives page views from moves of the history, names and restores.
//!
//! The stored changes are replayed in order of time, so the views depend only on the facts, not on the order of their
//! arrival:
//!
//! - A restore begins a view. It shows the page of the view before, with its URL and route.
//! - A move to the URL of the current view, except for trailing slashes, changes nothing.
//! - An *early* move is a redirect: the view continues under the new URL. Any other move begins a view.
//! - A name names the current view in four cases: the document is still loading; the last move of the view has no name
//!   yet; the name is early; the first view has neither a name nor an input. Any other name begins a view under the
//!   same URL, unless it has no id ([`ViewId::NONE`]): then it always names the current view.
//!
//! A change is early if no input precedes it in its view, and it occurs at most [`limits::REDIRECT_MS`] after the view
//! has settled. A load settles when the document is complete (or activated, if that is later). Other views settle at
//! their start.
//!
//! A change without a URL is a name; a change with URL and route is a move followed by a name. A change that is
//! reported again with another time happened at the latest time, and begins its view at the earliest time: the click
//! came before the move. A click before the start of the view before is ignored, so that views keep the order of their
//! moves.

use super::facts::Facts;
use crate::entry::Text;
use crate::limits;
use crate::metric::plausible;
use crate::view::ViewId;

/// The cause of a page view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The document was loaded.
    Load,
    /// The document came back from the back/forward cache.
    Restore,
    /// A navigation inside the document.
    Soft,
}

/// State of a view that decides whether the next name is its own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Naming {
    /// A load without a name; it takes a name until its first input.
    Fresh,
    /// The last move of the view has no name yet.
    Moved,
    /// The view has its name.
    Named,
}

/// A page view of the document.
#[derive(Clone, Debug)]
pub struct View {
    /// The start of the view.
    pub start: f64,
    /// Its id.
    pub id: ViewId,
    /// The cause of the view.
    pub cause: Cause,
    /// Time of the move of the history, after the click at `start`.
    moved: f64,
    naming: Naming,
    /// Indexes of the changes that began the view and set its URL and route.
    begun: usize,
    url: usize,
    route: usize,
}

/// The index of no change.
const NONE: usize = usize::MAX;

/// A restore, a move or a name.
#[derive(Clone, Debug)]
pub struct Change<T> {
    /// The latest reported time.
    at: f64,
    /// The earliest reported time.
    start: f64,
    id: ViewId,
    restored: bool,
    url: T,
    route: T,
    /// Set on the change that began the oldest stored view, after earlier views were dropped. The change then has the
    /// view's start, URL and route, and does not depend on earlier changes.
    detached: bool,
    /// Set on a redirect that was compared with a URL that is no longer stored.
    elsewhere: bool,
}

impl<T: Text> Change<T> {
    /// Creates a change; `id` is the id of the view that it may begin.
    pub const fn new(at: f64, id: ViewId, restored: bool, url: T, route: T) -> Self {
        Self { at, start: at, id, restored, url, route, detached: false, elsewhere: false }
    }

    /// Orders by time. At the same time, a name follows the move that it names. Names without an id are ordered by
    /// their texts, so that the order of their arrival does not matter.
    fn precedes(&self, other: &Self) -> bool {
        let key = |change: &Self| (u8::from(!change.restored) << 1) | u8::from(change.url.is_blank());
        let (one, two) = (key(self), key(other));
        // Any order of ids serves. That of little-endian numbers takes the fewest bytes of the wasm module.
        let id = |change: &Self| u128::from_le_bytes(*change.id.as_bytes());
        let (first, second) = (id(self), id(other));
        self.at < other.at
            || (self.at == other.at
                && (one < two
                    || (one == two && (first < second || (first == second && self.route < other.route)))))
    }

    fn names(&self) -> bool {
        self.url.is_blank() || !self.route.is_blank()
    }

    /// Merges an earlier report of the same change.
    fn merge(&mut self, known: &Self) {
        self.at = self.at.max(known.at);
        self.start = self.start.min(known.start);
        self.restored |= known.restored;
        for (own, other) in [(&mut self.url, &known.url), (&mut self.route, &known.route)] {
            if other > own {
                own.clone_from(other);
            }
        }
        self.detached = known.detached;
        self.elsewhere = known.elsewhere;
    }
}

/// Facts that affect the replay, besides the changes.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Activation of a prerendered document; 0 for other documents.
    pub activation: f64,
    /// Completion of the document; infinite until known.
    pub complete: f64,
    /// The trusted inputs.
    pub inputs: &'a Facts,
}

/// The page views of a document.
#[derive(Clone, Debug)]
pub struct Views<T> {
    /// The document's own URL, if it was reported.
    own: Option<T>,
    /// By time.
    changes: Vec<Change<T>>,
    first: View,
    /// The latest views after the first, by start.
    later: Vec<View>,
    /// The number of dropped views between the first and the later views, and the start of the earliest of them.
    dropped: usize,
    dropped_from: f64,
    /// The end of the first view, then the starts of `later`: ascending. Empty without later views.
    bounds: Vec<f64>,
}

impl<T: Text> Views<T> {
    /// The views of a document of which nothing is known.
    pub const EMPTY: Self = Self {
        own: None,
        changes: Vec::new(),
        first: View {
            start: 0.0,
            id: ViewId::new(0, 0),
            cause: Cause::Load,
            moved: 0.0,
            naming: Naming::Fresh,
            begun: NONE,
            url: NONE,
            route: NONE,
        },
        later: Vec::new(),
        dropped: 0,
        dropped_from: f64::INFINITY,
        bounds: Vec::new(),
    };

    /// Takes the id of the first view.
    pub fn begin(&mut self, first: ViewId) {
        self.first.id = first;
    }

    /// Sets the document's own URL.
    pub fn own(&mut self, url: T) {
        self.own = Some(url);
    }

    /// Adds a change. [`Views::replay`] must follow.
    pub fn change(&mut self, mut new: Change<T>) {
        if !plausible(new.at) {
            return;
        }
        // Normalizes -0 to 0, because they are one time but are ordered differently.
        new.at += 0.0;
        // Ignores changes from the time of dropped views, because the neighboring changes are gone.
        if self.dropped_from <= new.at && self.later.first().is_some_and(|oldest| new.at < oldest.start) {
            return;
        }
        let again = |known: &Change<T>| known.id == new.id && new.id != ViewId::NONE;
        if let Some(place) = self.changes.iter().position(again) {
            new.merge(&self.changes.remove(place));
        }
        let place = self.changes.iter().take_while(|known| known.precedes(&new)).count();
        self.changes.insert(place, new);
    }

    /// Replays all changes.
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
        let first_end =
            self.later.first().map_or(f64::INFINITY, |oldest| oldest.start).min(self.dropped_from);
        if first_end < f64::INFINITY {
            self.bounds.push(first_end);
        }
        for view in &self.later {
            self.bounds.push(view.start);
        }
    }

    fn find(&mut self, circumstances: Circumstances<'_>) {
        let Circumstances { activation, complete, inputs } = circumstances;
        self.first = View {
            start: activation,
            moved: activation,
            naming: Naming::Fresh,
            url: NONE,
            route: NONE,
            ..self.first
        };
        let first = self.first.id;
        self.later.clear();
        for (place, change) in self.changes.iter().enumerate() {
            let &Change { at, start, .. } = change;
            let view = self.later.last_mut().unwrap_or(&mut self.first);
            let loading_until = if view.cause == Cause::Load { complete } else { f64::NEG_INFINITY };
            // The click that caused a view belongs to the view before, even at the same time.
            let quiet = inputs.first_after(view.start) > at;
            let early = quiet && at <= view.moved.max(loading_until) + limits::REDIRECT_MS;
            let mut begins = change.restored || change.detached;
            if !begins && !change.url.is_blank() {
                let current = self.changes.get(view.url).map(|current| &current.url);
                let same =
                    current.or(self.own.as_ref()).is_some_and(|current| current.same_page(&change.url));
                if change.elsewhere || !same {
                    begins = !early;
                    if early {
                        view.url = place;
                        view.naming = Naming::Moved;
                    }
                }
            }
            if !begins && change.names() {
                begins = !(change.id == ViewId::NONE
                    || early
                    || at <= loading_until
                    || view.naming == Naming::Moved
                    || (quiet && view.naming == Naming::Fresh));
                if !begins {
                    view.route = place;
                    view.naming = Naming::Named;
                }
            }
            // A restore shows the page of the view before, and a name keeps the URL.
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
                    url: if own_url { place } else { view.url },
                    route: if own_route { place } else { view.route },
                };
                self.later.push(begun);
            }
        }
    }

    /// Drops the oldest view except the first, with its changes.
    fn drop_oldest(&mut self) {
        let [oldest, next, ..] = self.later.as_slice() else { return };
        let (dropped, start) = (oldest.begun..next.begun, next.start);
        let (url, route) = self.texts(oldest);
        let (url, route) = (url.into(), route.into());
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
        retain(&mut self.changes, &|place| !dropped.contains(&place));
    }

    /// Keeps only the changes that define the views.
    fn compact(&mut self) {
        let Self { first, later, changes, .. } = self;
        let any = |of: &dyn Fn(&View) -> bool| of(first) || later.iter().any(of);
        for (place, change) in changes.iter_mut().enumerate() {
            change.elsewhere |= any(&|view| view.url == place);
        }
        retain(changes, &|place| {
            any(&|view| view.begun == place || view.url == place || view.route == place)
        });
    }

    /// The first view.
    pub const fn first(&self) -> &View {
        &self.first
    }

    /// The stored views after the first, by start.
    pub fn later(&self) -> &[View] {
        &self.later
    }

    /// The number of views after the first, including dropped views.
    pub const fn begun(&self) -> usize {
        self.dropped.saturating_add(self.later.len())
    }

    /// The end of the first view, then the starts of the later views: ascending. Dropped views lie between the first
    /// two bounds.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Returns URL and route of a view. The URL is empty until the first move, because the document's own URL is not
    /// included.
    pub fn texts<'a>(&'a self, view: &View) -> (T::Written<'a>, T::Written<'a>) {
        let url = self.changes.get(view.url).map(|change| change.url.written());
        let route = self.changes.get(view.route).map(|change| change.route.written());
        (url.unwrap_or_default(), route.unwrap_or_default())
    }
}

/// Keeps some changes; [`Views::find`] must follow. `Vec::retain` takes more bytes of the wasm module.
fn retain<T>(changes: &mut Vec<Change<T>>, kept: &dyn Fn(usize) -> bool) {
    let (mut place, mut index) = (0_usize, 0_usize);
    while place < changes.len() {
        if kept(index) {
            place = place.saturating_add(1);
        } else {
            changes.remove(place);
        }
        index = index.saturating_add(1);
    }
}
