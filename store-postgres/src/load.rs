//! Loads a batch's page views, corrections and cursor in one transaction.
//!
//! Several servers load at once. Under READ COMMITTED, each statement sees the rows that the others have committed by
//! then. A load still knows each view's previous state for certain:
//! - It locks stored views before it reads them.
//! - It inserts new views. An insert waits for a concurrent insert of the same view, and fails if the other one
//!   commits. The load then starts again, and finds the view stored.
//!
//! Both steps go through the views in the order of ids, so that loads do not deadlock.

use crate::compute::compute;
use crate::error::{code, constraint, damaged, failed};
use crate::names::{Names, Used};
use crate::sql::query;
use crate::{PostgresStore, copied, places, query as questions, texts, version, view};
use fieldvitals_store::context::texts::TextCodes;
use fieldvitals_store::load::{Changed, ids, merge};
use fieldvitals_store::rollup::{DAY_MS, day_of, deltas};
use fieldvitals_store::{Kept, LoadBatch, LoadReport, SiteId, SpoolId, StoreError, StoredView};
use sqlx::Row;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;
use std::collections::BTreeSet;
use std::sync::PoisonError;
use vitals::view::ViewId;

const LOADING: &str = "loading beacons";
const CURSOR: &str = "reading the load cursor";
const ADDING_DAYS: &str = "adding a day's partition";

/// SQLSTATE of a row without a partition, and of a row that violates a check; only the latter names a constraint.
const NO_PARTITION: &str = "23514";
/// SQLSTATE `unique_violation`.
const NOT_UNIQUE: &str = "23505";
/// SQLSTATE `internal_error`, for errors without a code of their own. Citus reports all errors of a node during a
/// `copy` with it.
const NO_CODE: &str = "XX000";

/// Maximum attempts of a load. A load starts again if other servers added the same views, if a partition was gone, or
/// if a node of Citus gave no reason.
const TRIES: u32 = 5;
/// Bytes of views per send. Encodes the next views while Postgres writes these.
const COPY_BYTES: usize = 64 * 1024;

pub(crate) async fn load(store: &PostgresStore, batch: LoadBatch) -> Result<LoadReport, StoreError> {
    let ids = ids(&batch);
    let days: BTreeSet<i64> = ids.iter().map(|id| day_of(id.start_ms())).collect();
    let mut why = Failed::Raced;
    for _ in 0..TRIES {
        add_days(store, &days).await?;
        match load_once(store, &ids, &batch).await {
            Err(Failed::Other(error)) => return Err(error),
            Err(failed) => {
                // A known partition is gone: the clock of a server jumped forth and back.
                if matches!(failed, Failed::NoPartition | Failed::Either(_)) {
                    known_days(store).clear();
                }
                why = failed;
            }
            Ok(report) => return Ok(report),
        }
    }
    Err(why.into())
}

enum Failed {
    NoPartition,
    Raced,
    /// `NoPartition`, `Raced` or another error; the code does not tell which.
    Either(StoreError),
    Other(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Other(error)
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        let reason = match failed {
            Failed::NoPartition => "a day's partition was removed while page views were written into it",
            Failed::Raced => "other servers keep adding the same page views",
            Failed::Either(error) | Failed::Other(error) => return error,
        };
        Self::Database { what: LOADING, reason: reason.to_owned(), passing: true }
    }
}

fn known_days(store: &PostgresStore) -> std::sync::MutexGuard<'_, BTreeSet<i64>> {
    store.days.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates the missing partitions of days within the retention of page views.
pub(crate) async fn add_days(store: &PostgresStore, days: &BTreeSet<i64>) -> Result<(), StoreError> {
    let missing: Vec<i64> = {
        let known = known_days(store);
        days.iter().filter(|day| !known.contains(day)).copied().collect()
    };
    if missing.is_empty() {
        return Ok(());
    }
    let mut transaction = store.write(ADDING_DAYS).await?;
    let kept = questions::kept_now(&mut transaction).await?;
    let missing: Vec<i64> = missing.into_iter().filter(|&day| day >= kept.views_from_ms).collect();
    query("/* view.days */ select page_view_day_add(day) from unnest($1::bigint[]) day")
        .bind(missing.as_slice())
        .execute(&mut *transaction)
        .await
        .map_err(failed(ADDING_DAYS))?;
    transaction.commit().await.map_err(failed(ADDING_DAYS))?;
    known_days(store).extend(missing);
    Ok(())
}

/// Creates the partitions of the days around now, so that loads find them.
pub(crate) async fn add_days_around(store: &PostgresStore, now_ms: i64) -> Result<(), StoreError> {
    // The server accepts page views that start within two days of its clock. The third day ahead leaves a day to
    // create its partition.
    let days = (-2..=3).map(|day| day_of(now_ms).saturating_add(day * DAY_MS)).filter(|&day| day >= 0);
    add_days(store, &days.collect()).await
}

/// Drops days before a time from the cache of existing partitions.
pub(crate) fn forget_days(store: &PostgresStore, before_ms: i64) {
    known_days(store).retain(|&day| day >= before_ms);
}

async fn load_once(store: &PostgresStore, ids: &[ViewId], batch: &LoadBatch) -> Result<LoadReport, Failed> {
    let &LoadBatch { site, spool, after, up_to, .. } = batch;
    let mut transaction = store.write(LOADING).await?;
    let connection = &mut *transaction;

    let kept = begin(connection, site, spool, after).await?;
    let ids: Vec<Uuid> =
        ids.iter().filter(|id| id.start_ms() >= kept.views_from_ms).map(|&id| view::uuid(id)).collect();
    // Clones the beacons while Postgres answers.
    let (stored, mut beacons) = tokio::join!(lock(connection, site, &ids), async { batch.beacons.clone() });
    let stored = stored?;
    let (mut names, decided) = places::bound(connection, site, (&mut beacons, &batch.senders), &kept).await?;
    let mut texts = texts::bound(connection, site, &mut beacons).await?;
    let mut merged = compute(move || merge(stored, beacons, &kept)).await?;
    merged.report.crowded = decided.crowded;
    names.use_all(connection, site, &Used::by(&merged.changed), &decided).await?;
    texts::add(connection, site, &merged.changed, &mut texts).await?;
    add(connection, site, &merged.changed, (&names, &texts)).await?;
    replace(connection, site, &merged.changed, (&names, &texts)).await?;
    write_deltas(connection, site, &merged.changed, &names, (spool, position(up_to)?)).await?;
    move_cursor(connection, batch).await?;
    transaction.commit().await.map_err(failed(LOADING))?;
    Ok(merged.report)
}

/// Writes the delta rows of changed views, for a position of a spool.
pub(crate) async fn write_deltas(
    connection: &mut PgConnection,
    site: SiteId,
    changed: &[Changed],
    names: &Names,
    (spool, up_to): (SpoolId, i64),
) -> Result<(), StoreError> {
    let (hours, views): (Vec<i64>, Vec<Vec<u8>>) =
        deltas(changed, &names.route_ids, &names.labels).into_iter().unzip();
    if hours.is_empty() {
        return Ok(());
    }
    query(
        "/* rollup.delta */ insert into rollup_delta (site_id, spool, up_to, hour_ms, views) \
         select $1, $2, $3, u.* from unnest($4::bigint[], $5::bytea[]) u",
    )
    .bind(site.0)
    .bind(Uuid::from_bytes(spool.0))
    .bind(up_to)
    .bind(hours)
    .bind(views)
    .execute(connection)
    .await
    .map_err(failed(LOADING))?;
    Ok(())
}

fn position(position: u64) -> Result<i64, StoreError> {
    i64::try_from(position).map_err(|_| damaged(LOADING, format_args!("spool position {position}")))
}

/// Checks that the site exists and that its cursor is at the expected position. Returns the retention edges. Locks all
/// three until the transaction ends.
async fn begin(
    connection: &mut PgConnection,
    site: SiteId,
    spool: SpoolId,
    after: u64,
) -> Result<Kept, StoreError> {
    hold_site(connection, site).await?;
    let at = query(
        "/* load.cursor */ select position from load_cursor where site_id = $1 and spool = $2 \
         for no key update",
    )
    .bind(site.0)
    .bind(Uuid::from_bytes(spool.0))
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed(LOADING))?;
    let at: i64 = at.map_or(Ok(0), |row| row.try_get(0)).map_err(failed(LOADING))?;
    let at = u64::try_from(at).unwrap_or(0);
    if at != after {
        return Err(StoreError::CursorMoved { at, expected: after });
    }
    hold_kept(connection).await
}

/// Checks that a site exists, and locks it until the transaction ends.
pub(crate) async fn hold_site(connection: &mut PgConnection, site: SiteId) -> Result<(), StoreError> {
    query("/* load.site */ select site_id from site where site_id = $1 for key share")
        .bind(site.0)
        .fetch_optional(connection)
        .await
        .map_err(failed(LOADING))?
        .map(drop)
        .ok_or(StoreError::NoSuchSite)
}

/// Reads the retention edges. Locks them, and thus every name, until the transaction ends.
pub(crate) async fn hold_kept(connection: &mut PgConnection) -> Result<Kept, StoreError> {
    let row = query(
        "/* load.kept */ select views_from_ms, hours_from_ms, days_from_ms from kept where one = 1 \
         for share",
    )
    .fetch_one(connection)
    .await
    .map_err(failed(LOADING))?;
    questions::kept(&row)
}

async fn move_cursor(connection: &mut PgConnection, batch: &LoadBatch) -> Result<(), StoreError> {
    // A missing cursor cannot be locked, so another loader of the spool may have inserted it.
    let moved = query(
        "/* cursor.move */ insert into load_cursor (site_id, spool, position) values ($1, $2, $3) \
         on conflict (site_id, spool) do update set position = excluded.position \
         where load_cursor.position = $4",
    )
    .bind(batch.site.0)
    .bind(Uuid::from_bytes(batch.spool.0))
    .bind(position(batch.up_to)?)
    .bind(position(batch.after)?)
    .execute(&mut *connection)
    .await
    .map_err(failed(LOADING))?;
    if moved.rows_affected() == 1 {
        return Ok(());
    }
    let at: i64 =
        query("/* cursor.lost */ select position from load_cursor where site_id = $1 and spool = $2")
            .bind(batch.site.0)
            .bind(Uuid::from_bytes(batch.spool.0))
            .fetch_one(connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed(LOADING))?;
    Err(StoreError::CursorMoved { at: u64::try_from(at).unwrap_or(0), expected: batch.after })
}

/// Inserts the views that are not stored. Their names must exist.
async fn add(
    connection: &mut PgConnection,
    site: SiteId,
    changed: &[Changed],
    (names, texts): (&Names, &TextCodes),
) -> Result<(), Failed> {
    let new = changed.iter().filter(|changed| changed.before.is_none());
    let new: Vec<&StoredView> = new.filter_map(|changed| changed.after.as_deref()).collect();
    if new.is_empty() {
        return Ok(());
    }
    let failed = |error: sqlx::Error| match code(&error).as_deref() {
        Some(NO_PARTITION) if constraint(&error).is_none() => Failed::NoPartition,
        Some(NOT_UNIQUE) => Failed::Raced,
        Some(NO_CODE) => Failed::Either(failed(LOADING)(error)),
        _ => Failed::Other(failed(LOADING)(error)),
    };
    let mut copy = connection.copy_in_raw(copied::ADD).await.map_err(failed)?;
    let mut copied = copied::Copied::new();
    for after in new {
        copied.push(site, after, id_of(names, &after.update.route), texts);
        if let Some(bytes) = copied.take(COPY_BYTES) {
            copy.send(bytes).await.map_err(failed)?;
        }
    }
    copy.send(copied.end()).await.map_err(failed)?;
    copy.finish().await.map(drop).map_err(failed)
}

/// Updates the stored views that changed. The transaction must hold their locks.
async fn replace(
    connection: &mut PgConnection,
    site: SiteId,
    changed: &[Changed],
    (names, texts): (&Names, &TextCodes),
) -> Result<(), StoreError> {
    let replaced = changed.iter().filter(|changed| changed.before.is_some());
    let replaced: Vec<&StoredView> = replaced.filter_map(|changed| changed.after.as_deref()).collect();
    let (Some(first), Some(last)) = (replaced.first(), replaced.last()) else { return Ok(()) };
    let mut columns = view::Columns::default();
    for after in &replaced {
        columns.push(after, id_of(names, &after.update.route), texts);
    }
    columns
        .bind(query(view::REPLACE).bind(site.0))
        .bind(view::uuid(first.update.id))
        .bind(view::uuid(last.update.id))
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed(LOADING))
}

/// Locks and reads the stored views among these ids, which must be in ascending order.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    site: SiteId,
    ids: &[Uuid],
) -> Result<Vec<StoredView>, StoreError> {
    let (Some(&first), Some(&last)) = (ids.first(), ids.last()) else { return Ok(Vec::new()) };
    let of = |sql| query(sql).bind(site.0);
    let locked = of(view::LOCK)
        .bind(ids)
        .bind(first)
        .bind(last)
        .fetch_all(&mut *connection)
        .await
        .and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<Uuid>, _>>())
        .map_err(failed(LOADING))?;
    if locked.is_empty() {
        return Ok(Vec::new());
    }
    let count = locked.len();
    let rows = of(view::KNOWN).bind(locked).bind(first).bind(last).fetch_all(&mut *connection).await;
    let rows = rows.map_err(failed(LOADING))?;
    if rows.len() != count {
        return Err(damaged(LOADING, "the table of routes: page views have one that is not there"));
    }
    let texts = texts::of_rows(connection, site, &rows).await?;
    rows.iter().map(|row| view::read(row, &texts)).collect()
}

fn id_of(names: &Names, route: &str) -> i64 {
    // `use_all` has found or added every route.
    names.route_ids.get(route).copied().unwrap_or_default()
}

pub(crate) async fn cursor(store: &PostgresStore, site: SiteId, spool: SpoolId) -> Result<u64, StoreError> {
    let mut transaction = store.read(CURSOR).await?;
    let row = query("/* cursor.read */ select position from load_cursor where site_id = $1 and spool = $2")
        .bind(site.0)
        .bind(Uuid::from_bytes(spool.0))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed(CURSOR))?;
    let at: i64 = row.map_or(Ok(0), |row| row.try_get(0)).map_err(failed(CURSOR))?;
    Ok(u64::try_from(at).unwrap_or(0))
}

pub(crate) async fn cursor_max(store: &PostgresStore, spool: SpoolId) -> Result<u64, StoreError> {
    let mut transaction = store.read(CURSOR).await?;
    let at: Option<i64> = query("/* cursor.max */ select max(position) from load_cursor where spool = $1")
        .bind(Uuid::from_bytes(spool.0))
        .fetch_one(&mut *transaction)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed(CURSOR))?;
    Ok(at.and_then(|at| u64::try_from(at).ok()).unwrap_or(0))
}

pub(crate) async fn cursors_forget(store: &PostgresStore, spool: SpoolId) -> Result<(), StoreError> {
    const FORGETTING: &str = "forgetting load cursors";
    let mut transaction = store.write(FORGETTING).await?;
    version::count_forgotten(&mut transaction, spool).await?;
    query("/* cursor.forget */ delete from load_cursor where spool = $1")
        .bind(Uuid::from_bytes(spool.0))
        .execute(&mut *transaction)
        .await
        .map_err(failed(FORGETTING))?;
    transaction.commit().await.map_err(failed(FORGETTING))
}
