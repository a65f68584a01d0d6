//! The period of a query, and of its answer.

use crate::limits;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The longest period that ends with the current minute; longer ones end with the current hour. Half an hour more or less
/// changes a short period's answer, and parts of hours cost reads of page views.
const MINUTES_PERIOD_MS_MAX: i64 = 2 * DAY_MS;

/// Largest length of a counted period, in per cent of the asked one: both ends of 28 days may grow to whole days.
const GROWN_PERCENT_MAX: i64 = 110;

/// A range of page view start times in UTC milliseconds: whole minutes, end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Start of the range.
    pub from_ms: i64,
    /// End of the range, excluded.
    pub to_ms: i64,
}

impl Range {
    /// Parses the range of a query: `from` and `to` (RFC 3339), or a `period` such as `24h` or `7d` that ends at `to`, or
    /// now: with the current minute, or with the current hour if longer than 2 days. The default is 7 days. A range that
    /// ends in the future ends now, because the time before it must not be longer than what it can count.
    ///
    /// # Errors
    /// The message says which parameter is wrong and what was expected.
    pub fn parse(
        period: Option<&str>,
        from: Option<&str>,
        to: Option<&str>,
        now_ms: i64,
    ) -> Result<Self, String> {
        if from.is_some() && period.is_some() {
            return Err("`period` and `from` exclude each other".to_owned());
        }
        let length_ms = duration_ms(period.unwrap_or("7d"))?;
        // Excludes page views from devices whose clocks run ahead, until their start time is reached.
        let now_of = |is_long| next(now_ms.saturating_add(1), if is_long { HOUR_MS } else { MINUTE_MS });
        let to_ms = to.map(|text| Ok::<_, String>(next(instant("to", text)?, MINUTE_MS))).transpose()?;
        let from_ms = match from {
            Some(text) => instant("from", text)?.div_euclid(MINUTE_MS) * MINUTE_MS,
            None => {
                to_ms.unwrap_or_else(|| now_of(length_ms > MINUTES_PERIOD_MS_MAX)).saturating_sub(length_ms)
            }
        };
        let end_ms = match to_ms {
            Some(to_ms) => to_ms.min(now_of(to_ms.saturating_sub(from_ms) > MINUTES_PERIOD_MS_MAX)),
            None => now_of(from.is_none() && length_ms > MINUTES_PERIOD_MS_MAX),
        };
        if to_ms.is_some_and(|to_ms| from_ms >= to_ms) {
            return Err("the range is empty: `from` is not before `to`".to_owned());
        }
        if from_ms >= end_ms {
            let (from, now) = (time_text(from_ms), time_text(now_ms.div_euclid(1_000) * 1_000));
            return Err(format!("the period is in the future: it begins at {from}, and now is {now}"));
        }
        if end_ms.saturating_sub(from_ms) > limits::QUERY_DAYS_MAX * DAY_MS {
            return Err(format!("the range is longer than {} days", limits::QUERY_DAYS_MAX));
        }
        Ok(Self { from_ms, to_ms: end_ms })
    }

    /// Whether a counted period is this one, but for its ends.
    #[must_use]
    pub const fn is_about(self, counted: &std::ops::Range<i64>) -> bool {
        let (counted_ms, asked_ms) =
            (counted.end.saturating_sub(counted.start), self.to_ms.saturating_sub(self.from_ms));
        counted.start <= self.from_ms
            && counted.end >= self.to_ms
            && counted_ms.saturating_mul(100) <= asked_ms.saturating_mul(GROWN_PERCENT_MAX)
    }
}

/// Returns the first start of a step at or after a moment.
const fn next(ms: i64, step_ms: i64) -> i64 {
    ms.saturating_add(step_ms - 1).div_euclid(step_ms) * step_ms
}

fn instant(name: &str, text: &str) -> Result<i64, String> {
    text.parse::<Timestamp>()
        .map(Timestamp::as_millisecond)
        .map_err(|_| format!("`{name}` is `{}`: expected a time such as 2026-11-21T00:00:00Z", short(text)))
}

fn duration_ms(period: &str) -> Result<i64, String> {
    let wrong = || format!("`period` is `{}`: expected hours or days, such as 24h or 28d", short(period));
    let (digits, unit_ms) = match period.strip_suffix('h') {
        Some(digits) => (digits, HOUR_MS),
        None => (period.strip_suffix('d').ok_or_else(wrong)?, DAY_MS),
    };
    let count: i64 = digits.parse().map_err(|_| wrong())?;
    if count < 1 { Err(wrong()) } else { count.checked_mul(unit_ms).ok_or_else(wrong) }
}

/// Cuts a parameter's value for an error message.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(32).collect()
}

/// Formats UTC milliseconds as RFC 3339.
#[must_use]
pub fn time_text(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}

/// The period of an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PeriodReport {
    /// Start of the period by page view start, RFC 3339, UTC.
    pub from: String,
    /// End of the period, excluded.
    pub to: String,
    /// Set if a part of the requested period is past the retention of the data that the answer needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited: Option<String>,
}

impl PeriodReport {
    /// The counted period of an answer, beside the requested range.
    #[must_use]
    pub fn counted(period: std::ops::Range<i64>, asked: Range) -> Self {
        let limited = (period.start > asked.from_ms).then(|| {
            let from = time_text(period.start);
            format!("the data for this question is kept from {from} on; filters and groupings that only page views have \
                     work within the retention of page views")
        });
        Self { limited, ..period.into() }
    }
}

impl From<Range> for PeriodReport {
    fn from(range: Range) -> Self {
        (range.from_ms..range.to_ms).into()
    }
}

impl From<std::ops::Range<i64>> for PeriodReport {
    fn from(period: std::ops::Range<i64>) -> Self {
        Self { from: time_text(period.start), to: time_text(period.end), limited: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_763_632_800_000 + 1_234_567;

    #[test]
    fn period_ends_with_the_current_minute_or_if_long_with_the_current_hour() {
        for (period, length_ms, step_ms) in [
            ("1h", HOUR_MS, MINUTE_MS),
            ("24h", DAY_MS, MINUTE_MS),
            ("2d", 2 * DAY_MS, MINUTE_MS),
            ("49h", 49 * HOUR_MS, HOUR_MS),
            ("7d", 7 * DAY_MS, HOUR_MS),
        ] {
            for now_ms in [NOW_MS, NOW_MS / HOUR_MS * HOUR_MS, NOW_MS / HOUR_MS * HOUR_MS - 1] {
                let range = Range::parse(Some(period), None, None, now_ms).unwrap();
                assert_eq!((range.to_ms - range.from_ms, range.to_ms % step_ms), (length_ms, 0), "{period}");
                assert!(now_ms < range.to_ms && range.to_ms <= now_ms + step_ms, "{period}: {now_ms}");
            }
        }
    }

    #[test]
    fn period_ends_now_if_it_would_end_in_the_future() {
        let of = |period, from, to| Range::parse(period, from, Some(to), NOW_MS).map(PeriodReport::from);
        // Now is 10:20:34.
        for (period, from, to, expected) in [
            (
                None,
                Some("2025-11-20T00:00:00Z"),
                "2025-11-21T00:00:00Z",
                ["2025-11-20T00:00:00Z", "2025-11-20T10:21:00Z"],
            ),
            (Some("24h"), None, "2025-11-21T00:00:00Z", ["2025-11-20T00:00:00Z", "2025-11-20T10:21:00Z"]),
            (Some("7d"), None, "2025-11-21T00:00:00Z", ["2025-11-14T00:00:00Z", "2025-11-20T11:00:00Z"]),
            (
                None,
                Some("2025-11-01T00:00:00Z"),
                "2025-11-20T10:21:00Z",
                ["2025-11-01T00:00:00Z", "2025-11-20T10:21:00Z"],
            ),
        ] {
            let period = of(period, from, to).unwrap();
            assert_eq!([period.from.as_str(), period.to.as_str()], expected);
        }
        let wrong = of(None, Some("2025-11-21T00:00:00Z"), "2025-11-22T00:00:00Z").err().unwrap();
        assert_eq!(
            wrong,
            "the period is in the future: it begins at 2025-11-21T00:00:00Z, and now is 2025-11-20T10:20:34Z"
        );
        assert!(Range::parse(None, Some("2025-11-21T00:00:00Z"), None, NOW_MS).is_err(), "without an end");
    }

    #[test]
    fn a_period_that_was_cut_or_grew_a_lot_is_another() {
        let asked = Range { from_ms: 1_000, to_ms: 2_000 };
        assert!(asked.is_about(&(1_000..2_000)) && asked.is_about(&(950..2_050)));
        assert!(!asked.is_about(&(1_001..2_000)), "cut by retention");
        assert!(!asked.is_about(&(1_000..1_999)) && !asked.is_about(&(900..2_100)));
    }

    #[test]
    fn ranges_are_whole_minutes() {
        let range = |period, from, to| {
            let range = Range::parse(period, from, Some(to), NOW_MS).map(PeriodReport::from);
            range.map(|period| (period.from, period.to))
        };
        let of = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
        assert_eq!(
            range(None, Some("2025-11-18T00:30:10Z"), "2025-11-18T00:59:10Z"),
            of("2025-11-18T00:30:00Z", "2025-11-18T01:00:00Z")
        );
        assert_eq!(
            range(Some("7d"), None, "2025-11-18T00:30:00Z"),
            of("2025-11-11T00:30:00Z", "2025-11-18T00:30:00Z")
        );
        assert_eq!(Range::parse(None, None, None, NOW_MS), Range::parse(Some("7d"), None, None, NOW_MS));
        for (period, from, to) in [
            (Some("7"), None, None),
            (Some("0d"), None, None),
            (Some("-1d"), None, None),
            (Some("99999d"), None, None),
            (Some("9223372036854775807d"), None, None),
            (Some("7d"), Some("2025-11-18T00:00:00Z"), None),
            (None, Some("yesterday"), None),
            (None, Some("2025-11-18T00:00:00Z"), Some("2025-11-17T00:00:00Z")),
        ] {
            assert!(Range::parse(period, from, to, NOW_MS).is_err(), "{period:?} {from:?} {to:?}");
        }
    }
}
