//! The rows of weeks: sums of the rows of seven days, so that a question about months reads few rows.
//!
//! Maintenance builds the weeks of a site in order, each a day after its end, from the rows of its days. A fold adds late
//! page views to days and to built weeks alike. A transaction that changes rows of days in any other way also makes their
//! week and all later ones unbuilt: questions then read days, and maintenance builds the weeks again.

use super::row::{Grain, Row, RowKey};
use super::{Coverage, DAY_MS};
use std::collections::BTreeMap;
use std::ops::Range;

/// Adds the rows of built weeks to the rows of a fold.
pub fn add_to_weeks(rows: &mut BTreeMap<RowKey, Row>, coverage: &Coverage) {
    let mut weeks: BTreeMap<RowKey, Row> = BTreeMap::new();
    for (key, row) in rows.iter().filter(|(key, _)| key.grain == Grain::Day) {
        let week = Grain::Week.step(Grain::Day.start_ms(key.step));
        if coverage.has_week(week) {
            let key = RowKey { grain: Grain::Week, step: week, ..*key };
            weeks.entry(key).and_modify(|sum| sum.merge(row)).or_insert_with(|| row.clone());
        }
    }
    rows.extend(weeks);
}

/// Returns the first week that is not closed. A week is closed a day after its end, when few page views are still to come.
#[must_use]
pub fn closed_weeks_end(now_ms: i64) -> i32 {
    Grain::Week.step(now_ms.saturating_sub(DAY_MS))
}

/// Returns the first week that begins at or after a moment.
#[must_use]
pub fn first_whole_week(from_ms: i64) -> i32 {
    let week = Grain::Week.step(from_ms);
    if Grain::Week.start_ms(week) < from_ms { week.saturating_add(1) } else { week }
}

/// Returns the days of a week, as steps of [`Grain::Day`].
#[must_use]
pub fn days_of_week(week: i32) -> Range<i32> {
    let start_ms = Grain::Week.start_ms(week);
    Grain::Day.step(start_ms)..Grain::Day.step(start_ms.saturating_add(Grain::Week.step_ms()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Views;
    use crate::rollup::{Part, differences, slot};
    use crate::{Dimension, RetentionEdges};

    #[test]
    fn a_fold_counts_in_weeks_that_are_built_and_retained() {
        let row = |grain, step, route_id, count| {
            let key = RowKey { grain, slot: slot(Dimension::Device, Part::Views), step, route_id };
            (key, Row::Views(BTreeMap::from([(1, Views { count, weight_milli: 1_000 * count })])))
        };
        // Days 4 to 10 are week 1.
        let folded: BTreeMap<_, _> = [
            row(Grain::Hour, 96, None, 1),
            row(Grain::Day, 3, None, 8),
            row(Grain::Day, 4, None, 1),
            row(Grain::Day, 10, None, 2),
            row(Grain::Day, 10, Some(7), -4),
            row(Grain::Day, 11, None, 16),
        ]
        .into();
        let weeks = |retained, weeks_end| {
            let mut rows = folded.clone();
            add_to_weeks(&mut rows, &Coverage::new(retained, None, weeks_end));
            rows.retain(|key, _| !folded.contains_key(key));
            rows
        };
        let one: BTreeMap<_, _> = [row(Grain::Week, 1, None, 3), row(Grain::Week, 1, Some(7), -4)].into();
        let everything = RetentionEdges::EVERYTHING;
        let from = |day: i64| RetentionEdges { days_from_ms: day * DAY_MS, ..everything };
        assert_eq!(differences(&weeks(from(4), Some(2)), &one), []);
        assert!(weeks(from(5), Some(2)).is_empty() && weeks(everything, None).is_empty());
        let mut all = one;
        all.extend([row(Grain::Week, 0, None, 8), row(Grain::Week, 2, None, 16)]);
        assert_eq!(differences(&weeks(everything, Some(3)), &all), []);
    }

    #[test]
    fn a_week_is_closed_a_day_after_its_end() {
        assert_eq!(days_of_week(1), 4..11);
        assert_eq!((closed_weeks_end(12 * DAY_MS - 1), closed_weeks_end(12 * DAY_MS)), (1, 2));
        assert_eq!((first_whole_week(4 * DAY_MS), first_whole_week(4 * DAY_MS + 1)), (1, 2));
        assert_eq!(first_whole_week(i64::MIN), Grain::Week.step(i64::MIN));
    }
}
