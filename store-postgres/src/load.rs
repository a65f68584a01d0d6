//! Loads the batches of a pass: page views, corrections and cursors of all its sites in one transaction.
//!
//! Each statement is about all sites, so that the number of round trips does not depend on the number of sites.
//!
//! Several servers load at once. Under READ COMMITTED, each statement sees the rows that the others have committed by
//! then. A load still knows each view's previous state for certain:
//! - It locks stored views before it reads them.
//! - It inserts new views. An insert waits for a concurrent insert of the same view, and fails if the other one
//!   commits. The load then starts again, and finds the view stored.
//!
//! Every step goes through the rows in the order of sites and keys, so that loads do not deadlock.

use crate::compute::compute;
use crate::connection::bounded_load;
use crate::error::{code, constraint, damaged, failed};
use crate::limits::CITUS_LOADS_MAX;
use crate::names::Tables;
use crate::sql::{alone, query};
use crate::{PostgresStore, citus, copied, facts, query as questions, spread, texts, version, view};
use fieldvitals_store::context::texts::TextNames;
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::load::{self, Part, days_of, ids};
use fieldvitals_store::rollup::{DAY_MS, day_of, deltas};
use fieldvitals_store::version::{last_load_of, load_number};
use fieldvitals_store::{
    LoadBatch, LoadReport, RetentionEdges, SiteId, SpoolId, StoreError, StoredView, names,
};
use futures_util::future::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Uuid;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
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

/// Loads a pass in one transaction. On Citus, loads each site in its own transaction, a few at a time: a statement
/// cannot lock rows on several nodes, and a lost node must cost only its own sites.
pub(crate) async fn load(store: &PostgresStore, mut pass: Vec<LoadBatch>) -> Result<Loaded, StoreError> {
    // Statements are about the sites in their order; the outcomes are in the order of the caller.
    let mut order: Vec<usize> = (0..pass.len()).collect();
    order.sort_unstable_by_key(|&place| pass[place].site);
    pass.sort_unstable_by_key(|batch| batch.site);
    let loaded = load_in_order(store, pass).await?;
    let mut loaded: Vec<_> = order.into_iter().zip(loaded).collect();
    loaded.sort_unstable_by_key(|&(place, _)| place);
    Ok(loaded.into_iter().map(|(_, loaded)| loaded).collect())
}

async fn load_in_order(store: &PostgresStore, pass: Vec<LoadBatch>) -> Result<Loaded, StoreError> {
    if !store.is_citus.load(Ordering::Relaxed) {
        let loaded = bounded_load(store.bounds.load, load_together(store, &pass)).await;
        // The load may have found that the tables are distributed.
        if !store.is_citus.load(Ordering::Relaxed) {
            return loaded;
        }
    }
    let begin = |(place, batch)| {
        let loaded = load_alone(store, batch);
        async move { (place, loaded.await) }.boxed()
    };
    let loads: Vec<_> = pass.into_iter().enumerate().map(begin).collect();
    // Not in order: sites that are loaded must not wait for one whose node hangs.
    let mut loaded: Vec<_> = stream::iter(loads).buffer_unordered(CITUS_LOADS_MAX).collect().await;
    loaded.sort_unstable_by_key(|&(place, _)| place);
    Ok(loaded.into_iter().map(|(_, loaded)| loaded).collect())
}

/// Loads a site in its own transaction. Fails at once if the site's node hangs and is not due.
async fn load_alone(store: &PostgresStore, batch: LoadBatch) -> Result<LoadReport, StoreError> {
    let limit = store.bounds.node;
    let site = batch.site;
    if !store.hung.may_try(site) {
        return Err(StoreError::Node { what: LOADING, reason: citus::no_answer(limit) });
    }
    let pass = [batch];
    if let Ok(loaded) = tokio::time::timeout(limit, load_together(store, &pass)).await {
        store.hung.answered(site);
        return loaded?.pop().unwrap_or(Err(StoreError::NoSuchSite));
    }
    if store.hung.may_try(site) {
        store.hung.add(site, citus::sites_beside(store, site).await?);
    }
    // The load may also be too large for a node that is slow.
    Err(StoreError::TooSlow { what: LOADING, reason: citus::no_answer(limit), answered: true })
}

/// The outcome of each batch of a pass.
type Loaded = Vec<Result<LoadReport, StoreError>>;

async fn load_together(store: &PostgresStore, pass: &[LoadBatch]) -> Result<Loaded, StoreError> {
    let mut days = BTreeSet::new();
    for id in pass.iter().flat_map(|batch| batch.beacons.iter().flatten()).map(|update| update.id) {
        days.insert(day_of(id.start_ms()));
    }
    let mut why = Failed::Raced;
    for _ in 0..TRIES {
        add_days(store, &days).await?;
        match load_once(store, pass).await {
            Err(Failed::Other(error)) => return Err(error),
            Err(Failed::Distributed) => break,
            Err(failed) => {
                // A known partition is gone: the clock of a server jumped forth and back.
                if matches!(failed, Failed::NoPartition | Failed::Either(_)) {
                    known_days(store).clear();
                }
                why = failed;
            }
            Ok(loaded) => return Ok(loaded),
        }
    }
    Err(why.into())
}

enum Failed {
    NoPartition,
    Raced,
    /// The tables are distributed over the nodes of Citus, which was not known.
    Distributed,
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
            Failed::Distributed => "the tables were distributed over the nodes of Citus meanwhile",
            Failed::Either(error) | Failed::Other(error) => return error,
        };
        Self::Database { what: LOADING, reason: reason.to_owned(), transient: true }
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
    let retained = questions::retention_edges(&mut transaction).await?;
    let missing: Vec<i64> = missing.into_iter().filter(|&day| day >= retained.views_from_ms).collect();
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

async fn load_once(store: &PostgresStore, pass: &[LoadBatch]) -> Result<Loaded, Failed> {
    let mut transaction = store.write(LOADING).await?;
    let connection = &mut *transaction;

    let (retained, mut outcomes) = begin(store, connection, pass).await?;
    let taken: Vec<&LoadBatch> =
        pass.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(batch, _)| batch).collect();
    let has_cursor =
        |(batch, outcome): (&LoadBatch, &Result<bool, _>)| matches!(outcome, Ok(true)).then_some(batch.site);
    let with_cursor: BTreeSet<SiteId> = pass.iter().zip(&outcomes).filter_map(has_cursor).collect();
    if taken.is_empty() {
        return Ok(outcomes.into_iter().map(|outcome| outcome.map(|_| LoadReport::default())).collect());
    }
    let mut keys: Vec<(SiteId, ViewId)> = Vec::new();
    for batch in &taken {
        let ids = ids(batch).into_iter().filter(|id| id.start_ms() >= retained.views_from_ms);
        keys.extend(ids.map(|id| (batch.site, id)));
    }
    // Copies the beacons while Postgres answers.
    let copied = async { taken.iter().map(|&batch| Part::new(batch.clone())).collect::<Vec<Part>>() };
    let (stored, mut parts) = tokio::join!(lock(connection, &keys), copied);
    let mut stored = stored?;
    load::bound(&mut Tables(connection), &mut parts, &retained).await?;
    texts::bound(connection, &mut parts).await?;
    let mut parts = compute(move || {
        for part in &mut parts {
            part.merge(stored.remove(&part.site).unwrap_or_default(), &retained);
        }
        parts
    })
    .await?;
    let mut using: Vec<_> = parts.iter_mut().map(Part::using).collect();
    names::use_all(&mut Tables(connection), &mut using).await?;
    texts::add(connection, &mut parts).await?;
    add(connection, &parts).await?;
    replace(connection, &parts).await?;
    let deltas = parts.iter().map(Deltas::of).collect::<Result<Vec<Deltas>, StoreError>>()?;
    let days = last_loads(&parts);
    write_deltas(connection, deltas).await?;
    move_cursors(connection, &parts, &with_cursor).await?;
    // Last, because other servers load the same days of the same sites.
    version::note_days(connection, days).await?;
    transaction.commit().await.map_err(failed(LOADING))?;
    let mut reports = parts.into_iter().map(|part| part.merged.report);
    Ok(outcomes.drain(..).map(|outcome| outcome.map(|_| reports.next().unwrap_or_default())).collect())
}

/// The delta rows of some changes of a site.
pub(crate) struct Deltas {
    pub(crate) site: SiteId,
    pub(crate) spool: Uuid,
    pub(crate) up_to: i64,
    /// The packed views of each hour.
    pub(crate) hours: Vec<(i64, Vec<u8>)>,
}

impl Deltas {
    fn of(part: &Part) -> Result<Self, StoreError> {
        let hours = deltas(&part.merged.changed, &part.names.route_ids, &part.names.labels);
        let (spool, up_to) = (Uuid::from_bytes(part.spool.0), position(part.up_to)?);
        Ok(Self { site: part.site, spool, up_to, hours: hours.into_iter().collect() })
    }
}

/// Returns the changed views to write: those that were stored, or the new ones.
fn changed(part: &Part, is_stored: bool) -> impl Iterator<Item = (&Part, &StoredView)> {
    let changed = part.merged.changed.iter().filter(move |changed| changed.before.is_some() == is_stored);
    changed.filter_map(move |changed| Some((part, changed.after.as_deref()?)))
}

fn route_id(part: &Part, view: &StoredView) -> i64 {
    // All routes were found or added.
    part.names.route_ids.get(&view.update.route).copied().unwrap_or_default()
}

/// The days that a load changes: sites, the rows of their days, and the numbers of the load, ordered by site and day.
fn last_loads(parts: &[Part]) -> (Vec<i64>, Vec<Uuid>, Vec<i64>) {
    let changed = parts.iter().flat_map(|part| {
        let number = load_number(part.spool, part.up_to);
        let days = days_of(&part.merged.changed).into_iter();
        days.map(move |day_ms| ((part.site.0, last_load_of(day_ms).0), number))
    });
    let days: BTreeMap<(i64, [u8; 16]), i64> = changed.collect();
    (
        days.keys().map(|&(site, _)| site).collect(),
        days.keys().map(|&(_, day)| Uuid::from_bytes(day)).collect(),
        days.into_values().collect(),
    )
}

/// Writes delta rows.
pub(crate) async fn write_deltas(
    connection: &mut PgConnection,
    all: impl IntoIterator<Item = Deltas>,
) -> Result<(), StoreError> {
    let (mut sites, mut spools, mut up_tos) = (Vec::<i64>::new(), Vec::<Uuid>::new(), Vec::<i64>::new());
    let (mut hours, mut views) = (Vec::<i64>::new(), Vec::<Vec<u8>>::new());
    for deltas in all {
        for (hour_ms, packed) in deltas.hours {
            sites.push(deltas.site.0);
            spools.push(deltas.spool);
            up_tos.push(deltas.up_to);
            hours.push(hour_ms);
            views.push(packed);
        }
    }
    if hours.is_empty() {
        return Ok(());
    }
    query(
        "/* rollup.delta */ insert into rollup_delta (site_id, spool, up_to, hour_ms, views) \
         select * from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bytea[])",
    )
    .bind(sites)
    .bind(spools)
    .bind(up_tos)
    .bind(hours)
    .bind(views)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed(LOADING))
}

fn position(position: u64) -> Result<i64, StoreError> {
    i64::try_from(position).map_err(|_| damaged(LOADING, format_args!("spool position {position}")))
}

/// Finds the sites that exist and whose cursor is at the expected position, and tells of each whether it has a cursor.
/// Returns the retention edges. Locks all three until the transaction ends.
async fn begin(
    store: &PostgresStore,
    connection: &mut PgConnection,
    pass: &[LoadBatch],
) -> Result<(RetentionEdges, Vec<Result<bool, StoreError>>), Failed> {
    let sites: Vec<i64> = pass.iter().map(|batch| batch.site.0).collect();
    let row = query(
        "/* load.begin */ with site as (select site_id from site where site_id = any($1) order by site_id \
         for key share), kept as (select * from kept where one = 1 for share) \
         select views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms, (select coalesce(array_agg(site_id), '{}') from site), \
         to_regclass('pg_catalog.pg_dist_partition') is not null from kept",
    )
    .bind(sites.as_slice())
    .fetch_one(&mut *connection)
    .await
    .map_err(failed(LOADING))?;
    let retained = facts::retained(&row)?;
    let existing: Vec<i64> = row.try_get(4).map_err(failed(LOADING))?;
    let existing: BTreeSet<i64> = existing.into_iter().collect();
    let has_citus: bool = row.try_get(5).map_err(failed(LOADING))?;
    if has_citus && !store.is_citus.load(Ordering::Relaxed) && spread::is_spread(connection).await? {
        store.is_citus.store(true, Ordering::Relaxed);
        return Err(Failed::Distributed);
    }
    let spools: Vec<Uuid> = pass.iter().map(|batch| Uuid::from_bytes(batch.spool.0)).collect();
    let rows = query(
        "/* load.cursors */ select c.site_id, c.position from unnest($2::bigint[], $3::uuid[]) u (site_id, spool) \
         cross join lateral (select c.site_id, c.position from load_cursor c \
         where ($1::bigint is null or c.site_id = $1) and c.site_id = u.site_id and c.spool = u.spool \
         for no key update of c) c",
    )
    .bind(alone(&sites))
    .bind(sites)
    .bind(spools)
    .fetch_all(connection)
    .await
    .map_err(failed(LOADING))?;
    let mut cursors: HashMap<i64, i64> = HashMap::default();
    for row in &rows {
        let read = || Ok((row.try_get(0)?, row.try_get(1)?));
        let (site, position) = read().map_err(failed(LOADING))?;
        cursors.insert(site, position);
    }
    let outcome = |batch: &LoadBatch| {
        if !existing.contains(&batch.site.0) {
            return Err(StoreError::NoSuchSite);
        }
        let stored = cursors.get(&batch.site.0);
        let at = stored.map_or(0, |&at| u64::try_from(at).unwrap_or(0));
        if at != batch.after {
            return Err(StoreError::CursorMoved { at, expected: batch.after });
        }
        Ok(stored.is_some())
    };
    Ok((retained, pass.iter().map(outcome).collect()))
}

/// Moves the cursors. A missing cursor cannot be locked, so another loader of the spool may have inserted it meanwhile.
async fn move_cursors(
    connection: &mut PgConnection,
    parts: &[Part],
    with_cursor: &BTreeSet<SiteId>,
) -> Result<(), Failed> {
    for (is_known, statement) in [
        (
            false,
            "/* cursor.add */ insert into load_cursor (site_id, spool, position) \
             select * from unnest($1::bigint[], $2::uuid[], $3::bigint[]) on conflict do nothing",
        ),
        (
            true,
            "/* cursor.move */ update load_cursor c set position = u.position \
             from unnest($1::bigint[], $2::uuid[], $3::bigint[]) u (site_id, spool, position) \
             where ($4::bigint is null or c.site_id = $4) and c.site_id = u.site_id and c.spool = u.spool",
        ),
    ] {
        let (mut sites, mut spools, mut positions) =
            (Vec::<i64>::new(), Vec::<Uuid>::new(), Vec::<i64>::new());
        for part in parts.iter().filter(|part| with_cursor.contains(&part.site) == is_known) {
            sites.push(part.site.0);
            spools.push(Uuid::from_bytes(part.spool.0));
            positions.push(position(part.up_to)?);
        }
        if sites.is_empty() {
            continue;
        }
        let (count, alone) = (sites.len() as u64, alone(&sites));
        let statement = query(statement).bind(sites).bind(spools).bind(positions);
        let statement = if is_known { statement.bind(alone) } else { statement };
        let moved = statement.execute(&mut *connection).await.map_err(failed(LOADING))?;
        if moved.rows_affected() != count {
            return Err(Failed::Raced);
        }
    }
    Ok(())
}

/// Inserts the views that are not stored. Their names must exist.
async fn add(connection: &mut PgConnection, parts: &[Part]) -> Result<(), Failed> {
    let failed = |error: sqlx::Error| match code(&error).as_deref() {
        Some(NO_PARTITION) if constraint(&error).is_none() => Failed::NoPartition,
        Some(NOT_UNIQUE) => Failed::Raced,
        Some(NO_CODE) => Failed::Either(failed(LOADING)(error)),
        _ => Failed::Other(failed(LOADING)(error)),
    };
    let mut new = Vec::new();
    parts.iter().for_each(|part| new.extend(changed(part, false)));
    if new.is_empty() {
        return Ok(());
    }
    let mut copy = connection.copy_in_raw(copied::ADD).await.map_err(failed)?;
    let mut copied = copied::Copied::new();
    for (part, view) in new {
        copied.push(part.site, view, route_id(part, view), &part.texts);
        if let Some(bytes) = copied.take(COPY_BYTES) {
            copy.send(bytes).await.map_err(failed)?;
        }
    }
    copy.send(copied.end()).await.map_err(failed)?;
    copy.finish().await.map(drop).map_err(failed)
}

/// Updates the stored views that changed. The transaction must hold their locks.
async fn replace(connection: &mut PgConnection, parts: &[Part]) -> Result<(), StoreError> {
    let mut columns = view::Columns::default();
    let (mut sites, mut ids) = (Vec::new(), Vec::new());
    for (part, view) in parts.iter().flat_map(|part| changed(part, true)) {
        columns.push(part.site, view, route_id(part, view), &part.texts);
        sites.push(part.site.0);
        ids.push(view.update.id);
    }
    let (Some(&first), Some(&last)) = (ids.iter().min(), ids.iter().max()) else { return Ok(()) };
    columns
        .bind(query(view::REPLACE).bind(alone(&sites)))
        .bind(view::uuid(first))
        .bind(view::uuid(last))
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed(LOADING))
}

/// Locks and reads the stored ones of these views, which must be in order.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    keys: &[(SiteId, ViewId)],
) -> Result<HashMap<SiteId, Vec<StoredView>>, StoreError> {
    let mut stored: HashMap<SiteId, Vec<StoredView>> = HashMap::default();
    let ids = || keys.iter().map(|&(_, id)| id);
    let (Some(first), Some(last)) = (ids().min(), ids().max()) else { return Ok(stored) };
    let of = |sql, sites: Vec<i64>, ids: Vec<Uuid>| {
        let statement = query(sql).bind(alone(&sites)).bind(sites).bind(ids);
        statement.bind(view::uuid(first)).bind(view::uuid(last))
    };
    let (sites, ids) = keys.iter().map(|&(site, id)| (site.0, view::uuid(id))).unzip();
    let locked = of(view::LOCK, sites, ids)
        .fetch_all(&mut *connection)
        .await
        .and_then(|rows| {
            let key = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
            rows.iter().map(key).collect::<Result<Vec<(i64, Uuid)>, sqlx::Error>>()
        })
        .map_err(failed(LOADING))?;
    if locked.is_empty() {
        return Ok(stored);
    }
    let count = locked.len();
    let (sites, ids) = locked.into_iter().unzip();
    let rows = of(view::KNOWN, sites, ids).fetch_all(&mut *connection).await.map_err(failed(LOADING))?;
    if rows.len() != count {
        return Err(damaged(LOADING, "the table of routes: page views have one that is not there"));
    }
    let site_of = |row: &PgRow| row.try_get(view::SITE).map(SiteId).map_err(failed(LOADING));
    let texts = texts::of_sites(connection, &rows, site_of).await?;
    let none = TextNames::default();
    for row in &rows {
        let site = site_of(row)?;
        let view = view::read(row, texts.get(&site).unwrap_or(&none))?;
        stored.entry(site).or_default().push(view);
    }
    Ok(stored)
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
