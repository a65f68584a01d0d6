//! Builds the rows of the whole site for days from before these rows.

use super::lease::Lease;
use crate::compute::compute;
use crate::error::{damaged_rollup, failed};
use crate::query::retention_edges;
use crate::rows;
use crate::sql::query;
use fieldvitals_store::rollup::{BlockKey, DAY_MS, Part, Row, RowKey, Scope, SiteRows, Stored, slot};
use fieldvitals_store::{Dimension, RetentionEdges, SiteId, StoreError};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const BUILDING: &str = "building the rollups of the whole site";

/// The sites with days to build.
pub(super) const LACKING: &str = "/* rollup.lacking.sites */ select site_id from rollup_lacking";
/// Time of a round for building, which the folds of the next round wait for. The next round continues.
pub(super) const BUILD_TIME: Duration = Duration::from_secs(20);

impl Lease<'_> {
    /// Builds the days of a site that lack rows of the site, the latest first. Returns the number of days.
    pub(super) async fn build_days(&self, site: SiteId, began: Instant) -> Result<u64, StoreError> {
        let mut built = 0;
        while began.elapsed() < BUILD_TIME && self.build_day(site).await? {
            built += 1;
        }
        Ok(built)
    }

    /// Builds the latest day, from the rows of its routes. Returns `false` if no day is left.
    async fn build_day(&self, site: SiteId) -> Result<bool, StoreError> {
        let mut transaction = self.step(BUILDING).await?;
        let connection = &mut *transaction;
        // The lock holds off the deletion of the site, which removes this row first.
        let before = query(
            "/* rollup.lacking.site */ select before_day from rollup_lacking where site_id = $1 for update",
        )
        .bind(site.0)
        .fetch_optional(&mut *connection)
        .await
        .and_then(|row| row.map(|row| row.try_get(0)).transpose())
        .map_err(failed(BUILDING))?;
        let Some(before) = before else { return Ok(false) };
        let day = latest_day(connection, site, before).await?;
        let moved = match day {
            None => {
                query("/* rollup.lacking.done */ delete from rollup_lacking where site_id = $1").bind(site.0)
            }
            Some(day) => {
                let retained = retention_edges(connection).await?;
                let rows = site_rows(connection, site, day, &retained).await?;
                rows::write(connection, vec![(site, rows)], Stored::Replaced).await?;
                query(
                    "/* rollup.lacking.move */ update rollup_lacking set before_day = $2 where site_id = $1",
                )
                .bind(site.0)
                .bind(day)
            }
        };
        moved.execute(&mut *connection).await.map_err(failed(BUILDING))?;
        transaction.commit().await.map_err(failed(BUILDING))?;
        Ok(day.is_some())
    }
}

/// The latest UTC day before a day that has rows. A day with rows of the site alone counts: an erasure of all its page
/// views may have folded into them before they were built.
async fn latest_day(
    connection: &mut PgConnection,
    site: SiteId,
    before: i32,
) -> Result<Option<i32>, StoreError> {
    query(
        "/* rollup.lacking.day */ select max(day) from (select max(step) as day from rollup_day \
         where site_id = $1 and slot = $2 and step < $3 and block >= $4 and block <= $5 \
         union all select max(step) / 24 from rollup_hour \
         where site_id = $1 and slot = $2 and step < $3::bigint * 24 and block >= $4 and block <= $5) d",
    )
    .bind(site.0)
    // This slot counts every page view.
    .bind(slot(Dimension::Device, Part::Views))
    .bind(before)
    .bind(*Scope::Site.blocks().start())
    .bind(*Scope::Routes.blocks().end())
    .fetch_one(connection)
    .await
    .and_then(|row| row.try_get(0))
    .map_err(failed(BUILDING))
}

/// The rows of the site on a UTC day, from the rows of its routes.
async fn site_rows(
    connection: &mut PgConnection,
    site: SiteId,
    day: i32,
    retained: &RetentionEdges,
) -> Result<BTreeMap<RowKey, Row>, StoreError> {
    let mut all = BTreeMap::new();
    // One dimension at a time, because the sums of a dimension with many values are large.
    for dimension in Dimension::ALL {
        let mut sums = SiteRows::new(dimension, i64::from(day) * DAY_MS, retained);
        let slots: Vec<i16> = sums.slots().collect();
        let mut blocks: Vec<(BlockKey, Vec<u8>)> = Vec::new();
        for read in sums.reads() {
            let take = |key, cells: &[u8]| {
                blocks.push((key, cells.to_vec()));
                Ok(())
            };
            rows::read(connection, site, &slots, read, take).await?;
        }
        // Adding takes milliseconds and must not block async tasks on this thread.
        let summed = compute(move || {
            for (key, cells) in blocks {
                sums.add_block(key, &cells)?;
            }
            Ok(sums.finish())
        });
        let summed: Result<_, vitals::histogram::EncodingError> = summed.await?;
        all.extend(summed.map_err(|_| damaged_rollup(BUILDING, "a rollup block"))?);
    }
    Ok(all)
}
