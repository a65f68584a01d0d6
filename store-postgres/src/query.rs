//! Questions: each is answered from one state of the store, in one short transaction.

use crate::error::failed;
use crate::sql::query as sql;
use crate::{PostgresStore, names, rows, texts, view};
use fieldvitals_store::dimension::{Labels, NO_VALUE, device_code, label_code};
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::rollup::{Answer, From, Plan, from_slot, slot};
use fieldvitals_store::{
    By, Cell, CellQuery, Dimension, Filters, Kept, RouteCell, SiteId, StoreError, StoredView, Tally,
    TallyQuery, ValueCell, Weight,
};
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use std::cmp::Reverse;
use vitals::histogram::EncodingError;
use vitals::limits;
use vitals::metric::Metrics;
use vitals::view::ViewId;

const READING: &str = "reading a report";

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
    let labels = if query.filters == Filters::NONE {
        Labels::default()
    } else {
        names::labels(connection, query.site).await?
    };
    let cells = answer(connection, query, None, &labels).await?;
    name(connection, query.site, cells).await
}

pub(crate) async fn breakdown(
    store: &PostgresStore,
    query: &CellQuery,
    by: By,
) -> Result<Vec<ValueCell>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let labels = names::labels(connection, query.site).await?;
    let cells = answer(connection, query, Some(by), &labels).await?;
    let names = by.dimension().map(|by| labels.names(by)).unwrap_or_default();
    let named = cells.into_iter().map(|(code, cell)| {
        let known = |code| by.fixed_name(code).or_else(|| names.get(&code).copied());
        ValueCell { value: u16::try_from(code).ok().and_then(known).map(str::to_owned), cell }
    });
    let mut values: Vec<ValueCell> = named.collect();
    values.sort_by(|a, b| {
        let key = |one: &ValueCell| (Reverse(one.cell.views), one.value.is_none());
        key(a).cmp(&key(b)).then_with(|| a.value.cmp(&b.value))
    });
    Ok(values)
}

/// The cells that answer a question, by route id, or by the code of a value.
async fn answer(
    connection: &mut PgConnection,
    query: &CellQuery,
    by: Option<By>,
    labels: &Labels,
) -> Result<HashMap<i64, Cell>, StoreError> {
    let kept = kept_now(connection).await?;
    let route_id = match &query.route {
        None => None,
        Some(route) => match route_id(connection, query.site, route).await? {
            None => return Ok(HashMap::default()),
            found => found,
        },
    };
    let Some(mut answer) = Answer::new(query, by, route_id, labels) else { return Ok(HashMap::default()) };
    match From::question(query, by) {
        From::Rollups(dimension) => {
            read_rollups(connection, query, dimension, &kept, route_id, &mut answer).await?;
        }
        From::Views => {
            let range = query.from_ms.max(kept.views_from_ms)..query.to_ms;
            if range.is_empty() {
                return Ok(HashMap::default());
            }
            let scanned = CellQuery {
                route: query.route.clone(),
                ..CellQuery::new(query.site, range.start, range.end)
            };
            let views = u64::try_from(count(connection, &scanned, route_id, &kept).await?).unwrap_or(0);
            if views > limits::SCAN_VIEWS_MAX {
                return Err(StoreError::TooManyViews { views, max: limits::SCAN_VIEWS_MAX });
            }
            read_views(connection, &scanned, &query.filters, route_id, (by, labels), &mut answer).await?;
        }
    }
    Ok(answer.finish())
}

/// How many page views rollups count in a range.
pub(crate) async fn count(
    connection: &mut PgConnection,
    query: &CellQuery,
    route_id: Option<i64>,
    kept: &Kept,
) -> Result<i64, StoreError> {
    let query = CellQuery {
        metrics: Metrics::NONE,
        route: query.route.clone(),
        ..CellQuery::new(query.site, query.from_ms, query.to_ms)
    };
    let Some(mut answer) = Answer::new(&query, None, route_id, &Labels::default()) else { return Ok(0) };
    read_rollups(connection, &query, Dimension::Device, kept, route_id, &mut answer).await?;
    Ok(answer.finish().values().map(|cell| cell.views).sum())
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

pub(crate) async fn read_rollups(
    connection: &mut PgConnection,
    query: &CellQuery,
    dimension: Dimension,
    kept: &Kept,
    route_id: Option<i64>,
    answer: &mut Answer,
) -> Result<(), StoreError> {
    let plan = Plan::new(query, dimension, kept);
    let slots: Vec<i16> = answer.parts().map(|part| slot(dimension, part)).collect();
    for steps in plan.steps() {
        rows::read(connection, query.site, &slots, steps, route_id, |key, cells| {
            let (_, part) = from_slot(key.slot).ok_or(EncodingError)?;
            answer.add_block(part, cells)
        })
        .await?;
    }
    if plan.deltas.is_empty() {
        return Ok(());
    }
    rows::read_deltas(connection, query.site, plan.deltas, |_, views| answer.add_delta(views)).await
}

/// Adds the page views of a range that pass the filters.
async fn read_views(
    connection: &mut PgConnection,
    query: &CellQuery,
    filters: &Filters,
    route_id: Option<i64>,
    (by, labels): (Option<By>, &Labels),
    answer: &mut Answer,
) -> Result<(), StoreError> {
    let by = by.unwrap_or(By::Rolled(Dimension::Device));
    let mut rows = sql("/* view.scan */ select route_id, lcp, inp, cls, fcp, ttfb, fid, tti, \
         (case $11::smallint when 0 then device when 4 then navigation_type + 1 when 6 then os + 1 \
         end)::smallint, \
         case $11::smallint when 1 then browser when 2 then country when 3 then connection \
         when 5 then release end, weight from page_view \
         where site_id = $1 and id >= $2 and id < $3 and ($4::bigint is null or route_id = $4) \
         and ($5::smallint is null or device = $5) and ($6::text is null or browser = $6) \
         and ($7::text is null or country = $7) and ($8::text is null or connection = $8) \
         and ($9::smallint is null or navigation_type = $9) and ($10::text is null or release = $10) \
         and ($12::smallint is null or os = $12)")
    .bind(query.site.0)
    .bind(view::first_id(query.from_ms))
    .bind(view::first_id(query.to_ms))
    .bind(route_id)
    .bind(filters.device.map(|device| i16::from(device_code(Some(device)))))
    .bind(filters.browser.as_deref())
    .bind(filters.country.as_deref())
    .bind(filters.connection.as_deref())
    .bind(filters.navigation_type.map(|kind| kind as i16))
    .bind(filters.release.as_deref())
    .bind(i16::from(by.number()))
    .bind(filters.os.map(|os| os as i16))
    .fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let columns = || {
            let label: Option<&str> = row.try_get(9)?;
            let number: Option<i16> = row.try_get(8)?;
            let weight = Weight::from_stored(row.try_get(10)?);
            Ok((row.try_get(0)?, view::values(&row, 1)?, number, label, weight))
        };
        let (route_id, values, number, label, weight) = columns().map_err(failed(READING))?;
        let code = match (by, label) {
            (By::Rolled(by), Some(label)) => labels.code(by, label).unwrap_or_else(|| label_code(label, 0)),
            _ => number.and_then(|number| u16::try_from(number).ok()).unwrap_or(NO_VALUE),
        };
        answer.add_view(route_id, code, weight, &values);
    }
    Ok(())
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
    let Some(row) = row else { return Ok(None) };
    let texts = texts::of_rows(&mut transaction, site, std::slice::from_ref(&row)).await?;
    view::read(&row, &texts).map(Some)
}
