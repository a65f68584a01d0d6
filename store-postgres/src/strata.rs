//! Reads page views by class, from windows of time.

use crate::error::failed;
use crate::query::{has_context, route_id, stored_filters};
use crate::sql::query as sql;
use crate::{PostgresStore, facts, view};
use fieldvitals_store::dimension::device_code;
use fieldvitals_store::{StoreError, StrataQuery, StrataSums, Stratum, Weight};
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::types::Uuid;

const READING: &str = "reading a sample of page views";

pub(crate) async fn strata(store: &PostgresStore, query: &StrataQuery) -> Result<Vec<Stratum>, StoreError> {
    let (mut transaction, retained) = facts::begin_retained(store, READING).await?;
    let connection = &mut *transaction;
    let from_ms = retained.views_from_ms;
    let route_id = match &query.views.route {
        None => None,
        Some(route) => match route_id(connection, query.views.site, route).await? {
            None => return Ok(Vec::new()),
            found => found,
        },
    };
    let first_id = |at_ms: i64| view::first_id(at_ms.max(from_ms));
    let (first, last): (Vec<Uuid>, Vec<Uuid>) =
        query.windows.iter().map(|window| (first_id(window.start), first_id(window.end))).unzip();
    let filters = &query.views.filters;
    let stored = stored_filters(connection, &query.views, &query.range()).await?;
    // The inner `offset 0` makes the key find each window. Joined freely, the planner may read all page views.
    let mut rows = sql(concat!(
        "/* view.strata */ select device, country, navigation_type, weight, id, case when $12 then context end, ",
        fieldvitals_store::metric_columns!(""),
        " from unnest($2::uuid[], $3::uuid[]) w (first, past) cross join lateral (select * from page_view v \
         where v.site_id = $1 and v.id >= w.first and v.id < w.past offset 0) v \
         where ($4::bigint is null or route_id = $4) \
         and ($5::smallint is null or device = $5) and ($6::text is null or browser = $6) \
         and ($7::text is null or country = $7) and ($8::text is null or connection = $8) \
         and ($9::smallint is null or navigation_type = $9) and ($10::text is null or release = $10) \
         and ($11::smallint is null or os = $11)"
    ))
    .bind(query.views.site.0)
    .bind(first)
    .bind(last)
    .bind(route_id)
    .bind(filters.device.map(|device| i16::from(device_code(Some(device)))))
    .bind(filters.browser.as_deref())
    .bind(filters.country.as_deref())
    .bind(filters.connection.as_deref())
    .bind(filters.navigation_type.map(|kind| kind as i16))
    .bind(filters.release.as_deref())
    .bind(filters.os.map(|os| os as i16))
    .bind(!filters.context.is_empty())
    .fetch(connection);
    let mut sums = StrataSums::default();
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        if !filters.context.is_empty() {
            let start_ms = view::start_ms(&row, 4).map_err(failed(READING))?;
            if !has_context(&row, 5, start_ms, &stored)? {
                continue;
            }
        }
        let columns = || {
            let country: Option<&str> = row.try_get(1)?;
            let weight = Weight::from_stored(row.try_get(3)?);
            let number: i16 = row.try_get(0)?;
            let kind: Option<i16> = row.try_get(2)?;
            Ok((number, country, kind, view::values(&row, 6)?, weight))
        };
        let (device, country, kind, values, weight) = columns().map_err(failed(READING))?;
        let small = |number: i16| u8::try_from(number).ok();
        sums.add(small(device).unwrap_or(0), country, kind.and_then(small), (&values, weight))?;
    }
    Ok(sums.finish())
}
