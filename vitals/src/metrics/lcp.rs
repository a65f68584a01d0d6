//! Largest Contentful Paint: when the largest image or text had been seen, up to the first input.
//!
//! Definition: <https://web.dev/articles/lcp>. The browser makes a candidate only of what is larger
//! than all before it, so the last candidate is the largest.

use super::facts::{Facts, time};
use super::lifecycle::Span;
use super::views::Cause;

/// Collects `largest-contentful-paint` candidates.
#[derive(Clone, Debug)]
pub struct Lcp {
    candidates: Facts,
}

impl Lcp {
    /// Nothing is collected yet.
    pub const EMPTY: Self = Self { candidates: Facts::EMPTY };

    /// Takes a candidate's start.
    pub fn candidate(&mut self, start: f64, bounds: &[f64]) {
        self.candidates.insert_moment(start, 0.0, bounds);
    }

    /// LCP of a view in milliseconds. Of a load: the last candidate before the page was hidden, and no
    /// later than the first input. Of a restore: its first frame, which shows the whole page, in
    /// browsers that know LCP (`supported`). Of a soft navigation: its last contentful paint.
    #[must_use]
    pub fn value(&self, span: &Span<'_>, supported: bool) -> Option<f64> {
        let paints = match span.cause {
            Cause::Load => self.candidates.within(0.0, span.end),
            Cause::Soft => span.paints,
            Cause::Restore if supported => span.paints.get(..1)?,
            Cause::Restore => return None,
        };
        let last = paints.iter().map(time).rfind(|&at| span.seen(at) && at <= span.input)?;
        Some(span.since_start(last))
    }
}
