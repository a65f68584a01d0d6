//! Compares rollups with page views, and rebuilds rollups from page views.

use crate::error::failed;
use crate::locks::hold_site;
use crate::maintain::{REMOVE_BLOCKS_MAX, exclude};
use crate::sql::{self, query};
use crate::{PostgresStore, names, query as questions, rows, version, view};
use fieldvitals_store::dimension::Labels;
use fieldvitals_store::limits;
use fieldvitals_store::rollup::{
    Counted, DAY_MS, Difference, Fold, Grain, Row, RowKey, Stored, add_rows, day_of, differences,
    steps_of_day,
};
use fieldvitals_store::{Rebuilt, RetentionEdges, SiteId, StoreError};
use futures_util::TryStreamExt;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use std::collections::BTreeMap;
use std::ops::Range;

const VERIFYING: &str = "verifying rollups";
const REBUILDING: &str = "rebuilding rollups";

pub(crate) async fn view_days(store: &PostgresStore, site: SiteId) -> Result<Vec<i64>, StoreError> {
    let mut transaction = store.read(VERIFYING).await?;
    let retained = questions::retention_edges(&mut transaction).await?;
    let rows =
        query("/* view.days.kept */ select day from page_view_days() day where day >= $1 order by day")
            .bind(retained.views_from_ms)
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed(VERIFYING))?;
    let mut days = Vec::new();
    for row in rows {
        let day_ms: i64 = row.try_get(0).map_err(failed(VERIFYING))?;
        let any: bool = query(
            "/* view.day.any */ select exists (select 1 from page_view where site_id = $1 \
             and id >= $2 and id < $3)",
        )
        .bind(site.0)
        .bind(view::first_id(day_ms))
        .bind(view::first_id(day_ms.saturating_add(DAY_MS)))
        .fetch_one(&mut *transaction)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed(VERIFYING))?;
        if any {
            days.push(day_ms);
        }
    }
    Ok(days)
}

/// The start and the end of a UTC day.
fn day(day_ms: i64) -> Range<i64> {
    let day_ms = day_of(day_ms);
    day_ms..day_ms.saturating_add(DAY_MS)
}

/// Returns the steps of a day within retention, for each grain.
fn steps(day_ms: i64, retained: &RetentionEdges) -> impl Iterator<Item = (Grain, Range<i32>)> {
    [(Grain::Hour, retained.site_hours_from_ms), (Grain::Day, retained.days_from_ms)]
        .into_iter()
        .filter(move |&(_, from_ms)| day_ms >= from_ms)
        .map(move |(grain, _)| (grain, steps_of_day(grain, day_ms)))
}

/// Counts the page views of a day. Returns the rows, and the number of page views.
async fn expected(
    connection: &mut PgConnection,
    site: SiteId,
    day: Range<i64>,
    labels: &Labels,
    retained: &RetentionEdges,
) -> Result<(BTreeMap<RowKey, Row>, u64), StoreError> {
    let (mut rows, mut views) = (BTreeMap::new(), 0);
    let mut fold = Fold::default();
    let mut found = query(view::COUNTED)
        .bind(site.0)
        .bind(view::first_id(day.start))
        .bind(view::first_id(day.end))
        .fetch(connection);
    while let Some(row) = found.try_next().await.map_err(failed(VERIFYING))? {
        let (route_id, view) = view::read_counted(&row)?;
        let counted = Counted::new(&view, route_id, labels.codes(&view), 1);
        fold.add(view.id.start_ms(), &counted, retained);
        views += 1;
        // A fold holds the values of every view.
        if fold.views() >= limits::FOLD_VIEWS_MAX {
            add_rows(&mut rows, std::mem::take(&mut fold).rows());
        }
    }
    add_rows(&mut rows, fold.rows());
    Ok((rows, views))
}

pub(crate) async fn verify_day(
    store: &PostgresStore,
    site: SiteId,
    day_ms: i64,
) -> Result<Vec<Difference>, StoreError> {
    let mut transaction = store.begin(VERIFYING, sql::VERIFY).await?;
    let connection = &mut *transaction;
    let coverage = questions::coverage(connection, site).await?;
    let (retained, day) = (coverage.retained, day(day_ms));
    if day.start < retained.views_from_ms {
        return Ok(Vec::new());
    }
    let labels = names::labels(connection, site).await?;
    let (mut expected, _) = expected(connection, site, day.clone(), &labels, &retained).await?;
    let mut stored = rows::fold_deltas(connection, site, day.clone(), &retained).await?;
    for steps in steps(day.start, &retained) {
        rows::read_steps(connection, site, steps, &mut stored).await?;
    }
    for rows in [&mut stored, &mut expected] {
        rows.retain(|key, _| coverage.covers(key));
    }
    let mut found = differences(&stored, &expected);
    if !found.is_empty() {
        let routes = names::routes(connection, site).await?;
        for difference in &mut found {
            difference.route = difference.key.route_id.and_then(|id| routes.get(&id).cloned());
        }
    }
    Ok(found)
}

pub(crate) async fn rebuild_day(
    store: &PostgresStore,
    site: SiteId,
    day_ms: i64,
) -> Result<Rebuilt, StoreError> {
    let mut transaction = store.begin(REBUILDING, sql::REBUILD).await?;
    let connection = &mut *transaction;
    // Loads continue. Their deltas are not visible here; they remain, and are folded later.
    exclude(connection).await?;
    hold_site(connection, site).await?;
    let retained = questions::retention_edges(connection).await?;
    let day = day(day_ms);
    if day.start < retained.views_from_ms {
        return Ok(Rebuilt::default());
    }
    let labels = names::labels(connection, site).await?;
    let (rows, views) = expected(connection, site, day.clone(), &labels, &retained).await?;
    query(
        "/* rollup.delta.rebuilt */ delete from rollup_delta \
         where site_id = $1 and hour_ms >= $2 and hour_ms < $3",
    )
    .bind(site.0)
    .bind(day.start)
    .bind(day.end)
    .execute(&mut *connection)
    .await
    .map_err(failed(REBUILDING))?;
    for steps in steps(day.start, &retained) {
        let (grain, steps) = steps;
        while rows::remove_steps(connection, site, (grain, steps.clone(), None), REMOVE_BLOCKS_MAX).await?
            >= REMOVE_BLOCKS_MAX as u64
        {}
    }
    let rebuilt = Rebuilt { views, rows: rows.len() as u64 };
    rows::write(connection, site, rows, Stored::Replaced).await?;
    transaction.commit().await.map_err(failed(REBUILDING))?;
    // In a transaction of its own: others may have counted since this one's snapshot, which would end it.
    let mut transaction = store.write(REBUILDING).await?;
    version::count_change(&mut transaction, site).await?;
    transaction.commit().await.map_err(failed(REBUILDING))?;
    Ok(rebuilt)
}
