//! Removes the rows of a deleted site.

use super::{REMOVE_BLOCKS_MAX, REMOVE_VIEWS_MAX};
use crate::error::failed;
use crate::sql::{Statement, query};
use crate::{PostgresStore, rows, view};
use fieldvitals_store::rollup::Grain;
use fieldvitals_store::{SiteId, StoreError};

const DELETING: &str = "removing the rows of a deleted site";

/// `$2` is greater than every id.
const REMOVE_VIEWS: &str = "/* view.remove */ delete from page_view where site_id = $1 and id < \
    coalesce((select id from page_view where site_id = $1 order by id offset $3 limit 1), $2)";
const REMOVE_LACKING: &str = "/* rollup.lacking.remove */ delete from rollup_lacking where site_id = $1";
const REMOVE_DELTAS: &str = "/* rollup.delta.remove */ delete from rollup_delta where site_id = $1";
/// The row of `site_deleted` goes last: it marks an unfinished removal.
const REMOVE_REST: [&str; 13] = [
    "/* cursor.remove */ delete from load_cursor where site_id = $1",
    "/* route.remove */ delete from route where site_id = $1",
    "/* text.remove */ delete from context_text where site_id = $1",
    "/* text.doubt.remove */ delete from context_text_doubt where site_id = $1",
    "/* label.remove */ delete from label where site_id = $1",
    "/* deploy_mark.remove */ delete from deploy_mark where site_id = $1",
    "/* budgets.remove */ delete from budget_file where site_id = $1",
    "/* standing.remove */ delete from standing where site_id = $1",
    "/* alert.remove */ delete from alert where site_id = $1",
    "/* alert.notice.remove */ delete from alert_notice where site_id = $1",
    "/* digest.remove */ delete from digest where site_id = $1",
    "/* violation.remove */ delete from violation where site_id = $1",
    "/* site.deleted.done */ delete from site_deleted where site_id = $1",
];

/// Removes the rows of a deleted site; an interrupted removal is resumed. Needs no lease, because other transactions
/// only remove these rows too.
pub(crate) async fn remove_site(store: &PostgresStore, site: SiteId) -> Result<(), StoreError> {
    // These first: they wait for a running fold and for the building of a day, or those find nothing to do. Neither
    // writes rows of the site again.
    remove_all(store, REMOVE_DELTAS, site).await?;
    remove_all(store, REMOVE_LACKING, site).await?;
    for grain in [Grain::Hour, Grain::Day] {
        while remove_rows(store, site, grain).await? {}
    }
    while remove_some(store, query(REMOVE_VIEWS).bind(site.0).bind(view::first_id(i64::MAX))).await? {}
    for sql in REMOVE_REST {
        remove_all(store, sql, site).await?;
    }
    Ok(())
}

/// Removes at most [`REMOVE_BLOCKS_MAX`] rollup blocks. Returns whether more may remain.
async fn remove_rows(store: &PostgresStore, site: SiteId, grain: Grain) -> Result<bool, StoreError> {
    let mut transaction = store.write(DELETING).await?;
    let steps = (grain, i32::MIN..i32::MAX, None);
    let removed = rows::remove_steps(&mut transaction, site, steps, REMOVE_BLOCKS_MAX).await?;
    transaction.commit().await.map_err(failed(DELETING))?;
    Ok(removed >= REMOVE_BLOCKS_MAX as u64)
}

/// Runs a statement that removes at most [`REMOVE_VIEWS_MAX`] rows. Returns whether more may remain.
async fn remove_some(store: &PostgresStore, statement: Statement) -> Result<bool, StoreError> {
    let mut transaction = store.write(DELETING).await?;
    let removed =
        statement.bind(REMOVE_VIEWS_MAX).execute(&mut *transaction).await.map_err(failed(DELETING))?;
    transaction.commit().await.map_err(failed(DELETING))?;
    Ok(removed.rows_affected() >= REMOVE_VIEWS_MAX as u64)
}

async fn remove_all(store: &PostgresStore, sql: &'static str, site: SiteId) -> Result<(), StoreError> {
    let mut transaction = store.write(DELETING).await?;
    query(sql).bind(site.0).execute(&mut *transaction).await.map_err(failed(DELETING))?;
    transaction.commit().await.map_err(failed(DELETING))
}
