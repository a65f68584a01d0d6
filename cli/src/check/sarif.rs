//! Renders a check as SARIF 2.1.0, for code scanning of GitHub and other tools.
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>
//!
//! Findings point at the lines of the budget file: GitHub refuses web addresses as locations.

use super::code_quality::fingerprint;
use super::{Checked, Level};
use serde_json::json;

/// One result for each budget that is not kept.
pub(super) fn render(checked: &Checked<'_>) -> String {
    let mut rules: Vec<String> = Vec::new();
    let mut results = Vec::new();
    for (budget, level) in checked.findings() {
        let rule = budget.rule();
        let index = rules.iter().position(|known| *known == rule).unwrap_or_else(|| {
            rules.push(rule.clone());
            rules.len() - 1
        });
        let level = match level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        };
        results.push(json!({
            "ruleId": rule,
            "ruleIndex": index,
            "level": level,
            "message": {"text": checked.finding(budget)},
            "locations": [{"physicalLocation": {
                "artifactLocation": {"uri": uri(&checked.path())},
                "region": {"startLine": budget.line.max(1)},
            }}],
            "partialFingerprints": {"budget/v1": fingerprint(&budget.identity())},
        }));
    }
    let rules: Vec<_> = rules
        .iter()
        .map(|rule| json!({"id": rule, "shortDescription": {"text": format!("Budget of {rule}")}}))
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "fieldvitals",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

/// A path as a relative reference: RFC 3986 permits few characters.
fn uri(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_are_references() {
        assert_eq!(uri("ci/my budgets:é.toml"), "ci/my%20budgets%3A%C3%A9.toml");
    }
}
