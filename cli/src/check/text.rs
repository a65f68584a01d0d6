//! Renders a check as a table for people.

use super::Checked;
use crate::client::answer::BudgetAnswer;
use crate::output::table::{Cell, Column, Table};
use crate::output::{ABSENT, Ink, Terminal, limit, number, share};
use vitals::gate::Verdict;

pub(super) fn render(checked: &Checked<'_>, terminal: Terminal) -> String {
    let mut table = Table::new(&[
        Column::word("VERDICT"),
        Column::number("LINE").dropped(1),
        Column::text("ROUTE"),
        Column::word("DEVICE").dropped(4),
        Column::word("METRIC"),
        Column::number("MAX"),
        Column::number("MEASURED"),
        Column::number("INTERVAL").dropped(3),
        Column::number("N").dropped(5),
        Column::number("WITHIN").dropped(2),
    ]);
    for budget in &checked.answer.budgets {
        let cells = vec![
            Cell::painted(budget.verdict.name(), ink(budget.verdict)),
            budget.line.to_string().into(),
            budget.route.as_str().into(),
            budget.device.as_deref().unwrap_or("all").into(),
            format!("{} p{}", budget.metric.name(), budget.percentile).into(),
            limit(budget.metric, budget.max).into(),
            budget.measured.map_or_else(|| ABSENT.to_owned(), |measured| budget.value(measured)).into(),
            interval(budget).into(),
            budget.n.to_string().into(),
            share(budget.within, budget.n).into(),
        ];
        table.noted_row(cells, budget.why());
    }
    let title = terminal.wrap("", &format!("{} · {}", checked.file, checked.about()));
    let sum = terminal.paint(ink(checked.verdict), &checked.sum());
    format!("{title}\n{}\n{sum}\n", table.render(terminal))
}

/// `3000–3200`, in the unit of the value beside it.
fn interval(budget: &BudgetAnswer) -> String {
    let end = |end| number(budget.metric, end, &[budget.max]);
    budget.interval.map_or_else(|| ABSENT.to_owned(), |[low, high]| format!("{}–{}", end(low), end(high)))
}

fn ink(verdict: Verdict) -> Ink {
    match verdict {
        Verdict::Pass => Ink::Green,
        Verdict::Fail => Ink::Red,
        Verdict::Inconclusive => Ink::Yellow,
    }
}
