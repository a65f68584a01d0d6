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
#[derive(Clone, Debug, Default)]
pub struct Cls {
    shifts: Facts,
}

impl Cls {
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
        shown.then(|| Windows(self.shifts.within(span.start, span.end)).map(sum).fold(0.0, f64::max))
    }

    /// The first and the last time of the window that is a view's CLS; of equal ones the first.
    #[must_use]
    pub fn window(&self, span: &Span<'_>) -> Option<(f64, f64)> {
        let mut largest: &[Fact] = &[];
        for window in Windows(self.shifts.within(span.start, span.end)) {
            if sum(window) > sum(largest) {
                largest = window;
            }
        }
        Some((time(largest.first()?), time(largest.last()?)))
    }

    /// Of each stretch between `bounds`, keeps the largest window and the last, which may still grow.
    /// The others cannot become CLS, and no window's beginning depends on them.
    fn compact(&mut self, bounds: &[f64]) {
        let mut kept: Vec<Fact> = Vec::new();
        let mut rest = self.shifts.all();
        while let Some(first) = rest.first() {
            let here = stretch(time(first), bounds);
            let len = rest.partition_point(|shift| stretch(time(shift), bounds) <= here);
            let (shifts, after) = rest.split_at(len);
            rest = after;
            let mut largest: &[Fact] = &[];
            let mut last: &[Fact] = &[];
            for window in Windows(shifts) {
                if sum(window) > sum(largest) || largest.is_empty() {
                    largest = window;
                }
                last = window;
            }
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

fn sum(window: &[Fact]) -> f64 {
    window.iter().map(|&[_, score]| score).sum()
}
