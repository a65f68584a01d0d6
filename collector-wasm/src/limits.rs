//! Bounds of the collector in the page.
//!
//! `cargo xtask limits` lists the bounds of all crates.

/// Texts of one document in the browser; from then on, no attribution is collected.
pub(crate) const EXPLAINING_TEXTS_MAX: i32 = 500;
/// Paints after interactions that the collector keeps until it knows which interactions were navigations.
pub(crate) const SOFT_PAINTS_MAX: usize = 50;
/// Minimum duration of observed events, in milliseconds. Shorter events do not matter for INP. The browser's default
/// would miss events under 104 ms.
pub(crate) const EVENT_DURATION_MS_MIN: u32 = 40;
/// Interval at which an open page reports its changes, in milliseconds.
pub(crate) const REPORT_MS: u32 = 60_000;
/// Interval at which an open page updates its deferred beacon, in milliseconds. The browser sends that beacon if the
/// page ends.
pub(crate) const DEFER_MS: u32 = 10_000;
