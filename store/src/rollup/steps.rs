//! Answers a query by steps of time: plans all steps, reads the rows of all steps together, and counts each row, delta
//! and page view in its step.
//!
//! Each step counts what [`Plan`] says for a query of this step alone, so a series never differs from single answers. The
//! rows of adjacent steps are read by one statement. A row can belong to two steps: if only whole days are kept, the
//! periods of the steps of a day grow to the same day.

use super::answer::{Answer, From, Per, REST};
use super::block::{BlockKey, Scope};
use super::plan::{Plan, Read};
use super::row::{Grain, Part, from_slot};
use super::site::Coverage;
use crate::cell::{Cell, CellQuery};
use crate::dimension::{Code, Dimension, Labels};
use crate::hash::HashMap;
use crate::retention_edges::RetentionEdges;
use crate::series::{SeriesQuery, StepCells};
use crate::weight::Weight;
use std::ops::Range;
use std::sync::Arc;
use vitals::histogram::EncodingError;
use vitals::metric::Values;

/// The plans of all steps.
#[derive(Debug)]
pub struct StepPlans {
    plans: Vec<Plan>,
}

impl StepPlans {
    /// Plans the steps of a series. Edges are still undecided ([`StepPlans::edges`]).
    #[must_use]
    pub fn new(query: &SeriesQuery, from: From, retained: &RetentionEdges) -> Self {
        Self { plans: query.steps().map(|step| Plan::new(&step, from, retained)).collect() }
    }

    /// Plans ranges with rollups only; their edges grow to whole days.
    #[must_use]
    pub fn of_rollups(query: &CellQuery, ranges: &[Range<i64>], retained: &RetentionEdges) -> Self {
        let plan = |range: &Range<i64>| {
            let query = CellQuery { from_ms: range.start, to_ms: range.end, ..query.clone() };
            Plan::of_rollups(&query, Dimension::Device, retained)
        };
        Self { plans: ranges.iter().map(plan).collect() }
    }

    /// Returns the undecided edges of all steps, each followed by its whole day.
    #[must_use]
    pub fn edges(&self) -> Vec<Range<i64>> {
        self.plans.iter().flat_map(Plan::edges).flatten().collect()
    }

    /// Decides how to count the edges. `counts` are the page views of [`StepPlans::edges`], from rollups by device.
    pub fn count_edges(&mut self, counts: &[i64], retained: &RetentionEdges) {
        let mut counts = counts.chunks_exact(2);
        for plan in &mut self.plans {
            for edge in plan.edges() {
                let counts = counts.next().map_or([0; 2], |counts| [counts[0], counts[1]]);
                plan.count_edge(edge, counts, retained);
            }
        }
    }

    /// Returns the rows to read.
    #[must_use]
    pub fn reads(&self, scope: Scope, coverage: &Coverage) -> Vec<Read> {
        let mut reads: Vec<Read> = self.plans.iter().flat_map(|plan| plan.reads(scope, coverage)).collect();
        reads.sort_by_key(|read| (read.grain, read.scope == scope, read.steps.start));
        let mut merged: Vec<Read> = Vec::new();
        for read in reads {
            match merged.last_mut() {
                Some(last)
                    if last.grain == read.grain
                        && last.scope == read.scope
                        && read.steps.start <= last.steps.end =>
                {
                    last.steps.end = last.steps.end.max(read.steps.end);
                }
                _ => merged.push(read),
            }
        }
        merged
    }

    /// Returns the range of unfolded deltas to read; it may hold deltas of no step.
    #[must_use]
    pub fn deltas(&self) -> Range<i64> {
        let ranges = self.plans.iter().map(|plan| &plan.deltas).filter(|deltas| !deltas.is_empty());
        ranges.fold(0..0, |all: Range<i64>, one| match all.is_empty() {
            true => one.clone(),
            false => all.start.min(one.start)..all.end.max(one.end),
        })
    }

    /// Returns the ranges of page views to read, ascending and apart from each other.
    #[must_use]
    pub fn scans(&self) -> Vec<Range<i64>> {
        let mut scans: Vec<&Range<i64>> =
            self.plans.iter().flat_map(|plan| &plan.scans).map(|(range, _)| range).collect();
        scans.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<i64>> = Vec::new();
        for range in scans.into_iter().filter(|range| !range.is_empty()) {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range.clone()),
            }
        }
        merged
    }

    /// Returns the page views that the edges of all steps read, according to their counts.
    #[must_use]
    pub fn edge_views(&self) -> u64 {
        self.plans.iter().map(Plan::edge_views).sum()
    }

    /// Returns the period of all steps, from the start of the first to the end of the last.
    #[must_use]
    pub fn period(&self) -> Range<i64> {
        match self.plans.as_slice() {
            [first, .., last] => first.period.start..last.period.end,
            [only] => only.period.clone(),
            [] => 0..0,
        }
    }

    /// Returns the answer without page views.
    #[must_use]
    pub fn nothing(&self, query: &SeriesQuery) -> Vec<StepCells> {
        let cells = vec![Cell::default(); lines(query)];
        self.plans
            .iter()
            .map(|plan| StepCells { period: plan.period.clone(), cells: cells.clone() })
            .collect()
    }
}

/// Accumulates the answers of all steps.
#[derive(Debug)]
pub struct StepAnswers {
    plans: StepPlans,
    answers: Vec<Answer>,
    /// The steps that count the rows of an hour or day.
    rows: HashMap<(Grain, i32), Vec<u32>>,
    /// Ascending starts of ranges between which the same steps count page views.
    scan_starts: Vec<i64>,
    /// The steps of each range, with their factors.
    scan_steps: Vec<Vec<(u32, i64)>>,
    lines: usize,
}

impl StepAnswers {
    /// Starts the answers of a series. `labels` must hold the labels of the filters and of the lines.
    ///
    /// Returns `None` if the site lacks a label of the filters: then no page view matches.
    #[must_use]
    pub fn new(
        query: &SeriesQuery,
        plans: StepPlans,
        coverage: &Coverage,
        route_id: Option<i64>,
        labels: &Labels,
    ) -> Option<Self> {
        let first = match &query.lines {
            None => Answer::new(&query.views, Per::Total, route_id, labels)?,
            Some(lines) => {
                let codes = lines.values.iter().map(|value| lines.by.code(value.as_deref(), labels));
                let codes = codes.zip(0..).filter_map(|(code, line)| Some((code?, line))).collect();
                Answer::new(&query.views, Per::Value(lines.by), route_id, labels)?.with_lines(Arc::new(codes))
            }
        };
        Some(Self::of(first, lines(query), plans, coverage))
    }

    /// Starts to count the page views of ranges, without values.
    #[must_use]
    pub fn of_counts(
        query: &CellQuery,
        plans: StepPlans,
        coverage: &Coverage,
        route_id: Option<i64>,
    ) -> Option<Self> {
        Some(Self::of(Answer::new(query, Per::Total, route_id, &Labels::default())?, 1, plans, coverage))
    }

    fn of(first: Answer, lines: usize, plans: StepPlans, coverage: &Coverage) -> Self {
        let mut rows: HashMap<(Grain, i32), Vec<u32>> = HashMap::default();
        let mut scan_starts: Vec<i64> = Vec::new();
        for (step, plan) in (0_u32..).zip(&plans.plans) {
            for read in plan.reads(first.scope(), coverage) {
                for at in read.steps {
                    rows.entry((read.grain, at)).or_default().push(step);
                }
            }
            scan_starts.extend(plan.scans.iter().flat_map(|(range, _)| [range.start, range.end]));
        }
        scan_starts.sort_unstable();
        scan_starts.dedup();
        let mut scan_steps = vec![Vec::new(); scan_starts.len()];
        for (step, plan) in (0_u32..).zip(&plans.plans) {
            for (range, times) in &plan.scans {
                let [start, end] =
                    [range.start, range.end].map(|at| scan_starts.partition_point(|&start| start < at));
                scan_steps[start..end.max(start)].iter_mut().for_each(|steps| steps.push((step, *times)));
            }
        }
        let answers = vec![first; plans.plans.len()];
        Self { plans, answers, rows, scan_starts, scan_steps, lines }
    }

    /// Returns the plans.
    #[must_use]
    pub const fn plans(&self) -> &StepPlans {
        &self.plans
    }

    /// Returns the slots to read.
    #[must_use]
    pub fn slots(&self) -> Vec<i16> {
        self.answers.first().map(|answer| answer.slots().map(|(slot, _)| slot).collect()).unwrap_or_default()
    }

    /// Returns the rows of each hour or day to read.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.answers.first().map_or(Scope::Site, Answer::scope)
    }

    /// Adds a stored block.
    ///
    /// # Errors
    /// If the bytes are not a block.
    pub fn add_block(&mut self, key: BlockKey, bytes: &[u8]) -> Result<(), EncodingError> {
        let (_, part): (_, Part) = from_slot(key.slot).ok_or(EncodingError)?;
        for &step in self.rows.get(&(key.grain, key.step)).into_iter().flatten() {
            self.answers[step as usize].add_block(part, bytes)?;
        }
        Ok(())
    }

    /// Adds an unfolded delta row of an hour.
    ///
    /// # Errors
    /// If the bytes are not a delta row.
    pub fn add_delta(&mut self, hour_ms: i64, bytes: &[u8]) -> Result<(), EncodingError> {
        for (plan, answer) in self.plans.plans.iter().zip(&mut self.answers) {
            if plan.deltas.contains(&hour_ms) {
                answer.add_delta(bytes)?;
            }
        }
        Ok(())
    }

    /// Counts a page view of a scan that matches the query.
    pub fn add_view(&mut self, start_ms: i64, route_id: i64, code: Code, weight: Weight, values: &Values) {
        let range = self.scan_starts.partition_point(|&start| start <= start_ms);
        let steps = range.checked_sub(1).and_then(|range| self.scan_steps.get(range));
        for &(step, times) in steps.into_iter().flatten() {
            self.answers[step as usize].add_view(route_id, code, weight, values, times);
        }
    }

    /// Returns the cells of each step.
    #[must_use]
    pub fn finish(self) -> Vec<StepCells> {
        let rest = i64::try_from(self.lines).unwrap_or(i64::MAX) - 1;
        let steps = self.plans.plans.into_iter().zip(self.answers);
        let cells = steps.map(|(plan, answer)| {
            let mut cells = vec![Cell::default(); self.lines];
            for (line, cell) in answer.finish() {
                let line = if line == REST { rest } else { line };
                if let Some(found) = usize::try_from(line).ok().and_then(|line| cells.get_mut(line)) {
                    *found = cell;
                }
            }
            StepCells { period: plan.period, cells }
        });
        cells.collect()
    }

    /// Returns the page views of each range of [`StepAnswers::of_counts`].
    #[must_use]
    pub fn counts(self) -> Vec<i64> {
        self.finish().iter().map(|step| step.cells.first().map_or(0, |cell| cell.views)).collect()
    }
}

/// The number of cells in each step.
fn lines(query: &SeriesQuery) -> usize {
    query.lines.as_ref().map_or(1, |lines| lines.values.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SiteId;
    use crate::rollup::{DAY_MS, HOUR_MS};

    const DEVICES: From = From::Rollups(Dimension::Device);

    /// Returns the reads of steps of the whole site between bounds, in hours.
    fn reads(
        bounds: impl Iterator<Item = i64>,
        from: From,
        retained: &RetentionEdges,
    ) -> Vec<(Grain, Range<i32>)> {
        let query =
            SeriesQuery::new(CellQuery::new(SiteId(1), 0, 0), bounds.map(|hour| hour * HOUR_MS).collect());
        let plans = StepPlans::new(&query, from, retained);
        let reads = plans.reads(Scope::Site, &Coverage::of(*retained)).into_iter();
        reads.map(|read| (read.grain, read.steps)).collect()
    }

    #[test]
    fn rows_of_adjacent_steps_are_read_together() {
        let all = RetentionEdges::EVERYTHING;
        assert_eq!(reads((0..=672).map(|hour| 48 + hour), DEVICES, &all), [(Grain::Hour, 48..720)]);
        assert_eq!(reads((0..=28).map(|day| day * 24), DEVICES, &all), [(Grain::Day, 0..28)]);
        // Days that begin at 23:00 UTC are hours.
        assert_eq!(reads((0..=7).map(|day| 23 + day * 24), DEVICES, &all), [(Grain::Hour, 23..191)]);
        // A week from 23:00 on: an hour, six days, and 23 hours.
        let week = [(Grain::Hour, 23..24), (Grain::Hour, 168..191), (Grain::Day, 1..7)];
        assert_eq!(reads((0..=1).map(|week| 23 + week * 168), DEVICES, &all), week);
    }

    #[test]
    fn page_views_count_in_the_step_of_their_start() {
        let bounds = (0..=4).map(|hour| hour * HOUR_MS).collect();
        let query = SeriesQuery::new(CellQuery::new(SiteId(1), 0, 0), bounds);
        let plans = StepPlans::new(&query, From::Views, &RetentionEdges::EVERYTHING);
        assert_eq!(plans.scans(), std::iter::once(0..4 * HOUR_MS).collect::<Vec<_>>(), "one range");
        let coverage = Coverage::of(RetentionEdges::EVERYTHING);
        let mut answers = StepAnswers::new(&query, plans, &coverage, None, &Labels::default()).unwrap();
        for start_ms in [0, HOUR_MS - 1, HOUR_MS, 4 * HOUR_MS - 1, 4 * HOUR_MS, -1] {
            answers.add_view(start_ms, 7, 0, Weight::ONE, &Values::EMPTY);
        }
        let views: Vec<i64> = answers.finish().iter().map(|step| step.cells[0].views).collect();
        assert_eq!(views, [2, 1, 0, 1]);
    }

    #[test]
    fn a_day_counts_in_each_step_that_has_grown_to_it() {
        let gone = RetentionEdges {
            hours_from_ms: 9 * DAY_MS,
            views_from_ms: 9 * DAY_MS,
            ..RetentionEdges::EVERYTHING
        };
        let query =
            SeriesQuery::new(CellQuery::new(SiteId(1), 0, 0), vec![2 * HOUR_MS, 3 * HOUR_MS, 4 * HOUR_MS]);
        let plans = StepPlans::new(&query, DEVICES, &gone);
        assert_eq!(
            plans.nothing(&query).iter().map(|step| step.period.clone()).collect::<Vec<_>>(),
            [0..DAY_MS, 0..DAY_MS]
        );
        let answers = StepAnswers::new(&query, plans, &Coverage::of(gone), None, &Labels::default()).unwrap();
        assert_eq!(answers.rows[&(Grain::Day, 0)], [0, 1]);
    }
}
