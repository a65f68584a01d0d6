//! Budgets of sitespeed.io: <https://www.sitespeed.io/documentation/sitespeed.io/performance-budget/>.
//!
//! Limits for all pages are groups of metrics; limits for one page are groups under its URL.

use super::{Limit, Read, Reader, why_not};
use crate::budget::{PERCENTILE_DEFAULT, ROUTE_DEFAULT, Severity};
use crate::metric::Metric;
use serde_json::{Map, Value as Json};

/// Finds the budget of a configuration.
pub(super) fn budget(json: &Json) -> Option<&Map<String, Json>> {
    let budget = json.get("budget")?;
    // The command line's options hold the budget under `config`.
    budget.get("config").unwrap_or(budget).as_object()
}

/// Reads the budget.
pub(super) fn read(budget: &Map<String, Json>, reader: &mut Reader<'_>) -> Read {
    for (name, value) in budget {
        let Some(value) = value.as_object() else {
            reader.not_evaluated(name, why_not(name));
            continue;
        };
        if name.contains("://") {
            reader.from = 0;
            reader.enter(name);
            for (group, limits) in value {
                read_group(group, limits.as_object(), name, reader);
            }
            reader.from = 0;
        } else {
            read_group(name, Some(value), ROUTE_DEFAULT, reader);
        }
    }
    Ok("sitespeed.io")
}

fn read_group(group: &str, limits: Option<&Map<String, Json>>, route: &str, reader: &mut Reader<'_>) {
    let Some(limits) = limits.filter(|_| ["timings", "googleWebVitals"].contains(&group)) else {
        return reader.not_evaluated(group, why_not(group));
    };
    for (name, max) in limits {
        match (metric(name), max.as_f64()) {
            (Some(metric), Some(max)) => {
                let (percentile, route, severity) = (PERCENTILE_DEFAULT, route.to_owned(), Severity::Error);
                reader.budget(Limit { name, metric, max, percentile, route, severity });
            }
            (Some(_), None) => reader.not_evaluated(name, "its limit is no number"),
            (None, _) => reader.not_evaluated(name, why_not(name)),
        }
    }
}

fn metric(name: &str) -> Option<Metric> {
    match name {
        "largestContentfulPaint" => Some(Metric::Lcp),
        "firstContentfulPaint" => Some(Metric::Fcp),
        "cumulativeLayoutShift" => Some(Metric::Cls),
        "interactionToNextPaint" => Some(Metric::Inp),
        "firstInputDelay" => Some(Metric::Fid),
        "ttfb" | "timeToFirstByte" => Some(Metric::Ttfb),
        _ => None,
    }
}
