//! Reports as tables for people.

use super::{Args, shown, summary};
use crate::client::answer::summary::{PageAnswer, SummaryAnswer};
use crate::client::answer::{MetricAnswer, PeriodAnswer, RejectionsAnswer};
use crate::compare;
use crate::output::table::{Cell, Column, Table};
use crate::output::{ABSENT, Terminal, number, plain, share};
use vitals::metric::{Metric, Rating};

/// The assessment, the routes by rows, and what to repair first. The rows have the 75th percentile of every metric, or
/// all percentiles of one.
pub(super) fn ranking(answer: &SummaryAnswer, args: &Args, terminal: Terminal) -> String {
    let mut text =
        title(&answer.site, answer.route.as_deref().unwrap_or_default(), &answer.period, args, terminal);
    if answer.pages.is_empty() {
        text.push_str(&match answer.routes_hidden {
            0 => nothing(&answer.site, "page views", terminal),
            _ => hidden(answer, terminal),
        });
        return text;
    }
    text.push_str(&summary::quality(answer, terminal));
    text.push_str(&match args.metric {
        Some(metric) => detailed(answer, metric, terminal),
        None => overview(answer, terminal),
    });
    text.push_str(&hidden(answer, terminal));
    if answer.next_cursor.is_some() {
        text.push_str(&terminal.wrap("", "There are more routes; --limit N shows up to 500."));
    }
    text.push_str(&summary::advice(answer, terminal));
    text
}

/// The routes that the ranking hides.
fn hidden(answer: &SummaryAnswer, terminal: Terminal) -> String {
    if answer.routes_hidden == 0 {
        return String::new();
    }
    let (hidden, min_n) = (answer.routes_hidden, answer.min_n);
    let text =
        format!("Routes with fewer than {min_n} page views are hidden: {hidden}. --min-n 1 shows all.");
    terminal.wrap("", &text)
}

fn overview(answer: &SummaryAnswer, terminal: Terminal) -> String {
    let mut columns = views_columns(answer, None);
    columns.extend(Metric::ALL.map(|metric| match metric {
        Metric::Fid => Column::number(metric.name()).dropped(1),
        Metric::Tti => Column::number(metric.name()).dropped(2),
        Metric::Fcp => Column::number(metric.name()).dropped(3),
        Metric::Ttfb => Column::number(metric.name()).dropped(4),
        Metric::Lcp | Metric::Inp | Metric::Cls => Column::number(metric.name()),
    }));
    let mut table = Table::new(&columns);
    for page in &answer.pages {
        let mut row = views_cells(answer, page, None);
        row.extend(Metric::ALL.map(|metric| match page.metrics.get(metric.name()) {
            Some(one) => rated(metric, one),
            None => ABSENT.into(),
        }));
        table.row(row);
    }
    let legend = "75th percentiles in ms, CLS as a score; ! needs improvement, !! poor, ~ too few page views to tell. \
                  NOT GOOD estimates the page views that are not good, for the worst of LCP, INP and CLS.";
    table.render(terminal) + &terminal.wrap("", &format!("{legend}{}", change_legend(answer, None)))
}

/// The route, its page views, also those that there were if only some are sent, and the change since the time before.
fn views_columns(answer: &SummaryAnswer, asked: Option<Metric>) -> Vec<Column> {
    let mut columns = vec![Column::text("ROUTE"), Column::number("VIEWS")];
    columns.extend(is_sampled(answer).then_some(Column::number("OF ABOUT")));
    columns.extend(has_impact(answer).then_some(Column::number("NOT GOOD").dropped(6)));
    columns.extend(has_change(answer, asked).then_some(Column::word("CHANGE").dropped(5)));
    columns
}

fn views_cells(answer: &SummaryAnswer, page: &PageAnswer, asked: Option<Metric>) -> Vec<Cell> {
    let [views, estimated] = page.counts();
    let mut cells = vec![page.route.as_str().into(), views.to_string().into()];
    cells.extend(is_sampled(answer).then(|| estimated.to_string().into()));
    cells.extend(has_impact(answer).then(|| {
        let impact = page.impact.as_ref();
        impact.map_or(ABSENT.into(), |impact| format!("{:.0} {}", impact.views, impact.metric.name()).into())
    }));
    cells.extend(has_change(answer, asked).then(|| {
        let change = summary::change(page, asked);
        change.map_or(ABSENT.into(), |(verdict, text)| Cell::painted(text, compare::ink(verdict)))
    }));
    cells
}

fn has_change(answer: &SummaryAnswer, asked: Option<Metric>) -> bool {
    answer.pages.iter().any(|page| summary::change(page, asked).is_some())
}

/// The sentence about the column CHANGE.
fn change_legend(answer: &SummaryAnswer, asked: Option<Metric>) -> &'static str {
    match (has_change(answer, asked), asked) {
        (false, _) => "",
        (true, None) => " CHANGE: of the p75 of that metric since the time before, as long as this one.",
        (true, Some(_)) => " CHANGE: of the p75 since the time before, as long as this one.",
    }
}

fn has_impact(answer: &SummaryAnswer) -> bool {
    answer.pages.iter().any(|page| page.impact.is_some())
}

fn is_sampled(answer: &SummaryAnswer) -> bool {
    answer.pages.iter().any(|page| {
        let [views, estimated] = page.counts();
        views != estimated
    })
}

fn detailed(answer: &SummaryAnswer, metric: Metric, terminal: Terminal) -> String {
    let mut columns = views_columns(answer, Some(metric));
    columns.extend(DETAIL);
    let mut table = Table::new(&columns);
    for page in &answer.pages {
        let mut row = views_cells(answer, page, Some(metric));
        match page.metrics.get(metric.name()) {
            Some(one) => row.extend(detail(metric, one)),
            None => row.extend(DETAIL.map(|_| ABSENT.into())),
        }
        table.row(row);
    }
    let legend = format!("{LEGEND}{}", change_legend(answer, Some(metric)));
    format!("{}\n{}{}", metric.name(), table.render(terminal), terminal.wrap("", &legend))
}

/// One route, a metric a row.
pub(super) fn one_route(answer: &SummaryAnswer, args: &Args, terminal: Terminal) -> String {
    let route = answer.route.as_deref().unwrap_or_default();
    let mut text = title(&answer.site, route, &answer.period, args, terminal);
    if answer.views == 0 {
        text.push_str(&no_route(&answer.nearest_routes, terminal));
        text.push_str(&nothing(&answer.site, "page views of this route", terminal));
        return text;
    }
    text.push_str(&summary::quality(answer, terminal));
    let mut columns = vec![Column::word("METRIC")];
    columns.extend(DETAIL);
    let mut table = Table::new(&columns);
    for (metric, one) in shown(args, &answer.metrics) {
        let mut row: Vec<Cell> = vec![metric.name().into()];
        row.extend(detail(metric, one));
        table.row(row);
    }
    text.push_str(&format!("{}\n{}", sampled(answer.counts()), table.render(terminal)));
    text.push_str(&terminal.wrap("", LEGEND));
    text.push_str(&summary::advice(answer, terminal));
    text
}

/// Why beacons were refused.
pub(super) fn rejections(answer: &RejectionsAnswer, site: &str, terminal: Terminal) -> String {
    if answer.rejections.is_empty() {
        return format!("{}: no beacon was refused since the server started.\n", plain(site));
    }
    let mut table = Table::new(&[
        Column::word("REASON"),
        Column::text("ORIGIN"),
        Column::number("COUNT"),
        Column::word("LAST SEEN"),
    ]);
    for one in &answer.rejections {
        let origin = one.origin.as_deref().filter(|origin| !origin.is_empty()).unwrap_or(ABSENT);
        table.row(vec![
            one.reason.as_str().into(),
            origin.into(),
            one.count.to_string().into(),
            one.last_seen.as_str().into(),
        ]);
    }
    let mut text = table.render(terminal);
    let mut told: Vec<&str> = Vec::new();
    for one in answer.rejections.iter().filter(|one| !one.message.is_empty()) {
        if !told.contains(&one.message.as_str()) {
            told.push(&one.message);
            text.push_str(&terminal.wrap("", &format!("{}: {}", plain(&one.reason), plain(&one.message))));
        }
    }
    text
}

pub(super) const LEGEND: &str =
    "Times in ms, CLS as a score. 90 % of such intervals hold the true p75; ~ too few page views for one.";

pub(super) const DETAIL: [Column; 9] = [
    Column::number("N").dropped(5),
    Column::number("P50").dropped(4),
    Column::number("P75"),
    Column::number("INTERVAL").dropped(6),
    Column::number("P90").dropped(1),
    Column::number("P95").dropped(3),
    Column::number("GOOD"),
    Column::number("NEEDS IMPR.").dropped(2),
    Column::number("POOR"),
];

pub(super) fn detail(metric: Metric, one: &MetricAnswer) -> [Cell; 9] {
    let interval = one.p75_interval.map_or_else(
        || ABSENT.to_owned(),
        |[low, high]| format!("{}–{}", number(metric, low, &[]), number(metric, high, &[])),
    );
    [
        one.n.to_string().into(),
        number(metric, one.p50, &[]).into(),
        rated(metric, one),
        interval.into(),
        number(metric, one.p90, &[]).into(),
        number(metric, one.p95, &[]).into(),
        share(one.good, one.n).into(),
        share(one.needs_improvement, one.n).into(),
        share(one.poor, one.n).into(),
    ]
}

/// The 75th percentile with its rating, which also tells without terminal.
pub(super) fn rated(metric: Metric, one: &MetricAnswer) -> Cell {
    let mark = match one.rating {
        Rating::Good => "",
        Rating::NeedsImprovement => "!",
        Rating::Poor => "!!",
    };
    let few = if one.p75_interval.is_none() { "~" } else { "" };
    Cell::painted(format!("{few}{}{mark}", number(metric, one.p75, &[])), one.rating.into())
}

/// How many page views, and of how many where only some are sent.
fn sampled([views, estimated]: [u64; 2]) -> String {
    if views == estimated {
        format!("{views} page views")
    } else {
        format!("{views} page views, of about {estimated}")
    }
}

pub(super) fn title(
    site: &str,
    route: &str,
    period: &PeriodAnswer,
    args: &Args,
    terminal: Terminal,
) -> String {
    let mut parts = vec![plain(site)];
    parts.extend((!route.is_empty()).then(|| plain(route)));
    parts.push(format!("{} to {}", plain(&period.from), plain(&period.to)));
    parts.extend(args.filters.titles());
    terminal.wrap("", &parts.join(" · ")) + "\n"
}

/// The routes that may have been meant, if the site has none of the name.
pub(super) fn no_route(nearest: &[String], terminal: Terminal) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    let nearest: Vec<String> = nearest.iter().map(|route| plain(route)).collect();
    terminal.wrap("", &format!("The site has no such route; nearest: {}", nearest.join(", ")))
}

pub(super) fn nothing(site: &str, what: &str, terminal: Terminal) -> String {
    let text = format!(
        "There are no {what} in this period. `fieldvitals report --site {} --rejections` shows whether \
         beacons were refused, and why.",
        plain(site)
    );
    terminal.wrap("", &text)
}
