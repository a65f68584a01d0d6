//! Stores deploy marks.

use crate::error::failed;
use crate::sql::query;
use crate::{PostgresStore, site, version};
use fieldvitals_store::{DeployMark, SiteId, StoreError, limits};
use sqlx::Row as _;

const READING: &str = "reading deploy marks";
const WRITING: &str = "writing deploy marks";

pub(crate) async fn list(store: &PostgresStore, site: SiteId) -> Result<Vec<DeployMark>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let rows = query(
        "/* deploy_mark.list */ select release, at_ms from deploy_mark where site_id = $1 \
         order by at_ms desc, release",
    )
    .bind(site.0)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(READING))?;
    let mark =
        |row: &sqlx::postgres::PgRow| Ok(DeployMark { release: row.try_get(0)?, at_ms: row.try_get(1)? });
    rows.iter().map(|row| mark(row).map_err(failed(READING))).collect()
}

pub(crate) async fn put(store: &PostgresStore, site: SiteId, marks: &[DeployMark]) -> Result<(), StoreError> {
    if marks.is_empty() {
        return Ok(());
    }
    let mut transaction = store.write(WRITING).await?;
    let connection = &mut *transaction;
    site::lock(connection, site).await?;
    let (releases, times): (Vec<String>, Vec<i64>) =
        marks.iter().map(|mark| (mark.release.clone(), mark.at_ms)).unzip();
    query(
        "/* deploy_mark.put */ insert into deploy_mark (site_id, release, at_ms) \
         select $1, u.release, max(u.at_ms) from unnest($2::text[], $3::bigint[]) u (release, at_ms) \
         group by u.release on conflict (site_id, release) do update set at_ms = excluded.at_ms",
    )
    .bind(site.0)
    .bind(releases)
    .bind(times)
    .execute(&mut *connection)
    .await
    .map_err(failed(WRITING))?;
    query(
        "/* deploy_mark.oldest */ delete from deploy_mark where site_id = $1 and release in \
         (select release from deploy_mark where site_id = $1 order by at_ms desc, release offset $2)",
    )
    .bind(site.0)
    .bind(limits::DEPLOY_MARKS_PER_SITE_MAX as i64)
    .execute(&mut *connection)
    .await
    .map_err(failed(WRITING))?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(WRITING))
}
