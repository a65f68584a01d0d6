//! Time to First Byte: from the start of the navigation to the first byte of the response.
//!
//! Definition: <https://web.dev/articles/ttfb>.

use super::NEVER;
use super::lifecycle::{Lifecycle, Span};
use super::views::Cause;
use crate::entry::Text;

/// Returns TTFB of a view in milliseconds, as known at `now`.
///
/// [`NEVER`] before the response has begun (some browsers report 0, some a future time). A restore needs no response: 0. A
/// soft navigation makes no navigation request, so it has no TTFB. web-vitals reports 0 there, which would make a site
/// with more soft navigations look faster.
#[must_use]
pub fn value<T: Text>(life: &Lifecycle<T>, span: &Span<'_>, now: f64) -> f64 {
    match span.cause {
        Cause::Load => {
            let response_start = life.navigation_entry().response_start;
            if response_start > 0.0 && response_start <= now {
                span.since_start(response_start)
            } else {
                NEVER
            }
        }
        Cause::Restore => 0.0,
        Cause::Soft => NEVER,
    }
}
