//! Renders a check as a table for people.

use super::Checked;
use crate::client::answer::gate::BudgetAnswer;
use crate::output::table::{Cell, Column, Table};
use crate::output::{ABSENT, Ink, Terminal, number, share};
use vitals::budget::Severity;
use vitals::gate::Verdict;

pub(super) fn render(checked: &Checked<'_>, terminal: Terminal) -> String {
    let mut table = Table::new(&[
        Column::word("VERDICT"),
        Column::number("LINE").dropped(2),
        Column::text("ROUTE"),
        Column::word("DEVICE").dropped(5),
        Column::word("METRIC"),
        Column::number("MAX"),
        Column::number("MEASURED"),
        Column::number("INTERVAL").dropped(4),
        Column::number("N").dropped(6),
        Column::number("WITHIN").dropped(3),
        Column::number("EFFECT").dropped(1),
    ]);
    for budget in &checked.answer.budgets {
        let cells = vec![
            Cell::painted(verdict(budget), ink(budget.verdict)),
            budget.line.to_string().into(),
            budget.route_text().into(),
            budget.device.as_deref().unwrap_or("all").into(),
            format!("{} p{}", budget.metric.name(), budget.percentile).into(),
            budget.limit().into(),
            budget.measured.map_or_else(|| ABSENT.to_owned(), |measured| budget.value(measured)).into(),
            interval(budget).into(),
            budget.n.to_string().into(),
            share(budget.within, budget.n).into(),
            budget.effect().into(),
        ];
        table.noted_row(cells, budget.why());
    }
    let title = terminal.wrap("", &format!("{} · {}", checked.file, checked.about()));
    let sum = terminal.paint(ink(checked.verdict), &checked.sum());
    let not_evaluated: String = checked.not_evaluated().map(|line| terminal.wrap("", &line)).collect();
    format!("{title}\n{}\n{not_evaluated}{sum}\n", table.render(terminal))
}

/// The verdict, and whether it only warns.
fn verdict(budget: &BudgetAnswer) -> &'static str {
    match (budget.verdict, budget.severity) {
        (Verdict::Fail, Severity::Warn) => "fail (warn)",
        (verdict, _) => verdict.name(),
    }
}

/// `3000–3200`, in the unit of the value beside it.
fn interval(budget: &BudgetAnswer) -> String {
    let end = |end| number(budget.metric, end, budget.max.as_slice());
    budget.interval.map_or_else(|| ABSENT.to_owned(), |[low, high]| format!("{}–{}", end(low), end(high)))
}

fn ink(verdict: Verdict) -> Ink {
    match verdict {
        Verdict::Pass => Ink::Green,
        Verdict::Fail => Ink::Red,
        Verdict::Inconclusive => Ink::Yellow,
    }
}
