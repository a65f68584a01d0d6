//! Exact counts and values of page views.

use crate::error::failed;
use crate::facts;
use crate::sql::query as sql;
use crate::{PostgresStore, view};
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
            " from (select v.id, case $4::smallint ",
            metric_branches!(),
            " end as value \
             from page_view v where v.site_id = $1 and v.id >= $2 and v.id < $3 \
             and v.route_id in (select r.route_id from route r where r.site_id = $1 and r.route = any($5)) \
             and ($6::smallint is null or v.device = $6) and ($7::text is null or v.browser = $7) \
             and ($8::text is null or v.country = $8) and ($9::text is null or v.connection = $9) \
             and ($10::smallint is null or v.navigation_type = $10) and ($11::text is null or v.release = $11) \
             and ($12::smallint is null or v.os = $12)) measured where value is not null",
            $rest
        )
    };
}

pub(crate) async fn tally(store: &PostgresStore, query: &TallyQuery) -> Result<Tally, StoreError> {
    let (mut transaction, retained) = facts::begin_retained(store, READING).await?;
    let from_ms = query.from_ms.max(retained.views_from_ms);
    let filters = &query.filters;
    let asked = |text: &'static str| {
        sql(text)
            .bind(query.site.0)
            .bind(view::first_id(from_ms))
            .bind(view::first_id(query.to_ms))
            .bind(query.metric as i16)
            .bind(query.routes.as_slice())
            .bind(filters.device.map(|device| i16::from(device_code(Some(device)))))
            .bind(filters.browser.as_deref())
            .bind(filters.country.as_deref())
            .bind(filters.connection.as_deref())
            .bind(filters.navigation_type.map(|kind| kind as i16))
            .bind(filters.release.as_deref())
            .bind(filters.os.map(|os| os as i16))
    };
    let mut tally = TallyBuilder::new(query);
    let mut read = 0;
    {
        let mut rows = asked(tallied!("view.tally.values", "id, value", " limit $13::bigint"))
            .bind(i64::try_from(SORT_VIEWS_MAX).unwrap_or(i64::MAX).saturating_add(1))
            .fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
            let start_ms = view::start_ms(&row, 0).map_err(failed(READING))?;
            let value: i32 = row.try_get(1).map_err(failed(READING))?;
            tally.add(start_ms, value.unsigned_abs());
            read += 1;
        }
    }
    if read <= SORT_VIEWS_MAX {
        return Ok(tally.finish());
    }
    let counted = asked(tallied!("view.tally", "count(*), count(*) filter (where value <= $13)", ""))
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
