//! Builds the rows of the whole site for days from before these rows.

use crate::error::failed;
use crate::rows::{self, Rows, Versions};
use crate::{SqliteStore, query};
use fieldvitals_store::rollup::{DAY_MS, Part, Scope, SiteRows, Stored, slot};
use fieldvitals_store::{Dimension, RetentionEdges, SiteId, StoreError};
use sqlx::sqlite::SqliteConnection;

const BUILDING: &str = "building the rollups of the whole site";

/// The sites with days to build.
pub(crate) const LACKING: &str = "/* rollup.lacking.sites */ select site_id from rollup_lacking";

/// Result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A day was built.
    Built,
    /// Another process changed the site's rollups meanwhile: the step must be repeated.
    Disturbed,
    /// No day is left.
    Complete,
}

/// Builds the latest day that lacks rows of the site. Sums the rows of its routes, without the write lock.
pub(crate) async fn build_day(store: &SqliteStore, site: SiteId) -> Result<Step, StoreError> {
    let mut transaction = store.read(BUILDING).await?;
    let retained = query::retention_edges(&mut transaction).await?;
    let before: Option<i32> = sqlx::query_scalar(
        "/* rollup.lacking.site */ select before_day from rollup_lacking where site_id = ?",
    )
    .bind(site.0)
    .fetch_optional(&mut *transaction)
    .await
    .map_err(failed(BUILDING))?;
    let Some(before) = before else { return Ok(Step::Complete) };
    let version = Versions::of(&mut transaction, &[site]).await?;
    let day = latest_day(&mut transaction, site, before).await?;
    let made = match day {
        None => Vec::new(),
        Some(day) => {
            let rows = site_rows(&mut transaction, site, day, &retained).await?;
            rows::make(&mut transaction, rows::blocks(site, rows).collect(), Stored::Replaced).await?
        }
    };
    drop(transaction);

    let mut transaction = store.write(BUILDING).await?;
    let moved = match day {
        None => sqlx::query("/* rollup.lacking.done */ delete from rollup_lacking where site_id = ?"),
        Some(_) => sqlx::query(
            "/* rollup.lacking.move */ update rollup_lacking set before_day = ?2 \
             where site_id = ?1 and before_day = ?3",
        ),
    };
    let moved = moved.bind(site.0).bind(day).bind(before).execute(&mut *transaction).await;
    // A site that is deleted meanwhile must get no rows. Its row of `rollup_lacking` goes first.
    if moved.map_err(failed(BUILDING))?.rows_affected() != 1 || !version.claim(&mut transaction).await? {
        return Ok(Step::Disturbed);
    }
    rows::put(&mut transaction, made).await?;
    transaction.commit().await.map_err(failed(BUILDING))?;
    Ok(if day.is_some() { Step::Built } else { Step::Complete })
}

/// The latest UTC day before a day that has rows. A day with rows of the site alone counts: an erasure of all its page
/// views may have folded into them before they were built.
async fn latest_day(
    connection: &mut SqliteConnection,
    site: SiteId,
    before: i32,
) -> Result<Option<i32>, StoreError> {
    sqlx::query_scalar(
        "/* rollup.lacking.day */ select max(day) from (select max(step) as day from rollup_day \
         where site_id = ?1 and slot = ?2 and step < ?3 and block >= ?4 and block <= ?5 \
         union all select max(step) / 24 from rollup_hour \
         where site_id = ?1 and slot = ?2 and step < ?3 * 24 and block >= ?4 and block <= ?5)",
    )
    .bind(site.0)
    // This slot counts every page view.
    .bind(slot(Dimension::Device, Part::Views))
    .bind(before)
    .bind(*Scope::Site.blocks().start())
    .bind(*Scope::Routes.blocks().end())
    .fetch_one(connection)
    .await
    .map_err(failed(BUILDING))
}

/// The rows of the site on a UTC day, from the rows of its routes.
async fn site_rows(
    connection: &mut SqliteConnection,
    site: SiteId,
    day: i32,
    retained: &RetentionEdges,
) -> Result<Rows, StoreError> {
    let mut all = Rows::new();
    // One dimension at a time, because the sums of a dimension with many values are large.
    for dimension in Dimension::ALL {
        let mut sums = SiteRows::new(dimension, i64::from(day) * DAY_MS, retained);
        for read in sums.reads() {
            for slot in sums.slots() {
                rows::read(connection, site, slot, read.clone(), |key, cells| {
                    sums.add_block(key, cells).ok()
                })
                .await?;
            }
        }
        all.extend(sums.finish());
    }
    Ok(all)
}
