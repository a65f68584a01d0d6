//! Locks of rows that a transaction relies on.

use crate::error::failed;
use crate::facts::retained;
use crate::sql::query;
use fieldvitals_store::{RetentionEdges, SiteId, StoreError};
use sqlx::postgres::PgConnection;

const LOCKING: &str = "locking a site or the retention edges";

/// Checks that a site exists, and locks it until the transaction ends.
pub(crate) async fn hold_site(connection: &mut PgConnection, site: SiteId) -> Result<(), StoreError> {
    query("/* load.site */ select site_id from site where site_id = $1 for key share")
        .bind(site.0)
        .fetch_optional(connection)
        .await
        .map_err(failed(LOCKING))?
        .map(drop)
        .ok_or(StoreError::NoSuchSite)
}

/// Reads the retention edges. Locks them, and thus every name, until the transaction ends.
pub(crate) async fn lock_retention_edges(
    connection: &mut PgConnection,
) -> Result<RetentionEdges, StoreError> {
    let row = query(
        "/* load.kept */ select views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms from kept where one = 1 \
         for share",
    )
    .fetch_one(connection)
    .await
    .map_err(failed(LOCKING))?;
    retained(&row)
}
