//! Finds page views near a percentile of a metric, or the slowest ones.

use super::texts::TextNames;
use crate::cell::{CellQuery, Views};
use crate::scan::{Gather, Sample, Scanned, Seen};
use crate::view::StoredView;
use std::ops::Range;
use vitals::histogram::rank;
use vitals::metric::{Metric, Value};
use vitals::view::ViewId;

/// The page views to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// Those whose values are next to this percentile: half of them below it.
    Percentile(u8),
    /// The slowest ones up to the percentile [`WORST_PERCENT`].
    Worst,
}

/// The percentile of the slowest page views to show. Larger values are mostly not of the page: a suspended device, a
/// stopped debugger, a broken clock.
pub const WORST_PERCENT: u8 = 99;

/// A query for page views by their values of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleQuery {
    /// Selects the page views, to the millisecond; its metrics are ignored.
    pub views: CellQuery,
    /// The metric.
    pub metric: Metric,
    /// The page views to show.
    pub around: Around,
    /// Maximum number of page views in the answer.
    pub limit: usize,
    /// The page views after which a sample is read.
    pub views_max: u64,
}

/// Page views by their values of a metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// The counted period: that of the query, limited to the retention of page views.
    pub period: Range<i64>,
    /// Set if only a sample of the page views was read; all numbers are of the sample.
    pub sample: Option<Sample>,
    /// The selected page views.
    pub views: Views,
    /// Page views with a value of the metric.
    pub measured: i64,
    /// The exact percentile of [`SampleQuery::around`]; `None` without values.
    pub percentile: Option<Value>,
    /// The page views, the slowest first.
    pub found: Vec<StoredView>,
}

/// Accumulates an answer.
#[derive(Debug)]
pub(crate) struct Sorting<'a> {
    query: &'a SampleQuery,
    values: Vec<(Value, ViewId)>,
    views: Views,
}

impl<'a> Sorting<'a> {
    pub(crate) const fn new(query: &'a SampleQuery) -> Self {
        Self { query, values: Vec::new(), views: Views { count: 0, weight_milli: 0 } }
    }

    /// Returns the answer about the page views of a scan, and the ids of the page views to show, the slowest first.
    pub(crate) fn finish(mut self, scanned: Scanned) -> (Samples, Vec<ViewId>) {
        let n = self.values.len();
        // Views with equal values are in the order of their ids, so that an answer can be repeated.
        self.values.sort_unstable();
        let percent = match self.query.around {
            Around::Percentile(percent) => percent,
            Around::Worst => WORST_PERCENT,
        };
        let at = usize::try_from(rank(n as i64, percent)).unwrap_or(usize::MAX).min(n);
        let above = match self.query.around {
            Around::Percentile(_) => self.query.limit / 2,
            Around::Worst => 0,
        };
        // Near an end of the values, the other side has more.
        let end = at.saturating_add(above).max(self.query.limit).min(n);
        let end = if self.query.around == Around::Worst { at } else { end };
        let shown = &self.values[end.saturating_sub(self.query.limit)..end];
        let ids = shown.iter().rev().map(|(_, id)| *id).collect();
        let samples = Samples {
            period: scanned.period,
            sample: scanned.sample,
            views: self.views,
            measured: n as i64,
            percentile: at.checked_sub(1).and_then(|place| self.values.get(place)).map(|(value, _)| *value),
            found: Vec::new(),
        };
        (samples, ids)
    }
}

impl Gather for Sorting<'_> {
    fn begin(&mut self, _: &TextNames) {}

    fn add(&mut self, seen: &Seen, _: &TextNames) {
        self.views.see(seen);
        if let Some(value) = seen.values.get(self.query.metric) {
            self.values.push((value, seen.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, SiteId, Weight};
    use vitals::metric::Values;

    /// The values shown of page views with LCPs of 1 to `n` ms.
    fn shown(n: u32, around: Around, limit: usize) -> (Option<u32>, Vec<i64>) {
        let views = CellQuery::new(SiteId(1), 0, 1);
        let query = SampleQuery { views, metric: Metric::Lcp, around, limit, views_max: u64::MAX };
        let mut sorting = Sorting::new(&query);
        for lcp in (1..=n).rev() {
            let mut values = Values::EMPTY;
            values.set(Metric::Lcp, Value::from_micros(Metric::Lcp, lcp));
            let (id, weight) = (ViewId::new(lcp.into(), 0), Weight::ONE);
            let seen = Seen { id, day: 0, weight, values, tti_gap: None, context: Context::NONE };
            sorting.add(&seen, &TextNames::default());
        }
        let (samples, ids) = sorting.finish(Scanned::default());
        assert_eq!(samples.measured, i64::from(n));
        (samples.percentile.map(Value::micros), ids.into_iter().map(ViewId::start_ms).collect())
    }

    #[test]
    fn page_views_around_a_percentile_are_half_above_it() {
        assert_eq!(shown(100, Around::Percentile(75), 4), (Some(75), vec![77, 76, 75, 74]));
        assert_eq!(shown(100, Around::Percentile(75), 1), (Some(75), vec![75]));
        assert_eq!(shown(100, Around::Percentile(1), 4), (Some(1), vec![4, 3, 2, 1]));
        assert_eq!(shown(100, Around::Percentile(99), 4), (Some(99), vec![100, 99, 98, 97]));
        assert_eq!(shown(3, Around::Percentile(75), 50), (Some(3), vec![3, 2, 1]));
        assert_eq!(shown(0, Around::Percentile(75), 50), (None, vec![]));
    }

    #[test]
    fn worst_page_views_leave_out_the_slowest_hundredth() {
        assert_eq!(shown(1_000, Around::Worst, 3), (Some(990), vec![990, 989, 988]));
        assert_eq!(shown(99, Around::Worst, 2), (Some(99), vec![99, 98]));
        assert_eq!(shown(2, Around::Worst, 50), (Some(2), vec![2, 1]));
    }
}
