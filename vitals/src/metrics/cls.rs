//! Cumulative Layout Shift: the largest burst of unexpected movement.
//!
//! Definition: <https://web.dev/articles/cls>. Shifts form session windows: less than a second between
//! two shifts, less than five seconds from the first to the last. CLS is the largest window's sum.

use super::facts::{Fact, Facts, stretch, time};
use super::lifecycle::Span;
use super::views::Cause;
use crate::limits;

const GAP_MS: f64 = 1_000.0;
const WINDOW_MS: f64 = 5_000.0;

/// Collects `layout-shift` entries that followed no recent input.
#[derive(Clone, Debug)]
pub struct Cls {
    shifts: Facts,
}

impl Cls {
    /// Nothing is collected yet.
    pub const EMPTY: Self = Self { shifts: Facts::EMPTY };

    /// Takes a shift.
    pub fn shift(&mut self, start: f64, score: f64, bounds: &[f64]) {
        if self.shifts.all().len() >= limits::SHIFTS_MAX {
            self.compact(bounds);
            if self.shifts.all().len() >= limits::SHIFTS_MAX {
                return;
            }
        }
        self.shifts.insert(start, score);
    }

    /// CLS of a view: 0 where nothing moved. `painted` says whether the view's first contentful paint
    /// was seen; without it, nothing was there that could move before someone's eyes. A soft navigation
    /// starts on a painted page, so there it is enough that the page was not hidden.
    #[must_use]
    pub fn value(&self, span: &Span<'_>, painted: bool) -> Option<f64> {
        let shown = painted || (span.cause == Cause::Soft && span.seen(span.start));
        shown.then(|| sum(largest(self.shifts.within(span.start, span.end))))
    }

    /// The first and the last time of the window that is a view's CLS; of equal ones the first.
    #[must_use]
    pub fn window(&self, span: &Span<'_>) -> Option<(f64, f64)> {
        let largest = largest(self.shifts.within(span.start, span.end));
        Some((time(largest.first()?), time(largest.last()?)))
    }

    /// Of each stretch between `bounds`, keeps the largest window and the last, which may still grow.
    /// The others cannot become CLS, and no window's beginning depends on them.
    fn compact(&mut self, bounds: &[f64]) {
        let mut kept: Vec<Fact> = Vec::new();
        let mut rest = self.shifts.all();
        while let Some(first) = rest.first() {
            let here = stretch(time(first), bounds);
            let len = rest.iter().take_while(|shift| stretch(time(shift), bounds) <= here).count();
            let Some((shifts, after)) = rest.split_at_checked(len) else { break };
            rest = after;
            let (largest, last) = (largest(shifts), Windows(shifts).last().unwrap_or_default());
            kept.extend_from_slice(largest);
            if largest.first() != last.first() {
                kept.extend_from_slice(last);
            }
        }
        self.shifts.replace(kept);
    }
}

/// The session windows of shifts, in order of time.
struct Windows<'a>(&'a [Fact]);

impl<'a> Iterator for Windows<'a> {
    type Item = &'a [Fact];

    fn next(&mut self) -> Option<&'a [Fact]> {
        let first = time(self.0.first()?);
        let mut last = first;
        let len = self
            .0
            .iter()
            .position(|shift| {
                let at = time(shift);
                let beyond = at - last >= GAP_MS || at - first >= WINDOW_MS;
                last = at;
                beyond
            })
            .unwrap_or(self.0.len());
        let (window, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(window)
    }
}

/// The window with the largest sum, of equal ones the first; none where nothing moved.
fn largest(shifts: &[Fact]) -> &[Fact] {
    let mut largest: &[Fact] = &[];
    for window in Windows(shifts) {
        if sum(window) > sum(largest) {
            largest = window;
        }
    }
    largest
}

fn sum(window: &[Fact]) -> f64 {
    window.iter().fold(0.0, |sum, &[_, score]| sum + score)
}
