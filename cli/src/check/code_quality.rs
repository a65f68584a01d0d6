//! Renders a check as a Code Quality report of GitLab, which shows it in merge requests.
//! <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>

use super::{Checked, Level};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// One finding for each budget that is not kept, at its line in the budget file.
pub(super) fn render(checked: &Checked<'_>) -> String {
    let findings: Vec<_> = checked
        .findings()
        .map(|(budget, level)| {
            let severity = match level {
                Level::Error => "critical",
                Level::Warning => "minor",
                Level::Note => "info",
            };
            json!({
                "description": checked.finding(budget),
                "check_name": budget.rule(),
                "fingerprint": fingerprint(&budget.identity()),
                "severity": severity,
                "location": {"path": checked.path(), "lines": {"begin": budget.line.max(1)}},
            })
        })
        .collect();
    format!("{:#}\n", json!(findings))
}

/// A stable name of a finding: GitLab compares the reports of two branches by it.
pub(super) fn fingerprint(identity: &str) -> String {
    Sha256::digest(identity).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
