//! Tests of the spool: an acknowledged beacon reaches the store exactly once, whatever fails in between.

#![allow(clippy::unwrap_used)]

mod acknowledging;
mod away;
mod blocked;
mod exactly_once;
mod file;
mod passes;
mod place;
