//! Rollup rows: read, added to, replaced and removed.
//!
//! A row costs sqlx a trip between two threads, several times what SQLite takes to read it. So rows that lie
//! together are read as one value, each as its route's id and its length in decimal digits, a space after
//! either, and its bytes.

use crate::bulk::{self, Sizes, sizes};
use crate::error::{damaged, failed};
use crate::names::json;
use fieldvitals_store::rollup::{Grain, RowKey, from_slot};
use fieldvitals_store::{SiteId, StoreError, rollup};
use futures_util::TryStreamExt;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use std::collections::BTreeMap;
use std::ops::Range;

const READING: &str = "reading rollups";
const WRITING: &str = "writing rollups";

/// Up to this many hours or days, one route's rows are looked up one by one, instead of reading everybody's
/// and leaving out most.
const LOOKUPS_MAX: i64 = 1_000;

/// Rows by key.
pub(crate) type Rows = BTreeMap<RowKey, rollup::Row>;

/// The statements about the rows of a grain.
struct Table {
    range: &'static str,
    lookup: &'static str,
    some: &'static str,
    put: Sizes,
    empty: &'static str,
    clear: &'static str,
    remove: &'static str,
}

macro_rules! packed {
    () => {
        "cast(group_concat(c.route_id || ' ' || length(c.cells) || ' ' || c.cells, '') as blob)"
    };
}

macro_rules! table {
    ($name:literal) => {
        Table {
            range: concat!(
                "/* ",
                $name,
                ".range */ select c.step, ",
                packed!(),
                " from ",
                $name,
                " c where c.site_id = ?1 and c.slot = ?2 and c.step >= ?3 and c.step < ?4 \
                 and (?5 is null or c.route_id = ?5) group by c.step"
            ),
            lookup: concat!(
                "/* ",
                $name,
                ".lookup */ select ",
                packed!(),
                " from json_each(?3) j cross join ",
                $name,
                " c on c.site_id = ?1 and c.slot = ?2 and c.step = j.value and c.route_id = ?4"
            ),
            some: concat!(
                "/* ",
                $name,
                ".some */ select ",
                packed!(),
                " from json_each(?4) j cross join ",
                $name,
                " c on c.site_id = ?1 and c.slot = ?2 and c.step = ?3 and c.route_id = j.value"
            ),
            put: sizes!(
                concat!(
                    "/* ",
                    $name,
                    ".put */ insert into ",
                    $name,
                    " (site_id, slot, step, route_id, cells) values "
                ),
                "(?, ?, ?, ?, ?)",
                " on conflict (site_id, slot, step, route_id) do update set cells = excluded.cells"
            ),
            empty: concat!(
                "/* ",
                $name,
                ".empty */ delete from ",
                $name,
                " where site_id = ?1 and slot = ?2 \
                 and step = ?3 and route_id in (select value from json_each(?4))"
            ),
            clear: concat!(
                "/* ",
                $name,
                ".clear */ delete from ",
                $name,
                " where site_id = ?1 \
                 and slot in (select value from json_each(?2)) and step >= ?3 and step < ?4"
            ),
            remove: concat!(
                "/* ",
                $name,
                ".remove */ delete from ",
                $name,
                " where site_id = ?1 \
                 and (slot, step, route_id) in (select slot, step, route_id from ",
                $name,
                " where site_id = ?1 and slot in (select value from json_each(?2)) \
                 and step >= ?3 and step < ?4 limit ?5)"
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

/// Hands every row of a slot and some steps, of all routes or one, to `take`: its step, its route's id and
/// its bytes. `take` says where they are not what it expects.
pub(crate) async fn read(
    connection: &mut SqliteConnection,
    site: SiteId,
    grain: Grain,
    slot: i16,
    steps: Range<i32>,
    route_id: Option<i64>,
    mut take: impl FnMut(i32, i64, &[u8]) -> Option<()>,
) -> Result<(), StoreError> {
    if let Some(route_id) = route_id
        && i64::from(steps.end) - i64::from(steps.start) <= LOOKUPS_MAX
    {
        let list: Vec<i32> = steps.clone().collect();
        let packed: Option<Vec<u8>> = sqlx::query_scalar(table(grain).lookup)
            .bind(site.0)
            .bind(slot)
            .bind(json(&list)?)
            .bind(route_id)
            .fetch_one(connection)
            .await
            .map_err(failed(READING))?;
        return unpack(packed.as_deref().unwrap_or_default(), |id, cells| take(steps.start, id, cells));
    }
    let mut rows = sqlx::query(table(grain).range)
        .bind(site.0)
        .bind(slot)
        .bind(steps.start)
        .bind(steps.end)
        .bind(route_id)
        .fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let step: i32 = row.try_get(0).map_err(failed(READING))?;
        let packed: &[u8] = row.try_get(1).map_err(failed(READING))?;
        unpack(packed, |id, cells| take(step, id, cells))?;
    }
    Ok(())
}

/// Hands the rows in a packed value to `take`.
fn unpack(mut bytes: &[u8], mut take: impl FnMut(i64, &[u8]) -> Option<()>) -> Result<(), StoreError> {
    let mut one = || -> Option<()> {
        while !bytes.is_empty() {
            let id = number(&mut bytes)?;
            let len = usize::try_from(number(&mut bytes)?).ok()?;
            let (cells, rest) = bytes.split_at_checked(len)?;
            bytes = rest;
            take(id, cells)?;
        }
        Some(())
    };
    one().ok_or_else(|| damaged(READING, "a rollup row"))
}

/// A number in decimal digits, and the space after it.
fn number(bytes: &mut &[u8]) -> Option<i64> {
    let end = bytes.iter().position(|&byte| byte == b' ')?;
    let (digits, rest) = bytes.split_at_checked(end)?;
    *bytes = rest.get(1..)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Reads all rows of some steps of a grain.
pub(crate) async fn all(
    connection: &mut SqliteConnection,
    site: SiteId,
    grain: Grain,
    steps: Range<i32>,
    rows: &mut Rows,
) -> Result<(), StoreError> {
    if steps.is_empty() {
        return Ok(());
    }
    for slot in rollup::slots() {
        let Some((_, part)) = from_slot(slot) else { continue };
        read(connection, site, grain, slot, steps.clone(), None, |step, route_id, cells| {
            let key = RowKey { grain, slot, step, route_id };
            rows.entry(key).or_insert_with(|| rollup::Row::empty(part)).add_encoded(cells).ok()
        })
        .await?;
    }
    Ok(())
}

/// Adds rows to those that are stored; one in which nothing is left goes.
pub(crate) async fn add(
    connection: &mut SqliteConnection,
    site: SiteId,
    rows: Rows,
) -> Result<(), StoreError> {
    let mut rows: Vec<(RowKey, rollup::Row)> = rows.into_iter().collect();
    for rows in rows.chunk_by_mut(|(a, _), (b, _)| together(a, b)) {
        let Some(&(key, _)) = rows.first() else { continue };
        let ids: Vec<i64> = rows.iter().map(|(key, _)| key.route_id).collect();
        let packed: Option<Vec<u8>> = sqlx::query_scalar(table(key.grain).some)
            .bind(site.0)
            .bind(key.slot)
            .bind(key.step)
            .bind(json(&ids)?)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed(READING))?;
        unpack(packed.as_deref().unwrap_or_default(), |id, cells| {
            let place = rows.binary_search_by_key(&id, |(key, _)| key.route_id).ok()?;
            rows.get_mut(place)?.1.add_encoded(cells).ok()
        })?;
    }
    replace(connection, site, rows).await?;
    Ok(())
}

/// Whether two rows are next to each other in their table.
fn together(a: &RowKey, b: &RowKey) -> bool {
    (a.grain, a.slot, a.step) == (b.grain, b.slot, b.step)
}

/// Writes rows, sorted by key, in place of those that are stored; one in which nothing is left goes. Returns
/// how many are there then.
pub(crate) async fn replace(
    connection: &mut SqliteConnection,
    site: SiteId,
    rows: impl IntoIterator<Item = (RowKey, rollup::Row)>,
) -> Result<u64, StoreError> {
    let (mut full, mut empty) = (Vec::new(), Vec::new());
    for (key, row) in rows {
        match row.encode() {
            Some(cells) => full.push((key, cells)),
            None => empty.push(key),
        }
    }
    let count = full.len() as u64;
    let days = full.split_off(full.partition_point(|(key, _)| key.grain == Grain::Hour));
    for (grain, rows) in [(Grain::Hour, full), (Grain::Day, days)] {
        bulk::write(connection, &table(grain).put, rows, |statement, (key, cells)| {
            statement.bind(site.0).bind(key.slot).bind(key.step).bind(key.route_id).bind(cells)
        })
        .await
        .map_err(failed(WRITING))?;
    }
    for keys in empty.chunk_by(together) {
        let Some(key) = keys.first() else { continue };
        let ids: Vec<i64> = keys.iter().map(|key| key.route_id).collect();
        sqlx::query(table(key.grain).empty)
            .bind(site.0)
            .bind(key.slot)
            .bind(key.step)
            .bind(json(&ids)?)
            .execute(&mut *connection)
            .await
            .map_err(failed(WRITING))?;
    }
    Ok(count)
}

/// Removes all rows of some steps.
pub(crate) async fn clear(
    connection: &mut SqliteConnection,
    site: SiteId,
    grain: Grain,
    steps: Range<i32>,
) -> Result<(), StoreError> {
    let slots: Vec<i16> = rollup::slots().collect();
    sqlx::query(table(grain).clear)
        .bind(site.0)
        .bind(json(&slots)?)
        .bind(steps.start)
        .bind(steps.end)
        .execute(connection)
        .await
        .map_err(failed(WRITING))?;
    Ok(())
}

/// Removes some rows of some steps, at most `limit`, and returns how many.
pub(crate) async fn remove(
    connection: &mut SqliteConnection,
    site: SiteId,
    grain: Grain,
    steps: Range<i32>,
    limit: u64,
) -> Result<u64, StoreError> {
    if steps.is_empty() || limit == 0 {
        return Ok(0);
    }
    let slots: Vec<i16> = rollup::slots().collect();
    let removed = sqlx::query(table(grain).remove)
        .bind(site.0)
        .bind(json(&slots)?)
        .bind(steps.start)
        .bind(steps.end)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .execute(connection)
        .await
        .map_err(failed(WRITING))?;
    Ok(removed.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{Connection, SqliteConnection};

    #[tokio::test]
    async fn rows_of_any_bytes_are_read_together() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query("create table c (route_id integer, cells blob) strict")
            .execute(&mut connection)
            .await
            .unwrap();
        let rows: [(i64, Vec<u8>); 5] = [
            (i64::MIN, vec![0; 3]),
            (-1, (0..=255).collect()),
            (0, Vec::new()),
            (7, b" 12 34 ".to_vec()),
            (i64::MAX, vec![0xff; 100_000]),
        ];
        for (id, cells) in &rows {
            sqlx::query("insert into c values (?, ?)")
                .bind(id)
                .bind(cells)
                .execute(&mut connection)
                .await
                .unwrap();
        }
        let packed: Vec<u8> = sqlx::query_scalar(concat!("select ", packed!(), " from c order by route_id"))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let mut found = Vec::new();
        unpack(&packed, |id, cells| {
            found.push((id, cells.to_vec()));
            Some(())
        })
        .unwrap();
        assert_eq!(found, rows);
        for end in [1, packed.len() / 2, packed.len() - 1] {
            assert!(unpack(&packed[..end], |_, _| Some(())).is_err(), "{end} bytes");
        }
    }
}
