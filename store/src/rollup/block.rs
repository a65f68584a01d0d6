//! Blocks: the storage layout of rollup rows.
//!
//! A row of few page views is smaller than a database's overhead per row, and a query for a month would fetch tens of
//! thousands of rows. Therefore the rows of one step and one slot are grouped into up to sixteen blocks. The
//! first four bits of a route's id select its block. The id is a hash, so blocks are of similar size, and a route's
//! block is known without a lookup.
//!
//! The row of the whole site has a block of its own, so that a question about the site reads no row of a route.
//!
//! A block is `[for each row, ascending by route: the route's id (8 bytes, big endian), the length of the row's bytes
//! (LEB128), and the row's bytes]`. The id of the site's row is 0.

use super::row::{Grain, Row, RowKey, from_slot, read_part};
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::RangeInclusive;
use vitals::histogram::{EncodingError, write_varint};

/// Estimated bytes of a value that counts few page views.
const CELL_BYTES: usize = 10;
/// Bits of a route's id that select its block.
const BITS: u32 = 4;
/// The block of the site's row: the number before the first block of routes.
const SITE_BLOCK: i16 = -(1 << (BITS - 1)) - 1;
/// The id of the site's row within its block.
const SITE_ID: i64 = 0;

/// The key of a block within a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockKey {
    /// The length of the time step.
    pub grain: Grain,
    /// See [`super::slot`].
    pub slot: i16,
    /// See [`Grain::step`].
    pub step: i32,
    /// See [`Scope::blocks`].
    pub block: i16,
}

/// Returns the block number of a route's rows, from -8 to 7, ascending with the route's id.
const fn block_of(route_id: i64) -> i16 {
    (route_id >> (i64::BITS - BITS)) as i16
}

/// The rows that a question reads, of each hour or day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The row of the whole site.
    Site,
    /// The rows of all routes.
    Routes,
    /// The row of the route with this id.
    Route(i64),
}

impl Scope {
    /// Returns the numbers of the blocks that hold the rows.
    #[must_use]
    pub const fn blocks(self) -> RangeInclusive<i16> {
        match self {
            Self::Site => SITE_BLOCK..=SITE_BLOCK,
            Self::Routes => block_of(i64::MIN)..=block_of(i64::MAX),
            Self::Route(id) => block_of(id)..=block_of(id),
        }
    }

    /// Returns the number of the block, if one block holds the rows.
    #[must_use]
    pub const fn block(self) -> Option<i16> {
        match self {
            Self::Site => Some(SITE_BLOCK),
            Self::Routes => None,
            Self::Route(id) => Some(block_of(id)),
        }
    }
}

impl RowKey {
    /// Returns the key of the row's block.
    #[must_use]
    pub const fn block(&self) -> BlockKey {
        let block = match self.route_id {
            None => SITE_BLOCK,
            Some(id) => block_of(id),
        };
        BlockKey { grain: self.grain, slot: self.slot, step: self.step, block }
    }
}

/// Effect of writing a row on the stored row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The new row is added to the stored row.
    Kept,
    /// The new row replaces the stored row.
    Replaced,
}

/// Rows to be written into a block.
#[derive(Debug)]
pub struct Block {
    /// The block's key.
    pub key: BlockKey,
    /// Ascending by route.
    rows: Vec<(i64, Row)>,
}

impl Block {
    /// Estimates the minimum bytes of the rows, without the stored rows.
    #[must_use]
    pub fn bytes_about(&self) -> usize {
        let values = self.rows.iter().map(|(_, row)| match row {
            Row::Views(views) => views.len(),
            Row::Metric(values) => values.len(),
        });
        values.sum::<usize>() * CELL_BYTES
    }

    /// Merges the rows into the stored block `bytes` (empty if there is none). Returns the new bytes, without empty
    /// rows; `None` if no row is left.
    ///
    /// # Errors
    /// If `bytes` is not a block.
    pub fn encode(self, bytes: &[u8], stored: Stored) -> Result<Option<Vec<u8>>, EncodingError> {
        let mut written = Writer(Vec::with_capacity(bytes.len()));
        let mut rows = self.rows.into_iter().peekable();
        read_block(bytes, |route_id, bytes| {
            written.all_before(&mut rows, route_id);
            match rows.next_if(|&(id, _)| id == route_id) {
                // The stored row is unchanged, so it is not decoded.
                None => written.row(route_id, bytes),
                Some((_, mut row)) => {
                    if stored == Stored::Kept {
                        row.add_encoded(bytes)?;
                    }
                    written.encode(route_id, &row);
                }
            }
            Ok(())
        })?;
        for (route_id, row) in rows {
            written.encode(route_id, &row);
        }
        Ok((!written.0.is_empty()).then_some(written.0))
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn all_before(&mut self, rows: &mut Peekable<impl Iterator<Item = (i64, Row)>>, route_id: i64) {
        while let Some((id, row)) = rows.next_if(|&(id, _)| id < route_id) {
            self.encode(id, &row);
        }
    }

    fn encode(&mut self, route_id: i64, row: &Row) {
        if let Some(bytes) = row.encode() {
            self.row(route_id, &bytes);
        }
    }

    fn row(&mut self, route_id: i64, bytes: &[u8]) {
        self.0.extend_from_slice(&route_id.to_be_bytes());
        write_varint(&mut self.0, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

/// Groups rows into blocks, ascending.
#[must_use]
pub fn blocks(rows: BTreeMap<RowKey, Row>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (key, row) in rows {
        let id = key.route_id.unwrap_or(SITE_ID);
        match blocks.last_mut() {
            Some(block) if block.key == key.block() => block.rows.push((id, row)),
            _ => blocks.push(Block { key: key.block(), rows: vec![(id, row)] }),
        }
    }
    blocks
}

/// Passes the route's id and the bytes of every row of a block to `take`.
///
/// # Errors
/// If the bytes are not a block.
pub fn read_block<'a>(
    mut bytes: &'a [u8],
    mut take: impl FnMut(i64, &'a [u8]) -> Result<(), EncodingError>,
) -> Result<(), EncodingError> {
    let mut before = None;
    while !bytes.is_empty() {
        let (&route_id, rest) = bytes.split_first_chunk::<8>().ok_or(EncodingError)?;
        let route_id = i64::from_be_bytes(route_id);
        if before.is_some_and(|before| before >= route_id) {
            return Err(EncodingError);
        }
        before = Some(route_id);
        bytes = rest;
        take(route_id, read_part(&mut bytes)?)?;
    }
    Ok(())
}

/// Adds the rows of a block to `rows`.
///
/// # Errors
/// If the bytes are not a block of this slot.
pub fn add_block(rows: &mut BTreeMap<RowKey, Row>, key: BlockKey, bytes: &[u8]) -> Result<(), EncodingError> {
    let BlockKey { grain, slot, step, block } = key;
    let (_, part) = from_slot(slot).ok_or(EncodingError)?;
    read_block(bytes, |id, bytes| {
        let route_id = (block != SITE_BLOCK).then_some(id);
        let key = RowKey { grain, slot, step, route_id };
        rows.entry(key).or_insert_with(|| Row::empty(part)).add_encoded(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Views;
    use crate::dimension::Dimension;
    use crate::limits;
    use crate::rollup::{Part, slot};
    use crate::weight::Weight;
    use vitals::histogram::{Histogram, Place};
    use vitals::metric::{Metric, Value};

    const SLOT: i16 = slot(Dimension::Country, Part::Views);

    fn own(count: i64) -> Views {
        Views { count, weight_milli: count * Weight::ONE_MILLI }
    }

    fn rows(counts: &[(i64, i64)]) -> BTreeMap<RowKey, Row> {
        let key = |id| RowKey { grain: Grain::Day, slot: SLOT, step: 7, route_id: Some(id) };
        counts.iter().map(|&(id, n)| (key(id), Row::Views(BTreeMap::from([(3, own(n))])))).collect()
    }

    fn block(counts: &[(i64, i64)]) -> Block {
        let mut blocks = blocks(rows(counts));
        assert_eq!(blocks.len(), 1);
        blocks.remove(0)
    }

    #[test]
    fn a_route_has_one_block_and_blocks_ascend_with_routes() {
        let ids = [i64::MIN, -1, 0, i64::MAX, i64::MIN + 5];
        let blocks = blocks(rows(&ids.map(|id| (id, 1))));
        assert_eq!(blocks.iter().map(|block| block.key.block).collect::<Vec<_>>(), [-8, -1, 0, 7]);
        assert_eq!(blocks.iter().map(|block| block.rows.len()).collect::<Vec<_>>(), [2, 1, 1, 1]);
    }

    #[test]
    fn the_row_of_the_site_has_a_block_of_its_own() {
        let mut all = rows(&[(i64::MIN, 2), (0, 3), (i64::MAX, 4)]);
        let site = RowKey { route_id: None, ..*all.keys().next().unwrap() };
        all.insert(site, Row::Views(BTreeMap::from([(3, own(9))])));
        let mut found = BTreeMap::new();
        for block in blocks(all.clone()) {
            let key = block.key;
            let is_site = Scope::Site.blocks().contains(&key.block);
            assert_ne!(is_site, Scope::Routes.blocks().contains(&key.block));
            assert_eq!((is_site, block.rows.len()), (key == site.block(), 1));
            add_block(&mut found, key, &block.encode(&[], Stored::Kept).unwrap().unwrap()).unwrap();
        }
        assert_eq!(found, all);
        for (scope, block) in [(Scope::Site, Some(-9)), (Scope::Routes, None), (Scope::Route(-1), Some(-1))] {
            assert_eq!(scope.block(), block, "stored: another number would lose the rows");
            assert!(block.is_none_or(|block| scope.blocks() == (block..=block)));
        }
    }

    #[test]
    fn rows_are_added_to_those_of_their_routes_and_the_others_stay() {
        let stored = block(&[(2, 20), (5, 50), (9, 90)]).encode(&[], Stored::Kept).unwrap().unwrap();
        for (how, five) in [(Stored::Kept, 51), (Stored::Replaced, 1)] {
            let bytes = block(&[(1, 1), (5, 1), (7, 1), (12, 1)]).encode(&stored, how).unwrap().unwrap();
            let mut found = BTreeMap::new();
            add_block(&mut found, rows(&[(1, 1)]).keys().next().unwrap().block(), &bytes).unwrap();
            assert_eq!(found, rows(&[(1, 1), (2, 20), (5, five), (7, 1), (9, 90), (12, 1)]));
        }
    }

    #[test]
    fn what_counts_nothing_goes_and_with_the_last_row_the_block() {
        let stored = block(&[(2, 20), (5, 50)]).encode(&[], Stored::Kept).unwrap().unwrap();
        let left = block(&[(2, -20)]).encode(&stored, Stored::Kept).unwrap().unwrap();
        assert_eq!(left, block(&[(5, 50)]).encode(&[], Stored::Kept).unwrap().unwrap());
        assert_eq!(block(&[(5, -50)]).encode(&left, Stored::Kept), Ok(None));
        assert_eq!(block(&[(5, 0)]).encode(&[], Stored::Kept), Ok(None));
    }

    #[test]
    fn a_page_view_takes_few_bytes_of_a_block() {
        // Each cell has `views` page views, whose values are as far apart as possible.
        for views in [1, 2, 3, 10, 100, 1_000] {
            let mut rows = BTreeMap::new();
            for route_id in [0, 1 << 20, i64::MAX] {
                let mut values = BTreeMap::new();
                for code in [1, 300, u16::MAX] {
                    let mut histogram = Histogram::default();
                    for i in 0..views {
                        let value =
                            Value::new(Metric::Inp, 600_000.0 / f64::from(views) * f64::from(i)).unwrap();
                        histogram.count(Place::new(Metric::Inp, value), 1);
                    }
                    values.insert(code, histogram);
                }
                let slot = slot(Dimension::Release, Part::Metric(Metric::Inp));
                rows.insert(
                    RowKey { grain: Grain::Day, slot, step: 7, route_id: Some(route_id) },
                    Row::Metric(values),
                );
            }
            let bytes: usize = blocks(rows)
                .into_iter()
                .map(|block| block.encode(&[], Stored::Kept).unwrap().unwrap().len())
                .sum();
            assert!(bytes <= 9 * views as usize * limits::BLOCK_VIEW_BYTES_MAX, "{views}: {bytes}");
        }
    }

    #[test]
    fn damaged_blocks_are_refused() {
        let stored = block(&[(2, 20), (5, 50)]).encode(&[], Stored::Kept).unwrap().unwrap();
        let rows = stored.len() / 2;
        for end in (1..stored.len()).filter(|&end| end != rows) {
            assert!(read_block(&stored[..end], |_, _| Ok(())).is_err(), "{end} bytes");
            assert!(block(&[(3, 1)]).encode(&stored[..end], Stored::Kept).is_err(), "{end} bytes");
        }
        let turned = [&stored[rows..], &stored[..rows]].concat();
        assert!(read_block(&turned, |_, _| Ok(())).is_err());
    }
}
