//! The rows of weeks: their sums from those of days, their comparison, and taking weeks back.

use crate::compute::compute;
use crate::error::{damaged_rollup, failed};
use crate::rows;
use crate::sql::query;
use fieldvitals_store::rollup::{
    BlockKey, Coverage, Difference, Grain, Read, Row, RowKey, Scope, add_block, days_of_week, differences,
    slots,
};
use fieldvitals_store::{SiteId, StoreError};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use vitals::histogram::EncodingError;

const READING: &str = "reading the rollups of weeks";

/// Sums the rows of the days of a week, for one slot.
pub(crate) async fn sum_days(
    connection: &mut PgConnection,
    site: SiteId,
    week: i32,
    slot: i16,
) -> Result<BTreeMap<RowKey, Row>, StoreError> {
    read(connection, site, slot, (Grain::Day, days_of_week(week)), move |key| BlockKey {
        grain: Grain::Week,
        step: week,
        ..key
    })
    .await
}

/// Reads the rows of some steps, for one slot, under the keys that `rename` gives.
async fn read(
    connection: &mut PgConnection,
    site: SiteId,
    slot: i16,
    (grain, steps): (Grain, Range<i32>),
    rename: impl Fn(BlockKey) -> BlockKey + Send + 'static,
) -> Result<BTreeMap<RowKey, Row>, StoreError> {
    let mut blocks: Vec<(BlockKey, Vec<u8>)> = Vec::new();
    for scope in [Scope::Site, Scope::Routes] {
        let read = Read { grain, steps: steps.clone(), scope };
        rows::read(connection, site, &[slot], read, |key, cells| {
            blocks.push((key, cells.to_vec()));
            Ok(())
        })
        .await?;
    }
    // Decoding takes milliseconds and must not block async tasks on this thread.
    let decoded = compute(move || {
        let mut rows = BTreeMap::new();
        for (key, cells) in blocks {
            add_block(&mut rows, rename(key), &cells)?;
        }
        Ok(rows)
    });
    let decoded: Result<_, EncodingError> = decoded.await?;
    decoded.map_err(|_| damaged_rollup(READING, "a rollup block"))
}

/// Returns the first week that is not built of some sites. Sites of which no week is built are absent.
pub(crate) async fn ends(
    connection: &mut PgConnection,
    sites: impl Iterator<Item = SiteId>,
) -> Result<HashMap<SiteId, i32>, StoreError> {
    let rows = query(
        "/* rollup.week.ends */ select site_id, before_week from rollup_week_built where site_id = any($1)",
    )
    .bind(sites.map(|site| site.0).collect::<Vec<i64>>())
    .fetch_all(connection)
    .await
    .map_err(failed(READING))?;
    let end = |row: &PgRow| Ok((SiteId(row.try_get(0)?), row.try_get(1)?));
    rows.iter().map(|row| end(row).map_err(failed(READING))).collect()
}

/// Makes the week of a moment and all later ones unbuilt. The caller changes rows of days otherwise than by a fold, and
/// excludes maintenance.
pub(crate) async fn unbuild(
    connection: &mut PgConnection,
    site: SiteId,
    at_ms: i64,
) -> Result<(), StoreError> {
    query(
        "/* rollup.week.unbuild */ update rollup_week_built set before_week = $2 \
         where site_id = $1 and before_week > $2",
    )
    .bind(site.0)
    .bind(Grain::Week.step(at_ms))
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed(READING))
}

/// Compares the week that ends with a day with the rows of its days. A week of page views until an earlier day ends with
/// that day. Returns no difference for any other day.
pub(crate) async fn verify(
    connection: &mut PgConnection,
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
    for slot in slots() {
        let steps = (Grain::Week, week..week.saturating_add(1));
        let mut stored = read(connection, site, slot, steps, |key| key).await?;
        let mut expected = sum_days(connection, site, week, slot).await?;
        for rows in [&mut stored, &mut expected] {
            rows.retain(|key, _| coverage.covers(key));
        }
        found.extend(differences(&stored, &expected));
    }
    Ok(found)
}
