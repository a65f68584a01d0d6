//! Lighthouse's `budget.json`: <https://github.com/GoogleChrome/lighthouse/blob/v11.0.0/docs/performance-budgets.md>.
//!
//! A configuration of Lighthouse may hold the same entries under `settings.budgets`.
//!
//! The last entry whose path matches a page replaces all entries before it.

use super::{Limit, Read, Reader, why_not, wrong};
use crate::budget::file::clean;
use crate::budget::{PERCENTILE_DEFAULT, Severity, alias};
use serde_json::Value as Json;

/// Whether the entries of an array look like budgets.
pub(super) fn is_budget(entries: &[Json]) -> bool {
    let keys = ["timings", "resourceSizes", "resourceCounts"];
    entries.iter().any(|entry| keys.iter().any(|key| entry.get(key).is_some()))
}

/// Finds the budgets in a configuration of Lighthouse, or in an object around them.
pub(super) fn settings(json: &Json) -> Option<&[Json]> {
    let settings = json.get("settings").unwrap_or(json);
    let entries = settings.get("budgets")?.as_array()?;
    is_budget(entries).then_some(entries.as_slice())
}

/// Reads the entries.
pub(super) fn read(entries: &[Json], reader: &mut Reader<'_>) -> Read {
    for entry in entries {
        let known = ["path", "options", "timings", "resourceSizes", "resourceCounts"];
        let Some(entry) = entry.as_object() else {
            let found = "a budget.json of Lighthouse with an entry that is no object".to_owned();
            return wrong(1, found, "an object with `path` and `timings`");
        };
        if let Some(key) = entry.keys().find(|key| !known.contains(&key.as_str())) {
            let found = format!("a budget.json of Lighthouse with the unknown key `{}`", clean(key));
            return wrong(reader.line(key), found, "path, options, timings, resourceSizes or resourceCounts");
        }
        let expected = "a path that begins with `/`, with at most one `*`, and `$` only at its end";
        let path = match entry.get("path") {
            None => "/",
            Some(Json::String(path)) => path,
            Some(_) => return wrong(reader.line("path"), "a `path` that is no text".to_owned(), expected),
        };
        let Some(pattern) = pattern(path) else {
            return wrong(reader.line(path), format!("the path `{}`", clean(path)), expected);
        };
        reader.replace(&pattern);
        for budget in &mut reader.file.budgets {
            if !budget.except.contains(&pattern) {
                budget.except.push(pattern.clone());
            }
        }
        if entry.contains_key("path") {
            reader.enter(path);
        }
        for timing in entry.get("timings").and_then(Json::as_array).into_iter().flatten() {
            let (name, max) =
                (timing.get("metric").and_then(Json::as_str), timing.get("budget").and_then(Json::as_f64));
            let (Some(name), Some(max)) = (name, max) else {
                let found = "a timing without `metric` and `budget`".to_owned();
                return wrong(reader.line("timings"), found, r#"{"metric": "interactive", "budget": 5000}"#);
            };
            match alias::metric(name) {
                Some(metric) => {
                    let (percentile, route, severity) =
                        (PERCENTILE_DEFAULT, pattern.clone(), Severity::Error);
                    reader.budget(Limit { name, metric, max, percentile, route, severity });
                }
                None => reader.not_evaluated(name, why_not(name)),
            }
        }
        for key in ["resourceSizes", "resourceCounts"] {
            if entry.contains_key(key) {
                reader.not_evaluated(key, why_not(key));
            }
        }
    }
    Ok("Lighthouse")
}

/// Converts a path: it matches from its start, `*` is any run of characters, `$` is the end of the page's path.
fn pattern(path: &str) -> Option<String> {
    let whole = path.strip_suffix('$');
    let text = whole.unwrap_or(path);
    if !path.starts_with('/') || text.contains('$') || text.matches('*').count() > 1 {
        return None;
    }
    Some(if whole.is_some() || text.ends_with('*') { text.to_owned() } else { format!("{text}*") })
}
