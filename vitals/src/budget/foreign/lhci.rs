//! Assertions of Lighthouse CI: <https://github.com/GoogleChrome/lighthouse-ci/blob/main/docs/configuration.md#assert>.
//!
//! Every matching entry of `assertMatrix` applies.

use super::{Fault, Limit, Read, Reader, why_not, wrong};
use crate::budget::file::clean;
use crate::budget::{PERCENTILE_DEFAULT, ROUTE_DEFAULT, Severity, alias};
use serde_json::{Map, Value as Json};

/// The key that names a `budget.json`.
pub(super) const BUDGETS_FILE: &str = "budgetsFile";

/// A frequent mistake for it, which Lighthouse CI ignores.
const BUDGET_FILE: &str = "budgetFile";

/// What `assertMatrix` has.
const ENTRY: &str = r#"a list of objects such as {"matchingUrlPattern": ".*", "assertions": {}}"#;

/// What `assertions` have.
const ASSERTION: &str =
    r#""off", or such as "largest-contentful-paint": ["error", {"maxNumericValue": 2500}]"#;

/// Finds the assertions of a configuration.
pub(super) fn assertions(json: &Json) -> Option<&Map<String, Json>> {
    let outer = json.get("ci").unwrap_or(json);
    let assert = outer.get("assert").unwrap_or(outer).as_object()?;
    ["assertMatrix", "assertions", "preset", BUDGETS_FILE, BUDGET_FILE]
        .iter()
        .any(|key| assert.contains_key(*key))
        .then_some(assert)
}

/// Reads the assertions.
pub(super) fn read(assert: &Map<String, Json>, reader: &mut Reader<'_>) -> Read {
    match assert.get("assertMatrix") {
        None => entry(assert, reader)?,
        Some(matrix) => {
            let line = reader.line("assertMatrix");
            let Some(entries) = matrix.as_array() else {
                return wrong(line, "an `assertMatrix` that is no list".to_owned(), ENTRY);
            };
            for (place, one) in (1_usize..).zip(entries) {
                let Some(one) = one.as_object() else {
                    return wrong(
                        line,
                        format!("entry {place} of `assertMatrix`, which is no object"),
                        ENTRY,
                    );
                };
                if let Some(pattern) = one.get("matchingUrlPattern").and_then(Json::as_str) {
                    reader.enter(pattern);
                }
                entry(one, reader)?;
            }
        }
    }
    Ok("Lighthouse CI")
}

fn entry(entry: &Map<String, Json>, reader: &mut Reader<'_>) -> Result<(), Fault> {
    if entry.contains_key("preset") {
        reader.not_evaluated("preset", "its limits are scores of Lighthouse");
    }
    if let Some(path) = [BUDGETS_FILE, BUDGET_FILE].iter().find_map(|key| entry.get(*key)?.as_str()) {
        let why = format!("its limits are in {}; check that file, too", clean(path));
        reader.not_evaluated(BUDGETS_FILE, &why);
    }
    let regex = entry.get("matchingUrlPattern").and_then(Json::as_str);
    let route = match regex {
        None => Some(ROUTE_DEFAULT.to_owned()),
        Some(regex) => pattern(regex),
    };
    let Some(assertions) = entry.get("assertions") else { return Ok(()) };
    let Some(assertions) = assertions.as_object() else {
        let found = "`assertions` that are no object".to_owned();
        return wrong(reader.line("assertions"), found, ASSERTION);
    };
    for (name, assertion) in assertions {
        let (level, options) = match assertion {
            Json::Array(parts) => (parts.first().and_then(Json::as_str), parts.get(1)),
            other => (other.as_str(), None),
        };
        let severity = match level {
            Some("off") => continue,
            Some("warn") => Severity::Warn,
            Some("error") => Severity::Error,
            Some(other) => {
                let found = format!("the level `{}` of `{}`", clean(other), clean(name));
                return wrong(reader.line(name), found, "off, warn or error");
            }
            None => {
                let found = format!("the assertion `{}` without a level", clean(name));
                return wrong(reader.line(name), found, ASSERTION);
            }
        };
        let max = options.and_then(|options| options.get("maxNumericValue")).and_then(Json::as_f64);
        match (alias::metric(name), max, &route) {
            (None, ..) => reader.not_evaluated(name, why_not(name)),
            (Some(_), None, _) => {
                reader.not_evaluated(name, "it has no maxNumericValue; scores are Lighthouse's own");
            }
            (.., None) => reader.not_evaluated(name, "its matchingUrlPattern is no pattern of routes"),
            (Some(metric), Some(max), Some(route)) => {
                let (percentile, route) = (PERCENTILE_DEFAULT, route.clone());
                if let Some(regex) = regex {
                    reader.host(regex, regex);
                }
                reader.budget(Limit { name, metric, max, percentile, route, severity });
            }
        }
    }
    Ok(())
}

/// Converts a regular expression over URLs to a pattern of routes; `None` if it has more than origins, paths and `.*`.
fn pattern(regex: &str) -> Option<String> {
    let anchored = regex.starts_with('^') || regex.starts_with("http");
    let text = regex.trim_start_matches('^');
    let whole = text.strip_suffix('$');
    let text = whole.unwrap_or(text);
    let path = match text.split_once("://") {
        None => text.to_owned(),
        Some((scheme, rest)) => {
            if !["http", "https", "https?", "http.*", "http[s]?"].contains(&scheme) {
                return None;
            }
            // An origin may be an expression with a slash in brackets: `[^/]+`.
            let rest = rest.replace("[^/]+", "host").replace("[^/]*", "host");
            rest.find('/').map_or_else(|| "/".to_owned(), |at| rest.get(at..).unwrap_or_default().to_owned())
        }
    };
    let pattern = path.replace(".*", "*").replace("\\/", "/").replace("\\.", ".").replace("\\-", "-");
    if pattern.contains(['(', ')', '[', ']', '{', '}', '|', '+', '?', '\\', '^', '$']) {
        return None;
    }
    let start = if anchored || pattern.starts_with('*') { "" } else { "*" };
    let end = if whole.is_some() || pattern.ends_with('*') { "" } else { "*" };
    Some(format!("{start}{pattern}{end}"))
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn patterns_of_urls_are_patterns_of_routes() {
        for (regex, expected) in [
            (".*", Some("*")),
            ("https://[^/]+/app", Some("/app*")),
            ("^https://shop.example/$", Some("/")),
            ("http://localhost:3000/blog/.*", Some("/blog/*")),
            ("/cart", Some("*/cart*")),
            ("https?://.*/cart$", Some("/cart")),
            ("https://(a|b)/x", Some("/x*")),
            ("/product/[0-9]+", None),
        ] {
            assert_eq!(pattern(regex).as_deref(), expected, "{regex}");
        }
    }
}
