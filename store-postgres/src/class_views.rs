//! Reads the values of a metric by class, from windows of time.

use crate::error::failed;
use crate::sql::query as sql;
use crate::{PostgresStore, facts, view};
use fieldvitals_store::dimension::device_code;
use fieldvitals_store::{ClassViewsBuilder, ClassViewsQuery, StoreError, metric_branches};
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::types::Uuid;
use vitals::gate::ClassViews;

const READING: &str = "reading page views by class";

pub(crate) async fn class_views(
    store: &PostgresStore,
    query: &ClassViewsQuery,
) -> Result<Vec<ClassViews>, StoreError> {
    let (mut transaction, retained) = facts::begin_retained(store, READING).await?;
    let from_ms = retained.views_from_ms;
    let first_id = |at_ms: i64| view::first_id(at_ms.max(from_ms));
    let (first, last): (Vec<Uuid>, Vec<Uuid>) =
        query.windows.iter().map(|window| (first_id(window.start), first_id(window.end))).unzip();
    let filters = &query.filters;
    let mut rows = sql(concat!(
        "/* view.classes */ select device, country, navigation_type, id, value from \
         (select v.device, v.country, v.navigation_type, v.id, case $4::smallint ",
        metric_branches!(),
        " end as value from unnest($2::uuid[], $3::uuid[]) w (first, last) join page_view v on v.site_id = $1 \
         and v.id >= w.first and v.id < w.last \
         where v.route_id in (select r.route_id from route r where r.site_id = $1 and r.route = any($5)) \
         and ($6::smallint is null or v.device = $6) and ($7::text is null or v.browser = $7) \
         and ($8::text is null or v.country = $8) and ($9::text is null or v.connection = $9) \
         and ($10::smallint is null or v.navigation_type = $10) and ($11::text is null or v.release = $11) \
         and ($12::smallint is null or v.os = $12)) measured where value is not null"
    ))
    .bind(query.site.0)
    .bind(first)
    .bind(last)
    .bind(query.metric as i16)
    .bind(query.routes.as_slice())
    .bind(filters.device.map(|device| i16::from(device_code(Some(device)))))
    .bind(filters.browser.as_deref())
    .bind(filters.country.as_deref())
    .bind(filters.connection.as_deref())
    .bind(filters.navigation_type.map(|kind| kind as i16))
    .bind(filters.release.as_deref())
    .bind(filters.os.map(|os| os as i16))
    .fetch(&mut *transaction);
    let mut builder = ClassViewsBuilder::new(query);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let start_ms = view::start_ms(&row, 3).map_err(failed(READING))?;
        let columns = || {
            let country: Option<&str> = row.try_get(1)?;
            let (device, kind): (i16, Option<i16>) = (row.try_get(0)?, row.try_get(2)?);
            let micros: i32 = row.try_get(4)?;
            Ok((device, country, kind, micros))
        };
        let (device, country, kind, micros) = columns().map_err(failed(READING))?;
        let small = |number: i16| u8::try_from(number).ok();
        builder.add(
            small(device).unwrap_or(0),
            country,
            kind.and_then(small),
            (start_ms, micros.unsigned_abs()),
        )?;
    }
    Ok(builder.finish())
}
