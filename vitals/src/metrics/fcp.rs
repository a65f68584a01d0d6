//! First Contentful Paint: when the first text or image was seen.
//!
//! Definition: <https://web.dev/articles/fcp>.

use super::facts::{Facts, time};
use super::lifecycle::Span;
use super::views::Cause;

/// Collects `first-contentful-paint`.
#[derive(Clone, Debug)]
pub struct Fcp {
    paint: Facts,
}

impl Fcp {
    /// Nothing is collected yet.
    pub const EMPTY: Self = Self { paint: Facts::EMPTY };

    /// Takes the paint's start.
    pub fn paint(&mut self, start: f64) {
        self.paint.insert_earliest(start, 0.0, 1);
    }

    /// FCP of a view in milliseconds: of a restore its first frame, of a soft navigation its first
    /// contentful paint, where the browser tells it. A paint that nobody saw does not count.
    #[must_use]
    pub fn value(&self, span: &Span<'_>) -> Option<f64> {
        let paints = if span.cause == Cause::Load { self.paint.all() } else { span.paints };
        let first = paints.first().map(time)?;
        span.seen(first).then(|| span.since_start(first))
    }
}
