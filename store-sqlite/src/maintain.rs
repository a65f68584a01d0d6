//! Maintenance: folding deltas into cells, and removing what is past retention or of a deleted site.
//!
//! Every step is a transaction of its own, small enough that a load waits for milliseconds.

use crate::bulk::{self, Sizes, sizes};
use crate::error::{damaged, failed};
use crate::{SqliteStore, query, schema, view};
use fieldvitals_store::rollup::{CellKey, Fold};
use fieldvitals_store::{Cell, Kept, Maintained, Retention, SiteId, StoreError};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use std::collections::BTreeMap;
use vitals::metric::Metric;

const FOLDING: &str = "folding rollups";
const REMOVING: &str = "removing what is past retention";
const DELETING: &str = "removing the rows of a deleted site";

/// Cells that one transaction folds, or the first row that takes it past this.
const FOLD_CELLS: usize = 2_000;
/// Delta rows that are read at once; few are left over when [`FOLD_CELLS`] is reached.
const FOLD_ROWS: i64 = 64;
/// Rows that one transaction removes.
const REMOVE_ROWS: i64 = 2_000;
/// Size of the write-ahead log at which it is emptied, in bytes.
const LOG_BYTES: u64 = 16 * 1024 * 1024;

pub(crate) async fn maintain(
    store: &SqliteStore,
    now_ms: i64,
    retention: Retention,
) -> Result<Maintained, StoreError> {
    let kept = keep(store, now_ms, retention).await?;
    for site in sites(store, "/* site.deleted.read */ select site_id from site_deleted").await? {
        remove_site(store, site).await?;
    }
    let mut done = Maintained::default();
    for site in sites(store, "/* rollup.delta.sites */ select distinct site_id from rollup_delta").await? {
        done.deltas_folded += fold_site(store, site, &kept).await?;
    }
    for site in sites(store, "/* site.ids */ select site_id from site").await? {
        done.views_removed += remove(store, REMOVE_VIEWS, site, Edge::Id(kept.views_from_ms)).await?;
        done.cells_removed += remove(store, REMOVE_HOURS, site, Edge::Start(kept.hours_from_ms)).await?;
        done.cells_removed += remove(store, REMOVE_DAYS, site, Edge::Start(kept.days_from_ms)).await?;
    }
    checkpoint(store).await?;
    Ok(done)
}

async fn sites(store: &SqliteStore, sql: &'static str) -> Result<Vec<SiteId>, StoreError> {
    let ids: Vec<i64> = sqlx::query_scalar(sql).fetch_all(&store.readers).await.map_err(failed(FOLDING))?;
    Ok(ids.into_iter().map(SiteId).collect())
}

/// Moves the edges of what is kept, before anything is removed.
async fn keep(store: &SqliteStore, now_ms: i64, retention: Retention) -> Result<Kept, StoreError> {
    let mut transaction = store.write(REMOVING).await?;
    let before = query::kept_now(&mut transaction).await?;
    let kept = before.after(now_ms, retention);
    if kept != before {
        sqlx::query(
            "/* kept.move */ insert into kept (one, views_from_ms, hours_from_ms, days_from_ms) \
             values (1, ?, ?, ?) on conflict (one) do update set views_from_ms = excluded.views_from_ms, \
             hours_from_ms = excluded.hours_from_ms, days_from_ms = excluded.days_from_ms",
        )
        .bind(kept.views_from_ms)
        .bind(kept.hours_from_ms)
        .bind(kept.days_from_ms)
        .execute(&mut *transaction)
        .await
        .map_err(failed(REMOVING))?;
        transaction.commit().await.map_err(failed(REMOVING))?;
    }
    Ok(kept)
}

/// Folds a site's deltas and returns how many rows that were.
async fn fold_site(store: &SqliteStore, site: SiteId, kept: &Kept) -> Result<u64, StoreError> {
    // Rows that loads add meanwhile are for the next round, so a busy site cannot keep this one going.
    let mut left: i64 =
        sqlx::query_scalar("/* rollup.delta.count */ select count(*) from rollup_delta where site_id = ?")
            .bind(site.0)
            .fetch_one(&store.readers)
            .await
            .map_err(failed(FOLDING))?;
    let mut folded_total = 0;
    while left > 0 {
        let folded = fold_some(store, site, kept).await?;
        if folded == 0 {
            break;
        }
        folded_total += folded;
        left -= i64::try_from(folded).unwrap_or(left);
    }
    Ok(folded_total)
}

async fn fold_some(store: &SqliteStore, site: SiteId, kept: &Kept) -> Result<u64, StoreError> {
    let mut transaction = store.write(FOLDING).await?;
    let connection = &mut *transaction;
    let rows = sqlx::query(
        "/* rollup.delta.next */ select hour_ms, spool, up_to, cells from rollup_delta where site_id = ? \
         order by hour_ms, spool, up_to limit ?",
    )
    .bind(site.0)
    .bind(FOLD_ROWS)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(FOLDING))?;
    let mut fold = Fold::default();
    let mut folded = 0;
    let mut last = None;
    for row in &rows {
        if fold.len() >= FOLD_CELLS {
            break;
        }
        let hour_ms: i64 = row.try_get(0).map_err(failed(FOLDING))?;
        let cells: &[u8] = row.try_get(3).map_err(failed(FOLDING))?;
        fold.add(hour_ms, cells, kept).map_err(|_| damaged(FOLDING, "a rollup delta"))?;
        folded += 1;
        last = Some(row);
    }
    let Some(last) = last else { return Ok(0) };
    merge(connection, &HOURS, site, fold.hours).await?;
    merge(connection, &DAYS, site, fold.days).await?;
    sqlx::query(
        "/* rollup.delta.folded */ delete from rollup_delta \
         where site_id = ?1 and (hour_ms, spool, up_to) <= (?2, ?3, ?4)",
    )
    .bind(site.0)
    .bind(last.try_get::<i64, _>(0).map_err(failed(FOLDING))?)
    .bind(last.try_get::<&[u8], _>(1).map_err(failed(FOLDING))?)
    .bind(last.try_get::<i64, _>(2).map_err(failed(FOLDING))?)
    .execute(&mut *connection)
    .await
    .map_err(failed(FOLDING))?;
    transaction.commit().await.map_err(failed(FOLDING))?;
    Ok(folded)
}

/// The statements that read and write the cells of a table.
struct Table {
    read: &'static str,
    put: Sizes,
    remove: &'static str,
}

macro_rules! table {
    ($read:literal, $put:literal, $remove:literal) => {
        Table {
            read: $read,
            put: sizes!(
                $put,
                "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                " on conflict (site_id, start_ms, route_id, device) do update set views = excluded.views, \
                 lcp = excluded.lcp, inp = excluded.inp, cls = excluded.cls, fcp = excluded.fcp, \
                 ttfb = excluded.ttfb, fid = excluded.fid, tti = excluded.tti"
            ),
            remove: $remove,
        }
    };
}

const HOURS: Table = table!(
    "/* rollup.hour.read */ select c.start_ms, c.route_id, c.device, c.views, c.lcp, c.inp, c.cls, c.fcp, \
     c.ttfb, c.fid, c.tti from json_each(?2) j cross join rollup_hour c on c.site_id = ?1 \
     and c.start_ms = j.value ->> 0 and c.route_id = j.value ->> 1 and c.device = j.value ->> 2",
    "/* rollup.hour.put */ insert into rollup_hour (site_id, start_ms, route_id, device, views, lcp, inp, \
     cls, fcp, ttfb, fid, tti) values ",
    "/* rollup.hour.empty */ delete from rollup_hour \
     where site_id = ? and start_ms = ? and route_id = ? and device = ?"
);

const DAYS: Table = table!(
    "/* rollup.day.read */ select c.start_ms, c.route_id, c.device, c.views, c.lcp, c.inp, c.cls, c.fcp, \
     c.ttfb, c.fid, c.tti from json_each(?2) j cross join rollup_day c on c.site_id = ?1 \
     and c.start_ms = j.value ->> 0 and c.route_id = j.value ->> 1 and c.device = j.value ->> 2",
    "/* rollup.day.put */ insert into rollup_day (site_id, start_ms, route_id, device, views, lcp, inp, \
     cls, fcp, ttfb, fid, tti) values ",
    "/* rollup.day.empty */ delete from rollup_day \
     where site_id = ? and start_ms = ? and route_id = ? and device = ?"
);

/// Adds cells to those that are stored; a cell in which nothing is left goes.
async fn merge(
    connection: &mut SqliteConnection,
    table: &Table,
    site: SiteId,
    mut cells: BTreeMap<CellKey, Cell>,
) -> Result<(), StoreError> {
    let keys: Vec<(i64, i64, u8)> =
        cells.keys().map(|key| (key.start_ms, key.route_id, key.device)).collect();
    let keys = serde_json::to_string(&keys).map_err(|error| damaged(FOLDING, error))?;
    let rows = sqlx::query(table.read)
        .bind(site.0)
        .bind(keys)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed(FOLDING))?;
    for row in &rows {
        let key = CellKey {
            start_ms: row.try_get(0).map_err(failed(FOLDING))?,
            route_id: row.try_get(1).map_err(failed(FOLDING))?,
            device: row.try_get(2).map_err(failed(FOLDING))?,
        };
        let stored = query::cell(row, 3).map_err(|_| damaged(FOLDING, "a rollup cell"))?;
        cells.entry(key).or_default().merge(&stored);
    }
    let (empty, full): (Vec<_>, Vec<_>) = cells.into_iter().partition(|(_, cell)| cell.is_empty());
    bulk::write(connection, &table.put, &full, |statement, (key, cell)| {
        let statement = statement
            .bind(site.0)
            .bind(key.start_ms)
            .bind(key.route_id)
            .bind(i64::from(key.device))
            .bind(cell.views);
        Metric::ALL.into_iter().fold(statement, |statement, metric| {
            let histogram = cell.metric(metric);
            statement.bind((!histogram.is_empty()).then(|| {
                let mut bytes = Vec::new();
                histogram.encode(&mut bytes);
                bytes
            }))
        })
    })
    .await
    .map_err(failed(FOLDING))?;
    for (key, _) in empty {
        sqlx::query(table.remove)
            .bind(site.0)
            .bind(key.start_ms)
            .bind(key.route_id)
            .bind(i64::from(key.device))
            .execute(&mut *connection)
            .await
            .map_err(failed(FOLDING))?;
    }
    Ok(())
}

/// The first key that stays.
#[derive(Clone, Copy)]
enum Edge {
    /// Of page views, by the start of the first day that is kept.
    Id(i64),
    /// Of cells, by their start.
    Start(i64),
}

const REMOVE_VIEWS: &str = "/* view.remove */ delete from page_view where site_id = ?1 and id in \
    (select id from page_view where site_id = ?1 and id < ?2 order by id limit ?3)";
const REMOVE_HOURS: &str = "/* rollup.hour.remove */ delete from rollup_hour where site_id = ?1 and \
    (start_ms, route_id, device) in (select start_ms, route_id, device from rollup_hour \
    where site_id = ?1 and start_ms < ?2 order by start_ms, route_id, device limit ?3)";
const REMOVE_DAYS: &str = "/* rollup.day.remove */ delete from rollup_day where site_id = ?1 and \
    (start_ms, route_id, device) in (select start_ms, route_id, device from rollup_day \
    where site_id = ?1 and start_ms < ?2 order by start_ms, route_id, device limit ?3)";

/// Removes the rows before an edge and returns how many they were.
async fn remove(store: &SqliteStore, sql: &'static str, site: SiteId, edge: Edge) -> Result<u64, StoreError> {
    let mut removed = 0;
    loop {
        let statement = sqlx::query(sql).bind(site.0);
        let statement = match edge {
            Edge::Id(start_ms) => statement.bind(view::first_id(start_ms)),
            Edge::Start(start_ms) => statement.bind(start_ms),
        };
        let rows = statement
            .bind(REMOVE_ROWS)
            .execute(&store.writer)
            .await
            .map_err(failed(REMOVING))?
            .rows_affected();
        removed += rows;
        if rows < REMOVE_ROWS as u64 {
            return Ok(removed);
        }
    }
}

/// Removes the rows of a site that is deleted already; one that is interrupted is taken up again.
pub(crate) async fn remove_site(store: &SqliteStore, site: SiteId) -> Result<(), StoreError> {
    // First, so that no fold that runs meanwhile, here or in another process, makes cells again.
    sqlx::query("/* site.rows */ delete from rollup_delta where site_id = ?")
        .bind(site.0)
        .execute(&store.writer)
        .await
        .map_err(failed(DELETING))?;
    remove(store, REMOVE_VIEWS, site, Edge::Id(i64::MAX)).await?;
    remove(store, REMOVE_HOURS, site, Edge::Start(i64::MAX)).await?;
    remove(store, REMOVE_DAYS, site, Edge::Start(i64::MAX)).await?;
    let mut transaction = store.write(DELETING).await?;
    for sql in [
        "/* site.rows */ delete from load_cursor where site_id = ?",
        "/* site.rows */ delete from route where site_id = ?",
        "/* site.rows */ delete from violation where site_id = ?",
        "/* site.rows */ delete from site_deleted where site_id = ?",
    ] {
        sqlx::query(sql).bind(site.0).execute(&mut *transaction).await.map_err(failed(DELETING))?;
    }
    transaction.commit().await.map_err(failed(DELETING))
}

/// Empties the write-ahead log once it has grown; where a long question is being read, another time.
async fn checkpoint(store: &SqliteStore) -> Result<(), StoreError> {
    const EMPTYING: &str = "emptying the write-ahead log";
    let mut log = store.path.clone().into_os_string();
    log.push("-wal");
    if std::fs::metadata(log).map_or(0, |metadata| metadata.len()) < LOG_BYTES {
        return Ok(());
    }
    // A connection that gives up soon: while it waits for readers, no writer gets in.
    let mut connection = schema::impatient(&store.path).await.map_err(failed(EMPTYING))?;
    sqlx::query("/* log.empty */ pragma wal_checkpoint(truncate)")
        .execute(&mut connection)
        .await
        .map_err(failed(EMPTYING))?;
    sqlx::Connection::close(connection).await.map_err(failed(EMPTYING))
}
