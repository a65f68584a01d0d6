//! Folds rollup deltas into cells. One computation and few transactions serve many sites, because most sites of a server
//! have few deltas, and each transaction costs a sync.

use crate::SqliteStore;
use crate::deltas::Keys;
use crate::error::{damaged_rollup, failed};
use crate::names::json;
use crate::rows::{self, Versions};
use fieldvitals_store::limits::FOLD_VIEWS_MAX;
use fieldvitals_store::rollup::{Block, Fold, Stored};
use fieldvitals_store::{
    MaintenancePart, MaintenanceRound, RetentionEdges, SiteId, StoreError, groups_to_fold,
};
use futures_util::TryStreamExt;
use sqlx::Row;

const FOLDING: &str = "folding rollups";

/// Maximum delta rows per computation.
const ROWS_MAX: u64 = 8_192;
/// Blocks of a transaction, which takes whole sites until it has as many. Loads wait for the transaction.
const BLOCKS_MAX: usize = 1_000;

/// Folds the deltas of all sites. Folds only the deltas that exist now, so that loads on a busy site cannot extend this
/// round without end.
pub(crate) async fn fold(
    store: &SqliteStore,
    retained: &RetentionEdges,
    round: &mut MaintenanceRound,
) -> Result<(), StoreError> {
    let deltas: Vec<(i64, i64)> = sqlx::query_as(
        "/* rollup.delta.sites */ select site_id, count(*) from rollup_delta group by site_id order by site_id",
    )
    .fetch_all(&store.readers)
    .await
    .map_err(failed(FOLDING))?;
    let deltas = deltas.into_iter().map(|(site, count)| (SiteId(site), u64::try_from(count).unwrap_or(0)));
    for group in groups_to_fold(deltas, ROWS_MAX) {
        if group.len() > 1 && matches!(fold_sites(store, &group, retained, round).await, Ok(true)) {
            continue;
        }
        // A site that fails, or that another process changes, must not hold up the others.
        for part in group {
            let folded = fold_sites(store, &[part], retained, round).await;
            round.part(MaintenancePart::Site(part.0), folded)?;
        }
    }
    Ok(())
}

/// Folds the deltas of some sites, given with their numbers. Returns whether all are folded: another process may disturb
/// it.
async fn fold_sites(
    store: &SqliteStore,
    group: &[(SiteId, u64)],
    retained: &RetentionEdges,
    round: &mut MaintenanceRound,
) -> Result<bool, StoreError> {
    let sites: Vec<SiteId> = group.iter().map(|&(site, _)| site).collect();
    let mut left: u64 = group.iter().map(|&(_, deltas)| deltas).sum();
    while left > 0 {
        let folded = fold_some(store, &sites, retained).await?;
        if folded == 0 {
            return Ok(false);
        }
        round.done.deltas_folded += folded;
        left = left.saturating_sub(folded);
    }
    Ok(true)
}

/// The deltas of a site to fold.
struct Part {
    site: SiteId,
    fold: Fold,
    counted: Keys,
}

/// Folds some deltas of some sites. Returns their number.
async fn fold_some(
    store: &SqliteStore,
    sites: &[SiteId],
    retained: &RetentionEdges,
) -> Result<u64, StoreError> {
    let mut parts = read(store, sites, retained).await?.into_iter().peekable();
    let mut folded = 0;
    // The rows of a few sites at a time, because rows take much more memory than deltas.
    while parts.peek().is_some() {
        let (mut sites, mut counted, mut blocks) = (Vec::new(), Keys::default(), Vec::new());
        while let Some(part) = parts.next_if(|_| blocks.len() < BLOCKS_MAX) {
            sites.push(part.site);
            counted.append(&part.counted);
            blocks.extend(rows::blocks(part.site, part.fold.rows()));
        }
        folded += write(store, &sites, counted, blocks).await?;
    }
    Ok(folded)
}

/// Reads deltas of some sites, up to [`ROWS_MAX`] and about [`FOLD_VIEWS_MAX`] page views.
async fn read(
    store: &SqliteStore,
    sites: &[SiteId],
    retained: &RetentionEdges,
) -> Result<Vec<Part>, StoreError> {
    let mut transaction = store.read(FOLDING).await?;
    let ids: Vec<i64> = sites.iter().map(|site| site.0).collect();
    // Site by site, in the order of the list, because of the join's form.
    let mut deltas = sqlx::query(
        "/* rollup.delta.next */ select d.site_id, d.hour_ms, d.spool, d.up_to, d.views \
         from json_each(?) j cross join rollup_delta d on d.site_id = j.value limit ?",
    )
    .bind(json(&ids)?)
    .bind(ROWS_MAX as i64)
    .fetch(&mut *transaction);
    let (mut parts, mut views) = (Vec::<Part>::new(), 0);
    while views < FOLD_VIEWS_MAX
        && let Some(row) = deltas.try_next().await.map_err(failed(FOLDING))?
    {
        let columns = || Ok((SiteId(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
        let (site, hour_ms, spool, up_to): (_, i64, &[u8], i64) = columns().map_err(failed(FOLDING))?;
        if parts.last().is_none_or(|part| part.site != site) {
            parts.push(Part { site, fold: Fold::default(), counted: Keys::default() });
        }
        let Some(part) = parts.last_mut() else { continue };
        let before = part.fold.views();
        part.fold
            .add_delta(hour_ms, row.try_get(4).map_err(failed(FOLDING))?, retained)
            .map_err(|_| damaged_rollup(FOLDING, "a rollup delta"))?;
        views += part.fold.views() - before;
        part.counted.push(site, hour_ms, spool, up_to);
    }
    Ok(parts)
}

/// Replaces deltas of sites by blocks, in one transaction. Returns the number of deltas: 0 if another process has changed
/// the rollups of a site, or has folded or erased some deltas.
async fn write(
    store: &SqliteStore,
    sites: &[SiteId],
    counted: Keys,
    blocks: Vec<(SiteId, Block)>,
) -> Result<u64, StoreError> {
    // Reads and encodes blocks before it takes the write lock: the versions show whether blocks have changed since.
    // Deltas never change, and their removal shows whether all of them still exist.
    let mut snapshot = store.read(FOLDING).await?;
    let versions = Versions::of(&mut snapshot, sites).await?;
    let made = rows::make(&mut snapshot, blocks, Stored::Kept).await?;
    drop(snapshot);

    let count = counted.count();
    let mut transaction = store.write(FOLDING).await?;
    if !versions.claim(&mut transaction).await? || !counted.remove(&mut transaction).await? {
        return Ok(0);
    }
    rows::put(&mut transaction, made).await?;
    transaction.commit().await.map_err(failed(FOLDING))?;
    Ok(count)
}
