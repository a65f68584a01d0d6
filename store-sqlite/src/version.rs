//! The version of a site's data, from its load cursors and the edges of kept data.

use crate::error::{damaged, failed};
use crate::{SqliteStore, query};
use fieldvitals_store::version::{OTHER_CHANGES, Version, last_load_of};
use fieldvitals_store::{SiteId, SpoolId, StoreError};
use sqlx::sqlite::SqliteConnection;

const READING: &str = "reading the version of a site's data";
const COUNTING: &str = "counting a change of a site's data";

pub(crate) async fn version(store: &SqliteStore, site: SiteId) -> Result<Version, StoreError> {
    let mut transaction = store.read(READING).await?;
    let retained = query::retention_edges(&mut transaction).await?;
    let rows: Vec<(Vec<u8>, i64)> =
        sqlx::query_as("/* cursor.all */ select spool, position from load_cursor where site_id = ?")
            .bind(site.0)
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed(READING))?;
    let cursor = |(spool, position): (Vec<u8>, i64)| {
        let spool = spool.try_into().map_err(|_| damaged(READING, "a load cursor (spool)"))?;
        Ok((spool, position))
    };
    Ok(Version::new(&retained, rows.into_iter().map(cursor).collect::<Result<Vec<_>, StoreError>>()?))
}

/// Counts a change that is no load, in its transaction.
pub(crate) async fn count_change(connection: &mut SqliteConnection, site: SiteId) -> Result<(), StoreError> {
    sqlx::query(
        "/* version.count */ insert into load_cursor (site_id, spool, position) values (?, ?, 1) \
         on conflict (site_id, spool) do update set position = position + 1",
    )
    .bind(site.0)
    .bind(OTHER_CHANGES.0.as_slice())
    .execute(connection)
    .await
    .map_err(failed(COUNTING))?;
    Ok(())
}

/// Counts the removal of a spool's cursors as a change of their sites. Otherwise a site could return to the version that
/// it had before the spool's loads.
pub(crate) async fn count_forgotten(
    connection: &mut SqliteConnection,
    spool: SpoolId,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* version.count.forgotten */ insert into load_cursor (site_id, spool, position) \
         select site_id, ?1, 1 from load_cursor where spool = ?2 \
         on conflict (site_id, spool) do update set position = position + 1",
    )
    .bind(OTHER_CHANGES.0.as_slice())
    .bind(spool.0.as_slice())
    .execute(connection)
    .await
    .map_err(failed(COUNTING))?;
    Ok(())
}

/// Removes the last loads of the days before an edge of kept page views, in the transaction that moves the edge.
pub(crate) async fn forget_days(
    connection: &mut SqliteConnection,
    views_from_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query("/* version.forget */ delete from load_cursor where spool >= ? and spool < ?")
        .bind(last_load_of(0).0.as_slice())
        .bind(last_load_of(views_from_ms).0.as_slice())
        .execute(connection)
        .await
        .map_err(failed(COUNTING))?;
    Ok(())
}
