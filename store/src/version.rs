//! The version of a site's data: equal versions mean equal answers.

use crate::{RetentionEdges, SpoolId};

/// The row among a site's load cursors that counts the changes other than loads: erasures, rebuilt rollups, removed or
/// copied names, copied rollups, and forgotten cursors. No spool has this id, because spools draw theirs.
pub const OTHER_CHANGES: SpoolId = SpoolId([0xff; 16]);

/// A version of a site's data. Everything that changes an answer about the site also changes its version, in one
/// transaction: a load moves a cursor, retention moves the edges of kept data, and all else counts
/// [`OTHER_CHANGES`]. A version never comes back. Folds change no answer, and no version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(Vec<u8>);

impl Version {
    /// The version of kept edges and a site's load cursors.
    #[must_use]
    pub fn new(retained: &RetentionEdges, cursors: impl IntoIterator<Item = ([u8; 16], i64)>) -> Self {
        let mut cursors: Vec<_> = cursors.into_iter().collect();
        cursors.sort_unstable();
        let RetentionEdges { views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms } = *retained;
        let edges = [views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms].map(i64::to_be_bytes);
        let mut bytes = edges.concat();
        for (spool, position) in cursors {
            bytes.extend_from_slice(&spool);
            bytes.extend_from_slice(&position.to_be_bytes());
        }
        Self(bytes)
    }

    /// The version as bytes, for a hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
