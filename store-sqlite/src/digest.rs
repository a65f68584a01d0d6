//! Stores the outbox of weekly digests.

use crate::error::{damaged, failed};
use crate::{SqliteStore, site};
use fieldvitals_store::{Digest, SiteId, StoreError};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

const READING: &str = "reading digests";
const WRITING: &str = "writing digests";

pub(crate) async fn plan(
    store: &SqliteStore,
    site: SiteId,
    week: i32,
    due_ms: i64,
    channels: &[String],
) -> Result<(), StoreError> {
    let mut transaction = store.write(WRITING).await?;
    site::exists(&mut transaction, site).await?;
    for channel in channels {
        sqlx::query(
            "/* digest.plan */ insert into digest (site_id, channel, week, attempts, due_ms) values (?1, ?2, ?3, 0, ?4) \
             on conflict (site_id, channel) do update set week = excluded.week, attempts = 0, due_ms = excluded.due_ms, \
             sent_ms = null, error = null where digest.week < excluded.week or digest.week > excluded.week + 7",
        )
        .bind(site.0)
        .bind(channel.as_str())
        .bind(week)
        .bind(due_ms)
        .execute(&mut *transaction)
        .await
        .map_err(failed(WRITING))?;
    }
    sqlx::query("/* digest.oldest */ delete from digest where site_id = ?1 and week < ?2")
        .bind(site.0)
        .bind(week)
        .execute(&mut *transaction)
        .await
        .map_err(failed(WRITING))?;
    transaction.commit().await.map_err(failed(WRITING))
}

pub(crate) async fn due(
    store: &SqliteStore,
    now_ms: i64,
    limit: u32,
    channels: &[String],
) -> Result<Vec<Digest>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let rows = sqlx::query(
        "/* digest.due */ select site_id, channel, week, attempts, due_ms, sent_ms, error from digest \
         where due_ms <= ?1 and channel in (select value from json_each(?3)) order by due_ms, site_id, channel limit ?2",
    )
    .bind(now_ms)
    .bind(i64::from(limit))
    .bind(serde_json::to_string(channels).map_err(|error| damaged(READING, error))?)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(READING))?;
    rows.iter().map(parse).collect::<Result<_, _>>().map_err(failed(READING))
}

pub(crate) async fn list(store: &SqliteStore, site: SiteId) -> Result<Vec<Digest>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let rows = sqlx::query(
        "/* digest.list */ select site_id, channel, week, attempts, due_ms, sent_ms, error from digest \
         where site_id = ? order by channel",
    )
    .bind(site.0)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(READING))?;
    rows.iter().map(parse).collect::<Result<_, _>>().map_err(failed(READING))
}

pub(crate) async fn tried(store: &SqliteStore, read: &Digest, after: &Digest) -> Result<bool, StoreError> {
    let mut transaction = store.write(WRITING).await?;
    let changed = sqlx::query(
        "/* digest.tried */ update digest set attempts = ?6, due_ms = ?7, sent_ms = ?8, error = ?9 \
         where site_id = ?1 and channel = ?2 and week = ?3 and attempts = ?4 and due_ms is ?5 and sent_ms is null",
    )
    .bind(read.site.0)
    .bind(read.channel.as_str())
    .bind(read.week)
    .bind(i64::from(read.attempts))
    .bind(read.due_ms)
    .bind(i64::from(after.attempts))
    .bind(after.due_ms)
    .bind(after.sent_ms)
    .bind(after.error.as_deref())
    .execute(&mut *transaction)
    .await
    .map_err(failed(WRITING))?;
    transaction.commit().await.map_err(failed(WRITING))?;
    Ok(changed.rows_affected() == 1)
}

fn parse(row: &SqliteRow) -> Result<Digest, sqlx::Error> {
    let attempts: i64 = row.try_get(3)?;
    Ok(Digest {
        site: SiteId(row.try_get(0)?),
        channel: row.try_get(1)?,
        week: row.try_get(2)?,
        attempts: u32::try_from(attempts).unwrap_or(0),
        due_ms: row.try_get(4)?,
        sent_ms: row.try_get(5)?,
        error: row.try_get(6)?,
    })
}
