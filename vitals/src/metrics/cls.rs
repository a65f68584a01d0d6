//! Cumulative Layout Shift: the largest burst of unexpected movement.
//!
//! Definition: <https://web.dev/articles/cls>. Shifts form session windows: less than 1 s between two shifts, less than
//! 5 s from the first to the last. CLS is the sum of the largest window.

use super::NEVER;
use super::facts::{Fact, Facts, stretch, time};
use super::lifecycle::Span;
use super::views::Cause;
use crate::limits;

const GAP_MS: f64 = 1_000.0;
const WINDOW_MS: f64 = 5_000.0;

/// Collects `layout-shift` entries without recent input.
#[derive(Clone, Debug)]
pub struct Cls {
    shifts: Facts,
}

impl Cls {
    /// No shifts.
    pub const EMPTY: Self = Self { shifts: Facts::EMPTY };

    /// Adds a shift.
    pub fn shift(&mut self, start: f64, score: f64, bounds: &[f64]) {
        if self.shifts.all().len() >= limits::SHIFTS_MAX {
            self.compact(bounds);
            if self.shifts.all().len() >= limits::SHIFTS_MAX {
                return;
            }
        }
        self.shifts.insert(start, score);
    }

    /// Returns CLS of a view: 0 without shifts; [`NEVER`] if no shift could be seen. `painted` says whether the view's first contentful paint was visible;
    /// before it, no visible content can move. A soft navigation starts on a painted page, so there it suffices that
    /// the page was not hidden.
    #[must_use]
    pub fn value(&self, span: &Span<'_>, painted: bool) -> f64 {
        let shown = painted || (span.cause == Cause::Soft && span.seen(span.start));
        if shown { sum(largest(self.shifts.within(span.start, span.end))) } else { NEVER }
    }

    /// Returns the times of the first and the last shift of the window that is a view's CLS; the first of equal
    /// windows.
    #[must_use]
    pub fn window(&self, span: &Span<'_>) -> Option<(f64, f64)> {
        let largest = largest(self.shifts.within(span.start, span.end));
        Some((time(largest.first()?), time(largest.last()?)))
    }

    /// Keeps the largest window and the last window of each stretch between `bounds`; the last window may still grow.
    /// The other windows cannot become CLS, and no window's start depends on them.
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

/// Iterates over the session windows of shifts, in order of time.
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

/// Returns the window with the largest sum, the first of equal windows; empty without shifts.
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
