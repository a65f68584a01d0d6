//! Loading: a batch's page views, corrections and cursor, in one transaction.
//!
//! Several servers load at once, and Postgres shows each statement what the others have committed by then
//! (READ COMMITTED). What a view said before is known for certain all the same: new views are inserted
//! where there are none, which waits for whoever inserts the same one; all others are locked before they
//! are read. Both in the order of ids, so nobody waits in a circle.

use crate::error::{code, damaged, failed};
use crate::sql::query;
use crate::{PostgresStore, query as questions, view};
use fieldvitals_store::load::{self, Changed, Merged, corrections, ids, merge};
use fieldvitals_store::rollup::{DAY_MS, day_of, pack, route_id};
use fieldvitals_store::{Kept, LoadBatch, LoadReport, SiteId, SpoolId, StoreError, StoredView, ViewUpdate};
use sqlx::Row;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::PoisonError;
use vitals::view::ViewId;

const LOADING: &str = "loading beacons";
const CURSOR: &str = "reading the load cursor";
const ADDING_DAYS: &str = "adding a day's partition";

/// The code of a row that fits no partition.
const NO_PARTITION: &str = "23514";

pub(crate) async fn load(store: &PostgresStore, batch: LoadBatch) -> Result<LoadReport, StoreError> {
    let ids = ids(&batch);
    let days: BTreeSet<i64> = ids.iter().map(|id| day_of(id.start_ms())).collect();
    add_days(store, &days).await?;
    match load_once(store, &ids, &batch).await {
        // A partition that we have seen is gone: the clock of a server jumped, and back.
        Err(Failed::NoPartition) => {
            known_days(store).clear();
            add_days(store, &days).await?;
            load_once(store, &ids, &batch).await.map_err(StoreError::from)
        }
        done => done.map_err(StoreError::from),
    }
}

enum Failed {
    NoPartition,
    Other(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Other(error)
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NoPartition => Self::Database {
                what: LOADING,
                reason: "a day's partition was removed while page views were written into it".to_owned(),
                passing: true,
            },
            Failed::Other(error) => error,
        }
    }
}

fn known_days(store: &PostgresStore) -> std::sync::MutexGuard<'_, BTreeSet<i64>> {
    store.days.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the partitions of days, as far as page views of them are kept.
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

/// Makes the partitions of the days around now, so that loads find them.
pub(crate) async fn add_days_around(store: &PostgresStore, now_ms: i64) -> Result<(), StoreError> {
    // Intake takes starts within two days of the clock; a third one ahead leaves a day to make it.
    let days = (-2..=3).map(|day| day_of(now_ms).saturating_add(day * DAY_MS)).filter(|&day| day >= 0);
    add_days(store, &days.collect()).await
}

/// Forgets that days have a partition.
pub(crate) fn forget_days(store: &PostgresStore, before_ms: i64) {
    known_days(store).retain(|&day| day >= before_ms);
}

async fn load_once(store: &PostgresStore, ids: &[ViewId], batch: &LoadBatch) -> Result<LoadReport, Failed> {
    let &LoadBatch { site, spool, after, up_to, .. } = batch;
    let mut transaction = store.write(LOADING).await?;
    let connection = &mut *transaction;

    let kept = begin(connection, site, spool, after).await?;
    let ids: Vec<ViewId> = ids.iter().filter(|id| id.start_ms() >= kept.views_from_ms).copied().collect();
    let mut beacons = batch.beacons.clone();
    bound(connection, site, &mut beacons).await?;
    let (merged, route_ids) = write_views(connection, site, &ids, &beacons, &kept).await?;

    let (mut hours, mut cells) = (Vec::new(), Vec::new());
    for (hour_ms, corrections) in corrections(&merged.changed) {
        hours.push(hour_ms);
        cells.push(pack(&corrections, &route_ids));
    }
    if !hours.is_empty() {
        query(
            "/* rollup.delta */ insert into rollup_delta (site_id, spool, up_to, hour_ms, cells) \
             select $1, $2, $3, u.* from unnest($4::bigint[], $5::bytea[]) u",
        )
        .bind(site.0)
        .bind(Uuid::from_bytes(spool.0))
        .bind(position(up_to)?)
        .bind(hours)
        .bind(cells)
        .execute(&mut *connection)
        .await
        .map_err(failed(LOADING))?;
    }
    move_cursor(connection, batch).await?;
    transaction.commit().await.map_err(failed(LOADING))?;
    Ok(merged.report)
}

fn position(position: u64) -> Result<i64, StoreError> {
    i64::try_from(position).map_err(|_| damaged(LOADING, format_args!("spool position {position}")))
}

/// Checks that the site is there and its cursor where the caller believes it; says what is kept. All
/// three stay so until the transaction ends.
async fn begin(
    connection: &mut PgConnection,
    site: SiteId,
    spool: SpoolId,
    after: u64,
) -> Result<Kept, StoreError> {
    query("/* load.site */ select site_id from site where site_id = $1 for key share")
        .bind(site.0)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed(LOADING))?
        .ok_or(StoreError::NoSuchSite)?;
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
    let row = query(
        "/* load.kept */ select views_from_ms, hours_from_ms, days_from_ms from kept where one = 1 \
         for share",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed(LOADING))?;
    questions::kept(&row)
}

async fn move_cursor(connection: &mut PgConnection, batch: &LoadBatch) -> Result<(), StoreError> {
    // Where there was no cursor, nothing could be locked: another loader of the spool may have come first.
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

/// Holds the site's routes to their bound. Servers that add the last ones at the same moment may pass it
/// by what one batch holds.
async fn bound(
    connection: &mut PgConnection,
    site: SiteId,
    beacons: &mut [Vec<ViewUpdate>],
) -> Result<(), StoreError> {
    let asked: Vec<String> = load::routes(beacons).into_iter().map(str::to_owned).collect();
    let known: BTreeSet<String> =
        query("/* route.known */ select route from route where site_id = $1 and route = any($2)")
            .bind(site.0)
            .bind(&asked)
            .fetch_all(&mut *connection)
            .await
            .and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect())
            .map_err(failed(LOADING))?;
    if known.len() < asked.len() {
        let count: i64 = query("/* route.count */ select count(*) from route where site_id = $1")
            .bind(site.0)
            .fetch_one(&mut *connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed(LOADING))?;
        load::bound_routes(beacons, &known, usize::try_from(count).unwrap_or(usize::MAX));
    }
    Ok(())
}

/// Writes what the beacons make of their views, and returns it with the ids of all routes in it.
async fn write_views(
    connection: &mut PgConnection,
    site: SiteId,
    ids: &[ViewId],
    beacons: &[Vec<ViewUpdate>],
    kept: &Kept,
) -> Result<(Merged, HashMap<String, i64>), Failed> {
    // First as if no view was known, which is true of most.
    let merged = merge(Vec::new(), beacons.to_vec(), kept);
    let mut route_ids = HashMap::new();
    if ids.is_empty() {
        return Ok((merged, route_ids));
    }
    add_routes(connection, site, &merged.changed, &mut route_ids).await?;
    let mut columns = view::Columns::default();
    for Changed { after, .. } in &merged.changed {
        columns.push(after, id_of(&route_ids, &after.update.route));
    }
    let added =
        columns.bind(query(view::ADD).bind(site.0)).fetch_all(&mut *connection).await.map_err(|error| {
            match code(&error).as_deref() {
                Some(NO_PARTITION) => Failed::NoPartition,
                _ => Failed::Other(failed(LOADING)(error)),
            }
        })?;
    let added: HashSet<Uuid> = added
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()
        .map_err(|error| Failed::Other(failed(LOADING)(error)))?;
    let known: Vec<Uuid> = ids.iter().map(|&id| view::uuid(id)).filter(|id| !added.contains(id)).collect();
    if known.is_empty() {
        return Ok((merged, route_ids));
    }
    let stored = lock(connection, site, &known).await?;
    let merged = merge(stored, beacons.to_vec(), kept);
    let replaced: Vec<&Changed> = merged.changed.iter().filter(|changed| changed.before.is_some()).collect();
    add_routes(connection, site, &merged.changed, &mut route_ids).await?;
    if let (Some(first), Some(last)) = (replaced.first(), replaced.last()) {
        let mut columns = view::Columns::default();
        for Changed { after, .. } in &replaced {
            columns.push(after, id_of(&route_ids, &after.update.route));
        }
        columns
            .bind(query(view::REPLACE).bind(site.0))
            .bind(view::uuid(first.after.update.id))
            .bind(view::uuid(last.after.update.id))
            .execute(&mut *connection)
            .await
            .map_err(failed(LOADING))?;
    }
    Ok((merged, route_ids))
}

/// Locks and reads views that are stored.
async fn lock(
    connection: &mut PgConnection,
    site: SiteId,
    known: &[Uuid],
) -> Result<Vec<StoredView>, StoreError> {
    query(view::LOCK).bind(site.0).bind(known).execute(&mut *connection).await.map_err(failed(LOADING))?;
    let rows =
        query(view::KNOWN).bind(site.0).bind(known).fetch_all(connection).await.map_err(failed(LOADING))?;
    if rows.len() != known.len() {
        return Err(StoreError::Database {
            what: LOADING,
            reason: "page views were removed while they were being updated".to_owned(),
            passing: true,
        });
    }
    rows.iter().map(view::read).collect()
}

fn id_of(route_ids: &HashMap<String, i64>, route: &str) -> i64 {
    // Every route has been looked up or added before.
    route_ids.get(route).copied().unwrap_or_default()
}

/// Finds the ids of all routes that changed views had or have; new ones are added, under the first of
/// their ids that no other route has.
async fn add_routes(
    connection: &mut PgConnection,
    site: SiteId,
    changed: &[Changed],
    route_ids: &mut HashMap<String, i64>,
) -> Result<(), StoreError> {
    let mut missing: BTreeSet<&str> = changed
        .iter()
        .flat_map(|changed| changed.before.iter().chain([&changed.after]))
        .map(|view| view.update.route.as_str())
        .filter(|route| !route_ids.contains_key(*route))
        .collect();
    find_routes(connection, site, &mut missing, route_ids).await?;
    for attempt in 0..=u8::MAX {
        if missing.is_empty() {
            return Ok(());
        }
        // In the order of texts, so that two servers that add the same ones do not wait in a circle.
        let (ids, routes): (Vec<i64>, Vec<&str>) =
            missing.iter().map(|&route| (route_id(route, attempt), route)).unzip();
        query(
            "/* route.add */ insert into route (site_id, route_id, route) \
             select $1, u.* from unnest($2::bigint[], $3::text[]) u on conflict do nothing",
        )
        .bind(site.0)
        .bind(ids)
        .bind(routes)
        .execute(&mut *connection)
        .await
        .map_err(failed(LOADING))?;
        find_routes(connection, site, &mut missing, route_ids).await?;
    }
    let route = missing.first().copied().unwrap_or_default();
    Err(damaged(LOADING, format_args!("the table of routes: every id of `{route}` is taken")))
}

/// Moves routes that are stored from the missing ones to the known ones.
async fn find_routes(
    connection: &mut PgConnection,
    site: SiteId,
    missing: &mut BTreeSet<&str>,
    route_ids: &mut HashMap<String, i64>,
) -> Result<(), StoreError> {
    if missing.is_empty() {
        return Ok(());
    }
    let texts: Vec<&str> = missing.iter().copied().collect();
    let rows =
        query("/* route.ids */ select route, route_id from route where site_id = $1 and route = any($2)")
            .bind(site.0)
            .bind(texts)
            .fetch_all(connection)
            .await
            .map_err(failed(LOADING))?;
    for row in rows {
        let route: String = row.try_get(0).map_err(failed(LOADING))?;
        missing.remove(route.as_str());
        route_ids.insert(route, row.try_get(1).map_err(failed(LOADING))?);
    }
    Ok(())
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
    query("/* cursor.forget */ delete from load_cursor where spool = $1")
        .bind(Uuid::from_bytes(spool.0))
        .execute(&mut *transaction)
        .await
        .map_err(failed(FORGETTING))?;
    transaction.commit().await.map_err(failed(FORGETTING))
}
