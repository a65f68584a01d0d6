//! Rollups as they are kept: where a row belongs, how a batch's corrections are packed, and what a
//! question is answered from. Every backend calls these, so that all answer alike.

mod answer;
mod block;
mod fold;
mod log;
mod plan;
mod read;
mod row;
mod site;
mod steps;

pub(crate) use answer::Sums;
pub use answer::{Answer, From, Per, Selected};
pub use block::{Block, BlockKey, Scope, Stored, add_block, blocks, read_block};
pub use fold::Fold;
pub use log::{Counted, deltas};
pub use plan::Plan;
pub use read::Read;
pub use row::{
    Difference, Grain, Part, Row, RowKey, add_rows, differences, from_slot, slot, slots, steps_of_day,
};
pub use site::{Coverage, SiteRows};
pub use steps::{StepAnswers, StepPlans};

use sha2::{Digest, Sha256};

/// Milliseconds of a minute.
pub const MINUTE_MS: i64 = 60_000;
/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds of a UTC day.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// The start of the hour that a moment (UTC milliseconds) lies in.
#[must_use]
pub const fn hour_of(at_ms: i64) -> i64 {
    floor(at_ms, HOUR_MS)
}

/// The start of the UTC day that a moment (UTC milliseconds) lies in.
#[must_use]
pub const fn day_of(at_ms: i64) -> i64 {
    floor(at_ms, DAY_MS)
}

const fn floor(at_ms: i64, step_ms: i64) -> i64 {
    match at_ms.checked_sub(at_ms.rem_euclid(step_ms)) {
        Some(start_ms) => start_ms,
        None => i64::MIN,
    }
}

/// The id under which a site keeps a route: the first eight bytes of the SHA-256 of its text.
///
/// It needs no sequence, and servers that never spoke to each other choose the same one. Should it be
/// taken by another route, the next `attempt` gives another id; the route's row says which one holds.
#[must_use]
pub fn route_id(route: &str, attempt: u8) -> i64 {
    let mut hash = Sha256::new_with_prefix(route);
    if attempt > 0 {
        // 0xff is no byte of any UTF-8 text, so this is no other route's first attempt.
        hash.update([0xff, attempt]);
    }
    let mut id = [0; 8];
    for (byte, hashed) in id.iter_mut().zip(hash.finalize()) {
        *byte = hashed;
    }
    i64::from_be_bytes(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn route_ids_never_change() {
        // Stored: another id would split the route's history.
        assert_eq!(route_id("/", 0), i64::from_be_bytes([0x8a, 0x5e, 0xda, 0xb2, 0x82, 0x63, 0x24, 0x43]));
        assert_ne!(route_id("/", 1), route_id("/", 0));
        assert_ne!(route_id("/", 2), route_id("/", 1));
    }
}
