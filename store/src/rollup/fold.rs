//! Rows of cells, and what folding adds to them.
//!
//! A row holds, for one hour or day, one route and one metric, the histograms of all values of a dimension:
//! a question about one metric reads no other, and a row is not mostly key. `[number of values, then for
//! each its code, the length of its histogram, and the histogram]`; the row of page views has in place of the
//! last two twice their number, and one more where what they weigh beyond it follows (in thousandths). Numbers are
//! LEB128, those that may be negative zigzagged.

use super::log::{self, Counted};
use super::{DAY_MS, HOUR_MS, day_of};
use crate::cell::Views;
use crate::dimension::{Code, Dimension};
use crate::hash::HashMap;
use crate::kept::Kept;
use crate::weight::Weight;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use vitals::histogram::{EncodingError, Histogram, Place, read_varint, write_varint};
use vitals::metric::Metric;

/// How long a time one row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grain {
    /// An hour; of the dimension device alone.
    Hour,
    /// A UTC day; of every dimension.
    Day,
}

impl Grain {
    /// Milliseconds of a step.
    #[must_use]
    pub const fn step_ms(self) -> i64 {
        match self {
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
        }
    }

    /// The number of the step that a moment lies in, since 1970-01-01 UTC.
    #[must_use]
    pub fn step(self, at_ms: i64) -> i32 {
        let step = at_ms.div_euclid(self.step_ms());
        i32::try_from(step).unwrap_or(if step < 0 { i32::MIN } else { i32::MAX })
    }
}

/// What a row counts of its page views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// A metric's values.
    Metric(Metric),
    /// The views themselves.
    Views,
}

impl Part {
    /// How many parts there are.
    pub const COUNT: usize = Metric::COUNT + 1;

    /// The part's number: the metric's, and the first beyond.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Metric(metric) => metric as u8,
            Self::Views => Metric::COUNT as u8,
        }
    }

    /// The part of this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match Metric::ALL.get(usize::from(number)) {
            Some(&metric) => Some(Self::Metric(metric)),
            None => (usize::from(number) == Metric::COUNT).then_some(Self::Views),
        }
    }
}

/// A dimension and a part as one number, as keys have it: sixteen times the dimension's, and the part's.
#[must_use]
pub const fn slot(dimension: Dimension, part: Part) -> i16 {
    dimension as i16 * 16 + part.number() as i16
}

/// The dimension and the part of a number in keys.
#[must_use]
pub fn from_slot(slot: i16) -> Option<(Dimension, Part)> {
    let slot = u8::try_from(slot).ok()?;
    Some((Dimension::from_number(slot / 16)?, Part::from_number(slot % 16)?))
}

/// Where a row belongs within a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// How long a time it counts.
    pub grain: Grain,
    /// See [`slot`].
    pub slot: i16,
    /// See [`Grain::step`].
    pub step: i32,
    /// See [`super::route_id`].
    pub route_id: i64,
}

/// The counts of a row, by the code of the dimension's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// How many page views.
    Views(BTreeMap<Code, Views>),
    /// A metric's values.
    Metric(BTreeMap<Code, Histogram>),
}

impl Row {
    /// A row of a part that counts nothing.
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
    /// Where the bytes are not a row of this part.
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

    /// The row's bytes; `None` where it counts nothing, so that there is nothing to keep.
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
        // The number of values comes first; that of none is a single zero.
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
    // The top bit is free: no site has had so many page views.
    write_varint(bytes, zigzag(views.count) << 1 | u64::from(beyond_milli != 0));
    if beyond_milli != 0 {
        write_varint(bytes, zigzag(beyond_milli));
    }
}

/// What page views weigh that stand for themselves alone.
const fn own_weight_milli(count: i64) -> i64 {
    count.saturating_mul(Weight::ONE_MILLI)
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

const fn signed(zigzagged: u64) -> i64 {
    (zigzagged >> 1) as i64 ^ -(zigzagged as i64 & 1)
}

/// The bytes of one value's histogram.
pub(super) fn read_part<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], EncodingError> {
    let len = usize::try_from(read_varint(bytes)?).map_err(|_| EncodingError)?;
    let (part, rest) = bytes.split_at_checked(len).ok_or(EncodingError)?;
    *bytes = rest;
    Ok(part)
}

/// Page views on their way into rows.
#[derive(Debug, Default)]
pub struct Fold {
    views: Vec<Folded>,
}

/// A page view, and where it is counted.
#[derive(Debug)]
struct Folded {
    hour: i32,
    in_hours: bool,
    in_days: bool,
    counted: Counted,
}

impl Fold {
    /// Takes in the delta row of an hour.
    ///
    /// # Errors
    /// Where the bytes are not a delta row.
    pub fn add_delta(&mut self, hour_ms: i64, bytes: &[u8], kept: &Kept) -> Result<(), EncodingError> {
        log::read(bytes, |counted| self.add(hour_ms, counted, kept))
    }

    /// Takes in a page view that starts at a moment.
    pub fn add(&mut self, start_ms: i64, counted: &Counted, kept: &Kept) {
        self.views.push(Folded {
            hour: Grain::Hour.step(start_ms),
            in_hours: start_ms >= kept.hours_from_ms,
            in_days: start_ms >= kept.days_from_ms,
            counted: *counted,
        });
    }

    /// How many page views were taken in.
    #[must_use]
    pub const fn views(&self) -> usize {
        self.views.len()
    }

    /// The rows that it comes to, to be added to those that are stored. A row in which nothing is left is
    /// among them, where what was added and taken away cancels out.
    #[must_use]
    pub fn rows(mut self) -> BTreeMap<RowKey, Row> {
        let mut rows = BTreeMap::new();
        self.views.sort_unstable_by_key(|view| view.counted.route_id);
        let mut route = Route::default();
        for views in self.views.chunk_by(|a, b| a.counted.route_id == b.counted.route_id) {
            route.add(views, &mut rows);
        }
        rows
    }
}

/// What is counted of one route: the views of one value of a dimension in an hour or a day are a group.
#[derive(Debug, Default)]
struct Route {
    groups: Vec<Group>,
    places: HashMap<GroupKey, usize>,
    /// The groups that each view is in, those of one view after those of another.
    of_views: Vec<usize>,
    /// Where those of each view end.
    ends: Vec<usize>,
    /// The views that have a metric, by its place.
    values: Vec<(u16, u32)>,
}

type GroupKey = (Grain, Dimension, i32, Code);

#[derive(Debug)]
struct Group {
    key: GroupKey,
    views: Views,
    /// Places of a metric, ascending, and how often (signed).
    places: Vec<(Place, i64)>,
}

impl Route {
    fn add(&mut self, views: &[Folded], rows: &mut BTreeMap<RowKey, Row>) {
        let Some(route_id) = views.first().map(|view| view.counted.route_id) else { return };
        self.group(views);
        for group in &self.groups {
            if let Row::Views(counts) = row(rows, route_id, group.key, Part::Views) {
                counts.insert(group.key.3, group.views);
            }
        }
        for metric in Metric::ALL {
            self.count(metric, views);
            for group in self.groups.iter_mut().filter(|group| !group.places.is_empty()) {
                if let Row::Metric(histograms) = row(rows, route_id, group.key, Part::Metric(metric)) {
                    let histogram = histograms.entry(group.key.3).or_default();
                    for (place, by) in group.places.drain(..) {
                        histogram.count(place, by);
                    }
                }
            }
        }
    }

    /// Finds the groups of views, and how many views are in them.
    fn group(&mut self, views: &[Folded]) {
        self.groups.clear();
        self.places.clear();
        self.of_views.clear();
        self.ends.clear();
        for Folded { hour, in_hours, in_days, counted } in views {
            let day = Grain::Day.step(i64::from(*hour) * HOUR_MS);
            let hours = in_hours.then_some((Grain::Hour, Dimension::Device, *hour));
            let days =
                Dimension::ALL.into_iter().filter(|_| *in_days).map(|dimension| (Grain::Day, dimension, day));
            for (grain, dimension, step) in hours.into_iter().chain(days) {
                let key = (grain, dimension, step, counted.codes[dimension.index()]);
                let place = *self.places.entry(key).or_insert_with(|| {
                    self.groups.push(Group { key, views: Views::default(), places: Vec::new() });
                    self.groups.len() - 1
                });
                self.groups[place].views.add(counted.weight_milli, counted.by);
                self.of_views.push(place);
            }
            self.ends.push(self.of_views.len());
        }
    }

    /// Counts a metric's values in the groups. They are sorted once, for all dimensions: handed out in order, they
    /// are in order in every group.
    fn count(&mut self, metric: Metric, views: &[Folded]) {
        self.values.clear();
        for (number, view) in (0_u32..).zip(views) {
            self.values.extend(view.counted.places[metric.index()].map(|place| (place.number(), number)));
        }
        self.values.sort_unstable();
        for &(place, number) in &self.values {
            let (Some(place), number) = (Place::from_number(place), number as usize) else { continue };
            let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
            for &group in &self.of_views[start..self.ends[number]] {
                let places = &mut self.groups[group].places;
                match places.last_mut() {
                    Some((last, count)) if *last == place => *count += views[number].counted.by,
                    _ => places.push((place, views[number].counted.by)),
                }
            }
        }
    }
}

/// Adds rows to others.
pub fn add_rows(rows: &mut BTreeMap<RowKey, Row>, more: BTreeMap<RowKey, Row>) {
    for (key, more) in more {
        match rows.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(more)),
            Entry::Occupied(mut entry) => entry.get_mut().merge(&more),
        }
    }
}

/// Every slot that there is, ascending.
pub fn slots() -> impl Iterator<Item = i16> {
    let parts = || (0..).map_while(Part::from_number);
    Dimension::ALL.into_iter().flat_map(move |dimension| parts().map(move |part| slot(dimension, part)))
}

fn row(
    rows: &mut BTreeMap<RowKey, Row>,
    route_id: i64,
    (grain, dimension, step, _): GroupKey,
    part: Part,
) -> &mut Row {
    let key = RowKey { grain, slot: slot(dimension, part), step, route_id };
    rows.entry(key).or_insert_with(|| Row::empty(part))
}

/// A count that is not what it would be if it were made from page views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where it is.
    pub key: RowKey,
    /// The route, where the store knows one of that id.
    pub route: Option<String>,
    /// The code of the dimension's value.
    pub code: Code,
    /// What is stored: page views, or values of the metric.
    pub stored: i64,
    /// What page views come to. Equal to `stored` where as many values are counted, but others.
    pub expected: i64,
}

/// Where stored rows differ from those that page views come to, by key and code; `route` is left open.
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

/// What a row counts, without what counts nothing.
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

/// The first and the step after the last of a UTC day, in each grain: the rows of that day.
#[must_use]
pub fn steps_of_day(grain: Grain, day_ms: i64) -> std::ops::Range<i32> {
    let day_ms = day_of(day_ms);
    grain.step(day_ms)..grain.step(day_ms.saturating_add(DAY_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(by: i64, device: Code, lcp: u16) -> Counted {
        let mut codes = [0; Dimension::COUNT];
        codes[Dimension::Device.index()] = device;
        let mut places = [None; Metric::COUNT];
        places[0] = Place::from_number(lcp);
        Counted { by, weight_milli: Weight::ONE.milli(), route_id: 9, codes, places }
    }

    fn rows(all: &[Counted]) -> BTreeMap<RowKey, Row> {
        let mut fold = Fold::default();
        for counted in all {
            fold.add(DAY_MS + HOUR_MS, counted, &Kept::EVERYTHING);
        }
        assert_eq!(fold.views(), all.len());
        fold.rows()
    }

    #[test]
    fn rows_add_up_whatever_the_order() {
        let all = [counted(1, 1, 400), counted(1, 2, 404), counted(-1, 1, 400), counted(1, 1, 8)];
        let whole = rows(&all);
        // Hours of devices, and days of every dimension, each with views and LCP.
        assert_eq!(whole.len(), 2 * (1 + Dimension::COUNT));
        for split in 0..all.len() {
            let (mut left, right) = (rows(&all[split..]), rows(&all[..split]));
            for (key, row) in right {
                let part = from_slot(key.slot).unwrap().1;
                let sum = left.entry(key).or_insert_with(|| Row::empty(part));
                if let Some(bytes) = row.encode() {
                    sum.add_encoded(&bytes).unwrap();
                }
            }
            assert_eq!(differences(&left, &whole), [], "split at {split}");
            let mut sum = rows(&all[split..]);
            add_rows(&mut sum, rows(&all[..split]));
            assert_eq!(differences(&sum, &whole), [], "split at {split}");
        }
    }

    #[test]
    fn page_views_that_stand_for_others_take_bytes_and_no_others_do() {
        let bytes_of = |devices: &[Code]| {
            let one =
                |&device| Counted { weight_milli: 1_000 * u32::from(device), ..counted(1, device, 400) };
            let all: Vec<Counted> = devices.iter().map(one).collect();
            let key = RowKey {
                grain: Grain::Day,
                slot: slot(Dimension::Device, Part::Views),
                step: Grain::Day.step(DAY_MS),
                route_id: 9,
            };
            let row = rows(&all).remove(&key).unwrap();
            (row.encode().unwrap().len(), row)
        };
        assert_eq!(bytes_of(&[1]).0, 3);
        let (len, row) = bytes_of(&[2, 2]);
        assert_eq!(len, 5);
        let views = Views { count: 2, weight_milli: 4_000 };
        assert_eq!(row, Row::Views(BTreeMap::from([(2, views)])));
    }

    #[test]
    fn what_cancels_out_leaves_nothing_to_keep() {
        let rows = rows(&[counted(1, 1, 400), counted(-1, 1, 400)]);
        assert!(!rows.is_empty() && rows.values().all(|row| row.encode().is_none()));
        assert_eq!(differences(&rows, &BTreeMap::new()), []);
    }

    #[test]
    fn a_difference_says_where_it_is() {
        let found = differences(&rows(&[counted(1, 1, 400)]), &rows(&[counted(1, 1, 404)]));
        assert!(
            found.iter().all(|one| matches!(from_slot(one.key.slot), Some((_, Part::Metric(Metric::Lcp)))))
        );
        assert_eq!((found.len(), found[0].stored, found[0].expected), (1 + Dimension::COUNT, 1, 1));
        let found = differences(&rows(&[counted(1, 1, 400)]), &rows(&[counted(1, 2, 400)]));
        assert!(found.iter().all(|one| from_slot(one.key.slot).unwrap().0 == Dimension::Device));
    }

    #[test]
    fn damaged_rows_are_refused() {
        for row in rows(&[counted(1, 1, 400), counted(1, 300, 404)]).into_values() {
            let bytes = row.encode().unwrap();
            let part = if matches!(row, Row::Views(_)) { Part::Views } else { Part::Metric(Metric::Lcp) };
            for end in 0..bytes.len() {
                assert!(Row::empty(part).add_encoded(&bytes[..end]).is_err(), "{end} bytes");
            }
        }
    }

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
