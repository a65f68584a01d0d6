//! `fieldvitals report`: prints field data from the API.

mod attribution;
mod breakdown;
mod conditions;
mod crux;
mod document;
mod engagement;
mod filters;
mod sampled;
mod slow;
mod summary;
mod tables;
mod trend;

use crate::client::answer::summary::{MissingAnswer, RowPreviousAnswer, SummaryAnswer};
use crate::client::answer::{
    AttributionAnswer, BreakdownAnswer, EngagementAnswer, Metrics, RejectionsAnswer, SamplesAnswer,
    SeriesAnswer, StatusAnswer,
};
use crate::client::{Client, ServerArgs};
use crate::exit::{Done, Exit, Failure, finish};
use crate::output::csv::Csv;
use crate::output::{Terminal, plain};
use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use fieldvitals_server::limits;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use vitals::metric::{Metric, Unit};

/// Show field data.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// One route, with all percentiles, or a pattern such as `/c/*`; without it, the whole site. A site and a pattern
    /// rank their routes.
    #[arg(long, value_name = "ROUTE", value_parser = NonEmptyStringValueParser::new())]
    route: Option<String>,
    #[command(flatten)]
    filters: filters::Filters,
    /// Only this metric, with all percentiles. `--sort` also uses it; by default, `impact` takes the worst of the Core
    /// Web Vitals of each route, and the other orders LCP.
    #[arg(long, value_parser = metric)]
    metric: Option<Metric>,
    /// The sort key of the ranking; impact by default.
    #[arg(long, value_enum)]
    sort: Option<Sort>,
    /// The sort order of the ranking; desc unless sorted by route.
    #[arg(long, value_enum)]
    order: Option<Order>,
    /// Page views below which the ranking hides a route; 100 by default where values order it, unless no route has so
    /// many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=vitals::limits::GATE_SAMPLES_MAX))]
    min_n: Option<u64>,
    /// Rank only routes with this part in their name, in upper or lower case.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    search: Option<String>,
    /// Rank sections: the routes of a first path segment as one row.
    #[arg(long, value_enum)]
    group: Option<Group>,
    /// Routes to show, at most 500 (default: 50); with --slow page views, at most 50 (default: 5).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=limits::PAGE_ROWS_MAX as i64))]
    limit: Option<u16>,
    /// Explanations of LCP, INP, CLS or TTFB, for one route or the whole site: the elements in page views, or the
    /// longest part of TTFB; the conditions of the page views; and why TTI was not reached.
    #[arg(long, value_name = "METRIC", value_parser = ["lcp", "inp", "cls", "ttfb"], ignore_case = true,
          conflicts_with_all = ["sort", "order", "min_n", "search", "group", "limit", "metric"])]
    attribution: Option<String>,
    /// Slow page views of a metric, each as a waterfall of its parts, with what is known of it: those around the 75th
    /// percentile, or around another one (--around).
    #[arg(long, value_name = "METRIC", value_parser = metric, conflicts_with_all = ["sort", "order", "min_n", "search", "group", "metric", "attribution"])]
    slow: Option<Metric>,
    /// The percentile of --slow, 1 to 99; or `worst`, the slowest page views up to the 99th percentile.
    #[arg(long, value_name = "PERCENTILE", requires = "slow", value_parser = around)]
    around: Option<String>,
    /// The share of page views with an interaction, with an engaged visitor, or with --mark, by buckets of a metric.
    #[arg(long, value_name = "METRIC", value_parser = metric,
          conflicts_with_all = ["sort", "order", "min_n", "search", "group", "limit", "metric", "attribution", "slow"])]
    engagement: Option<Metric>,
    /// The metrics by the values of a dimension: device, browser, os, country, connection, navigation_type, release; within
    /// the retention of page views also viewport, protocol, delivery, rtt, memory, cpu, engaged, tag:NAME, mark:NAME,
    /// server_timing:NAME.
    #[arg(long, value_name = "DIMENSION", value_parser = NonEmptyStringValueParser::new(),
          conflicts_with_all = ["sort", "order", "min_n", "search", "group", "limit", "attribution", "slow", "engagement"])]
    by: Option<String>,
    /// Show which beacons were refused recently, and why. Use it if data are missing.
    #[arg(long, conflicts_with_all = ["route", "sort", "order", "min_n", "search", "group", "limit", "metric", "device",
          "browser", "os", "country", "release", "tag", "mark", "period", "from", "to", "attribution", "slow", "engagement", "by"])]
    rejections: bool,
    /// Metrics over time, a sparkline each, with the releases of that time.
    #[arg(long, conflicts_with_all = ["sort", "order", "min_n", "search", "group", "limit", "attribution", "slow",
          "engagement", "by", "rejections"])]
    trend: bool,
    /// The 28 days up to yesterday beside Google's record of them in CrUX, and why they differ. For the whole site, or for
    /// --route if it is a path without placeholders. The server needs a key (serve --crux-key-file).
    #[arg(long, conflicts_with_all = ["sort", "order", "min_n", "search", "group", "limit", "metric", "browser", "os", "country",
          "release", "tag", "mark", "period", "from", "to", "attribution", "slow", "engagement", "by", "rejections", "trend"])]
    crux: bool,
    /// The origin for --crux, such as https://shop.example, if the site has several or takes any.
    #[arg(long, value_name = "ORIGIN", requires = "crux", value_parser = NonEmptyStringValueParser::new())]
    origin: Option<String>,
    /// The output format. `md` and `html` are documents of the whole report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Page views that are not good.
    Impact,
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
enum Group {
    /// The first path segment, such as `/c/*`.
    Section,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Text,
    /// The API's answer.
    Json,
    /// A line per route and metric, for spreadsheets.
    Csv,
    /// A document for issues, wikis and merge requests.
    Md,
    /// A document in one file, with charts, for browsers and paper.
    Html,
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
    let terminal = if args.output.is_some() { Terminal::PIPE } else { Terminal::of_stdout() };
    let done = execute(&args, terminal).await;
    Ok(finish(done.and_then(|done| written(done, &args))))
}

/// Writes the output to the file of `--output`, if there is one.
fn written(done: Done, args: &Args) -> Result<Done, Failure> {
    let Some(path) = &args.output else { return Ok(done) };
    std::fs::write(path, &done.stdout).map_err(|error| {
        let path = plain(&path.to_string_lossy());
        Failure::usage(
            format!("cannot write {path}: {error}"),
            "--output FILE names a file in an existing folder.",
        )
    })?;
    Ok(Done { stdout: String::new(), ..done })
}

/// Asks the server, and formats the answer.
///
/// # Errors
/// The server's refusal, or no answer.
pub(crate) async fn execute(args: &Args, terminal: Terminal) -> Result<Done, Failure> {
    let is_of_whole = !args.rejections
        && !args.trend
        && !args.crux
        && args.attribution.is_none()
        && args.slow.is_none()
        && args.engagement.is_none()
        && args.by.is_none();
    if matches!(args.format, Format::Md | Format::Html) && !is_of_whole {
        return Err(Failure::usage(
            "--format md and html are documents of a whole report, which has causes and recommendations",
            "Leave out --attribution, --slow, --engagement, --by, --rejections, --trend and --crux, or take --format text, json or csv.",
        ));
    }
    let client = Client::new(&args.server)?;
    let site = client.site(args.server.site.as_deref()).await?;
    let mut warning = String::new();
    let (stdout, is_empty) = if args.rejections {
        (rejections(args, &client, &site, terminal).await?, false)
    } else if args.crux {
        crux::report(args, &client, &site, terminal).await?
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
    } else {
        let report = report(args, &client, &site, terminal).await?;
        if args.route.is_none() {
            warning = crowded(&client, &site).await;
        }
        report
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
            "warning: `{site}` has more {} than it has places; page views of further ones count under (other){}",
            crowded.kind,
            if crowded.kind == "routes" {
                format!("\n`fieldvitals site routes suggest {site}` shows groups for them")
            } else {
                String::new()
            }
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The report of the site, of a pattern or of a route, and whether it is empty.
async fn report(
    args: &Args,
    client: &Client,
    site: &str,
    terminal: Terminal,
) -> Result<(String, bool), Failure> {
    let name = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
    let sort = name(args.sort.and_then(|sort| sort.to_possible_value()));
    let order = name(args.order.and_then(|order| order.to_possible_value()));
    let group = name(args.group.and_then(|group| group.to_possible_value()));
    let (min_n, limit) =
        (args.min_n.map(|min_n| min_n.to_string()), args.limit.map(|limit| limit.to_string()));
    let query = args.filters.query([
        ("route", args.route.as_deref()),
        ("metric", args.metric.map(Metric::name)),
        ("sort", sort.as_deref()),
        ("order", order.as_deref()),
        ("min_n", min_n.as_deref()),
        ("search", args.search.as_deref()),
        ("group", group.as_deref()),
        ("limit", limit.as_deref()),
    ]);
    let (json, mut answer): (Value, SummaryAnswer) = client.get(&["sites", site, "summary"], &query).await?;
    let is_of_routes = json.get("pages").is_some();
    let is_pattern = is_of_routes && answer.route.is_some();
    let has_series = matches!(args.format, Format::Md | Format::Html) && !is_pattern && answer.views > 0;
    let series = if has_series { over_time(args, client, site, &mut answer).await } else { None };
    let text = match args.format {
        Format::Json => pretty(&json),
        Format::Text if is_of_routes => tables::ranking(&answer, args, terminal),
        Format::Text => tables::one_route(&answer, args, terminal),
        Format::Csv => csv(&answer, args, is_of_routes),
        Format::Md => document::markdown(&answer, series.as_ref(), args),
        Format::Html => document::html(&answer, series.as_ref(), args),
    };
    let is_empty = if is_of_routes { answer.pages.is_empty() } else { answer.views == 0 };
    Ok((text, is_empty))
}

/// The metrics over time for a document. A failure is a gap in the document.
async fn over_time(
    args: &Args,
    client: &Client,
    site: &str,
    answer: &mut SummaryAnswer,
) -> Option<SeriesAnswer> {
    match trend::series(args, client, site, None).await {
        Ok((_, series)) => Some(series),
        Err(failure) => {
            let message = format!("The metrics over time could not be read: {}.", failure.message);
            answer.missing.push(MissingAnswer { message });
            None
        }
    }
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
        Format::Csv => attribution::csv(&answer),
        Format::Text | Format::Md | Format::Html => attribution::table(&answer, args, terminal),
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
        Format::Csv => slow::csv(&answer),
        Format::Text | Format::Md | Format::Html => slow::text(&answer, args, terminal),
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
        Format::Csv => engagement::csv(&answer),
        Format::Text | Format::Md | Format::Html => engagement::table(&answer, args, terminal),
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
        Format::Csv => breakdown::csv(&answer, args),
        Format::Text | Format::Md | Format::Html => breakdown::table(&answer, args, terminal),
    };
    Ok((text, answer.values.is_empty()))
}

async fn rejections(args: &Args, client: &Client, site: &str, terminal: Terminal) -> Result<String, Failure> {
    let (json, answer): (Value, RejectionsAnswer) = client.get(&["sites", site, "rejections"], &[]).await?;
    Ok(match args.format {
        Format::Json => pretty(&json),
        Format::Text | Format::Md | Format::Html => tables::rejections(&answer, site, terminal),
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

/// Default number of slow page views.
const SLOW_VIEWS: u16 = 5;

const CSV_COLUMNS: [&str; 21] = [
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
    "previous_n",
    "previous_p75",
    "change_percent",
    "verdict",
];

/// A line per route and metric.
fn csv(answer: &SummaryAnswer, args: &Args, is_of_routes: bool) -> String {
    let mut csv = Csv::new(CSV_COLUMNS);
    if is_of_routes {
        for page in &answer.pages {
            let previous = |metric: Metric| page.previous.get(metric.name()).cloned();
            rows(&mut csv, args, [&answer.site, &page.route], page.counts(), (&page.metrics, &previous));
        }
    } else {
        let route = answer.route.as_deref().unwrap_or_default();
        let changes = answer.previous.as_ref().map(|previous| &previous.metrics);
        let previous = |metric: Metric| RowPreviousAnswer::of(changes?.get(metric.name())?);
        rows(&mut csv, args, [&answer.site, route], answer.counts(), (&answer.metrics, &previous));
    }
    csv.finish()
}

/// Adds a row for each metric of a route.
fn rows(
    csv: &mut Csv,
    args: &Args,
    [site, route]: [&str; 2],
    [views, estimated]: [u64; 2],
    (metrics, previous): (&Metrics, &dyn Fn(Metric) -> Option<RowPreviousAnswer>),
) {
    for (metric, answer) in shown(args, metrics) {
        let before = previous(metric);
        let of_before =
            |text: fn(&RowPreviousAnswer) -> String| before.as_ref().map(text).unwrap_or_default();
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
            of_before(|before| before.n.to_string()),
            of_before(|before| before.p75.to_string()),
            of_before(|before| before.change_percent.map(|percent| percent.to_string()).unwrap_or_default()),
            of_before(|before| before.verdict.name().to_owned()),
        ]);
    }
}

#[cfg(test)]
mod tests;
