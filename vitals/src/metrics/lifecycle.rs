//! The life of a document: its page views, and when it was hidden, used and painted anew.

use super::facts::{Fact, Facts, time};
use crate::entry::{Navigation, Text};
use crate::limits;
use crate::view::{NavigationType, ViewId};
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

/// A page view after the document's first.
#[derive(Clone, Debug, PartialEq)]
pub struct Later<T = String> {
    /// When it began.
    pub at: f64,
    /// Its id.
    pub id: ViewId,
    /// What began it.
    pub cause: Cause,
    /// Its URL; that of a restore is that of the view before, and empty here.
    pub url: T,
    /// The route that the page named, or empty.
    pub route: T,
}

impl<T: Text> Later<T> {
    /// Views in order of time.
    fn order(&self, other: &Self) -> Ordering {
        self.at.total_cmp(&other.at).then_with(|| self.id.cmp(&other.id))
    }

    /// Which of two tellings of one view holds: the earlier start; of the same start the one that says
    /// more, as a page may name the route of a view that the browser's history began.
    fn outdoes(&self, other: &Self) -> bool {
        let names = |view: &Self, other: &Self| {
            (view.cause, &view.url, &view.route).cmp(&(other.cause, &other.url, &other.route))
        };
        other.at.total_cmp(&self.at).then_with(|| names(self, other)).is_gt()
    }
}

/// The time of one page view. All times are since the document's time origin; infinite is never.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// What began the view.
    pub cause: Cause,
    /// When it began: 0, a prerendered document's activation, a restore, a soft navigation.
    pub start: f64,
    /// When the next view began.
    pub end: f64,
    /// When the page was first hidden in this view; `start` where it was hidden from the start.
    pub hidden: f64,
    /// When the visitor first pressed a key or clicked in this view.
    pub input: f64,
    /// The first frames of a restore, the contentful paints of a soft navigation; none of a load.
    pub paints: &'a [Fact],
}

impl Span<'_> {
    /// A time as the visitor of this view waited for it: what came before the view took no time.
    #[must_use]
    pub const fn since_start(&self, at: f64) -> f64 {
        (at - self.start).max(0.0)
    }

    /// Whether something painted at this time was seen: not at or after the page was first hidden.
    #[must_use]
    pub const fn seen(&self, at: f64) -> bool {
        at.max(self.start) < self.hidden
    }
}

/// The facts about a document's life.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle<T = String> {
    navigation: Option<Navigation>,
    activations: Facts,
    hidden: Facts,
    visible: Facts,
    inputs: Facts,
    restore_paints: Facts,
    soft_paints: Facts,
    /// The latest views after the first, by start.
    later: Vec<Later<T>>,
    /// Where the first view ends, then the starts of `later`: ascending. Between the first two lie the
    /// views that were dropped. Empty without later views.
    bounds: Vec<f64>,
}

impl<T: Text> Lifecycle<T> {
    /// Takes the navigation entry. It may be read while its later fields are still 0, so of several
    /// readings each field's largest counts. Of types the smallest does, as Firefox makes a `back-forward` of
    /// any when it restores the page; but nothing that the browser tells as a type is a discarded page's
    /// `restore`.
    pub fn navigation(&mut self, new: Navigation) {
        let Navigation { response_start, activation_start, dom_content_loaded_end, .. } = new;
        let Navigation { response_end, dom_complete, .. } = new;
        let times = [response_start, activation_start, dom_content_loaded_end, response_end, dom_complete];
        if !times.iter().all(|at| at.is_finite()) {
            return;
        }
        let old = self.navigation.unwrap_or(new);
        self.navigation = Some(Navigation {
            response_start: response_start.max(old.response_start),
            activation_start: activation_start.max(old.activation_start),
            dom_content_loaded_end: dom_content_loaded_end.max(old.dom_content_loaded_end),
            response_end: response_end.max(old.response_end),
            dom_complete: dom_complete.max(old.dom_complete),
            navigation_type: match (new.navigation_type, old.navigation_type) {
                (NavigationType::Restore, _) | (_, NavigationType::Restore) => NavigationType::Restore,
                (new, old) => new.min(old),
            },
        });
    }

    /// Takes the activation of a prerendered document.
    pub fn activation(&mut self, at: f64) {
        self.activations.insert_earliest(at, 0.0, 1);
    }

    /// Takes a change of visibility.
    pub fn visibility(&mut self, at: f64, hidden: bool) {
        let facts = if hidden { &mut self.hidden } else { &mut self.visible };
        facts.insert_moment(at, 0.0, &self.bounds);
    }

    /// Takes a trusted key press or click.
    pub fn input(&mut self, at: f64) {
        self.inputs.insert_moment(at, 0.0, &self.bounds);
    }

    /// Takes the first frame after a restore.
    pub fn restore_paint(&mut self, at: f64) {
        self.restore_paints.insert_moment(at, 0.0, &self.bounds);
    }

    /// Takes a contentful paint of a soft navigation.
    pub fn soft_paint(&mut self, at: f64) {
        self.soft_paints.insert_moment(at, 0.0, &self.bounds);
    }

    /// Takes a new view. Of a document's later views the latest are kept, so that a document that lives
    /// for days goes on being measured.
    pub fn begin(&mut self, view: Later<T>) {
        if !(view.at >= 0.0 && view.at.is_finite()) {
            return;
        }
        if self.later.iter().any(|known| known.id == view.id && !view.outdoes(known)) {
            return;
        }
        let first_end = self.bounds.first().copied().unwrap_or(f64::INFINITY).min(view.at);
        self.later.retain(|known| known.id != view.id);
        let place = self.later.partition_point(|other| other.order(&view).is_lt());
        self.later.insert(place, view);
        if self.later.len() >= limits::VIEWS_PER_BEACON_MAX {
            let dropped = self.later.remove(0);
            // A restore shows the page of the view before, which is now told nowhere else.
            if let Some(next) = self.later.first_mut()
                && next.cause == Cause::Restore
                && next.url.filled().is_none()
            {
                next.url = dropped.url;
                next.route = dropped.route;
            }
        }
        self.bounds.clear();
        self.bounds.push(first_end);
        self.bounds.extend(self.later.iter().map(|view| view.at));
    }

    /// The navigation entry, where one was told.
    #[must_use]
    pub const fn navigation_entry(&self) -> Option<&Navigation> {
        self.navigation.as_ref()
    }

    /// The views after the first, by start.
    #[must_use]
    pub fn later(&self) -> &[Later<T>] {
        &self.later
    }

    /// Where the first view ends, then the starts of the later ones: ascending.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// When a prerendered document was activated; 0 for every other. The navigation entry knows best.
    #[must_use]
    pub fn activation_start(&self) -> f64 {
        match self.navigation {
            Some(navigation) if navigation.activation_start > 0.0 => navigation.activation_start,
            _ => self.activations.all().first().map_or(0.0, time),
        }
    }

    /// The time of the first view.
    #[must_use]
    pub fn first_span(&self) -> Span<'_> {
        let end = self.bounds.first().copied().unwrap_or(f64::INFINITY);
        self.span(Cause::Load, self.activation_start(), end, &[])
    }

    /// The time of a later view, by its place in [`Lifecycle::later`].
    #[must_use]
    pub fn later_span(&self, place: usize) -> Option<Span<'_>> {
        let view = self.later.get(place)?;
        let end = self.later.get(place.saturating_add(1)).map_or(f64::INFINITY, |next| next.at);
        let paints = match view.cause {
            Cause::Soft => &self.soft_paints,
            _ => &self.restore_paints,
        };
        Some(self.span(view.cause, view.at, end, paints.within(view.at, end)))
    }

    fn span<'a>(&self, cause: Cause, start: f64, end: f64, paints: &'a [Fact]) -> Span<'a> {
        let first = |facts: &Facts| facts.within(start, end).first().map_or(f64::INFINITY, time);
        let last = |facts: &Facts| facts.within(0.0, start).last().map_or(-1.0, time);
        let hidden_before = last(&self.hidden) >= last(&self.visible).max(0.0);
        let mut hidden = first(&self.hidden);
        let from_the_start = match cause {
            // A prerendered page is hidden and comes to sight when it is activated, which may be told
            // some milliseconds late. Told hidden again, without a word of visible: it never came.
            Cause::Load => hidden_before && hidden < f64::INFINITY && hidden <= first(&self.visible),
            // Back from the cache, the time before says nothing.
            Cause::Restore => false,
            Cause::Soft => hidden_before,
        };
        if from_the_start {
            hidden = start;
        }
        // The press or click that made a soft navigation belongs to the view before.
        let input = self.inputs.within(start, end).iter().map(time).find(|&at| at > start);
        Span { cause, start, end, hidden, input: input.unwrap_or(f64::INFINITY), paints }
    }
}
