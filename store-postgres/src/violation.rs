//! Stores violations of budgets.

use crate::PostgresStore;
use crate::error::{damaged, failed};
use crate::sql::query;
use fieldvitals_store::dimension::{device_code, device_of_code};
use fieldvitals_store::{Judgement, SiteId, StoreError, Violation};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use vitals::metric::{Metric, Value};

const WRITING: &str = "taking note of judged budgets";
const READING: &str = "reading violations";
const DISMISSING: &str = "dismissing a violation";

pub(crate) async fn judge(
    store: &PostgresStore,
    site: SiteId,
    now_ms: i64,
    judgements: &[Judgement],
) -> Result<(), StoreError> {
    let mut transaction = store.write(WRITING).await?;
    let connection = &mut *transaction;
    // Serializes the judgements of a site: each takes the next number or the open violation.
    query("/* site.judged */ select site_id from site where site_id = $1 for no key update")
        .bind(site.0)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed(WRITING))?
        .ok_or(StoreError::NoSuchSite)?;
    for judgement in judgements {
        match judgement.broken {
            Some(true) => broken(connection, site, now_ms, judgement).await?,
            Some(false) => kept(connection, site, now_ms, &judgement.key).await?,
            None => {}
        }
    }
    transaction.commit().await.map_err(failed(WRITING))
}

/// Renews the open violation of the budget, or opens one.
async fn broken(
    connection: &mut PgConnection,
    site: SiteId,
    now_ms: i64,
    judgement: &Judgement,
) -> Result<(), StoreError> {
    // The site's row is locked, so the number is free. The select is separate, because a distributed insert cannot
    // contain it.
    let next: i64 = query(
        "/* violation.next */ select coalesce(max(violation_id), 0) + 1 from violation where site_id = $1",
    )
    .bind(site.0)
    .fetch_one(&mut *connection)
    .await
    .and_then(|row| row.try_get(0))
    .map_err(failed(WRITING))?;
    query(
        "/* violation.broken */ insert into violation (site_id, violation_id, budget_key, route, metric, \
         percentile, at_most, device, release, measured, n, within, opened_ms, last_seen_ms) \
         values ($1, $13, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12) \
         on conflict (site_id, budget_key) where resolved_ms is null do update set route = excluded.route, \
         metric = excluded.metric, percentile = excluded.percentile, at_most = excluded.at_most, \
         device = excluded.device, release = excluded.release, measured = excluded.measured, \
         n = excluded.n, within = excluded.within, last_seen_ms = excluded.last_seen_ms",
    )
    .bind(site.0)
    .bind(judgement.key.as_str())
    .bind(judgement.route.as_str())
    .bind(judgement.metric as i16)
    .bind(i16::from(judgement.percentile))
    .bind(i64::from(judgement.at_most.micros()))
    .bind(i16::from(device_code(judgement.device)))
    .bind(judgement.release.as_deref())
    .bind(judgement.measured.map(|value| i64::from(value.micros())))
    .bind(judgement.n)
    .bind(judgement.within)
    .bind(now_ms)
    .bind(next)
    .execute(connection)
    .await
    .map_err(failed(WRITING))?;
    Ok(())
}

/// Resolves the open violation of a budget, if there is one.
async fn kept(connection: &mut PgConnection, site: SiteId, now_ms: i64, key: &str) -> Result<(), StoreError> {
    query(
        "/* violation.resolve */ update violation set resolved_ms = $3 \
         where site_id = $1 and budget_key = $2 and resolved_ms is null",
    )
    .bind(site.0)
    .bind(key)
    .bind(now_ms)
    .execute(connection)
    .await
    .map_err(failed(WRITING))?;
    Ok(())
}

pub(crate) async fn dismiss(
    store: &PostgresStore,
    site: SiteId,
    id: i64,
    now_ms: i64,
    by: &str,
) -> Result<bool, StoreError> {
    let mut transaction = store.write(DISMISSING).await?;
    let changed = query(
        "/* violation.dismiss */ update violation set dismissed_ms = $3, dismissed_by = $4 \
         where site_id = $1 and violation_id = $2 and resolved_ms is null and dismissed_ms is null",
    )
    .bind(site.0)
    .bind(id)
    .bind(now_ms)
    .bind(by)
    .execute(&mut *transaction)
    .await
    .map_err(failed(DISMISSING))?;
    transaction.commit().await.map_err(failed(DISMISSING))?;
    Ok(changed.rows_affected() == 1)
}

pub(crate) async fn list(
    store: &PostgresStore,
    site: SiteId,
    open_only: bool,
    skip: u32,
    limit: u32,
) -> Result<Vec<Violation>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let rows = query(
        "/* violation.list */ select violation_id, budget_key, route, metric, percentile, at_most, device, \
         release, measured, n, within, opened_ms, last_seen_ms, resolved_ms, dismissed_ms, dismissed_by from violation \
         where site_id = $1 and (not $2 or (resolved_ms is null and dismissed_ms is null)) \
         order by resolved_ms is not null, resolved_ms is null and dismissed_ms is not null, opened_ms desc, \
         violation_id desc \
         limit $4 offset $3",
    )
    .bind(site.0)
    .bind(open_only)
    .bind(i64::from(skip))
    .bind(i64::from(limit))
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(READING))?;
    rows.iter()
        .map(|row| parse(row).map_err(|error| damaged(READING, format_args!("a violation ({error})"))))
        .collect()
}

fn parse(row: &PgRow) -> Result<Violation, sqlx::Error> {
    let wrong = |what: &str| sqlx::Error::Decode(what.into());
    let small =
        |place: usize| row.try_get::<i16, _>(place).map(|number| u8::try_from(number).unwrap_or(u8::MAX));
    let metric = Metric::ALL.get(usize::from(small(3)?)).copied().ok_or_else(|| wrong("metric"))?;
    let value =
        |micros: i64| u32::try_from(micros).ok().and_then(|micros| Value::from_micros(metric, micros));
    let (dismissed_ms, dismissed_by): (Option<i64>, Option<String>) = (row.try_get(14)?, row.try_get(15)?);
    Ok(Violation {
        id: row.try_get(0)?,
        judgement: Judgement {
            key: row.try_get(1)?,
            broken: Some(true),
            route: row.try_get(2)?,
            metric,
            percentile: small(4)?,
            at_most: value(row.try_get(5)?).ok_or_else(|| wrong("at_most"))?,
            device: device_of_code(small(6)?),
            release: row.try_get(7)?,
            measured: row.try_get::<Option<i64>, _>(8)?.and_then(value),
            n: row.try_get(9)?,
            within: row.try_get(10)?,
        },
        opened_ms: row.try_get(11)?,
        last_seen_ms: row.try_get(12)?,
        resolved_ms: row.try_get(13)?,
        dismissed: dismissed_ms.zip(dismissed_by),
    })
}

pub(crate) async fn put(
    store: &PostgresStore,
    site: SiteId,
    violations: &[Violation],
) -> Result<(), StoreError> {
    let mut transaction = store.write(WRITING).await?;
    let connection = &mut *transaction;
    // Serializes like `judge`.
    query("/* site.judged */ select site_id from site where site_id = $1 for no key update")
        .bind(site.0)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed(WRITING))?
        .ok_or(StoreError::NoSuchSite)?;
    for Violation { id, judgement, opened_ms, last_seen_ms, resolved_ms, dismissed } in violations {
        query(
            "/* violation.put */ insert into violation (site_id, violation_id, budget_key, route, metric, \
             percentile, at_most, device, release, measured, n, within, opened_ms, last_seen_ms, \
             resolved_ms, dismissed_ms, dismissed_by) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
             on conflict do nothing",
        )
        .bind(site.0)
        .bind(id)
        .bind(judgement.key.as_str())
        .bind(judgement.route.as_str())
        .bind(judgement.metric as i16)
        .bind(i16::from(judgement.percentile))
        .bind(i64::from(judgement.at_most.micros()))
        .bind(i16::from(device_code(judgement.device)))
        .bind(judgement.release.as_deref())
        .bind(judgement.measured.map(|value| i64::from(value.micros())))
        .bind(judgement.n)
        .bind(judgement.within)
        .bind(opened_ms)
        .bind(last_seen_ms)
        .bind(resolved_ms)
        .bind(dismissed.as_ref().map(|(at_ms, _)| *at_ms))
        .bind(dismissed.as_ref().map(|(_, by)| by.as_str()))
        .execute(&mut *connection)
        .await
        .map_err(failed(WRITING))?;
    }
    transaction.commit().await.map_err(failed(WRITING))
}
