//! Exact counts and percentiles of page views.

use crate::error::failed;
use crate::facts;
use crate::sql::query as sql;
use crate::{PostgresStore, view};
use fieldvitals_store::dimension::device_code;
use fieldvitals_store::{Ranks, StoreError, Tally, TallyQuery, metric_branches};
use sqlx::Row;

const READING: &str = "counting page views";

/// The values of a metric, in millionths, of the page views that a tally is about.
macro_rules! tallied {
    ($name:literal, $select:literal, $rest:literal) => {
        concat!(
            "/* ",
            $name,
            " */ select ",
            $select,
            " from (select case $7::smallint ",
            metric_branches!(),
            " end as value \
             from page_view v where v.site_id = $1 and v.id >= $2 and v.id < $3 \
             and v.route_id in (select r.route_id from route r where r.site_id = $1 and r.route = any($4)) \
             and ($5::smallint is null or v.device = $5) and ($6::text is null or v.release = $6)) measured",
            $rest
        )
    };
}

pub(crate) async fn tally(store: &PostgresStore, query: &TallyQuery) -> Result<Tally, StoreError> {
    let (mut transaction, retained) = facts::begin_retained(store, READING).await?;
    let from_ms = query.from_ms.max(retained.views_from_ms);
    let asked = |text: &'static str| {
        sql(text)
            .bind(query.site.0)
            .bind(view::first_id(from_ms))
            .bind(view::first_id(query.to_ms))
            .bind(query.routes.as_slice())
            .bind(query.device.map(|device| i16::from(device_code(Some(device)))))
            .bind(query.release.as_deref())
            .bind(query.metric as i16)
    };
    let counted = asked(tallied!("view.tally", "count(value), count(value) filter (where value <= $8)", ""))
        .bind(i64::from(query.at_most.micros()))
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed(READING))?;
    let number = |place: usize| counted.try_get(place).map_err(failed(READING));
    let (n, within): (i64, i64) = (number(0)?, number(1)?);
    let ranks = Ranks::of(n, query.percent);
    let mut values: Vec<u32> = Vec::new();
    if let Some(ranks) = ranks {
        let (first, last) = ranks.span();
        let bigint = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let rows = asked(tallied!(
            "view.tally.values",
            "value",
            " where value is not null order by value offset $8::bigint limit $9::bigint"
        ))
        .bind(bigint(first.saturating_sub(1)))
        .bind(bigint(last.saturating_sub(first).saturating_add(1)))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed(READING))?;
        for row in rows {
            let value: i32 = row.try_get(0).map_err(failed(READING))?;
            values.push(u32::try_from(value).unwrap_or(0));
        }
    }
    Ok(Tally::new(query.metric, n, within, ranks, &values))
}
