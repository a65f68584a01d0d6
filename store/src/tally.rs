//! Defines exact counts and values of page views, for the gate.

use crate::filter::Filters;
use crate::site::SiteId;
use std::collections::BTreeMap;
use vitals::gate::{BLOCK_MS, Block};
use vitals::metric::{Metric, Value};

/// A query for the page views within a value.
#[derive(Clone, Debug, PartialEq)]
pub struct TallyQuery {
    /// The site.
    pub site: SiteId,
    /// First start of a page view, UTC milliseconds.
    pub from_ms: i64,
    /// End of the range, excluded.
    pub to_ms: i64,
    /// Selects these routes only; an empty list selects none.
    pub routes: Vec<String>,
    /// Selects page views by their properties; those of the context are not supported, and must be empty.
    pub filters: Filters,
    /// The metric.
    pub metric: Metric,
    /// The value.
    pub at_most: Value,
}

/// An exact answer, from page views.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Page views with the metric.
    pub n: u64,
    /// Page views with the metric at or under the value.
    pub within: u64,
    /// The same counts by half hours, ascending, without empty ones; empty with more than
    /// [`crate::limits::SORT_VIEWS_MAX`] page views.
    pub blocks: Vec<Block>,
    /// All values, ascending; empty with more than [`crate::limits::SORT_VIEWS_MAX`] page views.
    pub values: Vec<Value>,
}

/// Builds a tally from page views in any order.
#[derive(Debug)]
pub struct TallyBuilder {
    metric: Metric,
    at_most: Value,
    blocks: BTreeMap<i64, Block>,
    values: Vec<Value>,
}

impl TallyBuilder {
    /// Starts the answer of a query.
    #[must_use]
    pub const fn new(query: &TallyQuery) -> Self {
        Self { metric: query.metric, at_most: query.at_most, blocks: BTreeMap::new(), values: Vec::new() }
    }

    /// Adds a page view, by its start in UTC milliseconds and its value in millionths.
    pub fn add(&mut self, start_ms: i64, micros: u32) {
        let Some(value) = Value::from_micros(self.metric, micros) else { return };
        let number = start_ms.div_euclid(BLOCK_MS);
        let block = self.blocks.entry(number).or_insert(Block { number, n: 0, within: 0 });
        block.n += 1;
        block.within += u64::from(value <= self.at_most);
        self.values.push(value);
    }

    /// Returns the answer.
    #[must_use]
    pub fn finish(mut self) -> Tally {
        self.values.sort_unstable();
        Tally {
            n: self.values.len() as u64,
            within: self.values.partition_point(|&value| value <= self.at_most) as u64,
            blocks: self.blocks.into_values().collect(),
            values: self.values,
        }
    }
}
