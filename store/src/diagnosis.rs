//! Findings of `fieldvitals doctor`: a check, its result, and advice. Each backend examines itself and changes nothing.

use serde::Serialize;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but will fail or slow down under some conditions.
    Warning,
    /// Does not work, or loses data.
    Problem,
}

impl Level {
    /// The name in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check, such as `store.schema`.
    pub check: &'static str,
    /// The result.
    pub level: Level,
    /// The facts, as a sentence.
    pub found: String,
    /// Advice for the operator; empty if there is nothing to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), advice: String::new() }
    }

    /// Works, but needs attention.
    #[must_use]
    pub fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, found: found.into(), advice: advice.into() }
    }

    /// Does not work.
    #[must_use]
    pub fn problem(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Problem, found: found.into(), advice: advice.into() }
    }
}

/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

/// Formats a size in MiB or GiB.
#[must_use]
pub fn size_text(bytes: u64) -> String {
    let mib = bytes as f64 / MIB;
    if mib < 1_024.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1_024.0) }
}

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Days by which the oldest page view may exceed retention: maintenance removes whole days, and doubts a clock that jumps
/// for an hour.
const RETENTION_SLACK_DAYS: i64 = 2;

/// Judges the age of the oldest stored page view. `oldest_ms` is its start, or that of its day; `None` without page
/// views.
#[must_use]
pub fn retention(oldest_ms: Option<i64>, now_ms: i64, kept_days: u32) -> Finding {
    const CHECK: &str = "store.retention";
    let Some(oldest_ms) = oldest_ms else {
        return Finding::ok(CHECK, format!("no page views; they are kept for {kept_days} days"));
    };
    let days = now_ms.saturating_sub(oldest_ms).max(0).div_euclid(DAY_MS);
    let found = format!("the oldest page view is {days} days old; they are kept for {kept_days} days");
    if days > i64::from(kept_days) + RETENTION_SLACK_DAYS {
        Finding::warning(
            CHECK,
            found,
            "Maintenance of a running server removes older ones: does a server run, with this --keep-views-days, and \
             what does its log say of maintenance?",
        )
    } else {
        Finding::ok(CHECK, found)
    }
}

/// Judges the schema's version; 0 without a schema.
#[must_use]
pub fn schema(found: i64, known: i64) -> Finding {
    const CHECK: &str = "store.schema";
    if found == known {
        Finding::ok(CHECK, format!("version {found}, the newest of this release"))
    } else if found == 0 {
        Finding::warning(
            CHECK,
            "no schema yet",
            "`fieldvitals serve` makes it at its start, and so does `fieldvitals migrate`.",
        )
    } else {
        Finding::warning(
            CHECK,
            format!("version {found}; this release has version {known}"),
            "`fieldvitals serve` migrates at its start, and so does `fieldvitals migrate`. Make a backup first.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_allows_the_days_that_maintenance_needs() {
        let now_ms = 100 * DAY_MS;
        let level = |days| retention(Some(now_ms - days * DAY_MS), now_ms, 30).level;
        assert_eq!((level(32), level(33)), (Level::Ok, Level::Warning));
        assert_eq!(retention(None, now_ms, 30).level, Level::Ok);
        assert_eq!(level(-1), Level::Ok, "a page view of a clock that is ahead");
    }

    #[test]
    fn schema_of_an_older_release_is_a_warning() {
        let levels = [(7, 7), (0, 7), (6, 7)].map(|(found, known)| schema(found, known).level);
        assert_eq!(levels, [Level::Ok, Level::Warning, Level::Warning]);
    }

    #[test]
    fn sizes_are_in_units_that_people_read() {
        assert_eq!(size_text(1_572_864), "1.5 MiB");
        assert_eq!(size_text(3 * 1024 * 1024 * 1024), "3.0 GiB");
    }
}
