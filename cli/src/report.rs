//! `fieldvitals report`: prints field data from the API.

mod attribution;
mod breakdown;
mod conditions;
mod engagement;
mod filters;
mod sampled;
mod slow;
mod tables;
mod trend;

use crate::client::answer::{
    AttributionAnswer, BreakdownAnswer, EngagementAnswer, Metrics, PagesAnswer, RejectionsAnswer,
    ReportAnswer, SamplesAnswer, StatusAnswer,
};
use crate::client::{Client, ServerArgs};
use crate::exit::{Done, Exit, Failure, finish};
use crate::output::Terminal;
use crate::output::csv::Csv;
use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use fieldvitals_server::limits;
use serde_json::Value;
use std::process::ExitCode;
use vitals::metric::{Metric, Unit};

/// Show field data.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// One route, with all percentiles; without it, a ranking of routes.
    #[arg(long, value_name = "ROUTE", value_parser = NonEmptyStringValueParser::new())]
    route: Option<String>,
    #[command(flatten)]
    filters: filters::Filters,
    /// Only this metric, with all percentiles. `--sort p75` and `--sort poor` also use it (default: LCP).
    #[arg(long, value_parser = metric)]
    metric: Option<Metric>,
    /// The sort key of the ranking.
    #[arg(long, value_enum, conflicts_with = "route")]
    sort: Option<Sort>,
    /// The sort order of the ranking; desc unless sorted by route.
    #[arg(long, value_enum, conflicts_with = "route")]
    order: Option<Order>,
    /// Routes to show, at most 500 (default: 50); with --slow page views, at most 50 (default: 5).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=limits::PAGE_ROWS_MAX as i64))]
    limit: Option<u16>,
    /// Explanations of LCP, INP, CLS or TTFB, for one route or the whole site: the elements in page views, or the
    /// longest part of TTFB; the conditions of the page views; and why TTI was not reached.
    #[arg(long, value_name = "METRIC", value_parser = ["lcp", "inp", "cls", "ttfb"], ignore_case = true,
          conflicts_with_all = ["sort", "order", "limit", "metric"])]
    attribution: Option<String>,
    /// Slow page views of a metric, each as a waterfall of its parts, with what is known of it: those around the 75th
    /// percentile, or around another one (--around).
    #[arg(long, value_name = "METRIC", value_parser = metric, conflicts_with_all = ["sort", "order", "metric", "attribution"])]
    slow: Option<Metric>,
    /// The percentile of --slow, 1 to 99; or `worst`, the slowest page views up to the 99th percentile.
    #[arg(long, value_name = "PERCENTILE", requires = "slow", value_parser = around)]
    around: Option<String>,
    /// The share of page views with an interaction, with an engaged visitor, or with --mark, by buckets of a metric.
    #[arg(long, value_name = "METRIC", value_parser = metric,
          conflicts_with_all = ["sort", "order", "limit", "metric", "attribution", "slow"])]
    engagement: Option<Metric>,
    /// The metrics by the values of a dimension: device, browser, os, country, connection, navigation_type, release; within
    /// the retention of page views also viewport, protocol, delivery, rtt, memory, cpu, engaged, tag:NAME, mark:NAME,
    /// server_timing:NAME.
    #[arg(long, value_name = "DIMENSION", value_parser = NonEmptyStringValueParser::new(),
          conflicts_with_all = ["sort", "order", "limit", "attribution", "slow", "engagement"])]
    by: Option<String>,
    /// Show which beacons were refused recently, and why. Use it if data are missing.
    #[arg(long, conflicts_with_all = ["route", "sort", "order", "limit", "metric", "device", "browser", "os", "country",
          "release", "tag", "mark", "period", "from", "to", "attribution", "slow", "engagement", "by"])]
    rejections: bool,
    /// Metrics over time, a sparkline each, with the releases of that time.
    #[arg(long, conflicts_with_all = ["sort", "order", "limit", "attribution", "slow", "engagement", "by", "rejections"])]
    trend: bool,
    /// The output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Page views.
    Views,
    /// The 75th percentile of the metric.
    P75,
    /// The share of poor page views of the metric.
    Poor,
    /// The route's name.
    Route,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    /// Smallest first.
    Asc,
    /// Largest first.
    Desc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Text,
    /// The API's answer.
    Json,
    /// A line per route and metric, for spreadsheets.
    Csv,
}

fn metric(name: &str) -> Result<Metric, String> {
    Metric::from_name(name).ok_or_else(|| {
        let names = Metric::ALL.map(Metric::name).join(", ");
        format!("there is no such metric; expected one of {names}")
    })
}

fn around(text: &str) -> Result<String, String> {
    let is_percentile = text.parse().is_ok_and(|percent: u8| (1..=99).contains(&percent));
    if is_percentile || text == "worst" {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 99, or worst".to_owned())
    }
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    Ok(finish(execute(&args, Terminal::of_stdout()).await))
}

async fn execute(args: &Args, terminal: Terminal) -> Result<Done, Failure> {
    if let (Some(_), Some(_), None) = (args.limit, &args.route, args.slow) {
        return Err(Failure::usage("--limit is not taken with --route", "It limits a ranking, or --slow."));
    }
    let client = Client::new(&args.server)?;
    let site = client.site(args.server.site.as_deref()).await?;
    let mut warning = String::new();
    let (stdout, is_empty) = if args.rejections {
        (rejections(args, &client, &site, terminal).await?, false)
    } else if args.trend {
        trend::trend(args, &client, &site, terminal).await?
    } else if let Some(metric) = &args.attribution {
        causes(args, &client, &site, metric, terminal).await?
    } else if let Some(metric) = args.slow {
        slow_views(args, &client, &site, metric, terminal).await?
    } else if let Some(metric) = args.engagement {
        engaged(args, &client, &site, metric, terminal).await?
    } else if let Some(by) = &args.by {
        values(args, &client, &site, by, terminal).await?
    } else if let Some(route) = &args.route {
        one_route(args, &client, &site, route, terminal).await?
    } else {
        let ranking = ranking(args, &client, &site, terminal).await?;
        warning = crowded(&client, &site).await;
        ranking
    };
    if let (true, Some(release)) = (is_empty, &args.filters.release) {
        warning = client.release_warning(&site, release, &args.filters.longest_period()).await;
    }
    Ok(Done { exit: Exit::Pass, stdout, warning })
}

/// The kinds of names for which a site lacks places. Empty if the server does not answer, because the report matters
/// more.
async fn crowded(client: &Client, site: &str) -> String {
    let Ok((_, status)) = client.get::<StatusAnswer>(&["status"], &[]).await else { return String::new() };
    let of_site = status.crowded.iter().filter(|crowded| crowded.site == site);
    let lines = of_site.map(|crowded| {
        format!(
            "warning: `{site}` has more {} than it has places; page views of further ones count under (other)",
            crowded.kind
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The ranking, and whether it is empty.
async fn ranking(
    args: &Args,
    client: &Client,
    site: &str,
    terminal: Terminal,
) -> Result<(String, bool), Failure> {
    let limit = args.limit.unwrap_or(ROUTES).to_string();
    let name = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
    let sort = name(args.sort.and_then(|sort| sort.to_possible_value()));
    let order = name(args.order.and_then(|order| order.to_possible_value()));
    let query = args.filters.query([
        ("metric", args.metric.map(Metric::name)),
        ("sort", sort.as_deref()),
        ("order", order.as_deref()),
        ("limit", Some(limit.as_str())),
    ]);
    let (json, answer): (Value, PagesAnswer) = client.get(&["sites", site, "pages"], &query).await?;
    let text = match args.format {
        Format::Json => pretty(&json),
        Format::Text => tables::ranking(&answer, args, terminal),
        Format::Csv => {
            let mut csv = Csv::new(CSV_COLUMNS);
            for page in &answer.pages {
                rows(&mut csv, args, &answer.site, &page.route, page.counts(), &page.metrics);
            }
            csv.finish()
        }
    };
    Ok((text, answer.pages.is_empty()))
}

/// The report of a route, and whether it is empty.
async fn one_route(
    args: &Args,
    client: &Client,
    site: &str,
    route: &str,
    terminal: Terminal,
) -> Result<(String, bool), Failure> {
    let query = args.filters.query([("route", Some(route))]);
    let (json, answer): (Value, ReportAnswer) = client.get(&["sites", site, "report"], &query).await?;
    let route = answer.route.as_deref().unwrap_or(route);
    let text = match args.format {
        Format::Json => pretty(&json),
        Format::Text => tables::one_route(&answer, route, args, terminal),
        Format::Csv => {
            let mut csv = Csv::new(CSV_COLUMNS);
            rows(&mut csv, args, &answer.site, route, answer.counts(), &answer.metrics);
            csv.finish()
        }
    };
    Ok((text, answer.views == 0))
}

/// The causes of slow values, and whether there are no page views.
async fn causes(
    args: &Args,
    client: &Client,
    site: &str,
    metric: &str,
    terminal: Terminal,
) -> Result<(String, bool), Failure> {
    let own = [("metric", Some(metric)), ("route", args.route.as_deref()), ("limit", Some("20"))];
    let query = args.filters.query(own);
    let (json, answer): (Value, AttributionAnswer) =
        client.get(&["sites", site, "attribution"], &query).await?;
    let text = match args.format {
        Format::Json => pretty(&json),
        Format::Text => attribution::table(&answer, args, terminal),
        Format::Csv => attribution::csv(&answer),
    };
    Ok((text, answer.views == 0))
}

/// Slow page views, and whether there are none.
async fn slow_views(
    args: &Args,
    client: &Client,
    site: &str,
    metric: Metric,
    terminal: Terminal,
) -> Result<(String, bool), Failure> {
    let limit = args.limit.unwrap_or(SLOW_VIEWS).to_string();
    let query = args.filters.query([
        ("metric", Some(metric.name())),
        ("route", args.route.as_deref()),
        ("around", args.around.as_deref()),
        ("limit", Some(limit.as_str())),
    ]);
    let (json, answer): (Value, SamplesAnswer) = client.get(&["sites", site, "samples"], &query).await?;
    let text = match args.format {
        Format::Json => pretty(&json),
        Format::Text => slow::text(&answer, args, terminal),
        Format::Csv => slow::csv(&answer),
    };
    Ok((text, answer.measured == 0))
}

/// Engagement by a metric, and whether there are no page views.
async fn engaged(
    args: &Args,
    client: &Client,
    site: &str,
    metric: Metric,
    terminal: Terminal,
) -> Result<(String, bool), Failure> {
    let query = args.filters.query([("metric", Some(metric.name())), ("route", args.route.as_deref())]);
    let (json, answer): (Value, EngagementAnswer) =
        client.get(&["sites", site, "engagement"], &query).await?;
    let text = match args.format {
        Format::Json => pretty(&json),
        Format::Text => engagement::table(&answer, args, terminal),
        Format::Csv => engagement::csv(&answer),
    };
    Ok((text, answer.measured == 0))
}

/// The metrics by a dimension, and whether there are no page views.
async fn values(
    args: &Args,
    client: &Client,
    site: &str,
    by: &str,
    terminal: Terminal,
) -> Result<(String, bool), Failure> {
    let query = args.filters.query([("by", Some(by)), ("route", args.route.as_deref())]);
    let (json, answer): (Value, BreakdownAnswer) = client.get(&["sites", site, "breakdown"], &query).await?;
    let text = match args.format {
        Format::Json => pretty(&json),
        Format::Text => breakdown::table(&answer, args, terminal),
        Format::Csv => breakdown::csv(&answer, args),
    };
    Ok((text, answer.values.is_empty()))
}

async fn rejections(args: &Args, client: &Client, site: &str, terminal: Terminal) -> Result<String, Failure> {
    let (json, answer): (Value, RejectionsAnswer) = client.get(&["sites", site, "rejections"], &[]).await?;
    Ok(match args.format {
        Format::Json => pretty(&json),
        Format::Text => tables::rejections(&answer, site, terminal),
        Format::Csv => {
            let mut csv = Csv::new(["reason", "origin", "count", "last_seen", "message"]);
            for one in &answer.rejections {
                let origin = one.origin.as_deref().unwrap_or_default();
                csv.row(&[&one.reason, origin, &one.count.to_string(), &one.last_seen, &one.message]);
            }
            csv.finish()
        }
    })
}

fn pretty(json: &Value) -> String {
    format!("{json:#}\n")
}

/// The requested metrics that have samples, in the order of reports.
fn shown<'a>(
    args: &Args,
    metrics: &'a Metrics,
) -> impl Iterator<Item = (Metric, &'a crate::client::answer::MetricAnswer)> {
    let only = args.metric;
    Metric::ALL
        .into_iter()
        .filter(move |metric| only.is_none_or(|only| only == *metric))
        .filter_map(|metric| Some((metric, metrics.get(metric.name())?)))
}

/// Default number of routes.
const ROUTES: u16 = 50;
/// Default number of slow page views.
const SLOW_VIEWS: u16 = 5;

const CSV_COLUMNS: [&str; 17] = [
    "site",
    "route",
    "views",
    "views_estimated",
    "metric",
    "unit",
    "n",
    "p50",
    "p75",
    "p90",
    "p95",
    "p75_low",
    "p75_high",
    "rating",
    "good",
    "needs_improvement",
    "poor",
];

/// Adds a row for each metric of a route.
fn rows(
    csv: &mut Csv,
    args: &Args,
    site: &str,
    route: &str,
    [views, estimated]: [u64; 2],
    metrics: &Metrics,
) {
    for (metric, answer) in shown(args, metrics) {
        let end = |end: usize| answer.p75_interval.map(|ends| ends[end].to_string()).unwrap_or_default();
        let unit = match metric.unit() {
            Unit::Milliseconds => "ms",
            Unit::Score => "score",
        };
        csv.row(&[
            site.to_owned(),
            route.to_owned(),
            views.to_string(),
            estimated.to_string(),
            metric.name().to_owned(),
            unit.to_owned(),
            answer.n.to_string(),
            answer.p50.to_string(),
            answer.p75.to_string(),
            answer.p90.to_string(),
            answer.p95.to_string(),
            end(0),
            end(1),
            answer.rating.name().to_owned(),
            answer.good.to_string(),
            answer.needs_improvement.to_string(),
            answer.poor.to_string(),
        ]);
    }
}

#[cfg(test)]
mod tests;
