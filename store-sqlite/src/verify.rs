//! Compares rollups with page views, and rebuilds rollups from page views.

use crate::error::{damaged, damaged_rollup, failed};
use crate::rows::{self, Rows, Versions};
use crate::{SqliteStore, deltas, names, query, site, version, view};
use fieldvitals_store::limits;
use fieldvitals_store::rollup::{
    Counted, DAY_MS, Difference, Fold, Grain, add_rows, day_of, differences, steps_of_day,
};
use fieldvitals_store::{Rebuilt, RetentionEdges, SiteId, StoreError};
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use std::ops::Range;
use vitals::view::ViewId;

const READING: &str = "reading page views";
const VERIFYING: &str = "verifying rollups";
const REBUILDING: &str = "rebuilding rollups";

pub(crate) async fn view_days(store: &SqliteStore, site: SiteId) -> Result<Vec<i64>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let mut from_ms = query::retention_edges(&mut transaction).await?.views_from_ms;
    let mut days = Vec::new();
    // Jumps from the first view of a day to the first view of a later day, without reading the views between them.
    loop {
        let id: Option<Vec<u8>> =
            sqlx::query_scalar("/* view.next */ select min(id) from page_view where site_id = ? and id >= ?")
                .bind(site.0)
                .bind(view::first_id(from_ms))
                .fetch_one(&mut *transaction)
                .await
                .map_err(failed(READING))?;
        let Some(id) = id else { return Ok(days) };
        let id = id.try_into().ok().and_then(ViewId::from_bytes);
        let day_ms = day_of(id.ok_or_else(|| damaged(READING, "a page view (id)"))?.start_ms());
        days.push(day_ms);
        from_ms = day_ms + DAY_MS;
    }
}

pub(crate) async fn verify_day(
    store: &SqliteStore,
    site: SiteId,
    day_ms: i64,
) -> Result<Vec<Difference>, StoreError> {
    let day = day(day_ms);
    let mut transaction = store.read(VERIFYING).await?;
    let connection = &mut *transaction;
    let coverage = query::coverage(connection, site).await?;
    let retained = coverage.retained;
    if day.start < retained.views_from_ms {
        return Ok(Vec::new());
    }
    let (mut expected, _) = count(connection, site, &day, &retained).await?;
    let mut stored = folded_deltas(connection, site, &day, &retained).await?;
    for grain in [Grain::Hour, Grain::Day] {
        rows::all(connection, site, grain, retained_steps(grain, &day, &retained), &mut stored).await?;
    }
    for rows in [&mut stored, &mut expected] {
        rows.retain(|key, _| coverage.covers(key));
    }
    let mut differences = differences(&stored, &expected);
    let ids = differences.iter().filter_map(|found| found.key.route_id);
    let routes = names::routes(connection, site, ids).await?;
    for found in &mut differences {
        found.route = found.key.route_id.and_then(|id| routes.get(&id).cloned());
    }
    Ok(differences)
}

/// Attempts to rebuild a day. Concurrent changes of rollups cause a retry.
const REBUILD_TRIES: u32 = 5;

pub(crate) async fn rebuild_day(
    store: &SqliteStore,
    site: SiteId,
    day_ms: i64,
) -> Result<Rebuilt, StoreError> {
    for _ in 0..REBUILD_TRIES {
        if let Some(rebuilt) = try_rebuild_day(store, site, day(day_ms)).await? {
            return Ok(rebuilt);
        }
    }
    Err(StoreError::Database {
        what: REBUILDING,
        reason: "other processes keep changing the rollups of this site".to_owned(),
        transient: true,
    })
}

/// Computes a day's rollups from a snapshot, and writes them unless rollups have changed meanwhile. The deltas of later
/// loads remain.
async fn try_rebuild_day(
    store: &SqliteStore,
    site: SiteId,
    day: Range<i64>,
) -> Result<Option<Rebuilt>, StoreError> {
    let mut transaction = store.read(REBUILDING).await?;
    let connection = &mut *transaction;
    site::exists(connection, site).await?;
    let retained = query::retention_edges(connection).await?;
    if day.start < retained.views_from_ms {
        return Ok(Some(Rebuilt::default()));
    }
    let version = Versions::of(connection, &[site]).await?;
    let counted = deltas::Keys::of(connection, site, &day).await?;
    let (rows, views) = count(connection, site, &day, &retained).await?;
    drop(transaction);

    let rebuilt = Rebuilt { views, rows: rows.len() as u64 };
    let mut transaction = store.write(REBUILDING).await?;
    let connection = &mut *transaction;
    site::exists(connection, site).await?;
    // Page views of a day that is now past retention may be partly removed.
    if query::retention_edges(connection).await? != retained
        || !version.claim(connection).await?
        || !counted.remove(connection).await?
    {
        return Ok(None);
    }
    for grain in [Grain::Hour, Grain::Day] {
        rows::clear(connection, site, grain, steps_of_day(grain, day.start)).await?;
    }
    rows::replace(connection, site, rows).await?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(REBUILDING))?;
    Ok(Some(rebuilt))
}

fn day(day_ms: i64) -> Range<i64> {
    let start = day_of(day_ms);
    start..start.saturating_add(DAY_MS)
}

/// Returns the steps of a day within retention.
fn retained_steps(grain: Grain, day: &Range<i64>, retained: &RetentionEdges) -> Range<i32> {
    let from_ms = match grain {
        Grain::Hour => retained.site_hours_from_ms,
        Grain::Day => retained.days_from_ms,
    };
    grain.step(day.start.max(from_ms))..grain.step(day.end)
}

/// Counts the page views of a day. Returns the rows, and the number of page views.
async fn count(
    connection: &mut SqliteConnection,
    site: SiteId,
    day: &Range<i64>,
    retained: &RetentionEdges,
) -> Result<(Rows, u64), StoreError> {
    let labels = names::all_labels(connection, site, None).await?;
    let mut views = sqlx::query(concat!(
        "/* view.day */ select ",
        view::columns!(),
        ", v.route_id from page_view v cross join route r on r.site_id = ?1 and r.route_id = v.route_id \
         where v.site_id = ?1 and v.id >= ?2 and v.id < ?3"
    ))
    .bind(site.0)
    .bind(view::first_id(day.start))
    .bind(view::first_id(day.end))
    .fetch(connection);
    let (mut rows, mut fold, mut count) = (Rows::new(), Fold::default(), 0);
    while let Some(row) = views.try_next().await.map_err(failed(READING))? {
        let update = view::read(&row, None)?.update;
        let route_id = row.try_get(view::COLUMNS).map_err(failed(READING))?;
        let counted = Counted::new(&update, route_id, labels.codes(&update), 1);
        fold.add(update.id.start_ms(), &counted, retained);
        count += 1;
        // A fold holds every value; rows are much smaller.
        if fold.views() >= limits::FOLD_VIEWS_MAX {
            add_rows(&mut rows, std::mem::take(&mut fold).rows());
        }
    }
    add_rows(&mut rows, fold.rows());
    Ok((rows, count))
}

/// Folds the remaining deltas of a range of hours into rows.
pub(crate) async fn folded_deltas(
    connection: &mut SqliteConnection,
    site: SiteId,
    hours: &Range<i64>,
    retained: &RetentionEdges,
) -> Result<Rows, StoreError> {
    let mut deltas = sqlx::query(
        "/* rollup.delta.hours */ select hour_ms, views from rollup_delta \
         where site_id = ? and hour_ms >= ? and hour_ms < ?",
    )
    .bind(site.0)
    .bind(hours.start)
    .bind(hours.end)
    .fetch(connection);
    let (mut rows, mut fold) = (Rows::new(), Fold::default());
    while let Some(row) = deltas.try_next().await.map_err(failed(VERIFYING))? {
        let hour_ms: i64 = row.try_get(0).map_err(failed(VERIFYING))?;
        let views: &[u8] = row.try_get(1).map_err(failed(VERIFYING))?;
        fold.add_delta(hour_ms, views, retained).map_err(|_| damaged_rollup(VERIFYING, "a rollup delta"))?;
        if fold.views() >= limits::FOLD_VIEWS_MAX {
            add_rows(&mut rows, std::mem::take(&mut fold).rows());
        }
    }
    add_rows(&mut rows, fold.rows());
    Ok(rows)
}
