//! Defines weekly digests, as far as they are delivered.

use crate::site::SiteId;

/// The delivery of a site's weekly digest to a channel: the last week, and the state of its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The site.
    pub site: SiteId,
    /// The channel's name.
    pub channel: String,
    /// The Monday that begins the week, in days since 1970-01-01. A date, because a change of the site's time zone must not
    /// make another week.
    pub week: i32,
    /// Attempts until now.
    pub attempts: u32,
    /// Time of the next attempt, UTC milliseconds; `None` if it is delivered, given up or under way.
    pub due_ms: Option<i64>,
    /// Time of the delivery, UTC milliseconds.
    pub sent_ms: Option<i64>,
    /// Why the last attempt failed; `None` after a delivery.
    pub error: Option<String>,
}
