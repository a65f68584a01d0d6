//! Plans which cells, deltas and page views answer a query.
//!
//! A query covers whole hours. Rollups of a dimension hold whole days; rollups by device also hold hours within their
//! retention. The remainder is at most a part of the first day and a part of the last day: an *edge*. The page views
//! of an edge are counted one by one if they are kept and not too many. If the rest of the day has fewer page views,
//! these are subtracted from the day's cells instead. Otherwise the period grows to the whole day, and the answer
//! states so.

use super::{Coverage, DAY_MS, From, Grain, HOUR_MS, Scope, day_of, hour_of};
use crate::cell::CellQuery;
use crate::dimension::Dimension;
use crate::limits;
use crate::retention_edges::RetentionEdges;
use std::ops::Range;

/// The first start past those of all page views: an id holds 48 bits of milliseconds.
const STARTS_END_MS: i64 = 1 << 48;

/// The sources of an answer. All ranges are of UTC milliseconds, their ends excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The period that the answer counts.
    pub period: Range<i64>,
    /// Whole days, from daily cells.
    pub days: Range<i64>,
    /// The hours before and after the days, from hourly cells. Either range may be empty.
    pub hours: [Range<i64>; 2],
    /// Days and hours, from unfolded delta rows.
    pub deltas: Range<i64>,
    /// Ranges of page views, and their factors: 1, or -1 to subtract them from a day.
    pub scans: Vec<(Range<i64>, i64)>,
    /// Parts of days that rollups lack, until [`Plan::count_edge`] decides how to count them.
    edges: Vec<Range<i64>>,
    /// Page views that edges may still read.
    room: u64,
}

const NOTHING: Range<i64> = 0..0;

impl Plan {
    /// Plans a query. Its edges are still undecided ([`Plan::edges`]).
    #[must_use]
    pub fn new(query: &CellQuery, from: From, retained: &RetentionEdges) -> Self {
        let empty = Self {
            period: NOTHING,
            days: NOTHING,
            hours: [NOTHING; 2],
            deltas: NOTHING,
            scans: Vec::new(),
            edges: Vec::new(),
            room: limits::EDGE_VIEWS_MAX,
        };
        let dimension = match from {
            From::Rollups(dimension) => dimension,
            From::Views => {
                let period = within(query.from_ms..query.to_ms, retained.views_from_ms);
                return Self { scans: vec![(period.clone(), 1)], period, ..empty };
            }
        };
        let to_ms = if query.to_ms < STARTS_END_MS { query.to_ms } else { ceil(STARTS_END_MS, DAY_MS) };
        let asked = hour_of(query.from_ms.max(0))..ceil(to_ms, HOUR_MS);
        let period = within(asked, retained.days_from_ms);
        let mut plan = Self { period: period.clone(), ..empty };
        if query.from_ms >= query.to_ms {
            plan.period.end = plan.period.start;
        }
        if plan.period.is_empty() {
            return plan;
        }
        let days = ceil(period.start, DAY_MS)..day_of(period.end);
        let parts = if days.start > days.end {
            [period, NOTHING]
        } else {
            let parts = [period.start..days.start, days.end..period.end];
            plan.take_days(days);
            parts
        };
        for (place, part) in parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            let day_ms = day_of(part.start);
            if dimension == Dimension::Device && day_ms >= retained.hours_from_ms {
                plan.deltas = joined(&plan.deltas, &part);
                plan.hours[place] = part;
            } else if day_ms >= retained.views_from_ms {
                plan.edges.push(part);
            } else {
                plan.take_whole(&part);
            }
        }
        plan
    }

    /// Plans a query with rollups only: its edges grow to whole days.
    #[must_use]
    pub fn of_rollups(query: &CellQuery, dimension: Dimension, retained: &RetentionEdges) -> Self {
        let mut plan = Self::new(query, From::Rollups(dimension), retained);
        for edge in std::mem::take(&mut plan.edges) {
            plan.take_whole(&edge);
        }
        plan
    }

    /// Returns the undecided edges, each followed by its whole day.
    #[must_use]
    pub fn edges(&self) -> Vec<[Range<i64>; 2]> {
        self.edges.iter().map(|edge| [edge.clone(), whole_day(edge)]).collect()
    }

    /// Decides how to count an edge. `counts` are the page views of the edge and of its whole day, from rollups by
    /// device.
    pub fn count_edge(&mut self, [edge, day]: [Range<i64>; 2], counts: [i64; 2], retained: &RetentionEdges) {
        self.edges.retain(|other| *other != edge);
        let [mut inside, whole] = counts.map(|count| u64::try_from(count).unwrap_or(0));
        if day.start < retained.hours_from_ms {
            // Rollups without hours do not separate the parts of a day, so the edge's count is estimated by its
            // length.
            let length = (edge.end.saturating_sub(edge.start)).unsigned_abs();
            inside = whole.saturating_mul(length) / DAY_MS.unsigned_abs();
        }
        let outside = whole.saturating_sub(inside);
        if inside <= outside && inside <= self.room {
            self.room = self.room.saturating_sub(inside);
            self.scans.push((edge, 1));
        } else if outside <= self.room {
            self.room = self.room.saturating_sub(outside);
            let rest = [day.start..edge.start, edge.end..day.end];
            self.scans.extend(rest.into_iter().filter(|rest| !rest.is_empty()).map(|rest| (rest, -1)));
            self.take_days(day);
        } else {
            self.take_whole(&edge);
        }
    }

    /// Returns the page views that the decided edges read, according to their counts.
    #[must_use]
    pub const fn edge_views(&self) -> u64 {
        limits::EDGE_VIEWS_MAX.saturating_sub(self.room)
    }

    fn take_whole(&mut self, part: &Range<i64>) {
        let day = whole_day(part);
        self.period = joined(&self.period, &day);
        self.take_days(day);
    }

    fn take_days(&mut self, days: Range<i64>) {
        self.days = joined(&self.days, &days);
        self.deltas = joined(&self.deltas, &days);
    }

    /// Returns the rows of a scope to read. The rows of routes replace those of the site where the site has none yet.
    #[must_use]
    pub fn reads(&self, scope: Scope, coverage: &Coverage) -> Vec<Read> {
        let [before, after] = self.hours.clone();
        let mut reads = Vec::new();
        for (grain, range) in [(Grain::Day, self.days.clone()), (Grain::Hour, before), (Grain::Hour, after)] {
            let lacking = match scope {
                Scope::Site => range.start..range.end.min(coverage.site_from_ms),
                Scope::Routes | Scope::Route(_) => range.start..range.start,
            };
            let covered = range.start.max(lacking.end)..range.end;
            for (scope, range) in [(Scope::Routes, lacking), (scope, covered)] {
                if !range.is_empty() {
                    reads.push(Read { grain, steps: grain.step(range.start)..grain.step(range.end), scope });
                }
            }
        }
        reads
    }
}

/// Stored rows to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The length of the time step.
    pub grain: Grain,
    /// See [`Grain::step`].
    pub steps: Range<i32>,
    /// The rows of each step.
    pub scope: Scope,
}

/// Returns the part of a range from a moment onwards: an empty range at that moment if the range ends before it.
fn within(range: Range<i64>, from_ms: i64) -> Range<i64> {
    let start_ms = range.start.max(from_ms);
    start_ms..range.end.max(start_ms)
}

/// Joins two adjacent ranges; an empty one adds nothing.
fn joined(a: &Range<i64>, b: &Range<i64>) -> Range<i64> {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b.clone(),
        (_, true) => a.clone(),
        _ => a.start.min(b.start)..a.end.max(b.end),
    }
}

fn whole_day(part: &Range<i64>) -> Range<i64> {
    let start_ms = day_of(part.start);
    start_ms..start_ms.saturating_add(DAY_MS)
}

/// Returns the first start of a step at or after a moment; saturates at the end of time.
const fn ceil(at_ms: i64, step_ms: i64) -> i64 {
    let start_ms = super::floor(at_ms, step_ms);
    if start_ms == at_ms { at_ms } else { start_ms.saturating_add(step_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SiteId;

    const COUNTRY: From = From::Rollups(Dimension::Country);

    fn plan_of(from: From, hours: Range<i64>, retained: &RetentionEdges) -> Plan {
        Plan::new(&CellQuery::new(SiteId(1), hours.start * HOUR_MS, hours.end * HOUR_MS), from, retained)
    }

    fn plan(hours: Range<i64>, retained: &RetentionEdges) -> Plan {
        plan_of(From::Rollups(Dimension::Device), hours, retained)
    }

    fn hours(range: &Range<i64>) -> Range<i64> {
        range.start / HOUR_MS..range.end / HOUR_MS
    }

    /// Returns the steps of all routes to read.
    fn steps(plan: &Plan) -> Vec<(Grain, Range<i32>)> {
        let reads = plan.reads(Scope::Routes, &Coverage::of(RetentionEdges::EVERYTHING)).into_iter();
        reads.map(|read| (read.grain, read.steps)).collect()
    }

    /// Returns the scans in hours, after all edges are decided by these counts.
    fn scans(plan: &mut Plan, counts: [i64; 2], retained: &RetentionEdges) -> Vec<(Range<i64>, i64)> {
        for edge in plan.edges() {
            plan.count_edge(edge, counts, retained);
        }
        assert!(plan.edges().is_empty());
        plan.scans.iter().map(|(range, by)| (hours(range), *by)).collect()
    }

    #[test]
    fn whole_days_come_from_days_and_edges_of_devices_from_hours() {
        let retained = RetentionEdges::EVERYTHING;
        let answer = plan(23..74, &retained);
        assert_eq!(hours(&answer.days), 24..72);
        assert_eq!(answer.hours.each_ref().map(hours), [23..24, 72..74]);
        assert_eq!((hours(&answer.deltas), hours(&answer.period)), (23..74, 23..74));
        assert!(answer.edges().is_empty());

        let answer = plan(1..25, &retained);
        assert!(answer.days.is_empty());
        assert_eq!(answer.hours.each_ref().map(hours), [1..24, 24..25]);
        assert_eq!(plan(3..5, &retained).hours.each_ref().map(hours), [3..5, 0..0]);

        assert!(plan(1..1, &retained).deltas.is_empty());
        assert_eq!(hours(&plan(0..24, &retained).days), 0..24);
    }

    #[test]
    fn edges_of_other_dimensions_are_page_views() {
        let retained = RetentionEdges::EVERYTHING;
        let mut answer = plan_of(COUNTRY, 23..73, &retained);
        assert_eq!(steps(&answer), [(Grain::Day, 1..3)]);
        assert_eq!(scans(&mut answer, [1, 24], &retained), [(23..24, 1), (72..73, 1)]);
        assert_eq!((hours(&answer.days), hours(&answer.deltas)), (24..72, 24..72));
        assert_eq!(hours(&answer.period), 23..73);

        let mut answer = plan_of(COUNTRY, 26..28, &retained);
        assert_eq!(scans(&mut answer, [2, 24], &retained), [(26..28, 1)]);
        assert!(steps(&answer).is_empty() && answer.deltas.is_empty());
    }

    #[test]
    fn the_rest_of_a_day_is_taken_away_if_it_has_fewer_page_views() {
        let retained = RetentionEdges::EVERYTHING;
        let mut answer = plan_of(COUNTRY, 24..63, &retained);
        assert_eq!(scans(&mut answer, [100, 101], &retained), [(63..72, -1)]);
        assert_eq!((hours(&answer.days), hours(&answer.deltas)), (24..72, 24..72));
        assert_eq!(hours(&answer.period), 24..63, "the period stays");
        let mut answer = plan_of(COUNTRY, 25..46, &retained);
        assert_eq!(scans(&mut answer, [21, 24], &retained), [(24..25, -1), (46..48, -1)]);
        assert_eq!(steps(&answer), [(Grain::Day, 1..2)]);
    }

    #[test]
    fn hours_past_retention_are_page_views_while_those_are_kept() {
        let retained = RetentionEdges {
            hours_from_ms: 4 * DAY_MS,
            views_from_ms: 2 * DAY_MS,
            ..RetentionEdges::EVERYTHING
        };
        let mut answer = plan(49..98, &retained);
        // Without hourly rollups, the count of the edge is unknown.
        assert_eq!(scans(&mut answer, [24, 24], &retained), [(48..49, -1)]);
        assert_eq!(answer.hours.each_ref().map(hours), [0..0, 96..98]);
        assert_eq!((hours(&answer.days), hours(&answer.deltas)), (48..96, 48..98));
        assert_eq!(hours(&answer.period), 49..98);
    }

    #[test]
    fn the_period_grows_to_whole_days_without_page_views() {
        let retained = RetentionEdges {
            hours_from_ms: 2 * DAY_MS,
            views_from_ms: 2 * DAY_MS,
            ..RetentionEdges::EVERYTHING
        };
        for from in [From::Rollups(Dimension::Device), COUNTRY] {
            let answer = plan_of(from, 1..25, &retained);
            assert!(answer.edges().is_empty() && answer.scans.is_empty());
            assert_eq!((hours(&answer.period), hours(&answer.days)), (0..48, 0..48));
        }
        let answer = plan(1..49, &retained);
        assert_eq!((hours(&answer.period), hours(&answer.hours[1])), (0..49, 48..49));
    }

    #[test]
    fn the_period_grows_to_whole_days_of_too_many_page_views() {
        let retained = RetentionEdges::EVERYTHING;
        let many = limits::EDGE_VIEWS_MAX as i64 + 1;
        let mut answer = plan_of(COUNTRY, 12..60, &retained);
        assert_eq!(scans(&mut answer, [many, 2 * many], &retained), []);
        assert_eq!((hours(&answer.period), hours(&answer.days)), (0..72, 0..72));
        // The bound applies to both edges together.
        let mut answer = plan_of(COUNTRY, 12..60, &retained);
        assert_eq!(scans(&mut answer, [many - 1, 2 * many], &retained), [(12..24, 1)]);
        assert_eq!((hours(&answer.period), hours(&answer.days)), (12..72, 24..72));
    }

    #[test]
    fn what_is_past_retention_is_not_in_the_period() {
        let retained = RetentionEdges {
            days_from_ms: DAY_MS,
            hours_from_ms: DAY_MS,
            site_hours_from_ms: DAY_MS,
            views_from_ms: 2 * DAY_MS,
        };
        assert_eq!(hours(&plan(1..50, &retained).period), 24..50);
        assert!(plan(1..20, &retained).period.is_empty());
        let views = plan_of(From::Views, 1..50, &retained);
        assert_eq!((hours(&views.period), views.scans.len()), (48..50, 1));
        assert!(plan_of(From::Views, 1..20, &retained).period.is_empty());
    }

    #[test]
    fn an_endless_range_is_that_of_all_ids() {
        let everything = CellQuery::new(SiteId(1), i64::MIN, i64::MAX);
        for dimension in [Dimension::Device, Dimension::Country] {
            let answer = Plan::new(&everything, From::Rollups(dimension), &RetentionEdges::EVERYTHING);
            assert!(
                answer.deltas.start == 0 && answer.deltas.end >= STARTS_END_MS && answer.edges().is_empty()
            );
        }
    }

    #[test]
    fn rollups_alone_tell_whole_days() {
        let query = CellQuery::new(SiteId(1), DAY_MS + HOUR_MS, DAY_MS + 2 * HOUR_MS);
        let answer = Plan::of_rollups(&query, Dimension::Country, &RetentionEdges::EVERYTHING);
        assert_eq!(steps(&answer), [(Grain::Day, 1..2)]);
        assert_eq!(answer.deltas, DAY_MS..2 * DAY_MS);
        let answer = Plan::of_rollups(&query, Dimension::Device, &RetentionEdges::EVERYTHING);
        assert_eq!(steps(&answer), [(Grain::Hour, 25..26)]);
    }
    #[test]
    fn rows_of_routes_stand_in_for_those_that_the_site_lacks() {
        let answer = plan(23..74, &RetentionEdges::EVERYTHING);
        let reads = |scope, from_day: i64| {
            let coverage =
                Coverage { site_from_ms: from_day * DAY_MS, ..Coverage::of(RetentionEdges::EVERYTHING) };
            let reads = answer.reads(scope, &coverage).into_iter();
            reads.map(|read| (read.grain, read.steps, read.scope)).collect::<Vec<_>>()
        };
        let whole =
            |scope| [(Grain::Day, 1..3, scope), (Grain::Hour, 23..24, scope), (Grain::Hour, 72..74, scope)];
        assert_eq!(reads(Scope::Site, 0), whole(Scope::Site));
        assert_eq!(reads(Scope::Site, 4), whole(Scope::Routes));
        for scope in [Scope::Routes, Scope::Route(5)] {
            assert_eq!(reads(scope, 4), whole(scope));
        }
        let parts = [
            (Grain::Day, 1..2, Scope::Routes),
            (Grain::Day, 2..3, Scope::Site),
            (Grain::Hour, 23..24, Scope::Routes),
            (Grain::Hour, 72..74, Scope::Site),
        ];
        assert_eq!(reads(Scope::Site, 2), parts);
    }
}
