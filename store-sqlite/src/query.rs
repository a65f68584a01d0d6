//! Answers queries. Each query reads one snapshot of the store in one short transaction.

use crate::error::{damaged, damaged_rollup, failed};
use crate::{SqliteStore, names, rows, texts, view};
use fieldvitals_store::context::values::StoredFilters;
use fieldvitals_store::dimension::{Code, Labels, NO_VALUE, device_code};
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::limits;
use fieldvitals_store::rollup::{Answer, Coverage, From, Grain, Per, Plan, Selected};
use fieldvitals_store::{
    Cell, CellQuery, Dimension, GroupBy, PeriodRows, RetentionEdges, RouteCell, Selection, SiteId,
    StoreError, StoredView, Total, ValueCell, Weight,
};
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use vitals::metric::{Metrics, Values};
use vitals::view::ViewId;

pub(crate) const READING: &str = "reading a report";

pub(crate) async fn retention_edges(connection: &mut SqliteConnection) -> Result<RetentionEdges, StoreError> {
    let row: Option<(i64, i64, i64, i64)> = sqlx::query_as(
        "/* kept.read */ select views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms from kept \
         where one = 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(failed(READING))?;
    let edges = |(views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms)| RetentionEdges {
        views_from_ms,
        hours_from_ms,
        site_hours_from_ms,
        days_from_ms,
    };
    Ok(row.map_or(RetentionEdges::EVERYTHING, edges))
}

/// The days that a site's rollups cover.
pub(crate) async fn coverage(
    connection: &mut SqliteConnection,
    site: SiteId,
) -> Result<Coverage, StoreError> {
    let retained = retention_edges(&mut *connection).await?;
    let before: Option<i32> = sqlx::query_scalar(
        "/* rollup.lacking.site */ select before_day from rollup_lacking where site_id = ?",
    )
    .bind(site.0)
    .fetch_optional(connection)
    .await
    .map_err(failed(READING))?;
    Ok(before.map_or(Coverage::of(retained), |before| Coverage::lacking(retained, before)))
}

pub(crate) async fn cells(
    store: &SqliteStore,
    query: &CellQuery,
    selection: &Selection,
) -> Result<PeriodRows<RouteCell>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let selected = match selection {
        Selection::All => Selected::all(),
        Selection::Ratings => Selected::ratings(),
        Selection::Routes(routes) => {
            Selected::routes(names::route_ids(&mut transaction, query.site, routes).await?)
        }
    };
    let (period, mut cells) = answer(&mut transaction, query, Per::Route, selected).await?;
    let routes = names::routes(&mut transaction, query.site, cells.keys().copied()).await?;
    let mut rows: Vec<RouteCell> = routes
        .into_iter()
        .filter_map(|(id, route)| Some(RouteCell { route, cell: cells.remove(&id)? }))
        .collect();
    rows.sort_unstable_by(|a, b| a.route.cmp(&b.route));
    Ok(PeriodRows { period, rows })
}

pub(crate) async fn total(store: &SqliteStore, query: &CellQuery) -> Result<Total, StoreError> {
    let mut transaction = store.read(READING).await?;
    let (period, cells) = answer(&mut transaction, query, Per::Total, Selected::all()).await?;
    Ok(Total { period, cell: cells.into_values().next().unwrap_or_default() })
}

pub(crate) async fn breakdown(
    store: &SqliteStore,
    query: &CellQuery,
    by: GroupBy,
) -> Result<PeriodRows<ValueCell>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let (period, cells) = answer(&mut transaction, query, Per::Value(by), Selected::all()).await?;
    let labels = labels_of(&mut transaction, query.site, Some(by)).await?;
    let names = by.dimension().map(|by| labels.names(by)).unwrap_or_default();
    let mut values: BTreeMap<Option<&str>, Cell> = BTreeMap::new();
    for (code, cell) in &cells {
        let code = u16::try_from(*code).unwrap_or(NO_VALUE);
        let name = by.fixed_name(code).or_else(|| names.get(&code).copied());
        values.entry(name).or_default().merge(cell);
    }
    let mut rows: Vec<ValueCell> =
        values.into_iter().map(|(value, cell)| ValueCell { value: value.map(str::to_owned), cell }).collect();
    // Rows with equal counts are already in order, except for the unknown value.
    rows.sort_by_key(|one| (Reverse(one.cell.views), one.value.is_none()));
    Ok(PeriodRows { period, rows })
}

/// The counted period of an answer, and its cells by route id or by code.
async fn answer(
    connection: &mut SqliteConnection,
    query: &CellQuery,
    per: Per,
    selected: Selected,
) -> Result<(Range<i64>, HashMap<i64, Cell>), StoreError> {
    let coverage = coverage(connection, query.site).await?;
    let retained = coverage.edges(query.route.is_none() && per != Per::Route);
    let from = From::question(query, per.by());
    let mut plan = Plan::new(query, from, &retained);
    let route_id = match &query.route {
        None => None,
        Some(route) => match names::route(connection, query.site, route).await? {
            None => return Ok((plan.period, HashMap::default())),
            found => found,
        },
    };
    let labels = names::of_filters(connection, query.site, &query.filters).await?;
    let Some(answer) = Answer::new(query, per, route_id, &labels) else {
        return Ok((plan.period, HashMap::default()));
    };
    let mut answer = answer.with_selected(selected);
    match from {
        From::Rollups(_) => {
            for edge in plan.edges() {
                let mut counts = [0; 2];
                for (range, count) in edge.iter().zip(&mut counts) {
                    *count = count_views(connection, query.site, range, &coverage, route_id).await?;
                }
                plan.count_edge(edge, counts, &retained);
            }
            read_rollups(connection, query.site, &plan, &coverage, &mut answer).await?;
        }
        From::Views => bound(connection, query.site, &plan.period, &coverage, route_id).await?,
    }
    for (range, times) in &plan.scans {
        let count = |_, route_id, code, weight, values: &Values| {
            answer.add_view(route_id, code, weight, values, *times);
        };
        scan(connection, query, range, per.by(), route_id, count).await?;
    }
    Ok((plan.period, answer.finish()))
}

/// The unfolded deltas of a range of hours.
pub(crate) const DELTAS: &str = "/* rollup.delta.read */ select views from rollup_delta \
    where site_id = ?1 and hour_ms >= ?2 and hour_ms < ?3";

/// Adds the rollup rows and deltas that a plan selects.
pub(crate) async fn read_rollups(
    connection: &mut SqliteConnection,
    site: SiteId,
    plan: &Plan,
    coverage: &Coverage,
    answer: &mut Answer,
) -> Result<(), StoreError> {
    for read in plan.reads(answer.scope(), coverage) {
        for (slot, part) in answer.slots() {
            rows::read(connection, site, slot, read.clone(), |_, cells| answer.add_block(part, cells).ok())
                .await?;
        }
    }
    if plan.deltas.is_empty() {
        return Ok(());
    }
    let mut rows =
        sqlx::query(DELTAS).bind(site.0).bind(plan.deltas.start).bind(plan.deltas.end).fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let views: &[u8] = row.try_get(0).map_err(failed(READING))?;
        answer.add_delta(views).map_err(|_| damaged_rollup(READING, "a rollup delta"))?;
    }
    Ok(())
}

/// The page views in a range according to rollups. The range is rounded outwards to stored hours or days.
pub(crate) async fn count_views(
    connection: &mut SqliteConnection,
    site: SiteId,
    range: &Range<i64>,
    coverage: &Coverage,
    route_id: Option<i64>,
) -> Result<i64, StoreError> {
    let query = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site, range.start, range.end) };
    let answer = Answer::new(&query, Per::Total, route_id, &Labels::default());
    let Some(mut answer) = answer else { return Ok(0) };
    let plan = Plan::of_rollups(&query, Dimension::Device, &coverage.edges(route_id.is_none()));
    read_rollups(connection, site, &plan, coverage, &mut answer).await?;
    Ok(answer.total().views)
}

/// Refuses a query that would read too many page views. Rollups give the number.
pub(crate) async fn bound(
    connection: &mut SqliteConnection,
    site: SiteId,
    range: &Range<i64>,
    coverage: &Coverage,
    route_id: Option<i64>,
) -> Result<(), StoreError> {
    let views = count_views(connection, site, range, coverage, route_id).await?;
    let views = u64::try_from(views).unwrap_or(0);
    if views > limits::SCAN_VIEWS_MAX {
        return Err(StoreError::TooManyViews { views, max: limits::SCAN_VIEWS_MAX });
    }
    Ok(())
}

// SQLite has no statistics. By itself it would read the page views of all routes in the order of time. For a route
// with 1 % of the views, that would be 50 times as many rows.
macro_rules! scan {
    ($name:literal, $views:literal, $route:literal) => {
        concat!(
            "/* ",
            $name,
            " */ select v.route_id, case ?11 \
             when 0 then v.device when 1 then v.browser when 2 then v.country when 3 then v.connection \
             when 4 then v.navigation_type + 1 when 5 then v.release when 6 then v.os + 1 end, v.weight, v.id, \
             case when ?13 then v.context end, ",
            fieldvitals_store::metric_columns!("v."),
            " from ",
            $views,
            " where v.site_id = ?1 and v.id >= ?2 and v.id < ?3 and ",
            $route,
            " and (?5 is null or v.device = ?5) and (?6 is null or v.browser = ?6) \
             and (?7 is null or v.country = ?7) and (?8 is null or v.connection = ?8) \
             and (?9 is null or v.navigation_type = ?9) and (?10 is null or v.release = ?10) \
             and (?12 is null or v.os = ?12)"
        )
    };
}

/// The page views of a site in a range of ids.
pub(crate) const SCAN: &str = scan!("view.scan", "page_view v", "?4 is null");
/// Those of one route.
pub(crate) const SCAN_ROUTE: &str =
    scan!("view.scan.route", "page_view v indexed by page_view_route", "v.route_id = ?4");

/// Passes the page views of a range that match a query to `count`: start, route, code of the value of `by`, weight, and
/// values.
pub(crate) async fn scan(
    connection: &mut SqliteConnection,
    query: &CellQuery,
    range: &Range<i64>,
    by: Option<GroupBy>,
    route_id: Option<i64>,
    mut count: impl FnMut(i64, i64, Code, Weight, &Values),
) -> Result<(), StoreError> {
    let labels = labels_of(connection, query.site, by).await?;
    let sql = if route_id.is_some() { SCAN_ROUTE } else { SCAN };
    let filters = &query.filters;
    let stored = stored_filters(connection, query, range).await?;
    let mut rows = sqlx::query(sql)
        .bind(query.site.0)
        .bind(view::first_id(range.start))
        .bind(view::first_id(range.end))
        .bind(route_id)
        .bind(filters.device.map(|device| device_code(Some(device))))
        .bind(filters.browser.as_deref())
        .bind(filters.country.as_deref())
        .bind(filters.connection.as_deref())
        .bind(filters.navigation_type.map(|kind| kind as i64))
        .bind(filters.release.as_deref())
        .bind(by.map(GroupBy::number))
        .bind(filters.os.map(|os| os as i64))
        .bind(!filters.context.is_empty())
        .fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let start_ms = view::start_ms(&row, 3).map_err(failed(READING))?;
        if !filters.context.is_empty() && !has_context(&row, 4, start_ms, &stored)? {
            continue;
        }
        let route_id: i64 = row.try_get(0).map_err(failed(READING))?;
        let code = code(&row, by, &labels).map_err(failed(READING))?;
        let weight = Weight::from_stored(row.try_get(2).map_err(failed(READING))?);
        count(start_ms, route_id, code, weight, &view::values(&row, 5).map_err(failed(READING))?);
    }
    Ok(())
}

/// The filters of the context, with the texts of their days.
pub(crate) async fn stored_filters<'a>(
    connection: &mut SqliteConnection,
    query: &'a CellQuery,
    range: &Range<i64>,
) -> Result<StoredFilters<'a>, StoreError> {
    if query.filters.context.is_empty() {
        return Ok(StoredFilters::default());
    }
    let days = Grain::Day.step(range.start)..Grain::Day.step(range.end).saturating_add(1);
    let names = texts::of_days(connection, query.site, days).await?;
    Ok(StoredFilters::new(&query.filters.context, names))
}

/// Whether the filters of the context select a scanned page view; `column` is that of its context.
pub(crate) fn has_context(
    row: &SqliteRow,
    column: usize,
    start_ms: i64,
    stored: &StoredFilters<'_>,
) -> Result<bool, StoreError> {
    let context: Option<&[u8]> = row.try_get(column).map_err(failed(READING))?;
    let taken = stored.take_encoded(Grain::Day.step(start_ms), context);
    taken.map_err(|_| damaged(READING, "a page view (context)"))
}

/// The labels of a breakdown's values, if the values are texts.
pub(crate) async fn labels_of(
    connection: &mut SqliteConnection,
    site: SiteId,
    by: Option<GroupBy>,
) -> Result<Labels, StoreError> {
    match by.and_then(GroupBy::dimension) {
        Some(dimension) => names::all_labels(connection, site, Some(dimension)).await,
        None => Ok(Labels::default()),
    }
}

/// The code of a breakdown's value in a scanned page view.
fn code(row: &SqliteRow, by: Option<GroupBy>, labels: &Labels) -> Result<u16, sqlx::Error> {
    let code = match by {
        None => None,
        Some(GroupBy::Rolled(by)) if by.labels_max() > 0 => {
            row.try_get::<Option<&str>, _>(1)?.and_then(|label| labels.code(by, label))
        }
        Some(_) => row.try_get(1)?,
    };
    Ok(code.unwrap_or(NO_VALUE))
}

pub(crate) async fn routes(
    store: &SqliteStore,
    site: SiteId,
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<String>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let from_ms = from_ms.max(retention_edges(&mut transaction).await?.views_from_ms);
    sqlx::query_scalar(
        "/* route.seen */ select r.route from route r where r.site_id = ?1 and exists (select 1 \
         from page_view v where v.site_id = ?1 and v.route_id = r.route_id and v.id >= ?2 and v.id < ?3) \
         order by r.route",
    )
    .bind(site.0)
    .bind(view::first_id(from_ms))
    .bind(view::first_id(to_ms))
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(READING))
}

pub(crate) async fn route_names(store: &SqliteStore, site: SiteId) -> Result<Vec<String>, StoreError> {
    let mut transaction = store.read(READING).await?;
    sqlx::query_scalar("/* route.all */ select route from route where site_id = ?1 order by route")
        .bind(site.0)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed(READING))
}

pub(crate) async fn view(
    store: &SqliteStore,
    site: SiteId,
    id: ViewId,
) -> Result<Option<StoredView>, StoreError> {
    let mut transaction = store.read(READING).await?;
    if id.start_ms() < retention_edges(&mut transaction).await?.views_from_ms {
        return Ok(None);
    }
    let row = sqlx::query(concat!(
        "/* view.read */ select ",
        view::columns!(),
        " from page_view v join route r on r.site_id = v.site_id and r.route_id = v.route_id \
         where v.site_id = ? and v.id = ?"
    ))
    .bind(site.0)
    .bind(id.as_bytes().as_slice())
    .fetch_optional(&mut *transaction)
    .await
    .map_err(failed(READING))?;
    let Some(row) = row else { return Ok(None) };
    let texts = texts::of_rows(&mut transaction, site, std::slice::from_ref(&row)).await?;
    view::read(&row, Some(&texts)).map(Some)
}
