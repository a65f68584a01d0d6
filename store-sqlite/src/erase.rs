//! Erases page views together with their counts, and rollups of days without page views.

use crate::error::{damaged, failed};
use crate::maintain::REMOVE_BLOCKS_MAX;
use crate::names::Tables;
use crate::{SqliteStore, load, names, places, query, rows, site, texts, version, view};
use fieldvitals_store::limits;
use fieldvitals_store::load::{Changed, used_by};
use fieldvitals_store::names::Names;
use fieldvitals_store::rollup::{DAY_MS, Grain, day_of, deltas};
use fieldvitals_store::{Erase, Erased, RetentionEdges, SiteId, StoreError, StoredView, pack_url};
use sqlx::sqlite::SqliteConnection;
use std::collections::BTreeSet;
use std::ops::Range;
use vitals::view::ViewId;

const ERASING: &str = "erasing";

/// Page views erased per step.
const STEP_VIEWS: usize = 2_000;
/// Limit of the count before an erasure: one above the largest number that is reported.
const COUNTED_MAX: i64 = limits::ERASABLE_MAX as i64 + 1;

pub(crate) async fn erase(store: &SqliteStore, erase: &Erase) -> Result<Erased, StoreError> {
    // Searches before the write lock, because the search for a URL may read very many views. The step checks under the
    // lock that the found views are still to be erased.
    let ids = find(store, erase).await?;
    let mut transaction = store.write(ERASING).await?;
    let connection = &mut *transaction;
    site::exists(connection, erase.site).await?;
    let retained = query::retention_edges(connection).await?;
    let keys: Vec<(SiteId, ViewId)> = ids.iter().map(|&id| (erase.site, id)).collect();
    let mut views = load::known(connection, &keys).await?.remove(&erase.site).unwrap_or_default();
    views.retain(|view| erase.takes(&view.update) && view.update.id.start_ms() >= retained.views_from_ms);
    let mut erased = Erased { views: views.len() as u64, rows: 0, more: ids.len() == STEP_VIEWS };
    remove(connection, erase, views).await?;
    if !erased.more && erase.url.is_none() {
        erased.rows = remove_rows(connection, erase, &retained).await?;
        erased.more = erased.rows == REMOVE_BLOCKS_MAX;
    }
    version::count_change(connection, erase.site).await?;
    transaction.commit().await.map_err(failed(ERASING))?;
    if !erased.more {
        while texts::clean(store, erase.site).await? {}
        places::free(store, erase.site).await?;
    }
    Ok(erased)
}

/// Number of page views that an erasure would remove.
pub(crate) async fn erasable(store: &SqliteStore, erase: &Erase) -> Result<u64, StoreError> {
    let mut transaction = store.read(ERASING).await?;
    let range = range(&mut transaction, erase).await?;
    let count: i64 = match &erase.url {
        None => {
            sqlx::query_scalar(
                "/* view.erase.count */ select count(*) from (select 1 from page_view \
                 where site_id = ?1 and id >= ?2 and id < ?3 limit ?4)",
            )
            .bind(erase.site.0)
            .bind(range.start)
            .bind(range.end)
            .bind(COUNTED_MAX)
            .fetch_one(&mut *transaction)
            .await
        }
        Some(url) => {
            let urls = urls(&mut transaction, erase, url).await?;
            sqlx::query_scalar(
                "/* view.erase.count.url */ select count(*) from (select 1 from page_view \
                 where site_id = ?1 and id >= ?2 and id < ?3 \
                 and (+route_id, +url) in (select value ->> 0, value ->> 1 from json_each(?5)) limit ?4)",
            )
            .bind(erase.site.0)
            .bind(range.start)
            .bind(range.end)
            .bind(COUNTED_MAX)
            .bind(urls)
            .fetch_one(&mut *transaction)
            .await
        }
    }
    .map_err(failed(ERASING))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The range of ids of the page views in the erasure's period and within retention.
async fn range(connection: &mut SqliteConnection, erase: &Erase) -> Result<Range<Vec<u8>>, StoreError> {
    let from_ms = erase.from_ms.max(query::retention_edges(connection).await?.views_from_ms);
    Ok(view::first_id(from_ms)..view::first_id(erase.to_ms))
}

/// The stored forms of a URL, which depend on the route: pairs of route id and text, as JSON. Plus signs in the
/// statements keep SQLite from using the index of routes, which would read view by view.
async fn urls(connection: &mut SqliteConnection, erase: &Erase, url: &str) -> Result<String, StoreError> {
    let routes = names::all_routes(connection, erase.site).await?;
    let urls: Vec<(i64, String)> =
        routes.into_iter().map(|(id, route)| (id, pack_url(url, &route))).collect();
    names::json(&urls)
}

/// The ids of the first page views to be erased.
async fn find(store: &SqliteStore, erase: &Erase) -> Result<Vec<ViewId>, StoreError> {
    let mut transaction = store.read(ERASING).await?;
    let range = range(&mut transaction, erase).await?;
    let found: Vec<Vec<u8>> = match &erase.url {
        None => {
            sqlx::query_scalar(
                "/* view.erase.find */ select id from page_view \
                 where site_id = ?1 and id >= ?2 and id < ?3 order by id limit ?4",
            )
            .bind(erase.site.0)
            .bind(range.start)
            .bind(range.end)
            .bind(STEP_VIEWS as i64)
            .fetch_all(&mut *transaction)
            .await
        }
        Some(url) => {
            let urls = urls(&mut transaction, erase, url).await?;
            sqlx::query_scalar(
                "/* view.erase.find.url */ select id from page_view \
                 where site_id = ?1 and id >= ?2 and id < ?3 \
                 and (+route_id, +url) in (select value ->> 0, value ->> 1 from json_each(?5)) \
                 order by id limit ?4",
            )
            .bind(erase.site.0)
            .bind(range.start)
            .bind(range.end)
            .bind(STEP_VIEWS as i64)
            .bind(urls)
            .fetch_all(&mut *transaction)
            .await
        }
    }
    .map_err(failed(ERASING))?;
    let id = |bytes: Vec<u8>| bytes.try_into().ok().and_then(ViewId::from_bytes);
    found.into_iter().map(|bytes| id(bytes).ok_or_else(|| damaged(ERASING, "a page view (id)"))).collect()
}

/// Removes page views, and subtracts them from the rollups.
async fn remove(
    connection: &mut SqliteConnection,
    erase: &Erase,
    views: Vec<StoredView>,
) -> Result<(), StoreError> {
    if views.is_empty() {
        return Ok(());
    }
    let keys: Vec<(SiteId, ViewId)> = views.iter().map(|view| (erase.site, view.update.id)).collect();
    let days: BTreeSet<i32> = views
        .iter()
        .filter(|view| view.update.context.has_texts())
        .map(|view| Grain::Day.step(view.update.id.start_ms()))
        .collect();
    texts::doubt(connection, erase.site, &days).await?;
    let changed: Vec<Changed> =
        views.into_iter().map(|view| Changed { before: Some(Box::new(view)), after: None }).collect();
    let mut names = Names::default();
    names.use_all(&mut Tables(connection), erase.site, used_by(&changed)).await?;
    sqlx::query(view::REMOVE)
        .bind(load::key_list(&keys))
        .execute(&mut *connection)
        .await
        .map_err(failed(ERASING))?;
    put_deltas(connection, erase.site, &changed, &names).await
}

/// Writes the counts of changes that are no load.
pub(crate) async fn put_deltas(
    connection: &mut SqliteConnection,
    site: SiteId,
    changed: &[Changed],
    names: &Names,
) -> Result<(), StoreError> {
    for (hour_ms, views) in deltas(changed, &names.route_ids, &names.labels) {
        // Uses a random spool id, so that keys do not collide.
        sqlx::query(
            "/* rollup.delta.put */ insert into rollup_delta (site_id, hour_ms, spool, up_to, views) \
             values (?, ?, randomblob(16), 0, ?)",
        )
        .bind(site.0)
        .bind(hour_ms)
        .bind(views)
        .execute(&mut *connection)
        .await
        .map_err(failed(ERASING))?;
    }
    Ok(())
}

/// Removes some rollup rows of days that lie entirely in the range and whose page views are past retention.
async fn remove_rows(
    connection: &mut SqliteConnection,
    erase: &Erase,
    retained: &RetentionEdges,
) -> Result<u64, StoreError> {
    let Range { start, end } = whole_days(erase.from_ms, erase.to_ms.min(retained.views_from_ms));
    if start >= end {
        return Ok(0);
    }
    // Deletes the deltas first, so that no fold creates the rows again.
    sqlx::query(
        "/* rollup.delta.clear */ delete from rollup_delta where site_id = ? and hour_ms >= ? and hour_ms < ?",
    )
    .bind(erase.site.0)
    .bind(start)
    .bind(end)
    .execute(&mut *connection)
    .await
    .map_err(failed(ERASING))?;
    let mut removed = 0;
    for grain in [Grain::Hour, Grain::Day] {
        let steps = grain.step(start)..grain.step(end);
        let left = REMOVE_BLOCKS_MAX - removed;
        removed += rows::remove(connection, erase.site, (grain, steps, None), left).await?;
    }
    Ok(removed)
}

/// The whole UTC days in a range.
fn whole_days(from_ms: i64, to_ms: i64) -> Range<i64> {
    let start = day_of(from_ms);
    let start = if start < from_ms { start.saturating_add(DAY_MS) } else { start };
    start..day_of(to_ms)
}
