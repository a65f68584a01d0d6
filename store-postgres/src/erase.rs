//! Erases page views together with their counts, and rollups of days without page views.

use crate::error::failed;
use crate::load::{Deltas, lock, write_deltas};
use crate::locks::{hold_site, lock_retention_edges};
use crate::maintain::{REMOVE_BLOCKS_MAX, exclude};
use crate::names::{self, Tables};
use crate::query::retention_edges;
use crate::sql::query;
use crate::{PostgresStore, places, rows, texts, version, view};
use fieldvitals_store::context::texts::day;
use fieldvitals_store::limits;
use fieldvitals_store::load::{Changed, used_by};
use fieldvitals_store::names::Names;
use fieldvitals_store::rollup::{DAY_MS, Grain, deltas};
use fieldvitals_store::{Erase, Erased, RetentionEdges, SiteId, StoreError, ViewUpdate, pack_url};
use sqlx::Row;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;
use std::time::Instant;
use vitals::view::ViewId;

const ERASING: &str = "erasing page views";

/// Page views erased per step.
const STEP_VIEWS: i64 = 2_000;
/// Limit of the count before an erasure: one above the largest number that is reported.
const COUNTED_MAX: i64 = limits::ERASABLE_MAX as i64 + 1;

pub(crate) async fn erase(store: &PostgresStore, erase: &Erase) -> Result<Erased, StoreError> {
    let mut transaction = store.write(ERASING).await?;
    hold_site(&mut transaction, erase.site).await?;
    let retained = lock_retention_edges(&mut transaction).await?;
    let views = erase_views(&mut transaction, erase, &retained).await?;
    if views > 0 {
        version::count_change(&mut transaction, erase.site).await?;
        transaction.commit().await.map_err(failed(ERASING))?;
        // Not only after a full step: a step that waited for a load may have skipped the rows that the load changed.
        return Ok(Erased { views, rows: 0, more: true });
    }
    drop(transaction);
    // Does several steps per call, because each call first searches for page views.
    let began = Instant::now();
    while texts::clean(store.write(ERASING).await?, erase.site).await? {
        if began.elapsed() >= store.bounds.clean {
            return Ok(Erased { more: true, ..Erased::default() });
        }
    }
    let rows = if erase.url.is_some() { 0 } else { erase_rows(store, erase).await? };
    if rows == 0 {
        places::free(store, erase.site).await?;
    }
    Ok(Erased { views: 0, rows, more: rows > 0 })
}

/// Number of page views that an erasure would remove.
pub(crate) async fn erasable(store: &PostgresStore, erase: &Erase) -> Result<u64, StoreError> {
    let mut transaction = store.read(ERASING).await?;
    let from_ms = erase.from_ms.max(retention_edges(&mut transaction).await?.views_from_ms);
    let (first, end) = (view::first_id(from_ms), view::first_id(erase.to_ms));
    let statement = match &erase.url {
        None => query(
            "/* erase.count */ select count(*) from (select 1 from page_view \
             where site_id = $1 and id >= $2 and id < $3 limit $4) v",
        )
        .bind(erase.site.0)
        .bind(first)
        .bind(end)
        .bind(COUNTED_MAX),
        Some(url) => {
            let (ids, urls) = urls(&mut transaction, erase, url).await?;
            query(
                "/* erase.count.url */ select count(*) from (select 1 from page_view v \
                 join unnest($5::bigint[], $6::text[]) u (route_id, url) \
                 on v.route_id = u.route_id and v.url = u.url \
                 where v.site_id = $1 and v.id >= $2 and v.id < $3 limit $4) v",
            )
            .bind(erase.site.0)
            .bind(first)
            .bind(end)
            .bind(COUNTED_MAX)
            .bind(ids)
            .bind(urls)
        }
    };
    let count: i64 = statement
        .fetch_one(&mut *transaction)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed(ERASING))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The stored forms of a URL, which depend on the route: route ids, and the text under each route.
async fn urls(
    connection: &mut PgConnection,
    erase: &Erase,
    url: &str,
) -> Result<(Vec<i64>, Vec<String>), StoreError> {
    let routes = names::routes(connection, erase.site).await?;
    Ok(routes.into_iter().map(|(id, route)| (id, pack_url(url, &route))).unzip())
}

async fn erase_views(
    connection: &mut PgConnection,
    erase: &Erase,
    retained: &RetentionEdges,
) -> Result<u64, StoreError> {
    let site = erase.site;
    let range = erase.from_ms.max(retained.views_from_ms)..erase.to_ms;
    if range.is_empty() {
        return Ok(0);
    }
    let (first, end) = (view::first_id(range.start), view::first_id(range.end));
    // Locks in the order of ids and reads after the lock, as loads do.
    let statement = match &erase.url {
        None => query(
            "/* erase.lock */ select id from page_view where site_id = $1 and id >= $2 and id < $3 \
             order by id limit $4 for update",
        )
        .bind(site.0)
        .bind(first)
        .bind(end)
        .bind(STEP_VIEWS),
        Some(url) => {
            let (ids, urls) = urls(connection, erase, url).await?;
            query(
                "/* erase.lock.url */ select v.id from page_view v \
                 join unnest($5::bigint[], $6::text[]) u (route_id, url) \
                 on v.route_id = u.route_id and v.url = u.url \
                 where v.site_id = $1 and v.id >= $2 and v.id < $3 order by v.id limit $4 for update of v",
            )
            .bind(site.0)
            .bind(first)
            .bind(end)
            .bind(STEP_VIEWS)
            .bind(ids)
            .bind(urls)
        }
    };
    let rows = statement.fetch_all(&mut *connection).await.map_err(failed(ERASING))?;
    let ids = rows.iter().map(view::read_id).collect::<Result<Vec<ViewId>, _>>()?;
    if ids.is_empty() {
        return Ok(0);
    }
    let keys: Vec<(SiteId, ViewId)> = ids.iter().map(|&id| (site, id)).collect();
    let stored = lock(connection, &keys).await?.remove(&site).unwrap_or_default();
    let ids: Vec<Uuid> = ids.into_iter().map(view::uuid).collect();
    let changed: Vec<Changed> =
        stored.into_iter().map(|view| Changed { before: Some(Box::new(view)), after: None }).collect();
    let has_texts = |view: &&ViewUpdate| view.context.has_texts();
    let days = changed.iter().flat_map(Changed::updates).filter(has_texts).map(day).collect();
    texts::doubt(connection, site, days).await?;
    query("/* erase.views */ delete from page_view where site_id = $1 and id = any($2)")
        .bind(site.0)
        .bind(ids)
        .execute(&mut *connection)
        .await
        .map_err(failed(ERASING))?;
    let mut names = Names::default();
    names.use_all(&mut Tables(connection), site, used_by(&changed)).await?;
    put_deltas(connection, site, &changed, &names).await?;
    Ok(changed.len() as u64)
}

/// Writes the counts of changes that are no load, under a random spool id, so that keys do not collide.
pub(crate) async fn put_deltas(
    connection: &mut PgConnection,
    site: SiteId,
    changed: &[Changed],
    names: &Names,
) -> Result<(), StoreError> {
    let mut spool = [0; 16];
    getrandom::fill(&mut spool).map_err(|error| StoreError::Database {
        what: ERASING,
        reason: format!("the system gave no random numbers ({error})"),
        transient: true,
    })?;
    let hours = deltas(changed, &names.route_ids, &names.labels).into_iter().collect();
    write_deltas(connection, [Deltas { site, spool: Uuid::from_bytes(spool), up_to: 0, hours }]).await
}

/// Removes the rollup rows of days that lie entirely in the range and whose page views are past retention.
async fn erase_rows(store: &PostgresStore, erase: &Erase) -> Result<u64, StoreError> {
    let mut transaction = store.write(ERASING).await?;
    let connection = &mut *transaction;
    // A concurrent fold would write its rows again.
    exclude(connection).await?;
    hold_site(connection, erase.site).await?;
    let retained = lock_retention_edges(connection).await?;
    let first = Grain::Day.step(erase.from_ms.saturating_add(DAY_MS - 1));
    let end = Grain::Day.step(erase.to_ms.min(retained.views_from_ms));
    let range = i64::from(first) * DAY_MS..i64::from(end) * DAY_MS;
    if range.is_empty() {
        return Ok(0);
    }
    query(
        "/* erase.deltas */ delete from rollup_delta where site_id = $1 and hour_ms >= $2 and hour_ms < $3",
    )
    .bind(erase.site.0)
    .bind(range.start)
    .bind(range.end)
    .execute(&mut *connection)
    .await
    .map_err(failed(ERASING))?;
    let mut removed = 0;
    for grain in [Grain::Hour, Grain::Day] {
        let steps = (grain, grain.step(range.start)..grain.step(range.end), None);
        let limit = REMOVE_BLOCKS_MAX - i64::try_from(removed).unwrap_or(0);
        removed += rows::remove_steps(connection, erase.site, steps, limit).await?;
    }
    version::count_change(connection, erase.site).await?;
    transaction.commit().await.map_err(failed(ERASING))?;
    Ok(removed)
}
