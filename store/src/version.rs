//! The version of a site's data: equal versions mean equal answers.

use crate::rollup::day_of;
use crate::{RetentionEdges, SpoolId};
use std::ops::Range;

/// The row among a site's load cursors that counts the changes other than loads: erasures, rebuilt rollups, removed or
/// copied names, copied rollups, and forgotten cursors. No spool has this id, because spools draw theirs.
pub const OTHER_CHANGES: SpoolId = SpoolId([0xff; 16]);

/// The first bytes of the rows among a site's load cursors that hold the last load of each UTC day.
const DAY_PREFIX: [u8; 8] = [0xfe; 8];

/// Returns the row among a site's load cursors that holds the last load of a UTC day, from any moment of the day. No
/// spool has this id, because spools draw theirs. Retention removes the rows of days whose page views it removes: no
/// load changes these days.
#[must_use]
pub fn last_load_of(start_ms: i64) -> SpoolId {
    let mut id = [0; 16];
    let (prefix, day) = id.split_at_mut(DAY_PREFIX.len());
    prefix.copy_from_slice(&DAY_PREFIX);
    day.copy_from_slice(&day_of(start_ms).max(0).to_be_bytes());
    SpoolId(id)
}

/// Returns the position in the row of [`last_load_of`]: a number that another load has with a probability of 2^-63.
#[must_use]
pub fn load_number(spool: SpoolId, up_to: u64) -> i64 {
    let SpoolId([a, b, c, d, e, f, g, h, ..]) = spool;
    // Keeps the sign, so that the number is a position.
    i64::from_be_bytes([a, b, c, d, e, f, g, h]).wrapping_add_unsigned(up_to.rotate_left(32)) & i64::MAX
}

/// A version of a site's data. Everything that changes an answer about the site also changes its version, in one
/// transaction: a load moves a cursor, retention moves the edges of kept data, and all else counts
/// [`OTHER_CHANGES`]. A version never comes back. Folds change no answer, and no version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    bytes: Vec<u8>,
    /// The edges of kept data, and the other changes.
    common: Vec<u8>,
    /// The last load of each day, by the day's start.
    days: Vec<(i64, i64)>,
}

impl Version {
    /// The version of kept edges and a site's load cursors.
    #[must_use]
    pub fn new(retained: &RetentionEdges, cursors: impl IntoIterator<Item = ([u8; 16], i64)>) -> Self {
        let mut cursors: Vec<_> = cursors.into_iter().collect();
        cursors.sort_unstable();
        let RetentionEdges { views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms } = *retained;
        let edges = [views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms];
        let mut common = edges.map(i64::to_be_bytes).concat();
        let mut bytes = common.clone();
        let mut days = Vec::new();
        for (spool, position) in cursors {
            bytes.extend_from_slice(&spool);
            bytes.extend_from_slice(&position.to_be_bytes());
            if spool == OTHER_CHANGES.0 {
                common.extend_from_slice(&position.to_be_bytes());
            } else if let Some((&DAY_PREFIX, day)) = spool.split_first_chunk()
                && let Ok(day) = day.try_into()
            {
                days.push((i64::from_be_bytes(day), position));
            }
        }
        Self { bytes, common, days }
    }

    /// The version as bytes, for a hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The version of the page views that start in a range of whole UTC days, as bytes for a hash. Loads of other days do
    /// not change it.
    #[must_use]
    pub fn of_days(&self, days: &Range<i64>) -> Vec<u8> {
        let mut bytes = self.common.clone();
        for (day_ms, load) in self.days.iter().filter(|(day_ms, _)| days.contains(day_ms)) {
            bytes.extend_from_slice(&day_ms.to_be_bytes());
            bytes.extend_from_slice(&load.to_be_bytes());
        }
        bytes
    }
}
