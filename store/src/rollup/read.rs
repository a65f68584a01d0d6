//! Stored rows that a question reads.

use super::{BlockKey, Grain, Scope};
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

impl Read {
    /// Whether the rows are in the block with this key, of any slot.
    #[must_use]
    pub fn has(&self, key: &BlockKey) -> bool {
        self.grain == key.grain && self.steps.contains(&key.step) && self.scope.blocks().contains(&key.block)
    }
}
