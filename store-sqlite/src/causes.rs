//! What explains a metric's values: read from the contexts of page views.

use crate::error::{damaged, failed};
use crate::query::{bound, coverage};
use crate::{SqliteStore, names, texts, view};
use fieldvitals_store::context::causes::{Explaining, Seen};
use fieldvitals_store::dimension::device_code;
use fieldvitals_store::rollup::{From, Grain, Plan};
use fieldvitals_store::{CauseQuery, Causes, StoreError, Weight};
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use vitals::metric::Value;
use vitals::view::TtiGap;

const READING: &str = "reading what explains a metric";

macro_rules! seen {
    ($name:literal, $views:literal, $route:literal) => {
        concat!(
            "/* ",
            $name,
            " */ select v.id, v.weight, v.context, v.tti is not null, v.tti_gap, \
             case ?11 when 0 then v.lcp when 1 then v.inp when 2 then v.cls when 4 then v.ttfb end \
             from ",
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

pub(crate) async fn causes(store: &SqliteStore, query: &CauseQuery) -> Result<Causes, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let CauseQuery { views, explained, .. } = query;
    let coverage = coverage(connection, views.site).await?;
    let range = Plan::new(views, From::Views, &coverage.retained).period;
    let nothing = Causes { period: range.clone(), ..Causes::default() };
    if range.is_empty() {
        return Ok(nothing);
    }
    let route_id = match &views.route {
        None => None,
        Some(route) => match names::route(connection, views.site, route).await? {
            None => return Ok(nothing),
            found => found,
        },
    };
    bound(connection, views.site, &range, &coverage, route_id).await?;
    let days = Grain::Day.step(range.start)..Grain::Day.step(range.end).saturating_add(1);
    let texts = texts::of_days(connection, views.site, days).await?;
    let mut explaining = Explaining::new(query, &texts);
    let sql = match route_id {
        Some(_) => {
            seen!("view.causes.route", "page_view v indexed by page_view_route", "v.route_id = ?4")
        }
        None => seen!("view.causes", "page_view v", "?4 is null"),
    };
    let filters = &views.filters;
    let mut rows = sqlx::query(sql)
        .bind(views.site.0)
        .bind(view::first_id(range.start))
        .bind(view::first_id(range.end))
        .bind(route_id)
        .bind(filters.device.map(|device| device_code(Some(device))))
        .bind(filters.browser.as_deref())
        .bind(filters.country.as_deref())
        .bind(filters.connection.as_deref())
        .bind(filters.navigation_type.map(|kind| kind as i64))
        .bind(filters.release.as_deref())
        .bind(explained.metric() as i64)
        .bind(filters.os.map(|os| os as i64))
        .fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let seen = read(&row, query).map_err(failed(READING))?;
        let seen = Seen { day: Grain::Day.step(view::read_id(&row)?.start_ms()), ..seen };
        explaining.add(&seen).map_err(|_| damaged(READING, "a page view (context)"))?;
    }
    Ok(Causes { period: range, ..explaining.finish() })
}

fn read<'a>(row: &'a SqliteRow, query: &CauseQuery) -> Result<Seen<'a>, sqlx::Error> {
    let metric = query.explained.metric();
    let number = |place: usize| row.try_get::<Option<u32>, _>(place);
    Ok(Seen {
        day: 0,
        weight: Weight::from_stored(row.try_get(1)?),
        context: row.try_get(2)?,
        has_tti: row.try_get(3)?,
        tti_gap: number(4)?.and_then(|gap| TtiGap::from_number(u8::try_from(gap).ok()?)),
        value: number(5)?.and_then(|micros| Value::from_micros(metric, micros)),
    })
}
