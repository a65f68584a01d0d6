//! Reads and writes rollup blocks and deltas.

use crate::compute::compute;
use crate::error::{damaged_rollup, failed};
use crate::limits;
use crate::sql::query;
use fieldvitals_store::rollup::{
    Block, BlockKey, Fold, Grain, Read, Row, RowKey, Scope, Stored, add_block, add_rows, blocks, slots,
};
use fieldvitals_store::{RetentionEdges, SiteId, StoreError};
use futures_util::TryStreamExt;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use vitals::histogram::EncodingError;

const READING: &str = "reading rollups";
const WRITING: &str = "writing rollups";

/// Up to this many hours or days, the blocks of one route or of the site are looked up one by one. Longer ranges pass
/// over the keys of all blocks.
const LOOKUPS_MAX: usize = 1_000;
/// Maximum blocks per statement; large blocks reduce it ([`limits::WRITE_BLOCKS_BYTES_MAX`]).
const WRITE_BLOCKS: usize = 128;

/// The statements of a block table.
struct Table {
    what: &'static str,
    range: &'static str,
    lookup: &'static str,
    lengths: &'static str,
    keys: &'static str,
    put: &'static str,
    remove_keys: &'static str,
    remove_steps: &'static str,
}

macro_rules! table {
    ($name:literal) => {
        Table {
            what: concat!("a block of ", $name),
            range: concat!(
                "/* ",
                $name,
                ".range */ select slot, step, block, cells from ",
                $name,
                " where site_id = $1 and slot = any($2) and step >= $3 and step < $4 \
                 and block >= $5 and block <= $6"
            ),
            lookup: concat!(
                "/* ",
                $name,
                ".lookup */ select slot, step, block, cells from ",
                $name,
                " where site_id = $1 and slot = any($2) and step = any($3) and block = $4"
            ),
            lengths: concat!(
                "/* ",
                $name,
                ".lengths */ select r.slot, r.step, r.block, octet_length(r.cells) from ",
                $name,
                " r join unnest($2::smallint[], $3::integer[], $4::smallint[]) u (slot, step, block) \
                 on r.slot = u.slot and r.step = u.step and r.block = u.block where r.site_id = $1"
            ),
            keys: concat!(
                "/* ",
                $name,
                ".keys */ select r.slot, r.step, r.block, r.cells from ",
                $name,
                " r join unnest($2::smallint[], $3::integer[], $4::smallint[]) u (slot, step, block) \
                 on r.slot = u.slot and r.step = u.step and r.block = u.block where r.site_id = $1"
            ),
            put: concat!(
                "/* ",
                $name,
                ".put */ insert into ",
                $name,
                " (site_id, slot, step, block, cells) \
                 select $1, u.* from unnest($2::smallint[], $3::integer[], $4::smallint[], $5::bytea[]) u \
                 on conflict (site_id, slot, step, block) do update set cells = excluded.cells"
            ),
            remove_keys: concat!(
                "/* ",
                $name,
                ".empty */ delete from ",
                $name,
                " r using unnest($2::smallint[], $3::integer[], $4::smallint[]) u (slot, step, block) \
                 where r.site_id = $1 and r.slot = u.slot and r.step = u.step and r.block = u.block"
            ),
            remove_steps: concat!(
                "/* ",
                $name,
                ".remove */ delete from ",
                $name,
                " where site_id = $1 and (slot, step, block) in (select slot, step, block from ",
                $name,
                " where site_id = $1 and slot = any($2) and step >= $3 and step < $4 \
                 and block >= $6 and block <= $7 limit $5)"
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

/// Reads the key and the bytes of a stored block.
fn read_row(row: &PgRow, grain: Grain) -> Result<(BlockKey, &[u8]), StoreError> {
    let columns = || {
        let key = BlockKey { grain, slot: row.try_get(0)?, step: row.try_get(1)?, block: row.try_get(2)? };
        Ok((key, row.try_get(3)?))
    };
    columns().map_err(failed(READING))
}

/// Error for a block that fieldvitals did not write.
fn wrong(grain: Grain) -> StoreError {
    damaged_rollup(READING, table(grain).what)
}

/// Passes the blocks of some slots to `take`.
pub(crate) async fn read(
    connection: &mut PgConnection,
    site: SiteId,
    slots: &[i16],
    Read { grain, steps, scope }: Read,
    mut take: impl FnMut(BlockKey, &[u8]) -> Result<(), EncodingError>,
) -> Result<(), StoreError> {
    let table = table(grain);
    let statement = match scope.block() {
        Some(block) if steps.len() <= LOOKUPS_MAX => {
            let steps: Vec<i32> = steps.collect();
            query(table.lookup).bind(site.0).bind(slots).bind(steps).bind(block)
        }
        _ => {
            let blocks = scope.blocks();
            let statement = query(table.range).bind(site.0).bind(slots).bind(steps.start).bind(steps.end);
            statement.bind(*blocks.start()).bind(*blocks.end())
        }
    };
    let mut rows = statement.fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let (key, cells) = read_row(&row, grain)?;
        take(key, cells).map_err(|_| wrong(grain))?;
    }
    Ok(())
}

/// Adds the stored rows of a range of steps to `rows`, those of the site too.
pub(crate) async fn read_steps(
    connection: &mut PgConnection,
    site: SiteId,
    (grain, steps): (Grain, Range<i32>),
    rows: &mut BTreeMap<RowKey, Row>,
) -> Result<(), StoreError> {
    let slots: Vec<i16> = slots().collect();
    for scope in [Scope::Site, Scope::Routes] {
        let blocks = Read { grain, steps: steps.clone(), scope };
        read(connection, site, &slots, blocks, |key, cells| add_block(rows, key, cells)).await?;
    }
    Ok(())
}

/// Passes the deltas of a range of hours to `take`.
pub(crate) async fn read_deltas(
    connection: &mut PgConnection,
    site: SiteId,
    range: Range<i64>,
    mut take: impl FnMut(i64, &[u8]) -> Result<(), EncodingError>,
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
        take(hour_ms, views).map_err(|_| damaged_rollup(READING, "a rollup delta"))?;
    }
    Ok(())
}

/// Folds the deltas of a range of hours into rows.
pub(crate) async fn fold_deltas(
    connection: &mut PgConnection,
    site: SiteId,
    range: Range<i64>,
    retained: &RetentionEdges,
) -> Result<BTreeMap<RowKey, Row>, StoreError> {
    let (mut rows, mut fold) = (BTreeMap::new(), Fold::default());
    let add = |hour_ms, views: &[u8]| {
        fold.add_delta(hour_ms, views, retained)?;
        // A fold holds every value; rows are much smaller.
        if fold.views() >= fieldvitals_store::limits::FOLD_VIEWS_MAX {
            add_rows(&mut rows, std::mem::take(&mut fold).rows());
        }
        Ok(())
    };
    read_deltas(connection, site, range, add).await?;
    add_rows(&mut rows, fold.rows());
    Ok(rows)
}

/// Keys of blocks, one list per column.
#[derive(Default)]
struct Keys {
    slots: Vec<i16>,
    steps: Vec<i32>,
    blocks: Vec<i16>,
}

impl Keys {
    fn push(&mut self, key: BlockKey) {
        self.slots.push(key.slot);
        self.steps.push(key.step);
        self.blocks.push(key.block);
    }

    fn bind(self, sql: &'static str, site: SiteId) -> crate::sql::Statement {
        query(sql).bind(site.0).bind(self.slots).bind(self.steps).bind(self.blocks)
    }
}

/// Writes rows; `stored` says whether they are added to stored rows or replace them. Removes empty rows. Returns the
/// bytes of the replaced blocks, which wait for a vacuum.
pub(crate) async fn write(
    connection: &mut PgConnection,
    site: SiteId,
    rows: BTreeMap<RowKey, Row>,
    stored: Stored,
) -> Result<u64, StoreError> {
    let mut replaced = 0;
    let mut blocks = compute(move || blocks(rows)).await?.into_iter().peekable();
    while let Some(first) = blocks.next() {
        let grain = first.key.grain;
        let mut some = vec![first];
        while some.len() < WRITE_BLOCKS
            && let Some(next) = blocks.next_if(|block| block.key.grain == grain)
        {
            some.push(next);
        }
        let lengths = lengths(connection, site, grain, &some).await?;
        let bytes = |block: &Block| block.bytes_about() + lengths.get(&block.key).copied().unwrap_or(0);
        for portion in portions(some, bytes, limits::WRITE_BLOCKS_BYTES_MAX) {
            replaced += write_some(connection, site, grain, portion, stored).await?;
        }
    }
    Ok(replaced)
}

/// Splits a list, in order, into portions of at most `most` bytes and at least one item.
fn portions<T>(all: Vec<T>, bytes: impl Fn(&T) -> usize, most: usize) -> Vec<Vec<T>> {
    let (mut portions, mut left) = (Vec::<Vec<T>>::new(), 0);
    for one in all {
        let takes = bytes(&one);
        match portions.last_mut() {
            Some(portion) if takes <= left => {
                left -= takes;
                portion.push(one);
            }
            _ => {
                left = most.saturating_sub(takes);
                portions.push(vec![one]);
            }
        }
    }
    portions
}

/// Returns the sizes of stored blocks in bytes, without reading the blocks.
async fn lengths(
    connection: &mut PgConnection,
    site: SiteId,
    grain: Grain,
    blocks: &[Block],
) -> Result<HashMap<BlockKey, usize>, StoreError> {
    let mut keys = Keys::default();
    blocks.iter().for_each(|block| keys.push(block.key));
    let rows = keys.bind(table(grain).lengths, site).fetch_all(connection).await.map_err(failed(READING))?;
    let read = |row: &PgRow| {
        let key = BlockKey { grain, slot: row.try_get(0)?, step: row.try_get(1)?, block: row.try_get(2)? };
        Ok((key, usize::try_from(row.try_get::<i32, _>(3)?).unwrap_or(0)))
    };
    rows.iter().map(|row| read(row).map_err(failed(READING))).collect()
}

async fn write_some(
    connection: &mut PgConnection,
    site: SiteId,
    grain: Grain,
    blocks: Vec<Block>,
    stored: Stored,
) -> Result<u64, StoreError> {
    let mut keys = Keys::default();
    blocks.iter().for_each(|block| keys.push(block.key));
    let mut known: HashMap<BlockKey, Vec<u8>> = HashMap::with_capacity(blocks.len());
    let mut found = keys.bind(table(grain).keys, site).fetch(&mut *connection);
    while let Some(row) = found.try_next().await.map_err(failed(READING))? {
        let (key, cells) = read_row(&row, grain)?;
        known.insert(key, cells.to_vec());
    }
    drop(found);
    let replaced = known.values().map(|cells| cells.len() as u64).sum();
    // Encoding takes milliseconds and must not block async tasks on this thread.
    let encode = move || {
        let encode = |block: Block| {
            let key = block.key;
            let bytes = known.get(&key).map(Vec::as_slice).unwrap_or_default();
            block.encode(bytes, stored).map(|bytes| (key, bytes))
        };
        blocks.into_iter().map(encode).collect::<Result<Vec<_>, _>>()
    };
    let (mut full, mut cells, mut empty) = (Keys::default(), Vec::new(), Keys::default());
    for (key, bytes) in compute(encode).await?.map_err(|_| wrong(grain))? {
        match bytes {
            Some(bytes) => {
                full.push(key);
                cells.push(bytes);
            }
            None => empty.push(key),
        }
    }
    if !cells.is_empty() {
        let statement = full.bind(table(grain).put, site).bind(cells);
        statement.execute(&mut *connection).await.map_err(failed(WRITING))?;
    }
    if !empty.slots.is_empty() {
        let statement = empty.bind(table(grain).remove_keys, site);
        statement.execute(connection).await.map_err(failed(WRITING))?;
    }
    Ok(replaced)
}

/// Removes at most `limit` blocks of a range of steps. Returns their number.
pub(crate) async fn remove_steps(
    connection: &mut PgConnection,
    site: SiteId,
    (grain, steps, scope): (Grain, Range<i32>, Option<Scope>),
    limit: i64,
) -> Result<u64, StoreError> {
    if steps.is_empty() {
        return Ok(0);
    }
    let blocks = scope.map_or(i16::MIN..=i16::MAX, Scope::blocks);
    // Keys start with the slot, so listing the slots lets the index find the steps.
    let removed = query(table(grain).remove_steps)
        .bind(site.0)
        .bind(slots().collect::<Vec<i16>>())
        .bind(steps.start)
        .bind(steps.end)
        .bind(limit)
        .bind(*blocks.start())
        .bind(*blocks.end())
        .execute(connection)
        .await
        .map_err(failed(WRITING))?;
    Ok(removed.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::portions;

    #[test]
    fn portions_hold_all_in_order_and_few_bytes() {
        let all = vec![3, 4, 3, 11, 1, 9, 10, 1];
        let found = portions(all.clone(), |&bytes| bytes, 10);
        assert_eq!(found, [vec![3, 4, 3], vec![11], vec![1, 9], vec![10], vec![1]]);
        assert_eq!(found.concat(), all);
        assert!(portions(Vec::<usize>::new(), |&bytes| bytes, 10).is_empty());
    }
}
