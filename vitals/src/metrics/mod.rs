//! The metrics, one pure state machine per file.
//!
//! Each machine collects facts of its kind and computes its value for one page view on request. A value depends only on
//! the set of facts, never on their order, so facts may arrive late, twice and in any order. Shared modules are
//! [`facts`] (sets of facts), [`views`] (starts of page views) and [`lifecycle`] (first hiding and first input of a
//! view).

pub mod cls;
pub mod facts;
pub mod fcp;
pub mod fid;
pub mod inp;
pub mod lcp;
pub mod lifecycle;
pub mod ttfb;
pub mod tti;
pub mod views;

/// The value of a metric that a view does not have. It is not plausible, so [`Values`](crate::metric::Values) do not
/// take it.
pub const NEVER: f64 = f64::INFINITY;
