//! Page views by URL, which rollups do not tell apart.

use crate::scan::Scanned;

/// The page views of a URL under a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlCount {
    /// The URL.
    pub url: String,
    /// The stored route.
    pub route: String,
    /// Page views, of the sample if one was read.
    pub views: u64,
}

/// The page views of a period by URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlCounts {
    /// The period, and the sample if one was read.
    pub scanned: Scanned,
    /// The counts, in any order; a URL may occur several times.
    pub rows: Vec<UrlCount>,
}

/// Rows that a backend counts at most: a sample has fewer, unless rollups count fewer page views than are stored.
pub const COUNTED_MAX: i64 = 2 * crate::limits::SAMPLE_VIEWS_MAX as i64;
