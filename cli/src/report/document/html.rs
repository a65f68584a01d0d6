//! The document as one HTML file: no script, no further request, light, dark and on paper.

use super::chart;
use super::markup::{Markup, element, open, style, text};
use super::sections::{self, CAUSE_COLUMNS, CHANGE_COLUMNS, METRIC_COLUMNS, PAGE_COLUMNS, TREND_COLUMNS};
use crate::client::answer::summary::{AdviceAnswer, RecommendationAnswer, SummaryAnswer};
use crate::client::answer::{MarkAnswer, PeriodAnswer, SeriesAnswer};
use crate::moment;
use crate::report::{Args, shown, summary};

/// Forbids everything but the style sheet, so that even a mistake here loads and runs nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Renders the document.
pub(in crate::report) fn render(
    answer: &SummaryAnswer,
    series: Option<&SeriesAnswer>,
    args: &Args,
) -> String {
    let title = sections::title(answer);
    let head = [
        open("meta", &[("charset", "utf-8")]),
        open("meta", &[("http-equiv", "Content-Security-Policy"), ("content", POLICY)]),
        open("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]),
        open("meta", &[("name", "color-scheme"), ("content", "light dark")]),
        element("title", &[], text(&title)),
        style(include_str!("document.css")),
    ];
    let body = [
        header(answer, args, &title),
        metrics(answer, args),
        changes(answer, args),
        series.map(over_time).unwrap_or_default(),
        pages(answer, args),
        answer.advice.as_ref().map(causes).unwrap_or_default(),
        recommendations(answer),
        missing(answer),
        footer(),
    ];
    let document = [
        element("head", &[], head.into_iter().collect()),
        element("body", &[], element("main", &[], body.into_iter().collect())),
    ];
    let document = element("html", &[("lang", "en")], document.into_iter().collect());
    format!("<!doctype html>\n{}\n", document.into_string())
}

fn header(answer: &SummaryAnswer, args: &Args, title: &str) -> Markup {
    let mut content = element("h1", &[], text(title));
    content.push(paragraph("soft", sections::about(answer, args)));
    if let Some(quality) = &answer.quality {
        let ring = quality.field_score.map(chart::score).unwrap_or_default();
        let mut words = paragraph(
            &format!("verdict {}", summary::verdict(quality).replace(' ', "-")),
            sections::verdict(answer, quality),
        );
        words.push(sections::score(quality).map(|score| paragraph("soft", score)).unwrap_or_default());
        let parts = [ring, element("div", &[], words)];
        content.push(element("div", &[("class", "quality")], parts.into_iter().collect()));
    }
    element("header", &[], content)
}

fn metrics(answer: &SummaryAnswer, args: &Args) -> Markup {
    let mut cards = Markup::default();
    let mut rows = Vec::new();
    for (metric, one) in shown(args, &answer.metrics) {
        let mut card = element("h3", &[], text(metric.name()));
        card.push(chart::distribution(metric, one));
        card.push(chart::ratings(one));
        cards.push(element("figure", &[], card));
        rows.push(sections::metric_row(metric, one).map(text).to_vec());
    }
    if rows.is_empty() {
        return Markup::default();
    }
    let mut content = element("div", &[("class", "cards")], cards);
    content.push(table(&METRIC_COLUMNS, rows));
    section("Metrics", content)
}

fn changes(answer: &SummaryAnswer, args: &Args) -> Markup {
    let Some(previous) = &answer.previous else { return Markup::default() };
    let rows = sections::change_rows(previous, args);
    if rows.is_empty() {
        return Markup::default();
    }
    let rows = rows.into_iter().map(|row| row.map(text).to_vec());
    let mut content = table(&CHANGE_COLUMNS, rows.collect());
    content.push(paragraph("soft", sections::change_about(previous)));
    section("Change since the period before", content)
}

fn over_time(series: &SeriesAnswer) -> Markup {
    let mut cards = Markup::default();
    let mut rows = Vec::new();
    let axis = axis(series);
    for trend in sections::trends(series) {
        let mut card = element("h3", &[], text(trend.metric.name()));
        card.push(chart::trend(trend.metric, &trend.values, &axis));
        cards.push(element("figure", &[], card));
        let name = text(trend.metric.name());
        rows.push(std::iter::once(name).chain(trend.ends.map(text)).collect());
    }
    if rows.is_empty() {
        return Markup::default();
    }
    let [lowest, highest, last] = TREND_COLUMNS;
    let mut content = element("div", &[("class", "cards")], cards);
    content.push(table(&["Metric", lowest, highest, last], rows));
    content.push(paragraph("soft", sections::trend_about(series)));
    section("Over time", content)
}

/// The time of a series, and its releases.
fn axis(series: &SeriesAnswer) -> chart::Axis {
    let PeriodAnswer { from, to, .. } = &series.period;
    let at = |text: &str| moment::time(text).ok();
    let place = |mark: &MarkAnswer| {
        let (from, to, at) = (at(from)?, at(to)?, at(&mark.at)?);
        (from..to).contains(&at).then(|| at.saturating_sub(from) as f64 / to.saturating_sub(from) as f64)
    };
    let ends = [from, to].map(|end| sections::time(end));
    chart::Axis { ends, marks: series.marks.iter().filter_map(place).collect() }
}

fn pages(answer: &SummaryAnswer, args: &Args) -> Markup {
    if answer.pages.is_empty() {
        return Markup::default();
    }
    let impact = |page: &crate::client::answer::summary::PageAnswer| {
        page.impact.as_ref().map_or(0.0, |impact| impact.views)
    };
    let largest = answer.pages.iter().map(impact).fold(0.0, f64::max);
    let rows = answer.pages.iter().map(|page| {
        let [views, not_good, further @ ..] = sections::page_cells(page, args);
        let mut not_good = text(not_good);
        not_good.push(chart::bar(impact(page), largest));
        let start = [text(&page.route), text(views), not_good];
        start.into_iter().chain(further.map(text)).collect()
    });
    let mut content = table(&PAGE_COLUMNS, rows.collect());
    content.push(paragraph("soft", sections::ranking_note(answer, args)));
    section("Worst pages", content)
}

fn causes(advice: &AdviceAnswer) -> Markup {
    let mut content = Markup::default();
    let mut is_empty = true;
    for slow in advice.causes.iter().filter(|slow| !slow.parts.is_empty()) {
        let mut one = element("h3", &[], text(slow.metric.name()));
        one.push(paragraph("soft", sections::causes_about(slow)));
        one.push(chart::parts(slow));
        let rows = slow.parts.iter().enumerate().map(|(number, part)| {
            let [name, further @ ..] = sections::cause_row(slow, part);
            let mut first = chart::key(number);
            first.push(text(name));
            std::iter::once(first).chain(further.map(text)).collect()
        });
        one.push(table(&CAUSE_COLUMNS, rows.collect()));
        content.push(element("div", &[("class", "whole")], one));
        is_empty = false;
    }
    if is_empty { content } else { section("Causes", content) }
}

fn recommendations(answer: &SummaryAnswer) -> Markup {
    let all = answer.advice.as_ref().map_or(&[][..], |advice| &advice.recommendations);
    let content = if all.is_empty() {
        let (sentence, reasons) = sections::silence(answer);
        let mut content = paragraph("", sentence);
        if !reasons.is_empty() {
            content.push(list(reasons.into_iter().map(text)));
        }
        content
    } else {
        let items = all.iter().map(recommendation);
        element("ol", &[("class", "recommendations")], items.collect())
    };
    section("Recommendations", content)
}

fn recommendation(one: &RecommendationAnswer) -> Markup {
    let mut heading = text(&one.title);
    let severity = match one.severity.as_str() {
        "high" => "severity poor",
        "medium" => "severity needs-improvement",
        _ => "severity",
    };
    heading.push(element("span", &[("class", severity)], text(&one.severity)));
    let mut content = element("h3", &[], heading);
    content.push(paragraph("", &one.evidence));
    content.push(summary::named(one).map(|named| paragraph("soft", named)).unwrap_or_default());
    content.push(list(one.steps.iter().map(|step| {
        let mut item = element("b", &[], text(format!("{}: ", sections::horizon(&step.horizon))));
        item.push(rich(&step.text));
        item
    })));
    element("li", &[("class", "whole")], content)
}

fn missing(answer: &SummaryAnswer) -> Markup {
    if answer.missing.is_empty() {
        return Markup::default();
    }
    section("What is missing", list(answer.missing.iter().map(|one| text(&one.message))))
}

fn footer() -> Markup {
    let words = concat!(
        "Values of real visits, by fieldvitals ",
        env!("CARGO_PKG_VERSION"),
        ". Rating counts are exact, percentiles are within 0.55 %. 90 % of such intervals hold the true 75th percentile."
    );
    element("footer", &[], paragraph("soft", words))
}

/// A text with its code as code.
fn rich(words: &str) -> Markup {
    let piece = |(piece, is_code): (&str, bool)| {
        if is_code { element("code", &[], text(piece)) } else { text(piece) }
    };
    sections::pieces(words).into_iter().map(piece).collect()
}

fn section(title: &str, content: Markup) -> Markup {
    let mut whole = element("h2", &[], text(title));
    whole.push(content);
    element("section", &[], whole)
}

fn paragraph(class: &str, words: impl AsRef<str>) -> Markup {
    // Keeps a number and its unit in one line.
    element("p", &[("class", class)], text(words.as_ref().replace(" %", "\u{a0}%")))
}

fn list(items: impl Iterator<Item = Markup>) -> Markup {
    element("ul", &[], items.map(|item| element("li", &[], item)).collect())
}

/// A table; the first column names the row. It scrolls in a narrow window.
fn table(columns: &[&str], rows: Vec<Vec<Markup>>) -> Markup {
    let head = columns.iter().map(|name| element("th", &[("scope", "col")], text(name))).collect();
    let head = element("thead", &[], element("tr", &[], head));
    let row = |cells: Vec<Markup>| {
        let cells = cells.into_iter().enumerate().map(|(number, cell)| match number {
            0 => element("th", &[("scope", "row")], cell),
            _ => element("td", &[], cell),
        });
        element("tr", &[], cells.collect())
    };
    let body = element("tbody", &[], rows.into_iter().map(row).collect());
    let table = element("table", &[], [head, body].into_iter().collect());
    element("div", &[("class", "scroll")], table)
}
