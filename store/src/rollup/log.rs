//! Delta rows: the changes of one load in one hour, as a list of page views.
//!
//! A delta is a list of signed page views, each with its route, its codes and the places of its values, in about 25
//! bytes. Folding a delta computes the cells of all dimensions at once; so do queries before the fold. Writing the
//! cells of a batch directly would take several times the bytes, because most cells would count one view.
//!
//! Format: `[number of routes, their ids (8 bytes each, big endian), number of entries, entries…]`. An entry is `[sign
//! and metrics (1 byte: bit 7 is set if the view is removed, bit m if metric m follows), 2 × the index of the route in
//! the list + 1 if the view's weight follows, the weight in thousandths (1,000 if absent), the six codes (1 byte for
//! device and navigation type, 2 for others, little endian), the place of each metric's value (2 bytes, little
//! endian)]`. Numbers are LEB128.

use super::HOUR_MS;
use crate::dimension::{Code, Dimension, Labels};
use crate::hash::HashMap;
use crate::load::Changed;
use crate::view::ViewUpdate;
use crate::weight::Weight;
use std::collections::BTreeMap;
use vitals::histogram::{EncodingError, Place, read_varint, write_varint};
use vitals::metric::Metric;

/// The bit of an entry that removes its view.
const TAKEN: u8 = 1 << 7;
const _: () = assert!(
    1 << Metric::COUNT <= TAKEN as usize,
    "an entry has a bit a metric below TAKEN; one more metric needs another format of stored entries"
);

/// The counted properties of a page view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// 1 adds the view, -1 removes it.
    pub by: i64,
    /// The view's weight, in thousandths of a page view.
    pub weight_milli: u32,
    /// See [`super::route_id`].
    pub route_id: i64,
    /// The view's code in each dimension.
    pub codes: [Code; Dimension::COUNT],
    /// The histogram places of the view's values.
    pub places: [Option<Place>; Metric::COUNT],
}

impl Counted {
    /// The counted properties of a page view, with its route's id and its codes.
    #[must_use]
    pub fn new(view: &ViewUpdate, route_id: i64, codes: [Code; Dimension::COUNT], by: i64) -> Self {
        let places = Metric::ALL.map(|metric| view.values.get(metric).map(|value| Place::new(metric, value)));
        Self { by, weight_milli: view.weight.milli(), route_id, codes, places }
    }

    fn encode(&self, route: usize, bytes: &mut Vec<u8>) {
        let metrics =
            (0..).zip(&self.places).fold(0, |bits, (bit, place)| bits | u8::from(place.is_some()) << bit);
        bytes.push(if self.by < 0 { metrics | TAKEN } else { metrics });
        let weighted = self.weight_milli != Weight::ONE.milli();
        write_varint(bytes, (route as u64) << 1 | u64::from(weighted));
        if weighted {
            write_varint(bytes, self.weight_milli.into());
        }
        for (dimension, code) in Dimension::ALL.into_iter().zip(self.codes) {
            let [low, high] = code.to_le_bytes();
            bytes.push(low);
            if is_wide(dimension) {
                bytes.push(high);
            }
        }
        for place in self.places.iter().flatten() {
            bytes.extend_from_slice(&place.number().to_le_bytes());
        }
    }

    fn decode(bytes: &mut &[u8], routes: &[i64]) -> Result<Self, EncodingError> {
        let head = byte(bytes)?;
        let route = read_varint(bytes)?;
        let weight_milli = match route & 1 {
            0 => Weight::ONE.milli(),
            _ => u32::try_from(read_varint(bytes)?).map_err(|_| EncodingError)?,
        };
        let route = usize::try_from(route >> 1).map_err(|_| EncodingError)?;
        let route_id = *routes.get(route).ok_or(EncodingError)?;
        let mut codes = [0; Dimension::COUNT];
        for (dimension, code) in Dimension::ALL.into_iter().zip(&mut codes) {
            *code = if is_wide(dimension) { two(bytes)? } else { byte(bytes)?.into() };
        }
        let mut places = [None; Metric::COUNT];
        for (bit, place) in (0..).zip(&mut places) {
            if head & 1 << bit != 0 {
                *place = Some(Place::from_number(two(bytes)?).ok_or(EncodingError)?);
            }
        }
        let by = if head & TAKEN == 0 { 1 } else { -1 };
        Ok(Self { by, weight_milli, route_id, codes, places })
    }
}

/// Whether a dimension's codes have two bytes.
const fn is_wide(dimension: Dimension) -> bool {
    dimension.labels_max() > 0
}

fn byte(bytes: &mut &[u8]) -> Result<u8, EncodingError> {
    let (&first, rest) = bytes.split_first().ok_or(EncodingError)?;
    *bytes = rest;
    Ok(first)
}

fn two(bytes: &mut &[u8]) -> Result<u16, EncodingError> {
    let (&first, rest) = bytes.split_first_chunk::<2>().ok_or(EncodingError)?;
    *bytes = rest;
    Ok(u16::from_le_bytes(first))
}

/// Builds the delta rows of changed views, keyed by the start of their hour. Skips views whose counted properties have
/// not changed.
///
/// `route_ids` and `labels` must contain every route and label, including those before the change.
#[must_use]
pub fn deltas(
    changed: &[Changed],
    route_ids: &HashMap<String, i64>,
    labels: &Labels,
) -> BTreeMap<i64, Vec<u8>> {
    let counted = |view: &ViewUpdate, by| {
        let id = route_ids.get(&view.route).copied().unwrap_or_else(|| super::route_id(&view.route, 0));
        Counted::new(view, id, labels.codes(view), by)
    };
    let mut hours: BTreeMap<i64, Delta> = BTreeMap::new();
    for Changed { before, after } in changed {
        let before = before.as_ref().map(|view| (view.update.id, counted(&view.update, -1)));
        let after = after.as_ref().map(|view| (view.update.id, counted(&view.update, 1)));
        if let (Some((_, before)), Some((_, after))) = (&before, &after)
            && (Counted { by: 1, ..*before }) == *after
        {
            continue;
        }
        for (id, counted) in before.into_iter().chain(after) {
            hours.entry(super::floor(id.start_ms(), HOUR_MS)).or_default().push(&counted);
        }
    }
    hours.into_iter().map(|(hour_ms, delta)| (hour_ms, delta.finish())).collect()
}

/// A delta row under construction.
#[derive(Debug, Default)]
struct Delta {
    routes: Vec<i64>,
    places: HashMap<i64, usize>,
    len: u64,
    entries: Vec<u8>,
}

impl Delta {
    fn push(&mut self, counted: &Counted) {
        let route = *self.places.entry(counted.route_id).or_insert_with(|| {
            self.routes.push(counted.route_id);
            self.routes.len() - 1
        });
        self.len += 1;
        counted.encode(route, &mut self.entries);
    }

    fn finish(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() + self.routes.len() * 8 + 8);
        write_varint(&mut bytes, self.routes.len() as u64);
        for route_id in self.routes {
            bytes.extend_from_slice(&route_id.to_be_bytes());
        }
        write_varint(&mut bytes, self.len);
        bytes.extend_from_slice(&self.entries);
        bytes
    }
}

/// Passes every page view of a delta row to `take`, in order.
///
/// # Errors
/// If the bytes are not a delta row.
pub(super) fn read(mut bytes: &[u8], mut take: impl FnMut(&Counted)) -> Result<(), EncodingError> {
    let len = read_varint(&mut bytes)?;
    let mut routes = Vec::new();
    for _ in 0..len {
        let (&id, rest) = bytes.split_first_chunk::<8>().ok_or(EncodingError)?;
        bytes = rest;
        routes.push(i64::from_be_bytes(id));
    }
    let len = read_varint(&mut bytes)?;
    for _ in 0..len {
        take(&Counted::decode(&mut bytes, &routes)?);
    }
    if bytes.is_empty() { Ok(()) } else { Err(EncodingError) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use crate::view::{Source, StoredView};
    use vitals::metric::{Value, Values};
    use vitals::view::{Device, ViewId};

    fn view(start_ms: u64, route: &str, release: &str, lcp: u32) -> StoredView {
        let mut values = Values::EMPTY;
        values.set(Metric::Lcp, Value::from_micros(Metric::Lcp, lcp));
        StoredView::first(ViewUpdate {
            id: ViewId::new(start_ms, 1),
            source: Source::Own { seq: 1 },
            received_ms: 5,
            url: "https://a.example/".to_owned(),
            route: route.to_owned(),
            navigation_type: None,
            device: Some(Device::Phone),
            browser: None,
            os: None,
            connection: None,
            country: None,
            release: Some(release.to_owned()),
            values,
            tti_gap: None,
            weight: Weight::ONE,
            context: Context::NONE,
        })
    }

    #[test]
    fn a_delta_row_is_read_back() {
        let ids = HashMap::from_iter([("/".to_owned(), 5), ("/a".to_owned(), -6)]);
        let mut labels = Labels::default();
        labels.insert(Dimension::Release, "r1".to_owned(), 300);
        labels.insert(Dimension::Release, "r2".to_owned(), 7);
        let hour = HOUR_MS as u64;
        let (a, mut b) = (view(hour, "/", "r1", 2_500_000), view(hour + 1, "/a", "r2", 0));
        b.update.weight = Weight::of_sample(0.3);
        let only_described = StoredView { received_ms: [1; Metric::COUNT], ..a.clone() };
        let changed = [
            Changed { before: None, after: Some(Box::new(a.clone())) },
            Changed { before: Some(Box::new(a.clone())), after: Some(Box::new(b.clone())) },
            Changed { before: Some(Box::new(a.clone())), after: Some(Box::new(only_described)) },
            Changed { before: Some(Box::new(b.clone())), after: None },
        ];
        let rows = deltas(&changed, &ids, &labels);
        assert_eq!(rows.keys().collect::<Vec<_>>(), [&HOUR_MS]);
        let mut found = Vec::new();
        read(&rows[&HOUR_MS], |counted| found.push(*counted)).unwrap();
        let counted =
            |view: &StoredView, id, by| Counted::new(&view.update, id, labels.codes(&view.update), by);
        assert_eq!(found, [counted(&a, 5, 1), counted(&a, 5, -1), counted(&b, -6, 1), counted(&b, -6, -1)]);
        assert_eq!((found[0].weight_milli, found[2].weight_milli), (1_000, 3_333));
        assert_eq!(found[0].codes[Dimension::Release.index()], 300);
        for end in 0..rows[&HOUR_MS].len() {
            assert!(read(&rows[&HOUR_MS][..end], |_| {}).is_err(), "{end} bytes");
        }
    }
}
