//! Reads page views one by one with their contexts.

use crate::error::{damaged, failed};
use crate::query::{bound, count_views, coverage, route_id};
use crate::sql::query as sql;
use crate::{PostgresStore, texts, view};
use fieldvitals_store::dimension::device_code;
use fieldvitals_store::rollup::{From, Grain, Plan};
use fieldvitals_store::scan::{Gather, Scan, ScanQuery, ScanRow, Scanned};
use fieldvitals_store::{SiteId, StoreError, StoredView, Weight};
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use std::collections::HashMap;
use vitals::view::{TtiGap, ViewId};

const READING: &str = "reading page views";

macro_rules! seen {
    ($name:literal, $from:literal) => {
        concat!(
            "/* ",
            $name,
            " */ select v.id, v.weight, v.context, v.tti_gap, ",
            fieldvitals_store::metric_columns!("v."),
            " from ",
            $from,
            " and ($4::bigint is null or v.route_id = $4) \
             and ($5::smallint is null or v.device = $5) and ($6::text is null or v.browser = $6) \
             and ($7::text is null or v.country = $7) and ($8::text is null or v.connection = $8) \
             and ($9::smallint is null or v.navigation_type = $9) and ($10::text is null or v.release = $10) \
             and ($11::smallint is null or v.os = $11)"
        )
    };
}

/// All page views of a range of ids, `$2` to `$3`.
const WHOLE: &str = seen!("view.seen", "page_view v where v.site_id = $1 and v.id >= $2 and v.id < $3");
/// The page views of a small route in windows: `$12` their first ids, `$13` their ends, ascending. The index of the route finds
/// them; those outside of the windows are skipped.
const ROUTE_WINDOWS: &str = seen!(
    "view.seen.route.windows",
    "page_view v where v.site_id = $1 and v.id >= $2 and v.id < $3 \
     and v.id < ($13::uuid[])[width_bucket(v.id, $12::uuid[])]"
);
/// The page views of a site, or of a large route, in windows. The key finds each window.
const WINDOWS: &str = seen!(
    "view.seen.windows",
    "unnest($12::uuid[], $13::uuid[]) w (first, past) cross join lateral (select * from page_view v \
     where v.site_id = $1 and v.id >= $2 and v.id < $3 and v.id >= w.first and v.id < w.past offset 0) v where true"
);

pub(crate) async fn scan(
    store: &PostgresStore,
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
        Some(route) => match route_id(connection, views.site, route).await? {
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
    let statement = match (&scanned.sample, route_id) {
        (None, _) => WHOLE,
        (Some(_), None) => WINDOWS,
        (Some(sample), Some(_)) => {
            let of_site = count_views(connection, views.site, &range, &coverage, None).await?;
            if sample.is_cheaper_by_time(u64::try_from(of_site).unwrap_or(0)) {
                WINDOWS
            } else {
                ROUTE_WINDOWS
            }
        }
    };
    let filters = &views.filters;
    let mut statement = sql(statement)
        .bind(views.site.0)
        .bind(view::first_id(range.start))
        .bind(view::first_id(range.end))
        .bind(route_id)
        .bind(filters.device.map(|device| i16::from(device_code(Some(device)))))
        .bind(filters.browser.as_deref())
        .bind(filters.country.as_deref())
        .bind(filters.connection.as_deref())
        .bind(filters.navigation_type.map(|kind| kind as i16))
        .bind(filters.release.as_deref())
        .bind(filters.os.map(|os| os as i16));
    if scanned.sample.is_some() {
        let windows = scanned.ranges();
        let first: Vec<Uuid> = windows.iter().map(|window| view::first_id(window.start)).collect();
        let past: Vec<Uuid> = windows.iter().map(|window| view::first_id(window.end)).collect();
        statement = statement.bind(first).bind(past);
    }
    let mut rows = statement.fetch(connection);
    let mut scan = Scan::new(query, scanned, texts, gather);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let added = scan.add(&read(&row)?).map_err(|_| damaged(READING, "a page view (context)"))?;
        if added.is_break() {
            break;
        }
    }
    Ok(scan.finish())
}

fn read(row: &PgRow) -> Result<ScanRow<'_>, StoreError> {
    let id = view::read_id(row)?;
    let columns = || {
        let gap: Option<i16> = row.try_get(3)?;
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
    store: &PostgresStore,
    site: SiteId,
    ids: &[ViewId],
) -> Result<Vec<StoredView>, StoreError> {
    let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else { return Ok(Vec::new()) };
    let mut transaction = store.read(READING).await?;
    let rows = sql(view::KNOWN)
        .bind(Some(site.0))
        .bind(vec![site.0; ids.len()])
        .bind(ids.iter().map(|&id| view::uuid(id)).collect::<Vec<Uuid>>())
        .bind(view::uuid(*first))
        .bind(view::uuid(*last))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed(READING))?;
    let texts = texts::of_rows(&mut transaction, site, &rows).await?;
    let views = rows.iter().map(|row| view::read(row, &texts));
    let mut found =
        views.map(|view| view.map(|view| (view.update.id, view))).collect::<Result<HashMap<_, _>, _>>()?;
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}
