//! The texts that Markdown and HTML share.

use crate::client::answer::summary::{
    PageAnswer, PartAnswer, PreviousAnswer, QualityAnswer, SlowAnswer, SummaryAnswer,
};
use crate::client::answer::{ChangeAnswer, EstimateAnswer, MetricAnswer, SeriesAnswer};
use crate::compare;
use crate::output::{ABSENT, number, share, value};
use crate::report::{Args, sampled, summary, trend};
use vitals::metric::{Metric, Unit};

/// The heading: the site, and the route if there is one.
pub(super) fn title(answer: &SummaryAnswer) -> String {
    match &answer.route {
        Some(route) => format!("Web Vitals of {} · {route}", answer.site),
        None => format!("Web Vitals of {}", answer.site),
    }
}

/// Period, filters and page views.
pub(super) fn about(answer: &SummaryAnswer, args: &Args) -> String {
    let mut parts = vec![format!("{} to {} UTC", time(&answer.period.from), time(&answer.period.to))];
    parts.extend(args.filters.titles());
    let [views, estimated] = answer.counts();
    parts.push(format!("{views} page views"));
    parts.extend((views != estimated).then(|| format!("about {estimated} before sampling")));
    parts.join(" · ")
}

/// A time of the API without its seconds.
pub(super) fn time(text: &str) -> String {
    text.strip_suffix(":00Z").map_or_else(|| text.to_owned(), |text| text.replace('T', " "))
}

/// The assessment as sentences.
pub(super) fn verdict(answer: &SummaryAnswer, quality: &QualityAnswer) -> String {
    let good = |metric: Metric| {
        let one = answer.metrics.get(metric.name()).filter(|one| one.n >= quality.min_n)?;
        // As the server judges: by the exact counts.
        let is_good = u128::from(one.good) * 4 >= u128::from(one.n) * 3;
        let percent = one.good as f64 / one.n.max(1) as f64 * 100.0;
        // More decimals, if rounding would contradict the verdict.
        let mut texts = (1..=6).map(|places| format!("{percent:.places$}"));
        let agrees = |text: &String| text.parse::<f64>().is_ok_and(|shown| (shown >= 75.0) == is_good);
        let percent = texts.find(agrees).unwrap_or_else(|| percent.to_string());
        Some((is_good, format!("{} {percent} %", metric.name())))
    };
    let metrics = |asked: bool| {
        let all = Metric::CORE.into_iter().filter_map(good);
        all.filter(|(is_good, _)| *is_good == asked).map(|(_, text)| text).collect::<Vec<_>>().join(", ")
    };
    let reason = match quality.core_web_vitals.as_str() {
        "pass" => format!("At least 75 % of the values are good: {}", metrics(true)),
        "fail" => format!("Fewer than 75 % of the values are good: {}", metrics(false)),
        _ => format!("LCP or CLS has fewer than {} values", quality.min_n),
    };
    format!("Core Web Vitals: {}. {reason}.", summary::verdict(quality))
}

/// The field score with its parts.
pub(super) fn score(quality: &QualityAnswer) -> Option<String> {
    let score = quality.field_score?;
    let parts: Vec<String> = quality
        .parts
        .iter()
        .map(|part| format!("{} {:.0} (weight {:.0} %)", part.metric.name(), part.score, part.weight * 100.0))
        .collect();
    Some(format!("Field score {score:.0} of 100: {}. It is no Lighthouse score.", parts.join(", ")))
}

/// The columns of the metrics' table.
pub(super) const METRIC_COLUMNS: [&str; 7] =
    ["Metric", "p75", "90 % interval", "Good", "Needs improvement", "Poor", "Page views"];

/// A metric's row.
pub(super) fn metric_row(metric: Metric, one: &MetricAnswer) -> [String; 7] {
    [
        metric.name().to_owned(),
        format!("{} ({})", value(metric, one.p75, &[]), one.rating.name().replace('-', " ")),
        interval(metric, one),
        share(one.good, one.n),
        share(one.needs_improvement, one.n),
        share(one.poor, one.n),
        one.n.to_string(),
    ]
}

/// The confidence interval of the 75th percentile.
pub(super) fn interval(metric: Metric, one: &MetricAnswer) -> String {
    let ends = one.p75_interval.map(|ends| ends.map(|end| number(metric, end, &[])));
    ends.map_or_else(|| "too few page views".to_owned(), |[low, high]| format!("{low}–{high}"))
}

/// The columns of the table of changes.
pub(super) const CHANGE_COLUMNS: [&str; 6] =
    ["Metric", "p75 before", "p75 now", "Change", "90 % interval", "Verdict"];

/// The rows of changes since the period before; empty if it has no page views.
pub(super) fn change_rows(previous: &PreviousAnswer, args: &Args) -> Vec<[String; 6]> {
    let p75 = |metric: Metric, side: Option<&EstimateAnswer>| {
        side.map_or_else(|| ABSENT.to_owned(), |side| value(metric, side.value, &[]))
    };
    let row = |metric: Metric, change: &ChangeAnswer| {
        [
            metric.name().to_owned(),
            p75(metric, change.baseline.as_ref()),
            p75(metric, change.current.as_ref()),
            compare::moved(metric, change),
            compare::interval(metric, change),
            change.verdict.name().to_owned(),
        ]
    };
    let asked = Metric::ALL.into_iter().filter(|metric| args.metric.is_none_or(|only| only == *metric));
    let rows = asked.filter_map(|metric| Some(row(metric, previous.metrics.get(metric.name())?)));
    if previous.views == 0 { Vec::new() } else { rows.collect() }
}

/// The sentence about the period before.
pub(super) fn change_about(previous: &PreviousAnswer) -> String {
    format!(
        "{} to {} had {} page views. 90 % of such intervals hold the true change.",
        time(&previous.period.from),
        time(&previous.period.to),
        previous.views
    )
}

/// A metric over time.
pub(super) struct Trend {
    pub(super) metric: Metric,
    /// The 75th percentile of each step.
    pub(super) values: Vec<Option<f64>>,
    /// The lowest, the highest and the last one.
    pub(super) ends: [String; 3],
}

/// The metrics over time that have values.
pub(super) fn trends(series: &SeriesAnswer) -> Vec<Trend> {
    let Some(line) = series.lines.first() else { return Vec::new() };
    let one = |metric: Metric| {
        let points = &line.metrics.get(metric.name())?.points;
        let known = || points.iter().filter_map(|point| point.value);
        let ends = [known().fold(f64::INFINITY, f64::min), known().fold(0.0, f64::max), known().next_back()?];
        let values = points.iter().map(|point| point.value).collect();
        Some(Trend { metric, values, ends: ends.map(|end| value(metric, end, &[])) })
    };
    Metric::ALL.into_iter().filter_map(one).collect()
}

/// The columns of a trend's table after the metric's name and its drawing.
pub(super) const TREND_COLUMNS: [&str; 3] = ["Lowest p75", "Highest p75", "Last p75"];

/// The steps of the trends, and the releases of their time.
pub(super) fn trend_about(series: &SeriesAnswer) -> String {
    let steps =
        format!("75th percentiles by {}, in the time zone {}; times are UTC.", series.step, series.timezone);
    let releases = trend::releases(&series.marks);
    if releases.is_empty() { steps } else { format!("{steps} Releases: {}.", releases.join(", ")) }
}

/// The columns of the pages' table.
pub(super) const PAGE_COLUMNS: [&str; 8] =
    ["Page", "Page views", "Not good", "Change", "LCP", "INP", "CLS", "Core Web Vitals"];

/// The cells of a page after its name.
pub(super) fn page_cells(page: &PageAnswer, args: &Args) -> [String; 7] {
    let p75 = |metric: Metric| {
        let one = page.metrics.get(metric.name());
        one.map_or_else(|| "–".to_owned(), |one| value(metric, one.p75, &[]))
    };
    let change = summary::change(page, args.metric).map_or_else(|| ABSENT.to_owned(), |(_, text)| text);
    let impact = page.impact.as_ref();
    let impact = impact.map(|impact| format!("{:.0} by {}", impact.views, impact.metric.name()));
    let [lcp, inp, cls] = Metric::CORE.map(p75);
    let verdict = page.quality.as_ref().map_or("–", summary::verdict);
    let impact = impact.unwrap_or_else(|| ABSENT.to_owned());
    [page.views.to_string(), impact, change, lcp, inp, cls, verdict.to_owned()]
}

/// The meaning of the ranking's numbers, and the hidden pages.
pub(super) fn ranking_note(answer: &SummaryAnswer, args: &Args) -> String {
    let mut text =
        "\"Not good\" estimates, with a caution for small numbers, how many page views are not good in the \
                    page's worst Core Web Vital."
            .to_owned();
    if answer.pages.iter().any(|page| summary::change(page, args.metric).is_some()) {
        let of = args.metric.map_or("that metric's", Metric::name);
        text.push_str(&format!(" \"Change\" is of {of} p75 since the period before, which is as long."));
    }
    if answer.routes_hidden > 0 {
        text.push_str(&format!(
            " {} pages with fewer than {} page views are not ranked.",
            answer.routes_hidden, answer.min_n
        ));
    }
    text
}

/// The sentence above the causes of a metric.
pub(super) fn causes_about(slow: &SlowAnswer) -> String {
    let SlowAnswer { period, slow: not_good, explained, .. } = slow;
    let sample = slow
        .sample
        .as_ref()
        .map_or_else(String::new, |sample| format!(" Numbers are of {}", sampled::text(sample)));
    format!(
        "{not_good} page views from {} to {} are not good; the cause of {explained} is known.{sample}",
        time(&period.from),
        time(&period.to)
    )
}

/// The columns of the causes' tables.
pub(super) const CAUSE_COLUMNS: [&str; 4] =
    ["Dominant part", "Share of slow page views", "Median", "Most often"];

/// A row of the causes' tables.
pub(super) fn cause_row(slow: &SlowAnswer, part: &PartAnswer) -> [String; 4] {
    let median = match slow.metric.unit() {
        Unit::Milliseconds => format!("{:.0} ms", part.median),
        Unit::Score => format!("{:.3}", part.median),
    };
    let element = part.element.clone().unwrap_or_else(|| "–".to_owned());
    [part.name.clone(), share(part.n, slow.explained), median, element]
}

/// The pieces of a text, and whether each is code: between backticks, which must come in pairs.
pub(super) fn pieces(text: &str) -> Vec<(&str, bool)> {
    if text.matches('`').count() % 2 == 1 {
        return vec![(text, false)];
    }
    let pieces = text.split('`').enumerate().map(|(number, piece)| (piece, number % 2 == 1));
    pieces.filter(|(piece, _)| !piece.is_empty()).collect()
}

/// The time that a step takes, in a few words.
pub(super) fn horizon(name: &str) -> &str {
    match name {
        "immediate" => "Now",
        "short-term" => "This month",
        "long-term" => "Later",
        other => other,
    }
}

/// A sentence instead of recommendations, and the reasons for it.
pub(super) fn silence(answer: &SummaryAnswer) -> (&'static str, Vec<String>) {
    let Some(advice) = &answer.advice else {
        return ("Recommendations are about one page or the whole site.", Vec::new());
    };
    if !advice.silent.is_empty() && advice.silent.iter().all(|silent| silent.code == "good") {
        return ("Nothing: every metric that advice is about is good.", Vec::new());
    }
    let reasons = advice.silent.iter().map(|silent| format!("{}: {}.", silent.metric, silent.message));
    ("There is no recommendation yet.", reasons.collect())
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn code_is_told_from_text() {
        assert_eq!(pieces("Add `width` now."), [("Add ", false), ("width", true), (" now.", false)]);
        assert_eq!(pieces("`a`"), [("a", true)]);
        assert_eq!(pieces("a ` b"), [("a ` b", false)]);
    }
}
