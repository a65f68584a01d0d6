//! Divides a range into hours, days or weeks, in the time zone of a site.
//!
//! Days and weeks begin at local midnight if the store can count single hours of the range; otherwise they are UTC days.
//! Older data and dimensions other than the device are stored by UTC days only. A range is rounded outwards to whole
//! steps.

use crate::report::Range;
use fieldvitals_store::limits;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};
use serde::Serialize;
use utoipa::ToSchema;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Longest range of which `auto` shows hours.
const AUTO_HOURS_MAX_MS: i64 = 3 * DAY_MS;
/// Longest range of which `auto` shows days.
const AUTO_DAYS_MAX_MS: i64 = 92 * DAY_MS;

/// Length of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, from Monday on.
    Week,
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    /// Returns `hour`, `day` or `week`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// Chooses the step of a range.
    #[must_use]
    pub const fn auto(range: Range, has_hours: bool) -> Self {
        let length_ms = range.to_ms - range.from_ms;
        if has_hours && length_ms <= AUTO_HOURS_MAX_MS {
            Self::Hour
        } else if length_ms <= AUTO_DAYS_MAX_MS {
            Self::Day
        } else {
            Self::Week
        }
    }
}

/// Successive steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Length of the steps. A local day can have 23 or 25 hours.
    pub step: Step,
    /// The bounds of the steps in UTC milliseconds, ascending; one more than there are steps.
    pub bounds: Vec<i64>,
    /// IANA name of the time zone in which days begin.
    pub timezone: String,
}

/// Returns the time zone of a name; `None` if it is not in the IANA database.
#[must_use]
pub fn zone(name: &str) -> Option<TimeZone> {
    jiff::tz::db().get(name).ok()
}

/// Returns the names of all time zones.
#[must_use]
pub fn zone_names() -> Vec<String> {
    jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect()
}

impl Timeline {
    /// Divides a range. From `hours_from_ms` on, the store can count single hours.
    ///
    /// # Errors
    /// If the range is beyond the calendar.
    pub fn new(range: Range, step: Step, timezone: &str, hours_from_ms: i64) -> Result<Self, String> {
        const BEYOND: &str = "the range is beyond the calendar";
        let local = match step {
            Step::Hour => None,
            Step::Day | Step::Week => zone(timezone).filter(|zone| is_on_hours(zone, range)),
        };
        let local =
            local.and_then(|zone| days(range, step, &zone)).filter(|bounds| bounds[0] >= hours_from_ms);
        let (bounds, timezone) = match (local, step) {
            (Some(bounds), _) => (bounds, timezone),
            (None, Step::Hour) => (hours(range), "UTC"),
            (None, Step::Day | Step::Week) => (days(range, step, &TimeZone::UTC).ok_or(BEYOND)?, "UTC"),
        };
        Ok(Self { step, bounds, timezone: timezone.to_owned() })
    }

    /// Returns the number of steps.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// Whether there are no steps.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops the steps that begin before a moment.
    pub fn drop_before(&mut self, from_ms: i64) {
        let first = self.bounds.partition_point(|&bound| bound < from_ms);
        self.bounds.drain(..first);
    }
}

/// Whether the days of a range begin on whole UTC hours, which the store counts.
fn is_on_hours(zone: &TimeZone, range: Range) -> bool {
    [range.from_ms, range.to_ms].into_iter().all(|at_ms| {
        Timestamp::from_millisecond(at_ms).is_ok_and(|at| zone.to_offset(at).seconds() % 3_600 == 0)
    })
}

/// The bounds of the hours of a range, counted from its start. The last one may end after the range.
fn hours(range: Range) -> Vec<i64> {
    // One more than allowed, so that the excess shows.
    let most = limits::SERIES_STEPS_MAX as i64 + 1;
    let count = (range.to_ms - range.from_ms + HOUR_MS - 1).div_euclid(HOUR_MS).clamp(0, most);
    (0..=count).map(|hour| range.from_ms + hour * HOUR_MS).collect()
}

/// The bounds of the days or weeks of a range; `None` beyond the calendar.
fn days(range: Range, step: Step, zone: &TimeZone) -> Option<Vec<i64>> {
    let local = |at_ms| Some(Timestamp::from_millisecond(at_ms).ok()?.to_zoned(zone.clone()));
    let mut date = local(range.from_ms)?.date();
    if step == Step::Week {
        date = monday(date)?;
    }
    let span = if step == Step::Week { 7.days() } else { 1.day() };
    let mut bounds = vec![start_ms(date, zone)?];
    while *bounds.last()? < range.to_ms && bounds.len() <= limits::SERIES_STEPS_MAX + 1 {
        date = date.checked_add(span).ok()?;
        bounds.push(start_ms(date, zone)?);
    }
    Some(bounds)
}

/// The Monday of a date's week.
pub(crate) fn monday(date: Date) -> Option<Date> {
    let since = date.weekday().since(Weekday::Monday);
    date.checked_sub(i64::from(since).days()).ok()
}

/// The first moment of a date.
pub(crate) fn start_ms(date: Date, zone: &TimeZone) -> Option<i64> {
    let start: Zoned = date.to_zoned(zone.clone()).ok()?;
    Some(start.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: &str, to: &str) -> Range {
        let [from_ms, to_ms] = [from, to].map(|text| text.parse::<Timestamp>().unwrap().as_millisecond());
        Range { from_ms, to_ms }
    }

    fn bounds(timeline: &Timeline) -> Vec<String> {
        timeline.bounds.iter().map(|&ms| crate::report::time_text(ms)).collect()
    }

    #[test]
    fn days_and_weeks_begin_at_local_midnight() {
        let week = range("2026-11-18T10:00:00Z", "2026-11-20T10:00:00Z");
        let days = Timeline::new(week, Step::Day, "Europe/Berlin", 0).unwrap();
        assert_eq!(
            bounds(&days),
            ["2026-11-17T23:00:00Z", "2026-11-18T23:00:00Z", "2026-11-19T23:00:00Z", "2026-11-20T23:00:00Z"]
        );
        assert_eq!((days.timezone.as_str(), days.len()), ("Europe/Berlin", 3));
        let weeks = Timeline::new(week, Step::Week, "Europe/Berlin", 0).unwrap();
        assert_eq!(bounds(&weeks), ["2026-11-15T23:00:00Z", "2026-11-22T23:00:00Z"]);
    }

    #[test]
    fn days_are_utc_where_no_hours_are_kept_or_they_begin_between_hours() {
        let two = range("2026-11-18T00:00:00Z", "2026-11-20T00:00:00Z");
        for (zone, hours_from_ms) in [("Europe/Berlin", two.from_ms), ("Asia/Kolkata", 0), ("UTC", i64::MAX)]
        {
            let days = Timeline::new(two, Step::Day, zone, hours_from_ms).unwrap();
            assert_eq!(
                (days.timezone.as_str(), days.bounds[0], days.len()),
                ("UTC", two.from_ms, 2),
                "{zone}"
            );
        }
        let hours = Timeline::new(two, Step::Hour, "Europe/Berlin", 0).unwrap();
        assert_eq!((hours.len(), hours.bounds[48]), (48, two.to_ms));
        let minutes =
            Timeline::new(range("2026-11-18T10:23:00Z", "2026-11-18T12:41:00Z"), Step::Hour, "UTC", 0);
        assert_eq!(
            bounds(&minutes.unwrap()),
            ["2026-11-18T10:23:00Z", "2026-11-18T11:23:00Z", "2026-11-18T12:23:00Z", "2026-11-18T13:23:00Z"],
            "the last hour is whole"
        );
    }

    #[test]
    fn a_day_of_a_clock_change_is_shorter_or_longer() {
        for (from, to, hours) in [
            ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25),
            ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23),
        ] {
            let day = Timeline::new(range(from, to), Step::Day, "Europe/Berlin", 0).unwrap();
            assert_eq!(day.bounds[1] - day.bounds[0], hours * HOUR_MS);
            assert_eq!(day.len(), 1);
        }
    }

    #[test]
    fn the_step_follows_from_the_length() {
        let of_days = |days: i64| Range { from_ms: 0, to_ms: days * DAY_MS };
        assert_eq!(Step::auto(of_days(1), true), Step::Hour);
        assert_eq!(Step::auto(of_days(1), false), Step::Day);
        assert_eq!(Step::auto(of_days(28), true), Step::Day);
        assert_eq!(Step::auto(of_days(200), true), Step::Week);
    }

    #[test]
    fn steps_before_a_moment_are_dropped() {
        let mut days =
            Timeline::new(range("2026-11-18T00:00:00Z", "2026-11-21T00:00:00Z"), Step::Day, "UTC", 0)
                .unwrap();
        days.drop_before(days.bounds[0] + 1);
        assert_eq!(days.len(), 2);
        days.drop_before(i64::MAX);
        assert!(days.is_empty());
    }
}
