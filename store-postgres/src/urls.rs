//! Counts page views by URL.

use crate::error::failed;
use crate::query::{count_views, coverage};
use crate::sql::query as sql;
use crate::{PostgresStore, view};
use fieldvitals_store::rollup::{From, Plan};
use fieldvitals_store::scan::Scanned;
use fieldvitals_store::urls::COUNTED_MAX;
use fieldvitals_store::{CellQuery, SiteId, StoreError, UrlCount, UrlCounts, limits, unpack_url};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use std::ops::Range;

const READING: &str = "counting page views by URL";

pub(crate) async fn urls(
    store: &PostgresStore,
    site: SiteId,
    period: Range<i64>,
) -> Result<UrlCounts, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let coverage = coverage(connection, site).await?;
    let query = CellQuery::new(site, period.start, period.end);
    let range = Plan::new(&query, From::Views, &coverage.retained).period;
    if range.is_empty() {
        return Ok(UrlCounts { scanned: Scanned { period: range, sample: None }, rows: Vec::new() });
    }
    let counted = count_views(connection, site, &range, &coverage, None).await?;
    let (first, past) = (view::first_id(range.start), view::first_id(range.end));
    let scanned = Scanned::plan(range, u64::try_from(counted).unwrap_or(0), limits::SAMPLE_VIEWS_MAX);
    let windows = scanned.ranges();
    let rows = sql(
        "/* view.urls */ select r.route, c.url, c.views from (select v.route_id, v.url, count(*) as views from \
         (select v.route_id, v.url from unnest($2::uuid[], $3::uuid[]) w (first, past) cross join lateral \
         (select v.route_id, v.url from page_view v where v.site_id = $1 and v.id >= $4 and v.id < $5 \
         and v.id >= w.first and v.id < w.past offset 0) v limit $6) v group by v.route_id, v.url) c \
         join route r on r.site_id = $1 and r.route_id = c.route_id",
    )
    .bind(site.0)
    .bind(windows.iter().map(|window| view::first_id(window.start)).collect::<Vec<Uuid>>())
    .bind(windows.iter().map(|window| view::first_id(window.end)).collect::<Vec<Uuid>>())
    .bind(first)
    .bind(past)
    .bind(COUNTED_MAX)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(READING))?;
    let row = |row: &PgRow| {
        let (route, url, views): (String, String, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(UrlCount { url: unpack_url(&url, &route), route, views: views.unsigned_abs() })
    };
    let rows: Result<Vec<UrlCount>, sqlx::Error> = rows.iter().map(row).collect();
    Ok(UrlCounts { scanned, rows: rows.map_err(failed(READING))? })
}
