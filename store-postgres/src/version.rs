//! The version of a site's data, from its load cursors and the edges of kept data.

use crate::error::failed;
use crate::sql::query;
use crate::{PostgresStore, facts};
use fieldvitals_store::version::{OTHER_CHANGES, Version, last_load_of};
use fieldvitals_store::{SiteId, SpoolId, StoreError};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Uuid;

const READING: &str = "reading the version of a site's data";
const COUNTING: &str = "counting a change of a site's data";

pub(crate) async fn version(store: &PostgresStore, site: SiteId) -> Result<Version, StoreError> {
    let (retained, rows) = facts::cursors(store, site, READING).await?;
    let cursor = |row: &PgRow| Ok((row.try_get::<Uuid, _>(0)?.into_bytes(), row.try_get(1)?));
    let cursors: Result<Vec<_>, _> = rows.iter().map(cursor).collect();
    Ok(Version::new(&retained, cursors.map_err(failed(READING))?))
}

/// Counts a change that is no load, in its transaction. Called last, because the row stays locked until the commit.
pub(crate) async fn count_change(connection: &mut PgConnection, site: SiteId) -> Result<(), StoreError> {
    query(
        "/* version.count */ insert into load_cursor (site_id, spool, position) values ($1, $2, 1) \
         on conflict (site_id, spool) do update set position = load_cursor.position + 1",
    )
    .bind(site.0)
    .bind(Uuid::from_bytes(OTHER_CHANGES.0))
    .execute(connection)
    .await
    .map_err(failed(COUNTING))?;
    Ok(())
}

/// Counts the removal of a spool's cursors as a change of their sites. Otherwise a site could return to the version that
/// it had before the spool's loads. Locks the rows in the order of sites, so that servers do not wait for each other in a
/// circle.
pub(crate) async fn count_forgotten(connection: &mut PgConnection, spool: SpoolId) -> Result<(), StoreError> {
    query(
        "/* version.count.forgotten */ insert into load_cursor (site_id, spool, position) \
         select site_id, $1::uuid, 1 from load_cursor where spool = $2 order by site_id \
         on conflict (site_id, spool) do update set position = load_cursor.position + 1",
    )
    .bind(Uuid::from_bytes(OTHER_CHANGES.0))
    .bind(Uuid::from_bytes(spool.0))
    .execute(connection)
    .await
    .map_err(failed(COUNTING))?;
    Ok(())
}

/// Notes the last load of days: sites, the rows of their days, and the numbers of the loads, ordered by site.
pub(crate) async fn note_days(
    connection: &mut PgConnection,
    (sites, days, loads): (Vec<i64>, Vec<Uuid>, Vec<i64>),
) -> Result<(), StoreError> {
    if sites.is_empty() {
        return Ok(());
    }
    query(
        "/* version.days */ insert into load_cursor (site_id, spool, position) \
         select * from unnest($1::bigint[], $2::uuid[], $3::bigint[]) \
         on conflict (site_id, spool) do update set position = excluded.position",
    )
    .bind(sites)
    .bind(days)
    .bind(loads)
    .execute(connection)
    .await
    .map_err(failed(COUNTING))?;
    Ok(())
}

/// Removes the last loads of the days before an edge of kept page views, in the transaction that moves the edge.
pub(crate) async fn forget_days(connection: &mut PgConnection, views_from_ms: i64) -> Result<(), StoreError> {
    query("/* version.forget */ delete from load_cursor where spool >= $1 and spool < $2")
        .bind(Uuid::from_bytes(last_load_of(0).0))
        .bind(Uuid::from_bytes(last_load_of(views_from_ms).0))
        .execute(connection)
        .await
        .map_err(failed(COUNTING))?;
    Ok(())
}
