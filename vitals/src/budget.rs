//! Defines budgets: limits on the metrics of pages, read from a file.
//!
//! A budget bounds a percentile of one metric over the page views of all routes that match a pattern: by a value, or by its
//! [`Increase`] over other page views. [`gate`](crate::gate) judges whether field data meets it. Files are TOML
//! ([`file`]), or those of other tools ([`foreign`]).

mod alias;
mod file;
mod foreign;
mod increase;
mod mistake;
mod write;

pub use file::KEYS;
pub use increase::{Baseline, Increase, OnNoBaseline};

use crate::gate::{Verdict, overall};
use crate::metric::{Metric, Value};
use crate::view::{Device, NavigationType, Os};
use serde::{Deserialize, Serialize};

/// The format of a budget file in a sentence, for hints.
pub const FORMAT: &str = "A budget is `[[budget]]` and, on lines of their own, metric = \"LCP\", max = 2500 (or \
    max_increase = \"5%\") and optionally route = \"/product/*\", device = \"phone\", percentile = 75, min_samples = 100, \
    or another filter.";
/// Default percentile of a budget: the one that assesses Web Vitals
/// (<https://web.dev/articles/defining-core-web-vitals-thresholds>).
pub const PERCENTILE_DEFAULT: u8 = 75;
/// Default minimum of page views before a budget is judged. The test itself can decide with fewer, but a few page
/// views seldom represent all visitors.
pub const MIN_SAMPLES_DEFAULT: u64 = 100;
/// The pattern that matches every route.
pub const ROUTE_DEFAULT: &str = "*";

/// The budgets of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetFile {
    /// The tool whose format the file has; `None` for our own.
    pub tool: Option<&'static str>,
    /// The budgets, at least one.
    pub budgets: Vec<Budget>,
    /// Limits of another tool that page views cannot judge.
    pub not_evaluated: Vec<NotEvaluated>,
}

/// A limit of another tool that page views cannot judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotEvaluated {
    /// The line in the file, from 1.
    pub line: usize,
    /// The limit's name in the file.
    pub what: String,
    /// The reason.
    pub why: String,
    /// The host of a URL, if nothing but this host is not evaluated: routes have none. No fault on a site of this host.
    pub host: Option<String>,
}

/// An error in a budget file. `Display` writes ``7:10: unknown metric `LCPP`, did you mean `LCP`?; expected …``, to be
/// appended to the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The fault.
    pub found: String,
    /// The expected text.
    pub expected: String,
}

impl core::fmt::Display for BudgetError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:{}: {}; expected {}", self.line, self.column, self.found, self.expected)
    }
}

impl core::error::Error for BudgetError {}

/// Reads a budget file: TOML as docs/budgets.md describes it, or the file of another tool.
///
/// # Errors
/// If the file has a mistake or no budget. Reports the first one.
pub fn parse(text: &str) -> Result<BudgetFile, BudgetError> {
    match foreign::parse(text) {
        Some(read) => read,
        None => file::parse(text).map(|budgets| BudgetFile { budgets, ..BudgetFile::default() }),
    }
}

/// What follows from an exceeded budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The check fails.
    #[default]
    Error,
    /// The check warns.
    Warn,
}

impl Severity {
    /// All severities.
    pub const ALL: &'static [Self] = &[Self::Error, Self::Warn];

    /// Returns the name in files and API: `error` or `warn`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
        }
    }

    /// Returns the severity of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|severity| severity.name() == name)
    }
}

/// Returns the verdict of a whole check: that of its budgets of the severity `error` ([`overall`]). A check of warnings
/// alone passes.
#[must_use]
pub fn verdict(budgets: impl Iterator<Item = (Severity, Verdict)>) -> Verdict {
    let verdicts: Vec<(Severity, Verdict)> = budgets.collect();
    let errors: Vec<Verdict> = verdicts
        .iter()
        .filter(|(severity, _)| *severity == Severity::Error)
        .map(|&(_, verdict)| verdict)
        .collect();
    if errors.is_empty() && !verdicts.is_empty() { Verdict::Pass } else { overall(&errors) }
}

/// The limit of a percentile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The largest value.
    Max(Value),
    /// The largest increase over a baseline.
    Increase(Increase),
}

impl Limit {
    /// Returns the largest value; `None` if it depends on a baseline.
    #[must_use]
    pub const fn max(&self) -> Option<Value> {
        match self {
            Self::Max(max) => Some(*max),
            Self::Increase(_) => None,
        }
    }

    /// Returns the largest increase; `None` if the limit is a value.
    #[must_use]
    pub const fn increase(&self) -> Option<&Increase> {
        match self {
            Self::Max(_) => None,
            Self::Increase(increase) => Some(increase),
        }
    }
}

/// A budget: the percentile of a metric, over the page views of matching routes, must keep a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// A pattern of routes. `*` matches any run of characters, including none; the pattern must match the whole
    /// route.
    pub route: String,
    /// Patterns of routes that do not count, although they match.
    pub except: Vec<String>,
    /// The metric.
    pub metric: Metric,
    /// The limit.
    pub limit: Limit,
    /// The percentile, 1 to 99.
    pub percentile: u8,
    /// The page views that count.
    pub filters: BudgetFilters,
    /// What follows if the budget is exceeded.
    pub severity: Severity,
    /// Page views needed before the budget is judged, at least 1.
    pub min_samples: u64,
    /// The line in the file where the budget starts, from 1.
    pub line: usize,
}

/// The properties of the page views that count for a budget; `None` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetFilters {
    /// The class of device.
    pub device: Option<Device>,
    /// The browser family.
    pub browser: Option<String>,
    /// The operating system family.
    pub os: Option<Os>,
    /// The country, ISO 3166-1 alpha-2 in upper case.
    pub country: Option<String>,
    /// The effective connection type.
    pub connection: Option<String>,
    /// The navigation type.
    pub navigation_type: Option<NavigationType>,
    /// The release.
    pub release: Option<String>,
}

impl BudgetFilters {
    /// Returns the given properties other than the device, with their names in files and API.
    pub fn further(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("browser", self.browser.as_deref()),
            ("os", self.os.map(Os::name)),
            ("country", self.country.as_deref()),
            ("connection", self.connection.as_deref()),
            ("navigation_type", self.navigation_type.map(NavigationType::name)),
            ("release", self.release.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

impl Budget {
    /// Returns the identity of a budget: metric, percentile, route, filters and baseline, without its limit. So a violation
    /// continues if only `max` changes. No two budgets of a file have the same key.
    #[must_use]
    pub fn key(&self) -> String {
        let device = self.filters.device.map_or("all", Device::name);
        let mut key = format!("{} p{} {device} {}", self.metric.name(), self.percentile, self.route);
        for (name, value) in self.filters.further() {
            key.push_str(&format!(" {name}={value}"));
        }
        if let Limit::Increase(increase) = &self.limit {
            key.push_str(&format!(" over {}", increase.baseline));
        }
        key
    }
}

/// Whether a pattern matches a whole text, `*` standing for any run of characters.
///
/// The first piece must start the text and the last must end it. The pieces between are searched leftmost first,
/// because an earlier match leaves at least the text that a later match leaves.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(first) else { return false };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_suffix(last) else { return false };
    for piece in between.split('*') {
        match text.split_once(piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_matches_whole_routes() {
        for (pattern, route, expected) in [
            ("*", "", true),
            ("*", "/a/b", true),
            ("/", "/", true),
            ("/", "/a", false),
            ("/product/*", "/product/", true),
            ("/product/*", "/product/:id/reviews", true),
            ("/product/*", "/product", false),
            ("/product/*", "/shop/product/1", false),
            ("*/reviews", "/product/:id/reviews", true),
            ("*/reviews", "/product/:id/reviews/1", false),
            ("/a*b*c", "/abc", true),
            ("/a*b*c", "/a-b-b-c", true),
            ("/a*b*c", "/acb", false),
            ("/a*a", "/a", false),
            ("/a**a", "/aa", true),
            ("/*é*", "/caffé/menu", true),
            ("/A", "/a", false),
            ("/a.c", "/abc", false),
        ] {
            assert_eq!(matches(pattern, route), expected, "{pattern} on {route}");
        }
    }

    /// Implements the definition directly, without regard to speed.
    fn defined(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| defined(rest, &text[at..])),
            Some((byte, rest)) => text.first() == Some(byte) && defined(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_defined(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), defined(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn warnings_never_fail_a_check() {
        use Severity::{Error, Warn};
        use Verdict::{Fail, Inconclusive, Pass};
        for (budgets, expected) in [
            (&[(Error, Pass), (Warn, Fail)][..], Pass),
            (&[(Error, Fail), (Warn, Pass)], Fail),
            (&[(Error, Inconclusive), (Warn, Pass)], Inconclusive),
            (&[(Warn, Fail), (Warn, Inconclusive)], Pass),
            (&[], Inconclusive),
        ] {
            assert_eq!(verdict(budgets.iter().copied()), expected, "{budgets:?}");
        }
        for &severity in Severity::ALL {
            assert_eq!(Severity::from_name(severity.name()), Some(severity));
        }
    }

    #[test]
    fn a_key_says_what_is_promised_but_not_how_much() {
        let budgets = file::parse(
            "[[budget]]\nmetric = 'LCP'\nmax = 2500\n[[budget]]\nroute = '/p/*'\ndevice = 'phone'\npercentile = 90\nmetric = 'cls'\nmax = 0.1",
        )
        .unwrap();
        let keys: Vec<String> = budgets.iter().map(Budget::key).collect();
        assert_eq!(keys, ["LCP p75 all *", "CLS p90 phone /p/*"]);
        let tighter =
            Budget { limit: Limit::Max(Value::ZERO), min_samples: 1, line: 9, ..budgets[0].clone() };
        assert_eq!(tighter.key(), keys[0]);
        let of_germany =
            file::parse("[[budget]]\nmetric = 'LCP'\nmax = 2500\ncountry = 'de'\nos = 'ios'").unwrap();
        assert_eq!(of_germany[0].key(), "LCP p75 all * os=ios country=DE");
        let relative = "[[budget]]\nmetric = 'LCP'\nmax_increase = '5%'\n";
        let both = file::parse(&format!("{relative}{relative}baseline = 'beside:1.4'")).unwrap();
        let keys: Vec<String> = both.iter().map(Budget::key).collect();
        assert_eq!(keys, ["LCP p75 all * over previous", "LCP p75 all * over beside:1.4"]);
    }
}
