//! First Contentful Paint: the time at which the first text or image was visible.
//!
//! Definition: <https://web.dev/articles/fcp>.

use super::NEVER;
use super::facts::{Facts, time};
use super::lifecycle::Span;
use super::views::Cause;

/// Collects `first-contentful-paint`.
#[derive(Clone, Debug)]
pub struct Fcp {
    paint: Facts,
}

impl Fcp {
    /// No paint.
    pub const EMPTY: Self = Self { paint: Facts::EMPTY };

    /// Adds the paint's start.
    pub fn paint(&mut self, start: f64) {
        self.paint.insert_earliest(start, 0.0, 1);
    }

    /// Returns FCP of a view in milliseconds, or [`NEVER`]. For a restore, this is its first frame; for a soft navigation, its first
    /// contentful paint, if the browser reports it. Paints of a hidden page do not count.
    #[must_use]
    pub fn value(&self, span: &Span<'_>) -> f64 {
        let paints = if span.cause == Cause::Load { self.paint.all() } else { span.paints };
        match paints {
            [first, ..] if span.seen(time(first)) => span.since_start(time(first)),
            _ => NEVER,
        }
    }
}
