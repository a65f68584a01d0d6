//! Questions: each is answered from one state of the store, in one short transaction.

use crate::error::{damaged, failed};
use crate::sql::query as sql;
use crate::{PostgresStore, view};
use fieldvitals_store::rollup::{DAY_MS, HOUR_MS, Plan, device_code, unpack};
use fieldvitals_store::{
    Cell, CellQuery, Kept, RouteCell, SiteId, StoreError, StoredView, Tally, TallyQuery,
};
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::HashMap;
use std::ops::Range;
use vitals::histogram::Histogram;
use vitals::metric::Metric;
use vitals::view::ViewId;

const READING: &str = "reading a report";

/// Up to this many hours or days, one route's cells are looked up one by one, instead of reading
/// everybody's and leaving out most.
const LOOKUPS_MAX: i64 = 1_000;

/// The two ways to read the cells of a table.
struct Table {
    what: &'static str,
    step_ms: i64,
    range: &'static str,
    lookup: &'static str,
}

macro_rules! table {
    ($name:literal, $step_ms:expr) => {
        Table {
            what: concat!("a cell of ", $name),
            step_ms: $step_ms,
            range: concat!(
                "/* ",
                $name,
                ".range */ select route_id, views, lcp, inp, cls, fcp, ttfb, fid, tti from ",
                $name,
                " where site_id = $1 and start_ms >= $2 and start_ms < $3 \
                 and ($4::bigint is null or route_id = $4) and ($5::smallint is null or device = $5)"
            ),
            lookup: concat!(
                "/* ",
                $name,
                ".lookup */ select route_id, views, lcp, inp, cls, fcp, ttfb, fid, tti from ",
                $name,
                " where site_id = $1 and start_ms = any($2) and route_id = $3 \
                 and ($4::smallint is null or device = $4)"
            ),
        }
    };
}

const HOURS: Table = table!("rollup_hour", HOUR_MS);
const DAYS: Table = table!("rollup_day", DAY_MS);

/// What is asked for, as the tables have it.
struct Filter {
    site: SiteId,
    route_id: Option<i64>,
    device: Option<u8>,
}

/// Cells by the id of their route.
type Cells = HashMap<i64, Cell>;

pub(crate) async fn kept_now(connection: &mut PgConnection) -> Result<Kept, StoreError> {
    let row =
        sql("/* kept.read */ select views_from_ms, hours_from_ms, days_from_ms from kept where one = 1")
            .fetch_one(connection)
            .await
            .map_err(failed(READING))?;
    kept(&row)
}

/// What is kept, from a row of its three columns.
pub(crate) fn kept(row: &PgRow) -> Result<Kept, StoreError> {
    let edge = |place: usize| row.try_get(place).map_err(failed(READING));
    Ok(Kept { views_from_ms: edge(0)?, hours_from_ms: edge(1)?, days_from_ms: edge(2)? })
}

pub(crate) async fn cells(store: &PostgresStore, query: &CellQuery) -> Result<Vec<RouteCell>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let kept = kept_now(connection).await?;
    let route_id = match &query.route {
        None => None,
        Some(route) => match route_id(connection, query.site, route).await? {
            None => return Ok(Vec::new()),
            found => found,
        },
    };
    let device = query.device.map(|device| device_code(Some(device)));
    let filter = Filter { site: query.site, route_id, device };
    let mut cells = Cells::new();
    if let Some(release) = &query.release {
        let range = query.from_ms.max(kept.views_from_ms)..query.to_ms;
        read_views(connection, &filter, range, release, &mut cells).await?;
    } else {
        let plan = Plan::new(query, &kept);
        read_cells(connection, &DAYS, &filter, plan.days, &mut cells).await?;
        for hours in plan.hours {
            read_cells(connection, &HOURS, &filter, hours, &mut cells).await?;
        }
        read_deltas(connection, &filter, plan.deltas, &mut cells).await?;
    }
    cells.retain(|_, cell| !cell.is_empty());
    name(connection, query.site, cells).await
}

async fn route_id(
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

async fn read_cells(
    connection: &mut PgConnection,
    table: &Table,
    filter: &Filter,
    range: Range<i64>,
    cells: &mut Cells,
) -> Result<(), StoreError> {
    if range.is_empty() {
        return Ok(());
    }
    let device = filter.device.map(i16::from);
    let steps = (i128::from(range.end) - i128::from(range.start)) / i128::from(table.step_ms);
    let statement = match filter.route_id {
        Some(route_id) if steps <= i128::from(LOOKUPS_MAX) => {
            let starts: Vec<i64> = (0..)
                .map(|step| range.start + step * table.step_ms)
                .take_while(|at| *at < range.end)
                .collect();
            sql(table.lookup).bind(filter.site.0).bind(starts).bind(route_id).bind(device)
        }
        route_id => {
            sql(table.range).bind(filter.site.0).bind(range.start).bind(range.end).bind(route_id).bind(device)
        }
    };
    let mut rows = statement.fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let route_id: i64 = row.try_get(0).map_err(failed(READING))?;
        let cell = cell(&row, 1).map_err(|_| damaged(READING, table.what))?;
        cells.entry(route_id).or_default().merge(&cell);
    }
    Ok(())
}

/// Reads a cell from the column `views` at `first` and the seven metrics after it.
pub(crate) fn cell(row: &PgRow, first: usize) -> Result<Cell, sqlx::Error> {
    let mut cell = Cell::default();
    cell.views = row.try_get(first)?;
    for metric in Metric::ALL {
        if let Some(mut bytes) = row.try_get::<Option<&[u8]>, _>(first + 1 + metric.index())? {
            let histogram =
                Histogram::decode(&mut bytes).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            cell.set_metric(metric, histogram);
        }
    }
    Ok(cell)
}

async fn read_deltas(
    connection: &mut PgConnection,
    filter: &Filter,
    range: Range<i64>,
    cells: &mut Cells,
) -> Result<(), StoreError> {
    if range.is_empty() {
        return Ok(());
    }
    let mut rows = sql("/* rollup.delta.read */ select cells from rollup_delta \
         where site_id = $1 and hour_ms >= $2 and hour_ms < $3")
    .bind(filter.site.0)
    .bind(range.start)
    .bind(range.end)
    .fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let bytes: &[u8] = row.try_get(0).map_err(failed(READING))?;
        for (route_id, device, cell) in unpack(bytes).map_err(|_| damaged(READING, "a rollup delta"))? {
            if filter.route_id.is_none_or(|asked| asked == route_id)
                && filter.device.is_none_or(|asked| asked == device)
            {
                cells.entry(route_id).or_default().merge(&cell);
            }
        }
    }
    Ok(())
}

/// Counts the page views of a release.
async fn read_views(
    connection: &mut PgConnection,
    filter: &Filter,
    range: Range<i64>,
    release: &str,
    cells: &mut Cells,
) -> Result<(), StoreError> {
    if range.is_empty() {
        return Ok(());
    }
    let mut rows =
        sql("/* view.release */ select route_id, lcp, inp, cls, fcp, ttfb, fid, tti from page_view \
         where site_id = $1 and id >= $2 and id < $3 and release = $4 \
         and ($5::bigint is null or route_id = $5) and ($6::smallint is null or device = $6)")
        .bind(filter.site.0)
        .bind(view::first_id(range.start))
        .bind(view::first_id(range.end))
        .bind(release)
        .bind(filter.route_id)
        .bind(filter.device.map(i16::from))
        .fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let route_id: i64 = row.try_get(0).map_err(failed(READING))?;
        let values = view::values(&row, 1).map_err(failed(READING))?;
        cells.entry(route_id).or_default().add(&values, 1);
    }
    Ok(())
}

/// Puts the routes' texts to their cells.
async fn name(
    connection: &mut PgConnection,
    site: SiteId,
    mut cells: Cells,
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
    let from_ms = from_ms.max(kept_now(&mut transaction).await?.views_from_ms);
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

pub(crate) async fn tally(store: &PostgresStore, query: &TallyQuery) -> Result<Tally, StoreError> {
    let mut transaction = store.read(READING).await?;
    let from_ms = query.from_ms.max(kept_now(&mut transaction).await?.views_from_ms);
    let row =
        sql("/* view.tally */ select count(value), count(value) filter (where value <= $8) from (select \
         case $7::smallint when 0 then v.lcp when 1 then v.inp when 2 then v.cls when 3 then v.fcp \
         when 4 then v.ttfb when 5 then v.fid when 6 then v.tti end as value \
         from page_view v where v.site_id = $1 and v.id >= $2 and v.id < $3 \
         and v.route_id in (select r.route_id from route r where r.site_id = $1 and r.route = any($4)) \
         and ($5::smallint is null or v.device = $5) and ($6::text is null or v.release = $6)) measured")
        .bind(query.site.0)
        .bind(view::first_id(from_ms))
        .bind(view::first_id(query.to_ms))
        .bind(query.routes.as_slice())
        .bind(query.device.map(|device| i16::from(device_code(Some(device)))))
        .bind(query.release.as_deref())
        .bind(query.metric as i16)
        .bind(i64::from(query.at_most.micros()))
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed(READING))?;
    Ok(Tally {
        n: row.try_get(0).map_err(failed(READING))?,
        within: row.try_get(1).map_err(failed(READING))?,
    })
}

pub(crate) async fn view(
    store: &PostgresStore,
    site: SiteId,
    id: ViewId,
) -> Result<Option<StoredView>, StoreError> {
    let mut transaction = store.read(READING).await?;
    if id.start_ms() < kept_now(&mut transaction).await?.views_from_ms {
        return Ok(None);
    }
    let row = sql(view::ONE)
        .bind(site.0)
        .bind(view::uuid(id))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed(READING))?;
    row.as_ref().map(view::read).transpose()
}
