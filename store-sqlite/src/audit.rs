//! Stores the audit log.

use crate::SqliteStore;
use crate::error::failed;
use fieldvitals_store::{AuditEntry, StoreError, limits};

const READING: &str = "reading the audit log";
const WRITING: &str = "writing the audit log";

pub(crate) async fn add(store: &SqliteStore, entry: &AuditEntry) -> Result<(), StoreError> {
    let mut transaction = store.write(WRITING).await?;
    let added = sqlx::query(
        "/* audit.add */ insert into audit (at_ms, actor, action, target, settings_before, settings_after) \
         values (?, ?, ?, ?, ?, ?)",
    )
    .bind(entry.at_ms)
    .bind(entry.actor.as_str())
    .bind(entry.action.as_str())
    .bind(entry.target.as_str())
    .bind(entry.before.as_deref())
    .bind(entry.after.as_deref())
    .execute(&mut *transaction)
    .await
    .map_err(failed(WRITING))?;
    sqlx::query("/* audit.oldest */ delete from audit where audit_id <= ?")
        .bind(added.last_insert_rowid() - limits::AUDIT_ENTRIES_MAX as i64)
        .execute(&mut *transaction)
        .await
        .map_err(failed(WRITING))?;
    transaction.commit().await.map_err(failed(WRITING))
}

/// The columns of an entry, after its number.
type Columns = (i64, i64, String, String, String, Option<String>, Option<String>);

pub(crate) async fn list(
    store: &SqliteStore,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, AuditEntry)>, StoreError> {
    let rows: Vec<Columns> = sqlx::query_as(
        "/* audit.list */ select audit_id, at_ms, actor, action, target, settings_before, settings_after from audit \
         where ?1 is null or audit_id < ?1 order by audit_id desc limit ?2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(&store.readers)
    .await
    .map_err(failed(READING))?;
    let entry = |(number, at_ms, actor, action, target, before, after)| {
        (number, AuditEntry { at_ms, actor, action, target, before, after })
    };
    Ok(rows.into_iter().map(entry).collect())
}
