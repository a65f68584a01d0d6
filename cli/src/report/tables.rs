//! Reports as tables for people.

use super::{Args, shown};
use crate::client::answer::{
    MetricAnswer, PageAnswer, PagesAnswer, PeriodAnswer, RejectionsAnswer, ReportAnswer,
};
use crate::output::table::{Align, Cell, Table};
use crate::output::{Colour, number, plain, share};
use vitals::metric::{Metric, Rating};

/// Stands for what was not measured.
pub(super) const ABSENT: &str = "–";

/// Routes by rows: the 75th percentile of every metric, or all percentiles of one.
pub(super) fn ranking(answer: &PagesAnswer, args: &Args, colour: Colour) -> String {
    let mut text = title(&answer.site, "", &answer.period, args);
    if answer.pages.is_empty() {
        text.push_str(&nothing(&answer.site, "page views"));
        return text;
    }
    text.push_str(&match args.metric {
        Some(metric) => detailed(answer, metric, colour),
        None => overview(answer, colour),
    });
    if answer.next_cursor.is_some() {
        text.push_str("There are more routes; --limit N shows up to 500.\n");
    }
    text
}

fn overview(answer: &PagesAnswer, colour: Colour) -> String {
    let mut columns = views_columns(answer);
    columns.extend(Metric::ALL.map(|metric| (metric.name(), Align::Right)));
    let mut table = Table::new(&columns);
    for page in &answer.pages {
        let mut row = views_cells(answer, page);
        row.extend(Metric::ALL.map(|metric| match page.metrics.get(metric.name()) {
            Some(one) => rated(metric, one),
            None => ABSENT.into(),
        }));
        table.row(row);
    }
    format!(
        "{}75th percentiles in ms, CLS as a score; ! needs improvement, !! poor, ~ too few page views to tell\n",
        table.render(colour)
    )
}

/// The route and its page views; also those that there were, where only some are sent.
fn views_columns(answer: &PagesAnswer) -> Vec<(&'static str, Align)> {
    let mut columns = vec![("ROUTE", Align::Left), ("VIEWS", Align::Right)];
    columns.extend(is_sampled(answer).then_some(("OF ABOUT", Align::Right)));
    columns
}

fn views_cells(answer: &PagesAnswer, page: &PageAnswer) -> Vec<Cell> {
    let [views, estimated] = page.counts();
    let mut cells = vec![page.route.as_str().into(), views.to_string().into()];
    cells.extend(is_sampled(answer).then(|| estimated.to_string().into()));
    cells
}

fn is_sampled(answer: &PagesAnswer) -> bool {
    answer.pages.iter().any(|page| {
        let [views, estimated] = page.counts();
        views != estimated
    })
}

fn detailed(answer: &PagesAnswer, metric: Metric, colour: Colour) -> String {
    let mut columns = views_columns(answer);
    columns.extend(DETAIL);
    let mut table = Table::new(&columns);
    for page in &answer.pages {
        let mut row = views_cells(answer, page);
        match page.metrics.get(metric.name()) {
            Some(one) => row.extend(detail(metric, one)),
            None => row.extend(DETAIL.map(|_| ABSENT.into())),
        }
        table.row(row);
    }
    format!("{}{}{LEGEND}", metric_line(metric), table.render(colour))
}

/// One route, a metric a row.
pub(super) fn one_route(answer: &ReportAnswer, route: &str, args: &Args, colour: Colour) -> String {
    let mut text = title(&answer.site, route, &answer.period, args);
    if answer.views == 0 {
        text.push_str(&no_route(&answer.nearest_routes));
        text.push_str(&nothing(&answer.site, "page views of this route"));
        return text;
    }
    let mut columns = vec![("METRIC", Align::Left)];
    columns.extend(DETAIL);
    let mut table = Table::new(&columns);
    for (metric, one) in shown(args, &answer.metrics) {
        let mut row: Vec<Cell> = vec![metric.name().into()];
        row.extend(detail(metric, one));
        table.row(row);
    }
    text.push_str(&format!("{}\n{}{LEGEND}", sampled(answer.counts()), table.render(colour)));
    text
}

/// Why beacons were refused.
pub(super) fn rejections(answer: &RejectionsAnswer, site: &str, colour: Colour) -> String {
    if answer.rejections.is_empty() {
        return format!("{}: no beacon was refused since the server started.\n", plain(site));
    }
    let mut table = Table::new(&[
        ("REASON", Align::Left),
        ("ORIGIN", Align::Left),
        ("COUNT", Align::Right),
        ("LAST SEEN", Align::Left),
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
    let mut text = table.render(colour);
    let mut told: Vec<&str> = Vec::new();
    for one in answer.rejections.iter().filter(|one| !one.message.is_empty()) {
        if !told.contains(&one.message.as_str()) {
            told.push(&one.message);
            text.push_str(&format!("{}: {}\n", plain(&one.reason), plain(&one.message)));
        }
    }
    text
}

const LEGEND: &str =
    "Times in ms, CLS as a score. 90 % of such intervals hold the true p75; ~ too few page views for one.\n";

const DETAIL: [(&str, Align); 9] = [
    ("N", Align::Right),
    ("P50", Align::Right),
    ("P75", Align::Right),
    ("INTERVAL", Align::Right),
    ("P90", Align::Right),
    ("P95", Align::Right),
    ("GOOD", Align::Right),
    ("NEEDS IMPR.", Align::Right),
    ("POOR", Align::Right),
];

fn detail(metric: Metric, one: &MetricAnswer) -> [Cell; 9] {
    let interval = one.p75_interval.map_or_else(
        || ABSENT.to_owned(),
        |[low, high]| format!("{}–{}", number(metric, low), number(metric, high)),
    );
    [
        one.n.to_string().into(),
        number(metric, one.p50).into(),
        rated(metric, one),
        interval.into(),
        number(metric, one.p90).into(),
        number(metric, one.p95).into(),
        share(one.good, one.n).into(),
        share(one.needs_improvement, one.n).into(),
        share(one.poor, one.n).into(),
    ]
}

/// The 75th percentile with its rating, which also tells without colour.
fn rated(metric: Metric, one: &MetricAnswer) -> Cell {
    let mark = match one.rating {
        Rating::Good => "",
        Rating::NeedsImprovement => "!",
        Rating::Poor => "!!",
    };
    let few = if one.p75_interval.is_none() { "~" } else { "" };
    Cell::painted(format!("{few}{}{mark}", number(metric, one.p75)), one.rating.into())
}

fn metric_line(metric: Metric) -> String {
    format!("{}\n", metric.name())
}

/// How many page views, and of how many where only some are sent.
fn sampled([views, estimated]: [u64; 2]) -> String {
    if views == estimated {
        format!("{views} page views")
    } else {
        format!("{views} page views, of about {estimated}")
    }
}

pub(super) fn title(site: &str, route: &str, period: &PeriodAnswer, args: &Args) -> String {
    let mut parts = vec![plain(site)];
    parts.extend((!route.is_empty()).then(|| plain(route)));
    parts.push(format!("{} to {}", plain(&period.from), plain(&period.to)));
    parts.push(args.device.clone().unwrap_or_else(|| "all devices".to_owned()));
    parts.extend(args.os.clone());
    parts.extend(args.release.as_deref().map(|release| format!("release {}", plain(release))));
    format!("{}\n\n", parts.join(" · "))
}

/// The routes that may have been meant, if the site has none of the name.
pub(super) fn no_route(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    let nearest: Vec<String> = nearest.iter().map(|route| plain(route)).collect();
    format!("The site has no such route; nearest: {}\n", nearest.join(", "))
}

pub(super) fn nothing(site: &str, what: &str) -> String {
    format!(
        "There are no {what} in this period. `fieldvitals report --site {} --rejections` shows whether \
         beacons were refused, and why.\n",
        plain(site)
    )
}
