//! The vocabulary of fieldvitals, as pure code: no IO, no clock, no panic.
//!
//! The same code runs as wasm in the browser and natively on the server, so a value means the same
//! wherever it was computed. Start reading at [`metric`], then [`entry`] (what a browser tells),
//! [`document`] (what follows from it) and [`beacon`] (how it travels).

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic, clippy::expect_used)
)]

#[cfg(feature = "native")]
pub mod advice;
#[cfg(feature = "native")]
pub mod assessment;
pub mod attribution;
pub mod beacon;
#[cfg(feature = "native")]
pub mod budget;
#[cfg(feature = "native")]
pub mod compare;
pub mod document;
pub mod entry;
pub mod fetch;
#[cfg(feature = "native")]
pub mod gate;
#[cfg(feature = "native")]
pub mod histogram;
pub mod limits;
pub mod metric;
pub mod metrics;
#[cfg(feature = "native")]
mod normal;
#[cfg(test)]
mod random;
#[cfg(feature = "native")]
pub mod score;
#[cfg(feature = "native")]
pub mod season;
#[cfg(feature = "native")]
pub mod share;
pub mod snapshot;
pub mod view;
