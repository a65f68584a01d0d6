//! Rollups as they are kept: where a row belongs, how a batch's corrections are packed, and what a
//! question is answered from. Every backend calls these, so that all answer alike.

mod answer;
mod block;
mod fold;
mod log;
mod row;

pub use answer::{Answer, From};
pub use block::{Block, BlockKey, Stored, add_block, block_of, blocks, read_block};
pub use fold::Fold;
pub use log::{Counted, deltas};
pub use row::{
    Difference, Grain, Part, Row, RowKey, add_rows, differences, from_slot, slot, slots, steps_of_day,
};

use crate::cell::CellQuery;
use crate::dimension::Dimension;
use crate::kept::Kept;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of a UTC day.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// The first start that no page view can have: an id holds 48 bits of milliseconds.
const STARTS_END_MS: i64 = 1 << 48;

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

/// The first start of a step at or after a moment; the end of time is its own.
const fn ceil(at_ms: i64, step_ms: i64) -> i64 {
    let start_ms = floor(at_ms, step_ms);
    if start_ms == at_ms { at_ms } else { start_ms.saturating_add(step_ms) }
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

/// Which cells answer a question. All ranges are of UTC milliseconds, their ends excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whole days: daily cells.
    pub days: Range<i64>,
    /// What lies before and after them: hourly cells. Either may be empty.
    pub hours: [Range<i64>; 2],
    /// All of it: delta rows that are not folded yet.
    pub deltas: Range<i64>,
}

impl Plan {
    /// How to answer a question from the rollups of a dimension.
    ///
    /// The range is rounded outwards to whole hours; to whole UTC days where the dimension has no hours,
    /// and where the range begins or ends in a day whose hours are no longer kept.
    #[must_use]
    pub fn new(query: &CellQuery, dimension: Dimension, kept: &Kept) -> Self {
        let whole_days = |at_ms| dimension != Dimension::Device || day_of(at_ms) < kept.hours_from_ms;
        let mut from_ms = hour_of(query.from_ms.max(0));
        let mut to_ms = ceil(query.to_ms.min(STARTS_END_MS), HOUR_MS);
        if whole_days(from_ms) {
            from_ms = day_of(from_ms);
        }
        if whole_days(to_ms) {
            to_ms = ceil(to_ms, DAY_MS);
        }
        from_ms = from_ms.max(kept.days_from_ms);
        if query.from_ms >= query.to_ms || from_ms >= to_ms {
            return Self { days: 0..0, hours: [0..0, 0..0], deltas: 0..0 };
        }
        let days = ceil(from_ms, DAY_MS)..day_of(to_ms);
        if days.is_empty() {
            return Self { days: 0..0, hours: [from_ms..to_ms, 0..0], deltas: from_ms..to_ms };
        }
        Self { hours: [from_ms..days.start, days.end..to_ms], days, deltas: from_ms..to_ms }
    }

    /// The rows that answer it, as steps of a grain.
    pub fn steps(&self) -> impl Iterator<Item = (Grain, Range<i32>)> {
        let [before, after] = self.hours.clone();
        [(Grain::Day, self.days.clone()), (Grain::Hour, before), (Grain::Hour, after)]
            .into_iter()
            .filter(|(_, range)| !range.is_empty())
            .map(|(grain, range)| (grain, grain.step(range.start)..grain.step(range.end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SiteId;

    fn plan(from_ms: i64, to_ms: i64, kept: &Kept) -> Plan {
        Plan::new(&CellQuery::new(SiteId(1), from_ms, to_ms), Dimension::Device, kept)
    }

    #[test]
    fn whole_days_come_from_days_and_edges_from_hours() {
        let kept = Kept::EVERYTHING;
        let answer = plan(DAY_MS - HOUR_MS, 3 * DAY_MS + 2 * HOUR_MS, &kept);
        assert_eq!(answer.days, DAY_MS..3 * DAY_MS);
        assert_eq!(answer.hours, [DAY_MS - HOUR_MS..DAY_MS, 3 * DAY_MS..3 * DAY_MS + 2 * HOUR_MS]);
        assert_eq!(answer.deltas, DAY_MS - HOUR_MS..3 * DAY_MS + 2 * HOUR_MS);

        let answer = plan(HOUR_MS, DAY_MS + HOUR_MS, &kept);
        assert!(answer.days.is_empty());
        assert_eq!(answer.hours[0], HOUR_MS..DAY_MS + HOUR_MS);

        assert!(plan(HOUR_MS, HOUR_MS, &kept).deltas.is_empty());
        assert_eq!(plan(0, DAY_MS, &kept).days, 0..DAY_MS);
    }

    #[test]
    fn days_whose_hours_are_gone_are_taken_whole() {
        let kept = Kept { hours_from_ms: 2 * DAY_MS, ..Kept::EVERYTHING };
        let answer = plan(HOUR_MS, DAY_MS + HOUR_MS, &kept);
        assert_eq!(answer.days, 0..2 * DAY_MS);
        assert!(answer.hours.iter().all(Range::is_empty));
        let answer = plan(HOUR_MS, 2 * DAY_MS + HOUR_MS, &kept);
        assert_eq!(answer.days, 0..2 * DAY_MS);
        assert_eq!(answer.hours[1], 2 * DAY_MS..2 * DAY_MS + HOUR_MS);
    }

    #[test]
    fn an_endless_range_is_that_of_all_ids() {
        let answer = plan(i64::MIN, i64::MAX, &Kept::EVERYTHING);
        assert!(answer.deltas.start == 0 && answer.deltas.end >= STARTS_END_MS);
    }

    #[test]
    fn dimensions_without_hours_are_taken_in_whole_days() {
        let query = CellQuery::new(SiteId(1), DAY_MS + HOUR_MS, DAY_MS + 2 * HOUR_MS);
        let answer = Plan::new(&query, Dimension::Country, &Kept::EVERYTHING);
        assert_eq!(answer.steps().collect::<Vec<_>>(), [(Grain::Day, 1..2)]);
        assert_eq!(answer.deltas, DAY_MS..2 * DAY_MS);
        let answer = Plan::new(&query, Dimension::Device, &Kept::EVERYTHING);
        assert_eq!(answer.steps().collect::<Vec<_>>(), [(Grain::Hour, 25..26)]);
    }

    #[test]
    fn route_ids_never_change() {
        // Stored: another id would split the route's history.
        assert_eq!(route_id("/", 0), i64::from_be_bytes([0x8a, 0x5e, 0xda, 0xb2, 0x82, 0x63, 0x24, 0x43]));
        assert_ne!(route_id("/", 1), route_id("/", 0));
        assert_ne!(route_id("/", 2), route_id("/", 1));
    }
}
