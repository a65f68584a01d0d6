//! Rollup rows and deltas as the database has them.

use crate::error::{damaged, failed};
use crate::sql::query;
use fieldvitals_store::rollup::{Fold, Grain, Part, Row, RowKey, from_slot, slots};
use fieldvitals_store::{Kept, SiteId, StoreError};
use futures_util::TryStreamExt;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::BTreeMap;
use std::ops::Range;

const READING: &str = "reading rollups";
const WRITING: &str = "writing rollups";

/// Up to this many hours or days, one route's rows are looked up one by one, instead of reading
/// everybody's and leaving out most.
const LOOKUPS_MAX: usize = 1_000;
/// Rows that one statement writes, so that no message is larger than some megabytes.
const WRITE_ROWS: usize = 4_096;

/// The statements about a table of rows.
struct Table {
    what: &'static str,
    range: &'static str,
    lookup: &'static str,
    keys: &'static str,
    put: &'static str,
    remove_keys: &'static str,
    remove_steps: &'static str,
}

macro_rules! table {
    ($name:literal) => {
        Table {
            what: concat!("a row of ", $name),
            range: concat!(
                "/* ",
                $name,
                ".range */ select slot, step, route_id, cells from ",
                $name,
                " where site_id = $1 and slot = any($2) and step >= $3 and step < $4"
            ),
            lookup: concat!(
                "/* ",
                $name,
                ".lookup */ select slot, step, route_id, cells from ",
                $name,
                " where site_id = $1 and slot = any($2) and step = any($3) and route_id = $4"
            ),
            keys: concat!(
                "/* ",
                $name,
                ".keys */ select r.slot, r.step, r.route_id, r.cells from ",
                $name,
                " r join unnest($2::smallint[], $3::integer[], $4::bigint[]) u (slot, step, route_id) \
                 on r.slot = u.slot and r.step = u.step and r.route_id = u.route_id where r.site_id = $1"
            ),
            put: concat!(
                "/* ",
                $name,
                ".put */ insert into ",
                $name,
                " (site_id, slot, step, route_id, cells) \
                 select $1, u.* from unnest($2::smallint[], $3::integer[], $4::bigint[], $5::bytea[]) u \
                 on conflict (site_id, slot, step, route_id) do update set cells = excluded.cells"
            ),
            remove_keys: concat!(
                "/* ",
                $name,
                ".empty */ delete from ",
                $name,
                " r using unnest($2::smallint[], $3::integer[], $4::bigint[]) u (slot, step, route_id) \
                 where r.site_id = $1 and r.slot = u.slot and r.step = u.step and r.route_id = u.route_id"
            ),
            remove_steps: concat!(
                "/* ",
                $name,
                ".remove */ delete from ",
                $name,
                " where site_id = $1 and (slot, step, route_id) in (select slot, step, route_id from ",
                $name,
                " where site_id = $1 and slot = any($2) and step >= $3 and step < $4 limit $5)"
            ),
        }
    };
}

const HOURS: Table = table!("rollup_hour");
const DAYS: Table = table!("rollup_day");

const fn table(grain: Grain) -> &'static Table {
    match grain {
        Grain::Hour => &HOURS,
        Grain::Day => &DAYS,
    }
}

/// A stored row.
pub(crate) struct Stored<'a> {
    pub(crate) key: RowKey,
    pub(crate) part: Part,
    pub(crate) cells: &'a [u8],
}

impl<'a> Stored<'a> {
    fn read(row: &'a PgRow, grain: Grain) -> Result<Self, StoreError> {
        let columns = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get::<&[u8], _>(3)?));
        let (slot, step, route_id, cells) = columns().map_err(failed(READING))?;
        let key = RowKey { grain, slot, step, route_id };
        let (_, part) = from_slot(slot).ok_or_else(|| wrong(grain))?;
        Ok(Self { key, part, cells })
    }
}

/// The error for a row that no fieldvitals wrote.
fn wrong(grain: Grain) -> StoreError {
    damaged(READING, table(grain).what)
}

/// Hands the rows of some slots, of a range of steps and of one route or all, to `take`.
pub(crate) async fn read(
    connection: &mut PgConnection,
    site: SiteId,
    slots: &[i16],
    (grain, steps): (Grain, Range<i32>),
    route_id: Option<i64>,
    mut take: impl FnMut(&Stored<'_>) -> Result<(), vitals::histogram::EncodingError>,
) -> Result<(), StoreError> {
    let table = table(grain);
    let statement = match route_id {
        Some(route_id) if steps.len() <= LOOKUPS_MAX => {
            let steps: Vec<i32> = steps.collect();
            query(table.lookup).bind(site.0).bind(slots).bind(steps).bind(route_id)
        }
        _ => query(table.range).bind(site.0).bind(slots).bind(steps.start).bind(steps.end),
    };
    let mut rows = statement.fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let row = Stored::read(&row, grain)?;
        if route_id.is_none_or(|asked| asked == row.key.route_id) {
            take(&row).map_err(|_| wrong(grain))?;
        }
    }
    Ok(())
}

/// Adds the stored rows of a range of steps to `rows`.
pub(crate) async fn read_steps(
    connection: &mut PgConnection,
    site: SiteId,
    steps: (Grain, Range<i32>),
    rows: &mut BTreeMap<RowKey, Row>,
) -> Result<(), StoreError> {
    let slots: Vec<i16> = slots().collect();
    read(connection, site, &slots, steps, None, |row| {
        rows.entry(row.key).or_insert_with(|| Row::empty(row.part)).add_encoded(row.cells)
    })
    .await
}

/// Hands the deltas of a range of hours, by its start and its end, to `take`.
pub(crate) async fn read_deltas(
    connection: &mut PgConnection,
    site: SiteId,
    range: Range<i64>,
    mut take: impl FnMut(i64, &[u8]) -> Result<(), vitals::histogram::EncodingError>,
) -> Result<(), StoreError> {
    let mut rows = query(
        "/* rollup.delta.read */ select hour_ms, views from rollup_delta \
         where site_id = $1 and hour_ms >= $2 and hour_ms < $3",
    )
    .bind(site.0)
    .bind(range.start)
    .bind(range.end)
    .fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let hour_ms = row.try_get(0).map_err(failed(READING))?;
        let views = row.try_get(1).map_err(failed(READING))?;
        take(hour_ms, views).map_err(|_| damaged(READING, "a rollup delta"))?;
    }
    Ok(())
}

/// What the deltas of a range of hours come to.
pub(crate) async fn fold_deltas(
    connection: &mut PgConnection,
    site: SiteId,
    range: Range<i64>,
    kept: &Kept,
) -> Result<BTreeMap<RowKey, Row>, StoreError> {
    let mut fold = Fold::default();
    read_deltas(connection, site, range, |hour_ms, views| fold.add_delta(hour_ms, views, kept)).await?;
    Ok(fold.rows())
}

/// Keys of rows, a list a column.
#[derive(Default)]
struct Keys {
    slots: Vec<i16>,
    steps: Vec<i32>,
    route_ids: Vec<i64>,
}

impl Keys {
    fn push(&mut self, key: &RowKey) {
        self.slots.push(key.slot);
        self.steps.push(key.step);
        self.route_ids.push(key.route_id);
    }

    fn of<'a>(keys: impl Iterator<Item = &'a RowKey>) -> Self {
        let mut columns = Self::default();
        keys.for_each(|key| columns.push(key));
        columns
    }

    fn bind(self, sql: &'static str, site: SiteId) -> crate::sql::Statement {
        query(sql).bind(site.0).bind(self.slots).bind(self.steps).bind(self.route_ids)
    }
}

/// Adds rows to those that are stored; one in which nothing is left goes.
pub(crate) async fn add(
    connection: &mut PgConnection,
    site: SiteId,
    mut rows: BTreeMap<RowKey, Row>,
) -> Result<(), StoreError> {
    for grain in [Grain::Hour, Grain::Day] {
        let keys = Keys::of(rows.keys().filter(|key| key.grain == grain));
        if keys.slots.is_empty() {
            continue;
        }
        let mut found = keys.bind(table(grain).keys, site).fetch(&mut *connection);
        while let Some(row) = found.try_next().await.map_err(failed(READING))? {
            let stored = Stored::read(&row, grain)?;
            let row = rows.entry(stored.key).or_insert_with(|| Row::empty(stored.part));
            row.add_encoded(stored.cells).map_err(|_| wrong(grain))?;
        }
    }
    put(connection, site, &rows).await
}

/// Writes rows in place of those that are stored; those that count nothing go.
pub(crate) async fn put(
    connection: &mut PgConnection,
    site: SiteId,
    rows: &BTreeMap<RowKey, Row>,
) -> Result<(), StoreError> {
    for grain in [Grain::Hour, Grain::Day] {
        let (mut full, mut cells, mut empty) = (Keys::default(), Vec::new(), Keys::default());
        for (key, row) in rows.iter().filter(|(key, _)| key.grain == grain) {
            match row.encode() {
                Some(bytes) => {
                    full.push(key);
                    cells.push(bytes);
                }
                None => empty.push(key),
            }
            if cells.len() == WRITE_ROWS {
                write(connection, grain, site, std::mem::take(&mut full), std::mem::take(&mut cells)).await?;
            }
        }
        if !cells.is_empty() {
            write(connection, grain, site, full, cells).await?;
        }
        if !empty.slots.is_empty() {
            let statement = empty.bind(table(grain).remove_keys, site);
            statement.execute(&mut *connection).await.map_err(failed(WRITING))?;
        }
    }
    Ok(())
}

async fn write(
    connection: &mut PgConnection,
    grain: Grain,
    site: SiteId,
    keys: Keys,
    cells: Vec<Vec<u8>>,
) -> Result<(), StoreError> {
    let statement = keys.bind(table(grain).put, site).bind(cells);
    statement.execute(connection).await.map_err(failed(WRITING))?;
    Ok(())
}

/// Removes at most `limit` rows of a range of steps, and returns how many they were.
pub(crate) async fn remove_steps(
    connection: &mut PgConnection,
    site: SiteId,
    (grain, steps): (Grain, Range<i32>),
    limit: i64,
) -> Result<u64, StoreError> {
    if steps.is_empty() {
        return Ok(0);
    }
    // Keys begin with the slot, so the steps are found under each.
    let removed = query(table(grain).remove_steps)
        .bind(site.0)
        .bind(slots().collect::<Vec<i16>>())
        .bind(steps.start)
        .bind(steps.end)
        .bind(limit)
        .execute(connection)
        .await
        .map_err(failed(WRITING))?;
    Ok(removed.rows_affected())
}
