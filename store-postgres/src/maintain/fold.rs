//! Folds rollup deltas into cells. One transaction serves many sites, because most sites of a server have few deltas, and
//! a transaction costs some twenty round trips.

use super::FOLDING;
use super::lease::Lease;
use crate::compute::compute;
use crate::connection::Transaction;
use crate::error::{damaged_rollup, failed};
use crate::rows;
use crate::sql::{alone, query};
use fieldvitals_store::limits;
use fieldvitals_store::rollup::{Fold, Stored};
use fieldvitals_store::{
    MaintenancePart, MaintenanceRound, RetentionEdges, SiteId, StoreError, groups_to_fold,
};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Uuid;
use std::sync::atomic::Ordering;

/// Maximum delta rows per transaction.
const ROWS_MAX: u64 = 2_048;
/// Approximate maximum bytes of delta rows per transaction: those of [`limits::FOLD_VIEWS_MAX`] page views.
const BYTES_MAX: i64 = 24 * limits::FOLD_VIEWS_MAX as i64;
/// Bytes of replaced blocks that trigger a vacuum.
const VACUUM_BYTES: u64 = 16 * 1024 * 1024;

impl Lease<'_> {
    /// Folds the deltas of all sites. Folds only the deltas that exist now, so that loads on a busy site cannot extend this
    /// round without end.
    pub(super) async fn fold(
        &self,
        retained: &RetentionEdges,
        round: &mut MaintenanceRound,
    ) -> Result<(), StoreError> {
        // On Citus, the sites of a transaction would be on several nodes, and one node that is away would hold up all.
        let rows_max = if self.store.is_citus.load(Ordering::Relaxed) { 0 } else { ROWS_MAX };
        for group in groups_to_fold(self.deltas().await?, rows_max) {
            if group.len() > 1 && matches!(self.fold_sites(&group, retained, round).await, Ok(true)) {
                continue;
            }
            // A site that fails, or that is being deleted, must not hold up the others.
            for part in group {
                let folded = self.fold_sites(&[part], retained, round).await;
                round.part(MaintenancePart::Site(part.0), folded)?;
            }
        }
        Ok(())
    }

    /// The sites with deltas, in order, and the numbers of their deltas.
    async fn deltas(&self) -> Result<Vec<(SiteId, u64)>, StoreError> {
        let mut transaction = self.store.read(FOLDING).await?;
        let found = query(
            "/* rollup.delta.sites */ select site_id, count(*) from rollup_delta group by site_id order by site_id",
        )
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed(FOLDING));
        drop(transaction);
        match found {
            // A node of Citus does not answer. Any site may have deltas, so each is taken for one with a full transaction.
            Err(StoreError::Node { .. }) => {
                let sites = self.sites("/* site.ids */ select site_id from site").await?;
                Ok(sites.into_iter().map(|site| (site, ROWS_MAX)).collect())
            }
            found => {
                let count = |row: &PgRow| {
                    Ok((SiteId(row.try_get(0)?), u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or(0)))
                };
                found?.iter().map(|row| count(row).map_err(failed(FOLDING))).collect()
            }
        }
    }

    /// Folds the deltas of some sites, given with their numbers. Returns whether all are folded: a site may be in deletion.
    async fn fold_sites(
        &self,
        group: &[(SiteId, u64)],
        retained: &RetentionEdges,
        round: &mut MaintenanceRound,
    ) -> Result<bool, StoreError> {
        let sites: Vec<i64> = group.iter().map(|&(site, _)| site.0).collect();
        let mut left: u64 = group.iter().map(|&(_, deltas)| deltas).sum();
        while left > 0 {
            let folded = self.fold_some(&sites, retained).await?;
            if folded == 0 {
                return Ok(false);
            }
            round.done.deltas_folded += folded;
            left = left.saturating_sub(folded);
        }
        Ok(true)
    }

    /// Folds some deltas of some sites, in one transaction. Returns their number.
    async fn fold_some(&self, sites: &[i64], retained: &RetentionEdges) -> Result<u64, StoreError> {
        let mut transaction = self.step(FOLDING).await?;
        let connection = &mut *transaction;
        let rows = query(
            "/* rollup.delta.next */ select site_id, hour_ms, spool, up_to, views from (select d.*, \
             sum(octet_length(views)) over (order by site_id, hour_ms, spool, up_to) - octet_length(views) \
             as before from (select site_id, hour_ms, spool, up_to, views from rollup_delta \
             where ($1::bigint is null or site_id = $1) and site_id = any($2) \
             order by site_id, hour_ms, spool, up_to limit $3) d) d \
             where before < $4 order by site_id, hour_ms, spool, up_to",
        )
        .bind(alone(sites))
        .bind(sites)
        .bind(ROWS_MAX as i64)
        .bind(BYTES_MAX)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed(FOLDING))?;
        let (mut folds, mut views, mut keys) = (Vec::<(SiteId, Fold)>::new(), 0, Keys::default());
        for row in &rows {
            if views >= limits::FOLD_VIEWS_MAX {
                break;
            }
            let site = keys.push(row).map_err(failed(FOLDING))?;
            if folds.last().is_none_or(|&(last, _)| last != site) {
                folds.push((site, Fold::default()));
            }
            let Some((_, fold)) = folds.last_mut() else { continue };
            let before = fold.views();
            let hour_ms = row.try_get(1).map_err(failed(FOLDING))?;
            let packed: &[u8] = row.try_get(4).map_err(failed(FOLDING))?;
            fold.add_delta(hour_ms, packed, retained)
                .map_err(|_| damaged_rollup(FOLDING, "a rollup delta"))?;
            views += fold.views() - before;
        }
        let count = keys.sites.len() as u64;
        if count == 0 {
            return Ok(0);
        }
        let (mut folds, mut replaced) = (folds.into_iter(), 0);
        // The rows of a few sites at a time, because rows take much more memory than deltas.
        while folds.len() > 0 {
            let take_some = move || {
                let mut blocks = Vec::new();
                while blocks.len() < rows::WRITE_BLOCKS
                    && let Some((site, fold)) = folds.next()
                {
                    blocks.extend(rows::blocks_of(site, fold.rows()));
                }
                (folds, blocks)
            };
            let (later, blocks) = compute(take_some).await?;
            replaced += rows::write_blocks(connection, blocks, Stored::Kept).await?;
            folds = later;
        }
        if keys.remove(connection).await? != count {
            // A site is being deleted. The changes to its cells are rolled back.
            return Ok(0);
        }
        transaction.commit().await.map_err(failed(FOLDING))?;
        self.store.replaced_bytes.fetch_add(replaced, Ordering::Relaxed);
        Ok(count)
    }

    /// Vacuums the rollup tables after folds have replaced many bytes. A fold rewrites whole blocks. While a large
    /// backlog is folded, the tables would double before autovacuum runs.
    pub(super) async fn vacuum(&self) {
        if self.store.replaced_bytes.load(Ordering::Relaxed) < VACUUM_BYTES {
            return;
        }
        self.store.replaced_bytes.store(0, Ordering::Relaxed);
        // If the vacuum fails or another one is running, autovacuum does the work later.
        for sql in ["vacuum (skip_locked) rollup_hour", "vacuum (skip_locked) rollup_day"] {
            let _ = Transaction::alone(self.store.pools.own(), self.store.bounds.back, sql).await;
        }
    }
}

/// Keys of folded deltas, one list per column.
#[derive(Default)]
struct Keys {
    sites: Vec<i64>,
    hours: Vec<i64>,
    spools: Vec<Uuid>,
    up_tos: Vec<i64>,
}

impl Keys {
    /// Adds a delta. Returns its site.
    fn push(&mut self, row: &PgRow) -> Result<SiteId, sqlx::Error> {
        let site = row.try_get(0)?;
        self.sites.push(site);
        self.hours.push(row.try_get(1)?);
        self.spools.push(row.try_get(2)?);
        self.up_tos.push(row.try_get(3)?);
        Ok(SiteId(site))
    }

    /// Removes exactly the folded deltas: loads may have added some between them. Returns their number.
    async fn remove(self, connection: &mut PgConnection) -> Result<u64, StoreError> {
        let removed = query(
            "/* rollup.delta.folded */ delete from rollup_delta d \
             using unnest($2::bigint[], $3::bigint[], $4::uuid[], $5::bigint[]) u (site_id, hour_ms, spool, up_to) \
             where ($1::bigint is null or d.site_id = $1) and d.site_id = u.site_id \
             and d.hour_ms = u.hour_ms and d.spool = u.spool and d.up_to = u.up_to",
        )
        .bind(alone(&self.sites))
        .bind(self.sites)
        .bind(self.hours)
        .bind(self.spools)
        .bind(self.up_tos)
        .execute(connection)
        .await
        .map_err(failed(FOLDING))?;
        Ok(removed.rows_affected())
    }
}
