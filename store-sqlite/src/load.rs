//! Loading: a batch's page views, corrections and cursor, in one transaction.

use crate::error::{damaged, failed};
use crate::{SqliteStore, bulk, view};
use fieldvitals_store::load::{self, Changed, corrections, ids, merge};
use fieldvitals_store::rollup::{pack, route_id};
use fieldvitals_store::{Kept, LoadBatch, LoadReport, SiteId, SpoolId, StoreError, StoredView, ViewUpdate};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

const LOADING: &str = "loading beacons";
const CURSOR: &str = "reading the load cursor";

pub(crate) async fn load(store: &SqliteStore, batch: LoadBatch) -> Result<LoadReport, StoreError> {
    let ids = ids(&batch);
    let LoadBatch { site, spool, after, up_to, mut beacons } = batch;
    let mut transaction = store.write(LOADING).await?;
    let connection = &mut *transaction;

    let kept = begin(connection, site, spool, after).await?;
    bound(connection, site, &mut beacons).await?;
    let known = known(connection, site, &ids).await?;
    let merged = merge(known, beacons, &kept);
    let route_ids = routes(connection, site, &merged.changed).await?;

    bulk::write(connection, &view::PUT, &merged.changed, |statement, changed| {
        let id = route_ids.get(&changed.after.update.route).copied().unwrap_or_default();
        view::bind(statement, site, &changed.after, id)
    })
    .await
    .map_err(failed(LOADING))?;
    for (hour_ms, cells) in corrections(&merged.changed) {
        sqlx::query(
            "/* rollup.delta */ insert into rollup_delta (site_id, hour_ms, spool, up_to, cells) \
             values (?, ?, ?, ?, ?)",
        )
        .bind(site.0)
        .bind(hour_ms)
        .bind(spool.0.as_slice())
        .bind(position(up_to)?)
        .bind(pack(&cells, &route_ids))
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

/// The views that are stored already.
async fn known(
    connection: &mut SqliteConnection,
    site: SiteId,
    ids: &[vitals::view::ViewId],
) -> Result<Vec<StoredView>, StoreError> {
    // JSON has no bytes, so ids travel as hexadecimal digits.
    let mut hex = String::with_capacity(ids.len() * 35 + 2);
    for id in ids {
        let separator = if hex.is_empty() { '[' } else { ',' };
        let number = u128::from_be_bytes(*id.as_bytes());
        // Writing to a String cannot fail.
        let _ = write!(hex, "{separator}\"{number:032x}\"");
    }
    if hex.is_empty() {
        return Ok(Vec::new());
    }
    hex.push(']');
    let rows = sqlx::query(
        "/* view.known */ select v.id, v.seq, v.received_ms, v.url, r.route, v.navigation_type, v.device, \
         v.connection, v.country, v.release, v.tti_gap, v.lcp, v.inp, v.cls, v.fcp, v.ttfb, v.fid, v.tti, \
         v.foreign_received \
         from json_each(?2) j cross join page_view v on v.site_id = ?1 and v.id = unhex(j.value) \
         cross join route r on r.site_id = ?1 and r.route_id = v.route_id",
    )
    .bind(site.0)
    .bind(hex)
    .fetch_all(connection)
    .await
    .map_err(failed(LOADING))?;
    rows.iter().map(view::read).collect()
}

/// Holds the site's routes to their bound.
async fn bound(
    connection: &mut SqliteConnection,
    site: SiteId,
    beacons: &mut [Vec<ViewUpdate>],
) -> Result<(), StoreError> {
    let asked = load::routes(beacons);
    let list = serde_json::to_string(&asked).map_err(|error| damaged(LOADING, error))?;
    let known: BTreeSet<String> = sqlx::query_scalar(
        "/* route.known */ select r.route from json_each(?2) j \
         cross join route r on r.site_id = ?1 and r.route = j.value",
    )
    .bind(site.0)
    .bind(list)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(LOADING))?
    .into_iter()
    .collect();
    if known.len() < asked.len() {
        let count: i64 = sqlx::query_scalar("/* route.count */ select count(*) from route where site_id = ?")
            .bind(site.0)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed(LOADING))?;
        load::bound_routes(beacons, &known, usize::try_from(count).unwrap_or(usize::MAX));
    }
    Ok(())
}

/// The ids of all routes that changed views had or have; new ones are added.
async fn routes(
    connection: &mut SqliteConnection,
    site: SiteId,
    changed: &[Changed],
) -> Result<HashMap<String, i64>, StoreError> {
    let routes: BTreeSet<&str> = changed
        .iter()
        .flat_map(|changed| changed.before.iter().chain([&changed.after]))
        .map(|view| view.update.route.as_str())
        .collect();
    if routes.is_empty() {
        return Ok(HashMap::new());
    }
    let list = serde_json::to_string(&routes).map_err(|error| damaged(LOADING, error))?;
    let mut ids: HashMap<String, i64> = sqlx::query_as(
        "/* route.ids */ select r.route, r.route_id from json_each(?2) j \
         cross join route r on r.site_id = ?1 and r.route = j.value",
    )
    .bind(site.0)
    .bind(list)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(LOADING))?
    .into_iter()
    .collect();
    for route in routes {
        if !ids.contains_key(route) {
            ids.insert(route.to_owned(), add_route(connection, site, route).await?);
        }
    }
    Ok(ids)
}

/// Adds a route under the first of its ids that no other route has.
async fn add_route(connection: &mut SqliteConnection, site: SiteId, route: &str) -> Result<i64, StoreError> {
    for attempt in 0..=u8::MAX {
        let id = route_id(route, attempt);
        let added = sqlx::query(
            "/* route.add */ insert into route (site_id, route_id, route) values (?, ?, ?) \
             on conflict (site_id, route_id) do nothing",
        )
        .bind(site.0)
        .bind(id)
        .bind(route)
        .execute(&mut *connection)
        .await
        .map_err(failed(LOADING))?;
        if added.rows_affected() == 1 {
            return Ok(id);
        }
    }
    Err(damaged(LOADING, format_args!("the table of routes: every id of `{route}` is taken")))
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
    sqlx::query("/* cursor.forget */ delete from load_cursor where spool = ?")
        .bind(spool.0.as_slice())
        .execute(&store.writer)
        .await
        .map_err(failed(FORGETTING))?;
    Ok(())
}
