//! Renders a check as Markdown, for merge requests and job summaries.

use super::Checked;
use crate::output::markdown::escape;
use crate::output::share;
use vitals::budget::Severity;
use vitals::gate::Verdict;

pub(super) fn render(checked: &Checked<'_>) -> String {
    let counted = if checked.answer.lab.is_some() { "Runs" } else { "Page views" };
    let mut text = format!(
        "### Web Vitals budgets: {}\n\n{}\n\n| | Route | Budget | Measured (90 % interval) | {counted} | Within | Design effect | Why |\n|-|-|-|-|-:|-:|-:|-|\n",
        escape(&checked.sum()),
        escape(&checked.about()),
    );
    for budget in &checked.answer.budgets {
        let mark = match budget.verdict {
            Verdict::Pass => "✅ pass",
            Verdict::Fail if budget.severity == Severity::Warn => "⚠️ fail (warn)",
            Verdict::Fail => "❌ fail",
            Verdict::Inconclusive => "❔ inconclusive",
        };
        let cells = [
            mark.to_owned(),
            escape(&budget.scope()),
            escape(&budget.promise()),
            escape(&budget.measurement()),
            budget.n.to_string(),
            share(budget.within, budget.n),
            escape(&budget.effect()),
            escape(&budget.why()),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    for line in checked.not_evaluated() {
        text.push_str(&format!("\n- {}", escape(&line)));
    }
    if !checked.answer.not_evaluated.is_empty() {
        text.push('\n');
    }
    text
}
