//! The assessment, the score and the recommendations as text for people.

use crate::client::answer::summary::{PageAnswer, QualityAnswer, RecommendationAnswer, SummaryAnswer};
use crate::output::{Ink, Terminal, plain, share};
use vitals::advice::Part;
use vitals::compare::ChangeVerdict;
use vitals::metric::Metric;

/// Recommendations in a text; documents and JSON have all.
const RECOMMENDATIONS_MAX: usize = 3;

/// One line: the assessment and the field score.
pub(super) fn quality(answer: &SummaryAnswer, terminal: Terminal) -> String {
    let Some(quality) = &answer.quality else { return String::new() };
    let ink = match quality.core_web_vitals.as_str() {
        "pass" => Ink::Green,
        "fail" => Ink::Red,
        _ => Ink::Yellow,
    };
    let verdict = terminal.paint(ink, verdict(quality));
    format!("Core Web Vitals: {verdict}{}\n\n", score(quality))
}

/// The assessment in words.
pub(super) fn verdict(quality: &QualityAnswer) -> &'static str {
    match quality.core_web_vitals.as_str() {
        "pass" => "pass",
        "fail" => "fail",
        _ => "not enough data",
    }
}

fn score(quality: &QualityAnswer) -> String {
    quality.field_score.map_or_else(String::new, |score| format!(" · field score {score:.0} of 100"))
}

/// The first recommendations, each with its evidence and its quickest step.
pub(super) fn advice(answer: &SummaryAnswer, terminal: Terminal) -> String {
    let Some(advice) = answer.advice.as_ref().filter(|advice| !advice.recommendations.is_empty()) else {
        return String::new();
    };
    let mut text = format!("\n{}\n", terminal.paint(Ink::Bold, "WHAT TO REPAIR FIRST"));
    for (number, one) in (1..).zip(advice.recommendations.iter().take(RECOMMENDATIONS_MAX)) {
        let headline =
            format!("{number}. {} ({}, {})", plain(&one.title), plain(&one.severity), plain(&one.code));
        text.push_str(&terminal.wrap("", &headline));
        text.push_str(&terminal.wrap("   ", &plain(&one.evidence)));
        if let Some(named) = named(one) {
            text.push_str(&terminal.wrap("   ", &plain(&named)));
        }
        if let Some(step) = one.steps.first() {
            text.push_str(&terminal.wrap("   ", &format!("{}: {}", plain(&step.horizon), plain(&step.text))));
        }
    }
    let more = advice.recommendations.len().saturating_sub(RECOMMENDATIONS_MAX);
    if more > 0 {
        text.push_str(
            &terminal.wrap("", &format!("{more} more; --format md or html has all with their steps.")),
        );
    }
    text
}

/// The change of the metric that a page is ranked by since the time before, in words; `None` if a side has too few values.
pub(super) fn change(page: &PageAnswer, asked: Option<Metric>) -> Option<(ChangeVerdict, String)> {
    let metric = asked.or_else(|| page.impact.as_ref().map(|impact| impact.metric))?;
    let before = page.previous.get(metric.name())?;
    let verdict = before.verdict;
    let percent = before.change_percent.filter(|_| verdict != ChangeVerdict::NoClearChange);
    let percent = percent.map_or_else(String::new, |percent| format!("{percent:+.1} % "));
    Some((verdict, format!("{percent}{}", verdict.name())))
}

/// The element and the resource that most page views of a recommendation name.
pub(super) fn named(one: &RecommendationAnswer) -> Option<String> {
    // Its evidence has the reason.
    if one.code == Part::BackForwardCache.code() {
        return None;
    }
    let names: Vec<&str> =
        [&one.element, &one.resource].into_iter().filter_map(|name| name.as_deref()).collect();
    let share = share(one.named, one.dominated);
    (!names.is_empty()).then(|| format!("Most often: {} ({share} of them)", names.join(", ")))
}
