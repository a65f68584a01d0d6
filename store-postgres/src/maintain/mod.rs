//! Maintenance: folds deltas into cells, creates the partitions of days, removes rows past retention
//! (`retention.rs`) and the rows of deleted sites (`delete.rs`).
//!
//! A lease ensures that one server at a time does maintenance. Every step is a short transaction that first renews the
//! lease. A server that has lost the lease stops. A server that wants the lease waits until the step ends. Every other
//! writer of rollup rows locks the lease's table until its transaction ends ([`exclude`]).

mod delete;
mod fold;
mod lease;
mod retention;
mod site_rows;

pub(crate) use delete::remove_site;
pub(crate) use lease::{exclude, hold_off_loads, wait_little};

use crate::error::failed;
use crate::sql::{Statement, query};
use crate::{PostgresStore, copy, load, query as questions, texts, version};
use fieldvitals_store::rollup::day_of;
use fieldvitals_store::{
    FailedPart, MaintenancePart, MaintenanceRound, MaintenanceSummary, Retention, RetentionEdges, SiteId,
    StoreError,
};
use lease::Lease;
use site_rows::{BUILD_TIME, LACKING};
use sqlx::Row;
use std::time::Instant;

const FOLDING: &str = "folding rollups";
const FINDING: &str = "finding the sites with work";
const REMOVING: &str = "removing what is past retention";

/// Page views removed per transaction.
const REMOVE_VIEWS_MAX: i64 = 5_000;
/// Rollup blocks removed per transaction.
pub(crate) const REMOVE_BLOCKS_MAX: i64 = 500;

pub(crate) async fn maintain(
    store: &PostgresStore,
    now_ms: i64,
    retention: Retention,
) -> Result<MaintenanceSummary, StoreError> {
    // Creates partitions days ahead, so that loads can go on while a node of Citus is unavailable.
    let ahead = match load::add_days_around(store, now_ms).await {
        Err(error @ StoreError::Node { .. }) => Some(error),
        ahead => ahead.map(|()| None)?,
    };
    let Some(lease) = Lease::take(store).await? else {
        return Ok(MaintenanceSummary { elsewhere: true, ..MaintenanceSummary::default() });
    };
    let mut done = lease.round(now_ms, retention).await;
    if let (Ok(done), Some(error)) = (&mut done, ahead) {
        done.undone.push(FailedPart { part: MaintenancePart::Day(day_of(now_ms)), error: error.to_string() });
    }
    // If this fails, the lease expires after a minute.
    let _ = lease.release().await;
    done
}

impl Lease<'_> {
    async fn round(&self, now_ms: i64, retention: Retention) -> Result<MaintenanceSummary, StoreError> {
        let retained = self.keep(now_ms, retention).await?;
        let mut round = MaintenanceRound::default();
        for site in self.sites("/* site.deleted.read */ select site_id from site_deleted").await? {
            round.part(MaintenancePart::Site(site), remove_site(self.store, site).await)?;
        }
        self.fold(&retained, &mut round).await?;
        let began = Instant::now();
        for site in self.sites(LACKING).await? {
            if began.elapsed() >= BUILD_TIME {
                break;
            }
            let built = self.build_days(site, began).await;
            round.done.days_built += round.part(MaintenancePart::Site(site), built)?;
        }
        self.remove_past(&retained, &mut round).await?;
        // Removes texts left by an interrupted erasure.
        for site in self.sites_in(query(texts::DOUBTED)).await? {
            round.part(MaintenancePart::Site(site), self.clean_texts(site).await)?;
        }
        // Runs last, because it may take longer than the lease lasts.
        self.vacuum().await;
        Ok(round.done)
    }

    /// The sites with rows in a distributed table. Returns all sites if a node does not answer.
    async fn sites_in(&self, statement: Statement) -> Result<Vec<SiteId>, StoreError> {
        match self.found(statement).await {
            Err(StoreError::Node { .. }) => self.sites("/* site.ids */ select site_id from site").await,
            sites => sites,
        }
    }

    async fn sites(&self, sql: &'static str) -> Result<Vec<SiteId>, StoreError> {
        self.found(query(sql)).await
    }

    async fn found(&self, statement: Statement) -> Result<Vec<SiteId>, StoreError> {
        let mut transaction = self.store.read(FINDING).await?;
        let rows = statement.fetch_all(&mut *transaction).await.map_err(failed(FINDING))?;
        rows.iter().map(|row| row.try_get(0).map(SiteId).map_err(failed(FINDING))).collect()
    }

    /// Moves the retention edges before anything is removed. Uses the earlier of the server's clock and the database's
    /// clock, so that a server whose clock is ahead removes nothing that other servers still count.
    async fn keep(&self, now_ms: i64, retention: Retention) -> Result<RetentionEdges, StoreError> {
        let mut transaction = self.step(REMOVING).await?;
        let before = questions::retention_edges(&mut transaction).await?;
        let database_ms: i64 =
            query("/* clock.read */ select (extract(epoch from clock_timestamp()) * 1000)::bigint")
                .fetch_one(&mut *transaction)
                .await
                .and_then(|row| row.try_get(0))
                .map_err(failed(REMOVING))?;
        let mut retained =
            before.after(now_ms, retention).held_back(before.after(database_ms, retention), before);
        let is_lacking: bool = query("/* rollup.lacking.any */ select exists (select from rollup_lacking)")
            .fetch_one(&mut *transaction)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed(REMOVING))?;
        if is_lacking {
            retained = retained.without_site_hours();
        }
        if retained != before {
            // Waits for the loads that hold the row, because they may be writing rows to be removed.
            wait_little(&mut transaction).await?;
            if !hold_off_loads(&mut transaction).await? {
                // The edges stay for now, because folding does not wait for them.
                return Ok(before);
            }
            copy::store_retention_edges(&mut transaction, &retained).await?;
            version::forget_days(&mut transaction, retained.views_from_ms).await?;
            transaction.commit().await.map_err(failed(REMOVING))?;
        }
        Ok(retained)
    }
}
