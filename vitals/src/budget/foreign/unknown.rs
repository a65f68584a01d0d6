//! Names what a file seems to be that holds no budgets.

use super::Format;
use crate::budget::file::clean;
use serde_json::Value as Json;

/// The formats of budget files.
pub(super) const EXPECTED: &str = "budgets in TOML (`[[budget]]`), or in JSON or YAML a budget.json of Lighthouse, assertions of \
    Lighthouse CI, thresholds of k6, or a budget of sitespeed.io";

/// Names a text that is no data; `None` if it may be TOML, JSON or YAML.
pub(super) fn text(start: &str) -> Option<String> {
    let found = if start.starts_with('<') {
        "an HTML or XML file"
    } else if start.contains("export const options") || start.contains("export let options") {
        "a script of k6; its options can be read as JSON"
    } else if start.contains("module.exports") || start.contains("export default") {
        "a JavaScript file, such as lighthouserc.js; its value can be read as JSON"
    } else {
        return None;
    };
    Some(found.to_owned())
}

/// Names a file in JSON or YAML.
pub(super) fn value(json: &Json, format: Format) -> String {
    let format = format.name();
    let has = |keys: &[&str]| keys.iter().all(|key| json.get(key).is_some());
    let all_have = |keys: &[&str]| {
        json.as_array().is_some_and(|list| {
            !list.is_empty() && list.iter().all(|one| keys.iter().all(|key| one.get(key).is_some()))
        })
    };
    let found = if has(&["lighthouseVersion", "audits"]) {
        "a report of Lighthouse, which has results and no limits"
    } else if has(&["name", "version", "scripts"]) || has(&["dependencies"]) || has(&["devDependencies"]) {
        "a package.json"
    } else if has(&["compilerOptions"]) {
        "a tsconfig.json"
    } else if all_have(&["path", "limit"]) {
        "limits of size-limit, which are about files"
    } else if has(&["bundlesize"]) || all_have(&["path", "maxSize"]) {
        "limits of bundlesize, which are about files"
    } else if has(&["ci"]) {
        "a configuration of Lighthouse CI without assertions"
    } else {
        return match json {
            Json::Object(object) if !object.is_empty() => {
                let keys: Vec<String> =
                    object.keys().take(5).map(|key| format!("`{}`", clean(key))).collect();
                format!("{format} without budgets: an object with {}", keys.join(", "))
            }
            Json::Array(_) => format!("{format} without budgets: a list"),
            _ => format!("{format} without budgets"),
        };
    };
    found.to_owned()
}
