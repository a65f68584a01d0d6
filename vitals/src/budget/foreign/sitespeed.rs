//! Budgets of sitespeed.io: <https://www.sitespeed.io/documentation/sitespeed.io/performance-budget/>.
//!
//! An older notation has lists of metrics by message.
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

/// Finds the limits of a budget in the older notation: lists by the type of a message, such as `browsertime.pageSummary`.
pub(super) fn messages(json: &Json) -> Option<&Map<String, Json>> {
    let messages = json.as_object()?;
    let is_message = |(name, limits): (&String, &Json)| {
        let is_list =
            limits.as_array().is_some_and(|list| list.iter().all(|one| one.get("metric").is_some()));
        is_list && [".pageSummary", ".summary", ".run"].iter().any(|end| name.ends_with(end))
    };
    (!messages.is_empty() && messages.iter().all(is_message)).then_some(messages)
}

/// Reads the older notation: the metric is a path, whose last part is a statistic.
pub(super) fn read_messages(messages: &Map<String, Json>, reader: &mut Reader<'_>) -> Read {
    for limit in messages.values().filter_map(Json::as_array).flatten() {
        let Some(path) = limit.get("metric").and_then(Json::as_str) else { continue };
        let found = path.split('.').find_map(metric);
        let percentile = path.rsplit('.').next().and_then(statistic);
        match (found, percentile, limit.get("max").and_then(Json::as_f64)) {
            (None, ..) => reader.not_evaluated(path, why_not(path)),
            (_, None, _) => reader.not_evaluated(path, "only percentiles are judged"),
            (.., None) => reader.not_evaluated(path, "only upper bounds are judged"),
            (Some(metric), Some(percentile), Some(max)) => {
                let (route, severity) = (ROUTE_DEFAULT.to_owned(), Severity::Error);
                reader.budget(Limit { name: path, metric, max, percentile, route, severity });
            }
        }
    }
    Ok("sitespeed.io")
}

/// The percentile of a statistic: `median` or `p90`.
fn statistic(name: &str) -> Option<u8> {
    match name {
        "median" => Some(50),
        other => other.strip_prefix('p')?.parse().ok().filter(|percent| (1..=99).contains(percent)),
    }
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
