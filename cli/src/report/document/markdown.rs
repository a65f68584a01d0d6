//! The document as Markdown, for issues, wikis and merge requests.

use super::sections::{self, CAUSE_COLUMNS, CHANGE_COLUMNS, METRIC_COLUMNS, PAGE_COLUMNS, TREND_COLUMNS};
use crate::client::answer::SeriesAnswer;
use crate::client::answer::summary::{AdviceAnswer, RecommendationAnswer, SummaryAnswer};
use crate::output::markdown::escape;
use crate::output::plain;
use crate::output::spark::Spark;
use crate::report::{Args, shown, summary};

/// Renders the document.
pub(in crate::report) fn render(
    answer: &SummaryAnswer,
    series: Option<&SeriesAnswer>,
    args: &Args,
) -> String {
    let mut text =
        format!("# {}\n\n{}\n", escape(&sections::title(answer)), escape(&sections::about(answer, args)));
    if let Some(quality) = &answer.quality {
        text.push_str(&format!("\n**{}**\n", escape(&sections::verdict(answer, quality))));
        if let Some(score) = sections::score(quality) {
            text.push_str(&format!("\n{}\n", escape(&score)));
        }
    }
    let rows: Vec<_> =
        shown(args, &answer.metrics).map(|(metric, one)| sections::metric_row(metric, one)).collect();
    section(&mut text, "Metrics", METRIC_COLUMNS, &rows);
    if let Some(previous) = &answer.previous {
        let rows = sections::change_rows(previous, args);
        section(&mut text, "Change since the period before", CHANGE_COLUMNS, &rows);
        if !rows.is_empty() {
            text.push_str(&format!("\n{}\n", escape(&sections::change_about(previous))));
        }
    }
    if let Some(series) = series {
        over_time(&mut text, series);
    }
    let rows: Vec<_> = answer
        .pages
        .iter()
        .map(|page| {
            let [views, impact, change, lcp, inp, cls, verdict] = sections::page_cells(page, args);
            [page.route.clone(), views, impact, change, lcp, inp, cls, verdict]
        })
        .collect();
    section(&mut text, "Worst pages", PAGE_COLUMNS, &rows);
    if !rows.is_empty() {
        text.push_str(&format!("\n{}\n", escape(&sections::ranking_note(answer, args))));
    }
    if let Some(advice) = &answer.advice {
        causes(&mut text, advice);
    }
    text.push_str("\n## Recommendations\n");
    let recommendations = answer.advice.as_ref().map_or(&[][..], |advice| &advice.recommendations);
    for (number, one) in (1..).zip(recommendations) {
        recommendation(&mut text, number, one);
    }
    if recommendations.is_empty() {
        let (sentence, reasons) = sections::silence(answer);
        text.push_str(&format!("\n{sentence}\n"));
        list(&mut text, &reasons);
    }
    if !answer.missing.is_empty() {
        text.push_str("\n## What is missing\n");
        list(&mut text, &answer.missing.iter().map(|one| one.message.clone()).collect::<Vec<_>>());
    }
    text
}

fn section<const COLUMNS: usize>(
    text: &mut String,
    title: &str,
    columns: [&str; COLUMNS],
    rows: &[[String; COLUMNS]],
) {
    if rows.is_empty() {
        return;
    }
    text.push_str(&format!("\n## {title}\n"));
    table(text, columns, rows);
}

/// Adds a table: the first column on the left, the others on the right.
fn table<const COLUMNS: usize>(text: &mut String, columns: [&str; COLUMNS], rows: &[[String; COLUMNS]]) {
    let rule = "|-:".repeat(COLUMNS.saturating_sub(1));
    text.push_str(&format!("\n| {} |\n|-{rule}|\n", columns.join(" | ")));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
}

/// Adds the metrics over time, each as a sparkline.
fn over_time(text: &mut String, series: &SeriesAnswer) {
    let rows: Vec<_> = sections::trends(series)
        .into_iter()
        .map(|trend| {
            let [lowest, highest, last] = trend.ends;
            [trend.metric.name().to_owned(), Spark::BLOCKS.draw(&trend.values), lowest, highest, last]
        })
        .collect();
    let [lowest, highest, last] = TREND_COLUMNS;
    section(text, "Over time", ["Metric", "Trend", lowest, highest, last], &rows);
    if !rows.is_empty() {
        text.push_str(&format!("\n{}\n", escape(&sections::trend_about(series))));
    }
}

fn causes(text: &mut String, advice: &AdviceAnswer) {
    let mut title = "\n## Causes\n";
    for slow in advice.causes.iter().filter(|slow| !slow.parts.is_empty()) {
        text.push_str(title);
        title = "";
        text.push_str(&format!(
            "\n### {}\n\n{}\n",
            slow.metric.name(),
            escape(&sections::causes_about(slow))
        ));
        let rows: Vec<_> = slow.parts.iter().map(|part| sections::cause_row(slow, part)).collect();
        table(text, CAUSE_COLUMNS, &rows);
    }
}

fn recommendation(text: &mut String, number: usize, one: &RecommendationAnswer) {
    text.push_str(&format!("\n### {number}. {}\n\n", escape(&one.title)));
    text.push_str(&format!("Severity: {}. {}\n", escape(&one.severity), escape(&one.evidence)));
    if let Some(named) = summary::named(one) {
        text.push_str(&format!("\n{}\n", escape(&named)));
    }
    text.push('\n');
    for step in &one.steps {
        let horizon = escape(sections::horizon(&step.horizon));
        text.push_str(&format!("- **{horizon}**: {}\n", rich(&step.text)));
    }
}

/// A text with its code as code. Markdown takes nothing in code for markup.
fn rich(text: &str) -> String {
    let pieces = sections::pieces(text).into_iter();
    pieces
        .map(|(piece, is_code)| if is_code { format!("`{}`", plain(piece)) } else { escape(piece) })
        .collect()
}

fn list(text: &mut String, items: &[String]) {
    if !items.is_empty() {
        text.push('\n');
    }
    for item in items {
        text.push_str(&format!("- {}\n", escape(item)));
    }
}
