//! Folds rollup deltas into cells.

use super::FOLDING;
use super::lease::Lease;
use crate::compute::compute;
use crate::connection::Transaction;
use crate::error::{damaged_rollup, failed};
use crate::rows;
use crate::sql::query;
use fieldvitals_store::limits;
use fieldvitals_store::rollup::{Fold, Stored};
use fieldvitals_store::{RetentionEdges, SiteId, StoreError};
use sqlx::Row;
use sqlx::types::Uuid;
use std::sync::atomic::Ordering;

/// Maximum delta rows per transaction.
const FOLD_ROWS: i64 = 2_048;
/// Approximate maximum bytes of delta rows per transaction: those of [`limits::FOLD_VIEWS_MAX`] page views.
const FOLD_BYTES: i64 = 24 * limits::FOLD_VIEWS_MAX as i64;
/// Bytes of replaced blocks that trigger a vacuum.
const VACUUM_BYTES: u64 = 16 * 1024 * 1024;

impl Lease<'_> {
    pub(super) async fn fold_site(&self, site: SiteId, retained: &RetentionEdges) -> Result<u64, StoreError> {
        // Folds only the rows that exist now, so that loads on a busy site cannot extend this round without end.
        let mut transaction = self.store.read(FOLDING).await?;
        let mut left: i64 =
            query("/* rollup.delta.count */ select count(*) from rollup_delta where site_id = $1")
                .bind(site.0)
                .fetch_one(&mut *transaction)
                .await
                .and_then(|row| row.try_get(0))
                .map_err(failed(FOLDING))?;
        drop(transaction);
        let mut folded_total = 0;
        while left > 0 {
            let folded = self.fold_some(site, retained).await?;
            if folded == 0 {
                break;
            }
            folded_total += folded;
            left -= i64::try_from(folded).unwrap_or(left);
        }
        Ok(folded_total)
    }

    pub(super) async fn fold_some(&self, site: SiteId, retained: &RetentionEdges) -> Result<u64, StoreError> {
        let mut transaction = self.step(FOLDING).await?;
        let connection = &mut *transaction;
        let rows = query(
            "/* rollup.delta.next */ select hour_ms, spool, up_to, views from (select d.*, \
             sum(octet_length(views)) over (order by hour_ms, spool, up_to) - octet_length(views) as before \
             from (select hour_ms, spool, up_to, views from rollup_delta where site_id = $1 \
             order by hour_ms, spool, up_to limit $2) d) d where before < $3 order by hour_ms, spool, up_to",
        )
        .bind(site.0)
        .bind(FOLD_ROWS)
        .bind(FOLD_BYTES)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed(FOLDING))?;
        let mut fold = Fold::default();
        let (mut hours, mut spools, mut ups) = (Vec::<i64>::new(), Vec::<Uuid>::new(), Vec::<i64>::new());
        for row in &rows {
            if fold.views() >= limits::FOLD_VIEWS_MAX {
                break;
            }
            let hour_ms: i64 = row.try_get(0).map_err(failed(FOLDING))?;
            let views: &[u8] = row.try_get(3).map_err(failed(FOLDING))?;
            fold.add_delta(hour_ms, views, retained)
                .map_err(|_| damaged_rollup(FOLDING, "a rollup delta"))?;
            hours.push(hour_ms);
            spools.push(row.try_get(1).map_err(failed(FOLDING))?);
            ups.push(row.try_get(2).map_err(failed(FOLDING))?);
        }
        if hours.is_empty() {
            return Ok(0);
        }
        let count = hours.len() as u64;
        let rows = compute(move || fold.rows()).await?;
        let replaced = rows::write(connection, site, rows, Stored::Kept).await?;
        // Deletes exactly the folded rows: loads may have added rows between them.
        let folded = query(
            "/* rollup.delta.folded */ delete from rollup_delta d \
             using unnest($2::bigint[], $3::uuid[], $4::bigint[]) u (hour_ms, spool, up_to) \
             where d.site_id = $1 and d.hour_ms = u.hour_ms and d.spool = u.spool and d.up_to = u.up_to",
        )
        .bind(site.0)
        .bind(hours)
        .bind(spools)
        .bind(ups)
        .execute(&mut *connection)
        .await
        .map_err(failed(FOLDING))?;
        if folded.rows_affected() != count {
            // The site is being deleted. The changes to its cells are rolled back.
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
