//! The collection periods: 28 UTC days.

use fieldvitals_store::rollup::{DAY_MS, day_of};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::ops::Range;
use utoipa::ToSchema;

/// Days of a collection period.
const PERIOD_DAYS: i64 = 28;
/// Days between the periods of a history.
const WEEK_DAYS: i64 = 7;
/// Weeks of a collection period.
const PERIOD_WEEKS: usize = (PERIOD_DAYS / WEEK_DAYS) as usize;
/// The first Sunday since 1970, in days. Weeks begin on Sunday, as in CrUX.
const FIRST_SUNDAY: i64 = 3;
/// Default number of periods of a history.
pub const PERIODS_DEFAULT: usize = 25;

/// A day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CalendarDate {
    /// The year.
    pub year: i16,
    /// The month, 1 to 12.
    pub month: i8,
    /// The day of the month.
    pub day: i8,
}

impl CalendarDate {
    /// Returns the UTC day of a moment in UTC milliseconds; 1970-01-01 beyond the calendar.
    fn of(at_ms: i64) -> Self {
        let date = Timestamp::from_millisecond(at_ms).unwrap_or_default().to_zoned(TimeZone::UTC).date();
        Self { year: date.year(), month: date.month(), day: date.day() }
    }
}

/// First and last UTC day of the page views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CollectionPeriod {
    /// The first day.
    pub first_date: CalendarDate,
    /// The last day.
    pub last_date: CalendarDate,
}

impl From<&Range<i64>> for CollectionPeriod {
    fn from(range: &Range<i64>) -> Self {
        let last_ms = range.end.saturating_sub(1).max(range.start);
        Self { first_date: CalendarDate::of(range.start), last_date: CalendarDate::of(last_ms) }
    }
}

/// Returns the period of a record: the 28 days up to yesterday, in UTC milliseconds.
#[must_use]
pub const fn latest(now_ms: i64) -> Range<i64> {
    let end_ms = day_of(now_ms);
    end_ms.saturating_sub(PERIOD_DAYS * DAY_MS)..end_ms
}

/// Returns the bounds of the weeks of a history, ascending, in UTC milliseconds. The last week ends with the last Saturday.
#[must_use]
pub fn weeks(now_ms: i64, periods: usize) -> Vec<i64> {
    let today = now_ms.div_euclid(DAY_MS);
    let end = today - (today - FIRST_SUNDAY).rem_euclid(WEEK_DAYS);
    let count = (periods + PERIOD_WEEKS).saturating_sub(1) as i64;
    (0..=count).rev().map(|week| (end - week * WEEK_DAYS).saturating_mul(DAY_MS)).collect()
}

/// Returns the periods of a history, oldest first, with the places of their weeks.
pub fn windows(bounds: &[i64]) -> impl Iterator<Item = (Range<i64>, Range<usize>)> {
    let window = |(first, bounds): (usize, &[i64])| match bounds {
        [start, .., end] => Some((*start..*end, first..first + PERIOD_WEEKS)),
        _ => None,
    };
    bounds.windows(PERIOD_WEEKS + 1).enumerate().filter_map(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: &str) -> i64 {
        time.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn days(range: &Range<i64>) -> String {
        let CollectionPeriod { first_date: first, last_date: last } = range.into();
        let text = |date: CalendarDate| format!("{}-{:02}-{:02}", date.year, date.month, date.day);
        format!("{} {}", text(first), text(last))
    }

    #[test]
    fn record_counts_28_days_up_to_yesterday() {
        for now in ["2026-05-21T00:00:00Z", "2026-05-21T23:59:59.999Z"] {
            assert_eq!(days(&latest(ms(now))), "2026-04-23 2026-05-20", "{now}");
        }
    }

    #[test]
    fn periods_of_a_history_end_on_saturdays() {
        for (now, last) in [
            ("2026-11-28T23:59:59Z", "2026-10-25 2026-11-21"),
            ("2026-11-29T00:00:00Z", "2026-11-01 2026-11-28"),
            ("2026-11-30T12:00:00Z", "2026-11-01 2026-11-28"),
        ] {
            let bounds = weeks(ms(now), 3);
            let periods: Vec<String> = windows(&bounds).map(|(range, _)| days(&range)).collect();
            assert_eq!((periods.len(), periods[2].as_str()), (3, last), "{now}");
        }
        let bounds = weeks(ms("2026-11-30T12:00:00Z"), 2);
        let all: Vec<(String, Range<usize>)> =
            windows(&bounds).map(|(range, weeks)| (days(&range), weeks)).collect();
        assert_eq!(
            all,
            [("2026-10-25 2026-11-21".to_owned(), 0..4), ("2026-11-01 2026-11-28".to_owned(), 1..5)]
        );
    }
}
