//! Counts page views with interactions, engaged visitors and marks, by buckets of a metric.

use super::texts::TextNames;
use crate::cell::{CellQuery, Views};
use crate::scan::{Gather, Sample, Scanned, Seen};
use std::ops::Range;
use vitals::metric::{Metric, Value};

/// A query for engagement by a metric's values.
#[derive(Clone, Debug, PartialEq)]
pub struct EngagementQuery {
    /// Selects the page views, to the millisecond; its metrics are ignored.
    pub views: CellQuery,
    /// The metric.
    pub metric: Metric,
    /// Also counts page views with this mark.
    pub mark: Option<String>,
    /// The upper ends of the buckets but the last one, ascending. A bucket includes its end.
    pub ends: Vec<Value>,
    /// The page views after which a sample is read.
    pub views_max: u64,
}

/// Page views by buckets of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Engagement {
    /// The counted period: that of the query, limited to the retention of page views.
    pub period: Range<i64>,
    /// Set if only a sample of the page views was read; all numbers are of the sample.
    pub sample: Option<Sample>,
    /// The selected page views.
    pub views: Views,
    /// Page views with a value of the metric.
    pub measured: i64,
    /// The measured page views of known engagement, by bucket; one bucket more than [`EngagementQuery::ends`].
    pub buckets: Vec<Engaged>,
}

/// Page views of one bucket whose engagement is known. Other libraries and visitors who opt out do not tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Engaged {
    /// The page views.
    pub n: i64,
    /// Those with an interaction: a first input, an INP or a FID.
    pub interacted: i64,
    /// Those with an interaction, or in sight for 10 s.
    pub engaged: i64,
    /// Those with the mark.
    pub marked: i64,
}

/// Accumulates an answer.
#[derive(Debug)]
pub(crate) struct Counting<'a> {
    query: &'a EngagementQuery,
    answer: Engagement,
}

impl<'a> Counting<'a> {
    pub(crate) fn new(query: &'a EngagementQuery) -> Self {
        let buckets = vec![Engaged::default(); query.ends.len() + 1];
        Self { query, answer: Engagement { buckets, ..Engagement::default() } }
    }

    /// Returns the answer about the page views of a scan.
    pub(crate) fn finish(self, scanned: Scanned) -> Engagement {
        Engagement { period: scanned.period, sample: scanned.sample, ..self.answer }
    }
}

impl Gather for Counting<'_> {
    fn begin(&mut self, _: &TextNames) {}

    fn add(&mut self, seen: &Seen, names: &TextNames) {
        let (query, answer) = (self.query, &mut self.answer);
        answer.views.see(seen);
        let Some(value) = seen.values.get(query.metric) else { return };
        answer.measured += 1;
        let Some(conditions) = seen.context.conditions.as_deref() else { return };
        let Some(engaged) = conditions.engaged else { return };
        let has = |metric| seen.values.get(metric).is_some();
        let interacted = conditions.first_input_ms.is_some() || has(Metric::Inp) || has(Metric::Fid);
        let marks = seen.context.detail.as_deref().map(|detail| detail.marks.as_slice()).unwrap_or_default();
        let is_marked = query
            .mark
            .as_deref()
            .is_some_and(|asked| marks.iter().any(|&(mark, _)| names.text(seen.day, mark) == asked));
        let place = query.ends.partition_point(|end| *end < value);
        if let Some(bucket) = answer.buckets.get_mut(place) {
            bucket.n += 1;
            bucket.interacted += i64::from(interacted);
            bucket.engaged += i64::from(engaged || interacted);
            bucket.marked += i64::from(is_marked);
        }
    }
}
