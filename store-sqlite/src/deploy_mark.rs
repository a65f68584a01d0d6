//! Stores deploy marks.

use crate::error::failed;
use crate::{SqliteStore, site, version};
use fieldvitals_store::{DeployMark, SiteId, StoreError, limits};

const READING: &str = "reading deploy marks";
const WRITING: &str = "writing deploy marks";

pub(crate) async fn list(store: &SqliteStore, site: SiteId) -> Result<Vec<DeployMark>, StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "/* deploy_mark.list */ select release, at_ms from deploy_mark where site_id = ? \
         order by at_ms desc, release",
    )
    .bind(site.0)
    .fetch_all(&store.readers)
    .await
    .map_err(failed(READING))?;
    Ok(rows.into_iter().map(|(release, at_ms)| DeployMark { release, at_ms }).collect())
}

pub(crate) async fn put(store: &SqliteStore, site: SiteId, marks: &[DeployMark]) -> Result<(), StoreError> {
    if marks.is_empty() {
        return Ok(());
    }
    let mut transaction = store.write(WRITING).await?;
    let connection = &mut *transaction;
    site::exists(connection, site).await?;
    for mark in marks {
        sqlx::query(
            "/* deploy_mark.put */ insert into deploy_mark (site_id, release, at_ms) values (?, ?, ?) \
             on conflict (site_id, release) do update set at_ms = excluded.at_ms",
        )
        .bind(site.0)
        .bind(mark.release.as_str())
        .bind(mark.at_ms)
        .execute(&mut *connection)
        .await
        .map_err(failed(WRITING))?;
    }
    sqlx::query(
        "/* deploy_mark.oldest */ delete from deploy_mark where site_id = ?1 and release in \
         (select release from deploy_mark where site_id = ?1 order by at_ms desc, release limit -1 offset ?2)",
    )
    .bind(site.0)
    .bind(limits::DEPLOY_MARKS_PER_SITE_MAX as i64)
    .execute(&mut *connection)
    .await
    .map_err(failed(WRITING))?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(WRITING))
}
