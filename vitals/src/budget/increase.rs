//! Budgets relative to other page views: how much a percentile may exceed that of a baseline.

use crate::compare;
use crate::gate::Allowance;
use crate::limits::{BASELINE_HOURS_MAX, INCREASE_PERCENT_MAX};
use crate::metric::{Metric, Value};

/// Steps of a per cent in which an increase is written.
const PER_PERCENT: f64 = 100.0;

/// A limit on the increase of a percentile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Increase {
    /// The largest increase, in hundredths of a per cent of the baseline's percentile.
    pub max: u32,
    /// Differences up to this never exceed the budget.
    pub least: Value,
    /// The page views to compare with.
    pub baseline: Baseline,
    /// What follows if there are none.
    pub on_no_baseline: OnNoBaseline,
}

/// The page views that a budget compares with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Baseline {
    /// The release that ran before.
    Previous,
    /// A named release.
    Release(String),
    /// A named release that runs at the same time.
    Beside(String),
    /// So many hours before the period.
    Period(u32),
}

/// What follows from a missing baseline: a first release, or a new route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnNoBaseline {
    /// The budget is inconclusive.
    #[default]
    Inconclusive,
    /// The budget is inconclusive and only warns.
    Warn,
}

impl OnNoBaseline {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Inconclusive, Self::Warn];

    /// Returns the name in files and API: `inconclusive` or `warn`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inconclusive => "inconclusive",
            Self::Warn => "warn",
        }
    }

    /// Returns the value of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }
}

impl core::fmt::Display for Baseline {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Previous => f.write_str("previous"),
            Self::Release(name) => write!(f, "release:{name}"),
            Self::Beside(name) => write!(f, "beside:{name}"),
            Self::Period(hours) => match hours.checked_rem(24) {
                Some(0) => write!(f, "period:{}d", hours / 24),
                _ => write!(f, "period:{hours}h"),
            },
        }
    }
}

impl Baseline {
    /// The forms of a baseline, for messages.
    pub const FORMS: &'static str = "\"previous\", \"release:1.4.2\", \"beside:1.4.2\" or \"period:7d\"";

    /// Parses `previous`, `release:NAME`, `beside:NAME` or `period:7d`; `None` if it is neither.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        if text == "previous" {
            return Some(Self::Previous);
        }
        let (kind, rest) = text.split_once(':')?;
        let is_name = !rest.is_empty() && rest.len() <= crate::limits::RELEASE_BYTES_MAX;
        match kind {
            "release" if is_name => Some(Self::Release(rest.to_owned())),
            "beside" if is_name => Some(Self::Beside(rest.to_owned())),
            "period" => hours(rest).map(Self::Period),
            _ => None,
        }
    }

    /// Returns the named release.
    #[must_use]
    pub fn release(&self) -> Option<&str> {
        match self {
            Self::Release(name) | Self::Beside(name) => Some(name),
            Self::Previous | Self::Period(_) => None,
        }
    }

    /// Whether only page views of a release can be compared with it.
    #[must_use]
    pub const fn is_of_releases(&self) -> bool {
        !matches!(self, Self::Period(_))
    }
}

impl Increase {
    /// Returns the default of [`Increase::least`]: the smallest difference that a comparison calls a change.
    #[must_use]
    pub fn least_default(metric: Metric) -> Value {
        Value::new(metric, compare::floor(metric)).unwrap_or(Value::ZERO)
    }

    /// Returns the largest increase, in per cent.
    #[must_use]
    pub fn percent(&self) -> f64 {
        f64::from(self.max) / PER_PERCENT
    }

    /// Returns the allowed difference, for the gate.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        Allowance { share: self.percent() / 100.0, least: self.least }
    }
}

/// Parses `5%` or `2.5 %`. Returns hundredths of a per cent; `None` if it is no such text, or more than
/// [`INCREASE_PERCENT_MAX`].
pub(super) fn percent(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?.trim_end();
    // Rust also parses `inf`, `1e3` and signs.
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    (number <= f64::from(INCREASE_PERCENT_MAX)).then(|| (number * PER_PERCENT).round() as u32)
}

/// Parses `7d` or `24h`. Returns hours.
fn hours(text: &str) -> Option<u32> {
    let (number, each) = match text.strip_suffix('d') {
        Some(days) => (days, 24),
        None => (text.strip_suffix('h')?, 1),
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let hours = number.parse::<u32>().ok()?.checked_mul(each)?;
    (1..=BASELINE_HOURS_MAX).contains(&hours).then_some(hours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baselines_are_read_as_they_are_written() {
        for text in ["previous", "release:5.0.9", "release:a:b", "beside:stable", "period:7d", "period:5h"] {
            assert_eq!(Baseline::from_text(text).unwrap().to_string(), text);
        }
        assert_eq!(Baseline::from_text("period:48h").unwrap().to_string(), "period:2d");
        for wrong in [
            "",
            "Previous",
            "release",
            "release:",
            "beside:",
            "period:",
            "period:0d",
            "period:-1d",
            "period:1w",
            "period:31d",
        ] {
            assert_eq!(Baseline::from_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn increases_are_per_cent() {
        for (text, expected) in
            [("5%", Some(500)), ("2.5 %", Some(250)), ("0%", Some(0)), ("1000%", Some(100_000))]
        {
            assert_eq!(percent(text), expected, "{text}");
        }
        for wrong in ["5", "%", "-5%", "1001%", "5,5%", "inf%", "5ms", ""] {
            assert_eq!(percent(wrong), None, "{wrong}");
        }
        for metric in Metric::ALL {
            assert!(Increase::least_default(metric) > Value::ZERO, "{}", metric.name());
        }
    }
}
