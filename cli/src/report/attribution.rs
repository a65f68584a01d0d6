//! Prints the explanations of a metric's values, as a table and as CSV.

use super::breakdown::limited;
use super::sampled::sampled;
use super::tables::{no_route, nothing, title};
use super::{Args, conditions};
use crate::client::answer::{AttributionAnswer, CauseAnswer};
use crate::output::csv::Csv;
use crate::output::table::{Cell, Column, Table};
use crate::output::{ABSENT, Terminal, number, plain, share};
use vitals::metric::Metric;

/// The parts of a metric by their API name, with their headings.
const fn parts(metric: Metric) -> &'static [(&'static str, &'static str)] {
    match metric {
        Metric::Lcp => &[
            ("ttfb", "TTFB"),
            ("load_delay", "LOAD DELAY"),
            ("load_duration", "LOAD"),
            ("render_delay", "RENDER DELAY"),
        ],
        Metric::Inp => {
            &[("input_delay", "INPUT DELAY"), ("processing", "PROCESSING"), ("presentation", "PRESENTATION")]
        }
        Metric::Ttfb => &[
            ("redirect", "REDIRECT"),
            ("service_worker", "WORKER"),
            ("cache", "CACHE"),
            ("dns", "DNS"),
            ("connect", "CONNECT"),
            ("request", "REQUEST"),
        ],
        _ => &[],
    }
}

/// A table of the most frequent causes, followed by the other explanations.
pub(super) fn table(answer: &AttributionAnswer, args: &Args, terminal: Terminal) -> String {
    let metric = answer.metric;
    let mut text =
        title(&answer.site, answer.route.as_deref().unwrap_or_default(), &answer.period, args, terminal);
    if answer.views == 0 {
        text.push_str(&no_route(&answer.nearest_routes, terminal));
        text.push_str(&nothing(&answer.site, "page views", terminal));
        return text;
    }
    let counts = format!(
        "{} page views, {} with {}, {} of which say what explains it",
        answer.views,
        answer.measured,
        metric.name(),
        answer.explained
    );
    text.push_str(&terminal.wrap("", &counts));
    text.push_str(&sampled(answer.sample.as_ref(), terminal));
    text.push_str(&limited(answer.period.limited.as_deref(), terminal));
    if !answer.causes.is_empty() {
        let mut columns = vec![Column::text(if metric == Metric::Ttfb { "LONGEST PART" } else { "ELEMENT" })];
        columns.extend(what(metric));
        columns.extend([Column::number("N").dropped(4), Column::number("SHARE"), Column::number("P75")]);
        columns.extend(parts(metric).iter().map(|&(_, heading)| Column::number(heading)));
        columns.extend(rest(metric));
        columns.extend((metric == Metric::Inp).then_some(Column::text("LONGEST SCRIPT").dropped(3)));
        let mut table = Table::new(&columns);
        for cause in &answer.causes {
            let others: Vec<String> = cause.selectors.iter().map(|selector| plain(selector)).collect();
            let note = if others.is_empty() { String::new() } else { format!("also {}", others.join(", ")) };
            table.noted_row(row(answer, cause), note);
        }
        text.push_str(&table.render(terminal));
        let order = if metric == Metric::Inp { " Ordered by N × P75." } else { "" };
        let legend = format!("Medians in ms; P75 of the metric in these page views.{order}");
        text.push_str(&terminal.wrap("", &legend));
    }
    let shown = answer.causes.len() as u64;
    if answer.causes_found > shown {
        text.push_str(&format!("{} more are not shown.\n", answer.causes_found - shown));
    }
    text.push_str(&conditions::text(answer, terminal));
    text.push_str(&beside(answer, terminal));
    text
}

/// The column beside a cause's element.
const fn what(metric: Metric) -> Option<Column> {
    match metric {
        Metric::Lcp => Some(Column::text("IMAGE")),
        Metric::Inp => Some(Column::word("EVENT")),
        _ => None,
    }
}

/// The columns after the parts.
fn rest(metric: Metric) -> Vec<Column> {
    let when = [Column::number("AT").dropped(2), Column::number("LOADED").dropped(1)];
    match metric {
        Metric::Inp => when.to_vec(),
        Metric::Cls => [Column::number("SHIFT")].into_iter().chain(when).collect(),
        _ => Vec::new(),
    }
}

fn row(answer: &AttributionAnswer, cause: &CauseAnswer) -> Vec<Cell> {
    let metric = answer.metric;
    let text = |text: &Option<String>| text.as_deref().unwrap_or(ABSENT).into();
    let ms = |ms: Option<u64>| ms.map_or_else(|| ABSENT.to_owned(), |ms| ms.to_string()).into();
    let part = cause.longest_part.as_deref().map(|part| {
        let known = parts(metric).iter().find(|(name, _)| *name == part);
        known.map_or(part, |(_, heading)| heading).to_lowercase()
    });
    let mut cells: Vec<Cell> = vec![text(if metric == Metric::Ttfb { &part } else { &cause.target })];
    match metric {
        Metric::Lcp => cells.push(text(&cause.url)),
        Metric::Inp => cells.push(text(&cause.event)),
        _ => {}
    }
    cells.push(cause.n.to_string().into());
    cells.push(share(cause.n, answer.explained).into());
    cells.push(Cell::painted(number(metric, cause.p75, &[]), cause.rating.into()));
    cells.extend(parts(metric).iter().map(|(name, _)| ms(cause.parts_ms.get(*name).copied())));
    if metric == Metric::Cls {
        let shift = cause.shift.map(|shift| number(metric, shift, &[]));
        cells.push(shift.unwrap_or_else(|| ABSENT.to_owned()).into());
    }
    if matches!(metric, Metric::Inp | Metric::Cls) {
        cells.push(ms(cause.at_ms));
        let complete = cause.load_states.get("complete").copied().unwrap_or(0);
        cells.push(share(complete, cause.load_states.values().sum()).into());
    }
    if metric == Metric::Inp {
        let script = cause.script.as_ref();
        let script = script.map(|script| format!("{} ({} ms)", script.url, script.median_ms));
        cells.push(script.as_deref().unwrap_or(ABSENT).into());
    }
    cells
}

/// Total Blocking Time, the reasons why TTI was not reached, and the collector's failures.
fn beside(answer: &AttributionAnswer, terminal: Terminal) -> String {
    let mut lines = Vec::new();
    if let (Some(p50), Some(p75)) = (answer.tbt.p50, answer.tbt.p75) {
        let n = answer.tbt.n;
        lines.push(format!("Total Blocking Time of {n} page views: p50 {p50:.0} ms, p75 {p75:.0} ms"));
    }
    let tti = &answer.tti;
    if tti.reached + tti.hidden + tti.network + tti.cpu > 0 {
        lines.push(format!(
            "TTI reached in {} page views; not in {} that were hidden or left, {} with requests in flight, {} with a \
             busy main thread",
            tti.reached, tti.hidden, tti.network, tti.cpu
        ));
    }
    for (part, n) in answer.collector_errors.iter().filter(|(_, n)| **n > 0) {
        let part = crate::output::plain(part);
        lines.push(format!("The collector's part `{part}` failed in {n} page views"));
    }
    lines.iter().map(|line| terminal.wrap("", line)).collect()
}

/// A CSV with one line per cause.
pub(super) fn csv(answer: &AttributionAnswer) -> String {
    let mut csv = Csv::new([
        "site",
        "route",
        "metric",
        "target",
        "url",
        "event",
        "longest_part",
        "n",
        "explained",
        "p75",
        "rating",
        "part",
        "median_ms",
    ]);
    for cause in &answer.causes {
        let filled = |text: &Option<String>| text.clone().unwrap_or_default();
        let parts =
            parts(answer.metric).iter().filter_map(|(name, _)| Some((*name, *cause.parts_ms.get(*name)?)));
        let lines = parts.chain(cause.at_ms.map(|at_ms| ("at", at_ms)));
        for (name, ms) in lines {
            csv.row(&[
                answer.site.clone(),
                filled(&answer.route),
                answer.metric.name().to_owned(),
                filled(&cause.target),
                filled(&cause.url),
                filled(&cause.event),
                filled(&cause.longest_part),
                cause.n.to_string(),
                answer.explained.to_string(),
                cause.p75.to_string(),
                cause.rating.name().to_owned(),
                name.to_owned(),
                ms.to_string(),
            ]);
        }
    }
    csv.finish()
}
