//! Interaction to Next Paint: how long the page's slow interactions took until the next frame.
//!
//! Definition: <https://web.dev/articles/inp>. Events of one interaction (press, release, click) count
//! as its longest; of every fifty interactions one outlier is left out.

use super::facts::{Facts, stretch};
use super::lifecycle::Span;
use super::views::Cause;
use crate::entry::Event;
use crate::limits::{CLICK_TO_MOVE_MS, INTERACTIONS_LONGEST, INTERACTIONS_MAX};

/// Interactions of which the longest is left out.
const PER_OUTLIER: f64 = 50.0;
/// By how much browsers raise `interactionId` from one interaction to the next (Event Timing, §4.5:
/// "a small number", 7 in Chromium and Firefox).
const ID_STEP: f64 = 7.0;
/// The shortest duration that browsers tell apart from none (Event Timing rounds to 8 ms).
const SHORTEST_MS: f64 = 8.0;

/// An interaction, by its longest event; of equally long ones by the first.
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
    /// Nothing is collected yet.
    pub const EMPTY: Self = Self { interactions: Vec::new(), counts: Facts::EMPTY };

    /// Takes an entry. One without `interactionId` is no interaction (a scroll, a hover).
    pub fn event(&mut self, event: &Event, bounds: &[f64]) {
        let &Event { start, duration, interaction_id: id, .. } = event;
        let plausible = [id, start, duration].iter().all(|number| number.is_finite() && *number >= 0.0);
        if !plausible || id == 0.0 {
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

    /// Takes a reading of `performance.interactionCount`.
    pub fn count(&mut self, at: f64, count: f64, bounds: &[f64]) {
        self.counts.insert_moment(at, count, bounds);
    }

    /// INP of a view in milliseconds; absent without an interaction.
    ///
    /// An interaction belongs to the view in which its longest event began. Their number is the rise of the
    /// browser's count within the view, or the span of their ids if that is larger: browsers do not tell events
    /// faster than the observer's threshold. A later view with an input or a rising count and without any entry
    /// had only such fast interactions; it has the shortest duration there is, in browsers that tell events
    /// (`supported`). A load needs no such rule, because `first-input` has no threshold.
    #[must_use]
    pub fn value(&self, span: &Span<'_>, supported: bool) -> Option<f64> {
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
            // The count may rise late for the click that made a soft navigation; an input is the view's own.
            let surely = if span.cause == Cause::Soft { 2.0 } else { 1.0 };
            let used = span.input < f64::INFINITY || read >= surely;
            return (supported && span.cause != Cause::Load && used).then_some(SHORTEST_MS);
        }
        let count = read.max((id_max - id_min) / ID_STEP + 1.0).max(seen as f64);
        // A float beyond the largest integer becomes the largest integer.
        let outliers = (count / PER_OUTLIER) as usize;
        longest.get(outliers.min(seen.min(INTERACTIONS_LONGEST).saturating_sub(1))).copied()
    }

    /// By how much the browser's count rose within a view.
    ///
    /// A reading made when the history moved is the last of the view before and the first of the next. If the
    /// browser tells afterwards that the click was earlier, the reading lies some time within the next view.
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

    /// Of each stretch between `bounds`, keeps the longest interactions, and those of the smallest and
    /// the largest id, which tell how many there were.
    fn compact(&mut self, bounds: &[f64]) {
        let all = core::mem::take(&mut self.interactions);
        for one in &all {
            let here = stretch(one.start, bounds);
            let (mut longer, mut lower, mut higher) = (0_usize, false, false);
            for other in all.iter().filter(|other| stretch(other.start, bounds) == here) {
                lower |= other.id < one.id;
                higher |= other.id > one.id;
                if other.duration > one.duration || (other.duration == one.duration && other.id < one.id) {
                    longer = longer.saturating_add(1);
                }
            }
            if longer < INTERACTIONS_LONGEST || !lower || !higher {
                self.interactions.push(*one);
            }
        }
    }
}
