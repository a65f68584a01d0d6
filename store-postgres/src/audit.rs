//! Stores the audit log.

use crate::PostgresStore;
use crate::error::failed;
use crate::sql::query;
use fieldvitals_store::{AuditEntry, StoreError, limits};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

const READING: &str = "reading the audit log";
const WRITING: &str = "writing the audit log";

pub(crate) async fn add(store: &PostgresStore, entry: &AuditEntry) -> Result<(), StoreError> {
    let mut transaction = store.write(WRITING).await?;
    let added: i64 = query(
        "/* audit.add */ insert into audit (at_ms, actor, action, target, settings_before, settings_after) \
         values ($1, $2, $3, $4, $5, $6) returning audit_id",
    )
    .bind(entry.at_ms)
    .bind(entry.actor.as_str())
    .bind(entry.action.as_str())
    .bind(entry.target.as_str())
    .bind(entry.before.as_deref())
    .bind(entry.after.as_deref())
    .fetch_one(&mut *transaction)
    .await
    .and_then(|row| row.try_get(0))
    .map_err(failed(WRITING))?;
    query("/* audit.oldest */ delete from audit where audit_id <= $1")
        .bind(added - limits::AUDIT_ENTRIES_MAX as i64)
        .execute(&mut *transaction)
        .await
        .map_err(failed(WRITING))?;
    transaction.commit().await.map_err(failed(WRITING))
}

pub(crate) async fn list(
    store: &PostgresStore,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, AuditEntry)>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let rows = query(
        "/* audit.list */ select audit_id, at_ms, actor, action, target, settings_before, settings_after from audit \
         where $1::bigint is null or audit_id < $1 order by audit_id desc limit $2",
    )
    .bind(before)
    .bind(i64::from(limit))
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(READING))?;
    rows.iter().map(|row| entry(row).map_err(failed(READING))).collect()
}

fn entry(row: &PgRow) -> Result<(i64, AuditEntry), sqlx::Error> {
    let entry = AuditEntry {
        at_ms: row.try_get(1)?,
        actor: row.try_get(2)?,
        action: row.try_get(3)?,
        target: row.try_get(4)?,
        before: row.try_get(5)?,
        after: row.try_get(6)?,
    };
    Ok((row.try_get(0)?, entry))
}
