//! Exact counts and values of page views.

use crate::error::{damaged, failed};
use crate::query::retention_edges;
use crate::{SqliteStore, view};
use fieldvitals_store::dimension::device_code;
use fieldvitals_store::limits::SORT_VIEWS_MAX;
use fieldvitals_store::{StoreError, Tally, TallyBuilder, TallyQuery, metric_branches};
use futures_util::TryStreamExt;
use sqlx::Row;

const READING: &str = "counting page views";

/// The page views that a tally is about, with their value of the metric in millionths.
macro_rules! tallied {
    ($name:literal, $select:literal, $rest:literal) => {
        concat!(
            "/* ",
            $name,
            " */ select ",
            $select,
            " from (select v.id, \
             case ?4 ",
            metric_branches!(),
            " end as value \
             from page_view v where v.site_id = ?1 and v.id >= ?2 and v.id < ?3 \
             and v.route_id in (select r.route_id from route r \
             where r.site_id = ?1 and r.route in (select value from json_each(?5))) \
             and (?6 is null or v.device = ?6) and (?7 is null or v.browser = ?7) \
             and (?8 is null or v.country = ?8) and (?9 is null or v.connection = ?9) \
             and (?10 is null or v.navigation_type = ?10) and (?11 is null or v.release = ?11) \
             and (?12 is null or v.os = ?12)) where value is not null",
            $rest
        )
    };
}

pub(crate) async fn tally(store: &SqliteStore, query: &TallyQuery) -> Result<Tally, StoreError> {
    let mut transaction = store.read(READING).await?;
    let from_ms = query.from_ms.max(retention_edges(&mut transaction).await?.views_from_ms);
    let routes = serde_json::to_string(&query.routes).map_err(|error| damaged(READING, error))?;
    let filters = &query.filters;
    let asked = |sql: &'static str| {
        sqlx::query(sql)
            .bind(query.site.0)
            .bind(view::first_id(from_ms))
            .bind(view::first_id(query.to_ms))
            .bind(query.metric as i64)
            .bind(routes.as_str())
            .bind(filters.device.map(|device| i64::from(device_code(Some(device)))))
            .bind(filters.browser.as_deref())
            .bind(filters.country.as_deref())
            .bind(filters.connection.as_deref())
            .bind(filters.navigation_type.map(|kind| kind as i64))
            .bind(filters.release.as_deref())
            .bind(filters.os.map(|os| os as i64))
    };
    let mut tally = TallyBuilder::new(query);
    let mut read = 0;
    {
        // Sorted by the builder: SQLite's own sorting takes three times as long.
        let mut rows = asked(tallied!("view.tally.values", "id, value", " limit ?13"))
            .bind(i64::try_from(SORT_VIEWS_MAX).unwrap_or(i64::MAX).saturating_add(1))
            .fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
            let start_ms = view::start_ms(&row, 0).map_err(failed(READING))?;
            tally.add(start_ms, row.try_get(1).map_err(failed(READING))?);
            read += 1;
        }
    }
    if read <= SORT_VIEWS_MAX {
        return Ok(tally.finish());
    }
    let counted = asked(tallied!("view.tally", "count(*), coalesce(sum(value <= ?13), 0)", ""))
        .bind(i64::from(query.at_most.micros()))
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed(READING))?;
    let number = |place: usize| -> Result<u64, StoreError> {
        let number: i64 = counted.try_get(place).map_err(failed(READING))?;
        Ok(number.unsigned_abs())
    };
    Ok(Tally { n: number(0)?, within: number(1)?, ..Tally::default() })
}
