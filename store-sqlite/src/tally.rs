//! Exact counts and percentiles of page views.

use crate::error::{damaged, failed};
use crate::query::retention_edges;
use crate::{SqliteStore, view};
use fieldvitals_store::dimension::device_code;
use fieldvitals_store::{Ranks, StoreError, Tally, TallyQuery, metric_branches};
use futures_util::TryStreamExt;
use sqlx::Row;

const READING: &str = "counting page views";

/// The values of a metric, in millionths, of the page views that a tally is about.
macro_rules! tallied {
    ($name:literal, $select:literal, $where:literal) => {
        concat!(
            "/* ",
            $name,
            " */ select ",
            $select,
            " from (select \
             case ?7 ",
            metric_branches!(),
            " end as value \
             from page_view v where v.site_id = ?1 and v.id >= ?2 and v.id < ?3 \
             and v.route_id in (select r.route_id from route r \
             where r.site_id = ?1 and r.route in (select value from json_each(?4))) \
             and (?5 is null or v.device = ?5) and (?6 is null or v.release = ?6))",
            $where
        )
    };
}

pub(crate) async fn tally(store: &SqliteStore, query: &TallyQuery) -> Result<Tally, StoreError> {
    let mut transaction = store.read(READING).await?;
    let from_ms = query.from_ms.max(retention_edges(&mut transaction).await?.views_from_ms);
    let routes = serde_json::to_string(&query.routes).map_err(|error| damaged(READING, error))?;
    let asked = |sql: &'static str| {
        sqlx::query(sql)
            .bind(query.site.0)
            .bind(view::first_id(from_ms))
            .bind(view::first_id(query.to_ms))
            .bind(routes.as_str())
            .bind(query.device.map(|device| i64::from(device_code(Some(device)))))
            .bind(query.release.as_deref())
            .bind(query.metric as i64)
    };
    let counted = asked(tallied!("view.tally", "count(value), coalesce(sum(value <= ?8), 0)", ""))
        .bind(i64::from(query.at_most.micros()))
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed(READING))?;
    let number = |place: usize| counted.try_get(place).map_err(failed(READING));
    let (n, within): (i64, i64) = (number(0)?, number(1)?);
    let ranks = Ranks::of(n, query.percent);
    let mut values: Vec<u32> = Vec::new();
    if let Some(ranks) = ranks {
        // Sorted here: SQLite's own sorting takes three times as long.
        let mut rows = asked(tallied!("view.tally.values", "value", " where value is not null"))
            .fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
            values.push(row.try_get(0).map_err(failed(READING))?);
        }
        values.sort_unstable();
        let (first, last) = ranks.span();
        values.truncate(usize::try_from(last).unwrap_or(usize::MAX));
        values.drain(..usize::try_from(first.saturating_sub(1)).unwrap_or(0).min(values.len()));
    }
    Ok(Tally::new(query.metric, n, within, ranks, &values))
}
