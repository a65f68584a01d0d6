//! Reads and writes the rows of a copy between stores.

use crate::error::failed;
use crate::locks::{hold_site, lock_retention_edges};
use crate::maintain::exclude;
use crate::names::{self, Tables};
use crate::sql::query;
use crate::{PostgresStore, query as questions, rows, texts, version, view};
use fieldvitals_store::names::Names;
use fieldvitals_store::rollup::{Grain, Part, Stored, slot};
use fieldvitals_store::{
    Dimension, RetentionEdges, RollupGroup, SiteId, SiteSize, StoreError, StoredView, copy,
};
use sqlx::Row;
use sqlx::postgres::PgConnection;
use std::collections::BTreeSet;
use std::ops::Range;
use vitals::view::ViewId;

const READING: &str = "reading what is kept";
const WRITING: &str = "writing what is kept";

pub(crate) async fn retained(store: &PostgresStore) -> Result<RetentionEdges, StoreError> {
    let mut transaction = store.read(READING).await?;
    questions::retention_edges(&mut transaction).await
}

pub(crate) async fn keep(store: &PostgresStore, retained: RetentionEdges) -> Result<(), StoreError> {
    let mut transaction = store.write(WRITING).await?;
    store_retention_edges(&mut transaction, &retained).await?;
    transaction.commit().await.map_err(failed(WRITING))
}

/// Moves the retention edges. Waits for the loads that lock them, because they may be writing rows to be removed.
pub(crate) async fn store_retention_edges(
    connection: &mut PgConnection,
    retained: &RetentionEdges,
) -> Result<(), StoreError> {
    query(
        "/* kept.move */ update kept set views_from_ms = $1, hours_from_ms = $2, days_from_ms = $3, \
         site_hours_from_ms = $4 where one = 1",
    )
    .bind(retained.views_from_ms)
    .bind(retained.hours_from_ms)
    .bind(retained.days_from_ms)
    .bind(retained.site_hours_from_ms)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed(WRITING))
}

pub(crate) async fn site_size(store: &PostgresStore, site: SiteId) -> Result<SiteSize, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let coverage = questions::coverage(connection, site).await?;
    let row = query(
        "/* site.holding */ select (select count(*) from page_view where site_id = $1 and id >= $2), \
         (select count(*) from violation where site_id = $1)",
    )
    .bind(site.0)
    .bind(view::first_id(coverage.retained.views_from_ms))
    .fetch_one(&mut *connection)
    .await
    .map_err(failed(READING))?;
    let number = |place| {
        let number = row.try_get::<i64, _>(place).map_err(failed(READING));
        number.map(|number| u64::try_from(number).unwrap_or(0))
    };
    Ok(SiteSize {
        views: number(0)?,
        violations: number(1)?,
        counted: questions::count_views(connection, site, &(i64::MIN..i64::MAX), &coverage, None).await?,
    })
}

pub(crate) async fn views(
    store: &PostgresStore,
    site: SiteId,
    after: Option<ViewId>,
    limit: u32,
) -> Result<Vec<StoredView>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let retained = questions::retention_edges(&mut transaction).await?;
    // No view has the smallest id.
    let rows = query(view::PAGE)
        .bind(site.0)
        .bind(after.map_or(view::first_id(i64::MIN), view::uuid))
        .bind(view::first_id(retained.views_from_ms))
        .bind(i64::from(limit))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed(READING))?;
    let texts = texts::of_rows(&mut transaction, site, &rows).await?;
    rows.iter().map(|row| view::read(row, &texts)).collect()
}

pub(crate) async fn view_at(
    store: &PostgresStore,
    site: SiteId,
    count: u64,
) -> Result<Option<ViewId>, StoreError> {
    let Some(before) = count.checked_sub(1).and_then(|before| i64::try_from(before).ok()) else {
        return Ok(None);
    };
    let mut transaction = store.read(READING).await?;
    let retained = questions::retention_edges(&mut transaction).await?;
    let row = query(
        "/* view.at */ select id from page_view where site_id = $1 and id >= $2 order by id offset $3 limit 1",
    )
    .bind(site.0)
    .bind(view::first_id(retained.views_from_ms))
    .bind(before)
    .fetch_optional(&mut *transaction)
    .await
    .map_err(failed(READING))?;
    row.as_ref().map(view::read_id).transpose()
}

/// The hours or days whose rollups a copy carries: those of days whose page views are past retention.
fn carried(grain: Grain, retained: &RetentionEdges) -> Range<i32> {
    let from_ms = match grain {
        Grain::Hour => retained.hours_from_ms.max(retained.days_from_ms),
        Grain::Day => retained.days_from_ms,
    };
    grain.step(from_ms)..grain.step(retained.views_from_ms)
}

pub(crate) async fn rollups(
    store: &PostgresStore,
    site: SiteId,
    after: Option<(Grain, i64)>,
    limit: u32,
) -> Result<Vec<RollupGroup>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let retained = questions::retention_edges(connection).await?;
    let labels = names::labels(connection, site).await?;
    let routes = names::routes(connection, site).await?;
    let mut groups: Vec<RollupGroup> = Vec::new();
    for grain in [Grain::Hour, Grain::Day] {
        let mut range = carried(grain, &retained);
        match after {
            Some((done, _)) if done > grain => continue,
            Some((done, start_ms)) if done == grain => {
                range.start = range.start.max(grain.step(start_ms).saturating_add(1));
            }
            _ => {}
        }
        for step in steps(connection, site, grain, range).await? {
            if groups.len() >= limit as usize {
                return Ok(groups);
            }
            let start_ms = i64::from(step) * grain.step_ms();
            let span = start_ms..start_ms.saturating_add(grain.step_ms());
            let mut rows = rows::fold_deltas(connection, site, span, &retained).await?;
            rows.retain(|key, _| key.grain == grain);
            rows::read_steps(connection, site, (grain, step..step.saturating_add(1)), &mut rows).await?;
            let mut found = copy::groups(&rows, &routes, &labels);
            // A cell that was added and taken away again is no row in the other store.
            for group in &mut found {
                group.cells.retain(|(_, cell)| !cell.is_empty());
            }
            groups.extend(found.into_iter().filter(|group| !group.cells.is_empty()));
        }
    }
    Ok(groups)
}

/// The hours or days of a range that have rows.
async fn steps(
    connection: &mut PgConnection,
    site: SiteId,
    grain: Grain,
    range: Range<i32>,
) -> Result<BTreeSet<i32>, StoreError> {
    if range.is_empty() {
        return Ok(BTreeSet::new());
    }
    let sql = match grain {
        Grain::Hour => {
            "/* rollup_hour.steps */ select distinct step from rollup_hour \
             where site_id = $1 and slot = $2 and step >= $3 and step < $4"
        }
        Grain::Day => {
            "/* rollup_day.steps */ select distinct step from rollup_day \
             where site_id = $1 and slot = $2 and step >= $3 and step < $4"
        }
    };
    // This slot counts every page view.
    let rows = query(sql)
        .bind(site.0)
        .bind(slot(Dimension::Device, Part::Views))
        .bind(range.start)
        .bind(range.end)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed(READING))?;
    let mut steps: BTreeSet<i32> =
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed(READING))?;
    let rows = query(
        "/* rollup.delta.hours */ select distinct hour_ms from rollup_delta \
         where site_id = $1 and hour_ms >= $2 and hour_ms < $3",
    )
    .bind(site.0)
    .bind(i64::from(range.start) * grain.step_ms())
    .bind(i64::from(range.end) * grain.step_ms())
    .fetch_all(connection)
    .await
    .map_err(failed(READING))?;
    for row in rows {
        steps.insert(grain.step(row.try_get(0).map_err(failed(READING))?));
    }
    Ok(steps)
}

pub(crate) async fn rollups_put(
    store: &PostgresStore,
    site: SiteId,
    groups: &[RollupGroup],
) -> Result<(), StoreError> {
    let mut transaction = store.write(WRITING).await?;
    let connection = &mut *transaction;
    // A concurrent fold would overwrite the rows.
    exclude(connection).await?;
    hold_site(connection, site).await?;
    lock_retention_edges(connection).await?;
    let mut names = Names::default();
    names.use_all(&mut Tables(connection), site, copy::used_by(groups)).await?;
    let rows = copy::rows(groups, &names.route_ids, &names.labels);
    rows::write(connection, site, rows, Stored::Replaced).await?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(WRITING))
}
