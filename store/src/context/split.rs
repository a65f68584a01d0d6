//! Groups page views by the values of a context's property.

use super::property::ContextProperty;
use super::texts::TextNames;
use crate::cell::{PeriodRows, ValueCell};
use crate::dimension::OTHER;
use crate::limits;
use crate::rollup::Sums;
use crate::scan::{Gather, Scanned, Seen};
use std::cmp::Reverse;
use std::collections::HashMap;
use vitals::metric::Metrics;

/// Accumulates an answer.
#[derive(Debug)]
pub(crate) struct Splitting<'a> {
    property: &'a ContextProperty,
    metrics: Metrics,
    sums: HashMap<Option<String>, Sums>,
}

impl<'a> Splitting<'a> {
    pub(crate) fn new(property: &'a ContextProperty, metrics: Metrics) -> Self {
        Self { property, metrics, sums: HashMap::new() }
    }

    /// Returns the cells of a scan: those with most page views first, equal ones sorted by value, the unknown value
    /// last.
    pub(crate) fn finish(self, scanned: Scanned) -> PeriodRows<ValueCell> {
        let cells = self.sums.into_iter().map(|(value, sums)| ValueCell { value, cell: sums.finish() });
        let mut rows: Vec<ValueCell> = cells.collect();
        rows.sort_unstable_by(|one, other| {
            let key = |row: &ValueCell| (Reverse(row.cell.views), row.value.is_none());
            key(one).cmp(&key(other)).then_with(|| one.value.cmp(&other.value))
        });
        PeriodRows { period: scanned.period, rows }
    }
}

impl Gather for Splitting<'_> {
    fn begin(&mut self, _: &TextNames) {}

    fn add(&mut self, seen: &Seen, names: &TextNames) {
        let value = self.property.value(&seen.context, |&code| names.text(seen.day, code));
        let mut value = value.map(str::to_owned);
        if !self.sums.contains_key(&value) && self.sums.len() >= limits::CONTEXT_VALUES_MAX {
            value = Some(OTHER.to_owned());
        }
        self.sums.entry(value).or_default().add_view(self.metrics, seen.weight, &seen.values, 1);
    }
}
