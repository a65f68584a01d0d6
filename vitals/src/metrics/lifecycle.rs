//! Tracks the life of a document: its page views, and the times of hiding, inputs and new paints.

use super::facts::{Fact, Facts, time};
use super::views::{Cause, Change, Circumstances, View, Views};
use crate::entry::{Navigation, Text};
use crate::metric::plausible;
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
    navigation: Navigation,
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
        navigation: Navigation::NONE,
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
        let known = &mut self.navigation;
        later(&mut known.response_start, new.response_start);
        later(&mut known.activation_start, new.activation_start);
        later(&mut known.dom_content_loaded_end, new.dom_content_loaded_end);
        later(&mut known.response_end, new.response_end);
        later(&mut known.dom_complete, new.dom_complete);
        if precedence(new.navigation_type) < precedence(known.navigation_type) {
            known.navigation_type = new.navigation_type;
        }
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
        let complete = self.navigation.dom_complete;
        self.views.replay(Circumstances {
            activation: self.activation_start(),
            complete: if complete > 0.0 { complete } else { f64::INFINITY },
            inputs: &self.inputs,
        });
    }

    /// Returns the navigation entry.
    #[must_use]
    pub const fn navigation_entry(&self) -> &Navigation {
        &self.navigation
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
        if self.navigation.activation_start > 0.0 {
            self.navigation.activation_start
        } else {
            self.activations.all().first().map_or(0.0, time)
        }
    }

    /// Returns the time span of a view, which ends at the start of `next`.
    #[must_use]
    pub fn span_of(&self, view: &View, next: Option<&View>) -> Span<'_> {
        let (start, cause) = (view.start, view.cause);
        // Dropped views lie between the first view and the next one.
        let end = match (cause, self.views.bounds()) {
            (Cause::Load, [end, ..]) => *end,
            _ => next.map_or(f64::INFINITY, |next| next.start),
        };
        let paints = match cause {
            Cause::Load => &[],
            Cause::Soft => self.soft_paints.within(start, end),
            Cause::Restore => self.restore_paints.within(start, end),
        };
        self.span(cause, start, end, paints)
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
        let within = |at: f64| if at < end { at } else { f64::INFINITY };
        let hidden_before = self.hidden.last_before(start) >= self.visible.last_before(start).max(0.0);
        let mut hidden = within(self.hidden.first_from(start));
        let from_the_start = match cause {
            // A prerendered page is hidden until its activation; the browser may report its visibility some
            // milliseconds late. If the page is reported hidden again before visible, it was hidden from the start.
            Cause::Load => hidden_before && hidden < end && hidden <= self.visible.first_from(start),
            // Visibility before a restore does not apply to the restored view.
            Cause::Restore => false,
            Cause::Soft => hidden_before,
        };
        if from_the_start {
            hidden = start;
        }
        // The key press or click that caused a view belongs to the previous view.
        let input = within(self.inputs.first_after(start));
        Span { cause, start, end, hidden, input, paints }
    }
}

/// Moves a known time to a later one. Ignores a time that no browser has.
#[inline(never)]
fn later(known: &mut f64, new: f64) {
    if plausible(new) {
        *known = known.max(new);
    }
}

/// The order in which types of a navigation count.
fn precedence(kind: Option<NavigationType>) -> u8 {
    match kind {
        Some(NavigationType::Restore) => 0,
        Some(kind) => (kind as u8).saturating_add(1),
        None => u8::MAX,
    }
}
