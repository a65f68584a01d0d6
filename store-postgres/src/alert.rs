//! Stores alerts, the outbox of their notices, and the leases of tasks.

use crate::error::{damaged, failed};
use crate::sql::query;
use crate::{PostgresStore, site};
use fieldvitals_store::{Alert, AlertChange, AlertEvent, NewAlert, Notice, SiteId, StoreError, limits};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Uuid;

const READING: &str = "reading alerts";
const WRITING: &str = "writing alerts";
const LEASING: &str = "taking the lease of a task";

/// The columns of an alert, as [`parse`] reads them.
macro_rules! columns {
    () => {
        "alert_id, alert_key, since_ms, is_warning, summary, details, opened_ms, acknowledged_ms, acknowledged_by, \
         snoozed_until_ms, resolved_ms, resolved_by"
    };
}

/// Uses the clock of the database, so that servers whose clocks differ agree.
pub(crate) async fn lease(
    store: &PostgresStore,
    task: &str,
    holder: [u8; 16],
    for_ms: i64,
) -> Result<bool, StoreError> {
    let mut transaction = store.write(LEASING).await?;
    let taken = query(
        "/* task.lease */ insert into task_lease (task, holder, until) \
         values ($1, $2, clock_timestamp() + $3 * interval '1 millisecond') \
         on conflict (task) do update set holder = excluded.holder, until = excluded.until \
         where task_lease.holder = excluded.holder or task_lease.until <= clock_timestamp()",
    )
    .bind(task)
    .bind(Uuid::from_bytes(holder))
    .bind(for_ms)
    .execute(&mut *transaction)
    .await
    .map_err(failed(LEASING))?;
    transaction.commit().await.map_err(failed(LEASING))?;
    Ok(taken.rows_affected() == 1)
}

pub(crate) async fn open(
    store: &PostgresStore,
    site: SiteId,
    now_ms: i64,
    alert: &NewAlert,
    notices: &[(String, i64)],
) -> Result<Option<i64>, StoreError> {
    let mut transaction = store.write(WRITING).await?;
    let connection = &mut *transaction;
    // Serializes the ids of a site.
    site::lock(connection, site).await?;
    let id: i64 =
        query("/* alert.next */ select coalesce(max(alert_id), 0) + 1 from alert where site_id = $1")
            .bind(site.0)
            .fetch_one(&mut *connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed(WRITING))?;
    let added = query(
        "/* alert.open */ insert into alert (site_id, alert_id, alert_key, since_ms, is_warning, summary, details, \
         opened_ms) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
    )
    .bind(site.0)
    .bind(id)
    .bind(alert.key.as_str())
    .bind(alert.since_ms)
    .bind(alert.is_warning)
    .bind(alert.summary.as_str())
    .bind(alert.details.as_str())
    .bind(now_ms)
    .execute(&mut *connection)
    .await
    .map_err(failed(WRITING))?;
    if added.rows_affected() == 0 {
        return Ok(None);
    }
    for (channel, due_ms) in notices {
        query(
            "/* alert.notice.add */ insert into alert_notice (site_id, alert_id, channel, event, attempts, due_ms) \
             values ($1, $2, $3, 0, 0, $4) on conflict do nothing",
        )
        .bind(site.0)
        .bind(id)
        .bind(channel.as_str())
        .bind(due_ms)
        .execute(&mut *connection)
        .await
        .map_err(failed(WRITING))?;
    }
    let oldest = id - limits::ALERTS_PER_SITE_MAX as i64;
    for sql in [
        "/* alert.oldest */ delete from alert where site_id = $1 and alert_id <= $2 and resolved_ms is not null",
        "/* alert.notice.oldest */ delete from alert_notice where site_id = $1 and alert_id <= $2 and not exists \
         (select 1 from alert a where a.site_id = alert_notice.site_id and a.alert_id = alert_notice.alert_id)",
    ] {
        query(sql).bind(site.0).bind(oldest).execute(&mut *connection).await.map_err(failed(WRITING))?;
    }
    transaction.commit().await.map_err(failed(WRITING))?;
    Ok(Some(id))
}

pub(crate) async fn change(
    store: &PostgresStore,
    site: SiteId,
    id: i64,
    now_ms: i64,
    change: &AlertChange,
) -> Result<bool, StoreError> {
    let mut transaction = store.write(WRITING).await?;
    let connection = &mut *transaction;
    let statement = match change {
        AlertChange::Acknowledge { by } => query(
            "/* alert.acknowledge */ update alert set acknowledged_ms = $3, acknowledged_by = $4 \
             where site_id = $1 and alert_id = $2 and resolved_ms is null",
        )
        .bind(site.0)
        .bind(id)
        .bind(now_ms)
        .bind(by.as_str()),
        AlertChange::Snooze { until_ms } => query(
            "/* alert.snooze */ update alert set snoozed_until_ms = $3 \
             where site_id = $1 and alert_id = $2 and resolved_ms is null",
        )
        .bind(site.0)
        .bind(id)
        .bind(until_ms),
        AlertChange::Resolve { by } => query(
            "/* alert.resolve */ update alert set resolved_ms = $3, resolved_by = $4 \
             where site_id = $1 and alert_id = $2 and resolved_ms is null",
        )
        .bind(site.0)
        .bind(id)
        .bind(now_ms)
        .bind(by.as_deref()),
        AlertChange::Raise { details, .. } => query(
            "/* alert.raise */ update alert set is_warning = false, details = $3, acknowledged_ms = null, \
             acknowledged_by = null \
             where site_id = $1 and alert_id = $2 and resolved_ms is null and is_warning",
        )
        .bind(site.0)
        .bind(id)
        .bind(details.as_str()),
    };
    if statement.execute(&mut *connection).await.map_err(failed(WRITING))?.rows_affected() == 0 {
        return Ok(false);
    }
    match change {
        AlertChange::Acknowledge { .. } => {}
        AlertChange::Raise { notices, .. } => {
            for (channel, due_ms) in notices {
                query(
                    "/* alert.notice.raise */ insert into alert_notice (site_id, alert_id, channel, event, attempts, due_ms) \
                     values ($1, $2, $3, 0, 0, $4) on conflict (site_id, alert_id, channel) \
                     do update set attempts = 0, due_ms = excluded.due_ms",
                )
                .bind(site.0)
                .bind(id)
                .bind(channel.as_str())
                .bind(due_ms)
                .execute(&mut *connection)
                .await
                .map_err(failed(WRITING))?;
            }
        }
        AlertChange::Snooze { until_ms } => {
            query(
                "/* alert.notice.remind */ update alert_notice set due_ms = $3, attempts = 0 \
                 where site_id = $1 and alert_id = $2 and due_ms is null",
            )
            .bind(site.0)
            .bind(id)
            .bind(until_ms)
            .execute(&mut *connection)
            .await
            .map_err(failed(WRITING))?;
        }
        AlertChange::Resolve { .. } => {
            query(
                "/* alert.notice.drop */ delete from alert_notice where site_id = $1 and alert_id = $2 \
                 and attempts = 0 and sent_ms is null and due_ms > $3",
            )
            .bind(site.0)
            .bind(id)
            .bind(now_ms)
            .execute(&mut *connection)
            .await
            .map_err(failed(WRITING))?;
            query(
                "/* alert.notice.resolve */ update alert_notice set event = 1, attempts = 0, due_ms = $3 \
                 where site_id = $1 and alert_id = $2",
            )
            .bind(site.0)
            .bind(id)
            .bind(now_ms)
            .execute(&mut *connection)
            .await
            .map_err(failed(WRITING))?;
        }
    }
    transaction.commit().await.map_err(failed(WRITING))?;
    Ok(true)
}

pub(crate) async fn list(
    store: &PostgresStore,
    site: SiteId,
    open_only: bool,
    skip: u32,
    limit: u32,
) -> Result<Vec<Alert>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let rows = query(concat!(
        "/* alert.list */ select ",
        columns!(),
        " from alert where site_id = $1 and (not $2 or resolved_ms is null) \
         order by resolved_ms is not null, opened_ms desc, alert_id desc limit $4 offset $3"
    ))
    .bind(site.0)
    .bind(open_only)
    .bind(i64::from(skip))
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(READING))?;
    with_notices(connection, site, &rows).await
}

pub(crate) async fn one(store: &PostgresStore, site: SiteId, id: i64) -> Result<Option<Alert>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let rows = query(concat!(
        "/* alert.one */ select ",
        columns!(),
        " from alert where site_id = $1 and alert_id = $2"
    ))
    .bind(site.0)
    .bind(id)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(READING))?;
    Ok(with_notices(connection, site, &rows).await?.pop())
}

async fn with_notices(
    connection: &mut PgConnection,
    site: SiteId,
    rows: &[PgRow],
) -> Result<Vec<Alert>, StoreError> {
    let mut alerts: Vec<Alert> =
        rows.iter().map(|row| parse(site, row)).collect::<Result<_, _>>().map_err(failed(READING))?;
    let ids: Vec<i64> = alerts.iter().map(|alert| alert.id).collect();
    let rows = query(
        "/* alert.notice.list */ select alert_id, channel, event, attempts, due_ms, sent_ms, error \
         from alert_notice where site_id = $1 and alert_id = any($2) order by channel",
    )
    .bind(site.0)
    .bind(ids)
    .fetch_all(connection)
    .await
    .map_err(failed(READING))?;
    for row in &rows {
        let id: i64 = row.try_get(0).map_err(failed(READING))?;
        let notice = notice(row, 1)?;
        if let Some(alert) = alerts.iter_mut().find(|alert| alert.id == id) {
            alert.notices.push(notice);
        }
    }
    Ok(alerts)
}

pub(crate) async fn due(
    store: &PostgresStore,
    now_ms: i64,
    limit: u32,
    without: &[String],
) -> Result<Vec<(SiteId, i64, Notice)>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let rows = query(
        "/* alert.notice.due */ select site_id, alert_id, channel, event, attempts, due_ms, sent_ms, error \
         from alert_notice where due_ms <= $1 and channel <> all($3) order by due_ms, site_id, alert_id, channel \
         limit $2",
    )
    .bind(now_ms)
    .bind(i64::from(limit))
    .bind(without)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(READING))?;
    let mut due = Vec::with_capacity(rows.len());
    for row in &rows {
        let read = || Ok((SiteId(row.try_get(0)?), row.try_get(1)?));
        let (site, id) = read().map_err(failed(READING))?;
        due.push((site, id, notice(row, 2)?));
    }
    Ok(due)
}

pub(crate) async fn tried(
    store: &PostgresStore,
    site: SiteId,
    id: i64,
    (read, after): (&Notice, &Notice),
) -> Result<(), StoreError> {
    let mut transaction = store.write(WRITING).await?;
    query(
        "/* alert.notice.tried */ update alert_notice set attempts = $5, due_ms = $6, sent_ms = $7, error = $8 \
         where site_id = $1 and alert_id = $2 and channel = $3 and event = $4 and due_ms is not distinct from $9",
    )
    .bind(site.0)
    .bind(id)
    .bind(read.channel.as_str())
    .bind(read.event as i16)
    .bind(i32::try_from(after.attempts).unwrap_or(i32::MAX))
    .bind(after.due_ms)
    .bind(after.sent_ms)
    .bind(after.error.as_deref())
    .bind(read.due_ms)
    .execute(&mut *transaction)
    .await
    .map_err(failed(WRITING))?;
    transaction.commit().await.map_err(failed(WRITING))
}

fn parse(site: SiteId, row: &PgRow) -> Result<Alert, sqlx::Error> {
    let acknowledged_ms: Option<i64> = row.try_get(7)?;
    let acknowledged_by: Option<String> = row.try_get(8)?;
    Ok(Alert {
        site,
        id: row.try_get(0)?,
        alert: NewAlert {
            key: row.try_get(1)?,
            since_ms: row.try_get(2)?,
            is_warning: row.try_get(3)?,
            summary: row.try_get(4)?,
            details: row.try_get(5)?,
        },
        opened_ms: row.try_get(6)?,
        acknowledged: acknowledged_ms.zip(acknowledged_by),
        snoozed_until_ms: row.try_get(9)?,
        resolved_ms: row.try_get(10)?,
        resolved_by: row.try_get(11)?,
        notices: Vec::new(),
    })
}

/// Reads a notice whose columns begin at `first`.
fn notice(row: &PgRow, first: usize) -> Result<Notice, StoreError> {
    let number: i16 = row.try_get(first + 1).map_err(failed(READING))?;
    let event = AlertEvent::from_number(i64::from(number))
        .ok_or_else(|| damaged(READING, format_args!("the event {number} of a notice")))?;
    let attempts: i32 = row.try_get(first + 2).map_err(failed(READING))?;
    let read = || {
        Ok(Notice {
            channel: row.try_get(first)?,
            event,
            attempts: u32::try_from(attempts).unwrap_or(0),
            due_ms: row.try_get(first + 3)?,
            sent_ms: row.try_get(first + 4)?,
            error: row.try_get(first + 5)?,
        })
    };
    read().map_err(failed(READING))
}
