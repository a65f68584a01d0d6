//! Defines queries for cells by step of time, and their answers.

use crate::cell::{Cell, CellQuery};
use crate::filter::GroupBy;
use std::ops::Range;

/// A query for cells by step of time.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesQuery {
    /// The page views; its range is that of all steps.
    pub views: CellQuery,
    /// The bounds of the steps in UTC milliseconds, ascending: a step lasts from one bound to the next, end excluded.
    /// At most [`crate::limits::SERIES_STEPS_MAX`] steps are answered.
    pub bounds: Vec<i64>,
    /// The lines; one line of all page views when absent.
    pub lines: Option<Lines>,
}

/// The lines of a series: one per value of a property, and one for all other values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The property.
    pub by: GroupBy,
    /// The values with a line of their own, each once; `None` is the unknown value.
    pub values: Vec<Option<String>>,
}

/// The cells of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepCells {
    /// The counted period; see [`crate::PeriodRows::period`].
    pub period: Range<i64>,
    /// A cell per line: those of [`Lines::values`] in order, then that of all other values. Without lines, one cell of
    /// all page views.
    pub cells: Vec<Cell>,
}

impl SeriesQuery {
    /// Queries the page views of `views` in steps between `bounds`.
    #[must_use]
    pub fn new(views: CellQuery, bounds: Vec<i64>) -> Self {
        let (from_ms, to_ms) = match bounds.as_slice() {
            [first, .., last] => (*first, *last),
            _ => (views.from_ms, views.from_ms),
        };
        Self { views: CellQuery { from_ms, to_ms, ..views }, bounds, lines: None }
    }

    /// Returns the column of the lines.
    #[must_use]
    pub fn by(&self) -> Option<GroupBy> {
        self.lines.as_ref().map(|lines| lines.by)
    }

    /// Returns the query of each step.
    pub fn steps(&self) -> impl Iterator<Item = CellQuery> {
        self.bounds.windows(2).map(|bounds| CellQuery {
            from_ms: bounds[0],
            to_ms: bounds[1],
            ..self.views.clone()
        })
    }
}
