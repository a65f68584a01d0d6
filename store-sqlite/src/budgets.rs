//! Stores budget files, and the state of standing budgets.

use crate::error::{damaged, failed};
use crate::{SqliteStore, site};
use fieldvitals_store::{AppliedBudgets, NewBudgets, SiteId, StoreError, limits};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

const READING: &str = "reading budgets";
const WRITING: &str = "keeping budgets";

pub(crate) async fn put(
    store: &SqliteStore,
    site: SiteId,
    budgets: &NewBudgets,
) -> Result<AppliedBudgets, StoreError> {
    let mut transaction = store.write(WRITING).await?;
    let connection = &mut *transaction;
    site::exists(connection, site).await?;
    let newest = one(connection, site, None).await?;
    let version = newest.as_ref().map_or(1, |newest| newest.version + 1);
    if let Some(newest) = newest.filter(|newest| budgets.leaves(newest)) {
        return Ok(newest);
    }
    sqlx::query(
        "/* budgets.put */ insert into budget_file (site_id, version, text, applied_ms, applied_by) \
         values (?, ?, ?, ?, ?)",
    )
    .bind(site.0)
    .bind(version)
    .bind(budgets.text.as_str())
    .bind(budgets.applied_ms)
    .bind(budgets.applied_by.as_str())
    .execute(&mut *connection)
    .await
    .map_err(failed(WRITING))?;
    sqlx::query("/* budgets.oldest */ delete from budget_file where site_id = ? and version <= ?")
        .bind(site.0)
        .bind(version - limits::BUDGET_VERSIONS_MAX as i64)
        .execute(&mut *connection)
        .await
        .map_err(failed(WRITING))?;
    let routes = serde_json::to_string(&budgets.routes).map_err(|error| damaged(WRITING, error))?;
    sqlx::query("/* budgets.routes */ update site set reserved = ? where site_id = ?")
        .bind(routes)
        .bind(site.0)
        .execute(&mut *connection)
        .await
        .map_err(failed(WRITING))?;
    transaction.commit().await.map_err(failed(WRITING))?;
    let NewBudgets { text, applied_ms, applied_by, .. } = budgets.clone();
    Ok(AppliedBudgets { version, text, applied_ms, applied_by })
}

pub(crate) async fn get(
    store: &SqliteStore,
    site: SiteId,
    version: Option<i64>,
) -> Result<Option<AppliedBudgets>, StoreError> {
    one(&mut *store.read(READING).await?, site, version).await
}

async fn one(
    connection: &mut SqliteConnection,
    site: SiteId,
    version: Option<i64>,
) -> Result<Option<AppliedBudgets>, StoreError> {
    let row = sqlx::query(
        "/* budgets.one */ select version, text, applied_ms, applied_by from budget_file \
         where site_id = ?1 and (?2 is null or version = ?2) order by version desc limit 1",
    )
    .bind(site.0)
    .bind(version)
    .fetch_optional(connection)
    .await
    .map_err(failed(READING))?;
    row.as_ref().map(parse).transpose().map_err(failed(READING))
}

pub(crate) async fn versions(store: &SqliteStore, site: SiteId) -> Result<Vec<AppliedBudgets>, StoreError> {
    let rows = sqlx::query(
        "/* budgets.versions */ select version, '', applied_ms, applied_by from budget_file \
         where site_id = ? order by version desc",
    )
    .bind(site.0)
    .fetch_all(&store.readers)
    .await
    .map_err(failed(READING))?;
    rows.iter().map(|row| parse(row).map_err(failed(READING))).collect()
}

fn parse(row: &SqliteRow) -> Result<AppliedBudgets, sqlx::Error> {
    Ok(AppliedBudgets {
        version: row.try_get(0)?,
        text: row.try_get(1)?,
        applied_ms: row.try_get(2)?,
        applied_by: row.try_get(3)?,
    })
}

pub(crate) async fn standing(store: &SqliteStore, site: SiteId) -> Result<Option<String>, StoreError> {
    sqlx::query_scalar("/* standing.read */ select state from standing where site_id = ?")
        .bind(site.0)
        .fetch_optional(&store.readers)
        .await
        .map_err(failed(READING))
}

pub(crate) async fn standing_put(store: &SqliteStore, site: SiteId, state: &str) -> Result<(), StoreError> {
    let mut transaction = store.write(WRITING).await?;
    let connection = &mut *transaction;
    site::exists(connection, site).await?;
    sqlx::query(
        "/* standing.put */ insert into standing (site_id, state) values (?, ?) \
         on conflict (site_id) do update set state = excluded.state",
    )
    .bind(site.0)
    .bind(state)
    .execute(&mut *connection)
    .await
    .map_err(failed(WRITING))?;
    transaction.commit().await.map_err(failed(WRITING))
}
