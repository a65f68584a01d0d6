//! The conditions of the page views that have a value of the metric, as tables and lines for people.

use super::tables::ABSENT;
use crate::client::answer::{AttributionAnswer, SpreadAnswer};
use crate::output::table::{Align, Cell, Table};
use crate::output::{Colour, number, plain, share};

/// Classes and `Server-Timing` entries with the metric in each, then what is a number or a reason.
pub(super) fn text(answer: &AttributionAnswer, colour: Colour) -> String {
    let mut text = String::new();
    let conditions = &answer.conditions;
    let mut table = Table::new(&[
        ("CONDITION", Align::Left),
        ("CLASS", Align::Left),
        ("N", Align::Right),
        ("SHARE", Align::Right),
        ("P75", Align::Right),
        ("MEDIAN MS", Align::Right),
    ]);
    let mut is_empty = true;
    let mut row = |condition: &str, class: &str, n, rated, median: String| {
        let (p75, rating) = rated;
        table.row(vec![
            condition.into(),
            class.into(),
            format!("{n}").into(),
            share(n, answer.measured).into(),
            Cell::painted(number(answer.metric, p75), crate::output::Ink::from(rating)),
            median.into(),
        ]);
        is_empty = false;
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
    if !is_empty {
        text.push_str(&table.render(colour));
        text.push_str("Page views by their conditions, with P75 of the metric in them.\n");
    }
    let mut line = |what: &str, spread: &SpreadAnswer, unit: &str| {
        if let (Some(p50), Some(p75)) = (spread.p50, spread.p75) {
            text.push_str(&format!(
                "{what} of {} page views: p50 {p50} {unit}, p75 {p75} {unit}\n",
                spread.n
            ));
        }
    };
    line("Compressed document", &conditions.document_kb, "kB");
    line("First input", &conditions.first_input_ms, "ms");
    let cold = &conditions.cold_starts;
    if cold.n > 0 {
        text.push_str(&format!(
            "The browser had just started, or was busy, in about {} of {} page views\n",
            cold.estimated, cold.n
        ));
    }
    for one in &conditions.not_restored {
        text.push_str(&format!(
            "Not restored from the back/forward cache in {} page views: {}\n",
            one.n,
            plain(&one.reason)
        ));
    }
    text
}
