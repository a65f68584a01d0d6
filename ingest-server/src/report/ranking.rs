//! Ranks routes, and cuts a page out of the ranking.
//!
//! The default order is the impact (see the module `impact`). Routes with few page views are hidden where values order
//! the list, so that chance does not lead it.

use crate::report::cursor::Cursor;
use crate::report::impact::Impact;
use crate::report::section::{Row, section, sections};
use fieldvitals_store::{Cell, RouteCell};
use serde::Deserialize;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use utoipa::ToSchema;
use vitals::budget::{self, MIN_SAMPLES_DEFAULT};
use vitals::metric::{Metric, Metrics, Rating};

/// Default minimum of page views of a ranked route: the minimum of budgets.
const MIN_N_DEFAULT: i64 = MIN_SAMPLES_DEFAULT as i64;

/// Sort key of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Page views that are not good.
    Impact,
    /// Page views.
    Views,
    /// The 75th percentile of the chosen metric.
    P75,
    /// The share of poor page views of the chosen metric.
    Poor,
    /// The route's name.
    Route,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Impact, Self::Views, Self::P75, Self::Poor, Self::Route];

    /// Returns the name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Impact => "impact",
            Self::Views => "views",
            Self::P75 => "p75",
            Self::Poor => "poor",
            Self::Route => "route",
        }
    }

    /// Whether values of a metric order the ranking.
    const fn is_by_value(self) -> bool {
        matches!(self, Self::Impact | Self::P75 | Self::Poor)
    }
}

/// Sort order of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Smallest first.
    Asc,
    /// Largest first.
    Desc,
}

impl Order {
    /// Returns the name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }
}

/// A ranking of routes, and the start of a page of it.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// The metric of `impact`, `p75` and `poor`; `None` for the Core Web Vital with the largest impact, or LCP.
    pub metric: Option<Metric>,
    /// Sort key.
    pub sort: Sort,
    /// Sort order.
    pub order: Order,
    /// Rows per page.
    pub limit: usize,
    /// Page views below which a route is hidden; `None` for the default.
    pub min_n: Option<i64>,
    /// A part of the route's name, in any case.
    pub search: Option<String>,
    /// A pattern of the route's name, as in budgets.
    pub pattern: Option<String>,
    /// Whether the rows are sections.
    pub by_section: bool,
    /// A hash of the question, for cursors.
    pub question: u32,
    /// The last row of the previous page.
    pub after: Option<Cursor>,
}

/// A page of a ranking.
#[derive(Clone, Debug)]
#[must_use]
pub struct RankedPage {
    /// The rows.
    pub rows: Vec<Row>,
    /// The cursor of the next page, if there is one.
    pub next: Option<Cursor>,
    /// The minimum of page views that was applied.
    pub min_n: i64,
    /// Number of rows of all pages.
    pub found: usize,
    /// Number of rows hidden by `min_n`.
    pub hidden: usize,
}

impl RankedPage {
    /// Gives the rows other measurements. Rows without any are removed, as their routes are gone.
    pub fn with_rows(self, measured: Vec<Row>) -> Self {
        let mut measured: HashMap<String, Row> =
            measured.into_iter().map(|row| (row.route.route.clone(), row)).collect();
        let rows = self.rows.iter().filter_map(|row| measured.remove(&row.route.route));
        Self { rows: rows.collect(), ..self }
    }
}

impl Ranking {
    /// The metrics that order the rows: they must be read for every route.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let candidates = self.candidates().iter().copied();
        match self.sort {
            Sort::Impact => candidates.collect(),
            Sort::P75 | Sort::Poor => candidates.take(1).collect(),
            Sort::Views | Sort::Route => Metrics::NONE,
        }
    }

    /// The metrics among which the impact is chosen; the first orders the other sorts.
    #[must_use]
    pub fn candidates(&self) -> &[Metric] {
        self.metric.as_ref().map_or(&Metric::CORE[..], std::slice::from_ref)
    }

    /// The metric that orders the rows, if it is the same one for all.
    #[must_use]
    pub fn metric_of_order(&self) -> Option<Metric> {
        match self.sort {
            Sort::P75 | Sort::Poor => self.candidates().first().copied(),
            Sort::Impact | Sort::Views | Sort::Route => self.metric,
        }
    }

    /// Whether a route is asked for, by its name.
    #[must_use]
    pub fn takes(&self, route: &str) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| budget::matches(pattern, route))
            && self.search.as_ref().is_none_or(|part| route.to_lowercase().contains(&part.to_lowercase()))
    }

    /// Whether page views and rating counts order the rows. Then percentiles are needed of a page's rows only.
    #[must_use]
    pub const fn is_by_counts(&self) -> bool {
        !matches!(self.sort, Sort::P75)
    }

    /// Returns the routes of a page's rows; `all` are the routes of the ranking.
    #[must_use]
    pub fn routes_of(&self, page: &RankedPage, all: Vec<String>) -> BTreeSet<String> {
        let shown: BTreeSet<&str> = page.rows.iter().map(|row| row.route.route.as_str()).collect();
        let is_shown = |route: &String| {
            let name = if self.by_section { section(route) } else { route.clone() };
            shown.contains(name.as_str()) && self.takes(route)
        };
        all.into_iter().filter(is_shown).collect()
    }

    /// Returns the rows of the ranking, in no order: routes or sections.
    #[must_use]
    pub fn rows(&self, cells: Vec<RouteCell>) -> Vec<Row> {
        let taken = cells.into_iter().filter(|row| row.cell.views > 0 && self.takes(&row.route));
        if self.by_section { sections(taken) } else { taken.map(Row::from).collect() }
    }

    /// Returns one page of the ranking.
    pub fn page(&self, cells: Vec<RouteCell>) -> RankedPage {
        let mut rows = self.rows(cells);
        let (all, min_n) = (rows.len(), self.min_n_of(&rows));
        rows.retain(|row| row.route.cell.views >= min_n);
        let found = rows.len();
        let mut rows: Vec<(Cursor, Row)> =
            rows.into_iter().map(|row| (self.place(&row.route, min_n), row)).collect();
        rows.sort_by(|(a, _), (b, _)| self.compare(a, b));
        let start = match &self.after {
            Some(after) => rows.partition_point(|(place, _)| self.compare(place, after) != Ordering::Greater),
            None => 0,
        };
        let mut page = rows.split_off(start);
        let more = page.len() > self.limit;
        page.truncate(self.limit);
        let next = page.last().filter(|_| more).map(|(place, _)| place.clone());
        let hidden = all.saturating_sub(found);
        RankedPage { rows: page.into_iter().map(|(_, row)| row).collect(), next, min_n, found, hidden }
    }

    /// The minimum of page views. The default hides nothing if it would hide everything, as on a new site.
    fn min_n_of(&self, rows: &[Row]) -> i64 {
        let has_many = |row: &Row| row.route.cell.views >= MIN_N_DEFAULT;
        match self.min_n {
            Some(min_n) => min_n,
            None if self.sort.is_by_value() && rows.iter().any(has_many) => MIN_N_DEFAULT,
            None => 1,
        }
    }

    fn place(&self, row: &RouteCell, min_n: i64) -> Cursor {
        let value = self.value(&row.cell, min_n);
        Cursor { question: self.question, value, views: row.cell.views, route: row.route.clone() }
    }

    /// The value that orders a row; `None` if the metric has fewer values than `min_n`.
    fn value(&self, cell: &Cell, min_n: i64) -> Option<f64> {
        let measured = || {
            let metric = self.candidates().first().copied()?;
            let histogram = cell.metric(metric);
            (histogram.n() >= min_n.max(1)).then_some((metric, histogram))
        };
        match self.sort {
            Sort::Impact => Impact::of(cell, self.candidates(), min_n).map(|impact| impact.views),
            Sort::Views => Some(cell.views as f64),
            Sort::P75 => measured().and_then(|(metric, histogram)| histogram.percentile(metric, 75)),
            Sort::Poor => {
                measured().map(|(_, histogram)| histogram.rated(Rating::Poor) as f64 / histogram.n() as f64)
            }
            Sort::Route => None,
        }
    }

    /// Sorts rows without a value last in either order, and equal values by page views and name.
    fn compare(&self, a: &Cursor, b: &Cursor) -> Ordering {
        let directed = |ordering: Ordering| match self.order {
            Order::Asc => ordering,
            Order::Desc => ordering.reverse(),
        };
        match (a.value, b.value) {
            (Some(a), Some(b)) => directed(a.total_cmp(&b)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) if self.sort == Sort::Route => directed(a.route.cmp(&b.route)),
            (None, None) => Ordering::Equal,
        }
        .then_with(|| b.views.cmp(&a.views))
        .then_with(|| a.route.cmp(&b.route))
    }
}

#[cfg(test)]
mod tests;
