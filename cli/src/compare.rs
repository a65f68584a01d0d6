//! `fieldvitals compare`: prints a comparison of two releases, two periods or two values of a property.

use crate::client::answer::{ChangeAnswer, CompareAnswer, SharesAnswer, SideAnswer};
use crate::client::{Client, ServerArgs, devices, period, systems};
use crate::exit::{Done, Exit, Failure, finish};
use crate::moment::time;
use crate::output::table::{Cell, Column, Table};
use crate::output::{ABSENT, Ink, Terminal, number, plain};
use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use fieldvitals_server::limits;
use fieldvitals_server::report::time_text;
use serde_json::Value;
use std::process::ExitCode;
use vitals::compare::ChangeVerdict;
use vitals::metric::Metric;

/// Compare two releases, two periods, or two values of a property.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// The current release (with --against RELEASE), or a filter of both sides.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    release: Option<String>,
    /// The baseline: a release, `previous` (the time of the same length before), or a value of --by.
    #[arg(long, value_name = "BASELINE", value_parser = NonEmptyStringValueParser::new(),
          required_unless_present = "against_from")]
    against: Option<String>,
    /// Start of the baseline's period, such as 2026-11-21T14:30:00Z or a day.
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with_all = ["against", "by"])]
    against_from: Option<i64>,
    /// End of the baseline's period; as long as the current period when absent.
    #[arg(long, value_name = "TIME", value_parser = time, requires = "against_from")]
    against_to: Option<i64>,
    /// Compare two values of this property.
    #[arg(long, value_name = "PROPERTY", requires = "value",
          value_parser = ["device", "browser", "os", "country", "connection", "navigation_type", "release"])]
    by: Option<String>,
    /// The current value of --by.
    #[arg(long, value_name = "VALUE", requires = "by", value_parser = NonEmptyStringValueParser::new())]
    value: Option<String>,
    /// One route; without it, the whole site and the routes that moved most.
    #[arg(long, value_name = "ROUTE", value_parser = NonEmptyStringValueParser::new())]
    route: Option<String>,
    /// The last hours or days: 24h, 7d, 28d, 90d.
    #[arg(long, default_value = "7d", value_parser = period)]
    period: String,
    /// Only page views on this class of device.
    #[arg(long, value_parser = devices())]
    device: Option<String>,
    /// Only page views on this family of operating systems; reads page views, so only within their retention.
    #[arg(long, value_parser = systems())]
    os: Option<String>,
    /// Only these metrics, such as LCP,INP.
    #[arg(long, value_name = "METRICS")]
    metric: Option<String>,
    /// Routes to show, at most 100.
    #[arg(long, default_value_t = 10, value_name = "N",
          value_parser = clap::value_parser!(u16).range(0..=limits::COMPARED_ROWS_MAX as i64))]
    limit: u16,
    /// The output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Text,
    /// The API's answer.
    Json,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    Ok(finish(execute(&args, Terminal::of_stdout()).await))
}

/// Asks the server, and formats the answer.
///
/// # Errors
/// The server's refusal, or no answer.
pub(crate) async fn execute(args: &Args, terminal: Terminal) -> Result<Done, Failure> {
    let client = Client::new(&args.server)?;
    let site = client.site(args.server.site.as_deref()).await?;
    let [from, to] = [args.against_from, args.against_to].map(|at| at.map(time_text));
    let limit = args.limit.to_string();
    let query = [
        ("release", args.release.as_deref()),
        ("against", args.against.as_deref()),
        ("against_from", from.as_deref()),
        ("against_to", to.as_deref()),
        ("by", args.by.as_deref()),
        ("value", args.value.as_deref()),
        ("route", args.route.as_deref()),
        ("period", Some(args.period.as_str())),
        ("device", args.device.as_deref()),
        ("os", args.os.as_deref()),
        ("metric", args.metric.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let (json, answer): (Value, CompareAnswer) = client.get(&["sites", &site, "compare"], &query).await?;
    let stdout = match args.format {
        Format::Json => format!("{json:#}\n"),
        Format::Text => text(&answer, terminal),
    };
    Ok(Done { exit: Exit::Pass, stdout, warning: String::new() })
}

fn text(answer: &CompareAnswer, terminal: Terminal) -> String {
    let mut title = vec![plain(&answer.site)];
    title.extend(answer.route.as_deref().map(plain));
    let mut text = terminal.wrap("", &title.join(" · "));
    text.push_str(&side("current", &answer.by, &answer.current, terminal));
    text.push_str(&side("baseline", &answer.by, &answer.baseline, terminal));
    text.push('\n');
    if answer.metrics.is_empty() {
        return text + &terminal.wrap("", "Neither side has values of these metrics in its period.");
    }
    text.push_str(&metrics(answer, terminal));
    text.push_str(&terminal.wrap("", &legend(answer)));
    if answer.route.is_none() {
        text.push_str(&format!("\n{}", routes(answer, terminal)));
    }
    text
}

fn side(which: &str, by: &str, side: &SideAnswer, terminal: Terminal) -> String {
    let value = side.value.as_deref().map(|value| format!("{by} {}, ", plain(value))).unwrap_or_default();
    let SideAnswer { period, views, .. } = side;
    let text =
        format!("{which}: {value}{} to {}, {views} page views", plain(&period.from), plain(&period.to));
    terminal.wrap("  ", &text)
}

fn metrics(answer: &CompareAnswer, terminal: Terminal) -> String {
    let mut table = Table::new(&[
        Column::word("METRIC"),
        Column::number("BASELINE").dropped(3),
        Column::number("CURRENT"),
        Column::number("CHANGE"),
        Column::number("INTERVAL").dropped(1),
        Column::word("VERDICT"),
        Column::word("SAME AUDIENCE").dropped(2),
    ]);
    for metric in Metric::ALL {
        let Some(change) = answer.metrics.get(metric.name()) else { continue };
        let alike = answer.reweighted.as_ref().and_then(|shares| shares.metrics.get(metric.name()));
        table.row(vec![
            metric.name().into(),
            percentile(metric, change.baseline.as_ref().map(|side| side.value)),
            percentile(metric, change.current.as_ref().map(|side| side.value)),
            moved(metric, change).into(),
            interval(metric, change).into(),
            verdict(change.verdict),
            match alike {
                Some(alike) => {
                    let text = format!("{} {}", moved(metric, alike), alike.verdict.name());
                    Cell::painted(text, ink(alike.verdict))
                }
                None => ABSENT.into(),
            },
        ]);
    }
    table.render(terminal)
}

fn legend(answer: &CompareAnswer) -> String {
    let start = format!(
        "{}th percentiles, times in ms; 90 % of such intervals hold the true change.",
        answer.percentile
    );
    match (&answer.reweighted, &answer.reweighted_absent) {
        (Some(SharesAnswer { sampled: [from, to], .. }), _) => format!(
            "{start} SAME AUDIENCE: at the baseline's shares of device, country and navigation type, from {from} and \
             {to} sampled page views."
        ),
        (None, Some(why)) => format!("{start} Not compared at the same audience: {}.", plain(why)),
        (None, None) => start,
    }
}

fn routes(answer: &CompareAnswer, terminal: Terminal) -> String {
    let clear = |change: &&crate::client::answer::RouteChangeAnswer| {
        matches!(change.change.verdict, ChangeVerdict::Worse | ChangeVerdict::Better)
    };
    let mut table = Table::new(&[
        Column::text("ROUTE"),
        Column::word("METRIC"),
        Column::number("BASELINE").dropped(2),
        Column::number("CURRENT"),
        Column::number("CHANGE"),
        Column::number("INTERVAL").dropped(1),
        Column::word("VERDICT"),
    ]);
    for row in answer.routes.iter().filter(clear) {
        let (metric, change) = (row.metric, &row.change);
        table.row(vec![
            row.route.as_str().into(),
            metric.name().into(),
            percentile(metric, change.baseline.as_ref().map(|side| side.value)),
            percentile(metric, change.current.as_ref().map(|side| side.value)),
            moved(metric, change).into(),
            interval(metric, change).into(),
            verdict(change.verdict),
        ]);
    }
    if table.is_empty() {
        return terminal.wrap("", "No route with enough page views on both sides has clearly changed.");
    }
    table.render(terminal)
}

fn percentile(metric: Metric, value: Option<f64>) -> Cell {
    value.map_or_else(|| ABSENT.to_owned(), |value| number(metric, value, &[])).into()
}

/// The change in per cent; in the unit if the baseline is 0.
pub(crate) fn moved(metric: Metric, change: &ChangeAnswer) -> String {
    match (change.change_percent, change.change) {
        (Some(percent), _) => format!("{percent:+.1} %"),
        (None, Some(change)) => signed(metric, change),
        (None, None) => ABSENT.to_owned(),
    }
}

/// The confidence interval of the change.
pub(crate) fn interval(metric: Metric, change: &ChangeAnswer) -> String {
    change.interval.map_or_else(
        || ABSENT.to_owned(),
        |[low, high]| format!("{} to {}", signed(metric, low), signed(metric, high)),
    )
}

fn signed(metric: Metric, change: f64) -> String {
    let sign = if change < 0.0 { "-" } else { "+" };
    format!("{sign}{}", number(metric, change.abs(), &[]))
}

fn verdict(verdict: ChangeVerdict) -> Cell {
    Cell::painted(verdict.name(), ink(verdict))
}

/// The color of a verdict.
pub(crate) const fn ink(verdict: ChangeVerdict) -> Ink {
    match verdict {
        ChangeVerdict::Worse => Ink::Red,
        ChangeVerdict::Better => Ink::Green,
        ChangeVerdict::NoClearChange | ChangeVerdict::NotEnoughData => Ink::Yellow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(routes: Value, reweighted: Value) -> CompareAnswer {
        let side = |n, value: f64| json!({"n": n, "value": value, "interval": [value * 0.9, value * 1.1]});
        let change = |percent: f64, verdict: &str| {
            json!({"unit": "ms", "baseline": side(900, 2_000.0), "current": side(800, 2_000.0 * (1.0 + percent / 100.0)),
                "change": 20.0 * percent, "change_percent": percent, "interval": [15.0 * percent, 25.0 * percent],
                "p_value": 0.01, "verdict": verdict})
        };
        let mut routes = routes;
        for route in routes.as_array_mut().unwrap() {
            route.as_object_mut().unwrap().extend(change(40.0, "worse").as_object().unwrap().clone());
        }
        let mut reweighted = reweighted;
        if let Some(metrics) = reweighted.get_mut("metrics") {
            *metrics = json!({"LCP": change(-0.3, "no clear change")});
        }
        let period = json!({"from": "2026-11-20T00:00:00Z", "to": "2026-11-27T00:00:00Z"});
        let value = json!({
            "site": "shop", "route": null, "by": "release", "percentile": 75,
            "baseline": {"value": "5.0.9", "period": period, "views": 4000},
            "current": {"value": "5.1.0", "period": period, "views": 3900},
            "metrics": {"LCP": change(40.0, "worse"), "TTFB": {"unit": "ms", "baseline": null, "current": side(3, 90.0),
                "change": null, "change_percent": null, "interval": null, "p_value": null, "verdict": "not enough data"}},
            "reweighted": reweighted, "reweighted_absent": null, "routes": routes,
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn comparison_fits_a_terminal_and_says_what_changed() {
        let weighed = json!({"sampled": [900, 850], "share": [1.0, 0.5], "metrics": {}});
        let told = answer(json!([{"route": "/cart", "metric": "LCP"}]), weighed);
        let eighty = Terminal { color: false, columns: Some(80) };
        let text = text(&told, eighty);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
        insta::assert_snapshot!("comparison_in_a_pipe", super::text(&told, Terminal::PIPE));
    }

    #[test]
    fn comparison_without_clear_routes_says_so() {
        let text = text(&answer(json!([]), Value::Null), Terminal::PIPE);
        assert!(text.contains("No route with enough page views"), "{text}");
    }
}
