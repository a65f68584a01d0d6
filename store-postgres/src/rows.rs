//! Reads and writes rollup blocks and deltas.

use crate::compute::compute;
use crate::error::{damaged_rollup, failed};
use crate::limits;
use crate::sql::{Statement, alone, query};
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

/// Maximum blocks per statement; large blocks reduce it ([`limits::WRITE_BLOCKS_BYTES_MAX`]).
pub(crate) const WRITE_BLOCKS: usize = 2_048;

/// The statements of a block table.
struct Table {
    what: &'static str,
    range: &'static str,
    lengths: &'static str,
    keys: &'static str,
    put: &'static str,
    remove_keys: &'static str,
    remove_steps: &'static str,
}

/// Finds the rows with the keys of the arrays `$2` to `$5`; `$1` is the site if all are of one.
macro_rules! of_keys {
    () => {
        "join unnest($2::bigint[], $3::smallint[], $4::integer[], $5::smallint[]) u (site_id, slot, step, block) \
         on r.site_id = u.site_id and r.slot = u.slot and r.step = u.step and r.block = u.block \
         where ($1::bigint is null or r.site_id = $1)"
    };
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
            lengths: concat!(
                "/* ",
                $name,
                ".lengths */ select r.slot, r.step, r.block, octet_length(r.cells), r.site_id from ",
                $name,
                " r ",
                of_keys!()
            ),
            keys: concat!(
                "/* ",
                $name,
                ".keys */ select r.slot, r.step, r.block, r.cells, r.site_id from ",
                $name,
                " r ",
                of_keys!()
            ),
            put: concat!(
                "/* ",
                $name,
                ".put */ insert into ",
                $name,
                " (site_id, slot, step, block, cells) select u.* \
                 from unnest($2::bigint[], $3::smallint[], $4::integer[], $5::smallint[], $6::bytea[]) \
                 u (site_id, slot, step, block, cells) where $1::bigint is null or u.site_id = $1 \
                 on conflict (site_id, slot, step, block) do update set cells = excluded.cells"
            ),
            remove_keys: concat!(
                "/* ",
                $name,
                ".empty */ delete from ",
                $name,
                " r using unnest($2::bigint[], $3::smallint[], $4::integer[], $5::smallint[]) \
                 u (site_id, slot, step, block) where ($1::bigint is null or r.site_id = $1) \
                 and r.site_id = u.site_id and r.slot = u.slot and r.step = u.step and r.block = u.block"
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
    let blocks = scope.blocks();
    let statement = query(table(grain).range).bind(site.0).bind(slots).bind(steps.start).bind(steps.end);
    let statement = statement.bind(*blocks.start()).bind(*blocks.end());
    let mut rows = statement.fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let (key, cells) = read_row(&row, grain)?;
        take(key, cells).map_err(|_| wrong(grain))?;
    }
    Ok(())
}

/// A stored row of [`read_all`].
#[derive(Clone, Copy)]
pub(crate) enum Found<'a> {
    Block(BlockKey, &'a [u8]),
    /// The start of the hour, and the delta.
    Delta(i64, &'a [u8]),
}

macro_rules! ranges_of {
    ($source:literal, $name:literal, $from:literal, $to:literal, $first:literal, $last:literal) => {
        concat!(
            "select ",
            $source,
            "::smallint, c.slot, c.step, c.block, null::bigint, c.cells from unnest(",
            $from,
            "::integer[], ",
            $to,
            "::integer[], ",
            $first,
            "::smallint[], ",
            $last,
            "::smallint[]) r (step_from, step_to, block_first, block_last) cross join lateral (\
             select slot, step, block, cells from ",
            $name,
            " where site_id = $1 and slot = any($2) and step >= r.step_from and step < r.step_to \
             and block >= r.block_first and block <= r.block_last offset 0) c union all "
        )
    };
}

/// Ranges of blocks and deltas. `offset 0` keeps the search for each range apart, so that it goes by keys.
pub(crate) const READ_ALL: &str = concat!(
    "/* rollup.read */ ",
    ranges_of!("0", "rollup_hour", "$3", "$4", "$5", "$6"),
    ranges_of!("1", "rollup_day", "$7", "$8", "$9", "$10"),
    "select 2::smallint, null, null, null, hour_ms, views from rollup_delta \
     where site_id = $1 and hour_ms >= $11 and hour_ms < $12"
);

/// Passes the blocks of some slots and the deltas of a range of hours to `take`, with one statement. Ranges of blocks must
/// not overlap.
pub(crate) async fn read_all(
    connection: &mut PgConnection,
    site: SiteId,
    slots: &[i16],
    reads: &[Read],
    deltas: &Range<i64>,
    mut take: impl FnMut(Found<'_>) -> Result<(), EncodingError>,
) -> Result<(), StoreError> {
    let mut statement = query(READ_ALL).bind(site.0).bind(slots);
    for grain in Grain::ALL {
        let reads = || reads.iter().filter(move |read| read.grain == grain);
        statement = statement
            .bind(reads().map(|read| read.steps.start).collect::<Vec<i32>>())
            .bind(reads().map(|read| read.steps.end).collect::<Vec<i32>>())
            .bind(reads().map(|read| *read.scope.blocks().start()).collect::<Vec<i16>>())
            .bind(reads().map(|read| *read.scope.blocks().end()).collect::<Vec<i16>>());
    }
    let mut rows = statement.bind(deltas.start).bind(deltas.end).fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed(READING))? {
        let (found, what) = read_found(&row).map_err(failed(READING))?;
        take(found).map_err(|_| damaged_rollup(READING, what))?;
    }
    Ok(())
}

fn read_found(row: &PgRow) -> Result<(Found<'_>, &'static str), sqlx::Error> {
    let grain = match row.try_get::<i16, _>(0)? {
        0 => Grain::Hour,
        1 => Grain::Day,
        _ => return Ok((Found::Delta(row.try_get(4)?, row.try_get(5)?), "a rollup delta")),
    };
    let key = BlockKey { grain, slot: row.try_get(1)?, step: row.try_get(2)?, block: row.try_get(3)? };
    Ok((Found::Block(key, row.try_get(5)?), table(grain).what))
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

/// Folds the deltas of a range of hours into rows.
pub(crate) async fn fold_deltas(
    connection: &mut PgConnection,
    site: SiteId,
    range: Range<i64>,
    retained: &RetentionEdges,
) -> Result<BTreeMap<RowKey, Row>, StoreError> {
    let (mut rows, mut fold) = (BTreeMap::new(), Fold::default());
    read_all(connection, site, &[], &[], &range, |found| {
        if let Found::Delta(hour_ms, views) = found {
            fold.add_delta(hour_ms, views, retained)?;
        }
        // A fold holds every value; rows are much smaller.
        if fold.views() >= fieldvitals_store::limits::FOLD_VIEWS_MAX {
            add_rows(&mut rows, std::mem::take(&mut fold).rows());
        }
        Ok(())
    })
    .await?;
    add_rows(&mut rows, fold.rows());
    Ok(rows)
}

/// Keys of blocks, one list per column.
#[derive(Default)]
struct Keys {
    sites: Vec<i64>,
    slots: Vec<i16>,
    steps: Vec<i32>,
    blocks: Vec<i16>,
}

impl Keys {
    fn push(&mut self, site: SiteId, key: BlockKey) {
        self.sites.push(site.0);
        self.slots.push(key.slot);
        self.steps.push(key.step);
        self.blocks.push(key.block);
    }

    fn bind(self, sql: &'static str) -> Statement {
        let Self { sites, slots, steps, blocks } = self;
        query(sql).bind(alone(&sites)).bind(sites).bind(slots).bind(steps).bind(blocks)
    }
}

/// A block and its site.
pub(crate) type SiteBlock = (SiteId, Block);

/// Groups rows of a site into blocks.
pub(crate) fn blocks_of(site: SiteId, rows: BTreeMap<RowKey, Row>) -> impl Iterator<Item = SiteBlock> {
    blocks(rows).into_iter().map(move |block| (site, block))
}

/// Writes rows of a site; `stored` says whether they are added to stored rows or replace them. Removes empty rows.
pub(crate) async fn write(
    connection: &mut PgConnection,
    site: SiteId,
    rows: BTreeMap<RowKey, Row>,
    stored: Stored,
) -> Result<(), StoreError> {
    let blocks = compute(move || blocks_of(site, rows).collect()).await?;
    write_blocks(connection, blocks, stored).await.map(drop)
}

/// Writes the blocks of sites, ordered by site; `stored` says whether their rows are added to stored rows or replace them.
/// Removes empty rows. Returns the bytes of the replaced blocks, which wait for a vacuum.
pub(crate) async fn write_blocks(
    connection: &mut PgConnection,
    mut blocks: Vec<SiteBlock>,
    stored: Stored,
) -> Result<u64, StoreError> {
    let mut replaced = 0;
    blocks.sort_by_key(|(_, block)| block.key.grain);
    let mut all = blocks.into_iter().peekable();
    while let Some(first) = all.next() {
        let grain = first.1.key.grain;
        let mut some = vec![first];
        while some.len() < WRITE_BLOCKS
            && let Some(next) = all.next_if(|(_, block)| block.key.grain == grain)
        {
            some.push(next);
        }
        let lengths = lengths(connection, grain, &some).await?;
        let bytes = |(site, block): &SiteBlock| {
            block.bytes_about() + lengths.get(&(*site, block.key)).copied().unwrap_or(0)
        };
        for portion in portions(some, bytes, limits::WRITE_BLOCKS_BYTES_MAX) {
            replaced += write_some(connection, grain, portion, stored).await?;
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
    grain: Grain,
    blocks: &[SiteBlock],
) -> Result<HashMap<(SiteId, BlockKey), usize>, StoreError> {
    let mut keys = Keys::default();
    blocks.iter().for_each(|(site, block)| keys.push(*site, block.key));
    let rows = keys.bind(table(grain).lengths).fetch_all(connection).await.map_err(failed(READING))?;
    let read = |row: &PgRow| {
        let key = BlockKey { grain, slot: row.try_get(0)?, step: row.try_get(1)?, block: row.try_get(2)? };
        let length = usize::try_from(row.try_get::<i32, _>(3)?).unwrap_or(0);
        Ok(((SiteId(row.try_get(4)?), key), length))
    };
    rows.iter().map(|row| read(row).map_err(failed(READING))).collect()
}

async fn write_some(
    connection: &mut PgConnection,
    grain: Grain,
    blocks: Vec<SiteBlock>,
    stored: Stored,
) -> Result<u64, StoreError> {
    let mut keys = Keys::default();
    blocks.iter().for_each(|(site, block)| keys.push(*site, block.key));
    let mut known: HashMap<(SiteId, BlockKey), Vec<u8>> = HashMap::with_capacity(blocks.len());
    let mut found = keys.bind(table(grain).keys).fetch(&mut *connection);
    while let Some(row) = found.try_next().await.map_err(failed(READING))? {
        let (key, cells) = read_row(&row, grain)?;
        let site = row.try_get(4).map(SiteId).map_err(failed(READING))?;
        known.insert((site, key), cells.to_vec());
    }
    drop(found);
    let replaced = known.values().map(|cells| cells.len() as u64).sum();
    // Encoding takes milliseconds and must not block async tasks on this thread.
    let encode = move || {
        let encode = |(site, block): SiteBlock| {
            let key = block.key;
            let bytes = known.get(&(site, key)).map(Vec::as_slice).unwrap_or_default();
            block.encode(bytes, stored).map(|bytes| (site, key, bytes))
        };
        blocks.into_iter().map(encode).collect::<Result<Vec<_>, _>>()
    };
    let (mut full, mut cells, mut empty) = (Keys::default(), Vec::new(), Keys::default());
    for (site, key, bytes) in compute(encode).await?.map_err(|_| wrong(grain))? {
        match bytes {
            Some(bytes) => {
                full.push(site, key);
                cells.push(bytes);
            }
            None => empty.push(site, key),
        }
    }
    if !cells.is_empty() {
        let statement = full.bind(table(grain).put).bind(cells);
        statement.execute(&mut *connection).await.map_err(failed(WRITING))?;
    }
    if !empty.slots.is_empty() {
        let statement = empty.bind(table(grain).remove_keys);
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
