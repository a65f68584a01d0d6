//! Builds the rows of weeks from those of their days, and takes weeks back.

use crate::error::failed;
use crate::names::json;
use crate::rows::{self, Rows, Versions};
use crate::site_rows::Step;
use crate::{SqliteStore, query};
use fieldvitals_store::rollup::{
    self, BlockKey, Coverage, Difference, Grain, Read, Scope, add_block, days_of_week, differences,
    first_whole_week,
};
use fieldvitals_store::{SiteId, StoreError};
use sqlx::sqlite::SqliteConnection;
use std::collections::HashMap;

const BUILDING: &str = "building the rollups of weeks";

/// The sites with weeks to build before a week.
pub(crate) const DUE: &str = "/* rollup.week.due */ select s.site_id from site s \
    left join rollup_week_built b on b.site_id = s.site_id \
    where coalesce(b.before_week, -2147483648) < ? \
    and not exists (select 1 from rollup_lacking l where l.site_id = s.site_id)";

/// Builds the first week before `end` that is not built and has page views. Sums the rows of its days, without the write
/// lock.
pub(crate) async fn build_week(store: &SqliteStore, site: SiteId, end: i32) -> Result<Step, StoreError> {
    let mut transaction = store.read(BUILDING).await?;
    let connection = &mut *transaction;
    let coverage = query::coverage(connection, site).await?;
    if coverage.weeks_end >= end {
        return Ok(Step::Complete);
    }
    let version = Versions::of(connection, &[site]).await?;
    let first = first_whole_week(coverage.retained.days_from_ms).max(coverage.weeks_end);
    let days = days_of_week(first).start..days_of_week(end).start;
    let week = rows::next_step(connection, site, Grain::Day, &days).await?;
    let week = week.map(|day| Grain::Week.step(Grain::Day.start_ms(day)));
    let made = match week {
        None => Vec::new(),
        Some(week) => {
            let mut sums = Rows::new();
            for slot in rollup::slots() {
                add_days(connection, site, (week, slot), &mut sums).await?;
            }
            rows::make_first(site, sums)?
        }
    };
    drop(transaction);

    let mut transaction = store.write(BUILDING).await?;
    let connection = &mut *transaction;
    if !version.claim(connection).await? {
        return Ok(Step::Disturbed);
    }
    // A site that is deleted meanwhile must get no rows.
    let built = sqlx::query(
        "/* rollup.week.built */ insert into rollup_week_built (site_id, before_week) \
         select site_id, ?2 from site where site_id = ?1 \
         on conflict (site_id) do update set before_week = excluded.before_week",
    )
    .bind(site.0)
    .bind(week.map_or(end, |week| week.saturating_add(1)))
    .execute(&mut *connection)
    .await
    .map_err(failed(BUILDING))?;
    if built.rows_affected() != 1 {
        return Ok(Step::Complete);
    }
    if let Some(week) = week {
        // Rows of before the week was taken back.
        rows::clear(connection, site, Grain::Week, week..week.saturating_add(1)).await?;
        rows::put(connection, made).await?;
    }
    transaction.commit().await.map_err(failed(BUILDING))?;
    Ok(if week.is_some() { Step::Built } else { Step::Complete })
}

/// Returns the first week that is not built of some sites. Sites of which no week is built are absent.
pub(crate) async fn ends(
    connection: &mut SqliteConnection,
    sites: &[SiteId],
) -> Result<HashMap<SiteId, i32>, StoreError> {
    let sites: Vec<i64> = sites.iter().map(|site| site.0).collect();
    let ends: Vec<(i64, i32)> = sqlx::query_as(
        "/* rollup.week.ends */ select site_id, before_week from rollup_week_built \
         where site_id in (select value from json_each(?))",
    )
    .bind(json(&sites)?)
    .fetch_all(connection)
    .await
    .map_err(failed(BUILDING))?;
    Ok(ends.into_iter().map(|(site, end)| (SiteId(site), end)).collect())
}

/// Adds the rows of the days of a week, for one slot, to the rows of the week.
async fn add_days(
    connection: &mut SqliteConnection,
    site: SiteId,
    (week, slot): (i32, i16),
    sums: &mut Rows,
) -> Result<(), StoreError> {
    for scope in [Scope::Site, Scope::Routes] {
        let days = Read { grain: Grain::Day, steps: days_of_week(week), scope };
        rows::read(connection, site, slot, days, |key, cells| {
            add_block(sums, BlockKey { grain: Grain::Week, step: week, ..key }, cells).ok()
        })
        .await?;
    }
    Ok(())
}

/// Makes the week of a moment and all later ones unbuilt. The caller changes rows of days otherwise than by a fold, and
/// increments the version.
pub(crate) async fn unbuild(
    connection: &mut SqliteConnection,
    site: SiteId,
    at_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* rollup.week.unbuild */ update rollup_week_built set before_week = ?2 \
         where site_id = ?1 and before_week > ?2",
    )
    .bind(site.0)
    .bind(Grain::Week.step(at_ms))
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed(BUILDING))
}

/// Compares the week that ends with a day with the rows of its days. A week of page views until an earlier day ends with
/// that day. Returns no difference for any other day.
pub(crate) async fn verify(
    connection: &mut SqliteConnection,
    site: SiteId,
    day: i32,
    coverage: &Coverage,
) -> Result<Vec<Difference>, StoreError> {
    let week = Grain::Week.step(Grain::Day.start_ms(day));
    let later = day.saturating_add(1)..days_of_week(week).end;
    if !coverage.has_week(week) || rows::next_step(connection, site, Grain::Day, &later).await?.is_some() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    // One slot at a time, because the rows of a week are large.
    for slot in rollup::slots() {
        let (mut stored, mut expected) = (Rows::new(), Rows::new());
        for scope in [Scope::Site, Scope::Routes] {
            let read = Read { grain: Grain::Week, steps: week..week.saturating_add(1), scope };
            rows::read(connection, site, slot, read, |key, cells| add_block(&mut stored, key, cells).ok())
                .await?;
        }
        add_days(connection, site, (week, slot), &mut expected).await?;
        for rows in [&mut stored, &mut expected] {
            rows.retain(|key, _| coverage.covers(key));
        }
        found.extend(differences(&stored, &expected));
    }
    Ok(found)
}
