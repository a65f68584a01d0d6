//! Reads, writes and removes rollup blocks.
//!
//! Every change of a site's blocks increments `rollup_state`. Blocks can therefore be computed without the write
//! lock, from a snapshot: [`Versions::claim`] checks that the version is still the same.

use crate::bulk::{self, Sizes, sizes};
use crate::error::{damaged_rollup, failed};
use crate::names::json;
use fieldvitals_store::rollup::{self, Block, BlockKey, Grain, Read, RowKey, Scope, Stored, add_block};
use fieldvitals_store::{SiteId, StoreError};
use futures_util::TryStreamExt;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

const READING: &str = "reading rollups";
const WRITING: &str = "writing rollups";

/// Up to this many hours or days, the blocks of one route or of the site are looked up one by one. Longer ranges pass
/// over the keys of all blocks.
const LOOKUPS_MAX: i64 = 1_000;

/// Rows by key.
pub(crate) type Rows = BTreeMap<RowKey, rollup::Row>;

/// Blocks to write, by site; `None` removes a block.
pub(crate) type Made = Vec<(SiteId, BlockKey, Option<Vec<u8>>)>;

/// The statements of a grain's block table.
struct Table {
    range: &'static str,
    lookup: &'static str,
    some: &'static str,
    put: Sizes,
    remove_keys: &'static str,
    clear: &'static str,
    remove: &'static str,
}

macro_rules! table {
    ($name:literal) => {
        Table {
            range: concat!(
                "/* ",
                $name,
                ".range */ select c.step, c.block, c.cells from ",
                $name,
                " c where c.site_id = ?1 and c.slot = ?2 and c.step >= ?3 and c.step < ?4 \
                 and c.block >= ?5 and c.block <= ?6"
            ),
            lookup: concat!(
                "/* ",
                $name,
                ".lookup */ select c.step, c.block, c.cells from json_each(?3) j cross join ",
                $name,
                " c on c.site_id = ?1 and c.slot = ?2 and c.step = j.value and c.block = ?4"
            ),
            some: concat!(
                "/* ",
                $name,
                ".some */ select c.site_id, c.slot, c.step, c.block, c.cells from json_each(?) j cross join ",
                $name,
                " c on c.site_id = j.value ->> 0 and c.slot = j.value ->> 1 and c.step = j.value ->> 2 \
                 and c.block = j.value ->> 3"
            ),
            put: sizes!(
                concat!(
                    "/* ",
                    $name,
                    ".put */ insert or fail into ",
                    $name,
                    " (site_id, slot, step, block, cells) values "
                ),
                "(?, ?, ?, ?, ?)"
            ),
            remove_keys: concat!(
                "/* ",
                $name,
                ".replaced */ delete from ",
                $name,
                " where (site_id, slot, step, block) \
                 in (select value ->> 0, value ->> 1, value ->> 2, value ->> 3 from json_each(?))"
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
                 and (slot, step, block) in (select slot, step, block from ",
                $name,
                " where site_id = ?1 and slot in (select value from json_each(?2)) \
                 and step >= ?3 and step < ?4 and block >= ?6 and block <= ?7 limit ?5)"
            ),
        }
    };
}

const HOURS: Table = table!("rollup_hour");
const DAYS: Table = table!("rollup_day");

/// Reads the blocks of a slot, by hour and by day.
pub(crate) const RANGES: [&str; 2] = [HOURS.range, DAYS.range];

const fn table(grain: Grain) -> &'static Table {
    match grain {
        Grain::Hour => &HOURS,
        Grain::Day => &DAYS,
    }
}

fn wrong() -> StoreError {
    damaged_rollup(READING, "a rollup block")
}

/// Passes every block of a slot to `take`, which returns `None` for damaged bytes.
pub(crate) async fn read(
    connection: &mut SqliteConnection,
    site: SiteId,
    slot: i16,
    Read { grain, steps, scope }: Read,
    mut take: impl FnMut(BlockKey, &[u8]) -> Option<()>,
) -> Result<(), StoreError> {
    let list;
    let statement = match scope.block() {
        Some(block) if i64::from(steps.end) - i64::from(steps.start) <= LOOKUPS_MAX => {
            list = json(&steps.collect::<Vec<i32>>())?;
            sqlx::query(table(grain).lookup).bind(site.0).bind(slot).bind(list).bind(block)
        }
        _ => {
            let blocks = scope.blocks();
            let statement = sqlx::query(table(grain).range).bind(site.0).bind(slot);
            statement.bind(steps.start).bind(steps.end).bind(*blocks.start()).bind(*blocks.end())
        }
    };
    let mut rows = statement.fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let columns =
            || Ok((BlockKey { grain, slot, step: row.try_get(0)?, block: row.try_get(1)? }, row.try_get(2)?));
        let (key, cells) = columns().map_err(failed(READING))?;
        take(key, cells).ok_or_else(wrong)?;
    }
    Ok(())
}

/// Adds all rows of a range of steps to `rows`, those of the site too.
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
        for scope in [Scope::Site, Scope::Routes] {
            let blocks = Read { grain, steps: steps.clone(), scope };
            read(connection, site, slot, blocks, |key, cells| add_block(rows, key, cells).ok()).await?;
        }
    }
    Ok(())
}

/// The versions of sites' blocks: the numbers of changes.
pub(crate) struct Versions(Vec<(i64, i64)>);

impl Versions {
    /// Reads the versions of some sites.
    pub(crate) async fn of(connection: &mut SqliteConnection, sites: &[SiteId]) -> Result<Self, StoreError> {
        let sites: Vec<i64> = sites.iter().map(|site| site.0).collect();
        sqlx::query_as(
            "/* rollup.version */ select j.value, coalesce(c.version, 0) from json_each(?) j \
             left join rollup_state c on c.site_id = j.value",
        )
        .bind(json(&sites)?)
        .fetch_all(connection)
        .await
        .map(Self)
        .map_err(failed(READING))
    }

    /// Increments the versions if all of them are still the same. Returns whether they are.
    pub(crate) async fn claim(self, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
        let claimed = sqlx::query(
            "/* rollup.claim */ insert into rollup_state (site_id, version) \
             select value ->> 0, (value ->> 1) + 1 from json_each(?) where true \
             on conflict (site_id) do update set version = excluded.version \
             where version = excluded.version - 1",
        )
        .bind(json(&self.0)?)
        .execute(connection)
        .await
        .map_err(failed(WRITING))?;
        Ok(claimed.rows_affected() == self.0.len() as u64)
    }
}

/// Increments the version of a site's blocks.
pub(crate) async fn count_change(connection: &mut SqliteConnection, site: SiteId) -> Result<(), StoreError> {
    sqlx::query(
        "/* rollup.changed */ insert into rollup_state (site_id, version) values (?, 1) \
         on conflict (site_id) do update set version = version + 1",
    )
    .bind(site.0)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed(WRITING))
}

/// Groups rows of a site into blocks.
pub(crate) fn blocks(site: SiteId, rows: Rows) -> impl Iterator<Item = (SiteId, Block)> {
    rollup::blocks(rows).into_iter().map(move |block| (site, block))
}

/// Encodes blocks; `stored` says whether their rows are added to stored rows or replace them.
pub(crate) async fn make(
    connection: &mut SqliteConnection,
    blocks: Vec<(SiteId, Block)>,
    stored: Stored,
) -> Result<Made, StoreError> {
    let mut known = HashMap::new();
    for grain in Grain::ALL {
        let keys = blocks.iter().filter(|(_, block)| block.key.grain == grain);
        read_known(connection, grain, keys.map(|(site, block)| (*site, block.key)), &mut known).await?;
    }
    let mut made = Vec::with_capacity(blocks.len());
    for (site, block) in blocks {
        let key = block.key;
        let bytes = known.remove(&(site, key)).unwrap_or_default();
        made.push((site, key, block.encode(&bytes, stored).map_err(|_| wrong())?));
    }
    Ok(made)
}

/// Reads the stored blocks with some keys.
async fn read_known(
    connection: &mut SqliteConnection,
    grain: Grain,
    keys: impl Iterator<Item = (SiteId, BlockKey)>,
    known: &mut HashMap<(SiteId, BlockKey), Vec<u8>>,
) -> Result<(), StoreError> {
    let Some(keys) = key_list(keys)? else { return Ok(()) };
    let mut rows = sqlx::query(table(grain).some).bind(keys).fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let columns = || {
            let (slot, step, block) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            Ok(((SiteId(row.try_get(0)?), BlockKey { grain, slot, step, block }), row.try_get(4)?))
        };
        let (key, cells) = columns().map_err(failed(READING))?;
        known.insert(key, cells);
    }
    Ok(())
}

/// Returns keys of blocks as JSON; `None` if there are none.
fn key_list(keys: impl Iterator<Item = (SiteId, BlockKey)>) -> Result<Option<String>, StoreError> {
    let keys: Vec<(i64, i16, i32, i16)> =
        keys.map(|(site, key)| (site.0, key.slot, key.step, key.block)).collect();
    if keys.is_empty() { Ok(None) } else { json(&keys).map(Some) }
}

/// Writes blocks, hours first; the caller increments the versions.
pub(crate) async fn put(connection: &mut SqliteConnection, made: Made) -> Result<(), StoreError> {
    let mut left = made;
    for grain in Grain::ALL {
        let (made, later): (Made, Made) = left.into_iter().partition(|(_, key, _)| key.grain == grain);
        left = later;
        let Some(keys) = key_list(made.iter().map(|&(site, key, _)| (site, key)))? else { continue };
        sqlx::query(table(grain).remove_keys)
            .bind(keys)
            .execute(&mut *connection)
            .await
            .map_err(failed(WRITING))?;
        let full: Vec<(SiteId, BlockKey, Vec<u8>)> =
            made.into_iter().filter_map(|(site, key, cells)| Some((site, key, cells?))).collect();
        bulk::write(connection, &table(grain).put, full, |statement, (site, key, cells)| {
            statement.bind(site.0).bind(key.slot).bind(key.step).bind(key.block).bind(cells)
        })
        .await
        .map_err(failed(WRITING))?;
    }
    Ok(())
}

/// Replaces stored rows; empty blocks are removed.
pub(crate) async fn replace(
    connection: &mut SqliteConnection,
    site: SiteId,
    rows: Rows,
) -> Result<(), StoreError> {
    let made = make(connection, blocks(site, rows).collect(), Stored::Replaced).await?;
    count_change(connection, site).await?;
    put(connection, made).await
}

/// Removes all blocks of a range of steps; the caller increments the version.
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

/// Removes at most `limit` blocks of a range of steps in the caller's transaction: those of a scope, or all. Returns their
/// number.
pub(crate) async fn remove(
    connection: &mut SqliteConnection,
    site: SiteId,
    (grain, steps, scope): (Grain, Range<i32>, Option<Scope>),
    limit: u64,
) -> Result<u64, StoreError> {
    if steps.is_empty() || limit == 0 {
        return Ok(0);
    }
    let slots: Vec<i16> = rollup::slots().collect();
    let blocks = scope.map_or(i16::MIN..=i16::MAX, Scope::blocks);
    let removed = sqlx::query(table(grain).remove)
        .bind(site.0)
        .bind(json(&slots)?)
        .bind(steps.start)
        .bind(steps.end)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(*blocks.start())
        .bind(*blocks.end())
        .execute(&mut *connection)
        .await
        .map_err(failed(WRITING))?
        .rows_affected();
    if removed > 0 {
        count_change(connection, site).await?;
    }
    Ok(removed)
}
