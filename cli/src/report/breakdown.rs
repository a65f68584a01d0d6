//! Prints the metrics by the values of a dimension.

use super::tables::{DETAIL, LEGEND, detail, no_route, nothing, rated, title};
use super::{Args, CSV_COLUMNS, rows};
use crate::client::answer::{BreakdownAnswer, ValueAnswer};
use crate::output::csv::Csv;
use crate::output::table::{Cell, Column, Table};
use crate::output::{ABSENT, Terminal, plain};
use vitals::metric::Metric;

/// A table with a row a value: the 75th percentile of every metric, or all percentiles of one.
pub(super) fn table(answer: &BreakdownAnswer, args: &Args, terminal: Terminal) -> String {
    let mut text =
        title(&answer.site, answer.route.as_deref().unwrap_or_default(), &answer.period, args, terminal);
    if answer.values.is_empty() {
        text.push_str(&no_route(&answer.nearest_routes, terminal));
        text.push_str(&nothing(&answer.site, "page views", terminal));
    } else {
        let mut columns = vec![Column::text("VALUE"), Column::number("VIEWS")];
        match args.metric {
            Some(_) => columns.extend(DETAIL),
            None => columns.extend(Metric::ALL.map(column)),
        }
        let mut table = Table::new(&columns);
        for value in &answer.values {
            table.row(row(value, args.metric));
        }
        text.push_str(&args.metric.map_or_else(String::new, |metric| format!("{}\n", metric.name())));
        text.push_str(&table.render(terminal));
        let p75s = "75th percentiles in ms, CLS as a score; ! needs improvement, !! poor, ~ too few page views to tell";
        text.push_str(&terminal.wrap("", if args.metric.is_some() { LEGEND } else { p75s }));
    }
    text.push_str(&limited(answer.period.limited.as_deref(), terminal));
    text
}

/// The column of a metric; the least important are dropped first.
const fn column(metric: Metric) -> Column {
    let column = Column::number(metric.name());
    match metric {
        Metric::Fid => column.dropped(1),
        Metric::Tti => column.dropped(2),
        Metric::Fcp => column.dropped(3),
        Metric::Ttfb => column.dropped(4),
        Metric::Lcp | Metric::Inp | Metric::Cls => column,
    }
}

fn row(value: &ValueAnswer, metric: Option<Metric>) -> Vec<Cell> {
    let name = match value.value.as_deref() {
        None => ABSENT,
        Some("") => "(empty)",
        Some(name) => name,
    };
    let mut cells: Vec<Cell> = vec![name.into(), value.views.to_string().into()];
    match metric {
        Some(metric) => match value.metrics.get(metric.name()) {
            Some(one) => cells.extend(detail(metric, one)),
            None => cells.extend(DETAIL.map(|_| ABSENT.into())),
        },
        None => cells.extend(Metric::ALL.map(|metric| match value.metrics.get(metric.name()) {
            Some(one) => rated(metric, one),
            None => ABSENT.into(),
        })),
    }
    cells
}

/// The line that says which part of the period is past retention.
pub(super) fn limited(limited: Option<&str>, terminal: Terminal) -> String {
    limited.map_or_else(String::new, |limited| terminal.wrap("", &format!("Note: {}", plain(limited))))
}

/// A CSV with a line a value and metric.
pub(super) fn csv(answer: &BreakdownAnswer, args: &Args) -> String {
    let mut columns = CSV_COLUMNS;
    columns[1] = "value";
    let mut csv = Csv::new(columns);
    for value in &answer.values {
        let counts = [value.views, value.views_estimated.unwrap_or(value.views)];
        let name = value.value.as_deref().unwrap_or_default();
        // Values have no time before; the columns are those of a ranking.
        rows(&mut csv, args, [&answer.site, name], counts, (&value.metrics, &|_| None));
    }
    csv.finish()
}
