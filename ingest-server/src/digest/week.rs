//! The weeks that digests are about: Monday to Sunday, in the time zone of a site.

use crate::report::Range;
use crate::timeline::{monday, start_ms, zone};
use jiff::civil::{Date, date, time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// The hour of Monday from which the digest of the week before is sent.
const HOUR: i8 = 8;
/// Longest delay of a digest, in milliseconds: 3 days. On Thursday the week is old news, and a server that was down until then
/// sends the next digest only.
const LATE_MS_MAX: i64 = 3 * 24 * 3_600_000;
/// Days are numbered from here.
const EPOCH: Date = date(1970, 1, 1);

/// A week of a site, and when its digest is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Week {
    /// Its Monday.
    pub monday: Date,
    /// From its first moment to that of the next week.
    pub range: Range,
    /// The week before it.
    pub before: Range,
    /// When its digest is due, UTC milliseconds: the next Monday at 8.
    pub due_ms: i64,
}

impl Week {
    /// Returns the last whole week; `None` beyond the calendar.
    #[must_use]
    pub fn last(now_ms: i64, timezone: &str) -> Option<Self> {
        let zone = zone_or_utc(timezone);
        let today = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone.clone()).date();
        Self::from(monday(today)?.checked_sub(7.days()).ok()?, &zone)
    }

    /// Returns the week of a Monday, in days since 1970-01-01; `None` beyond the calendar.
    #[must_use]
    pub fn of_day(day: i32, timezone: &str) -> Option<Self> {
        Self::from(EPOCH.checked_add(day.days()).ok()?, &zone_or_utc(timezone))
    }

    fn from(monday: Date, zone: &TimeZone) -> Option<Self> {
        let next = monday.checked_add(7.days()).ok()?;
        let from_ms = start_ms(monday, zone)?;
        let before_ms = start_ms(monday.checked_sub(7.days()).ok()?, zone)?;
        let due = next.to_datetime(time(HOUR, 0, 0, 0)).to_zoned(zone.clone()).ok()?;
        Some(Self {
            monday,
            range: Range { from_ms, to_ms: start_ms(next, zone)? },
            before: Range { from_ms: before_ms, to_ms: from_ms },
            due_ms: due.timestamp().as_millisecond(),
        })
    }

    /// Its Monday, in days since 1970-01-01.
    #[must_use]
    pub fn day(&self) -> i32 {
        self.monday.since(EPOCH).map_or(0, |span| span.get_days())
    }

    /// Whether its digest is due, and not too late.
    #[must_use]
    pub const fn is_due(&self, now_ms: i64) -> bool {
        now_ms >= self.due_ms && !self.is_late(now_ms)
    }

    /// Whether it is too late for its digest.
    #[must_use]
    pub const fn is_late(&self, now_ms: i64) -> bool {
        now_ms >= self.due_ms.saturating_add(LATE_MS_MAX)
    }

    /// The week for people: `23 to 29 November 2026`.
    #[must_use]
    pub fn title(&self) -> String {
        let first = self.monday;
        let last = first.checked_add(6.days()).unwrap_or(first);
        let from = match (first.year() == last.year(), first.month() == last.month()) {
            (true, true) => first.strftime("%-d"),
            (true, false) => first.strftime("%-d %B"),
            (false, _) => first.strftime("%-d %B %Y"),
        };
        format!("{from} to {}", last.strftime("%-d %B %Y"))
    }
}

fn zone_or_utc(timezone: &str) -> TimeZone {
    zone(timezone).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::time_text;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn week_is_the_last_whole_one_in_the_time_zone_of_the_site() {
        let range = |now: &str, timezone: &str| {
            let week = Week::last(at(now), timezone).unwrap();
            [week.range.from_ms, week.range.to_ms, week.due_ms].map(time_text)
        };
        let expected = ["2026-11-22T15:00:00Z", "2026-11-29T15:00:00Z", "2026-11-29T23:00:00Z"];
        assert_eq!(range("2026-11-29T15:00:00Z", "Asia/Tokyo"), expected, "Monday, 0:00 in Tokyo");
        assert_eq!(range("2026-12-06T14:59:59Z", "Asia/Tokyo"), expected, "Sunday, 23:59:59");
        let expected = ["2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-23T08:00:00Z"];
        assert_eq!(range("2026-11-29T15:00:00Z", "UTC"), expected);
        assert_eq!(range("2026-11-29T15:00:00Z", "Nowhere/Land"), expected, "UTC");
        // The clocks of Berlin went back on 25 October.
        let expected = ["2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z", "2026-10-26T07:00:00Z"];
        assert_eq!(range("2026-10-27T00:00:00Z", "Europe/Berlin"), expected);
    }

    #[test]
    fn digest_is_due_from_monday_8_for_three_days() {
        let week = Week::last(at("2026-11-30T00:00:00Z"), "UTC").unwrap();
        let due =
            ["2026-11-30T07:59:59Z", "2026-11-30T08:00:00Z", "2026-12-03T07:59:59Z", "2026-12-03T08:00:00Z"];
        assert_eq!(due.map(|now| week.is_due(at(now))), [false, true, true, false]);
        assert_eq!(Week::of_day(week.day(), "UTC"), Some(week.clone()));
        assert_eq!(week.before.to_ms, week.range.from_ms);
        assert_eq!(time_text(week.before.from_ms), "2026-11-16T00:00:00Z");
        assert_eq!(Week::last(i64::MAX, "UTC"), None);
    }

    #[test]
    fn week_is_named_without_repetition() {
        let title = |day: &str| Week::last(at(day), "UTC").unwrap().title();
        assert_eq!(title("2026-11-30T00:00:00Z"), "23 to 29 November 2026");
        assert_eq!(title("2026-12-07T00:00:00Z"), "30 November to 6 December 2026");
        assert_eq!(title("2027-01-04T00:00:00Z"), "28 December 2026 to 3 January 2027");
    }
}
