//! Interaction to Next Paint: the latency of the page's slow interactions until the next frame.
//!
//! Definition: <https://web.dev/articles/inp>. The latency of an interaction is that of its longest event (press,
//! release, click). One outlier is ignored for every fifty interactions, so INP is about the 98th percentile (p98) of the
//! latencies of a page view.

use super::NEVER;
use super::facts::{Facts, stretch};
use super::lifecycle::Span;
use super::views::Cause;
use crate::entry::Event;
use crate::limits::{CLICK_TO_MOVE_MS, INTERACTIONS_LONGEST, INTERACTIONS_MAX};
use crate::metric::plausible;

/// Number of interactions per ignored outlier.
const PER_OUTLIER: f64 = 50.0;
/// Step by which browsers increase `interactionId` from one interaction to the next (Event Timing, §4.5: "a small
/// number", 7 in Chromium and Firefox).
const ID_STEP: f64 = 7.0;
/// The shortest nonzero duration that browsers report, in milliseconds (Event Timing rounds to 8 ms).
const SHORTEST_MS: f64 = 8.0;

/// An interaction, represented by its longest event; by the first of equally long events.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Interaction {
    id: f64,
    start: f64,
    duration: f64,
}

/// Collects `event` and `first-input` entries.
#[derive(Clone, Debug)]
pub struct Inp {
    interactions: Vec<Interaction>,
    /// Readings of `performance.interactionCount`.
    counts: Facts,
}

impl Inp {
    /// No interactions.
    pub const EMPTY: Self = Self { interactions: Vec::new(), counts: Facts::EMPTY };

    /// Adds an entry. An entry without `interactionId` is not an interaction (a scroll, a hover).
    pub fn event(&mut self, event: &Event, bounds: &[f64]) {
        let &Event { start, duration, interaction_id: id, .. } = event;
        if !plausible(id) || !plausible(start) || !plausible(duration) || id == 0.0 {
            return;
        }
        if let Some(known) = self.interactions.iter_mut().find(|known| known.id == id) {
            if duration > known.duration || (duration == known.duration && start < known.start) {
                (known.start, known.duration) = (start, duration);
            }
            return;
        }
        if self.interactions.len() >= INTERACTIONS_MAX {
            self.compact(bounds);
        }
        self.interactions.push(Interaction { id, start, duration });
    }

    /// Adds a reading of `performance.interactionCount`.
    pub fn count(&mut self, at: f64, count: f64, bounds: &[f64]) {
        self.counts.insert_moment(at, count, bounds);
    }

    /// Returns INP of a view in milliseconds; [`NEVER`] without an interaction.
    ///
    /// An interaction belongs to the view in which its longest event began. The number of interactions is the rise of
    /// the browser's count within the view, or the span of their ids if that is larger, because browsers do not report
    /// events below the observer's threshold. A later view may have an input or a rising count but no entry: then it
    /// had only such fast interactions, and INP is the shortest duration, in browsers that report events (`supported`).
    /// A load needs no such rule, because `first-input` has no threshold.
    #[must_use]
    pub fn value(&self, span: &Span<'_>, supported: bool) -> f64 {
        let mut longest = [0.0_f64; INTERACTIONS_LONGEST];
        let mut seen = 0_usize;
        let (mut id_min, mut id_max) = (f64::INFINITY, 0.0_f64);
        for interaction in &self.interactions {
            if !(span.start..span.end).contains(&interaction.start) {
                continue;
            }
            let mut duration = interaction.duration;
            for slot in &mut longest {
                if duration > *slot {
                    core::mem::swap(slot, &mut duration);
                }
            }
            seen = seen.saturating_add(1);
            id_min = id_min.min(interaction.id);
            id_max = id_max.max(interaction.id);
        }
        let read = self.read_within(span);
        if seen == 0 {
            // The count may rise late for the click that caused a soft navigation. An input belongs to the view itself.
            let surely = if span.cause == Cause::Soft { 2.0 } else { 1.0 };
            let used = span.input < f64::INFINITY || read >= surely;
            return if supported && span.cause != Cause::Load && used { SHORTEST_MS } else { NEVER };
        }
        let count = read.max((id_max - id_min) / ID_STEP + 1.0).max(seen as f64);
        // The p98. A float beyond the largest integer is cast to the largest integer.
        let outliers = (count / PER_OUTLIER) as usize;
        longest
            .get(outliers.min(seen.min(INTERACTIONS_LONGEST).saturating_sub(1)))
            .map_or(NEVER, |longest| *longest)
    }

    /// Returns the rise of the browser's count within a view.
    ///
    /// A reading at a move of the history is the last of the view before and the first of the next view. If the browser
    /// reports an earlier click afterwards, the reading lies slightly inside the next view.
    fn read_within(&self, span: &Span<'_>) -> f64 {
        let (mut min, mut max) = (if span.cause == Cause::Load { 0.0 } else { f64::INFINITY }, 0.0_f64);
        for &[at, count] in self.counts.within(span.start, span.end + CLICK_TO_MOVE_MS) {
            min = min.min(count);
            max = max.max(count);
            if at >= span.end {
                break;
            }
        }
        max - min
    }

    /// Keeps the longest interactions of each stretch between `bounds`, and those with the smallest and the largest id,
    /// from which their number is derived.
    fn compact(&mut self, bounds: &[f64]) {
        let mut place = 0_usize;
        while let Some(one) = self.interactions.get(place).copied() {
            let here = stretch(one.start, bounds);
            let (mut longer, mut lower, mut higher) = (0_usize, false, false);
            for other in &self.interactions {
                if stretch(other.start, bounds) != here {
                    continue;
                }
                lower |= other.id < one.id;
                higher |= other.id > one.id;
                if other.duration > one.duration || (other.duration == one.duration && other.id < one.id) {
                    longer = longer.saturating_add(1);
                }
            }
            // Those that must stay, must stay without this one, too.
            if longer < INTERACTIONS_LONGEST || !lower || !higher {
                place = place.saturating_add(1);
            } else {
                self.interactions.remove(place);
            }
        }
    }
}
