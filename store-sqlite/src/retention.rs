//! The retention that was set for all servers of the store.

use crate::SqliteStore;
use crate::error::failed;
use fieldvitals_store::{Retention, StoreError};
use sqlx::sqlite::SqliteConnection;

const READING: &str = "reading the retention";
const WRITING: &str = "setting the retention";

pub(crate) async fn get(store: &SqliteStore) -> Result<Option<Retention>, StoreError> {
    read(&mut *store.read(READING).await?).await
}

pub(crate) async fn read(connection: &mut SqliteConnection) -> Result<Option<Retention>, StoreError> {
    let row: Option<(u32, u32, u32)> = sqlx::query_as(
        "/* retention.read */ select views_days, hours_days, rollups_days from retention where one = 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(failed(READING))?;
    Ok(row.map(|(raw_days, hourly_days, daily_days)| Retention { raw_days, hourly_days, daily_days }))
}

pub(crate) async fn set(store: &SqliteStore, retention: Retention) -> Result<(), StoreError> {
    let mut transaction = store.write(WRITING).await?;
    sqlx::query(
        "/* retention.set */ insert into retention (one, views_days, hours_days, rollups_days) values (1, ?, ?, ?) \
         on conflict (one) do update set views_days = excluded.views_days, hours_days = excluded.hours_days, \
         rollups_days = excluded.rollups_days",
    )
    .bind(retention.raw_days)
    .bind(retention.hourly_days)
    .bind(retention.daily_days)
    .execute(&mut *transaction)
    .await
    .map_err(failed(WRITING))?;
    transaction.commit().await.map_err(failed(WRITING))
}
