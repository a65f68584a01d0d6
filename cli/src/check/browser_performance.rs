//! Renders a check as a browser performance report of GitLab, which compares it with that of the target branch.
//! <https://docs.gitlab.com/ci/testing/browser_performance_testing/>

use super::Checked;
use serde_json::{Value, json};
use vitals::metric::Unit;

/// A subject for each scope, with the measured percentiles. Budgets without a measurement are omitted.
pub(super) fn render(checked: &Checked<'_>) -> String {
    let mut subjects: Vec<(String, Vec<Value>)> = Vec::new();
    for budget in &checked.answer.budgets {
        let Some(measured) = budget.measured else { continue };
        let unit = match budget.metric.unit() {
            Unit::Milliseconds => " (ms)",
            Unit::Score => "",
        };
        // The percentile of a comparison is that at the baseline's shares of devices, countries and navigation types.
        let mix = budget.increase.as_ref().map(|increase| format!(" at the mix of {}", increase.baseline));
        let mix = mix.unwrap_or_default();
        let metric = json!({
            "name": format!("{} p{}{unit}{mix}", budget.metric.name(), budget.percentile),
            "value": measured,
            "desiredSize": "smaller",
        });
        let subject = format!("{}{}", if budget.lab { "lab " } else { "" }, budget.scope());
        match subjects.iter_mut().find(|(known, _)| *known == subject) {
            Some((_, metrics)) => metrics.push(metric),
            None => subjects.push((subject, vec![metric])),
        }
    }
    let subjects: Vec<Value> = subjects
        .into_iter()
        .map(|(subject, metrics)| json!({"subject": subject, "metrics": metrics}))
        .collect();
    format!("{:#}\n", json!(subjects))
}
