//! Folds, deletes, verifies and rebuilds.

use crate::rollup::Difference;
use crate::{Erase, Erased, MaintenanceSummary, Rebuilt, Reroute, Retention, SiteId, StoreError};
use async_trait::async_trait;

/// Folds, deletes, verifies and rebuilds.
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Gives stored page views other routes, and moves their counts in the rollups, in one transaction. Skips a page
    /// view whose route is not the expected one. A route without a place becomes [`crate::dimension::OTHER`]. Returns the
    /// number of changed page views.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site was deleted.
    async fn reroute(&self, site: SiteId, moves: Vec<Reroute>) -> Result<u64, StoreError>;

    /// Folds rollup deltas and deletes data past retention, in short steps that never block loading. A failure of one
    /// site or day does not stop the others, and is reported with the result.
    async fn maintain(&self, now_ms: i64, retention: Retention) -> Result<MaintenanceSummary, StoreError>;

    /// Returns the retention that was set for all servers of the store; `None` if none was.
    async fn retention(&self) -> Result<Option<Retention>, StoreError>;

    /// Sets the retention for all servers of the store. Removes nothing: [`Maintenance::maintain`] does, when its caller
    /// passes this retention.
    async fn set_retention(&self, retention: Retention) -> Result<(), StoreError>;

    /// Whether [`Maintenance::maintain`] also reads the store's own clock, and deletes only data that is past retention by
    /// both clocks.
    fn has_clock(&self) -> bool;

    /// Erases a part of the requested data, in one transaction. The caller repeats the call while data is left.
    ///
    /// Deletes page views and subtracts them from every rollup. If the page views of a day are past retention, the
    /// rollups of the day are deleted only if the range covers the whole day and names no URL: rollups do not separate
    /// URLs.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site was deleted.
    async fn erase(&self, erase: &Erase) -> Result<Erased, StoreError>;

    /// Deletes the routes and labels that no page view and no rollup uses, which frees their places. Returns their
    /// number. Every erasure ends with this call.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site was deleted.
    async fn free_names(&self, site: SiteId) -> Result<u64, StoreError>;

    /// Counts the page views that [`Maintenance::erase`] would delete, up to [`crate::limits::ERASABLE_MAX`].
    async fn erasable(&self, erase: &Erase) -> Result<u64, StoreError>;

    /// Returns the starts of the UTC days with stored page views of a site, ascending. The rollups of these days can
    /// be verified and rebuilt.
    async fn view_days(&self, site: SiteId) -> Result<Vec<i64>, StoreError>;

    /// Compares the rollups of a UTC day, unfolded deltas included, with its page views, in one snapshot of the
    /// store. Returns the differences; a sound store has none. Skips a day without page views, unless its page views
    /// are past retention.
    async fn verify_day(&self, site: SiteId, day_ms: i64) -> Result<Vec<Difference>, StoreError>;

    /// Rebuilds the rollups of a UTC day from its page views, concurrently with loads. Skips a day whose page views
    /// are past retention.
    async fn rebuild_day(&self, site: SiteId, day_ms: i64) -> Result<Rebuilt, StoreError>;
}
