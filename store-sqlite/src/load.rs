//! Loading: a batch's page views, corrections and cursor, in one transaction.

use crate::error::{damaged, failed};
use crate::{SqliteStore, bulk, names, places, texts, version, view};
use fieldvitals_store::load::{ids, merge};
use fieldvitals_store::{Kept, LoadBatch, LoadReport, SiteId, SpoolId, StoreError, StoredView, rollup};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use std::fmt::Write;
use vitals::view::ViewId;

const LOADING: &str = "loading beacons";
const CURSOR: &str = "reading the load cursor";

pub(crate) async fn load(store: &SqliteStore, batch: LoadBatch) -> Result<LoadReport, StoreError> {
    let ids = ids(&batch);
    let LoadBatch { site, spool, after, up_to, mut beacons, senders } = batch;
    let mut transaction = store.write(LOADING).await?;
    let connection = &mut *transaction;

    let kept = begin(connection, site, spool, after).await?;
    let decided = places::bound(connection, site, &kept, &mut beacons, &senders).await?;
    let mut texts = texts::bound(connection, site, &mut beacons).await?;
    let known = known(connection, site, &ids).await?;
    let mut merged = merge(known, beacons, &kept);
    merged.report.crowded = decided.crowded;
    let names = names::take(connection, site, &names::Used::by(&merged.changed), &decided).await?;

    texts::add(connection, site, &merged.changed, &mut texts).await?;
    let deltas = rollup::deltas(&merged.changed, &names.route_ids, &names.labels);
    let replaced: Vec<ViewId> =
        merged.changed.iter().filter_map(|changed| Some(changed.before.as_ref()?.update.id)).collect();
    if !replaced.is_empty() {
        sqlx::query(view::REMOVE)
            .bind(site.0)
            .bind(id_list(&replaced))
            .execute(&mut *connection)
            .await
            .map_err(failed(LOADING))?;
    }
    let views: Vec<Box<StoredView>> =
        merged.changed.into_iter().filter_map(|changed| changed.after).collect();
    bulk::write(connection, &view::PUT, views, |statement, view| {
        let id = names.route_ids.get(&view.update.route).copied().unwrap_or_default();
        view::bind(statement, site, *view, id, &texts)
    })
    .await
    .map_err(failed(LOADING))?;
    for (hour_ms, views) in deltas {
        sqlx::query(
            "/* rollup.delta */ insert into rollup_delta (site_id, hour_ms, spool, up_to, views) \
             values (?, ?, ?, ?, ?)",
        )
        .bind(site.0)
        .bind(hour_ms)
        .bind(spool.0.as_slice())
        .bind(position(up_to)?)
        .bind(views)
        .execute(&mut *connection)
        .await
        .map_err(failed(LOADING))?;
    }
    sqlx::query(
        "/* cursor.move */ insert into load_cursor (site_id, spool, position) values (?, ?, ?) \
         on conflict (site_id, spool) do update set position = excluded.position",
    )
    .bind(site.0)
    .bind(spool.0.as_slice())
    .bind(position(up_to)?)
    .execute(&mut *connection)
    .await
    .map_err(failed(LOADING))?;
    transaction.commit().await.map_err(failed(LOADING))?;
    Ok(merged.report)
}

fn position(position: u64) -> Result<i64, StoreError> {
    i64::try_from(position).map_err(|_| damaged(LOADING, format_args!("spool position {position}")))
}

/// Checks that the site is there and its cursor where the caller believes it; says what is kept.
async fn begin(
    connection: &mut SqliteConnection,
    site: SiteId,
    spool: SpoolId,
    after: u64,
) -> Result<Kept, StoreError> {
    let row = sqlx::query(
        "/* load.begin */ select s.site_id, coalesce(c.position, 0), k.views_from_ms, k.hours_from_ms, \
         k.days_from_ms from (select 1) left join site s on s.site_id = ?1 \
         left join load_cursor c on c.site_id = ?1 and c.spool = ?2 left join kept k on k.one = 1",
    )
    .bind(site.0)
    .bind(spool.0.as_slice())
    .fetch_one(connection)
    .await
    .map_err(failed(LOADING))?;
    let number = |place: usize| row.try_get::<Option<i64>, _>(place).map_err(failed(LOADING));
    if number(0)?.is_none() {
        return Err(StoreError::NoSuchSite);
    }
    let at = number(1)?.and_then(|at| u64::try_from(at).ok()).unwrap_or(0);
    if at != after {
        return Err(StoreError::CursorMoved { at, expected: after });
    }
    Ok(kept(number(2)?, number(3)?, number(4)?))
}

/// What is kept, by the columns of its row or their absence.
pub(crate) fn kept(views: Option<i64>, hours: Option<i64>, days: Option<i64>) -> Kept {
    let everything = Kept::EVERYTHING;
    Kept {
        views_from_ms: views.unwrap_or(everything.views_from_ms),
        hours_from_ms: hours.unwrap_or(everything.hours_from_ms),
        days_from_ms: days.unwrap_or(everything.days_from_ms),
    }
}

/// The views among these ids that are stored.
pub(crate) async fn known(
    connection: &mut SqliteConnection,
    site: SiteId,
    ids: &[ViewId],
) -> Result<Vec<StoredView>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(concat!(
        "/* view.known */ select ",
        view::columns!(),
        " from json_each(?2) j cross join page_view v on v.site_id = ?1 and v.id = unhex(j.value) \
         cross join route r on r.site_id = ?1 and r.route_id = v.route_id"
    ))
    .bind(site.0)
    .bind(id_list(ids))
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(LOADING))?;
    let texts = texts::of_rows(connection, site, &rows).await?;
    rows.iter().map(|row| view::read(row, Some(&texts))).collect()
}

/// Ids as the one value that a statement takes: JSON has no bytes, so they travel as hexadecimal digits.
pub(crate) fn id_list(ids: &[ViewId]) -> String {
    let mut list = String::with_capacity(ids.len() * 35 + 2);
    for id in ids {
        let separator = if list.is_empty() { '[' } else { ',' };
        let number = u128::from_be_bytes(*id.as_bytes());
        // Writing to a String cannot fail.
        let _ = write!(list, "{separator}\"{number:032x}\"");
    }
    list.push_str(if list.is_empty() { "[]" } else { "]" });
    list
}

pub(crate) async fn cursor(store: &SqliteStore, site: SiteId, spool: SpoolId) -> Result<u64, StoreError> {
    let at: Option<i64> = sqlx::query_scalar(
        "/* cursor.read */ select position from load_cursor where site_id = ? and spool = ?",
    )
    .bind(site.0)
    .bind(spool.0.as_slice())
    .fetch_optional(&store.readers)
    .await
    .map_err(failed(CURSOR))?;
    Ok(at.and_then(|at| u64::try_from(at).ok()).unwrap_or(0))
}

pub(crate) async fn cursor_max(store: &SqliteStore, spool: SpoolId) -> Result<u64, StoreError> {
    let at: Option<i64> =
        sqlx::query_scalar("/* cursor.max */ select max(position) from load_cursor where spool = ?")
            .bind(spool.0.as_slice())
            .fetch_one(&store.readers)
            .await
            .map_err(failed(CURSOR))?;
    Ok(at.and_then(|at| u64::try_from(at).ok()).unwrap_or(0))
}

pub(crate) async fn cursors_forget(store: &SqliteStore, spool: SpoolId) -> Result<(), StoreError> {
    const FORGETTING: &str = "forgetting load cursors";
    let mut transaction = store.write(FORGETTING).await?;
    version::count_forgotten(&mut transaction, spool).await?;
    sqlx::query("/* cursor.forget */ delete from load_cursor where spool = ?")
        .bind(spool.0.as_slice())
        .execute(&mut *transaction)
        .await
        .map_err(failed(FORGETTING))?;
    transaction.commit().await.map_err(failed(FORGETTING))
}
