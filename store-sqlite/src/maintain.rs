//! Maintenance: folds deltas into cells, and removes data past retention and data of deleted sites.
//!
//! Every step is its own transaction, small enough to delay a load by milliseconds only.

use crate::error::failed;
use crate::site_rows::{self, Step};
use crate::{SqliteStore, fold, names, query, rows, schema, texts, version, view};
use fieldvitals_store::rollup::{Grain, Scope, slots};
use fieldvitals_store::{
    MaintenancePart, MaintenanceRound, MaintenanceSummary, Retention, RetentionEdges, SiteId, StoreError,
};
use sqlx::sqlite::SqliteConnection;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

const FINDING: &str = "finding the sites with work";
const REMOVING: &str = "removing what is past retention";
const DELETING: &str = "removing the rows of a deleted site";

/// Page views removed per transaction.
pub(crate) const REMOVE_VIEWS_MAX: u64 = 2_000;
/// Rollup blocks removed per transaction.
pub(crate) const REMOVE_BLOCKS_MAX: u64 = 500;
/// Time of a round for building rows of the site, which the folds of the next round wait for. The next round continues.
const BUILD_TIME: Duration = Duration::from_secs(20);
/// Size of the write-ahead log that triggers a checkpoint, in bytes.
const LOG_BYTES: u64 = 16 * 1024 * 1024;

pub(crate) async fn maintain(
    store: &SqliteStore,
    now_ms: i64,
    retention: Retention,
) -> Result<MaintenanceSummary, StoreError> {
    let retained = move_edges(store, now_ms, retention).await?;
    let mut round = MaintenanceRound::default();
    for site in sites(store, "/* site.deleted.read */ select site_id from site_deleted").await? {
        round.part(MaintenancePart::Site(site), remove_site(store, site).await)?;
    }
    fold::fold(store, &retained, &mut round).await?;
    let began = Instant::now();
    for site in sites(store, site_rows::LACKING).await? {
        if began.elapsed() >= BUILD_TIME {
            break;
        }
        let built = build_days(store, site, began).await;
        round.done.days_built += round.part(MaintenancePart::Site(site), built)?;
    }
    remove_past(store, &retained, &mut round).await?;
    // Finishes interrupted erasures.
    for site in sites(store, "/* text.doubt.sites */ select distinct site_id from context_text_doubt").await?
    {
        let mut cleaned = texts::clean(store, site).await;
        while matches!(cleaned, Ok(true)) {
            cleaned = texts::clean(store, site).await;
        }
        round.part(MaintenancePart::Site(site), cleaned)?;
    }
    checkpoint(store).await?;
    Ok(round.done)
}

/// Builds the rows of the site for days that lack them. Returns the number of days.
async fn build_days(store: &SqliteStore, site: SiteId, began: Instant) -> Result<u64, StoreError> {
    let mut built = 0;
    while began.elapsed() < BUILD_TIME {
        match site_rows::build_day(store, site).await? {
            Step::Built => built += 1,
            Step::Disturbed => {}
            Step::Complete => break,
        }
    }
    Ok(built)
}

/// Removes all data past retention, if the edges have moved since the last time.
async fn remove_past(
    store: &SqliteStore,
    retained: &RetentionEdges,
    round: &mut MaintenanceRound,
) -> Result<(), StoreError> {
    // No holder of the lock can panic midway.
    let removed = || store.removed.lock().unwrap_or_else(PoisonError::into_inner);
    if *removed() == Some(*retained) {
        return Ok(());
    }
    let failed_before = round.done.undone.len();
    for site in sites_with_past(store, retained).await? {
        let old = remove_old(store, site, retained, &mut round.done).await;
        round.part(MaintenancePart::Site(site), old)?;
    }
    if round.done.undone.len() == failed_before {
        *removed() = Some(*retained);
    }
    Ok(())
}

/// The sites with data past retention. A search by keys, without the write lock.
async fn sites_with_past(store: &SqliteStore, retained: &RetentionEdges) -> Result<Vec<SiteId>, StoreError> {
    let slots: Vec<i16> = slots().collect();
    let ids: Vec<i64> = sqlx::query_scalar(
        "/* site.past */ select s.site_id from site s where \
         exists (select 1 from page_view v where v.site_id = s.site_id and v.id < ?1) \
         or exists (select 1 from json_each(?2) j cross join rollup_hour h \
         on h.site_id = s.site_id and h.slot = j.value and h.step < ?3 and (h.block >= ?7 or h.step < ?8)) \
         or exists (select 1 from json_each(?2) j cross join rollup_day d \
         on d.site_id = s.site_id and d.slot = j.value and d.step < ?4) \
         or exists (select 1 from route r where r.site_id = s.site_id and r.last_day < ?5) \
         or exists (select 1 from label l where l.site_id = s.site_id and l.last_day < ?5) \
         or exists (select 1 from context_text t where t.site_id = s.site_id and t.day < ?6) \
         or exists (select 1 from context_text_doubt t where t.site_id = s.site_id and t.day < ?6)",
    )
    .bind(view::first_id(retained.views_from_ms))
    .bind(names::json(&slots)?)
    .bind(Grain::Hour.step(retained.hours_from_ms))
    .bind(Grain::Day.step(retained.days_from_ms))
    .bind(names::unused_before(retained))
    .bind(Grain::Day.step(retained.views_from_ms))
    .bind(*Scope::Routes.blocks().start())
    .bind(Grain::Hour.step(retained.site_hours_from_ms))
    .fetch_all(&store.readers)
    .await
    .map_err(failed(REMOVING))?;
    Ok(ids.into_iter().map(SiteId).collect())
}

/// Removes a site's data past retention.
async fn remove_old(
    store: &SqliteStore,
    site: SiteId,
    retained: &RetentionEdges,
    done: &mut MaintenanceSummary,
) -> Result<(), StoreError> {
    done.views_removed += remove_views(store, site, retained.views_from_ms).await?;
    for (grain, from_ms, scope) in [
        (Grain::Hour, retained.hours_from_ms, Some(Scope::Routes)),
        (Grain::Hour, retained.site_hours_from_ms, None),
        (Grain::Day, retained.days_from_ms, None),
    ] {
        done.rows_removed += remove_blocks(store, site, (grain, scope), grain.step(from_ms)).await?;
    }
    let mut transaction = store.write(REMOVING).await?;
    let names_removed = names::remove(&mut transaction, site, retained).await?;
    if names_removed > 0 {
        version::count_change(&mut transaction, site).await?;
        transaction.commit().await.map_err(failed(REMOVING))?;
        done.names_removed += names_removed;
    } else {
        drop(transaction);
    }
    done.names_removed += texts::remove(store, site, Grain::Day.step(retained.views_from_ms)).await?;
    Ok(())
}

async fn sites(store: &SqliteStore, sql: &'static str) -> Result<Vec<SiteId>, StoreError> {
    let ids: Vec<i64> = sqlx::query_scalar(sql).fetch_all(&store.readers).await.map_err(failed(FINDING))?;
    Ok(ids.into_iter().map(SiteId).collect())
}

/// Moves the retention edges before any data is removed.
async fn move_edges(
    store: &SqliteStore,
    now_ms: i64,
    retention: Retention,
) -> Result<RetentionEdges, StoreError> {
    let mut transaction = store.write(REMOVING).await?;
    let before = query::retention_edges(&mut transaction).await?;
    let mut retained = before.after(now_ms, retention);
    if is_lacking(&mut transaction).await? {
        retained = retained.without_site_hours();
    }
    if retained != before {
        store_retention_edges(&mut transaction, retained).await?;
        version::forget_days(&mut transaction, retained.views_from_ms).await?;
        transaction.commit().await.map_err(failed(REMOVING))?;
    }
    Ok(retained)
}

/// Whether some days of a site have no rows of the whole site yet.
async fn is_lacking(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    sqlx::query_scalar("/* rollup.lacking.any */ select exists (select 1 from rollup_lacking)")
        .fetch_one(connection)
        .await
        .map_err(failed(REMOVING))
}

/// Sets the retention edges.
pub(crate) async fn keep(store: &SqliteStore, retained: RetentionEdges) -> Result<(), StoreError> {
    let mut transaction = store.write(REMOVING).await?;
    store_retention_edges(&mut transaction, retained).await?;
    transaction.commit().await.map_err(failed(REMOVING))
}

async fn store_retention_edges(
    connection: &mut SqliteConnection,
    retained: RetentionEdges,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* kept.move */ insert into kept (one, views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms) \
         values (1, ?, ?, ?, ?) on conflict (one) do update set views_from_ms = excluded.views_from_ms, \
         hours_from_ms = excluded.hours_from_ms, site_hours_from_ms = excluded.site_hours_from_ms, \
         days_from_ms = excluded.days_from_ms",
    )
    .bind(retained.views_from_ms)
    .bind(retained.hours_from_ms)
    .bind(retained.site_hours_from_ms)
    .bind(retained.days_from_ms)
    .execute(connection)
    .await
    .map_err(failed(REMOVING))?;
    Ok(())
}

/// Removes the page views of a site that start before a time. Returns their number.
async fn remove_views(store: &SqliteStore, site: SiteId, from_ms: i64) -> Result<u64, StoreError> {
    let mut removed = 0;
    loop {
        let rows = sqlx::query(
            "/* view.remove */ delete from page_view where site_id = ?1 and id in \
             (select id from page_view where site_id = ?1 and id < ?2 order by id limit ?3)",
        )
        .bind(site.0)
        .bind(view::first_id(from_ms))
        .bind(REMOVE_VIEWS_MAX as i64)
        .execute(&mut *store.connection().await?)
        .await
        .map_err(failed(REMOVING))?
        .rows_affected();
        removed += rows;
        if rows < REMOVE_VIEWS_MAX {
            return Ok(removed);
        }
    }
}

/// Removes the rollup blocks of a site before a step: those of a scope, or all. Returns their number.
async fn remove_blocks(
    store: &SqliteStore,
    site: SiteId,
    (grain, scope): (Grain, Option<Scope>),
    from: i32,
) -> Result<u64, StoreError> {
    let mut removed = 0;
    loop {
        let mut transaction = store.write(REMOVING).await?;
        let steps = (grain, i32::MIN..from, scope);
        let blocks = rows::remove(&mut transaction, site, steps, REMOVE_BLOCKS_MAX).await?;
        transaction.commit().await.map_err(failed(REMOVING))?;
        removed += blocks;
        if blocks < REMOVE_BLOCKS_MAX {
            return Ok(removed);
        }
    }
}

/// Removes the rows of a deleted site; an interrupted removal is resumed.
pub(crate) async fn remove_site(store: &SqliteStore, site: SiteId) -> Result<(), StoreError> {
    // First what a concurrent fold, or the building of days, checks before it writes rows.
    for sql in [
        "/* site.rows */ delete from rollup_delta where site_id = ?",
        "/* site.rows */ delete from rollup_lacking where site_id = ?",
    ] {
        sqlx::query(sql)
            .bind(site.0)
            .execute(&mut *store.connection().await?)
            .await
            .map_err(failed(DELETING))?;
    }
    remove_views(store, site, i64::MAX).await?;
    for grain in [Grain::Hour, Grain::Day] {
        remove_blocks(store, site, (grain, None), i32::MAX).await?;
    }
    texts::remove(store, site, i32::MAX).await?;
    let mut transaction = store.write(DELETING).await?;
    for sql in [
        "/* site.rows */ delete from load_cursor where site_id = ?",
        "/* site.rows */ delete from rollup_state where site_id = ?",
        "/* site.rows */ delete from route where site_id = ?",
        "/* site.rows */ delete from label where site_id = ?",
        "/* site.rows */ delete from violation where site_id = ?",
        "/* site.rows */ delete from deploy_mark where site_id = ?",
        "/* site.rows */ delete from budget_file where site_id = ?",
        "/* site.rows */ delete from standing where site_id = ?",
        "/* site.rows */ delete from alert where site_id = ?",
        "/* site.rows */ delete from alert_notice where site_id = ?",
        "/* site.rows */ delete from digest where site_id = ?",
        "/* site.rows */ delete from site_deleted where site_id = ?",
    ] {
        sqlx::query(sql).bind(site.0).execute(&mut *transaction).await.map_err(failed(DELETING))?;
    }
    transaction.commit().await.map_err(failed(DELETING))
}

/// Truncates the write-ahead log once it is large; a later round does so if a long query is running.
async fn checkpoint(store: &SqliteStore) -> Result<(), StoreError> {
    const EMPTYING: &str = "emptying the write-ahead log";
    let mut log = store.path.clone().into_os_string();
    log.push("-wal");
    if std::fs::metadata(log).map_or(0, |metadata| metadata.len()) < LOG_BYTES {
        return Ok(());
    }
    // This connection has a short timeout, because writers are blocked while it waits for readers.
    let mut connection = schema::impatient(&store.path).await.map_err(failed(EMPTYING))?;
    sqlx::query("/* log.empty */ pragma wal_checkpoint(truncate)")
        .execute(&mut connection)
        .await
        .map_err(failed(EMPTYING))?;
    sqlx::Connection::close(connection).await.map_err(failed(EMPTYING))
}
