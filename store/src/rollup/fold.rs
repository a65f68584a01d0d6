//! Folds page views into rollup rows: those of their routes, and those of the whole site.

use super::HOUR_MS;
use super::log::{self, Counted};
use super::row::{Grain, Part, Row, RowKey, slot};
use crate::cell::Views;
use crate::dimension::{Code, Dimension};
use crate::hash::HashMap;
use crate::retention_edges::RetentionEdges;
use std::collections::BTreeMap;
use vitals::histogram::{EncodingError, Histogram, Place};
use vitals::metric::Metric;

/// Page views to be folded into rows.
#[derive(Debug, Default)]
pub struct Fold {
    views: Vec<Folded>,
    /// The routes of the page views.
    routes: Vec<i64>,
    route_places: HashMap<i64, usize>,
}

/// A page view with its counters. Small, because a fold holds very many.
#[derive(Clone, Copy, Debug)]
struct Folded {
    /// Index into the routes.
    route: usize,
    weight_milli: u32,
    hour: i32,
    codes: [Code; Dimension::COUNT],
    /// Numbers of the values' places; [`NO_PLACE`] for a metric without a value.
    places: [u16; Metric::COUNT],
    is_taken: bool,
    in_hours: bool,
    in_site_hours: bool,
    in_days: bool,
}

/// Not a valid [`Place::number`].
const NO_PLACE: u16 = u16::MAX;

impl Fold {
    /// Adds the delta row of an hour.
    ///
    /// # Errors
    /// If the bytes are not a delta row.
    pub fn add_delta(
        &mut self,
        hour_ms: i64,
        bytes: &[u8],
        retained: &RetentionEdges,
    ) -> Result<(), EncodingError> {
        log::read(bytes, |counted| self.add(hour_ms, counted, retained))
    }

    /// Adds a page view that starts at `start_ms`.
    pub fn add(&mut self, start_ms: i64, counted: &Counted, retained: &RetentionEdges) {
        let route = *self.route_places.entry(counted.route_id).or_insert_with(|| {
            self.routes.push(counted.route_id);
            self.routes.len() - 1
        });
        self.views.push(Folded {
            route,
            weight_milli: counted.weight_milli,
            hour: Grain::Hour.step(start_ms),
            codes: counted.codes,
            places: counted.places.map(|place| place.map_or(NO_PLACE, Place::number)),
            is_taken: counted.by < 0,
            in_hours: start_ms >= retained.hours_from_ms,
            in_site_hours: start_ms >= retained.site_hours_from_ms,
            in_days: start_ms >= retained.days_from_ms,
        });
    }

    /// Returns the number of page views added.
    #[must_use]
    pub const fn views(&self) -> usize {
        self.views.len()
    }

    /// Folds the page views into rows, to be added to stored rows. Includes rows whose additions and removals cancel
    /// out.
    #[must_use]
    pub fn rows(self) -> BTreeMap<RowKey, Row> {
        let Self { views, routes, .. } = self;
        let in_order = by_route(&views, routes.len());
        drop(views);
        let (mut rows, mut counters) = (Vec::new(), Counters::default());
        // Counts all views again for the site: summing the rows of hundreds of routes takes longer.
        counters.add(None, &in_order, &mut rows);
        for views in in_order.chunk_by(|a, b| a.route == b.route) {
            counters.add(Some(routes[views[0].route]), views, &mut rows);
        }
        rows.into_iter().collect()
    }
}

/// Groups page views by route, because folding iterates over a route's page views eight times.
fn by_route(views: &[Folded], routes: usize) -> Vec<Folded> {
    let mut ends = vec![0_usize; routes];
    views.iter().for_each(|view| ends[view.route] += 1);
    let mut start = 0;
    for end in &mut ends {
        let count = std::mem::replace(end, start);
        start += count;
    }
    let mut order = vec![0_u32; views.len()];
    for (place, view) in (0..).zip(views) {
        let end = &mut ends[view.route];
        order[*end] = place;
        *end += 1;
    }
    order.into_iter().map(|place| views[place as usize]).collect()
}

/// The counters of one route, or of the whole site. A group counts the views of one value of a dimension in one hour or day.
#[derive(Debug, Default)]
struct Counters {
    groups: Vec<Group>,
    places: HashMap<GroupKey, usize>,
    /// The groups of each view, followed by [`NO_GROUP`].
    of_views: Vec<[u32; GROUPS_MAX]>,
    /// (place of a metric's value, index of the view, whether the view is removed), sorted.
    values: Vec<(u16, u32, bool)>,
}

/// Maximum groups of a view: one for its hour, and one per dimension for its day.
const GROUPS_MAX: usize = 1 + Dimension::COUNT;
/// Not a valid index of a group.
const NO_GROUP: u32 = u32::MAX;

type GroupKey = (Grain, Dimension, i32, Code);

#[derive(Debug)]
struct Group {
    key: GroupKey,
    views: Views,
    /// Places of a metric, ascending, with signed counts.
    places: Vec<(Place, i64)>,
}

impl Group {
    /// The row of the group.
    const fn row(&self) -> (Grain, Dimension, i32) {
        (self.key.0, self.key.1, self.key.2)
    }

    /// Returns the group's code and the histogram of the metric; `None` if no view has the metric.
    fn histogram(&self) -> Option<(Code, Histogram)> {
        let mut histogram = Histogram::with_capacity(self.places.len());
        for &(place, by) in &self.places {
            histogram.count(place, by);
        }
        (!self.places.is_empty()).then_some((self.key.3, histogram))
    }
}

impl Counters {
    fn add(&mut self, route_id: Option<i64>, views: &[Folded], rows: &mut Vec<(RowKey, Row)>) {
        self.group(route_id.is_none(), views);
        // Sorting makes the groups of a row adjacent.
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        order.sort_unstable_by_key(|&place| self.groups[place].key);
        for part in (0..).map_while(Part::from_number) {
            if let Part::Metric(metric) = part {
                self.count(metric, views);
            }
            for places in order.chunk_by(|&a, &b| self.groups[a].row() == self.groups[b].row()) {
                let groups = places.iter().map(|&place| &self.groups[place]);
                let row = match part {
                    Part::Views => Row::Views(groups.map(|group| (group.key.3, group.views)).collect()),
                    Part::Metric(_) => Row::Metric(groups.filter_map(Group::histogram).collect()),
                };
                let (grain, dimension, step) = self.groups[places[0]].row();
                if !matches!(&row, Row::Metric(values) if values.is_empty()) {
                    rows.push((RowKey { grain, slot: slot(dimension, part), step, route_id }, row));
                }
            }
        }
    }

    /// Assigns views to groups and counts the views of each group.
    fn group(&mut self, is_site: bool, views: &[Folded]) {
        self.groups.clear();
        self.places.clear();
        self.of_views.clear();
        for view in views {
            let day = Grain::Day.step(i64::from(view.hour) * HOUR_MS);
            let in_hours = if is_site { view.in_site_hours } else { view.in_hours };
            let hours = in_hours.then_some((Grain::Hour, Dimension::Device, view.hour));
            let days = Dimension::ALL
                .into_iter()
                .filter(|_| view.in_days)
                .map(|dimension| (Grain::Day, dimension, day));
            let mut of_view = [NO_GROUP; GROUPS_MAX];
            for ((grain, dimension, step), of_view) in hours.into_iter().chain(days).zip(&mut of_view) {
                let key = (grain, dimension, step, view.codes[dimension.index()]);
                let place = *self.places.entry(key).or_insert_with(|| {
                    self.groups.push(Group { key, views: Views::default(), places: Vec::new() });
                    self.groups.len() - 1
                });
                self.groups[place].views.add(view.weight_milli, by(view.is_taken));
                *of_view = place as u32;
            }
            self.of_views.push(of_view);
        }
    }

    /// Counts a metric's values in the groups. Sorts the values once for all dimensions, so every group receives its
    /// values in order.
    fn count(&mut self, metric: Metric, views: &[Folded]) {
        self.values.clear();
        self.groups.iter_mut().for_each(|group| group.places.clear());
        for (number, view) in (0_u32..).zip(views) {
            let place = view.places[metric.index()];
            if place != NO_PLACE {
                self.values.push((place, number, view.is_taken));
            }
        }
        self.values.sort_unstable();
        for &(place, number, is_taken) in &self.values {
            let Some(place) = Place::from_number(place) else { continue };
            for &group in self.of_views[number as usize].iter().take_while(|&&group| group != NO_GROUP) {
                let places = &mut self.groups[group as usize].places;
                match places.last_mut() {
                    Some((last, count)) if *last == place => *count += by(is_taken),
                    _ => places.push((place, by(is_taken))),
                }
            }
        }
    }
}

const fn by(is_taken: bool) -> i64 {
    if is_taken { -1 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollup::{DAY_MS, add_rows, differences, from_slot};
    use crate::weight::Weight;

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
            fold.add(DAY_MS + HOUR_MS, counted, &RetentionEdges::EVERYTHING);
        }
        assert_eq!(fold.views(), all.len());
        fold.rows()
    }

    #[test]
    fn rows_add_up_whatever_the_order() {
        let all = [counted(1, 1, 400), counted(1, 2, 404), counted(-1, 1, 400), counted(1, 1, 8)];
        let whole = rows(&all);
        // Hours by device, and days by every dimension, each with views and LCP, of the route and of the site.
        assert_eq!(whole.len(), 2 * 2 * (1 + Dimension::COUNT));
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
                route_id: Some(9),
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
    fn views_count_in_the_steps_that_are_kept_whatever_lies_between_them() {
        let retained = |hours_from_ms, days_from_ms| RetentionEdges {
            hours_from_ms,
            site_hours_from_ms: hours_from_ms,
            days_from_ms,
            ..RetentionEdges::EVERYTHING
        };
        let in_turn: Vec<(i64, Counted)> = (0..40)
            .map(|number| {
                let by = if number % 7 == 6 { -1 } else { 1 };
                let view = counted(by, (number % 3) as Code, 400 + 4 * (number % 5) as u16);
                let route_id = [9, -3, 4][(number % 3 + number / 9) as usize % 3];
                (DAY_MS * 3 + HOUR_MS * (number % 50), Counted { route_id, ..view })
            })
            .collect();
        for retained in [
            RetentionEdges::EVERYTHING,
            retained(DAY_MS * 3 + 20 * HOUR_MS, i64::MIN),
            retained(i64::MIN, DAY_MS * 4),
            retained(DAY_MS * 3 + 20 * HOUR_MS, DAY_MS * 4),
            retained(i64::MAX, i64::MAX),
            RetentionEdges { site_hours_from_ms: DAY_MS * 3 + 9 * HOUR_MS, ..retained(i64::MAX, i64::MIN) },
        ] {
            let mut together = Fold::default();
            let mut one_by_one = BTreeMap::new();
            let mut expected = BTreeMap::new();
            for (start_ms, counted) in &in_turn {
                together.add(*start_ms, counted, &retained);
                let mut alone = Fold::default();
                alone.add(*start_ms, counted, &retained);
                add_rows(&mut one_by_one, alone.rows());
                let days = (*start_ms >= retained.days_from_ms).then_some((Grain::Day, DAY_MS));
                for (route_id, hours_from_ms) in
                    [(None, retained.site_hours_from_ms), (Some(counted.route_id), retained.hours_from_ms)]
                {
                    let hours = (*start_ms >= hours_from_ms).then_some((Grain::Hour, HOUR_MS));
                    for (grain, step_ms) in hours.into_iter().chain(days) {
                        let key = (grain, (start_ms / step_ms) as i32, route_id);
                        *expected.entry(key).or_insert(0) += counted.by;
                    }
                }
            }
            let together = together.rows();
            assert_eq!(differences(&together, &one_by_one), [], "{retained:?}");
            let mut views = BTreeMap::new();
            for (key, row) in &together {
                if let (Row::Views(values), Some((Dimension::Device, _))) = (row, from_slot(key.slot)) {
                    let count: i64 = values.values().map(|views| views.count).sum();
                    views.insert((key.grain, key.step, key.route_id), count);
                }
            }
            assert_eq!(views, expected, "{retained:?}");
        }
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
        assert_eq!((found.len(), found[0].stored, found[0].expected), (2 * (1 + Dimension::COUNT), 1, 1));
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
}
