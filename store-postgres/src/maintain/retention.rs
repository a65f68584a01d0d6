//! Removes data past retention: rollup rows, names and texts of each site, and the partitions of days.

use super::lease::{Lease, hold_off_loads, not_had, wait_little};
use super::{REMOVE_BLOCKS_MAX, REMOVE_VIEWS_MAX, REMOVING};
use crate::error::failed;
use crate::sql::query;
use crate::{load, rows, texts, version, view};
use fieldvitals_store::rollup::{Grain, Scope, slots};
use fieldvitals_store::{Dimension, MaintenancePart, MaintenanceRound, RetentionEdges, SiteId, StoreError};
use sqlx::Row;
use std::sync::PoisonError;
use std::time::Duration;

const DROPPING: &str = "dropping the partition of a day past retention";

/// The sites with rows past retention. Each statement is one that Citus runs on all nodes.
const HOURS_PAST: &str = "/* rollup_hour.past */ select distinct site_id from rollup_hour where slot = any($1) and step < $2 \
     and block >= $3 and block <= $4";
const DAYS_PAST: &str = "/* rollup_day.past */ select distinct site_id from rollup_day where slot = any($1) and step < $2 \
     and block >= $3 and block <= $4";
const NAMES_PAST: &str = "/* name.past */ select distinct site_id from (select site_id from route \
    where last_day < $1 union all select site_id from label where last_day < $1) n";
const TEXTS_PAST: &str = "/* text.past */ select distinct site_id from context_text where day < $1";

/// Maximum steps of [`texts::clean`] per site and round.
const CLEAN_STEPS_MAX: u32 = 50;
/// Attempts to drop a partition in one round. Each attempt blocks other transactions for at most the lock timeout.
const DROP_TRIES: u32 = 3;
/// Time between two attempts.
const DROP_PAUSE: Duration = Duration::from_millis(500);

impl Lease<'_> {
    /// Removes all data past retention. Looks for rows only if the edges have moved since the last time; partitions
    /// are looked for in every round, because others can hold up their removal.
    pub(super) async fn remove_past(
        &self,
        retained: &RetentionEdges,
        round: &mut MaintenanceRound,
    ) -> Result<(), StoreError> {
        // No holder of the lock can panic midway.
        let removed = || self.store.removed.lock().unwrap_or_else(PoisonError::into_inner);
        if *removed() == Some(*retained) {
            return self.drop_days(retained, round).await;
        }
        let (mut all, failed_before) = (true, round.done.undone.len());
        let slots: Vec<i16> = slots().collect();
        for (grain, from_ms, scope) in [
            (Grain::Hour, retained.hours_from_ms, Some(Scope::Routes)),
            (Grain::Hour, retained.site_hours_from_ms, None),
            (Grain::Day, retained.days_from_ms, None),
        ] {
            let blocks = scope.map_or(i16::MIN..=i16::MAX, Scope::blocks);
            let old = query(match grain {
                Grain::Hour => HOURS_PAST,
                Grain::Day => DAYS_PAST,
            });
            let old = old.bind(slots.clone()).bind(grain.step(from_ms));
            for site in self.sites_in(old.bind(*blocks.start()).bind(*blocks.end())).await? {
                let rows = self.remove_rows(site, (grain, scope), from_ms).await;
                round.done.rows_removed += round.part(MaintenancePart::Site(site), rows)?;
            }
        }
        self.drop_days(retained, round).await?;
        for site in self.sites_in(query(NAMES_PAST).bind(Grain::Day.step(retained.days_from_ms))).await? {
            let names = self.remove_names(site, retained).await;
            match round.part(MaintenancePart::Site(site), names.map(Some))?.flatten() {
                Some(names) => round.done.names_removed += names,
                None => all = false,
            }
        }
        for site in self.sites_in(query(TEXTS_PAST).bind(Grain::Day.step(retained.views_from_ms))).await? {
            let texts = self.remove_texts(site, retained).await;
            round.done.names_removed += round.part(MaintenancePart::Site(site), texts)?;
        }
        if all && round.done.undone.len() == failed_before {
            *removed() = Some(*retained);
        }
        Ok(())
    }

    /// Removes the blocks before a day: those of a scope, or all. Returns their number.
    async fn remove_rows(
        &self,
        site: SiteId,
        (grain, scope): (Grain, Option<Scope>),
        from_ms: i64,
    ) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let mut transaction = self.step(REMOVING).await?;
            let steps = (grain, i32::MIN..grain.step(from_ms), scope);
            let rows = rows::remove_steps(&mut transaction, site, steps, REMOVE_BLOCKS_MAX).await?;
            transaction.commit().await.map_err(failed(REMOVING))?;
            removed += rows;
            if rows < REMOVE_BLOCKS_MAX as u64 {
                return Ok(removed);
            }
        }
    }

    /// Removes unused routes and labels past retention. Returns their number; `None` if loads are too busy.
    async fn remove_names(&self, site: SiteId, retained: &RetentionEdges) -> Result<Option<u64>, StoreError> {
        let oldest = Grain::Day.step(retained.days_from_ms);
        let mut transaction = self.store.read(REMOVING).await?;
        let any: bool = query(
            "/* name.old */ select exists (select 1 from route where site_id = $1 and last_day < $2) \
             or exists (select 1 from label where site_id = $1 and last_day < $2)",
        )
        .bind(site.0)
        .bind(oldest)
        .fetch_one(&mut *transaction)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed(REMOVING))?;
        drop(transaction);
        if !any {
            return Ok(Some(0));
        }
        let mut transaction = self.step(REMOVING).await?;
        wait_little(&mut transaction).await?;
        // The following statements see every reference to a name, because no load is running.
        if !hold_off_loads(&mut transaction).await? {
            return Ok(None);
        }
        // Only older page views can refer to an old name: `last_day` is never before the day of a page view with the
        // name.
        let end = view::first_id(retained.days_from_ms);
        let routes = query(
            "/* route.remove.old */ delete from route r where r.site_id = $1 and r.last_day < $2 \
             and not exists (select 1 from page_view v where v.site_id = $1 and v.route_id = r.route_id \
             and v.id < $3)",
        )
        .bind(site.0)
        .bind(oldest)
        .bind(end)
        .execute(&mut *transaction)
        .await
        .map_err(failed(REMOVING))?;
        let mut removed = routes.rows_affected();
        for dimension in Dimension::LABELLED {
            let labels = query(
                "/* label.remove.old */ delete from label l where l.site_id = $1 and l.dimension = $2 \
                 and l.last_day < $3 and not exists (select 1 from page_view v where v.site_id = $1 \
                 and v.id < $4 and l.label = case $2::smallint when 1 then v.browser when 2 then v.country \
                 when 3 then v.connection when 5 then v.release end)",
            )
            .bind(site.0)
            .bind(dimension as i16)
            .bind(oldest)
            .bind(end)
            .execute(&mut *transaction)
            .await
            .map_err(failed(REMOVING))?;
            removed += labels.rows_affected();
        }
        version::count_change(&mut transaction, site).await?;
        transaction.commit().await.map_err(failed(REMOVING))?;
        Ok(Some(removed))
    }

    /// Removes the texts of days whose page views are past retention. Returns their number.
    async fn remove_texts(&self, site: SiteId, retained: &RetentionEdges) -> Result<u64, StoreError> {
        let before = Grain::Day.step(retained.views_from_ms);
        let mut removed = 0;
        while texts::any_before(&mut *self.store.read(REMOVING).await?, site, before).await? {
            let mut transaction = self.step(REMOVING).await?;
            let texts = texts::remove_some(&mut transaction, site, before, REMOVE_VIEWS_MAX).await?;
            transaction.commit().await.map_err(failed(REMOVING))?;
            removed += texts;
        }
        Ok(removed)
    }

    /// Removes unused texts, up to [`CLEAN_STEPS_MAX`] steps. The next round continues, because a running erasure marks
    /// more days.
    pub(super) async fn clean_texts(&self, site: SiteId) -> Result<(), StoreError> {
        for _ in 0..CLEAN_STEPS_MAX {
            if !texts::clean(self.step(REMOVING).await?, site).await? {
                break;
            }
        }
        Ok(())
    }

    /// Drops the partitions of days past retention.
    async fn drop_days(
        &self,
        retained: &RetentionEdges,
        round: &mut MaintenanceRound,
    ) -> Result<(), StoreError> {
        let mut transaction = self.store.read(REMOVING).await?;
        let rows =
            query("/* view.days.old */ select day from page_view_days() day where day < $1 order by day")
                .bind(retained.views_from_ms)
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed(REMOVING))?;
        drop(transaction);
        load::forget_days(self.store, retained.views_from_ms);
        let mut tries = DROP_TRIES;
        for row in rows {
            let day_ms: i64 = row.try_get(0).map_err(failed(REMOVING))?;
            match self.drop_day(day_ms, tries).await? {
                Ok(views) => round.done.views_removed += views,
                Err(why) => {
                    // The cause of this failure may affect the other partitions too.
                    tries = 1;
                    round.leave(MaintenancePart::Day(day_ms), &why);
                }
            }
        }
        Ok(())
    }

    /// Drops a partition, which locks `page_view` exclusively for a moment. On a lock timeout, or if an object of
    /// another owner depends on the partition, a later round drops it. Returns the number of removed page views, or the
    /// reason for the delay.
    async fn drop_day(&self, day_ms: i64, tries: u32) -> Result<Result<u64, StoreError>, StoreError> {
        for tried in 1.. {
            let mut transaction = self.step(REMOVING).await?;
            wait_little(&mut transaction).await?;
            let dropped = query("/* view.day.drop */ select page_view_day_drop($1)")
                .bind(day_ms)
                .fetch_one(&mut *transaction)
                .await
                .and_then(|row| row.try_get::<i64, _>(0));
            match dropped {
                Ok(views) => {
                    transaction.commit().await.map_err(failed(REMOVING))?;
                    return Ok(Ok(u64::try_from(views).unwrap_or(0)));
                }
                Err(error) if not_had(&error) && tried < tries => {
                    drop(transaction);
                    tokio::time::sleep(DROP_PAUSE).await;
                }
                // Postgres refused to drop this partition. The connection works, so the next partition may succeed.
                Err(error) if error.as_database_error().is_some() => {
                    return Ok(Err(failed(DROPPING)(error)));
                }
                Err(error) => return Err(failed(DROPPING)(error)),
            }
        }
        Ok(Ok(0))
    }
}
