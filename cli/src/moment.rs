//! Parses and prints days and times of the command line; all are UTC.

use crate::output::plain;
use fieldvitals_server::report::time_text;
use jiff::Timestamp;
use jiff::civil::Date;

/// Parses a day such as `2026-11-21`. Returns its start in UTC milliseconds.
pub(crate) fn day(text: &str) -> Result<i64, String> {
    let wrong = || "expected a day such as 2026-11-21".to_owned();
    // `Date` also accepts a day that is followed by a time.
    if text.len() != "2026-11-21".len() {
        return Err(wrong());
    }
    let date: Date = text.parse().map_err(|_| wrong())?;
    let start: Timestamp = format!("{date}T00:00:00Z").parse().map_err(|_| wrong())?;
    Ok(start.as_millisecond())
}

/// Parses a time such as `2026-11-21T14:30:00Z`, or a day, meaning its start. Returns UTC milliseconds.
pub(crate) fn time(text: &str) -> Result<i64, String> {
    day(text).or_else(|_| {
        text.parse::<Timestamp>().map(Timestamp::as_millisecond).map_err(|_| {
            "expected a time such as 2026-11-21T14:30:00Z, or a day such as 2026-11-21".to_owned()
        })
    })
}

/// Formats the UTC day of a time.
pub(crate) fn day_text(at_ms: i64) -> String {
    let text = time_text(at_ms);
    text.split_once('T').map_or_else(|| text.clone(), |(day, _)| day.to_owned())
}

/// Formats a time: only the day at midnight, else day and time.
pub(crate) fn text(at_ms: i64) -> String {
    let text = time_text(at_ms);
    text.strip_suffix("T00:00:00Z").map_or_else(|| text.clone(), str::to_owned)
}

/// Shortens a time of the API: `2026-11-21 14:30`.
pub(crate) fn minute(time: &str) -> String {
    plain(&time.chars().take("2026-11-21T14:30".len()).collect::<String>()).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    #[test]
    fn days_are_read_and_written() {
        assert_eq!(day("1970-01-02"), Ok(DAY_MS));
        assert_eq!(day_text(DAY_MS + 5), "1970-01-02");
        for wrong in ["", "1970-1-2", "1970-02-30", "1970-01-02T00:00:00Z", "yesterday!", "19700102"] {
            assert!(day(wrong).is_err_and(|message| message.contains("2026-11-21")), "{wrong}");
        }
    }

    #[test]
    fn times_may_be_days() {
        assert_eq!(time("1970-01-02"), Ok(DAY_MS));
        assert_eq!(time("1970-01-02T00:00:01.5Z"), Ok(DAY_MS + 1_500));
        assert_eq!(time("1970-01-02T01:00:00+01:00"), Ok(DAY_MS));
        assert!(time("noon").is_err_and(|message| message.contains("T14:30:00Z")));
        assert_eq!(
            (text(DAY_MS), text(DAY_MS + 1_000)),
            ("1970-01-02".into(), "1970-01-02T00:00:01Z".into())
        );
    }
}
