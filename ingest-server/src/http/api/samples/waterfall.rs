//! Lays out the parts of a page view's values in time.

use crate::http::api::attribution::cause::{INP_PARTS, LCP_PARTS};
use fieldvitals_store::ViewUpdate;
use serde::Serialize;
use utoipa::ToSchema;
use vitals::fetch::PARTS;
use vitals::metric::{Metric, Unit};

/// A part of a page view: from a start to an end, or at a moment if both are equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SpanReport {
    /// `ttfb.request`, `lcp.load_duration`, `inp.processing`; a metric; `first_input`; `shift`; `mark:NAME`.
    pub name: String,
    /// Milliseconds since the start of the page view.
    pub start_ms: u32,
    /// Milliseconds since the start of the page view.
    pub end_ms: u32,
}

/// Returns the spans of a page view by their starts. Leaves out parts that took no time.
pub(super) fn spans(view: &ViewUpdate) -> Vec<SpanReport> {
    let mut spans = Vec::new();
    let detail = view.context.detail.as_deref();
    let conditions = view.context.conditions.as_deref();
    let lcp = detail.and_then(|detail| detail.lcp.as_ref());
    let ttfb_ms = ms(view, Metric::Ttfb);
    if let Some(parts_ms) = conditions.and_then(|conditions| conditions.ttfb_parts_ms) {
        chain(&mut spans, "ttfb", 0, &PARTS, &parts_ms);
    } else if let Some(ttfb_ms) = ttfb_ms.filter(|ms| *ms > 0) {
        spans.push(SpanReport { name: "ttfb".to_owned(), start_ms: 0, end_ms: ttfb_ms });
    }
    if let Some(lcp) = lcp {
        let [first_byte_ms, rest_ms @ ..] = lcp.parts_ms;
        chain(&mut spans, "lcp", first_byte_ms, &LCP_PARTS[1..], &rest_ms);
    }
    if let Some(inp) = detail.and_then(|detail| detail.inp.as_ref()) {
        chain(&mut spans, "inp", inp.at_ms, &INP_PARTS, &inp.parts_ms);
    }
    let mut moment =
        |name: String, at_ms: u32| spans.push(SpanReport { name, start_ms: at_ms, end_ms: at_ms });
    for metric in [Metric::Fcp, Metric::Lcp, Metric::Tti] {
        if let Some(at_ms) = ms(view, metric) {
            moment(metric.name().to_owned(), at_ms);
        }
    }
    if let Some(at_ms) = conditions.and_then(|conditions| conditions.first_input_ms) {
        moment("first_input".to_owned(), at_ms);
    }
    if let Some(detail) = detail {
        if let Some(cls) = &detail.cls {
            moment("shift".to_owned(), cls.at_ms);
        }
        for (name, at_ms) in &detail.marks {
            moment(format!("mark:{name}"), *at_ms);
        }
    }
    // A stable sort keeps parts before the moments in which they end.
    spans.sort_by_key(|span| (span.start_ms, span.end_ms));
    spans
}

/// Adds parts that follow each other.
fn chain(spans: &mut Vec<SpanReport>, of: &str, start_ms: u32, names: &[&str], parts_ms: &[u32]) {
    let mut at_ms = start_ms;
    for (name, &part_ms) in names.iter().zip(parts_ms) {
        let end_ms = at_ms.saturating_add(part_ms);
        if part_ms > 0 {
            spans.push(SpanReport { name: format!("{of}.{name}"), start_ms: at_ms, end_ms });
        }
        at_ms = end_ms;
    }
}

/// Returns a metric's value in whole milliseconds.
fn ms(view: &ViewUpdate, metric: Metric) -> Option<u32> {
    let value = view.values.get(metric).filter(|_| metric.unit() == Unit::Milliseconds)?;
    // The cast saturates.
    Some(value.number(metric).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::conformance::{DAY0_MS, explained};
    use fieldvitals_store::context::conditions::Conditions;
    use vitals::metric::Value;

    #[test]
    fn parts_follow_each_other_and_end_in_their_metric() {
        let mut view = explained(DAY0_MS, 1, "img", "https://shop.example/app.js");
        view.values.set(Metric::Ttfb, Value::new(Metric::Ttfb, 100.0).ok());
        let shown = |view: &ViewUpdate| -> Vec<String> {
            let text = |span: &SpanReport| format!("{} {}-{}", span.name, span.start_ms, span.end_ms);
            spans(view).iter().map(text).collect()
        };
        let lcp = [
            "lcp.load_delay 100-300",
            "lcp.load_duration 300-600",
            "lcp.render_delay 600-1000",
            "mark:ready 700-700",
        ];
        let inp = [
            "LCP 1000-1000",
            "inp.input_delay 9000-9010",
            "inp.processing 9010-9160",
            "inp.presentation 9160-9200",
        ];
        let whole = |first: &[&'static str]| -> Vec<&'static str> { [first, &lcp, &inp].concat() };
        assert_eq!(shown(&view), whole(&["ttfb 0-100"]));
        let ttfb_parts_ms = Some([0, 0, 0, 20, 30, 50]);
        view.context.conditions = Some(Box::new(Conditions { ttfb_parts_ms, ..Conditions::default() }));
        assert_eq!(shown(&view), whole(&["ttfb.dns 0-20", "ttfb.connect 20-50", "ttfb.request 50-100"]));
    }
}
