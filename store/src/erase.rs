//! Erasing what was measured.

use crate::site::SiteId;
use crate::view::ViewUpdate;

/// What is to be erased of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erase {
    /// The site.
    pub site: SiteId,
    /// First start of a page view, UTC milliseconds.
    pub from_ms: i64,
    /// End of the range, excluded.
    pub to_ms: i64,
    /// Only page views of this URL, as it is kept: without query and fragment.
    pub url: Option<String>,
}

impl Erase {
    /// Whether a page view of the site is to be erased.
    #[must_use]
    pub fn takes(&self, view: &ViewUpdate) -> bool {
        (self.from_ms..self.to_ms).contains(&view.id.start_ms())
            && self.url.as_ref().is_none_or(|url| *url == view.url)
    }
}

/// What a step of erasing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Page views removed, and taken out of every rollup.
    pub views: u64,
    /// Rollup rows removed of days whose page views are past retention.
    pub rows: u64,
    /// Whether there may be more to erase.
    pub more: bool,
}
