//! Renders a check as a table for people.

use super::Checked;
use crate::output::table::{Align, Cell, Table};
use crate::output::{Colour, Ink, limit, share};
use vitals::gate::Verdict;

pub(super) fn render(checked: &Checked<'_>, colour: Colour) -> String {
    let mut table = Table::new(&[
        ("VERDICT", Align::Left),
        ("LINE", Align::Right),
        ("ROUTE", Align::Left),
        ("DEVICE", Align::Left),
        ("METRIC", Align::Left),
        ("MAX", Align::Right),
        ("MEASURED", Align::Right),
        ("N", Align::Right),
        ("WITHIN", Align::Right),
    ]);
    for budget in &checked.answer.budgets {
        table.row(vec![
            Cell::painted(budget.verdict.name(), ink(budget.verdict)),
            budget.line.to_string().into(),
            budget.route.as_str().into(),
            budget.device.as_deref().unwrap_or("all").into(),
            format!("{} p{}", budget.metric.name(), budget.percentile).into(),
            limit(budget.metric, budget.max).into(),
            budget.measurement().into(),
            budget.n.to_string().into(),
            share(budget.within, budget.n).into(),
        ]);
    }
    let rendered = table.render(colour);
    let mut lines = rendered.lines();
    let mut text = format!("{} · {}\n\n", checked.file, checked.about());
    text.extend(lines.next().map(|heading| format!("{heading}\n")));
    // The reason goes below its row: it is long, and table cells are cut.
    for (line, budget) in lines.zip(&checked.answer.budgets) {
        text.push_str(&format!("{line}\n    {}\n", budget.why()));
    }
    text.push_str(&format!("\n{}\n", colour.paint(ink(checked.verdict), &checked.sum())));
    text
}

fn ink(verdict: Verdict) -> Ink {
    match verdict {
        Verdict::Pass => Ink::Green,
        Verdict::Fail => Ink::Red,
        Verdict::Inconclusive => Ink::Yellow,
    }
}
