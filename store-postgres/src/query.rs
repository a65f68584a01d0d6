//! Questions: each is answered from one state of the store, in one short transaction.

use crate::error::{damaged, failed};
use crate::sql::query as sql;
use crate::{PostgresStore, names, rows, texts, view};
use fieldvitals_store::context::values::StoredFilters;
use fieldvitals_store::dimension::{Code, Labels, NO_VALUE, device_code, label_code};
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::limits;
use fieldvitals_store::rollup::{Answer, Coverage, From, Grain, Per, Plan, from_slot};
use fieldvitals_store::{
    Cell, CellQuery, Dimension, GroupBy, PeriodRows, RetentionEdges, RouteCell, SiteId, StoreError,
    StoredView, Total, ValueCell, Weight,
};
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use std::cmp::Reverse;
use std::ops::Range;
use vitals::histogram::EncodingError;
use vitals::metric::{Metrics, Values};
use vitals::view::ViewId;

pub(crate) const READING: &str = "reading a report";

pub(crate) async fn retention_edges(connection: &mut PgConnection) -> Result<RetentionEdges, StoreError> {
    let row = sql(
        "/* kept.read */ select views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms from kept \
             where one = 1",
    )
    .fetch_one(connection)
    .await
    .map_err(failed(READING))?;
    retained(&row)
}

/// What is kept, from a row of its four columns.
pub(crate) fn retained(row: &PgRow) -> Result<RetentionEdges, StoreError> {
    let edge = |place: usize| row.try_get(place).map_err(failed(READING));
    Ok(RetentionEdges {
        views_from_ms: edge(0)?,
        hours_from_ms: edge(1)?,
        site_hours_from_ms: edge(2)?,
        days_from_ms: edge(3)?,
    })
}

/// The days that a site's rollups cover.
pub(crate) async fn coverage(connection: &mut PgConnection, site: SiteId) -> Result<Coverage, StoreError> {
    let row =
        sql("/* kept.coverage */ select views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms, \
         (select before_day from rollup_lacking where site_id = $1) from kept where one = 1")
        .bind(site.0)
        .fetch_one(connection)
        .await
        .map_err(failed(READING))?;
    let retained = retained(&row)?;
    let before: Option<i32> = row.try_get(4).map_err(failed(READING))?;
    Ok(before.map_or(Coverage::of(retained), |before| Coverage::lacking(retained, before)))
}

pub(crate) async fn cells(
    store: &PostgresStore,
    query: &CellQuery,
) -> Result<PeriodRows<RouteCell>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let labels = labels_of_filters(connection, query).await?;
    let (period, cells) = answer(connection, query, Per::Route, &labels).await?;
    Ok(PeriodRows { period, rows: name(connection, query.site, cells).await? })
}

pub(crate) async fn total(store: &PostgresStore, query: &CellQuery) -> Result<Total, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let labels = labels_of_filters(connection, query).await?;
    let (period, cells) = answer(connection, query, Per::Total, &labels).await?;
    Ok(Total { period, cell: cells.into_values().next().unwrap_or_default() })
}

/// The labels that the filters of a question need.
pub(crate) async fn labels_of_filters(
    connection: &mut PgConnection,
    query: &CellQuery,
) -> Result<Labels, StoreError> {
    if query.filters.dimensions().next().is_none() {
        return Ok(Labels::default());
    }
    names::labels(connection, query.site).await
}

pub(crate) async fn breakdown(
    store: &PostgresStore,
    query: &CellQuery,
    by: GroupBy,
) -> Result<PeriodRows<ValueCell>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let labels = names::labels(connection, query.site).await?;
    let (period, cells) = answer(connection, query, Per::Value(by), &labels).await?;
    let names = by.dimension().map(|by| labels.names(by)).unwrap_or_default();
    let named = cells.into_iter().map(|(code, cell)| {
        let known = |code| by.fixed_name(code).or_else(|| names.get(&code).copied());
        ValueCell { value: u16::try_from(code).ok().and_then(known).map(str::to_owned), cell }
    });
    let mut rows: Vec<ValueCell> = named.collect();
    rows.sort_by(|a, b| {
        let key = |one: &ValueCell| (Reverse(one.cell.views), one.value.is_none());
        key(a).cmp(&key(b)).then_with(|| a.value.cmp(&b.value))
    });
    Ok(PeriodRows { period, rows })
}

/// The period that an answer counts, and its cells, by route id, or by the code of a value.
async fn answer(
    connection: &mut PgConnection,
    query: &CellQuery,
    per: Per,
    labels: &Labels,
) -> Result<(Range<i64>, HashMap<i64, Cell>), StoreError> {
    let coverage = coverage(connection, query.site).await?;
    let retained = coverage.edges(query.route.is_none() && per != Per::Route);
    let from = From::question(query, per.by());
    let mut plan = Plan::new(query, from, &retained);
    let route_id = match &query.route {
        None => None,
        Some(route) => match route_id(connection, query.site, route).await? {
            None => return Ok((plan.period, HashMap::default())),
            found => found,
        },
    };
    let Some(mut answer) = Answer::new(query, per, route_id, labels) else {
        return Ok((plan.period, HashMap::default()));
    };
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
        read_views(connection, query, range, route_id, (per.by(), labels), count).await?;
    }
    Ok((plan.period, answer.finish()))
}

/// Refuses a question that would read too many page views, by what rollups say of its hours.
pub(crate) async fn bound(
    connection: &mut PgConnection,
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

/// How many page views rollups count in a range, rounded outwards to the hours or days that are kept.
pub(crate) async fn count_views(
    connection: &mut PgConnection,
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

pub(crate) async fn route_id(
    connection: &mut PgConnection,
    site: SiteId,
    route: &str,
) -> Result<Option<i64>, StoreError> {
    sql("/* route.id */ select route_id from route where site_id = $1 and route = $2")
        .bind(site.0)
        .bind(route)
        .fetch_optional(connection)
        .await
        .and_then(|row| row.map(|row| row.try_get(0)).transpose())
        .map_err(failed(READING))
}

/// Adds the rows and deltas that a plan takes.
pub(crate) async fn read_rollups(
    connection: &mut PgConnection,
    site: SiteId,
    plan: &Plan,
    coverage: &Coverage,
    answer: &mut Answer,
) -> Result<(), StoreError> {
    let slots: Vec<i16> = answer.slots().map(|(slot, _)| slot).collect();
    for read in plan.reads(answer.scope(), coverage) {
        rows::read(connection, site, &slots, read, |key, cells| {
            let (_, part) = from_slot(key.slot).ok_or(EncodingError)?;
            answer.add_block(part, cells)
        })
        .await?;
    }
    if plan.deltas.is_empty() {
        return Ok(());
    }
    rows::read_deltas(connection, site, plan.deltas.clone(), |_, views| answer.add_delta(views)).await
}

/// Passes the page views of a range that match a question to `count`: start, route, code of the value of `by`, weight,
/// and values.
pub(crate) async fn read_views(
    connection: &mut PgConnection,
    query: &CellQuery,
    range: &Range<i64>,
    route_id: Option<i64>,
    (by, labels): (Option<GroupBy>, &Labels),
    mut count: impl FnMut(i64, i64, Code, Weight, &Values),
) -> Result<(), StoreError> {
    let by = by.unwrap_or(GroupBy::Rolled(Dimension::Device));
    let filters = &query.filters;
    let stored = stored_filters(connection, query, range).await?;
    let mut rows = sql(concat!(
        "/* view.scan */ select route_id, ",
        fieldvitals_store::metric_columns!(""),
        ", \
         (case $11::smallint when 0 then device when 4 then navigation_type + 1 when 6 then os + 1 \
         end)::smallint, \
         case $11::smallint when 1 then browser when 2 then country when 3 then connection \
         when 5 then release end, weight, id, case when $13 then context end from page_view \
         where site_id = $1 and id >= $2 and id < $3 and ($4::bigint is null or route_id = $4) \
         and ($5::smallint is null or device = $5) and ($6::text is null or browser = $6) \
         and ($7::text is null or country = $7) and ($8::text is null or connection = $8) \
         and ($9::smallint is null or navigation_type = $9) and ($10::text is null or release = $10) \
         and ($12::smallint is null or os = $12)"
    ))
    .bind(query.site.0)
    .bind(view::first_id(range.start))
    .bind(view::first_id(range.end))
    .bind(route_id)
    .bind(filters.device.map(|device| i16::from(device_code(Some(device)))))
    .bind(filters.browser.as_deref())
    .bind(filters.country.as_deref())
    .bind(filters.connection.as_deref())
    .bind(filters.navigation_type.map(|kind| kind as i16))
    .bind(filters.release.as_deref())
    .bind(i16::from(by.number()))
    .bind(filters.os.map(|os| os as i16))
    .bind(!filters.context.is_empty())
    .fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let start_ms = view::start_ms(&row, 11).map_err(failed(READING))?;
        if !filters.context.is_empty() && !has_context(&row, 12, start_ms, &stored)? {
            continue;
        }
        let columns = || {
            let label: Option<&str> = row.try_get(9)?;
            let number: Option<i16> = row.try_get(8)?;
            let weight = Weight::from_stored(row.try_get(10)?);
            Ok((row.try_get(0)?, view::values(&row, 1)?, number, label, weight))
        };
        let (route_id, values, number, label, weight) = columns().map_err(failed(READING))?;
        let code = match (by, label) {
            (GroupBy::Rolled(by), Some(label)) => {
                labels.code(by, label).unwrap_or_else(|| label_code(label, 0))
            }
            _ => number.and_then(|number| u16::try_from(number).ok()).unwrap_or(NO_VALUE),
        };
        count(start_ms, route_id, code, weight, &values);
    }
    Ok(())
}

/// The filters of the context, with the texts of their days.
pub(crate) async fn stored_filters<'a>(
    connection: &mut PgConnection,
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
    row: &PgRow,
    column: usize,
    start_ms: i64,
    stored: &StoredFilters<'_>,
) -> Result<bool, StoreError> {
    let context: Option<&[u8]> = row.try_get(column).map_err(failed(READING))?;
    let taken = stored.take_encoded(Grain::Day.step(start_ms), context);
    taken.map_err(|_| damaged(READING, "a page view (context)"))
}

/// Puts the routes' texts to their cells.
async fn name(
    connection: &mut PgConnection,
    site: SiteId,
    mut cells: HashMap<i64, Cell>,
) -> Result<Vec<RouteCell>, StoreError> {
    if cells.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = cells.keys().copied().collect();
    let rows =
        sql("/* route.names */ select route_id, route from route where site_id = $1 and route_id = any($2)")
            .bind(site.0)
            .bind(ids)
            .fetch_all(connection)
            .await
            .map_err(failed(READING))?;
    let mut named = Vec::with_capacity(rows.len());
    for row in rows {
        let route_id: i64 = row.try_get(0).map_err(failed(READING))?;
        let route = row.try_get(1).map_err(failed(READING))?;
        named.extend(cells.remove(&route_id).map(|cell| RouteCell { route, cell }));
    }
    named.sort_unstable_by(|a, b| a.route.cmp(&b.route));
    Ok(named)
}
pub(crate) async fn routes(
    store: &PostgresStore,
    site: SiteId,
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<String>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let from_ms = from_ms.max(retention_edges(&mut transaction).await?.views_from_ms);
    let rows = sql("/* route.seen */ select r.route from route r where r.site_id = $1 and exists (select 1 \
         from page_view v where v.site_id = $1 and v.route_id = r.route_id and v.id >= $2 and v.id < $3) \
         order by r.route")
    .bind(site.0)
    .bind(view::first_id(from_ms))
    .bind(view::first_id(to_ms))
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(READING))?;
    rows.iter().map(|row| row.try_get(0).map_err(failed(READING))).collect()
}

pub(crate) async fn route_names(store: &PostgresStore, site: SiteId) -> Result<Vec<String>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let rows = sql("/* route.all */ select route from route where site_id = $1 order by route collate \"C\"")
        .bind(site.0)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed(READING))?;
    rows.iter().map(|row| row.try_get(0).map_err(failed(READING))).collect()
}

pub(crate) async fn view(
    store: &PostgresStore,
    site: SiteId,
    id: ViewId,
) -> Result<Option<StoredView>, StoreError> {
    let mut transaction = store.read(READING).await?;
    if id.start_ms() < retention_edges(&mut transaction).await?.views_from_ms {
        return Ok(None);
    }
    let row = sql(view::ONE)
        .bind(site.0)
        .bind(view::uuid(id))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed(READING))?;
    let Some(row) = row else { return Ok(None) };
    let texts = texts::of_rows(&mut transaction, site, std::slice::from_ref(&row)).await?;
    view::read(&row, &texts).map(Some)
}
