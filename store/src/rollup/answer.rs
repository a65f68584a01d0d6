//! Sums rows, deltas or page views into an answer.

use super::block::{Scope, read_block};
use super::log::{self, Counted};
use super::row::{Part, read_code, read_part, read_views, slot};
use crate::cell::{Cell, CellQuery, Views};
use crate::dimension::{Code, Dimension, DimensionValue, Labels};
use crate::filter::GroupBy;
use crate::hash::{HashMap, HashSet};
use crate::weight::Weight;
use std::sync::Arc;
use vitals::histogram::{EncodingError, Histogram, Place, Sum, read_varint};
use vitals::metric::{Metric, Metrics, Values};

/// The source of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Rollups of a dimension.
    Rollups(Dimension),
    /// Page views.
    Views,
}

impl From {
    /// Chooses the source for cells per route, or per value of `by`.
    ///
    /// Rollups hold one dimension at a time. Queries about two dimensions, about other columns, or about ranges to
    /// the millisecond read page views.
    #[must_use]
    pub fn question(query: &CellQuery, by: Option<GroupBy>) -> Self {
        if query.exact || !query.filters.context.is_empty() {
            return Self::Views;
        }
        let mut asked = query.filters.given().chain(by);
        let first = asked.next().unwrap_or(GroupBy::Rolled(Dimension::Device));
        match first {
            GroupBy::Rolled(dimension) if asked.all(|other| other == first) => Self::Rollups(dimension),
            _ => Self::Views,
        }
    }
}

/// The cells of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// A cell per route.
    Route,
    /// A cell per value, over all routes or the query's one.
    Value(GroupBy),
    /// One cell over all routes, or of the query's one.
    Total,
}

impl Per {
    /// Returns the column of the values.
    #[must_use]
    pub const fn by(self) -> Option<GroupBy> {
        match self {
            Self::Value(by) => Some(by),
            Self::Route | Self::Total => None,
        }
    }
}

/// A [`Selection`] whose routes have ids.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    /// The ids of the routes that the answer has; all without.
    routes: Option<HashSet<i64>>,
    /// Whether histograms have rating counters only.
    ratings: bool,
}

impl Selected {
    /// Everything.
    #[must_use]
    pub const fn all() -> Self {
        Self { routes: None, ratings: false }
    }

    /// The rating counters of all routes.
    #[must_use]
    pub const fn ratings() -> Self {
        Self { routes: None, ratings: true }
    }

    /// The whole cells of the routes with these ids.
    #[must_use]
    pub fn routes(ids: impl IntoIterator<Item = i64>) -> Self {
        Self { routes: Some(ids.into_iter().collect()), ratings: false }
    }

    fn has(&self, route_id: i64) -> bool {
        self.routes.as_ref().is_none_or(|routes| routes.contains(&route_id))
    }
}

/// Accumulates an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    metrics: Metrics,
    route_id: Option<i64>,
    selected: Selected,
    /// The dimension of the rows to read.
    dimension: Dimension,
    /// The filtered code of each dimension.
    asked: [Option<Code>; Dimension::COUNT],
    per: Per,
    /// The keys of values with a cell of their own; all other values share the cell of the key [`REST`].
    lines: Option<Arc<HashMap<Code, i64>>>,
    places: HashMap<i64, usize>,
    sums: Vec<(i64, Sums)>,
}

/// Sums page views and their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    views: Views,
    metrics: [Sum; Metric::COUNT],
}

impl Sums {
    /// Counts a page view `by` times, with its values of some metrics.
    pub(crate) fn add_view(&mut self, metrics: Metrics, weight: Weight, values: &Values, by: i64) {
        self.views.add(weight.milli(), by);
        for (metric, value) in values.iter().filter(|&(metric, _)| metrics.has(metric)) {
            self.metrics[metric.index()].add(Place::new(metric, value), by);
        }
    }

    /// Returns the cell.
    pub(crate) fn finish(&self) -> Cell {
        self.finish_by(Sum::finish)
    }

    fn finish_by(&self, histogram: impl Fn(&Sum) -> Histogram) -> Cell {
        let mut cell = Cell::default();
        cell.count(self.views);
        for (metric, sum) in Metric::ALL.into_iter().zip(&self.metrics) {
            cell.set_metric(metric, histogram(sum));
        }
        cell
    }
}

impl Answer {
    /// Starts an answer. `route_id` is that of the query's route, if any; `labels` must hold the labels of the
    /// filters.
    ///
    /// Returns `None` if the site lacks a label of the filters: then no page view matches.
    #[must_use]
    pub fn new(query: &CellQuery, per: Per, route_id: Option<i64>, labels: &Labels) -> Option<Self> {
        let mut asked = [None; Dimension::COUNT];
        for dimension in query.filters.dimensions() {
            asked[dimension.index()] = match query.filters.asked(dimension)? {
                DimensionValue::Code(code) => Some(code),
                DimensionValue::Label(label) => Some(labels.code(dimension, label)?),
            };
        }
        // For columns that are no dimension, each page view brings its own code.
        let dimension = per
            .by()
            .and_then(GroupBy::dimension)
            .or_else(|| query.filters.dimensions().next())
            .unwrap_or(Dimension::Device);
        Some(Self {
            metrics: query.metrics,
            route_id,
            selected: Selected::all(),
            dimension,
            asked,
            per,
            lines: None,
            places: HashMap::default(),
            sums: Vec::new(),
        })
    }

    /// Returns the slots to read, and their parts.
    pub fn slots(&self) -> impl Iterator<Item = (i16, Part)> + use<> {
        let dimension = self.dimension;
        let parts = self.metrics.iter().map(Part::Metric).chain([Part::Views]);
        parts.map(move |part| (slot(dimension, part), part))
    }

    /// Counts only the values of `lines` apart, under their keys. All other values share one cell.
    #[must_use]
    pub(super) fn with_lines(self, lines: Arc<HashMap<Code, i64>>) -> Self {
        Self { lines: Some(lines), ..self }
    }

    /// Has the selected cells only. Page views of other routes count nowhere.
    #[must_use]
    pub fn with_selected(self, selected: Selected) -> Self {
        Self { selected, ..self }
    }

    /// Returns the rows to read.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        match (self.route_id, self.per) {
            (Some(id), _) => Scope::Route(id),
            (None, Per::Route) => Scope::Routes,
            (None, Per::Value(_) | Per::Total) => Scope::Site,
        }
    }

    /// Returns the index of the sums of a route or of a value, or of the only ones.
    fn place(&mut self, route_id: i64, code: Code) -> usize {
        let key = match self.per {
            Per::Route => route_id,
            Per::Value(_) => match &self.lines {
                None => code.into(),
                Some(lines) => lines.get(&code).copied().unwrap_or(REST),
            },
            Per::Total => TOTAL,
        };
        *self.places.entry(key).or_insert_with(|| {
            self.sums.push((key, Sums::default()));
            self.sums.len() - 1
        })
    }

    fn sums(&mut self, route_id: i64, code: Code) -> &mut Sums {
        let place = self.place(route_id, code);
        &mut self.sums[place].1
    }

    /// Adds a stored block of a part and of the dimension.
    ///
    /// # Errors
    /// If the bytes are not a block.
    pub fn add_block(&mut self, part: Part, bytes: &[u8]) -> Result<(), EncodingError> {
        read_block(bytes, |route_id, bytes| match self.has(route_id) {
            true => self.add_row(route_id, part, bytes),
            false => Ok(()),
        })
    }

    /// Whether the answer counts page views of a route.
    fn has(&self, route_id: i64) -> bool {
        self.route_id.is_none_or(|asked| asked == route_id) && self.selected.has(route_id)
    }

    fn add_row(&mut self, route_id: i64, part: Part, mut bytes: &[u8]) -> Result<(), EncodingError> {
        let asked = self.asked[self.dimension.index()];
        // Unless the answer is per value, all values of the row go to one place.
        let mut place = None;
        for _ in 0..read_varint(&mut bytes)? {
            let code = read_code(&mut bytes)?;
            let is_asked = asked.is_none_or(|asked| asked == code);
            if is_asked && (matches!(self.per, Per::Value(_)) || place.is_none()) {
                place = Some(self.place(route_id, code));
            }
            let sums = place.filter(|_| is_asked).map(|place| &mut self.sums[place].1);
            match part {
                Part::Views => {
                    let views = read_views(&mut bytes)?;
                    if let Some(sums) = sums {
                        sums.views.merge(views);
                    }
                }
                Part::Metric(metric) => {
                    let mut histogram = read_part(&mut bytes)?;
                    if let Some(sums) = sums {
                        let sum = &mut sums.metrics[metric.index()];
                        if self.selected.ratings {
                            sum.add_encoded_ratings(histogram)?;
                        } else {
                            sum.add_encoded(&mut histogram)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds an unfolded delta row.
    ///
    /// # Errors
    /// If the bytes are not a delta row.
    pub fn add_delta(&mut self, bytes: &[u8]) -> Result<(), EncodingError> {
        log::read(bytes, |counted| self.add_counted(counted))
    }

    fn add_counted(&mut self, counted: &Counted) {
        let matches = self.has(counted.route_id)
            && self
                .asked
                .iter()
                .zip(counted.codes)
                .all(|(asked, code)| asked.is_none_or(|asked| asked == code));
        if !matches {
            return;
        }
        let (metrics, code) = (self.metrics, counted.codes[self.dimension.index()]);
        let sums = self.sums(counted.route_id, code);
        sums.views.add(counted.weight_milli, counted.by);
        for metric in metrics.iter() {
            if let Some(place) = counted.places[metric.index()] {
                sums.metrics[metric.index()].add(place, counted.by);
            }
        }
    }

    /// Counts a page view that matches the question `by` times, with the code of its value.
    pub fn add_view(&mut self, route_id: i64, code: Code, weight: Weight, values: &Values, by: i64) {
        if self.selected.has(route_id) {
            let metrics = self.metrics;
            self.sums(route_id, code).add_view(metrics, weight, values, by);
        }
    }

    /// Returns the cells that are not empty, by route id or by code; the total by 0.
    #[must_use]
    pub fn finish(self) -> HashMap<i64, Cell> {
        let histogram = if self.selected.ratings { Sum::finish_ratings } else { Sum::finish };
        let cells = self.sums.into_iter().map(|(key, sums)| (key, sums.finish_by(histogram)));
        cells.filter(|(_, cell)| !cell.is_empty()).collect()
    }

    /// Returns the cell of [`Per::Total`].
    #[must_use]
    pub fn total(self) -> Cell {
        self.finish().remove(&TOTAL).unwrap_or_default()
    }
}

/// The key of the only cell of [`Per::Total`].
const TOTAL: i64 = 0;
/// The key of the cell of all values that have none of their own.
pub(super) const REST: i64 = -1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::property::{ContextFilter, ContextProperty};
    use crate::{Filters, SiteId};
    use vitals::view::{Device, Os};

    #[test]
    fn one_dimension_is_answered_from_rollups_and_two_from_page_views() {
        let mut query = CellQuery::new(SiteId(1), 0, 1);
        assert_eq!(From::question(&query, None), From::Rollups(Dimension::Device));
        query.filters.country = Some("DE".to_owned());
        assert_eq!(From::question(&query, None), From::Rollups(Dimension::Country));
        let by = |dimension| Some(GroupBy::Rolled(dimension));
        assert_eq!(From::question(&query, by(Dimension::Country)), From::Rollups(Dimension::Country));
        assert_eq!(From::question(&query, by(Dimension::Browser)), From::Views);
        query.filters.device = Some(Device::Phone);
        assert_eq!(From::question(&query, None), From::Views);
        query.filters = Filters { os: Some(Os::Linux), ..Filters::NONE };
        assert_eq!(From::question(&query, None), From::Views);
        assert_eq!(From::question(&query, Some(GroupBy::Os)), From::Views);
        query.filters = Filters::NONE;
        assert_eq!(From::question(&query, Some(GroupBy::Os)), From::Views);
        let small = ContextFilter { property: ContextProperty::Viewport, value: "small".to_owned() };
        query.filters.context = vec![small];
        assert_eq!(From::question(&query, None), From::Views);
        query.filters = Filters::NONE;
        query.exact = true;
        assert_eq!(From::question(&query, None), From::Views);
    }

    #[test]
    fn a_label_that_nobody_has_matches_nothing() {
        let mut query = CellQuery::new(SiteId(1), 0, 1);
        query.filters.country = Some("DE".to_owned());
        assert!(Answer::new(&query, Per::Route, None, &Labels::default()).is_none());
    }
}
