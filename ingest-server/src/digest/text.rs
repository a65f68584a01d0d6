//! The sentences of a digest, and the forms that receivers take.

use super::number::number;
use super::report::{DigestReport, PreviousWeek, WeekBudgets, WeekRelease, WeekViolation};
use crate::alert::{Parcel, Receiver, slack_text, teams_card};
use crate::comparison::{ChangeReport, RouteChange};
use crate::egress::Letter;
use crate::report::MetricReport;
use serde_json::{Value, json};
use vitals::assessment::MIN_SAMPLES;
use vitals::compare::ChangeVerdict;
use vitals::metric::Metric;

/// Characters of a line. A route or a selector may be longer.
const LINE_CHARS_MAX: usize = 400;
/// Characters of a block of Slack, which takes 3,000.
const BLOCK_CHARS_MAX: usize = 2_900;

/// A part of a digest: a heading, which may be empty, and lines.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    heading: &'static str,
    lines: Vec<Line>,
}

/// A line of a digest. Only our own addresses are links: the name of a route may hold any text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    text: String,
    link: Option<String>,
}

impl Section {
    fn new(heading: &'static str, lines: impl IntoIterator<Item = String>) -> Self {
        let line = |text: String| Line { text: cut(&text, LINE_CHARS_MAX), link: None };
        Self { heading, lines: lines.into_iter().map(line).collect() }
    }
}

impl Line {
    fn plain(&self) -> String {
        let Self { text, link } = self;
        link.as_ref().map_or_else(|| text.clone(), |link| format!("{text}: {link}"))
    }

    fn html(&self) -> String {
        let text = escaped(&self.text);
        match &self.link {
            Some(link) => format!("<a href=\"{}\">{text}</a>", escaped(link)),
            None => text,
        }
    }

    fn slack(&self) -> String {
        let text = slack_text(&self.text);
        self.link.as_ref().map_or_else(|| text.clone(), |link| format!("<{}|{text}>", slack_text(link)))
    }

    fn teams(&self) -> String {
        // A card takes Markdown, so that a route could be a link.
        let text = self.text.replace('\\', "\\\\").replace('[', "\\[");
        self.link.as_ref().map_or_else(|| text.clone(), |link| format!("[{text}]({link})"))
    }
}

impl DigestReport {
    /// The parts of the digest, in their order. A site without page views has one sentence.
    fn sections(&self) -> Vec<Section> {
        if self.views == 0 {
            let says = if self.period.limited.is_some() { "is past retention" } else { "had no page views" };
            return vec![Section::new("", [format!("{} {says}.", self.title)])];
        }
        let first = [self.verdict(), self.traffic(), self.limited()].into_iter().flatten();
        let metrics = Metric::CORE.into_iter().filter_map(|metric| {
            let name = metric.name();
            Some(metric_line(name, self.metrics.get(name)?, self.changes.get(name)))
        });
        let routes = match (&self.previous, self.routes.as_slice()) {
            (None, _) => Vec::new(),
            (Some(_), []) => vec!["No page clearly changed since the week before.".to_owned()],
            (Some(_), routes) => routes.iter().map(route_line).collect(),
        };
        let steps = self.advice.iter().map(|one| {
            let step = one.steps.first().map(|step| format!(" First: {}", step.text));
            format!("{} ({}): {}{}", one.title, one.severity, one.evidence, step.unwrap_or_default())
        });
        let line = |text: &str, link: &String| Line { text: text.to_owned(), link: Some(link.clone()) };
        let links = self.links.iter().flat_map(|links| {
            [
                line("The week", &links.overview),
                line("Compared with the week before", &links.compare),
                line("Budgets", &links.budgets),
                line("Alerts", &links.alerts),
            ]
        });
        let all = [
            Section::new("", first.chain(metrics)),
            Section::new("Pages that changed most", routes),
            Section::new(
                "Releases",
                self.releases.iter().map(release_line).chain(more(self.releases_more, "")),
            ),
            Section::new("Budgets", budget_lines(&self.budgets)),
            Section::new("Advice", steps),
            Section { heading: "Dashboard", lines: links.collect() },
        ];
        all.into_iter().filter(|section| !section.lines.is_empty()).collect()
    }

    fn verdict(&self) -> Option<String> {
        let words = |verdict: &str| match verdict {
            "pass" => "passed".to_owned(),
            "fail" => "failed".to_owned(),
            _ => format!("not assessed, because LCP or CLS has fewer than {MIN_SAMPLES} values"),
        };
        let now = self.quality.as_ref()?.core_web_vitals();
        let before =
            self.previous.as_ref().and_then(|week| week.quality.as_ref()).map(|it| it.core_web_vitals());
        let score = self.quality.as_ref().and_then(|quality| quality.field_score());
        let score = score.map_or_else(String::new, |score| format!(" The field score is {score:.0}."));
        Some(match before {
            Some(before) if before == now => {
                format!("Core Web Vitals: {}, as in the week before.{score}", words(now))
            }
            Some(before) => {
                format!("Core Web Vitals: {}; the week before: {}.{score}", words(now), words(before))
            }
            None => format!("Core Web Vitals: {}.{score}", words(now)),
        })
    }

    /// The counted period, if it is not the whole week.
    fn limited(&self) -> Option<String> {
        self.period.limited.as_ref()?;
        Some(format!(
            "Counted from {} to {}: what is older is past retention.",
            self.period.from, self.period.to
        ))
    }

    fn traffic(&self) -> Option<String> {
        let mut line = format!("Page views: {}", grouped(self.views));
        if self.views_estimated != self.views {
            line.push_str(&format!(" received, about {} in all", grouped(self.views_estimated)));
        }
        if let Some(PreviousWeek { views, .. }) = &self.previous {
            let percent = (self.views.saturating_sub(*views)) as f64 / (*views).max(1) as f64 * 100.0;
            line.push_str(&format!("; the week before: {} ({percent:+.1} %)", grouped(*views)));
        }
        line.push('.');
        Some(line)
    }

    /// The digest as plain text. Lines are not broken, so that mail programs break them as their window needs.
    pub(super) fn plain(&self) -> String {
        let mut text = String::new();
        for section in self.sections() {
            if !section.heading.is_empty() {
                text.push_str(&format!("\n{}\n", section.heading));
            }
            for line in section.lines {
                let bullet = if section.heading.is_empty() { "" } else { "- " };
                text.push_str(&format!("{bullet}{}\n", line.plain()));
            }
        }
        text
    }

    pub(super) fn html(&self) -> String {
        let mut html = format!("<h1>{}</h1>\n", escaped(&self.title));
        for section in self.sections() {
            if !section.heading.is_empty() {
                html.push_str(&format!("<h2>{}</h2>\n", section.heading));
            }
            html.push_str("<ul>\n");
            for line in section.lines {
                html.push_str(&format!("<li>{}</li>\n", line.html()));
            }
            html.push_str("</ul>\n");
        }
        html
    }

    /// The digest in the form of a receiver; `None` if the receiver takes alerts only.
    #[must_use]
    pub fn parcel(&self, receiver: &Receiver) -> Option<Parcel> {
        Some(Parcel::Json(match receiver {
            Receiver::Alertmanager(_) | Receiver::PagerDuty(..) => return None,
            Receiver::Webhook(..) => serde_json::to_value(self).unwrap_or_default(),
            Receiver::Slack(_) => {
                let block = |text: String| {
                    let text = cut(&text, BLOCK_CHARS_MAX);
                    // Verbatim: Slack makes no link of an address that a page names.
                    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
                };
                let title = block(format!("*{}*", slack_text(&self.title)));
                let sections = self.sections().into_iter().map(|section| {
                    let heading = match section.heading {
                        "" => String::new(),
                        heading => format!("*{heading}*\n"),
                    };
                    let lines: Vec<String> = section.lines.iter().map(Line::slack).collect();
                    block(format!("{heading}{}", lines.join("\n")))
                });
                let blocks: Vec<Value> = std::iter::once(title).chain(sections).collect();
                json!({ "text": slack_text(&self.title), "blocks": blocks })
            }
            Receiver::Teams(_) => {
                let block = |text: &str| json!({ "type": "TextBlock", "text": text, "wrap": true });
                let bold = |text: &str| json!({ "type": "TextBlock", "text": text, "weight": "bolder", "wrap": true });
                let mut blocks = vec![bold(&self.title)];
                for section in self.sections() {
                    if !section.heading.is_empty() {
                        blocks.push(bold(section.heading));
                    }
                    blocks.extend(section.lines.iter().map(|line| block(&line.teams())));
                }
                teams_card(&blocks)
            }
            Receiver::Email(_) => {
                return Some(Parcel::Letter(Letter {
                    id: self.key.clone(),
                    reply_to: None,
                    subject: self.title.clone(),
                    text: self.text.clone(),
                    html: Some(self.html()),
                }));
            }
        }))
    }
}

fn metric_line(name: &str, metric: &MetricReport, change: Option<&ChangeReport>) -> String {
    let now = number(name, metric.unit, metric.p75);
    let rating = metric.rating.replace('-', " ");
    let mut line = format!("{name} p75: {now}, {rating}");
    if let Some(change) = change {
        line.push_str("; ");
        line.push_str(&changed(name, change));
    }
    line.push('.');
    line
}

fn route_line(RouteChange { route, metric, change }: &RouteChange) -> String {
    let now = change.current.as_ref().map(|side| number(metric, change.unit, side.value));
    format!("{route}: {metric} {}, {}.", now.unwrap_or_default(), changed(metric, change))
}

/// `170 ms (6.9 %) better than the week before`.
fn changed(name: &str, change: &ChangeReport) -> String {
    let before = change.baseline.as_ref().map(|side| number(name, change.unit, side.value));
    let before = before.map_or_else(String::new, |before| format!(" ({before})"));
    match change.verdict {
        verdict @ (ChangeVerdict::Worse | ChangeVerdict::Better) => {
            let by = number(name, change.unit, change.change.unwrap_or_default().abs());
            let percent = change.change_percent.map(|percent| format!(" ({:.1} %)", percent.abs()));
            format!("{by}{} {} than the week before", percent.unwrap_or_default(), verdict.name())
        }
        ChangeVerdict::NoClearChange => format!("no clear change since the week before{before}"),
        ChangeVerdict::NotEnoughData => "too few page views for a comparison with the week before".to_owned(),
    }
}

fn release_line(release: &WeekRelease) -> String {
    let WeekRelease { release, views, is_new, .. } = release;
    let new = if *is_new { ", new" } else { "" };
    format!("{release}: {}{new}.", counted(*views, "page view"))
}

fn budget_lines(budgets: &WeekBudgets) -> Vec<String> {
    let WeekBudgets { kept, broken, undecided, open, opened_and_over, over, more: beyond } = budgets;
    let all = kept + broken + undecided;
    let mut lines = Vec::new();
    if all > 0 {
        let of = i64::try_from(all).unwrap_or(i64::MAX);
        let undecided = match undecided {
            0 => String::new(),
            undecided => format!(", {undecided} without a verdict"),
        };
        lines.push(format!(
            "{} on the server: {kept} kept, {broken} broken{undecided}.",
            counted(of, "budget")
        ));
    }
    let line = |state: &str, violation: &WeekViolation| {
        let measured = violation.measured;
        let measured = measured
            .map(|measured| format!(", measured {}", number(violation.metric, violation.unit, measured)));
        let opened = day(&violation.opened);
        let until = violation.resolved.as_deref().map(|at| format!(" to {}", day(at)));
        let since = if until.is_some() { "from" } else { "since" };
        format!(
            "{state}: {}{} ({since} {opened}{}).",
            violation.budget,
            measured.unwrap_or_default(),
            until.unwrap_or_default()
        )
    };
    lines.extend(open.iter().map(|one| line(if one.is_new { "Broken, new" } else { "Broken" }, one)));
    lines.extend(more(beyond.open, " broken"));
    lines.extend(opened_and_over.iter().map(|one| line("Broken and over", one)));
    lines.extend(more(beyond.opened_and_over, " broken and over"));
    lines.extend(over.iter().map(|one| line("Over", one)));
    lines.extend(more(beyond.over, " over"));
    if lines.is_empty() {
        lines.push("No budget is kept on the server, and none was broken.".to_owned());
    }
    lines
}

/// The line of what a list leaves out.
fn more(count: usize, state: &str) -> Option<String> {
    (count > 0).then(|| format!("and {count} more{state}"))
}

/// The UTC day of a time in RFC 3339.
fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or_default()
}

/// Formats a count with its noun: `1 page view`, `12,345 page views`.
fn counted(count: i64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Formats a count in groups of three digits.
fn grouped(count: i64) -> String {
    let digits = count.max(0).to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Cuts a text, and says so.
fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
