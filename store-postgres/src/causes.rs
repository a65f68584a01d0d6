//! What explains a metric's values: read from the contexts of page views.

use crate::error::{damaged, failed};
use crate::query::{bound, coverage, route_id};
use crate::sql::query as sql;
use crate::{PostgresStore, texts, view};
use fieldvitals_store::context::causes::{Explaining, Seen};
use fieldvitals_store::dimension::device_code;
use fieldvitals_store::rollup::{From, Grain, Plan};
use fieldvitals_store::{CauseQuery, Causes, StoreError, Weight};
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::postgres::PgRow;
use vitals::metric::Value;
use vitals::view::TtiGap;

const READING: &str = "reading what explains a metric";

pub(crate) async fn causes(store: &PostgresStore, query: &CauseQuery) -> Result<Causes, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let coverage = coverage(connection, query.views.site).await?;
    let CauseQuery { views, explained, .. } = query;
    let range = Plan::new(views, From::Views, &coverage.retained).period;
    let nothing = Causes { period: range.clone(), ..Causes::default() };
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
    bound(connection, views.site, &range, &coverage, route_id).await?;
    let days = Grain::Day.step(range.start)..Grain::Day.step(range.end).saturating_add(1);
    let texts = texts::of_days(connection, views.site, days).await?;
    let mut explaining = Explaining::new(query, &texts);
    let filters = &views.filters;
    let mut rows = sql("/* view.causes */ select id, weight, context, tti is not null, tti_gap, \
         case $11::smallint when 0 then lcp when 1 then inp when 2 then cls when 4 then ttfb end from page_view \
         where site_id = $1 and id >= $2 and id < $3 and ($4::bigint is null or route_id = $4) \
         and ($5::smallint is null or device = $5) and ($6::text is null or browser = $6) \
         and ($7::text is null or country = $7) and ($8::text is null or connection = $8) \
         and ($9::smallint is null or navigation_type = $9) and ($10::text is null or release = $10) \
         and ($12::smallint is null or os = $12)")
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
    .bind(explained.metric() as i16)
    .bind(filters.os.map(|os| os as i16))
    .fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let seen = read(&row, query).map_err(failed(READING))?;
        let seen = Seen { day: Grain::Day.step(view::read_id(&row)?.start_ms()), ..seen };
        explaining.add(&seen).map_err(|_| damaged(READING, "a page view (context)"))?;
    }
    Ok(Causes { period: range, ..explaining.finish() })
}

fn read<'a>(row: &'a PgRow, query: &CauseQuery) -> Result<Seen<'a>, sqlx::Error> {
    let metric = query.explained.metric();
    let gap: Option<i16> = row.try_get(4)?;
    let micros: Option<i32> = row.try_get(5)?;
    Ok(Seen {
        day: 0,
        weight: Weight::from_stored(row.try_get(1)?),
        context: row.try_get(2)?,
        has_tti: row.try_get(3)?,
        tti_gap: gap.and_then(|gap| TtiGap::from_number(u8::try_from(gap).ok()?)),
        value: micros.and_then(|micros| Value::from_micros(metric, u32::try_from(micros).ok()?)),
    })
}
