//! Rollups as they are kept: where a cell belongs, how a batch's corrections are packed, and which
//! tables a question is answered from. Every backend calls these, so that all answer alike.

use crate::cell::{Cell, CellQuery};
use crate::kept::Kept;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::ops::Range;
use vitals::histogram::{EncodingError, read_varint, write_varint};
use vitals::view::Device;

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

/// The code of a class of device in keys: 0 for an unknown one, else its number and one.
#[must_use]
pub const fn device_code(device: Option<Device>) -> u8 {
    match device {
        None => 0,
        Some(device) => device as u8 + 1,
    }
}

/// The class of device of a code in keys; `None` for an unknown one, and for a code that is none.
#[must_use]
pub const fn device_of_code(code: u8) -> Option<Device> {
    match code {
        0 => None,
        _ => Device::from_number(code - 1),
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

/// Where a cell belongs within a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellKey {
    /// The start of its hour or day, UTC milliseconds.
    pub start_ms: i64,
    /// See [`route_id`].
    pub route_id: i64,
    /// See [`device_code`].
    pub device: u8,
}

/// What a batch changes in one hour: a cell of signed counts a route's text and device code.
pub type Corrections<'a> = BTreeMap<(&'a str, u8), Cell>;

/// Packs the corrections of one hour into a delta row: for each cell its route id (8 bytes, big
/// endian), its device code, and the cell, whose bytes tell their own end.
///
/// `route_ids` must know every route.
#[must_use]
pub fn pack<S: BuildHasher>(corrections: &Corrections<'_>, route_ids: &HashMap<String, i64, S>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_varint(&mut bytes, corrections.len() as u64);
    for (&(route, device), cell) in corrections {
        let id = route_ids.get(route).copied().unwrap_or_else(|| route_id(route, 0));
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.push(device);
        cell.encode(&mut bytes);
    }
    bytes
}

/// Reads a delta row: route id, device code and cell of each correction.
///
/// # Errors
/// Where the bytes are not a delta row.
pub fn unpack(mut bytes: &[u8]) -> Result<Vec<(i64, u8, Cell)>, EncodingError> {
    let len = read_varint(&mut bytes)?;
    let mut cells = Vec::new();
    for _ in 0..len {
        let (&id, rest) = bytes.split_first_chunk::<8>().ok_or(EncodingError)?;
        let (&device, rest) = rest.split_first().ok_or(EncodingError)?;
        bytes = rest;
        cells.push((i64::from_be_bytes(id), device, Cell::decode(&mut bytes)?));
    }
    if bytes.is_empty() { Ok(cells) } else { Err(EncodingError) }
}

/// What folding adds to the cells of hours and of days.
#[derive(Debug, Default)]
pub struct Fold {
    /// To be added to hourly cells.
    pub hours: BTreeMap<CellKey, Cell>,
    /// To be added to daily cells.
    pub days: BTreeMap<CellKey, Cell>,
}

impl Fold {
    /// Takes in the delta row of an hour.
    ///
    /// # Errors
    /// Where the bytes are not a delta row.
    pub fn add(&mut self, hour_ms: i64, bytes: &[u8], kept: &Kept) -> Result<(), EncodingError> {
        for (route_id, device, cell) in unpack(bytes)? {
            let key = |start_ms| CellKey { start_ms, route_id, device };
            if hour_ms >= kept.hours_from_ms {
                self.hours.entry(key(hour_ms)).or_default().merge(&cell);
            }
            if hour_ms >= kept.days_from_ms {
                self.days.entry(key(day_of(hour_ms))).or_default().merge(&cell);
            }
        }
        Ok(())
    }

    /// How many cells it touches.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hours.len() + self.days.len()
    }

    /// Whether it touches no cell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
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
    /// How to answer a question from rollups.
    ///
    /// The range is rounded outwards to whole hours, and to whole UTC days where it begins or ends in
    /// a day whose hours are no longer kept.
    #[must_use]
    pub fn new(query: &CellQuery, kept: &Kept) -> Self {
        let mut from_ms = hour_of(query.from_ms.max(0));
        let mut to_ms = ceil(query.to_ms.min(STARTS_END_MS), HOUR_MS);
        if day_of(from_ms) < kept.hours_from_ms {
            from_ms = day_of(from_ms);
        }
        if day_of(to_ms) < kept.hours_from_ms {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SiteId;
    use vitals::metric::{Metric, Value, Values};

    fn plan(from_ms: i64, to_ms: i64, kept: &Kept) -> Plan {
        let query = CellQuery { site: SiteId(1), from_ms, to_ms, route: None, device: None, release: None };
        Plan::new(&query, kept)
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
    fn a_delta_row_is_read_back() {
        let mut values = Values::EMPTY;
        values.set(Metric::Lcp, Value::from_micros(Metric::Lcp, 2_500_000));
        let mut added = Cell::default();
        added.add(&values, 1);
        let mut taken = Cell::default();
        taken.add(&values, -1);
        let corrections = Corrections::from([(("/", 0), added.clone()), (("/a", 2), taken.clone())]);
        let ids = HashMap::from([("/".to_owned(), 5), ("/a".to_owned(), -6)]);
        let bytes = pack(&corrections, &ids);
        assert_eq!(unpack(&bytes), Ok(vec![(5, 0, added), (-6, 2, taken)]));
        for end in 0..bytes.len() {
            assert!(unpack(&bytes[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn route_ids_never_change() {
        // Stored: another id would split the route's history.
        assert_eq!(route_id("/", 0), i64::from_be_bytes([0x8a, 0x5e, 0xda, 0xb2, 0x82, 0x63, 0x24, 0x43]));
        assert_ne!(route_id("/", 1), route_id("/", 0));
        assert_ne!(route_id("/", 2), route_id("/", 1));
    }

    #[test]
    fn an_unknown_device_is_no_phone() {
        assert_eq!(device_code(None), 0);
        for &device in Device::ALL {
            assert_ne!(device_code(Some(device)), 0);
            assert_eq!(device_of_code(device_code(Some(device))), Some(device));
        }
        assert_eq!(device_of_code(200), None);
    }
}
