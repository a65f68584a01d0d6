//! Carrying a site over, from one store to another.

use crate::error::{damaged, failed};
use crate::names::Tables;
use crate::rows::{self, Rows};
use crate::{SqliteStore, names, query, site, texts, verify, version, view};
use fieldvitals_store::names::Names;
use fieldvitals_store::rollup::{Grain, Part, slot};
use fieldvitals_store::{
    Dimension, RetentionEdges, RollupGroup, SiteId, SiteSize, StoreError, StoredView, copy,
};
use sqlx::sqlite::SqliteConnection;
use std::collections::HashMap;
use std::ops::Range;
use vitals::view::ViewId;

const READING: &str = "reading a site to copy it";
const WRITING: &str = "writing the copy of a site";

pub(crate) async fn site_size(store: &SqliteStore, site: SiteId) -> Result<SiteSize, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let coverage = query::coverage(connection, site).await?;
    let (views, violations): (i64, i64) = sqlx::query_as(
        "/* holding */ select (select count(*) from page_view where site_id = ?1 and id >= ?2), \
         (select count(*) from violation where site_id = ?1)",
    )
    .bind(site.0)
    .bind(view::first_id(coverage.retained.views_from_ms))
    .fetch_one(&mut *connection)
    .await
    .map_err(failed(READING))?;
    let counted = query::count_views(connection, site, &(i64::MIN..i64::MAX), &coverage, None).await?;
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(SiteSize { views: count(views), counted, violations: count(violations) })
}

pub(crate) async fn views(
    store: &SqliteStore,
    site: SiteId,
    after: Option<ViewId>,
    limit: u32,
) -> Result<Vec<StoredView>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let retained = query::retention_edges(&mut transaction).await?;
    // One bound: SQLite would search from the first of two, and then pass over all rows up to the second. No view has the
    // smallest id of a millisecond.
    let after = after.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
    let after = after.max(view::first_id(retained.views_from_ms));
    let rows = sqlx::query(concat!(
        "/* view.page */ select ",
        view::columns!(),
        " from page_view v cross join route r on r.site_id = ?1 and r.route_id = v.route_id \
         where v.site_id = ?1 and v.id > ?2 order by v.id limit ?3"
    ))
    .bind(site.0)
    .bind(after)
    .bind(limit)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(READING))?;
    let texts = texts::of_rows(&mut transaction, site, &rows).await?;
    rows.iter().map(|row| view::read(row, Some(&texts))).collect()
}

pub(crate) async fn view_at(
    store: &SqliteStore,
    site: SiteId,
    count: u64,
) -> Result<Option<ViewId>, StoreError> {
    let Some(before) = count.checked_sub(1) else { return Ok(None) };
    let mut transaction = store.read(READING).await?;
    let retained = query::retention_edges(&mut transaction).await?;
    let id: Option<Vec<u8>> = sqlx::query_scalar(
        "/* view.at */ select id from page_view where site_id = ? and id >= ? order by id limit 1 offset ?",
    )
    .bind(site.0)
    .bind(view::first_id(retained.views_from_ms))
    .bind(i64::try_from(before).unwrap_or(i64::MAX))
    .fetch_optional(&mut *transaction)
    .await
    .map_err(failed(READING))?;
    let read = |bytes: Vec<u8>| bytes.try_into().ok().and_then(ViewId::from_bytes);
    id.map(|bytes| read(bytes).ok_or_else(|| damaged(READING, "a page view (id)"))).transpose()
}

/// The days of which only rollups are kept, as steps of a grain that are kept themselves.
fn old_steps(grain: Grain, retained: &RetentionEdges) -> Range<i32> {
    let from_ms = match grain {
        Grain::Hour => retained.hours_from_ms,
        Grain::Day => retained.days_from_ms,
    };
    grain.step(from_ms)..grain.step(retained.views_from_ms)
}

pub(crate) async fn rollups(
    store: &SqliteStore,
    site: SiteId,
    after: Option<(Grain, i64)>,
    limit: u32,
) -> Result<Vec<RollupGroup>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let retained = query::retention_edges(connection).await?;
    // Maintenance folds before it moves on, so this is next to nothing.
    let unfolded =
        verify::folded_deltas(connection, site, &(i64::MIN..retained.views_from_ms), &retained).await?;
    let labels = names::all_labels(connection, site, None).await?;
    let routes: HashMap<i64, String> = names::all_routes(connection, site).await?.into_iter().collect();
    let mut groups = Vec::new();
    for grain in [Grain::Hour, Grain::Day] {
        let mut steps = old_steps(grain, &retained);
        match after {
            Some((last, _)) if last > grain => continue,
            Some((last, start_ms)) if last == grain => {
                steps.start = steps.start.max(grain.step(start_ms).saturating_add(1));
            }
            _ => {}
        }
        while groups.len() < limit as usize
            && let Some(step) = next_step(connection, site, grain, &steps, &unfolded).await?
        {
            let mut rows: Rows = unfolded
                .iter()
                .filter(|(key, _)| (key.grain, key.step) == (grain, step))
                .map(|(&key, row)| (key, row.clone()))
                .collect();
            rows::all(connection, site, grain, step..step.saturating_add(1), &mut rows).await?;
            // What is taken away again leaves nothing to carry.
            rows.retain(|_, row| row.encode().is_some());
            groups.extend(copy::groups(&rows, &routes, &labels));
            steps.start = step.saturating_add(1);
        }
    }
    Ok(groups)
}

/// The first of some steps that has rows: those of devices, which every page view has.
async fn next_step(
    connection: &mut SqliteConnection,
    site: SiteId,
    grain: Grain,
    steps: &Range<i32>,
    unfolded: &Rows,
) -> Result<Option<i32>, StoreError> {
    if steps.is_empty() {
        return Ok(None);
    }
    let sql = match grain {
        Grain::Hour => {
            "/* rollup_hour.next */ select min(step) from rollup_hour \
             where site_id = ? and slot = ? and step >= ? and step < ?"
        }
        Grain::Day => {
            "/* rollup_day.next */ select min(step) from rollup_day \
             where site_id = ? and slot = ? and step >= ? and step < ?"
        }
    };
    let stored: Option<i32> = sqlx::query_scalar(sql)
        .bind(site.0)
        .bind(slot(Dimension::Device, Part::Views))
        .bind(steps.start)
        .bind(steps.end)
        .fetch_one(connection)
        .await
        .map_err(failed(READING))?;
    let unfolded = unfolded.keys().filter(|key| key.grain == grain && steps.contains(&key.step));
    Ok(stored.into_iter().chain(unfolded.map(|key| key.step)).min())
}

pub(crate) async fn rollups_put(
    store: &SqliteStore,
    site: SiteId,
    groups: &[RollupGroup],
) -> Result<(), StoreError> {
    let mut transaction = store.write(WRITING).await?;
    let connection = &mut *transaction;
    site::exists(connection, site).await?;
    let mut names = Names::default();
    names.use_all(&mut Tables(connection), site, copy::used_by(groups)).await?;
    let rows = copy::rows(groups, &names.route_ids, &names.labels);
    rows::replace(connection, site, rows).await?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(WRITING))
}
