//! Stored rows that a question reads.

use super::{Grain, Scope};
use std::ops::Range;

/// Stored rows to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The length of the time step.
    pub grain: Grain,
    /// See [`Grain::step`].
    pub steps: Range<i32>,
    /// The rows of each step.
    pub scope: Scope,
}
