//! Rows of cells, and their encoding.
//!
//! A metric's row holds the histograms of all values of a dimension, for one hour or day, and one route or the whole
//! site. A query for one metric reads no other metric's rows, and keys are a small part of a row.
//!
//! Format: `[number of values, then for each value its code, the length of its histogram, and the histogram]`. The row
//! of page views has other fields after the code: 2 × the number of page views + 1 if an excess weight follows, then
//! the excess weight, which is the weight minus 1,000 per page view (in thousandths). Numbers are LEB128; numbers that
//! may be negative are zigzag-encoded.

use super::{DAY_MS, HOUR_MS, day_of};
use crate::cell::{Cell, Views};
use crate::dimension::{Code, Dimension};
use crate::weight::Weight;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use vitals::histogram::{EncodingError, Histogram, read_varint, write_varint};
use vitals::metric::Metric;

/// Length of the time step of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grain {
    /// An hour; only of the dimension device.
    Hour,
    /// A UTC day; of every dimension.
    Day,
}

impl Grain {
    /// Every grain, ascending.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// Returns the milliseconds of a step.
    #[must_use]
    pub const fn step_ms(self) -> i64 {
        match self {
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
        }
    }

    /// Returns the number of steps from 1970-01-01 UTC to the step of `at_ms`.
    #[must_use]
    pub fn step(self, at_ms: i64) -> i32 {
        let step = at_ms.div_euclid(self.step_ms());
        i32::try_from(step).unwrap_or(if step < 0 { i32::MIN } else { i32::MAX })
    }
}

/// The counter of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// A metric's values.
    Metric(Metric),
    /// The number of page views.
    Views,
}

impl Part {
    /// The number of parts.
    pub const COUNT: usize = Metric::COUNT + 1;

    /// The number of [`Self::Views`] in stored keys. Metrics after the seventh have the numbers after it.
    const VIEWS: u8 = 7;

    /// Returns the part's number, which stored keys have.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Metric(metric) if (metric as u8) < Self::VIEWS => metric as u8,
            Self::Metric(metric) => metric as u8 + 1,
            Self::Views => Self::VIEWS,
        }
    }

    /// Returns the part with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        if number == Self::VIEWS {
            return Some(Self::Views);
        }
        let metric = number - u8::from(number > Self::VIEWS);
        Metric::ALL.get(usize::from(metric)).map(|&metric| Self::Metric(metric))
    }
}

const _: () = assert!(Part::COUNT <= 16, "a part's number must fit into a slot");

/// Returns a dimension and a part as one number for keys: 16 × the dimension's number + the part's number.
#[must_use]
pub const fn slot(dimension: Dimension, part: Part) -> i16 {
    dimension as i16 * 16 + part.number() as i16
}

/// Returns the dimension and the part of a slot.
#[must_use]
pub fn from_slot(slot: i16) -> Option<(Dimension, Part)> {
    let slot = u8::try_from(slot).ok()?;
    Some((Dimension::from_number(slot / 16)?, Part::from_number(slot % 16)?))
}

/// The key of a row within a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// The length of the time step.
    pub grain: Grain,
    /// See [`slot`].
    pub slot: i16,
    /// See [`Grain::step`].
    pub step: i32,
    /// See [`super::route_id`]. `None`: the whole site.
    pub route_id: Option<i64>,
}

/// The counts of a row, by the code of the dimension's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Numbers of page views.
    Views(BTreeMap<Code, Views>),
    /// A metric's values.
    Metric(BTreeMap<Code, Histogram>),
}

impl Row {
    /// An empty row of a part.
    #[must_use]
    pub const fn empty(part: Part) -> Self {
        match part {
            Part::Views => Self::Views(BTreeMap::new()),
            Part::Metric(_) => Self::Metric(BTreeMap::new()),
        }
    }

    /// Adds a stored row.
    ///
    /// # Errors
    /// If the bytes are not a row of this part.
    pub fn add_encoded(&mut self, mut bytes: &[u8]) -> Result<(), EncodingError> {
        for _ in 0..read_varint(&mut bytes)? {
            let code = read_code(&mut bytes)?;
            match self {
                Self::Views(views) => {
                    views.entry(code).or_default().merge(read_views(&mut bytes)?);
                }
                Self::Metric(values) => {
                    let histogram = Histogram::decode(&mut read_part(&mut bytes)?)?;
                    values.entry(code).or_default().merge(&histogram);
                }
            }
        }
        if bytes.is_empty() { Ok(()) } else { Err(EncodingError) }
    }

    /// Adds a row of the same part.
    pub fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Views(views), Self::Views(more)) => {
                for (&code, &more) in more {
                    views.entry(code).or_default().merge(more);
                }
            }
            (Self::Metric(values), Self::Metric(more)) => {
                for (&code, histogram) in more {
                    values.entry(code).or_default().merge(histogram);
                }
            }
            (Self::Views(_), Self::Metric(_)) | (Self::Metric(_), Self::Views(_)) => {}
        }
    }

    /// Adds a value's cell to a row of this part.
    pub fn add_cell(&mut self, part: Part, code: Code, cell: &Cell) {
        match (self, part) {
            (Self::Views(views), _) => views.entry(code).or_default().merge(cell.views()),
            (Self::Metric(values), Part::Metric(metric)) => {
                values.entry(code).or_default().merge(cell.metric(metric));
            }
            (Self::Metric(_), Part::Views) => {}
        }
    }

    /// Encodes the row; `None` if the row is empty and needs no storage.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut part = Vec::new();
        match self {
            Self::Views(views) => {
                let counted = views.iter().filter(|(_, views)| !views.is_empty());
                write_varint(&mut bytes, counted.clone().count() as u64);
                for (&code, &views) in counted {
                    write_varint(&mut bytes, code.into());
                    write_views(&mut bytes, views);
                }
            }
            Self::Metric(values) => {
                let counted = values.iter().filter(|(_, histogram)| !histogram.is_empty());
                write_varint(&mut bytes, counted.clone().count() as u64);
                for (&code, histogram) in counted {
                    write_varint(&mut bytes, code.into());
                    part.clear();
                    histogram.encode(&mut part);
                    write_varint(&mut bytes, part.len() as u64);
                    bytes.extend_from_slice(&part);
                }
            }
        }
        // An empty row encodes as a single zero: the number of values.
        (bytes != [0]).then_some(bytes)
    }
}

pub(super) fn read_code(bytes: &mut &[u8]) -> Result<Code, EncodingError> {
    Code::try_from(read_varint(bytes)?).map_err(|_| EncodingError)
}

pub(super) fn read_views(bytes: &mut &[u8]) -> Result<Views, EncodingError> {
    let number = read_varint(bytes)?;
    let count = signed(number >> 1);
    let beyond_milli = if number & 1 == 0 { 0 } else { signed(read_varint(bytes)?) };
    Ok(Views { count, weight_milli: own_weight_milli(count).saturating_add(beyond_milli) })
}

fn write_views(bytes: &mut Vec<u8>, views: Views) {
    let beyond_milli = views.weight_milli.saturating_sub(own_weight_milli(views.count));
    // The top bit is free, because no site has 2^62 page views.
    write_varint(bytes, zigzag(views.count) << 1 | u64::from(beyond_milli != 0));
    if beyond_milli != 0 {
        write_varint(bytes, zigzag(beyond_milli));
    }
}

/// Returns the weight of `count` page views without sampling, in thousandths.
const fn own_weight_milli(count: i64) -> i64 {
    count.saturating_mul(Weight::ONE_MILLI)
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

const fn signed(zigzagged: u64) -> i64 {
    (zigzagged >> 1) as i64 ^ -(zigzagged as i64 & 1)
}

/// Reads the bytes of one value's histogram.
pub(super) fn read_part<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], EncodingError> {
    let len = usize::try_from(read_varint(bytes)?).map_err(|_| EncodingError)?;
    let (part, rest) = bytes.split_at_checked(len).ok_or(EncodingError)?;
    *bytes = rest;
    Ok(part)
}

/// Adds `more` to `rows`.
pub fn add_rows(rows: &mut BTreeMap<RowKey, Row>, more: BTreeMap<RowKey, Row>) {
    for (key, more) in more {
        match rows.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(more)),
            Entry::Occupied(mut entry) => entry.get_mut().merge(&more),
        }
    }
}

/// Returns every slot, ascending.
pub fn slots() -> impl Iterator<Item = i16> {
    let parts = || (0..).map_while(Part::from_number);
    Dimension::ALL.into_iter().flat_map(move |dimension| parts().map(move |part| slot(dimension, part)))
}

/// A stored count that differs from its page views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The row's key.
    pub key: RowKey,
    /// The route; `None` for the whole site, and if the store does not know the id.
    pub route: Option<String>,
    /// The code of the dimension's value.
    pub code: Code,
    /// The stored count: page views, or values of the metric.
    pub stored: i64,
    /// The count computed from page views. Equal to `stored` if only the values differ, not their number.
    pub expected: i64,
}

/// Returns the differences between stored and expected rows, by key and code; `route` is `None`.
#[must_use]
pub fn differences(stored: &BTreeMap<RowKey, Row>, expected: &BTreeMap<RowKey, Row>) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut keys: Vec<&RowKey> = stored.keys().chain(expected.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for &key in keys {
        let (stored, expected) = (counts(stored.get(&key)), counts(expected.get(&key)));
        let mut codes: Vec<&Code> = stored.keys().chain(expected.keys()).collect();
        codes.sort_unstable();
        codes.dedup();
        for code in codes {
            let (stored, expected) = (stored.get(code), expected.get(code));
            if stored != expected {
                let n = |count: Option<&Count<'_>>| count.map_or(0, Count::n);
                differences.push(Difference {
                    key,
                    route: None,
                    code: *code,
                    stored: n(stored),
                    expected: n(expected),
                });
            }
        }
    }
    differences
}

#[derive(PartialEq)]
enum Count<'a> {
    Views(Views),
    Values(&'a Histogram),
}

impl Count<'_> {
    fn n(&self) -> i64 {
        match self {
            Self::Views(views) => views.count,
            Self::Values(histogram) => histogram.n(),
        }
    }
}

/// Returns the non-empty counts of a row.
fn counts(row: Option<&Row>) -> BTreeMap<Code, Count<'_>> {
    match row {
        None => BTreeMap::new(),
        Some(Row::Views(views)) => {
            views.iter().filter(|(_, n)| !n.is_empty()).map(|(&code, &n)| (code, Count::Views(n))).collect()
        }
        Some(Row::Metric(values)) => values
            .iter()
            .filter(|(_, histogram)| !histogram.is_empty())
            .map(|(&code, histogram)| (code, Count::Values(histogram)))
            .collect(),
    }
}

/// Returns the steps of a UTC day.
#[must_use]
pub fn steps_of_day(grain: Grain, day_ms: i64) -> std::ops::Range<i32> {
    let day_ms = day_of(day_ms);
    grain.step(day_ms)..grain.step(day_ms.saturating_add(DAY_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_back() {
        for dimension in Dimension::ALL {
            for part in (0..).map_while(Part::from_number) {
                assert_eq!(from_slot(slot(dimension, part)), Some((dimension, part)));
            }
        }
        assert!(slots().is_sorted() && slots().count() == Dimension::COUNT * Part::COUNT);
        assert_eq!(Part::COUNT, (0..).map_while(Part::from_number).count());
        assert_eq!((from_slot(-1), from_slot(8), from_slot(16 * 6)), (None, None, None));
    }

    #[test]
    fn steps_are_whole() {
        assert_eq!((Grain::Day.step(DAY_MS - 1), Grain::Day.step(DAY_MS), Grain::Day.step(-1)), (0, 1, -1));
        assert_eq!(steps_of_day(Grain::Hour, DAY_MS + 5), 24..48);
        assert_eq!(Grain::Hour.step(i64::MAX), i32::MAX);
    }
}
