//! Keeps sites with their keys and settings, tokens, deploy marks, and the audit log.

use crate::{
    AuditEntry, DeployMark, NewSite, NewToken, RouteGroups, Site, SiteId, StoreError, Token, TokenId,
};
use async_trait::async_trait;

/// Keeps sites with their keys and settings, tokens, deploy marks, and the audit log.
#[async_trait]
pub trait Sites: Send + Sync {
    /// Creates the first site and the first token, if missing, in one transaction. If servers start together, one of
    /// them creates each; the others find it.
    async fn first_start(
        &self,
        site: NewSite,
        token: NewToken,
    ) -> Result<(Option<Site>, Option<Token>), StoreError>;

    /// Adds a site with one key.
    async fn site_add(&self, site: NewSite) -> Result<Site, StoreError>;

    /// All sites with their keys, by name.
    async fn sites(&self) -> Result<Vec<Site>, StoreError>;

    /// Replaces a site's name, allowed origins and route rules. Keeps its keys.
    async fn site_update(
        &self,
        site: SiteId,
        name: &str,
        origins: &[String],
        routes: &[String],
    ) -> Result<Site, StoreError>;

    /// Sets a site's time zone, an IANA name that the caller has checked.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn site_timezone(&self, site: SiteId, timezone: &str) -> Result<Site, StoreError>;

    /// Replaces a site's route groups if they are still `before`. Returns the site: with other groups than `after` if
    /// somebody changed them meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn site_route_groups(
        &self,
        site: SiteId,
        before: &RouteGroups,
        after: &RouteGroups,
    ) -> Result<Site, StoreError>;

    /// Adds a new key to a site. Its other keys stay valid until `old_until_ms` or their own expiry, whichever is
    /// earlier.
    async fn site_rotate_key(
        &self,
        site: SiteId,
        new_key: &str,
        now_ms: i64,
        old_until_ms: i64,
    ) -> Result<Site, StoreError>;

    /// Deletes a site and all of its data.
    async fn site_delete(&self, site: SiteId) -> Result<(), StoreError>;

    /// Adds a token, identified by the hash of its secret.
    async fn token_add(&self, token: NewToken) -> Result<Token, StoreError>;

    /// All tokens, oldest first.
    async fn tokens(&self) -> Result<Vec<Token>, StoreError>;

    /// Removes a token.
    async fn token_revoke(&self, token: TokenId) -> Result<(), StoreError>;

    /// Adds an entry to the audit log. Beyond [`crate::limits::AUDIT_ENTRIES_MAX`], the oldest entries are dropped.
    async fn audit_add(&self, entry: &AuditEntry) -> Result<(), StoreError>;

    /// Returns entries of the audit log with their numbers, newest first: at most `limit` before a number.
    async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<(i64, AuditEntry)>, StoreError>;

    /// Marks deploys of releases; a new mark of a release replaces the old one. Beyond
    /// [`crate::limits::DEPLOY_MARKS_PER_SITE_MAX`], the oldest marks are dropped.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn deploy_marks_put(&self, site: SiteId, marks: &[DeployMark]) -> Result<(), StoreError>;

    /// Returns a site's deploy marks, the latest first.
    async fn deploy_marks(&self, site: SiteId) -> Result<Vec<DeployMark>, StoreError>;
}
