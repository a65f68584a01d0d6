//! Questions: each is answered from one state of the store, in one short transaction.

use crate::error::{damaged, failed};
use crate::facts::{self, Facts, retained};
use crate::rows::{self, Found};
use crate::sql::query as sql;
use crate::{PostgresStore, texts, view};
use fieldvitals_store::context::values::StoredFilters;
use fieldvitals_store::dimension::{Code, Labels, NO_VALUE, device_code, label_code};
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::limits;
use fieldvitals_store::rollup::{Answer, Coverage, From, Grain, Per, Plan, Read, Selected, from_slot};
use fieldvitals_store::{
    Cell, CellQuery, Dimension, GroupBy, PeriodRows, RetentionEdges, RouteCell, Selection, SiteId,
    StoreError, StoredView, Total, ValueCell, Weight,
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

/// The days that a site's rollups cover.
pub(crate) async fn coverage(connection: &mut PgConnection, site: SiteId) -> Result<Coverage, StoreError> {
    let row = sql(facts::COVERAGE).bind(site.0).fetch_one(connection).await.map_err(failed(READING))?;
    facts::coverage(&row)
}

pub(crate) async fn cells(
    store: &PostgresStore,
    query: &CellQuery,
    selection: &Selection,
) -> Result<PeriodRows<RouteCell>, StoreError> {
    let (mut transaction, mut facts) = facts::begin(store, query, Per::Route).await?;
    let selected = match selection {
        Selection::All => Selected::all(),
        Selection::Ratings => Selected::ratings(),
        Selection::Routes(routes) => {
            let known = facts.routes.iter().filter(|(_, route)| routes.contains(*route));
            Selected::routes(known.map(|(id, _)| *id))
        }
    };
    let (period, cells) = answer(&mut transaction, query, (Per::Route, selected), &facts).await?;
    let name = |(id, cell)| Some(RouteCell { route: facts.routes.remove(&id)?, cell });
    let mut rows: Vec<RouteCell> = cells.into_iter().filter_map(name).collect();
    rows.sort_unstable_by(|a, b| a.route.cmp(&b.route));
    Ok(PeriodRows { period, rows })
}

pub(crate) async fn total(store: &PostgresStore, query: &CellQuery) -> Result<Total, StoreError> {
    let (mut transaction, facts) = facts::begin(store, query, Per::Total).await?;
    let (period, cells) = answer(&mut transaction, query, (Per::Total, Selected::all()), &facts).await?;
    Ok(Total { period, cell: cells.into_values().next().unwrap_or_default() })
}

pub(crate) async fn breakdown(
    store: &PostgresStore,
    query: &CellQuery,
    by: GroupBy,
) -> Result<PeriodRows<ValueCell>, StoreError> {
    let (mut transaction, facts) = facts::begin(store, query, Per::Value(by)).await?;
    let (period, cells) = answer(&mut transaction, query, (Per::Value(by), Selected::all()), &facts).await?;
    let names = by.dimension().map(|by| facts.labels.names(by)).unwrap_or_default();
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
    (per, selected): (Per, Selected),
    facts: &Facts,
) -> Result<(Range<i64>, HashMap<i64, Cell>), StoreError> {
    let (coverage, labels) = (&facts.coverage, &facts.labels);
    let retained = coverage.edges(query.route.is_none() && per != Per::Route);
    let from = From::question(query, per.by());
    let mut plan = Plan::new(query, from, &retained);
    let route_id = facts.route_id(query);
    if query.route.is_some() && route_id.is_none() {
        return Ok((plan.period, HashMap::default()));
    }
    let Some(answer) = Answer::new(query, per, route_id, labels) else {
        return Ok((plan.period, HashMap::default()));
    };
    let mut answer = answer.with_selected(selected);
    match from {
        From::Rollups(_) => {
            let edges = plan.edges();
            let counts = count_each(connection, query.site, &edges.concat(), coverage, route_id).await?;
            for (edge, counts) in edges.into_iter().zip(counts.chunks_exact(2)) {
                plan.count_edge(edge, [counts[0], counts[1]], &retained);
            }
            read_rollups(connection, query.site, &plan, coverage, &mut answer).await?;
        }
        From::Views => bound(connection, query.site, &plan.period, coverage, route_id).await?,
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
    let ranges = std::slice::from_ref(range);
    Ok(count_each(connection, site, ranges, coverage, route_id).await?.into_iter().sum())
}

/// Counts the page views of several ranges, with one statement.
async fn count_each(
    connection: &mut PgConnection,
    site: SiteId,
    ranges: &[Range<i64>],
    coverage: &Coverage,
    route_id: Option<i64>,
) -> Result<Vec<i64>, StoreError> {
    let retained = coverage.edges(route_id.is_none());
    let mut parts = Vec::new();
    for range in ranges {
        let query = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site, range.start, range.end) };
        let plan = Plan::of_rollups(&query, Dimension::Device, &retained);
        // There is an answer, because the query has no filter.
        parts.extend(
            Answer::new(&query, Per::Total, route_id, &Labels::default()).map(|answer| (plan, answer)),
        );
    }
    let mut borrowed: Vec<_> = parts.iter_mut().map(|(plan, answer)| (&*plan, answer)).collect();
    read_rollups_of(connection, site, &mut borrowed, coverage).await?;
    Ok(parts.into_iter().map(|(_, answer)| answer.total().views).collect())
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
    read_rollups_of(connection, site, &mut [(plan, answer)], coverage).await
}

/// Adds the rows and deltas that plans take to their answers, which are of the same slots and scope, with one statement.
async fn read_rollups_of(
    connection: &mut PgConnection,
    site: SiteId,
    parts: &mut [(&Plan, &mut Answer)],
    coverage: &Coverage,
) -> Result<(), StoreError> {
    let Some((_, answer)) = parts.first() else { return Ok(()) };
    let slots: Vec<i16> = answer.slots().map(|(slot, _)| slot).collect();
    let scope = answer.scope();
    let of_parts: Vec<Vec<Read>> = parts.iter().map(|(plan, _)| plan.reads(scope, coverage)).collect();
    let mut reads: Vec<Read> = Vec::new();
    for read in of_parts.iter().flatten() {
        if !reads.contains(read) {
            reads.push(read.clone());
        }
    }
    let deltas = parts.iter().map(|(plan, _)| plan.deltas.clone()).filter(|deltas| !deltas.is_empty());
    let deltas = deltas.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or_default();
    if reads.is_empty() && deltas.is_empty() {
        return Ok(());
    }
    rows::read_all(connection, site, &slots, &reads, &deltas, |found| {
        for ((plan, answer), reads) in parts.iter_mut().zip(&of_parts) {
            match found {
                Found::Block(key, cells) if reads.iter().any(|read| read.has(&key)) => {
                    let (_, part) = from_slot(key.slot).ok_or(EncodingError)?;
                    answer.add_block(part, cells)?;
                }
                Found::Delta(hour_ms, views) if plan.deltas.contains(&hour_ms) => answer.add_delta(views)?,
                Found::Block(..) | Found::Delta(..) => {}
            }
        }
        Ok(())
    })
    .await
}

/// The page views of a site in a range of ids.
pub(crate) const SCAN: &str = concat!(
    "/* view.scan */ select route_id, \
     (case $11::smallint when 0 then device when 4 then navigation_type + 1 when 6 then os + 1 \
     end)::smallint, \
     case $11::smallint when 1 then browser when 2 then country when 3 then connection \
     when 5 then release end, weight, id, case when $13 then context end, ",
    fieldvitals_store::metric_columns!(""),
    " from page_view \
     where site_id = $1 and id >= $2 and id < $3 and ($4::bigint is null or route_id = $4) \
     and ($5::smallint is null or device = $5) and ($6::text is null or browser = $6) \
     and ($7::text is null or country = $7) and ($8::text is null or connection = $8) \
     and ($9::smallint is null or navigation_type = $9) and ($10::text is null or release = $10) \
     and ($12::smallint is null or os = $12)"
);

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
    let mut rows = sql(SCAN)
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
        let start_ms = view::start_ms(&row, 4).map_err(failed(READING))?;
        if !filters.context.is_empty() && !has_context(&row, 5, start_ms, &stored)? {
            continue;
        }
        let columns = || {
            let label: Option<&str> = row.try_get(2)?;
            let number: Option<i16> = row.try_get(1)?;
            let weight = Weight::from_stored(row.try_get(3)?);
            Ok((row.try_get(0)?, view::values(&row, 6)?, number, label, weight))
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

pub(crate) async fn routes(
    store: &PostgresStore,
    site: SiteId,
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<String>, StoreError> {
    let (mut transaction, retained) = facts::begin_retained(store, READING).await?;
    let from_ms = from_ms.max(retained.views_from_ms);
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
    let (mut transaction, retained) = facts::begin_retained(store, READING).await?;
    if id.start_ms() < retained.views_from_ms {
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
