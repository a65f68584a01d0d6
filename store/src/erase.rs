//! Erasure of page views.

use crate::site::SiteId;
use crate::view::ViewUpdate;

/// Selects page views of a site for erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erase {
    /// The site.
    pub site: SiteId,
    /// First start of a page view, UTC milliseconds.
    pub from_ms: i64,
    /// End of the range, excluded.
    pub to_ms: i64,
    /// Selects only page views of this URL, in its stored form: without query and fragment.
    pub url: Option<String>,
}

impl Erase {
    /// Whether the erasure includes a page view of the site.
    #[must_use]
    pub fn takes(&self, view: &ViewUpdate) -> bool {
        (self.from_ms..self.to_ms).contains(&view.id.start_ms())
            && self.url.as_ref().is_none_or(|url| *url == view.url)
    }
}

/// Result of a step of an erasure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Page views removed, also from all rollups.
    pub views: u64,
    /// Rollup rows removed for days whose page views are past retention.
    pub rows: u64,
    /// Whether more page views may remain.
    pub more: bool,
}
