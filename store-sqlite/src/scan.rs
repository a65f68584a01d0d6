//! Reads page views one by one with their contexts.

use crate::error::{damaged, failed};
use crate::names::json;
use crate::query::{bound, count_views, coverage};
use crate::{SqliteStore, names, texts, view};
use fieldvitals_store::dimension::device_code;
use fieldvitals_store::rollup::{From, Grain, Plan};
use fieldvitals_store::scan::{Gather, Scan, ScanQuery, ScanRow, Scanned};
use fieldvitals_store::{SiteId, StoreError, StoredView, Weight};
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::collections::HashMap;
use std::ops::Range;
use vitals::view::{TtiGap, ViewId};

const READING: &str = "reading page views";

macro_rules! seen {
    ($name:literal, $views:literal, $route:literal) => {
        concat!(
            "/* ",
            $name,
            " */ select v.id, v.weight, v.context, v.tti_gap, ",
            fieldvitals_store::metric_columns!("v."),
            " from json_each(?2) w cross join ",
            $views,
            " where v.site_id = ?1 and v.id >= unhex(w.value ->> 0) and v.id < unhex(w.value ->> 1) and ",
            $route,
            " and (?4 is null or v.device = ?4) and (?5 is null or v.browser = ?5) \
             and (?6 is null or v.country = ?6) and (?7 is null or v.connection = ?7) \
             and (?8 is null or v.navigation_type = ?8) and (?9 is null or v.release = ?9) \
             and (?10 is null or v.os = ?10)"
        )
    };
}

pub(crate) async fn scan(
    store: &SqliteStore,
    query: &ScanQuery,
    gather: &mut dyn Gather,
) -> Result<Scanned, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let views = &query.views;
    let coverage = coverage(connection, views.site).await?;
    let range = Plan::new(views, From::Views, &coverage.retained).period;
    let nothing = Scanned { period: range.clone(), sample: None };
    if range.is_empty() {
        return Ok(nothing);
    }
    let route_id = match &views.route {
        None => None,
        Some(route) => match names::route(connection, views.site, route).await? {
            None => return Ok(nothing),
            found => found,
        },
    };
    let scanned = match query.views_max {
        None => {
            bound(connection, views.site, &range, &coverage, route_id).await?;
            nothing
        }
        Some(max) => {
            let counted = count_views(connection, views.site, &range, &coverage, route_id).await?;
            Scanned::plan(range.clone(), u64::try_from(counted).unwrap_or(0), max)
        }
    };
    let days = Grain::Day.step(range.start)..Grain::Day.step(range.end).saturating_add(1);
    let texts = texts::of_days(connection, views.site, days).await?;
    let windows = windows(&scanned);
    let sql = match route_id {
        Some(_) => seen!("view.seen.route", "page_view v indexed by page_view_route", "v.route_id = ?3"),
        None => seen!("view.seen", "page_view v", "?3 is null"),
    };
    let filters = &views.filters;
    let mut rows = sqlx::query(sql)
        .bind(views.site.0)
        .bind(json(&windows)?)
        .bind(route_id)
        .bind(filters.device.map(|device| device_code(Some(device))))
        .bind(filters.browser.as_deref())
        .bind(filters.country.as_deref())
        .bind(filters.connection.as_deref())
        .bind(filters.navigation_type.map(|kind| kind as i64))
        .bind(filters.release.as_deref())
        .bind(filters.os.map(|os| os as i64))
        .fetch(connection);
    let mut scan = Scan::new(query, scanned, texts, gather);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let added = scan.add(&read(&row)?).map_err(|_| damaged(READING, "a page view (context)"))?;
        if added.is_break() {
            break;
        }
    }
    Ok(scan.finish())
}

/// The first ids of the ranges to read and their ends, as hexadecimal digits.
pub(crate) fn windows(scanned: &Scanned) -> Vec<[String; 2]> {
    let ids = |range: &Range<i64>| [range.start, range.end].map(|at_ms| hex(&view::first_id(at_ms)));
    scanned.ranges().iter().map(ids).collect()
}

fn read(row: &SqliteRow) -> Result<ScanRow<'_>, StoreError> {
    let id = view::read_id(row)?;
    let columns = || {
        let gap: Option<u32> = row.try_get(3)?;
        Ok(ScanRow {
            id,
            weight: Weight::from_stored(row.try_get(1)?),
            context: row.try_get(2)?,
            tti_gap: gap.and_then(|gap| TtiGap::from_number(u8::try_from(gap).ok()?)),
            values: view::values(row, 4)?,
        })
    };
    columns().map_err(failed(READING))
}

pub(crate) async fn views_of(
    store: &SqliteStore,
    site: SiteId,
    ids: &[ViewId],
) -> Result<Vec<StoredView>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let asked: Vec<String> = ids.iter().map(|id| hex(id.as_bytes())).collect();
    let rows = sqlx::query(concat!(
        "/* view.some */ select ",
        view::columns!(),
        " from json_each(?2) j cross join page_view v on v.site_id = ?1 and v.id = unhex(j.value) \
         cross join route r on r.site_id = v.site_id and r.route_id = v.route_id"
    ))
    .bind(site.0)
    .bind(json(&asked)?)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(READING))?;
    let texts = texts::of_rows(&mut transaction, site, &rows).await?;
    let views = rows.iter().map(|row| view::read(row, Some(&texts)));
    let mut found =
        views.map(|view| view.map(|view| (view.update.id, view))).collect::<Result<HashMap<_, _>, _>>()?;
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
