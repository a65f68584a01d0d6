//! Prints one's own page views beside Google's record of them in CrUX.

use super::{Args, Format, pretty};
use crate::client::Client;
use crate::client::answer::crux::{CruxAnswer, DistributionAnswer};
use crate::exit::Failure;
use crate::output::csv::Csv;
use crate::output::table::{Cell, Column, Table};
use crate::output::{ABSENT, Ink, Terminal, number, plain};
use serde_json::Value;
use vitals::metric::{Metric, Rating};

/// The metrics on both sides, and whether there are no page views.
pub(super) async fn report(
    args: &Args,
    client: &Client,
    site: &str,
    terminal: Terminal,
) -> Result<(String, bool), Failure> {
    let query = [
        ("route", args.route.as_deref()),
        ("origin", args.origin.as_deref()),
        ("device", args.filters.device.as_deref()),
    ];
    let (json, answer): (Value, CruxAnswer) = client.get(&["sites", site, "crux"], &query).await?;
    let text = match args.format {
        Format::Json => pretty(&json),
        Format::Csv => csv(&answer),
        Format::Text | Format::Md | Format::Html => text(&answer, terminal),
    };
    Ok((text, answer.own.views == 0))
}

fn text(answer: &CruxAnswer, terminal: Terminal) -> String {
    let pages = answer.url.as_deref().unwrap_or(&answer.origin);
    let device = answer.device.as_deref().unwrap_or("all devices");
    let mut text = terminal.wrap("", &format!("{} · {} · {device}", plain(&answer.site), plain(pages)));
    let mut table = Table::new(&[
        Column::word("METRIC"),
        Column::number("YOURS"),
        Column::number("CRUX"),
        Column::number("GOOD, YOURS"),
        Column::number("GOOD, CRUX"),
        Column::number("N, YOURS").dropped(1),
    ]);
    for (name, beside) in &answer.metrics {
        let Some(metric) = Metric::from_name(name) else { continue };
        let side = |side: &Option<DistributionAnswer>| -> [Cell; 2] {
            match side {
                None => [ABSENT.into(), ABSENT.into()],
                Some(side) => {
                    let ink = Ink::from(rating(metric, side));
                    let good = format!("{:.1} %", side.good * 100.0);
                    [Cell::painted(number(metric, side.p75, &[]), ink), good.into()]
                }
            }
        };
        let ([own, own_good], [crux, crux_good]) = (side(&beside.own), side(&beside.crux));
        let n = beside.own.as_ref().and_then(|own| own.n).map_or(ABSENT.to_owned(), |n| n.to_string());
        table.row(vec![metric.name().into(), own, crux, own_good, crux_good, n.into()]);
    }
    text.push_str(&table.render(terminal));
    let line = |what: &str| terminal.wrap("", what);
    text.push_str(&line("75th percentiles in ms, CLS as a score; shares of good page views"));
    let (from, to) = (day(&answer.own.period.from), day(&answer.own.period.to));
    text.push_str(&line(&format!("Yours: {} page views from {from} until {to}", answer.own.views)));
    if let Some(crux) = &answer.crux {
        text.push_str(&line(&format!("CrUX: {} to {}", plain(&crux.first_day), plain(&crux.last_day))));
    }
    if let Some(problem) = &answer.problem {
        text.push_str(&line(&format!("No record of CrUX: {}", plain(&problem.message))));
    }
    text.push_str("\nWhy they differ:\n");
    for difference in &answer.differences {
        text.push_str(&terminal.item("- ", &plain(difference)));
    }
    text
}

/// The rating of the 75th percentile, by the shares.
fn rating(metric: Metric, side: &DistributionAnswer) -> Rating {
    let thresholds = metric.thresholds();
    if side.p75 <= thresholds.good.number(metric) {
        Rating::Good
    } else if side.p75 <= thresholds.needs_improvement.number(metric) {
        Rating::NeedsImprovement
    } else {
        Rating::Poor
    }
}

/// The day of a time in RFC 3339.
fn day(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

fn csv(answer: &CruxAnswer) -> String {
    let mut csv =
        Csv::new(["site", "pages", "side", "metric", "p75", "n", "good", "needs_improvement", "poor"]);
    let pages = answer.url.as_deref().unwrap_or(&answer.origin);
    for (metric, beside) in &answer.metrics {
        for (name, side) in [("own", &beside.own), ("crux", &beside.crux)] {
            let Some(side) = side else { continue };
            csv.row(&[
                answer.site.clone(),
                pages.to_owned(),
                name.to_owned(),
                metric.clone(),
                side.p75.to_string(),
                side.n.map(|n| n.to_string()).unwrap_or_default(),
                side.good.to_string(),
                side.needs_improvement.to_string(),
                side.poor.to_string(),
            ]);
        }
    }
    csv.finish()
}
