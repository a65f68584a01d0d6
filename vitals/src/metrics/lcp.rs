//! Largest Contentful Paint: the time at which the largest image or text was visible, up to the first input.
//!
//! Definition: <https://web.dev/articles/lcp>. The browser reports a candidate only if it is larger than all candidates
//! before, so the last candidate is the largest.

use super::NEVER;
use super::facts::{Facts, time};
use super::lifecycle::Span;
use super::views::Cause;

/// Collects `largest-contentful-paint` candidates.
#[derive(Clone, Debug)]
pub struct Lcp {
    candidates: Facts,
}

impl Lcp {
    /// No candidates.
    pub const EMPTY: Self = Self { candidates: Facts::EMPTY };

    /// Adds a candidate's start.
    pub fn candidate(&mut self, start: f64, bounds: &[f64]) {
        self.candidates.insert_moment(start, 0.0, bounds);
    }

    /// Returns LCP of a view in milliseconds, or [`NEVER`]. For a load, this is the last candidate before the page was hidden, and
    /// not after the first input. For a restore, it is the first frame, which shows the whole page, in browsers that
    /// support LCP (`supported`). For a soft navigation, it is the last contentful paint.
    #[must_use]
    pub fn value(&self, span: &Span<'_>, supported: bool) -> f64 {
        let paints = match span.cause {
            Cause::Load => self.candidates.within(0.0, span.end),
            Cause::Soft => span.paints,
            Cause::Restore if supported => span.paints.get(..1).unwrap_or_default(),
            Cause::Restore => &[],
        };
        let last = paints.iter().map(time).rfind(|&at| span.seen(at) && at <= span.input);
        last.map_or(NEVER, |last| span.since_start(last))
    }
}
