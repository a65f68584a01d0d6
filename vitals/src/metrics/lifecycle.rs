//! Tracks the life of a document: its page views, and the times of hiding, inputs and new paints.

use super::facts::{Fact, Facts, time};
use super::views::{Cause, Change, Circumstances, View, Views};
use crate::entry::{Navigation, Text};
use crate::view::{NavigationType, ViewId};

/// The time span of one page view. All times are relative to the document's time origin; infinity means never.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The cause of the view.
    pub cause: Cause,
    /// The start: 0, or the time of a prerendered document's activation, a restore, or a soft navigation.
    pub start: f64,
    /// The start of the next view.
    pub end: f64,
    /// The time at which the page was first hidden in this view; `start` if it was hidden from the start.
    pub hidden: f64,
    /// The visitor's first key press or click in this view.
    pub input: f64,
    /// The first frames of a restore, or the contentful paints of a soft navigation; empty for a load.
    pub paints: &'a [Fact],
}

impl Span<'_> {
    /// Converts a time to one since the view's start; times before the start become 0.
    #[must_use]
    pub const fn since_start(&self, at: f64) -> f64 {
        (at - self.start).max(0.0)
    }

    /// Whether the visitor saw a paint at this time: not at or after the page was first hidden.
    #[must_use]
    pub const fn seen(&self, at: f64) -> bool {
        at.max(self.start) < self.hidden
    }
}

/// The facts about a document's life.
#[derive(Clone, Debug)]
pub struct Lifecycle<T = String> {
    views: Views<T>,
    navigation: Option<Navigation>,
    activations: Facts,
    hidden: Facts,
    visible: Facts,
    inputs: Facts,
    restore_paints: Facts,
    soft_paints: Facts,
}

impl<T: Text> Lifecycle<T> {
    /// No facts.
    pub const EMPTY: Self = Self {
        views: Views::EMPTY,
        navigation: None,
        activations: Facts::EMPTY,
        hidden: Facts::EMPTY,
        visible: Facts::EMPTY,
        inputs: Facts::EMPTY,
        restore_paints: Facts::EMPTY,
        soft_paints: Facts::EMPTY,
    };

    /// Sets the id of the first view.
    pub fn begin(&mut self, first: ViewId) {
        self.views.begin(first);
    }

    /// Adds a navigation entry. Later fields of an entry may still be 0 when it is read, so the largest of several
    /// readings counts for each field. The smallest type counts, because Firefox turns any type into `back-forward`
    /// when it restores the page. `restore` (a discarded page) takes precedence over any type that the browser
    /// reports.
    pub fn navigation(&mut self, new: Navigation) {
        let Navigation { response_start, activation_start, dom_content_loaded_end, .. } = new;
        let Navigation { response_end, dom_complete, .. } = new;
        let times = [response_start, activation_start, dom_content_loaded_end, response_end, dom_complete];
        if !times.iter().all(|at| at.abs() < f64::INFINITY) {
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
                (Some(NavigationType::Restore), _) | (_, Some(NavigationType::Restore)) => {
                    Some(NavigationType::Restore)
                }
                (Some(new), Some(old)) => Some(new.min(old)),
                (new, old) => new.or(old),
            },
        });
        self.replay();
    }

    /// Sets the document's own URL.
    pub fn own(&mut self, url: T) {
        self.views.own(url);
    }

    /// Adds the activation of a prerendered document.
    pub fn activation(&mut self, at: f64) {
        self.activations.insert_earliest(at, 0.0, 1);
        self.replay();
    }

    /// Adds a change of visibility.
    pub fn visibility(&mut self, at: f64, hidden: bool) {
        let facts = if hidden { &mut self.hidden } else { &mut self.visible };
        facts.insert_moment(at, 0.0, self.views.bounds());
    }

    /// Adds a trusted key press or click.
    pub fn input(&mut self, at: f64) {
        self.inputs.insert_moment(at, 0.0, self.views.bounds());
        self.replay();
    }

    /// Adds the first frame after a restore.
    pub fn restore_paint(&mut self, at: f64) {
        self.restore_paints.insert_moment(at, 0.0, self.views.bounds());
    }

    /// Adds a contentful paint of a soft navigation.
    pub fn soft_paint(&mut self, at: f64) {
        self.soft_paints.insert_moment(at, 0.0, self.views.bounds());
    }

    /// Adds a restore, a navigation or a name.
    pub fn change(&mut self, change: Change<T>) {
        self.views.change(change);
        self.replay();
    }

    fn replay(&mut self) {
        let complete = self.navigation.map_or(0.0, |navigation| navigation.dom_complete);
        self.views.replay(Circumstances {
            activation: self.activation_start(),
            complete: if complete > 0.0 { complete } else { f64::INFINITY },
            inputs: &self.inputs,
        });
    }

    /// Returns the navigation entry, if one was reported.
    #[must_use]
    pub const fn navigation_entry(&self) -> Option<&Navigation> {
        self.navigation.as_ref()
    }

    /// Returns the page views.
    #[must_use]
    pub const fn views(&self) -> &Views<T> {
        &self.views
    }

    /// Returns the activation time of a prerendered document; 0 for every other. The navigation entry takes
    /// precedence.
    #[must_use]
    pub fn activation_start(&self) -> f64 {
        match self.navigation {
            Some(navigation) if navigation.activation_start > 0.0 => navigation.activation_start,
            _ => self.activations.all().first().map_or(0.0, time),
        }
    }

    /// Returns the time span of the first view.
    #[must_use]
    pub fn first_span(&self) -> Span<'_> {
        let end = self.views.bounds().first().copied().unwrap_or(f64::INFINITY);
        self.span(Cause::Load, self.views.first().start, end, &[])
    }

    /// Returns the time span of a later view, which ends at the start of `next`.
    #[must_use]
    pub fn later_span(&self, view: &View, next: Option<&View>) -> Span<'_> {
        let end = next.map_or(f64::INFINITY, |next| next.start);
        let paints = match view.cause {
            Cause::Soft => &self.soft_paints,
            _ => &self.restore_paints,
        };
        self.span(view.cause, view.start, end, paints.within(view.start, end))
    }

    /// Returns the visible time of a view up to `now`, in milliseconds.
    #[must_use]
    pub fn visible_ms(&self, span: &Span<'_>, now: f64) -> f64 {
        let end = span.end.min(now);
        let mut sum = 0.0;
        let mut from = span.start;
        if span.hidden <= from {
            from = self.visible.first_after(from);
        }
        while from < end {
            let to = self.hidden.first_after(from).min(end);
            sum += to - from;
            from = self.visible.first_after(to);
        }
        sum
    }

    fn span<'a>(&self, cause: Cause, start: f64, end: f64, paints: &'a [Fact]) -> Span<'a> {
        let first = |facts: &Facts| facts.within(start, end).first().map_or(f64::INFINITY, time);
        let last = |facts: &Facts| facts.within(0.0, start).last().map_or(-1.0, time);
        let hidden_before = last(&self.hidden) >= last(&self.visible).max(0.0);
        let mut hidden = first(&self.hidden);
        let from_the_start = match cause {
            // A prerendered page is hidden until its activation; the browser may report its visibility some
            // milliseconds late. If the page is reported hidden again before visible, it was hidden from the start.
            Cause::Load => hidden_before && hidden < f64::INFINITY && hidden <= first(&self.visible),
            // Visibility before a restore does not apply to the restored view.
            Cause::Restore => false,
            Cause::Soft => hidden_before,
        };
        if from_the_start {
            hidden = start;
        }
        // The key press or click that caused a view belongs to the previous view.
        let after = self.inputs.first_after(start);
        let input = if after < end { after } else { f64::INFINITY };
        Span { cause, start, end, hidden, input, paints }
    }
}
