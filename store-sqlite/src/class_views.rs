//! Reads the values of a metric by class, from windows of time.

use crate::error::{damaged, failed};
use crate::names::json;
use crate::query::retention_edges;
use crate::{SqliteStore, view};
use fieldvitals_store::dimension::device_code;
use fieldvitals_store::{ClassViewsBuilder, ClassViewsQuery, StoreError, metric_branches};
use futures_util::TryStreamExt;
use sqlx::Row;
use vitals::gate::ClassViews;

const READING: &str = "reading page views by class";

pub(crate) async fn class_views(
    store: &SqliteStore,
    query: &ClassViewsQuery,
) -> Result<Vec<ClassViews>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let from_ms = retention_edges(&mut transaction).await?.views_from_ms;
    let hex = |at_ms: i64| -> String {
        view::first_id(at_ms.max(from_ms)).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let windows: Vec<(String, String)> =
        query.windows.iter().map(|window| (hex(window.start), hex(window.end))).collect();
    let routes = serde_json::to_string(&query.routes).map_err(|error| damaged(READING, error))?;
    let filters = &query.filters;
    let mut rows = sqlx::query(concat!(
        "/* view.classes */ select device, country, navigation_type, id, value from \
         (select v.device, v.country, v.navigation_type, v.id, case ?3 ",
        metric_branches!(),
        " end as value from json_each(?2) j cross join page_view v on v.site_id = ?1 \
         and v.id >= unhex(j.value ->> 0) and v.id < unhex(j.value ->> 1) \
         where v.route_id in (select r.route_id from route r \
         where r.site_id = ?1 and r.route in (select value from json_each(?4))) \
         and (?5 is null or v.device = ?5) and (?6 is null or v.browser = ?6) \
         and (?7 is null or v.country = ?7) and (?8 is null or v.connection = ?8) \
         and (?9 is null or v.navigation_type = ?9) and (?10 is null or v.release = ?10) \
         and (?11 is null or v.os = ?11)) where value is not null"
    ))
    .bind(query.site.0)
    .bind(json(&windows)?)
    .bind(query.metric as i64)
    .bind(routes)
    .bind(filters.device.map(|device| i64::from(device_code(Some(device)))))
    .bind(filters.browser.as_deref())
    .bind(filters.country.as_deref())
    .bind(filters.connection.as_deref())
    .bind(filters.navigation_type.map(|kind| kind as i64))
    .bind(filters.release.as_deref())
    .bind(filters.os.map(|os| os as i64))
    .fetch(&mut *transaction);
    let mut builder = ClassViewsBuilder::new(query);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let start_ms = view::start_ms(&row, 3).map_err(failed(READING))?;
        let columns = || {
            let country: Option<&str> = row.try_get(1)?;
            Ok((row.try_get(0)?, country, row.try_get(2)?, row.try_get(4)?))
        };
        let (device, country, kind, micros) = columns().map_err(failed(READING))?;
        builder.add(device, country, kind, (start_ms, micros))?;
    }
    Ok(builder.finish())
}
