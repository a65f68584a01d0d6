//! Maintenance: folding deltas into cells, days' partitions made ahead and dropped, and the rows of deleted
//! sites removed.
//!
//! One server at a time does it, by a lease. Every step is a short transaction of its own that begins by
//! renewing the lease: whoever lost it meanwhile stops, and whoever wants it waits for the step to end.

use crate::error::{code, damaged, failed};
use crate::sql::{self, Statement, query};
use crate::{PostgresStore, load, query as questions, view};
use fieldvitals_store::rollup::{CellKey, Fold};
use fieldvitals_store::{Cell, Kept, Maintained, Retention, SiteId, StoreError};
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;
use sqlx::{Postgres, Row, Transaction};
use std::collections::BTreeMap;
use std::time::Duration;
use vitals::metric::Metric;

const LEASING: &str = "taking the lease of maintenance";
const FOLDING: &str = "folding rollups";
const REMOVING: &str = "removing what is past retention";
const DELETING: &str = "removing the rows of a deleted site";

/// Cells that one transaction folds, or the first row that takes it past this.
const FOLD_CELLS: usize = 2_000;
/// Delta rows that are read at once; few are left over when [`FOLD_CELLS`] is reached.
const FOLD_ROWS: i64 = 64;
/// Rows that one transaction removes.
const REMOVE_ROWS: i64 = 5_000;
/// How often a partition is tried to be dropped in one round; each try lets others wait for at most the
/// lock timeout of a step.
const DROP_TRIES: u32 = 3;
/// Time between two tries.
const DROP_PAUSE: Duration = Duration::from_millis(500);

/// The codes of a lock that was not had in time, and of two that waited for each other.
const LOCK_NOT_HAD: [&str; 2] = ["55P03", "40P01"];

pub(crate) async fn maintain(
    store: &PostgresStore,
    now_ms: i64,
    retention: Retention,
) -> Result<Maintained, StoreError> {
    load::add_days_around(store, now_ms).await?;
    let Some(lease) = Lease::take(store).await? else { return Ok(Maintained::default()) };
    let done = lease.round(now_ms, retention).await;
    // Where this fails the lease ends by itself, a minute later.
    let _ = lease.release().await;
    done
}

/// The right to maintain, for as long as each step renews it.
struct Lease<'a> {
    store: &'a PostgresStore,
    holder: Uuid,
}

impl<'a> Lease<'a> {
    /// Takes the lease, if nobody has it.
    async fn take(store: &'a PostgresStore) -> Result<Option<Self>, StoreError> {
        let mut holder = [0; 16];
        getrandom::fill(&mut holder).map_err(|error| StoreError::Database {
            what: LEASING,
            reason: format!("the system gave no random numbers ({error})"),
            passing: true,
        })?;
        let holder = Uuid::from_bytes(holder);
        let mut transaction = store.write(LEASING).await?;
        let taken = query(
            "/* lease.take */ update lease set holder = $1, until = clock_timestamp() + interval '1 minute' \
             where name = 'maintenance' and until < clock_timestamp()",
        )
        .bind(holder)
        .execute(&mut *transaction)
        .await
        .map_err(failed(LEASING))?;
        transaction.commit().await.map_err(failed(LEASING))?;
        Ok((taken.rows_affected() == 1).then_some(Self { store, holder }))
    }

    /// Begins a step. The lease cannot change hands before the step's transaction ends.
    async fn step(&self, what: &'static str) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut transaction = self.store.pool.begin_with(sql::MAINTAIN).await.map_err(failed(what))?;
        let renewed = query(
            "/* lease.renew */ update lease set until = clock_timestamp() + interval '1 minute' \
             where name = 'maintenance' and holder = $1",
        )
        .bind(self.holder)
        .execute(&mut *transaction)
        .await
        .map_err(failed(what))?;
        if renewed.rows_affected() == 1 {
            return Ok(transaction);
        }
        Err(StoreError::Database {
            what,
            reason: "another server has taken over maintenance, as this one was too slow".to_owned(),
            passing: true,
        })
    }

    async fn release(&self) -> Result<(), StoreError> {
        let mut transaction = self.store.write(LEASING).await?;
        query(
            "/* lease.release */ update lease set until = '-infinity' \
             where name = 'maintenance' and holder = $1",
        )
        .bind(self.holder)
        .execute(&mut *transaction)
        .await
        .map_err(failed(LEASING))?;
        transaction.commit().await.map_err(failed(LEASING))
    }

    async fn round(&self, now_ms: i64, retention: Retention) -> Result<Maintained, StoreError> {
        let kept = self.keep(now_ms, retention).await?;
        for site in self.sites("/* site.deleted.read */ select site_id from site_deleted").await? {
            remove_site(self.store, site).await?;
        }
        let mut done = Maintained::default();
        for site in self.sites("/* rollup.delta.sites */ select distinct site_id from rollup_delta").await? {
            done.deltas_folded += self.fold_site(site, &kept).await?;
        }
        for site in self.sites("/* site.ids */ select site_id from site").await? {
            done.cells_removed += self.remove_cells(REMOVE_HOURS, site, kept.hours_from_ms).await?;
            done.cells_removed += self.remove_cells(REMOVE_DAYS, site, kept.days_from_ms).await?;
        }
        done.views_removed = self.drop_days(&kept).await?;
        Ok(done)
    }

    async fn sites(&self, sql: &'static str) -> Result<Vec<SiteId>, StoreError> {
        let mut transaction = self.store.read(FOLDING).await?;
        let rows = query(sql).fetch_all(&mut *transaction).await.map_err(failed(FOLDING))?;
        rows.iter().map(|row| row.try_get(0).map(SiteId).map_err(failed(FOLDING))).collect()
    }

    /// Moves the edges of what is kept, before anything is removed.
    async fn keep(&self, now_ms: i64, retention: Retention) -> Result<Kept, StoreError> {
        let mut transaction = self.step(REMOVING).await?;
        let before = questions::kept_now(&mut transaction).await?;
        let kept = before.after(now_ms, retention);
        if kept != before {
            // Waits for the loads that hold the row; they may be writing what is about to go.
            query(
                "/* kept.move */ update kept set views_from_ms = $1, hours_from_ms = $2, days_from_ms = $3 \
                 where one = 1",
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

    async fn fold_site(&self, site: SiteId, kept: &Kept) -> Result<u64, StoreError> {
        // Rows that loads add meanwhile are for the next round, so a busy site cannot keep this one going.
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
            let folded = self.fold_some(site, kept).await?;
            if folded == 0 {
                break;
            }
            folded_total += folded;
            left -= i64::try_from(folded).unwrap_or(left);
        }
        Ok(folded_total)
    }

    async fn fold_some(&self, site: SiteId, kept: &Kept) -> Result<u64, StoreError> {
        let mut transaction = self.step(FOLDING).await?;
        let connection = &mut *transaction;
        let rows = query(
            "/* rollup.delta.next */ select hour_ms, spool, up_to, cells from rollup_delta \
             where site_id = $1 order by hour_ms, spool, up_to limit $2",
        )
        .bind(site.0)
        .bind(FOLD_ROWS)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed(FOLDING))?;
        let mut fold = Fold::default();
        let (mut hours, mut spools, mut ups) = (Vec::<i64>::new(), Vec::<Uuid>::new(), Vec::<i64>::new());
        for row in &rows {
            if fold.len() >= FOLD_CELLS {
                break;
            }
            let hour_ms: i64 = row.try_get(0).map_err(failed(FOLDING))?;
            let cells: &[u8] = row.try_get(3).map_err(failed(FOLDING))?;
            fold.add(hour_ms, cells, kept).map_err(|_| damaged(FOLDING, "a rollup delta"))?;
            hours.push(hour_ms);
            spools.push(row.try_get(1).map_err(failed(FOLDING))?);
            ups.push(row.try_get(2).map_err(failed(FOLDING))?);
        }
        if hours.is_empty() {
            return Ok(0);
        }
        let count = hours.len() as u64;
        merge(connection, &HOURS, site, fold.hours).await?;
        merge(connection, &DAYS, site, fold.days).await?;
        // These rows and no others: loads may have added some between them.
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
            // The site is being deleted; what was added to its cells is rolled back.
            return Ok(0);
        }
        transaction.commit().await.map_err(failed(FOLDING))?;
        Ok(count)
    }

    /// Removes the cells before a start and returns how many they were.
    async fn remove_cells(&self, sql: &'static str, site: SiteId, from_ms: i64) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let mut transaction = self.step(REMOVING).await?;
            let rows = query(sql)
                .bind(site.0)
                .bind(from_ms)
                .bind(REMOVE_ROWS)
                .execute(&mut *transaction)
                .await
                .map_err(failed(REMOVING))?
                .rows_affected();
            transaction.commit().await.map_err(failed(REMOVING))?;
            removed += rows;
            if rows < REMOVE_ROWS as u64 {
                return Ok(removed);
            }
        }
    }

    /// Drops the partitions of days that are no longer kept, and returns how many page views went.
    async fn drop_days(&self, kept: &Kept) -> Result<u64, StoreError> {
        let mut transaction = self.store.read(REMOVING).await?;
        let rows =
            query("/* view.days.old */ select day from page_view_days() day where day < $1 order by day")
                .bind(kept.views_from_ms)
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed(REMOVING))?;
        drop(transaction);
        load::forget_days(self.store, kept.views_from_ms);
        let mut removed = 0;
        for row in rows {
            let day_ms: i64 = row.try_get(0).map_err(failed(REMOVING))?;
            removed += self.drop_day(day_ms).await?;
        }
        Ok(removed)
    }

    /// Drops a partition, which takes page_view for itself for a moment: where that moment does not come
    /// soon, another round does it.
    async fn drop_day(&self, day_ms: i64) -> Result<u64, StoreError> {
        for tried in 1.. {
            let mut transaction = self.step(REMOVING).await?;
            let dropped = query("/* view.day.drop */ select page_view_day_drop($1)")
                .bind(day_ms)
                .fetch_one(&mut *transaction)
                .await
                .and_then(|row| row.try_get::<i64, _>(0));
            match dropped {
                Ok(views) => {
                    transaction.commit().await.map_err(failed(REMOVING))?;
                    return Ok(u64::try_from(views).unwrap_or(0));
                }
                Err(error) if code(&error).is_some_and(|code| LOCK_NOT_HAD.contains(&code.as_str())) => {
                    if tried >= DROP_TRIES {
                        break;
                    }
                    drop(transaction);
                    tokio::time::sleep(DROP_PAUSE).await;
                }
                Err(error) => return Err(failed(REMOVING)(error)),
            }
        }
        Ok(0)
    }
}

/// The statements that read and write the cells of a table.
struct Table {
    read: &'static str,
    put: &'static str,
    remove: &'static str,
}

macro_rules! table {
    ($name:literal) => {
        Table {
            read: concat!(
                "/* ",
                $name,
                ".read */ select c.start_ms, c.route_id, c.device, c.views, c.lcp, c.inp, c.cls, c.fcp, \
                 c.ttfb, c.fid, c.tti from ",
                $name,
                " c join unnest($2::bigint[], $3::bigint[], $4::smallint[]) u (start_ms, route_id, device) \
                 on c.start_ms = u.start_ms and c.route_id = u.route_id and c.device = u.device \
                 where c.site_id = $1"
            ),
            put: concat!(
                "/* ",
                $name,
                ".put */ insert into ",
                $name,
                " (site_id, start_ms, route_id, device, views, lcp, inp, cls, fcp, ttfb, fid, tti) \
                 select $1, u.* from unnest($2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[], \
                 $6::bytea[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], \
                 $12::bytea[]) u \
                 on conflict (site_id, start_ms, route_id, device) do update set views = excluded.views, \
                 lcp = excluded.lcp, inp = excluded.inp, cls = excluded.cls, fcp = excluded.fcp, \
                 ttfb = excluded.ttfb, fid = excluded.fid, tti = excluded.tti"
            ),
            remove: concat!(
                "/* ",
                $name,
                ".empty */ delete from ",
                $name,
                " c using unnest($2::bigint[], $3::bigint[], $4::smallint[]) u (start_ms, route_id, device) \
                 where c.site_id = $1 and c.start_ms = u.start_ms and c.route_id = u.route_id \
                 and c.device = u.device"
            ),
        }
    };
}

const HOURS: Table = table!("rollup_hour");
const DAYS: Table = table!("rollup_day");

/// Keys of cells, a list a column.
fn columns<'a>(keys: impl Iterator<Item = &'a CellKey>) -> (Vec<i64>, Vec<i64>, Vec<i16>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        columns.0.push(key.start_ms);
        columns.1.push(key.route_id);
        columns.2.push(i16::from(key.device));
    }
    columns
}

/// Adds cells to those that are stored; a cell in which nothing is left goes.
async fn merge(
    connection: &mut PgConnection,
    table: &Table,
    site: SiteId,
    mut cells: BTreeMap<CellKey, Cell>,
) -> Result<(), StoreError> {
    let (starts, routes, devices) = columns(cells.keys());
    let rows = query(table.read)
        .bind(site.0)
        .bind(starts)
        .bind(routes)
        .bind(devices)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed(FOLDING))?;
    for row in &rows {
        let device: i16 = row.try_get(2).map_err(failed(FOLDING))?;
        let key = CellKey {
            start_ms: row.try_get(0).map_err(failed(FOLDING))?,
            route_id: row.try_get(1).map_err(failed(FOLDING))?,
            device: u8::try_from(device).map_err(|_| damaged(FOLDING, "a rollup cell"))?,
        };
        let stored = questions::cell(row, 3).map_err(|_| damaged(FOLDING, "a rollup cell"))?;
        cells.entry(key).or_default().merge(&stored);
    }
    let (empty, full): (Vec<_>, Vec<_>) = cells.into_iter().partition(|(_, cell)| cell.is_empty());
    if !full.is_empty() {
        let (starts, routes, devices) = columns(full.iter().map(|(key, _)| key));
        let views: Vec<i64> = full.iter().map(|(_, cell)| cell.views).collect();
        let statement = query(table.put).bind(site.0).bind(starts).bind(routes).bind(devices).bind(views);
        Metric::ALL
            .into_iter()
            .fold(statement, |statement, metric| {
                let packed = full.iter().map(|(_, cell)| packed(cell, metric));
                statement.bind(packed.collect::<Vec<Option<Vec<u8>>>>())
            })
            .execute(&mut *connection)
            .await
            .map_err(failed(FOLDING))?;
    }
    if !empty.is_empty() {
        let (starts, routes, devices) = columns(empty.iter().map(|(key, _)| key));
        query(table.remove)
            .bind(site.0)
            .bind(starts)
            .bind(routes)
            .bind(devices)
            .execute(&mut *connection)
            .await
            .map_err(failed(FOLDING))?;
    }
    Ok(())
}

fn packed(cell: &Cell, metric: Metric) -> Option<Vec<u8>> {
    let histogram = cell.metric(metric);
    (!histogram.is_empty()).then(|| {
        let mut bytes = Vec::new();
        histogram.encode(&mut bytes);
        bytes
    })
}

const REMOVE_HOURS: &str = "/* rollup.hour.remove */ delete from rollup_hour where site_id = $1 and \
    (start_ms, route_id, device) in (select start_ms, route_id, device from rollup_hour \
    where site_id = $1 and start_ms < $2 order by start_ms, route_id, device limit $3)";
const REMOVE_DAYS: &str = "/* rollup.day.remove */ delete from rollup_day where site_id = $1 and \
    (start_ms, route_id, device) in (select start_ms, route_id, device from rollup_day \
    where site_id = $1 and start_ms < $2 order by start_ms, route_id, device limit $3)";
/// `$2` is past every id.
const REMOVE_VIEWS: &str = "/* view.remove */ delete from page_view where site_id = $1 and id < \
    coalesce((select id from page_view where site_id = $1 order by id offset $3 limit 1), $2)";
const REMOVE_DELTAS: &str = "/* rollup.delta.remove */ delete from rollup_delta where site_id = $1";
/// The note that the site is to be removed goes last.
const REMOVE_REST: [&str; 4] = [
    "/* cursor.remove */ delete from load_cursor where site_id = $1",
    "/* route.remove */ delete from route where site_id = $1",
    "/* violation.remove */ delete from violation where site_id = $1",
    "/* site.deleted.done */ delete from site_deleted where site_id = $1",
];

/// Removes the rows of a site that is deleted already; one that is interrupted is taken up again. It
/// needs no lease, as nobody else touches them but to remove them too.
pub(crate) async fn remove_site(store: &PostgresStore, site: SiteId) -> Result<(), StoreError> {
    // Deltas first: a fold of them, under way, either is waited for or finds them gone and gives up.
    remove_all(store, REMOVE_DELTAS, site).await?;
    for sql in [REMOVE_HOURS, REMOVE_DAYS] {
        while remove_some(store, query(sql).bind(site.0).bind(i64::MAX)).await? {}
    }
    while remove_some(store, query(REMOVE_VIEWS).bind(site.0).bind(view::first_id(i64::MAX))).await? {}
    for sql in REMOVE_REST {
        remove_all(store, sql, site).await?;
    }
    Ok(())
}

/// Runs a statement that removes at most [`REMOVE_ROWS`]; whether there may be more.
async fn remove_some(store: &PostgresStore, statement: Statement) -> Result<bool, StoreError> {
    let mut transaction = store.write(DELETING).await?;
    let removed = statement.bind(REMOVE_ROWS).execute(&mut *transaction).await.map_err(failed(DELETING))?;
    transaction.commit().await.map_err(failed(DELETING))?;
    Ok(removed.rows_affected() >= REMOVE_ROWS as u64)
}

async fn remove_all(store: &PostgresStore, sql: &'static str, site: SiteId) -> Result<(), StoreError> {
    let mut transaction = store.write(DELETING).await?;
    query(sql).bind(site.0).execute(&mut *transaction).await.map_err(failed(DELETING))?;
    transaction.commit().await.map_err(failed(DELETING))
}
