//! Builds the rows of weeks from those of their days.

use super::lease::Lease;
use super::site_rows::BUILD_TIME;
use crate::error::failed;
use crate::sql::query;
use crate::{query as questions, rows, weeks};
use fieldvitals_store::rollup::{Grain, Stored, days_of_week, first_whole_week, slots};
use fieldvitals_store::{SiteId, StoreError};
use std::collections::BTreeMap;
use std::time::Instant;

const BUILDING: &str = "building the rollups of weeks";

/// The sites with weeks to build before a week.
pub(super) const DUE: &str = "/* rollup.week.due */ select s.site_id from site s \
    left join rollup_week_built b on b.site_id = s.site_id \
    where coalesce(b.before_week, -2147483648) < $1 \
    and not exists (select 1 from rollup_lacking l where l.site_id = s.site_id)";

impl Lease<'_> {
    /// Builds the weeks of a site before `end`. Returns their number.
    pub(super) async fn build_weeks(
        &self,
        site: SiteId,
        end: i32,
        began: Instant,
    ) -> Result<u64, StoreError> {
        let mut built = 0;
        while began.elapsed() < BUILD_TIME && self.build_week(site, end).await? {
            built += 1;
        }
        Ok(built)
    }

    /// Builds the first week before `end` that is not built and has page views. Returns `false` if there is none.
    async fn build_week(&self, site: SiteId, end: i32) -> Result<bool, StoreError> {
        let mut transaction = self.step(BUILDING).await?;
        let connection = &mut *transaction;
        // Holds off the deletion of the site, which then removes these rows too.
        let held = query("/* rollup.week.site */ select 1 from site where site_id = $1 for key share")
            .bind(site.0)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed(BUILDING))?;
        if held.is_none() {
            return Ok(false);
        }
        let coverage = questions::coverage(connection, site).await?;
        let first = first_whole_week(coverage.retained.days_from_ms).max(coverage.weeks_end);
        let days = days_of_week(first).start..days_of_week(end).start;
        let week = rows::next_step(connection, site, Grain::Day, &days).await?;
        let week = week.map(|day| Grain::Week.step(Grain::Day.start_ms(day)));
        if let Some(week) = week {
            let mut sums = BTreeMap::new();
            for slot in slots() {
                sums.append(&mut weeks::sum_days(connection, site, week, slot).await?);
            }
            // Rows of before the week was taken back.
            let stored = (Grain::Week, week..week.saturating_add(1));
            rows::remove_steps(connection, site, stored, i64::MAX).await?;
            rows::write(connection, vec![(site, sums)], Stored::Replaced).await?;
        }
        query(
            "/* rollup.week.built */ insert into rollup_week_built (site_id, before_week) values ($1, $2) \
             on conflict (site_id) do update set before_week = excluded.before_week",
        )
        .bind(site.0)
        .bind(week.map_or(end, |week| week.saturating_add(1)))
        .execute(&mut *connection)
        .await
        .map_err(failed(BUILDING))?;
        transaction.commit().await.map_err(failed(BUILDING))?;
        Ok(week.is_some())
    }
}
