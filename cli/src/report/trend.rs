//! A report over time: a sparkline per metric.

use super::tables::{no_route, nothing};
use super::{Args, Format, pretty};
use crate::client::Client;
use crate::client::answer::{MarkAnswer, SeriesAnswer};
use crate::exit::Failure;
use crate::output::csv::Csv;
use crate::output::spark::Spark;
use crate::output::table::{Cell, Column, Table};
use crate::output::{ABSENT, Terminal, number, plain};
use serde_json::Value;
use vitals::metric::{Metric, Value as MetricValue};

/// Longest period that is shown by hours, in hours. A sparkline of so many characters fits 80 columns.
const HOURS_MAX: u64 = 48;
/// Longest period that is shown by days, in hours.
const DAYS_MAX: u64 = 46 * 24;
/// Marks below the sparklines.
const MARKS_MAX: usize = 6;

/// The trend, and whether there are no page views.
pub(super) async fn trend(
    args: &Args,
    client: &Client,
    site: &str,
    terminal: Terminal,
) -> Result<(String, bool), Failure> {
    // Without a step, the server chooses one by the length of the period.
    let step = args.filters.from.is_none().then(|| step(&args.filters.period));
    let (json, answer) = series(args, client, site, step).await?;
    let is_empty = answer.lines.iter().all(|line| line.views.iter().all(|views| *views == 0));
    let text = match args.format {
        Format::Json => pretty(&json),
        Format::Csv => csv(&answer),
        Format::Text | Format::Md | Format::Html => text(&answer, args, (terminal, Spark::of_locale())),
    };
    Ok((text, is_empty))
}

/// Asks for the metrics over time, by steps of the API; without a step, the server chooses one by the length of the
/// period.
pub(super) async fn series(
    args: &Args,
    client: &Client,
    site: &str,
    step: Option<&str>,
) -> Result<(Value, SeriesAnswer), Failure> {
    let query = args.filters.query([
        ("step", step),
        ("route", args.route.as_deref()),
        ("metric", args.metric.map(Metric::name)),
    ]);
    client.get(&["sites", site, "series"], &query).await
}

/// The step that shows a period in one line.
fn step(period: &str) -> &'static str {
    let count = |digits: &str| digits.parse().unwrap_or(u64::MAX);
    let hours = match period.strip_suffix('h') {
        Some(digits) => count(digits),
        None => period.strip_suffix('d').map_or(u64::MAX, |digits| count(digits).saturating_mul(24)),
    };
    match hours {
        0..=HOURS_MAX => "hour",
        hours if hours <= DAYS_MAX => "day",
        _ => "week",
    }
}

fn text(answer: &SeriesAnswer, args: &Args, (terminal, spark): (Terminal, Spark)) -> String {
    let mut parts = vec![plain(&answer.site)];
    parts.extend(answer.route.as_deref().map(plain));
    parts.push(format!("{} to {}", plain(&answer.period.from), plain(&answer.period.to)));
    parts.push(format!("by {}, {}", plain(&answer.step), plain(&answer.timezone)));
    parts.extend(args.filters.titles());
    let mut text = terminal.wrap("", &parts.join(" · ")) + "\n";
    let Some(line) = answer.lines.first().filter(|line| line.views.iter().any(|views| *views > 0)) else {
        text.push_str(&no_route(&answer.nearest_routes, terminal));
        return text + &nothing(&answer.site, "page views", terminal);
    };
    let mut table = Table::new(&[
        Column::word("METRIC"),
        Column::word("TREND"),
        Column::number("LOW").dropped(1),
        Column::number("HIGH").dropped(2),
        Column::number("LAST"),
    ]);
    for metric in Metric::ALL {
        let Some(series) = line.metrics.get(metric.name()) else { continue };
        let values: Vec<Option<f64>> = series.points.iter().map(|point| point.value).collect();
        let known = || values.iter().flatten().copied();
        let Some(last) = known().next_back() else { continue };
        let shown = |value: f64| number(metric, value, &[]);
        table.row(vec![
            metric.name().into(),
            spark.draw(&values).into(),
            shown(known().fold(f64::INFINITY, f64::min)).into(),
            shown(known().fold(0.0, f64::max)).into(),
            rated(metric, last),
        ]);
    }
    let views: Vec<Option<f64>> = line.views.iter().map(|views| Some(*views as f64)).collect();
    let extreme =
        |views: Option<&u64>| -> Cell { views.map_or_else(|| ABSENT.to_owned(), u64::to_string).into() };
    table.row(vec![
        "VIEWS".into(),
        spark.draw(&views).into(),
        extreme(line.views.iter().min()),
        extreme(line.views.iter().max()),
        extreme(line.views.last()),
    ]);
    text.push_str(&table.render(terminal));
    let legend =
        format!("{}th percentiles in ms, CLS as a score; ! needs improvement, !! poor.", answer.percentile);
    text.push_str(&terminal.wrap("", &legend));
    let releases = releases(&answer.marks);
    if releases.is_empty() { text } else { text + &terminal.list("Releases: ", &releases) }
}

/// A percentile with the rating of its value.
fn rated(metric: Metric, value: f64) -> Cell {
    let shown = number(metric, value, &[]);
    match MetricValue::new(metric, value).map(|value| metric.rate(value)) {
        Ok(rating) => {
            let mark = ["", "!", "!!"][rating as usize];
            Cell::painted(format!("{shown}{mark}"), rating.into())
        }
        Err(_) => shown.into(),
    }
}

/// The latest marks.
pub(super) fn releases(marks: &[MarkAnswer]) -> Vec<String> {
    let text = |mark: &MarkAnswer| {
        let (day, _) = mark.at.split_once('T').unwrap_or((&mark.at, ""));
        let what = if mark.kind == "deploy" { "deployed" } else { "first seen" };
        format!("{} {what} {}", plain(&mark.release), plain(day))
    };
    let skipped = marks.len().saturating_sub(MARKS_MAX);
    marks.iter().skip(skipped).map(text).collect()
}

fn csv(answer: &SeriesAnswer) -> String {
    let mut csv = Csv::new(["start", "metric", "n", "value", "good", "needs_improvement", "poor"]);
    for line in &answer.lines {
        for metric in Metric::ALL {
            let Some(series) = line.metrics.get(metric.name()) else { continue };
            for (step, point) in answer.steps.iter().zip(&series.points) {
                csv.row(&[
                    step.start.as_str(),
                    metric.name(),
                    &point.n.to_string(),
                    &point.value.map(|value| value.to_string()).unwrap_or_default(),
                    &point.good.to_string(),
                    &point.needs_improvement.to_string(),
                    &point.poor.to_string(),
                ]);
            }
        }
    }
    csv.finish()
}

#[cfg(test)]
mod tests {
    use super::super::tests::args;
    use super::*;
    use serde_json::json;

    fn answer(days: usize) -> SeriesAnswer {
        let point = |value: Option<f64>| json!({"n": 9, "value": value, "interval": null, "good": 5, "needs_improvement": 3, "poor": 1});
        let lcp: Vec<Value> = (0..days)
            .map(|day| point((day % 9 != 4).then_some(2_000.0 + 50.0 * (day % 20) as f64)))
            .collect();
        let steps: Vec<Value> = (0..days)
            .map(|day| json!({"start": format!("2026-11-{:02}T23:00:00Z", day + 1), "end": ""}))
            .collect();
        let value = json!({
            "site": "shop", "route": null, "step": "day", "timezone": "Europe/Berlin", "percentile": 75,
            "period": {"from": "2026-10-31T23:00:00Z", "to": "2026-11-28T23:00:00Z"}, "steps": steps,
            "lines": [{"value": null, "views": vec![12; days],
                "metrics": {"LCP": {"points": lcp}, "INP": {"points": vec![point(None); days]}}}],
            "marks": [{"at": "2026-11-20T10:00:00Z", "release": "5.1.0", "kind": "deploy"},
                {"at": "2026-11-22T00:00:00Z", "release": "5.1.1", "kind": "first_seen"}],
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn trend_fits_a_terminal() {
        let eighty = Terminal { color: false, columns: Some(80) };
        insta::assert_snapshot!(text(
            &answer(28),
            &args(&["--trend", "--period", "28d"]),
            (eighty, Spark::BLOCKS)
        ));
        let widest = text(&answer(48), &args(&["--trend"]), (eighty, Spark::ASCII));
        assert!(widest.lines().all(|line| line.chars().count() <= 80) && widest.contains("LOW"), "{widest}");
    }

    #[test]
    fn trend_without_page_views_says_why() {
        let mut none = answer(3);
        none.lines[0].views = vec![0; 3];
        let text = text(&none, &args(&["--trend"]), (Terminal::PIPE, Spark::BLOCKS));
        assert!(text.contains("There are no page views in this period"), "{text}");
    }

    #[test]
    fn trend_as_csv_has_a_row_per_step() {
        let csv = csv(&answer(2));
        assert_eq!(csv.lines().count(), 1 + 2 * 2);
        assert!(csv.contains("2026-11-01T23:00:00Z,LCP,9,2000,5,3,1"), "{csv}");
    }

    #[test]
    fn steps_fit_a_line() {
        for (period, expected) in
            [("24h", "hour"), ("2d", "hour"), ("7d", "day"), ("28d", "day"), ("90d", "week")]
        {
            assert_eq!(step(period), expected, "{period}");
        }
    }
}
