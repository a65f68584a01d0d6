//! The period of a query, and of its answer.

use crate::limits;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A range of page view start times in UTC milliseconds: whole hours, end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Start of the range.
    pub from_ms: i64,
    /// End of the range, excluded.
    pub to_ms: i64,
}

impl Range {
    /// Parses the range of a query: `from` and `to` (RFC 3339), or a `period` such as `24h` or `7d` that ends with the
    /// current hour (or at `to`). The default is 7 days.
    ///
    /// # Errors
    /// The message says which parameter is wrong and what was expected.
    pub fn parse(
        period: Option<&str>,
        from: Option<&str>,
        to: Option<&str>,
        now_ms: i64,
    ) -> Result<Self, String> {
        let next_hour = |ms: i64| ms.saturating_add(HOUR_MS - 1).div_euclid(HOUR_MS) * HOUR_MS;
        // Excludes page views from devices whose clocks run ahead, until their start time is reached.
        let end_ms = match to {
            Some(text) => next_hour(instant("to", text)?),
            None => next_hour(now_ms.saturating_add(1)),
        };
        let from_ms = match (from, period) {
            (Some(_), Some(_)) => return Err("`period` and `from` exclude each other".to_owned()),
            (Some(text), None) => instant("from", text)?.div_euclid(HOUR_MS) * HOUR_MS,
            (None, period) => end_ms.saturating_sub(duration_ms(period.unwrap_or("7d"))?),
        };
        if from_ms >= end_ms {
            return Err("the range is empty: `from` is not before `to`".to_owned());
        }
        if end_ms.saturating_sub(from_ms) > limits::QUERY_DAYS_MAX * DAY_MS {
            return Err(format!("the range is longer than {} days", limits::QUERY_DAYS_MAX));
        }
        Ok(Self { from_ms, to_ms: end_ms })
    }
}

fn instant(name: &str, text: &str) -> Result<i64, String> {
    text.parse::<Timestamp>()
        .map(Timestamp::as_millisecond)
        .map_err(|_| format!("`{name}`: expected a time such as 2026-11-21T00:00:00Z"))
}

fn duration_ms(period: &str) -> Result<i64, String> {
    let wrong = || {
        format!(
            "`period` is `{}`: expected hours or days, such as 24h or 28d",
            period.chars().take(32).collect::<String>()
        )
    };
    let (digits, unit_ms) = match period.strip_suffix('h') {
        Some(digits) => (digits, HOUR_MS),
        None => (period.strip_suffix('d').ok_or_else(wrong)?, DAY_MS),
    };
    let count: i64 = digits.parse().map_err(|_| wrong())?;
    if count < 1 { Err(wrong()) } else { count.checked_mul(unit_ms).ok_or_else(wrong) }
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
}

impl From<Range> for PeriodReport {
    fn from(range: Range) -> Self {
        Self { from: time_text(range.from_ms), to: time_text(range.to_ms) }
    }
}

impl From<std::ops::Range<i64>> for PeriodReport {
    fn from(period: std::ops::Range<i64>) -> Self {
        Self { from: time_text(period.start), to: time_text(period.end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_763_632_800_000 + 1_234_567;

    #[test]
    fn ranges_are_whole_hours_and_hold_now() {
        let day = Range::parse(Some("24h"), None, None, NOW_MS).unwrap();
        assert_eq!(day.to_ms - day.from_ms, DAY_MS);
        assert!(day.from_ms % HOUR_MS == 0 && day.from_ms <= NOW_MS && NOW_MS < day.to_ms);
        assert_eq!(
            Range::parse(None, Some("2026-11-20T00:30:00Z"), Some("2026-11-20T01:00:00Z"), NOW_MS)
                .map(PeriodReport::from)
                .map(|period| (period.from, period.to)),
            Ok(("2026-11-20T00:00:00Z".to_owned(), "2026-11-20T01:00:00Z".to_owned()))
        );
        for (period, from, to) in [
            (Some("7"), None, None),
            (Some("0d"), None, None),
            (Some("-1d"), None, None),
            (Some("99999d"), None, None),
            (Some("9223372036854775807d"), None, None),
            (Some("7d"), Some("2026-11-20T00:00:00Z"), None),
            (None, Some("yesterday"), None),
            (None, Some("2026-11-20T00:00:00Z"), Some("2026-11-19T00:00:00Z")),
        ] {
            assert!(Range::parse(period, from, to, NOW_MS).is_err(), "{period:?} {from:?} {to:?}");
        }
    }
}
