//! Counts page views by URL.

use crate::SqliteStore;
use crate::error::failed;
use crate::names::json;
use crate::query::{count_views, coverage};
use crate::scan::windows;
use fieldvitals_store::rollup::{From, Plan};
use fieldvitals_store::scan::Scanned;
use fieldvitals_store::urls::COUNTED_MAX;
use fieldvitals_store::{CellQuery, SiteId, StoreError, UrlCount, UrlCounts, limits, unpack_url};
use std::ops::Range;

const READING: &str = "counting page views by URL";

pub(crate) async fn urls(
    store: &SqliteStore,
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
    let scanned = Scanned::plan(range, u64::try_from(counted).unwrap_or(0), limits::SAMPLE_VIEWS_MAX);
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "/* view.urls */ select r.route, c.url, c.views from (select route_id, url, count(*) as views from \
         (select v.route_id, v.url from json_each(?2) w cross join page_view v \
         where v.site_id = ?1 and v.id >= unhex(w.value ->> 0) and v.id < unhex(w.value ->> 1) limit ?3) \
         group by route_id, url) c cross join route r on r.site_id = ?1 and r.route_id = c.route_id",
    )
    .bind(site.0)
    .bind(json(&windows(&scanned))?)
    .bind(COUNTED_MAX)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(READING))?;
    let row = |(route, url, views): (String, String, i64)| UrlCount {
        url: unpack_url(&url, &route),
        route,
        views: views.unsigned_abs(),
    };
    Ok(UrlCounts { scanned, rows: rows.into_iter().map(row).collect() })
}
