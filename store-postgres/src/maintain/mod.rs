//! Maintenance: folding deltas into cells, days' partitions made ahead and dropped, and the rows of deleted
//! sites removed.
//!
//! One server at a time does it, by a lease. Every step is a short transaction of its own that begins by
//! renewing the lease: whoever lost it meanwhile stops, and whoever wants it waits for the step to end.
//! Whoever else changes rollup rows locks the lease's table for as long ([`exclude`]).

mod delete;
mod fold;
mod lease;
mod retention;

pub(crate) use delete::remove_site;
pub(crate) use lease::{exclude, hold_off_loads, wait_little};

use crate::error::failed;
use crate::sql::query;
use crate::{PostgresStore, copy, load, query as questions, texts};
use fieldvitals_store::rollup::{Grain, day_of};
use fieldvitals_store::{Concern, Kept, Maintained, Retention, Round, SiteId, StoreError, Undone};
use lease::Lease;
use sqlx::Row;

const FOLDING: &str = "folding rollups";
const REMOVING: &str = "removing what is past retention";

/// Page views that one transaction removes.
const REMOVE_VIEWS_MAX: i64 = 5_000;
/// Rollup blocks that one transaction removes.
pub(crate) const REMOVE_BLOCKS_MAX: i64 = 500;

pub(crate) async fn maintain(
    store: &PostgresStore,
    now_ms: i64,
    retention: Retention,
) -> Result<Maintained, StoreError> {
    // Days are made well ahead, so a node that is away for a while keeps nobody from loading.
    let ahead = match load::add_days_around(store, now_ms).await {
        Err(error @ StoreError::Node { .. }) => Some(error),
        ahead => ahead.map(|()| None)?,
    };
    let Some(lease) = Lease::take(store).await? else {
        return Ok(Maintained { elsewhere: true, ..Maintained::default() });
    };
    let mut done = lease.round(now_ms, retention).await;
    if let (Ok(done), Some(error)) = (&mut done, ahead) {
        done.undone.push(Undone { concern: Concern::Day(day_of(now_ms)), error: error.to_string() });
    }
    // Where this fails the lease ends by itself, a minute later.
    let _ = lease.release().await;
    done
}

impl Lease<'_> {
    async fn round(&self, now_ms: i64, retention: Retention) -> Result<Maintained, StoreError> {
        let kept = self.keep(now_ms, retention).await?;
        let mut round = Round::default();
        for site in self.sites("/* site.deleted.read */ select site_id from site_deleted").await? {
            round.part(Concern::Site(site), remove_site(self.store, site).await)?;
        }
        for site in
            self.sites_in("/* rollup.delta.sites */ select distinct site_id from rollup_delta").await?
        {
            let folded = self.fold_site(site, &kept).await;
            round.done.deltas_folded += round.part(Concern::Site(site), folded)?;
        }
        for site in self.sites("/* site.ids */ select site_id from site").await? {
            for (grain, from_ms) in [(Grain::Hour, kept.hours_from_ms), (Grain::Day, kept.days_from_ms)] {
                let removed = self.remove_rows(site, grain, from_ms).await;
                round.done.rows_removed += round.part(Concern::Site(site), removed)?;
            }
        }
        self.drop_days(&kept, &mut round).await?;
        for site in self.sites("/* site.ids */ select site_id from site").await? {
            for removed in [self.remove_names(site, &kept).await, self.remove_texts(site, &kept).await] {
                round.done.names_removed += round.part(Concern::Site(site), removed)?;
            }
        }
        // What an erasure that was cut short has left.
        for site in self.sites_in(texts::DOUBTED).await? {
            round.part(Concern::Site(site), self.clean_texts(site).await)?;
        }
        // Last, as it may take longer than the lease lasts.
        self.vacuum().await;
        Ok(round.done)
    }

    /// The sites that have rows in a table which nodes share; all sites, where a node does not answer.
    async fn sites_in(&self, sql: &'static str) -> Result<Vec<SiteId>, StoreError> {
        match self.sites(sql).await {
            Err(StoreError::Node { .. }) => self.sites("/* site.ids */ select site_id from site").await,
            sites => sites,
        }
    }

    async fn sites(&self, sql: &'static str) -> Result<Vec<SiteId>, StoreError> {
        let mut transaction = self.store.read(FOLDING).await?;
        let rows = query(sql).fetch_all(&mut *transaction).await.map_err(failed(FOLDING))?;
        rows.iter().map(|row| row.try_get(0).map(SiteId).map_err(failed(FOLDING))).collect()
    }

    /// Moves the edges of what is kept, before anything is removed. By the earlier one of the server's clock and the
    /// database's: a server whose clock is ahead removes nothing that others still count.
    async fn keep(&self, now_ms: i64, retention: Retention) -> Result<Kept, StoreError> {
        let mut transaction = self.step(REMOVING).await?;
        let before = questions::kept_now(&mut transaction).await?;
        let database_ms: i64 =
            query("/* clock.read */ select (extract(epoch from clock_timestamp()) * 1000)::bigint")
                .fetch_one(&mut *transaction)
                .await
                .and_then(|row| row.try_get(0))
                .map_err(failed(REMOVING))?;
        let kept = before.after(now_ms, retention).held_back(before.after(database_ms, retention), before);
        if kept != before {
            // Waits for the loads that hold the row; they may be writing what is about to go.
            wait_little(&mut transaction).await?;
            if !hold_off_loads(&mut transaction).await? {
                // What is kept stays for now; folding does not wait for it.
                return Ok(before);
            }
            copy::move_kept(&mut transaction, &kept).await?;
            transaction.commit().await.map_err(failed(REMOVING))?;
        }
        Ok(kept)
    }
}
