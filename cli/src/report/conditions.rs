//! The conditions of the page views that have a value of the metric, as tables and lines for people.

use crate::client::answer::{AttributionAnswer, SpreadAnswer};
use crate::output::table::{Cell, Column, Table};
use crate::output::{ABSENT, Terminal, number, plain, share};

/// Classes and `Server-Timing` entries with the metric in each, then what is a number or a reason.
pub(super) fn text(answer: &AttributionAnswer, terminal: Terminal) -> String {
    let mut text = String::new();
    let conditions = &answer.conditions;
    let mut table = Table::new(&[
        Column::word("CONDITION"),
        Column::text("CLASS"),
        Column::number("N").dropped(2),
        Column::number("SHARE"),
        Column::number("P75"),
        Column::number("MEDIAN MS").dropped(1),
    ]);
    let mut row = |condition: &str, class: &str, n, rated, median: String| {
        let (p75, rating) = rated;
        table.row(vec![
            condition.into(),
            class.into(),
            format!("{n}").into(),
            share(n, answer.measured).into(),
            Cell::painted(number(answer.metric, p75, &[]), crate::output::Ink::from(rating)),
            median.into(),
        ]);
    };
    for (condition, classes) in &conditions.classes {
        for one in classes {
            row(condition, &one.class, one.n, (one.p75, one.rating), ABSENT.to_owned());
        }
    }
    for one in &conditions.server_timings {
        let description = one.description.as_deref().unwrap_or_default();
        let class = format!("{} {description}", one.name);
        row("server-timing", class.trim_end(), one.n, (one.p75, one.rating), one.median_ms.to_string());
    }
    if !table.is_empty() {
        text.push_str(&table.render(terminal));
        text.push_str(&terminal.wrap("", "Page views by their conditions, with P75 of the metric in them."));
    }
    let mut line = |what: &str, spread: &SpreadAnswer, unit: &str| {
        if let (Some(p50), Some(p75)) = (spread.p50, spread.p75) {
            let line = format!("{what} of {} page views: p50 {p50} {unit}, p75 {p75} {unit}", spread.n);
            text.push_str(&terminal.wrap("", &line));
        }
    };
    line("Compressed document", &conditions.document_kb, "kB");
    line("First input", &conditions.first_input_ms, "ms");
    let cold = &conditions.cold_starts;
    if cold.n > 0 {
        let line = format!(
            "The browser had just started, or was busy, in about {} of {} page views",
            cold.estimated, cold.n
        );
        text.push_str(&terminal.wrap("", &line));
    }
    for one in &conditions.not_restored {
        let reason = plain(&one.reason);
        let line = format!("Not restored from the back/forward cache in {} page views: {reason}", one.n);
        text.push_str(&terminal.wrap("", &line));
    }
    text
}
