//! Defines budgets: limits on the metrics of pages, read from a file.
//!
//! A budget bounds a percentile of one metric over the page views of all routes that match a pattern.
//! [`gate`](crate::gate) judges whether field data meets it.

mod file;

pub use file::{BudgetError, parse};

use crate::metric::{Metric, Value};
use crate::view::Device;

/// Default percentile of a budget: the one that assesses Web Vitals
/// (<https://web.dev/articles/defining-core-web-vitals-thresholds>).
pub const PERCENTILE_DEFAULT: u8 = 75;
/// Default minimum of page views before a budget is judged. The test itself can decide with fewer, but a few page
/// views seldom represent all visitors.
pub const MIN_SAMPLES_DEFAULT: u64 = 100;
/// The pattern that matches every route.
pub const ROUTE_DEFAULT: &str = "*";

/// A budget: the percentile of a metric, over the page views of matching routes, must be at most `max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// A pattern of routes. `*` matches any run of characters, including none; the pattern must match the whole
    /// route.
    pub route: String,
    /// The metric.
    pub metric: Metric,
    /// The largest value that meets the budget.
    pub max: Value,
    /// The percentile, 1 to 99.
    pub percentile: u8,
    /// The class of device whose page views count; `None` for all.
    pub device: Option<Device>,
    /// Page views needed before the budget is judged, at least 1.
    pub min_samples: u64,
    /// The line in the file where the budget starts, from 1.
    pub line: usize,
}

impl Budget {
    /// Returns the identity of a budget: metric, percentile, device and route, without `max`. So a violation
    /// continues if only `max` changes. No two budgets of a file have the same key.
    #[must_use]
    pub fn key(&self) -> String {
        let device = self.device.map_or("all", Device::name);
        format!("{} p{} {device} {}", self.metric.name(), self.percentile, self.route)
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
    fn a_key_says_what_is_promised_but_not_how_much() {
        let budgets = parse(
            "[[budget]]\nmetric = 'LCP'\nmax = 2500\n[[budget]]\nroute = '/p/*'\ndevice = 'phone'\npercentile = 90\nmetric = 'cls'\nmax = 0.1",
        )
        .unwrap();
        let keys: Vec<String> = budgets.iter().map(Budget::key).collect();
        assert_eq!(keys, ["LCP p75 all *", "CLS p90 phone /p/*"]);
        let tighter = Budget { max: Value::ZERO, min_samples: 1, line: 9, ..budgets[0].clone() };
        assert_eq!(tighter.key(), keys[0]);
    }
}
