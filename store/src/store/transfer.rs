//! Copies a store into another one.

use crate::{
    Name, RetentionEdges, RollupGroup, Site, SiteId, SiteSize, StoreError, StoredView, Violation, rollup,
};
use async_trait::async_trait;

/// Copies a store into another one.
#[async_trait]
pub trait Transfer: Send + Sync {
    /// Returns the starts of the stored data, by kind.
    async fn retention_edges(&self) -> Result<RetentionEdges, StoreError>;

    /// Sets the starts of the stored data, in a copy of another store. Deletes nothing.
    async fn keep(&self, retained: RetentionEdges) -> Result<(), StoreError>;

    /// Returns the size of a site's stored data.
    async fn site_size(&self, site: SiteId) -> Result<SiteSize, StoreError>;

    /// Adds a copy of a site under a new id: name, keys, origins, routes, route groups, time zone and creation time.
    ///
    /// # Errors
    /// [`StoreError::SiteExists`] if the name is taken.
    async fn site_put(&self, site: &Site) -> Result<Site, StoreError>;

    /// Returns all routes and labels of a site, sorted by kind and text.
    async fn names(&self, site: SiteId) -> Result<Vec<Name>, StoreError>;

    /// Writes the names of another store, replacing existing ones.
    async fn names_put(&self, site: SiteId, names: &[Name]) -> Result<(), StoreError>;

    /// Returns at most `limit` stored page views after an id, by id.
    async fn views(
        &self,
        site: SiteId,
        after: Option<vitals::view::ViewId>,
        limit: u32,
    ) -> Result<Vec<StoredView>, StoreError>;

    /// Returns the last id of the first `count` stored page views, by id; `None` if there are fewer.
    async fn view_at(&self, site: SiteId, count: u64) -> Result<Option<vitals::view::ViewId>, StoreError>;

    /// Returns folded rollups of days whose page views are past retention, sorted by key: about `limit` groups after
    /// one. Never splits an hour or day. Returns an empty list at the end.
    async fn rollups(
        &self,
        site: SiteId,
        after: Option<(rollup::Grain, i64)>,
        limit: u32,
    ) -> Result<Vec<RollupGroup>, StoreError>;

    /// Writes the rollups of another store, replacing existing ones.
    async fn rollups_put(&self, site: SiteId, groups: Vec<RollupGroup>) -> Result<(), StoreError>;

    /// Writes the violations of another store; keeps existing ones.
    async fn violations_put(&self, site: SiteId, violations: &[Violation]) -> Result<(), StoreError>;
}
