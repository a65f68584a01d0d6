//! Plans which cells, deltas and page views answer a query.
//!
//! A query covers whole minutes. Rollups of a dimension hold whole days; rollups by device also hold hours within their
//! retention. The remainder is at most a part of the first day or hour, and a part of the last one: an *edge*. The page
//! views of an edge are counted one by one if they are kept and not too many. If the rest of the day or hour has fewer
//! page views, these are subtracted from its cells instead. Otherwise the period grows to the whole day or hour, and the
//! answer states so.

use super::{Coverage, DAY_MS, From, Grain, HOUR_MS, MINUTE_MS, Scope, day_of, floor, hour_of};
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
    /// Parts of days and hours that rollups lack, until [`Plan::count_edge`] decides how to count them.
    edges: Vec<Edge>,
    /// Page views that edges may still read.
    room: u64,
}

const NOTHING: Range<i64> = 0..0;

/// A part of a day or of an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edge {
    part: Range<i64>,
    whole: Whole,
}

/// A day, or an hour with its place in [`Plan::hours`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whole {
    Day(Range<i64>),
    Hour(Range<i64>, usize),
}

impl Whole {
    const fn range(&self) -> &Range<i64> {
        match self {
            Self::Day(range) | Self::Hour(range, _) => range,
        }
    }
}

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
        let asked = floor(query.from_ms.max(0), MINUTE_MS)..ceil(to_ms, MINUTE_MS);
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
            let has_hours = dimension == Dimension::Device && day_of(part.start) >= retained.hours_from_ms;
            for edge in if has_hours { plan.take_hours(part, place) } else { vec![Edge::of_day(part)] } {
                if day_of(edge.part.start) >= retained.views_from_ms {
                    plan.edges.push(edge);
                } else {
                    plan.grow(edge.whole);
                }
            }
        }
        plan
    }

    /// Takes the whole hours of a part of a day. Returns the rest of it.
    fn take_hours(&mut self, part: Range<i64>, place: usize) -> Vec<Edge> {
        let whole = ceil(part.start, HOUR_MS)..hour_of(part.end);
        let edges = if whole.start > whole.end {
            vec![part]
        } else {
            self.deltas = joined(&self.deltas, &whole);
            if !whole.is_empty() {
                self.hours[place] = whole.clone();
            }
            vec![part.start..whole.start, whole.end..part.end]
        };
        let edges = edges.into_iter().filter(|edge| !edge.is_empty());
        edges.map(|part| Edge { whole: Whole::Hour(whole_hour(&part), place), part }).collect()
    }

    /// Plans a query with rollups only: its edges grow to whole days or hours.
    #[must_use]
    pub fn of_rollups(query: &CellQuery, dimension: Dimension, retained: &RetentionEdges) -> Self {
        let mut plan = Self::new(query, From::Rollups(dimension), retained);
        for edge in std::mem::take(&mut plan.edges) {
            plan.grow(edge.whole);
        }
        plan
    }

    /// Returns the undecided edges, each followed by its whole day or hour.
    #[must_use]
    pub fn edges(&self) -> Vec<[Range<i64>; 2]> {
        self.edges.iter().map(|edge| [edge.part.clone(), edge.whole.range().clone()]).collect()
    }

    /// Decides how to count an edge. `counts` are the page views of the edge and of its whole day or hour, from rollups
    /// by device, which round the edge outwards to hours.
    pub fn count_edge(&mut self, [edge, _]: [Range<i64>; 2], counts: [i64; 2], retained: &RetentionEdges) {
        let Some(place) = self.edges.iter().position(|other| other.part == edge) else { return };
        let Edge { whole, .. } = self.edges.remove(place);
        let range = whole.range().clone();
        let [mut inside, all] = counts.map(|count| u64::try_from(count).unwrap_or(0));
        if matches!(whole, Whole::Hour(..)) || range.start < retained.hours_from_ms {
            // Rollups do not separate the parts of an hour, nor those of a day without hours, so the edge's count is
            // estimated by its length.
            let length = |range: &Range<i64>| range.end.saturating_sub(range.start).unsigned_abs();
            inside = all.saturating_mul(length(&edge)) / length(&range).max(1);
        }
        let outside = all.saturating_sub(inside);
        if inside <= outside && inside <= self.room {
            self.room = self.room.saturating_sub(inside);
            self.scans.push((edge, 1));
        } else if outside <= self.room {
            self.room = self.room.saturating_sub(outside);
            let rest = [range.start..edge.start, edge.end..range.end];
            self.scans.extend(rest.into_iter().filter(|rest| !rest.is_empty()).map(|rest| (rest, -1)));
            self.take(whole);
        } else {
            self.grow(whole);
        }
    }

    /// Returns the page views that the decided edges read, according to their counts.
    #[must_use]
    pub const fn edge_views(&self) -> u64 {
        limits::EDGE_VIEWS_MAX.saturating_sub(self.room)
    }

    /// Takes a whole day or hour, and adds it to the period.
    fn grow(&mut self, whole: Whole) {
        self.period = joined(&self.period, whole.range());
        self.take(whole);
    }

    fn take(&mut self, whole: Whole) {
        match whole {
            Whole::Day(day) => self.take_days(day),
            Whole::Hour(hour, place) => {
                self.deltas = joined(&self.deltas, &hour);
                self.hours[place] = joined(&self.hours[place], &hour);
            }
        }
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

impl Edge {
    const fn of_day(part: Range<i64>) -> Self {
        let start_ms = day_of(part.start);
        Self { part, whole: Whole::Day(start_ms..start_ms.saturating_add(DAY_MS)) }
    }
}

const fn whole_hour(part: &Range<i64>) -> Range<i64> {
    let start_ms = hour_of(part.start);
    start_ms..start_ms.saturating_add(HOUR_MS)
}

/// Returns the first start of a step at or after a moment; saturates at the end of time.
const fn ceil(at_ms: i64, step_ms: i64) -> i64 {
    let start_ms = floor(at_ms, step_ms);
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

    /// Plans a range of minutes by device, and decides its edges by the page views of each hour.
    fn minutes(range: Range<i64>, an_hour: i64, retained: &RetentionEdges) -> Plan {
        let query = CellQuery::new(SiteId(1), range.start * MINUTE_MS, range.end * MINUTE_MS);
        let mut plan = Plan::new(&query, From::Rollups(Dimension::Device), retained);
        for edge in plan.edges() {
            plan.count_edge(edge, [an_hour; 2], retained);
        }
        plan
    }

    #[test]
    fn parts_of_hours_are_page_views() {
        let retained = RetentionEdges::EVERYTHING;
        let at = |hour: i64, minute: i64| hour * 60 + minute;
        let scans = |plan: &Plan| {
            let minutes = |range: &Range<i64>| range.start / MINUTE_MS..range.end / MINUTE_MS;
            plan.scans.iter().map(|(range, by)| (minutes(range), *by)).collect::<Vec<_>>()
        };
        let answer = minutes(at(10, 40)..at(13, 20), 6, &retained);
        assert_eq!(scans(&answer), [(at(10, 40)..at(11, 0), 1), (at(13, 0)..at(13, 20), 1)]);
        assert_eq!((hours(&answer.hours[0]), hours(&answer.deltas)), (11..13, 11..13));
        assert_eq!(answer.period, at(10, 40) * MINUTE_MS..at(13, 20) * MINUTE_MS);

        // The rest of the hours is shorter.
        let answer = minutes(at(10, 10)..at(12, 50), 6, &retained);
        assert_eq!(scans(&answer), [(at(10, 0)..at(10, 10), -1), (at(12, 50)..at(13, 0), -1)]);
        assert_eq!((hours(&answer.hours[0]), hours(&answer.deltas)), (10..13, 10..13));
        assert_eq!(answer.period, at(10, 10) * MINUTE_MS..at(12, 50) * MINUTE_MS);

        // Inside one hour, and around midnight.
        let answer = minutes(at(10, 10)..at(10, 20), 6, &retained);
        assert_eq!((scans(&answer), hours(&answer.hours[0])), (vec![(at(10, 10)..at(10, 20), 1)], 0..0));
        let answer = minutes(at(23, 50)..at(24, 55), 6, &retained);
        let midnight = [(at(23, 50)..at(24, 0), 1), (at(24, 55)..at(25, 0), -1)];
        assert_eq!(scans(&answer), midnight);
        assert_eq!(answer.hours.each_ref().map(hours), [0..0, 24..25]);
        assert_eq!(hours(&answer.deltas), 24..25);
    }

    #[test]
    fn the_period_grows_to_whole_hours_without_page_views_and_of_too_many() {
        let retained = RetentionEdges { views_from_ms: DAY_MS, ..RetentionEdges::EVERYTHING };
        let many = 4 * limits::EDGE_VIEWS_MAX as i64;
        for (answer, period) in [
            (minutes(10 * 60 + 40..13 * 60 + 20, 6, &retained), 10..14),
            (minutes(34 * 60 + 30..37 * 60 + 30, many, &retained), 34..38),
            (minutes(34 * 60 + 10..34 * 60 + 50, many, &retained), 34..35),
        ] {
            assert!(answer.scans.is_empty() && answer.edges().is_empty());
            assert_eq!(
                [&answer.period, &answer.hours[0], &answer.deltas].map(hours),
                [(); 3].map(|()| period.clone())
            );
        }
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
