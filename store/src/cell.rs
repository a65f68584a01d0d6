//! Defines rollup cells, and the queries that they answer.

use crate::filter::Filters;
use crate::site::SiteId;
use crate::view::ViewUpdate;
use crate::weight::Weight;
use std::collections::BTreeSet;
use std::ops::Range;
use vitals::histogram::Histogram;
use vitals::metric::{Metric, Metrics, Values};

/// The number of page views, and the sum of their weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Views {
    /// Page views received.
    pub count: i64,
    /// The sum of their weights, in thousandths.
    pub weight_milli: i64,
}

impl Views {
    /// Adds a page view (`by` 1) or removes it (`by` -1).
    pub const fn add(&mut self, weight_milli: u32, by: i64) {
        self.count = self.count.saturating_add(by);
        self.weight_milli = self.weight_milli.saturating_add(by.saturating_mul(weight_milli as i64));
    }

    /// Adds other page views.
    pub const fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.weight_milli = self.weight_milli.saturating_add(other.weight_milli);
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0 && self.weight_milli == 0
    }
}

/// The measurements of a group of page views: their number and a histogram per metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Page views received; all statistics are computed from them.
    pub views: i64,
    /// The sum of their weights, in thousandths: an estimate of the page views before sampling ([`crate::estimate`]).
    pub weight_milli: i64,
    metrics: [Histogram; Metric::COUNT],
}

impl Cell {
    /// Adds a page view with its values (`by` 1) or removes it (`by` -1).
    pub fn add(&mut self, values: &Values, weight: Weight, by: i64) {
        self.count(Views { count: by, weight_milli: by.saturating_mul(weight.milli().into()) });
        for (metric, value) in values.iter() {
            self.metrics[metric.index()].add(metric, value, by);
        }
    }

    /// Counts page views without their values.
    pub const fn count(&mut self, views: Views) {
        self.views = self.views.saturating_add(views.count);
        self.weight_milli = self.weight_milli.saturating_add(views.weight_milli);
    }

    /// The page views.
    #[must_use]
    pub const fn views(&self) -> Views {
        Views { count: self.views, weight_milli: self.weight_milli }
    }

    /// Adds all counts of another cell.
    pub fn merge(&mut self, other: &Self) {
        self.count(other.views());
        for (mine, theirs) in self.metrics.iter_mut().zip(&other.metrics) {
            mine.merge(theirs);
        }
    }

    /// The histogram of a metric.
    #[must_use]
    pub fn metric(&self, metric: Metric) -> &Histogram {
        &self.metrics[metric.index()]
    }

    /// Sets the histogram of a metric, to assemble a cell from its stored parts.
    pub fn set_metric(&mut self, metric: Metric, histogram: Histogram) {
        self.metrics[metric.index()] = histogram;
    }

    /// Returns the cell with the queried metrics only.
    #[must_use]
    pub fn only(mut self, metrics: Metrics) -> Self {
        for metric in Metric::ALL {
            if !metrics.has(metric) {
                self.set_metric(metric, Histogram::default());
            }
        }
        self
    }

    /// Whether nothing is counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.views().is_empty() && self.metrics.iter().all(Histogram::is_empty)
    }
}

/// A query for cells.
#[derive(Clone, Debug, PartialEq)]
pub struct CellQuery {
    /// The site.
    pub site: SiteId,
    /// First start of a page view, UTC milliseconds.
    pub from_ms: i64,
    /// End of the range, excluded.
    pub to_ms: i64,
    /// Selects this route only.
    pub route: Option<String>,
    /// Selects page views that match these filters.
    pub filters: Filters,
    /// The metrics to read; others are skipped. Page views are always counted.
    pub metrics: Metrics,
    /// Whether the range applies to the millisecond. This needs page views, and is limited by their retention.
    pub exact: bool,
}

impl CellQuery {
    /// Queries all data of a site in a range.
    #[must_use]
    pub const fn new(site: SiteId, from_ms: i64, to_ms: i64) -> Self {
        Self {
            site,
            from_ms,
            to_ms,
            route: None,
            filters: Filters::NONE,
            metrics: Metrics::ALL,
            exact: false,
        }
    }

    /// Whether the query selects a page view of the site.
    #[must_use]
    pub fn takes(&self, view: &ViewUpdate) -> bool {
        (self.from_ms..self.to_ms).contains(&view.id.start_ms())
            && self.route.as_ref().is_none_or(|route| *route == view.route)
            && self.filters.take(view)
    }
}

/// The cells of routes that an answer has, and what they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// The whole cells of all routes.
    #[default]
    All,
    /// The page views and rating counts of all routes. Their histograms have no buckets, so they tell no percentile; they
    /// are read many times as fast.
    Ratings,
    /// The whole cells of these routes.
    Routes(BTreeSet<String>),
}

/// A route's cell over a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteCell {
    /// The route.
    pub route: String,
    /// The measurements.
    pub cell: Cell,
}

/// The cell of a site or a route over a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The counted period; see [`PeriodRows::period`].
    pub period: Range<i64>,
    /// The measurements; empty without page views.
    pub cell: Cell,
}

/// The cell of one value of a breakdown, over a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueCell {
    /// The value; `None` for page views without a known value.
    pub value: Option<String>,
    /// The measurements.
    pub cell: Cell,
}

/// Rows of an answer, and the period that they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodRows<T> {
    /// Starts of page views, UTC milliseconds, end excluded. The period is that of the query, rounded outwards to
    /// whole hours. It is shorter if a part of it is past retention, and longer if only whole days are kept of its
    /// first or last day.
    pub period: Range<i64>,
    /// The rows.
    pub rows: Vec<T>,
}
