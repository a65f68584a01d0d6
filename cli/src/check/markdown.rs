//! Renders a check as Markdown, for merge requests and job summaries.

use super::Checked;
use crate::output::markdown::escape;
use crate::output::share;
use vitals::gate::Verdict;

pub(super) fn render(checked: &Checked<'_>) -> String {
    let mut text = format!(
        "### Web Vitals budgets: {}\n\n{}\n\n| | Route | Budget | Measured (90 % interval) | Page views | Within | Why |\n|-|-|-|-|-:|-:|-|\n",
        escape(&checked.sum()),
        escape(&checked.about()),
    );
    for budget in &checked.answer.budgets {
        let mark = match budget.verdict {
            Verdict::Pass => "✅ pass",
            Verdict::Fail => "❌ fail",
            Verdict::Inconclusive => "❔ inconclusive",
        };
        let route = match &budget.device {
            Some(device) => format!("{}, {device}", budget.route),
            None => budget.route.clone(),
        };
        let cells = [
            mark.to_owned(),
            escape(&route),
            escape(&budget.promise()),
            escape(&budget.measurement()),
            budget.n.to_string(),
            share(budget.within, budget.n),
            escape(&budget.why()),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}
