//! First Input Delay: from the first input to the moment its handlers could run.
//!
//! Definition: <https://web.dev/articles/fid>. Retired as a Core Web Vital in 2024 for INP.

use super::NEVER;
use super::facts::{Facts, time};
use super::lifecycle::Span;
use super::views::Cause;
use crate::entry::Event;

/// Collects the `first-input` entry.
#[derive(Clone, Debug)]
pub struct Fid {
    /// Start and delay.
    first: Facts,
}

impl Fid {
    /// Nothing is collected yet.
    pub const EMPTY: Self = Self { first: Facts::EMPTY };

    /// Takes a `first-input` entry.
    pub fn first_input(&mut self, event: &Event) {
        self.first.insert_earliest(event.start, (event.processing_start - event.start).max(0.0), 1);
    }

    /// When the document's first input was, or [`NEVER`].
    #[must_use]
    pub fn start(&self) -> f64 {
        self.first.all().first().map_or(NEVER, time)
    }

    /// FID in milliseconds, or [`NEVER`]. A document has one first input; it counts where it fell into the first
    /// view, before the page was hidden.
    #[must_use]
    pub fn value(&self, span: &Span<'_>) -> f64 {
        match *self.first.all() {
            [[start, delay], ..] if span.cause == Cause::Load && start < span.end && span.seen(start) => {
                delay
            }
            _ => NEVER,
        }
    }
}
