//! The retention that was set for all servers of the store.

use crate::PostgresStore;
use crate::error::{damaged, failed};
use crate::sql::query;
use fieldvitals_store::{Retention, StoreError};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

const READING: &str = "reading the retention";
const WRITING: &str = "setting the retention";

pub(crate) async fn get(store: &PostgresStore) -> Result<Option<Retention>, StoreError> {
    read(&mut *store.read(READING).await?).await
}

pub(crate) async fn read(connection: &mut PgConnection) -> Result<Option<Retention>, StoreError> {
    let row = query(
        "/* retention.read */ select views_days, hours_days, rollups_days from retention where one = 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(failed(READING))?;
    let Some(row) = row else { return Ok(None) };
    let days = |column: usize| -> Result<u32, StoreError> {
        let days: i32 = row.try_get(column).map_err(failed(READING))?;
        u32::try_from(days).map_err(|error| damaged(READING, error))
    };
    Ok(Some(Retention { raw_days: days(0)?, hourly_days: days(1)?, daily_days: days(2)? }))
}

pub(crate) async fn set(store: &PostgresStore, retention: Retention) -> Result<(), StoreError> {
    let mut transaction = store.write(WRITING).await?;
    query(
        "/* retention.set */ insert into retention (one, views_days, hours_days, rollups_days) values (1, $1, $2, $3) \
         on conflict (one) do update set views_days = excluded.views_days, hours_days = excluded.hours_days, \
         rollups_days = excluded.rollups_days",
    )
    .bind(i32::try_from(retention.raw_days).unwrap_or(i32::MAX))
    .bind(i32::try_from(retention.hourly_days).unwrap_or(i32::MAX))
    .bind(i32::try_from(retention.daily_days).unwrap_or(i32::MAX))
    .execute(&mut *transaction)
    .await
    .map_err(failed(WRITING))?;
    transaction.commit().await.map_err(failed(WRITING))
}
