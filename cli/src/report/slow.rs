//! Prints slow page views, each as a waterfall of its parts.

use super::Args;
use super::breakdown::limited;
use super::sampled::sampled;
use super::tables::{no_route, nothing, title};
use crate::client::answer::{SamplesAnswer, SpanAnswer, ViewAnswer};
use crate::output::csv::Csv;
use crate::output::{Terminal, number, plain, value};
use vitals::metric::{Metric, Rating};

/// The width of the bars of a waterfall, in columns.
const BAR_COLUMNS: usize = 30;
/// The width of a part's name, in columns; longer names are cut.
const NAME_COLUMNS: usize = 20;

/// The page views, the slowest first.
pub(super) fn text(answer: &SamplesAnswer, args: &Args, terminal: Terminal) -> String {
    let metric = answer.metric;
    let mut text =
        title(&answer.site, answer.route.as_deref().unwrap_or_default(), &answer.period, args, terminal);
    text.push_str(&sampled(answer.sample.as_ref(), terminal));
    text.push_str(&limited(answer.period.limited.as_deref(), terminal));
    let Some(percentile) = answer.percentile else {
        text.push_str(&no_route(&answer.nearest_routes, terminal));
        text.push_str(&nothing(&answer.site, &format!("page views with {}", metric.name()), terminal));
        return text;
    };
    let rule = format!(
        "{} of {} page views with {}: {} ({})",
        answer.samples.len(),
        answer.measured,
        metric.name(),
        plain(&answer.rule),
        value(metric, percentile, &[])
    );
    text.push_str(&terminal.wrap("", &rule));
    for view in &answer.samples {
        text.push('\n');
        text.push_str(&one(metric, view, terminal));
    }
    text
}

fn one(metric: Metric, view: &ViewAnswer, terminal: Terminal) -> String {
    let mut text = terminal.wrap("", &head(metric, view));
    let end_ms = view.waterfall.iter().map(|span| span.end_ms).max().unwrap_or(0).max(1);
    for span in &view.waterfall {
        text.push_str(&line(span, end_ms));
    }
    for note in notes(view) {
        text.push_str(&terminal.wrap("  ", &note));
    }
    text
}

/// The value, then what is known of the page view.
fn head(metric: Metric, view: &ViewAnswer) -> String {
    let mut parts =
        vec![format!("{} {} {}", metric.name(), value(metric, view.value, &[]), mark(view.rating))];
    parts.push(plain(&view.route));
    let texts =
        [&view.device, &view.browser, &view.os, &view.country, &view.connection, &view.navigation_type];
    parts.extend(texts.into_iter().flatten().map(|text| plain(text)));
    parts.extend(view.viewport.as_deref().map(|viewport| format!("{} window", plain(viewport))));
    parts.extend(view.release.as_deref().map(|release| format!("release {}", plain(release))));
    parts.push(plain(&view.started));
    parts.join(" · ")
}

const fn mark(rating: Rating) -> &'static str {
    match rating {
        Rating::Good => "good",
        Rating::NeedsImprovement => "needs improvement",
        Rating::Poor => "poor",
    }
}

/// A part with its times and its bar.
fn line(span: &SpanAnswer, end_ms: u64) -> String {
    let name: String = plain(&span.name).chars().take(NAME_COLUMNS).collect();
    let column = |at_ms: u64| usize::try_from(at_ms.saturating_mul(BAR_COLUMNS as u64) / end_ms).unwrap_or(0);
    let (start, end) = (column(span.start_ms), column(span.end_ms));
    let (times, bar) = if span.start_ms == span.end_ms {
        (span.start_ms.to_string(), "|".to_owned())
    } else {
        (format!("{}–{}", span.start_ms, span.end_ms), "█".repeat((end - start).max(1)))
    };
    format!("  {name:NAME_COLUMNS$}  {times:>15}  {}{bar}\n", " ".repeat(start.min(BAR_COLUMNS)))
}

/// The other metrics, elements, scripts, conditions, tags and marks.
fn notes(view: &ViewAnswer) -> Vec<String> {
    let metrics = Metric::ALL.into_iter().filter_map(|metric| {
        let one = view.metrics.get(metric.name())?;
        let sign = match one.rating {
            Rating::Good => "",
            Rating::NeedsImprovement => "!",
            Rating::Poor => "!!",
        };
        Some(format!("{} {}{sign}", metric.name(), number(metric, one.value, &[])))
    });
    let mut notes = vec![metrics.collect::<Vec<_>>().join("  ")];
    let mut note = |what: &str, texts: Vec<Option<String>>| {
        let texts: Vec<String> = texts.into_iter().flatten().map(|text| plain(&text)).collect();
        if !texts.is_empty() {
            notes.push(format!("{what}: {}", texts.join(" · ")));
        }
    };
    if let Some(lcp) = &view.lcp {
        note("LCP element", vec![lcp.target.clone(), lcp.url.clone()]);
    }
    if let Some(inp) = &view.inp {
        let script = inp.script.as_ref().map(|url| format!("{url} ({} ms)", inp.script_ms.unwrap_or(0)));
        note("INP element", vec![inp.target.clone(), Some(inp.event.clone()), script]);
    }
    if let Some(cls) = &view.cls {
        note("CLS element", vec![cls.target.clone(), Some(format!("{:.3} at {} ms", cls.shift, cls.at_ms))]);
    }
    if let Some(conditions) = &view.conditions {
        let named = |name: &str, text: &Option<String>| text.as_ref().map(|text| format!("{name} {text}"));
        let mut texts = vec![
            conditions.protocol.clone(),
            named("from", &conditions.delivery),
            named("rtt", &conditions.rtt),
            named("memory", &conditions.memory),
            named("cpu", &conditions.cpu),
            conditions.document_kb.map(|kb| format!("{kb} kB")),
            conditions.engaged.map(|engaged| if engaged { "engaged" } else { "not engaged" }.to_owned()),
        ];
        texts.extend(conditions.server_timings.iter().map(|entry| {
            let description = entry.description.as_deref().unwrap_or_default();
            Some(format!("{} {description} {} ms", entry.name, entry.duration_ms).replace("  ", " "))
        }));
        texts.extend(conditions.not_restored.iter().map(|reason| Some(format!("not restored: {reason}"))));
        note("Conditions", texts);
    }
    note("Tags", view.tags.iter().map(|(name, value)| Some(format!("{name}={value}"))).collect());
    notes
}

/// A CSV with a line a page view and part.
pub(super) fn csv(answer: &SamplesAnswer) -> String {
    let columns = [
        "site",
        "metric",
        "value",
        "rating",
        "started",
        "route",
        "device",
        "browser",
        "os",
        "country",
        "connection",
        "navigation_type",
        "release",
        "part",
        "start_ms",
        "end_ms",
    ];
    let mut csv = Csv::new(columns);
    for view in &answer.samples {
        let filled = |text: &Option<String>| text.clone().unwrap_or_default();
        for span in &view.waterfall {
            csv.row(&[
                answer.site.clone(),
                answer.metric.name().to_owned(),
                view.value.to_string(),
                view.rating.name().to_owned(),
                view.started.clone(),
                view.route.clone(),
                filled(&view.device),
                filled(&view.browser),
                filled(&view.os),
                filled(&view.country),
                filled(&view.connection),
                filled(&view.navigation_type),
                filled(&view.release),
                span.name.clone(),
                span.start_ms.to_string(),
                span.end_ms.to_string(),
            ]);
        }
    }
    csv.finish()
}
