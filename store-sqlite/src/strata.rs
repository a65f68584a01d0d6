//! Reads page views by class, from windows of time.

use crate::error::failed;
use crate::names::{self, json};
use crate::query::{has_context, retention_edges, stored_filters};
use crate::{SqliteStore, view};
use fieldvitals_store::dimension::device_code;
use fieldvitals_store::{StoreError, StrataQuery, StrataSums, Stratum, Weight};
use futures_util::TryStreamExt;
use sqlx::Row;

const READING: &str = "reading a sample of page views";

pub(crate) async fn strata(store: &SqliteStore, query: &StrataQuery) -> Result<Vec<Stratum>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let from_ms = retention_edges(connection).await?.views_from_ms;
    let route_id = match &query.views.route {
        None => None,
        Some(route) => match names::route(connection, query.views.site, route).await? {
            None => return Ok(Vec::new()),
            found => found,
        },
    };
    let hex = |at_ms: i64| -> String {
        view::first_id(at_ms.max(from_ms)).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let windows: Vec<(String, String)> =
        query.windows.iter().map(|window| (hex(window.start), hex(window.end))).collect();
    let filters = &query.views.filters;
    let stored = stored_filters(connection, &query.views, &query.range()).await?;
    let mut rows = sqlx::query(concat!(
        "/* view.strata */ select v.device, v.country, v.navigation_type, v.weight, v.id, case when ?11 then v.context end, ",
        fieldvitals_store::metric_columns!("v."),
        " from json_each(?2) j cross join page_view v on v.site_id = ?1 \
         and v.id >= unhex(j.value ->> 0) and v.id < unhex(j.value ->> 1) \
         where (?3 is null or v.route_id = ?3) \
         and (?4 is null or v.device = ?4) and (?5 is null or v.browser = ?5) \
         and (?6 is null or v.country = ?6) and (?7 is null or v.connection = ?7) \
         and (?8 is null or v.navigation_type = ?8) and (?9 is null or v.release = ?9) \
         and (?10 is null or v.os = ?10)"
    ))
    .bind(query.views.site.0)
    .bind(json(&windows)?)
    .bind(route_id)
    .bind(filters.device.map(|device| device_code(Some(device))))
    .bind(filters.browser.as_deref())
    .bind(filters.country.as_deref())
    .bind(filters.connection.as_deref())
    .bind(filters.navigation_type.map(|kind| kind as i64))
    .bind(filters.release.as_deref())
    .bind(filters.os.map(|os| os as i64))
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
            Ok((row.try_get(0)?, country, row.try_get(2)?, view::values(&row, 6)?, weight))
        };
        let (device, country, kind, values, weight) = columns().map_err(failed(READING))?;
        sums.add(device, country, kind, (&values, weight))?;
    }
    Ok(sums.finish())
}
