//! Charts as inline SVG. Colors come from the style sheet, so that they follow light, dark and paper.

use super::markup::{Markup, element, text};
use crate::client::answer::summary::SlowAnswer;
use crate::client::answer::{BinAnswer, MetricAnswer};
use crate::output::{limit, share, value};
use vitals::metric::{Metric, Rating};

/// Width of a chart, about that of a card on a screen, so that its labels have the size of the style sheet.
const WIDTH: f64 = 300.0;
/// Top and bottom of the bars of a distribution, between the labels, and its height.
const BARS_TOP: f64 = 14.0;
const BARS_BOTTOM: f64 = 78.0;
const HEIGHT: f64 = 96.0;
/// Right end, top and bottom of a line over time. Thresholds are on its right, times below.
const TREND_RIGHT: f64 = 244.0;
const TREND_TOP: f64 = 8.0;
const TREND_BOTTOM: f64 = 72.0;
const TREND_HEIGHT: f64 = 90.0;

fn svg(width: f64, height: f64, label: &str, content: Markup) -> Markup {
    let view = format!("0 0 {width} {height}");
    element("svg", &[("viewBox", &view), ("role", "img"), ("aria-label", label)], content)
}

fn rect([x, y, width, height]: [f64; 4], class: &str) -> Markup {
    let [x, y, width, height] = [x, y, width, height].map(|number| format!("{number:.1}"));
    let attributes = [("x", &*x), ("y", &*y), ("width", &*width), ("height", &*height), ("class", class)];
    element("rect", &attributes, Markup::default())
}

fn label(x: f64, y: f64, anchor: &str, content: &str) -> Markup {
    let (x, y) = (format!("{x:.1}"), format!("{y:.1}"));
    element("text", &[("x", &*x), ("y", &*y), ("text-anchor", anchor)], text(content))
}

fn line(x: f64, top: f64, bottom: f64, class: &str) -> Markup {
    let [x, top, bottom] = [x, top, bottom].map(|number| format!("{number:.1}"));
    let attributes = [("x1", &*x), ("x2", &*x), ("y1", &*top), ("y2", &*bottom), ("class", class)];
    element("line", &attributes, Markup::default())
}

const fn class(rating: Rating) -> &'static str {
    match rating {
        Rating::Good => "good",
        Rating::NeedsImprovement => "needs-improvement",
        Rating::Poor => "poor",
    }
}

/// The page views by value: a bar for each bin, in the color of its rating, with the 75th percentile.
pub(super) fn distribution(metric: Metric, one: &MetricAnswer) -> Markup {
    let bins = &one.distribution;
    let most = bins.iter().map(|bin| bin.n).max().unwrap_or(0).max(1);
    let width = WIDTH / bins.len().max(1) as f64;
    let thresholds = metric.thresholds();
    let [good, poor] = [thresholds.good, thresholds.needs_improvement].map(|value| value.number(metric));
    let rating = |bin: &BinAnswer| match bin.to {
        Some(to) if to <= good => Rating::Good,
        Some(to) if to <= poor => Rating::NeedsImprovement,
        _ => Rating::Poor,
    };
    let mut content = Markup::default();
    for (number, bin) in bins.iter().enumerate() {
        let height = bin.n as f64 / most as f64 * (BARS_BOTTOM - BARS_TOP);
        let x = number as f64 * width;
        content.push(rect([x + 0.5, BARS_BOTTOM - height, width - 1.0, height], class(rating(bin))));
    }
    for edge in [good, poor] {
        let x = place(bins, edge) * width;
        content.push(line(x, BARS_TOP, BARS_BOTTOM + 3.0, "edge"));
        content.push(label(x, HEIGHT - 4.0, "middle", &limit(metric, edge)));
    }
    let x = place(bins, one.p75) * width;
    content.push(line(x, BARS_TOP - 4.0, BARS_BOTTOM, "p75"));
    let anchor = if x > WIDTH * 0.8 {
        "end"
    } else if x < WIDTH * 0.2 {
        "start"
    } else {
        "middle"
    };
    content.push(label(x, 8.0, anchor, &format!("p75 {}", value(metric, one.p75, &[]))));
    let about =
        format!("Page views by {}; the 75th percentile is {}", metric.name(), value(metric, one.p75, &[]));
    svg(WIDTH, HEIGHT, &about, content)
}

/// The time of a trend: the texts of its ends, and the places of releases between them, 0 to 1.
pub(super) struct Axis {
    pub(super) ends: [String; 2],
    pub(super) marks: Vec<f64>,
}

/// The 75th percentile over time, from 0 on, with the thresholds that lie in its range, and releases. A step without
/// values is a gap.
pub(super) fn trend(metric: Metric, values: &[Option<f64>], axis: &Axis) -> Markup {
    let largest = values.iter().flatten().copied().fold(0.0, f64::max);
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let height = |value: f64| TREND_BOTTOM - value / largest * (TREND_BOTTOM - TREND_TOP);
    let mut content = level(TREND_BOTTOM, "axis");
    content.push(label(TREND_RIGHT + 4.0, TREND_BOTTOM + 4.0, "start", "0"));
    for (end, (x, anchor)) in axis.ends.iter().zip([(0.0, "start"), (TREND_RIGHT, "end")]) {
        content.push(label(x, TREND_HEIGHT - 4.0, anchor, end));
    }
    for mark in &axis.marks {
        content.push(line(mark * TREND_RIGHT, TREND_TOP, TREND_BOTTOM, "mark"));
    }
    let thresholds = metric.thresholds();
    for edge in [thresholds.good, thresholds.needs_improvement].map(|value| value.number(metric)) {
        if edge <= largest {
            content.push(level(height(edge), "edge"));
            content.push(label(TREND_RIGHT + 4.0, height(edge) + 4.0, "start", &limit(metric, edge)));
        }
    }
    let step = TREND_RIGHT / values.len().max(1) as f64;
    let place = |(number, value): (usize, &Option<f64>)| {
        value.map(|value| [(number as f64 + 0.5) * step, height(value)].map(|place| format!("{place:.1}")))
    };
    let places: Vec<Option<[String; 2]>> = values.iter().enumerate().map(place).collect();
    for run in places.split(Option::is_none) {
        let run: Vec<&[String; 2]> = run.iter().flatten().collect();
        if let [[x, y]] = run.as_slice() {
            let attributes = [("cx", x.as_str()), ("cy", y.as_str()), ("r", "2.5"), ("class", "trend")];
            content.push(element("circle", &attributes, Markup::default()));
        } else if !run.is_empty() {
            let points = run.iter().map(|place| place.join(",")).collect::<Vec<_>>().join(" ");
            let attributes = [("points", points.as_str()), ("class", "trend")];
            content.push(element("polyline", &attributes, Markup::default()));
        }
    }
    svg(WIDTH, TREND_HEIGHT, &format!("The 75th percentile of {} over time", metric.name()), content)
}

/// A horizontal line of a trend.
fn level(y: f64, class: &str) -> Markup {
    let (x, y) = (format!("{TREND_RIGHT:.1}"), format!("{y:.1}"));
    let attributes = [("x1", "0"), ("x2", &*x), ("y1", &*y), ("y2", &*y), ("class", class)];
    element("line", &attributes, Markup::default())
}

/// The place of a value among bins of equal width, in bins. The last bin is open, so its values are in its middle.
fn place(bins: &[BinAnswer], value: f64) -> f64 {
    let number = bins.iter().position(|bin| bin.to.is_none_or(|to| value <= to));
    let Some((number, bin)) = number.and_then(|number| Some((number, bins.get(number)?))) else { return 0.0 };
    let within = bin.to.map_or(0.5, |to| (value - bin.from) / (to - bin.from));
    number as f64 + within.clamp(0.0, 1.0)
}

/// The shares of the three ratings as one bar.
pub(super) fn ratings(one: &MetricAnswer) -> Markup {
    let counts = [one.good, one.needs_improvement, one.poor];
    let about = format!(
        "{} good, {} needs improvement, {} poor",
        share(one.good, one.n),
        share(one.needs_improvement, one.n),
        share(one.poor, one.n)
    );
    stacked(&counts.into_iter().zip(Rating::ALL.map(class)).collect::<Vec<_>>(), &about)
}

/// Classes of the parts of a bar, as many as a metric has parts.
const SHADES: [&str; 6] = ["part-1", "part-2", "part-3", "part-4", "part-5", "part-6"];

/// The key of a part of the bar, by its number from 0 on.
pub(super) fn key(number: usize) -> Markup {
    let class = format!("key {}", SHADES.get(number).copied().unwrap_or_default());
    element("span", &[("class", class.as_str()), ("aria-hidden", "true")], Markup::default())
}

/// The dominant parts of slow page views as one bar.
pub(super) fn parts(slow: &SlowAnswer) -> Markup {
    let counts: Vec<_> = slow.parts.iter().map(|part| part.n).zip(SHADES).collect();
    stacked(&counts, &format!("Slow page views of {} by their dominant part", slow.metric.name()))
}

fn stacked(counts: &[(u64, &str)], about: &str) -> Markup {
    let all: u64 = counts.iter().map(|(count, _)| count).sum();
    let (mut x, mut content) = (0.0, Markup::default());
    for (count, class) in counts {
        let width = *count as f64 / all.max(1) as f64 * WIDTH;
        content.push(rect([x, 0.0, width, 12.0], class));
        x += width;
    }
    let view = format!("0 0 {WIDTH} 12");
    let attributes = [
        ("viewBox", view.as_str()),
        ("preserveAspectRatio", "none"),
        ("role", "img"),
        ("aria-label", about),
        ("class", "stacked"),
    ];
    element("svg", &attributes, content)
}

/// A bar that shows a number beside the largest one. The table has the number as text.
pub(super) fn bar(number: f64, largest: f64) -> Markup {
    let width = if largest > 0.0 { number / largest * 100.0 } else { 0.0 };
    let attributes = [("viewBox", "0 0 100 6"), ("preserveAspectRatio", "none"), ("aria-hidden", "true")];
    element("svg", &attributes, rect([0.0, 0.0, width, 6.0], "impact"))
}

/// The field score as a ring.
pub(super) fn score(score: f64) -> Markup {
    // The circumference of the ring is 100, so the dash is the score.
    let ring = |class: &str, dash: &str| {
        let attributes =
            [("cx", "20"), ("cy", "20"), ("r", "15.9155"), ("class", class), ("stroke-dasharray", dash)];
        element("circle", &attributes, Markup::default())
    };
    let class = if score >= 90.0 {
        "ring good"
    } else if score >= 50.0 {
        "ring needs-improvement"
    } else {
        "ring poor"
    };
    let number = format!("{score:.0}");
    let content = [
        ring("ring rest", "100 0"),
        ring(class, &format!("{score:.1} 100")),
        label(20.0, 23.5, "middle", &number),
    ];
    svg(40.0, 40.0, &format!("Field score {number} of 100"), content.into_iter().collect())
}
