//! The rows of the whole site: which days have them, and how days without them get them.
//!
//! Folding writes the rows of the site beside those of its routes. A store from before these rows has days without
//! them. Maintenance sums the rows of routes for such days, the latest day first; counts add, so the sum is exact.
//! Until then, questions read the rows of routes.

use super::block::{BlockKey, Scope};
use super::row::{Grain, Part, Row, RowKey, from_slot, slot, steps_of_day};
use super::{Answer, DAY_MS, Per, Read};
use crate::cell::CellQuery;
use crate::dimension::{Code, Dimension, Labels, NO_VALUE};
use crate::filter::GroupBy;
use crate::retention_edges::RetentionEdges;
use crate::site::SiteId;
use std::collections::BTreeMap;
use std::ops::Range;
use vitals::histogram::EncodingError;

/// The days that a site's rollups cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The first day of each kind of row.
    pub retained: RetentionEdges,
    /// The first day (its start, UTC milliseconds) from which rows of the whole site exist; earlier days have only
    /// the rows of routes.
    pub site_from_ms: i64,
}

impl Coverage {
    /// The coverage of a site that has rows of the whole site for every day.
    #[must_use]
    pub const fn of(retained: RetentionEdges) -> Self {
        Self { retained, site_from_ms: i64::MIN }
    }

    /// The coverage of a site that lacks rows of the whole site before a day (days since 1970-01-01 UTC).
    #[must_use]
    pub fn lacking(retained: RetentionEdges, before_day: i32) -> Self {
        Self { retained, site_from_ms: i64::from(before_day).saturating_mul(DAY_MS) }
    }

    /// The edges of retention for questions about the whole site, or about routes: hours are those that the asked rows
    /// have.
    #[must_use]
    pub fn edges(&self, is_site: bool) -> RetentionEdges {
        if !is_site {
            return self.retained;
        }
        // Days without rows of the site have the hours of their routes.
        let lacking_ms = self.site_from_ms.min(self.retained.hours_from_ms);
        RetentionEdges { hours_from_ms: self.retained.site_hours_from_ms.max(lacking_ms), ..self.retained }
    }

    /// Whether the rows with this key count every page view.
    #[must_use]
    pub fn covers(&self, key: &RowKey) -> bool {
        let start_ms = i64::from(key.step).saturating_mul(key.grain.step_ms());
        match key.route_id {
            Some(_) => key.grain == Grain::Day || start_ms >= self.retained.hours_from_ms,
            None => start_ms >= self.site_from_ms,
        }
    }
}

/// Sums the rows of routes into the rows of the site, for one dimension of a UTC day.
#[derive(Debug)]
pub struct SiteRows {
    dimension: Dimension,
    answers: BTreeMap<(Grain, i32), Answer>,
}

impl SiteRows {
    /// Starts the rows of a day. Hours and days past retention get none.
    #[must_use]
    pub fn new(dimension: Dimension, day_ms: i64, retained: &RetentionEdges) -> Self {
        let (query, per) = (CellQuery::new(SiteId(0), 0, 0), Per::Value(GroupBy::Rolled(dimension)));
        let mut answers = BTreeMap::new();
        for (grain, steps) in steps(dimension, day_ms, retained) {
            for step in steps {
                // There is an answer, because the query has no filter.
                let answer = Answer::new(&query, per, None, &Labels::default());
                answers.extend(answer.map(|answer| ((grain, step), answer)));
            }
        }
        Self { dimension, answers }
    }

    /// Returns the rows of routes to read.
    #[must_use]
    pub fn reads(&self) -> Vec<Read> {
        let steps = |grain| {
            let mut steps = self.answers.keys().filter(move |key| key.0 == grain).map(|key| key.1);
            let first = steps.next()?;
            Some(first..steps.next_back().unwrap_or(first).saturating_add(1))
        };
        let read = |grain| Some(Read { grain, steps: steps(grain)?, scope: Scope::Routes });
        [Grain::Hour, Grain::Day].into_iter().filter_map(read).collect()
    }

    /// Returns the slots to read.
    pub fn slots(&self) -> impl Iterator<Item = i16> + use<> {
        let dimension = self.dimension;
        (0..).map_while(Part::from_number).map(move |part| slot(dimension, part))
    }

    /// Adds a stored block of routes.
    ///
    /// # Errors
    /// If the bytes are not a block of this slot.
    pub fn add_block(&mut self, key: BlockKey, bytes: &[u8]) -> Result<(), EncodingError> {
        let (_, part) = from_slot(key.slot).ok_or(EncodingError)?;
        match self.answers.get_mut(&(key.grain, key.step)) {
            Some(answer) => answer.add_block(part, bytes),
            None => Ok(()),
        }
    }

    /// Returns the rows, to replace stored rows. Includes empty rows, which remove what is stored.
    #[must_use]
    pub fn finish(self) -> BTreeMap<RowKey, Row> {
        let mut rows = BTreeMap::new();
        for ((grain, step), answer) in self.answers {
            let cells = answer.finish();
            for part in (0..).map_while(Part::from_number) {
                let mut row = Row::empty(part);
                for (&code, cell) in &cells {
                    row.add_cell(part, Code::try_from(code).unwrap_or(NO_VALUE), cell);
                }
                rows.insert(RowKey { grain, slot: slot(self.dimension, part), step, route_id: None }, row);
            }
        }
        rows
    }
}

/// Returns the rows of a dimension that a UTC day has within retention.
fn steps(
    dimension: Dimension,
    day_ms: i64,
    retained: &RetentionEdges,
) -> impl Iterator<Item = (Grain, Range<i32>)> {
    let has_hours = dimension == Dimension::Device && day_ms >= retained.hours_from_ms;
    let has_days = day_ms >= retained.days_from_ms;
    [(Grain::Hour, has_hours), (Grain::Day, has_days)]
        .into_iter()
        .filter(|&(_, has)| has)
        .map(move |(grain, _)| (grain, steps_of_day(grain, day_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollup::{Counted, Fold, HOUR_MS, Stored, blocks, differences};
    use crate::weight::Weight;
    use vitals::histogram::Place;
    use vitals::metric::Metric;

    /// Twelve page views of two days and three routes, one of them removed.
    fn folded(retained: &RetentionEdges) -> BTreeMap<RowKey, Row> {
        let mut fold = Fold::default();
        for number in 0..12_u16 {
            let mut places = [None; Metric::COUNT];
            places[usize::from(number % 3)] = Place::from_number(400 + 4 * (number % 5));
            let counted = Counted {
                by: if number == 7 { -1 } else { 1 },
                weight_milli: Weight::ONE.milli(),
                route_id: i64::from(number % 3) - 1,
                codes: [number % 2; Dimension::COUNT],
                places,
            };
            fold.add(DAY_MS + i64::from(number) * 3 * HOUR_MS, &counted, retained);
        }
        fold.rows()
    }

    #[test]
    fn sums_of_routes_are_the_rows_of_the_site() {
        for retained in [
            RetentionEdges::EVERYTHING,
            RetentionEdges {
                hours_from_ms: 2 * DAY_MS,
                site_hours_from_ms: 2 * DAY_MS,
                ..RetentionEdges::EVERYTHING
            },
        ] {
            let (expected, routes): (BTreeMap<_, _>, BTreeMap<_, _>) =
                folded(&retained).into_iter().partition(|(key, _)| key.route_id.is_none());
            let mut found = BTreeMap::new();
            for (day, dimension) in [1, 2].into_iter().flat_map(|day| Dimension::ALL.map(|one| (day, one))) {
                let mut site = SiteRows::new(dimension, day * DAY_MS, &retained);
                for block in blocks(routes.clone()) {
                    let key = block.key;
                    if from_slot(key.slot).unwrap().0 == dimension {
                        site.add_block(key, &block.encode(&[], Stored::Kept).unwrap().unwrap()).unwrap();
                    }
                }
                found.extend(site.finish());
            }
            assert_eq!(differences(&found, &expected), []);
            assert!(found.values().any(|row| row.encode().is_none()), "empty rows remove what is stored");
        }
    }

    #[test]
    fn the_rows_that_a_site_lacks_are_not_covered() {
        let key = |grain, step, route_id| RowKey { grain, slot: 0, step, route_id };
        let coverage = Coverage::lacking(RetentionEdges::EVERYTHING, 2);
        for (grain, step, covers) in
            [(Grain::Day, 1, false), (Grain::Day, 2, true), (Grain::Hour, 47, false), (Grain::Hour, 48, true)]
        {
            assert_eq!(coverage.covers(&key(grain, step, None)), covers, "{grain:?} {step}");
            assert!(coverage.covers(&key(grain, step, Some(0))));
            assert!(Coverage::of(RetentionEdges::EVERYTHING).covers(&key(grain, step, None)));
        }
    }

    #[test]
    fn hours_of_the_site_are_those_of_routes_where_it_lacks_rows() {
        let retained = RetentionEdges {
            hours_from_ms: 9 * DAY_MS,
            site_hours_from_ms: 5 * DAY_MS,
            ..RetentionEdges::EVERYTHING
        };
        for (site_from_day, hours_from_day) in [(0, 5), (5, 5), (7, 7), (9, 9), (12, 9)] {
            let coverage = Coverage::lacking(retained, site_from_day);
            assert_eq!(coverage.edges(true).hours_from_ms, hours_from_day * DAY_MS, "{site_from_day}");
            assert_eq!(coverage.edges(false), retained);
        }
        assert_eq!(Coverage::of(retained).edges(true).hours_from_ms, 5 * DAY_MS);
        let key = |grain, step, route_id| RowKey { grain, slot: 0, step, route_id };
        let coverage = Coverage::of(retained);
        assert!(
            coverage.covers(&key(Grain::Hour, 8 * 24, None)) && coverage.covers(&key(Grain::Day, 8, Some(0)))
        );
        assert!(!coverage.covers(&key(Grain::Hour, 8 * 24, Some(0))), "maintenance has not removed it yet");
    }
}
